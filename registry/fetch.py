"""From an artifact to a verified file in the store: here already, or downloaded and checked."""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from . import journal, rknn
from .check import FORMATS, another_format
from .durable import disk_errors, require_space
from .endpoints import mirrors
from .errors import IntegrityError, NetworkError
from .health import Health
from .http import rkfetch_version
from .hub import hub_routes
from .journal import Subject
from .metered import Once, sparing
from .record import Record, known_attributes
from .rkllm_read import read_file
from .route import OF_A_PLACE, Route, first_that_answers, leaving

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from .errors import RkfetchError
    from .http import Http
    from .limits import Limits
    from .metered import Costs
    from .model import Artifact
    from .progress import Progress
    from .rkllm import RkllmFacts
    from .rknn import RknnFacts
    from .store import Installed, Store
    from .transfer import Downloaded


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A verified file, and what it took to have it here."""

    installed: Installed
    action: Literal["present", "downloaded"]
    resumed_from: int = 0
    """Bytes that an earlier process had left."""
    bytes_downloaded: int = 0
    """Bytes of content that came over the network."""
    facts: RkllmFacts | None = None
    """What the finished file says about itself; None unless it was downloaded now."""


def installed(store: Store, artifact: Artifact) -> Installed | None:
    """Return an artifact's file if it is here, without any network.

    Without a known digest, a file from the same address counts: fetched at the same commit if
    the artifact is pinned to one, else at the same branch, however long ago.
    """
    if artifact.sha256 is not None:
        return store.find(artifact.sha256)
    item = store.find_source(artifact.source, artifact.repo, artifact.path)
    if item is None:
        return None
    fetched_at = {item.record.revision, item.record.requested or "main"}
    return item if (artifact.revision or "main") in fetched_at else None


def fetch(
    artifact: Artifact,
    *,
    store: Store,
    http: Http,
    progress: Progress,
    check: Callable[[RkllmFacts], str | None] | None = None,
    record_extra: Mapping[str, Any] | None = None,
    limits: Limits | None = None,
    elsewhere: Sequence[Artifact] = (),
    asked: Route | None = None,
    costs: Costs | None = None,
    more_bytes: int = 0,
) -> Fetched:
    """Have an artifact's file in the store, verified; what is there already costs no request.

    ``check`` is given the header of a finished ``.rkllm`` and returns a sentence if it
    contradicts the plan; then the file is removed and never gets its name. ``record_extra`` may
    hold ``model`` and ``verdict`` for the record. ``elsewhere`` are other repositories' artifacts
    of the same SHA-256, which has to be known: they go on where the artifact's own place fails.
    ``asked`` is a place that said just now where the file is, and is not asked again.
    ``costs`` is asked before much comes over a metered link; what `mirrors` give is free.
    ``more_bytes`` belong to it and come next: there has to be room and consent for them, too.

    Raises:
        IntegrityError: the file was replaced upstream (known before any byte), or its content is
            wrong. Nothing of it is kept.
        NetworkError: nothing came any more, after retries. The partial file is kept.
        DiskSpaceError: there is no room. The partial file is kept.
        AuthenticationError, UnknownModelError: the source does not give it out.
        OfflineError: it is not here, and the network is switched off.
        MeteredError: nobody agreed to what it would cost. The partial file is kept.
    """
    here = installed(store, artifact)
    if here is not None:
        return Fetched(installed=here, action="present")
    task = _Task(
        artifact,
        store=store,
        http=http,
        progress=progress,
        check=check,
        record_extra=record_extra or {},
        limits=limits,
        elsewhere=elsewhere,
        asked=asked,
        costs=costs,
        more_bytes=more_bytes,
    )
    try:
        return task.run()
    except OF_A_PLACE as error:
        if not elsewhere or isinstance(error, IntegrityError):
            raise
        raise _own_reason(http, artifact, error) from error


def _own_reason(http: Http, artifact: Artifact, error: RkfetchError) -> RkfetchError:
    """Return why the artifact's own repository does not give it out, which is what was asked.

    The last place that failed was another one.
    """
    causes = (f"the last place that was asked: {error.message}", *error.cause)
    reasons = [_refusal(route) for route in hub_routes(http, artifact)]
    if reasons[-1] is not None and all(reasons):
        reasons[-1].cause = (*reasons[-1].cause, *causes)
        return reasons[-1]
    if isinstance(error, NetworkError):
        return error
    return NetworkError(
        f"{artifact.name} did not come to its end",
        cause=causes,
        hint="what was downloaded is kept: run the same command again to go on",
    )


def _refusal(route: Route) -> RkfetchError | None:
    try:
        route.located(hurried=True)
    except OF_A_PLACE as reason:
        return reason
    return None


class _Task:
    """One file that was not here when it was asked for."""

    def __init__(
        self,
        artifact: Artifact,
        *,
        store: Store,
        http: Http,
        progress: Progress,
        check: Callable[[RkllmFacts], str | None] | None,
        record_extra: Mapping[str, Any],
        limits: Limits | None,
        elsewhere: Sequence[Artifact],
        asked: Route | None,
        costs: Costs | None,
        more_bytes: int,
    ) -> None:
        self._artifact = artifact
        self._store = store
        self._http = http
        self._progress = progress
        self._check = check
        self._record_extra = record_extra
        self._limits = limits
        self._elsewhere = elsewhere
        self._asked = {asked.key: asked} if asked is not None else {}
        self._costs = costs
        self._more_bytes = more_bytes
        self._health = Health(store.root / "endpoints.json")
        self._sha256 = artifact.sha256
        self._facts: RkllmFacts | None = None
        self._encoder: RknnFacts | None = None

    def run(self) -> Fetched:
        """Bring it from the first place that gives it out; raises as `fetch`."""
        store, neighbours = self._store, mirrors()
        far = self._hubs()
        if self._sha256 is None or not neighbours:
            far = first_that_answers(far, left=leaving(self._progress, self._health))
            self._sha256 = self._sha256 or far[0].located().sha256
        sha256 = self._sha256
        if sha256 is not None and (here := store.find(sha256)) is not None:
            return Fetched(installed=here, action="present")
        key = sha256 or hashlib.sha256(far[0].source.identity.encode()).hexdigest()
        near = self._stores(neighbours, sha256) if sha256 is not None else []
        with store.writing(key, waiting=self._progress.waiting):
            here = store.find(sha256) if sha256 else installed(store, self._artifact)
            if here is not None:
                return Fetched(installed=here, action="present")
            downloaded = self._download(near, far, store.partial(key))
            self._progress.phase("install")
            record = _record(
                self._artifact, downloaded, self._facts, self._encoder, self._record_extra
            )
            item = store.add(downloaded.path, record)
        return Fetched(
            installed=item,
            action="downloaded",
            resumed_from=downloaded.resumed_from,
            bytes_downloaded=downloaded.received_bytes,
            facts=self._facts,
        )

    def _hubs(self) -> list[Route]:
        routes = hub_routes(
            self._http,
            self._artifact,
            elsewhere=self._elsewhere,
            waiting=self._progress.waiting,
        )
        return self._health.ordered([self._asked.get(route.key, route) for route in routes])

    def _stores(self, addresses: Sequence[str], sha256: str) -> list[Route]:
        """Return the stores of other machines."""
        from .mirror import MirrorFile

        return [
            Route(
                MirrorFile(
                    http=self._http,
                    base=base,
                    sha256=sha256,
                    name=self._artifact.name,
                    waiting=self._progress.waiting,
                )
            )
            for base in addresses
        ]

    def _download(self, near: Sequence[Route], far: Sequence[Route], partial: Path) -> Downloaded:
        """Bring the bytes; those that cost only with consent, and only where no neighbour has them.

        Raises:
            MeteredError: there is no consent. What a neighbour gave is kept.
        """
        costs, failures, more = self._costs, [], self._more_bytes
        if more:
            self._require_room_for_all(partial)
        if costs is None or costs.matter(_sum(self._missing(far, partial), more)) is None:
            routes = self._health.ordered([*near, *far])
            return self._bring(routes, partial, self._progress, self._limits)
        if near:
            try:
                return self._bring(near, partial, self._progress, self._limits)
            except OF_A_PLACE as error:
                failures.append(error)
        missing = self._missing(far, partial)
        progress = self._progress
        if (who := costs.matter(_sum(missing, more))) is not None:
            name = self._artifact.name
            costs.require(name, missing, who, more_bytes=more, failures=failures)
            progress = Once(progress, name=self._artifact.name, size_bytes=missing, who=who)
        return self._bring(far, partial, progress, sparing(self._limits))

    def _require_room_for_all(self, partial: Path) -> None:
        """Check that there is room for what comes next, too, before the first byte.

        Raises:
            DiskSpaceError: there is not.
        """
        with disk_errors(partial.parent):
            try:
                here = partial.stat().st_blocks * 512
            except FileNotFoundError:
                here = 0
        own = max(0, (self._artifact.size_bytes or 0) - here)
        require_space(partial.parent, own + self._more_bytes)

    def _missing(self, far: Sequence[Route], partial: Path) -> int | None:
        """Return how many bytes are still to come; None if nobody tells."""
        size, sha256 = self._artifact.size_bytes, self._sha256
        if size is None and _refusal(far[0]) is None:
            size = far[0].located().size_bytes
        if size is None:
            return None
        subject = Subject(source=far[0].source.identity, size_bytes=size, sha256=sha256)
        try:
            inode = partial.stat().st_ino
        except OSError:
            return size
        trusted = journal.read(journal.journal_of(partial), subject, inode=inode)
        return size - (trusted.spans.total if trusted is not None else 0)

    def _bring(
        self, routes: Sequence[Route], partial: Path, progress: Progress, limits: Limits | None
    ) -> Downloaded:
        from .transfer import download  # a board is asked for what is here more often

        return download(
            self._http,
            routes,
            partial=partial,
            expected_size=self._artifact.size_bytes,
            expected_sha256=self._sha256,
            progress=progress,
            check=self._look,
            limits=limits,
            health=self._health,
        )

    def _look(self, path: Path) -> str | None:
        self._facts, complaint = _look(path, self._artifact, self._check)
        if complaint is None and self._facts is not None and self._facts.format == "rknn":
            self._encoder = rknn.read_file(path)
            if self._encoder is not None:
                complaint = rknn.complaint(self._encoder, self._artifact.platform)
        return complaint


def _sum(missing: int | None, more: int) -> int | None:
    return None if missing is None else missing + more


def _look(
    path: Path, artifact: Artifact, check: Callable[[RkllmFacts], str | None] | None
) -> tuple[RkllmFacts | None, str | None]:
    """Read a finished file's header; return it, and what is wrong with kind or plan."""
    wanted = FORMATS.get(PurePosixPath(artifact.path).suffix.lower())
    if wanted is None:
        return None, None
    facts = read_file(path)
    complaint = check(facts) if check is not None and wanted == "rkllm" else None
    return facts, another_format(facts, wanted) or complaint


def _record(
    artifact: Artifact,
    downloaded: Downloaded,
    facts: RkllmFacts | None,
    encoder: RknnFacts | None,
    extra: Mapping[str, Any],
) -> Record:
    now = dt.datetime.now(tz=dt.timezone.utc)
    return Record(
        sha256=downloaded.sha256,
        size_bytes=downloaded.size_bytes,
        source=artifact.source,
        repo=artifact.repo,
        path=artifact.path,
        revision=downloaded.commit or artifact.revision,
        requested=artifact.revision,
        endpoint=downloaded.place,
        model=extra.get("model"),
        attributes=known_attributes(artifact, facts, encoder),
        verdict=extra.get("verdict"),
        validator=downloaded.validator,
        fetched_at=now.isoformat(timespec="seconds"),
        rkfetch=rkfetch_version(),
    )
