"""Tell which board this is: chip, runtime, driver and memory, each with where it was read.

Everything is read from files, without root, without other programs and without the network.
What cannot be read is unknown, never guessed.
"""

from __future__ import annotations

import os
import platform as host
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .distribution import detect_distribution
from .errors import IncompatibleError, UsageError
from .facts import (
    chip_from_compatible,
    chip_from_model,
    chip_from_npu,
    driver_from_text,
    memory_from_meminfo,
)
from .model import Platform, Target
from .npu_nodes import npu_nodes
from .runtimes import SYSTEM_FOLDERS, disagreement, elf_machine, find_runtimes
from .sysroot import Sysroot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .distribution import Distribution
    from .facts import Chip
    from .model import Quant
    from .npu_nodes import NpuNode
    from .runtimes import RuntimeFound
    from .versions import Version

__all__ = ["Board", "Fact", "detect", "parse_memory", "target_from"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One thing that was looked for on the board."""

    name: str
    """``platform``, ``runtime``, ``driver``, ``memory``, ``npu_cores``, ``board``, …"""
    value: str | None
    """For people; None if unknown."""
    how: str
    """Where it was read, or where was looked in vain."""
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """Everything that was detected."""

    on_board: bool
    """A Rockchip SoC was recognised, supported or not."""
    platform: Platform | None = None
    """None off a board, and on a SoC that RKLLM does not support."""
    platform_name: str | None = None
    """The SoC's own name: ``rk3576``, ``rk3588s``, ``rk3582``, ``rk3566``."""
    runtime: Version | None = None
    driver: Version | None = None
    memory_bytes: int | None = None
    """MemTotal: less than the label says, because firmware and CMA take a share."""
    npu_cores: int | None = None
    model: str | None = None
    """The board's name, ``Radxa ROCK 4D``."""
    facts: tuple[Fact, ...] = ()
    runtimes: tuple[RuntimeFound, ...] = ()
    memory_available_bytes: int | None = None
    memory_limit_bytes: int | None = None
    """What a container may use; None if there is no limit."""
    machine: str | None = None
    """What programs are built for: ``aarch64``, ``arm``, ``x86_64``."""
    open_files: int | None = None
    """The soft limit of this process (``ulimit -n``)."""
    has_rocket: bool = False
    """Mainline's driver for the same NPU is there, which cannot serve RKLLM."""
    in_container: bool = False
    distribution: Distribution | None = None
    npu_nodes: tuple[NpuNode, ...] | None = None
    """None where it is not this machine that is looked at."""

    def fact(self, name: str) -> Fact | None:
        """The fact of that name."""
        return next((fact for fact in self.facts if fact.name == name), None)


_MEMORY = re.compile(r"(\d{1,15})(?:\.(\d{1,6}))?\s*([kmgt]?)(?:i?b)?", re.IGNORECASE | re.ASCII)
_SHIFTS = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}
_LEAST_MEMORY = 16 << 20


def parse_memory(text: str) -> int:
    """Read an amount of memory in bytes: ``4G``, ``8GB``, ``3800M``, ``4GiB``.

    Units are powers of 1024, as boards are sold; a bare number is bytes.

    Raises:
        UsageError: it is no amount, or less than any board has.
    """
    match = _MEMORY.fullmatch(text.strip())
    if match is not None:
        whole, fraction, unit = match[1], match[2] or "", match[3].lower()
        size = (int(whole + fraction) << _SHIFTS[unit]) // int("1" + "0" * len(fraction))
        if size >= _LEAST_MEMORY:
            return size
    raise UsageError(
        f"memory '{text}' is not an amount",
        cause=["an amount is a number with a unit, like 4G, 8GB or 3800M"],
    )


# --- detection ---------------------------------------------------------------------------------

_DEVICE_TREES = ("/proc/device-tree", "/sys/firmware/devicetree/base")
_DRIVER_FILES = (
    "/sys/kernel/debug/rknpu/version",
    "/sys/module/rknpu/version",
    "/proc/rknpu/version",
)
_PROGRAMS = ("/usr/bin/env", "/bin/sh", "/usr/bin/python3", "/system/bin/sh")
_ROCKET = ("/sys/module/rocket", "/sys/bus/platform/drivers/rocket")
_CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv")
_NPU_EVENTS = "/sys/bus/platform/devices/*.npu/uevent"
_NPU_LOAD = "/sys/kernel/debug/rknpu/load"
READ = (
    *(f"{base}/{name}" for base in _DEVICE_TREES for name in ("compatible", "model")),
    _NPU_EVENTS,
    _NPU_LOAD,
    *_DRIVER_FILES,
    "/proc/meminfo",
)
"""Patterns of the small files that detection reads."""
HEADS = _PROGRAMS
"""Programs of which it reads how they begin."""
MARKS = (*_ROCKET, *_CONTAINER_MARKS, "/system/build.prop")
"""What only has to be there."""


