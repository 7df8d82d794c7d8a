"""Where on this machine a folder of a container lies, by the kernel's lists of mounts. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mount:
    device: str
    root: PurePosixPath
    """The folder of the file system that is mounted."""
    point: PurePosixPath


def outside(folder: str, theirs: str, ours: str) -> str | None:
    """Return the path here of what a container, or a service with its own mounts, calls ``folder``.

    ``theirs`` and ``ours`` are the texts of ``/proc/PID/mountinfo`` (proc(5)). None where it is
    the container's own, which goes with it, or of a file system that is mounted nowhere here.
    """
    path = PurePosixPath(folder)
    inner = [m for m in _mounts(theirs) if m.point in (path, *path.parents)]
    if not inner or not path.is_absolute():
        return None
    mount = max(reversed(inner), key=lambda m: len(m.point.parts))
    there = mount.root / path.relative_to(mount.point)
    outer = [
        m for m in _mounts(ours) if m.device == mount.device and m.root in (there, *there.parents)
    ]
    if not outer:
        return None
    best = max(outer, key=lambda m: len(m.root.parts))
    # What engines mount somewhere as a container's whole root is gone when the container is.
    if len(mount.point.parts) == 1 and len(best.point.parts) > 1:
        return None
    return str(best.point / there.relative_to(best.root))


def _mounts(text: str) -> list[_Mount]:
    found = []
    for line in text.splitlines():
        fields = line.split(" ")
        if len(fields) > 4 and fields[3].startswith("/") and fields[4].startswith("/"):
            found.append(
                _Mount(
                    device=fields[2],
                    root=PurePosixPath(_plain(fields[3])),
                    point=PurePosixPath(_plain(fields[4])),
                )
            )
    return found


def _plain(field: str) -> str:
    r"""Undo ``\040`` for a blank and the like."""
    return re.sub(r"\\([0-3][0-7]{2})", lambda m: chr(int(m[1], 8)), field)
