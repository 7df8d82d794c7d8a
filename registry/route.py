"""Know one place that gives out a file: where it is there now, and how it behaves."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from .errors import AuthenticationError, IntegrityError, NetworkError, UnknownModelError
from .mismatch import replaced_upstream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .errors import RkfetchError
    from .health import Health
    from .progress import Progress

OF_A_PLACE = (NetworkError, AuthenticationError, UnknownModelError, IntegrityError)
"""Failures that another place may not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """Where a file can be had now, and what its source says about it."""

    url: str
    """May be signed, and then stops working after a while."""
    size_bytes: int | None = None
    sha256: str | None = None
    commit: str | None = None
    round_trip_s: float | None = None
    """To where it was asked and back, as the kernel measured it."""


class Source(Protocol):
    """Where the bytes come from."""

    @property
    def name(self) -> str:
        """What to call the file in a message."""

    @property
    def identity(self) -> str:
        """Tells the file (repository, path, revision) from all others."""

    @property
    def place(self) -> str:
        """Base URL of the endpoint that is asked."""

    @property
    def shares(self) -> bool:
        """Whether it may be used beside others at the same time."""

    def locate(self, *, hurried: bool = False) -> Remote:
        """Find an address that works now; ``hurried`` if there are other places to ask."""


class Route:
    """A source, and what was learnt of it during one download. May be used by threads."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.takes_ranges = True
        self.received = 0
        """Bytes of the file that came from here."""
        self.answer_s = 0.0
        """How long a request takes until its first byte."""
        name = f"{source.place} {source.identity}".encode(errors="surrogatepass")
        self.key = hashlib.sha256(name).hexdigest()[:16]
        self._remote: Remote | None = None
        self._locating = threading.Lock()
        """Held while the source is asked, which may take minutes."""
        self._lock = threading.Lock()
        self._size: int | None = None
        self._sha256: str | None = None

    @property
    def round_trip_s(self) -> float | None:
        """As far as the place was asked: `Remote.round_trip_s`."""
        with self._lock:
            return self._remote.round_trip_s if self._remote is not None else None

    def expect(self, size_bytes: int | None, sha256: str | None) -> None:
        """Say what the file must be."""
        self._size, self._sha256 = size_bytes, sha256

    def located(self, *, hurried: bool = False) -> Remote:
        """Return where the file is now, having checked that it still is the expected one.

        Raises:
            IntegrityError: it is another one.
            NetworkError, AuthenticationError, UnknownModelError: as `Source.locate`.
        """
        with self._locating:
            with self._lock:
                remote = self._remote
            if remote is None:
                remote = self.source.locate(hurried=hurried)
                with self._lock:
                    self._remote = remote
                    self.answer_s = self.answer_s or remote.round_trip_s or 0.0
        if self._sha256 and remote.sha256 and self._sha256 != remote.sha256:
            raise replaced_upstream(self.source.name, "SHA-256", self._sha256, remote.sha256)
        if len({self._size, remote.size_bytes} - {None}) > 1:
            raise replaced_upstream(
                self.source.name, "size", f"{self._size}", f"{remote.size_bytes}"
            )
        return remote

    def forget(self, remote: Remote) -> None:
        """Have the address looked up anew, unless that was done already: it does not work."""
        with self._lock:
            if self._remote is remote:
                self._remote = None


def first_that_answers(routes: Sequence[Route], *, left: Left | None = None) -> list[Route]:
    """Return the first place that says where the file is, and those after it.

    Raises:
        NetworkError, AuthenticationError, UnknownModelError, IntegrityError: none does; the last
            one's reason, with those before it as causes.
    """
    failures: list[RkfetchError] = []
    while (failure := _failure_of(routes)) is not None:
        failures.append(failure)
        routes = next_place(routes, failures, left)
    return list(routes)


def _failure_of(routes: Sequence[Route]) -> RkfetchError | None:
    try:
        routes[0].located(hurried=len(routes) > 1)
    except OF_A_PLACE as error:
        return error
    return None


def next_place(
    routes: Sequence[Route],
    failures: Sequence[RkfetchError],
    left: Left | None = None,
) -> list[Route]:
    """Return the places after the first, which failed; raises its failure if there are none."""
    *before, error = failures
    here, *others = routes
    if not others:
        error.cause = (*error.cause, *(f"before that: {e.message}" for e in before))
        raise error
    if left is not None:
        left(error, here, others[0])
    return others


Left = Callable[["RkfetchError", Route, Route], object]
"""Is told why a place was left, which one, and for which."""


def leaving(progress: Progress, health: Health | None) -> Left:
    """Return what says that a place was left, and remembers it if it could not be reached."""

    def left(error: RkfetchError, here: Route, there: Route) -> None:
        # That a place does not have the file says nothing about other files.
        if health is not None and isinstance(error, NetworkError):
            health.failed(here.source.place)
        progress.waiting(f"{error.message}; going on with {there.source.place}", 0)

    return left
