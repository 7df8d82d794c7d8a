"""Give each test a Hub and a machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from e2e.world import OTHER, SIZE, W4, W8, World
from hub.server import Hub

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Give a test a Hub that is empty, and a fresh machine."""
    with Hub() as hub:
        yield World(hub, tmp_path / "machine")


@pytest.fixture
def qwen(world: World) -> World:
    """The three builds of the first scenario, known to the catalog."""
    world.add(W4, seed=1)
    world.add(W8, seed=2, size=SIZE * 2)
    world.add(OTHER, seed=3, platform="rk3588", npu_cores=3)
    world.update()
    return world
