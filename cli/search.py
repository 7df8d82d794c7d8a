"""``rkfetch search``: builds by words and filters, those that fit the board first."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rkfetch.registry.errors import RkfetchError, UsageError
from rkfetch.registry.model import Platform, Quant
from rkfetch.registry.versions import parse_version

from . import options
from .answers import artifact_json, attributes_json, memory_json, reason_json, target_json
from .opening import open_catalog
from .output import emit, emit_json, say
from .search_words import nothing_lines, remark_lines, result_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rkfetch.catalog.database import Catalog
    from rkfetch.catalog.near import Nothing
    from rkfetch.catalog.search import Hit, Query

_SORTS = "fit, name, size, new, downloads or speed"

PlatformOption = Annotated[
    str | None,
    options.fixable(
        "platform",
        "--platform",
        metavar="SOC",
        help="Only builds for this SoC, or of an unknown one. A SoC among the words does the same.",
    ),
]
RuntimeOption = Annotated[
    str | None,
    options.fixable(
        "runtime",
        "--runtime",
        metavar="X.Y.Z",
        help="Verdicts are for this runtime, and builds that it is known to refuse are left out.",
    ),
]
MemoryOption = Annotated[
    str | None,
    options.fixable(
        "memory",
        "--memory",
        metavar="SIZE",
        help="Only builds that a board with this memory can load, like 4G.",
    ),
]
ContextOption = Annotated[
    int | None,
    options.fixable(
        "context",
        "--context",
        metavar="TOKENS",
        min=1,
        help="Only builds with at least this context.",
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
ToolkitOption = Annotated[
    str | None,
    typer.Option(
        "--toolkit",
        metavar="RANGE",
        help="Only builds made by these toolkits: 1.2.3, or '>=1.2,<1.3' in quotes.",
    ),
]
SizeOption = Annotated[
    str | None,
    typer.Option(
        "--size", metavar="SIZE", help="Only files of at most this size, like 2G, or '>=1G,<2G'."
    ),
]
UploaderOption = Annotated[
    str | None, typer.Option("--uploader", metavar="NAME", help="Only what this account publishes.")
]
LicenceOption = Annotated[
    str | None,
    typer.Option(
        "--licence", "--license", metavar="NAME", help="Only this licence, like apache-2.0."
    ),
]
VisionOption = Annotated[
    bool | None,
    typer.Option(
        "--vision/--no-vision",
        help="Only models that see pictures, or only others.",
        show_default=False,
    ),
]
SortOption = Annotated[str, typer.Option("--sort", metavar="ORDER", help=f"{_SORTS.capitalize()}.")]
LimitOption = Annotated[
    int, typer.Option("--limit", "-n", metavar="N", min=1, help="Show at most so many builds.")
]
AllOption = Annotated[bool, typer.Option("--all", "-a", help="Show all builds that are found.")]


def search_command(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[WORD]...",
            help="Words of models, uploaders, files or facts, in any order; endings may be "
            "missing. Without any, the filters alone choose.",
            show_default=False,
        ),
    ] = None,
    *,
    platform: PlatformOption = None,
    runtime: RuntimeOption = None,
    memory: MemoryOption = None,
    context: ContextOption = None,
    quant: QuantOption = None,
    toolkit: ToolkitOption = None,
    size: SizeOption = None,
    uploader: UploaderOption = None,
    licence: LicenceOption = None,
    vision: VisionOption = None,
    sort: SortOption = "fit",
    limit: LimitOption = 20,
    show_all: AllOption = False,
    driver: options.DriverOption = None,
    sysroot: options.SysrootOption = "/",
    as_json: options.JsonOption = False,
) -> None:
    """Search for builds, those that fit your board first; no network is used.

    On a board, its SoC, runtime, driver and memory are detected: they decide the order and the
    verdicts, and leave nothing out. A filter leaves out what is known to differ; what is not known
    stays, and is shown as ?.

    \b
    Examples:
      rkfetch search qwen 1.5b w4a16
      rkfetch search rk3576 vision --memory 8G
      rkfetch search --platform rk3576 --memory 4G --sort downloads
      rkfetch search deepseek r1 --toolkit '>=1.2,<1.3' --size 2G
    """
    from rkfetch.catalog.search import search

    query = _query(
        words or [], platform=platform, runtime=runtime, memory=memory, context=context,
        quant=quant, toolkit=toolkit, size=size, uploader=uploader, licence=licence, vision=vision,
        sort=sort, driver=driver, sysroot=sysroot,
    )  # fmt: skip
    with open_catalog() as catalog:
        found = search(catalog, query, limit=None if show_all else limit, here=_digests_here())
        nothing = None if found.hits else _why_nothing(catalog, query)
    if as_json:
        emit_json(
            {
                **_query_json(query),
                "results": [_hit_json(hit) for hit in found.hits],
                "matches": found.matches,
                "nothing": nothing and _nothing_json(nothing),
                "did_you_mean": [s.text for s in nothing.suggestions] if nothing else [],
            }
        )
    elif nothing is not None:
        for line in nothing_lines(query, nothing):
            say(line)
    else:
        for line in remark_lines(query, found):
            say(line)
        for line in result_lines(found.hits, query.target, by_fit=query.sort == "fit"):
            emit(line)


def _digests_here() -> frozenset[str]:
    """Return the contents of the store that nothing is known against; only looks at them."""
    from rkfetch.registry.store import Store, home

    store = Store(home())
    # Without its disk a search finds what it found before.
    with suppress(RkfetchError):
        items = store.installed()
        return frozenset(i.record.sha256 for i in items if not store.is_changed(i))
    return frozenset()


def _why_nothing(catalog: Catalog, query: Query) -> Nothing:
    from rkfetch.catalog.near import why_nothing

    return why_nothing(catalog, query)


def _query(
    words: Sequence[str],
    *,
    platform: str | None,
    runtime: str | None,
    memory: str | None,
    context: int | None,
    quant: str | None,
    toolkit: str | None,
    size: str | None,
    uploader: str | None,
    licence: str | None,
    vision: bool | None,
    sort: str,
    driver: str | None,
    sysroot: str,
) -> Query:
    """Read what was typed.

    Raises:
        UsageError: something of it cannot be read, or there is nothing to search for.
    """
    from rkfetch.catalog.filters import Filters, Sizes, Toolkits
    from rkfetch.catalog.search import SORTS, Query
    from rkfetch.registry.target import parse_memory

    if sort not in SORTS:
        raise UsageError(f"there is no order '{sort}'", hint=f"--sort takes {_SORTS}")
    text, named = _without_platform(words)
    platform = platform or named
    filters = Filters(
        platform=Platform.parse(platform) if platform else None,
        quant=Quant.parse(quant) if quant else None,
        toolkit=Toolkits.parse(toolkit) if toolkit else None,
        runtime=parse_version(runtime, what="runtime") if runtime else None,
        context=context,
        memory_bytes=parse_memory(memory) if memory else None,
        size=Sizes.parse(size) if size else None,
        uploader=uploader or None,
        licence=licence or None,
        vision=vision,
    )
    if not text and not filters.given():
        raise UsageError(
            "there is nothing to search for",
            hint="give a word or a filter: `rkfetch search qwen`, `rkfetch search --platform "
            "rk3576 --memory 4G`; `rkfetch search --help` lists the filters",
        )
    target = options.make_target(
        platform=platform, runtime=runtime, driver=driver, memory=memory, context=context,
        sysroot=sysroot,
    )  # fmt: skip
    return Query(text=text, filters=filters, target=target, sort=sort)


def _without_platform(words: Sequence[str]) -> tuple[str, str | None]:
    """Take a SoC out of the words: it is a fact about builds, whatever their names say."""
    typed = [word for text in words for word in text.split()]
    chips = [word for word in typed if word.lower() in _CHIPS]
    if len({_CHIPS[word.lower()] for word in chips}) != 1:
        return " ".join(typed), None
    return " ".join(word for word in typed if word not in chips), chips[0]


_CHIPS = {**{p.value: p for p in Platform}, "rk3588s": Platform.RK3588}


# --- JSON ---------------------------------------------------------------------------------------


def _query_json(query: Query) -> dict[str, Any]:
    filters = query.filters
    return {
        "status": "ok",
        "query": query.text,
        "target": target_json(query.target),
        "filters": {
            "platform": filters.platform.value if filters.platform else None,
            "quant": str(filters.quant) if filters.quant else None,
            "toolkit": filters.toolkit.text if filters.toolkit else None,
            "runtime": str(filters.runtime) if filters.runtime else None,
            "context": filters.context,
            "memory_bytes": filters.memory_bytes,
            "size": filters.size.text if filters.size else None,
            "uploader": filters.uploader,
            "licence": filters.licence,
            "vision": filters.vision,
        },
        "sort": query.sort,
    }


def _hit_json(hit: Hit) -> dict[str, Any]:
    artifact, candidate = hit.artifact, hit.candidate
    return {
        **artifact_json(artifact),
        "model": artifact.model,
        "availability": artifact.availability.value,
        "curated": artifact.curated,
        "gated": artifact.gated,
        "here": hit.here,
        "updated": artifact.updated,
        "vision": hit.vision,
        "licence": hit.licence,
        "downloads": hit.downloads,
        "likes": hit.likes,
        "attributes": attributes_json(artifact),
        "verdict": {
            "level": candidate.verdict.level.value,
            "reasons": [reason_json(r) for r in candidate.verdict.reasons],
        },
        "memory": memory_json(candidate),
        "refused": reason_json(candidate.refusal) if candidate.refusal else None,
        "unknown": list(hit.unknown),
    }


def _nothing_json(nothing: Nothing) -> dict[str, Any]:
    return {
        "obstacles": [
            {"text": o.text, "filter": o.is_filter, "matches": o.matches} for o in nothing.obstacles
        ],
        "without_filters": nothing.together,
        "nearest": nothing.nearest and _hit_json(nothing.nearest),
    }
