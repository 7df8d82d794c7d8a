"""What is known about a file that a user brings: its place upstream, and whether its label lies."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from rkfetch import __version__
from rkfetch.registry import rknn
from rkfetch.registry.check import FORMATS
from rkfetch.registry.errors import IntegrityError
from rkfetch.registry.model import Artifact, settle
from rkfetch.registry.record import Record, attributes_of, known_attributes

from .models import hub_id
from .naming import guess
from .places import usefulness
from .probe import note_file
from .recognise import Recognised, plain_name, recognise

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rkfetch.registry.rkllm import RkllmFacts

    from .database import Catalog
    from .recognise import By

IMPORTED = "import"
"""The source of a file that the catalog does not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a file comes from, as far as that can be known."""

    record: Record
    contradictions: tuple[str, ...]
    """What the catalog or the name says and the file itself does not bear out."""
    recognised_by: By | None = None
    """What told which upload it is; None if the catalog does not know it."""


def provenance(
    catalog: Catalog, path: Path, sha256: str, facts: RkllmFacts, *, allow_unverified: bool = False
) -> Provenance:
    """Complete the record of a file whose every byte was read; the catalog learns its header.

    The SHA-256 tells which upload it is; of a file that only a person can fetch and whose SHA-256
    nobody knew, size, name or header do, and the catalog learns it. What is said about the upload
    counts only where the header is silent.

    Raises:
        IntegrityError: neither the catalog nor the file itself tells that it is whole, which
            ``allow_unverified`` accepts.
    """
    header = attributes_of(facts) if facts.format == "rkllm" else {}
    named = _by_name(path, facts.format)
    found = _by_digest(catalog, sha256) or _by_hand(catalog, path, named, header, facts)
    known = found.artifact if found else None
    may_be_cut = facts.format == "rkllm" and facts.complete is None
    if may_be_cut and not allow_unverified and not (found and found.is_whole):
        raise IntegrityError(
            f"{path}: whether it is whole cannot be told",
            cause=[*facts.problems, f"the catalog does not know its SHA-256, {sha256}"],
            hint="if you are certain of it: --allow-unverified",
        )
    label = known or named
    said = {name: label.value(name) for name in label.attributes}
    who = "the catalog" if known else "its name"
    lies = [
        f"{who} says {name} {said[name]}, its header says {own['value']}: the header is believed"
        for name, own in header.items()
        if said.get(name) not in {None, own["value"]}
    ]
    lies += _namesakes(catalog, path, sha256) if known is None else ()
    if known is not None and header:
        note_file(catalog, known, sha256, facts)
    encoder = rknn.read_file(path) if facts.format == "rknn" else None
    now = dt.datetime.now(tz=dt.timezone.utc)
    record = Record(
        sha256=sha256,
        size_bytes=facts.size_bytes or 0,
        source=label.source,
        repo=label.repo,
        path=label.path,
        revision=label.revision,
        model=(hub_id(label.model) or label.model) if label.model else None,
        attributes=known_attributes(label, facts, encoder),
        fetched_at=now.isoformat(timespec="seconds"),
        rkfetch=__version__,
    )
    return Provenance(
        record=record, contradictions=tuple(lies), recognised_by=found.by if found else None
    )


def upload(catalog: Catalog, sha256: str) -> Artifact | None:
    """Return the place of a content that is the best to name: an upload before a local file."""
    places = [a for a in catalog.by_sha256(sha256) if a.path]
    return min(places, key=lambda a: (a.is_local, usefulness(a)), default=None)


def _by_digest(catalog: Catalog, sha256: str) -> Recognised | None:
    known = upload(catalog, sha256)
    return Recognised(artifact=known, by="sha256") if known else None


def _by_hand(
    catalog: Catalog,
    path: Path,
    named: Artifact,
    header: Mapping[str, Mapping[str, str | None]],
    facts: RkllmFacts,
) -> Recognised | None:
    """Return the file that only a person can fetch and that this one is."""
    if facts.format != "rkllm":
        return None
    own = {name: value for name, said in header.items() if (value := said["value"]) is not None}
    return recognise(
        catalog.by_hand(),
        name=path.name,
        size_bytes=facts.size_bytes,
        header=own,
        model=named.model,
    )


def _namesakes(catalog: Catalog, path: Path, sha256: str) -> list[str]:
    """Say that a file is called like one whose SHA-256 is known, and is another."""
    return [
        f"it is called like {row.name} of {row.source}, which has another SHA-256 ({row.sha256}): "
        "it is another version of that, or damaged"
        for row in catalog.by_hand()
        if row.sha256 not in {None, sha256} and plain_name(row.path) == plain_name(path.name)
    ]


def _by_name(path: Path, form: str) -> Artifact:
    named = path if path.suffix.lower() in FORMATS else path.with_name(f"{path.name}.{form}")
    # The folder often names the model; what is above it is the user's own affair.
    near = PurePath(*named.parts[-2:]).as_posix().lstrip("/")
    told = guess("", near).evidence if form == "rkllm" else ()
    return Artifact(source=IMPORTED, repo="", path=str(named), attributes=settle(told))
