"""Put a stored file where a user wants it: a link where that works, else a verified copy."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import PurePath
from typing import TYPE_CHECKING, Literal

from .durable import (
    BLOCK_BYTES,
    disk_errors,
    hash_file,
    require_space,
    sync_directory,
)
from .errors import IntegrityError, UsageError
from .record import fitting_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import FileIO
    from pathlib import Path

    from .store import Installed

How = Literal["linked", "cloned", "copied"]

_FICLONE = 0x40049409
"""ioctl of Linux: share the blocks of another file (btrfs, XFS)."""


def place(item: Installed, target: Path, *, force: bool = False) -> Path:
    """Have a stored file in a folder too, or under a name that ends like its own.

    A file with the same content that is there already is kept. The new name appears with the
    whole content or not at all.

    Raises:
        UsageError: another file is there (``force`` replaces it), or it may not be written.
        DiskSpaceError: there is no room for a copy.
        IntegrityError: the stored file turned out damaged while it was copied.
    """
    destination = destination_of(item.path.name, target)
    if os.path.lexists(destination):
        if _is_same(item, destination):
            return destination
        if not force or destination.is_dir():
            raise UsageError(
                f"{destination} is there already, and is another file",
                hint="name another place, or remove it",
            )
    temporary = destination.with_name(f".rkfetch-{os.getpid()}-{item.record.sha256[:12]}.tmp")
    with disk_errors(destination.parent):
        try:
            link_or_copy(item.path, temporary, sha256=item.record.sha256)
            temporary.replace(destination)
            sync_directory(destination.parent)
        finally:
            temporary.unlink(missing_ok=True)
    return destination


def destination_of(name: str, target: Path) -> Path:
    """Return where a file of this name would be placed, and make sure that it can be.

    Asked before a download too, so that hours later nothing stands in the way.

    Raises:
        UsageError: the folder cannot be made or written.
    """
    suffix = PurePath(name).suffix.lower()
    into_folder = target.is_dir() or target.suffix.lower() != suffix
    folder = (target if into_folder else target.parent).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK | os.X_OK)
        reason = "it is not writable"
    except OSError as error:
        writable, reason = False, error.strerror or str(error)
    if not writable:
        raise UsageError(
            f"no file can be placed in {folder}: {reason}",
            hint="name another folder with -o; the download itself is kept in RKFETCH_HOME",
        )
    return folder / (fitting_name(folder, name) if into_folder else target.name)


def _is_same(item: Installed, destination: Path) -> bool:
    try:
        if destination.samefile(item.path):
            return True
        if not destination.is_file() or destination.stat().st_size != item.record.size_bytes:
            return False
        return hash_file(destination).hexdigest() == item.record.sha256
    except OSError:
        return False


def link_or_copy(
    source: Path,
    temporary: Path,
    *,
    sha256: str | None = None,
    may_link: bool = True,
    advanced: Callable[[int], object] | None = None,
) -> tuple[How, str | None]:
    """Have the content of a file under a temporary name too, at the least cost that works.

    Returns how that was done, and the SHA-256 where all of it was read on the way. What was
    written is on the disk; ``advanced`` is told how many bytes were copied.

    Raises:
        OSError: it cannot be opened or written.
        RkfetchError: it cannot be read.
        DiskSpaceError: there is no room for a copy.
        IntegrityError: another content was copied than ``sha256`` says.
    """
    temporary.unlink(missing_ok=True)
    if may_link:
        # Not on another file system, on one without links, or where the kernel forbids them.
        with contextlib.suppress(OSError):
            os.link(source, temporary)
            return "linked", None
    return _copy(source, temporary, sha256, advanced)


def _copy(
    source: Path,
    temporary: Path,
    sha256: str | None,
    advanced: Callable[[int], object] | None,
) -> tuple[How, str | None]:
    with source.open("rb", buffering=0) as original, temporary.open("xb", buffering=0) as copy:
        if _cloned(original.fileno(), copy.fileno()):
            return "cloned", None
        # No further than it was long then: somebody may be appending to it without end.
        size = os.fstat(original.fileno()).st_size
        require_space(temporary.parent, size)
        digest = hashlib.sha256()
        done = 0
        while block := _read(original, min(BLOCK_BYTES, size - done), source):
            digest.update(block)
            view = memoryview(block)
            while view:
                view = view[copy.write(view) :]
            done += len(block)
            if advanced is not None:
                advanced(done)
        os.fsync(copy.fileno())
    if sha256 is not None and digest.hexdigest() != sha256:
        raise IntegrityError(
            f"{source} is damaged",
            expected=sha256,
            actual=digest.hexdigest(),
            hint="rkfetch verify",
        )
    return "copied", digest.hexdigest()


def _read(file: FileIO, count: int, source: Path) -> bytes:
    """Read on; what goes wrong is not the fault of the place that is copied to."""
    with disk_errors(source):
        return file.read(count) or b""


def _cloned(source: int, copy: int) -> bool:
    import fcntl

    with contextlib.suppress(OSError):
        fcntl.ioctl(copy, _FICLONE, source)
        os.fsync(copy)
        return True
    return False
