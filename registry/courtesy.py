"""Hold all threads back together when a server asks to slow down.

One answer that says so (429 with ``Retry-After``, or a ``RateLimit`` that is used up) is meant for
whoever asks next, not only for the thread that got it. The Hub counts its API and its files apart.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .failures import ordered_wait_s

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_LONGEST_S = 310.0
"""The Hub counts requests in windows of 300 s."""
_SLOW_DOWN = {429, 503}


class Courtesy:
    """When each server may be asked again. May be used by threads."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._until: dict[tuple[str, bool], float] = {}

    def wait(self, url: str) -> None:
        """Wait until the server of this address may be asked."""
        with self._lock:
            left_s = self._until.get(_counted_as(url), 0) - self._clock()
        if left_s > 0:
            self._sleep(left_s)

    def heard(self, url: str, status: int, headers: Mapping[str, str]) -> None:
        """Take in what an answer says about asking again; header names are in lower case."""
        order = headers if status in _SLOW_DOWN else {"ratelimit": headers.get("ratelimit", "")}
        seconds = ordered_wait_s(order, time.time())
        if seconds is None:
            return
        until = self._clock() + min(seconds, _LONGEST_S)
        with self._lock:
            key = _counted_as(url)
            self._until[key] = max(until, self._until.get(key, 0))


def _counted_as(url: str) -> tuple[str, bool]:
    parts = urlsplit(url)
    return parts.netloc, parts.path.startswith("/api/")
