"""Give each test a Hub, a folder with a declaration, and boards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hub.server import Hub
from setup.setups import Setup

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[Setup]:
    """Give a test two models for two SoCs on the Hub, and a declaration of both."""
    with Hub() as hub:
        yield Setup(hub, tmp_path)
