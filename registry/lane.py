"""Bring a piece of a file after the other over one connection at a time."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from . import addresses
from .failures import TransientError
from .headers import ContentRange, plain
from .mismatch import differs, explanation_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .arrivals import Arrivals, Expected
    from .errors import IntegrityError
    from .http import Http, Response
    from .mismatch import BadContentError
    from .route import Remote, Route
    from .spans import Piece

ENOUGH_TO_TELL = 64 << 10
"""Bytes of a wrong document that show what it is."""
ANSWERS_UNTIL_WARM = 5
"""TCP's slow start takes about so long until a new connection brings as much as the others."""
_RATE_OVER_S = 0.25
_LITTLE = 16 << 10
_SLOW = 20_000_000
_GATHER_S = 0.01
"""On links slower than `_SLOW` bytes per second, packets are let gather for so long: taking each of
them as it comes costs ten times the processor time. Far less than what the kernel has room for."""


class StartOverError(Exception):
    """What is here does not belong to what the server has: all of it must be fetched anew."""


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
        self._is_warm = False
        """Its connection is open still, and has found its speed."""
        self._warm_at = 0.0
        """Before that it brings less than it will, and should not lose its piece for that."""
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
                    self.piece = arrivals.piece(
                        self.route, len(arrivals.at_work()), self.rate, is_warm=self._is_warm
                    )

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
                    self.route.answer_s = answer_s = self.heard_at - began
                    if not self._is_warm:
                        self._warm_at = self.heard_at + ANSWERS_UNTIL_WARM * answer_s
                    # From here on it is waited for when it is to stop.
                    self._response = response
                    if self._goes_on():
                        self._begin(response, piece, headers, remote)
                self._receive(response, piece)
                self._is_warm = response.is_at_end
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
        if len(arrivals.at_work()) > 1:
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
                    count = arrivals.claim(piece, view, count) if self._goes_on() else 0
                    if count:
                        arrivals.partial.write(piece.position, view[:count])
                except BaseException:
                    arrivals.follower.give_back(buffer)
                    raise
            if not count:
                arrivals.follower.give_back(buffer)
                break
            self.heard_at = time.monotonic()
            arrivals.came(self, piece, buffer, count, self.heard_at)
            self.received += count
            self._measure(piece)
            arrivals.limiter.spent(count)
            self.heard_at = time.monotonic()  # waiting to be within a limit is no silence
            if count < _LITTLE and piece.left and (self.rate or _SLOW) < _SLOW:
                time.sleep(_GATHER_S)
        if piece.left and self._goes_on():
            raise self._broken_off(response)

    def _measure(self, piece: Piece) -> None:
        since, before = self._rate_since
        is_over = self.heard_at - since >= _RATE_OVER_S
        if is_over or (self.rate is None and not piece.left and self.heard_at > since):
            self.rate = (self.received - before) / (self.heard_at - since)
            if self.heard_at >= self._warm_at:
                piece.rate = self.rate
            self._rate_since = (self.heard_at, self.received)

    def _broken_off(self, response: Response) -> IntegrityError | TransientError:
        done = self._arrivals.division.done.prefix
        if response.length is None and response.status == 200 and done <= ENOUGH_TO_TELL:
            head = self._arrivals.partial.read(0, done)
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
