"""Bring this catalog up to date from a published one: ask for little, verify all, then take it.

The order is fixed: the signature over the manifest, what the manifest says of itself, the bytes
of each part against the manifest; only then are rows written, all in one transaction. Parts that
arrived are kept until it is through, so an interrupted run goes on where it was.
"""

from __future__ import annotations

import hashlib
import shutil
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from rkfetch.catalog.writer import Writer
from rkfetch.registry.durable import disk_errors, make_directory, write_durably
from rkfetch.registry.errors import IntegrityError, NetworkError, UsageError
from rkfetch.registry.locks import locked

from .form import LARGEST_MANIFEST, MANIFEST, PARTS, SIGNATURE, Manifest, read_manifest, unpack
from .places import MissingFileError
from .reading import FormError, moment
from .signing import public_key, verify
from .taking import Taking, remember, remembered

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rkfetch.catalog.entries import Publication

    from .form import Part
    from .places import Found, Place

_LARGEST_SIGNATURE = 16 << 10
_TRIES = 3
"""A publisher may replace files while they are read; who comes again finds the new ones."""
_CLOCK_TOLERANCE = timedelta(days=1)


class Watcher:
    """Is told how it goes on; does nothing by itself."""

    def fetching(self, done: int, total: int) -> None:
        """Tell how many bytes of all that are needed have come."""

    def taking(self, rows: int) -> None:
        """Tell that rows are being written."""


@dataclass(kw_only=True)
class Taken:
    """What came of it."""

    address: str
    name: str = ""
    serial: int = 0
    date: str = ""
    how: str = "unchanged"
    """``unchanged``, ``changes`` or ``whole``."""
    fetched_bytes: int = 0
    """Bytes of all files that came, the manifest and its signature included."""
    whole_bytes: int = 0
    """Bytes of all that is published, for comparison."""
    changed: int = 0
    withdrawn: int = 0
    rows: int = 0
    signed: bool = True


def take_from(
    place: Place,
    *,
    key: str | None = None,
    allow_unsigned: bool = False,
    path: Path | None = None,
    watcher: Watcher | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
) -> Taken:
    """Take what is published at a place into the user's catalog, or the one at ``path``.

    ``key`` is the publisher's minisign key, or its file; it is needed once.

    Raises:
        UsageError: no key is known for the place, or another one.
        IntegrityError: what lies there cannot be trusted. Nothing was changed.
        NetworkError, AuthenticationError: it cannot be read.
    """
    with Writer.open(path) as writer:
        kept = writer.path.with_name("catalog-parts")
        with locked(kept.with_name(f".{kept.name}.lock")):
            return _Subscriber(
                writer, place, kept, watcher or Watcher(), clock, allow_unsigned=allow_unsigned
            ).run(public_key(key) if key else None)


def forget(address: str, *, path: Path | None = None) -> bool:
    """Withdraw all that was taken from an address, its key too; False if there is nothing."""
    with Writer.open(path) as writer, writer.transaction():
        known = remembered(writer.conn, address)
        if known is None:
            return False
        manifest = Manifest(
            name=known.name or address,
            serial=known.serial,
            date=known.date,
            expires=None,
            rows=0,
            sources={},
            parts=(),
        )
        Taking(writer, known.id, manifest).forget()
    return True


