"""A TCP proxy before the CDN that drops connections, bounds the rate, and counts the content."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import re
import socket
import struct
import termios
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_PIECE = 16 << 10
_SEND_BUFFER = 64 << 10
_END_OF_HEAD = b"\r\n\r\n"
_HEAD_MOST = 64 << 10


class Proxy:
    """Passes bytes on; what it counts is content, without the heads of the answers.

    Args:
        upstream: the port of the CDN on the loopback.
        drop_after: content bytes after which a connection is closed; 0: never.
        reset: close with RST instead of FIN.
        rate: content bytes per second over all connections together; 0: unbounded.
    """

    def __init__(
        self, upstream: int, *, drop_after: int = 0, reset: bool = False, rate: float = 0
    ) -> None:
        self._upstream = upstream
        self._drop_after = drop_after
        self._reset = reset
        self.rate = rate
        self._free_at = 0.0
        self.port = 0
        self.delivered = 0
        """Content bytes that clients' kernels have acknowledged, of all connections."""
        self.answers = 0
        self.drops = 0
        self.open = 0
        """Connections that are not finished."""

    def forget(self) -> None:
        """Count from nothing again; for when no connection is open."""
        self.delivered = self.answers = self.drops = 0

    def settled(self) -> None:
        """Wait until the connections of a client that is gone have ended."""
        until = time.monotonic() + 5
        while self.open and time.monotonic() < until:
            time.sleep(0.001)

    async def serve(self, started: threading.Event, stop: asyncio.Event) -> None:
        """Accept connections until told to stop."""
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, limit=_PIECE)
        self.port = int(server.sockets[0].getsockname()[1])
        started.set()
        async with server:
            await stop.wait()
        begun = asyncio.all_tasks() - {asyncio.current_task()}
        for task in begun:
            task.cancel()
        await asyncio.gather(*begun, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        upstream_writer = None
        counted = 0
        try:
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
            writer.transport.set_write_buffer_limits(0)
            upstream, upstream_writer = await asyncio.open_connection(
                "127.0.0.1", self._upstream, limit=_PIECE
            )
            answering = _Answering(upstream)
            asking = asyncio.create_task(_ask(reader, upstream_writer, answering))
            try:
                async for piece, content in self._pieces(answering):
                    await self._in_turn(content)
                    writer.write(piece)
                    await writer.drain()
                    counted += content
                    self.delivered += content
                    if self._drop_after and counted >= self._drop_after:
                        await _acknowledged(raw)
                        self.drops += 1
                        if self._reset:
                            linger = struct.pack("ii", 1, 0)
                            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                        return
            finally:
                asking.cancel()
        except OSError:
            pass  # one of the two sides is gone
        finally:
            # What the client's kernel never acknowledged did not arrive.
            self.delivered -= min(counted, _unacknowledged(writer))
            for side in (writer, upstream_writer):
                if side is not None:
                    side.transport.abort() if side is upstream_writer else side.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            self.open -= 1

    async def _pieces(self, answering: _Answering) -> AsyncIterator[tuple[bytes, int]]:
        """Yield bytes to pass on, and how many of them are content."""
        left = self._drop_after or float("inf")
        while True:
            head, length = await answering.head()
            if not head:
                return
            self.answers += 1
            yield head, 0
            while length:
                piece = await answering.body(min(length, _PIECE, int(min(left, _PIECE))))
                if not piece:
                    return
                length -= len(piece)
                left -= len(piece)
                yield piece, len(piece)

    async def _in_turn(self, size: int) -> None:
        if not self.rate or not size:
            return
        now = time.monotonic()
        self._free_at = max(now - 0.02, self._free_at) + size / self.rate
        if self._free_at > now:
            await asyncio.sleep(self._free_at - now)


class _Answering:
    """Splits what a server sends into heads and bodies."""

    def __init__(self, upstream: asyncio.StreamReader) -> None:
        self._upstream = upstream
        self.to_head = False
        """Whether the answer that comes next has no body."""
        self._rest = b""

    async def head(self) -> tuple[bytes, int]:
        """Return the next answer's head and the length of its body; nothing at the end."""
        text = self._rest
        while _END_OF_HEAD not in text and len(text) < _HEAD_MOST:
            piece = await self._upstream.read(_PIECE)
            if not piece:
                return b"", 0
            text += piece
        head, _, self._rest = text.partition(_END_OF_HEAD)
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        return head + _END_OF_HEAD, 0 if self.to_head or length is None else int(length.group(1))

    async def body(self, most: int) -> bytes:
        """Return a piece of the body."""
        piece = self._rest[:most] or await self._upstream.read(most)
        self._rest = self._rest[most:]
        return piece


async def _ask(
    reader: asyncio.StreamReader, upstream: asyncio.StreamWriter, answering: _Answering
) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(_PIECE):
            answering.to_head = piece.startswith(b"HEAD ")
            upstream.write(piece)
            await upstream.drain()
        upstream.transport.abort()  # the client is gone: so is the answer


def _unacknowledged(writer: asyncio.StreamWriter) -> int:
    raw = writer.get_extra_info("socket")
    count = bytearray(4)
    with contextlib.suppress(OSError, ValueError):
        fcntl.ioctl(raw.fileno(), termios.TIOCOUTQ, count)
    waiting = writer.transport.get_write_buffer_size()
    return int(struct.unpack("i", count)[0]) + waiting


async def _acknowledged(raw: socket.socket) -> None:
    """Wait until all that was sent has arrived, so that a reset takes nothing back."""
    count = bytearray(4)
    while True:
        fcntl.ioctl(raw.fileno(), termios.TIOCOUTQ, count)
        if not any(count):
            return
        await asyncio.sleep(0.001)


@contextmanager
def proxying(
    upstream: int, *, drop_after: int = 0, reset: bool = False, rate: float = 0
) -> Iterator[Proxy]:
    """Run a proxy in a thread until the block is left."""
    proxy = Proxy(upstream, drop_after=drop_after, reset=reset, rate=rate)
    started = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    thread = threading.Thread(
        target=loop.run_until_complete, args=[proxy.serve(started, stop)], daemon=True
    )
    thread.start()
    started.wait()
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(timeout=5)
