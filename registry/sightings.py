"""What somebody saw a file do on a board, and which of it counts for a target."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .model import Origin, Platform, Target
    from .versions import Version


class Outcome(str, Enum):
    """How a file did on a board."""

    WORKS = "works"
    """It answered as it should."""
    LOADS = "loads"
    """The runtime loaded it without a complaint; what it answers was not said."""
    FAILS = "fails"
    """It was refused, or what it did was of no use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One file on one board, as somebody saw it."""

    outcome: Outcome
    platform: Platform
    runtime: Version
    origin: Origin
    """`Origin.USER` (a person says so) or `Origin.LOG` (the runtime printed it)."""
    place: str
    """Where it can be looked up: ``addition 3f2a91c04b7d``."""
    seen: str
    """RFC 3339 date."""
    own: bool
    """Recorded on this machine, not taken from other people's."""
    driver: Version | None = None
    board: str | None = None
    note: str | None = None

    @property
    def pair(self) -> str:
        """Where it was seen: ``rk3576, runtime 1.2.3, driver 0.9.8``."""
        driver = f", driver {self.driver}" if self.driver else ""
        return f"{self.platform.value}, runtime {self.runtime}{driver}"


def on_target(sightings: Iterable[Sighting], target: Target) -> list[Sighting]:
    """Return what was seen on the target's SoC and runtime, that which counts most first.

    What was seen on this machine counts before what others report. Of what was seen here the
    newest decides; of what others report a failure does, because nobody can ask them again.
    A failure with another driver is not the target's.
    """
    found = [
        s
        for s in sightings
        if (s.platform, s.runtime) == (target.platform, target.runtime)
        and (s.outcome is not Outcome.FAILS or _same_driver(s, target))
    ]
    found.sort(key=lambda s: s.place)
    found.sort(key=lambda s: s.seen, reverse=True)
    return sorted(found, key=lambda s: (not s.own, not s.own and s.outcome is not Outcome.FAILS))


def _same_driver(sighting: Sighting, target: Target) -> bool:
    return None in {sighting.driver, target.driver} or sighting.driver == target.driver


def decisive(sightings: Iterable[Sighting], target: Target) -> Sighting | None:
    """Return the sighting that says whether a file works on a target; None if none does.

    That a file was loaded leaves open what it answers.
    """
    told = (s for s in on_target(sightings, target) if s.outcome is not Outcome.LOADS)
    return next(told, None)
