"""A base image with Debian's Python, for tests that run real containers.

It is made once on a machine and kept there (`podman image rm localhost/rkfetch-tests` removes it).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from rkfetch.registry.convert.engines import engines

PYTHON = "3.11"
_PACKAGES = "python3-minimal,python3-venv"
_WITHOUT = ("doc", "man", "locale", "info")
_MAKE = [
    "mmdebstrap",
    "--quiet",
    "--variant=essential",
    f"--include={_PACKAGES}",
    "--dpkgopt=force-unsafe-io",
    *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _WITHOUT),
    "bookworm",
]
BASE = "localhost/rkfetch-tests:" + hashlib.sha256(" ".join(_MAKE).encode()).hexdigest()[:12]
_LIMITS = "--ulimit nofile=1024:1024 --ulimit nproc=4096:4096"
ENGINE_ARGS = f"--runtime runc run {_LIMITS} build {_LIMITS} --network none"
"""For machines that let nobody raise a limit; and it is proved that building needs no network."""


def base_image() -> str:
    """Return the name of the image, which is made if it is not there; else skip the test."""
    if os.geteuid() != 0:
        pytest.skip("a base image can be made by root only")
    for program in ("podman", "runc", "mmdebstrap"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    why = next((engine.why for engine in engines(("podman",))), None)
    if why is not None:
        pytest.skip(f"podman does not work: {why}")
    with Path(tempfile.gettempdir(), "rkfetch-tests-base.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if subprocess.run(["podman", "image", "exists", BASE], check=False).returncode != 0:
            _make()
    return BASE


def _make() -> None:
    with tempfile.TemporaryDirectory() as folder:
        tar = Path(folder, "base.tar")
        made = subprocess.run([*_MAKE, str(tar)], capture_output=True, text=True, check=False)
        if made.returncode != 0:
            pytest.skip(f"no base image can be made: {made.stderr.strip()[-200:]}")
        subprocess.run(["podman", "import", "--quiet", str(tar), BASE], check=True)
