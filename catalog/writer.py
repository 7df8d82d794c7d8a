"""Change the catalog: record artifacts and evidence, reject content, keep a source in step.

Each call is one transaction that takes the write lock first; several calls inside
`Writer.transaction` are one. Readers never wait for a writer (WAL).
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from rkfetch.registry.errors import RkfetchError, UsageError
from rkfetch.registry.model import (
    Availability,
    Origin,
    settle,
)

from . import border
from .database import observed, split_words
from .files import catalog_path, database_path, open_file
from .schema import writing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from sqlite_utils.db import Table
    from typing_extensions import Self

    from rkfetch.registry.model import Artifact, Evidence

    from .database import Catalog, Companion

OF_CONTENT = frozenset({Origin.HEADER, Origin.TRAILER, Origin.LOG})
"""Origins that speak about bytes, wherever these lie."""

VERIFIED = "the whole file, its SHA-256 verified"
"""The place of evidence that was read from a file as its digest has it."""

READ = (Origin.HEADER, Origin.TRAILER)
"""Origins that are one reading of a file, together."""

_OF_NAMES = (Origin.FILE_NAME.value, Origin.REPO_NAME.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """One repository as a source listed it."""

    source: str
    repo: str
    sha: str | None = None
    """The commit that the listing was made from."""
    modified: str | None = None
    gated: bool = False
    private: bool = False
    """Only some users see it: nothing of it is published."""
    downloads: int | None = None
    likes: int | None = None
    tags: tuple[str, ...] = ()


def now() -> str:
    """Return the present time, RFC 3339 in UTC, to the second."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Writer:
    """The write side of a catalog database; use it as a context manager or close it."""

    def __init__(self, conn: sqlite3.Connection) -> None:
        # Imported here because it costs over 100 ms, and only writers need it.
        from sqlite_utils import Database

        self._db = Database(conn, execute_plugins=False)
        self._conn = conn

    @classmethod
    def open(cls, path: Path | None = None) -> Self:
        """Open the user's catalog for writing, or the one at ``path``.

        Raises:
            UsageError: it cannot be written.
            RkfetchError: a newer rkfetch wrote it.
        """
        opened = open_file(path or catalog_path())
        if opened.read_only:
            opened.conn.close()
            raise UsageError(
                "the catalog cannot be written",
                cause=opened.notices,
                hint="set RKFETCH_HOME to a folder that you may write to",
            )
        return cls(opened.conn)

    @property
    def conn(self) -> sqlite3.Connection:
        """The connection, for tables of which one other module knows everything."""
        return self._conn

    @property
    def path(self) -> Path:
        """The database file."""
        return database_path(self._conn)

    def close(self) -> None:
        """Let go of the database file."""
        self._conn.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make what happens inside one transaction; inside another one, a part of that.

        Raises:
            RkfetchError: the database refused.
        """
        try:
            with writing(self._conn):
                yield
        except sqlite3.DatabaseError as error:
            raise RkfetchError("the catalog cannot be written", cause=[str(error)]) from error

    def record_artifact(
        self,
        artifact: Artifact,
        *,
        companions: Iterable[Companion] = (),
        seen: str | None = None,
        publication: int | None = None,
    ) -> int:
        """Add an artifact with all its evidence, or bring the row of the same place up to date.

        Other content under a name that is known makes a new row; the old one becomes gone.
        A rejected content stays rejected. New observations replace older ones of the same
        attribute, origin and place; those of a ``publication`` replace all that it said.
        Returns the row's number.
        """
        artifact = _parsed(artifact)
        with self.transaction():
            row_id = self._place(artifact, seen)
            self._observe(
                row_id,
                artifact.sha256,
                (e for a in artifact.attributes.values() for e in a.evidence),
                publication,
            )
            for companion in companions:
                self._table("companions").upsert(
                    {
                        "artifact_id": row_id,
                        "role": companion.role,
                        "repo": companion.repo,
                        "path": companion.path,
                        "size_bytes": border.count(companion.size_bytes),
                        "sha256": border.digest(companion.sha256),
                    },
                    pk=("artifact_id", "role", "repo", "path"),
                )
            self.refresh([row_id])
        return row_id

    def record_evidence(
        self,
        artifact: Artifact,
        evidence: Iterable[Evidence],
        *,
        publication: int | None = None,
    ) -> None:
        """Add observations about an artifact, which is added if it is not known yet.

        What was read from its content is kept under its SHA-256, where that is known, and so
        holds wherever the same content lies.
        """
        artifact = _parsed(artifact)
        with self.transaction():
            row_id = self.row_of(artifact) or self.record_artifact(artifact, seen=now())
            self._observe(row_id, artifact.sha256, evidence, publication)
            self.refresh(self._holders(row_id, artifact.sha256))

    def reject(self, artifact: Artifact, reason: str, evidence: Iterable[Evidence] = ()) -> None:
        """Mark an artifact so that it is never offered again, with the reason as its note."""
        artifact = _parsed(artifact)
        with self.transaction():
            self.record_evidence(artifact, evidence)
            row_id = self.row_of(artifact)
            self._conn.execute(
                "UPDATE artifacts SET availability = ?, note = ? WHERE id = ?",
                (Availability.REJECTED.value, reason, row_id),
            )

    def doubt(self, sha256: str, reason: str) -> None:
        """Have a content passed over for a day, for what was read of it by range."""
        with self.transaction():
            self._table("doubts").upsert(
                {"sha256": sha256, "reason": reason, "seen": now()}, pk="sha256"
            )

    def trust(self, sha256: str) -> None:
        """Forget a doubt."""
        with self.transaction():
            self._conn.execute("DELETE FROM doubts WHERE sha256 = ?", (sha256,))

    def record_probe(self, sha256: str, form: str, facts: str) -> None:
        """Remember for ever what a content says: its format, and the facts as JSON."""
        with self.transaction():
            self._table("probes").upsert(
                {"sha256": sha256, "format": form, "facts": facts, "seen": now()},
                pk="sha256",
            )

    def is_verified(self, sha256: str) -> bool:
        """Tell whether this machine read a content from a whole file that has this digest."""
        found = self._conn.execute(
            "SELECT 1 FROM evidence WHERE sha256 = ? AND place = ? AND publication IS NULL",
            (sha256, VERIFIED),
        )
        return found.fetchone() is not None

    def sync_repository(
        self,
        repository: Repository,
        artifacts: Sequence[tuple[Artifact, Sequence[Companion]]],
        *,
        seen: str,
    ) -> None:
        """Make the catalog's view of a repository equal to a complete listing of it.

        What the listing no longer has becomes gone; nothing is deleted.
        """
        with self.transaction():
            kept = [
                self.record_artifact(artifact, companions=companions, seen=seen)
                for artifact, companions in artifacts
            ]
            self._conn.execute(
                "UPDATE artifacts SET availability = 'gone', note = 'removed upstream' "
                "WHERE source = ? AND repo = ? AND availability IN ('listed', 'unnamed') "
                "AND id NOT IN (SELECT value FROM json_each(?))",
                (repository.source, repository.repo, json.dumps(kept)),
            )
            self.record_repository(repository, seen=seen)

    def record_repository(
        self, repository: Repository, *, seen: str, publication: int | None = None
    ) -> None:
        """Keep what a listing, ours or that of a ``publication``, says about a repository."""
        with self.transaction():
            self._conn.execute(
                "INSERT INTO repositories (source, repo, sha, modified, listed, gated, downloads, "
                "likes, tags, private, publication) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (source, repo) "
                "DO UPDATE SET repo = excluded.repo, sha = excluded.sha, "
                "modified = excluded.modified, listed = excluded.listed, gated = excluded.gated, "
                "downloads = excluded.downloads, likes = excluded.likes, tags = excluded.tags, "
                "private = excluded.private, publication = excluded.publication",
                (
                    repository.source,
                    repository.repo,
                    repository.sha,
                    repository.modified,
                    seen,
                    int(repository.gated),
                    repository.downloads,
                    repository.likes,
                    json.dumps(repository.tags),
                    int(repository.private),
                    publication,
                ),
            )

    def drop_repository(self, source: str, repo: str, *, note: str) -> None:
        """Mark everything of a repository that its source no longer has as gone."""
        with self.transaction():
            self._conn.execute(
                "UPDATE artifacts SET availability = 'gone', note = ? WHERE source = ? "
                "AND repo = ? AND availability IN ('listed', 'unnamed')",
                (note, source, repo),
            )
            self._conn.execute(
                "DELETE FROM repositories WHERE source = ? AND repo = ?", (source, repo)
            )

    def row_of(self, artifact: Artifact) -> int | None:
        """Return the number of the row of this place and content, if there is one."""
        rows = self._conn.execute(
            "SELECT id, sha256, availability FROM artifacts WHERE source = ? AND repo = ? "
            "AND path = ? ORDER BY availability = 'gone', id DESC",
            (artifact.source, artifact.repo, artifact.path),
        ).fetchall()
        row = _same_content(rows, artifact.sha256)
        return None if row is None else int(row["id"])

    def set_meta(self, key: str, value: str) -> None:
        """Keep a fact about the catalog itself."""
        with self.transaction():
            self._table("meta").upsert({"key": key, "value": value}, pk="key")

    def _table(self, name: str) -> Table:
        return self._db.table(name)

    def _place(self, artifact: Artifact, seen: str | None) -> int:
        """Find or make the row of an artifact's place and content, and update what it says."""
        rows = self._conn.execute(
            "SELECT id, sha256, availability FROM artifacts WHERE source = ? AND repo = ? "
            "AND path = ? ORDER BY availability = 'gone', id DESC",
            (artifact.source, artifact.repo, artifact.path),
        ).fetchall()
        sha256 = artifact.sha256
        row = _same_content(rows, sha256)
        if sha256 is not None and artifact.availability is Availability.LISTED:
            self._conn.executemany(
                "UPDATE artifacts SET availability = 'gone', "
                "note = 'replaced upstream by other content' WHERE id = ?",
                [(r["id"],) for r in rows if r["sha256"] not in {None, sha256}],
            )
        if row is None:
            return self._insert(artifact, sha256, seen)
        rejected = row["availability"] == "rejected" and sha256 in {None, row["sha256"]}
        self._conn.execute(
            "UPDATE artifacts SET revision = ?, size_bytes = coalesce(?, size_bytes), "
            "sha256 = coalesce(?, sha256), gated = ?, curated = max(curated, ?), "
            "updated = coalesce(?, updated), last_seen = coalesce(?, last_seen) WHERE id = ?",
            (
                artifact.revision,
                artifact.size_bytes,
                sha256,
                int(artifact.gated),
                int(artifact.curated),
                artifact.updated,
                seen,
                row["id"],
            ),
        )
        if not rejected:
            self._conn.execute(
                "UPDATE artifacts SET availability = ?, note = ? WHERE id = ?",
                (artifact.availability.value, artifact.note, row["id"]),
            )
        return int(row["id"])

    def _insert(self, artifact: Artifact, sha256: str | None, seen: str | None) -> int:
        done = self._conn.execute(
            "INSERT INTO artifacts (source, repo, path, revision, size_bytes, sha256, "
            "availability, gated, curated, updated, note, first_seen, last_seen) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                artifact.source,
                artifact.repo,
                artifact.path,
                artifact.revision,
                artifact.size_bytes,
                sha256,
                artifact.availability.value,
                int(artifact.gated),
                int(artifact.curated),
                artifact.updated,
                artifact.note,
                seen,
                seen,
            ),
        )
        return int(str(done.lastrowid))

    def _holders(self, row_id: int | None, sha256: str | None) -> list[int]:
        rows = self._conn.execute(
            "SELECT id FROM artifacts WHERE id = ? OR sha256 = ?",
            (row_id, sha256),
        )
        return [int(row["id"]) for row in rows]

    def _observe(
        self,
        row_id: int | None,
        sha256: str | None,
        evidence: Iterable[Evidence],
        publication: int | None = None,
    ) -> None:
        """Add observations; those of the same attribute, origin and place make room."""
        fresh = list(dict.fromkeys(e for e in map(border.observation, evidence) if e is not None))
        if publication is None:
            fresh = self._one_reading(row_id, sha256, fresh)
            if row_id is not None and any(e.origin.value in _OF_NAMES for e in fresh):
                # A name is read as a whole: what an older reading of it found is void.
                self._conn.execute(
                    "DELETE FROM evidence WHERE artifact_id = ? AND origin IN (?, ?)",
                    (row_id, *_OF_NAMES),
                )
        else:
            fresh = self._said_anew(row_id, sha256, fresh, publication)
        rows = []
        for item in fresh:
            by_content = sha256 is not None and (item.origin in OF_CONTENT or row_id is None)
            owner = (None, sha256) if by_content else (row_id, None)
            rows.append(
                {
                    "artifact_id": owner[0],
                    "sha256": owner[1],
                    "attribute": item.attribute,
                    "value": item.value,
                    "origin": item.origin.value,
                    "place": item.place,
                    "seen": item.seen,
                    "publication": publication,
                }
            )
        if publication is None:
            # Not `artifact_id IS ? AND sha256 IS ?`: that would read the whole table each time.
            for column in ("artifact_id", "sha256"):
                self._conn.executemany(
                    f"DELETE FROM evidence WHERE {column} = :{column} "  # noqa: S608
                    "AND attribute = :attribute AND origin = :origin AND place = :place",
                    (row for row in rows if row[column] is not None),
                )
        self._conn.executemany(
            "INSERT INTO evidence (artifact_id, sha256, attribute, value, origin, place, seen, "
            "publication) VALUES (:artifact_id, :sha256, :attribute, :value, :origin, :place, "
            ":seen, :publication)",
            rows,
        )

    def _said_anew(
        self, row_id: int | None, sha256: str | None, fresh: list[Evidence], publication: int
    ) -> list[Evidence]:
        """Make room for what a publication says now, and drop what this machine knows itself.

        A header or a name that was read here stands alone, whatever others read.
        """
        self.unsay(row_id, sha256, publication)
        ours = self._conn.execute(
            "SELECT attribute, origin, place FROM evidence "
            "WHERE (artifact_id = ? OR sha256 = ?) AND publication IS NULL",
            (row_id, sha256),
        ).fetchall()
        same = {(row["attribute"], row["origin"], row["place"]) for row in ours}
        whole = {origin.value for origin in READ}, set(_OF_NAMES)
        origins = {row["origin"] for row in ours}
        read_here = {origin for group in whole if group & origins for origin in group}
        return [
            e
            for e in fresh
            if e.origin.value not in read_here
            and (e.attribute, e.origin.value, e.place) not in same
        ]

    def unsay(self, row_id: int | None, sha256: str | None, publication: int) -> None:
        """Delete what a publication said about an artifact, and about its content."""
        self._conn.execute(
            "DELETE FROM evidence WHERE (artifact_id = ? OR sha256 = ?) AND publication = ?",
            (row_id, sha256, publication),
        )

    def _one_reading(
        self, row_id: int | None, sha256: str | None, fresh: list[Evidence]
    ) -> list[Evidence]:
        """Let the newest reading of a header stand alone, unless the whole file was verified.

        Readings by range may have been damaged or forged; together they would be a dispute.
        """
        places = {e.place for e in fresh if e.origin in READ}
        if not places:
            return fresh
        if VERIFIED not in places and sha256 is not None and self.is_verified(sha256):
            return [e for e in fresh if e.origin not in READ]
        self._conn.execute(
            "DELETE FROM evidence WHERE (artifact_id = ? OR sha256 = ?) AND origin IN (?, ?)",
            (row_id, sha256, *(origin.value for origin in READ)),
        )
        return fresh

    def refresh(self, ids: Iterable[int]) -> None:
        """Bring what is derived from evidence up to date: the model, and the search index."""
        for row_id in ids:
            row = self._conn.execute("SELECT * FROM artifacts WHERE id = ?", (row_id,)).fetchone()
            model = self._model(row_id, row["sha256"])
            self._conn.execute("UPDATE artifacts SET model = ? WHERE id = ?", (model, row_id))
            self._conn.execute("DELETE FROM names WHERE rowid = ?", (row_id,))
            self._conn.execute(
                "INSERT INTO names (rowid, model, repo, path, words) VALUES (?, ?, ?, ?, ?)",
                (
                    row_id,
                    model or "",
                    row["repo"],
                    row["path"],
                    split_words(f"{model or ''} {row['repo']} {row['path']}"),
                ),
            )

    def _model(self, row_id: int, sha256: str | None) -> str | None:
        rows = self._conn.execute(
            "SELECT * FROM evidence WHERE attribute = 'model' AND (artifact_id = ? OR sha256 = ?)",
            (row_id, sha256),
        )
        settled = settle(item for item in map(observed, rows) if item is not None)
        contenders = settled["model"].contenders if settled else ()
        return contenders[0] if contenders else None


def record_evidence(catalog: Catalog, artifact: Artifact, evidence: Iterable[Evidence]) -> None:
    """Add observations to the catalog that is being read; nothing happens if it is read only."""
    if not catalog.read_only:
        with Writer.open(catalog.path) as writer:
            writer.record_evidence(artifact, evidence)


def reject(
    catalog: Catalog, artifact: Artifact, reason: str, evidence: Iterable[Evidence] = ()
) -> None:
    """Reject an artifact in the catalog that is being read; nothing happens if it is read only."""
    if not catalog.read_only:
        with Writer.open(catalog.path) as writer:
            writer.reject(artifact, reason, evidence)


def _parsed(artifact: Artifact) -> Artifact:
    return replace(
        artifact,
        sha256=border.digest(artifact.sha256),
        size_bytes=border.count(artifact.size_bytes),
    )


def _same_content(rows: Sequence[sqlite3.Row], sha256: str | None) -> sqlite3.Row | None:
    """Choose the row that an observation of this content belongs to.

    A row whose content is unknown takes any; an observation without a hash belongs to the
    row that counts now.
    """
    for wanted in (sha256, None):
        for row in rows:
            if row["sha256"] == wanted:
                return row
    return rows[0] if rows and sha256 is None else None
