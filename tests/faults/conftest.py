"""Give each test a Hub whose CDN does what the test says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trustme

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


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority that signed nothing: read in no time, unlike the hundred of this machine."""
    bundle = tmp_path_factory.mktemp("authority") / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(str(bundle))
    return bundle


@pytest.fixture
def rig(
    hub: Hub, wire: Wire, stranger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Rig:
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("SSL_CERT_FILE", str(stranger))
    return Rig(hub, wire, tmp_path / "store", hub.endpoint)


@pytest.fixture
def world(hub: Hub, tmp_path: Path) -> World:
    return World(hub, tmp_path / "machine")
