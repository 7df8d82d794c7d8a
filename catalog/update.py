"""Bring the catalog up to date with a source: ask only for what changed, read only what is new.

A repository is one transaction, so an update that is interrupted or runs twice at once does no
harm and goes on where it was. What a header says is noted as soon as it is read.
"""

from __future__ import annotations

import threading
import time
import zlib
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from rkfetch.registry.errors import NetworkError, RkfetchError

from .database import Catalog
from .reading import Allowance, Memory, Reader
from .writer import Writer, now

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from rkfetch.registry.http import Http

    from .entries import Repository
    from .sources import Listing, Source

WORKERS = 4
"""Repositories asked for at once: enough to hide the network, few enough to be polite."""
MOST_FAILURES = 8
"""Repositories in a row that the network fails for, until it is taken to be down."""

FEW = 20
"""Known repositories that may vanish at once, however few are known."""
OWNERS_ROUND = 7
"""Parts of the known owners; each day the repositories of another part are listed by owner."""
GRACE_S = 2.0
"""How long an interrupted update waits for requests that are under way."""


class Observer:
    """Is told how an update goes; does nothing by itself."""

    def listed(self, count: int) -> None:
        """Tell how many repositories were listed so far."""

    def planned(self, *, unchanged: int, to_read: int) -> None:
        """Tell how many repositories need no request, and how many are asked for."""

    def read(self) -> None:
        """Tell that a repository is done."""

    def probed(self) -> None:
        """Tell that a build's header was read."""

    def skipped(self, what: str, why: str) -> None:
        """Tell that a repository or a file was left out."""

    def waiting(self, why: str, seconds: float) -> None:
        """Tell that the source asked to wait."""


@dataclass(kw_only=True)
class Report:
    """What an update did."""

    source: str
    listed: int = 0
    unchanged: int = 0
    changed: int = 0
    gone: int = 0
    """Repositories that the source no longer has."""
    builds: int = 0
    """Builds in the changed repositories."""
    probed: int = 0
    """Headers read."""
    read_bytes: int = 0
    """Bytes of headers read."""
    unread: int = 0
    """Builds whose header could not be read: gated, or the network failed."""
    left: int = 0
    """Builds whose header is left for the next update, because the budget was used up."""
    left_repositories: int = 0
    """Repositories that are left for it."""
    skipped: list[tuple[str, str]] = field(default_factory=list)
    """Repositories and files left out, each with the reason."""


def update(
    source: Source,
    http: Http,
    *,
    path: Path | None = None,
    observer: Observer | None = None,
    allowance: Allowance | None = None,
) -> Report:
    """Update the user's catalog, or the one at ``path``, from a source.

    Raises:
        NetworkError, AuthenticationError: the source could not be listed, or nothing of it read.
        RkfetchError: the catalog cannot be written.
    """
    with Writer.open(path) as writer, Catalog.open(path) as catalog:
        run = _Update(source, http, writer, catalog, observer or Observer())
        return run.run(allowance or Allowance())


class _LeftError(Exception):
    """A repository is left for the next update."""


