"""Let one process at a time work on a thing; a lock ends with its process, however that ends.

A lock is a file under ``flock``, which can be trusted on local file systems and NFS 4, not on
some cluster file systems. Whoever lets go removes the file, so that only a killed process leaves
one behind, which holds nobody up.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

from .durable import close, share

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@contextlib.contextmanager
def locked(path: Path, *, waiting: Callable[[], object] | None = None) -> Iterator[None]:
    """Hold a lock; ``waiting`` is told once if another process has to end first.

    Raises:
        OSError: the lock file cannot be made or opened.
    """
    handle = _take(path)
    if handle is None:
        if waiting is not None:
            waiting()
        handle = _wait_for(path)
    try:
        yield
    finally:
        _release(path, handle)


@contextlib.contextmanager
def locked_at_once(path: Path) -> Iterator[bool]:
    """Hold a lock if nobody does; tells whether it is held.

    Raises:
        OSError: the lock file cannot be made or opened.
    """
    handle = _take(path)
    try:
        yield handle is not None
    finally:
        if handle is not None:
            _release(path, handle)


def is_locked(path: Path) -> bool:
    """Tell whether a live process holds a lock; writes nothing.

    Raises:
        OSError: the lock file cannot be opened.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        # A shared lock: two that only look do not take each other for a holder.
        return not _flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    finally:
        os.close(handle)


def _take(path: Path) -> int | None:
    while True:
        handle = _open(path)
        if not _flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB):
            os.close(handle)
            return None
        if _is_still_there(path, handle):
            return handle
        os.close(handle)


def _wait_for(path: Path) -> int:
    while True:
        handle = _open(path)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except BaseException:
            os.close(handle)
            raise
        if _is_still_there(path, handle):
            return handle
        os.close(handle)


def _open(path: Path) -> int:
    flags = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o644)
    except PermissionError as error:
        # Left by another user, perhaps: being able to read it is enough to lock it.
        try:
            return os.open(path, os.O_RDONLY | flags)
        except OSError:
            raise error from None
    share(path)
    return handle


def _flock(handle: int, how: int) -> bool:
    try:
        fcntl.flock(handle, how)
    except BlockingIOError:
        return False
    return True


def _is_still_there(path: Path, handle: int) -> bool:
    """Whoever held the lock before may have removed the file, and another may have made it anew."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _release(path: Path, handle: int) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
    close(handle)
