"""Waiting for what other processes do."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def wait_until(done: Callable[[], bool], *, at_most_s: float = 30) -> None:
    """Wait for something that another process does."""
    end = time.monotonic() + at_most_s
    while not done():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.01)
