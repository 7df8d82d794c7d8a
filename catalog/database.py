"""Read the catalog: which artifacts exist, and what is known about each.

Reading needs the standard library only, so that a command which finds everything on this
machine starts fast. Writing is `rkfetch.catalog.writer`.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from rkfetch.registry.errors import IntegrityError
from rkfetch.registry.model import LOCAL, Availability
from rkfetch.registry.vocabulary import Span

from . import border
from .additions import recall
from .entries import (
    CatalogStatus,
    Companion,
    Kept,
    Publication,
    SourceStatus,
    any_of,
    chunks,
    read_artifacts,
    repository_of,
)
from .files import catalog_path, open_file, snapshot_date
from .schema import version_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from typing_extensions import Self

    from rkfetch.registry.model import Artifact

    from .entries import Repository
    from .files import OpenFile


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
        rows = self.rows("SELECT name FROM models")
        return sorted((str(row["name"]) for row in rows), key=str.casefold)

    def candidates(self, models: Sequence[str]) -> list[Artifact]:
        """Return every artifact of these models, whatever its state, always in the same order."""
        return self._where("model", models)

    def artifact(
        self, source: str, repo: str, path: str, revision: str | None = None
    ) -> Artifact | None:
        """Return the artifact at a place: of several contents over time, the current one.

        ``revision`` is a branch, a tag or a commit that the catalog read it at. Without one, the
        default branch goes before others.
        """
        found = self._artifacts(
            "source = ? AND repo = ? AND path = ?",
            (source, repo, path),
            order="ref IS NOT NULL, id DESC",
        )
        if revision is not None:
            found = [a for a in found if revision in {a.ref, a.revision}]
        current = [a for a in found if a.availability is not Availability.GONE]
        return next(iter(current or found), None)

    def repository(self, source: str, repo: str) -> list[Artifact]:
        """Return all artifacts of one repository."""
        return self._artifacts("source = ? AND repo = ?", (source, repo))

    def by_sha256(self, sha256: str) -> list[Artifact]:
        """Return every place where this content is known to lie or to have lain."""
        return self._artifacts("sha256 = ?", (sha256.lower(),))

    def twins(self, digests: Sequence[str]) -> list[Artifact]:
        """Return every place of those of these contents that lie in several."""
        found = []
        for part in chunks(digests):
            condition, values = any_of("sha256", part)
            rows = self.rows(
                f"SELECT sha256 FROM artifacts WHERE {condition} "  # noqa: S608
                "GROUP BY sha256 HAVING count(*) > 1",
                values,
            )
            found += self._where("sha256", [row["sha256"] for row in rows])
        return found

    def by_hand(self) -> list[Artifact]:
        """Return every named file that only a person can fetch."""
        return self._artifacts("availability = 'manual' AND path <> ''", ())

    def by_ids(self, ids: Sequence[int]) -> list[Artifact]:
        """Return artifacts by their row numbers, in the order of these."""
        found = self.numbered(ids)
        return [found[i] for i in ids if i in found]

    def numbered(self, ids: Sequence[int]) -> dict[int, Artifact]:
        """Return artifacts with their row numbers."""
        found: dict[int, Artifact] = {}
        for part in chunks(ids):
            found.update(self._with_ids(*any_of("id", part)))
        return found

    def contradicted(self, attributes: Sequence[str]) -> list[Artifact]:
        """Return the artifacts of contents that are said to be different things."""
        marks = ",".join("?" * len(attributes))
        rows = self.rows(
            "WITH said AS MATERIALIZED ("  # noqa: S608
            "SELECT a.id, coalesce(a.sha256, a.id) AS content, e.attribute, e.value "
            "FROM evidence e JOIN artifacts a ON a.id = e.artifact_id "
            f"WHERE e.attribute IN ({marks}) "
            "UNION ALL SELECT a.id, a.sha256, e.attribute, e.value "
            "FROM evidence e JOIN artifacts a ON a.sha256 = e.sha256 "
            f"WHERE e.attribute IN ({marks})) "
            "SELECT DISTINCT id FROM said JOIN (SELECT DISTINCT content FROM said "
            "GROUP BY content, attribute HAVING min(value) <> max(value)) USING (content) "
            "ORDER BY id",
            [*attributes, *attributes],
        )
        return [
            artifact
            for part in chunks([int(row["id"]) for row in rows])
            for artifact in self._artifacts(*any_of("id", part))
        ]

    def everything(self) -> list[Artifact]:
        """Return all artifacts."""
        return self._artifacts("TRUE", ())

    def in_parts(self) -> Iterator[dict[int, Artifact]]:
        """Return all artifacts by their row numbers, some hundreds at a time, without doubts."""
        ids = [int(row["id"]) for row in self.rows("SELECT id FROM artifacts ORDER BY id")]
        for part in chunks(ids):
            with self._guarded():
                yield dict(read_artifacts(self._conn, *any_of("id", part)))

    def published_ids(self) -> set[int]:
        """Return the row numbers of artifacts that somebody has published."""
        rows = self.rows("SELECT artifact_id AS id FROM published WHERE artifact_id IS NOT NULL")
        return {int(row["id"]) for row in rows}

    def all_repositories(self) -> list[Repository]:
        """Return the repositories that an update, here or at a publisher's, has seen listed."""
        rows = self.rows("SELECT * FROM repositories ORDER BY source, repo")
        return [repository_of(row) for row in rows]

    def publications(self) -> list[Publication]:
        """Return the published catalogs that this one takes in, the shipped one first."""
        rows = self.rows(
            "SELECT p.*, (SELECT count(artifact_id) FROM published WHERE publication = p.id) "
            "AS builds FROM publications p ORDER BY id"
        )
        return [Publication(**{name: row[name] for name in Publication.__slots__}) for row in rows]

    def companions(self, artifact: Artifact) -> tuple[Companion, ...]:
        """Return the files that belong to an artifact."""
        rows = self.rows(
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

    def repositories(self, source: str) -> dict[str, Repository]:
        """Return the repositories as they were last listed, by their names in lower case."""
        rows = self.rows("SELECT * FROM repositories WHERE source = ?", (source,))
        return {str(row["repo"]).casefold(): repository_of(row) for row in rows}

    def listed(self, source: str, repo: str) -> Repository | None:
        """Return what a listing said of one repository; None if none did."""
        rows = self.rows("SELECT * FROM repositories WHERE source = ? AND repo = ?", (source, repo))
        return repository_of(rows[0]) if rows else None

    def named(self, name: str) -> list[Artifact]:
        """Return the artifacts whose file has this name, in whatever folder."""
        return self._artifacts(
            "path = ? OR substr(path, -length(?)) = ?", (name, f"/{name}", f"/{name}")
        )

    def additions(self) -> list[Kept]:
        """Return what people added, in the order in which it is exchanged."""
        rows = self.rows("SELECT line, own FROM additions")
        found = ((recall(row["line"]), bool(row["own"])) for row in rows)
        kept = [Kept(addition=addition, own=own) for addition, own in found if addition]
        return sorted(kept, key=lambda k: k.addition.order)

    def open_repositories(self, source: str) -> set[str]:
        """Return the repositories that are believed to hold builds now."""
        rows = self.rows(
            "SELECT DISTINCT repo FROM artifacts WHERE source = ? "
            "AND availability IN ('listed', 'unnamed')",
            (source,),
        )
        return {str(row["repo"]) for row in rows}

    def probed(self, sha256: str) -> str | None:
        """Return what is noted about a content whose header was read, as JSON."""
        rows = self.rows("SELECT facts FROM probes WHERE sha256 = ?", (sha256.lower(),))
        return str(rows[0]["facts"]) if rows else None

    def card(self, blob: str) -> str | None:
        """Return the text of a card that was read once, by its git blob."""
        rows = self.rows("SELECT text FROM cards WHERE blob = ?", (blob,))
        return str(rows[0]["text"]) if rows else None

    def vocabulary(self, beginning: str) -> Span | None:
        """Return how long a tokenizer is that begins so, if one was read."""
        rows = self.rows("SELECT length, keys FROM vocabularies WHERE beginning = ?", (beginning,))
        return Span(length=rows[0]["length"], keys=rows[0]["keys"]) if rows else None

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
        updates = self._pairs("SELECT key, value FROM meta WHERE key LIKE 'updated:%'")
        known += [value for key, value in updates.items() if key != f"updated:{LOCAL}"]
        known += self._pairs("SELECT id, date FROM publications").values()
        days = [day for text in known if text and (day := _day(text))]
        return max(days, default=None)

    def _sources(self) -> tuple[SourceStatus, ...]:
        counted: dict[str, dict[Availability, int]] = defaultdict(dict)
        for row in self.rows(
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
        return self._artifacts(*any_of(column, values)) if values else []

    def _artifacts(
        self, condition: str, values: Sequence[Any], order: str = "source, repo, path, id"
    ) -> list[Artifact]:
        return [artifact for _, artifact in self._with_ids(condition, values, order)]

    def _with_ids(
        self, condition: str, values: Sequence[Any], order: str = "source, repo, path, id"
    ) -> list[tuple[int, Artifact]]:
        with self._guarded():
            return read_artifacts(self._conn, condition, values, order=order, doubts=self._doubts())

    def _doubts(self) -> dict[str, str]:
        """Return what was read by range against contents within the last day, by their digest."""
        return self._pairs(
            "SELECT sha256, reason FROM doubts WHERE seen BETWEEN "
            "strftime('%Y-%m-%dT%H:%M:%SZ', 'now', '-1 day') "
            "AND strftime('%Y-%m-%dT%H:%M:%SZ', 'now')"
        )

    def _count(self, table: str) -> int:
        return int(self.rows(f"SELECT count(*) AS n FROM {table}")[0]["n"])  # noqa: S608

    def _pairs(self, sql: str) -> dict[str, Any]:
        return {row[0]: row[1] for row in self.rows(sql)}

    def define(self, name: str, arguments: int, function: Callable[..., Any]) -> None:
        """Let statements call a function, which always gives the same for the same."""
        self._conn.create_function(name, arguments, function, deterministic=True)

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Return what a statement of this package reads.

        Raises:
            IntegrityError: the database cannot be read.
        """
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
