"""Run a program, hear each line that it prints, and leave nothing of it behind."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import signal
import subprocess
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from .environment import Outcome
from .job import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .environment import Watch

TAIL_LINES = 40
"""How many last lines are kept to tell why something failed."""
_GRACE_S = 10
"""For a program to end by itself when it is asked to."""
_TICK_S = 0.2
_BLOCK = 1 << 16
_LONGEST_LINE = 1 << 20


class _TooMuchMemoryError(Exception):
    """The toolkit uses more than it may."""


def attend(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    heard: Callable[[str], object],
    given: str = "",
    folder: Path | None = None,
    stop: Callable[[], object] | None = None,
) -> int:
    """Run a program with ``given`` on its stdin; return its status as `subprocess` has it.

    Each line of its stdout and stderr is ``heard``, without what could control a terminal. An
    exception, such as an interrupt, first calls ``stop``; then the program and all that it started
    in its session are ended, asked before they are killed.

    Raises:
        OSError: it cannot be started.
    """
    process = subprocess.Popen(  # noqa: S603 - without a shell, and its path is the caller's
        list(command),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(env),
        cwd=folder,
        start_new_session=True,
    )
    try:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it ended already, as its status tells
            process.stdin.write(given.encode())
            process.stdin.close()
        _listen(process, heard)
    except BaseException:
        if stop is not None:
            stop()
        raise
    finally:
        _end(process)
    return process.returncode


def drive(
    command: Sequence[str],
    job: str,
    watch: Watch,
    *,
    env: Mapping[str, str],
    folder: Path | None = None,
    memory_bytes: int | None = None,
    stop: Callable[[], object] | None = None,
) -> Outcome:
    """Run the driver, and tell the watch what it says; raises and ends it as `attend`.

    ``memory_bytes`` ends it once it says that it uses more.
    """
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    last: Event | None = None

    def heard(line: str) -> None:
        nonlocal last
        event = Event.read(line)
        if event is None:
            tail.append(line)
            return
        if event.kind in {"result", "failed"}:
            last = event
        watch.event(event)
        if memory_bytes is not None and event.values.get("rss_bytes", 0) > memory_bytes:
            raise _TooMuchMemoryError

    kills = _kernel_kills()
    try:
        status = attend(command, env=env, heard=heard, given=job, folder=folder, stop=stop)
        told = last.values.get("signal") if last is not None else None
        killed = signal.SIGKILL in {-status, status - 128, told}
        out_of_memory = status != 0 and (killed or _kernel_kills() > kills)
    except _TooMuchMemoryError:
        status, out_of_memory = -signal.SIGKILL, True
    return Outcome(status=status, last=last, out_of_memory=out_of_memory, tail=tuple(tail))


def _listen(process: subprocess.Popen[bytes], heard: Callable[[str], object]) -> None:
    """Hear all until the end of the program, whoever else still holds its pipes."""
    with selectors.DefaultSelector() as pipes:
        for pipe in (process.stdout, process.stderr):
            assert pipe is not None
            pipes.register(pipe, selectors.EVENT_READ, _Lines())
        while True:
            ended = _has_ended(process)
            if ended:
                _signal(process, signal.SIGKILL)
            ready = pipes.select(0 if ended else _TICK_S) if pipes.get_map() else []
            if ended and not ready:
                break
            if not ready and not pipes.get_map():
                os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            for key, _ in ready:
                data = os.read(key.fd, _BLOCK)
                for line in key.data.feed(data):
                    heard(line)
                if not data:
                    pipes.unregister(key.fileobj)


class _Lines:
    """Cuts a stream into lines."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """Return the lines that are complete now; no data is the end."""
        *lines, self._rest = re.split(rb"[\r\n]", self._rest + data)
        if not data or len(self._rest) > _LONGEST_LINE:
            lines.append(self._rest)
            self._rest = b""
        return [text for line in lines if (text := _printable(line))]


def _printable(line: bytes) -> str:
    text = line.decode(errors="replace").replace("\t", " ")
    return "".join(c for c in text if c.isprintable()).rstrip()


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Tell whether it has ended; its number stays its own, so that its group can be ended."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        if not _has_ended(process):
            _signal(process, signal.SIGTERM)
            _drain(process)
    finally:
        _signal(process, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()


def _drain(process: subprocess.Popen[bytes]) -> None:
    """Give it time to end; nobody reads what it says now, which must not hold it up."""
    assert process.stdout is not None
    assert process.stderr is not None
    for pipe in (process.stdout, process.stderr):
        pipe.close()
    until = time.monotonic() + _GRACE_S
    while not _has_ended(process) and time.monotonic() < until:
        time.sleep(_TICK_S / 4)


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    # ProcessLookupError: nobody is left; PermissionError: nobody but zombies.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _kernel_kills() -> int:
    """Return how many processes the kernel has ended for want of memory; 0 where it is not told."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text(encoding="ascii").splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0
