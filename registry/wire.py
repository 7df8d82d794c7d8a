"""Speak HTTP/1.1 as a transport of httpx, and put bodies straight where the caller wants them.

httpx copies a body three times and is slow for files of gigabytes. Here a body with a length is
received by the kernel's one copy into the caller's buffer. Heads, chunked bodies and everything
else that needs understanding are left to h11, the parser that httpx uses too. Proxies are left to
httpx's own transport.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import threading
import time
from typing import TYPE_CHECKING, Any

import h11
import httpx

from .connecting import connect
from .deadline import cut

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST_HEAD = 64 << 10
_PIECE = 64 << 10
_MOST_INTERIM = 20
"""Answers before the answer, such as 103 Early Hints."""
_IDLE_S = 15.0
"""Servers close a connection that nobody uses for longer."""
_MOST_IDLE = 16
_NO_BODY = {204, 304}
_RTT_AT = 68
"""Offset of tcpi_rtt in Linux's struct tcp_info: eight bytes, then the sixteenth number."""

Origin = tuple[str, str, int]


class TrickleError(httpx.ReadTimeout):
    """The head of an answer did not come in the time that it was given as a whole."""


class WireTransport(httpx.BaseTransport):
    """Connections of one client, kept open between requests. May be used by threads.

    A request may carry the extension ``head_within_s``: the seconds that everything up to the end
    of the answer's head may take. Each answer carries its `Body` as the extension ``body``.
    """

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls
        self._idle: dict[Origin, list[_Connection]] = {}
        self._closed = False
        self._lock = threading.Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and read the head of the answer; raises httpx's errors."""
        within: float | None = request.extensions.get("head_within_s")
        until = None if within is None else time.monotonic() + within
        origin = _origin(request.url)
        while True:
            connection = self._reused(origin)
            fresh = connection is None
            if connection is None:
                connection = self._connected(origin, request, until)
            try:
                return self._exchange(connection, request, until)
            except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
                connection.close()
                if fresh or connection.heard:
                    raise
                # The server closed it just when it was to be used again.
            except BaseException:
                connection.close()
                raise

    def close(self) -> None:
        """Close the connections that nobody uses; the others are closed when they are left."""
        with self._lock:
            self._closed = True
            idle = [connection for kept in self._idle.values() for connection in kept]
            self._idle.clear()
        for connection in idle:
            connection.close()

    def _reused(self, origin: Origin) -> _Connection | None:
        with self._lock:
            kept = self._idle.get(origin, [])
            while kept:
                connection = kept.pop()
                if connection.is_fit():
                    return connection
                connection.close()
        return None

    def give_back(self, connection: _Connection) -> None:
        """Keep a connection whose answer was read to its end for the next request."""
        with self._lock:
            kept = self._idle.setdefault(connection.origin, [])
            if len(kept) < _MOST_IDLE and not self._closed:
                connection.idle_since = time.monotonic()
                kept.append(connection)
                return
        connection.close()

    def _connected(
        self, origin: Origin, request: httpx.Request, until: float | None
    ) -> _Connection:
        scheme, host, port = origin
        seconds = _left(until, request.extensions["timeout"]["connect"])
        try:
            opened = connect(host, port, seconds)
        except TimeoutError as error:
            raise httpx.ConnectTimeout(str(error), request=request) from error
        except OSError as error:
            raise httpx.ConnectError(str(error), request=request) from error
        try:
            opened.settimeout(seconds)
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if scheme == "https":
                opened.settimeout(_left(until, request.extensions["timeout"]["connect"]))
                opened = self._tls.wrap_socket(opened, server_hostname=host)
        except TimeoutError as error:
            opened.close()
            raise httpx.ConnectTimeout(str(error), request=request) from error
        except OSError as error:  # ssl.SSLError is one
            opened.close()
            raise httpx.ConnectError(str(error), request=request) from error
        return _Connection(opened, origin)

    def _exchange(
        self, connection: _Connection, request: httpx.Request, until: float | None
    ) -> httpx.Response:
        stall_s: float | None = request.extensions["timeout"]["read"]
        head, parser = connection.ask(request, stall_s, until)
        body = Body(self, connection, head, parser, method=request.method, stall_s=stall_s)
        return httpx.Response(
            status_code=head.status_code,
            headers=head.headers.raw_items(),
            stream=body,
            extensions={"body": body},
            request=request,
        )


