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

from .arrivals import Arrivals, Expected
from .crew import Crew
from .durable import disk_errors
from .errors import IntegrityError, NetworkError
from .follower import Follower
from .headers import ContentRange
from .http import ANOTHER_PLACE
from .journal import Subject
from .lane import ENOUGH_TO_TELL, StartOverError
from .limits import Limiter, Limits
from .mismatch import BadContentError, UnwantedContentError, differs, explanation_of
from .partial import Partial
from .progress import NoProgress, Progress
from .route import OF_A_PLACE, Route, first_that_answers, leaving, next_place
from .spans import Division, Spans
from .spread import Spread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from .errors import RkfetchError
    from .health import Health
    from .http import Http

__all__ = ["Downloaded", "Limits", "NoProgress", "Progress", "download"]

_TICK_S = 0.1
_SYNC_EVERY_S = 5.0
_SYNC_AFTER_BYTES = 64 << 20
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
        guilty = [route for route in routes if route.received]
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
        self._all_routes = self._routes = list(routes)
        self._progress = progress
        self._limits = limits
        self._health = health
        self._left = leaving(progress, health)
        self._shown = 0
        self._resumed_from = 0
        self._commit: str | None = None
        self._crews: list[Crew] = []
        """Those at work, one for a place."""
        self._failures: list[RkfetchError] = []
        """Of the places that were left."""
        self._spread = Spread()
        self._tried: list[Route] = []
        """Places that were once at work beside others."""

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
                keep = partial.was_there
                raise
            try:
                self._progress.phase("download")
                self._progress.started(expected.size_bytes, self._resumed_from)
                self._shown = self._resumed_from
                self._transfer(arrivals)
                if self._is_mixed_up(arrivals):
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
        self._crews = [self._crew(self._route, arrivals)]
        try:
            while not self._is_here(arrivals):
                self._work(arrivals, keeper)
        finally:
            with arrivals.changed:
                arrivals.is_stopping = True
            self._stop()
            keeper.close()
        keeper.raise_failure()
        self._tell(arrivals)

    def _crew(self, route: Route, arrivals: Arrivals) -> Crew:
        retries = self._http.retries(
            waiting=self._progress.waiting, hint=_RESUME_HINT, hurried=len(self._routes) > 1
        )
        most = self._limits.most_connections
        return Crew(self._http, route, arrivals, most=most, retries=retries)

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

    def _work(self, arrivals: Arrivals, keeper: _Keeper) -> None:
        """Let the connections work for a moment, then look at what failed."""
        with arrivals.changed:
            if not arrivals.division.is_complete:
                for crew in self._crews:
                    crew.set_to_work(time.monotonic())
                arrivals.changed.wait(_TICK_S)
        self._tell(arrivals)
        if arrivals.division.is_complete:
            return
        keeper.raise_failure()
        with disk_errors(arrivals.partial.path.parent):
            arrivals.follower.raise_failure()
        for crew in list(self._crews):
            self._look_at(crew, arrivals)
        self._spread_out(arrivals)

    def _look_at(self, crew: Crew, arrivals: Arrivals) -> None:
        alone = len(self._crews) == 1
        try:
            try:
                crew.look_at_the_ended(alone=alone)
            except StartOverError as error:
                if not alone:
                    raise NetworkError(str(error)) from error
                crew.stop()
                with arrivals.changed:
                    arrivals.start_over(str(error))
                crew.begin_anew(str(error))
        except OF_A_PLACE as error:
            self._leave(crew, error, arrivals)

    def _leave(self, crew: Crew, failure: RkfetchError, arrivals: Arrivals) -> None:
        """Do without a place that failed; raises its failure if there is no other."""
        crew.stop()
        if arrivals.expected.sha256 is None:
            raise failure  # nothing tells that another place has the same file
        self._failures.append(failure)
        self._crews.remove(crew)
        at_work = [other.route for other in self._crews]
        waiting = [r for r in self._routes if r is not crew.route and r not in at_work]
        self._routes = next_place([crew.route, *at_work, *waiting], self._failures, self._left)
        self._spread.forget()
        if not self._crews:
            self._crews.append(self._crew(self._route, arrivals))

    def _spread_out(self, arrivals: Arrivals) -> None:
        """Have a further place at work as well, as long as that brings more."""
        if arrivals.expected.sha256 is None or self._limits.bytes_per_s is not None:
            return
        at_work = [crew.route for crew in self._crews]
        others = [r for r in self._routes if r not in [*at_work, *self._tried]]
        if not all(route.source.shares for route in [*at_work, *others[:1]]):
            return
        with arrivals.changed:
            advice = self._spread.observe(
                time.monotonic(),
                arrivals.received,
                settled=all(crew.is_settled for crew in self._crews),
                seconds_left=arrivals.seconds_left,
                others=bool(others) and self._limits.most_connections > 1,
            )
        if advice == "add":
            self._tried.append(others[0])
            self._crews.append(self._crew(others[0], arrivals))
        elif advice == "drop":
            self._crews.pop().stop()

    def _stop(self) -> None:
        for crew in self._crews:
            crew.stop()

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

    def _is_mixed_up(self, arrivals: Arrivals) -> bool:
        """Tell whether what came from several places, or runs, has to be fetched from one.

        What came from the most trusted of them is kept. If the rest is other bytes now, who
        sent it before has lied.
        """
        sha256 = arrivals.expected.sha256
        if sha256 is None or arrivals.follower.hexdigest() == sha256:
            return False
        trusted = [route for route in self._all_routes if arrivals.origins.get(route)]
        if not trusted or not arrivals.doubt(trusted[-1]):
            return False
        self._routes = trusted[-1:]
        arrivals.is_stopping = False
        return True

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
                explanation_of(partial.read(0, ENOUGH_TO_TELL), expected.size_bytes),
            )
        complaint = check(partial.path) if check else None
        if complaint is not None:
            message = f"{expected.name}: {complaint}"
            if expected.sha256 is None:
                raise BadContentError(message)
            # These are the right bytes: fetching them again would not change them.
            raise UnwantedContentError(message, cause=["nothing of it is kept"])
        if self._health is not None:
            for liar in arrivals.liars:
                self._health.lied(liar.source.place)
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