def detect(sysroot: Path = Path("/"), environ: Mapping[str, str] = os.environ) -> Board:
    """Look at a board, or at a board's file system below ``sysroot``.

    Raises:
        UsageError: ``sysroot`` is no folder.
    """
    if not sysroot.is_dir():
        raise UsageError(f"there is no folder '{sysroot}' to look at")
    tree = Sysroot(root=sysroot)
    chip, chip_fact = _detect_chip(tree)
    model, model_fact = _detect_model(tree)
    cores, cores_fact = _detect_cores(tree, chip)
    driver, driver_fact = _detect_driver(tree)
    machine, machine_fact = _detect_machine(tree)
    runtimes = find_runtimes(tree, environ, machine=machine)
    chosen = next((found for found in runtimes if found.counts), None)
    total, available, limit, memory_facts = _detect_memory(tree)
    open_files, open_facts = _detect_open_files(tree)
    system = detect_distribution(tree)
    return Board(
        on_board=chip is not None,
        platform=chip.platform if chip else None,
        platform_name=chip.name if chip else None,
        runtime=chosen.version if chosen else None,
        driver=driver,
        memory_bytes=total,
        npu_cores=cores,
        model=model,
        runtimes=runtimes,
        memory_available_bytes=available,
        memory_limit_bytes=limit,
        machine=machine,
        open_files=open_files,
        has_rocket=any(tree.exists(path) for path in _ROCKET),
        in_container=any(tree.exists(path) for path in _CONTAINER_MARKS),
        distribution=system,
        npu_nodes=npu_nodes(tree) if tree.is_live else None,
        facts=(
            model_fact,
            *([_system_fact(system)] if system else []),
            chip_fact,
            cores_fact,
            _runtime_fact(runtimes, chosen),
            driver_fact,
            *memory_facts,
            machine_fact,
            *open_facts,
        ),
    )


def _detect_chip(tree: Sysroot) -> tuple[Chip | None, Fact]:
    for base in _DEVICE_TREES:
        data = tree.read(f"{base}/compatible").data
        if data is not None and (chip := chip_from_compatible(data)):
            return chip, _chip_fact(chip, f"{base}/compatible")
    for base in _DEVICE_TREES:
        text = tree.read(f"{base}/model").text
        if text and (chip := chip_from_model(text)):
            return chip, _chip_fact(chip, f"{base}/model")
    # Docker hides /sys/firmware, and with it the device tree; the NPU's device stays visible.
    for path in tree.glob(_NPU_EVENTS):
        if chip := chip_from_npu(tree.read(path).text or ""):
            return chip, _chip_fact(chip, path)
    looked = ", ".join(f"{base}/compatible" for base in _DEVICE_TREES)
    return None, Fact(name="platform", value=None, how=f"no Rockchip SoC in {looked}")


def _chip_fact(chip: Chip, how: str) -> Fact:
    problem = None
    if chip.platform is None:
        known = ", ".join(p.value for p in Platform)
        problem = f"RKLLM does not run on {chip.name.upper()}, only on {known}"
    value = chip.name
    if chip.platform and chip.name != chip.platform.value:
        value = f"{chip.platform.value} ({chip.name})"
    return Fact(name="platform", value=value, how=how, problem=problem)


def _detect_model(tree: Sysroot) -> tuple[str | None, Fact]:
    paths = [f"{base}/model" for base in _DEVICE_TREES]
    for path in paths:
        if text := tree.read(path, limit=256).text:
            return text, Fact(name="board", value=text, how=path)
    return None, Fact(name="board", value=None, how=f"looked in {', '.join(paths)}")


def _system_fact(system: Distribution) -> Fact:
    kernel = f", {system.branch} kernel" if system.branch else ""
    return Fact(name="system", value=f"{system.name or system.kind.value}{kernel}", how=system.how)


def _detect_cores(tree: Sysroot, chip: Chip | None) -> tuple[int | None, Fact]:
    path = _NPU_LOAD
    reading = tree.read(path)
    if counted := len(set(re.findall(r"Core(\d):", reading.text or ""))):
        return counted, Fact(name="npu_cores", value=str(counted), how=f"counted in {path}")
    if chip is None:
        return None, Fact(name="npu_cores", value=None, how=f"{path}: {reading.problem}")
    if chip.npu_cores is None:
        how = f"{chip.name} does not tell, and {path} is {reading.problem or 'empty'}"
        return None, Fact(name="npu_cores", value=None, how=how)
    how = f"what a {chip.name} has"
    return chip.npu_cores, Fact(name="npu_cores", value=str(chip.npu_cores), how=how)


def _detect_driver(tree: Sysroot) -> tuple[Version | None, Fact]:
    looked = []
    for path in _DRIVER_FILES:
        reading = tree.read(path, limit=4096)
        version = driver_from_text(reading.text or "")
        if version is not None:
            return version, Fact(name="driver", value=str(version), how=path)
        looked.append(f"{path}: {reading.problem or 'no version in it'}")
    return None, Fact(name="driver", value=None, how="; ".join(looked))


