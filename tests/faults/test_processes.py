"""What happens to the process itself: signals, closed pipes, full disks, and hostile megabytes."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import pty
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from downloads import small_disk
from e2e.world import RKFETCH
from faults.rig import CONTENT, SHA256, outcome, start
from faults.test_answers import (
    half_a_gigabyte,
    head_without_end,
    hundred_thousand_lines,
    interim_without_end,
    line_without_end,
    size_without_end,
    trailers_without_end,
)
from rkfetch.registry.errors import DiskSpaceError, RkfetchError
from rkfetch.registry.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2e.world import World
    from faults.rig import Rig
    from faults.wire import Ask

    How = Callable[[Ask], None]

SIZE = len(CONTENT)
OWNER, NAME = "someone/Thing-1B-RKLLM", "thing_w4a16.rkllm"
FETCH = (f"hf:{OWNER}/{NAME}", "--runtime", "1.2.3")
BIG = 6_000_000


@pytest.fixture
def big(world: World) -> World:
    """A file that no catalog knows: it needs no update, only its exact name."""
    world.add(NAME, repo=OWNER, size=BIG)
    return world


def assert_whole(world: World) -> None:
    (model,) = world.models()
    assert hashlib.sha256(model.read_bytes()).hexdigest() == world.sha256(NAME, OWNER)
    assert world.partials() == []


# --- signals ------------------------------------------------------------------------------------


def test_a_board_that_was_suspended_goes_on(big: World) -> None:
    """Stopped for longer than the stall time-out, with the rest of the file on its way."""
    hold = big.hub.hold("*_w4a16.rkllm", BIG // 2)
    process = big.start(*FETCH, HF_HUB_DOWNLOAD_TIMEOUT="1")
    assert hold.reached.wait(30)
    process.send_signal(signal.SIGSTOP)
    time.sleep(2.5)
    hold.released.set()
    process.send_signal(signal.SIGCONT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert_whole(big)


def test_a_board_that_slept_while_the_server_hung_up_goes_on(big: World) -> None:
    hold = big.hub.hold("*_w4a16.rkllm", BIG // 2)
    process = big.start(*FETCH, HF_HUB_DOWNLOAD_TIMEOUT="1")
    assert hold.reached.wait(30)
    process.send_signal(signal.SIGSTOP)
    big.hub.stop_accepting()
    hold.released.set()
    big.hub.start_accepting()
    process.send_signal(signal.SIGCONT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert_whole(big)


@pytest.mark.parametrize(
    "numbers",
    [
        [signal.SIGINT, signal.SIGINT, signal.SIGINT],
        [signal.SIGHUP],
        [signal.SIGTERM, signal.SIGKILL],
    ],
    ids=lambda numbers: " ".join(n.name for n in numbers),
)
def test_whatever_ends_it_the_next_run_goes_on(big: World, numbers: list[signal.Signals]) -> None:
    hold = big.hub.hold("*_w4a16.rkllm", BIG * 2 // 3)
    ignored = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it would be, and inherited
    process = big.start(*FETCH)
    signal.signal(signal.SIGHUP, ignored)
    assert hold.reached.wait(30)
    time.sleep(0.3)
    for number in numbers:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        time.sleep(0.01)
    process.communicate(timeout=30)
    assert process.returncode != 0
    hold.released.set()
    assert big.models() == []
    assert len(big.partials()) == 1
    done = big.run(*FETCH)
    assert done.code == 0, done.err
    assert "were here already" in done.err
    assert_whole(big)


# --- closed pipes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("closed", "how", "more"),
    [
        ("stderr", "no reader", ()),
        ("both", "no reader", ()),
        ("stderr", "not open", ("--json",)),
        ("both", "not open", ()),
    ],
)
def test_nobody_listens_to_what_it_says(
    big: World, closed: str, how: str, more: tuple[str, ...]
) -> None:
    """A terminal that was closed is no reason to lose a download."""
    numbers = {"stderr": "2", "both": "1 2"}[closed].split()
    if how == "not open":
        closing = " ".join(f"{n}>&-" for n in numbers)
        command = f'exec "$0" "$@" {closing}'
    else:
        gone = " ".join(f"{n}>&9" for n in numbers)
        command = f'exec 9> >(exec true); sleep 0.2; "$0" "$@" {gone}'
    done = subprocess.run(
        ["bash", "-c", command, str(RKFETCH), *FETCH, *more],
        env=big.env,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in done.stderr + done.stdout
    # Whoever closes stdout cannot be told the path; a reader that has seen enough is no failure.
    assert done.returncode == (1 if closed != "stderr" and how == "not open" else 0)
    if closed == "stderr":
        assert "thing_w4a16.rkllm" in done.stdout
    assert_whole(big)


def test_a_terminal_that_was_closed(big: World) -> None:
    """The process lives on, as under nohup, and its terminal does not."""
    hold = big.hub.hold("*_w4a16.rkllm", BIG // 2)
    mine, theirs = pty.openpty()
    process = subprocess.Popen(
        [str(RKFETCH), *FETCH],
        env={**big.env, "TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
    )
    os.close(theirs)
    assert hold.reached.wait(30)
    os.close(mine)
    hold.released.set()
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out[-12:]) == (0, "w4a16.rkllm\n")
    assert_whole(big)


# --- disks --------------------------------------------------------------------------------------


def fill(disk: Path) -> None:
    """Leave no room at all."""
    with (disk / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


@pytest.mark.parametrize("at", [0, 4096, 300_000, SIZE - 5000, SIZE])
def test_a_disk_that_fills_up_on_the_way(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """At the head, in the body, or when everything is here but its name and its record."""

    def fills(ask: Ask) -> None:
        ask.say(ask.head() + ask.body[:at])
        ask.pause(0.2)
        fill(disk)
        ask.say(ask.body[at:])

    with small_disk(tmp_path / "disk", SIZE + (3 << 20), monkeypatch) as disk:
        rig.store = Store(disk / "store")
        rig.wire.misbehave(fills, times=1)
        error: DiskSpaceError | None = None
        try:
            rig.succeeds()  # its room may have been set aside before the disk filled up
        except DiskSpaceError as caught:
            error = caught
        if error is not None:
            assert (error.exit_code, str(disk) in error.message) == (8, True)
            assert error.hint
            assert rig.store.installed() == []
            (disk / "filler").unlink()
            done = rig.succeeds()
            assert done.resumed_from >= at - (300 << 10)


WRITES = ("write", "writev", "pwrite", "pwritev")
SYNCS = ("fsync", "fdatasync")


@pytest.mark.parametrize(
    ("number", "calls", "code"),
    [
        (errno.EDQUOT, WRITES, 8),
        (errno.ENOSPC, SYNCS, 8),
        (errno.EIO, WRITES, 1),
        (errno.EIO, SYNCS, 1),
        (errno.EROFS, WRITES, 2),
    ],
    ids=["quota", "no room found late", "bad block", "bad block found late", "turned read-only"],
)
def test_a_disk_that_refuses_in_the_middle(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, number: int, calls: tuple[str, ...], code: int
) -> None:
    """A quota and a dying card cannot be made everywhere: the system's calls are stood in for."""
    begun, refused = threading.Event(), threading.Event()

    def standing_in(real: Any) -> Any:
        def call(handle: int, *args: Any) -> Any:
            place = str(Path(f"/proc/self/fd/{handle}").readlink())
            if begun.is_set() and place.endswith(".partial"):
                refused.set()
                raise OSError(number, os.strerror(number))
            return real(handle, *args)

        return call

    def half(ask: Ask) -> None:
        ask.say(ask.head() + ask.body[:300_000])
        ask.pause(0.2)
        begun.set()
        ask.say(ask.body[300_000:])

    rig.wire.misbehave(half, times=1)
    with monkeypatch.context() as patch:
        for name in calls:
            patch.setattr(os, name, standing_in(getattr(os, name)))
        with pytest.raises(RkfetchError) as caught:
            rig.fetch()
    assert refused.is_set()
    assert caught.value.exit_code == code
    assert os.strerror(number) in " ".join(caught.value.cause)
    assert rig.store.installed() == []
    rig.succeeds()


