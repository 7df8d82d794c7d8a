"""examples/systemd: what systemd says of the units, and what their lines do as their user."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import boards
from e2e.world import W4
from examples.conftest import EXAMPLES, MODEL
from scratch import PATH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from e2e.world import World
    from scratch import Scratch

pytestmark = pytest.mark.once

UNITS = EXAMPLES / "systemd"
NAMES = sorted(path.name for path in UNITS.iterdir() if path.suffix in {".service", ".timer"})
SERVICES = [name for name in NAMES if name.endswith(".service")]
SYSTEMS_OWN = Path("/lib/systemd/system")
FOLDER = "/srv/rkfetch"
INSTALLING = re.findall(
    r"^# (.*)",
    (EXAMPLES / "README.md")
    .read_text("utf-8")
    .split("<!-- checked: scratch -->")[1]
    .split("```")[1],
    re.MULTILINE,
)
MOST_EXPOSED = 20
"""Tenths, of 100: what `systemd-analyze security` calls OK ends at 40."""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a board that has the units, systemd's own, and the programs that they name."""
    if shutil.which("systemd-analyze") is None or not SYSTEMS_OWN.is_dir():
        pytest.skip("there is no systemd-analyze")
    root = tmp_path_factory.mktemp("root")
    shutil.copytree(UNITS, root / "etc/systemd/system")
    shutil.copytree(SYSTEMS_OWN, root / "lib/systemd/system", symlinks=True)
    for program in ("bin/sh", "bin/systemctl", "usr/local/bin/rkfetch"):
        boards.put(root, program, "").chmod(0o755)
    return root


def analyze(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *args], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("name", NAMES)
def test_systemd_has_nothing_to_say(tree: Path, name: str) -> None:
    unit = str(tree / "etc/systemd/system" / name)
    done = analyze("verify", "--man=no", "--recursive-errors=no", f"--root={tree}", unit)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", SERVICES)
def test_little_is_exposed(tree: Path, name: str) -> None:
    done = analyze(
        "security", "--offline=true", f"--root={tree}", f"--threshold={MOST_EXPOSED}", name
    )
    assert done.returncode == 0, done.stdout
    assert "exposure level for " + name in done.stdout


def test_a_timer_starts_a_service_that_is_there() -> None:
    timers = {name.removesuffix(".timer") for name in NAMES if name.endswith(".timer")}
    assert timers == {name.removesuffix(".service") for name in SERVICES}


