"""What all connections of one download share: what is here, from where, and who brings the rest."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .errors import NetworkError
from .lane import ANSWERS_UNTIL_WARM
from .spans import Spans

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .follower import Follower
    from .lane import Lane
    from .limits import Limiter
    from .partial import Partial
    from .route import Route
    from .spans import Division, Piece

_LEAST_STRIDE = 4 << 20
_MOST_STRIDE = 64 << 20
_ANSWERS_A_STRIDE = 25
"""A request costs the time of one answer; a piece should take so many times as long."""
_LONGER_BY_SECOND = 20
"""Where an answer takes long, so does TCP until it has found its speed: pieces are longer."""
_LEAST_THEFT_S = 0.2
_TELL_EVERY_S = 0.05
_LAX_AFTER = 2
_MOST_RESTARTS = 8
"""A server that cannot go on may be begun anew with so often; the file would never be whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What is known of the whole file before it is here."""

    name: str
    size_bytes: int
    sha256: str | None


@dataclass(kw_only=True)
class Arrivals:
    """What the connections of one download share. All of it is guarded by ``changed``."""

    expected: Expected
    partial: Partial
    division: Division
    follower: Follower
    limiter: Limiter
    validators: dict[str, str] = field(default_factory=dict)
    """By `Route.key`, under which ETag or date bytes of this version came."""
    changed: threading.Condition = field(default_factory=threading.Condition)
    resumed: int = 0
    """Bytes that an earlier process had left, as far as they are used."""
    received: int = 0
    """Bytes that came in this process."""
    requests: int = 0
    lanes: list[Lane] = field(default_factory=list)
    """Those that may still bring something."""
    reasons: list[str] = field(default_factory=list)
    """Why something is fetched anew, as far as nobody has been told."""
    restarts: int = 0
    is_stopping: bool = False
    origins: dict[Route, Spans] = field(default_factory=dict)
    """What of that which is here came from which place, in this process."""
    doubted: list[tuple[Route | None, Spans]] = field(default_factory=list)
    """What came before under a wrong digest, and from where, while it is fetched anew."""
    liars: list[Route] = field(default_factory=list)
    """Those whose bytes another place contradicted."""
    _told_at: float = 0.0
    _told_of_damage: bool = False

    def piece(
        self, route: Route, connections: int, rate: float | None = None, *, is_warm: bool = False
    ) -> Piece | None:
        """Hold what one of so many connections should bring; None if nothing is worth it.

        ``rate`` is what it brought lately, in bytes per second, if that is known. It ``is_warm``
        if it is open and has found its speed.
        """
        rate = rate or self._best_rate(route)
        least = _LEAST_STRIDE * (1 + _LONGER_BY_SECOND * route.answer_s)
        stride = int(max(least, _ANSWERS_A_STRIDE * rate * route.answer_s))
        stride = min(stride, _MOST_STRIDE)
        piece = self.division.take(None if connections == 1 else stride)
        if piece is None:
            begins_s = route.answer_s * (1 if is_warm else 1 + ANSWERS_UNTIL_WARM)
            least_s = 2 * begins_s + _LEAST_THEFT_S
            piece = self.division.steal(stride, rate=rate, least_s=least_s, answer_s=begins_s)
        return piece

    def _best_rate(self, route: Route) -> float:
        rates = [lane.rate for lane in self.at_work(route) if lane.rate is not None]
        return max(rates, default=0.0)

    def at_work(self, route: Route | None = None) -> list[Lane]:
        """Return the connections that are wanted, to one place or to all."""
        return [
            lane
            for lane in self.lanes
            if not lane.is_unwanted and (route is None or lane.route is route)
        ]

    @property
    def is_lax(self) -> bool:
        """Whether ETags have changed so often that only the SHA-256 decides."""
        return self.expected.sha256 is not None and self.restarts >= _LAX_AFTER

    @property
    def seconds_left(self) -> float:
        """How long the rest will take at the present rate."""
        rate = sum(lane.rate or 0.0 for lane in self.lanes)
        left = self.expected.size_bytes - self.division.done.total
        return left / rate if rate else float("inf")

    def claim(self, piece: Piece, view: memoryview, count: int) -> int:
        """Hold bytes that came for writing them; return how many are still wanted from there.

        Others may have taken over, and brought, what comes too late.
        """
        with self.changed:
            count = self.division.claim(piece, count)
            if self.doubted and count:
                self._compare(piece.position, view[:count])
        return count

    def _compare(self, position: int, data: memoryview) -> None:
        """Find out who had sent other bytes than those that come now."""
        for route, spans in self.doubted:
            if route is None or route in self.liars:
                continue
            for start, end in spans.within(position, position + len(data)):
                if self.partial.read(start, end - start) != data[start - position : end - position]:
                    self.liars.append(route)
                    break

    def came(self, lane: Lane, piece: Piece, buffer: bytearray, count: int, now: float) -> None:
        """Take note of bytes that are in the partial file now."""
        with self.changed:
            position = piece.position
            count = self.division.advance(piece, count)
            self.received += count
            lane.route.received += count
            self.origins.setdefault(lane.route, Spans()).add(position, position + count)
            self.follower.follow(position, buffer, count, prefix=self.division.done.prefix)
            if count:
                self.partial.written(self.division.done)
            if now - self._told_at >= _TELL_EVERY_S or not piece.left:
                self._told_at = now
                self.changed.notify_all()

    def dismiss(self, lane: Lane) -> None:
        """Do without a connection from now on; leave what is missing of its piece to others."""
        with self.changed:
            if lane.piece is not None:
                self.division.release(lane.piece)
                lane.piece = None
            if lane in self.lanes:
                self.lanes.remove(lane)
            self.changed.notify_all()

    def start_over(self, reason: str) -> None:
        """Throw away what is here.

        Raises:
            NetworkError: that happened so often that it leads nowhere.
        """
        self.restarts += 1
        if self.restarts > _MOST_RESTARTS:
            raise NetworkError(
                f"{self.expected.name} had to be begun anew too often",
                cause=[f"{self.restarts} times; at last because {reason}"],
            )
        self.follower.begin()
        self.partial.begin(None)
        self.division.lose(0, self.expected.size_bytes)
        self.resumed = 0
        self.validators.clear()
        self.origins.clear()
        self.doubted.clear()
        self.reasons.append(reason)

    def damaged(self, start: int, end: int) -> None:
        """Fetch bytes anew that have changed on the disk since they came, or cannot be read."""
        with self.changed:
            self._lose([(start, end)])
            self.resumed = max(0, self.resumed - (end - start))
            self.follower.go_back(start)
            # A bad stretch takes many reads, and is one thing to tell; all being lost is another.
            if start == 0 or not self._told_of_damage:
                self._told_of_damage = True
                self.reasons.append("the partial file was damaged on the disk")
            self.changed.notify_all()

    def doubt(self, trusted: Route) -> bool:
        """Fetch all anew that did not come from one place; False if there is no such thing.

        Bytes of several places, or of an earlier run, have a wrong digest together.
        """
        with self.changed:
            kept = self.origins.get(trusted, Spans())
            size = self.expected.size_bytes
            if not kept or not (others := kept.gaps(size)):
                return False
            earlier = Spans(others)
            self.doubted = []
            for route, spans in self.origins.items():
                if route is not trusted:
                    self.doubted.append((route, spans))
                    for start, end in spans:
                        earlier.remove(start, end)
            self.doubted.append((None, earlier))
            self.origins = {trusted: kept}
            self.resumed = 0
            self._lose(others)
            self.follower.go_back(0)
            self.reasons.append("what came from several places does not belong together")
            return True

    def _lose(self, gaps: Iterable[tuple[int, int]]) -> None:
        for start, end in gaps:
            self.division.lose(start, end)
            for spans in self.origins.values():
                spans.remove(start, end)
        self.partial.renounce(self.division.done)
