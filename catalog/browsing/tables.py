"""What a page shows of the catalog, as small tables of plain values.

A table for each SoC has its builds column by column, because a browser unpacks that fastest and a
phone is sent the least. The evidence of each build lies in further files, which are read only when
somebody asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from rkfetch.catalog.border import HIDDEN
from rkfetch.catalog.conflicts import COMPARED
from rkfetch.catalog.measured import measured_memory, series
from rkfetch.catalog.models import SCHEMES, hub_id
from rkfetch.catalog.places import together
from rkfetch.registry.model import ATTRIBUTES, Availability, Platform, Target
from rkfetch.registry.resolve import NO_MODELS, memory_need, standing

from .verdicts import Interned, Verdicts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rkfetch.catalog.entries import Companion, Repository
    from rkfetch.registry.model import Artifact, Attribute
    from rkfetch.registry.versions import Version

UNKNOWN = "unknown"
"""The table of builds whose SoC nobody tells."""
SHOWN = (Availability.LISTED, Availability.MANUAL)
"""What somebody can get; the others are no answer to what a board can run."""
BUILDS_A_FILE = 150
"""Builds whose evidence is read together."""
_GATED, _MANUAL, _CONFLICT, _VISION = 1, 2, 4, 8


class Build(NamedTuple):
    """A build with what is known around it."""

    artifact: Artifact
    repository: Repository | None = None
    companions: Sequence[Companion] = ()


class Table(NamedTuple):
    """The builds for one SoC, as a page reads them."""

    platform: str
    builds: int
    content: Mapping[str, Any]
    evidence: Sequence[Sequence[Mapping[str, Any]]]
    """Of each `BUILDS_A_FILE` builds, in their order."""


def tables(
    builds: Iterable[Build], runtimes: Sequence[Version], board: Target | None = None
) -> list[Table]:
    """Return a table for each SoC, in the order of `Platform`, and one of builds without a SoC.

    Builds for the SoC of ``board`` are judged with its NPU driver, too; no other board has that.
    """
    sorted_out: dict[Platform | None, list[Build]] = {p: [] for p in (*Platform, None)}
    for build in _each_once(builds):
        artifact = build.artifact
        if artifact.role not in NO_MODELS and artifact.availability in SHOWN and _has_a_name(build):
            sorted_out[artifact.platform].append(build)
    return [
        _table(
            platform,
            sorted(found, key=_order),
            runtimes,
            driver=board.driver if board is not None and board.platform is platform else None,
        )
        for platform, found in sorted_out.items()
        if found or platform is not None
    ]


def _has_a_name(build: Build) -> bool:
    """Tell whether a person can read where a build lies, and nothing in there deceives the eye."""
    artifact = build.artifact
    return bool(artifact.path) and not HIDDEN.search(artifact.name)


def _each_once(builds: Iterable[Build]) -> list[Build]:
    """Return each content once, at the best of its places, with the others as ``also``."""
    at = {_place(build.artifact): build for build in builds}
    return [
        at[_place(artifact)]._replace(artifact=artifact)
        for artifact in together(build.artifact for build in at.values())
    ]


def _place(artifact: Artifact) -> tuple[str | None, ...]:
    return artifact.source, artifact.repo, artifact.path, artifact.sha256


def _order(build: Build) -> tuple[object, ...]:
    artifact = build.artifact
    return (
        (artifact.model or "\U0010ffff").casefold(),
        artifact.repo.casefold(),
        artifact.path.casefold(),
        artifact.sha256 or "",
    )


def _table(
    platform: Platform | None,
    builds: Sequence[Build],
    runtimes: Sequence[Version],
    *,
    driver: Version | None,
) -> Table:
    judged = platform or Platform.RK3576
    verdicts = Verdicts(judged, runtimes, driver)
    models, repositories = Interned(), Interned()
    quants, toolkits = Interned(), Interned()
    columns: dict[str, list[Any]] = {name: [] for name in "mrpqtcsnkvfaxo"}
    places = sorted(range(len(builds)), key=lambda n: standing(builds[n].artifact, judged))
    order = {number: place for place, number in enumerate(places)}
    measured = measured_memory if platform is not None else None
    for number, build in enumerate(builds):
        artifact = build.artifact
        need = memory_need(artifact, Target(platform=judged), measured)
        row = {
            "m": _model(models, artifact),
            "r": _repository(repositories, build),
            "p": artifact.path,
            "q": quants.number(_told(artifact.attribute("quant"))),
            "t": toolkits.number(_toolkit(artifact.attribute("toolkit"))),
            "c": artifact.context,
            "s": artifact.size_bytes,
            "n": None if need is None else need.size_bytes,
            "k": int(need is not None and need.measured),
            "v": None if need is None or not need.measured else need.tokens_per_s,
            "f": verdicts.profile(artifact),
            "a": _flags(build),
            "x": (artifact.updated or "")[:10],
            "o": order[number],
        }
        for name, value in row.items():
            columns[name].append(value)
    content = {
        "models": models.values,
        "repositories": repositories.values,
        "quants": quants.values,
        "toolkits": toolkits.values,
        "builds": columns,
        **verdicts.as_json(),
    }
    evidence = [evidence_of(build) for build in builds]
    name = UNKNOWN if platform is None else platform.value
    parts = [evidence[n : n + BUILDS_A_FILE] for n in range(0, len(evidence), BUILDS_A_FILE)]
    return Table(name, len(builds), content, parts)


def _model(models: Interned, artifact: Artifact) -> int:
    name = shown(artifact.model or "")
    return models.number(name, [name, hub_id(name) if name else None, series(name)])


def _repository(repositories: Interned, build: Build) -> int:
    artifact, listed = build.artifact, build.repository
    facts = (shown(listed.license or ""), listed.downloads) if listed else ("", None)
    key = (artifact.source, artifact.repo)
    row = [SCHEMES.get(key[0], key[0]), key[1], page_of(*key), *facts]
    return repositories.number(key, row)


def _told(attribute: Attribute) -> str:
    """Return a value as people read it; where sources disagree, all that they say."""
    return shown(" / ".join(attribute.contenders))


def _toolkit(attribute: Attribute) -> str:
    """Return a version as people read it, with a ~ where a name alone tells it, as in a search."""
    told = _told(attribute)
    return f"~{told}" if told and attribute.told_by_name else told


def shown(text: str) -> str:
    """Return text without characters that nobody sees, or that turn others round."""
    return HIDDEN.sub("\ufffd", text)


def _flags(build: Build) -> int:
    artifact = build.artifact
    said = {
        _GATED: artifact.gated,
        _MANUAL: artifact.availability is Availability.MANUAL,
        _CONFLICT: any(_is_told_in_two_ways(artifact.attribute(name)) for name in COMPARED),
        _VISION: any(c.role == "vision" for c in build.companions),
    }
    return sum(flag for flag, is_so in said.items() if is_so)


def _is_told_in_two_ways(attribute: Attribute) -> bool:
    return attribute.disputed or bool(attribute.overruled)


_PAGES = {
    "huggingface": "https://huggingface.co/{}",
    "modelscope": "https://www.modelscope.cn/models/{}",
    "github": "https://github.com/{}",
}


def page_of(source: str, repo: str) -> str | None:
    """Return where a person looks at a repository; None if there is no such page."""
    page = _PAGES.get(source)
    return page.format(repo) if page else None


def evidence_of(build: Build) -> dict[str, Any]:
    """Return everything that is known of a build, for whoever asks how."""
    artifact = build.artifact
    return {
        "sha256": artifact.sha256,
        "revision": artifact.revision,
        "note": artifact.note and shown(artifact.note),
        "also": [
            [p.source, shown(p.repo), shown(p.path), page_of(p.source, p.repo)]
            for p in artifact.also
        ],
        "companions": [[c.role, shown(c.path), c.size_bytes] for c in build.companions],
        "attributes": {
            name: _observations(artifact.attribute(name))
            for name in ATTRIBUTES
            if artifact.attribute(name).evidence
        },
    }


def _observations(attribute: Attribute) -> list[list[str | None]]:
    """Return who says what of an attribute, and what weight that has."""
    contenders = attribute.contenders
    weight = "disputed" if attribute.disputed else "counts"
    return [
        [
            shown(e.value),
            e.origin.value,
            shown(e.place),
            (e.seen or "")[:10],
            e.publisher and shown(e.publisher),
            weight if e.value in contenders else "overruled",
        ]
        for e in attribute.evidence
    ]
