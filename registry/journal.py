"""Remember beside a partial file which of its bytes can be trusted, after a crash or a power cut.

Two kinds of notes: one that was written after the bytes that it vouches for had been synced to the
disk, which holds after a power cut; and one written with every piece that came, without any sync,
which holds as long as the machine was not restarted, since a killed process takes nothing out of
the kernel's memory. Each kind has two places that are written in turn, each with a checksum, so
that a torn note leaves the one before it.
"""

from __future__ import annotations

import json
import os
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .disk_failures import failure_of_disk, is_of_disk
from .durable import close, open_own, read_note, sync_directory
from .errors import DiskSpaceError, RkfetchError, UsageError
from .headers import plain
from .spans import Spans

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_SCHEMA_VERSION = 2
_LARGEST = (1 << 63) - 1
_SLOT = 4096
_HEAD, _SYNCED, _WRITTEN = 0, 1, 3
"""Numbers of the first slot of each kind; of notes there are two."""
_SLOTS = 5
_MOST_SPANS = 80
_LONGEST_TEXT = 300
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


def journal_of(partial: Path) -> Path:
    """Return where the journal of a partial file is."""
    return partial.with_suffix(".journal")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a partial file is a part of."""

    source: str
    """Identity of the source: repository, path and revision."""
    size_bytes: int
    sha256: str | None
    """Of the whole file, if its source told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trusted:
    """What is certainly here of a partial file."""

    spans: Spans
    checked: tuple[int, str] | None = None
    """So many bytes from the first on had this SHA-256 when they came."""
    validators: Mapping[str, str] = field(default_factory=dict)
    """Strong ETag or date under which each place gave these bytes."""
    number: int = 0
    """Of the newest note."""


class Journal:
    """The journal of one partial file, written by the one process that works on it.

    Raises:
        DiskSpaceError, UsageError: as `durable.disk_errors`.
        OSError: something is in its place that cannot be removed.
    """

    def __init__(self, path: Path, subject: Subject, *, inode: int) -> None:
        self.path = path
        self._handle = _opened(path)
        self._number = 0
        self._subject = subject
        self._boot = {"boot": _boot_id(), "inode": inode}
        self._more: dict[str, Any] = {}
        self._written_more = ""
        self.describe({})

    def describe(self, validators: Mapping[str, str]) -> None:
        """Take note of the validators; they are written with the next note."""
        self._more = {"validators": dict(validators)}
        self._written_more = json.dumps({**self._boot, **self._more})[1:]

    def begin(self) -> None:
        """Vouch for nothing that was here before."""
        head = {
            "schema_version": _SCHEMA_VERSION,
            "source": self._subject.source[:_LONGEST_TEXT],
            "source_crc": _crc_of(self._subject.source),
            "size_bytes": self._subject.size_bytes,
            "sha256": self._subject.sha256,
        }
        self.describe({})
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, bytes(_SLOTS * _SLOT), 0)
        self._put(_HEAD, json.dumps(head))
        self.synced(Spans(), None)
        self.flush()
        sync_directory(self.path.parent)

    def go_on(self, trusted: Trusted) -> None:
        """Go on after the notes that `read` found; they stay until newer ones take their place."""
        self._number = trusted.number
        self.describe(trusted.validators)

    def written(self, spans: Spans) -> None:
        """Vouch for bytes that the kernel has; cheap."""
        self._number += 1
        text = f'{{"number": {self._number}, "spans": "{_shown(spans)}", {self._written_more}'
        self._put(_WRITTEN + self._number % 2, text)

    def synced(self, spans: Spans, checked: tuple[int, str] | None) -> None:
        """Vouch for bytes that were synced to the disk before."""
        self._number += 1
        note = {"number": self._number, "spans": _shown(spans), "checked": checked, **self._more}
        self._put(_SYNCED + self._number % 2, json.dumps(note))

    def flush(self) -> None:
        """Have the notes last."""
        os.fdatasync(self._handle)

    def _put(self, slot: int, text: str) -> None:
        data = text.encode()
        line = b"%08x %s\n" % (zlib.crc32(data), data)
        if len(line) <= _SLOT:  # else the note before it stays
            os.pwrite(self._handle, line, slot * _SLOT)

    def close(self) -> None:
        """Leave it as it is."""
        close(self._handle)


