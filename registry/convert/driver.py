"""Run the vendor's toolkit, and tell in JSON lines how it fares: ``python driver.py JOB.json``.

This file is copied into the environment that the toolkit is installed in and run there by its
Python, 3.8 or later; so it needs nothing but the standard library, and nothing imports it. The job
(`Job.as_json` in job.py) comes in a file, or on stdin with ``-``.

It starts itself again as the worker, which calls the toolkit. The parent reads what the worker
prints, and is told by a channel of its own what each call returned, so that -1, an exception,
`sys.exit`, a signal and a death without a word are told apart. stdout has nothing but the events
that `Event` in job.py describes, and ends in one ``result`` or ``failed``. Exit status: 0 after
``result``, 1 after ``failed``, 128 and the signal's number when it was told to stop.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import gc
import importlib.metadata
import json
import os
import platform
import re
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from types import FrameType

_ALIVE_EVERY_S = 2.0
_PROGRESS_EVERY_S = 0.2
_TICK_S = 0.1
_READ_BYTES = 1 << 16
"""What a pipe of Linux holds: as much may wait in one when the worker reports."""
_LONGEST_LINE = 1 << 16
_SHOWN_CHARACTERS = 2000
_KEPT_LINES = 12
_PASSED_ON = {"PATH", "LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV"}
_PASSED_ON_PREFIXES = ("LC_", "CUDA_", "NVIDIA_", "OMP_", "MKL_", "RKLLM_")
"""All that the worker sees of the environment: code of a model's folder shall find no token."""

_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]{0,64}[ -/]{0,8}[@-~]|\][^\x07\x1b]{0,512}(?:\x07|\x1b\\)?|.)"
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_TQDM = re.compile(r"([^|%]{0,80}?):? *\d{1,3}%\|[^|]{0,200}\| *(\d{1,12})/(\d{1,12}) \[")
_ARROW = re.compile(r"\[[=> ]{0,200}\] *(\d{1,12})/(\d{1,12}) *\(\d{1,3}%\)")
_ERROR = re.compile(
    r"(?:ERROR|CRITICAL)\b|Error: |\w*Error\b: |Catch exception when|Not support |Unsupport model"
    r"|Only support |.*not support quantized_dtype|Model file .* not exists!",
)
_WARNING = re.compile(r"WARNING\b|.*\w*Warning: |.*switch to cpu device!", re.IGNORECASE)
_DIGITS = re.compile(r"\d+")


class _Stopped(BaseException):
    """The driver was told to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def main(arguments: list[str]) -> int:
    """Run the driver or, started by it, the worker."""
    if arguments[:1] == ["--worker"]:
        _work(channel=int(arguments[1]), parent=int(arguments[2]))
    if len(arguments) != 1:
        sys.stderr.write("usage: python driver.py JOB.json, or - to read the job from stdin\n")
        return 2
    ends = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
    # Who starts it under nohup, or in the background, wants some of them ignored.
    ends = {number for number in ends if signal.getsignal(number) != signal.SIG_IGN}
    for number in ends:
        signal.signal(number, _stop)
    driver = _Driver()
    try:
        driver.run(arguments[0])
    except _Stopped as stopped:
        driver.fail("stopped", signal=stopped.number)
    except BrokenPipeError:
        # Nobody listens any more, so nobody wants the file.
        return 1
    finally:
        for number in ends:
            signal.signal(number, signal.SIG_IGN)
        driver.end()
    return driver.finish()


def _stop(number: int, _frame: FrameType | None) -> None:
    raise _Stopped(number)


def _emit(event: str, **values: Any) -> None:
    line = json.dumps({"event": event, **values}).encode() + b"\n"
    while line:
        line = line[os.write(1, line) :]


class _Lines:
    """Cuts one stream into lines."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[tuple[str, bool]]:
        """Return the lines that are complete now, and of each whether it was to stay on screen."""
        *pieces, self._rest = re.split(rb"(\r\n|\r|\n)", self._rest + data)
        lines = [
            (_plain(pieces[at]), pieces[at + 1] != b"\r")
            for at in range(0, len(pieces), 2)
        ]  # fmt: skip
        if len(self._rest) > _LONGEST_LINE:
            lines.append((_plain(self._rest), True))
            self._rest = b""
        return lines

    @property
    def pending(self) -> str:
        """What was said since: tqdm ends a bar's state when it draws the next."""
        return _plain(self._rest)


def _plain(line: bytes) -> str:
    text = line[:_LONGEST_LINE].decode("utf-8", "backslashreplace")
    return _CONTROLS.sub("", _ESCAPES.sub("", text)).strip()[:_SHOWN_CHARACTERS]


