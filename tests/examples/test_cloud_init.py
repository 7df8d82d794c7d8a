"""examples/cloud-init.yaml: its schema by cloud-init itself, and a first boot that does it."""

from __future__ import annotations

import hashlib
import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

import boards
from examples.conftest import EXAMPLES, MODEL

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from e2e.world import World
    from scratch import Scratch

pytestmark = pytest.mark.once

FILE = EXAMPLES / "cloud-init.yaml"
ELSEWHERE = "https://example.org/boards"


def boot(scratch: Scratch, config: dict[str, Any], env: dict[str, str]) -> int:
    """Do what cloud-init does on a first boot: write the files, then run the commands in a shell.

    The packages are this machine's own.
    """
    for file in config["write_files"]:
        scratch.put(file["path"], file["content"], int(file["permissions"], 8))
    lines = [shlex.join(line) if isinstance(line, list) else line for line in config["runcmd"]]
    scratch.put("/var/lib/cloud/runcmd", "\n".join(["#!/bin/sh", *lines, ""]), 0o700)
    done = scratch.run("/var/lib/cloud/runcmd", env=env)
    print(done.stdout, done.stderr)
    return done.returncode


@pytest.fixture
def booted(
    scratch: Scratch,
    board: dict[str, str],
    pyz: Path,
    lock: Path,
    tmp_path: Path,
    serve: Callable[[Path], str],
) -> Callable[[str], int]:
    """Boot a board whose user has put in the addresses and a digest."""
    for program in ("curl", "python3"):
        if scratch.run("sh", "-c", f"command -v {program}").returncode != 0:
            pytest.skip(f"there is no {program}")
    shared = tmp_path / "shared"
    shared.mkdir()
    shutil.copy(pyz, shared / "rkfetch.pyz")
    shutil.copy(lock, shared / "rkfetch.lock")
    boards.rock_4d(scratch.path("/board"))
    address = serve(shared)

    def begin(digest: str) -> int:
        text = FILE.read_text().replace(ELSEWHERE, address).replace("0" * 64, digest)
        env = {**board, "RKFETCH_SYSROOT": "/board"}
        return boot(scratch, yaml.safe_load(text), env)

    return begin


def test_the_first_boot_brings_the_models(
    booted: Callable[[str], int], scratch: Scratch, pyz: Path, shop: World
) -> None:
    digest = hashlib.sha256(pyz.read_bytes()).hexdigest()
    assert booted(digest) == 0
    assert scratch.path(f"/srv/rkfetch/{MODEL}").stat().st_nlink == 2
    assert scratch.run("rkfetch", "list").returncode == 0, "it stays, for later"
    shop.hub.forget()
    assert booted(digest) == 0
    assert not shop.hub.requests


def test_a_program_that_is_not_the_one_is_not_run(
    booted: Callable[[str], int], scratch: Scratch
) -> None:
    assert booted("f" * 64) != 0
    assert not scratch.path("/usr/local/bin/rkfetch").exists()
    assert not scratch.path("/srv/rkfetch").exists()


def test_cloud_init_takes_it() -> None:
    if shutil.which("cloud-init") is None:
        pytest.skip("there is no cloud-init")
    done = subprocess.run(
        ["cloud-init", "schema", "--config-file", str(FILE)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Valid" in done.stdout


def test_its_scripts_are_checked_as_the_others_are(shellcheck: Callable[..., str]) -> None:
    scripts = [file["content"] for file in yaml.safe_load(FILE.read_text())["write_files"]]
    shells = [text for text in scripts if text.startswith("#!/bin/sh\n")]
    assert shells
    assert [shellcheck("--exclude=SC1091", "-", given=text) for text in shells] == [""]