class _Connection:
    """One socket, and what came on it that nobody has read yet."""

    def __init__(self, opened: socket.socket, origin: Origin) -> None:
        self.socket = opened
        self.origin = origin
        self.early = b""
        """Received already, and not yet read by anybody."""
        self.heard = False
        """Something of the present answer has come."""
        self.idle_since = 0.0

    def is_fit(self) -> bool:
        """Tell whether an idle connection can be used again: not closed, and nothing unasked."""
        if time.monotonic() - self.idle_since > _IDLE_S:
            return False
        if isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
            return False  # decrypted already, so that polling does not see it
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        self.socket.close()

    def ask(
        self, request: httpx.Request, stall_s: float | None, until: float | None
    ) -> tuple[h11.Response, h11.Connection]:
        parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LONGEST_HEAD)
        self.heard = False
        try:
            message = parser.send(
                h11.Request(
                    method=request.method, target=request.url.raw_path, headers=request.headers.raw
                )
            )
            end = parser.send(h11.EndOfMessage())
        except h11.LocalProtocolError as error:
            raise httpx.LocalProtocolError(str(error), request=request) from error
        try:
            self.socket.settimeout(_left(until, stall_s))
            self.socket.sendall((message or b"") + (end or b""))
        except TimeoutError as error:
            raise httpx.WriteTimeout(str(error), request=request) from error
        except OSError as error:
            raise httpx.WriteError(str(error), request=request) from error
        if self.early:
            raise httpx.RemoteProtocolError("an answer that nobody asked for", request=request)
        return self._head(parser, stall_s, until), parser

    def _head(
        self, parser: h11.Connection, stall_s: float | None, until: float | None
    ) -> h11.Response:
        interim = 0
        try:
            while True:
                event = parser.next_event()
                if isinstance(event, h11.Response):
                    return event
                if event is h11.NEED_DATA:
                    if until is not None and time.monotonic() >= until:
                        raise TrickleError("the head of the answer trickles")
                    parser.receive_data(self.receive(_left(until, stall_s), until))
                    self.heard = True
                elif isinstance(event, h11.InformationalResponse) and interim < _MOST_INTERIM:
                    interim += 1
                else:
                    raise httpx.RemoteProtocolError("the connection ended before an answer came")
        except h11.RemoteProtocolError as error:
            raise httpx.RemoteProtocolError(str(error)) from error

    def receive(self, seconds: float | None, until: float | None = None) -> bytes:
        """Return what comes next, nothing at the end of the connection."""
        try:
            self.socket.settimeout(seconds)
            return self.socket.recv(_PIECE)
        except TimeoutError as error:
            if until is not None and time.monotonic() >= until:
                raise TrickleError("the head of the answer trickles") from error
            raise httpx.ReadTimeout(str(error)) from error
        except OSError as error:
            raise httpx.ReadError(str(error)) from error


