"""What the machine is that would convert: processor, memory, container engines, Pythons, GPU."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rkfetch.registry.sysroot import Sysroot
from rkfetch.registry.target import detect

from .engines import engines, pythons

if TYPE_CHECKING:
    from .engines import Engine, Python
    from .preflight import Wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What counts for a conversion."""

    system: str
    """``Linux``, ``Darwin``, …"""
    architecture: str
    """``x86_64``, ``aarch64``, …"""
    board: str | None = None
    """The board's name or SoC, if it is one of Rockchip's."""
    memory_bytes: int | None = None
    """What a new program may take without swapping; less where a container limits it."""
    swap_bytes: int = 0
    """Free swap."""
    has_gpu: bool = False
    """``nvidia-smi`` is there."""
    is_musl: bool = False
    """Its C library is musl (Alpine), for which the vendor has no wheels."""
    engines: tuple[Engine, ...] = field(default=())
    pythons: tuple[Python, ...] = field(default=())

    @property
    def limit_bytes(self) -> int | None:
        """What the toolkit may take before other programs suffer; None if that is not known."""
        return None if self.memory_bytes is None else self.memory_bytes + self.swap_bytes


def look() -> Machine:
    """Look at this machine. A board whose file system lies in a folder is no machine to run on.

    What the toolkit could run in is not looked for: `equipped` does, and takes far longer.
    """
    board = detect()
    tree = Sysroot(root=Path("/"))
    available, swap = _memory(tree.read("/proc/meminfo").text or "")
    if board.memory_limit_bytes is not None:
        available = min(available or board.memory_limit_bytes, board.memory_limit_bytes)
        swap = 0
    return Machine(
        system=os.uname().sysname,
        architecture=os.uname().machine,
        board=(board.model or board.platform_name) if board.on_board else None,
        memory_bytes=available,
        swap_bytes=swap,
        has_gpu=shutil.which("nvidia-smi") is not None,
        is_musl=any(True for _ in tree.glob("/lib/ld-musl-*")),
    )


def equipped(machine: Machine, wanted: Wanted) -> Machine:
    """Add what the toolkit may run in, each asked whether it works.

    Engines unless a virtual environment is ``wanted``, Pythons where no engine will be taken.
    """
    works = engines() if wanted != "venv" else []
    is_for_python = wanted != "container" and not any(engine.usable for engine in works)
    found = tuple(pythons()) if is_for_python else ()
    return replace(machine, engines=tuple(works), pythons=found)


def _memory(meminfo: str) -> tuple[int | None, int]:
    kilobytes = {}
    for line in meminfo.splitlines():
        name, _, rest = line.partition(":")
        number = rest.split()[0] if rest.split() else ""
        if number.isdigit():
            kilobytes[name] = int(number)
    available = kilobytes.get("MemAvailable")
    return (available << 10 if available is not None else None), kilobytes.get("SwapFree", 0) << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Free space for one part of a conversion."""

    what: str
    path: Path
    need_bytes: int
    free_bytes: int
    device: int
    """The file system; parts on one share its room."""


def room(what: str, path: Path, need_bytes: int) -> Room:
    """Look how much room there is where a path is, or will be."""
    there = path
    while not there.exists() and there != there.parent:
        there = there.parent
    return Room(
        what=what,
        path=path,
        need_bytes=need_bytes,
        free_bytes=shutil.disk_usage(there).free,
        device=there.stat().st_dev,
    )
