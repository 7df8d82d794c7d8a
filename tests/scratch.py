"""A root to write to over this machine's own, in which nothing that is done outlasts the test."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_MOUNT = """
set -e
mount -t tmpfs none "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay none -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
mount --rbind /dev "$1/root/dev"
mount --rbind /proc "$1/root/proc"
echo mounted
cat
"""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Scratch:
    """The root, as long as the process that holds its mounts lives."""

    def __init__(self, holder: int, root: str) -> None:
        self._holder = holder
        self._root = root
        self.env = {"PATH": PATH}

    def path(self, absolute: str) -> Path:
        """Where a file of the root is seen from outside."""
        return Path(f"/proc/{self._holder}/root{self._root}{absolute}")

    def put(self, absolute: str, content: bytes | str, mode: int = 0o644) -> None:
        """Write a file, with its folders."""
        place = self.path(absolute)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.encode() if isinstance(content, str) else content)
        place.chmod(mode)

    def run(
        self, *command: str, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the root, without a terminal and without this machine's variables."""
        return subprocess.run(
            ["nsenter", f"--target={self._holder}", "--mount", "chroot", self._root, *command],
            env={**self.env, **(env or {})},
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@contextmanager
def scratch_root(folder: Path) -> Iterator[Scratch]:
    """Give a root that starts as a view of this machine's; skips where none can be made."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("a scratch root is made by root, with unshare")
    folder.mkdir()
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", _MOUNT, "sh", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stderr is not None
        if holder.stdout.readline() != "mounted\n":
            pytest.skip(f"no scratch root can be made: {holder.stderr.read().strip()[-200:]}")
        try:
            yield Scratch(holder.pid, f"{folder}/root")
        finally:
            holder.stdin.close()
