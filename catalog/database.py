"""Read the catalog: which artifacts exist, and what is known about each.

Reading needs the standard library only, so that a command which finds everything on this
machine starts fast. Writing is `rkfetch.catalog.writer`.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from rkfetch.registry.errors import IntegrityError
from rkfetch.registry.model import Artifact, Availability, Evidence, Origin, settle

from . import border
from .files import catalog_path, open_file, snapshot_date
from .schema import version_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from typing_extensions import Self

    from .files import OpenFile
    from .writer import Repository

__all__ = [
    "Catalog",
    "CatalogStatus",
    "Companion",
    "Publication",
    "SourceStatus",
    "catalog_path",
]

_CHUNK = 500  # SQLite's limit of variables in one statement is 999 in old builds


@dataclass(frozen=True, slots=True, kw_only=True)
class Companion:
    """A file that an artifact needs beside it, such as the vision encoder of the same SoC."""

    role: str
    """``vision``."""
    repo: str
    path: str
    size_bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceStatus:
    """What the catalog holds from one source."""

    source: str
    rows: Mapping[Availability, int]
    repositories: int
    """Repositories that an update has seen listed; 0 if only the snapshot spoke of the source."""
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


class Catalog:
    """The read side of a catalog database; use it as a context manager or close it."""

    def __init__(self, opened: OpenFile) -> None:
        self._conn = opened.conn
        self.path = opened.path
        self.read_only = opened.read_only
        self.notices = opened.notices

    @classmethod
    def open(cls, path: Path | None = None) -> Self:
        """Open the user's catalog, or the one at ``path``; the first use installs the snapshot.

        Safe for several processes at once. A damaged file is set aside and a home that cannot
        be written is read in place; `notices` says so.

        Raises:
            RkfetchError: the catalog was written by a newer rkfetch.
        """
        return cls(open_file(path or catalog_path()))

    def close(self) -> None:
        """Let go of the database file."""
        self._conn.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def models(self) -> list[str]:
        """Return the plain names of all models that have rows, sorted."""
        rows = self._rows(
            "SELECT min(model) AS model FROM artifacts WHERE model IS NOT NULL GROUP BY model"
        )
        return sorted((str(row["model"]) for row in rows), key=str.casefold)

    def candidates(self, models: Sequence[str]) -> list[Artifact]:
        """Return every artifact of these models, whatever its state, always in the same order."""
        return self._where("model", models)

    def artifact(self, source: str, repo: str, path: str) -> Artifact | None:
        """Return the artifact at a place: of several contents over time, the current one."""
        found = self._artifacts(
            "source = ? AND repo = ? AND path = ?", (source, repo, path), order="id DESC"
        )
        current = [a for a in found if a.availability is not Availability.GONE]
        return next(iter(current or found), None)

    def repository(self, source: str, repo: str) -> list[Artifact]:
        """Return all artifacts of one repository."""
        return self._artifacts("source = ? AND repo = ?", (source, repo))

    def by_sha256(self, sha256: str) -> list[Artifact]:
        """Return every place where this content is known to lie or to have lain."""
        return self._artifacts("sha256 = ?", (sha256.lower(),))

    def by_ids(self, ids: Sequence[int]) -> list[Artifact]:
        """Return artifacts by their row numbers, in the order of these."""
        found = dict(self._with_ids(*_any_of("id", ids))) if ids else {}
        return [found[i] for i in ids if i in found]

    def everything(self) -> list[Artifact]:
        """Return all artifacts."""
        return self._artifacts("TRUE", ())

    def in_parts(self) -> Iterator[dict[int, Artifact]]:
        """Return all artifacts by their row numbers, some hundreds at a time."""
        ids = [int(row["id"]) for row in self._rows("SELECT id FROM artifacts ORDER BY id")]
        for part in _chunks(ids):
            yield dict(self._with_ids(*_any_of("id", part)))

    def published_ids(self) -> set[int]:
        """Return the row numbers of artifacts that somebody has published."""
        rows = self._rows("SELECT artifact_id AS id FROM published WHERE artifact_id IS NOT NULL")
        return {int(row["id"]) for row in rows}

    def repositories(self) -> list[Repository]:
        """Return the repositories that an update, here or at a publisher's, has seen listed."""
        from .writer import Repository

        return [
            Repository(
                source=row["source"],
                repo=row["repo"],
                sha=row["sha"],
                modified=row["modified"],
                gated=bool(row["gated"]),
                private=bool(row["private"]),
                downloads=border.count(row["downloads"]),
                likes=border.count(row["likes"]),
                tags=tuple(json.loads(row["tags"])),
            )
            for row in self._rows("SELECT * FROM repositories ORDER BY source, repo")
        ]

    def publications(self) -> list[Publication]:
        """Return the published catalogs that this one takes in, the shipped one first."""
        rows = self._rows(
            "SELECT p.*, (SELECT count(artifact_id) FROM published WHERE publication = p.id) "
            "AS builds FROM publications p ORDER BY id"
        )
        return [Publication(**{name: row[name] for name in Publication.__slots__}) for row in rows]

    def companions(self, artifact: Artifact) -> tuple[Companion, ...]:
        """Return the files that belong to an artifact."""
        rows = self._rows(
            "SELECT c.* FROM companions c JOIN artifacts a ON a.id = c.artifact_id "
            "WHERE a.source = ? AND a.repo = ? AND a.path = ? AND coalesce(a.sha256, '') = ? "
            "ORDER BY c.role, c.path",
            (artifact.source, artifact.repo, artifact.path, artifact.sha256 or ""),
        )
        return tuple(
            Companion(
                role=row["role"],
                repo=row["repo"],
                path=row["path"],
                size_bytes=border.count(row["size_bytes"]),
                sha256=border.digest(row["sha256"]),
            )
            for row in rows
        )

    def repository_shas(self, source: str) -> dict[str, str | None]:
        """Return the commit that each repository was last read at, by its name in lower case."""
        rows = self._rows("SELECT repo, sha FROM repositories WHERE source = ?", (source,))
        return {str(row["repo"]).casefold(): row["sha"] for row in rows}

    def open_repositories(self, source: str) -> set[str]:
        """Return the repositories that are believed to hold builds now."""
        rows = self._rows(
            "SELECT DISTINCT repo FROM artifacts WHERE source = ? "
            "AND availability IN ('listed', 'unnamed')",
            (source,),
        )
        return {str(row["repo"]) for row in rows}

    def probed(self, sha256: str) -> str | None:
        """Return what is noted about a content whose header was read, as JSON."""
        rows = self._rows("SELECT facts FROM probes WHERE sha256 = ?", (sha256.lower(),))
        return str(rows[0]["facts"]) if rows else None

    def matching(self, expression: str, limit: int) -> list[int]:
        """Return the row numbers of artifacts whose names match an FTS5 expression, best first."""
        rows = self._rows(
            "SELECT rowid FROM names WHERE names MATCH ? ORDER BY bm25(names, 4, 2, 2, 1), rowid "
            "LIMIT ?",
            (expression, limit),
        )
        return [int(row["rowid"]) for row in rows]

    def status(self) -> CatalogStatus:
        """Count what is here, by source, with the age of each part."""
        with self._guarded():
            return CatalogStatus(
                path=self.path,
                read_only=self.read_only,
                schema=version_of(self._conn),
                snapshot=snapshot_date(self._conn),
                models=len(self.models()),
                artifacts=self._count("artifacts"),
                evidence=self._count("evidence"),
                probed=self._count("probes"),
                sources=self._sources(),
                publications=tuple(p for p in self.publications() if p.name is not None),
                notices=self.notices,
            )

    def as_of(self) -> datetime | None:
        """Return the day up to which the catalog knows of uploads: snapshot or last update."""
        known = [snapshot_date(self._conn)]
        known += self._pairs("SELECT key, value FROM meta WHERE key LIKE 'updated:%'").values()
        known += self._pairs("SELECT id, date FROM publications").values()
        days = [day for text in known if text and (day := _day(text))]
        return max(days, default=None)

    def _sources(self) -> tuple[SourceStatus, ...]:
        counted: dict[str, dict[Availability, int]] = defaultdict(dict)
        for row in self._rows(
            "SELECT source, availability, count(*) AS n FROM artifacts "
            "GROUP BY source, availability ORDER BY source, availability"
        ):
            counted[row["source"]][Availability(row["availability"])] = int(row["n"])
        listed = self._pairs("SELECT source, count(*) FROM repositories GROUP BY source")
        updated = self._pairs("SELECT substr(key, 9), value FROM meta WHERE key LIKE 'updated:%'")
        return tuple(
            SourceStatus(
                source=source,
                rows=counted[source],
                repositories=int(listed.get(source, 0)),
                updated=updated.get(source),
            )
            for source in sorted(counted.keys() | updated.keys())
        )

    def _where(self, column: str, values: Sequence[str]) -> list[Artifact]:
        return self._artifacts(*_any_of(column, values)) if values else []

    def _artifacts(
        self, condition: str, values: Sequence[Any], order: str = "source, repo, path, id"
    ) -> list[Artifact]:
        return [artifact for _, artifact in self._with_ids(condition, values, order)]

    def _with_ids(
        self, condition: str, values: Sequence[Any], order: str = "source, repo, path, id"
    ) -> list[tuple[int, Artifact]]:
        # The condition and the order are ours, never a user's.
        rows = self._rows(
            f"SELECT * FROM artifacts WHERE {condition} ORDER BY {order}",  # noqa: S608
            values,
        )
        evidence, doubts = self._evidence(rows), self._doubts()
        return [
            (int(row["id"]), _artifact(row, evidence.get(row["id"], ()), doubts.get(row["sha256"])))
            for row in rows
        ]

    def _doubts(self) -> dict[str, str]:
        """Return what was read by range against contents within the last day, by their digest."""
        return self._pairs(
            "SELECT sha256, reason FROM doubts WHERE seen BETWEEN "
            "strftime('%Y-%m-%dT%H:%M:%SZ', 'now', '-1 day') "
            "AND strftime('%Y-%m-%dT%H:%M:%SZ', 'now')"
        )

    def _evidence(self, rows: Sequence[sqlite3.Row]) -> dict[int, list[Evidence]]:
        found: dict[int, list[Evidence]] = defaultdict(list)
        publishers = self._pairs("SELECT id, name FROM publications")
        told: set[tuple[Any, ...]] = set()
        for part in _chunks([row["id"] for row in rows]):
            marks = ",".join("?" * len(part))
            for row in self._rows(
                "SELECT artifact_id AS id, attribute, value, origin, place, seen, publication "  # noqa: S608
                f"FROM evidence WHERE artifact_id IN ({marks}) "
                "UNION ALL SELECT a.id, e.attribute, e.value, e.origin, e.place, e.seen, "
                "e.publication FROM artifacts a JOIN evidence e ON e.sha256 = a.sha256 "
                f"WHERE a.id IN ({marks}) ORDER BY publication",
                [*part, *part],
            ):
                item = observed(row)
                # Catalogs that repeat each other tell nothing new; our own word (NULL) is first.
                heard = (row["id"], *row[1:5])
                if item is not None and heard not in told:
                    told.add(heard)
                    publisher = publishers.get(row["publication"])
                    found[row["id"]].append(
                        item if publisher is None else replace(item, publisher=publisher)
                    )
        return found

    def _count(self, table: str) -> int:
        return int(self._rows(f"SELECT count(*) AS n FROM {table}")[0]["n"])  # noqa: S608

    def _pairs(self, sql: str) -> dict[str, Any]:
        return {row[0]: row[1] for row in self._rows(sql)}

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        with self._guarded():
            return self._conn.execute(sql, values).fetchall()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise IntegrityError(
                f"the catalog cannot be read: {self.path}",
                cause=[str(error)],
                hint=f"move {self.path} away; the next command installs the shipped catalog",
            ) from error


