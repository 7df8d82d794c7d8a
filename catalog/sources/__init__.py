"""What a source of builds is, and what it tells about its repositories."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rkfetch.catalog.naming import CardFacts
    from rkfetch.catalog.writer import Repository

_LONGEST_PATH = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One repository as a listing shows it: what lies in it, but not how large."""

    repository: Repository
    builds: tuple[str, ...] | None
    """The names of its builds; None if the listing does not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """One file of a repository."""

    path: str
    size_bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """All of one repository at one commit."""

    repository: Repository
    files: tuple[RemoteFile, ...]
    card: CardFacts


class Source(Protocol):
    """A place that lists repositories of builds. Its methods may be called by threads."""

    name: str
    left_out: list[tuple[str, str]]
    """What of its listings could not be read so far, each with the reason."""

    def listings(self) -> Iterable[Listing]:
        """List every repository that looks like one of builds, each once.

        Raises:
            NetworkError, AuthenticationError: the source cannot be asked.
        """

    def listings_of(self, owner: str) -> Iterable[Listing]:
        """List the repositories of one owner; raises like `listings`."""

    def details(self, repo: str) -> Details | None:
        """Ask for one repository; None if it is not there (any more), or not for us.

        Its id may come back changed: it was renamed.

        Raises:
            NetworkError: the source cannot be asked.
            IntegrityError: what it says about this repository makes no sense.
        """


def is_build(path: str) -> bool:
    """Tell whether a file's name is that of a build."""
    return path.lower().endswith(".rkllm")


def bad_path(path: str) -> str | None:
    """Return why a name from the network cannot be the path of a file for us; None if it can."""
    if not path or len(path) > _LONGEST_PATH:
        return f"its name has {len(path)} characters"
    if any(unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for c in path):
        return "its name has control characters"
    if "\\" in path or any(part in {"", ".", ".."} for part in path.split("/")):
        return "its name leads out of the repository"
    return None