def read(path: Path, subject: Subject, *, inode: int) -> Trusted | None:
    """Read what is certainly here of a partial file.

    None if there is no journal, or it is of another file or makes no sense to this version.

    Raises:
        RkfetchError: the disk failed, or is gone: what it says may be sound.
    """
    data = _data(path)
    head = None if data is None else _note(data, _HEAD)
    if data is None or head is None or head.get("schema_version") != _SCHEMA_VERSION:
        return None
    if (head.get("size_bytes"), head.get("sha256")) != (subject.size_bytes, subject.sha256):
        return None
    if subject.sha256 is None and head.get("source_crc") != _crc_of(subject.source):
        return None
    synced = [note for slot in (0, 1) if (note := _note(data, _SYNCED + slot)) is not None]
    checked = _checked(max(synced, key=_number, default={}))
    boot = {"boot": _boot_id(), "inode": inode}
    written = [note for slot in (0, 1) if (note := _note(data, _WRITTEN + slot)) is not None]
    valid = synced + [n for n in written if boot["boot"] and boot.items() <= n.items()]
    if not valid:
        return None
    newest = max(valid, key=_number)
    spans = _spans(newest.get("spans"), subject.size_bytes)
    return Trusted(
        spans=spans,
        checked=checked if checked and checked[0] <= spans.prefix else None,
        validators=_validators(newest.get("validators")),
        number=max(map(_number, synced + written)),
    )


def source_of(path: Path) -> str | None:
    """Return what the partial file of a journal is of, for people."""
    try:
        data = _data(path)
    except RkfetchError:
        return None
    head = None if data is None else _note(data, _HEAD)
    source = None if head is None else head.get("source")
    return source if isinstance(source, str) else None


def _opened(path: Path) -> int:
    try:
        return open_own(path)
    except (DiskSpaceError, UsageError):
        raise
    except RkfetchError:
        # A link, or a pipe: whatever it is, it vouches for nothing.
        path.unlink()
        return open_own(path)


def _crc_of(text: str) -> int:
    return zlib.crc32(text.encode(errors="surrogatepass"))


def _data(path: Path) -> bytes | None:
    try:
        return read_note(path)
    except OSError as error:
        if is_of_disk(error):
            raise failure_of_disk(error, path.parent) from error
        return None


def _note(data: bytes, slot: int) -> dict[str, Any] | None:
    line = data[slot * _SLOT : (slot + 1) * _SLOT].partition(b"\n")[0]
    crc, _, text = line.partition(b" ")
    if crc != b"%08x" % zlib.crc32(text):
        return None
    try:
        note = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return note if isinstance(note, dict) and _is_count(note.get("number", 0)) else None


def _number(note: dict[str, Any]) -> int:
    return int(note.get("number", 0))


def _shown(spans: Spans) -> str:
    return ",".join(f"{start}-{end}" for start, end in list(spans)[:_MOST_SPANS])


def _spans(text: object, size: int) -> Spans:
    spans = Spans()
    for part in text.split(",") if isinstance(text, str) and text else ():
        start, _, end = part.partition("-")
        if not (start.isdecimal() and end.isdecimal() and int(start) < int(end) <= size):
            return Spans()
        spans.add(int(start), int(end))
    return spans


def _checked(note: dict[str, Any]) -> tuple[int, str] | None:
    match note.get("checked"):
        case [int() as count, str() as digest] if _is_count(count) and plain(digest):
            return count, digest
    return None


def _validators(values: object) -> dict[str, str]:
    if not isinstance(values, dict):
        return {}
    return {str(place): text for place, text in values.items() if plain(text) is not None}


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= _LARGEST


def _boot_id() -> str:
    """Return what is another after every start of the machine; empty if that cannot be known."""
    try:
        with open(_BOOT_ID, encoding="ascii") as file:  # noqa: PTH123 - read at every download
            return file.read().strip()
    except (OSError, ValueError):
        return ""
