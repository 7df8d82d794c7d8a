"""Have connections at work at one place: how many, and what it means when they fail."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .errors import NetworkError
from .failures import TransientError
from .http import LEAST_RATE
from .lane import Lane, StartOverError
from .pace import Pace

if TYPE_CHECKING:
    from collections.abc import Callable

    from .arrivals import Arrivals
    from .http import Http
    from .retries import Retries
    from .route import Route

_TICK_S = 0.1
_AT_ONCE_AFTER = 1 << 20
"""A connection that brought so much before it broke is followed by the next without a wait."""
_LEAST_PROGRESS = 16 << 10
_STALLED_AFTER_S = 3.0
_ANSWERS_TO_BE_WORTH_IT = 10
"""A new connection that would have less time than so many answers take comes too late."""


class Crew:
    """The connections to one place.

    Args:
        most: so many connections at the most.
    """

    def __init__(
        self, http: Http, route: Route, arrivals: Arrivals, *, most: int, retries: Retries
    ) -> None:
        self.route = route
        self._http = http
        self._arrivals = arrivals
        self._threads: list[Lane] = []
        far = route.round_trip_s
        self._pace = Pace(most=most, now=time.monotonic(), round_trip_s=far)
        self._patience = _Patience(arrivals, retries, http.monotonic)

    @property
    def is_settled(self) -> bool:
        """Whether the number of connections was found, for now."""
        return self._pace.is_settled

    def set_to_work(self, now: float) -> None:
        """Have as many connections as are worth it, once all failures have been looked at.

        All that is shared is locked meanwhile.
        """
        arrivals, route = self._arrivals, self.route
        if any(lane.error is not None and not lane.is_unwanted for lane in self._threads):
            return
        lanes = arrivals.at_work(route)
        delivering = sum(1 for lane in lanes if lane.received)
        self._pace.observe(
            now,
            route.received,
            at_work=len(lanes),
            delivering=delivering,
            answer_s=route.answer_s,
        )
        wanted = self._pace.wanted if self._may_be_divided() else 1
        if arrivals.seconds_left < _ANSWERS_TO_BE_WORTH_IT * route.answer_s:
            wanted = min(wanted, max(1, len(lanes)))
        for lane in lanes:
            if lane.piece is not None:
                waited = now - lane.heard_at
                lane.piece.stalled = waited > max(_STALLED_AFTER_S, 10 * route.answer_s)
        # Who is too many ends with its piece: a connection that has found its speed is worth it.
        for number, lane in enumerate(sorted(lanes, key=_how_far)):
            lane.is_last_piece = number >= wanted
        for _ in range(wanted - len(lanes)):
            piece = arrivals.piece(route, len(arrivals.at_work()) + 1)
            if piece is None:
                break
            lane = Lane(self._http, route, arrivals, piece)
            arrivals.follower.allow(len(arrivals.lanes) + 1)
            arrivals.lanes.append(lane)
            self._threads.append(lane)
            lane.start()

    def _may_be_divided(self) -> bool:
        arrivals = self._arrivals
        if not self.route.takes_ranges or arrivals.partial.in_order:
            return False
        return arrivals.expected.sha256 is not None or self.route.key in arrivals.validators

    def look_at_the_ended(self, *, alone: bool) -> None:
        """Take note of connections that ended, and decide what their failures mean.

        Nobody waits for a place that is not ``alone``.

        Raises:
            StartOverError: what is here does not belong to what this place has.
            NetworkError: this place gives nothing any more.
            Exception: whatever else ended a connection.
        """
        ended = [lane for lane in self._threads if not lane.is_alive()]
        self._threads = [lane for lane in self._threads if lane not in ended]
        failed = [lane for lane in ended if lane.error is not None and not lane.is_unwanted]
        if not failed:
            return
        # One failure stands for all that came with it: the heaviest.
        lane = max(failed, key=_weight)
        match lane.error:
            case TransientError() as error if self._threads and not error.retry_after_s:
                # The others go on; that one more gets nothing may be a limit.
                if lane.received < _LEAST_PROGRESS:
                    self._pace.hold_back()
            case TransientError() as error:
                if error.retry_after_s:
                    self._pace.hold_back()
                    self.stop()
                if not alone and lane.received < _AT_ONCE_AFTER:
                    raise NetworkError(error.message, cause=error.cause)
                self._patience.failed(error, at_once=lane.received >= _AT_ONCE_AFTER)
            case BaseException() as error:
                raise error

    def begin_anew(self, reason: str) -> None:
        """Take note that everything was thrown away."""
        self._patience.failed(TransientError(reason, retry_after_s=0))

    def stop(self) -> None:
        """End all connections; none of them writes any more then."""
        with self._arrivals.changed:
            for lane in self._threads:
                lane.stop()
        while self._threads:
            # Only who was waited for is forgotten: an interrupt may come at any moment.
            lane = self._threads[0]
            while lane.is_receiving and lane.is_alive():
                lane.join(_TICK_S)
            self._arrivals.dismiss(lane)
            self._threads.remove(lane)


class _Patience:
    """Tells failures in a row from failures on the way: progress renews it."""

    def __init__(
        self, arrivals: Arrivals, retries: Retries, monotonic: Callable[[], float]
    ) -> None:
        self._arrivals = arrivals
        self._retries = retries
        self._monotonic = monotonic
        self._before = arrivals.received
        self._since = monotonic()

    def failed(self, error: TransientError, *, at_once: bool = False) -> None:
        """Wait before the next try; raises `NetworkError` if there should be none."""
        now, received = self._monotonic(), self._arrivals.received
        progressed = received - self._before >= self._least(now - self._since)
        if progressed:
            self._before, self._since = received, now
        self._retries.pause(error, progressed=progressed, at_once=at_once)

    def _least(self, seconds: float) -> float:
        """Return how many new bytes renew the patience: a byte a time would take for ever."""
        least = max(1, min(_LEAST_PROGRESS, self._arrivals.expected.size_bytes // 1000))
        return max(least, LEAST_RATE * seconds)


def _weight(lane: Lane) -> tuple[bool, bool, float, int]:
    """Order failures: those that nothing can be done about first, then who asks to wait longest."""
    error = lane.error
    transient = isinstance(error, TransientError)
    wait_s = error.retry_after_s or 0 if isinstance(error, TransientError) else 0
    return not transient, not isinstance(error, StartOverError), wait_s, lane.received


def _how_far(lane: Lane) -> int:
    return lane.piece.position if lane.piece is not None else 0
