"""Put bytes on a disk so that a power cut leaves the old state or the new one, nothing between."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import tempfile
from typing import TYPE_CHECKING

from .disk_failures import failure_of_disk, free_bytes
from .errors import DiskSpaceError, RkfetchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BLOCK_BYTES = 1 << 20
_LONGEST_NOTE = 1 << 20
"""Bytes of a journal or a record; what is longer is none of ours."""
_REMOVE_IT = "rkfetch follows no links in its own folder: remove {}, then run the command again"


@contextlib.contextmanager
def disk_errors(place: Path) -> Iterator[None]:
    """Turn what the operating system says about a disk into our errors.

    Raises:
        DiskSpaceError: it is full, or its file system cannot hold a file of that size.
        UsageError: it may not be written.
        RkfetchError: anything else.
    """
    try:
        yield
    except OSError as error:
        raise failure_of_disk(error, place) from error


def require_space(directory: Path, need_bytes: int, *, margin_bytes: int = 1 << 20) -> None:
    """Check that a file system has room before anything is written to it.

    Raises:
        DiskSpaceError: it has not, with need (the margin included), have and where.
    """
    need_bytes += margin_bytes
    have_bytes = free_bytes(directory)
    if have_bytes < need_bytes:
        raise DiskSpaceError(
            f"not enough room in {directory}",
            need_bytes=need_bytes,
            have_bytes=have_bytes,
            where=str(directory),
            cause=[f"{need_bytes:,} bytes are needed, {have_bytes:,} are free"],
            hint="make room (`rkfetch gc`, `rkfetch rm`), or name another folder with RKFETCH_HOME",
        )


def preallocate(handle: int, size_bytes: int) -> bool:
    """Reserve the room of a whole file; False if its file system cannot do that.

    The length of the file stays as it is. (`os.posix_fallocate` would fill the whole file with
    zeros where the file system cannot, and make it longer.)

    Raises:
        OSError: there is no room.
    """
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    keep_size = 1
    offset, length = ctypes.c_int64(0), ctypes.c_int64(max(1, size_bytes))
    try:
        call = libc.fallocate64 if hasattr(libc, "fallocate64") else libc.fallocate
    except AttributeError:
        return False
    while call(handle, keep_size, offset, length):
        number = ctypes.get_errno()
        if number in {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EPERM}:
            return False
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))
    return True


def fills_holes(directory: Path) -> bool:
    """Tell whether a file system writes zeros where a file was skipped, as FAT does.

    vfat does so even behind what `preallocate` reserved.
    """
    skipped = 1 << 20
    with contextlib.suppress(OSError):
        handle, name = tempfile.mkstemp(prefix=".holes-", dir=directory)
        try:
            os.ftruncate(handle, skipped)
            return os.fstat(handle).st_blocks * 512 >= skipped
        finally:
            close(handle)
            os.unlink(name)  # noqa: PTH108 - a name of mkstemp
    return False


def make_directory(path: Path) -> None:
    """Make a folder and those above it; raises like `disk_errors`."""
    with disk_errors(path):
        _make_directory(path)


def _make_directory(path: Path) -> None:
    try:
        path.mkdir()
    except FileNotFoundError:
        _make_directory(path.parent)
        path.mkdir(exist_ok=True)
    except OSError:
        # It is there: perhaps in a place that may not be written, which is told first.
        if not path.is_dir():
            raise
        return
    share(path)


def share(path: Path) -> None:
    """Let the group write a new file or folder where it may write the folder around it.

    Whatever the umask says, as git does in a shared repository, so that two users can share a
    store. Below a folder that everybody may write, such as ``/tmp``, nothing is shared.
    """
    with contextlib.suppress(OSError):
        above = path.parent.stat()
        if not above.st_mode & stat.S_IWGRP or above.st_mode & stat.S_IWOTH:
            return
        # By its descriptor: another member of the group could put a link in its place.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        handle = os.open(path, flags)
        try:
            own = os.fstat(handle)
            wanted = own.st_mode | (0o2070 if stat.S_ISDIR(own.st_mode) else 0o060)
            if own.st_gid != above.st_gid:
                os.fchown(handle, -1, above.st_gid)
            if wanted != own.st_mode and own.st_uid == os.geteuid():
                os.fchmod(handle, stat.S_IMODE(wanted))
        finally:
            os.close(handle)


def require_own(directory: Path) -> None:
    """Check that a folder of the store, if it is there, is no link out of the store.

    Raises:
        RkfetchError: it is a link, or no folder.
    """
    try:
        mode = directory.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise failure_of_disk(error, directory) from error
    if not stat.S_ISDIR(mode):
        kind = "a symbolic link" if stat.S_ISLNK(mode) else "no folder"
        raise RkfetchError(
            f"{directory} is {kind}",
            hint=f"{_REMOVE_IT.format(directory)}; "
            "to keep models elsewhere, set RKFETCH_HOME or make all of it a link",
        )


def open_own(path: Path) -> int:
    """Open a file of the store for reading and writing, or make it; return its descriptor.

    Raises:
        RkfetchError: it is a link, a pipe, or known under another name too: writing to it would
            change something that is not the store's.
        DiskSpaceError, UsageError: as `disk_errors`.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    hint = _REMOVE_IT.format(path)
    with disk_errors(path.parent):
        try:
            handle = os.open(path, flags, 0o644)
        except OSError as error:
            if error.errno not in {errno.ELOOP, errno.EISDIR, errno.ENXIO}:
                raise
            raise RkfetchError(f"{path} is no plain file", hint=hint) from error
        status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        os.close(handle)
        raise RkfetchError(f"{path} is no plain file of rkfetch's own", hint=hint)
    share(path)
    return handle


def read_note(path: Path) -> bytes:
    """Read a small file that rkfetch keeps for itself.

    Raises:
        OSError: it cannot be read, or is no plain file, or too long to be one of ours.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "not a plain file", str(path))
        data = file.read(_LONGEST_NOTE + 1)
    if len(data) > _LONGEST_NOTE:
        raise OSError(errno.EFBIG, "too long", str(path))
    return data


def close(handle: int) -> None:
    """Close a file, whatever its disk says: what is to last was synced before."""
    with contextlib.suppress(OSError):
        os.close(handle)


def sync_directory(path: Path) -> None:
    """Make the names in a folder last."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_durably(path: Path, data: bytes) -> None:
    """Replace a small file as a whole; there must be one writer at a time.

    Raises:
        OSError: it could not be written; the old file is as it was.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        share(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def hash_file(
    path: Path, *, length: int | None = None, advanced: Callable[[int], object] | None = None
) -> hashlib._Hash:
    """Return the SHA-256 state over a file or its first ``length`` bytes.

    ``advanced`` is told the number of bytes read so far.

    Raises:
        OSError: it cannot be read, or is shorter than ``length``.
    """
    digest = hashlib.sha256()
    done = 0
    with path.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        block = bytearray(BLOCK_BYTES)
        view = memoryview(block)
        while length is None or done < length:
            wanted = BLOCK_BYTES if length is None else min(BLOCK_BYTES, length - done)
            count = file.readinto(view[:wanted])
            if not count:
                break
            digest.update(view[:count])
            done += count
            if advanced is not None:
                advanced(done)
    if length is not None and done < length:
        raise OSError(errno.EIO, "the file is shorter than it was", str(path))
    return digest
