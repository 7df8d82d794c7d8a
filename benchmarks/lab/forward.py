"""Pass IP packets between two TUN devices with latency, loss and a rate: ``forward.py A B …``.

A and B are inherited file descriptors. Packets from A to B may be lost at random; both ways have
the delay and the rate. A way that is rate-limited queues so many bytes and drops what is beyond.
Ends on SIGTERM and tells what it passed on.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import select
import signal
import sys
import time
from collections import deque

_AT_ONCE = 64
_LARGEST = 4096


class Way:
    """One direction."""

    def __init__(
        self, source: int, sink: int, *, delay_s: float, loss: float, rate: float, queue: int
    ) -> None:
        self.source = source
        self._sink = sink
        self._delay_s = delay_s
        self._loss = loss
        self._rate = rate
        self._longest_wait_s = queue / rate if rate else 0.0
        self._free_at = 0.0
        self._random = random.Random(source).random
        self._waiting: deque[tuple[float, bytes]] = deque()
        self.passed = self.lost = self.overflowed = 0

    def take(self) -> None:
        """Read what is there; the delay is the same for all, so they stay in order."""
        for _ in range(_AT_ONCE):
            try:
                packet = os.read(self.source, _LARGEST)
            except BlockingIOError:
                return
            now = time.monotonic()
            if self._loss and self._random() < self._loss:
                self.lost += 1
                continue
            if self._rate:
                free_at = max(now, self._free_at)
                if free_at - now > self._longest_wait_s:
                    self.overflowed += 1
                    continue
                now = self._free_at = free_at + len(packet) / self._rate
            self._waiting.append((now + self._delay_s, packet))

    def give(self, now: float) -> float:
        """Write what is due; return when the next is."""
        waiting = self._waiting
        while waiting and waiting[0][0] <= now:
            with contextlib.suppress(OSError):  # the device may be down, or its queue full
                os.write(self._sink, waiting.popleft()[1])
                self.passed += 1
        return waiting[0][0] if waiting else float("inf")


def main() -> None:
    """Forward until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("a", type=int)
    parser.add_argument("b", type=int)
    parser.add_argument("--delay-s", type=float, required=True, help="one way")
    parser.add_argument("--loss", type=float, default=0, help="share of the packets from A to B")
    parser.add_argument("--rate", type=float, default=0, help="bytes per second each way")
    parser.add_argument("--queue", type=int, default=1 << 20, help="bytes")
    options = parser.parse_args()
    common = {"delay_s": options.delay_s, "rate": options.rate, "queue": options.queue}
    there = Way(options.a, options.b, loss=options.loss, **common)
    back = Way(options.b, options.a, loss=0, **common)
    for way in (there, back):
        os.set_blocking(way.source, False)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    by_source = {way.source: way for way in (there, back)}
    try:
        while True:
            now = time.monotonic()
            due = min(there.give(now), back.give(now))
            wait = None if due == float("inf") else max(0.0, due - time.monotonic())
            for source in select.select(list(by_source), [], [], wait)[0]:
                by_source[source].take()
    finally:
        told = {
            name: {"passed": way.passed, "lost": way.lost, "overflowed": way.overflowed}
            for name, way in (("a to b", there), ("b to a", back))
        }
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
