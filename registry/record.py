"""Write down beside an installed file where it came from, and under which name it is kept."""

from __future__ import annotations

import datetime as dt
import errno
import json
import re
import unicodedata
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from .disk_failures import is_failing, is_of_disk
from .durable import hash_file, read_note, write_durably

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from pathlib import Path

    from .model import Artifact
    from .rkllm import RkllmFacts
    from .rknn import RknnFacts

RECORD_NAME = "record.json"
UNKNOWN_SOURCE = "unknown"
"""Of a file that has lost its record."""
_SCHEMA_VERSION = 1
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LARGEST = (1 << 63) - 1
_MOST_COMPANIONS = 16
_LONGEST_NAMES = (200, 140, 70)
"""Bytes. What encrypts names, such as eCryptfs, stops at 143 where others stop at 255."""
_LONGEST_SUFFIX = 16
_COARSEST_S = 2
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_AWKWARD = set('<>:"/\\|?*`$&;!')
_RESERVED = {"con", "prn", "aux", "nul", RECORD_NAME.partition(".")[0]}
_RESERVED |= {f"{port}{number}" for port in ("com", "lpt") for number in range(10)}

_TEXTS = ("sha256", "source", "repo", "path", "fetched_at", "rkfetch")
_OPTIONAL_TEXTS = ("revision", "requested", "endpoint", "model", "licence", "verdict", "validator")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a file was like when all of it was last read and hashed."""

    at: str
    """RFC 3339; the reading began then, or later."""
    size_bytes: int
    mtime_ns: int
    inode: int

    @classmethod
    def now(cls, status: os.stat_result) -> Verified:
        """Note a reading that begins now, of a file that is like this."""
        at = dt.datetime.now(tz=dt.timezone.utc).isoformat(timespec="seconds")
        return cls(
            at=at, size_bytes=status.st_size, mtime_ns=status.st_mtime_ns, inode=status.st_ino
        )

    @classmethod
    def from_json(cls, values: Any) -> Verified | None:
        """Read what `as_json` gave; None if it makes no sense."""
        if not isinstance(values, dict):
            return None
        numbers = [values.get(name) for name in ("bytes", "mtime_ns", "inode")]
        if not isinstance(values.get("at"), str) or any(type(n) is not int for n in numbers):
            return None
        size, mtime_ns, inode = (int(n or 0) for n in numbers)
        return cls(at=values["at"], size_bytes=size, mtime_ns=mtime_ns, inode=inode)

    def as_json(self) -> dict[str, Any]:
        """Return the note as it is stored."""
        return {
            "at": self.at,
            "bytes": self.size_bytes,
            "mtime_ns": self.mtime_ns,
            "inode": self.inode,
        }

    def is_unwritten(self, status: os.stat_result) -> bool:
        """Tell whether nobody has written to the file since, which a copy of it keeps."""
        return (status.st_size, status.st_mtime_ns) == (self.size_bytes, self.mtime_ns)

    def is_same(self, status: os.stat_result) -> bool:
        """Tell whether it is the very same file, too, as far as its time tells."""
        return self.is_unwritten(status) and status.st_ino == self.inode

    def is_unchanged(self, status: os.stat_result) -> bool:
        """Tell whether it is the very same file for certain.

        FAT counts time in steps of two seconds, older file systems in whole ones: who wrote within
        the same step, after it had been read, left no trace.
        """
        is_coarse = self.mtime_ns % 1_000_000_000 == 0
        return self.is_same(status) and not (is_coarse and self._age_s < _COARSEST_S)

    @property
    def _age_s(self) -> float:
        """How long it had not been written to when it was read."""
        try:
            return dt.datetime.fromisoformat(self.at).timestamp() - self.mtime_ns / 1e9
        except ValueError:
            return 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The provenance of one file."""

    sha256: str
    size_bytes: int
    source: str
    repo: str
    path: str
    revision: str | None = None
    """The commit that it was at, where the source told."""
    requested: str | None = None
    """The revision that was asked for; None was the default branch."""
    endpoint: str | None = None
    model: str | None = None
    licence: str | None = None
    """Of the base model, as the Hub names it; None where nobody has looked."""
    attributes: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    """``{"toolkit": {"value": "1.2.3", "origin": "header"}}``."""
    verdict: str | None = None
    """What was said about it and the board when it was chosen."""
    validator: str | None = None
    """ETag or date under which the server gave it."""
    fetched_at: str = ""
    """RFC 3339."""
    rkfetch: str = ""
    """The version of rkfetch that wrote this."""
    damaged: bool = False
    """Its content was found to have changed since."""
    verified: Verified | None = None
    """None in a record of an older rkfetch."""
    made: Mapping[str, Any] | None = None
    """How it was made, of a file that was converted here: base model, toolkit, parameters,
    environment, times."""
    companions: tuple[str, ...] = ()
    """SHA-256 of the files that it needs beside it: the vision encoder of the same SoC."""

    @classmethod
    def read(cls, path: Path) -> Record | None:
        """Read a record; None if it is missing, torn, or of a newer rkfetch.

        Raises:
            OSError: the disk failed, or is gone: the record may be sound.
        """
        try:
            values = json.loads(read_note(path))
        except (ValueError, RecursionError):
            return None
        except OSError as error:
            if is_of_disk(error):
                raise
            return None
        return cls.from_json(values)

    @classmethod
    def from_json(cls, values: Any) -> Record | None:
        """Read what `as_json` gave; None if it makes no sense. Unknown keys are left out."""
        if not isinstance(values, dict) or values.get("schema_version") != _SCHEMA_VERSION:
            return None
        texts: dict[str, Any] = {name: values.get(name) for name in _TEXTS}
        optional: dict[str, Any] = {name: values.get(name) for name in _OPTIONAL_TEXTS}
        size = values.get("bytes")
        if (
            not all(isinstance(value, str) for value in texts.values())
            or not all(value is None or isinstance(value, str) for value in optional.values())
            or type(size) is not int
            or not 0 <= size <= _LARGEST
        ):
            return None
        return cls(
            **texts,
            **optional,
            size_bytes=size,
            attributes=_attributes(values.get("attributes")),
            damaged=values.get("damaged") is True,
            verified=Verified.from_json(values.get("verified")),
            made=made if isinstance(made := values.get("made"), dict) else None,
            companions=_companions(values.get("companions"), own=texts["sha256"]),
        )

    def as_json(self) -> dict[str, Any]:
        """Return the record as it is stored and shown."""
        return {
            "schema_version": _SCHEMA_VERSION,
            "bytes": self.size_bytes,
            **{name: getattr(self, name) for name in (*_TEXTS, *_OPTIONAL_TEXTS)},
            "attributes": {name: dict(value) for name, value in self.attributes.items()},
            "damaged": self.damaged,
            "verified": self.verified.as_json() if self.verified else None,
            **({"made": dict(self.made)} if self.made is not None else {}),
            **({"companions": list(self.companions)} if self.companions else {}),
        }

    def write(self, directory: Path) -> None:
        """Replace the record in a folder as a whole.

        Raises:
            OSError: it could not be written.
        """
        write_durably(directory / RECORD_NAME, json.dumps(self.as_json(), indent=1).encode())

    def looked_at(self, *, damaged: bool, verified: Verified | None) -> Record:
        """Return the same record with what another reading of the file found."""
        size = verified.size_bytes if verified and not damaged else self.size_bytes
        return replace(self, size_bytes=size, damaged=damaged, verified=verified)


