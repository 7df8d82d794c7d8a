"""What is known about a file that a user brings: its place upstream, and whether its label lies."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from rkfetch import __version__
from rkfetch.registry.check import FORMATS
from rkfetch.registry.errors import IntegrityError
from rkfetch.registry.model import Artifact, settle
from rkfetch.registry.record import Record, attributes_of, known_attributes

from .models import hub_id
from .naming import guess
from .places import usefulness
from .probe import note_file

if TYPE_CHECKING:
    from pathlib import Path

    from rkfetch.registry.rkllm import RkllmFacts

    from .database import Catalog

IMPORTED = "import"
"""The source of a file that the catalog does not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a file comes from, as far as that can be known."""

    record: Record
    contradictions: tuple[str, ...]
    """What the catalog or the name says and the file's own header does not bear out."""


def provenance(
    catalog: Catalog, path: Path, sha256: str, facts: RkllmFacts, *, allow_unverified: bool = False
) -> Provenance:
    """Complete the record of a file whose every byte was read; the catalog learns its header.

    The SHA-256 tells which upload it is. What is said about that upload counts only where the
    header is silent.

    Raises:
        IntegrityError: neither the catalog nor the file itself tells that it is whole, which
            ``allow_unverified`` accepts.
    """
    known = upload(catalog, sha256)
    may_be_cut = facts.format == "rkllm" and facts.complete is None
    if known is None and may_be_cut and not allow_unverified:
        raise IntegrityError(
            f"{path}: whether it is whole cannot be told",
            cause=[*facts.problems, f"the catalog does not know its SHA-256, {sha256}"],
            hint="if you are certain of it: --allow-unverified",
        )
    label = known or _by_name(path, facts.format)
    header = attributes_of(facts) if facts.format == "rkllm" else {}
    said = {name: label.value(name) for name in label.attributes}
    who = "the catalog" if known else "its name"
    lies = tuple(
        f"{who} says {name} {said[name]}, its header says {own['value']}: the header is believed"
        for name, own in header.items()
        if said.get(name) not in {None, own["value"]}
    )
    if known is not None and header:
        note_file(catalog, known, sha256, facts)
    now = dt.datetime.now(tz=dt.timezone.utc)
    record = Record(
        sha256=sha256,
        size_bytes=facts.size_bytes or 0,
        source=label.source,
        repo=label.repo,
        path=label.path,
        revision=label.revision,
        model=(hub_id(label.model) or label.model) if label.model else None,
        attributes=known_attributes(label, facts),
        fetched_at=now.isoformat(timespec="seconds"),
        rkfetch=__version__,
    )
    return Provenance(record=record, contradictions=lies)


def upload(catalog: Catalog, sha256: str) -> Artifact | None:
    """Return the place of a content that is the best to name."""
    places = [a for a in catalog.by_sha256(sha256) if a.path]
    return min(places, key=usefulness, default=None)


def _by_name(path: Path, form: str) -> Artifact:
    named = path if path.suffix.lower() in FORMATS else path.with_name(f"{path.name}.{form}")
    # The folder often names the model; what is above it is the user's own affair.
    near = PurePath(*named.parts[-2:]).as_posix().lstrip("/")
    told = guess("", near).evidence if form == "rkllm" else ()
    return Artifact(source=IMPORTED, repo="", path=str(named), attributes=settle(told))
