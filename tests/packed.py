"""The one file that boards without pip get, made once for all tests of a run."""

from __future__ import annotations

import fcntl
import os
import runpy
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

MAKE = Path(__file__).parent.parent / "pyz" / "make.py"


@contextmanager
def folder_of_the_run(factory: pytest.TempPathFactory, name: str) -> Iterator[Path]:
    """Give a folder that all workers of a run share, to one of them at a time; who comes first
    finds it empty.
    """
    home = factory.getbasetemp()
    home = home.parent if "PYTEST_XDIST_WORKER" in os.environ else home
    folder = home / name
    folder.mkdir(exist_ok=True)
    with (home / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def make_pyz(factory: pytest.TempPathFactory) -> Path:
    """Return the file, as ``python pyz/make.py`` writes it."""
    with folder_of_the_run(factory, "pyz") as folder:
        file = folder / "rkfetch.pyz"
        if not file.exists():
            runpy.run_path(str(MAKE))["make"](file)
    return file


def interpreter(version: str) -> str | None:
    """Return an interpreter of this version: on the path, or pyenv's own."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    path = os.pathsep.join(f for f in folders if Path(f) != root / "shims")
    pyenvs = sorted(root.glob(f"versions/{version}.*/bin/python"))
    return shutil.which(f"python{version}", path=path) or next(map(str, pyenvs), None)
