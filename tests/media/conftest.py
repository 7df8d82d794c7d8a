"""Give each test a memory card, and a machine that keeps its models on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from e2e.world import World
from hub.server import Hub
from media.card import mounted
from media.machine import BIG, NAME, OWNER, Machine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from media.card import Card


@pytest.fixture
def card(tmp_path: Path) -> Iterator[Card]:
    with mounted(tmp_path / "slot") as card:
        yield card


@pytest.fixture
def machine(card: Card, tmp_path: Path) -> Iterator[Machine]:
    with Hub() as hub:
        world = World(hub, tmp_path / "machine")
        world.add(NAME, repo=OWNER, size=BIG)
        yield Machine(world, card.path / "rkfetch")
