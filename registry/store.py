"""Keep verified files on this machine by their content, with where they came from.

``models/<sha256>/`` holds one file and its ``record.json``; ``partials/`` holds what is on its
way, each with a journal and a lock. A file enters ``models/`` by one rename after it was
verified, so whatever is there is whole. Locks are ``flock``: they end with their process, and
can be trusted on local file systems and NFS 4, not on some cluster file systems.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .durable import disk_errors, hash_file, make_directory, require_own, sync_directory
from .errors import IntegrityError, RkfetchError, UsageError
from .journal import journal_of, source_of
from .place import place
from .progress import NoProgress
from .record import RECORD_NAME, UNKNOWN_SOURCE, Record, rebuilt, safe_file_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .progress import Progress

__all__ = ["GcPlan", "Installed", "Leftover", "Record", "Store", "home", "safe_file_name"]

_SHA256 = re.compile(r"[0-9a-f]{64}")
_OF_A_PARTIAL = re.compile(r"\.?([0-9a-f]{64})\.(?:partial|journal|journal\.tmp)")
_NOTES = {RECORD_NAME, f".{RECORD_NAME}.tmp"}
_DAY_S = 86_400.0
_POLL_S = 0.2


def home() -> Path:
    """Return the folder of everything that rkfetch keeps: ``RKFETCH_HOME``, else the user's data.

    Raises:
        UsageError: the user has no home folder, and ``RKFETCH_HOME`` is not set.
    """
    named = os.environ.get("RKFETCH_HOME")
    try:
        # Older versions of platformdirs leave "~" in the path; this tries it once more.
        return (Path(named) if named else _user_data()).expanduser().absolute()
    except RuntimeError as error:
        raise UsageError(
            "there is no home folder to keep models in", hint="name a folder with RKFETCH_HOME"
        ) from error


def _user_data() -> Path:
    import platformdirs

    return platformdirs.user_data_path("rkfetch", appauthor=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A verified file on this machine."""

    path: Path
    record: Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """Something in the store that is of no use any more."""

    paths: tuple[Path, ...]
    """What holds the others comes first."""
    size_bytes: int
    """On the disk."""
    reason: str
    key: str
    """Of the download or entry that it is of: whoever holds its lock works on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GcPlan:
    """What a clean-up would remove."""

    leftovers: tuple[Leftover, ...]

    @property
    def size_bytes(self) -> int:
        """What it would free."""
        return sum(leftover.size_bytes for leftover in self.leftovers)


class Store:
    """The files under one folder. Reading never creates anything."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._models = root / "models"
        self._partials = root / "partials"

    # --- what is here ---------------------------------------------------------------------------

    def find(self, sha256: str) -> Installed | None:
        """Return the file with this content, if it is here and nothing is known against it.

        Cheap: size, record and times are looked at; the content only of a file that was written
        to after it had been verified.
        """
        item = self._load(sha256) if _SHA256.fullmatch(sha256) else None
        return item if item is not None and self._may_be_given_out(item) else None

    def find_source(self, source: str, repo: str, path: str) -> Installed | None:
        """Return the newest sound file that was fetched from there, at whatever revision."""
        found = [
            item
            for item in self.installed()
            if (item.record.source, item.record.repo, item.record.path) == (source, repo, path)
            and self._may_be_given_out(item)
        ]
        return max(found, key=lambda item: item.record.fetched_at, default=None)

    def installed(self) -> list[Installed]:
        """Return all files, those that turned out damaged included, by name.

        A record that is missing or torn is made anew from the content, which takes a while.
        """
        items = [self._load(name) for name in _names(self._models) if _SHA256.fullmatch(name)]
        present = [item for item in items if item is not None]
        return sorted(present, key=lambda item: (item.path.name.lower(), item.record.sha256))

    def _may_be_given_out(self, item: Installed) -> bool:
        try:
            now, noted = item.path.stat(), (item.path.parent / RECORD_NAME).stat()
        except OSError:
            return False
        if item.record.damaged or now.st_size != item.record.size_bytes:
            return False
        if now.st_mtime_ns <= noted.st_mtime_ns:
            return True
        # Somebody wrote to it, perhaps through a link of theirs to the same file.
        if self.verify(item) is not None:
            return False
        self._note(item.record)
        return True

    def _load(self, sha256: str) -> Installed | None:
        directory = self._models / sha256
        path = _content_of(directory) if _is_folder(directory) else None
        if path is None:
            return None
        record = Record.read(directory / RECORD_NAME)
        if record is None or record.sha256 != sha256:
            record = rebuilt(path, sha256)
            if record is None:
                return None
            self._note(record)
        return Installed(path=path, record=record)

    def _note(self, record: Record) -> None:
        """Write down what was found out about an entry, if its place lets that happen."""
        with contextlib.suppress(OSError, RkfetchError):
            record.write(self._entry(record.sha256))

    def _entry(self, sha256: str) -> Path:
        """Return the folder of an entry for writing to it.

        Raises:
            IntegrityError: this is no digest, and could be a path to anywhere.
            RkfetchError: the folder leads out of the store.
        """
        directory = self._models / _checked(sha256)
        require_own(self._models)
        require_own(directory)
        return directory

    # --- coming and going -----------------------------------------------------------------------

    def partial(self, key: str) -> Path:
        """Return where the file with this key (a digest) is collected while it comes.

        Raises:
            IntegrityError: it is no digest, and could be a path to anywhere.
        """
        return self._partials / f"{_checked(key)}.partial"

    @contextlib.contextmanager
    def writing(
        self, key: str, *, waiting: Callable[[str, float], object] | None = None
    ) -> Iterator[None]:
        """Be the only process that works on a partial; waits for another one to end.

        The lock file stays, empty: removing it would let two processes hold "the" lock.

        Raises:
            IntegrityError: the key is no digest.
            RkfetchError: the folder of partials, or the one that the file is to enter, leads out
                of the store or cannot be used.
        """
        from filelock import FileLock, Timeout

        self._entry(key)
        path = self._lock(key)
        make_directory(self._partials)
        lock = FileLock(path)
        with disk_errors(self._partials):
            try:
                lock.acquire(timeout=0)
            except Timeout:
                if waiting is not None:
                    waiting("another rkfetch is downloading this file", 0)
                lock.acquire(timeout=-1, poll_interval=_POLL_S)
        try:
            yield
        finally:
            lock.release()

    def add(self, partial: Path, record: Record) -> Installed:
        """Take a verified file in; ``partial`` is moved, its journal removed.

        The caller holds the lock of the partial. One that was collected under another key than
        its digest is taken in under the lock of its digest too, which `gc` and `remove` look at.

        Raises:
            IntegrityError: the record's digest is none.
            DiskSpaceError, UsageError, RkfetchError: as `durable.disk_errors`; the partial file
                is still there, or the file is in its place.
        """
        if partial != self.partial(record.sha256):
            with self.writing(record.sha256):
                return self._take_in(partial, record)
        return self._take_in(partial, record)

    def _take_in(self, partial: Path, record: Record) -> Installed:
        directory = self._entry(record.sha256)
        path = directory / safe_file_name(record.path)
        make_directory(directory)
        with disk_errors(directory):
            record.write(directory)
            _sync_file(partial)
            partial.replace(path)
            for other in directory.iterdir():
                if other.name not in {path.name, RECORD_NAME} and not _is_folder(other):
                    other.unlink()
            sync_directory(directory)
            sync_directory(self._models)
            journal_of(partial).unlink(missing_ok=True)
        return Installed(path=path, record=record)

    def verify(self, item: Installed, progress: Progress | None = None) -> IntegrityError | None:
        """Read a file again; return what is wrong with it, if anything.

        A damaged file is marked, so that `find` does not give it out any more.
        """
        progress = progress or NoProgress()
        progress.phase("verify")
        progress.started(item.record.size_bytes, 0)
        with disk_errors(item.path):
            actual = hash_file(item.path, advanced=progress.advanced).hexdigest()
        damaged = actual != item.record.sha256
        if damaged != item.record.damaged:
            self._note(item.record.marked(damaged=damaged))
        if not damaged:
            return None
        return IntegrityError(
            f"{item.path} is damaged: its SHA-256 changed",
            expected=item.record.sha256,
            actual=actual,
            cause=[f"expected {item.record.sha256}", f"got      {actual}"],
            hint="fetch it again: the damaged file is not given out any more, and is replaced",
        )

    def remove(
        self, item: Installed, *, waiting: Callable[[str, float], object] | None = None
    ) -> None:
        """Remove a file and its record; waits for a process that fetches the same file.

        Raises:
            IntegrityError, RkfetchError: the entry is not one of this store, or leads out of it.
        """
        directory = self._entry(item.record.sha256)
        with self.writing(item.record.sha256, waiting=waiting), disk_errors(self._models):
            _remove([directory, directory / item.path.name, *(directory / n for n in _NOTES)])

    def place(self, item: Installed, target: Path, *, force: bool = False) -> Path:
        """Have a file in a folder of the user's too, or under a name; as `place.place`."""
        return place(item, target, force=force)

    # --- cleaning up ----------------------------------------------------------------------------

    def gc_plan(self, *, older_than_days: float = 7, now: float | None = None) -> GcPlan:
        """Find what can be removed: partials that are superseded or old, and half-made entries.

        What a live process is working on is left out, and whatever is not rkfetch's own.

        Raises:
            RkfetchError: a folder of the store leads out of it.
        """
        require_own(self._partials)
        require_own(self._models)
        oldest = (time.time() if now is None else now) - older_than_days * _DAY_S
        partials: dict[str, list[Path]] = {}
        for name in _names(self._partials):
            if match := _OF_A_PARTIAL.fullmatch(name):
                partials.setdefault(match[1], []).append(self._partials / name)
        entries = [name for name in _names(self._models) if _SHA256.fullmatch(name)]
        found = [self._leftover_partial(key, paths, oldest) for key, paths in partials.items()]
        found += [self._leftover_entry(sha256, oldest) for sha256 in entries]
        return GcPlan(leftovers=tuple(leftover for leftover in found if leftover is not None))

    def _leftover_partial(self, key: str, paths: list[Path], oldest: float) -> Leftover | None:
        paths = sorted((path for path in paths if not _is_folder(path)), reverse=True)
        if not paths or self._is_locked(key):
            return None
        if self.find(key) is not None:
            return _leftover(paths, "the file is here, complete", key)
        if _newest(paths) < oldest:
            source = source_of(journal_of(self.partial(key)))
            what = f" of {source}" if source else ""
            return _leftover(paths, f"nobody has gone on with this download{what}", key)
        return None

    def _leftover_entry(self, sha256: str, oldest: float) -> Leftover | None:
        directory = self._models / sha256
        if not _is_folder(directory) or self._is_locked(sha256):
            return None
        item = self._load(sha256)
        names = set(_names(directory))
        notes = [directory / name for name in sorted(names & _NOTES)]
        if item is None:
            if names > _NOTES & names:
                return None
            what, paths, reason = directory, notes, "has no file in it"
        elif item.record.damaged and item.record.source == UNKNOWN_SOURCE:
            what, paths = item.path, [item.path, *notes]
            reason = "is damaged, and it is not known where it came from"
        else:
            return None
        return _leftover([directory, *paths], reason, sha256) if _newest([what]) < oldest else None

    def gc(self, plan: GcPlan) -> int:
        """Remove what a plan names, unless it came into use meanwhile; return the bytes freed."""
        freed = 0
        for leftover in plan.leftovers:
            with disk_errors(self.root), self._locked_at_once(leftover.key) as ours:
                if ours and not self._came_into_use(leftover):
                    _remove(leftover.paths)
                    freed += leftover.size_bytes
        return freed

    def _came_into_use(self, leftover: Leftover) -> bool:
        if leftover.paths[0].parent != self._models:
            return False
        item = self._load(leftover.key)
        return item is not None and not item.record.damaged

    def _lock(self, key: str) -> Path:
        require_own(self._partials)
        path = self._partials / f"{_checked(key)}.lock"
        if path.is_symlink():
            raise RkfetchError(f"{path} is a symbolic link", hint=f"remove {path}")
        return path

    def _is_locked(self, key: str) -> bool:
        if not self._lock(key).exists():
            return False
        with self._locked_at_once(key) as ours:
            return not ours

    @contextlib.contextmanager
    def _locked_at_once(self, key: str) -> Iterator[bool]:
        from filelock import FileLock, Timeout

        path = self._lock(key)
        make_directory(self._partials)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except (Timeout, OSError):
            yield False
            return
        try:
            yield True
        finally:
            lock.release()