def _detect_machine(tree: Sysroot) -> tuple[str | None, Fact]:
    """Read what programs are built for; on a 64-bit kernel they may well be 32-bit."""
    for path in _PROGRAMS:
        if machine := elf_machine(tree.read(path, limit=64).data or b""):
            return machine, Fact(name="machine", value=machine, how=f"ELF header of {path}")
    if tree.is_live:
        machine = host.machine()
        return machine, Fact(name="machine", value=machine, how="uname -m")
    how = f"looked at {', '.join(_PROGRAMS)}"
    return None, Fact(name="machine", value=None, how=how)


def _runtime_fact(runtimes: tuple[RuntimeFound, ...], chosen: RuntimeFound | None) -> Fact:
    if chosen is None:
        where = (*SYSTEM_FOLDERS, "the folders of ld.so.conf", "LD_LIBRARY_PATH")
        how = f"no librkllmrt.so in {', '.join(where)}, rkllama, oRKLLM, /data"
        if runtimes:
            how = f"{runtimes[0].path}: {runtimes[0].problem}"
        return Fact(
            name="runtime", value=None, how=how, problem=runtimes[0].problem if runtimes else None
        )
    how = f"{chosen.path} ({chosen.how or 'not read'})"
    if len(runtimes) > 1:
        how += f", counts because {chosen.why}"
    return Fact(
        name="runtime",
        value=str(chosen.version) if chosen.version else None,
        how=how,
        problem=disagreement(runtimes) or chosen.problem,
    )


def _detect_memory(
    tree: Sysroot,
) -> tuple[int | None, int | None, int | None, tuple[Fact, ...]]:
    reading = tree.read("/proc/meminfo")
    text = reading.text or ""
    total = memory_from_meminfo(text, "MemTotal")
    available = memory_from_meminfo(text, "MemAvailable")
    limit, limit_path = _container_limit(tree)
    how = f"/proc/meminfo: {reading.problem}" if reading.problem else "/proc/meminfo, {}"
    facts = [
        Fact(name="memory", value=_gib(total), how=how.format("MemTotal")),
        Fact(name="memory_available", value=_gib(available), how=how.format("MemAvailable")),
    ]
    if limit is not None:
        facts.append(Fact(name="memory_limit", value=_gib(limit), how=limit_path))
    return total, available, limit, tuple(facts)


def _container_limit(tree: Sysroot) -> tuple[int | None, str]:
    """Read the tightest memory.max of cgroup v2 from this process up to the top."""
    match = re.search(r"^0::(/.*)$", tree.read("/proc/self/cgroup").text or "", re.MULTILINE)
    group = match[1].rstrip("/") if match else ""
    limits = []
    while True:
        path = f"/sys/fs/cgroup{group}/memory.max"
        text = tree.read(path, limit=64).text or ""
        if re.fullmatch(r"\d{1,18}", text, re.ASCII):
            limits.append((int(text), path))
        if not group:
            return min(limits, default=(None, ""))
        group = group.rpartition("/")[0]


def _detect_open_files(tree: Sysroot) -> tuple[int | None, tuple[Fact, ...]]:
    if not tree.is_live:
        return None, ()
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    value = "unlimited" if soft == resource.RLIM_INFINITY else str(soft)
    fact = Fact(name="open_files", value=value, how="ulimit -n")
    return (None if value == "unlimited" else soft), (fact,)


def _gib(count: int | None) -> str | None:
    """Format memory in the powers of 1024 in which it is sold."""
    if count is None:
        return None
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


# --- from a board to a target ------------------------------------------------------------------


def target_from(
    board: Board,
    *,
    platform: Platform | None = None,
    runtime: Version | None = None,
    driver: Version | None = None,
    memory_bytes: int | None = None,
    context: int | None = None,
    quant: Quant | None = None,
) -> Target:
    """Complete what the user gave with what was detected; what was given wins.

    Detected facts describe this machine. They are left out when the user names another
    platform than this board's, and off a board, where only a runtime found in a container
    (which may hide the device tree) says anything; the platform is then rk3576.

    Raises:
        IncompatibleError: this board's SoC cannot run RKLLM, and no other platform was given.
    """
    if board.on_board and board.platform is None and platform is None:
        name = (board.platform_name or "this SoC").upper()
        raise IncompatibleError(
            f"this board's {name} cannot run RKLLM models",
            cause=[f"RKLLM runs on {', '.join(p.value for p in Platform)}"],
            hint="to fetch for another board, name its SoC: --platform rk3576",
        )
    wanted = platform or board.platform or Platform.RK3576
    is_this_board = board.on_board and wanted is board.platform
    may_be_container = not board.on_board and board.runtime is not None
    found = board if is_this_board or may_be_container else Board(on_board=False)
    return Target(
        platform=wanted,
        runtime=runtime or found.runtime,
        driver=driver or found.driver,
        memory_bytes=memory_bytes or found.memory_bytes,
        context=context,
        quant=quant,
    )
