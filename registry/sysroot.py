"""Read files below a root that stands for a board's ``/``, without ever leaving that root.

A board's file system may be mounted elsewhere (an SD card in a PC, a test's folder). Its
symbolic links are followed as the board would follow them, so an absolute link stays inside.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_LINKS = 40
"""As Linux does (MAXSYMLINKS)."""
_MAX_NAMES = 20_000

_PROBLEMS = {
    errno.ENOENT: "not there",
    errno.ENOTDIR: "not there",
    errno.EACCES: "not readable by this user",
    errno.EPERM: "not readable by this user",
    errno.ELOOP: "a loop of symbolic links",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What came of reading one file: its data, or why there is none."""

    data: bytes | None = None
    problem: str | None = None

    @property
    def text(self) -> str | None:
        """The data as text, without NULs and white space at either end."""
        if self.data is None:
            return None
        return self.data.decode("utf-8", "replace").strip("\0 \t\r\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sysroot:
    """A folder that stands for ``/``. Paths given and returned are the board's own."""

    root: Path

    @property
    def is_live(self) -> bool:
        """Whether it is this machine's own root."""
        return os.path.realpath(self.root) == "/"

    def resolve(self, path: str) -> str | None:
        """Follow all symbolic links inside the root; None for a loop or an impossible name."""
        if "\0" in path:
            return None
        pending = path.split("/")[::-1]
        done: list[str] = []
        links = 0
        while pending:
            part = pending.pop()
            if part in {"", "."}:
                continue
            if part == "..":
                del done[-1:]
                continue
            done.append(part)
            link = _read_link(self._host("/" + "/".join(done)))
            if link is None:
                continue
            links += 1
            if links > _MAX_LINKS:
                return None
            done = [] if link.startswith("/") else done[:-1]
            pending.extend(link.split("/")[::-1])
        return "/" + "/".join(done)

    def exists(self, path: str) -> bool:
        """Whether something is there that is no dangling link."""
        return self.stat(path) is not None

    def stat(self, path: str) -> os.stat_result | None:
        """Status of the file that the path leads to; None if it leads nowhere."""
        resolved = self.resolve(path)
        if resolved is None:
            return None
        try:
            return os.lstat(self._host(resolved))
        except (OSError, ValueError):
            return None

    def open(self, path: str) -> BinaryIO:
        """Open a regular file for reading; a pipe or a device is refused, not waited for.

        Raises:
            OSError: it is not there, not readable or no regular file.
        """
        resolved = self.resolve(path)
        if resolved is None:
            code = errno.ENOENT if "\0" in path else errno.ELOOP
            raise OSError(code, os.strerror(code), path)
        host = self._host(resolved)
        if not stat.S_ISREG(os.lstat(host).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        descriptor = os.open(host, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        return os.fdopen(descriptor, "rb", buffering=0)

    def read(self, path: str, *, limit: int = 65_536) -> Reading:
        """Read at most ``limit`` bytes of a file; whatever goes wrong becomes words."""
        try:
            with self.open(path) as stream:
                return Reading(data=stream.read(limit) or b"")
        except OSError as error:
            return Reading(problem=why_unreadable(error))

    def names(self, folder: str) -> list[str]:
        """Names in a folder, sorted; none if it cannot be read."""
        resolved = self.resolve(folder)
        if resolved is None:
            return []
        try:
            with os.scandir(self._host(resolved)) as entries:
                found = [entry.name for _, entry in zip(range(_MAX_NAMES), entries, strict=False)]
        except OSError:
            return []
        return sorted(found)

    def glob(self, pattern: str) -> Iterator[str]:
        """Paths that match an absolute pattern, component by component, sorted."""
        yield from self._glob("", [part for part in pattern.split("/") if part])

    def _glob(self, base: str, parts: list[str]) -> Iterator[str]:
        if not parts:
            if self.exists(base):
                yield base
            return
        head, rest = parts[0], parts[1:]
        if not any(c in head for c in "*?["):
            yield from self._glob(f"{base}/{head}", rest)
            return
        for name in self.names(base or "/"):
            if fnmatchcase(name, head):
                yield from self._glob(f"{base}/{name}", rest)

    def _host(self, path: str) -> str:
        return os.fspath(self.root).rstrip("/") + path


def why_unreadable(error: OSError) -> str:
    """Say in a few words why a file could not be read."""
    return _PROBLEMS.get(error.errno or 0) or error.strerror or "not readable"


def _read_link(host: str) -> str | None:
    try:
        return str(Path(host).readlink())
    except (OSError, ValueError):
        return None
