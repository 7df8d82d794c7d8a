"""Give each test a PC and a board."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from carrying import Machine

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def pc(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "pc")


@pytest.fixture
def board(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "board")
