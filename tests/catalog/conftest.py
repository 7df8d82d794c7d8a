"""What several tests of the catalog start with: an empty one, and a Hub to fill it from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hub.server import Hub
from rkfetch.catalog.database import Catalog
from rkfetch.catalog.files import create
from rkfetch.catalog.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Make a catalog without anything."""
    path = tmp_path / "catalog.db"
    create(path).close()
    return path


@pytest.fixture
def writer(path: Path) -> Iterator[Writer]:
    with Writer.open(path) as opened:
        yield opened


@pytest.fixture
def catalog(path: Path) -> Iterator[Catalog]:
    with Catalog.open(path) as opened:
        yield opened


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The endpoint, without any repository."""
    with Hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        yield hub
