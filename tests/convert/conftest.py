"""A Hub, a machine, and virtual environments that are made once: of the stand-in, of the vendor."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from convert import vendor as real
from convert.standin_wheel import build_wheel
from e2e.world import World
from hub.server import Hub
from rkfetch.registry.convert.engines import Python, pythons
from rkfetch.registry.convert.environment import Unwatched
from rkfetch.registry.convert.toolkits import PYTHONS
from rkfetch.registry.convert.venv_environment import VenvEnvironment
from rkfetch.registry.convert.wheels import accepted_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def python() -> Python:
    """Choose what the toolkit is installed on: this Python, if there is one for it, or another."""
    this = f"{sys.version_info.major}.{sys.version_info.minor}"
    if this in PYTHONS:
        return Python(version=this, path=sys.executable)
    found = next((python for python in pythons() if python.usable), None)
    if found is None:
        pytest.skip(f"there is no toolkit for Python {this}, and no other Python on this machine")
    return found


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory, python: Python) -> Path:
    """Pack the stand-in."""
    return build_wheel(tmp_path_factory.mktemp("wheel"), python=python.version)


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory, wheel: Path, python: Python) -> Path:
    """Make the folder of virtual environments that every machine of this run shares."""
    home = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        home = home.parent  # all workers': who comes first makes it, the others wait
    known = accepted_wheel(wheel, allow_unknown=True)
    VenvEnvironment(home, wheel=known, python=python.path, toolkit=None).prepare(Unwatched())
    return home / "convert"


@pytest.fixture
def world(tmp_path: Path, tools: Path, python: Python) -> Iterator[World]:
    """Give a test a Hub that is empty, and a machine on which only the toolkit is installed.

    What Pythons this machine has beside the system's does not matter, and costs no time.
    """
    with Hub() as hub:
        world = World(hub, tmp_path / "machine")
        world.home.mkdir()
        (world.home / "convert").symlink_to(tools)
        there = tmp_path / "machine" / "bin" / f"python{python.version}"
        there.parent.mkdir()
        there.write_text(f'#!/bin/sh\nexec {python.path} "$@"\n')
        there.chmod(0o755)
        world.env["PATH"] = f"{there.parent}:{os.defpath}:/usr/local/bin:/usr/sbin:/sbin"
        world.env["PYENV_ROOT"] = str(tmp_path / "no-pyenv")
        yield world


@pytest.fixture(scope="session")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[real.Vendor]:
    """Offer the vendor's own toolkit and all that it is pinned to."""
    folder = tmp_path_factory.mktemp("wheels")
    with real.serve(folder) as vendor:
        yield vendor
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def vendor_venv(
    vendor: real.Vendor, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[VenvEnvironment]:
    """Install the vendor's own toolkit in a virtual environment."""
    folder = tmp_path_factory.mktemp("vendor")
    environment = vendor.make_venv(folder)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in vendor.settings.items():
            patch.setenv(name, value)
        environment.prepare(Unwatched())
    yield environment
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def vendor_models(vendor_venv: VenvEnvironment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make models for it, with its own libraries."""
    folder = tmp_path_factory.mktemp("models")
    python = vendor_venv.path / "bin" / "python"
    script = Path(__file__).with_name("real_models.py")
    subprocess.run([python, str(script), str(folder)], check=True, capture_output=True)
    return folder
