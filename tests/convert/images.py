"""A base image with Debian's Python, for tests that run real containers.

It is made once on a machine and kept there (`podman image rm localhost/rkfetch-tests` removes it).
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest

import debian
from rkfetch.registry.convert.engines import engines

PYTHON = "3.11"
_MAKE = debian.make_command(("python3-minimal", "python3-venv"), variant="essential")
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
    why = debian.why_not("podman", "runc")
    if why is not None:
        return why
    why = next((engine.why for engine in engines(("podman",))), None)
    if why is not None:
        return f"podman does not work: {why}"
    with debian.alone("base"):
        if subprocess.run(["podman", "image", "exists", BASE], check=False).returncode == 0:
            return None
        return _make()


def _make() -> str | None:
    """Make it, or say why that cannot be."""
    with tempfile.TemporaryDirectory() as folder:
        tar = Path(folder, "base.tar")
        why = debian.make(_MAKE, tar)
        if why is not None:
            return why
        import_it = ["podman", "import", "--quiet", str(tar), BASE]
        done = subprocess.run(import_it, capture_output=True, text=True, check=False)
    return f"podman cannot import it: {done.stderr[-200:]}" if done.returncode else None


def image_with(python: str) -> str:
    """Return the name of an image that has an interpreter of this machine besides, in `/usr/local`.

    It is for versions that Debian has not, such as those of pyenv; their libraries come along.
    """
    asked = [python, "-c", "import sys; print(sys.base_prefix, '%d.%d' % sys.version_info[:2])"]
    said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
    prefix, version = Path(said[0]), said[1]
    name = f"{base_image()}-python{version}"
    with debian.alone("base"):
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
