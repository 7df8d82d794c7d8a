"""Remember how places behaved, so that a dead or hostile one is not asked first every time.

What is remembered only changes the order: a place is asked all the same when no other has the
file. It is worth little, so nothing is done to keep it over a power cut, and whatever cannot be
read is forgotten.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from .durable import read_note, share

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .route import Route

_SCHEMA_VERSION = 1
_FIRST_REST_S = 60.0
_LONGEST_REST_S = 1800.0
_LIE_S = 86_400.0
_MOST_PLACES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What is known of one place; times are seconds since 1970."""

    failures: int = 0
    """In a row."""
    rests_until: float = 0.0
    lied_until: float = 0.0
    """It gave out wrong bytes, and is asked last until then."""


class Health:
    """The states of all places, in one file of the store."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._states = _read(path)

    def ordered(self, routes: Iterable[Route]) -> list[Route]:
        """Return the places, those that failed lately after the others, and liars last."""
        now = self._clock()

        def rank(route: Route) -> int:
            # What lies at an endpoint that cannot be reached cannot be reached either.
            place = f"{route.source.place}/"
            states = [s for known, s in self._states.items() if place.startswith(f"{known}/")]
            # A clock that was set back must not make a rest endless.
            if any(now < state.lied_until <= now + _LIE_S for state in states):
                return 2
            return int(any(now < state.rests_until <= now + _LONGEST_REST_S for state in states))

        return sorted(routes, key=rank)

    def worked(self, place: str) -> None:
        """Bytes that were right came from there."""
        self._states = _read(self._path)
        if self._states.pop(place, None) is not None:
            self._write()

    def failed(self, place: str) -> None:
        """It could not be reached, or gave nothing any more."""
        state = self._states.get(place, State())
        rest_s = min(_LONGEST_REST_S, _FIRST_REST_S * 2.0 ** min(state.failures, 10))
        self._note(
            place,
            replace(state, failures=state.failures + 1, rests_until=self._clock() + rest_s),
        )

    def lied(self, place: str) -> None:
        """It gave out wrong bytes."""
        state = self._states.get(place, State())
        self._note(place, replace(state, lied_until=self._clock() + _LIE_S))

    def _note(self, place: str, state: State) -> None:
        self._states = {**_read(self._path), place: state}
        self._write()

    def _write(self) -> None:
        newest = list(self._states.items())[-_MOST_PLACES:]
        places = {place: asdict(state) for place, state in newest}
        text = json.dumps({"schema_version": _SCHEMA_VERSION, "places": places}, indent=1)
        with contextlib.suppress(OSError):
            # A name of its own: others may write too, and may have put a link under a known one.
            handle, name = tempfile.mkstemp(prefix=".endpoints-", dir=self._path.parent)
            temporary = Path(name)
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    file.write(text)
                share(temporary)
                temporary.replace(self._path)
            finally:
                temporary.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, State]:
    try:
        values = json.loads(read_note(path))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(values, dict) or values.get("schema_version") != _SCHEMA_VERSION:
        return {}
    places = values.get("places")
    found = {}
    for place, state in places.items() if isinstance(places, dict) else ():
        with contextlib.suppress(TypeError, ValueError, AttributeError, OverflowError):
            found[str(place)] = State(
                failures=int(state["failures"]) if "failures" in state else 0,
                rests_until=float(state.get("rests_until", 0)),
                lied_until=float(state.get("lied_until", 0)),
            )
    return found
