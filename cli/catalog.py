"""``rkfetch search`` and ``catalog status|update|guess``: what is known."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rkfetch.registry.errors import OfflineError, UsageError
from rkfetch.registry.model import Availability, Platform, Quant

from . import options
from .answers import artifact_json, attributes_json
from .catalog_words import guess_lines, result_lines, status_lines, update_lines
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
    options.fixable(
        "platform",
        "--platform",
        metavar="SOC",
        help="Only builds for this SoC, or of an unknown one.",
    ),
]
SearchRuntimeOption = Annotated[
    str | None,
    options.fixable(
        "runtime",
        "--runtime",
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
    from rkfetch.registry.compat import Level
    from rkfetch.registry.judge import judge
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
        "notices": list(status.notices),
    }


BudgetOption = Annotated[
    str | None,
    options.fixable(
        "update_budget",
        "--budget",
        metavar="SIZE",
        help="Read at most so many bytes of headers, like 50M; the rest is left for the next "
        "update.",
    ),
]
WithinOption = Annotated[
    str | None,
    options.fixable(
        "update_within",
        "--within",
        metavar="TIME",
        help="Begin nothing new after so long, like 90s, 10m or 1h; the rest is left for the next "
        "update.",
    ),
]


def update_command(
    *,
    update_budget: BudgetOption = None,
    update_within: WithinOption = None,
    offline: options.OfflineOption = False,
    as_json: options.JsonOption = False,
    quiet: options.QuietOption = False,
) -> None:
    """Bring the catalog up to date with Hugging Face (or the mirror that HF_ENDPOINT names).

    Only repositories that changed are asked for, and only headers that nobody has read yet are
    read, some kilobytes each. Interrupted, the same command goes on where it was.

    \b
    Examples:
      rkfetch catalog update
      rkfetch catalog update --budget 20M --within 5m
    """
    from .amounts import parse_bytes, parse_seconds

    most_bytes = parse_bytes(update_budget) if update_budget else None
    most_s = parse_seconds(update_within) if update_within else None
    if offline:
        raise OfflineError(
            "the catalog was not updated: the network is switched off",
            cause=["--offline, or the setting `offline` (RKFETCH_OFFLINE, HF_HUB_OFFLINE)"],
            hint="`rkfetch catalog status` shows how old it is",
        )
    from rkfetch.catalog.reading import Allowance
    from rkfetch.catalog.sources.huggingface import HuggingFace
    from rkfetch.catalog.update import Observer, update
    from rkfetch.registry.courtesy import Courtesy
    from rkfetch.registry.http import Http
    from rkfetch.registry.hub import hub_token

    from .catalog_progress import Talk

    observer: Observer = Observer() if quiet else Talk()
    with (
        Http(token=hub_token(), offline=False, courtesy=Courtesy()) as http,
        HuggingFace(http, waiting=observer.waiting) as source,
    ):
        allowance = Allowance(most_bytes=most_bytes, most_s=most_s)
        report = update(source, http, observer=observer, allowance=allowance)
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
        "read_bytes": report.read_bytes,
        "unread": report.unread,
        "left": report.left,
        "left_repositories": report.left_repositories,
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
