"""Put a stored file where a user wants it: a link where that works, else a verified copy."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import PurePath
from typing import TYPE_CHECKING

from .durable import (
    BLOCK_BYTES,
    disk_errors,
    hash_file,
    require_space,
    sync_directory,
)
from .errors import IntegrityError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from .store import Installed

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
    temporary = destination.with_name(f".{destination.name[:150]}.{os.getpid()}.tmp")
    with disk_errors(destination.parent):
        try:
            _link_or_copy(item, temporary)
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
    destination = (target / name if into_folder else target).absolute()
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        writable = os.access(destination.parent, os.W_OK | os.X_OK)
        reason = "it is not writable"
    except OSError as error:
        writable, reason = False, error.strerror or str(error)
    if not writable:
        raise UsageError(
            f"no file can be placed in {destination.parent}: {reason}",
            hint="name another folder with -o; the download itself is kept in RKFETCH_HOME",
        )
    return destination


def _is_same(item: Installed, destination: Path) -> bool:
    try:
        if destination.samefile(item.path):
            return True
        if not destination.is_file() or destination.stat().st_size != item.record.size_bytes:
            return False
        return hash_file(destination).hexdigest() == item.record.sha256
    except OSError:
        return False


def _link_or_copy(item: Installed, temporary: Path) -> None:
    temporary.unlink(missing_ok=True)
    try:
        os.link(item.path, temporary)
    except OSError:
        # Another file system, one without links, or a kernel that forbids them.
        _copy(item, temporary)


def _copy(item: Installed, temporary: Path) -> None:
    with item.path.open("rb", buffering=0) as source, temporary.open("xb", buffering=0) as copy:
        if _cloned(source.fileno(), copy.fileno()):
            return
        require_space(temporary.parent, item.record.size_bytes)
        digest = hashlib.sha256()
        while block := source.read(BLOCK_BYTES):
            digest.update(block)
            view = memoryview(block)
            while view:
                view = view[copy.write(view) :]
        os.fsync(copy.fileno())
    if digest.hexdigest() != item.record.sha256:
        raise IntegrityError(
            f"{item.path} is damaged",
            expected=item.record.sha256,
            actual=digest.hexdigest(),
            hint="rkfetch verify",
        )


def _cloned(source: int, copy: int) -> bool:
    import fcntl

    with contextlib.suppress(OSError):
        fcntl.ioctl(copy, _FICLONE, source)
        os.fsync(copy)
        return True
    return False
