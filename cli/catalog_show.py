"""``rkfetch show``: everything that is known of a model's builds, and how each fact is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from rkfetch.catalog.models import exactly
from rkfetch.registry.errors import UnknownModelError
from rkfetch.registry.model import ATTRIBUTES

from . import options  # noqa: TC001 - typer reads the annotations
from .answers import artifact_json, source_prefix
from .catalog_words import STATES
from .opening import open_catalog
from .output import emit, emit_json, human_bytes, paint, safe, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rkfetch.catalog.database import Catalog
    from rkfetch.catalog.entries import Companion, Repository
    from rkfetch.registry.model import Artifact, Attribute, Evidence
    from rkfetch.registry.sightings import Sighting


def show_command(
    reference: Annotated[
        str, typer.Argument(metavar="MODEL", help="A model, or one file: hf:OWNER/REPO/PATH.rkllm")
    ],
    *,
    as_json: options.JsonOption = False,
) -> None:
    """Show everything that is known about a model's builds, and where each fact was seen.

    Each attribute comes with its value, how sure that is (high, medium, low), and every observation
    of it, strongest first: its value, what kind it is, the day, and the number of the place where
    it can be looked up. What stronger evidence overrules stays, marked with !. A content that lies
    in several repositories is shown once.

    \b
    Examples:
      rkfetch show qwen3-1.7b
      rkfetch show hf:OWNER/REPO/RK3576/FILE.rkllm
    """
    with open_catalog() as catalog:
        artifacts = _referred(catalog, reference)
        shown = [(a, catalog.companions(a), catalog.listed(a.source, a.repo)) for a in artifacts]
    if as_json:
        builds = [_json(*build) for build in shown]
        emit_json({"reference": reference, "artifacts": builds})
        return
    for number, build in enumerate(shown):
        if number:
            emit("")
        for line in _lines(*build):
            emit(line)


def _referred(catalog: Catalog, text: str) -> Sequence[Artifact]:
    """Return what a reference means in the catalog, each content once.

    Raises:
        UsageError: it is no reference.
        UnknownModelError: the catalog has nothing of that name.
    """
    from rkfetch.catalog.answer import row_of
    from rkfetch.catalog.models import match, parse_reference, suggest
    from rkfetch.catalog.places import at_its_place, contents

    file = parse_reference(text).file
    if file is not None:
        found = row_of(catalog, file)
        if found is None:
            raise UnknownModelError(
                f"the catalog has no {text}",
                hint="`rkfetch search WORD` looks for names; `rkfetch catalog update` for uploads",
            )
        return [at_its_place(catalog, found)]
    models = catalog.models()
    artifacts = catalog.candidates(match(text, models))
    if not artifacts:
        near = suggest(text, models)
        raise UnknownModelError(
            f"no build of '{text}' is known",
            hint=f"did you mean {', '.join(near)}?"
            if near
            else "`rkfetch search WORD` looks for names",
        )
    return contents(catalog, artifacts)


# --- words -------------------------------------------------------------------------------------

_NAME = 13
"""Columns of an attribute's name."""


def _lines(
    artifact: Artifact, companions: Sequence[Companion], listed: Repository | None
) -> Iterator[str]:
    yield from _head_lines(artifact, listed)
    for companion in companions:
        size = f", {human_bytes(companion.size_bytes)}" if companion.size_bytes is not None else ""
        yield f"  {companion.role:<{_NAME}} {safe(companion.path)}{size}"
    places: dict[str, int] = {}
    for name in ATTRIBUTES:
        yield from _attribute_lines(artifact.attribute(name), places)
    if artifact.sightings:
        yield "  seen on boards"
    for sighting in artifact.sightings:
        yield from _sighting_lines(sighting)
    if places:
        yield "  where"
    for where, number in places.items():
        yield f"    [{number}] {safe(where, limit=2000)}"


def _head_lines(artifact: Artifact, listed: Repository | None) -> Iterator[str]:
    yield paint(safe(exactly(artifact.source, artifact.name), limit=2000), "bold")
    traits = [STATES.get(artifact.availability, "listed")]
    traits += [human_bytes(artifact.size_bytes)] if artifact.size_bytes is not None else []
    traits += ["curated"] if artifact.curated else []
    traits += ["gated"] if artifact.gated else []
    yield "  " + ", ".join(traits)
    for label, text in (
        ("sha256", artifact.sha256),
        ("revision", _revision(artifact)),
        ("updated", artifact.updated),
        ("repository", _repository(listed) if listed else None),
    ):
        if text:
            yield f"  {label:<{_NAME}} {safe(text)}"
    if artifact.note:
        yield from wrapped(artifact.note, lead=f"  {'note':<{_NAME}} ")
    for place in artifact.also:
        state = STATES.get(place.availability)
        name = safe(source_prefix(place.source) + place.name, limit=2000)
        yield f"  {'also in':<{_NAME}} {name}" + (f" ({state})" if state else "")


