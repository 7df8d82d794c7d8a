"""What every test gets: a home of its own, and no way out to the network."""

from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from hypothesis import settings

from rkfetch.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background, as by some CI: children would inherit that Ctrl-C is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long one example takes depends on what else the machine does, and proves nothing.
settings.register_profile("untimed", deadline=None)
# For further Pythons, in `.ci/run`: what is looked for there depends on no chance.
settings.register_profile("few", deadline=None, max_examples=15)
settings.load_profile("untimed")

_ONCE = {"faults", "media"}
"""Folders of tests about what servers, links and disks do wrong: the same for every Python."""

_connect = socket.socket.connect


def _loopback_only(self: socket.socket, address: Any) -> None:
    host = address[0] if isinstance(address, tuple) else address
    if self.family in {socket.AF_INET, socket.AF_INET6} and host not in {"127.0.0.1", "::1"}:
        raise OSError(f"a test tried to reach {host}")
    _connect(self, address)


_FIRST = "test_arm64.py"
"""What takes minutes begins first, so that nothing waits for it alone at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name in _ONCE:
            item.add_marker(pytest.mark.once)
    items.sort(key=lambda item: item.path.name != _FIRST)


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point every place that rkfetch or huggingface_hub writes to into the test's folder."""
    home = tmp_path / "home"
    home.mkdir()
    hubs = ("HF_ENDPOINT", "HF_TOKEN", "HF_HUB_OFFLINE", "MODELSCOPE_ENDPOINT")
    for name in (*hubs, "RKFETCH_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    # What is printed is compared: it must not depend on the terminal that the tests run in.
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("RKFETCH_STALE_AFTER_DAYS", "0")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("HF_HOME", str(home / "hf"))
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    monkeypatch.setenv("RKFETCH_HOME", str(home / "rkfetch"))
    monkeypatch.setattr(socket.socket, "connect", _loopback_only)
    return home


Rkfetch: TypeAlias = "Callable[..., tuple[int, str, str]]"


@pytest.fixture
def rkfetch(capsys: pytest.CaptureFixture[str]) -> Rkfetch:
    """Run the command line in this process; give its exit code, stdout and stderr."""

    def run(*args: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stopped:
            main([str(arg) for arg in args])
        said = capsys.readouterr()
        assert isinstance(stopped.value.code, int)
        return stopped.value.code, said.out, said.err

    return run
