"""Run tests in an arm64 Debian, under qemu-user.

    python tests/on_arm64.py FOLDER [what pytest takes]

The root is made in FOLDER, once, which takes minutes; what git knows of this checkout is copied
into it every time.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import debian
from arm64 import ENVIRONMENT, ROOT, make, usable

if TYPE_CHECKING:
    from arm64 import Arm64

# What tests start, beside Python; base-passwd has /etc/passwd.
PACKAGES = (
    *("base-files", "base-passwd", "bash", "busybox-static", "ca-certificates", "curl", "gawk"),
    *("git", "grep", "hostname", "minisign", "mount", "openssh-client", "procps", "sed", "tar"),
    "util-linux",
)
# Not what checks the code itself, drives a browser or mounts: those are the same everywhere.
WHEELS = (
    *("hypothesis", "import-linter", "pytest>=8.4", "pytest-rerunfailures", "pytest-timeout"),
    *("pytest-xdist", "pyyaml", "trustme"),
)
_PROJECT = "project"


def main(folder: Path, arguments: list[str]) -> int:
    """Make what is not there, and run pytest."""
    root = folder.absolute() / "root"
    if not root.exists() and (why := debian.why_not("unshare") or make(root, *PACKAGES)):
        sys.exit(why)
    found, why = usable(root)
    if found is None:
        sys.exit(f"programs of arm64 do not run here: {why}")
    if not (root / "venv").exists():
        _furnish(found)
    _copy(root / _PROJECT)
    pytest = [found.inside(root / "venv/bin/python"), "-m", "pytest", "-p", "no:cacheprovider"]
    there = ["sh", "-c", 'cd "$0" && exec "$@"', f"/{_PROJECT}", *pytest, "--timeout=1800"]
    return subprocess.run(
        [*found.enter, *there, *arguments], env=ENVIRONMENT, check=False
    ).returncode


def _furnish(arm64: Arm64) -> None:
    """Do what setting up the packages would have done, as far as tests need it."""
    for name in ("passwd", "group"):
        master = arm64.root / "usr/share/base-passwd" / f"{name}.master"
        (arm64.root / "etc" / name).write_bytes(master.read_bytes())
    (arm64.root / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
    (arm64.root / "tmp").chmod(0o1777)
    arm64.install(arm64.root / "venv", *WHEELS)
    # The checkout itself, not what was made of it once.
    (packages,) = (arm64.root / "venv/lib").glob("python3*/site-packages")
    (packages / "rkfetch").rename(packages.parent / "rkfetch-as-installed")
    (packages / "rkfetch.pth").write_text(f"/{_PROJECT}/src\n")


def _copy(place: Path) -> None:
    place.mkdir(exist_ok=True)
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True)
    tar = ["tar", "-c", "--null", "--no-recursion", "--ignore-failed-read", "-T", "-"]
    packed = subprocess.run(tar, cwd=ROOT, check=True, input=names.stdout, capture_output=True)
    subprocess.run(["tar", "-x", "-C", place], check=True, input=packed.stdout)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit((__doc__ or "").strip())
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