def _read_bar(text: str) -> tuple[str, int, int] | None:
    """Read a bar: its name, and how much of how much is done."""
    found = _TQDM.match(text)
    if found:
        return found[1].strip(), int(found[2]), int(found[3])
    found = _ARROW.match(text)
    return ("Exporting model", int(found[1]), int(found[2])) if found else None


class _Progress:
    """Tells of bars, but not of each of their states: five a second, and always the last."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[int, int]] = {}
        self._held: dict[str, dict[str, Any]] = {}
        self._next = 0.0

    def note(self, phase: str, what: str, done: int, total: int) -> None:
        if self._told.get(what) == (done, total):
            return
        if len(self._told) > 100:
            self._told.clear()
        self._told[what] = done, total
        self._held[what] = {"phase": phase, "what": what, "done": done, "total": total}
        self.flush(force=done == total)

    def flush(self, *, force: bool = False) -> None:
        now = time.monotonic()
        if not force and now < self._next:
            return
        held, self._held = self._held, {}
        for values in held.values():
            self._next = now + _PROGRESS_EVERY_S
            _emit("progress", **values)


class _Driver:
    """Watches one worker."""

    def __init__(self) -> None:
        self._began = self._phase_began = time.monotonic()
        self._next_alive = self._began + _ALIVE_EVERY_S
        self._phase: str | None = None
        self._seconds: dict[str, float] = {}
        self._peak_bytes = 0
        self._output: Path | None = None
        self._temporary: Path | None = None
        self._exported: Path | None = None
        self._worker: subprocess.Popen[bytes] | None = None
        self._status: int | None = None
        """How the worker ended, as `subprocess` has it."""
        self._said: dict[str, Any] = {}
        """The worker's last word."""
        self._printed = {"stdout": _Lines(), "stderr": _Lines()}
        self._reported = _Lines()
        self._progress = _Progress()
        self._errors: collections.deque[str] = collections.deque(maxlen=_KEPT_LINES)
        self._tail: collections.deque[str] = collections.deque(maxlen=_KEPT_LINES)
        self._fleeting = ""
        self._verdict: tuple[str, dict[str, Any]] | None = None

    def run(self, source: str) -> None:
        """Read the job and run it to its end, whatever that is."""
        try:
            text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
            job = json.loads(text)
            self._output = Path(job["paths"]["output"])
            self._exported = self._output / job["output_name"]
            temporary = self._output / "tmp"
            temporary.mkdir()
            self._temporary = temporary
            (temporary / "home").mkdir()
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.fail("job", exception=f"{type(error).__name__}: {error}")
            return
        _emit("started", python=platform.python_version(), toolkit=_toolkit())
        self._watch(text)
        self._judge()

    def fail(self, why: str, **values: Any) -> None:
        """Note that it failed; `finish` tells it."""
        known = {"returned": None, "signal": None, "status": None, "exception": None}
        self._verdict = "failed", {"phase": self._phase, "why": why, **known, **values}

    def end(self) -> None:
        """End the worker and what it started, and remove their temporary files."""
        if self._worker is not None:
            # ProcessLookupError: nobody is left; PermissionError: nobody but zombies.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._worker.pid, signal.SIGKILL)
            self._reap(wait=True)
        if self._temporary is not None:
            shutil.rmtree(str(self._temporary), ignore_errors=True)

    def finish(self) -> int:
        """Say the last word; return the exit status."""
        assert self._verdict is not None
        event, values = self._verdict
        values["peak_bytes"] = self._peak_bytes
        values["seconds"] = self._seconds
        if event == "failed":
            values["errors"] = list(self._errors)
            values["tail"] = list(self._tail)
            values["free_bytes"] = _free_bytes(self._output)
        try:
            _emit(event, **values)
        except BrokenPipeError:
            return 1
        if values.get("why") == "stopped":
            return 128 + int(values["signal"])
        return 0 if event == "result" else 1

    # The worker

    def _watch(self, job: str) -> None:
        ours, theirs = socket.socketpair()
        command = [sys.executable, str(Path(__file__).resolve()), "--worker"]
        self._worker = worker = subprocess.Popen(  # noqa: S603 - this very file
            [*command, str(theirs.fileno()), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[theirs.fileno()],
            env=self._environment(),
            start_new_session=True,
        )
        theirs.close()
        assert worker.stdout is not None
        assert worker.stderr is not None
        with ours, selectors.DefaultSelector() as streams:
            with contextlib.suppress(ConnectionError):  # it is dead already, as its status tells
                ours.sendall(" ".join(job.splitlines()).encode() + b"\n")
            ours.setblocking(False)
            streams.register(ours, selectors.EVENT_READ, "report")
            for name, pipe in (("stdout", worker.stdout), ("stderr", worker.stderr)):
                os.set_blocking(pipe.fileno(), False)
                streams.register(pipe, selectors.EVENT_READ, name)
            while not self._reap():
                self._hear(streams, ours)
                self._progress.flush()
                if time.monotonic() >= self._next_alive:
                    self._tell_alive()
            self._hear(streams, ours)
        for lines in self._printed.values():
            self._take(lines.feed(b"\n"))
        self._progress.flush(force=True)

    def _environment(self) -> dict[str, str]:
        passed = {
            name: value
            for name, value in os.environ.items()
            if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)
        }
        home = f"{self._temporary}/home"
        return {
            **passed,
            "HOME": home,
            # In a container the user's number has no name, which PyTorch wants to know.
            "LOGNAME": "rkfetch",
            "TMPDIR": str(self._temporary),
            "HF_HOME": f"{home}/huggingface",
            "HF_HUB_OFFLINE": "1",
            "HF_DATASETS_OFFLINE": "1",
            "TRANSFORMERS_OFFLINE": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "PYTHONIOENCODING": "utf-8:backslashreplace",
            "PYTHONNOUSERSITE": "1",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def _reap(self, *, wait: bool = False) -> bool:
        """Tell whether the worker has ended, and keep how."""
        assert self._worker is not None
        if self._status is None:
            # Unlike Popen's own, this tells its peak, even if it was killed.
            number, status, usage = os.wait4(self._worker.pid, 0 if wait else os.WNOHANG)
            if number == 0:
                return False
            signalled = os.WIFSIGNALED(status)
            self._status = -os.WTERMSIG(status) if signalled else os.WEXITSTATUS(status)
            self._worker.returncode = self._status
            self._peak_bytes = max(self._peak_bytes, usage.ru_maxrss * 1024)
            self._close_phase()
        return True

    # What it says

    def _hear(self, streams: selectors.BaseSelector, channel: socket.socket) -> None:
        """Take what the worker printed, and then what it reported, for it waits for the answer."""
        reported = b""
        for key, _ in streams.select(_TICK_S):
            if key.data == "report":
                with contextlib.suppress(BlockingIOError, ConnectionError):
                    reported = channel.recv(_READ_BYTES)
                if not reported:
                    streams.unregister(channel)
        for key in list(streams.get_map().values()):
            if key.data == "report":
                continue
            data = _read(key.fd)
            if data == b"":
                streams.unregister(key.fileobj)
            elif data is not None:
                lines = self._printed[key.data]
                self._take(lines.feed(data))
                bar = _read_bar(lines.pending)
                if bar is not None:
                    self._progress.note(self._phase or "", *bar)
        for text, _ in self._reported.feed(reported):
            self._take_report(text)
            with contextlib.suppress(OSError):
                channel.send(b"\n")

    def _take(self, lines: list[tuple[str, bool]]) -> None:
        for text, stays in lines:
            if text:
                self._take_text(text, stays=stays)

    def _take_report(self, text: str) -> None:
        try:
            said = json.loads(text)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            return  # code of a model's folder can write there, too
        if "phase" not in said:
            self._said = said
            return
        self._progress.flush(force=True)
        self._close_phase()
        self._phase = str(said["phase"])
        _emit("phase", name=self._phase)

    def _take_text(self, text: str, *, stays: bool) -> None:
        bar = _read_bar(text)
        if bar is not None:
            self._progress.note(self._phase or "", *bar)
            return
        # A counter that no total is known of is drawn over and over.
        shape = _DIGITS.sub("0", text)
        if not stays and shape == self._fleeting:
            return
        self._fleeting = "" if stays else shape
        level = "info"
        if _ERROR.match(text):
            level = "error"
            self._errors.append(text)
        elif _WARNING.match(text):
            level = "warning"
        self._tail.append(text)
        _emit("log", level=level, text=text)

    def _close_phase(self) -> None:
        now = time.monotonic()
        if self._phase is not None:
            self._seconds.setdefault(self._phase, round(now - self._phase_began, 3))
        self._phase_began = now

    def _tell_alive(self) -> None:
        assert self._worker is not None
        now = time.monotonic()
        self._next_alive = now + _ALIVE_EVERY_S
        resident, peak = _memory(self._worker.pid)
        self._peak_bytes = max(self._peak_bytes, peak)
        _emit(
            "alive",
            rss_bytes=resident,
            peak_bytes=self._peak_bytes,
            written_bytes=_written(self._output, self._worker.pid),
            seconds=round(now - self._began, 3),
        )

    def _judge(self) -> None:
        """Find out how it ended, believing its exit status less than its word."""
        said, status = self._said, self._status
        assert status is not None
        if "done" in said:
            assert self._exported is not None
            size = self._exported.stat().st_size if self._exported.is_file() else None
            if size:
                self._verdict = "result", {"bytes": size}
            else:
                self.fail("no-file" if size is None else "empty-file", returned=0)
        elif "returned" in said:
            self.fail("returned", returned=said["returned"])
        elif "exception" in said:
            self.fail("exception", exception=said["exception"])
        elif "exit" in said:
            self.fail("exit", status=said["exit"])
        elif status < 0:
            self.fail("signal", signal=-status)
        else:
            self.fail("died", status=status)


def _read(number: int) -> bytes | None:
    """Read a pipe; empty at its end, None if nothing is there yet."""
    try:
        return os.read(number, _READ_BYTES)
    except BlockingIOError:
        return None


def _toolkit() -> str | None:
    try:
        return importlib.metadata.version("rkllm-toolkit")
    except importlib.metadata.PackageNotFoundError:
        return None


def _free_bytes(folder: Path | None) -> int | None:
    try:
        stats = os.statvfs(str(folder))
    except OSError:
        return None
    return stats.f_bavail * stats.f_frsize


def _memory(process: int) -> tuple[int, int]:
    """Return the bytes of memory that a process has now, and those it had at most."""
    try:
        text = Path(f"/proc/{process}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0, 0
    found = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB", text, re.MULTILINE))
    return int(found.get("VmRSS", 0)) * 1024, int(found.get("VmHWM", 0)) * 1024


def _written(folder: Path | None, process: int) -> int:
    """Return the size of a folder's files, those included that a process has deleted but open."""
    total = 0
    for place, _, names in os.walk(str(folder)):
        for name in names:
            total += _size(os.path.join(place, name))  # noqa: PTH118 - often called
    try:
        opened = os.listdir(f"/proc/{process}/fd")  # noqa: PTH208 - names are wanted
    except OSError:
        return total
    for name in opened:
        link = f"/proc/{process}/fd/{name}"
        try:
            target = os.readlink(link)
        except OSError:
            continue
        # The toolkit stages all tensors in an anonymous file.
        if target.startswith(f"{folder}/") and target.endswith(" (deleted)"):
            total += _size(link)
    return total


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 - often called
    except OSError:
        return 0


def _work(*, channel: int, parent: int) -> NoReturn:
    """Be the worker: call the toolkit, and report what comes of it."""
    libc = ctypes.CDLL(None)
    libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: never outlive the driver
    if os.getppid() != parent:
        sys.exit(1)
    # When memory is short this shall end, and nothing else of the machine's.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    os.set_inheritable(channel, False)
    driver = socket.socket(fileno=channel).makefile("rw", encoding="utf-8")
    job = json.loads(driver.readline())

    def tell(**said: Any) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        libc.fflush(None)
        driver.write(json.dumps(said) + "\n")
        driver.flush()
        driver.readline()

    try:
        failed = _call_toolkit(job, tell)
        gc.collect()
        tell(**({"done": True} if failed is None else {"returned": failed}))
    except SystemExit as stop:
        tell(exit=stop.code if isinstance(stop.code, int) else int(stop.code is not None))
    except MemoryError:
        # There may be none for more words than these.
        os.write(channel, b'{"exception": "MemoryError"}\n')
    except BaseException as error:  # noqa: BLE001 - it is told, whatever it is
        traceback.print_exc()
        tell(exception=f"{type(error).__name__}: {error}"[:_SHOWN_CHARACTERS])
    finally:
        # Nothing shall keep the process: neither a thread that somebody left behind, nor a library
        # that waits for one in vain, as OpenBLAS does when it could not start it.
        os._exit(1)


def _call_toolkit(job: dict[str, Any], tell: Any) -> Any:
    """Convert; return what the first call returned that did not return 0, or None."""
    tell(phase="import")
    from rkllm.api import RKLLM  # type: ignore[import-not-found]

    toolkit = RKLLM()
    paths = job["paths"]
    dataset = {"dataset": paths["dataset"]} if "dataset" in paths else {}
    exported = os.path.join(paths["output"], job["output_name"])  # noqa: PTH118 - as it is given
    calls: list[tuple[str, str, list[str], dict[str, Any]]] = [
        ("load", f"load_{job['kind']}", [], {"model": paths["model"], **job["load"]}),
        ("build", "build", [], {**job["build"], **dataset}),
        ("export", "export_rkllm", [exported], job["export"]),
    ]
    for phase, name, positional, named in calls:
        tell(phase=phase)
        returned = getattr(toolkit, name)(*positional, **named)
        if type(returned) is not int or returned != 0:
            return returned if isinstance(returned, int) else repr(returned)[:200]
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
