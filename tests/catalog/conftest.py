"""What several tests of the catalog start with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rkfetch.catalog.files import create

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def empty_catalog(tmp_path: Path) -> Path:
    """Make a catalog without anything."""
    path = tmp_path / "catalog.db"
    create(path).close()
    return path
