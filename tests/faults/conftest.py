"""Give each test a Hub whose CDN does what the test says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from e2e.world import World
from faults.rig import CONTENT, Rig
from faults.wire import Wire
from hub.server import Hub

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        yield hub


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Wire(CONTENT) as wire:
        yield wire


@pytest.fixture
def rig(hub: Hub, wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    return Rig(hub, wire, tmp_path / "store", hub.endpoint)


@pytest.fixture
def world(hub: Hub, tmp_path: Path) -> World:
    return World(hub, tmp_path / "machine")
