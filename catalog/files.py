"""Where the catalog's database file lives, and how it gets there and stays usable.

The first use copies the snapshot that ships with rkfetch. A damaged file is set aside, never
deleted. Where nothing can be written, the shipped snapshot is read in place.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rkfetch.registry.durable import share

from .schema import BUSY_TIMEOUT_S, SCHEMA_VERSION, known_version, migrate, version_of

if TYPE_CHECKING:
    from collections.abc import Iterator

PUBLISHED = Path(__file__).with_name("data") / "snapshot"
"""The catalog that ships with rkfetch, as it would be published."""
SNAPSHOT = PUBLISHED.with_suffix(".db")
"""The same, taken in already, so that the first command need not do it."""
SHIPPED = "shipped"
"""What stands for the address of that catalog."""
SNAPSHOT_DATE = "2026-11-23"
"""When the snapshot's data were last compared with their sources."""
SNAPSHOT_SERIAL = int(SNAPSHOT_DATE.replace("-", "")) * 10**6

SOON_LOOKED_OVER = 16 << 20
"""Bytes of a catalog that are looked at whenever it is opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenFile:
    """A catalog database that is ready for use."""

    conn: sqlite3.Connection
    path: Path
    read_only: bool
    notices: tuple[str, ...]
    """What a person should be told about how it was opened."""


def catalog_path() -> Path:
    """Return where this user's catalog lives."""
    from rkfetch.registry.store import home

    return home() / "catalog.db"


def open_file(path: Path) -> OpenFile:
    """Open the catalog at ``path`` with the current schema; on first use, install the snapshot.

    Raises:
        RkfetchError: it was written by a newer rkfetch.
    """
    try:
        return _open_writable(path)
    except (OSError, sqlite3.OperationalError) as error:
        return _open_read_only(path, error)


def create(path: Path) -> sqlite3.Connection:
    """Make a new, empty catalog at ``path``, which must not exist, and connect to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(exist_ok=False)
    conn = connect(path)
    migrate(conn, path)
    return conn


def connect(path: Path, *, mode: str = "rw", immutable: bool = False) -> sqlite3.Connection:
    """Connect to an existing database with our settings; nothing is created."""
    address = f"{path.absolute().as_uri()}?mode={mode}" + ("&immutable=1" if immutable else "")
    conn = sqlite3.connect(
        address, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    try:
        conn.row_factory = sqlite3.Row
        conn.execute("PRAGMA foreign_keys = ON")
        conn.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        conn.close()
        raise
    return conn


def database_path(conn: sqlite3.Connection) -> Path:
    """Return the file that a connection is to."""
    return Path(conn.execute("PRAGMA database_list").fetchone()["file"])


def snapshot_date(conn: sqlite3.Connection) -> str | None:
    """Return the date of the newest shipped snapshot that a database was filled from."""
    row = conn.execute("SELECT value FROM meta WHERE key = 'snapshot'").fetchone()
    return None if row is None else str(row[0])


def _open_writable(path: Path) -> OpenFile:
    notices: tuple[str, ...] = ()
    if not path.exists():
        with _locked(path):
            if not path.exists():
                _install(path)
    try:
        conn = _checked(path)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):  # busy or unreadable, not damaged
            raise
        notices = (_replace_damaged(path),)
        conn = _checked(path)
    return OpenFile(conn=conn, path=path, read_only=False, notices=notices)


def _checked(path: Path) -> sqlite3.Connection:
    conn = connect(path)
    try:
        version = known_version(conn, path)
        _require_whole(conn)
        if version < SCHEMA_VERSION:
            migrate(conn, path)
        if _is_behind(conn):
            from .published.shipped import take_shipped

            take_shipped(conn)
    except BaseException:
        conn.close()
        raise
    return conn


def _require_whole(conn: sqlite3.Connection) -> None:
    """Look at every page now: damage in one of them would else show in the middle of a command.

    In a large catalog it has to show there: looking takes a second for each 100 MB.

    Raises:
        sqlite3.DatabaseError: a page is damaged.
    """
    if _size(conn) > SOON_LOOKED_OVER:
        return
    found = conn.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise sqlite3.DatabaseError(found)


def _size(conn: sqlite3.Connection) -> int:
    pages, page = (conn.execute(f"PRAGMA {n}").fetchone()[0] for n in ("page_count", "page_size"))
    return int(pages * page)


def _is_behind(conn: sqlite3.Connection) -> bool:
    """Tell whether a catalog that an older rkfetch installed lacks what this one ships."""
    row = conn.execute("SELECT serial FROM publications WHERE address = ?", (SHIPPED,)).fetchone()
    if row is not None:
        return int(row["serial"]) < SNAPSHOT_SERIAL
    return snapshot_date(conn) is not None


def _open_read_only(path: Path, error: Exception) -> OpenFile:
    """Open what can be read without writing beside it: the user's catalog, else the snapshot."""
    for candidate in (path, SNAPSHOT):
        conn = _readable(candidate)
        if conn is not None:
            why = (isinstance(error, OSError) and error.strerror) or error
            said = f"the catalog at {path} cannot be written ({why}); it is read only"
            return OpenFile(conn=conn, path=candidate, read_only=True, notices=(said,))
    raise error


def _readable(path: Path) -> sqlite3.Connection | None:
    with suppress(sqlite3.DatabaseError):
        conn = connect(path, mode="ro", immutable=True)
        try:
            if version_of(conn) == SCHEMA_VERSION:
                return conn
        except sqlite3.DatabaseError:
            pass
        conn.close()
    return None


def _install(path: Path) -> None:
    """Put the shipped snapshot at ``path``, all at once; the caller holds the lock."""
    for leftover in path.parent.glob(f"{path.name}.*.new*"):
        leftover.unlink(missing_ok=True)  # whoever made it died: it held the lock, too
    partial = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        shutil.copyfile(SNAPSHOT, partial)
        with closing(sqlite3.connect(partial, isolation_level=None)) as conn:
            conn.execute("PRAGMA journal_mode = WAL")
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        share(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _replace_damaged(path: Path) -> str:
    with _locked(path):
        with suppress(sqlite3.DatabaseError):
            _checked(path).close()
            return "another process repaired the catalog"
        aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%dT%H%M%S')}")
        path.replace(aside)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        _install(path)
    return (
        f"the catalog was damaged; it was set aside as {aside} and the shipped one took its "
        "place: `rkfetch catalog update` brings it up to date"
    )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the one lock under which the database file itself is put in place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(path.name + ".lock")
    with lock.open("ab") as file:
        share(lock)
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