class _Subscriber:
    """One run."""

    def __init__(
        self,
        writer: Writer,
        place: Place,
        kept: Path,
        watcher: Watcher,
        clock: Callable[[], datetime],
        *,
        allow_unsigned: bool,
    ) -> None:
        self._writer = writer
        self._place = place
        self._kept = kept
        self._watcher = watcher
        self._clock = clock
        self._allow_unsigned = allow_unsigned
        self._taken = Taken(address=place.address)
        self._key: str | None = None

    def run(self, given: str | None) -> Taken:
        known = remembered(self._writer.conn, self._place.address)
        self._key = self._choose_key(known, given)
        self._taken.signed = self._key is not None
        for last in range(_TRIES):
            try:
                return self._once(known)
            except MissingFileError:  # noqa: PERF203 - trying again is the point
                if last == _TRIES - 1:
                    raise
        raise AssertionError

    def _choose_key(self, known: Publication | None, given: str | None) -> str | None:
        remembered_key = known.key if known is not None else None
        if given is not None and remembered_key not in {None, given}:
            raise UsageError(
                f"another key is remembered for {self._place.address}",
                cause=[f"remembered is {remembered_key}", f"given is {given}"],
                hint="if its publisher told you of the new key in a way that you trust: "
                f"`rkfetch catalog update --from {self._place.address} --forget`, then once more "
                "with --key",
            )
        key = given or remembered_key
        if key is None and not self._allow_unsigned:
            raise UsageError(
                f"no key is known for {self._place.address}",
                cause=["without one, nobody can tell whose catalog it is"],
                hint="ask its publisher for the key and name it once: --key RW…; to take it as "
                "it comes: --allow-unsigned",
            )
        return key

    def _once(self, known: Publication | None) -> Taken:
        taken = self._taken
        taken.fetched_bytes = 0
        same_terms = known is not None and known.key == self._key
        found = self._manifest(known if same_terms else None)
        if known is not None and (
            found is None or (same_terms and _is(known.manifest, found.content))
        ):
            return self._unchanged(known)
        if found is None:
            raise NetworkError(
                f"{self._place.address} says that nothing is new, though it was not asked that",
                hint="try again later or from another place",
            )
        manifest = self._judged(found.content, known)
        taken.name, taken.serial, taken.date = manifest.name, manifest.serial, manifest.date
        taken.rows = manifest.rows
        taken.whole_bytes = sum(part.size_bytes for part in manifest.parts)
        way = manifest.way_from(known.serial) if known is not None else None
        if way is None or sum(part.size_bytes for part in way) > taken.whole_bytes:
            way, taken.how = manifest.parts, "whole"
        else:
            taken.how = "changes"
        self._fetch(way)
        self._take(manifest, found, way)
        shutil.rmtree(self._kept, ignore_errors=True)
        return taken

    def _manifest(self, known: Publication | None) -> Found | None:
        try:
            return self._get(MANIFEST, LARGEST_MANIFEST, known, "the manifest")
        except MissingFileError as error:
            raise NetworkError(
                f"there is no published catalog at {self._place.address}",
                cause=[error.message, *error.cause],
                hint=f"its address is that of the folder which holds {MANIFEST}",
            ) from error

    def _get(
        self, name: str, most: int, known: Publication | None = None, what: str | None = None
    ) -> Found | None:
        etag, modified = (known.etag, known.modified) if known is not None else (None, None)
        found = self._place.get(name, most, etag=etag, modified=modified)
        if found is not None:
            self._taken.fetched_bytes += len(found.content)
            if len(found.content) > most:
                raise IntegrityError(
                    f"{what or name} of {self._place.address} is larger than it may be",
                    expected=f"at most {most} bytes",
                    actual=f"more than {most} bytes",
                    cause=[f"no more than {most:,} bytes were read of it"],
                    hint="does the address lead to a published catalog? Nothing was changed",
                )
        return found

    def _unchanged(self, known: Publication) -> Taken:
        self._require_fresh(known.date, known.expires)
        with self._writer.transaction():
            self._writer.conn.execute(
                "UPDATE publications SET taken = ? WHERE id = ?",
                (self._clock().strftime("%Y-%m-%dT%H:%M:%SZ"), known.id),
            )
        taken = self._taken
        taken.how = "unchanged"
        taken.name, taken.serial, taken.date = known.name or "", known.serial, known.date
        return taken

    # --- trust --------------------------------------------------------------------------------

    def _judged(self, content: bytes, known: Publication | None) -> Manifest:
        """Return the manifest, once everything that can be wrong with it was looked at."""
        where = f"the catalog at {self._place.address}"
        if self._key is not None:
            self._verify(content, self._key, where)
        try:
            manifest = read_manifest(content)
        except FormError as error:
            raise IntegrityError(
                f"the manifest of {where} cannot be read",
                cause=[str(error)],
                hint="does the address lead to a published catalog?",
            ) from error
        self._require_fresh(manifest.date, manifest.expires)
        if known is None or manifest.serial > known.serial:
            return manifest
        if manifest.serial < known.serial:
            raise IntegrityError(
                f"{where} is older than what you have of it",
                expected=f"serial {known.serial} or later",
                actual=f"serial {manifest.serial}",
                cause=[f"it was published {manifest.date}, yours is of {known.date}"],
                hint="a mirror may be behind, or somebody shows you an old one on purpose; try "
                "again later or from another place",
            )
        if not _is(known.manifest, content):
            raise IntegrityError(
                f"{where} is not the one that had this serial before",
                cause=[f"two different catalogs have the serial {manifest.serial}"],
                hint="tell its publisher; nothing of it was taken",
            )
        return manifest

    def _verify(self, content: bytes, key: str, where: str) -> None:
        digest = hashlib.sha256(content).hexdigest()
        # The first is never replaced, so that it always fits; the second is what people sign by
        # hand with minisign.
        for name in (f"{PARTS}/{digest}.minisig", SIGNATURE):
            with suppress(MissingFileError):
                found = self._get(name, _LARGEST_SIGNATURE, what="the signature")
                verify(content, found.content if found else b"", key, what=where)
                return
        raise IntegrityError(
            f"{where} is not signed",
            cause=[f"there is no {SIGNATURE} beside its {MANIFEST}"],
            hint="ask its publisher; nothing of it was taken",
        )

    def _require_fresh(self, date: str, expires: str | None) -> None:
        now = self._clock()
        where = f"the catalog at {self._place.address}"
        if moment(date) > now + _CLOCK_TOLERANCE:
            raise IntegrityError(
                f"{where} is of the future",
                cause=[f"it says that it was published {date}, and here it is {now:%Y-%m-%d}"],
                hint="is the clock of this machine right? See `date`",
            )
        if expires is not None and moment(expires) <= now:
            raise IntegrityError(
                f"{where} has expired",
                cause=[f"it was published {date}, to be used until {expires}"],
                hint="its publisher has to publish it anew; or is the clock of this machine "
                "wrong? What you have stays as it is",
            )

    # --- parts ----------------------------------------------------------------------------------

    def _fetch(self, parts: Sequence[Part]) -> None:
        """Have all parts in the folder of this run, each verified."""
        total = sum(part.size_bytes for part in parts)
        done = 0
        with disk_errors(self._kept):
            make_directory(self._kept)
            wanted = {part.sha256 for part in parts}
            for leftover in self._kept.iterdir():
                if leftover.name not in wanted:
                    leftover.unlink()
        for part in parts:
            self._watcher.fetching(done, total)
            file = self._kept / part.sha256
            if not (file.is_file() and _is(part.sha256, file.read_bytes())):
                content = self._fetched(part)
                with disk_errors(self._kept):
                    write_durably(file, content)
            done += part.size_bytes
        self._watcher.fetching(done, total)

    def _fetched(self, part: Part) -> bytes:
        found = self._get(part.path, part.size_bytes, what=f"the part {part.sha256[:12]}…")
        content = found.content if found is not None else b""
        if len(content) < part.size_bytes:
            raise IntegrityError(
                f"a part of the catalog at {self._place.address} is cut short",
                expected=f"{part.size_bytes} bytes",
                actual=f"{len(content)} bytes",
                cause=[f"{part.path} has {len(content)} bytes instead of {part.size_bytes}"],
                hint="nothing was changed; try again later or from another place",
            )
        if not _is(part.sha256, content):
            actual = hashlib.sha256(content).hexdigest()
            raise IntegrityError(
                f"a part of the catalog at {self._place.address} was altered",
                expected=part.sha256,
                actual=actual,
                cause=[f"its SHA-256 should be {part.sha256}", f"and is {actual}"],
                hint="nothing was changed; try again later or from another place",
            )
        return content

    def _lines(self, part: Part) -> list[bytes]:
        try:
            return unpack(part, (self._kept / part.sha256).read_bytes())
        except FormError as error:
            raise IntegrityError(
                f"a part of the catalog at {self._place.address} is not what it should be",
                cause=[f"{part.path}: {error}"],
                hint="tell its publisher; nothing was changed",
            ) from error

    def _take(self, manifest: Manifest, found: Found, way: Sequence[Part]) -> None:
        self._watcher.taking(manifest.rows)
        with self._writer.transaction():
            publication = remember(
                self._writer,
                self._place.address,
                manifest,
                digest=hashlib.sha256(found.content).hexdigest(),
                name=manifest.name,
                key=self._key,
                etag=found.etag,
                modified=found.modified,
            )
            taking = Taking(self._writer, publication, manifest)
            take = taking.take_whole if self._taken.how == "whole" else taking.take_changes
            take(line for part in way for line in self._lines(part))
        self._taken.changed, self._taken.withdrawn = taking.changed, taking.withdrawn


def _is(sha256: str, content: bytes) -> bool:
    return hashlib.sha256(content).hexdigest() == sha256
