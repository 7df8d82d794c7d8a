"""Take the rows of a published catalog into this one, and take back what it says no more.

What it says stays apart from what this machine found out itself: it is evidence under its
publisher's name, replaced as a whole when it says something else, and withdrawn when it says it
no more. Where this machine has listed a repository later than the publisher, or has
read a header or a name itself, it knows better.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rkfetch.catalog.additions import recall
from rkfetch.catalog.entries import Publication
from rkfetch.catalog.writer import now
from rkfetch.registry.errors import IntegrityError
from rkfetch.registry.model import Availability

from .reading import FormError
from .rows import addition_line, digest_of, key_of, read_row
from .selection import PUBLIC, TAKEN

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Container, Iterable

    from rkfetch.catalog.additions import Addition
    from rkfetch.catalog.entries import Companion, Repository
    from rkfetch.catalog.writer import Writer
    from rkfetch.registry.model import Artifact

    from .form import Manifest


class Taking:
    """Takes in one publication; the caller holds the transaction around all of it."""

    def __init__(
        self,
        writer: Writer,
        publication: int,
        manifest: Manifest,
        *,
        at_hand: Container[str] = (),
    ) -> None:
        self._writer = writer
        self._at_hand = at_hand
        """Contents that are on this machine: no listing can tell that they do not exist."""
        self._conn = writer.conn
        self._id = publication
        self._manifest = manifest
        self._known: dict[bytes, tuple[bytes, int | None]] = {
            bytes(row["key"]): (bytes(row["digest"]), row["artifact_id"])
            for row in self._conn.execute(
                "SELECT key, digest, artifact_id FROM published WHERE publication = ?",
                (publication,),
            )
        }
        self._listed_elsewhere = {
            (str(row["source"]), str(row["repo"]).casefold()): str(row["listed"])
            for row in self._conn.execute(
                "SELECT source, repo, listed FROM repositories WHERE publication IS NOT ?",
                (publication,),
            )
        }
        self._additions: list[Addition] = []
        """They speak of files, which have to be known first."""
        self.changed = 0
        """Rows that are new, or say something else than before."""
        self.withdrawn = 0
        """Rows that the publication does not have any more."""

    def take_whole(self, lines: Iterable[bytes]) -> None:
        """Make this catalog know what all lines say; what they do not say is withdrawn.

        Raises:
            IntegrityError: they are not what the manifest says. The caller rolls back.
        """
        absent = set(self._known)
        for line in lines:
            absent.discard(self._take(line))
        for key in absent:
            self._withdraw(key)
        self._finish()

    def take_changes(self, lines: Iterable[bytes]) -> None:
        """Make the changes that the lines say; raises like `take_whole`."""
        for line in lines:
            self._take(line)
        self._finish()

    def forget(self) -> None:
        """Withdraw everything, and the publication itself."""
        for key in list(self._known):
            self._withdraw(key)
        self._drop_repositories()
        self._drop_additions()
        # What was recorded here as well stays.
        self._conn.execute(
            "UPDATE additions SET publication = NULL WHERE publication = ?", (self._id,)
        )
        for table in ("evidence", "published"):
            self._conn.execute(f"DELETE FROM {table} WHERE publication = ?", (self._id,))  # noqa: S608
        self._conn.execute("DELETE FROM publications WHERE id = ?", (self._id,))

    def _take(self, line: bytes) -> bytes:
        try:
            row = read_row(line)
        except FormError as error:
            raise _bad(self._manifest, f"a row of it makes no sense: {error}") from error
        if row.is_gone:
            self._withdraw(row.key)
            return row.key
        digest = digest_of(line)
        before = self._known.get(row.key)
        if before is not None and before[0] == digest:
            return row.key
        ours = None
        if row.repository is not None and row.repository.source in PUBLIC:
            self._take_repository(row.repository)
        elif row.artifact is not None and row.artifact.source in TAKEN:
            ours = self._take_artifact(row.artifact, row.companions)
        elif row.addition is not None:
            self._additions.append(row.addition)
        self._known[row.key] = (digest, ours)
        self._conn.execute(
            "INSERT OR REPLACE INTO published (publication, key, digest, artifact_id) "
            "VALUES (?, ?, ?, ?)",
            (self._id, row.key, digest, ours),
        )
        self.changed += 1
        return row.key

    def _take_repository(self, repository: Repository) -> None:
        place = (repository.source, repository.repo.casefold())
        seen = self._updated(repository.source)
        if self._listed_elsewhere.get(place, "") < seen:
            self._listed_elsewhere.pop(place, None)
            self._writer.record_repository(repository, seen=seen, publication=self._id)

    def _take_artifact(self, artifact: Artifact, companions: Iterable[Companion]) -> int | None:
        place = (artifact.source, artifact.repo.casefold())
        is_judged_here = artifact.availability is Availability.REJECTED and self._is_read_here(
            artifact.sha256
        )
        is_listed = place in self._listed_elsewhere
        if is_listed and artifact.sha256 in self._at_hand and not self._writer.row_of(artifact):
            # Beside what the listing has at this place, not instead of it.
            is_listed, artifact = False, replace(artifact, ref=artifact.ref or artifact.revision)
        if not is_listed and not is_judged_here:
            return self._writer.record_artifact(
                artifact,
                companions=companions,
                seen=self._updated(artifact.source),
                publication=self._id,
            )
        row_id = self._writer.row_of(artifact)
        if row_id is not None:
            evidence = (e for a in artifact.attributes.values() for e in a.evidence)
            self._writer.record_evidence(artifact, evidence, publication=self._id)
        return row_id

    def _updated(self, source: str) -> str:
        """Return when the publisher has last looked at a source."""
        return self._manifest.sources.get(source, self._manifest.date)

    def _is_read_here(self, sha256: str | None) -> bool:
        found = self._conn.execute(
            "SELECT 1 FROM evidence WHERE sha256 = ? AND origin IN ('header', 'trailer') "
            "AND publication IS NULL",
            (sha256,),
        )
        return found.fetchone() is not None

    def _withdraw(self, key: bytes) -> None:
        """Take back a row: what it said goes, and the build, if nobody else knows of it."""
        _, ours = self._known.pop(key, (b"", None))
        done = self._conn.execute(
            "DELETE FROM published WHERE publication = ? AND key = ?", (self._id, key)
        )
        self.withdrawn += done.rowcount
        if ours is None:
            return
        sha256 = self._conn.execute(
            "SELECT sha256 FROM artifacts WHERE id = ?", (ours,)
        ).fetchone()["sha256"]
        still_said = self._conn.execute(
            "SELECT 1 FROM artifacts a CROSS JOIN published p ON p.artifact_id = a.id "
            "WHERE a.sha256 = ? AND p.publication = ?",
            (sha256, self._id),
        ).fetchone()
        self._writer.observations.unsay(ours, None if still_said else sha256, self._id)
        gone = self._conn.execute(
            "UPDATE artifacts SET availability = 'gone', note = ? WHERE id = ? "
            "AND availability <> 'gone' "
            "AND NOT EXISTS (SELECT 1 FROM published WHERE artifact_id = artifacts.id) "
            "AND NOT EXISTS (SELECT 1 FROM evidence WHERE (artifact_id = ? OR sha256 = ?) "
            "AND publication IS NULL AND place NOT LIKE 'addition %')",
            (f"no longer in the catalog of {self._manifest.name}", ours, ours, sha256),
        )
        if gone.rowcount:
            # Whether it is there is not known any more: the next update has to look.
            self._conn.execute(
                "UPDATE repositories SET sha = NULL WHERE (source, repo) = "
                "(SELECT source, repo FROM artifacts WHERE id = ?)",
                (ours,),
            )
        self._writer.refresh_content(ours, sha256)

    def _finish(self) -> None:
        """Drop repositories and additions that are said no more, and count what is there now."""
        for addition in self._additions:
            self._writer.add(addition, own=False, publication=self._id)
        self._drop_additions()
        self._drop_repositories()
        if len(self._known) != self._manifest.rows:
            raise _bad(
                self._manifest,
                f"it has {len(self._known)} rows, its manifest says {self._manifest.rows}",
            )

    def _drop_repositories(self) -> None:
        for row in self._conn.execute(
            "SELECT source, repo FROM repositories WHERE publication = ?", (self._id,)
        ).fetchall():
            key = key_of("repository", row["source"], row["repo"])
            if key in self._known:
                continue
            place, other = (row["source"], row["repo"]), self._another_with(key)
            if other is None:
                self._conn.execute("DELETE FROM repositories WHERE source = ? AND repo = ?", place)
            else:
                self._conn.execute(
                    "UPDATE repositories SET publication = ? WHERE source = ? AND repo = ?",
                    (other, *place),
                )

    def _drop_additions(self) -> None:
        for row in self._conn.execute(
            "SELECT id, line FROM additions WHERE publication = ? AND NOT own", (self._id,)
        ).fetchall():
            addition = recall(row["line"])
            if addition is None or (key := addition_line(addition)[0]) in self._known:
                continue
            other = self._another_with(key)
            if other is None:
                self._writer.remove_addition(addition)
            else:
                self._conn.execute(
                    "UPDATE additions SET publication = ? WHERE id = ?", (other, row["id"])
                )

    def _another_with(self, key: bytes) -> int | None:
        """Return another publication that says the same row."""
        # By way of the publications: the table is in their order, and there are few of them.
        row = self._conn.execute(
            "SELECT p.publication FROM publications o "
            "CROSS JOIN published p ON p.publication = o.id AND p.key = ? WHERE o.id <> ?",
            (key, self._id),
        ).fetchone()
        return None if row is None else int(row["publication"])


def _bad(manifest: Manifest, why: str) -> IntegrityError:
    return IntegrityError(
        f"the catalog of {manifest.name} contradicts itself",
        cause=[why],
        hint="tell its publisher; nothing of it was taken",
    )


def remembered(conn: sqlite3.Connection, address: str) -> Publication | None:
    """Return what was taken in from an address."""
    row = conn.execute(
        "SELECT *, 0 AS builds FROM publications WHERE address = ?", (address,)
    ).fetchone()
    if row is None:
        return None
    return Publication(**{name: row[name] for name in Publication.__slots__})


def remember(
    writer: Writer,
    address: str,
    manifest: Manifest,
    *,
    digest: str,
    name: str | None,
    key: str | None,
    etag: str | None = None,
    modified: str | None = None,
    taken: str | None = None,
) -> int:
    """Note which state of a publication is taken in, and return its number."""
    with writer.transaction():
        writer.conn.execute(
            "INSERT INTO publications (address, name, key, serial, manifest, date, expires, "
            "etag, modified, taken) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (address) DO UPDATE SET name = excluded.name, key = excluded.key, "
            "serial = excluded.serial, manifest = excluded.manifest, date = excluded.date, "
            "expires = excluded.expires, etag = excluded.etag, modified = excluded.modified, "
            "taken = excluded.taken",
            (
                address,
                name,
                key,
                manifest.serial,
                digest,
                manifest.date,
                manifest.expires,
                etag,
                modified,
                taken or now(),
            ),
        )
        row = writer.conn.execute(
            "SELECT id FROM publications WHERE address = ?", (address,)
        ).fetchone()
    return int(row["id"])
