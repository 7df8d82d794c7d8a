"""``rkfetch list``, ``path``, ``verify``, ``rm`` and ``gc``: the files that are here already."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rkfetch.catalog.naming import recorded_model
from rkfetch.registry.beside import FOLDER, beside
from rkfetch.registry.errors import IntegrityError, UnknownModelError

from . import options  # noqa: TC001 - typer reads the annotations
from .output import emit, emit_json, human_bytes, rate, safe, say
from .pairs import alone_words, encoder_line, is_encoder, owners, with_companions
from .selection import attribute_of, select, select_one

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rkfetch.registry.cleanup import GcPlan
    from rkfetch.registry.store import Installed, Store

_NAME_HELP = (
    "A model, a file's name, its address (hf:OWNER/REPO/PATH.rkllm), or the beginning of its "
    "SHA-256; with @w8a8 for one quantisation."
)
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help=_NAME_HELP)]
NamesArgument = Annotated[list[str], typer.Argument(metavar="NAME...", help=_NAME_HELP)]
SomeNamesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME...]", help=f"{_NAME_HELP} None: all files.")
]


def open_store() -> Store:
    """Return the store of this user."""
    from rkfetch.registry.store import Store, home

    return Store(home())


def list_command(*, as_json: options.JsonOption = False) -> None:
    """List the models on this machine: what they are, where they came from, what they take.

    \b
    Examples:
      rkfetch list
      rkfetch list --json
    """
    store = open_store()
    items = store.installed()
    if as_json:
        files = [installed_json(item) for item in items]
        emit_json({"status": "ok", "store": str(store.root), "files": files})
        return
    for line in _list_lines(items):
        emit(line)
    if not items:
        say("no model is installed; `rkfetch MODEL` gets one")
        return
    total = human_bytes(sum(item.record.size_bytes for item in items))
    files_word = "file" if len(items) == 1 else "files"
    say(f"{len(items)} {files_word}, {total}, in {safe(str(store.root))}")


def _list_lines(items: Sequence[Installed]) -> Iterator[str]:
    owned, here = owners(items), {item.record.sha256: item for item in items}
    shown = [item for item in items if item.record.sha256 not in owned]
    rows = [_cells(item) for item in shown]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for item, row in zip(shown, rows, strict=True):
        cells = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()
        damaged = "  DAMAGED: fetch it again" if item.record.damaged else ""
        yield f"  {item.record.sha256[:12]}  {safe(item.path.name)}{damaged}"
        if item.record.repo:
            yield f"  {safe(item.record.source)}: {safe(item.record.repo)}"
        if near := beside(item):
            roles = ", ".join(dict.fromkeys(file.role for file in near))
            yield f"  beside it, in {FOLDER}/: {roles}"
        companions = [here[sha256] for sha256 in item.record.companions if sha256 in here]
        yield from map(encoder_line, companions)
        if is_encoder(item):
            yield "  an encoder alone: no model that is here belongs to it"
        elif alone := alone_words(item, companions):
            yield f"  {alone}"


def _cells(item: Installed) -> tuple[str, ...]:
    toolkit = attribute_of(item, "toolkit")
    return (
        safe(item.record.model or recorded_model(item.record) or "unknown model"),
        safe(attribute_of(item, "platform") or "?"),
        safe(attribute_of(item, "quant") or "?"),
        safe(f"toolkit {toolkit}" if toolkit else "toolkit ?"),
        human_bytes(item.record.size_bytes),
        safe(item.record.fetched_at[:10]),
    )


def installed_json(item: Installed) -> dict[str, Any]:
    """Return an installed file with its provenance."""
    record = item.record.as_json()
    keys = ("source", "repo", "path", "revision", "bytes", "sha256")
    more = ("model", "attributes", "verdict", "endpoint", "fetched_at", "rkfetch", "damaged")
    verified = item.record.verified
    return {
        "path": str(item.path),
        "artifact": {key: record[key] for key in keys},
        **{key: record[key] for key in more},
        "companions": list(item.record.companions),
        "licence": record["licence"],
        "beside": [
            {"role": file.role, "path": str(file.path), "bytes": file.size_bytes}
            for file in beside(item)
        ],
        "verified_at": verified.at if verified else None,
    }


def path_command(
    name: NameArgument,
    *,
    vision: Annotated[
        bool, typer.Option("--vision", help="Print the path of the model's vision encoder.")
    ] = False,
    as_json: options.JsonOption = False,
) -> None:
    """Print the path of an installed model; no network is used, and nothing else is printed.

    Exits with 4 if it is not installed, and with 7 if it is known to be damaged.

    \b
    Examples:
      llm_demo "$(rkfetch path qwen2.5-1.5b)" 512 4096
      encoder=$(rkfetch path qwen2.5-vl-3b --vision)
    """
    store = open_store()
    item = select_one(store.installed(), name)
    if vision:
        item = _encoder_of(store, item)
    if store.find(item.record.sha256) is None:
        raise IntegrityError(
            f"{item.path} is damaged",
            cause=["its content changed after it was installed"],
            hint="fetch it again: the damaged file will be replaced",
        )
    if as_json:
        emit_json({"status": "ok", **installed_json(item)})
    else:
        emit(str(item.path))


def _encoder_of(store: Store, item: Installed) -> Installed:
    """Return the encoder of an installed model.

    Raises:
        UnknownModelError: it is not here.
    """
    found = next(iter(store.companions(item)), None)
    if found is None:
        raise UnknownModelError(
            f"no vision encoder of {item.path.name} is installed",
            hint="`rkfetch MODEL` gets it where the model has one; `rkfetch import FOLDER` takes "
            "both halves in",
        )
    return found


ChangedOption = Annotated[
    bool,
    typer.Option(
        "--changed",
        help="Read only files whose size, time or place on the disk is not what it was when they "
        "were last verified.",
    ),
]


def verify_command(
    names: SomeNamesArgument = None,
    *,
    changed: ChangedOption = False,
    as_json: options.JsonOption = False,
    quiet: options.QuietOption = False,
) -> None:
    """Read installed files again and compare them with their SHA-256.

    A damaged file is not given out any more; fetching it again replaces it. Exits with 7 if one
    is damaged. --changed is quick, and finds what somebody has written to; a disk that decays is
    found only without it.

    \b
    Examples:
      rkfetch verify
      rkfetch verify qwen2.5-1.5b
      rkfetch verify --changed --quiet
    """
    store = open_store()
    answer: dict[str, Any] = {"files": []}
    bad = []
    begun, read_bytes = time.monotonic(), 0
    for item in selected(store, names):
        read = not changed or store.is_changed(item)
        error = _verified(store, item, as_json=as_json, quiet=quiet) if read else None
        read_bytes += item.record.size_bytes if read else 0
        now = store.load(item.record.sha256) or item
        actual = error.actual if error is not None else None
        answer["files"].append(
            {**installed_json(now), "damaged": error is not None, "actual": actual, "read": read}
        )
        if error is not None:
            bad.append(error)
        if not as_json:
            word = "DAMAGED" if error else "ok" if read else "same"
            emit(f"{word:8}{safe(str(item.path), limit=4096)}")
    if bad:
        raise _all_damaged(bad, answer)
    if as_json:
        emit_json({"status": "ok", **answer})
    elif not answer["files"]:
        say("no model is installed")
    elif not quiet:
        say(f"{_read_words(answer['files'])}{rate(read_bytes, time.monotonic() - begun)}")


def _verified(
    store: Store, item: Installed, *, as_json: bool, quiet: bool
) -> IntegrityError | None:
    from .progress import for_reading

    title = f"reading {safe(item.path.name)}, {human_bytes(item.record.size_bytes)}"
    with closing(for_reading(title, json_lines=as_json, quiet=quiet)) as progress:
        return store.verify(item, progress)


def _read_words(files: Sequence[dict[str, Any]]) -> str:
    count = sum(file["read"] for file in files)
    words = [f"{count} read and sound"] if count else []
    words += [f"{len(files) - count} unchanged since they were verified"] * (count < len(files))
    return ", ".join(words)


def _all_damaged(bad: Sequence[IntegrityError], answer: dict[str, Any]) -> IntegrityError:
    if len(bad) == 1:
        bad[0].answer = answer
        return bad[0]
    error = IntegrityError(
        f"{len(bad)} files are damaged", cause=[e.message for e in bad], hint=bad[0].hint
    )
    error.answer = answer
    return error


def selected(store: Store, names: Sequence[str] | None) -> list[Installed]:
    """Return the installed files that are meant; without names all of them."""
    items = store.installed()
    if not names:
        return items
    return with_companions(store, [item for name in names for item in select(items, name)])


def rm_command(
    names: NamesArgument,
    *,
    as_json: options.JsonOption = False,
    quiet: options.QuietOption = False,
) -> None:
    """Remove installed models. Nothing but what `rkfetch list` shows can be removed.

    The vision encoder of a model goes with it, unless another model that stays needs it, too.

    \b
    Examples:
      rkfetch rm qwen2.5-1.5b@w8a8
      rkfetch rm 3f2a9c1d04bb
    """
    store = open_store()
    items = store.installed()
    named = {item.record.sha256: item for name in names for item in [select_one(items, name)]}
    chosen = [
        item
        for item in with_companions(store, list(named.values()))
        if item.record.sha256 in named or not _is_needed(item, items, named)
    ]
    freed = 0
    for item in chosen:
        linked = item.path.stat().st_nlink > 1
        freed += 0 if linked else item.record.size_bytes
        store.remove(item, waiting=lambda reason, _: None if quiet else say(safe(reason)))
        if linked and not quiet:
            say(f"{safe(item.path.name)} is linked elsewhere too; its room is not free yet")
    if as_json:
        removed = [installed_json(item) for item in chosen]
        emit_json({"status": "ok", "removed": removed, "freed_bytes": freed})
    elif not quiet:
        for item in chosen:
            say(f"removed {safe(item.path.name)}, {human_bytes(item.record.size_bytes)}")


def _is_needed(
    companion: Installed, items: Sequence[Installed], going: Mapping[str, Installed]
) -> bool:
    """Tell whether a file belongs to a model that stays, too."""
    needing = owners(items).get(companion.record.sha256, [])
    return any(item.record.sha256 not in going for item in needing)


def gc_command(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be removed.")
    ] = False,
    older_than: Annotated[
        float,
        typer.Option(
            "--older-than",
            metavar="DAYS",
            min=0,
            help="Partial downloads that nobody went on with for so many days are removed.",
        ),
    ] = 7,
    as_json: options.JsonOption = False,
    quiet: options.QuietOption = False,
) -> None:
    """Remove leftovers: old partial downloads and half-made entries, never an installed model.

    What a running rkfetch works on is left alone.

    \b
    Examples:
      rkfetch gc --dry-run
      rkfetch gc --older-than 0
    """
    from rkfetch.registry.cleanup import clean, gc_plan

    store = open_store()
    plan = gc_plan(store, older_than_days=older_than)
    freed = 0 if dry_run else clean(store, plan)
    if as_json:
        emit_json(_gc_json(plan, freed, dry_run=dry_run))
        return
    for leftover in plan.leftovers:
        what = f"{leftover.paths[0]}  {human_bytes(leftover.size_bytes)}  {leftover.reason}"
        emit(safe(what, limit=2000))
    if not quiet:
        for kept in plan.kept:
            say(safe(f"kept: {kept.path}: {kept.reason}", limit=2000))
        would = f"would free {human_bytes(plan.size_bytes)}"
        say(would if dry_run else f"freed {human_bytes(freed)}")


def _gc_json(plan: GcPlan, freed: int, *, dry_run: bool) -> dict[str, Any]:
    leftovers = [
        {
            "paths": [str(path) for path in leftover.paths],
            "bytes": leftover.size_bytes,
            "reason": leftover.reason,
        }
        for leftover in plan.leftovers
    ]
    return {
        "status": "ok",
        "dry_run": dry_run,
        "leftovers": leftovers,
        "kept": [{"path": str(kept.path), "reason": kept.reason} for kept in plan.kept],
        "bytes": plan.size_bytes,
        "freed_bytes": freed,
    }
