"""Write the catalog down as a folder that any web server can give out.

Readers may come at any moment: what is new is written under names of its own, then the manifest
is replaced in one step, and what only the manifest before it named is still there until the
next time. The same catalog gives the same parts, so that unchanged ones keep their names.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from rkfetch.catalog.browsing.site import FOLDER, PAGE, About, files_of, site
from rkfetch.registry.durable import disk_errors, make_directory, write_durably
from rkfetch.registry.errors import IntegrityError, UsageError

from .form import (
    LONGEST_NAME,
    MANIFEST,
    MOST_CHANGES,
    PARTS,
    SIGNATURE,
    Change,
    Manifest,
    pack,
    read_manifest,
    unpack,
    write_manifest,
)
from .reading import FormError, moment
from .rows import bucket_of, gone_line, read_row
from .selection import Rows
from .signing import key_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from rkfetch.catalog.database import Catalog

    from .form import Part
    from .signing import Signer

EXPIRES_DAYS = 90
_PART_BYTES = 1 << 20
"""Unpacked; at most 60 kB of it are sent, which a link of 1 kB/s brings within the minute that an
answer may take."""
_REPEAT_AFTER = timedelta(days=1)
"""The same rows are published anew after this time, to say that they still hold."""
_CHANGES_SHARE = 0.5
"""Steps from earlier states are kept while all of them are smaller than this part of the whole."""


@dataclass(frozen=True, slots=True)
class Published:
    """What was published."""

    manifest: Manifest
    is_new: bool
    """False if it was there already, and good for longer."""
    key: str | None
    changed_rows: int | None
    """Since what was published before; None if nothing was."""
    left_out: tuple[tuple[str, str], ...]
    """Rows that cannot be published, each with the reason."""


def publish(
    catalog: Catalog,
    folder: Path,
    *,
    name: str,
    signer: Signer | None,
    date: datetime | None = None,
    expires_days: int | None = EXPIRES_DAYS,
    unlisted: bool = False,
    converted: bool = False,
) -> Published:
    """Publish a catalog into a folder, which is new, empty, or was published to before.

    ``unlisted`` builds are published too: those of repositories that no listing showed, and
    that nobody else has published. So is, if ``converted``, what was converted here.

    Raises:
        UsageError: the folder is something else, or was published to with another key; or the
            name cannot be shown.
        IntegrityError: what was published there before cannot be read.
        DiskSpaceError, RkfetchError: it cannot be written.
    """
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise UsageError(
            "the catalog needs a name that can be shown",
            cause=[f"a name has 1 to {LONGEST_NAME} characters, none of them control characters"],
            hint="name it with --name TEXT",
        )
    make_directory(folder)
    with disk_errors(folder), _alone(folder):
        publisher = _Publisher(folder, name, signer, unlisted=unlisted, converted=converted)
        return publisher.run(catalog, date or datetime.now(timezone.utc), expires_days)


class _Publisher:
    def __init__(
        self,
        folder: Path,
        name: str,
        signer: Signer | None,
        *,
        unlisted: bool,
        converted: bool,
    ) -> None:
        self._folder = folder
        self._name = name
        self._signer = signer
        self._unlisted = unlisted
        self._converted = converted
        self._content_before = b""
        self._page_before = b""

    def run(self, catalog: Catalog, date: datetime, expires_days: int | None) -> Published:
        self._now = date.replace(microsecond=0)
        until = None if expires_days is None else self._now + timedelta(days=expires_days)
        self._expires = None if until is None else _time(until)
        before = self._before()
        with suppress(FileNotFoundError):
            self._page_before = (self._folder / PAGE).read_bytes()
        make_directory(self._folder / PARTS)
        rows = Rows(catalog, unlisted=self._unlisted, converted=self._converted)
        old = None if before is None else self._old_lines(before)
        changed = None if old is None else _difference(old, rows.lines)
        key = self._signer.public if self._signer else None
        told = (None if changed is None else len(changed), tuple(rows.left_out))
        if before is not None and changed == [] and self._is_still_good(before):
            return Published(before, False, key, *told)
        manifest = self._manifest(before, rows, changed)
        page = site(self._about(manifest, key), rows.builds)
        self._write(manifest, page)
        self._clear(before, page)
        return Published(manifest, True, key, *told)

    # --- what is there ------------------------------------------------------------------------

    def _before(self) -> Manifest | None:
        path = self._folder / MANIFEST
        if not path.exists():
            ours = {PARTS, PAGE, FOLDER, SIGNATURE}
            names = (p.name for p in self._folder.iterdir() if not p.name.startswith("."))
            stranger = min((name for name in names if name not in ours), default=None)
            if stranger is not None:
                raise UsageError(
                    f"{self._folder} holds something else",
                    cause=[f"for one: {stranger}"],
                    hint="name a folder that is new or empty, or was published to before",
                )
            return None
        self._require_same_key()
        self._content_before = path.read_bytes()
        try:
            return read_manifest(self._content_before)
        except FormError as error:
            raise IntegrityError(
                f"{path} cannot be read",
                cause=[str(error)],
                hint=f"publish to another folder, or remove {path}: then everybody has to fetch "
                "the whole",
            ) from error

    def _require_same_key(self) -> None:
        path = self._folder / SIGNATURE
        if self._signer is None or not path.exists():
            return
        used = key_number(path.read_bytes())
        if used not in {None, self._signer.number}:
            raise UsageError(
                f"{self._folder} was signed with another key before",
                cause=[f"that was {used}, this one is {self._signer.number}"],
                hint="who takes it in refuses a new key until told of it; to go on with the new "
                f"one, remove {path}",
            )

    def _old_lines(self, before: Manifest) -> dict[bytes, bytes] | None:
        """Return the rows of the state before; None if a part of it is lost."""
        try:
            return {
                read_row(line).key: line
                for part in before.parts
                for line in unpack(part, (self._folder / part.path).read_bytes())
            }
        except (FormError, FileNotFoundError):
            return None

    def _is_still_good(self, before: Manifest) -> bool:
        """Tell whether publishing the same rows anew would change next to nothing."""
        path = self._folder / SIGNATURE
        signature = path.read_bytes() if path.exists() else None
        same_terms = (before.name, before.expires is None) == (self._name, self._expires is None)
        today = self._now - moment(before.date) < _REPEAT_AFTER
        ours = self._signature(self._content_before, before.serial)
        return same_terms and today and signature == ours

    # --- what is new --------------------------------------------------------------------------

    def _manifest(
        self, before: Manifest | None, rows: Rows, changed: Sequence[bytes] | None
    ) -> Manifest:
        serial = int(self._now.strftime("%Y%m%d%H%M%S"))
        if before is not None:
            serial = max(serial, before.serial + 1)
        parts = tuple(self._put(bucket) for bucket in _buckets(rows.lines.values()))
        changes: tuple[Change, ...] = ()
        if before is not None and changed is not None:
            steps = tuple(self._put(chunk) for chunk in _chunks(changed))
            change = Change(since=before.serial, until=serial, parts=steps)
            room = _CHANGES_SHARE * sum(part.size_bytes for part in parts)
            changes = _within([*before.changes, change], room)
        return Manifest(
            name=self._name,
            serial=serial,
            date=_time(self._now),
            expires=self._expires,
            rows=len(rows.lines),
            sources={source: rows.updated.get(source, _time(self._now)) for source in rows.sources},
            parts=parts,
            changes=changes,
        )

    def _put(self, lines: Iterable[bytes]) -> Part:
        """Write a part, unless it is there."""
        part, packed = pack(lines)
        path = self._folder / part.path
        if not path.exists() or path.read_bytes() != packed:
            write_durably(path, packed)
        return part

    def _about(self, manifest: Manifest, key: str | None) -> About:
        terms = "--allow-unsigned" if key is None else f"--key {key}"
        files = [(MANIFEST, "names the parts: gzipped JSON, one object a line")]
        return About(
            name=manifest.name,
            date=manifest.date,
            take=f"rkfetch catalog update --from ADDRESS {terms}",
            key=key,
            files=files if key is None else [*files, (SIGNATURE, "the signature of that")],
        )

    def _write(self, manifest: Manifest, page: Mapping[str, bytes]) -> None:
        content = write_manifest(manifest)
        signature = self._signature(content, manifest.serial)
        plain = self._folder / SIGNATURE
        if signature is not None:
            write_durably(self._folder / _signature_of(content), signature)
        write_durably(self._folder / MANIFEST, content)
        if signature is not None:
            write_durably(plain, signature)
        else:
            plain.unlink(missing_ok=True)
        make_directory(self._folder / FOLDER)
        for name, content in page.items():  # the page itself is the last of them
            path = self._folder / name
            if not path.exists() or path.read_bytes() != content:
                write_durably(path, content)

    def _signature(self, content: bytes, serial: int) -> bytes | None:
        if self._signer is None:
            return None
        return self._signer.sign(content, f"rkfetch catalog, serial {serial}")

    def _clear(self, before: Manifest | None, page: Mapping[str, bytes]) -> None:
        """Remove what neither this state nor the one before it names, and torn leftovers."""
        content = (self._folder / MANIFEST).read_bytes()
        kept = read_manifest(content).referred | {_signature_of(content)}
        if before is not None:
            kept |= before.referred | {_signature_of(self._content_before)}
        for path in (self._folder / PARTS).iterdir():
            if f"{PARTS}/{path.name}" not in kept:
                path.unlink()
        named = page.keys() | files_of(self._page_before)
        for path in (self._folder / FOLDER).iterdir():
            if f"{FOLDER}/{path.name}" not in named:
                path.unlink()
        for path in self._folder.glob(".*.tmp"):
            path.unlink()


def _signature_of(content: bytes) -> str:
    """Return where the signature of a manifest lies under a name that fits no other."""
    return f"{PARTS}/{hashlib.sha256(content).hexdigest()}.minisig"


def _difference(old: Mapping[bytes, bytes], new: Mapping[bytes, bytes]) -> list[bytes]:
    gone = [gone_line(line) for key, line in old.items() if key not in new]
    fresh = [line for key, line in new.items() if old.get(key) != line]
    return [*sorted(gone), *_sorted(fresh)]


def _sorted(lines: Iterable[bytes]) -> list[bytes]:
    """Put repositories before the builds in them, which are read in this order."""
    return sorted(lines, key=lambda line: (not line.startswith(b'{"kind":"repository"'), line))


def _buckets(lines: Iterable[bytes]) -> list[list[bytes]]:
    """Share lines out, by a digest of their repository, over as many parts as their size asks."""
    together = list(lines)
    count = 1
    while sum(map(len, together)) > count * _PART_BYTES:
        count *= 2
    buckets: list[list[bytes]] = [[] for _ in range(count)]
    for line in together:
        buckets[int.from_bytes(bucket_of(line)[:4], "big") % count].append(line)
    return [_sorted(bucket) for bucket in buckets if bucket]


def _chunks(lines: Iterable[bytes]) -> list[list[bytes]]:
    chunks: list[list[bytes]] = []
    size = _PART_BYTES
    for line in lines:
        if size >= _PART_BYTES:
            chunks.append([])
            size = 0
        chunks[-1].append(line)
        size += len(line)
    return chunks


def _within(changes: Sequence[Change], room_bytes: float) -> tuple[Change, ...]:
    """Keep the newest steps that have room together."""
    kept: list[Change] = []
    for change in reversed(changes[-MOST_CHANGES:]):
        room_bytes -= sum(part.size_bytes for part in change.parts)
        if room_bytes < 0:
            break
        kept.append(change)
    return tuple(reversed(kept))


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one publisher at a time work on a folder; no lock file is left where people look."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
