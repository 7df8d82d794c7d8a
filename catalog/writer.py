"""Change the catalog: record artifacts and evidence, reject content, keep a source in step.

Each call is one transaction that takes the write lock first; several calls inside
`Writer.transaction` are one. Readers never wait for a writer (WAL).
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import contextmanager
from dataclasses import fields, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from rkfetch.registry.errors import RkfetchError, UsageError
from rkfetch.registry.model import Availability

from . import border
from .entries import Repository
from .files import catalog_path, database_path, open_file
from .observations import READ, Observations
from .schema import writing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from sqlite_utils.db import Table
    from typing_extensions import Self

    from rkfetch.registry.model import Artifact, Evidence
    from rkfetch.registry.vocabulary import Span

    from .additions import Addition
    from .database import Catalog
    from .entries import Companion

_OF_REPOSITORY = tuple(f.name for f in fields(Repository))
_RECORD_REPOSITORY = (
    f"INSERT INTO repositories ({', '.join(_OF_REPOSITORY)}, listed, publication) "  # noqa: S608 - our own names
    f"VALUES ({', '.join(f':{name}' for name in _OF_REPOSITORY)}, :listed, :publication) "
    "ON CONFLICT (source, repo) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _OF_REPOSITORY if name != "storage_bytes")
    # A mirror that does not tell makes nothing forgotten.
    + ", listed = excluded.listed, publication = excluded.publication, "
    "storage_bytes = coalesce(excluded.storage_bytes, storage_bytes)"
)
_ROWS_OF_A_PLACE = (
    "SELECT id, sha256, availability, ref FROM artifacts "
    "WHERE source = ? AND repo = ? AND path = ? "
    "ORDER BY availability = 'gone', ref IS NOT ?, id DESC"
)
"""The rows that count first, and of these the ones at the same branch or tag."""


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
        self.observations = Observations(conn)
        """The evidence; whoever writes it brings the index up to date with `refresh`."""

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
            self.observations.add(
                row_id,
                artifact.sha256,
                (e for a in artifact.attributes.values() for e in a.evidence),
                publication,
            )
            self._belongs(row_id, companions)
            self.refresh_content(row_id, artifact.sha256)
        return row_id

    def record_companions(self, artifact: Artifact, companions: Iterable[Companion]) -> None:
        """Note what belongs to an artifact that is known; of any other nothing is noted."""
        with self.transaction():
            row_id = self.row_of(artifact)
            if row_id is not None:
                self._belongs(row_id, companions)
                self.refresh([row_id])

    def _belongs(self, row_id: int, companions: Iterable[Companion]) -> None:
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

    def record_reading(self, artifact: Artifact, *, seen: str) -> None:
        """Add what was read of an artifact's content, and the artifact if it is not known yet.

        What else is said about one that is known stays with the places where it was said, and a
        listing alone says whether it is still there: an old version may be read, too.
        """
        artifact = _parsed(artifact)
        with self.transaction():
            row_id = self.row_of(artifact)
            if row_id is None:
                self.record_artifact(artifact, seen=seen)
                return
            self._conn.execute(
                "UPDATE artifacts SET size_bytes = coalesce(size_bytes, ?), "
                "sha256 = coalesce(sha256, ?), last_seen = ? WHERE id = ?",
                (artifact.size_bytes, artifact.sha256, seen, row_id),
            )
            said = (e for a in artifact.attributes.values() for e in a.evidence)
            self.observations.add(row_id, artifact.sha256, (e for e in said if e.origin in READ))
            self.refresh_content(row_id, artifact.sha256)

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
            self.observations.add(row_id, artifact.sha256, evidence, publication)
            self.refresh_content(row_id, artifact.sha256)

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

    def add(self, addition: Addition, *, own: bool, publication: int | None = None) -> None:
        """Keep what somebody observed, with the evidence in it; ``own``: recorded here."""
        with self.transaction():
            self._conn.execute(
                "INSERT INTO additions (id, own, sha256, source, repo, path, line, publication) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (id) DO UPDATE SET own = max(own, excluded.own)",
                (
                    addition.id,
                    int(own),
                    addition.sha256,
                    addition.source,
                    addition.repo,
                    addition.path,
                    addition.line(),
                    publication,
                ),
            )
            row_id = self.row_of(addition.file)
            if row_id is not None or addition.sha256 is not None:
                self.observations.add(row_id, addition.sha256, addition.evidence())
                self.refresh_content(row_id, addition.sha256)

    def remove_addition(self, addition: Addition) -> None:
        """Forget what somebody observed, and the evidence in it."""
        with self.transaction():
            holders = self._holders(self.row_of(addition.file), addition.sha256)
            self._conn.execute("DELETE FROM additions WHERE id = ?", (addition.id,))
            self._conn.execute(
                "DELETE FROM evidence WHERE place = ? AND (sha256 = ? OR artifact_id IN "
                "(SELECT id FROM artifacts WHERE source = ? AND repo = ? AND path = ?))",
                (
                    addition.place,
                    addition.sha256,
                    addition.source,
                    addition.repo,
                    addition.path,
                ),
            )
            self.refresh(holders)

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

    def record_card(self, blob: str, text: str) -> None:
        """Remember for ever the text of a card, by its git blob."""
        with self.transaction():
            self._table("cards").upsert({"blob": blob, "text": text}, pk="blob")

    def record_vocabulary(self, beginning: str, span: Span) -> None:
        """Remember how long a tokenizer is that begins so."""
        with self.transaction():
            row = {"beginning": beginning, "length": span.length, "keys": span.keys}
            self._table("vocabularies").upsert(row, pk="beginning")

    def sync_repository(
        self,
        repository: Repository,
        artifacts: Sequence[tuple[Artifact, Sequence[Companion]]],
        *,
        seen: str,
        gone_because: str = "removed upstream",
    ) -> None:
        """Make the catalog's view of a repository equal to a complete listing of it.

        What the listing no longer has becomes gone; nothing is deleted.
        """
        with self.transaction():
            kept = [
                self.record_artifact(artifact, companions=companions, seen=seen)
                for artifact, companions in artifacts
            ]
            for row_id, (_, companions) in zip(kept, artifacts, strict=True):
                paths = json.dumps([companion.path for companion in companions])
                self._conn.execute(
                    "DELETE FROM companions WHERE artifact_id = ? "
                    "AND path NOT IN (SELECT value FROM json_each(?))",
                    (row_id, paths),
                )
            self._conn.execute(
                "UPDATE artifacts SET availability = 'gone', note = ? "
                "WHERE source = ? AND repo = ? AND availability IN ('listed', 'unnamed') "
                "AND id NOT IN (SELECT value FROM json_each(?))",
                (gone_because, repository.source, repository.repo, json.dumps(kept)),
            )
            self.record_repository(repository, seen=seen)

    def record_repository(
        self, repository: Repository, *, seen: str, publication: int | None = None
    ) -> None:
        """Keep what a listing, ours or that of a ``publication``, says about a repository."""
        with self.transaction():
            self._conn.execute(
                _RECORD_REPOSITORY,
                {
                    **{name: getattr(repository, name) for name in _OF_REPOSITORY},
                    "gated": int(repository.gated),
                    "tags": json.dumps(repository.tags),
                    "private": int(repository.private),
                    "listed": seen,
                    "publication": publication,
                },
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

    def forget(self, artifact: Artifact) -> None:
        """Delete the rows of a place, with what was seen of them there."""
        from .index import drop_unused

        place = (artifact.source, artifact.repo, artifact.path)
        with self.transaction():
            gone = self._conn.execute(
                "DELETE FROM artifacts WHERE source = ? AND repo = ? AND path = ? RETURNING model",
                place,
            ).fetchall()
            drop_unused(self._conn, [row["model"] for row in gone])

    def row_of(self, artifact: Artifact) -> int | None:
        """Return the number of the row of this place and content, if there is one."""
        rows = self._conn.execute(
            _ROWS_OF_A_PLACE, (artifact.source, artifact.repo, artifact.path, artifact.ref)
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
            _ROWS_OF_A_PLACE, (artifact.source, artifact.repo, artifact.path, artifact.ref)
        ).fetchall()
        sha256 = artifact.sha256
        row = _same_content(rows, sha256)
        if sha256 is not None and artifact.availability is Availability.LISTED:
            self._conn.executemany(
                "UPDATE artifacts SET availability = 'gone', "
                "note = 'replaced upstream by other content' WHERE id = ?",
                [
                    (r["id"],)
                    for r in rows
                    if r["sha256"] not in {None, sha256} and r["ref"] == artifact.ref
                ],
            )
        if row is None:
            return self._insert(artifact, sha256, seen)
        rejected = row["availability"] == "rejected" and sha256 in {None, row["sha256"]}
        self._conn.execute(
            "UPDATE artifacts SET revision = ?, ref = ?, size_bytes = coalesce(?, size_bytes), "
            "sha256 = coalesce(?, sha256), gated = ?, curated = max(curated, ?), "
            "updated = coalesce(?, updated), last_seen = coalesce(?, last_seen) WHERE id = ?",
            (
                artifact.revision,
                artifact.ref,
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
            "INSERT INTO artifacts (source, repo, path, revision, ref, size_bytes, sha256, "
            "availability, gated, curated, updated, note, first_seen, last_seen) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                artifact.source,
                artifact.repo,
                artifact.path,
                artifact.revision,
                artifact.ref,
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

    def refresh_content(self, row_id: int | None, sha256: str | None) -> None:
        """Bring up to date what is derived of a row, and of all that hold the same content."""
        self.refresh(self._holders(row_id, sha256))

    def refresh(self, ids: Sequence[int]) -> None:
        """Bring what is derived from evidence up to date: the model, and the search index."""
        # Resolving imports this module for its words, and needs no index.
        from .index import refresh

        refresh(self._conn, ids)


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
