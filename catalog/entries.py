"""What the rows of the catalog hold, and how they are read back.

Reading bears what a hand or a newer program put there: what makes no sense is passed over.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from rkfetch.registry.model import Artifact, Availability, Evidence, Origin, settle

from . import border
from .additions import recall

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from rkfetch.registry.sightings import Sighting

    from .additions import Addition

VISION = "vision"
"""The role of a vision encoder."""

_T = TypeVar("_T")
_CHUNK = 500  # SQLite's limit of variables in one statement is 999 in old builds


@dataclass(frozen=True, slots=True, kw_only=True)
class Companion:
    """A file that belongs to an artifact, such as the vision encoder of the same SoC."""

    role: str
    """``vision``, which the artifact needs beside it; ``tokenizer``, ``chat-template`` and
    ``config`` are the base model's own, for programs that want them."""
    repo: str
    path: str
    size_bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """One repository as a source listed it."""

    source: str
    repo: str
    sha: str | None = None
    """The commit of its default branch that it was read at, or what else changes with it."""
    modified: str | None = None
    created: str | None = None
    gated: bool = False
    private: bool = False
    """Only some users see it: nothing of it is published."""
    downloads: int | None = None
    """In the last month, as the Hub counts."""
    likes: int | None = None
    tags: tuple[str, ...] = ()
    library: str | None = None
    license: str | None = None
    base_model: str | None = None
    """The Hub id of the model that its card says it is a build of."""
    storage_bytes: int | None = None
    """What all its revisions take together: more than its default branch shows, if there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceStatus:
    """What the catalog holds from one source."""

    source: str
    rows: Mapping[Availability, int]
    repositories: int
    """Repositories that an update, here or at a publisher's, has seen listed."""
    updated: str | None
    """When an update of this source last completed, RFC 3339."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """A published catalog, as it was taken in."""

    id: int
    address: str
    """A URL, ``hf:OWNER/NAME`` or a path; `files.SHIPPED` for the one that comes with rkfetch."""
    name: str | None
    """What its publisher calls it; None for the shipped one."""
    key: str | None
    """The minisign key that must have signed it; None if it is taken unsigned."""
    serial: int
    manifest: str
    """SHA-256 of its manifest."""
    date: str
    expires: str | None
    etag: str | None
    modified: str | None
    taken: str
    """When it was taken in, RFC 3339."""
    builds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogStatus:
    """What the catalog is made of, and how old it is."""

    path: Path
    read_only: bool
    schema: int
    snapshot: str | None
    """The date of the shipped snapshot in it."""
    models: int
    artifacts: int
    evidence: int
    probed: int
    """Contents whose header was read."""
    sources: tuple[SourceStatus, ...]
    publications: tuple[Publication, ...]
    """Other people's catalogs in it."""
    notices: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An addition in this catalog."""

    addition: Addition
    own: bool
    """Recorded here, not taken from other people's."""


def read_artifacts(
    conn: sqlite3.Connection,
    condition: str,
    values: Sequence[Any],
    *,
    order: str = "id",
    doubts: Mapping[str, str] | None = None,
) -> list[tuple[int, Artifact]]:
    """Return artifacts with all their evidence, each with its row number.

    The condition and the order are ours, never a user's. ``doubts`` are reasons against contents.

    Raises:
        sqlite3.DatabaseError: the database cannot be read.
    """
    rows = conn.execute(
        f"SELECT * FROM artifacts WHERE {condition} ORDER BY {order}",  # noqa: S608
        values,
    ).fetchall()
    ids = [row["id"] for row in rows]
    evidence, sightings = _evidence(conn, ids), _sightings(conn, ids)
    against = doubts or {}
    return [
        (
            int(row["id"]),
            replace(
                _artifact(row, evidence.get(row["id"], ()), against.get(row["sha256"])),
                sightings=tuple(sightings.get(row["id"], ())),
            ),
        )
        for row in rows
    ]


