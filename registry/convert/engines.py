"""What of this machine could run the toolkit: container engines, and versions of Python."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .toolkits import PYTHONS

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ("podman", "docker")
"""Podman first: it needs no daemon that runs as root."""
_ANSWER_WITHIN_S = 30
_LONGEST_WHY = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A program that runs containers."""

    name: str
    """``podman`` or ``docker``: what it really is, whatever it is called."""
    path: str
    version: str | None = None
    usable: bool = False
    why: str | None = None
    """Why it is not usable, in its own words."""

    @property
    def words(self) -> str:
        """``podman 4.3.1``."""
        return f"{self.name} {self.version}" if self.version else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Python:
    """An interpreter on which a toolkit could be installed."""

    version: str
    """``3.11``."""
    path: str
    usable: bool = True
    why: str | None = None
    """Why no virtual environment can be made with it."""


def engines(names: tuple[str, ...] = NAMES) -> list[Engine]:
    """Return the engines on the path, each asked whether it works."""
    return [_engine(name, path) for name in names if (path := shutil.which(name))]


def _engine(name: str, path: str) -> Engine:
    # `podman-docker` puts a podman there that is called docker.
    status, said = ask(path, "--version")
    name = "podman" if "podman" in said.lower() else name
    found = re.search(r"\d+\.\d+(\.\d+)?", said)
    version = found.group() if found and status == 0 else None
    # Docker's client answers without its daemon; only these ask whoever does the work.
    question = ("info",) if name == "podman" else ("version", "--format", "{{.Server.Version}}")
    status, said = ask(path, *question)
    why = None if status == 0 else said or f"`{name} {question[0]}` ended with {status}"
    return Engine(name=name, path=path, version=version, usable=why is None, why=why)


def pythons() -> list[Python]:
    """Return one interpreter for each version that there is a toolkit for, best version first.

    From the path, and those of pyenv itself: its shims do not run a version that is not selected.
    """
    found: dict[str, Python] = {}
    for version, path in _candidates():
        if version in found and found[version].usable:
            continue
        python = _python(path)
        if python is not None and (
            python.version not in found or (python.usable and not found[python.version].usable)
        ):
            found[python.version] = python
    return [found[version] for version in PYTHONS if version in found]


def _candidates() -> Iterator[tuple[str | None, str]]:
    """Yield interpreters, with the version that each is by its name, best first."""
    root = Path(os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv"))  # noqa: PTH111 - without a home, pathlib raises
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    path = os.pathsep.join(f for f in folders if Path(f) != root / "shims")
    for version in PYTHONS:
        if (named := shutil.which(f"python{version}", path=path)) is not None:
            yield version, named
    for version in PYTHONS:
        for one in sorted(root.glob(f"versions/{version}.*/bin/python")):
            yield version, str(one)
    # Last: `python3` may be the one of a virtual environment, such as rkfetch's own.
    if (any_one := shutil.which("python3", path=path)) is not None:
        yield None, any_one


_ABOUT = """
import sys
print("%d.%d" % sys.version_info[:2])
print(sys.executable)
try:
    import venv, ensurepip
except ImportError as error:
    print(error)
"""


def _python(path: str) -> Python | None:
    status, said = ask(path, "-I", "-c", _ABOUT)
    lines = said.splitlines()
    if status != 0 or len(lines) < 2 or lines[0] not in PYTHONS:
        return None
    # Its own path: one of pyenv's shims would be another version tomorrow.
    version, path = lines[:2]
    why = None
    if len(lines) > 2:
        why = f"{lines[2]}: on Debian and Ubuntu, `apt install python{version}-venv` adds it"
    return Python(version=version, path=path, usable=why is None, why=why)


def ask(*command: str) -> tuple[int, str]:
    """Run something short; return its status, and what it said on stdout or, failing, stderr."""
    try:
        done = subprocess.run(  # noqa: S603 - found on the path, without a shell
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_ANSWER_WITHIN_S,
            check=False,
        )
    except OSError as error:
        return -1, error.strerror or str(error)
    except subprocess.TimeoutExpired:
        return -1, f"it did not answer within {_ANSWER_WITHIN_S} s"
    out, err = (text.decode(errors="replace").strip() for text in (done.stdout, done.stderr))
    return done.returncode, out if done.returncode == 0 else (err or out)[-_LONGEST_WHY:]
