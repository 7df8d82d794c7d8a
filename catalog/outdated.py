"""Is an installed file still the one to use? Compared with the catalog, and for a target.

Nobody is told to change the quantisation that was chosen, or a build for one that is as good:
another build is better only if its verdict on the target is, or its context is longer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Literal

from rkfetch.registry.compat import Level
from rkfetch.registry.model import Artifact, Availability, Evidence, Origin, with_evidence
from rkfetch.registry.resolve import resolve

from . import border
from .candidates import candidates
from .measured import measured_memory
from .models import SCHEMES, exactly, match
from .naming import recorded_model
from .places import contents

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from rkfetch.registry.model import Target
    from rkfetch.registry.record import Record
    from rkfetch.registry.resolve import Candidate, Policy

    from .database import Catalog

Upstream = Literal["same", "replaced", "gone", "unknown"]


class State(str, Enum):
    """What there is to know about an installed file."""

    UNUSABLE = "unusable"
    """The target does not run it."""
    REPLACED = "replaced"
    """There is other content at its place upstream."""
    BETTER = "better"
    """Another build of the model suits the target better."""
    GONE = "gone"
    """It cannot be fetched again from where it came from."""
    CURRENT = "current"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found out about one installed file."""

    state: State
    upstream: Upstream
    text: str
    """One sentence for people."""
    own: Candidate | None = None
    """The file, judged on the target; None if nothing could be judged."""
    other: Candidate | None = None
    """The build to use instead."""
    update: str | None = None
    """The reference to fetch; None if there is nothing to fetch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the catalog holds about an installed file."""

    here: Artifact | None
    """What is at the file's place now."""
    own: Artifact
    """The file itself."""
    was_there: bool
    """Its content was seen at that place."""
    builds: Sequence[Artifact]
    """All builds of its model."""


def outdated(
    catalog: Catalog,
    records: Sequence[Record],
    target: Target | None,
    *,
    policy: Policy,
    installed: Collection[str],
) -> list[Finding]:
    """Judge installed files by the catalog alone; without a target only what became of them.

    ``installed`` are the digests of everything that is here.
    """
    models = catalog.models()
    return [
        compare(
            record,
            _look_up(catalog, record, models, target),
            target,
            policy=policy,
            installed=installed,
        )
        for record in records
    ]


def _look_up(
    catalog: Catalog, record: Record, models: Sequence[str], target: Target | None
) -> Known:
    place = (record.source, record.repo, record.path)
    rows = [a for a in catalog.by_sha256(record.sha256) if _place(a) == place]
    own = with_evidence(
        replace(rows[0], availability=Availability.LISTED, note=None) if rows else _bare(record),
        _recorded(record),
    )
    name = own.model or recorded_model(record)
    return Known(
        here=catalog.artifact(*place),
        own=own,
        was_there=bool(rows),
        builds=_builds(catalog, match(name, models), target) if name else (),
    )


def _builds(catalog: Catalog, models: Sequence[str], target: Target | None) -> Sequence[Artifact]:
    """Return the builds of these models as they can be had now."""
    if target is None:
        return ()
    return contents(catalog, candidates(catalog, models, target).artifacts)


def _bare(record: Record) -> Artifact:
    return Artifact(
        source=record.source,
        repo=record.repo,
        path=record.path,
        revision=record.revision,
        size_bytes=record.size_bytes,
        sha256=record.sha256,
    )


def _recorded(record: Record) -> list[Evidence]:
    """Return a record's attributes as evidence, without what nobody can have meant."""
    said = {name: (a.get("value"), a.get("origin")) for name, a in record.attributes.items()}
    name = recorded_model(record)
    if name is not None:
        said.setdefault("model", (name, Origin.FILE_NAME.value))
    evidence = []
    for attribute, (value, origin) in said.items():
        if value is None or origin not in {o.value for o in Origin}:
            continue
        item = border.observation(
            Evidence(attribute=attribute, value=value, origin=Origin(origin), place="record")
        )
        if item is not None:
            evidence.append(item)
    return evidence


