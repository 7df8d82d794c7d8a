"""What the tests of one file on its way share: a Hub that has it, a client, and a place for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from downloads import FILE, REPO, quick_http
from hub.server import Hub

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rkfetch.registry.http import Http


@pytest.fixture
def hub(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The endpoint, with one repository whose file is the test module's ``CONTENT``."""
    with Hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        hub.add_repo(REPO).add_file(FILE, request.module.CONTENT)
        yield hub


@pytest.fixture
def http(hub: Hub) -> Iterator[Http]:
    with quick_http() as http:
        yield http


@pytest.fixture
def partial(tmp_path: Path) -> Path:
    return tmp_path / "partials" / "x.partial"
