"""From an artifact to a verified file in the store: here already, or downloaded and checked."""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from .check import FORMATS, another_format
from .endpoints import mirrors
from .errors import IntegrityError, NetworkError
from .health import Health
from .http import rkfetch_version
from .hub import hub_routes
from .mirror import MirrorFile
from .record import Record, known_attributes
from .rkllm_read import read_file
from .route import OF_A_PLACE, Route, first_that_answers, leaving
from .transfer import download

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from .errors import RkfetchError
    from .http import Http
    from .limits import Limits
    from .model import Artifact
    from .progress import Progress
    from .rkllm import RkllmFacts
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
) -> Fetched:
    """Have an artifact's file in the store, verified; what is there already costs no request.

    ``check`` is given the header of a finished ``.rkllm`` and returns a sentence if it
    contradicts the plan; then the file is removed and never gets its name. ``record_extra`` may
    hold ``model`` and ``verdict`` for the record. ``elsewhere`` are other repositories' artifacts
    of the same SHA-256, which has to be known: they go on where the artifact's own place fails.

    Raises:
        IntegrityError: the file was replaced upstream (known before any byte), or its content is
            wrong. Nothing of it is kept.
        NetworkError: nothing came any more, after retries. The partial file is kept.
        DiskSpaceError: there is no room. The partial file is kept.
        AuthenticationError, UnknownModelError: the source does not give it out.
        OfflineError: it is not here, and the network is switched off.
    """
    here = installed(store, artifact)
    if here is not None:
        return Fetched(installed=here, action="present")
    try:
        return _brought(
            artifact,
            store=store,
            http=http,
            progress=progress,
            check=check,
            record_extra=record_extra or {},
            limits=limits,
            elsewhere=elsewhere,
        )
    except OF_A_PLACE as error:
        if not elsewhere or isinstance(error, IntegrityError):
            raise
        raise _own_reason(http, artifact, error) from error


def _own_reason(http: Http, artifact: Artifact, error: RkfetchError) -> RkfetchError:
    """Return why the artifact's own repository does not give it out, which is what was asked.

    The last place that failed was another one.
    """
    causes = (f"{error.message} (the same file elsewhere)", *error.cause)
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


def _brought(
    artifact: Artifact,
    *,
    store: Store,
    http: Http,
    progress: Progress,
    check: Callable[[RkllmFacts], str | None] | None,
    record_extra: Mapping[str, Any],
    limits: Limits | None,
    elsewhere: Sequence[Artifact],
) -> Fetched:
    """Bring a file that was not here from the first place that gives it out."""
    health = Health(store.root / "endpoints.json")
    routes = health.ordered(
        hub_routes(http, artifact, elsewhere=elsewhere, waiting=progress.waiting)
    )
    neighbours = mirrors()
    sha256 = artifact.sha256
    if sha256 is None or not neighbours:
        routes = first_that_answers(routes, left=leaving(progress, health))
        sha256 = sha256 or routes[0].located().sha256
    if sha256 is not None and (here := store.find(sha256)) is not None:
        return Fetched(installed=here, action="present")
    key = sha256 or hashlib.sha256(routes[0].source.identity.encode()).hexdigest()
    if sha256 is not None:
        stores = [
            MirrorFile(
                http=http,
                base=base,
                sha256=sha256,
                name=artifact.name,
                waiting=progress.waiting,
            )
            for base in neighbours
        ]
        routes = health.ordered([*map(Route, stores), *routes])
    with store.writing(key, waiting=progress.waiting):
        here = store.find(sha256) if sha256 else installed(store, artifact)
        if here is not None:
            return Fetched(installed=here, action="present")
        facts: RkllmFacts | None = None

        def look(path: Path) -> str | None:
            nonlocal facts
            facts, complaint = _look(path, artifact, check)
            return complaint

        downloaded = download(
            http,
            routes,
            partial=store.partial(key),
            expected_size=artifact.size_bytes,
            expected_sha256=sha256,
            progress=progress,
            check=look,
            limits=limits,
            health=health,
        )
        progress.phase("install")
        record = _record(artifact, downloaded, facts, record_extra)
        item = store.add(downloaded.path, record)
    return Fetched(
        installed=item,
        action="downloaded",
        resumed_from=downloaded.resumed_from,
        bytes_downloaded=downloaded.received_bytes,
        facts=facts,
    )


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
        attributes=known_attributes(artifact, facts),
        verdict=extra.get("verdict"),
        validator=downloaded.validator,
        fetched_at=now.isoformat(timespec="seconds"),
        rkfetch=rkfetch_version(),
    )
