"""``rkfetch catalog add|remove|additions``: what you know of a file, kept and exchanged."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rkfetch.registry.errors import UnknownModelError, UsageError
from rkfetch.registry.model import Platform

from . import options  # noqa: TC001 - typer reads the annotations
from .catalog_words import SCHEMES
from .opening import open_catalog
from .output import emit, emit_json, safe, say, wrapped
from .store import open_store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rkfetch.catalog.additions import Addition
    from rkfetch.catalog.database import Catalog, Kept
    from rkfetch.registry.model import Artifact
    from rkfetch.registry.runtime_log import Load
    from rkfetch.registry.sightings import Outcome

FileArgument = Annotated[
    str,
    typer.Argument(
        metavar="FILE|REFERENCE",
        help="A .rkllm file on this disk, the name of an installed one, or "
        "hf:OWNER/REPO/PATH.rkllm.",
    ),
]
WorksOption = Annotated[bool, typer.Option("--works", help="It answers as it should.")]
FailsOption = Annotated[
    bool, typer.Option("--fails", help="It is refused, or what it answers is of no use.")
]
BoardOption = Annotated[
    str | None,
    typer.Option("--board", metavar="TEXT", help="Which board: 'Radxa ROCK 4D'. Else detected."),
]
LogOption = Annotated[
    str | None,
    typer.Option(
        "--log",
        metavar="FILE",
        help="What the runtime printed when it loaded the file; - is stdin.",
    ),
]
NoteOption = Annotated[
    str | None,
    typer.Option("--note", metavar="TEXT", help="What you saw, in a few words: 'never stops'."),
]


def add_command(
    subject: FileArgument,
    *,
    works: WorksOption = False,
    fails: FailsOption = False,
    runtime: options.RuntimeOption = None,
    platform: options.PlatformOption = None,
    driver: options.DriverOption = None,
    board: BoardOption = None,
    log: LogOption = None,
    note: NoteOption = None,
    sysroot: options.SysrootOption = "/",
    as_json: options.JsonOption = False,
    quiet: options.QuietOption = False,
) -> None:
    """Record what you know of a file: that it works or fails on a board, or what a log says.

    What you saw fail on a SoC and runtime is not chosen for them again (--allow-risky takes it all
    the same); what you saw work is preferred. On a board, SoC, runtime and driver are detected.
    Prints the addition's name, with which `rkfetch catalog remove` undoes it. Nothing leaves this
    machine: `rkfetch catalog additions --export FILE` writes what you may pass on.

    \b
    Examples:
      rkfetch catalog add hf:OWNER/REPO/FILE.rkllm --works --runtime 1.2.3
      rkfetch catalog add model.rkllm --fails --note 'answers never stop' --log load.log
    """
    from rkfetch.catalog.additions import today
    from rkfetch.catalog.observe import Told, observe
    from rkfetch.catalog.writer import Writer
    from rkfetch.registry.target import detect
    from rkfetch.registry.versions import parse_version

    outcome = _outcome(works=works, fails=fails)
    if outcome is None and log is None:
        raise UsageError(
            "nothing is said about the file", hint="--works, --fails, or --log with a load log"
        )
    told = Told(
        outcome=outcome,
        platform=Platform.parse(platform) if platform else None,
        runtime=parse_version(runtime, what="runtime") if runtime else None,
        driver=parse_version(driver, what="driver") if driver else None,
        board=board,
        note=note,
    )
    with open_catalog(quiet=True) as catalog:
        artifact = find(catalog, subject, as_json=as_json, quiet=quiet)
        addition = observe(
            artifact,
            told=told,
            load=_load_of(artifact, read_file_or_stdin(log), log) if log is not None else None,
            here=detect(Path(sysroot)),
            seen=today(),
            private=private_names(),
        )
        if addition is None:
            raise UsageError(
                f"{safe(log or '')} says nothing about the file itself",
                hint="say --works or --fails",
            )
        with Writer.open(catalog.path) as writer:
            writer.add(addition, own=True)
    learnt = learnt_from(artifact, addition)
    if as_json:
        emit_json({"status": "ok", "addition": addition_json(addition, own=True), "learnt": learnt})
        return
    if not quiet:
        for line in told_lines(addition, learnt):
            say(line)
    emit(addition.id)


def _outcome(*, works: bool, fails: bool) -> Outcome | None:
    from rkfetch.registry.sightings import Outcome

    if works and fails:
        raise UsageError("a file either works or fails", hint="give one of --works and --fails")
    if works or fails:
        return Outcome.WORKS if works else Outcome.FAILS
    return None


def find(catalog: Catalog, text: str, *, as_json: bool, quiet: bool) -> Artifact:
    """Return the artifact that a person means: a file here, an installed one, or a reference.

    Raises:
        UsageError, UnknownModelError, IntegrityError: there is none.
    """
    from rkfetch.catalog.subjects import of_file, of_installed, of_reference

    from .progress import for_reading
    from .selection import select_one

    store = open_store()
    if Path(text).is_file():
        progress = for_reading(f"reading {safe(Path(text).name)}", json_lines=as_json, quiet=quiet)
        with closing(progress):
            return of_file(catalog, store, Path(text), advanced=progress.advanced)
    if text.lower().endswith(".rkllm") and "/" in text and ":" not in text:
        raise UsageError(f"there is no file {safe(text)}")
    try:
        item = select_one(store.installed(), text)
    except UnknownModelError:
        return of_reference(catalog, text)
    return of_installed(catalog, item)


def private_names() -> list[str]:
    """Return the names of this user and machine, which nobody else needs to know."""
    import socket

    names = {os.environ.get("USER", ""), os.environ.get("LOGNAME", ""), Path.home().name}
    names |= {socket.gethostname(), socket.gethostname().partition(".")[0]}
    return sorted((n for n in names - {"root", "localhost"} if len(n) > 2), key=len, reverse=True)


def read_file_or_stdin(name: str) -> bytes:
    """Read a file, or standard input for ``-``, no further than a log or list may be long.

    Raises:
        UsageError: it cannot be read.
    """
    from rkfetch.registry.runtime_log import MOST_BYTES

    try:
        if name == "-":
            return sys.stdin.buffer.read(MOST_BYTES + 1) if sys.stdin else b""
        with Path(name).open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{safe(name)} cannot be read: {error.strerror or error}") from error


def _load_of(artifact: Artifact, data: bytes, name: str) -> Load:
    """Return the load of a file in a log.

    Raises:
        UsageError: there is none, or it cannot be told which.
    """
    from rkfetch.catalog.subjects import as_said
    from rkfetch.registry.runtime_log import read_log

    loads = read_log(data)
    file = artifact.path.rpartition("/")[2]
    of_it = [load for load in loads if load.path and Path(load.path).name == file]
    found = of_it[-1:] or (list(loads) if len(loads) == 1 else [])
    if not found:
        raise UsageError(
            f"no load of a model is in {safe(name)}"
            if not loads
            else f"{len(loads)} loads are in {safe(name)}, and none names {safe(file)}",
            hint="it is what the program prints when it starts: `I rkllm: rkllm-runtime version: …`"
            if not loads
            else "`rkfetch catalog report LOG` reads them all",
        )
    match = as_said(artifact, found[0])
    if match.artifact is None:
        raise UsageError(f"{safe(name)} is the log of another file", cause=[match.how])
    return found[0]


# --- words and JSON ----------------------------------------------------------------------------


def learnt_from(artifact: Artifact, addition: Addition) -> list[str]:
    """Say what an addition adds to what was known."""
    from rkfetch.catalog.subjects import news

    return news(artifact, addition.evidence())


def about_words(addition: Addition) -> str:
    """Say what an addition says: ``works on rk3576, runtime 1.2.3``."""
    sighting = addition.sighting(own=True)
    if sighting is None:
        return "its load log was read"
    return f"{sighting.outcome.value} on {sighting.pair}"


def address(addition: Addition) -> str:
    """Return the file of an addition as one types it."""
    scheme = SCHEMES.get(addition.source, addition.source)
    name = f"{scheme}:{addition.repo}/{addition.path}" if addition.repo else addition.path
    return safe(name)


def told_lines(addition: Addition, learnt: Sequence[str]) -> Iterator[str]:
    """Say what was recorded, and how to take it back."""
    yield address(addition)
    yield from wrapped(about_words(addition) + _remark(addition), lead="  ")
    for sentence in learnt:
        yield from wrapped(sentence, lead="  learnt: ")
    yield f"undo: rkfetch catalog remove {addition.id}"


def _remark(addition: Addition) -> str:
    parts = [p for p in (addition.board, addition.note) if p]
    return f" ({'; '.join(parts)})" if parts else ""


def addition_json(addition: Addition, *, own: bool) -> dict[str, Any]:
    """Return an addition with its name."""
    import json

    return {"id": addition.id, "own": own, **json.loads(addition.line())}


# --- remove, list, exchange --------------------------------------------------------------------


def remove_command(
    names: Annotated[
        list[str],
        typer.Argument(metavar="ADDITION...", help="As `rkfetch catalog additions` lists them."),
    ],
    *,
    as_json: options.JsonOption = False,
    quiet: options.QuietOption = False,
) -> None:
    """Take back what was recorded with `catalog add` or `catalog report`, or imported.

    \b
    Example:
      rkfetch catalog remove 3f2a91c04b7d
    """
    from rkfetch.catalog.writer import Writer

    with open_catalog(quiet=True) as catalog:
        chosen = [_named(name, catalog.additions()) for name in names]
        with Writer.open(catalog.path) as writer, writer.transaction():
            for kept in chosen:
                writer.remove_addition(kept.addition)
    if as_json:
        removed = [addition_json(k.addition, own=k.own) for k in chosen]
        emit_json({"status": "ok", "removed": removed})
    elif not quiet:
        for kept in chosen:
            say(f"removed {kept.addition.id}: {address(kept.addition)}")


def _named(name: str, additions: Iterable[Kept]) -> Kept:
    found = [k for k in additions if len(name) >= 4 and k.addition.id.startswith(name.lower())]
    if len(found) != 1:
        why = f"{len(found)} additions begin with" if found else "there is no addition"
        raise UsageError(
            f"{why} '{safe(name)}'", hint="`rkfetch catalog additions` lists them with their names"
        )
    return found[0]


def additions_command(
    *,
    export: Annotated[
        str | None,
        typer.Option(
            "--export",
            metavar="FILE",
            help="Write what was recorded here as lines of JSON; lines that the file has already "
            "stay. - is stdout.",
        ),
    ] = None,
    take_in: Annotated[
        str | None,
        typer.Option("--import", metavar="FILE", help="Take in other people's; - is stdin."),
    ] = None,
    everyone: Annotated[
        bool, typer.Option("--all", help="List other people's, too; --json always has them.")
    ] = False,
    as_json: options.JsonOption = False,
    quiet: options.QuietOption = False,
) -> None:
    """List what was recorded about files on this machine; write it to a file, or take others' in.

    An exported file holds no path of this disk and no name of a user or a machine. It always has
    the same order, so that it fits into a pull request.

    \b
    Examples:
      rkfetch catalog additions
      rkfetch catalog additions --export additions.jsonl
      rkfetch catalog additions --import additions.jsonl
    """
    if export is not None and take_in is not None:
        raise UsageError("either --export or --import")
    with open_catalog(quiet=True) as catalog:
        if take_in is not None:
            count = _take_in(catalog, take_in)
            if not quiet:
                say(f"{count} additions taken in from {safe(take_in)}")
        kept = catalog.additions()
    if export is not None:
        _export([k.addition for k in kept if k.own], export, quiet=quiet, as_json=as_json)
        return
    if as_json:
        emit_json({"additions": [addition_json(k.addition, own=k.own) for k in kept]})
    elif take_in is None:
        shown = [k for k in kept if k.own or everyone]
        _list(shown)
        if not quiet and len(shown) < len(kept):
            say(f"{len(kept) - len(shown)} more from others: --all")


def _list(kept: Sequence[Kept]) -> None:
    for number, item in enumerate(kept):
        addition = item.addition
        if number:
            emit("")
        whose = "yours" if item.own else "from others"
        emit(f"{addition.id}  {addition.seen}  {addition.origin.value}, {whose}")
        emit(f"  {address(addition)}")
        for line in wrapped(about_words(addition) + _remark(addition), lead="  "):
            emit(line)
        if addition.said:
            said = ", ".join(f"{name} {value}" for name, value in addition.said)
            for line in wrapped(f"the runtime read: {said}", lead="  "):
                emit(line)
    if not kept:
        say("nothing was recorded here yet: `rkfetch catalog add --help`")


def _export(additions: Sequence[Addition], name: str, *, quiet: bool, as_json: bool) -> None:
    from rkfetch.catalog.additions import from_lines, to_lines
    from rkfetch.registry.durable import disk_errors, write_durably

    if name == "-":
        for line in to_lines(additions).splitlines():
            emit(line)
        return
    path = Path(name)
    before = from_lines(read_file_or_stdin(name), name=name) if path.exists() else []
    with disk_errors(path.parent):
        write_durably(path, to_lines([*before, *additions]).encode())
    new = {a.id for a in additions} - {a.id for a in before}
    if as_json:
        emit_json({"status": "ok", "file": name, "additions": len(additions), "new": len(new)})
    elif not quiet:
        say(f"{len(additions)} additions, {len(new)} of them new, written to {safe(name)}")


def _take_in(catalog: Catalog, name: str) -> int:
    from rkfetch.catalog.additions import from_lines
    from rkfetch.catalog.writer import Writer

    additions = from_lines(read_file_or_stdin(name), name=name)
    with Writer.open(catalog.path) as writer, writer.transaction():
        for addition in additions:
            writer.add(addition, own=False)
    return len(additions)
