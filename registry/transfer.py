"""Download one file into a partial file, across broken connections, processes and power cuts.

The partial and its journal always describe one version of the file: what cannot be proved to
continue it is thrown away, never appended. Whatever goes wrong on the way, the last word is the
SHA-256 over all bytes.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .durable import disk_errors
from .errors import IntegrityError
from .failures import TransientError
from .follower import Follower
from .headers import ContentRange
from .http import ANOTHER_PLACE, LEAST_RATE
from .journal import Subject
from .lane import ENOUGH_TO_TELL, Arrivals, Expected, Lane, StartOverError
from .limits import Limiter, Limits
from .mismatch import BadContentError, UnwantedContentError, differs, explanation_of
from .pace import Pace
from .partial import Partial
from .progress import NoProgress, Progress
from .route import OF_A_PLACE, Route, first_that_answers, leaving, next_place
from .spans import Division, Spans

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from .errors import RkfetchError
    from .health import Health
    from .http import Http
    from .retries import Retries

__all__ = ["Downloaded", "Limits", "NoProgress", "Progress", "download"]

_TICK_S = 0.1
_SYNC_EVERY_S = 5.0
_SYNC_AFTER_BYTES = 64 << 20
_AT_ONCE_AFTER = 1 << 20
"""A connection that brought so much before it broke is followed by the next without a wait."""
_LEAST_PROGRESS = 16 << 10
_STALLED_AFTER_S = 3.0
_ANSWERS_TO_BE_WORTH_IT = 10
"""A new connection that would have less time than so many answers take comes too late."""
_RESUME_HINT = "what was downloaded is kept: run the same command again to go on"


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloaded:
    """A complete file that is what it should be, still under its partial name."""

    path: Path
    size_bytes: int
    sha256: str
    resumed_from: int
    """Bytes that an earlier process had left."""
    received_bytes: int
    """Bytes that came over the network in this one."""
    requests: int
    """Requests for content."""
    validator: str | None
    """Strong ETag or date under which the server gave the file."""
    place: str
    """Base URL of the endpoint that the last bytes came from."""
    commit: str | None
    """The commit that the file was at, if its source told."""


def download(
    http: Http,
    routes: Sequence[Route],
    *,
    partial: Path,
    expected_size: int | None = None,
    expected_sha256: str | None = None,
    progress: Progress | None = None,
    check: Callable[[Path], str | None] | None = None,
    limits: Limits | None = None,
    health: Health | None = None,
) -> Downloaded:
    """Bring a file here, going on where an earlier process stopped.

    The caller must be the only writer of ``partial``. The ``routes`` are taken in their order: a
    later one goes on where the ones before it fail. A size or digest that nobody expects is the
    one that the source tells; a file of which nobody tells the size is refused, because it could
    fill the disk. ``check`` looks at the finished file and returns a sentence if it is not what
    was wanted. ``health`` is told how the places behaved.

    Wrong content is removed and fetched once more from its beginning before it is an error, from
    another source if there is one.

    Raises:
        NetworkError: nothing came any more, after retries. The partial file is kept.
        IntegrityError: the content is wrong, or was replaced upstream. Nothing is kept of it.
        DiskSpaceError: there is no room; raised before the first byte if that can be known.
            What was downloaded is kept.
        AuthenticationError, UnknownModelError: as `Source.locate`.
    """
    progress = progress or NoProgress()

    def attempt(routes: Sequence[Route]) -> Downloaded:
        task = _Download(http, routes, progress=progress, limits=limits or Limits(), health=health)
        return task.run(
            partial, expected_size=expected_size, expected_sha256=expected_sha256, check=check
        )

    try:
        return attempt(routes)
    except BadContentError as error:
        progress.restarted(error.message)
        # Who sent it is asked last; of several, only the last, which is the most trusted.
        guilty = [route for route in routes if route.has_delivered]
        others = [route for route in routes if route not in guilty]
        if health is not None and others and len(guilty) == 1:
            health.lied(guilty[0].source.place)
    try:
        return attempt([Route(route.source) for route in [*others, *guilty[-1:]]])
    except BadContentError as error:
        raise IntegrityError(
            error.message,
            expected=error.expected,
            actual=error.actual,
            cause=[*error.cause, "it was fetched twice; nothing of it is kept"],
            hint=error.hint or ANOTHER_PLACE,
        ) from error


class _Download:
    """One file on its way: who brings it, and what is done when they fail."""

    def __init__(
        self,
        http: Http,
        routes: Sequence[Route],
        *,
        progress: Progress,
        limits: Limits,
        health: Health | None,
    ) -> None:
        self._http = http
        self._routes = list(routes)
        self._progress = progress
        self._limits = limits
        self._health = health
        self._left = leaving(progress, health)
        self._shown = 0
        self._resumed_from = 0
        self._commit: str | None = None
        self._threads: list[Lane] = []

    def run(
        self,
        path: Path,
        *,
        expected_size: int | None,
        expected_sha256: str | None,
        check: Callable[[Path], str | None] | None,
    ) -> Downloaded:
        """Fetch what is missing, then verify all of it."""
        for route in self._routes:
            route.expect(expected_size, expected_sha256)
        expected = self._agreed(expected_size, expected_sha256)
        partial = Partial(
            path,
            Subject(
                source=self._route.source.identity,
                size_bytes=expected.size_bytes,
                sha256=expected.sha256,
            ),
        )
        keep = False
        try:
            try:
                arrivals = self._taken_up(partial, expected)
            except BaseException:
                keep = bool(self._resumed_from)
                raise
            try:
                self._progress.phase("download")
                self._progress.started(expected.size_bytes, self._resumed_from)
                self._shown = self._resumed_from
                self._transfer(arrivals)
                done = self._verified(arrivals, check)
                keep = True
            except (BadContentError, UnwantedContentError):
                raise
            except BaseException:
                keep = bool(arrivals.division.done)
                raise
            finally:
                arrivals.follower.close()
        finally:
            partial.close(keep=keep)
        return done

    # --- where it can be had --------------------------------------------------------------------

    @property
    def _route(self) -> Route:
        return self._routes[0]

    def _agreed(self, size: int | None, sha256: str | None) -> Expected:
        """Find the first place that has the file, and what the file must be."""
        self._routes = first_that_answers(self._routes, left=self._left)
        remote = self._route.located()
        self._commit = remote.commit
        known = size if size is not None else remote.size_bytes
        if known is None:
            known = self._asked_size(self._route)
        sha256 = sha256 or remote.sha256
        for route in self._routes:
            route.expect(known, sha256)
        return Expected(name=self._route.source.name, size_bytes=known, sha256=sha256)

    def _asked_size(self, route: Route) -> int:
        """Learn the size from an answer that carries content."""
        url = route.located().url
        reply = self._http.request("GET", url, headers={"Range": "bytes=0-0"}, max_bytes=1)
        part = ContentRange.of(reply.headers)
        size = part.total if part else reply.length
        if reply.status not in {200, 206} or size is None:
            raise IntegrityError(
                f"nobody tells how large {route.source.name} is, and it could fill the disk",
                cause=[f"{route.source.place} does not, and the catalog does not"],
                hint="fetch it by hand",
            )
        return size

    # --- what is here already -------------------------------------------------------------------

    def _taken_up(self, partial: Partial, expected: Expected) -> Arrivals:
        trusted = partial.take_up()
        spans = trusted.spans if trusted else Spans()
        self._resumed_from = spans.total
        partial.begin(trusted)
        arrivals = Arrivals(
            expected=expected,
            partial=partial,
            division=Division(expected.size_bytes, spans),
            resumed=spans.total,
            follower=Follower(partial.handle, checked=trusted.checked if trusted else None),
            limiter=Limiter(self._limits.bytes_per_s),
            validators=dict(trusted.validators) if trusted else {},
        )
        arrivals.follower.start(spans.prefix, damaged=arrivals.damaged)
        return arrivals

    # --- the bytes ------------------------------------------------------------------------------

    def _transfer(self, arrivals: Arrivals) -> None:
        keeper = _Keeper(arrivals)
        keeper.start()
        try:
            while not self._is_here(arrivals):
                self._bring(arrivals, keeper)
        finally:
            with arrivals.changed:
                arrivals.is_stopping = True
            self._stop(arrivals)
            keeper.close()
        keeper.raise_failure()
        self._tell(arrivals)

    def _is_here(self, arrivals: Arrivals) -> bool:
        """Wait for hashing to catch up when all bytes are here; damage may show only then."""
        size = arrivals.expected.size_bytes
        with arrivals.changed:
            complete = arrivals.division.is_complete
        if not complete:
            return False
        self._tell(arrivals)
        with disk_errors(arrivals.partial.path.parent):
            while not arrivals.follower.wait(size, _TICK_S):
                with arrivals.changed:
                    if not arrivals.division.is_complete:
                        return False
        return True

    def _bring(self, arrivals: Arrivals, keeper: _Keeper) -> None:
        """Have connections at work until all bytes are here; changes places when one fails."""
        failures: list[RkfetchError] = []
        while (failure := self._failure_of(arrivals, keeper, self._route)) is not None:
            self._stop(arrivals)
            if arrivals.expected.sha256 is None:
                raise failure  # nothing tells that another place has the same file
            failures.append(failure)
            self._routes = next_place(self._routes, failures, self._left)

    def _failure_of(self, arrivals: Arrivals, keeper: _Keeper, route: Route) -> RkfetchError | None:
        """Bring what is missing from one place; returns what made that impossible."""
        retries = self._http.retries(
            waiting=self._progress.waiting, hint=_RESUME_HINT, hurried=len(self._routes) > 1
        )
        pace = Pace(most=self._limits.connections, now=time.monotonic())
        patience = _Patience(arrivals, retries, self._http.monotonic)
        try:
            while self._is_missing_some(arrivals, route, pace):
                keeper.raise_failure()
                self._look_at_the_ended(arrivals, pace, patience)
        except OF_A_PLACE as error:
            return error
        return None

    def _is_missing_some(self, arrivals: Arrivals, route: Route, pace: Pace) -> bool:
        """Let the connections work for a moment."""
        with arrivals.changed:
            if not arrivals.division.is_complete:
                self._set_to_work(arrivals, route, pace)
                arrivals.changed.wait(_TICK_S)
        self._tell(arrivals)
        for lane in self._threads:
            route.has_delivered = route.has_delivered or bool(lane.received)
        return not arrivals.division.is_complete

    def _set_to_work(self, arrivals: Arrivals, route: Route, pace: Pace) -> None:
        """Have as many connections as are worth it, once all failures have been looked at."""
        if any(lane.error is not None and not lane.is_unwanted for lane in self._threads):
            return
        now = time.monotonic()
        delivering = [lane for lane in arrivals.lanes if lane.received]
        pace.observe(now, arrivals.received, delivering=len(delivering), answer_s=arrivals.answer_s)
        wanted = pace.wanted if self._may_be_divided(arrivals, route) else 1
        if arrivals.seconds_left < _ANSWERS_TO_BE_WORTH_IT * arrivals.answer_s:
            wanted = min(wanted, max(1, len(arrivals.lanes)))
        for lane in arrivals.lanes:
            if lane.piece is not None:
                waited = now - lane.heard_at
                lane.piece.stalled = waited > max(_STALLED_AFTER_S, 10 * arrivals.answer_s)
        surplus = len(arrivals.lanes) - wanted
        for lane in sorted(arrivals.lanes, key=_how_far)[::-1][: max(0, surplus)]:
            lane.is_last_piece = True
            if lane.piece is not None and lane.piece.left > (lane.piece.rate or 0):
                lane.stop()
        while len(arrivals.lanes) < wanted:
            piece = arrivals.piece(len(arrivals.lanes) + 1 if wanted > 1 else 1)
            if piece is None:
                break
            lane = Lane(self._http, route, arrivals, piece)
            arrivals.follower.allow(wanted)
            arrivals.lanes.append(lane)
            self._threads.append(lane)
            lane.start()

    def _may_be_divided(self, arrivals: Arrivals, route: Route) -> bool:
        if not route.takes_ranges or arrivals.partial.in_order:
            return False
        return arrivals.expected.sha256 is not None or route.key in arrivals.validators

    def _look_at_the_ended(self, arrivals: Arrivals, pace: Pace, patience: _Patience) -> None:
        """Take note of connections that ended, and decide what their failures mean."""
        ended = [lane for lane in self._threads if not lane.is_alive()]
        self._threads = [lane for lane in self._threads if lane not in ended]
        failed = [lane for lane in ended if lane.error is not None and not lane.is_unwanted]
        if not failed:
            return
        # One failure stands for all that came with it: the heaviest.
        lane = max(failed, key=_weight)
        match lane.error:
            case StartOverError() as error:
                self._start_over(arrivals, str(error))
                patience.failed(TransientError(str(error), retry_after_s=0), lane)
            case TransientError() as error if self._threads and not error.retry_after_s:
                # The others go on; that one more gets nothing may be a limit.
                if lane.received < _LEAST_PROGRESS:
                    pace.hold_back()
            case TransientError() as error:
                if error.retry_after_s:
                    pace.hold_back()
                    self._stop(arrivals)
                patience.failed(error, lane)
            case BaseException() as error:
                raise error

    def _start_over(self, arrivals: Arrivals, reason: str) -> None:
        self._stop(arrivals)
        with arrivals.changed:
            arrivals.start_over(reason)

    def _stop(self, arrivals: Arrivals) -> None:
        """End all connections; none of them writes any more then."""
        with arrivals.changed:
            for lane in self._threads:
                lane.stop()
        while self._threads:
            # Only who was waited for is forgotten: an interrupt may come at any moment.
            lane = self._threads[0]
            while lane.is_receiving and lane.is_alive():
                lane.join(_TICK_S)
            arrivals.dismiss(lane)
            self._threads.remove(lane)

    def _tell(self, arrivals: Arrivals) -> None:
        """Tell the one who watches how far it is."""
        with arrivals.changed:
            reasons, arrivals.reasons[:] = list(arrivals.reasons), []
            done = arrivals.division.done.total
        for reason in reasons:
            self._shown = 0
            self._progress.restarted(reason)
        if done > self._shown:
            self._shown = done
            self._progress.advanced(done)

    # --- the last word --------------------------------------------------------------------------

    def _verified(
        self, arrivals: Arrivals, check: Callable[[Path], str | None] | None
    ) -> Downloaded:
        self._progress.phase("verify")
        expected, partial = arrivals.expected, arrivals.partial
        actual = arrivals.follower.hexdigest()
        if expected.sha256 is not None and actual != expected.sha256:
            raise differs(
                f"{expected.name} arrived with a wrong SHA-256",
                expected.sha256,
                actual,
                explanation_of(partial.read_head(ENOUGH_TO_TELL), expected.size_bytes),
            )
        complaint = check(partial.path) if check else None
        if complaint is not None:
            message = f"{expected.name}: {complaint}"
            if expected.sha256 is None:
                raise BadContentError(message)
            # These are the right bytes: fetching them again would not change them.
            raise UnwantedContentError(message, cause=["nothing of it is kept"])
        if self._health is not None:
            self._health.worked(self._route.source.place)
        return Downloaded(
            path=partial.path,
            size_bytes=expected.size_bytes,
            sha256=actual,
            resumed_from=arrivals.resumed,
            received_bytes=arrivals.received,
            requests=arrivals.requests,
            validator=arrivals.validators.get(self._route.key),
            place=self._route.source.place,
            commit=self._commit,
        )


class _Patience:
    """Tells failures in a row from failures on the way: progress renews it."""

    def __init__(
        self, arrivals: Arrivals, retries: Retries, monotonic: Callable[[], float]
    ) -> None:
        self._arrivals = arrivals
        self._retries = retries
        self._monotonic = monotonic
        self._furthest = arrivals.division.done.total
        self._since = monotonic()

    def failed(self, error: TransientError, lane: Lane) -> None:
        """Wait before the next try; raises `NetworkError` if there should be none."""
        arrivals = self._arrivals
        now, done = self._monotonic(), arrivals.division.done.total
        progressed = done - self._furthest >= self._least(now - self._since)
        if progressed:
            self._furthest, self._since = done, now
        at_once = lane.received >= _AT_ONCE_AFTER
        self._retries.pause(error, progressed=progressed, at_once=at_once)

    def _least(self, seconds: float) -> float:
        """Return how many new bytes renew the patience: a byte a time would take for ever."""
        least = max(1, min(_LEAST_PROGRESS, self._arrivals.expected.size_bytes // 1000))
        return max(least, LEAST_RATE * seconds)


class _Keeper(threading.Thread):
    """Syncs what came to the disk from time to time, and in the end."""

    def __init__(self, arrivals: Arrivals) -> None:
        super().__init__(name="sync", daemon=True)
        self._arrivals = arrivals
        self._ended = threading.Event()
        self._failure: Exception | None = None

    def raise_failure(self) -> None:
        """Raise what went wrong with the disk."""
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """Sync for the last time."""
        self._ended.set()
        self.join()

    def run(self) -> None:
        """Sync after so much time or so many bytes."""
        synced, at = 0, time.monotonic()
        try:
            while not self._ended.wait(_TICK_S):
                received = self._arrivals.received
                due = time.monotonic() - at >= _SYNC_EVERY_S and received > synced
                if due or received - synced >= _SYNC_AFTER_BYTES:
                    self._sync()
                    synced, at = received, time.monotonic()
            # Only what is unfinished: the store syncs what is complete.
            if not self._arrivals.division.is_complete:
                self._sync()
        except Exception as error:  # noqa: BLE001 - raised in the main thread
            self._failure = error

    def _sync(self) -> None:
        with self._arrivals.changed:
            spans = self._arrivals.division.done.copy()
            checked, turn = self._arrivals.follower.checked, self._arrivals.partial.turn
        self._arrivals.partial.sync(spans, checked, turn=turn)


def _weight(lane: Lane) -> tuple[bool, bool, float, int]:
    """Order failures: those that nothing can be done about first, then who asks to wait longest."""
    error = lane.error
    transient = isinstance(error, TransientError)
    wait_s = error.retry_after_s or 0 if isinstance(error, TransientError) else 0
    return not transient, not isinstance(error, StartOverError), wait_s, lane.received


def _how_far(lane: Lane) -> int:
    return lane.piece.position if lane.piece is not None else 0
