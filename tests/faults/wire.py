"""A CDN on a bare socket: it says exactly the bytes that a test wants, and else behaves."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hub.exchange import parse_range

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from typing_extensions import Self

ETAG = '"one"'


class Gone(Exception):  # noqa: N818 - it is an event on purpose, not an error
    """The connection ends here."""


@dataclass(kw_only=True)
class Ask:
    """One request, and the connection to answer it on."""

    method: str
    headers: dict[str, str]
    """Names in lower case."""
    content: bytes
    """All of the file."""
    etag: str
    connection: socket.socket = field(repr=False)
    closing: threading.Event = field(repr=False)

    @property
    def part(self) -> tuple[int, int]:
        """First byte that is wanted, and the one behind the last."""
        return self._range or (0, len(self.content))

    @property
    def _range(self) -> tuple[int, int] | None:
        if self.headers.get("if-range", self.etag) != self.etag:
            return None
        return parse_range(self.headers.get("range"), len(self.content))

    @property
    def body(self) -> bytes:
        """The bytes that are wanted."""
        first, end = self.part
        return self.content[first:end]

    def head(
        self, *lines: str, status: str | None = None, without: Sequence[str] = (), http: str = "1.1"
    ) -> bytes:
        """The head of a sound answer, with other lines, status or version."""
        first, end = self.part
        known = {
            "Content-Type": "application/octet-stream",
            "Accept-Ranges": "bytes",
            "ETag": self.etag,
            "Content-Length": f"{end - first}",
        }
        if self._range is not None:
            known["Content-Range"] = f"bytes {first}-{end - 1}/{len(self.content)}"
        said = {line.partition(":")[0].strip().lower() for line in lines}
        kept = [
            f"{name}: {value}"
            for name, value in known.items()
            if name.lower() not in said and name not in without
        ]
        status = status or ("200 OK" if self._range is None else "206 Partial Content")
        return "\r\n".join([f"HTTP/{http} {status}", *kept, *lines, "", ""]).encode("latin-1")

    def say(self, data: bytes) -> None:
        """Send these bytes."""
        self.connection.sendall(data)

    def again(self, data: bytes, *, times: int) -> None:
        """Send the same so often, or until the client has had enough."""
        for _ in range(times):
            if self.closing.is_set():
                raise Gone
            self.say(data)

    def pause(self, seconds: float) -> None:
        """Be silent."""
        if self.closing.wait(seconds):
            raise Gone

    def hang_up(self) -> None:
        """Close the connection."""
        raise Gone

    def reset(self) -> None:
        """Close it with a TCP reset, once the client has what was said before."""
        self.pause(0.05)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Gone

    def sound(self) -> None:
        """Answer as one should."""
        self.say(self.head() + (b"" if self.method == "HEAD" else self.body))


class Wire:
    """Serves one file. ``misbehave`` names who answers GET requests instead."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.etag = ETAG
        self.asked: list[Ask] = []
        """Every request so far."""
        self._how: Callable[[Ask], None] | None = None
        self._times: int | None = None
        self._methods: Sequence[str] = ()
        self.misbehaved = 0
        """How many answers were not sound, since that was asked for."""
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    @property
    def url(self) -> str:
        """Where the file is; what stands behind the ? is a secret."""
        return f"http://127.0.0.1:{self.port}/blob?Signature=s3cret"

    def misbehave(
        self,
        how: Callable[[Ask], None],
        *,
        times: int | None = None,
        methods: Sequence[str] = ("GET",),
    ) -> None:
        """Let this answer so many requests (None: all) of these methods."""
        with self._lock:
            self._how, self._times, self._methods, self.misbehaved = how, times, methods, 0

    def heal(self) -> None:
        """Behave again."""
        self._how = None

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection = self._listener.accept()[0]
                threading.Thread(target=self._converse, args=[connection], daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        with (
            connection,
            contextlib.suppress(OSError, Gone),
            connection.makefile("rb") as reader,
        ):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while request := reader.readline():
                lines = list(iter(lambda: reader.readline().strip(), b""))
                pairs = [line.decode("latin-1").partition(":") for line in lines]
                ask = Ask(
                    method=request.split(b" ")[0].decode(),
                    headers={name.lower(): value.strip() for name, _, value in pairs},
                    content=self.content,
                    etag=self.etag,
                    connection=connection,
                    closing=self._closing,
                )
                self.asked.append(ask)
                how = self._chosen(ask)
                if how is not None:
                    how(ask)
                    return
                ask.sound()

    def _chosen(self, ask: Ask) -> Callable[[Ask], None] | None:
        with self._lock:
            if self._how is None or ask.method not in self._methods:
                return None
            if self._times is not None and self.misbehaved >= self._times:
                return None
            self.misbehaved += 1
            return self._how
