"""How a published catalog is written down: its manifest, and the parts that hold its rows.

This form has a version of its own and knows nothing of SQLite. Reading is strict, because
whoever holds the key may still be careless, and a mirror may be hostile: what makes no sense is
refused before anything is done with it. docs/publishing.md describes the form for others.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rkfetch.catalog import border
from rkfetch.registry.errors import IntegrityError

from .reading import SOURCE, FormError, count, get, json_object, objects, time_of, word

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

FORMAT = "rkfetch-catalog"
VERSION = 1
MANIFEST = "catalog.json"
SIGNATURE = f"{MANIFEST}.minisig"
PARTS = "parts"

LARGEST_MANIFEST = 1 << 20
LARGEST_PART = 4 << 20
"""Bytes of a part as it is published."""
LARGEST_CONTENT = 32 << 20
"""Bytes of a part unpacked."""
LARGEST_WHOLE = 2 << 30
"""Bytes of all parts together, unpacked."""
MOST_PARTS = 4096
MOST_CHANGES = 256
LONGEST_NAME = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A compressed file of rows, named by the SHA-256 of its bytes."""

    sha256: str
    size_bytes: int
    unpacked_bytes: int

    @property
    def path(self) -> str:
        """Where it lies beside the manifest: never a name from the network."""
        return f"{PARTS}/{self.sha256}.jsonl.gz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What became different from one serial to another."""

    since: int
    until: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a published catalog consists of, at one time."""

    name: str
    serial: int
    date: str
    """When it was published, RFC 3339."""
    expires: str | None
    rows: int
    sources: Mapping[str, str]
    """When the publisher last brought each source up to date."""
    parts: tuple[Part, ...]
    """The whole of it."""
    changes: tuple[Change, ...] = ()
    """What became of earlier serials, the oldest first."""

    def way_from(self, serial: int) -> tuple[Part, ...] | None:
        """Return the parts that lead from an earlier serial to this one; None if none do."""
        steps = {change.since: change for change in self.changes}
        found: list[Part] = []
        while serial != self.serial:
            step = steps.pop(serial, None)
            if step is None:
                return None
            found += step.parts
            serial = step.until
        return tuple(found)

    @property
    def referred(self) -> set[str]:
        """The paths of all its parts."""
        return {part.path for part in self.parts} | {
            part.path for change in self.changes for part in change.parts
        }


def pack(lines: Iterable[bytes]) -> tuple[Part, bytes]:
    """Compress lines into a part; the same lines give the same bytes."""
    content = b"".join(line + b"\n" for line in lines)
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    packed = squeeze.compress(content) + squeeze.flush()
    part = Part(
        sha256=hashlib.sha256(packed).hexdigest(),
        size_bytes=len(packed),
        unpacked_bytes=len(content),
    )
    return part, packed


def unpack(part: Part, packed: bytes) -> list[bytes]:
    """Return the lines of a part.

    Raises:
        FormError: it is not what the manifest says. No more is unpacked than that promises.
    """
    if len(packed) != part.size_bytes or hashlib.sha256(packed).hexdigest() != part.sha256:
        raise FormError("its bytes are not those that the manifest names")
    stretch = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        content = stretch.decompress(packed, part.unpacked_bytes + 1)
    except zlib.error as error:
        raise FormError(f"it cannot be unpacked: {error}") from error
    if len(content) != part.unpacked_bytes or not stretch.eof or stretch.unused_data:
        raise FormError("it unpacks to more or less than the manifest says")
    if content and not content.endswith(b"\n"):
        raise FormError("its last line has no end")
    return content.split(b"\n")[:-1]


def write_manifest(manifest: Manifest) -> bytes:
    """Write a manifest as JSON that people can read, too."""
    what = {
        "format": FORMAT,
        "version": VERSION,
        "name": manifest.name,
        "serial": manifest.serial,
        "date": manifest.date,
        "expires": manifest.expires,
        "rows": manifest.rows,
        "sources": dict(sorted(manifest.sources.items())),
        "parts": [_part_json(part) for part in manifest.parts],
        "changes": [
            {
                "since": change.since,
                "until": change.until,
                "parts": [_part_json(part) for part in change.parts],
            }
            for change in manifest.changes
        ],
    }
    return (json.dumps(what, indent=1) + "\n").encode()


def _part_json(part: Part) -> dict[str, Any]:
    return {"sha256": part.sha256, "bytes": part.size_bytes, "unpacked": part.unpacked_bytes}


def read_manifest(content: bytes) -> Manifest:
    """Read a manifest.

    Raises:
        FormError: it is none.
        IntegrityError: it is of a newer form.
    """
    if len(content) > LARGEST_MANIFEST:
        raise FormError("it is longer than any manifest")
    what = json_object(content)
    if what.get("format") != FORMAT:
        raise FormError("it is no manifest of a published catalog")
    if count(what, "version") != VERSION:
        raise IntegrityError(
            "the published catalog is of a form that this rkfetch does not know",
            cause=[f"its form is version {what['version']}, this program reads {VERSION}"],
            hint="upgrade rkfetch",
        )
    sources = get(what, "sources", dict)
    parts = tuple(map(_part, objects(what, "parts", MOST_PARTS)))
    changes = tuple(
        Change(
            since=count(item, "since"),
            until=count(item, "until"),
            parts=tuple(map(_part, objects(item, "parts", MOST_PARTS))),
        )
        for item in objects(what, "changes", MOST_CHANGES)
    )
    _require_bounded(parts, *(change.parts for change in changes))
    return Manifest(
        name=word(what, "name", LONGEST_NAME),
        serial=count(what, "serial"),
        date=time_of(what, "date"),
        expires=None if what.get("expires") is None else time_of(what, "expires"),
        rows=count(what, "rows"),
        sources={name: time_of(sources, name) for name in sources if SOURCE.fullmatch(name)},
        parts=parts,
        changes=changes,
    )


def _part(what: Mapping[str, Any]) -> Part:
    sha256 = border.digest(what.get("sha256"))
    if sha256 is None:
        raise FormError("a part has no SHA-256")
    part = Part(
        sha256=sha256, size_bytes=count(what, "bytes"), unpacked_bytes=count(what, "unpacked")
    )
    if part.size_bytes > LARGEST_PART or part.unpacked_bytes > LARGEST_CONTENT:
        raise FormError("a part is larger than any may be")
    return part


def _require_bounded(*ways: Sequence[Part]) -> None:
    if any(sum(part.unpacked_bytes for part in way) > LARGEST_WHOLE for way in ways):
        raise FormError("all parts together are larger than any catalog may be")
