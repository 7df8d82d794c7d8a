"""Find out whether a further place at the same time brings more: it stays only if it does.

Places may share a bottleneck, most often the user's own link; then a second one brings nothing.
"""

from __future__ import annotations

from typing import Literal

_WORTH = 1.25
"""What a further place must bring, as a ratio, to be kept."""
_WINDOW_S = 4.0
_PATIENCE_S = 12.0
"""How long a further place may take until its number of connections is found."""
_WORTH_TRYING_S = 30.0
"""A download that takes less long is left alone."""

Advice = Literal["stay", "add", "drop"]


class Spread:
    """Whether to have one more place at work. Seconds are of any monotonic clock."""

    def __init__(self) -> None:
        self._window: tuple[float, int] | None = None
        self._before: float | None = None
        """The rate without the place that is being tried."""
        self._added_at = 0.0

    def observe(
        self, now: float, received: int, *, settled: bool, seconds_left: float, others: bool
    ) -> Advice:
        """Take note of how things stand, and say what to do.

        Args:
            received: bytes that came so far, from all places.
            settled: no place is changing its number of connections.
            seconds_left: how long the rest takes at the present rate.
            others: there is a place that was not tried yet.
        """
        trying = self._before is not None
        if trying and now - self._added_at > _PATIENCE_S:
            settled = True
        if not settled or not (trying or (others and seconds_left > _WORTH_TRYING_S)):
            self._window = None
            return "stay"
        if self._window is None:
            self._window = (now, received)
        began, count = self._window
        if now - began < _WINDOW_S:
            return "stay"
        rate, self._window = (received - count) / (now - began), None
        if self._before is None:
            self._before, self._added_at = rate, now
            return "add"
        kept, self._before = rate >= _WORTH * self._before, None
        return "stay" if kept else "drop"

    def forget(self) -> None:
        """Begin anew: a place was left."""
        self._window = self._before = None
