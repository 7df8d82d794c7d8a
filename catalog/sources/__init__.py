"""Which sources of builds there are, what a source is, and what it tells about its repositories.

A source is one module of this package that has an ``ENTRY``. Nothing else lists them.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from rkfetch.registry.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from rkfetch.catalog.entries import Repository
    from rkfetch.catalog.naming import CardFacts
    from rkfetch.catalog.reading import Allowance
    from rkfetch.catalog.update import Observer, Report
    from rkfetch.registry.http import Http

_LONGEST_PATH = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What an update of one source works with."""

    http: Http
    path: Path | None = None
    """The catalog; None for the user's."""
    observer: Observer
    allowance: Allowance
    """How much may be read; of all sources together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A source as its module offers it."""

    name: str
    """As rows of the catalog have it, and as a user types it."""
    summary: str
    """What `rkfetch catalog update --help` says of it: half a sentence."""
    update: Callable[[Task], Report]
    """Brings the catalog up to date with it.

    Raises:
        RkfetchError: it cannot be asked, or the catalog cannot be written.
    """
    is_online: bool = True
    """It is asked over the network."""


def entries() -> dict[str, Entry]:
    """Return every source that there is, by name, in the order of the names."""
    import pkgutil
    from importlib import import_module

    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    modules = [import_module(f"{__name__}.{name}") for name in names]
    found = [module.ENTRY for module in modules if hasattr(module, "ENTRY")]
    return {entry.name: entry for entry in found}


def chosen(names: Sequence[str]) -> list[Entry]:
    """Return the sources of these names, each once; all sources if none is named.

    Raises:
        UsageError: there is no such source.
    """
    known = entries()
    unknown = next((name for name in names if name not in known), None)
    if unknown is not None:
        raise UsageError(f"there is no source '{unknown}'", cause=[f"there are {', '.join(known)}"])
    return [known[name] for name in dict.fromkeys(names or known)]


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
    revision: str | None = None
    """The commit to ask for it at; None for that of the revision that it is listed in."""


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
    """A place that lists repositories of builds, for `listed`; threads may call its methods."""

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


class _Opens(Protocol):
    def __call__(
        self, http: Http, *, waiting: Callable[[str, float], object] | None = None
    ) -> AbstractContextManager[Source]:
        """Make ready to ask the source; ``waiting`` is told why and how long it waits."""


def listed(source: _Opens) -> Callable[[Task], Report]:
    """Return the update of a source that lists repositories: `update.update` does the work."""

    def run(task: Task) -> Report:
        from rkfetch.catalog.update import update

        with source(task.http, waiting=task.observer.waiting) as opened:
            return update(
                opened,
                task.http,
                path=task.path,
                observer=task.observer,
                allowance=task.allowance,
            )

    return run


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
