"""Keep a download within what its user allows: so many connections, so many bytes a second."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_CONNECTIONS = 16
"""What no server should be asked for by one download."""
_WHOLE_BUFFER = 1 << 30
_A_TENTH_S = 0.1
_LEAST_AT_ONCE = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a download may take."""

    connections: int = 8
    """To one server at the most."""
    bytes_per_s: float | None = None
    """Over all connections; None is as fast as it goes."""


class Limiter:
    """Spreads the bytes of all connections evenly over time."""

    def __init__(
        self,
        bytes_per_s: float | None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._rate = bytes_per_s
        self._monotonic = monotonic
        self._sleep = sleep
        self._lock = threading.Lock()
        self._free_at = monotonic()
        self.at_once = _WHOLE_BUFFER
        """How many bytes should be received in one go."""
        if bytes_per_s is not None:
            self.at_once = max(_LEAST_AT_ONCE, int(bytes_per_s * _A_TENTH_S))

    def spent(self, count: int) -> None:
        """Wait until the next bytes may come; what was not used in time is gone."""
        if self._rate is None:
            return
        with self._lock:
            now = self._monotonic()
            self._free_at = max(self._free_at, now) + count / self._rate
            wait_s = self._free_at - now
        if wait_s > 0:
            self._sleep(wait_s)
