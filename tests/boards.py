"""Root file systems of boards, as small folders: what detection reads, and nothing else."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

DEVICE_TREE = "sys/firmware/devicetree/base"
AARCH64, ARM, X86_64 = 183, 40, 62
BUILDS = {
    "1.2.0": "f8ca3ae8 2025-04-08 10:25:33",
    "1.2.1b1": "27637c95 2025-05-02 17:46:07",
}


def elf(machine: int = AARCH64) -> bytes:
    """The first 64 bytes of a little-endian ELF library."""
    bits = 1 if machine == ARM else 2
    return (
        bytes([0x7F, *b"ELF", bits, 1, 1]).ljust(16, b"\0")
        + (3).to_bytes(2, "little")
        + machine.to_bytes(2, "little")
    ).ljust(64, b"\0")


def marker(version: str, *, target: str = "Linux") -> bytes:
    """The line that a library tells its version with."""
    build = BUILDS.get(version, "0123abcd 2025-10-01 12:00:00")
    return f"RKLLM SDK (version: {version} | target: {target} | build: {build})".encode()


def library(
    version: str | None,
    *,
    machine: int = AARCH64,
    target: str = "Linux",
    at: int = 5_000,
    size: int = 20_000,
) -> bytes:
    """A library's bytes; without ``version`` its line is missing, as in stripped ones."""
    noise = random.Random(size).randbytes(size)
    body = bytearray(elf(machine) + noise[64:])
    # Two lines that look like it and tell nothing, as the real library has them.
    body[1_000:1_000] = b"rkllm-runtime version: %s\0RKLLM SDK (version: %s | target: %s)\0"
    if version is not None:
        body[at:at] = b"\0" + marker(version, target=target) + b"\0"
    return bytes(body)


def put(root: Path, path: str, content: bytes | str) -> Path:
    """Write a file below ``root``, with its folders."""
    place = root / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content.encode() if isinstance(content, str) else content)
    return place


def link(root: Path, path: str, target: str) -> Path:
    """Make a symbolic link below ``root``; an absolute target means the board's own root."""
    place = root / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)
    return place


def device_tree(root: Path, model: str | None, *compatible: str) -> None:
    """Write model and compatible as the kernel shows them: NUL after each string."""
    if model is not None:
        put(root, f"{DEVICE_TREE}/model", model + "\0")
    if compatible:
        put(root, f"{DEVICE_TREE}/compatible", "".join(f"{text}\0" for text in compatible))
    link(root, "proc/device-tree", "/sys/firmware/devicetree/base")


def memory(root: Path, total_kb: int, available_kb: int) -> None:
    """Write /proc/meminfo."""
    put(
        root,
        "proc/meminfo",
        f"MemTotal:       {total_kb:>8} kB\nMemFree:         {available_kb // 2:>8} kB\n"
        f"MemAvailable:   {available_kb:>8} kB\nBuffers:           31244 kB\n",
    )


def programs(root: Path, machine: int) -> None:
    """Write a system whose programs are built for ``machine``."""
    put(root, "usr/bin/env", elf(machine))


def rock_4d(root: Path, *, runtime: str | None = "1.2.3", driver: str | None = "0.9.8") -> Path:
    """A Radxa ROCK 4D with 4 GB: RK3576, vendor kernel, one runtime."""
    device_tree(root, "Radxa ROCK 4D", "radxa,rock-4d", "rockchip,rk3576")
    memory(root, 3_911_116, 3_302_004)
    programs(root, AARCH64)
    if driver is not None:
        put(root, "sys/module/rknpu/version", f"{driver}\n")
    if runtime is not None:
        put(root, "usr/lib/librkllmrt.so", library(runtime))
    return root


def nanopi_r76s(root: Path) -> Path:
    """A FriendlyElec NanoPi R76S with 2 GB: RK3576, old driver, debugfs readable, no runtime."""
    device_tree(root, "FriendlyElec NanoPi R76S", "friendlyelec,nanopi-r76s", "rockchip,rk3576")
    memory(root, 2_003_000, 1_500_000)
    programs(root, AARCH64)
    put(root, "sys/kernel/debug/rknpu/version", "RKNPU driver: v0.9.6\n")
    put(root, "sys/kernel/debug/rknpu/load", "NPU load:  Core0:  0%, Core1:  0%,\n")
    return root


def radxa_e52c(root: Path) -> Path:
    """A Radxa E52C: an RK3582, which is an RK3588S with parts switched off."""
    device_tree(root, "Radxa E52C", "radxa,e52c", "rockchip,rk3582", "rockchip,rk3588s")
    memory(root, 8_133_000, 7_000_000)
    programs(root, AARCH64)
    put(root, "sys/module/rknpu/version", "0.9.8\n")
    put(root, "usr/lib/librkllmrt.so", library("1.2.1b1"))
    return root


def radxa_zero_3(root: Path) -> Path:
    """A Radxa ZERO 3: RK3566, which RKLLM does not support."""
    device_tree(root, "Radxa ZERO 3", "radxa,zero3w", "rockchip,rk3566")
    memory(root, 4_000_000, 3_000_000)
    return root


def pc(root: Path) -> Path:
    """A PC: much memory, no device tree."""
    memory(root, 32_800_000, 20_000_000)
    programs(root, X86_64)
    return root


def bare_container(root: Path) -> Path:
    """A container that shows nothing of the board it runs on."""
    put(root, ".dockerenv", "")
    return root
