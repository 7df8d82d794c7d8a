"""What is asked of another machine, by whatever way it is reached: scripts, and their marked lines.

A login may greet, and a profile may print: only lines that begin with a mark made for this one
question are heard. What comes back is bounded, and never trusted.
"""

from __future__ import annotations

import secrets
import subprocess
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from .errors import RkfetchError

if TYPE_CHECKING:
    from typing_extensions import Self

_LONGEST_LINE = 1 << 16
_MOST_NOISE = 1 << 20
_KEPT = 1 << 14
_PATIENCE_S = 20.0
_LAST_LINES = 5


class Host(Protocol):
    """Another machine's name."""

    @property
    def name(self) -> str:
        """What to call it in a sentence."""

    @property
    def address(self) -> str:
        """Its whole address."""


class Link(Protocol):
    """A way to another machine that runs scripts of the POSIX shell there."""

    @property
    def host(self) -> Host:
        """The machine."""

    @property
    def by_pieces(self) -> bool:
        """Bytes cannot be sent to a script's stdin, only as files, with `put`."""

    def connect(self) -> None:
        """Have a connection, again if it broke; raises as the kind of link says."""

    def start(self, script: str, *arguments: str, **streams: Any) -> subprocess.Popen[bytes]:
        """Start a script there; its ``$1`` and so on are ``arguments``."""

    def broken(self, status: int, text: str) -> RkfetchError | None:
        """Tell whether a script that ended without an answer did so because the link broke."""

    def put(self, piece: bytes, path: str) -> None:
        """Write a file there; only where `by_pieces`."""


class Line(NamedTuple):
    """A marked line."""

    word: str
    rest: str


class Talk:
    """A script that runs there and is talked to line by line; use it as a context manager.

    Its last argument is the mark that its lines have to begin with.
    """

    def __init__(self, link: Link, script: str, *arguments: str) -> None:
        self._link = link
        self._mark = f"rkfetch-{secrets.token_hex(8)}"
        pipe = subprocess.PIPE
        self._process = link.start(
            script, *arguments, self._mark, stdin=pipe, stdout=pipe, stderr=pipe
        )
        self._said = b""
        self._drain = threading.Thread(target=self._keep_last, daemon=True)
        self._drain.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdout is not None
        # What still talks, and is not heard any more, ends of that.
        self._process.stdout.close()
        end(self._process)
        self._drain.join(_PATIENCE_S)

    def _keep_last(self) -> None:
        assert self._process.stderr is not None
        with suppress(OSError, ValueError):  # it is closed
            while block := self._process.stderr.read1(_KEPT):  # type: ignore[attr-defined]
                self._said = (self._said + block)[-_KEPT:]

    def send(self, data: bytes) -> bool:
        """Send bytes; tells whether somebody still listens."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):
            return False
        return True

    def finish(self) -> None:
        """Say that nothing more comes."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()

    def line(self) -> Line:
        """Return the next marked line.

        Raises:
            NetworkError, AuthenticationError: the link broke.
            RkfetchError: it ended without one, or only talks.
        """
        mark = self._mark.encode() + b" "
        noise = 0
        while noise < _MOST_NOISE:
            raw = self._raw_line()
            if not raw:
                raise self._nothing()
            # A terminal that is in between echoes, and ends lines its own way.
            at = raw.find(mark)
            if at < 0:
                noise += len(raw)
                continue
            text = raw[at + len(mark) :].decode("utf-8", "replace").rstrip("\r\n")
            word, _, rest = text.partition(" ")
            return Line(word, rest)
        raise RkfetchError(f"{self._link.host.name} does not answer as a shell would")

    def bytes_until(self, word: bytes, limit: int) -> bytes:
        """Return what comes before the next marked line, which has to have this word.

        Raises:
            RkfetchError: more than ``limit`` bytes came, or the end.
        """
        ending = b"\n" + self._mark.encode() + b" " + word
        parts: list[bytes] = []
        length = 0
        while True:
            raw = self._raw_line()
            if not raw:
                raise self._nothing()
            if raw.rstrip(b"\r\n") == ending[1:]:
                return b"".join(parts)[:-1]
            length += len(raw)
            if length > limit:
                raise RkfetchError(f"{self._link.host.name} says more than was asked")
            parts.append(raw)

    def _raw_line(self) -> bytes:
        assert self._process.stdout is not None
        try:
            return self._process.stdout.readline(_LONGEST_LINE)
        except ValueError:
            return b""

    def _nothing(self) -> RkfetchError:
        self.finish()
        status = self._process.wait()
        self._drain.join(_PATIENCE_S)
        text = self._said.decode("utf-8", "replace")
        return self._link.broken(status, text) or RkfetchError(
            f"{self._link.host.name} does not answer as a shell would", cause=last_lines(text)
        )


def end(process: subprocess.Popen[bytes]) -> None:
    """Close what the other side reads, which ends it there; then end this side, too."""
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_PATIENCE_S if process.stdin is not None else 0)
    if process.poll() is None:
        process.kill()
        process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def last_lines(text: str) -> list[str]:
    """Return the last lines of what was said, for an error's cause."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-_LAST_LINES:]
