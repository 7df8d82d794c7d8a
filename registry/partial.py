"""Keep a file while it comes: its bytes where they belong, and a journal of what can be trusted."""

from __future__ import annotations

import errno
import os
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from . import journal
from .durable import (
    close,
    disk_errors,
    fills_holes,
    make_directory,
    open_own,
    preallocate,
    require_space,
)
from .journal import Journal, journal_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .journal import Subject, Trusted
    from .spans import Spans


class Partial:
    """The partial file of one download. There must be one writer; threads may write at once.

    Raises:
        RkfetchError: the file is no plain file of rkfetch's own.
        DiskSpaceError, UsageError: it cannot be made.
    """

    def __init__(self, path: Path, subject: Subject) -> None:
        self.path = path
        self._subject = subject
        make_directory(path.parent)
        self.handle = open_own(path)
        self.was_there = os.fstat(self.handle).st_size > 0
        """An earlier process left something, whether it can be used or not."""
        self._journal: Journal | None = None
        self._lock = threading.Condition()
        self._users = 0
        self._closed = False
        self.turn = 0
        """Another after each `begin`: what was seen before does not hold any more."""
        self.in_order = False
        """The file system fills holes with zeros: what comes should come in order."""

    def take_up(self) -> Trusted | None:
        """Return what an earlier process left of this very file, if anything can be trusted."""
        status = os.fstat(self.handle)
        found = journal.read(journal_of(self.path), self._subject, inode=status.st_ino)
        if found is None or not found.spans or found.spans.end > status.st_size:
            return None
        return found

    def begin(self, trusted: Trusted | None) -> None:
        """Keep what is trusted, cut off the rest, and have room for all of the file.

        Raises:
            DiskSpaceError: there is not enough room.
        """
        size_bytes = self._subject.size_bytes
        with disk_errors(self.path.parent), self._lock:
            self.turn += 1
            if self._journal is None:
                inode = os.fstat(self.handle).st_ino
                self._journal = Journal(journal_of(self.path), self._subject, inode=inode)
            # The journal first, so that it never vouches for what is not there any more.
            if trusted is None:
                self._journal.begin()
            else:
                self._journal.go_on(trusted)
            os.ftruncate(self.handle, trusted.spans.end if trusted else 0)
            here = os.fstat(self.handle).st_blocks * 512
            require_space(self.path.parent, max(0, size_bytes - here))
            can_reserve = preallocate(self.handle, size_bytes)
            self.in_order = not can_reserve or fills_holes(self.path.parent)

    def write(self, position: int, data: memoryview) -> None:
        """Put bytes where they belong; raises as `durable.disk_errors`."""
        with disk_errors(self.path.parent), self._in_use():
            while data:
                count = os.pwrite(self.handle, data, position)
                position += count
                data = data[count:]

    def read(self, position: int, length: int) -> bytes:
        """Return some bytes; raises as `durable.disk_errors`."""
        with disk_errors(self.path.parent), self._in_use():
            return os.pread(self.handle, length, position)

    def written(self, spans: Spans) -> None:
        """Vouch for bytes that were written, as far as this machine stays on."""
        with disk_errors(self.path.parent), self._lock:
            if self._journal is not None and not self._closed:
                self._journal.written(spans)

    def describe(self, validators: dict[str, str]) -> None:
        """Remember the validators with the next note."""
        with self._lock:
            if self._journal is not None:
                self._journal.describe(validators)

    def sync(self, spans: Spans, checked: tuple[int, str] | None, *, turn: int) -> None:
        """Make bytes that were written last, then vouch for them, if it is the same ``turn``.

        Raises:
            DiskSpaceError, RkfetchError: as `durable.disk_errors`.
        """
        with disk_errors(self.path.parent), self._in_use():
            os.fdatasync(self.handle)
            with self._lock:
                if self._journal is None or turn != self.turn:
                    return
                self._journal.synced(spans, checked)
            # Without the lock: who receives should not wait for the disk.
            self._journal.flush()

    def renounce(self, spans: Spans) -> None:
        """Vouch for no more than this from now on; raises like `sync`."""
        with self._lock:
            self.turn += 1
        self.sync(spans, None, turn=self.turn)

    def close(self, *, keep: bool) -> None:
        """Close it, after who is using it just now; without ``keep`` nothing stays."""
        with self._lock:
            self._closed = True
            while self._users:
                self._lock.wait()
        if self._journal is not None:
            self._journal.close()
        close(self.handle)
        if not keep:
            with suppress(OSError):  # the disk may be gone
                self.path.unlink(missing_ok=True)
                journal_of(self.path).unlink(missing_ok=True)

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        """Keep it open meanwhile: a number that was closed may be another file's by now."""
        with self._lock:
            if self._closed:
                raise OSError(errno.EBADF, "the partial file was closed")
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                self._lock.notify_all()
