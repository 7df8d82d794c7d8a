"""The published catalog that comes with rkfetch: trusted as a part of the program itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rkfetch.catalog.files import PUBLISHED, SHIPPED, SNAPSHOT_DATE, snapshot_date
from rkfetch.catalog.schema import writing
from rkfetch.catalog.writer import Writer

from .form import MANIFEST, read_manifest, unpack
from .taking import Taking, remember, remembered

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path


def take_shipped(conn: sqlite3.Connection, folder: Path = PUBLISHED) -> None:
    """Take what is shipped into a catalog, in one transaction, unless it has it already."""
    manifest = read_manifest((folder / MANIFEST).read_bytes())
    writer = Writer(conn)
    # Not the writer's own transaction: whoever opens the catalog bears that it is locked.
    with writing(conn):
        known = remembered(conn, SHIPPED)
        if known is not None and known.serial >= manifest.serial:
            return  # another process was faster
        publication = remember(
            writer, SHIPPED, manifest, digest="", name=None, key=None, taken=manifest.date
        )
        before = snapshot_date(conn)
        if known is None and before is not None:
            # What an older rkfetch shipped was its word, not this machine's.
            conn.execute(
                "UPDATE evidence SET publication = ? WHERE place NOT LIKE 'addition %' AND "
                "(origin = 'log' OR artifact_id IN (SELECT id FROM artifacts WHERE last_seen = ?))",
                (publication, before),
            )
        Taking(writer, publication, manifest).take_whole(
            line
            for part in manifest.parts
            for line in unpack(part, (folder / part.path).read_bytes())
        )
        writer.set_meta("snapshot", SNAPSHOT_DATE)
