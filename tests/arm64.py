"""An arm64 Debian on whatever machine the tests run: a board's userland, under qemu-user.

Its programs are started through the kernel's binfmt_misc. Since Linux 6.7 each user namespace has
one of its own, so that nothing is registered with this machine.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import boards
import debian
from packed import folder_of_the_run

ROOT = Path(__file__).parent.parent
PACKAGES = ("python3", "python3-venv", "python3-pip-whl", "coreutils", "dash")
"""Of these the last two stand for what every root has; apt would bring them in anyway."""
PIP = "/usr/share/python-wheels"
"""Where Debian keeps pip's wheel, which a virtual environment gets."""
_WHEELS = [
    *("--only-binary=:all:", "--implementation=cp", "--python-version=3.11"),
    *("--platform=manylinux2014_aarch64", "--platform=manylinux_2_28_aarch64", "--platform=any"),
]
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"}
"""What a command in there should get of variables, at least."""
_QEMU = "qemu-aarch64-static"
_ENTER = """
set -e
if [ -n "$2" ]; then
  mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
  printf '%s' "$2" > /proc/sys/fs/binfmt_misc/register
fi
mount --bind "$1" "$1"  # busybox's df wants to find the root among what is mounted
mount --rbind /proc "$1/proc"
mount --rbind /dev "$1/dev"
root=$1
shift 2
exec chroot "$root" "$@"
"""
_HEAD = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
_MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
"""ELF programs of arm64, whatever kind of executable: the kernel's admin-guide/binfmt-misc.rst."""


class Arm64:
    """The root, and how a program in it is started."""

    def __init__(self, root: Path, register: str) -> None:
        self.root = root
        own = ["unshare", "--map-root-user", "--mount"]
        self.enter = [*own, "sh", "-c", _ENTER, "sh", str(root), register]
        """What is typed in front of a command of the root's."""

    def inside(self, path: Path) -> str:
        """Return what a path is called in there."""
        return f"/{path.relative_to(self.root)}"

    def start(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in there to its end."""
        return subprocess.run(
            [*self.enter, *command],
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def run(self, *command: str) -> str:
        """Run a command in there that has to succeed; return what it prints."""
        done = self.start(*command)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def install(self, venv: Path, *more: str) -> None:
        """Install rkfetch and ``more`` into a new virtual environment, with the root's own pip.

        The wheels come in over this machine's pip: a resolver under qemu takes minutes.
        """
        wheels = self.root / "wheels"
        pip = [sys.executable, "-m", "pip", "-q"]
        subprocess.run([*pip, "wheel", "--no-deps", "-w", wheels, ROOT], check=True)
        (own,) = wheels.iterdir()
        subprocess.run([*pip, "download", "-d", wheels, *_WHEELS, own, *more], check=True)
        self.run("python3", "-m", "venv", "--without-pip", self.inside(venv))
        python = self.inside(venv / "bin" / "python")
        (pips,) = (self.root / PIP.lstrip("/")).glob("pip-*.whl")
        install = ["install", "-q", "--no-index", "--no-compile"]
        self.run(
            *("env", f"PYTHONPATH={self.inside(pips)}", python, "-m", "pip"),
            *(*install, f"--find-links={self.inside(wheels)}", "rkfetch", *more),
        )


def make_arm64(factory: pytest.TempPathFactory) -> Arm64:
    """Return the root, which is made once in a run of the tests; skip where that cannot be."""
    with folder_of_the_run(factory, "arm64") as folder:
        note = folder / "why-not"  # what stood in the way once would stand there for every test
        if not note.exists():
            note.write_text(debian.why_not("unshare") or make(folder / "root") or "")
        if why := note.read_text():
            pytest.skip(why)
        found, why = usable(folder / "root")
    if found is None:
        pytest.skip(f"programs of arm64 do not run here: {why}")
    return found


def make(root: Path, *more: str) -> str | None:
    """Make it, with ``more`` packages; return why not, if that fails."""
    command = debian.make_command([*PACKAGES, *more], variant="extract", architecture="arm64")
    why = debian.make(command, root)
    if why is None:
        for name in ("proc", "dev", "root", "usr/local/bin"):  # setting it up would make them
            (root / name).mkdir(parents=True, exist_ok=True)
        boards.rock_4d(root / "board")
    return why


def usable(root: Path) -> tuple[Arm64 | None, str]:
    """Return the root if its programs run: by themselves, or under qemu; else why they do not."""
    ways = [""]
    if qemu := shutil.which(_QEMU):
        # O: qemu gets the opened program; C: with its rights; F: qemu is opened now, outside;
        # P: and the name it was started by, which tells busybox what to be.
        ways.append(f":qemu-aarch64:M::{_HEAD}:{_MASK}:{qemu}:POCF")
    why = ""
    for way in ways:
        found = Arm64(root, way)
        tried = found.start("/usr/bin/python3", "-c", "pass")
        if tried.returncode == 0:
            return found, ""
        why = tried.stderr.strip()[-200:]
    return None, why if qemu else f"{_QEMU} is not installed"
