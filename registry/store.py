"""Keep verified files on this machine by their content, with where they came from.

``models/<sha256>/`` holds one file and its ``record.json``; ``partials/`` holds what is on its
way, each with a journal and a lock. A file enters ``models/`` by one rename after it was
verified, so whatever is there is whole. In a folder that a group may write, the group may write
what is made inside too.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from . import settings
from .beside import paths_in
from .disk_failures import failure_of_disk, is_failing, is_of_disk
from .durable import (
    disk_errors,
    hash_file,
    make_directory,
    require_own,
    share,
    sync_directory,
)
from .errors import IntegrityError, RkfetchError, UsageError
from .journal import journal_of
from .locks import is_locked, locked, locked_at_once
from .place import place
from .progress import NoProgress
from .record import RECORD_NAME, Record, Verified, fitting_name, rebuilt, safe_file_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .progress import Progress

__all__ = ["Installed", "Record", "Store", "home", "safe_file_name"]

_SHA256 = re.compile(r"[0-9a-f]{64}")
NOTES = {RECORD_NAME, f".{RECORD_NAME}.tmp"}
"""What rkfetch itself writes beside a file."""


def home() -> Path:
    """Return the folder of everything that rkfetch keeps: the setting ``home``, else user's data.

    Raises:
        UsageError: the user has no home folder, and no other one is set.
    """
    named: str | None = settings.value("home")
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


class Store:
    """The files under one folder. Reading never creates anything."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.models = root / "models"
        """A folder for each content, named by its digest."""
        self.partials = root / "partials"
        """What is on its way, and the locks."""

    # --- what is here ---------------------------------------------------------------------------

    def find(self, sha256: str) -> Installed | None:
        """Return the file with this content, if it is here and nothing is known against it.

        Cheap: size, time and record are looked at; the content only of a file that was written
        to after it had been verified.
        """
        item = self.load(sha256) if _SHA256.fullmatch(sha256) else None
        return self.load(sha256) if item is not None and self._may_be_given_out(item) else None

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

        Raises:
            RkfetchError: the disk failed, or is gone.
        """
        items = [self.load(sha256) for sha256 in self.digests()]
        present = [item for item in items if item is not None]
        return sorted(present, key=lambda item: (item.path.name.lower(), item.record.sha256))

    def digests(self) -> list[str]:
        """Return the names of all entries, whatever is in them."""
        return [name for name in names_in(self.models) if _SHA256.fullmatch(name)]

    def is_changed(self, item: Installed) -> bool:
        """Tell whether a file may be another one than was last verified; only looks at it."""
        verified = item.record.verified
        try:
            unchanged = verified is not None and verified.is_unchanged(item.path.stat())
        except OSError:
            unchanged = False
        return item.record.damaged or not unchanged

    def _may_be_given_out(self, item: Installed) -> bool:
        if item.record.damaged:
            return False
        try:
            now = item.path.stat()
            if item.record.verified is not None:
                unwritten = item.record.verified.is_unwritten(now)
            else:
                noted = (item.path.parent / RECORD_NAME).stat()
                unwritten = now.st_mtime_ns <= noted.st_mtime_ns
        except OSError:
            return False
        # Else somebody wrote to it, perhaps through a link of theirs to the same file.
        as_noted = unwritten and now.st_size == item.record.size_bytes
        return as_noted or self.verify(item) is None

    def load(self, sha256: str) -> Installed | None:
        """Return what is kept under a digest, damaged or not; None if there is no file.

        Raises:
            RkfetchError: the disk failed, or is gone.
        """
        directory = self.models / sha256
        with disk_errors(directory):
            path = _content_of(directory) if is_folder(directory) else None
            if path is None:
                return None
            try:
                record = self._record(sha256)
            except OSError as error:
                if not is_failing(error):
                    raise
                record = None  # for now: it may be readable again, so `_note` leaves it
            if record is None:
                made = rebuilt(path, sha256)
                if made is None:
                    return None
                self._note(sha256, lambda current: current or made)
                record = made
        return Installed(path=path, record=record)

    def _record(self, sha256: str) -> Record | None:
        """Read an entry's record; raises as `Record.read`."""
        record = Record.read(self.models / sha256 / RECORD_NAME)
        return record if record is not None and record.sha256 == sha256 else None

    def _note(self, sha256: str, change: Callable[[Record | None], Record]) -> None:
        """Write down what was found out about an entry, if its place lets that happen.

        Under the lock, because two writers would tear the record, and upon the record that is
        there by then.
        """
        with contextlib.suppress(OSError, RkfetchError):
            directory = self._entry(sha256)
            with self.locked_at_once(sha256) as ours:
                if ours:
                    change(self._record(sha256)).write(directory)

    def _entry(self, sha256: str) -> Path:
        """Return the folder of an entry for writing to it.

        Raises:
            IntegrityError: this is no digest, and could be a path to anywhere.
            RkfetchError: the folder leads out of the store.
        """
        directory = self.models / _checked(sha256)
        require_own(self.models)
        require_own(directory)
        return directory

    # --- what belongs together ------------------------------------------------------------------

    def companions(self, item: Installed) -> list[Installed]:
        """Return what is here of the files that belong to one, damaged ones included.

        For a vision model that is its encoder; nothing for any other.

        Raises:
            RkfetchError: the disk failed, or is gone.
        """
        found = (self.load(sha256) for sha256 in item.record.companions)
        return [companion for companion in found if companion is not None]

    def join(self, item: Installed, companion: Installed) -> Installed:
        """Note in a file's record that another one belongs to it; return it with the new record.

        What is noted already is not written again, so that a store may be read only.

        Raises:
            IntegrityError: one of them cannot be an entry of a store, or it is the same file.
            DiskSpaceError, UsageError, RkfetchError: the record cannot be written.
        """
        sha256, other = item.record.sha256, _checked(companion.record.sha256)
        if other == sha256:
            raise IntegrityError(f"{item.path} cannot belong to itself")
        if other in item.record.companions:
            return item
        directory = self._entry(sha256)
        with self.writing(sha256), disk_errors(directory):
            current = self._record(sha256) or item.record
            joined = dict.fromkeys((*current.companions, other))
            record = replace(current, companions=tuple(joined))
            record.write(directory)
        return replace(item, record=record)

    def note_licence(self, item: Installed, licence: str) -> Installed:
        """Note the name of the base model's licence, where the store may be written."""
        if item.record.licence == licence:
            return item
        self._note(
            item.record.sha256,
            lambda record: replace(record or item.record, licence=licence),
        )
        return self.load(item.record.sha256) or item

    # --- coming and going -----------------------------------------------------------------------

    def partial(self, key: str) -> Path:
        """Return where the file with this key (a digest) is collected while it comes.

        Raises:
            IntegrityError: it is no digest, and could be a path to anywhere.
        """
        return self.partials / f"{_checked(key)}.partial"

    @contextlib.contextmanager
    def writing(
        self, key: str, *, waiting: Callable[[str, float], object] | None = None
    ) -> Iterator[None]:
        """Be the only process that works on a partial; waits for another one to end.

        Raises:
            IntegrityError: the key is no digest.
            RkfetchError: the folder of partials, or the one that the file is to enter, leads out
                of the store or cannot be used.
        """
        self._entry(key)
        path = self._lock(key)
        make_directory(self.partials)
        with contextlib.ExitStack() as stack:
            with disk_errors(self.partials):
                stack.enter_context(
                    locked(
                        path,
                        waiting=lambda: (
                            waiting("another rkfetch is downloading this file", 0)
                            if waiting is not None
                            else None
                        ),
                    )
                )
            yield

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
        make_directory(directory)
        path = directory / fitting_name(directory, record.path)
        with disk_errors(directory):
            # Every byte was read on its way here.
            record = record.looked_at(damaged=False, verified=Verified.now(partial.stat()))
            if not record.companions and (earlier := self._record(record.sha256)) is not None:
                record = replace(record, companions=earlier.companions)
            record.write(directory)
            if partial.stat().st_nlink == 1:  # else it is a user's file, too
                share(partial)
            _sync_file(partial)
            partial.replace(path)
            for other in directory.iterdir():
                if other.name not in {path.name, RECORD_NAME} and not is_folder(other):
                    other.unlink()
            sync_directory(directory)
            sync_directory(self.models)
            journal_of(partial).unlink(missing_ok=True)
        return Installed(path=path, record=record)

    def verify(self, item: Installed, progress: Progress | None = None) -> IntegrityError | None:
        """Read a file again; return what is wrong with it, if anything.

        A damaged file is marked, so that `find` does not give it out any more.
        """
        progress = progress or NoProgress()
        progress.phase("verify")
        progress.started(item.record.size_bytes, 0)
        unreadable: OSError | None = None
        with disk_errors(item.path):
            verified = Verified.now(item.path.stat())
            try:
                actual = hash_file(item.path, advanced=progress.advanced).hexdigest()
            except OSError as error:
                if not is_failing(error):
                    raise
                actual, unreadable = None, error
            unwritten = verified.is_same(item.path.stat())
        damaged = actual != item.record.sha256
        note = verified if unwritten else None
        self._note(
            item.record.sha256,
            lambda record: (record or item.record).looked_at(damaged=damaged, verified=note),
        )
        if not damaged:
            return None
        how, cause = (
            ("its SHA-256 changed", [f"expected {item.record.sha256}", f"got      {actual}"])
            if unreadable is None
            else ("it cannot be read any more", [unreadable.strerror or str(unreadable)])
        )
        return IntegrityError(
            f"{item.path} is damaged: {how}",
            expected=item.record.sha256,
            actual=actual,
            cause=cause,
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
        with self.writing(item.record.sha256, waiting=waiting), disk_errors(self.models):
            notes = (directory / name for name in NOTES)
            remove_paths([directory, *paths_in(directory), directory / item.path.name, *notes])

    def place(self, item: Installed, target: Path, *, force: bool = False) -> Path:
        """Have a file in a folder of the user's too, or under a name; as `place.place`."""
        return place(item, target, force=force)

    # --- who works on it ------------------------------------------------------------------------

    def _lock(self, key: str) -> Path:
        require_own(self.partials)
        path = self.partials / f"{_checked(key)}.lock"
        if path.is_symlink():
            raise RkfetchError(f"{path} is a symbolic link", hint=f"remove {path}")
        return path

    def is_locked(self, key: str) -> bool:
        """Tell whether a live process works on this download or entry; writes nothing."""
        with disk_errors(self.partials):
            return is_locked(self._lock(key))

    @contextlib.contextmanager
    def locked_at_once(self, key: str) -> Iterator[bool]:
        """Work on a download or entry if nobody else does; tells whether that is so.

        Raises:
            IntegrityError: the key is no digest.
            OSError, RkfetchError: the lock cannot be made.
        """
        path = self._lock(key)
        make_directory(self.partials)
        with locked_at_once(path) as ours:
            yield ours


def _checked(key: str) -> str:
    if not _SHA256.fullmatch(key):
        raise IntegrityError(
            f"'{key[:80]}' is no SHA-256",
            cause=["files are kept under theirs; this could be a path to anywhere"],
            hint="rkfetch catalog update",
        )
    return key


def names_in(directory: Path) -> list[str]:
    """Return what is in a folder, sorted; nothing if it is not there."""
    try:
        return sorted(os.listdir(directory))  # noqa: PTH208 - names are wanted
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise failure_of_disk(error, directory) from error


def _content_of(directory: Path) -> Path | None:
    """Return the one file that an entry is about."""
    names = [n for n in names_in(directory) if n != RECORD_NAME and not n.startswith(".")]
    paths = [directory / name for name in names]
    return next((path for path in paths if path.is_file() and not path.is_symlink()), None)


def _sync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def is_folder(path: Path) -> bool:
    """Tell whether something is a folder, and no link to one.

    Raises:
        OSError: the disk failed, or is gone.
    """
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError as error:
        if is_of_disk(error):
            raise
        return False


def remove_paths(paths: Sequence[Path]) -> None:
    """Remove files, and folders unless somebody has put something of theirs in; last one first."""
    for path in reversed(paths):
        if is_folder(path):
            _remove_folder(path)
        else:
            path.unlink(missing_ok=True)


def _remove_folder(path: Path) -> None:
    try:
        path.rmdir()
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT}:
            raise
