"""File systems of sticks and cards, mounted for a test."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SYSTEM = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def tool(name: str, package: str) -> str:
    """Return a system's program, or skip with what to install."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    found = shutil.which(name, path=_SYSTEM)
    if found is None:
        pytest.skip(f"{name} is missing (Debian: {package})")
    return found


@contextmanager
def exfat(folder: Path, size_bytes: int = 64 << 20) -> Iterator[Path]:
    """A mounted exFAT file system, as on a memory card of a camera."""
    mkfs, mount = tool("mkfs.exfat", "exfatprogs"), tool("mount.exfat-fuse", "exfat-fuse")
    losetup = tool("losetup", "mount")
    image, disk = folder / "image", folder / "disk"
    disk.mkdir()
    with image.open("wb") as raw:
        raw.truncate(size_bytes)
    subprocess.run([mkfs, str(image)], check=True, capture_output=True)
    loop = subprocess.run(
        [losetup, "-f", "--show", str(image)], capture_output=True, text=True, check=False
    )
    if loop.returncode != 0:
        pytest.skip(f"no loop device: {loop.stderr.strip()}")
    device = loop.stdout.strip()
    try:
        mounted = subprocess.run([mount, device, str(disk)], capture_output=True, check=False)
        if mounted.returncode != 0 or not os.path.ismount(disk):
            pytest.skip("FUSE cannot be used here")
        try:
            yield disk
        finally:
            subprocess.run(["umount", str(disk)], check=True)
    finally:
        subprocess.run([losetup, "-d", device], check=True)
