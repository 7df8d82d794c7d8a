"""Real file systems of this kernel: a quota of btrfs, and ext4 upon a card that dies."""

from __future__ import annotations

import contextlib
import errno
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from e2e.world import World
from hub.server import Hub
from media.card import require_fuse
from media.machine import BIG, FETCH, NAME, OWNER, Machine
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from media.card import Card


def tried(*command: str) -> None:
    """Run a command that must work, else skip: it is about what the kernel knows."""
    if shutil.which(command[0], path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
        pytest.skip(f"{command[0]} is missing")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"{' '.join(command[:2])}: {done.stderr.strip()}")


@contextlib.contextmanager
def formatted(image: Path, size_bytes: int, *mkfs: str, options: str) -> Iterator[Path]:
    """A file system in a file, mounted through a loop device."""
    require_fuse()  # who may use that may mount
    with image.open("wb") as file:
        file.truncate(size_bytes)
    tried(*mkfs, str(image))
    disk = image.with_name("disk")
    disk.mkdir()
    tried("mount", "-o", f"loop,{options}", str(image), str(disk))
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        yield hub


def machine_on(disk: Path, hub: Hub, folder: Path) -> Machine:
    world = World(hub, folder / "machine")
    world.add(NAME, repo=OWNER, size=BIG)
    return Machine(world, disk / "rkfetch")


def test_a_quota_that_the_file_exceeds(tmp_path: Path, hub: Hub) -> None:
    with formatted(tmp_path / "image", 160 << 20, "mkfs.btrfs", "-q", options="rw") as disk:
        tried("btrfs", "quota", "enable", str(disk))
        tried("btrfs", "subvolume", "create", str(disk / "rkfetch"))
        machine = machine_on(disk, hub, tmp_path)
        tried("btrfs", "qgroup", "limit", "4M", str(machine.home))
        done = machine.run(*FETCH)
        assert (done.code, done.out) == (8, ""), done
        assert "your quota is used up" in done.err
        assert "Disk quota exceeded" in done.err
        tried("btrfs", "qgroup", "limit", "none", str(machine.home))
        assert machine.run(*FETCH).code == 0
        machine.assert_whole()


def test_a_disk_with_as_many_files_as_it_can_hold(tmp_path: Path, hub: Hub) -> None:
    require_fuse()
    disk = tmp_path / "disk"
    disk.mkdir()
    tried("mount", "-t", "tmpfs", "-o", "size=64m,nr_inodes=60", "tmpfs", str(disk))
    try:
        machine = machine_on(disk, hub, tmp_path)
        machine.home.mkdir()
        fillers = [disk / str(number) for number in range(60)]
        with contextlib.suppress(OSError):
            for filler in fillers:
                filler.touch()
        done = machine.run(*FETCH)
        assert (done.code, done.out) == (8, ""), done
        assert "it holds as many files as it can" in done.err, done
        for filler in fillers:
            filler.unlink(missing_ok=True)
        assert machine.run(*FETCH).code == 0
        machine.assert_whole()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_linux_makes_a_dying_card_read_only(tmp_path: Path, hub: Hub, card: Card) -> None:
    """Ext4 as Debian mounts it, on a loop device whose every write fails from the middle on."""
    image, ext4 = card.path / "image", ("mkfs.ext4", "-q")
    with formatted(image, 64 << 20, *ext4, options="errors=remount-ro") as disk:
        machine = machine_on(disk, hub, tmp_path)

        def die() -> None:
            card.order({"call": "write", "errno": errno.EIO})
            wait_until(lambda: is_read_only(disk))

        done = machine.fetch_and(die)
        assert done.code in {1, 2}
        assert done.out == ""
        assert "dmesg" in done.err
        again = machine.run(*FETCH)
        assert again.code == 2
        assert "Read-only file system" in again.err
        assert "Linux makes a disk that fails read-only" in again.err
        for command in ("list", "verify", "gc"):
            assert machine.run(command).out == ""


def is_read_only(disk: Path) -> bool:
    try:
        (disk / "probe").touch()
        subprocess.run(["sync", "-f", str(disk)], check=False, capture_output=True)
        (disk / "probe").unlink()
    except OSError as error:
        return error.errno == errno.EROFS
    return False
