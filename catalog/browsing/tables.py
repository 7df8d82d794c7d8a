"""What a page shows of the catalog, as small tables of plain values.

A table for each SoC has its builds column by column, because a browser unpacks that fastest and a
phone is sent the least. The evidence of each build lies in further files, which are read only when
somebody asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from rkfetch.catalog.conflicts import COMPARED
from rkfetch.catalog.measured import measured_memory
from rkfetch.catalog.models import exactly, hub_id
from rkfetch.catalog.places import together
from rkfetch.registry.model import ATTRIBUTES, Availability, Platform, Target
from rkfetch.registry.resolve import NO_MODELS, memory_need

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
_GATED, _MANUAL, _CONFLICT, _VISION, _CURATED = 1, 2, 4, 8, 16


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


def tables(builds: Iterable[Build], runtimes: Sequence[Version]) -> list[Table]:
    """Return a table for each SoC, in the order of `Platform`, and one of builds without a SoC."""
    sorted_out: dict[Platform | None, list[Build]] = {p: [] for p in (*Platform, None)}
    for build in _each_once(builds):
        artifact = build.artifact
        if artifact.availability in SHOWN and artifact.path and artifact.role not in NO_MODELS:
            sorted_out[artifact.platform].append(build)
    return [
        _table(platform, sorted(found, key=_order), runtimes)
        for platform, found in sorted_out.items()
        if found or platform is not None
    ]


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
    platform: Platform | None, builds: Sequence[Build], runtimes: Sequence[Version]
) -> Table:
    judged = platform or Platform.RK3576
    verdicts = Verdicts(judged, runtimes)
    models, repositories = Interned(), Interned()
    quants, toolkits = Interned(), Interned()
    columns: dict[str, list[Any]] = {name: [] for name in "mrpqtcsnkvfax"}
    for build in builds:
        artifact = build.artifact
        need = memory_need(artifact, Target(platform=judged), measured_memory)
        row = {
            "m": _model(models, artifact),
            "r": _repository(repositories, build),
            "p": artifact.path,
            "q": quants.number(_told(artifact.attribute("quant"))),
            "t": toolkits.number(_told(artifact.attribute("toolkit"))),
            "c": artifact.context,
            "s": artifact.size_bytes,
            "n": None if need is None else need.size_bytes,
            "k": int(need is not None and need.measured),
            "v": None if need is None or not need.measured else need.tokens_per_s,
            "f": verdicts.profile(artifact),
            "a": _flags(build),
            "x": (artifact.updated or "")[:10],
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
    name = artifact.model or ""
    return models.number(name, [name, hub_id(name) if name else None, artifact.params_b])


def _repository(repositories: Interned, build: Build) -> int:
    artifact, listed = build.artifact, build.repository
    facts = (listed.license, listed.downloads) if listed else (None, None)
    key = (artifact.source, artifact.repo)
    return repositories.number(key, [*key, page_of(artifact.source, artifact.repo), *facts])


def _told(attribute: Attribute) -> str:
    """Return a value as people read it; where sources disagree, all that they say."""
    return " / ".join(attribute.contenders)


def _flags(build: Build) -> int:
    artifact = build.artifact
    said = {
        _GATED: artifact.gated,
        _MANUAL: artifact.availability is Availability.MANUAL,
        _CONFLICT: any(_is_told_in_two_ways(artifact.attribute(name)) for name in COMPARED),
        _VISION: any(c.role == "vision" for c in build.companions),
        _CURATED: artifact.curated,
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
        "reference": exactly(artifact.source, artifact.name),
        "sha256": artifact.sha256,
        "revision": artifact.revision,
        "note": artifact.note,
        "also": [[p.source, p.repo, p.path, page_of(p.source, p.repo)] for p in artifact.also],
        "companions": [[c.role, c.path, c.size_bytes] for c in build.companions],
        "attributes": {
            name: [
                [e.value, e.origin.value, e.place, (e.seen or "")[:10], e.publisher]
                for e in artifact.attribute(name).evidence
            ]
            for name in ATTRIBUTES
            if artifact.attribute(name).evidence
        },
    }
