"""Say in our words what went wrong with a disk, and what its owner can do about it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from .errors import DiskSpaceError, RkfetchError, UsageError

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_FAILING = {errno.EIO, errno.EUCLEAN, errno.EBADMSG, errno.EREMOTEIO}
_GONE = {
    errno.ENODEV,
    errno.ENXIO,
    errno.ENOTCONN,
    errno.ECONNABORTED,  # what FUSE says of an operation that was under way
    errno.ESTALE,
    errno.ESHUTDOWN,
    errno.ENOMEDIUM,
}
_FAT32_BYTES = (1 << 32) - 1
_ELSEWHERE = "name a folder on another disk with RKFETCH_HOME"


def failure_of_disk(error: OSError, place: Path) -> RkfetchError:
    """Return what an error of the operating system means for who keeps things in a place.

    A DiskSpaceError if it is full, or its file system cannot hold a file of that size; a
    UsageError if it may not be written; else a RkfetchError.
    """
    said = error.strerror or str(error)
    if error.errno in _FULL:
        return _full(place, error, said)
    if error.errno == errno.EFBIG:
        return DiskSpaceError(
            f"the file system of {place} does not hold files of that size",
            where=str(place),
            cause=[f"{said}; FAT32, for one, ends at 4 GiB"],
            hint="name a folder on another file system with RKFETCH_HOME",
        )
    if error.errno in _FORBIDDEN:
        return _forbidden(place, error, said)
    if error.errno in _GONE:
        return RkfetchError(
            f"the disk of {place} is gone",
            cause=[said],
            hint=f"plug it in and mount it, then run the same command again; or {_ELSEWHERE}",
        )
    if is_failing(error):
        return RkfetchError(
            f"the disk of {place} failed",
            cause=[said],
            hint="run the same command again; if that fails too, the card, stick or cable may be "
            f"worn out (`dmesg` tells more): {_ELSEWHERE}",
        )
    return RkfetchError(f"{place} cannot be used", cause=[said])


def is_failing(error: OSError) -> bool:
    """Tell whether a disk could not do what it should, as with a bad block."""
    return error.errno in _FAILING


def is_of_disk(error: OSError) -> bool:
    """Tell whether a disk failed or is gone, which says nothing about what is on it."""
    return error.errno in _FAILING | _GONE


def free_bytes(place: Path) -> int:
    """Return how many bytes this user may still write to the file system of an existing place."""
    stats = os.statvfs(place)
    return stats.f_bavail * stats.f_frsize


def largest_file(place: Path) -> int | None:
    """Return how many bytes a file may have on the file system of an existing place at the most.

    None where that is no bound worth knowing. FAT32 stops one byte short of 4 GiB
    (https://learn.microsoft.com/en-us/troubleshoot/windows-client/backup-and-storage/fat-hpfs-and-ntfs-file-systems).
    """
    try:
        mounts = Path("/proc/self/mountinfo").read_text(errors="replace")
        device = place.stat().st_dev
    except OSError:
        return None
    return _FAT32_BYTES if kind_of(mounts, device) in {"vfat", "msdos"} else None


def kind_of(mounts: str, device: int) -> str | None:
    """Return the kind of the file system with this number, as ``/proc/self/mountinfo`` names it."""
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in mounts.splitlines():
        before, _, behind = line.partition(" - ")
        if before.split()[2:3] == [number]:
            return behind.partition(" ")[0]
    return None


def _full(place: Path, error: OSError, said: str) -> DiskSpaceError:
    if error.errno == errno.EDQUOT:
        # How much of it is left cannot be asked: what is free on the disk is no answer.
        return DiskSpaceError(
            f"your quota is used up in {place}",
            where=str(place),
            cause=[said],
            hint=f"make room (`rkfetch gc`, `rkfetch rm`) or {_ELSEWHERE}, "
            "then run the same command again",
        )
    there = _existing(place)
    try:
        have, stats = free_bytes(there), os.statvfs(there)
    except OSError:
        have, stats = None, None
    cause = [said if have is None else f"{said}; {have:,} bytes are free"]
    if stats is not None and stats.f_files and not stats.f_favail:
        cause.append("it holds as many files as it can (`df -i`)")
    return DiskSpaceError(
        f"no room is left in {place}",
        have_bytes=have,
        where=str(place),
        cause=cause,
        hint="make room (`rkfetch gc`, `rkfetch rm`), then run the same command again",
    )


def _forbidden(place: Path, error: OSError, said: str) -> UsageError:
    """Say whose a place is that may not be written, and how its owner would share it."""
    import shlex

    cause = [said]
    hint = "name a folder that you may write with RKFETCH_HOME"
    at = Path(error.filename) if isinstance(error.filename, str) else place
    there = _existing(at)
    if error.errno == errno.EROFS:
        hint += "; Linux makes a disk that fails read-only, too: `dmesg` tells"
    elif (status := there.lstat()).st_uid != os.geteuid():
        cause.append(f"{there} belongs to {_user(status.st_uid)}, group {_group(status.st_gid)}")
        root = shlex.quote(str(_store_of(place)))
        hint += (
            f"; or share this one with a group that you are in: its owner runs "
            f"`chgrp -R GROUP {root}; chmod -R g+rwX {root}; "
            f"find {root} -type d -exec chmod g+s {{}} +`"
        )
    return UsageError(f"{place} cannot be written", cause=cause, hint=hint)


def _existing(place: Path) -> Path:
    """Return a place, or what is above it, as far as it is there."""
    return next((p for p in (place, *place.parents) if os.path.lexists(p)), place)


def _store_of(place: Path) -> Path:
    """Return the folder that is to be shared: the whole store, where a place is inside of one."""
    for path in (place, *place.parents):
        if path.name == "partials" or (
            path.name == "models" and (path.parent / "partials").exists()
        ):
            return path.parent
    return place


def _user(number: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


def _group(number: int) -> str:
    import grp

    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return f"{number}"
