"""Remember beside a partial file what of it can be trusted after a power cut."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from .durable import read_note, write_durably
from .headers import plain

if TYPE_CHECKING:
    from pathlib import Path

_SCHEMA_VERSION = 1
_LARGEST = (1 << 63) - 1


def journal_of(partial: Path) -> Path:
    """Return where the journal of a partial file is."""
    return partial.with_suffix(".journal")


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """What a partial file is a part of, and how much of it certainly is on the disk."""

    source: str
    """Identity of the source: repository, path and revision."""
    size_bytes: int | None
    sha256: str | None
    """Of the whole file, if its source told."""
    validator: str | None
    """Strong ETag or date under which the server gave these bytes."""
    durable_bytes: int
    """Never more than was synced before this was written."""
    durable_sha256: str | None
    """Of those bytes; None if the writer had no time to settle it."""

    @classmethod
    def read(cls, path: Path) -> Journal | None:
        """Read a journal; None if there is none that makes sense to this version."""
        try:
            values = json.loads(read_note(path))
        except (OSError, ValueError, RecursionError):
            return None
        if not isinstance(values, dict) or values.pop("schema_version", None) != _SCHEMA_VERSION:
            return None
        return cls(**values) if _is_valid(values) else None

    def write(self, path: Path) -> None:
        """Replace the journal as a whole; the bytes that it vouches for must be synced."""
        values = {"schema_version": _SCHEMA_VERSION, **asdict(self)}
        write_durably(path, json.dumps(values).encode())


def _is_valid(values: dict[str, Any]) -> bool:
    if values.keys() != set(Journal.__slots__):
        return False
    texts = ("sha256", "validator", "durable_sha256")
    size = values["size_bytes"]
    return (
        isinstance(values["source"], str)
        and all(text is None or plain(text) for text in map(values.get, texts))
        and (size is None or _is_count(size))
        and _is_count(values["durable_bytes"])
    )


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= _LARGEST