def _revision(artifact: Artifact) -> str | None:
    if artifact.ref in {None, artifact.revision}:
        return artifact.revision
    return f"{artifact.ref} ({artifact.revision})" if artifact.revision else artifact.ref


def _repository(listed: Repository) -> str:
    counted = (("downloads", listed.downloads), ("likes", listed.likes))
    said = [f"{number} {what}" for what, number in counted if number is not None]
    said += [f"licence {listed.license}"] if listed.license else []
    said += [f"since {listed.created[:10]}"] if listed.created else []
    return ", ".join(said)


def _attribute_lines(attribute: Attribute, places: dict[str, int]) -> Iterator[str]:
    """Show an attribute with its evidence; ``places`` numbers where that was seen."""
    if not attribute.evidence:
        return
    disputed = "disputed: " + " or ".join(attribute.contenders)
    sure = attribute.confidence
    value = safe(attribute.value or disputed)
    yield f"  {attribute.name:<{_NAME}} {value}" + (f" ({sure.value})" if sure else "")
    contenders = attribute.contenders
    width = max(len(safe(e.value)) for e in attribute.evidence)
    for same, numbers in _merged(attribute.evidence, places):
        overruled = same.value not in contenders
        yield (
            f"    {'!' if overruled else ' '} {safe(same.value):<{width}}  "
            f"{same.origin.value:<11} {(same.seen or '')[:10]:<10}  "
            f"{' '.join(f'[{n}]' for n in numbers)}"
            + (f"  says {safe(same.publisher)}" if same.publisher else "")
            + ("  overruled" if overruled else "")
        )


def _merged(
    evidence: Sequence[Evidence], places: dict[str, int]
) -> list[tuple[Evidence, list[int]]]:
    """Join observations that differ in nothing but their place."""
    merged: dict[tuple[str, ...], tuple[Evidence, list[int]]] = {}
    for item in evidence:
        key = (item.value, item.origin.value, (item.seen or "")[:10], item.publisher or "")
        number = places.setdefault(item.place, len(places) + 1)
        merged.setdefault(key, (item, []))[1].append(number)
    return list(merged.values())


def _sighting_lines(sighting: Sighting) -> Iterator[str]:
    whose = "by you" if sighting.own else "by others"
    said = f"{sighting.outcome.value} on {sighting.pair}, seen {sighting.seen} {whose}"
    remarks = "; ".join(t for t in (sighting.board, sighting.note) if t)
    told = f" ({remarks})" if remarks else ""
    yield from wrapped(f"{said}, {sighting.place}{told}", lead="      ")


# --- JSON --------------------------------------------------------------------------------------


def _json(
    artifact: Artifact, companions: Sequence[Companion], listed: Repository | None
) -> dict[str, Any]:
    return {
        **artifact_json(artifact),
        "ref": artifact.ref,
        "availability": artifact.availability.value,
        "note": artifact.note,
        "curated": artifact.curated,
        "gated": artifact.gated,
        "updated": artifact.updated,
        "attributes": {
            name: _attribute_json(attribute) for name, attribute in artifact.attributes.items()
        },
        "sightings": [_sighting_json(s) for s in artifact.sightings],
        "companions": [
            {
                "role": companion.role,
                "repo": companion.repo,
                "path": companion.path,
                "bytes": companion.size_bytes,
                "sha256": companion.sha256,
            }
            for companion in companions
        ],
        "repository": _repository_json(listed),
    }


def _repository_json(listed: Repository | None) -> dict[str, Any] | None:
    if listed is None:
        return None
    return {
        "created": listed.created,
        "modified": listed.modified,
        "downloads": listed.downloads,
        "likes": listed.likes,
        "license": listed.license,
        "library": listed.library,
        "base_model": listed.base_model,
        "tags": list(listed.tags),
    }


def _attribute_json(attribute: Attribute) -> dict[str, Any]:
    sure, origin = attribute.confidence, attribute.origin
    return {
        "value": attribute.value,
        "origin": origin.value if origin else None,
        "confidence": sure.value if sure else None,
        "disputed": attribute.disputed,
        "evidence": [
            {
                "value": e.value,
                "origin": e.origin.value,
                "place": e.place,
                "seen": e.seen,
                "publisher": e.publisher,
                "overruled": e.value not in attribute.contenders,
            }
            for e in attribute.evidence
        ],
    }


def _sighting_json(sighting: Sighting) -> dict[str, Any]:
    return {
        "outcome": sighting.outcome.value,
        "platform": sighting.platform.value,
        "runtime": str(sighting.runtime),
        "driver": str(sighting.driver) if sighting.driver else None,
        "board": sighting.board,
        "note": sighting.note,
        "origin": sighting.origin.value,
        "place": sighting.place,
        "seen": sighting.seen,
        "own": sighting.own,
    }
