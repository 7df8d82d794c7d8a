"""What a source of builds is, and what it tells about its repositories."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rkfetch.catalog.database import Repository
    from rkfetch.catalog.naming import CardFacts

_LONGEST_PATH = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One repository as a listing shows it: what lies in it, but not how large."""

    repository: Repository
    builds: tuple[str, ...] | None
    """The names of its builds; None if the listing does not tell."""
    hollow: bool = False
    """Its default branch has nothing large, yet it takes room: builds may lie on other branches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """One file of a repository."""

    path: str
    size_bytes: int | None = None
    sha256: str | None = None
    blob: str | None = None
    """What git calls this content, where the source tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """The files of a branch or a tag that is not the default branch."""

    ref: str
    is_branch: bool
    commit: str
    files: tuple[RemoteFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """All of one repository at one commit."""

    repository: Repository
    files: tuple[RemoteFile, ...]
    card: CardFacts
    """What came with it: the front matter, and texts only where these cost no further request."""
    revisions: tuple[Revision, ...] = ()
    """Where else builds may lie."""


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

    def readme(self, repo: str, file: RemoteFile, revision: str | None) -> str | None:
        """Ask for the text of a README at a commit; None if it is not for us, or too large.

        Raises:
            NetworkError: the source cannot be asked.
        """

    def page(self, repo: str, path: str, ref: str | None = None) -> str:
        """Return the address under which people look at a file of a branch or a tag."""


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
