"""``rkfetch search``, ``show`` and ``catalog status|update|guess``: what is known, and how."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rkfetch.registry.errors import OfflineError, UnknownModelError, UsageError
from rkfetch.registry.model import Availability, Platform, Quant

from . import options  # noqa: TC001 - typer reads the annotations
from .answers import artifact_json, attributes_json
from .catalog_words import artifact_lines, guess_lines, result_lines, status_lines, update_lines
from .opening import open_catalog
from .output import emit, emit_json, safe, say

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rkfetch.catalog.database import Catalog, CatalogStatus
    from rkfetch.catalog.naming import Guess
    from rkfetch.catalog.update import Report
    from rkfetch.registry.compat import Level
    from rkfetch.registry.model import Artifact
    from rkfetch.registry.versions import Version

LimitOption = Annotated[
    int, typer.Option("--limit", "-n", metavar="N", min=1, help="Show at most so many builds.")
]
SearchPlatformOption = Annotated[
    str | None,
    typer.Option(
        "--platform",
        envvar="RKFETCH_PLATFORM",
        metavar="SOC",
        help="Only builds for this SoC, or of an unknown one.",
    ),
]
SearchRuntimeOption = Annotated[
    str | None,
    typer.Option(
        "--runtime",
        envvar="RKFETCH_RUNTIME",
        metavar="X.Y.Z",
        help="Show verdicts for this runtime, and leave out builds that it is known to refuse.",
    ),
]
QuantOption = Annotated[
    str | None,
    typer.Option(
        "--quant",
        metavar="QUANT",
        help="Only this quantisation: w4a16 for any group size, w4a16_g128 for just that one.",
    ),
]


def search_command(
    words: Annotated[
        list[str],
        typer.Argument(metavar="TEXT...", help="Words of a model's, uploader's or file's name."),
    ],
    *,
    platform: SearchPlatformOption = None,
    quant: QuantOption = None,
    runtime: SearchRuntimeOption = None,
    limit: LimitOption = 30,
    as_json: options.JsonOption = False,
) -> None:
    """Search for builds by words; nothing is downloaded and no network is used.

    \b
    Examples:
      rkfetch search qwen3 --platform rk3576
      rkfetch search gemma 4b --quant w4a16 --runtime 1.2.3
    """
    from rkfetch.catalog.search import search
    from rkfetch.registry.versions import parse_version

    text = " ".join(words)
    soc = Platform.parse(platform) if platform else None
    wanted = Quant.parse(quant) if quant else None
    version = parse_version(runtime, what="runtime") if runtime else None
    with open_catalog() as catalog:
        found = search(catalog, text, platform=soc, quant=wanted)
        judged = list(_judged(found, version))
        near = [] if judged else _near(text, catalog)
    if as_json:
        results = [_result_json(artifact, level) for artifact, level in judged[:limit]]
        emit_json({"query": text, "results": results, "matches": len(judged), "did_you_mean": near})
        return
    for line in result_lines(judged[:limit]):
        emit(line)
    if len(judged) > limit:
        say(f"{len(judged) - limit} more; add words, or --limit {len(judged)}")
    if not judged:
        filters = [f for f in (platform, quant, runtime and f"runtime {runtime}") if f]
        among = f" among those for {', '.join(filters)}" if filters else ""
        say(f"no build in the catalog matches '{safe(text)}'{safe(among)}")
        if near:
            say(f"did you mean {', '.join(near)}?")


def _judged(
    artifacts: Iterable[Artifact], runtime: Version | None
) -> Iterator[tuple[Artifact, Level | None]]:
    """Pair builds with what a runtime makes of them; those that it refuses are left out."""
    if runtime is None:
        yield from ((artifact, None) for artifact in artifacts)
        return
    from rkfetch.registry.compat import Level, judge
    from rkfetch.registry.model import Target

    for artifact in artifacts:
        target = Target(platform=artifact.platform or Platform.RK3576, runtime=runtime)
        level = judge(artifact, target).level
        if level is not Level.INCOMPATIBLE:
            yield artifact, level


def _near(text: str, catalog: Catalog) -> list[str]:
    from rkfetch.catalog.models import suggest

    return list(suggest(text, catalog.models()))


def _result_json(artifact: Artifact, level: Level | None) -> dict[str, Any]:
    return {
        **artifact_json(artifact),
        "model": artifact.model,
        "availability": artifact.availability.value,
        "attributes": attributes_json(artifact),
        "verdict": level.value if level else None,
    }


def show_command(
    reference: Annotated[
        str, typer.Argument(metavar="MODEL", help="A model, or one file: hf:OWNER/REPO/PATH.rkllm")
    ],
    *,
    as_json: options.JsonOption = False,
) -> None:
    """Show everything that is known about a model's builds, and where each fact was seen.

    Where sources contradict each other, all of them are shown, the strongest first.

    \b
    Examples:
      rkfetch show qwen3-1.7b
      rkfetch show hf:OWNER/REPO/RK3576/FILE.rkllm
    """
    with open_catalog() as catalog:
        artifacts = _referred(catalog, reference)
        shown = [(artifact, catalog.companions(artifact)) for artifact in artifacts]
    if as_json:
        emit_json(
            {
                "reference": reference,
                "artifacts": [
                    {**_evidence_json(a), "companions": [_companion_json(c) for c in companions]}
                    for a, companions in shown
                ],
            }
        )
        return
    for number, (artifact, companions) in enumerate(shown):
        if number:
            emit("")
        for line in artifact_lines(artifact, companions):
            emit(line)


def _referred(catalog: Catalog, text: str) -> Sequence[Artifact]:
    """Return what a reference means in the catalog.

    Raises:
        UsageError: it is no reference.
        UnknownModelError: the catalog has nothing of that name.
    """
    from rkfetch.catalog.models import match, parse_reference

    reference = parse_reference(text)
    if reference.file is not None:
        found = catalog.artifact(reference.file.source, reference.file.repo, reference.file.path)
        if found is None:
            raise UnknownModelError(
                f"the catalog has no {text}",
                hint="`rkfetch search WORD` looks for names; `rkfetch catalog update` for uploads",
            )
        return [found]
    artifacts = catalog.candidates(match(text, catalog.models()))
    if not artifacts:
        near = _near(text, catalog)
        raise UnknownModelError(
            f"no build of '{text}' is known",
            hint=f"did you mean {', '.join(near)}?" if near else "`rkfetch search WORD`",
        )
    return artifacts


def _evidence_json(artifact: Artifact) -> dict[str, Any]:
    return {
        **artifact_json(artifact),
        "availability": artifact.availability.value,
        "note": artifact.note,
        "curated": artifact.curated,
        "gated": artifact.gated,
        "updated": artifact.updated,
        "attributes": {
            name: {
                "value": attribute.value,
                "disputed": attribute.disputed,
                "evidence": [
                    {
                        "value": e.value,
                        "origin": e.origin.value,
                        "place": e.place,
                        "seen": e.seen,
                        "publisher": e.publisher,
                    }
                    for e in attribute.evidence
                ],
            }
            for name, attribute in artifact.attributes.items()
        },
    }


def _companion_json(companion: Any) -> dict[str, Any]:
    return {
        "role": companion.role,
        "repo": companion.repo,
        "path": companion.path,
        "bytes": companion.size_bytes,
        "sha256": companion.sha256,
    }


def status_command(*, as_json: options.JsonOption = False) -> None:
    """Show what the catalog holds, where it came from and how old it is."""
    with open_catalog(quiet=True) as catalog:
        status = catalog.status()
    if as_json:
        emit_json(_status_json(status))
        return
    for line in status_lines(status):
        emit(line)


def _status_json(status: CatalogStatus) -> dict[str, Any]:
    return {
        "path": str(status.path),
        "read_only": status.read_only,
        "schema": status.schema,
        "snapshot": status.snapshot,
        "models": status.models,
        "artifacts": status.artifacts,
        "evidence": status.evidence,
        "probed": status.probed,
        "sources": [
            {
                "source": source.source,
                "artifacts": {state.value: source.rows.get(state, 0) for state in Availability},
                "repositories": source.repositories,
                "updated": source.updated,
            }
            for source in status.sources
        ],
        "publications": [
            {
                "from": p.address,
                "name": p.name,
                "key": p.key,
                "serial": p.serial,
                "date": p.date,
                "expires": p.expires,
                "taken": p.taken,
                "artifacts": p.builds,
            }
            for p in status.publications
        ],
        "notices": list(status.notices),
    }


def update_command(
    *,
    published: Annotated[
        str | None,
        typer.Option(
            "--from",
            envvar="RKFETCH_CATALOG_FROM",
            metavar="PLACE",
            help="Take in the catalog that somebody published at https://HOST/PATH, at "
            "hf:OWNER/NAME or in a folder, instead of asking every repository.",
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            "--key",
            envvar="RKFETCH_CATALOG_KEY",
            metavar="PUBKEY",
            help="The publisher's key (RW…, or its file). Needed once for each place.",
        ),
    ] = None,
    allow_unsigned: Annotated[
        bool,
        typer.Option("--allow-unsigned", help="Take in what nobody has signed."),
    ] = False,
    forget: Annotated[
        bool,
        typer.Option("--forget", help="Drop what was taken in from that place, and its key."),
    ] = False,
    offline: options.OfflineOption = False,
    as_json: options.JsonOption = False,
    quiet: options.QuietOption = False,
) -> None:
    """Bring the catalog up to date: from Hugging Face, or with --from from a published catalog.

    Only repositories that changed are asked for (at the mirror that HF_ENDPOINT names, if it is
    set), and only headers that nobody has read yet are read, some kilobytes each. Of a published
    catalog, only what changed is fetched, and its signature is checked. Interrupted, the same
    command goes on where it was.

    \b
    Examples:
      rkfetch catalog update
      rkfetch catalog update --from https://example.org/catalog --key RW…
      rkfetch catalog update --from /media/usb/catalog
    """
    if published is not None:
        from .catalog_publish import update_from

        update_from(
            published,
            key=key,
            allow_unsigned=allow_unsigned,
            forget=forget,
            offline=offline,
            as_json=as_json,
            quiet=quiet,
        )
        return
    if key is not None or allow_unsigned or forget:
        raise UsageError(
            "--key, --allow-unsigned and --forget need --from",
            hint="`rkfetch catalog status` lists what was taken in",
        )
    if offline:
        raise OfflineError(
            "the catalog was not updated: the network is switched off",
            cause=["--offline, RKFETCH_OFFLINE or HF_HUB_OFFLINE is set"],
            hint="`rkfetch catalog status` shows how old it is",
        )
    from rkfetch.catalog.sources.huggingface import HuggingFace
    from rkfetch.catalog.update import Observer, update
    from rkfetch.registry.http import Http
    from rkfetch.registry.hub import hub_token

    from .catalog_progress import Talk

    observer: Observer = Observer() if quiet else Talk()
    with (
        Http(token=hub_token()) as http,
        HuggingFace(http, waiting=observer.waiting) as source,
    ):
        report = update(source, http, observer=observer)
    if as_json:
        emit_json({"status": "ok", **_report_json(report)})
    elif not quiet:
        for line in update_lines(report):
            say(line)


def _report_json(report: Report) -> dict[str, Any]:
    return {
        "source": report.source,
        "listed": report.listed,
        "unchanged": report.unchanged,
        "changed": report.changed,
        "gone": report.gone,
        "builds": report.builds,
        "probed": report.probed,
        "unread": report.unread,
        "skipped": [{"what": what, "why": why} for what, why in report.skipped],
    }


def guess_command(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[REPO PATH]...",
            help="A repository and a path in it, or several such pairs. Without any, lines of "
            "REPO<TAB>PATH are read from standard input.",
            show_default=False,
        ),
    ] = None,
    *,
    as_json: options.JsonOption = False,
) -> None:
    """Tell from names alone what a build is; no catalog and no network is used.

    With --json, one object a line; what the names do not tell is null.

    \b
    Examples:
      rkfetch catalog guess c01zaut/gemma-2-2b-it-RK3588-1.1.4 gemma-2-2b-it-rk3588-w8a8.rkllm
      rkfetch catalog guess --json < names.tsv
    """
    from rkfetch.catalog.naming import guess

    for repo, path in _named(names) if names else _lines():
        found = guess(repo, path)
        if as_json:
            emit(json.dumps(_guess_json(repo, path, found)))
        else:
            for line in guess_lines(repo, path, found):
                emit(line)


def _named(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    if len(names) % 2:
        raise UsageError(
            "a repository and a path are needed for each guess",
            hint="rkfetch catalog guess OWNER/REPO FILE.rkllm",
        )
    yield from zip(names[::2], names[1::2], strict=True)


def _lines() -> Iterator[tuple[str, str]]:
    for number, line in enumerate(sys.stdin or (), start=1):
        repo, tab, path = line.rstrip("\r\n").partition("\t")
        if " " in repo and not tab:
            say(f"line {number} has no tab, and is taken for a repository: {safe(repo)}")
        if repo or path:
            yield repo, path


def _guess_json(repo: str, path: str, found: Guess) -> dict[str, Any]:
    return {
        "repo": repo,
        "path": path,
        "model": found.model,
        "params_b": found.params_b,
        "platform": found.platform.value if found.platform else None,
        "quant": str(found.quant) if found.quant else None,
        "toolkit": str(found.toolkit) if found.toolkit else None,
        "context": found.context,
        "npu_cores": found.npu_cores,
        "opt_level": found.opt_level,
        "hybrid_ratio": found.hybrid_ratio,
    }
