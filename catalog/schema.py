"""What the catalog's database looks like, and how an older one becomes the current one.

Migrations are append-only: a published one is never edited. All pending ones run in one
transaction that begins with the write lock, so that several processes may start at once.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rkfetch.registry.errors import RkfetchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlite_utils import Database

BUSY_TIMEOUT_S = 30.0

_TABLES = (
    """
    CREATE TABLE meta (
        key TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE repositories (
        source TEXT NOT NULL,
        repo TEXT NOT NULL COLLATE NOCASE,
        sha TEXT,
        modified TEXT,
        listed TEXT NOT NULL,
        gated INTEGER NOT NULL DEFAULT 0,
        downloads INTEGER,
        likes INTEGER,
        tags TEXT NOT NULL DEFAULT '[]',
        PRIMARY KEY (source, repo)
    ) STRICT
    """,
    """
    CREATE TABLE artifacts (
        id INTEGER PRIMARY KEY,
        source TEXT NOT NULL,
        repo TEXT NOT NULL COLLATE NOCASE,
        path TEXT NOT NULL,
        revision TEXT,
        size_bytes INTEGER CHECK (size_bytes >= 0),
        sha256 TEXT CHECK (length(sha256) = 64),
        availability TEXT NOT NULL
            CHECK (availability IN ('listed', 'manual', 'unnamed', 'gone', 'rejected')),
        gated INTEGER NOT NULL DEFAULT 0,
        curated INTEGER NOT NULL DEFAULT 0,
        updated TEXT,
        note TEXT,
        model TEXT COLLATE NOCASE,
        first_seen TEXT,
        last_seen TEXT
    ) STRICT
    """,
    # The same name with other content is another artifact; content not known yet is one.
    """
    CREATE UNIQUE INDEX artifacts_place ON artifacts (source, repo, path, coalesce(sha256, ''))
    """,
    "CREATE INDEX artifacts_model ON artifacts (model)",
    "CREATE INDEX artifacts_sha256 ON artifacts (sha256) WHERE sha256 IS NOT NULL",
    # What was read from content (header, trailer, log) belongs to the hash, so that it holds
    # wherever the same content lies; everything else belongs to one artifact.
    """
    CREATE TABLE evidence (
        id INTEGER PRIMARY KEY,
        artifact_id INTEGER REFERENCES artifacts (id) ON DELETE CASCADE,
        sha256 TEXT,
        attribute TEXT NOT NULL,
        value TEXT NOT NULL,
        origin TEXT NOT NULL,
        place TEXT NOT NULL,
        seen TEXT,
        CHECK ((artifact_id IS NULL) <> (sha256 IS NULL))
    ) STRICT
    """,
    "CREATE INDEX evidence_artifact ON evidence (artifact_id) WHERE artifact_id IS NOT NULL",
    "CREATE INDEX evidence_sha256 ON evidence (sha256) WHERE sha256 IS NOT NULL",
    """
    CREATE TABLE companions (
        artifact_id INTEGER NOT NULL REFERENCES artifacts (id) ON DELETE CASCADE,
        role TEXT NOT NULL,
        repo TEXT NOT NULL,
        path TEXT NOT NULL,
        size_bytes INTEGER,
        sha256 TEXT,
        PRIMARY KEY (artifact_id, role, repo, path)
    ) STRICT
    """,
    """
    CREATE TABLE probes (
        sha256 TEXT PRIMARY KEY,
        format TEXT NOT NULL,
        facts TEXT NOT NULL,
        seen TEXT NOT NULL
    ) STRICT
    """,
    """
    CREATE VIRTUAL TABLE names USING fts5 (
        model, repo, path, words, tokenize = "unicode61 separators '-_./'"
    )
    """,
)


def _create(db: Database) -> None:
    for statement in _TABLES:
        db.execute(statement)


def _add_doubts(db: Database) -> None:
    # What was read by range against a content. Such bytes are not covered by a digest, so that
    # it counts for a while only, and never changes the row itself.
    db.execute(
        """
        CREATE TABLE doubts (
            sha256 TEXT PRIMARY KEY,
            reason TEXT NOT NULL,
            seen TEXT NOT NULL
        ) STRICT
        """
    )


def _add_revisions(db: Database) -> None:
    # What a listing says of a repository beyond its files, and where else than on the default
    # branch a build lies. What was asked for once and never changes is kept by its hash: cards by
    # their git blob, lengths of vocabularies by how these begin.
    for statement in (
        "ALTER TABLE repositories ADD COLUMN created TEXT",
        "ALTER TABLE repositories ADD COLUMN library TEXT",
        "ALTER TABLE repositories ADD COLUMN license TEXT",
        "ALTER TABLE repositories ADD COLUMN base_model TEXT",
        "ALTER TABLE repositories ADD COLUMN storage_bytes INTEGER",
        "ALTER TABLE artifacts ADD COLUMN ref TEXT",
        """
        CREATE TABLE cards (
            blob TEXT PRIMARY KEY,
            text TEXT NOT NULL
        ) STRICT
        """,
        """
        CREATE TABLE vocabularies (
            beginning TEXT PRIMARY KEY,
            length INTEGER NOT NULL,
            keys INTEGER NOT NULL
        ) STRICT
        """,
    ):
        db.execute(statement)


def _add_additions(db: Database) -> None:
    # What people observed, each as the line that is exchanged. ``own`` was recorded here. What it
    # says of attributes is evidence too, whose place names the addition.
    for statement in (
        """
        CREATE TABLE additions (
            id TEXT PRIMARY KEY,
            own INTEGER NOT NULL,
            sha256 TEXT CHECK (length(sha256) = 64),
            source TEXT NOT NULL,
            repo TEXT NOT NULL COLLATE NOCASE,
            path TEXT NOT NULL,
            line TEXT NOT NULL
        ) STRICT
        """,
        "CREATE INDEX additions_sha256 ON additions (sha256) WHERE sha256 IS NOT NULL",
        "CREATE INDEX additions_place ON additions (source, repo, path) WHERE sha256 IS NULL",
    ):
        db.execute(statement)


_SEARCH = (
    # The Hub's tags say it, too, and those were kept all along.
    """
    UPDATE repositories SET license = (
        SELECT lower(substr(value, 9)) FROM json_each(tags) WHERE value LIKE 'license:_%' LIMIT 1
    ) WHERE license IS NULL
    """,
    "DROP TABLE names",
    # What searches read of a build, derived from its evidence by `catalog.index`. The numbers put
    # together what is worth showing together: `catalog.order`.
    """
    CREATE TABLE builds (
        id INTEGER PRIMARY KEY,
        artifact_id INTEGER NOT NULL UNIQUE REFERENCES artifacts (id) ON DELETE CASCADE,
        model TEXT COLLATE NOCASE,
        platform TEXT,
        toolkits TEXT NOT NULL,
        quant TEXT,
        context INTEGER,
        params_b REAL,
        role TEXT NOT NULL,
        vision INTEGER,
        terms TEXT NOT NULL
    ) STRICT
    """,
    "CREATE INDEX builds_model ON builds (model)",
    "CREATE TABLE models (name TEXT PRIMARY KEY COLLATE NOCASE) STRICT, WITHOUT ROWID",
    "DROP INDEX artifacts_model",
    "CREATE INDEX artifacts_model ON artifacts (model, availability)",
    # Which build has which words, and nothing more: neither places nor counts of words are read,
    # and without them half a million builds of one word are passed in milliseconds.
    """
    CREATE VIRTUAL TABLE names USING fts5 (
        terms, content = 'builds', content_rowid = 'id', detail = none, columnsize = 0,
        tokenize = "ascii tokenchars '.=_?'"
    )
    """,
    """
    CREATE TRIGGER builds_added AFTER INSERT ON builds BEGIN
        INSERT INTO names (rowid, terms) VALUES (new.id, new.terms);
    END
    """,
    """
    CREATE TRIGGER builds_removed AFTER DELETE ON builds BEGIN
        INSERT INTO names (names, rowid, terms) VALUES ('delete', old.id, old.terms);
    END
    """,
    """
    CREATE TRIGGER artifacts_hidden AFTER UPDATE OF availability ON artifacts
    WHEN new.availability IN ('gone', 'rejected') BEGIN
        DELETE FROM builds WHERE artifact_id = new.id;
    END
    """,
    # Toolkit versions that builds were made by; several in one row where sources disagree.
    "CREATE TABLE toolkits (id INTEGER PRIMARY KEY, versions TEXT NOT NULL UNIQUE) STRICT",
    # Words that a name was ever seen to have: for unfinished words, and for misspelt ones.
    "CREATE TABLE words (word TEXT PRIMARY KEY) STRICT, WITHOUT ROWID",
)


def _add_search(db: Database) -> None:
    for statement in _SEARCH:
        db.execute(statement)


_PUBLICATIONS = (
    # A catalog of somebody else's that this one takes what it says from.
    """
    CREATE TABLE publications (
        id INTEGER PRIMARY KEY,
        address TEXT NOT NULL UNIQUE,
        name TEXT,
        key TEXT,
        serial INTEGER NOT NULL,
        manifest TEXT NOT NULL,
        date TEXT NOT NULL,
        expires TEXT,
        etag TEXT,
        modified TEXT,
        taken TEXT NOT NULL
    ) STRICT
    """,
    # What each publication says now: digests of its rows' keys and of their text. The row of
    # ours is absent for a repository, and where this machine knows better.
    """
    CREATE TABLE published (
        publication INTEGER NOT NULL REFERENCES publications (id) ON DELETE CASCADE,
        key BLOB NOT NULL,
        digest BLOB NOT NULL,
        artifact_id INTEGER REFERENCES artifacts (id) ON DELETE CASCADE,
        PRIMARY KEY (publication, key)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE INDEX published_artifact ON published (artifact_id) WHERE artifact_id IS NOT NULL
    """,
    "ALTER TABLE additions ADD COLUMN publication INTEGER REFERENCES publications (id)",
    "ALTER TABLE evidence ADD COLUMN publication INTEGER REFERENCES publications (id)",
    "ALTER TABLE repositories ADD COLUMN publication INTEGER REFERENCES publications (id)",
    "ALTER TABLE repositories ADD COLUMN private INTEGER NOT NULL DEFAULT 0",
)


def _add_publications(db: Database) -> None:
    for statement in _PUBLICATIONS:
        db.execute(statement)


MIGRATIONS: tuple[Callable[[Database], None], ...] = (
    _create,
    _add_doubts,
    _add_revisions,
    _add_additions,
    _add_search,
    _add_publications,
)
SCHEMA_VERSION = len(MIGRATIONS)


def version_of(conn: sqlite3.Connection) -> int:
    """Return the schema version of a database; 0 for one without a schema."""
    return int(conn.execute("PRAGMA user_version").fetchone()[0])


@contextmanager
def writing(conn: sqlite3.Connection) -> Iterator[None]:
    """Make what happens inside one transaction; inside another one, a part of that.

    The write lock is taken first: a transaction that begins by reading fails at once when
    another process writes in between, however long the busy timeout is.
    """
    if conn.in_transaction:
        yield
        return
    conn.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        conn.rollback()
        raise
    conn.commit()


def migrate(conn: sqlite3.Connection, path: Path | None = None) -> None:
    """Bring a database to the current schema; it stays as it was if a step fails.

    Raises:
        RkfetchError: the database was written by a newer rkfetch.
    """
    # Kept out of the read path: importing sqlite_utils costs over 100 ms.
    from sqlite_utils import Database

    from .index import rebuild

    db = Database(conn, execute_plugins=False)
    with writing(conn):
        version = version_of(conn)
        _refuse_newer(version, path)
        for step in MIGRATIONS[version:]:
            step(db)
        if version < SCHEMA_VERSION:
            # Steps change what is known; what is derived from that is made anew after them.
            rebuild(conn)
        conn.execute(f"PRAGMA user_version = {SCHEMA_VERSION:d}")


def known_version(conn: sqlite3.Connection, path: Path) -> int:
    """Return the schema version of a catalog.

    Raises:
        RkfetchError: the database was written by a newer rkfetch.
        sqlite3.DatabaseError: it is no catalog.
    """
    version = version_of(conn)
    _refuse_newer(version, path)
    if version == 0:
        raise sqlite3.DatabaseError("it is no catalog")
    return version


def _refuse_newer(version: int, path: Path | None) -> None:
    if version > SCHEMA_VERSION:
        raise RkfetchError(
            f"the catalog was written by a newer rkfetch: {path}",
            cause=[f"its schema is version {version}, this program knows {SCHEMA_VERSION}"],
            hint="upgrade rkfetch, or set RKFETCH_HOME to another folder",
        )
