"""One content is one build, however many repositories hold it: which places belong together.

What people say of any of its places is said of the content, and may contradict; what it is called
is said of the place alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rkfetch.registry.model import Availability, Place, settle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rkfetch.registry.model import Artifact, Evidence

    from .database import Catalog

_OF_THE_NAME = frozenset({"model", "params_b", "role"})
_BEST_FIRST = (
    Availability.LISTED,
    Availability.MANUAL,
    Availability.GONE,
    Availability.REJECTED,
    Availability.UNNAMED,
)


def usefulness(artifact: Artifact) -> tuple[object, ...]:
    """Sort key: the place of a content that is the best to take comes first."""
    return (
        _BEST_FIRST.index(artifact.availability),
        not artifact.is_local,
        artifact.gated,
        not artifact.curated,
        artifact.source != "huggingface",
    )


def contents(catalog: Catalog, artifacts: Sequence[Artifact]) -> list[Artifact]:
    """Return each content of these artifacts once, with every place that the catalog knows of it.

    They stay in the order of the first of each; one whose content is not known stays by itself.
    A file of a folder of this machine counts as it lies there now.
    """
    artifacts = [_now(a) for a in artifacts]
    groups: dict[str | int, list[Artifact]] = {}
    for number, artifact in enumerate(artifacts):
        groups.setdefault(artifact.sha256 or number, []).append(artifact)
    held = _held(catalog, artifacts)
    return [
        _joined(given[0], _best(given, others), [*given, *others])
        for given in groups.values()
        for others in [held.get(given[0].sha256, [])]
    ]


def together(artifacts: Iterable[Artifact]) -> list[Artifact]:
    """Return each content of these artifacts once, with those of its places that are among them.

    In the order of the first of each. Unlike `contents` it asks no catalog, so it tells of no
    place that was not given.
    """
    groups: dict[str | int, list[Artifact]] = {}
    for number, artifact in enumerate(artifacts):
        groups.setdefault(artifact.sha256 or number, []).append(artifact)
    return [_joined(group[0], min(group, key=usefulness), group) for group in groups.values()]


def _best(given: Sequence[Artifact], others: Sequence[Artifact]) -> Artifact:
    """Choose the place to take: one of those that were asked for, unless it cannot be had there."""
    asked, besides = min(given, key=usefulness), min(others, key=usefulness, default=given[0])
    ranks = [_BEST_FIRST.index(a.availability) for a in (asked, besides)]
    return besides if ranks[1] < ranks[0] else asked


def to_be_had(artifact: Artifact, at_hand: Callable[[Artifact], bool]) -> Artifact:
    """Return a build as it can be had: what is at hand needs nobody to fetch it."""
    if artifact.availability is Availability.MANUAL and at_hand(artifact):
        return replace(artifact, availability=Availability.LISTED, note=None)
    return artifact


def at_its_place(catalog: Catalog, artifact: Artifact) -> Artifact:
    """Return an artifact where it is, with what is known of its content's other places."""
    artifact = _now(artifact)
    held = _held(catalog, [artifact]).get(artifact.sha256, [])
    return _joined(artifact, artifact, [artifact, *held])


def _held(catalog: Catalog, artifacts: Iterable[Artifact]) -> dict[str | None, list[Artifact]]:
    """Return all places of those contents that lie in several, by digest."""
    digests = dict.fromkeys(a.sha256 for a in artifacts if a.sha256)
    held: dict[str | None, list[Artifact]] = {}
    for artifact in catalog.twins(list(digests)):
        held.setdefault(artifact.sha256, []).append(_now(artifact))
    return held


def _now(artifact: Artifact) -> Artifact:
    if not artifact.is_local:
        return artifact
    # Only who has scanned a folder pays for what knows about folders.
    from .sources.folder import at_hand

    return at_hand(artifact)


def _joined(named: Artifact, chosen: Artifact, places: Sequence[Artifact]) -> Artifact:
    """Join the places of one content; ``named`` says what it is called, ``chosen`` is where it is.

    What was found to be no model at one of its places is none at any.
    """
    distinct = list({_key(a): a for a in reversed(places)}.values())[::-1]
    if len(distinct) == 1:
        return chosen
    state = next((a for a in distinct if a.availability is Availability.REJECTED), chosen)
    others = sorted((a for a in distinct if _key(a) != _key(chosen)), key=usefulness)
    return replace(
        chosen,
        availability=state.availability,
        note=state.note,
        size_bytes=next((a.size_bytes for a in distinct if a.size_bytes is not None), None),
        curated=any(a.curated for a in distinct),
        attributes=settle(_evidence(named, [chosen, *others])),
        also=tuple(_place(a) for a in others),
    )


def _evidence(named: Artifact, places: Iterable[Artifact]) -> Iterable[Evidence]:
    of_the_name = [e for a in _OF_THE_NAME for e in named.attribute(a).evidence]
    of_the_content = [
        e
        for place in places
        for name, attribute in place.attributes.items()
        if name not in _OF_THE_NAME
        for e in attribute.evidence
    ]
    return dict.fromkeys([*of_the_name, *of_the_content])


def _key(artifact: Artifact) -> tuple[str, str, str]:
    return artifact.source, artifact.repo.casefold(), artifact.path


def _place(artifact: Artifact) -> Place:
    return Place(
        source=artifact.source,
        repo=artifact.repo,
        path=artifact.path,
        revision=artifact.revision,
        availability=artifact.availability,
        gated=artifact.gated,
    )
