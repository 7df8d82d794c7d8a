"""What the maker's catalog knows of the models of an export, and how a board takes that in.

It has the form of a published catalog, signed if the maker has a key, so that
``catalog update --from EXPORT/catalog`` would take it, too. A board takes of it only what speaks
of the contents that it took from the export, as the word of this export.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from rkfetch.catalog.published.form import (
    MANIFEST,
    SIGNATURE,
    Manifest,
    pack,
    read_manifest,
    unpack,
    write_manifest,
)
from rkfetch.catalog.published.reading import FormError
from rkfetch.catalog.published.rows import addition_line, artifact_line, read_row
from rkfetch.catalog.published.selection import TAKEN, for_all
from rkfetch.catalog.published.taking import Taking, remember, remembered
from rkfetch.catalog.writer import Writer
from rkfetch.registry import settings
from rkfetch.registry.errors import IntegrityError

from .form import CATALOG

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from rkfetch.catalog.database import Catalog
    from rkfetch.catalog.published.rows import Row
    from rkfetch.catalog.published.signing import Signer
    from rkfetch.registry.record import Record

_EARLIEST = datetime(2020, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What a catalog took in."""

    name: str
    date: str
    rows: int
    is_new: bool
    """False if it knew this, or something later, already."""


def lines_about(catalog: Catalog, digests: Collection[str]) -> dict[bytes, bytes]:
    """Return all that a catalog knows of some contents, as rows of a published catalog by key."""
    kept = [k.addition for k in catalog.additions() if k.addition.sha256 in digests]
    places = {addition.place for addition in kept}
    found = [
        artifact_line(for_all(artifact, places), catalog.companions(artifact))
        for sha256 in sorted(digests)
        for artifact in catalog.by_sha256(sha256)
        if artifact.source in TAKEN and artifact.path
    ]
    found += [addition_line(addition) for addition in kept]
    return {key: line for key, line in found if _read(line) is not None}


def write(
    lines: Mapping[bytes, bytes], records: Sequence[Record], *, signer: Signer | None
) -> dict[str, bytes]:
    """Return the files of a published catalog with these rows; none if there are no rows.

    It is dated when the newest of the models came, so that the same export gives the same bytes.
    """
    if not lines:
        return {}
    part, packed = pack(sorted(lines.values()))
    date = max([_EARLIEST, *(_time(r.fetched_at) for r in records)]).replace(microsecond=0)
    stamp = date.strftime("%Y-%m-%dT%H:%M:%SZ")
    rows = (_read(line) for line in lines.values())
    sources = {row.artifact.source for row in rows if row is not None and row.artifact is not None}
    manifest = Manifest(
        name=_name(records),
        serial=int(date.strftime("%Y%m%d%H%M%S")),
        date=stamp,
        expires=None,
        rows=len(lines),
        sources=dict.fromkeys(sorted(sources), stamp),
        parts=(part,),
    )
    content = write_manifest(manifest)
    files = {MANIFEST: content, part.path: packed}
    if signer is not None:
        files[SIGNATURE] = signer.sign(content, f"rkfetch catalog, serial {manifest.serial}")
    return {f"{CATALOG}/{name}": data for name, data in sorted(files.items())}


def _name(records: Sequence[Record]) -> str:
    names = dict.fromkeys((r.model or r.path).rpartition("/")[2] for r in records)
    first = "".join(c for c in next(iter(names), "models") if c.isprintable())[:80]
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"export of {first}{more}"


def _time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return _EARLIEST
    return moment.astimezone(timezone.utc) if moment.tzinfo else _EARLIEST


def read_lines(files: Mapping[str, bytes]) -> tuple[Manifest, dict[bytes, bytes]]:
    """Return the rows of the catalog in an export, by key; ``files`` are by their paths there.

    Raises:
        IntegrityError: they make no sense.
    """
    try:
        manifest = read_manifest(files.get(f"{CATALOG}/{MANIFEST}", b""))
        lines = [
            line
            for part in manifest.parts
            for line in unpack(part, files.get(f"{CATALOG}/{part.path}", b""))
        ]
        return manifest, {read_row(line).key: line for line in lines}
    except FormError as error:
        raise IntegrityError(
            "the export's part of the catalog makes no sense",
            cause=[str(error)],
            hint="make the export anew; the models themselves were verified",
        ) from error


def take(
    path: Path | None,
    files: Mapping[str, bytes],
    digests: Collection[str],
    *,
    key: str | None,
) -> Learned | None:
    """Let the catalog at ``path`` know what an export says of these contents; None if nothing.

    ``key`` is the maker's, where it is known and has signed the export. What an export of the same
    models said before is replaced, unless that is newer. No clock is asked: many boards have none.

    Raises:
        IntegrityError: it makes no sense. Nothing was changed.
        UsageError, RkfetchError: the catalog cannot be written.
    """
    if not files:
        return None
    manifest, found = read_lines(files)
    lines = [line for line in found.values() if _speaks_of(_read(line), digests)]
    if not lines:
        return None
    manifest = replace(manifest, rows=len(lines))
    told = hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()
    address = f"export:{told[:16]}"
    digest = hashlib.sha256(b"\n".join(sorted(lines))).hexdigest()
    learned = Learned(name=manifest.name, date=manifest.date, rows=len(lines), is_new=True)
    with Writer.open(path) as writer, writer.transaction():
        known = remembered(writer.conn, address)
        if known is not None and (known.manifest == digest or known.serial > manifest.serial):
            return replace(learned, is_new=False)
        publication = remember(
            writer, address, manifest, digest=digest, name=manifest.name, key=key
        )
        Taking(writer, publication, manifest, at_hand=digests).take_whole(lines)
    return learned


def _speaks_of(row: Row | None, digests: Collection[str]) -> bool:
    if row is None or row.is_gone:
        return False
    subject = row.artifact or row.addition
    return subject is not None and subject.sha256 in digests


def _read(line: bytes) -> Row | None:
    with suppress(FormError):
        return read_row(line)
    return None


def known_keys(catalog: Catalog) -> Iterable[str]:
    """Return the public keys whose owners this machine takes catalogs from."""
    fixed: str | None = settings.value("catalog_key")
    keys = [p.key for p in catalog.publications()]
    if fixed is not None:
        from rkfetch.catalog.published.signing import public_key
        from rkfetch.registry.errors import UsageError

        with suppress(UsageError):
            keys.append(public_key(fixed))
    return dict.fromkeys(key for key in keys if key)