def compare(
    record: Record,
    known: Known,
    target: Target | None,
    *,
    policy: Policy,
    installed: Collection[str],
) -> Finding:
    """Judge one installed file by what is known; a pure function."""
    upstream = _upstream(record, known)
    if target is None or known.own.path.endswith(".rknn"):
        return _by_place(known, upstream, None, None)
    (own,) = _judged([known.own], target, policy)
    others = _judged([a for a in known.builds if a.sha256 != record.sha256], target, policy)
    usable = [c for c in others if c.refusal is None]
    best = _best(own, usable)
    if own.refusal is not None and own.refusal.level is Level.INCOMPATIBLE:
        text = "this board does not run it"
        return _instead(
            best, own, state=State.UNUSABLE, upstream=upstream, text=text, installed=installed
        )
    there = _at(known.here, others)
    follow = upstream == "replaced" and (there is None or there.refusal is None)
    if follow or best is None:
        return _by_place(known, upstream, own, there)
    if best.artifact.sha256 in installed and _level(best) == _level(own):
        return _by_place(known, upstream, own, there)
    text = f"another build suits this board better: {_why(best, own)}"
    return _instead(
        best, own, state=State.BETTER, upstream=upstream, text=text, installed=installed
    )


def _judged(artifacts: Sequence[Artifact], target: Target, policy: Policy) -> list[Candidate]:
    resolution = resolve(artifacts, target, policy=policy, measured=measured_memory)
    return [*resolution.ranked, *resolution.refused]


def _upstream(record: Record, known: Known) -> Upstream:
    here = known.here
    if here is None:
        return "unknown"
    if here.availability is Availability.GONE:
        return "gone"
    if here.sha256 == record.sha256:
        return "same"
    # A catalog that is older than the file knows nothing of its being replaced.
    newer = (here.updated or "")[:19] > record.fetched_at[:19]
    return "replaced" if here.sha256 is not None and (known.was_there or newer) else "unknown"


def _by_place(
    known: Known, upstream: Upstream, own: Candidate | None, there: Candidate | None
) -> Finding:
    """Say what became of a file upstream, where nothing else speaks against it."""
    if upstream == "gone":
        text = "it is gone upstream and could not be fetched again: keep it"
        return Finding(state=State.GONE, upstream=upstream, text=text, own=own)
    if upstream == "replaced" and known.here is not None:
        if there is not None and there.refusal is not None:
            text = "it was replaced upstream, by what is not to be used here: keep it"
            return Finding(state=State.REPLACED, upstream=upstream, text=text, own=own, other=there)
        return Finding(
            state=State.REPLACED,
            upstream=upstream,
            text="there is other content at its place upstream",
            own=own,
            other=there,
            update=_address(known.here),
        )
    text = "it is what is upstream" if upstream == "same" else "nothing newer is known"
    return Finding(state=State.CURRENT, upstream=upstream, text=text, own=own)


def _instead(
    best: Candidate | None,
    own: Candidate,
    *,
    state: State,
    upstream: Upstream,
    text: str,
    installed: Collection[str],
) -> Finding:
    update = _address(best.artifact) if best is not None else None
    if best is None:
        text += "; and no other build that would do is known"
    elif best.artifact.sha256 in installed:
        text, update = f"{text} (that one is here already)", None
    return Finding(state=state, upstream=upstream, text=text, own=own, other=best, update=update)


def _best(own: Candidate, usable: Sequence[Candidate]) -> Candidate | None:
    """Return the build to use instead: of the same quantisation if there is one that is better."""
    quant = own.artifact.quant
    families = {c.artifact.quant.family for c in (own, *usable) if c.artifact.quant}
    wanted = {quant.family} if quant is not None else families
    same = [c for c in usable if c.artifact.quant and c.artifact.quant.family in wanted]
    chosen = next((c for c in same if _is_better(c, own)), None)
    return chosen or next((c for c in usable if _level(c) < _level(own)), None)


def _is_better(candidate: Candidate, own: Candidate) -> bool:
    if _level(candidate) != _level(own):
        return _level(candidate) < _level(own)
    return (candidate.artifact.context or 0) > (own.artifact.context or 1 << 62)


def _level(candidate: Candidate) -> int:
    """Return the rank of a verdict; what is refused for another reason stands behind all others."""
    refused = candidate.refusal is not None and candidate.refusal.level is Level.INCOMPATIBLE
    return Level.INCOMPATIBLE.rank if refused else candidate.verdict.level.rank


def _why(best: Candidate, own: Candidate) -> str:
    if _level(best) < _level(own):
        return f"{best.verdict.level.value} instead of {own.verdict.level.value}"
    return f"a context of {best.artifact.context} instead of {own.artifact.context}"


def _at(here: Artifact | None, candidates: Sequence[Candidate]) -> Candidate | None:
    return next((c for c in candidates if here and _place(c.artifact) == _place(here)), None)


def _place(artifact: Artifact) -> tuple[str, str, str]:
    return artifact.source, artifact.repo, artifact.path


def _address(artifact: Artifact) -> str | None:
    return exactly(artifact.source, artifact.name) if artifact.source in SCHEMES else None
