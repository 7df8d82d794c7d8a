"""Other users of this machine, for what two of them do in one store; needs root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ALICE, BOB, EVE = 61_001, 61_002, 61_003
FRIENDS, OTHERS = 61_100, 61_200
"""Alice and Bob are friends."""


def run_as(
    user: int, command: list[str], *, umask: int = 0o077, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command as another user, with a home that is not there.

    It may read and walk through everything, because Python or the checkout may lie in root's
    home; what it may write is what that user may.
    """
    return subprocess.run(
        [
            "setpriv",
            f"--reuid={user}",
            f"--regid={user}",
            f"--groups={OTHERS if user == EVE else FRIENDS}",
            "--inh-caps=+dac_read_search",
            "--ambient-caps=+dac_read_search",
            *command,
        ],
        umask=umask,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **(env or {})},
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def python_as(user: int, code: str, *args: str) -> str:
    """Run Python as another user; return what it prints."""
    done = run_as(user, [sys.executable, "-c", code, *args])
    assert done.returncode == 0, done.stderr
    return done.stdout


def require_users() -> None:
    """Skip a test where there are no other users to be."""
    if os.geteuid() != 0:
        pytest.skip("being another user needs root")
    if shutil.which("setpriv") is None:
        pytest.skip("being another user needs setpriv (util-linux)")
    tried = run_as(BOB, [sys.executable, "-c", "import rkfetch"])
    if tried.returncode != 0:
        pytest.skip(f"being another user is not possible here: {tried.stderr}")


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that everybody can walk into, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