def _attributes(values: Any) -> dict[str, dict[str, str | None]]:
    if not isinstance(values, dict):
        return {}
    return {
        str(name): {
            str(key): text if isinstance(text, str) else None for key, text in value.items()
        }
        for name, value in values.items()
        if isinstance(value, dict)
    }


def _companions(values: Any, *, own: str) -> tuple[str, ...]:
    if not isinstance(values, list):
        return ()
    digests = (v for v in values if isinstance(v, str) and _SHA256.fullmatch(v) and v != own)
    return tuple(dict.fromkeys(digests))[:_MOST_COMPANIONS]


def attributes_of(facts: RkllmFacts) -> dict[str, dict[str, str | None]]:
    """Return what a file's header says, as a record's ``attributes``."""
    values = {
        "toolkit": facts.toolkit,
        "platform": facts.platform.value if facts.platform else None,
        "quant": facts.quant,
        "context": facts.max_context,
        "npu_cores": facts.npu_cores,
        "architecture": facts.architecture,
    }
    return {
        name: {"value": str(value), "origin": "header"}
        for name, value in values.items()
        if value is not None
    }


def known_attributes(
    artifact: Artifact, facts: RkllmFacts | None, encoder: RknnFacts | None = None
) -> dict[str, dict[str, str | None]]:
    """Return what a record keeps of a build: what its header says, else what is said about it.

    ``encoder`` is what an ``.rknn`` file says about itself.
    """
    said: dict[str, dict[str, str | None]] = {
        name: {"value": attribute.value, "origin": attribute.origin.value}
        for name, attribute in artifact.attributes.items()
        if attribute.value is not None and attribute.origin is not None
    }
    header = attributes_of(facts) if facts is not None and facts.format == "rkllm" else {}
    if encoder is not None and encoder.platform is not None:
        header["platform"] = {"value": encoder.platform.value, "origin": "header"}
    return {**said, **header}


