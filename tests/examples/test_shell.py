"""examples/board-setup.sh, in the shells that boards have and with nothing set."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from e2e.world import RKFETCH, W4
from examples.conftest import EXAMPLES, MODEL

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2e.world import World

pytestmark = pytest.mark.once

SCRIPT = EXAMPLES / "board-setup.sh"
SYSTEM = "/usr/bin:/bin"


def run(shell: str, programs: Path, lock: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [shell, str(SCRIPT), str(lock)],
        env={"PATH": f"{programs}:{SYSTEM}", "RETRY_SECONDS": "0", **env},
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


@pytest.fixture
def placed(lock: Path, tmp_path: Path) -> Path:
    """The lock file, on the board."""
    return Path(shutil.copy(lock, tmp_path))


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_a_board_is_set_up_once(
    shell: str, programs: Path, placed: Path, shop: World, board: dict[str, str]
) -> None:
    if shutil.which(shell, path=SYSTEM) is None:
        pytest.skip(f"there is no {shell}")
    (programs / "rkfetch").symlink_to(RKFETCH)
    model = placed.parent / MODEL
    done = run(shell, programs, placed, **board)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{model}\n", "")
    assert model.stat().st_nlink == 2, "it takes no room beside the one in the store"
    shop.hub.forget()
    again = run(shell, programs, placed, **board)
    assert (again.returncode, again.stdout, again.stderr) == (0, f"{model}\n", "")
    assert not shop.hub.requests


def test_a_network_that_comes_and_goes_is_borne(
    programs: Path, placed: Path, board: dict[str, str]
) -> None:
    """The first two tries end as without a network; the third is rkfetch's own."""
    flaky = programs / "rkfetch"
    flaky.write_text(
        f'#!/bin/sh\necho x >>"{programs}/tries"\n'
        f'[ "$(wc -l <"{programs}/tries")" -gt 2 ] || exit 6\nexec "{RKFETCH}" "$@"\n'
    )
    flaky.chmod(0o755)
    done = run("sh", programs, placed, **board)
    assert (done.returncode, done.stdout) == (0, f"{placed.parent / MODEL}\n"), done.stderr
    assert done.stderr.count("once more in 0 s") == 2


def test_a_network_that_stays_away_is_given_up(programs: Path, placed: Path) -> None:
    (programs / "rkfetch").write_text(f'#!/bin/sh\necho x >>"{programs}/tries"\nexit 6\n')
    (programs / "rkfetch").chmod(0o755)
    done = run("sh", programs, placed)
    assert done.returncode == 6
    assert (programs / "tries").read_text() == "x\n" * 5


def test_what_no_second_try_would_help_ends_it(
    programs: Path, placed: Path, board: dict[str, str]
) -> None:
    """A board with a runtime that refuses the locked build: rkfetch's code and reason come out."""
    (programs / "rkfetch").symlink_to(RKFETCH)
    done = run("sh", programs, placed, **board, RKFETCH_RUNTIME="1.1.4")
    assert (done.returncode, done.stdout) == (3, "")
    assert Path(W4).name in done.stderr.replace("\n", "")
    assert "is the board's runtime another one?" in done.stderr
    assert "once more" not in done.stderr
    assert not (placed.parent / "models").exists()


def test_without_rkfetch_it_says_so(programs: Path, placed: Path) -> None:
    done = run("sh", programs, placed)
    assert done.returncode == 127
    assert "there is no rkfetch" in done.stderr


def test_shellcheck_has_nothing_to_say(shellcheck: Callable[..., str]) -> None:
    scripts = sorted(str(path) for path in EXAMPLES.rglob("*.sh"))
    assert str(SCRIPT) in scripts
    assert shellcheck(*scripts) == ""
