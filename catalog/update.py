"""Bring the catalog up to date with a source: ask only for what changed, read only what is new.

A repository is one transaction, so an update that is interrupted or runs twice at once does no
harm and goes on where it was. What a header says is noted as soon as it is read.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from rkfetch.registry.check import no_model
from rkfetch.registry.errors import (
    AuthenticationError,
    IntegrityError,
    NetworkError,
    RkfetchError,
    UnknownModelError,
)
from rkfetch.registry.model import Artifact, settle

from . import border
from .database import Catalog, Companion
from .naming import guess
from .probe import note, read_remote
from .sources import bad_path, is_build
from .writer import Writer, now

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from rkfetch.registry.http import Http

    from .sources import Details, Listing, RemoteFile, Source

WORKERS = 4
"""Repositories asked for at once: enough to hide the network, few enough to be polite."""
MOST_FAILURES = 8
"""Repositories in a row that the network fails for, until it is taken to be down."""

FEW = 20
"""Known repositories that may vanish at once, however few are known."""
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
    unread: int = 0
    """Builds whose header could not be read: gated, or the network failed."""
    skipped: list[tuple[str, str]] = field(default_factory=list)
    """Repositories and files left out, each with the reason."""


def update(
    source: Source,
    http: Http,
    *,
    path: Path | None = None,
    observer: Observer | None = None,
) -> Report:
    """Update the user's catalog, or the one at ``path``, from a source.

    Raises:
        NetworkError, AuthenticationError: the source could not be listed, or nothing of it read.
        RkfetchError: the catalog cannot be written.
    """
    with Writer.open(path) as writer, Catalog.open(path) as catalog:
        return _Update(source, http, writer, catalog, observer or Observer()).run()


class _Update:
    """One run. Its threads ask the source; whoever touches the database holds the lock."""

    def __init__(
        self, source: Source, http: Http, writer: Writer, catalog: Catalog, observer: Observer
    ) -> None:
        self._source = source
        self._http = http
        self._writer = writer
        self._catalog = catalog
        self._observer = observer
        self._report = Report(source=source.name)
        self._started = now()
        self._lock = threading.Lock()
        self._stopped = False
        self._absent: list[str] = []
        """Known repositories that the source says it does not have."""

    def run(self) -> Report:
        listings = self._list()
        plan = _plan(
            listings,
            shas=self._catalog.repository_shas(self._source.name),
            with_rows=self._catalog.open_repositories(self._source.name),
        )
        with self._writer.transaction():
            for listing in plan.unchanged:
                self._writer.record_repository(listing.repository, seen=self._started)
            for repo in plan.emptied:
                self._gone(repo, "its repository holds no .rkllm file any more")
        self._report.unchanged = len(plan.unchanged)
        self._observer.planned(unchanged=len(plan.unchanged), to_read=len(plan.to_read))
        self._read_all(plan.to_read)
        self._settle_absent(plan.known)
        self._writer.set_meta(f"updated:{self._source.name}", now())
        return self._report

    def _list(self) -> dict[str, Listing]:
        """List the source; repositories that we know and no query finds come by their owners."""
        found: dict[str, Listing] = {}

        def add(listings: Iterable[Listing]) -> None:
            for listing in listings:
                found.setdefault(listing.repository.repo.casefold(), listing)
            self._observer.listed(len(found))

        add(self._source.listings())
        known = self._catalog.open_repositories(self._source.name)
        missing = {repo.casefold(): repo for repo in known if repo.casefold() not in found}
        owners = {repo.partition("/")[0] for repo in missing.values()}
        for owner in sorted(owners):
            # Of a listing without the names of files, only what was looked for is of interest.
            listings = self._source.listings_of(owner)
            add(i for i in listings if i.builds or i.repository.repo.casefold() in missing)
        for what, why in self._source.left_out:
            self._skip(what, why)
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
        with self._writer.transaction():
            for repo in self._absent:
                self._gone(repo, "its repository was removed, renamed or made private")

    def _gone(self, repo: str, why: str) -> None:
        self._writer.drop_repository(self._source.name, repo, note=why)
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
        finally:
            with self._lock:
                self._stopped = True
            deadline = time.monotonic() + GRACE_S
            for worker in workers:
                worker.join(max(0.0, deadline - time.monotonic()))

    def _work(
        self, todo: SimpleQueue[str], done: SimpleQueue[tuple[str, BaseException | None]]
    ) -> None:
        while not self._stopped:
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
        details = self._source.details(repo)
        if details is None:
            self._absent.append(repo)
            return
        moved = details.repository.repo
        if moved.casefold() != repo.casefold():
            with self._writing():
                self._gone(repo, f"its repository was renamed to {moved}")
        builds = []
        complete = True
        for artifact in self._artifacts(details):
            heard, settled = self._heard(artifact)
            complete = complete and settled
            builds.append((heard, companions_of(heard, details.files)))
        repository = details.repository
        with self._writing():
            self._writer.sync_repository(
                # Without its commit, the next update asks for it again.
                repository if complete else replace(repository, sha=None),
                builds,
                seen=self._started,
            )
            self._report.changed += 1
            self._report.builds += len(builds)

    def _artifacts(self, details: Details) -> Iterator[Artifact]:
        repository = details.repository
        for file in details.files:
            if not is_build(file.path):
                continue
            why = bad_path(file.path)
            if why is not None:
                self._skip(f"{repository.repo}/{file.path}", why)
                continue
            found = guess(repository.repo, file.path, source=repository.source, card=details.card)
            yield Artifact(
                source=repository.source,
                repo=repository.repo,
                path=file.path,
                revision=file.revision or border.commit(repository.sha),
                size_bytes=file.size_bytes,
                sha256=file.sha256,
                attributes=settle(replace(e, seen=self._started) for e in found.evidence),
                gated=repository.gated,
                updated=repository.modified,
            )

    def _heard(self, artifact: Artifact) -> tuple[Artifact, bool]:
        """Return a build with its header's word, and whether asking again would bring nothing."""
        try:
            probed = read_remote(self._http, artifact, recall=self._recall)
        except AuthenticationError:
            self._report.unread += 1
            return artifact, True
        except NetworkError as error:
            self._report.unread += 1
            self._skip(artifact.name, f"its header could not be read: {error.message}")
            return artifact, False
        except (IntegrityError, UnknownModelError) as error:
            self._skip(artifact.name, error.message)
            return artifact, False
        if not probed.remembered:
            with self._writing():
                note(self._writer, probed)
                self._report.probed += 1
            self._observer.probed()
        complaint = no_model(probed.facts)
        if complaint is not None:
            # The row stays as it is: bytes that no digest covers do not condemn it.
            self._skip(artifact.name, complaint)
            return artifact, False
        return probed.artifact, True

    def _recall(self, sha256: str) -> str | None:
        with self._lock:
            self._check()
            return self._catalog.probed(sha256)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock:
            self._check()
            with self._writer.transaction():
                yield

    def _check(self) -> None:
        if self._stopped:
            raise RkfetchError("the update was stopped")

    def _skip(self, what: str, why: str) -> None:
        self._report.skipped.append((what, why))
        self._observer.skipped(what, why)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    unchanged: tuple[Listing, ...]
    emptied: tuple[str, ...]
    """Repositories that held builds and are listed without any."""
    to_read: tuple[str, ...]
    known: int
    """Repositories that were believed to hold builds before."""


