"""A board's own userland: arm64 Debian, where rkfetch is installed with pip, or is one file.

Its processes run under qemu-user, a fake ROCK 4D tells what board it is, and the Hub is this
machine's loopback.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from arm64 import PACKAGES, make_arm64
from e2e.world import W4
from packed import folder_of_the_run, make_pyz
from test_readme import README, ROOT, transcript

if TYPE_CHECKING:
    from arm64 import Arm64
    from e2e.world import World

# Everything takes ten times as long under qemu: minutes where others want the processor, too.
pytestmark = [pytest.mark.once, pytest.mark.timeout(900)]


@pytest.fixture(scope="session")
def arm64(tmp_path_factory: pytest.TempPathFactory) -> Arm64:
    return make_arm64(tmp_path_factory)


@pytest.fixture(scope="session")
def pip_installed(arm64: Arm64, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Install rkfetch with the root's own pip, and return the command."""
    with folder_of_the_run(tmp_path_factory, "arm64-pip") as mark:
        venv = arm64.root / "venv"
        if not (mark / "done").exists():
            arm64.install(venv)
            (mark / "done").touch()
    return arm64.inside(venv / "bin" / "rkfetch")


@pytest.fixture
def board(arm64: Arm64, world: World, tmp_path: Path) -> World:
    """A Hub, and a ROCK 4D with an empty disk."""
    home = arm64.root / "home" / tmp_path.name
    home.mkdir(parents=True)
    world.home = home / "rkfetch"
    world.within_s = 600
    world.env |= {
        "PATH": f"{os.environ['PATH']}:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": arm64.inside(home),
        "HF_HOME": arm64.inside(home / "hf"),
        "RKFETCH_HOME": arm64.inside(world.home),
        "RKFETCH_SYSROOT": "/board",
    }
    return world


def do_the_main_job(board: World, arm64: Arm64) -> None:
    done = board.run("qwen2.5-1.5b")
    (model,) = board.models()
    assert (done.code, done.out) == (0, f"{arm64.inside(model)}\n"), done.err
    assert "Qwen/Qwen2.5-1.5B-Instruct for rk3576, runtime 1.2.3, driver 0.9.8" in done.err
    board.hub.forget()
    again = board.run("fetch", "qwen2.5-1.5b", "--json").json
    assert again["action"] == "present"
    assert again["artifact"]["sha256"] == board.sha256(W4)
    assert not board.hub.requests


def test_installed_with_pip(board: World, arm64: Arm64, pip_installed: str) -> None:
    board.command = [*arm64.enter, pip_installed]
    board.env["RKFETCH_SYSROOT"] = "/nothing-here"
    told = board.run("doctor", "--sysroot", "/board", "--json").json
    assert (told["board"]["model"], told["board"]["platform"]) == ("Radxa ROCK 4D", "rk3576")
    board.env["RKFETCH_SYSROOT"] = "/board"
    board.add(W4, seed=1)
    board.update()
    do_the_main_job(board, arm64)


def test_as_one_file(
    board: World, arm64: Arm64, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    board.add(W4, seed=1)
    # This machine has learnt what the board knows: it takes ten times as long under qemu.
    outside = {**board.env, "RKFETCH_HOME": str(board.home), "HF_HOME": str(tmp_path / "hf")}
    assert board.run("catalog", "update", "--quiet", **outside).code == 0
    file = shutil.copy(make_pyz(tmp_path_factory), board.home.parent)
    board.command = [*arm64.enter, "/usr/bin/python3", arm64.inside(Path(file))]
    assert board.run("doctor").code == 0
    do_the_main_job(board, arm64)


def test_what_the_readme_shows_of_an_empty_board(
    arm64: Arm64, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Three commands; apt has done the first when the root was made."""
    block = re.search(r"<!-- checked: arm64 -->\n```console\n((?:.*\n)*?)```", README)
    assert block is not None
    apt, copy, fetch = re.findall(r"# (.*)\n((?:[^#\n].*\n)*)", block.group(1))
    assert apt[0].startswith("apt-get install ")
    assert set(apt[0].split()[2:]) - {"-y"} <= set(PACKAGES)

    file = shlex.split(copy[0])[-2]
    there = arm64.root / file.lstrip("/")
    there.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(make_pyz(tmp_path_factory), there)
    assert arm64.run(*shlex.split(copy[0])) == copy[1]

    home = arm64.root / tmp_path.name
    hub = [sys.executable, str(ROOT / "tests" / "hub"), "--home", str(home), "--"]
    env = {
        "RKFETCH_HOME": arm64.inside(home / "rkfetch"),
        "HOME": "/root",
        "RKFETCH_SYSROOT": "/board",
    }
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        env[name] = ""  # these would name files of this machine
    variables = [f"{name}={value}" for name, value in env.items()]
    command = [*hub, "env", *variables, *arm64.enter, *shlex.split(fetch[0])]
    assert transcript(command, {}, ROOT) == fetch[1]
