"""Bring a file over several connections at once: what they share, and what each of them does."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from . import addresses
from .failures import TransientError
from .headers import ContentRange, plain
from .mismatch import differs, explanation_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .errors import IntegrityError
    from .follower import Follower
    from .http import Http, Response
    from .limits import Limiter
    from .mismatch import BadContentError
    from .partial import Partial
    from .route import Remote, Route
    from .spans import Division, Piece

ENOUGH_TO_TELL = 64 << 10
"""Bytes of a wrong document that show what it is."""
_LEAST_STRIDE = 4 << 20
_MOST_STRIDE = 64 << 20
_ANSWERS_A_STRIDE = 25
"""A request costs the time of one answer; a piece should take so many times as long."""
_LONGER_BY_SECOND = 20
"""Where an answer takes long, so does TCP until it has found its speed: pieces are longer."""
_LEAST_THEFT_S = 0.2
_TELL_EVERY_S = 0.05
_RATE_OVER_S = 0.25
_LAX_AFTER = 2
_LITTLE = 16 << 10
_SLOW = 20_000_000
_GATHER_S = 0.01
"""On links slower than `_SLOW` bytes per second, packets are let gather for so long: taking each of
them as it comes costs ten times the processor time. Far less than what the kernel has room for."""


class StartOverError(Exception):
    """What is here does not belong to what the server has: all of it must be fetched anew."""


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
    answer_s: float = 0.0
    """How long a request takes until its first byte."""
    lanes: list[Lane] = field(default_factory=list)
    """Those at work."""
    reasons: list[str] = field(default_factory=list)
    """Why it was started over, as far as nobody has been told."""
    restarts: int = 0
    is_stopping: bool = False
    _told_at: float = 0.0

    def piece(self, connections: int, rate: float | None = None) -> Piece | None:
        """Hold what one of so many connections should bring; None if nothing is worth it.

        ``rate`` is what it brought lately, in bytes per second, if that is known.
        """
        rate = rate or self._best_rate()
        least = _LEAST_STRIDE * (1 + _LONGER_BY_SECOND * self.answer_s)
        stride = int(max(least, _ANSWERS_A_STRIDE * rate * self.answer_s))
        stride = min(stride, _MOST_STRIDE)
        piece = self.division.take(None if connections == 1 else stride)
        if piece is None:
            least_s = 2 * self.answer_s + _LEAST_THEFT_S
            piece = self.division.steal(stride, rate=rate, least_s=least_s)
        return piece

    def _best_rate(self) -> float:
        return max((lane.rate for lane in self.lanes if lane.rate is not None), default=0.0)

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

    def came(self, piece: Piece, buffer: bytearray, count: int, now: float) -> None:
        """Take note of bytes that are in the partial file now."""
        with self.changed:
            position = piece.position
            count = self.division.advance(piece, count)
            self.received += count
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
        """Throw away what is here."""
        self.restarts += 1
        self.follower.begin()
        self.partial.begin(None)
        self.division.lose(0, self.expected.size_bytes)
        self.resumed = 0
        self.validators.clear()
        self.reasons.append(reason)

    def damaged(self, count: int) -> None:
        """The first bytes have changed on the disk since they came: fetch those anew."""
        with self.changed:
            self.division.lose(0, count)
            self.resumed = max(0, self.resumed - count)
            self.partial.sync(self.division.done, None, turn=self.partial.turn)
            self.follower.begin()
            self.reasons.append("the partial file was damaged on the disk")
            self.changed.notify_all()


class Lane(threading.Thread):
    """One connection at a time that brings a piece after the other."""

    def __init__(self, http: Http, route: Route, arrivals: Arrivals, piece: Piece) -> None:
        super().__init__(name="lane", daemon=True)
        self._http = http
        self.route = route
        self._arrivals = arrivals
        self.piece: Piece | None = piece
        self.error: BaseException | None = None
        self.is_last_piece = False
        """There are enough others: no further piece."""
        self.is_unwanted = False
        """It is to end at once, whatever is left of its piece; how it ends does not matter."""
        self.received = 0
        """Bytes that it brought."""
        self.rate: float | None = None
        """Bytes per second lately."""
        self.heard_at = time.monotonic()
        self._response: Response | None = None
        self._rate_since: tuple[float, int] = (self.heard_at, 0)

    def stop(self) -> None:
        """Make it end soon."""
        self.is_unwanted = True
        response = self._response
        if response is not None:
            response.cut()

    @property
    def is_receiving(self) -> bool:
        """Whether it may be writing, so that the file must not be closed."""
        return self._response is not None

    def run(self) -> None:
        """Bring pieces until there are no more."""
        try:
            while (piece := self.piece) is not None and self._goes_on():
                self._bring(piece)
                self._turn_to_the_next()
        except BaseException as error:  # noqa: BLE001 - looked at by who started it
            self.error = error
        finally:
            self._arrivals.dismiss(self)

    def _turn_to_the_next(self) -> None:
        arrivals = self._arrivals
        with arrivals.changed:
            if self.piece is not None:
                arrivals.division.release(self.piece)
                self.piece = None
                if self._goes_on() and not self.is_last_piece:
                    self.piece = arrivals.piece(len(arrivals.lanes), self.rate)

    def _goes_on(self) -> bool:
        return not (self.is_unwanted or self._arrivals.is_stopping)

    # --- one request ----------------------------------------------------------------------------

    def _bring(self, piece: Piece) -> None:
        """Ask once for what is missing of a piece and take what comes."""
        arrivals = self._arrivals
        remote = self.route.located()
        headers = self._headers(piece)
        began = time.monotonic()
        with arrivals.changed:
            arrivals.requests += 1
        with self._http.open("GET", remote.url, headers=headers) as response:
            self.heard_at = time.monotonic()
            self._http.raise_if_transient(response)
            if response.status == 200:
                self._check_length(response)
            try:
                with arrivals.changed:
                    arrivals.answer_s = self.heard_at - began
                    # From here on it is waited for when it is to stop.
                    self._response = response
                    if self._goes_on():
                        self._begin(response, piece, headers, remote)
                self._receive(response, piece)
            finally:
                self._response = None

    def _headers(self, piece: Piece) -> Mapping[str, str]:
        whole = (0, self._arrivals.expected.size_bytes)
        with self._arrivals.changed:
            first, end = piece.position, piece.end
            if (first, end) == whole:
                return {}
            headers = {"Range": f"bytes={first}-{'' if end == whole[1] else end - 1}"}
            validator = self._arrivals.validators.get(self.route.key)
            if validator is not None and not self._arrivals.is_lax:
                headers["If-Range"] = validator
            elif self._arrivals.expected.sha256 is None:
                # Nothing could tell whether the rest belongs to what is here.
                if self._arrivals.division.done:
                    raise StartOverError("the server cannot tell versions of the file apart")
                self.route.takes_ranges = False
                return {}
        return headers

    def _begin(
        self, response: Response, piece: Piece, asked: Mapping[str, str], remote: Remote
    ) -> None:
        """Look at the head of an answer: is what follows what this piece needs?

        Everything is locked meanwhile.
        """
        if response.status == 206:
            self._check_part(response, piece)
        elif response.status == 200:
            self._begin_whole(
                response, piece, asked="Range" in asked, condition=asked.get("If-Range")
            )
        elif response.status == 416 and "Range" in asked:
            self.route.takes_ranges = False
            raise StartOverError("the server has no such part of the file")
        else:
            # A signed address has expired, or the server behind it has changed its mind.
            self.route.forget(remote)
            raise TransientError(
                f"{addresses.host(response.url)} answered {response.status}", retry_after_s=0
            )

    def _check_part(self, response: Response, piece: Piece) -> None:
        span = ContentRange.of(response.headers)
        if span is None or span.first != piece.position:
            self.route.takes_ranges = False
            raise StartOverError("the server sent another part than it was asked for")
        etag = _validator(response)
        known = self._arrivals.validators.get(self.route.key)
        changed = etag is not None and known not in {None, etag} and not self._arrivals.is_lax
        if changed or span.total not in {None, self._arrivals.expected.size_bytes}:
            raise StartOverError("the file changed on the server")
        self._remember(etag or known)

    def _begin_whole(
        self, response: Response, piece: Piece, *, asked: bool, condition: str | None
    ) -> None:
        """Take an answer that carries the file from its beginning."""
        validator = _validator(response)
        if condition is not None and condition != validator:
            self._take_from_the_beginning(piece, "the file changed on the server")
        elif asked:
            self.route.takes_ranges = False
            self._take_from_the_beginning(piece, "the server cannot go on where it stopped")
        self._remember(validator)

    def _check_length(self, response: Response) -> None:
        expected, length = self._arrivals.expected, response.length
        if length is not None and length > expected.size_bytes:
            raise _too_long(expected, length)
        if length is not None and length < expected.size_bytes:
            raise _too_short(expected, length, response.read(ENOUGH_TO_TELL))

    def _take_from_the_beginning(self, piece: Piece, reason: str) -> None:
        """Use an answer that begins anew, unless others are at work."""
        arrivals = self._arrivals
        if len(arrivals.lanes) > 1:
            if self.route.takes_ranges:
                raise StartOverError(reason)
            raise TransientError(f"{self.route.source.place} cannot give a part", retry_after_s=0)
        arrivals.start_over(reason)
        piece.position, piece.end = 0, arrivals.expected.size_bytes

    def _remember(self, validator: str | None) -> None:
        validators = self._arrivals.validators
        if validator is not None and validators.get(self.route.key) != validator:
            validators[self.route.key] = validator
            self._arrivals.partial.describe(validators)

    def _receive(self, response: Response, piece: Piece) -> None:
        arrivals, size = self._arrivals, self._arrivals.expected.size_bytes
        response.require_plain()
        while piece.left and self._goes_on():
            buffer = arrivals.follower.borrow()
            with memoryview(buffer) as view:
                try:
                    count = response.readinto(view[: min(piece.left, arrivals.limiter.at_once)])
                    if response.length is None and piece.position + count == size:
                        self._require_end(response)
                    with arrivals.changed:
                        # Others may have taken over, and brought, what comes here too late.
                        count = arrivals.division.claim(piece, count) if self._goes_on() else 0
                    if count:
                        arrivals.partial.write(piece.position, view[:count])
                except BaseException:
                    arrivals.follower.give_back(buffer)
                    raise
            if not count:
                arrivals.follower.give_back(buffer)
                break
            self.heard_at = time.monotonic()
            arrivals.came(piece, buffer, count, self.heard_at)
            self.received += count
            self._measure(piece)
            arrivals.limiter.spent(count)
            if count < _LITTLE and piece.left and (self.rate or _SLOW) < _SLOW:
                time.sleep(_GATHER_S)
        if piece.left and self._goes_on():
            raise self._broken_off(response)

    def _measure(self, piece: Piece) -> None:
        since, before = self._rate_since
        is_over = self.heard_at - since >= _RATE_OVER_S
        if is_over or (self.rate is None and not piece.left and self.heard_at > since):
            piece.rate = self.rate = (self.received - before) / (self.heard_at - since)
            self._rate_since = (self.heard_at, self.received)

    def _broken_off(self, response: Response) -> IntegrityError | TransientError:
        done = self._arrivals.division.done.prefix
        if response.length is None and response.status == 200 and done <= ENOUGH_TO_TELL:
            head = self._arrivals.partial.read_head(done)
            if explanation_of(head, done) is not None:
                return _too_short(self._arrivals.expected, done, head)
        return TransientError(f"{addresses.host(response.url)} sent less than it had announced")

    def _require_end(self, response: Response) -> None:
        """A body without a length may go on where the file should end, or not be whole."""
        try:
            is_longer = response.readinto(memoryview(bytearray(1)))
        except TransientError:
            if self._arrivals.expected.sha256 is None:
                raise
            return  # the digest decides
        if is_longer:
            raise _too_long(self._arrivals.expected, None)


def _too_long(expected: Expected, length: int | None) -> BadContentError:
    actual = f"{length} bytes" if length is not None else f"more than {expected.size_bytes} bytes"
    return differs(
        f"{expected.name} is longer than announced", f"{expected.size_bytes} bytes", actual
    )


def _too_short(expected: Expected, length: int, head: bytes) -> BadContentError:
    return differs(
        f"{expected.name} is shorter than announced",
        f"{expected.size_bytes} bytes",
        f"{length} bytes",
        explanation_of(head, length),
    )


def _validator(response: Response) -> str | None:
    """Return what can be sent as ``If-Range``: a strong ETag, else a date."""
    etag = plain(response.header("etag"))
    if etag is not None and not etag.startswith("W/"):
        return etag
    return plain(response.header("last-modified"))
