"""A Hub, a machine, and a virtual environment with the stand-in toolkit that is made once."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from convert.standin_wheel import build_wheel
from e2e.world import World
from hub.server import Hub
from rkfetch.registry.convert.environment import Unwatched
from rkfetch.registry.convert.venv_environment import VenvEnvironment
from rkfetch.registry.convert.wheels import accepted_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pack the stand-in for this Python."""
    return build_wheel(tmp_path_factory.mktemp("wheel"), python=PYTHON)


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """Make the folder of virtual environments that every machine of this run shares."""
    home = tmp_path_factory.mktemp("tools")
    known = accepted_wheel(wheel, allow_unknown=True)
    VenvEnvironment(home, wheel=known, python=sys.executable, toolkit=None).prepare(Unwatched())
    return home / "convert"


@pytest.fixture
def world(tmp_path: Path, tools: Path) -> Iterator[World]:
    """Give a test a Hub that is empty, and a machine on which only the toolkit is installed."""
    with Hub() as hub:
        world = World(hub, tmp_path / "machine")
        world.home.mkdir()
        (world.home / "convert").symlink_to(tools)
        yield world
