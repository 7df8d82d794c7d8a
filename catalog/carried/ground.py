"""What is asked of the place that an export is written to, before anything is."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from rkfetch.registry.disk_failures import largest_file
from rkfetch.registry.durable import disk_errors, make_directory
from rkfetch.registry.errors import DiskSpaceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_ROOM = "make room there, or name another place with -o"
_OTHER_FORM = "format the stick as exFAT or ext4, or name a place on another disk with -o"


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Let one export at a time be made in a folder; no lock file is left where people look."""
    make_directory(folder)
    with disk_errors(folder):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with disk_errors(folder):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def has_links(folder: Path) -> bool:
    """Tell whether a file system knows hard links."""
    probe, other = folder / ".rkfetch-link", folder / ".rkfetch-link2"
    try:
        for path in (probe, other):
            path.unlink(missing_ok=True)
        probe.touch()
        os.link(probe, other)
    except OSError:
        return False
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)
            other.unlink(missing_ok=True)
    return True


def require_size(place: Path, sizes: Sequence[int]) -> None:
    """Check that a file system holds files of these sizes, before anything is written.

    Raises:
        DiskSpaceError: it does not.
    """
    most, largest = largest_file(place), max(sizes, default=0)
    if most is not None and largest > most:
        raise DiskSpaceError(
            f"the file system of {place} does not hold files of that size",
            need_bytes=largest,
            where=str(place),
            cause=[f"one of them has {largest:,} bytes; FAT32 ends at {most:,}"],
            hint=_OTHER_FORM,
        )


@contextmanager
def saying_where() -> Iterator[None]:
    """Say of a full disk what helps here: what is exported to is not the store."""
    try:
        yield
    except DiskSpaceError as error:
        if error.hint != _OTHER_FORM:
            error.hint = _ROOM
        raise