def test_a_disk_that_may_only_be_read(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "home"
    script = 'mount -t tmpfs -o ro tmpfs "$0" && exec "$@"'
    told = outcome(start(rig, "unshare", "-rm", "sh", "-c", script, str(folder), store=str(folder)))
    assert told["code"] == 2
    assert "cannot be written" in told["message"]
    assert "Read-only" in told["cause"][0]
    assert "RKFETCH_HOME" in told["hint"]
    assert rig.wire.asked == []


def test_a_limit_on_the_size_of_files(rig: Rig) -> None:
    """`ulimit -f`, and what FAT32 does at 4 GiB."""
    told = outcome(start(rig, largest_file=300_000))
    assert told["code"] == 8
    assert "does not hold files of that size" in told["message"]
    assert told["hint"]
    assert rig.store.installed() == []
    assert outcome(start(rig))["sha256"] == SHA256


@pytest.mark.parametrize("digest", [True, False], ids=["digest known", "no digest"])
def test_more_than_the_file_is_never_written(rig: Rig, digest: bool) -> None:
    """A body without end, on a disk that would notice more than the file's own size."""
    if not digest:
        rig.no_digest()
    rig.wire.misbehave(half_a_gigabyte)
    told = outcome(start(rig, attempts=2, largest_file=SIZE + (1 << 20)))
    assert told["code"] in {6, 7}
    assert rig.store.installed() == []


# --- bounds -------------------------------------------------------------------------------------


HOSTILE: list[tuple[How, str]] = [
    (head_without_end, "hub"),
    (line_without_end, "hub"),
    (interim_without_end, "hub"),
    (head_without_end, "cdn"),
    (line_without_end, "cdn"),
    (hundred_thousand_lines, "cdn"),
    (interim_without_end, "cdn"),
    (size_without_end, "cdn"),
    (trailers_without_end, "cdn"),
    (half_a_gigabyte, "cdn"),
]


@pytest.mark.parametrize(("how", "origin"), HOSTILE)
def test_memory_stays_bounded(rig: Rig, how: How, origin: str) -> None:
    rig.wire.misbehave(how, methods=("GET", "HEAD"))
    env = {"HF_HUB_DOWNLOAD_TIMEOUT": "0.3"}
    if origin == "hub":
        env["HF_ENDPOINT"] = rig.wire.url.partition("/blob")[0]
    told = outcome(start(rig, attempts=2, env=env))
    assert told["code"] in {0, 6, 7}
    assert told["grown_kb"] < 64 << 10
    assert told["seconds"] < 15
    assert rig.wire.misbehaved


def test_fifty_failures_leave_nothing_open(rig: Rig) -> None:
    """Drops, resets, silence, nonsense, bodies that break off, and connections refused."""
    rig.hub.stop_accepting("cdn")
    location = f"Location: {rig.hub.cdn}/x"
    ways: list[How] = [
        lambda ask: ask.hang_up(),
        lambda ask: ask.reset(),
        lambda ask: ask.pause(30),
        lambda ask: ask.say(b"nonsense\r\n\r\n"),
        lambda ask: ask.say(ask.head() + ask.body[:10]),
        lambda ask: ask.say(ask.head(location, "Content-Length: 0", status="302 Found")),
    ]

    def fail(ask: Ask) -> None:
        ways[rig.wire.misbehaved % len(ways)](ask)

    rig.wire.misbehave(fail)
    # Time enough for a busy machine to notice each before it is given up.
    env = {"HF_HUB_DOWNLOAD_TIMEOUT": "0.5"}
    told = outcome(start(rig, attempts=2, times=50, env=env))
    assert told["code"] == 6
    assert rig.wire.misbehaved >= 100
    files, threads = told["open_files"], told["threads"]
    assert max(files[10:]) <= max(files[:10]) + 2
    assert max(threads[10:]) <= max(threads[:10]) + 2
