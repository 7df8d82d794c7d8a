"""Which files do live processes work with? What Linux tells of this user's own processes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_PROC = Path("/proc")


def users_of(paths: Iterable[Path]) -> dict[Path, int]:
    """Return the files of these that a process has open or mapped, each with a process's number.

    Another user's processes are seen by root only; this process is left out.
    """
    wanted: dict[tuple[int, int], Path] = {}
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            continue
        wanted[status.st_dev, status.st_ino] = path
    found: dict[Path, int] = {}
    if not wanted:
        return found
    for number in _numbers():
        for entry in _entries(number):
            used = wanted.get(_identity(entry))
            if used is not None:
                found.setdefault(used, number)
    return found


def _numbers() -> Iterator[int]:
    for name in _names(_PROC):
        if name.isdigit() and int(name) != os.getpid():
            yield int(name)


def _entries(number: int) -> Iterator[Path]:
    # Who maps a file, as the runtime does with a model, may have closed it long ago.
    for kind in ("fd", "map_files"):
        folder = _PROC / str(number) / kind
        for name in _names(folder):
            yield folder / name


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - names are wanted
    except OSError:
        return []


def _identity(entry: Path) -> tuple[int, int]:
    try:
        status = entry.stat()
    except OSError:
        return (-1, -1)
    return status.st_dev, status.st_ino
