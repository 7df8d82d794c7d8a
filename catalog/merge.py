"""Take what another catalog says into this one, without forgetting what was seen first-hand.

Where an update has listed a repository, it knows better which files are there; of the other
catalog only the evidence about those files is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .database import Catalog
from .files import OpenFile, database_path, snapshot_date
from .writer import Writer

if TYPE_CHECKING:
    import sqlite3


def merge(other: sqlite3.Connection, into: sqlite3.Connection) -> None:
    """Add the rows and the evidence of one catalog to another, in one transaction."""
    theirs, ours, writer = _catalog(other), _catalog(into), Writer(into)
    date = snapshot_date(other)
    with writer.transaction():
        if date is None or (snapshot_date(into) or "") >= date:
            return  # another process was faster
        listed: dict[str, set[str]] = {}
        for artifact in theirs.everything():
            if artifact.is_local:
                continue  # it lies on another machine
            if artifact.source not in listed:
                listed[artifact.source] = set(ours.repositories(artifact.source))
            if artifact.repo.casefold() not in listed[artifact.source]:
                writer.record_artifact(artifact, companions=theirs.companions(artifact), seen=date)
            elif any(
                (known.repo.casefold(), known.path) == (artifact.repo.casefold(), artifact.path)
                for known in ours.by_sha256(artifact.sha256 or "")
            ):
                evidence = (e for a in artifact.attributes.values() for e in a.evidence)
                writer.record_evidence(artifact, evidence)
        for kept in theirs.additions():
            writer.add(kept.addition, own=False)
        writer.set_meta("snapshot", date)


def _catalog(conn: sqlite3.Connection) -> Catalog:
    return Catalog(OpenFile(conn=conn, path=database_path(conn), read_only=False, notices=()))
