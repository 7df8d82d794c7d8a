"""Keep a download within what its user allows: connections, bytes a second, and priority."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_CONNECTIONS = 16
"""What no server should be asked for by one download."""
_RATE = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,3}))?\s*([kKmMgG]?)i?[bB]?(?:/s)?")
_UNITS = {"": 1, "k": 1000, "m": 1_000_000, "g": 1_000_000_000}
_LEAST_RATE = 1000
"""Slower than that, a connection counts as stalled."""
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30, "armv7l": 314, "riscv64": 30}
"""Number of the system call, which Python has no name for."""
_IDLE_CLASS = 3 << 13
_LEAST_URGENT = 19
_WORTH_A_CONNECTION = 100_000
"""Bytes per second."""
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

    @property
    def most_connections(self) -> int:
        """How many are worth having: each of several should bring something all the time."""
        if self.bytes_per_s is None:
            return self.connections
        return max(1, min(self.connections, int(self.bytes_per_s // _WORTH_A_CONNECTION)))


def parse_rate(text: str) -> float:
    """Read bytes per second: ``500k``, ``2M``, ``1.5MB/s``; units are powers of 1000.

    Raises:
        UsageError: it is no rate, or so slow that it would count as a stall.
    """
    match = _RATE.fullmatch(text.strip())
    if match is not None:
        fraction = match[2] or ""
        rate = int(match[1] + fraction) * _UNITS[match[3].lower()] / float(10 ** len(fraction))
        if rate >= _LEAST_RATE:
            return rate
    raise UsageError(
        f"'{text}' is not a rate",
        cause=["a rate is bytes per second with a unit, like 500k or 2M; 1k is the least"],
    )


def give_way() -> None:
    """Let all other programs go first, at the processor and at the disk, from now on.

    Threads that are started later give way too. What the system does not allow is left out.
    """
    with contextlib.suppress(OSError):
        os.nice(_LEAST_URGENT)
    number = _IOPRIO_SET.get(os.uname().machine)
    if number is not None:
        import ctypes

        who_is_a_process = 1
        ctypes.CDLL(None).syscall(number, who_is_a_process, 0, _IDLE_CLASS)


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
