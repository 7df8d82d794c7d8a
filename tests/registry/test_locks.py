"""Who holds a lock, and that nobody does once a process has ended."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from rkfetch.registry.locks import is_locked, locked, locked_at_once

if TYPE_CHECKING:
    from pathlib import Path

_HOLDER = """
import sys, time
from pathlib import Path
from rkfetch.registry.locks import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "x.lock"


def holder(lock: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(lock)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_who_lets_go_leaves_nothing(lock: Path) -> None:
    assert not is_locked(lock)
    with locked(lock):
        assert is_locked(lock)
        with locked_at_once(lock) as ours:
            assert not ours
        assert is_locked(lock)
    assert not lock.exists()
    with locked_at_once(lock) as ours:
        assert ours
        assert is_locked(lock)
    assert not lock.exists()


def test_a_killed_holder_holds_nobody_up(lock: Path) -> None:
    process = holder(lock)
    assert is_locked(lock)
    with locked_at_once(lock) as ours:
        assert not ours
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert lock.exists()
    assert not is_locked(lock)
    with locked(lock, waiting=pytest.fail):
        pass
    assert not lock.exists()


def test_who_waits_gets_it_when_the_holder_ends(lock: Path) -> None:
    process = holder(lock)
    waited = threading.Event()
    got = threading.Event()

    def wait() -> None:
        with locked(lock, waiting=waited.set):
            got.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert waited.wait(60)
    assert not got.is_set()
    process.kill()
    process.communicate()
    thread.join(60)
    assert got.is_set()


_WORKER = """
import os, sys, time
from pathlib import Path
from rkfetch.registry.locks import locked
lock = Path(sys.argv[1])
inside = lock.with_suffix(".inside")
for _ in range(150):
    with locked(lock):
        os.close(os.open(inside, os.O_CREAT | os.O_EXCL))
        time.sleep(0.0005)
        inside.unlink()
"""


def test_never_two_at_once(lock: Path) -> None:
    workers = [
        subprocess.Popen([sys.executable, "-c", _WORKER, str(lock)], stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    assert [worker.communicate()[1] for worker in workers] == [b""] * 4
    assert not lock.exists()