def rebuilt(path: Path, sha256: str) -> Record | None:
    """Make a record for a file that has lost its own, by reading all of it; None if it cannot be.

    Other content than its place says is marked as damaged, and so is what has a bad block.

    Raises:
        OSError: the disk is gone, or knows nothing of the file.
    """
    from .rkllm_read import read_file

    verified = None
    try:
        status = path.stat()
        verified = Verified.now(status)
        damaged = hash_file(path).hexdigest() != sha256
    except OSError as error:
        if verified is None or not is_failing(error):
            if is_of_disk(error):
                raise
            return None
        damaged = True
    fetched = dt.datetime.fromtimestamp(status.st_mtime, tz=dt.timezone.utc)
    return Record(
        sha256=sha256,
        size_bytes=status.st_size,
        source=UNKNOWN_SOURCE,
        repo="",
        path=path.name,
        attributes={} if damaged else attributes_of(read_file(path)),
        fetched_at=fetched.isoformat(timespec="seconds"),
        damaged=damaged,
        verified=verified,
    )


def safe_file_name(path: str, *, longest: int = _LONGEST_NAMES[0]) -> str:
    """Return the name under which a file from a foreign place is kept: one harmless component.

    Control, direction and other invisible characters are dropped, characters that shells or
    file systems treat specially become ``_``; at most ``longest`` bytes, the suffix is kept.
    """
    name = path.replace("\\", "/").rpartition("/")[2]
    name = unicodedata.normalize("NFC", name)
    name = "".join(c for c in name if unicodedata.category(c) not in _HIDDEN)
    name = "".join("_" if c in _AWKWARD else c for c in name)
    stem, dot, suffix = name.rpartition(".")
    if not dot or not suffix.strip() or len(suffix.encode()) > _LONGEST_SUFFIX:
        stem, suffix = name, ""
    stem = stem.lstrip(" .-~").rstrip(" .")
    ending = f".{suffix.strip()}" if suffix else ""
    room = longest - len(ending.encode())
    stem = stem.encode()[:room].decode(errors="ignore") or "model"
    if stem.partition(".")[0].lower() in _RESERVED:
        stem = f"_{stem}".encode()[:room].decode(errors="ignore")
    return stem + ending


def fitting_name(directory: Path, path: str) -> str:
    """Return `safe_file_name`, shorter where the file system of a folder wants that."""
    name = ""
    for longest in _LONGEST_NAMES:
        name = safe_file_name(path, longest=longest)
        try:
            (directory / name).lstat()
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                continue
        return name
    return name
