"""Cut off servers that let an answer trickle: httpx limits the wait for each byte, not for all."""

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
    """The open connections of one client, by whom they lead to."""

    def __init__(self) -> None:
        self._sockets: dict[str, WeakSet[socket.socket]] = {}
        self._lock = threading.Lock()

    def noting(self, whom: str) -> Callable[[str, Mapping[str, Any]], None]:
        """Return the ``trace`` for a request that may open a connection."""

        def heard(event: str, info: Mapping[str, Any]) -> None:
            if event.endswith(("connect_tcp.complete", "start_tls.complete")):
                opened = info["return_value"].get_extra_info("socket")
                with self._lock:
                    self._sockets.setdefault(whom, WeakSet()).add(opened)

        return heard

    @contextlib.contextmanager
    def cut_after(self, seconds: float, whom: str) -> Iterator[Callable[[], bool]]:
        """Cut the connections to somebody if the block lasts longer; gives whether that happened.

        All of them are cut, since nobody tells which one a request was given: the others of a
        server that behaves so are no loss, and are opened again.
        """
        done, cut = threading.Event(), threading.Event()

        def watch() -> None:
            left = max(0.0, seconds)
            while not done.wait(left):
                cut.set()
                self._cut(whom)
                left = _AGAIN_S  # a connection may have come about just now

        threading.Thread(target=watch, name="deadline", daemon=True).start()
        try:
            yield cut.is_set
        finally:
            done.set()

    def _cut(self, whom: str) -> None:
        with self._lock:
            sockets = list(self._sockets.get(whom, ()))
        for opened in sockets:
            with contextlib.suppress(OSError):
                # Not the method of an SSLSocket, which would say good-bye in plain text.
                socket.socket.shutdown(opened, socket.SHUT_RDWR)