def _evidence(conn: sqlite3.Connection, ids: Sequence[int]) -> dict[int, list[Evidence]]:
    found: dict[int, list[Evidence]] = defaultdict(list)
    publishers = dict(conn.execute("SELECT id, name FROM publications").fetchall())
    told: set[tuple[Any, ...]] = set()
    for row in _of_each(
        conn,
        ids,
        "SELECT artifact_id AS id, attribute, value, origin, place, seen, publication "
        "FROM evidence WHERE artifact_id IN ({0}) "
        "UNION ALL SELECT a.id, e.attribute, e.value, e.origin, e.place, e.seen, "
        "e.publication FROM artifacts a JOIN evidence e ON e.sha256 = a.sha256 "
        "WHERE a.id IN ({0}) ORDER BY publication",
    ):
        item = _observed(row)
        # Catalogs that repeat each other tell nothing new; our own word (NULL) is first.
        heard = (row["id"], *row[1:5])
        if item is not None and heard not in told:
            told.add(heard)
            publisher = publishers.get(row["publication"])
            found[row["id"]].append(
                item if publisher is None else replace(item, publisher=publisher)
            )
    return found


def _sightings(conn: sqlite3.Connection, ids: Sequence[int]) -> dict[int, list[Sighting]]:
    """Return what people saw of artifacts: of their content, or of the place if that is all."""
    found: dict[int, list[Sighting]] = defaultdict(list)
    for row in _of_each(
        conn,
        ids,
        "SELECT a.id, x.line, x.own FROM artifacts a "
        "JOIN additions x ON x.sha256 = a.sha256 WHERE a.id IN ({0}) "
        "UNION ALL SELECT a.id, x.line, x.own FROM artifacts a "
        "JOIN additions x ON x.sha256 IS NULL AND x.source = a.source "
        "AND x.repo = a.repo AND x.path = a.path WHERE a.id IN ({0})",
    ):
        addition = recall(row["line"])
        sighting = addition.sighting(own=bool(row["own"])) if addition else None
        if sighting is not None:
            found[row["id"]].append(sighting)
    return found


def _of_each(conn: sqlite3.Connection, ids: Sequence[int], sql: str) -> Iterator[sqlite3.Row]:
    """Return what a statement gives for each of these; ``{0}``, twice in it, stands for them."""
    for part in chunks(ids):
        yield from conn.execute(sql.format(",".join("?" * len(part))), [*part, *part])


def repository_of(row: sqlite3.Row) -> Repository:
    """Read one row of repositories."""
    return Repository(
        source=row["source"],
        repo=row["repo"],
        sha=row["sha"],
        modified=row["modified"],
        created=row["created"],
        gated=bool(row["gated"]),
        private=bool(row["private"]),
        downloads=row["downloads"],
        likes=row["likes"],
        tags=tuple(json.loads(row["tags"])),
        library=row["library"],
        license=row["license"],
        base_model=row["base_model"],
        storage_bytes=row["storage_bytes"],
    )


def _artifact(row: sqlite3.Row, evidence: Iterable[Evidence], doubt: str | None) -> Artifact:
    availability = Availability(row["availability"])
    doubted = doubt is not None and availability is Availability.LISTED
    return Artifact(
        source=row["source"],
        repo=row["repo"],
        path=row["path"],
        revision=row["revision"],
        ref=row["ref"],
        size_bytes=border.count(row["size_bytes"]),
        sha256=border.digest(row["sha256"]),
        availability=Availability.REJECTED if doubted else availability,
        attributes=settle(evidence),
        curated=bool(row["curated"]),
        gated=bool(row["gated"]),
        updated=row["updated"],
        note=doubt if doubted else row["note"],
    )


def _observed(row: sqlite3.Row) -> Evidence | None:
    """Read one row of evidence; None for one that a hand or a newer program put there."""
    try:
        origin = Origin(row["origin"])
    except ValueError:
        return None
    return border.observation(
        Evidence(
            attribute=row["attribute"],
            value=row["value"],
            origin=origin,
            place=row["place"],
            seen=row["seen"],
        )
    )


def any_of(column: str, values: Sequence[Any]) -> tuple[str, list[Any]]:
    """Return a condition for a column to have one of some values, at most a chunk of them."""
    if len(values) > _CHUNK:
        raise ValueError(f"{len(values)} values at once")
    return f"{column} IN ({','.join('?' * len(values))})", list(values)


def chunks(values: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """Return values in parts that fit into one statement, also twice."""
    for start in range(0, len(values), _CHUNK // 2):
        yield values[start : start + _CHUNK // 2]
