"""examples/ansible, with the real ansible-playbook on this machine as the board."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from examples.conftest import EXAMPLES, MODEL

if TYPE_CHECKING:
    from e2e.world import World

pytestmark = pytest.mark.once

ANSIBLE = Path(sys.executable).with_name("ansible-playbook")


@dataclass
class Play:
    """A control machine with the example, and the board."""

    folder: Path
    env: dict[str, str]

    @property
    def board(self) -> Path:
        return self.folder / "srv"

    @property
    def model(self) -> Path:
        return self.board / MODEL

    @property
    def restarts(self) -> int:
        log = self.folder / "restarts"
        return len(log.read_text()) if log.exists() else 0

    def run(self, *options: str, code: int = 0) -> set[str]:
        """Run the playbook; return the tasks and handlers that changed something."""
        done = subprocess.run(
            [ANSIBLE, "-i", "board,", "-c", "local", "-e", "@vars.json", *options, "playbook.yaml"],
            env=self.env,
            cwd=self.folder / "ansible",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        self.said = done.stdout
        found = re.findall(
            r"^(?:TASK|RUNNING HANDLER) \[(.*)\] \*+\nchanged:", done.stdout, re.MULTILINE
        )
        assert f"changed={len(found)} " in done.stdout
        return {name.split(" : ")[-1] for name in found}


@pytest.fixture
def play(pyz: Path, lock: Path, board: dict[str, str], tmp_path: Path) -> Play:
    folder = tmp_path / "control"
    shutil.copytree(EXAMPLES / "ansible", folder / "ansible")
    for file in (pyz, lock):
        shutil.copy(file, folder / "ansible")
    (folder / "bin").mkdir()
    variables = {
        "ansible_python_interpreter": sys.executable,
        "rkfetch_become": False,
        "rkfetch_program": str(folder / "bin/rkfetch"),
        "rkfetch_lock": str(folder / "srv/rkfetch.lock"),
        "rkfetch_environment": {**board, "RKFETCH_HOME": str(folder / "srv/store")},
        "rkfetch_restart": ["sh", "-c", f"printf x >>'{folder}/restarts'"],
    }
    (folder / "ansible" / "vars.json").write_text(json.dumps(variables))
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_PIPELINING": "1",
    }
    return Play(folder, env)


BRING, RESTART = "Have the models that it names", "Restart the model server"


def test_it_changes_what_is_not_so_and_nothing_else(play: Play, shop: World) -> None:
    assert BRING not in play.run("--check")
    assert not play.board.exists()

    assert {BRING, RESTART} <= play.run()
    assert play.model.is_file()
    assert str(play.model) in play.said
    assert play.restarts == 1

    shop.hub.forget()
    assert play.run() == set()
    assert not shop.hub.requests

    play.model.unlink()
    assert BRING in play.run("--check")
    assert not play.model.exists()
    assert play.restarts == 1
    assert {BRING, RESTART} == play.run()
    assert play.model.is_file()
    assert play.restarts == 2


def test_a_failure_fails_the_play_with_its_reason(play: Play) -> None:
    variables = play.folder / "ansible" / "vars.json"
    given = json.loads(variables.read_text())
    given["rkfetch_environment"]["RKFETCH_OFFLINE"] = "1"
    variables.write_text(json.dumps(given))
    play.run(code=2)
    assert "is not on this machine, and the network is switched off" in play.said
    assert play.restarts == 0