class Body(httpx.SyncByteStream):
    """The body of one answer, still on the wire."""

    def __init__(
        self,
        transport: WireTransport,
        connection: _Connection,
        head: h11.Response,
        parser: h11.Connection,
        *,
        method: str,
        stall_s: float | None,
    ) -> None:
        self._transport = transport
        self._connection = connection
        self._parser = parser
        self._stall_s = stall_s
        self._closed = False
        self._closing = threading.Lock()
        headers = {name: value for name, value in head.headers}  # noqa: C416 - a subclass of list
        self._keep = head.http_version == b"1.1" and b"close" not in headers.get(
            b"connection", b""
        ).lower().replace(b" ", b"").split(b",")
        self._left: int | None
        """Bytes still to come; None where only the parser finds the end."""
        if method == "HEAD" or head.status_code in _NO_BODY:
            self._left = 0
        elif b"transfer-encoding" in headers or b"content-length" not in headers:
            self._left = None
        else:
            self._left = int(headers[b"content-length"])
        if self._left is not None:
            connection.early = parser.trailing_data[0]
        self._parsed = b""
        connection.socket.settimeout(stall_s)

    def readinto(self, view: memoryview) -> int:
        """Receive some bytes, as many as are there; 0 at the end. Raises httpx's errors."""
        if self._left is None:
            return self._readinto_parsed(view)
        if not self._left:
            return 0
        if self._connection.early:
            count = _move(self._connection.early, view[: self._left])
            self._connection.early = self._connection.early[count:]
        else:
            count = self._receive_into(view[: self._left])
        if not count:
            raise httpx.RemoteProtocolError(f"the connection ended {self._left} bytes too early")
        self._left -= count
        return count

    def _receive_into(self, view: memoryview) -> int:
        try:
            return self._connection.socket.recv_into(view)
        except TimeoutError as error:
            raise httpx.ReadTimeout(str(error)) from error
        except (OSError, ValueError) as error:  # a socket closed by another thread has no number
            raise httpx.ReadError(str(error)) from error

    def _readinto_parsed(self, view: memoryview) -> int:
        # Sizes and trailers of chunks are bytes too, of which none is the body's.
        until = None if self._stall_s is None else time.monotonic() + 2 * self._stall_s
        try:
            while not self._parsed:
                event = self._parser.next_event()
                if event is h11.NEED_DATA:
                    if until is not None and time.monotonic() >= until:
                        raise httpx.ReadTimeout("nothing of the body came")
                    data = self._connection.receive(_left(until, self._stall_s))
                    self._parser.receive_data(data)
                elif isinstance(event, h11.Data):
                    self._parsed = bytes(event.data)
                else:
                    self._connection.early = self._parser.trailing_data[0]
                    self._keep = self._keep and self._parser.their_state is h11.DONE
                    self._left = 0
                    return 0
        except h11.RemoteProtocolError as error:
            raise httpx.RemoteProtocolError(str(error)) from error
        count = _move(self._parsed, view)
        self._parsed = self._parsed[count:]
        return count

    def __iter__(self) -> Iterator[bytes]:
        view = memoryview(bytearray(_PIECE))
        while count := self.readinto(view):
            yield bytes(view[:count])

    @property
    def round_trip_s(self) -> float | None:
        """To the server and back, as the kernel has measured it (tcpi_rtt of tcp_info)."""
        try:
            state = self._connection.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
            (microseconds,) = struct.unpack_from("I", state, _RTT_AT)
        except (OSError, struct.error):  # under qemu-user it is cut off behind four bytes
            return None
        return float(microseconds) / 1e6

    @property
    def is_at_end(self) -> bool:
        """Whether the body was read to its end, and the server goes on listening."""
        return self._keep and self._left == 0 and not self._connection.early

    def cut(self) -> None:
        """Make whoever receives this body in another thread stop."""
        with self._closing:
            if not self._closed:  # else the connection may be another answer's by now
                cut(self._connection.socket)

    def close(self) -> None:
        """Give the connection back if the body was read to its end, else close it."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
        if self.is_at_end:
            self._transport.give_back(self._connection)
        else:
            self._connection.close()


def _origin(url: httpx.URL) -> Origin:
    port = url.port or {"http": 80, "https": 443}.get(url.scheme, 0)
    if not port or not url.raw_host:
        raise httpx.UnsupportedProtocol(f"'{url.scheme}' is not http or https")
    return url.scheme, url.raw_host.decode("ascii"), port


def _left(until: float | None, seconds: float | None) -> float | None:
    if until is None:
        return seconds
    left = max(0.001, until - time.monotonic())
    return left if seconds is None else min(left, seconds)


def _move(data: bytes, view: Any) -> int:
    count = min(len(data), len(view))
    view[:count] = data[:count]
    return count
