"""How a conversion shows that it goes on: a line that is redrawn, few lines for a log, NDJSON."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from .output import human_bytes, safe, say, talks_to_terminal, while_somebody_listens, width
from .progress import (
    JsonLines,
    LogLines,
    ReadingBar,
    ReadingLines,
    Silent,
    TerminalBar,
    duration,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from rkfetch.registry.convert.job import Event

_LOG_EVERY_S = 30.0
_WORTH_SAYING = 1_000_000
"""Bytes; libraries leave small notes of their own beside the file."""
_DRAW_EVERY_S = 0.1
_VERIFYING = "  verifying"
_DOING = {
    "download": "downloading",
    "verify": "verifying",
    "deliver": "copying",
    "upload": "uploading",
}
_STEPS = {
    "import": "loading the toolkit",
    "load": "loading the base model",
    "build": "quantising",
    "export": "writing the file",
}


class Watching(Silent):
    """Shows nothing; what the toolkit warns of is kept for the end."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def step(self, text: str) -> None:
        """Do nothing."""

    def detail(self, text: str) -> None:
        """Do nothing."""

    def event(self, event: Event) -> None:
        """Keep the warnings that mean something to the user, each once."""
        if event.kind == "log":
            from rkfetch.registry.convert.failures import warning_of

            text = warning_of(str(event.values.get("text", "")))
            if text is not None and text not in self.warnings:
                self.warnings.append(text)


class WatchingLines(Watching):
    """For logs: a line for each step, and one now and then that says how far it is."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._bytes: LogLines | None = None
        self._phase = "download"
        self._said_at = clock()
        self._at = ""

    # --- what is downloaded or read -------------------------------------------------------------

    def _new_bytes(self) -> LogLines:
        if self._phase == "verify":
            return ReadingLines(_VERIFYING, self._clock)
        return LogLines(self._clock, doing=_DOING.get(self._phase, "downloading"))

    def phase(self, name: str) -> None:
        """Note whether bytes come, go, or are read again."""
        self.close()
        self._phase = name

    def started(self, total: int | None, resumed_from: int) -> None:
        """Say what comes."""
        self._bytes = self._new_bytes()
        self._bytes.started(total, resumed_from)

    def advanced(self, received: int) -> None:
        """Say how far it is."""
        if self._bytes is not None:
            self._bytes.advanced(received)

    def restarted(self, reason: str) -> None:
        """Say why it begins anew."""
        if self._bytes is not None:
            self._bytes.restarted(reason)
        else:
            say(f"starting over: {safe(reason)}")

    def waiting(self, reason: str, seconds: float) -> None:
        """Say what is waited for."""
        wait = f"; next try in {seconds:.0f} s" if seconds >= 1 else ""
        say(f"{safe(reason)}{wait}")

    # --- what is installed and converted --------------------------------------------------------

    def step(self, text: str) -> None:
        """Say what begins."""
        self.close()
        self._said_at = self._clock()
        say(safe(text))

    def detail(self, text: str) -> None:
        """Say now and then what is installed or built, which takes minutes."""
        self._tell(safe(text))

    def event(self, event: Event) -> None:
        """Say how far it is."""
        super().event(event)
        values = event.values
        if event.kind == "phase":
            name = str(values.get("name", ""))
            self._at = _STEPS.get(name, safe(name, limit=60))
            self.step(f"  {self._at}")
        elif event.kind == "progress":
            self._at = _progress_words(event)
            self._tell(self._at)
        elif event.kind == "alive":
            self._tell(_alive_words(event, self._at))

    def _tell(self, text: str) -> None:
        now = self._clock()
        if now - self._said_at >= _LOG_EVERY_S:
            self._said_at = now
            say(f"    {text}")

    def close(self) -> None:
        """Leave the terminal in order."""
        if self._bytes is not None:
            self._bytes.close()
            self._bytes = None


class WatchingTerminal(WatchingLines):
    """For people: the last line says what it does just now."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self._drawn_at = 0.0
        self._drawn = False

    def _new_bytes(self) -> LogLines:
        return ReadingBar(_VERIFYING) if self._phase == "verify" else TerminalBar()

    def step(self, text: str) -> None:
        """Write above the line."""
        self._wipe()
        super().step(text)

    def detail(self, text: str) -> None:
        """Draw it."""
        self._draw(f"  {safe(text)}")

    def _tell(self, text: str) -> None:
        self._draw(f"    {text}")

    def _draw(self, text: str) -> None:
        now = self._clock()
        if now - self._drawn_at >= _DRAW_EVERY_S:
            self._drawn_at, self._drawn = now, True
            with while_somebody_listens():
                sys.stderr.write(f"\r\x1b[K{text[: width() - 1]}")
                sys.stderr.flush()

    def _wipe(self) -> None:
        if self._drawn:
            self._drawn = False
            with while_somebody_listens():
                sys.stderr.write("\r\x1b[K")
                sys.stderr.flush()

    def waiting(self, reason: str, seconds: float) -> None:
        """Write above the line."""
        self._wipe()
        super().waiting(reason, seconds)

    def close(self) -> None:
        """Take the line away."""
        self._wipe()
        super().close()


class WatchingJson(Watching, JsonLines):
    """For programs: NDJSON on stderr, as for downloads; the driver's events as they are."""

    def __init__(self) -> None:
        Watching.__init__(self)
        JsonLines.__init__(self)

    def phase(self, name: str) -> None:
        """Tell the phase; what is counted from now on is counted in it."""
        JsonLines.phase(self, name)
        self._phase, self._doing = name, _DOING.get(name, self._doing)

    def step(self, text: str) -> None:
        """Tell what begins."""
        self._emit(text, phase="step")

    def event(self, event: Event) -> None:
        """Pass it on."""
        super().event(event)
        self._emit("converting", phase="convert", event=event.as_json())


def _progress_words(event: Event) -> str:
    what = safe(str(event.values.get("what", "")), limit=40)
    done, total = event.values.get("done"), event.values.get("total")
    if isinstance(done, int) and isinstance(total, int) and total > 0:
        return f"{what}: {done} of {total} ({done * 100 // total} %)"
    return what


def _alive_words(event: Event, doing: str) -> str:
    said = [doing or "working"]
    seconds, memory = event.values.get("seconds"), event.values.get("rss_bytes")
    written = event.values.get("written_bytes")
    if isinstance(seconds, (int, float)):
        said.append(duration(seconds))
    if isinstance(memory, int):
        said.append(f"{human_bytes(memory)} of memory")
    if isinstance(written, int) and written >= _WORTH_SAYING:
        said.append(f"{human_bytes(written)} written")
    return ", ".join(said)


def watching(*, json_lines: bool, quiet: bool) -> Watching:
    """Choose how to show a conversion."""
    if quiet:
        return Watching()
    if json_lines:
        return WatchingJson()
    return WatchingTerminal() if talks_to_terminal() else WatchingLines()