class Board:
    """A board on which the units are installed as the README says, started as by systemd."""

    def __init__(self, scratch: Scratch, pyz: Path, shop: World, lock: Path) -> None:
        self.scratch = scratch
        self._hub = {name: shop.env[name] for name in ("HF_ENDPOINT", "MODELSCOPE_ENDPOINT")}
        scratch.put("/usr/local/bin/rkfetch", pyz.read_bytes(), mode=0o755)
        scratch.put("/bin/systemctl", '#!/bin/sh\necho "$@" >>/run/systemctl.log\n', mode=0o755)
        boards.rock_4d(scratch.path("/board"))
        shutil.copytree(EXAMPLES, scratch.path("/examples"))
        shutil.copy(lock, scratch.path("/examples"))
        scratch.path("/etc/sysusers.d").mkdir(exist_ok=True)
        done = scratch.run("sh", "-euc", "\n".join(["cd /examples", *INSTALLING]))
        assert done.returncode == 0, done.stderr
        assert self.asked == ["enable --now rkfetch-sync.timer"]
        scratch.path("/run/systemctl.log").unlink()
        self._units = scratch.path("/etc/systemd/system")

    @property
    def asked(self) -> list[str]:
        """What systemctl was told."""
        log = self.scratch.path("/run/systemctl.log")
        return log.read_text().splitlines() if log.exists() else []

    def start(self, name: str) -> bool:
        """Start a service, and what it starts; tell whether its condition was met."""
        told = settings(self._units, name)
        for line in told.get("ExecCondition", []):
            if self.execute(line, told).returncode != 0:
                return False
        for line in [*told["ExecStart"], *told.get("ExecStartPost", [])]:
            done = self.execute(line, told)
            assert done.returncode == 0, done.stderr
        for other in told.get("OnSuccess", []):
            self.start(other)
        return True

    def execute(
        self, line: str, told: dict[str, list[str]], *, under: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run a unit's line, below another program if there is one, as the user that it says."""
        command = [*under, *shlex.split(line.removeprefix("+"))]
        own = dict(pair.split("=", 1) for text in told["Environment"] for pair in text.split())
        env = {"PATH": PATH, "HOME": FOLDER, "RKFETCH_SYSROOT": "/board", **self._hub, **own}
        if not line.startswith("+"):
            (user,) = told["User"]
            command = [
                *("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"),
                *("--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"),
                *command,
            ]
        return self.scratch.run(*command, env=env)


def settings(units: Path, name: str) -> dict[str, list[str]]:
    """What a unit and the drop-in for all say, by key."""
    told: dict[str, list[str]] = {}
    for path in (units / name, units / "rkfetch-.service.d" / "sandbox.conf"):
        for line in path.read_text().splitlines():
            key, equals, value = line.partition("=")
            if equals and not line.startswith("#"):
                told.setdefault(key, []).append(value)
    return told


def group(name: str) -> set[str]:
    """The system calls that systemd means by a word."""
    if not name.startswith("@"):
        return {name}
    lines = analyze("syscall-filter", "--no-pager", name).stdout.splitlines()[1:]
    words = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    return set().union(*(group(word) for word in words))


@pytest.mark.parametrize("name", SERVICES)
def test_what_it_asks_of_the_kernel_is_let_through(
    name: str, tree: Path, scratch: Scratch, pyz: Path, shop: World, lock: Path
) -> None:
    """No systemd runs here that would enforce the sandbox, so what is called is looked at."""
    board = Board(scratch, pyz, shop, lock)
    told = settings(tree / "etc/systemd/system", name)
    scratch.put(f"{FOLDER}/rkfetch.toml", (EXAMPLES / "rkfetch.toml").read_text())
    for command in (("chgrp", "nogroup", FOLDER), ("chmod", "0775", FOLDER)):
        assert scratch.run(*command).returncode == 0
    trace = ("strace", "-f", "-qq", "-A", "-o", "/tmp/trace")
    if scratch.run("strace", "-o", "/dev/null", "true").returncode != 0:
        pytest.skip("strace is not here, or may not trace")
    for line in told["ExecStart"]:
        done = board.execute(line, told, under=trace)
        assert done.returncode == 0, done.stderr
    calls = scratch.path("/tmp/trace").read_text("utf-8", "replace")
    allowed = {"execve"}  # systemd's own, before the filter is there
    for words in told["SystemCallFilter"]:
        named = set().union(*(group(word) for word in words.removeprefix("~").split()))
        allowed = allowed - named if words.startswith("~") else allowed | named
    assert set(re.findall(r"^\d+ +(\w+)\(", calls, re.MULTILINE)) - allowed == set()
    families = set(re.findall(r"\bsocket\((AF_\w+)", calls))
    assert families - set(told["RestrictAddressFamilies"][0].split()) == set()
    assert "AF_INET" in families


RESTART = "--no-block try-restart rkllama.service"


def test_the_lock_file_is_followed_and_the_server_restarted_only_for_what_is_new(
    scratch: Scratch, pyz: Path, shop: World, lock: Path
) -> None:
    board = Board(scratch, pyz, shop, lock)
    assert board.start("rkfetch-sync.service")
    model = scratch.path(f"{FOLDER}/{MODEL}")
    assert model.stat().st_nlink == 2
    assert model.stat().st_mode & 0o777 == 0o644, "the server, another user, reads it"
    assert board.asked == [RESTART]
    shop.hub.forget()
    assert not board.start("rkfetch-sync.service")
    assert not shop.hub.requests
    assert board.asked == [RESTART]
    model.unlink()
    assert board.start("rkfetch-sync.service")
    assert model.exists()
    assert board.asked == [RESTART] * 2


def test_a_board_on_its_own_takes_what_is_newer(
    scratch: Scratch, pyz: Path, shop: World, lock: Path
) -> None:
    board = Board(scratch, pyz, shop, lock)
    scratch.put(f"{FOLDER}/rkfetch.toml", (EXAMPLES / "rkfetch.toml").read_text())
    board.start("rkfetch-upgrade.service")
    model = scratch.path(f"{FOLDER}/{MODEL}")
    before = model.read_bytes()
    shop.add(W4, seed=4)
    board.start("rkfetch-upgrade.service")
    assert model.read_bytes() != before
    assert board.asked == [RESTART] * 2