def _day(moment: str) -> datetime | None:
    try:
        return datetime.fromisoformat(moment[:10]).replace(tzinfo=timezone.utc)
    except ValueError:
        return None


def split_words(text: str) -> str:
    """Part letters from digits, so that ``qwen 2.5`` finds ``Qwen2.5``."""
    return re.sub(r"(?<=[a-z])(?=\d)|(?<=\d)(?=[a-z])", " ", text.lower())


def _artifact(row: sqlite3.Row, evidence: Iterable[Evidence], doubt: str | None) -> Artifact:
    availability = Availability(row["availability"])
    doubted = doubt is not None and availability is Availability.LISTED
    return Artifact(
        source=row["source"],
        repo=row["repo"],
        path=row["path"],
        revision=row["revision"],
        size_bytes=border.count(row["size_bytes"]),
        sha256=border.digest(row["sha256"]),
        availability=Availability.REJECTED if doubted else availability,
        attributes=settle(evidence),
        curated=bool(row["curated"]),
        gated=bool(row["gated"]),
        updated=row["updated"],
        note=doubt if doubted else row["note"],
    )


def observed(row: sqlite3.Row) -> Evidence | None:
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


def _any_of(column: str, values: Sequence[Any]) -> tuple[str, list[Any]]:
    if len(values) > _CHUNK:
        raise ValueError(f"{len(values)} values at once")
    return f"{column} IN ({','.join('?' * len(values))})", list(values)


def _chunks(values: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(values), _CHUNK // 2):
        yield values[start : start + _CHUNK // 2]
