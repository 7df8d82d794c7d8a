"""Give each example a Hub, a lock file of what it has, and a board."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import boards
from e2e.world import OTHER, SIZE, W4, World
from hub.server import Hub
from packed import make_pyz
from scratch import scratch_root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scratch import Scratch

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
MODEL = f"models/{Path(W4).name}"
"""Where the example's set-up has the model of this board, from its own folder."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A PC on which the example's lock file is made, and the Hub that has the files."""
    with Hub() as hub:
        world = World(hub, tmp_path_factory.mktemp("shop") / "pc")
        world.add(W4, seed=1)
        world.add(OTHER, seed=3, platform="rk3588", npu_cores=3, size=SIZE // 2)
        world.update()
        yield world


@pytest.fixture(scope="module")
def lock(shop: World) -> Path:
    """The lock file of examples/rkfetch.toml."""
    declaration = shop.home / "setup" / "rkfetch.toml"
    declaration.parent.mkdir()
    shutil.copy(EXAMPLES / "rkfetch.toml", declaration)
    done = shop.run("lock", "--file", str(declaration), "--quiet")
    assert done.code == 0, done.err
    return declaration.with_suffix(".lock")


@pytest.fixture
def board(shop: World, tmp_path: Path) -> dict[str, str]:
    """The variables that make this machine a fresh board beside the Hub, and no others."""
    shop.hub.forget()
    sysroot = boards.rock_4d(tmp_path / "board")
    names = ("HF_ENDPOINT", "MODELSCOPE_ENDPOINT")
    return {**{name: shop.env[name] for name in names}, "RKFETCH_SYSROOT": str(sysroot)}


@pytest.fixture(scope="session")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one file that is rkfetch on boards."""
    return make_pyz(tmp_path_factory)


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Scratch]:
    """A root to install things in."""
    with scratch_root(tmp_path / "scratch") as root:
        yield root


@pytest.fixture
def shellcheck() -> Callable[..., str]:
    """Ask shellcheck of the test extras about scripts; gives what it has to say."""
    program = Path(sys.executable).with_name("shellcheck")

    def ask(*args: str, given: str = "") -> str:
        done = subprocess.run(
            [program, *args], input=given, capture_output=True, text=True, timeout=60, check=False
        )
        return done.stdout + done.stderr

    return ask


@pytest.fixture
def serve() -> Iterator[Callable[[Path], str]]:
    """Serve folders by HTTP; gives their address."""
    servers = []

    def begin(folder: Path) -> str:
        handler = functools.partial(_Quiet, directory=str(folder))
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield begin
    for server in servers:
        server.shutdown()
        server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        pass
