"""Twenty boards at once from one lock file: the same bytes everywhere, and one download for all.

The thirteenth scenario of the project's list.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from e2e.world import RKFETCH
from neighbours import gives_out
from setup.setups import ROCK, SIZE, THREE_W4, W4, tree

if TYPE_CHECKING:
    from setup.setups import Setup

pytestmark = pytest.mark.once
BOARDS = 20
FILES = {f"models/{Path(W4).name}", "models/chat.rkllm"}


def sync_all(setup: Setup, folder: Path, **env: str) -> dict[str, bytes]:
    """Sync so many boards at once, each with its own store; the tree that all of them have."""
    setup.folder.chmod(0o555)
    processes = []
    for number in range(BOARDS):
        bare = {name: setup.env[name] for name in ("PATH", "HF_ENDPOINT", "RKFETCH_SYSROOT")}
        bare |= {"LC_ALL": "C", "RKFETCH_HOME": str(folder / f"home{number}"), **env}
        into = str(folder / f"board{number}")
        processes.append(
            subprocess.Popen(
                [str(RKFETCH), "sync", *ROCK, "--locked", "--json", "--quiet", "--into", into],
                cwd=setup.folder,
                env=bare,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        )
    said = [process.communicate(timeout=250) for process in processes]
    setup.folder.chmod(0o755)
    assert [process.returncode for process in processes] == [0] * BOARDS, said
    for number, (out, err) in enumerate(said):
        assert err == b""
        assert out.count(b"\n") == 1
        assert not any(byte < 32 and byte != 10 for byte in out)
        report = json.loads(out)
        assert [m["action"] for m in report["models"]] == ["downloaded", "downloaded"]
        assert report["folder"] == str(folder / f"board{number}")
    trees = [tree(folder / f"board{number}") for number in range(BOARDS)]
    assert all(other == trees[0] for other in trees)
    return trees[0]


def test_13_twenty_boards_at_once_get_identical_trees(setup: Setup, tmp_path: Path) -> None:
    setup.locked()
    placed = sync_all(setup, tmp_path)
    assert placed.keys() == FILES
    assert setup.hub.data_bytes() >= BOARDS * SIZE


def test_13_with_a_mirror_in_the_lan_the_hub_serves_each_file_once(
    setup: Setup, tmp_path: Path
) -> None:
    """The machine that has locked syncs first, and gives out its store."""
    setup.locked()
    setup.synced("--locked")
    with gives_out(setup.home / "models") as mirror:
        placed = sync_all(setup, tmp_path, RKFETCH_MIRRORS=mirror)
    assert placed == {name: (setup.folder / name).read_bytes() for name in FILES}
    for path in (W4, THREE_W4):
        once = setup.hub.data_bytes(f"*{Path(path).name}")
        assert SIZE <= once < SIZE * 1.1
