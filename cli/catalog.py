"""``rkfetch search`` and ``catalog status|guess``: what is known."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rkfetch.registry.errors import UsageError
from rkfetch.registry.model import Availability, Platform, Quant

from . import options
from .answers import artifact_json, attributes_json
from .catalog_words import guess_lines, result_lines, status_lines
from .opening import open_catalog
from .output import emit, emit_json, safe, say

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rkfetch.catalog.database import Catalog, CatalogStatus
    from rkfetch.catalog.naming import Guess
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
        results = [result_json(artifact, level) for artifact, level in judged[:limit]]
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


def result_json(artifact: Artifact, level: Level | None) -> dict[str, Any]:
    """Return one build that was found."""
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