def _plan(
    listings: Mapping[str, Listing], *, shas: Mapping[str, str | None], with_rows: Iterable[str]
) -> _Plan:
    """Compare what is listed with what is known; all names are compared without case."""
    unchanged, to_read = [], []
    open_rows = {repo.casefold(): repo for repo in with_rows}
    emptied = []
    for name, listing in listings.items():
        repo, sha = listing.repository.repo, listing.repository.sha
        if listing.builds == ():
            if name in open_rows:
                emptied.append(repo)
        elif sha is not None and shas.get(name) == sha:
            unchanged.append(listing)
        else:
            to_read.append(repo)
    to_read += [repo for name, repo in open_rows.items() if name not in listings]
    return _Plan(
        unchanged=tuple(unchanged),
        emptied=tuple(emptied),
        to_read=tuple(sorted(to_read, key=str.casefold)),
        known=len(open_rows),
    )


def companions_of(artifact: Artifact, files: Iterable[RemoteFile]) -> tuple[Companion, ...]:
    """Find the vision encoder of a build: the one beside it that is for the same SoC."""
    folder = artifact.path.rpartition("/")[0]
    found = []
    for file in files:
        name = file.path.lower()
        if not name.endswith(".rknn") or "vision" not in name or bad_path(file.path):
            continue
        if file.path.rpartition("/")[0] not in {folder, ""}:
            continue
        platform = guess(artifact.repo, file.path, source=artifact.source).platform
        if platform is not None and platform is artifact.platform:
            found.append(file)
    return tuple(
        Companion(
            role="vision",
            repo=artifact.repo,
            path=file.path,
            size_bytes=file.size_bytes,
            sha256=file.sha256,
        )
        for file in found
    )
