"""How answers and talk reach the terminal: the answer on stdout, everything else on stderr.

Text that came from the network or from a file name is escaped before it is shown, so that no
file name can move the cursor, change the title or hide itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import unicodedata
from typing import TYPE_CHECKING, Any

from rkfetch.registry.errors import RkfetchError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SCHEMA_VERSION = 1


def safe(text: str, *, limit: int = 400) -> str:
    """Make foreign text fit for a terminal: control and direction marks become ``\\xNN``.

    At most ``limit`` characters are shown, so that a 4,000-character name cannot flood the screen.
    """
    shown = "".join(
        f"\\x{ord(c):02x}" if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"} else c
        for c in text[: limit + 1]
    )
    return shown if len(text) <= limit else shown[:limit] + "…"


def emit(text: str) -> None:
    """Write one line of the answer to stdout.

    A path goes out with the bytes that it has on the disk, whatever the locale can show.

    Raises:
        RkfetchError: stdout is closed or full.
        SystemExit: its reader (``| head``) has seen enough, which is no failure.
    """
    if sys.stdout is None:
        raise RkfetchError("the answer cannot be written: stdout is closed")
    try:
        try:
            sys.stdout.write(text + "\n")
        except UnicodeEncodeError:
            sys.stdout.flush()
            sys.stdout.buffer.write(_bytes_of(text) + b"\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except OSError as error:
        # What is still buffered would fail again when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise RkfetchError(f"the answer cannot be written: {error.strerror}") from error


def _bytes_of(text: str) -> bytes:
    try:
        return os.fsencode(text)
    except UnicodeEncodeError:
        return text.encode("ascii", "backslashreplace")


def emit_json(value: Mapping[str, Any]) -> None:
    """Write one JSON object to stdout, on one line, ASCII only (any locale can print it)."""
    emit(json.dumps({"schema_version": SCHEMA_VERSION, **value}, ensure_ascii=True))


def say(text: str = "") -> None:
    """Talk to the person: one line on stderr.

    Nobody may be there any more: a terminal that was closed is no reason to lose a download.
    """
    if sys.stderr is None:
        return
    with while_somebody_listens():
        try:
            sys.stderr.write(text + "\n")
        except UnicodeEncodeError:
            sys.stderr.write(text.encode("ascii", "replace").decode() + "\n")
        sys.stderr.flush()


@contextlib.contextmanager
def while_somebody_listens() -> Iterator[None]:
    """Let what is said in the block go nowhere, from now on, if stderr's other end is gone."""
    try:
        yield
    except OSError:
        # What is still buffered would fail again, at the latest when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def talks_to_terminal() -> bool:
    """Tell whether a person reads stderr."""
    return sys.stderr is not None and sys.stderr.isatty()


def say_wrapped(text: str, *, lead: str = "") -> None:
    """Talk to the person in whole lines, as `wrapped` breaks them."""
    for line in wrapped(text, lead=lead):
        say(line)


def say_error(error: RkfetchError) -> None:
    """Print an error in its three parts: what, why, what to do next."""
    say_wrapped(error.message, lead="error: ")
    for cause in error.cause:
        say_wrapped(cause, lead="  ")
    if error.hint:
        say_wrapped(error.hint, lead="hint: ")


def width() -> int:
    """Return the columns to write in: the terminal's, between 60 and 100."""
    return max(60, min(100, shutil.get_terminal_size((80, 24)).columns))


def wrapped(text: str, *, lead: str = "", columns: int | None = None) -> list[str]:
    """Break text into lines behind a lead; names and addresses are never broken."""
    import textwrap

    return textwrap.wrap(
        safe(text, limit=2000),
        columns or width(),
        initial_indent=lead,
        subsequent_indent=" " * max(len(lead), 4 if lead.strip() == "" else 0),
        break_on_hyphens=False,
        break_long_words=False,
    )


def columns_of(text: str) -> int:
    """Return the columns that text takes: Chinese signs take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def cut(text: str, room: int) -> str:
    """Cut the middle out of a name that takes more columns; its ends tell it apart."""
    if columns_of(text) <= room:
        return text
    head, tail = text[: room // 2], text[-(room // 2) :]
    while columns_of(head) + columns_of(tail) + 1 > room:
        head, tail = head[:-1], tail[1:] if len(tail) >= len(head) else tail
    return f"{head}…{tail}"


def error_json(error: RkfetchError) -> dict[str, Any]:
    """Return the ``error`` member of a JSON answer."""
    return {
        "code": error.exit_code,
        "kind": error.kind,
        "message": error.message,
        "cause": list(error.cause),
        "hint": error.hint,
    }


_COLOURS = {"red": 31, "green": 32, "yellow": 33, "bold": 1, "dim": 2}


def answers_to_terminal() -> bool:
    """Tell whether a person reads stdout."""
    return sys.stdout is not None and sys.stdout.isatty()


def paint(text: str, colour: str) -> str:
    """Colour text for stdout, if that is a terminal and NO_COLOR is not set."""
    if not answers_to_terminal() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def human_bytes(count: int | None) -> str:
    """Format a size for people, in decimal units as the Hub's pages do: ``1.39 GB``."""
    if count is None:
        return "?"
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"


def rate(count: int, seconds: float) -> str:
    """Say how fast bytes were read, for the end of a sentence; nothing if it took no time."""
    if seconds < 1:
        return ""
    return f", {human_bytes(count)} in {seconds:.0f} s ({human_bytes(int(count / seconds))}/s)"
