"""Cut connections off: httpx limits the wait for each byte that comes by a proxy, not for all."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_AGAIN_S = 0.2


class Connections:
    """The open connections of one client to its proxies."""

    def __init__(self) -> None:
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self._lock = threading.Lock()

    def noted(self, event: str, info: Mapping[str, Any]) -> None:
        """Take note of a connection that a request opened: the ``trace`` of httpcore."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            opened = info["return_value"].get_extra_info("socket")
            with self._lock:
                self._sockets.add(opened)

    @contextlib.contextmanager
    def cut_after(self, seconds: float) -> Iterator[Callable[[], bool]]:
        """Cut the connections if the block lasts longer; gives whether that happened.

        All of them are cut, since nobody tells which one a request was given: the others of a
        proxy that behaves so are no loss, and are opened again.
        """
        done, cut = threading.Event(), threading.Event()

        def watch() -> None:
            left = max(0.0, seconds)
            while not done.wait(left):
                cut.set()
                self._cut()
                left = _AGAIN_S  # a connection may have come about just now

        threading.Thread(target=watch, name="deadline", daemon=True).start()
        try:
            yield cut.is_set
        finally:
            done.set()

    def _cut(self) -> None:
        with self._lock:
            sockets = list(self._sockets)
        for opened in sockets:
            cut(opened)


def cut(opened: socket.socket) -> None:
    """End what another thread waits for on a socket."""
    with contextlib.suppress(OSError):  # it may be closed already
        # Not the method of an SSLSocket, which would say good-bye in plain text.
        socket.socket.shutdown(opened, socket.SHUT_RDWR)
