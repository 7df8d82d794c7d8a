"""What a page has asked this machine to fetch: one process at a time, the others wait.

Several at once would share one link and check the same free space, each for itself.
"""

from __future__ import annotations

import ctypes
import functools
import json
import queue
import signal
import subprocess
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_LARGEST_LINE = 1 << 16
_STOPS_WITHIN_S = 20
_PR_SET_PDEATHSIG = 1


class Job:
    """One build on its way to this machine, by a process of its own."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self.state: Literal["waiting", "running", "done", "failed", "stopped"] = "waiting"
        self._told: dict[str, Any] = {"total": None, "completed": 0, "part": 1}
        self._end: dict[str, Any] = {"path": None, "why": None}

    @property
    def is_going(self) -> bool:
        """Tell whether it has not ended yet."""
        return self.state in {"waiting", "running"}

    def run(self) -> None:
        """Fetch, unless it was stopped before; returns when that has ended."""
        with self._lock:
            if self.state != "waiting":
                return
            try:
                process = self._process = _start(self._command)
            except OSError as error:
                self.state, self._end = "failed", {"path": None, "why": str(error)}
                return
            self.state = "running"
        answers: list[str] = []
        assert process.stdout is not None
        answer_of = process.stdout.read
        reader = threading.Thread(target=lambda: answers.append(answer_of()), daemon=True)
        reader.start()
        self._follow(process)
        code = process.wait()
        reader.join()
        self._conclude(code, read_object("".join(answers)))

    def _follow(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        while line := process.stderr.readline(_LARGEST_LINE):
            said = read_object(line)
            completed = said.get("completed")
            if not isinstance(completed, int):
                continue
            before, total = self._told, said.get("total")
            total = total if isinstance(total, int) else before["total"]
            # The encoder of a vision model comes after it, and is of another size.
            is_next = completed < before["completed"] and total != before["total"]
            self._told = {
                "total": total,
                "completed": completed,
                "part": before["part"] + is_next,
            }

    def _conclude(self, code: int, answer: dict[str, Any]) -> None:
        if code == 0 and answer.get("status") == "ok":
            self._end = {"path": str(answer.get("path")), "why": None}
            self.state = "done"
            return
        error = answer.get("error")
        told = error if isinstance(error, dict) else {}
        why = ". ".join(str(told[k]) for k in ("message", "hint") if told.get(k))
        self._end = {"path": None, "why": why or f"exit {code}"}
        self.state = "stopped" if code in {130, -signal.SIGTERM} else "failed"

    def stop(self) -> None:
        """Ask it to end; what has come is kept, and the next one goes on with it."""
        with self._lock:
            if self.state == "waiting":
                self.state = "stopped"
            elif self._process is not None:
                with suppress(ProcessLookupError):
                    self._process.terminate()

    def kill(self) -> None:
        """End what did not end when it was asked to."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()

    def as_json(self) -> dict[str, Any]:
        """Return how far it is: bytes of its ``part``, of which a vision model has two."""
        return {"state": self.state, **self._told, **self._end}


class Jobs:
    """All that was asked for, by its reference."""

    def __init__(self, command: Callable[[str], Sequence[str]]) -> None:
        """``command`` makes the command line that fetches a reference and says so in JSON."""
        self._command = command
        self._known: dict[str, Job] = {}
        self._lock = threading.Lock()
        self._waiting: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._closed = False
        self._worker = threading.Thread(target=self._work, daemon=True)
        self._worker.start()

    def _work(self) -> None:
        while (job := self._waiting.get()) is not None:
            job.run()

    def ask(self, reference: str) -> None:
        """Have a build fetched after those before it, unless it is on its way."""
        with self._lock:
            job = self._known.get(reference)
            if self._closed or (job is not None and job.is_going):
                return
            job = self._known[reference] = Job(self._command(reference))
            self._waiting.put(job)

    def stop(self, reference: str) -> bool:
        """Stop fetching a build; tells whether it was asked for."""
        with self._lock:
            job = self._known.get(reference)
        if job is not None:
            job.stop()
        return job is not None

    @property
    def going(self) -> int:
        """How many have not ended yet."""
        with self._lock:
            return sum(job.is_going for job in self._known.values())

    def as_json(self) -> dict[str, Any]:
        """Return how far each is."""
        with self._lock:
            return {reference: job.as_json() for reference, job in self._known.items()}

    def close(self) -> None:
        """Stop all, and wait for that; one that does not stop is killed."""
        with self._lock:
            self._closed = True
            jobs = list(self._known.values())
        for job in jobs:
            job.stop()
        self._waiting.put(None)
        self._worker.join(_STOPS_WITHIN_S)
        for job in jobs:
            job.kill()


def _start(command: Sequence[str]) -> subprocess.Popen[str]:
    """Begin a process that ends when this thread does, however that comes about.

    Raises:
        OSError: it cannot be started.
    """
    dies_with_us = None
    with suppress(OSError, AttributeError):  # of Linux alone
        dies_with_us = functools.partial(
            ctypes.CDLL(None).prctl, _PR_SET_PDEATHSIG, int(signal.SIGTERM)
        )
    pipe = subprocess.PIPE
    return subprocess.Popen(  # noqa: S603 - our own program
        command,
        stdin=subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
        text=True,
        errors="replace",
        start_new_session=True,  # Ctrl-C reaches it through us, once
        preexec_fn=dies_with_us,  # noqa: PLW1509 - one call of the kernel, and nothing that has locks
    )


def read_object(text: str) -> dict[str, Any]:
    """Read a JSON object; anything else is an empty one."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
