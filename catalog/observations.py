"""Write evidence: what a new observation makes room for, and what stands alone.

Used inside a transaction of `catalog.writer`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rkfetch.registry.model import Origin

from . import border

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from rkfetch.registry.model import Evidence

OF_CONTENT = frozenset({Origin.HEADER, Origin.TRAILER, Origin.LOG})
"""Origins that speak about bytes, wherever these lie."""

VERIFIED = "the whole file, its SHA-256 verified"
"""The place of evidence that was read from a file as its digest has it."""

READ = (Origin.HEADER, Origin.TRAILER)
"""Origins that are one reading of a file, together."""

_OF_NAMES = (Origin.FILE_NAME.value, Origin.REPO_NAME.value)


class Observations:
    """The evidence of a catalog, for writing."""

    def __init__(self, conn: sqlite3.Connection) -> None:
        self._conn = conn

    def add(
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
            if row_id is not None:
                self._make_room(row_id, fresh)
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

    def _make_room(self, row_id: int, fresh: Sequence[Evidence]) -> None:
        """Delete what an older reading of names or cards found that are read anew."""
        if any(e.origin.value in _OF_NAMES for e in fresh):
            # A name is read as a whole: what an older reading of it found is void.
            self._conn.execute(
                "DELETE FROM evidence WHERE artifact_id = ? AND origin IN (?, ?)",
                (row_id, *_OF_NAMES),
            )
        for card in {e.place.partition("#")[0] for e in fresh if e.origin is Origin.CARD}:
            # So is a card.
            self._conn.execute(
                "DELETE FROM evidence WHERE artifact_id = ? AND origin = ? AND "
                "(place = ? OR substr(place, 1, length(?)) = ?)",
                (row_id, Origin.CARD.value, card, f"{card}#", f"{card}#"),
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

    def is_verified(self, sha256: str) -> bool:
        """Tell whether this machine read a content from a whole file that has this digest."""
        found = self._conn.execute(
            "SELECT 1 FROM evidence WHERE sha256 = ? AND place = ? AND publication IS NULL",
            (sha256, VERIFIED),
        )
        return found.fetchone() is not None
