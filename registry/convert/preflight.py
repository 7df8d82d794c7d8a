"""Can this machine do a conversion? Asked before a byte is downloaded. Pure.

Every obstacle is named with its figures, not only the first, and so is every way out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast, get_args

from rkfetch.registry.errors import ConversionUnavailableError, DiskSpaceError, UsageError

from .plan import DTYPES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .engines import Engine, Python
    from .machine import Machine, Room
    from .plan import Plan

Wanted = Literal["auto", "container", "venv"]
_LEAST_USEFUL = 0.9
"""Estimates are estimates: nobody is refused for the last tenth, but warned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Where the toolkit is to run, and what is not certain about it."""

    engine: Engine | None = None
    """For a container."""
    python: Python | None = None
    """For a virtual environment."""
    image_python: str = ""
    """The Python inside the container, ``3.11``."""
    warnings: tuple[str, ...] = ()


def parse_wanted(text: str) -> Wanted:
    """Read where the toolkit shall run.

    Raises:
        UsageError: it is none of the three.
    """
    for wanted in get_args(Wanted):
        if text == wanted:
            return cast("Wanted", wanted)
    raise UsageError(f"unknown environment '{text}'", cause=["it is auto, container or venv"])


def require_pc(name: str, machine: Machine, command: str) -> None:
    """Refuse a board, where no memory and no room would help, before a request is made.

    ``command`` is what a PC would be told to run.

    Raises:
        ConversionUnavailableError: this is no x86_64 Linux.
    """
    if (machine.system, machine.architecture) == ("Linux", "x86_64"):
        return
    this = machine.board or f"{machine.system} on {machine.architecture}"
    raise ConversionUnavailableError(
        f"{name} has to be converted, which {this} cannot do",
        cause=["the vendor's rkllm-toolkit exists for x86_64 Linux only"],
        hint=f"on an x86_64 Linux PC: {command}",
    )


def check(
    plan: Plan,
    machine: Machine,
    rooms: Sequence[Room],
    *,
    wanted: Wanted = "auto",
    command: str,
) -> Chosen:
    """Choose the environment, or say all that is in the way.

    ``command`` is what another machine would be told to run.

    Raises:
        ConversionUnavailableError: this machine cannot; with figures and ways out.
        DiskSpaceError: only room is missing.
    """
    obstacles: list[str] = []
    ways: list[str] = []
    chosen = _environment(plan, machine, wanted, obstacles, ways)
    warnings = _memory(plan, machine, obstacles, ways)
    if plan.device == "cuda" and not machine.has_gpu:
        obstacles.append("--device cuda was asked, and no NVIDIA GPU was found (nvidia-smi)")
        ways.append("--device cpu")
    short = list(_too_little_room(rooms))
    if obstacles:
        ways.append(f"another machine: {command}")
        ways.append("or there from here: the same command here with --on ssh://USER@HOST")
        raise ConversionUnavailableError(
            f"{plan.base.name} has to be converted, which this machine cannot do as it is",
            cause=[*obstacles, *short],
            hint="; ".join(ways),
        )
    if short:
        worst = max(rooms, key=lambda r: r.need_bytes - r.free_bytes)
        raise DiskSpaceError(
            "there is not enough room to convert",
            need_bytes=sum(r.need_bytes for r in rooms if r.device == worst.device),
            have_bytes=worst.free_bytes,
            where=str(worst.path),
            cause=short,
            hint="free some, or use another disk: RKFETCH_HOME for rkfetch's own files, HF_HOME "
            "for base models",
        )
    assert chosen is not None  # else there is an obstacle
    return Chosen(
        engine=chosen.engine,
        python=chosen.python,
        image_python=chosen.image_python,
        warnings=tuple(warnings),
    )


def _environment(
    plan: Plan, machine: Machine, wanted: Wanted, obstacles: list[str], ways: list[str]
) -> Chosen | None:
    """Choose an engine before a Python: it keeps the vendor's code away from the user's files."""
    usable = next((e for e in machine.engines if e.usable), None)
    if usable is not None and wanted in {"auto", "container"}:
        return Chosen(engine=usable, image_python=plan.toolkit.pythons[0])
    by_version = {p.version: p for p in machine.pythons if p.usable}
    if wanted in {"auto", "venv"} and not machine.is_musl:
        for version in plan.toolkit.pythons:
            if version in by_version:
                return Chosen(python=by_version[version])
    if wanted in {"auto", "container"}:
        said = [f"{e.name}: {e.why}" for e in machine.engines]
        found = f" ({'; '.join(said)})" if said else ""
        obstacles.append(f"no container engine works here: neither podman nor docker{found}")
        ways.append("install podman")
    if wanted in {"auto", "venv"}:
        versions = ", ".join(sorted(plan.toolkit.pythons, key=lambda v: int(v[2:])))
        obstacles.append(
            "the C library is musl, for which the vendor has no wheel"
            if machine.is_musl
            else f"no Python that toolkit {plan.toolkit.version} can be installed on "
            f"({versions}) was found{_why_not(plan.toolkit.pythons, machine.pythons)}"
        )
        if not machine.is_musl:
            ways.append(f"install Python {plan.toolkit.pythons[0]} with its venv module")
    return None


def _why_not(wanted: Iterable[str], pythons: Iterable[Python]) -> str:
    said = [f"{p.path}: {p.why}" for p in pythons if p.version in set(wanted) and p.why]
    return f" ({'; '.join(said)})" if said else ""


def _memory(plan: Plan, machine: Machine, obstacles: list[str], ways: list[str]) -> list[str]:
    """Compare memory with swap; returns warnings, appends obstacles and ways out of them."""
    if machine.memory_bytes is None:
        return ["how much memory is free could not be read"]
    have, need = machine.memory_bytes + machine.swap_bytes, plan.needs.memory_bytes
    if have >= need:
        if machine.memory_bytes < need:
            return [f"it needs about {_gb(need)}: with swap it goes, and slowly"]
        return []
    said = (
        f"it takes about {_gb(need)} of memory at {plan.dtype}; {_gb(machine.memory_bytes)} are "
        f"free, and {_gb(machine.swap_bytes)} of swap"
    )
    if have >= need * _LEAST_USEFUL:
        return [f"{said}: it may be ended for want of memory"]
    obstacles.append(said)
    half = need // 2
    if plan.dtype == "float32" and plan.toolkit.has_context and have >= half * _LEAST_USEFUL:
        ways.append(f"--dtype {DTYPES[2]} takes about {_gb(half)} (a little less exact)")
    ways.append(f"{_gb(need - have)} more swap")
    return []


def _too_little_room(rooms: Sequence[Room]) -> Iterable[str]:
    """Say for each file system that is too small what is wanted of it."""
    for device in dict.fromkeys(r.device for r in rooms):
        there = [r for r in rooms if r.device == device]
        need = sum(r.need_bytes for r in there)
        if need > there[0].free_bytes:
            parts = ", ".join(f"{_gb(r.need_bytes)} for {r.what}" for r in there if r.need_bytes)
            yield f"{there[0].path}: {_gb(there[0].free_bytes)} are free, and it takes {parts}"


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"


def duration(seconds: tuple[int, int]) -> str:
    """Say how long something takes: ``20 to 45 minutes``, ``2 to 4 hours``."""
    low, high = seconds
    if high < 5400:
        return f"{max(1, round(low / 60))} to {max(2, -(-high // 60))} minutes"
    return f"{low / 3600:.1f} to {-(-high // 1800) / 2:.1f} hours"
