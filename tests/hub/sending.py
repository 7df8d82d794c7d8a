"""How an answer goes onto the wire, ranges and faults included."""

from __future__ import annotations

import array
import fcntl
import gzip
import socket
import struct
import termios
import time
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from .exchange import parse_range

if TYPE_CHECKING:
    from threading import Event

    from .exchange import Reply, Request, Seen
    from .faults import Fault, Hold

_WORTH_PACKING = 1024
_PIECE = 256 * 1024


class Dropped(Exception):  # noqa: N818 - it is an event on purpose, not an error
    """The connection ends here."""

    def __init__(self, *, reset: bool = False) -> None:
        super().__init__()
        self.reset = reset


class Sender:
    """Sends answers on one connection."""

    def __init__(self, connection: socket.socket, closing: Event) -> None:
        self._connection = connection
        self._closing = closing

    def send(
        self, request: Request, reply: Reply, fault: Fault, seen: Seen, holds: list[Hold], url: str
    ) -> bool:
        """Send it; True if the connection can be kept.

        Raises:
            Dropped: a fault ended the connection.
        """
        _distort(request, reply, fault, url)
        seen.is_data = reply.is_data and request.method == "GET"
        start = _apply_range(request, reply, fault)
        packed = fault.gzip or _is_packed(request, reply)
        body = gzip.compress(reply.body, compresslevel=6) if packed else reply.body
        reply.headers.setdefault("Date", formatdate(usegmt=True))
        if packed:
            reply.headers["Content-Encoding"] = "gzip"
        if fault.chunked:
            reply.headers["Transfer-Encoding"] = "chunked"
        elif not fault.no_length:
            reply.headers["Content-Length"] = str(len(body) + fault.length_delta)
        for name, value in fault.headers.items():
            for known in [k for k in reply.headers if k.lower() == name.lower()]:
                del reply.headers[known]
            if value is not None:
                reply.headers[name] = value
        keep = not (fault.no_length or fault.length_delta or fault.extra_bytes)
        if not keep or request.headers.get("connection", "").lower() == "close":
            keep = False
            reply.headers["Connection"] = "close"
        seen.status = reply.status
        head = _head(reply)
        if request.method == "HEAD":
            self._send_head(head, fault)
            return keep
        if len(body) < _PIECE and not holds and _is_plain(fault):
            seen.sent_bytes = len(body)
            self._send_all(head + body)
            return keep
        self._send_head(head, fault)
        if fault.extra_bytes:
            body += bytes(fault.extra_bytes)
        self._send_body(body, start, fault, seen, holds)
        return keep

    def _send_all(self, data: bytes | memoryview) -> None:
        self._connection.sendall(data)

    def _send_head(self, head: bytes, fault: Fault) -> None:
        if not fault.header_delay_s:
            self._send_all(head)
            return
        for i in range(len(head)):
            self._pause(fault.header_delay_s)
            self._send_all(head[i : i + 1])

    def _send_body(
        self, body: bytes, start: int, fault: Fault, seen: Seen, holds: list[Hold]
    ) -> None:
        view = memoryview(body)
        piece = _PIECE if fault.rate is None else max(1, min(_PIECE, int(fault.rate / 20)))
        stops = [s for s in (fault.drop_after, fault.reset_after, fault.stall_after) if s]
        stalled = False
        began = time.monotonic()
        at = 0
        while at < len(view):
            if fault.stall_after == at and not stalled:
                stalled = True
                self._pause(fault.stall_s)
            if at in {fault.drop_after, fault.reset_after}:
                self._drain()
                raise Dropped(reset=at == fault.reset_after)
            wanted = min([piece, len(view) - at, *(s - at for s in stops if s > at)])
            granted = self._grant(holds, seen, wanted)
            data: bytes | memoryview = view[at : at + granted]
            if fault.flip_at is not None and at <= fault.flip_at - start < at + granted:
                data = _flipped(data, fault.flip_at - start - at)
            seen.sent_bytes += granted
            self._send_all(_chunk(data) if fault.chunked else data)
            for hold in holds:
                hold.sent(seen)
            at += granted
            if fault.rate is not None:
                self._pause(began + at / fault.rate - time.monotonic())
        if fault.chunked:
            self._send_all(b"0\r\n\r\n")

    def _grant(self, holds: list[Hold], seen: Seen, wanted: int) -> int:
        for hold in holds:
            granted = hold.grant(seen, wanted)
            while granted == 0:
                if self._closing.is_set():
                    raise Dropped
                if hold.released.wait(0.05):
                    granted = wanted
            wanted = granted
        return wanted

    def _pause(self, seconds: float) -> None:
        if seconds > 0 and self._closing.wait(seconds):
            raise Dropped

    def _drain(self) -> None:
        """Wait until the client's kernel has the bytes: a reset would throw them away."""
        unsent = array.array("i", [1])
        give_up = time.monotonic() + 5
        while unsent[0] and time.monotonic() < give_up and not self._closing.is_set():
            fcntl.ioctl(self._connection, termios.TIOCOUTQ, unsent)
            time.sleep(0.002)


