"""Find out how many connections are worth having: more only while more of them bring more.

One connection fills most links. Where a server limits each of them, or latency or loss does, the
sum grows with their number; so more are tried, and kept only if they pay. What was found is
looked at again now and then, more and more rarely: links change, and while TCP is still finding its
speed, more connections look better than they are.
"""

from __future__ import annotations

from dataclasses import dataclass

_WORTH = 1.25
"""What twice as many connections must bring, as a ratio, to be kept."""
_AS_GOOD = 0.92
"""What half as many must bring to be enough."""
_SECOND_STEP = 4
_FAR_S = 0.1
_FIRST_WINDOW_S = 0.05
_LEAST_WINDOW_S = 0.1
_LONGEST_WINDOW_S = 1.5
_ANSWERS_A_WINDOW = 2
_PATIENCE_S = 2.0
"""How long connections that were asked for may take to bring something."""
_FIRST_LOOK_S = 10.0
_LONGEST_LOOK_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finding:
    connections: int
    rate: float


class Pace:
    """How many connections a download should have now. Seconds are of any monotonic clock.

    Args:
        most: never more than so many.
        now: the present time.
        round_trip_s: to the server and back, if that is known. Far away one connection needs
            seconds until it has found its speed, so several begin.
    """

    def __init__(self, *, most: int, now: float = 0.0, round_trip_s: float | None = None) -> None:
        self.most = most
        self.wanted = min(most, _SECOND_STEP) if (round_trip_s or 0) >= _FAR_S else 1
        """How many connections there should be."""
        self._base: _Finding | None = None
        self._began_s = now
        self._window: tuple[float, int] | None = None
        self._look_at = float("inf")
        self._look_after_s = _FIRST_LOOK_S
        self._upwards = False

    def observe(
        self, now: float, received: int, *, at_work: int, delivering: int, answer_s: float
    ) -> None:
        """Take note of how things stand.

        Args:
            received: bytes that came so far, over all connections.
            at_work: connections that there are; those that are too many end with their pieces.
            delivering: connections that have brought something.
            answer_s: how long a request takes until its first byte.
        """
        if now >= self._look_at:
            self._look_at = float("inf")
            self._restart_window(now)
        if self._look_at != float("inf"):
            return
        if self._window is None:
            enough = delivering >= self.wanted or now - self._began_s >= _PATIENCE_S
            if delivering and enough and at_work <= self.wanted:
                self._window = (now, received)
            return
        began, before = self._window
        length = min(_LONGEST_WINDOW_S, max(_LEAST_WINDOW_S, _ANSWERS_A_WINDOW * answer_s))
        if self._base is None and self.wanted == 1:
            length = max(_FIRST_WINDOW_S, min(_LONGEST_WINDOW_S, answer_s))
        if now - began >= length:
            self._judge(now, (received - before) / (now - began))

    @property
    def is_settled(self) -> bool:
        """Whether nothing is being tried just now."""
        return self._look_at != float("inf")

    def hold_back(self) -> None:
        """The server asked for less: there will not be so many any more."""
        self.most = self.wanted = max(1, self.wanted // 2)
        self._base = None
        self._look_at = float("inf")
        self._window = None

    def _judge(self, now: float, rate: float) -> None:
        found = _Finding(connections=self.wanted, rate=rate)
        base, self._base = self._base, found
        if base is None:
            self._try_next(now, found)
        elif found.connections > base.connections:
            if rate >= _WORTH * base.rate:
                self._try_next(now, found)
            else:
                self._settle(now, base)
        elif found.connections < base.connections:
            if rate >= _AS_GOOD * base.rate:
                self._try_next(now, found)
            else:
                self._settle(now, base)
        else:
            self._try_next(now, found)

    def _try_next(self, now: float, found: _Finding) -> None:
        """Go one step further in the direction that is being looked at."""
        down = not self._upwards and self._look_after_s > _FIRST_LOOK_S
        if down and found.connections > 1:
            self.wanted = found.connections // 2
        elif not down and found.connections < self.most:
            step = _SECOND_STEP if found.connections == 1 else 2 * found.connections
            self.wanted = min(self.most, step)
        else:
            self._settle(now, found)
            return
        self._restart_window(now)

    def _settle(self, now: float, best: _Finding) -> None:
        self.wanted = best.connections
        self._base = None
        self._look_at = now + self._look_after_s
        self._look_after_s = min(_LONGEST_LOOK_S, 3 * self._look_after_s)
        self._upwards = self.wanted == 1 or (not self._upwards and self.wanted < self.most)

    def _restart_window(self, now: float) -> None:
        self._began_s = now
        self._window = None
