"""Where the vendor's toolkit runs: what a container and a virtual environment have in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .job import Event, Job


class Watch(Protocol):
    """Watches a conversion from its preparation to its end."""

    def step(self, text: str) -> None:
        """Something begins that takes a while, such as installing the toolkit."""

    def detail(self, text: str) -> None:
        """A line of what it does just now; the last one is worth showing."""

    def event(self, event: Event) -> None:
        """The driver told something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run ended. What was exported, if anything, lies in the job's output folder."""

    status: int
    """Exit status of what ran; negative for the signal that ended it, as `subprocess` has it."""
    last: Event | None
    """The driver's ``result`` or ``failed``; None if it died without a word."""
    out_of_memory: bool = False
    """The kernel, or the container's limit, ended it for its memory."""
    tail: tuple[str, ...] = ()
    """The last lines that were no events."""


class Environment(Protocol):
    """A place with the toolkit in it."""

    name: str
    """For people: ``a container (podman 4.3.1)``."""

    def prepare(self, watch: Watch) -> None:
        """Have everything installed; does nothing where it is already.

        Raises:
            ConversionError: it could not be installed.
            NetworkError, IntegrityError: the toolkit could not be had, or is another one.
            DiskSpaceError: there is no room.
        """

    def run(self, job: Job, watch: Watch, *, memory_bytes: int | None = None) -> Outcome:
        """Run the driver to its end. An exception (an interrupt, too) ends it first.

        ``memory_bytes`` is the most that it may use, where that can be enforced.
        """

    def digests(self) -> Mapping[str, str]:
        """Return what makes it what it is: wheel, image and so on, each with its digest."""


@dataclass(kw_only=True)
class Unwatched:
    """Watches nothing but keeps what was said."""

    events: list[Event] = field(default_factory=list)

    def step(self, text: str) -> None:
        """Do nothing."""

    def detail(self, text: str) -> None:
        """Do nothing."""

    def event(self, event: Event) -> None:
        """Keep it."""
        self.events.append(event)