def reset(connection: socket.socket) -> None:
    """Make the close that follows a TCP reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _is_packed(request: Request, reply: Reply) -> bool:
    """Whether the Hub compresses an answer: JSON that is not short, for who takes it."""
    return (
        "gzip" in request.headers.get("accept-encoding", "")
        and reply.headers.get("Content-Type", "").startswith("application/json")
        and len(reply.body) >= _WORTH_PACKING
    )


def _is_plain(fault: Fault) -> bool:
    return (
        fault.drop_after is None
        and fault.reset_after is None
        and fault.stall_after is None
        and fault.flip_at is None
        and fault.rate is None
        and not (fault.extra_bytes or fault.chunked or fault.header_delay_s)
    )


def _distort(request: Request, reply: Reply, fault: Fault, url: str) -> None:
    """Turn the true answer into another one, where the fault says so."""
    if fault.redirect is not None:
        reply.status = fault.status or 302
        reply.headers["Location"] = fault.redirect.format(here=url)
        reply.body, reply.is_data = b"", False
    elif fault.status is not None:
        reply.status = fault.status
        reply.body, reply.is_data = fault.body or b"", False
        for name in ("Location", "Accept-Ranges", "ETag"):
            reply.headers.pop(name, None)
    elif fault.body is not None:
        reply.body, reply.is_data = fault.body, False
    if fault.endless:
        turn = request.query.get("cursor", ["0.0"])[0].rpartition(".")[2]
        query = {**request.query, "cursor": [f"0.{int(turn) + 1}"]}
        page = url.partition("?")[0] + "?" + urlencode(query, doseq=True)
        reply.headers["Link"] = f'<{page}>; rel="next"'


def _apply_range(request: Request, reply: Reply, fault: Fault) -> int:
    """Cut the body to the range that was asked for; the offset at which it begins."""
    if not reply.is_data:
        return 0
    if fault.etag is not None:
        reply.headers["ETag"] = fault.etag
    size = len(reply.body)
    part = parse_range(request.headers.get("range"), size)
    condition = request.headers.get("if-range")
    if condition is not None and condition not in {
        reply.headers.get("ETag"),
        reply.headers.get("Last-Modified"),
    }:
        part = None
    if part is None or fault.ignore_range:
        return 0
    start, end = part
    if start == end:
        reply.status = 416
        reply.headers["Content-Range"] = f"bytes */{size}"
        reply.body = b""
        return 0
    reply.status = reply.part_status
    reply.headers["Content-Range"] = fault.content_range or f"bytes {start}-{end - 1}/{size}"
    if end - start < size:
        reply.body = reply.body[start:end]
    return start


def _head(reply: Reply) -> bytes:
    reason = HTTPStatus(reply.status).phrase if reply.status in set(HTTPStatus) else "Unknown"
    lines = [f"HTTP/1.1 {reply.status} {reason}"]
    lines += [f"{name}: {value}" for name, value in reply.headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", errors="replace")


def _chunk(data: bytes | memoryview) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _flipped(data: bytes | memoryview, index: int) -> bytes:
    changed = bytearray(data)
    changed[index] ^= 1
    return bytes(changed)
