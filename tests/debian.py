"""Make root file systems of Debian, for tests that run in containers or on another processor."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SUITE = "bookworm"
_WITHOUT = ("doc", "man", "locale", "info")
_WITHIN_S = 120
"""It takes half a minute."""


def make_command(
    packages: Sequence[str], *, variant: str, architecture: str | None = None
) -> list[str]:
    """Return the command that makes a root, but for where: what it is made of, as one can say it.

    Args:
        variant: ``extract`` unpacks the packages and runs nothing of theirs; the others of
            mmdebstrap set them up, too.
        architecture: this machine's, if it is not said.
    """
    return [
        "mmdebstrap",
        "--quiet",
        f"--variant={variant}",
        *([f"--architectures={architecture}"] if architecture else []),
        f"--include={','.join(packages)}",
        "--dpkgopt=force-unsafe-io",
        *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _WITHOUT),
        _SUITE,
    ]


def why_not(*programs: str) -> str | None:
    """Return why no root can be made and used here, as far as can be told without trying."""
    if os.geteuid() != 0:
        return "a root of Debian can be made by root only"
    missing = [name for name in ("mmdebstrap", *programs) if shutil.which(name) is None]
    return f"{missing[0]} is not installed" if missing else None


def make(command: Sequence[str], place: Path) -> str | None:
    """Make it at ``place`` (a folder, or a tar file by its name); return why not, if it fails."""
    # In time to leave another worker of the run some; `timeout` ends all that it began, and apt
    # alone could wait for a dead mirror for long.
    within = ["timeout", "-k", "10", str(_WITHIN_S)]
    done = subprocess.run(
        [*within, *command, str(place)], capture_output=True, text=True, check=False
    )
    if done.returncode == 124:
        return f"no root of Debian can be made within {_WITHIN_S} s"
    if done.returncode != 0:
        return f"no root of Debian can be made: {done.stderr.strip()[-200:]}"
    return None


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Let one process of this machine at a time make what this name stands for."""
    with Path(tempfile.gettempdir(), f"rkfetch-tests-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
