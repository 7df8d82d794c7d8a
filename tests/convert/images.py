"""A base image with Debian's Python, for tests that run real containers.

It is made once on a machine and kept there (`podman image rm localhost/rkfetch-tests` removes it).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from functools import cache
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
_MAKE_WITHIN_S = 120
"""It takes half a minute."""
BASE = "localhost/rkfetch-tests:" + hashlib.sha256(" ".join(_MAKE).encode()).hexdigest()[:12]
_LIMITS = "--ulimit nofile=1024:1024 --ulimit nproc=4096:4096"
ENGINE_ARGS = f"--runtime runc run {_LIMITS} build {_LIMITS} --network none"
"""For machines that let nobody raise a limit; and it is proved that building needs no network."""


def base_image() -> str:
    """Return the name of the image, which is made if it is not there; else skip the test."""
    why = _why_there_is_none()
    if why is not None:
        pytest.skip(why)
    return BASE


@cache
def _why_there_is_none() -> str | None:
    """Make the image; what stood in the way once would stand there for every test."""
    if os.geteuid() != 0:
        return "a base image can be made by root only"
    for program in ("podman", "runc", "mmdebstrap"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    why = next((engine.why for engine in engines(("podman",))), None)
    if why is not None:
        return f"podman does not work: {why}"
    with Path(tempfile.gettempdir(), "rkfetch-tests-base.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if subprocess.run(["podman", "image", "exists", BASE], check=False).returncode == 0:
            return None
        return _make()


def _make() -> str | None:
    """Make it within a time that leaves another worker of the run one, too; else say why not."""
    with tempfile.TemporaryDirectory() as folder:
        tar = str(Path(folder, "base.tar"))
        # `timeout` ends all that it began; apt alone could wait for a dead mirror for long.
        for command in (
            ["timeout", "-k", "10", str(_MAKE_WITHIN_S), *_MAKE, tar],
            ["podman", "import", "--quiet", tar, BASE],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode == 124:
                return f"no base image can be made within {_MAKE_WITHIN_S} s"
            if done.returncode != 0:
                return f"no base image can be made: {done.stderr.strip()[-200:]}"
    return None


def image_with(python: str) -> str:
    """Return the name of an image that has an interpreter of this machine besides, in `/usr/local`.

    It is for versions that Debian has not, such as those of pyenv; their libraries come along.
    """
    asked = [python, "-c", "import sys; print(sys.base_prefix, '%d.%d' % sys.version_info[:2])"]
    said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
    prefix, version = Path(said[0]), said[1]
    name = f"{base_image()}-python{version}"
    with Path(tempfile.gettempdir(), "rkfetch-tests-base.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if subprocess.run(["podman", "image", "exists", name], check=False).returncode != 0:
            _add_python(name, prefix, version)
    return name


def _add_python(name: str, prefix: Path, version: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        context = Path(folder)
        local = context / "local"
        (local / "bin").mkdir(parents=True)
        shutil.copy(prefix / "bin" / f"python{version}", local / "bin")
        unwanted = shutil.ignore_patterns("test", "site-packages", "config-*", "__pycache__")
        library = shutil.copytree(
            prefix / "lib" / f"python{version}", local / "lib" / f"python{version}", ignore=unwanted
        )
        objects = [local / "bin" / f"python{version}", *library.rglob("*.so")]
        for needed in sorted(_libraries(objects)):
            shutil.copy(needed, local / "lib")
        (context / "Containerfile").write_text(
            f"FROM {BASE}\nCOPY local /usr/local\nRUN ldconfig\n"
        )
        podman = ["podman", "--runtime", "runc", "build", *_LIMITS.split(), "--network", "none"]
        subprocess.run([*podman, "--quiet", "--tag", name, folder], check=True)


def _libraries(objects: list[Path]) -> set[str]:
    """Return what shared objects are linked with, but for C's own, and what wheels may expect."""
    done = subprocess.run(["ldd", *objects], capture_output=True, text=True, check=True)
    linked = set(re.findall(r"=> (/\S+)", done.stdout))
    known = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, check=True)
    linked |= set(re.findall(r"libstdc\+\+\.so\.6 .*x86-64.* => (/\S+)", known.stdout))
    own = re.compile(r"lib(c|m|dl|rt|pthread|util|resolv)\.so\.\d+")
    return {path for path in linked if not own.fullmatch(Path(path).name)}
