"""A file system over FUSE that passes everything on to a folder, and fails as it is told.

Run as a program: ``faulty.py FOLDER MOUNT ORDERS``. ``ORDERS`` is a JSON file that is read at
every call and may be replaced at any time::

    {"faults": [{"call": "write", "errno": 5, "name": "*.partial", "from_byte": 4096}],
     "room_bytes": 1000000, "holes": false, "two_seconds": true, "any_case": true,
     "longest_name": 143}

A fault with ``seconds`` only takes its time, and one with ``hangs`` takes it until the order is
withdrawn. The call ``change`` is every one that changes something. What was done to whom is added
to ``ORDERS.log``, a line each.
"""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mfusepy  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_TIMES = ("st_atime", "st_mtime", "st_ctime")
_STATUS = ("st_mode", "st_nlink", "st_uid", "st_gid", "st_size", "st_ino", "st_blocks")
_ROOM = ("f_bsize", "f_frsize", "f_blocks", "f_files", "f_ffree", "f_favail", "f_namemax")
_ZEROS = bytes(1 << 20)


class Faulty:
    """The calls of the file system, each passed on to a folder unless it is to fail."""

    use_ns = True

    def __init__(self, folder: Path, orders: Path) -> None:
        self._folder = folder
        self._orders = orders
        self._log = orders.with_name(f"{orders.name}.log").open("a", buffering=1)

    # --- what it was told -----------------------------------------------------------------------

    @property
    def _told(self) -> dict[str, Any]:
        orders: dict[str, Any] = json.loads(self._orders.read_bytes())
        return orders

    def _obey(self, calls: Iterable[str], path: str | None, *, end: int = 1 << 62) -> None:
        """Fail if one of these calls is to fail for that file, ending at that byte."""
        fault = self._fault(calls, path, end)
        if fault is None:
            return
        self._log.write(f"{fault['call']} {path}\n")
        time.sleep(fault.get("seconds", 0))
        while fault.get("hangs") and self._fault(calls, path, end) is not None:
            time.sleep(0.01)
        if "errno" in fault:
            raise OSError(fault["errno"], os.strerror(fault["errno"]))

    def _fault(self, calls: Iterable[str], path: str | None, end: int) -> dict[str, Any] | None:
        for fault in self._told.get("faults", []):
            fits = fnmatch.fnmatch(path or "", fault.get("name", "*"))
            first, last = fault.get("from_byte", 0), fault.get("to_byte", 1 << 62)
            if fault["call"] in calls and fits and first < end <= last:
                return dict(fault)
        return None

    def _at(self, path: str) -> Path:
        told = self._told
        parts = [part for part in path.split("/") if part]
        if any(len(os.fsencode(part)) > told.get("longest_name", 255) for part in parts):
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        at = self._folder
        for part in parts:
            name = part
            if told.get("any_case") and not os.path.lexists(at / part):
                with contextlib.suppress(OSError):
                    alike = [n.name for n in at.iterdir() if n.name.lower() == part.lower()]
                    name = alike[0] if alike else part
            at /= name
        return at

    def _left(self) -> int | None:
        room = self._told.get("room_bytes")
        if room is None:
            return None
        files = [path for path in self._folder.rglob("*") if path.is_file()]
        return int(room) - sum(path.stat().st_size for path in files)

    def _require_room(self, handle: int, end: int) -> None:
        left = self._left()
        if left is not None and end - os.fstat(handle).st_size > left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    # --- looking --------------------------------------------------------------------------------

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        self._obey(["stat"], path)
        status = os.fstat(fh) if fh is not None else os.lstat(self._at(path))
        values: dict[str, Any] = {name: getattr(status, name) for name in _STATUS}
        step = 2_000_000_000 if self._told.get("two_seconds") else 1
        return values | {name: getattr(status, f"{name}_ns") // step * step for name in _TIMES}

    def readdir(self, path: str, fh: int) -> Iterator[tuple[str, dict[str, int], int]]:
        self._obey(["list"], path)
        for entry in self._at(path).iterdir():
            status = entry.lstat()
            yield entry.name, {"st_ino": status.st_ino, "st_mode": status.st_mode}, 0

    def statfs(self, path: str) -> dict[str, int]:
        stats = os.statvfs(self._folder)
        left = self._left()
        free = stats.f_bavail if left is None else max(0, left) // stats.f_frsize
        return {name: getattr(stats, name) for name in _ROOM} | {"f_bavail": free, "f_bfree": free}

    def readlink(self, path: str) -> str:
        return str(self._at(path).readlink())

    def open(self, path: str, flags: int) -> int:
        changes = ["change"] if flags & os.O_ACCMODE != os.O_RDONLY else []
        self._obey(["open", *changes], path)
        return os.open(self._at(path), flags & ~(os.O_NOFOLLOW | os.O_APPEND))

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        self._obey(["read"], path, end=offset + size)
        return os.pread(fh, size, offset)

    def release(self, path: str, fh: int) -> int:
        os.close(fh)
        return 0

    # --- changing -------------------------------------------------------------------------------

    def create(self, path: str, mode: int, fi: int) -> int:
        self._obey(["create", "change"], path)
        return os.open(self._at(path), os.O_RDWR | os.O_CREAT | (fi & os.O_EXCL), mode)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        self._obey(["write", "change"], path, end=offset + len(data))
        self._require_room(fh, offset + len(data))
        self._fill(path, fh, offset)
        return os.pwrite(fh, data, offset)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        self._obey(["truncate", "change"], path)
        handle = os.open(self._at(path), os.O_RDWR) if fh is None else fh
        try:
            self._require_room(handle, length)
            self._fill(path, handle, length)
            os.ftruncate(handle, length)
        finally:
            if fh is None:
                os.close(handle)
        return 0

    def _fill(self, path: str, handle: int, end: int) -> None:
        """Write zeros where a hole would be, as a file system does that knows of none."""
        position = os.fstat(handle).st_size
        if self._told.get("holes", True) or position >= end:
            return
        self._log.write(f"zeros {path} {end - position}\n")
        while position < end:
            position += os.pwrite(handle, _ZEROS[: end - position], position)

    def fallocate(self, path: str, mode: int, offset: int, length: int, fh: int) -> int:
        self._obey(["fallocate", "change"], path)
        self._require_room(fh, offset + length)
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        self._obey(["fsync"], path)
        return 0

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        self._obey(["fsync"], path)
        return 0

    def flush(self, path: str, fh: int) -> int:
        return 0

    def mkdir(self, path: str, mode: int) -> int:
        self._obey(["mkdir", "change"], path)
        self._at(path).mkdir(mode)
        return 0

    def rmdir(self, path: str) -> int:
        self._obey(["rmdir", "change"], path)
        self._at(path).rmdir()
        return 0

    def unlink(self, path: str) -> int:
        self._obey(["unlink", "change"], path)
        self._at(path).unlink()
        return 0

    def rename(self, old: str, new: str) -> int:
        self._obey(["rename", "change"], old)
        self._at(old).rename(self._at(new))
        return 0

    def link(self, target: str, source: str) -> int:
        self._obey(["link", "change"], source)
        os.link(self._at(source), self._at(target))
        return 0

    def symlink(self, target: str, source: str) -> int:
        self._obey(["symlink", "change"], target)
        self._at(target).symlink_to(source)
        return 0

    def chmod(self, path: str, mode: int) -> int:
        self._obey(["chmod", "change"], path)
        self._at(path).chmod(mode)
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        self._obey(["chmod", "change"], path)
        os.chown(self._at(path), uid, gid)
        return 0

    def utimens(self, path: str, times: tuple[int, int]) -> int:
        self._obey(["change"], path)
        os.utime(self._at(path), ns=times)
        return 0


if __name__ == "__main__":
    mfusepy.FUSE(
        Faulty(Path(sys.argv[1]), Path(sys.argv[3])),
        sys.argv[2],
        foreground=True,
        use_ino=True,
        hard_remove=True,
        allow_other=True,
    )
