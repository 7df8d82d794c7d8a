"""What is converted here: which base model a reference means, and what the catalog then knows."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rkfetch.registry.errors import UnknownModelError, UsageError
from rkfetch.registry.model import (
    CONVERTED,
    Artifact,
    Availability,
    Evidence,
    Origin,
    Quant,
    settle,
)
from rkfetch.registry.rkllm import facts_evidence

from .models import known_model, parse_reference, suggest
from .naming import guess
from .observations import VERIFIED
from .probe import note_file
from .writer import Writer, now

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rkfetch.registry.convert.run import Converted

    from .database import Catalog

NOTE = (
    "made by `rkfetch convert`, and uploaded nowhere: that makes it again, or `mirrors` names a "
    "store that has it"
)
"""Of a file that may not be on this machine any more."""
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a conversion is to begin with: one of the two."""

    hub_id: str | None = None
    path: Path | None = None
    quant: Quant | None = None
    """What stood behind the ``@``."""


def subject_of(text: str, known: Iterable[str] = ()) -> Subject:
    """Return what a user means: a model by its usual name, ``OWNER/NAME``, a folder, a GGUF file.

    A path has to begin with ``/``, ``./``, ``../`` or ``~``, or end in ``.gguf``: a folder that
    happens to be called like a model is not meant by that model's name. ``known`` are the names
    to suggest from.

    Raises:
        UsageError: it is a file that is converted already, or no reference.
        UnknownModelError: nobody knows such a model.
    """
    text, quant = _taken_apart(text)
    if text.startswith(("/", "./", "../", "~")) or text.endswith(".gguf") or text in {".", ".."}:
        path = Path(text).expanduser().absolute()
        if not path.exists():
            raise UsageError(f"there is nothing at {path}")
        return Subject(path=path, quant=quant)
    reference = parse_reference(text)
    if reference.file is not None or reference.model is None:
        raise UsageError(
            f"{text} is an .rkllm file, which is converted already",
            hint="name the model that it was made from",
        )
    model = known_model(reference.model)
    if model is not None:
        return Subject(hub_id=model.hub_id, quant=quant)
    if _HUB_ID.fullmatch(reference.model):
        return Subject(hub_id=reference.model, quant=quant)
    near = suggest(reference.model, known)
    raise UnknownModelError(
        f"no base model called '{reference.model}' is known",
        hint=(f"did you mean {', '.join(near)}? Or " if near else "")
        + "name it exactly: OWNER/NAME on the Hub, or a folder (./NAME)",
    )


def _taken_apart(text: str) -> tuple[str, Quant | None]:
    name, at, quant = text.strip().rpartition("@")
    if not at:
        return quant, None
    return name, Quant.parse(quant)


def note_conversion(catalog: Catalog, converted: Converted) -> Artifact:
    """Write down a file that was made here, so that the next question finds it.

    Raises:
        UsageError, RkfetchError: the catalog cannot be written; the file is in the store all the
            same.
    """
    artifact = artifact_of(converted)
    with Writer.open(catalog.path) as writer:
        writer.record_artifact(artifact, seen=now())
    note_file(catalog, artifact, converted.installed.record.sha256, converted.facts)
    return artifact


def artifact_of(converted: Converted) -> Artifact:
    """Return a file that was made here as the catalog knows it."""
    record = converted.installed.record
    seen = now()
    name = (record.model or "").rpartition("/")[2]
    told = [
        *guess(record.repo, record.path).evidence,
        Evidence(attribute="model", value=name, origin=Origin.FILE_NAME, place=record.path),
    ]
    header = facts_evidence(converted.facts, place=VERIFIED, seen=seen)
    return Artifact(
        source=CONVERTED,
        repo=record.repo,
        path=record.path,
        revision=record.revision,
        size_bytes=record.size_bytes,
        sha256=record.sha256,
        availability=Availability.MANUAL,
        updated=seen,
        note=NOTE,
        attributes=settle([*(replace(e, seen=seen) for e in told), *header]),
    )
