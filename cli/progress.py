"""How a long job shows that it goes on: a bar for people, few lines for a log, NDJSON."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

from rkfetch.registry.progress import NoProgress

from .output import human_bytes, safe, say, talks_to_terminal, while_somebody_listens

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import Progress as Bar
    from rich.progress import TaskID

_LOG_STEP = 0.1
_LOG_EVERY_S = 30.0
_LOG_LEAST_S = 1.0
_JSON_EVERY_S = 0.5
_PHASES = {
    "header": "reading the file's header (two range requests)",
    "verify": "verifying",
    "install": "installing",
}


class Silent(NoProgress):
    """Shows nothing."""

    def close(self) -> None:
        """Leave the terminal in order."""


class LogLines(Silent):
    """For logs: at most one line per tenth or per half minute, no control characters."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, *, doing: str = "downloading"
    ) -> None:
        self._clock = clock
        self._doing = doing
        self._total: int | None = None
        self._begun = self._said_at = clock()
        self._begun_at = self._said = 0

    def started(self, total: int | None, resumed_from: int) -> None:
        """Say what will come."""
        self._total = total
        self._begun = self._said_at = self._clock()
        self._begun_at = self._said = resumed_from
        resumed = f", going on at {human_bytes(resumed_from)}" if resumed_from else ""
        say(f"{self._doing} {human_bytes(total)}{resumed}")

    def advanced(self, received: int) -> None:
        """Say how far it is, now and then."""
        step = (self._total or 1 << 28) * _LOG_STEP
        now = self._clock()
        quiet_for = now - self._said_at
        if quiet_for < _LOG_LEAST_S or (received - self._said < step and quiet_for < _LOG_EVERY_S):
            return
        self._said, self._said_at = received, now
        spent = now - self._begun
        rate = (received - self._begun_at) / spent if spent > 0 else 0
        share = f" ({received * 100 // self._total} %)" if self._total else ""
        speed = f"{human_bytes(int(rate))}/s{self._left(received, rate)}"
        say(f"  {human_bytes(received)}{share}, {speed}")

    def _left(self, received: int, rate: float) -> str:
        if not self._total or rate <= 0 or received >= self._total:
            return ""
        return f", {duration((self._total - received) / rate)} left"

    def restarted(self, reason: str) -> None:
        """Say why it begins anew."""
        self._said = self._begun_at = 0
        say(f"starting over: {safe(reason)}")

    def waiting(self, reason: str, seconds: float) -> None:
        """Say what is waited for."""
        wait = f"; next try in {seconds:.0f} s" if seconds >= 1 else ""
        say(f"{safe(reason)}{wait}")

    def phase(self, name: str) -> None:
        """Name the phase."""
        if name in _PHASES:
            say(_PHASES[name])