class _Update:
    """One run. Its threads ask the source; the database is touched through the memory alone."""

    def __init__(
        self, source: Source, http: Http, writer: Writer, catalog: Catalog, observer: Observer
    ) -> None:
        self._source = source
        self._http = http
        self._catalog = catalog
        self._memory = Memory(writer, catalog)
        self._observer = observer
        self._report = Report(source=source.name)
        self._started = now()
        self._absent: list[str] = []
        """Known repositories that the source says it does not have."""

    def run(self, allowance: Allowance) -> Report:
        self._allowance = allowance
        spent_before = allowance.spent_bytes
        self._reader = Reader(self._source, self._http, self._memory, allowance, seen=self._started)
        plan = _plan(
            self._list(),
            known=self._catalog.repositories(self._source.name),
            with_rows=self._catalog.open_repositories(self._source.name),
        )
        with self._memory.writing() as writer:
            for listing in plan.unchanged:
                writer.record_repository(listing.repository, seen=self._started)
        self._report.unchanged = len(plan.unchanged)
        self._observer.planned(unchanged=len(plan.unchanged), to_read=len(plan.to_read))
        self._read_all(plan.to_read)
        for what, why in self._source.left_out:
            self._skip(what, why)
        self._settle_absent(plan.known)
        self._report.read_bytes = allowance.spent_bytes - spent_before
        if not self._report.left_repositories:
            with self._memory.writing() as writer:
                writer.set_meta(f"updated:{self._source.name}", now())
        return self._report

    def _list(self) -> dict[str, Listing]:
        """List the source, and some owners whose repositories no query may find."""
        found: dict[str, Listing] = {}

        def add(listings: Iterable[Listing]) -> None:
            for listing in listings:
                found.setdefault(listing.repository.repo.casefold(), listing)
            self._observer.listed(len(found))

        add(self._source.listings())
        known = self._catalog.open_repositories(self._source.name)
        missing = {repo.casefold() for repo in known if repo.casefold() not in found}
        for owner in _owners(known, found, datetime.now(timezone.utc)):
            listings = self._source.listings_of(owner)
            # Where a listing does not tell files, only what was looked for is worth asking for.
            add(
                i
                for i in listings
                if i.builds is not None or i.repository.repo.casefold() in missing
            )
        self._report.listed = len(found)
        return found

    def _settle_absent(self, known: int) -> None:
        """Mark what the source does not have as gone, unless that is most of what is known.

        A mirror that holds a few repositories must not empty the catalog.
        """
        if len(self._absent) > max(FEW, known // 2):
            self._skip(
                f"{len(self._absent)} of {known} known repositories",
                "this endpoint does not have them, so it is taken for a partial mirror",
            )
            return
        with self._memory.writing() as writer:
            for repo in self._absent:
                self._gone(writer, repo, "its repository was removed, renamed or made private")

    def _gone(self, writer: Writer, repo: str, why: str) -> None:
        writer.drop_repository(self._source.name, repo, note=why)
        self._report.gone += 1

    def _read_all(self, repos: Sequence[str]) -> None:
        """Read repositories, several at a time; a failing one is left out with a word.

        The threads are daemons: an interrupted run waits a little for them to end in order, and
        no longer for a server that is slow.
        """
        todo: SimpleQueue[str] = SimpleQueue()
        done: SimpleQueue[tuple[str, BaseException | None]] = SimpleQueue()
        for repo in repos:
            todo.put(repo)
        workers = [
            threading.Thread(target=self._work, args=(todo, done), daemon=True)
            for _ in range(min(WORKERS, len(repos)))
        ]
        for worker in workers:
            worker.start()
        try:
            self._collect(done, len(repos))
        except BaseException:
            self._memory.stop()
            raise
        finally:
            deadline = time.monotonic() + GRACE_S
            for worker in workers:
                worker.join(max(0.0, deadline - time.monotonic()))

    def _work(
        self, todo: SimpleQueue[str], done: SimpleQueue[tuple[str, BaseException | None]]
    ) -> None:
        while not self._memory.stopped:
            try:
                repo = todo.get_nowait()
            except Empty:
                return
            try:
                self._read(repo)
            except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
                done.put((repo, error))
            else:
                done.put((repo, None))

    def _collect(self, done: SimpleQueue[tuple[str, BaseException | None]], count: int) -> None:
        in_a_row = 0
        for _ in range(count):
            repo, error = done.get()
            if error is None:
                in_a_row = 0
                self._observer.read()
                continue
            if isinstance(error, _LeftError):
                self._report.left_repositories += 1
                continue
            if not isinstance(error, Exception):
                raise error
            if not isinstance(error, RkfetchError):
                # Whatever one repository does to us, the others still deserve to be read.
                self._skip(repo, f"it cannot be read: {type(error).__name__}: {error}")
                continue
            self._skip(repo, error.message)
            in_a_row += isinstance(error, NetworkError)
            if in_a_row >= min(count, MOST_FAILURES):
                raise NetworkError(
                    f"{self._source.name} cannot be read any more",
                    cause=[error.message, *error.cause],
                    hint="what was read is kept; the same command goes on from there",
                ) from error

    def _read(self, repo: str) -> None:
        """Read one repository and write it down."""
        if self._allowance.is_over:
            raise _LeftError
        details = self._source.details(repo)
        if details is None:
            self._absent.append(repo)
            return
        repository = details.repository
        if repository.repo.casefold() != repo.casefold():
            with self._memory.writing() as writer:
                self._gone(writer, repo, f"its repository was renamed to {repository.repo}")
        reading = self._reader.read(details, heard=self._observer.probed)
        with self._memory.writing() as writer:
            writer.sync_repository(
                # Without its commit, the next update asks for it again.
                repository if reading.complete else replace(repository, sha=None),
                reading.builds,
                seen=self._started,
            )
            self._report.changed += 1
            self._report.builds += len(reading.builds)
            self._report.probed += reading.probed
            self._report.unread += reading.unread
            self._report.left += reading.left
        for what, why in reading.left_out:
            self._skip(what, why)

    def _skip(self, what: str, why: str) -> None:
        self._report.skipped.append((what, why))
        self._observer.skipped(what, why)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    unchanged: tuple[Listing, ...]
    to_read: tuple[str, ...]
    known: int
    """Repositories that were believed to hold builds before."""


def _plan(
    listings: Mapping[str, Listing], *, known: Mapping[str, Repository], with_rows: Iterable[str]
) -> _Plan:
    """Compare what is listed with what is known; all names are compared without case."""
    unchanged, to_read = [], []
    open_rows = {repo.casefold(): repo for repo in with_rows}
    for name, listing in listings.items():
        if listing.builds == () and not listing.hollow and name not in open_rows:
            continue
        if _is_same(listing.repository, known.get(name)):
            unchanged.append(listing)
        else:
            to_read.append(listing.repository.repo)
    to_read += [repo for name, repo in open_rows.items() if name not in listings]
    return _Plan(
        unchanged=tuple(unchanged),
        to_read=tuple(sorted(to_read, key=str.casefold)),
        known=len(open_rows),
    )


def _is_same(listed: Repository, known: Repository | None) -> bool:
    """Tell whether nothing was pushed since a repository was read, to any of its branches."""
    if known is None or listed.sha is None or listed.sha != known.sha:
        return False
    # A mirror may not tell; a catalog of an older rkfetch did not look at other branches.
    return listed.storage_bytes in {None, known.storage_bytes}


def _owners(known: Iterable[str], found: Mapping[str, Listing], day: datetime) -> list[str]:
    """Return the owners to list: of repositories that no query found, and those whose turn it is.

    Who uploads builds may do so again under names that no query finds. Whoever updates once a week
    meets another part each time, too.
    """
    days = day.toordinal()
    turn = (days + days // OWNERS_ROUND) % OWNERS_ROUND
    return sorted(
        {
            owner
            for repo in known
            if (owner := repo.partition("/")[0])
            and (
                repo.casefold() not in found
                or zlib.crc32(owner.casefold().encode()) % OWNERS_ROUND == turn
            )
        }
    )
