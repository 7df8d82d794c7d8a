"""Open a connection to a host in bounded time, by whichever of its addresses answers first.

Many homes have an IPv6 address that leads nowhere; waiting for it before IPv4 is tried would cost
a connection's whole time. So the next address is tried a quarter of a second later (RFC 8305).
"""

from __future__ import annotations

import errno
import os
import select
import socket
import threading
import time
from queue import Empty, SimpleQueue
from typing import Any

_NEXT_AFTER_S = 0.25
_MOST_ADDRESSES = 8
_BEGUN = {0, errno.EINPROGRESS, errno.EWOULDBLOCK}

Address = tuple[socket.AddressFamily, tuple[Any, ...]]


def connect(host: str, port: int, seconds: float | None) -> socket.socket:
    """Return a connected socket, within so many seconds in all.

    Raises:
        TimeoutError: that took too long.
        OSError: the host has no address, or none of them takes the connection.
    """
    until = None if seconds is None else time.monotonic() + seconds
    waiting = _interleaved(_resolved(host, port, seconds))[:_MOST_ADDRESSES]
    trying: dict[int, socket.socket] = {}
    failure: OSError = OSError(f"{host} has no address")
    poll = select.poll()
    try:
        while waiting or trying:
            if waiting:
                try:
                    begun = _begin(waiting.pop(0))
                except OSError as error:
                    failure = error
                    continue
                trying[begun.fileno()] = begun
                poll.register(begun, select.POLLOUT)
            left = _left(until)
            pause = _NEXT_AFTER_S if waiting else left
            for number, _ in poll.poll(None if pause is None else 1000 * min(pause, left or pause)):
                poll.unregister(number)
                done = trying.pop(number)
                error_number = done.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if not error_number:
                    return done
                done.close()
                failure = OSError(error_number, os.strerror(error_number))
        raise failure
    finally:
        for other in trying.values():
            other.close()


def _begin(address: Address) -> socket.socket:
    family, where = address
    begun = socket.socket(family, socket.SOCK_STREAM)
    begun.setblocking(False)
    number = begun.connect_ex(where)
    if number not in _BEGUN:
        begun.close()
        raise OSError(number, os.strerror(number))
    return begun


def _left(until: float | None) -> float | None:
    if until is None:
        return None
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("no address answered in time")
    return left


def _resolved(host: str, port: int, seconds: float | None) -> list[Address]:
    """Look a name up; the system's resolver knows no time-out of ours, so it has its own thread."""
    found: SimpleQueue[list[Address] | Exception] = SimpleQueue()

    def look_up() -> None:
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.put([(family, where) for family, _, _, _, where in answers])
        except Exception as error:  # noqa: BLE001 - raised by who waits
            found.put(error)

    threading.Thread(target=look_up, name="name", daemon=True).start()
    try:
        result = found.get(timeout=seconds)
    except Empty:
        raise TimeoutError(f"the name {host} was not resolved in time") from None
    if isinstance(result, Exception):
        raise result
    return result


def _interleaved(addresses: list[Address]) -> list[Address]:
    """Put addresses of the other family between those of the first, which the system prefers."""
    first = [a for a in addresses if a[0] == addresses[0][0]]
    others = [a for a in addresses if a[0] != addresses[0][0]]
    mixed: list[Address] = []
    while first or others:
        mixed += first[:1] + others[:1]
        first, others = first[1:], others[1:]
    return mixed