class TerminalBar(LogLines):
    """For people: one bar with rate and time left; messages go above it."""

    def __init__(self) -> None:
        super().__init__()
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    def started(self, total: int | None, resumed_from: int) -> None:
        """Draw the bar."""
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        self.close()
        self._bar = Progress(
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(compact=True),
            console=Console(file=sys.stderr),
            transient=True,
        )
        self._bar.start()
        self._task = self._bar.add_task("", total=total, completed=resumed_from)

    def advanced(self, received: int) -> None:
        """Move the bar."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=received)

    def restarted(self, reason: str) -> None:
        """Take the bar back to the beginning."""
        self._print(f"starting over: {safe(reason)}")
        if self._bar is not None and self._task is not None:
            self._bar.reset(self._task)

    def waiting(self, reason: str, seconds: float) -> None:
        """Say above the bar what is waited for."""
        wait = f"; next try in {seconds:.0f} s" if seconds >= 1 else ""
        self._print(f"{safe(reason)}{wait}")

    def _print(self, text: str) -> None:
        if self._bar is not None:
            with while_somebody_listens():
                self._bar.console.print(text, markup=False, highlight=False)
        else:
            say(text)

    def phase(self, name: str) -> None:
        """Take the bar away when the bytes are all here."""
        if name in {"verify", "install"}:
            self.close()
        super().phase(name)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            with while_somebody_listens():
                self._bar.stop()
            self._bar = None


class ReadingLines(LogLines):
    """For logs, of a file that is read: nothing at all unless that takes a while."""

    def __init__(self, title: str, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self._title: str | None = title

    def started(self, total: int | None, resumed_from: int) -> None:
        """Wait and see."""
        self._total = total
        self._begun = self._said_at = self._clock()
        self._begun_at = self._said = resumed_from

    def advanced(self, received: int) -> None:
        """Say what is being read once that has taken a second, then how far it is."""
        if self._title is not None:
            if self._clock() - self._begun < _LOG_LEAST_S:
                return
            say(self._title)
            self._title = None
        super().advanced(received)

    def phase(self, name: str) -> None:
        """Say nothing: the title has said it."""


class ReadingBar(TerminalBar):
    """For people, of a file that is read: a bar if that takes a while."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self._title: str | None = title

    def started(self, total: int | None, resumed_from: int) -> None:
        """Wait and see."""
        self._total = total
        self._begun = self._clock()
        self._begun_at = resumed_from

    def advanced(self, received: int) -> None:
        """Draw the bar once it has taken a second, then move it."""
        if self._title is not None:
            if self._clock() - self._begun < _LOG_LEAST_S:
                return
            say(self._title)
            self._title = None
            super().started(self._total, received)
        super().advanced(received)

    def phase(self, name: str) -> None:
        """Say nothing: the title has said it."""


class JsonLines(Silent):
    """For programs: NDJSON on stderr, in the keys that ollama's clients know."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        *,
        doing: str = "downloading",
        phase: str = "download",
    ) -> None:
        self._clock = clock
        self._doing = doing
        self._phase = phase
        self._total: int | None = None
        self._said_at = float("-inf")

    def _emit(self, status: str, **more: object) -> None:
        say(json.dumps({"status": status, **more}))

    def started(self, total: int | None, resumed_from: int) -> None:
        """Tell size and start."""
        self._total = total
        self._emit(self._doing, phase=self._phase, total=total, completed=resumed_from)

    def advanced(self, received: int) -> None:
        """Tell how far it is, at most twice a second."""
        now = self._clock()
        if now - self._said_at >= _JSON_EVERY_S or received == self._total:
            self._said_at = now
            self._emit(self._doing, phase=self._phase, total=self._total, completed=received)

    def restarted(self, reason: str) -> None:
        """Tell that it begins anew."""
        self._emit("restarting", phase=self._phase, reason=reason, total=self._total, completed=0)

    def waiting(self, reason: str, seconds: float) -> None:
        """Tell what is waited for."""
        self._emit("waiting", phase=self._phase, reason=reason, seconds=round(seconds, 1))

    def phase(self, name: str) -> None:
        """Tell the phase."""
        self._emit(_PHASES.get(name, name), phase=name)


def duration(seconds: float) -> str:
    """Format a time span for people: ``45 s``, ``12 min``, ``3 h 05 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def for_output(*, json_lines: bool, quiet: bool) -> Silent:
    """Choose how to show progress."""
    if quiet:
        return Silent()
    if json_lines:
        return JsonLines()
    return TerminalBar() if talks_to_terminal() else LogLines()


def for_sending(*, json_lines: bool, quiet: bool) -> Silent:
    """Choose how to show that a file is sent to another machine."""
    if quiet:
        return Silent()
    if json_lines:
        return JsonLines(doing="copying", phase="deliver")
    return TerminalBar() if talks_to_terminal() else LogLines(doing="copying")


def for_reading(title: str, *, json_lines: bool, quiet: bool) -> Silent:
    """Choose how to show that a file is read; ``title`` says which, fit for a terminal."""
    if quiet:
        return Silent()
    if json_lines:
        return JsonLines(doing="verifying", phase="verify")
    return ReadingBar(title) if talks_to_terminal() else ReadingLines(title)
