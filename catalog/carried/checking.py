"""Compare an export with what it says of itself, and with the board."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from rkfetch import __version__
from rkfetch.registry.compat import Level
from rkfetch.registry.errors import IntegrityError
from rkfetch.registry.judge import judge
from rkfetch.registry.model import Artifact, Evidence, Origin, settle
from rkfetch.registry.record import attributes_of
from rkfetch.registry.rknn import complaint, read_file

from . import knowledge
from .form import MODEL

if TYPE_CHECKING:
    from pathlib import Path

    from rkfetch.catalog.database import Catalog
    from rkfetch.registry.model import Target
    from rkfetch.registry.record import Record
    from rkfetch.registry.rkllm import RkllmFacts

    from .form import CarriedFile, CarriedModel

_AGAIN = "copy the export once more, or make it anew; nothing of this file was taken"


def signed_by(
    content: bytes, signature: bytes, catalog: Catalog, *, where: str
) -> tuple[Literal["known", "unknown"], str | None]:
    """Check a signature whose key this machine takes catalogs from, and return that key.

    Of any other key only the number can be told.

    Raises:
        IntegrityError: the list was altered after it was signed, or the signature is none.
    """
    from rkfetch.catalog.published.signing import key_number, number_of, verify

    number = key_number(signature)
    known = {number_of(key): key for key in knowledge.known_keys(catalog)}
    if number is not None and number not in known:
        return "unknown", number
    # A signature that cannot be read fails here, with the reason.
    key = known[number] if number is not None else ""
    verify(content, signature, key, what=where)
    return "known", key


def misfit(model: CarriedModel, target: Target) -> str | None:
    """Return why a model does not fit a board, as its record tells; None if it may."""
    artifact = _artifact(model)
    verdict = judge(artifact, target)
    return verdict.reasons[0].text if verdict.level is Level.INCOMPATIBLE else None


def _artifact(model: CarriedModel) -> Artifact:
    record = model.main.provenance
    said = [
        Evidence(attribute=name, value=value, origin=_origin(of.get("origin")), place=record.path)
        for name, of in record.attributes.items()
        if (value := of.get("value"))
    ]
    if record.model:
        name = record.model.rpartition("/")[2]
        said.append(
            Evidence(attribute="model", value=name, origin=Origin.FILE_NAME, place=record.path)
        )
    return Artifact(
        source=record.source,
        repo=record.repo,
        path=record.path,
        revision=record.revision,
        size_bytes=record.size_bytes,
        sha256=record.sha256,
        attributes=settle(said),
    )


def _origin(text: str | None) -> Origin:
    try:
        return Origin(text)
    except ValueError:
        return Origin.FILE_NAME


class Checked:
    """Compares a file with what the list says of it, and gives its record."""

    def __init__(self, file: CarriedFile, model: CarriedModel, where: str) -> None:
        self._file = file
        self._model = model
        self._where = where
        self.facts: RkllmFacts | None = None

    def __call__(self, sha256: str, facts: RkllmFacts) -> Record:
        """Return the record of a file with this digest and header.

        Raises:
            IntegrityError: it is another file than is listed, or of another kind.
        """
        file = self._file
        require_digest(file, sha256, self._where)
        wanted = "rkllm" if file.role == MODEL else "rknn"
        if facts.format != wanted:
            raise self._lie(f"it is no .{wanted} file but {facts.explanation or facts.format}")
        record = file.provenance
        header = attributes_of(facts) if wanted == "rkllm" else {}
        for name in ("platform", "toolkit") if header else ():
            said = self._model.attribute(name)
            own = header.get(name, {}).get("value")
            if None not in {said, own} and said != own:
                raise self._lie(f"the list says {name} {said}, its header says {own}")
        self.facts = facts
        now = dt.datetime.now(tz=dt.timezone.utc)
        return replace(
            record,
            attributes={**record.attributes, **header},
            fetched_at=now.isoformat(timespec="seconds"),
            rkfetch=__version__,
        )

    def require_chip(self, path: Path) -> None:
        """Check that an encoder was built for the chip of its model."""
        facts = read_file(path)
        platform = _artifact(self._model).platform
        why = complaint(facts, platform) if facts is not None else None
        if why is not None:
            raise self._lie(why)

    def _lie(self, why: str) -> IntegrityError:
        return IntegrityError(f"{self._file.path} of {self._where}: {why}", hint=_AGAIN)


def require_digest(file: CarriedFile, sha256: str, where: str) -> None:
    """Check the digest of a file's content.

    Raises:
        IntegrityError: it is another one than is listed.
    """
    if sha256 != file.sha256:
        raise IntegrityError(
            f"{file.path} of {where} is damaged",
            expected=file.sha256,
            actual=sha256,
            cause=[f"its SHA-256 should be {file.sha256}", f"and is {sha256}"],
            hint=_AGAIN,
        )