def _checked(key: str) -> str:
    if not _SHA256.fullmatch(key):
        raise IntegrityError(
            f"'{key[:80]}' is no SHA-256",
            cause=["files are kept under theirs; this could be a path to anywhere"],
            hint="rkfetch catalog update",
        )
    return key


def _names(directory: Path) -> list[str]:
    try:
        return sorted(os.listdir(directory))  # noqa: PTH208 - names are wanted
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise RkfetchError(
            f"{directory} cannot be read", cause=[error.strerror or str(error)]
        ) from error


def _content_of(directory: Path) -> Path | None:
    """Return the one file that an entry is about."""
    names = [n for n in _names(directory) if n != RECORD_NAME and not n.startswith(".")]
    paths = [directory / name for name in names]
    return next((path for path in paths if path.is_file() and not path.is_symlink()), None)


def _sync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _newest(paths: list[Path]) -> float:
    times = [0.0]
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            times.append(path.lstat().st_mtime)
    return max(times)


def _leftover(paths: list[Path], reason: str, key: str) -> Leftover:
    size = 0
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            size += path.lstat().st_blocks * 512
    return Leftover(paths=tuple(paths), size_bytes=size, reason=reason, key=key)


def _is_folder(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return stat.S_ISDIR(path.lstat().st_mode)
    return False


def _remove(paths: Sequence[Path]) -> None:
    """Remove files, and folders unless somebody has put something of theirs in; last one first."""
    for path in reversed(paths):
        if _is_folder(path):
            _remove_folder(path)
        else:
            path.unlink(missing_ok=True)


def _remove_folder(path: Path) -> None:
    try:
        path.rmdir()
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT}:
            raise
