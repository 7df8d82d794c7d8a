"""Leave nothing behind when a benchmark is told to stop."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def stopped_in_order() -> Iterator[None]:
    """Turn Ctrl-C, SIGTERM and a closed terminal into an exit that runs every clean-up."""

    kinds = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(number: int, _frame: object) -> None:
        for kind in kinds:  # a second Ctrl-C must not break off the clean-up
            signal.signal(kind, signal.SIG_IGN)
        sys.exit(128 + number)

    before = {kind: signal.signal(kind, stop) for kind in kinds}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
