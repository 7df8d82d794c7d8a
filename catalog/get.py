"""From an answer to a verified file: installed already, or downloaded and checked.

The header of a build that nobody has read yet is read by range *before* its gigabytes are
requested. What is found out is written to the catalog, so that a wrong label misleads once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rkfetch.registry.check import contradiction, no_model
from rkfetch.registry.errors import IntegrityError, OfflineError
from rkfetch.registry.fetch import fetch, installed
from rkfetch.registry.hub import has_address
from rkfetch.registry.imports import import_file
from rkfetch.registry.model import Availability, Origin
from rkfetch.registry.route import OF_A_PLACE

from .halves import Half, Means
from .probe import note_file, probe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rkfetch.registry.errors import RkfetchError
    from rkfetch.registry.http import Http
    from rkfetch.registry.limits import Limits
    from rkfetch.registry.metered import Costs
    from rkfetch.registry.model import Artifact
    from rkfetch.registry.progress import Progress
    from rkfetch.registry.record import Record
    from rkfetch.registry.resolve import Candidate, Policy
    from rkfetch.registry.rkllm import RkllmFacts
    from rkfetch.registry.store import Installed, Store

    from .answer import Answer
    from .database import Catalog
    from .probe import Probed


_HUBS = {"huggingface", "modelscope"}
_MOST_ELSEWHERE = 3
"""An endpoint that is dead is dead for all repositories at it, and each costs a time-out."""
_REMEMBERED = "the catalog remembers it; the same command now looks for another build"
_DOUBTED = (
    "what came may have been damaged on its way: for a day another build is looked for; named "
    "exactly (hf:OWNER/REPO/PATH), it is asked again"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Got:
    """A verified file on this machine."""

    installed: Installed
    candidate: Candidate
    action: str
    """``present``, ``downloaded``, or ``imported`` from a folder of this machine."""
    resumed_from: int = 0
    """Bytes that an earlier run had left."""
    companions: tuple[Installed, ...] = ()
    """What belongs to it and is here too: the encoder of a vision model."""
    came: tuple[Installed, ...] = ()
    """What of all these came now; the rest was here."""
    alone: str | None = None
    """What is to be said of a vision model that is here without its encoder."""


def get(
    catalog: Catalog,
    answer: Answer,
    *,
    policy: Policy,
    store: Store,
    http: Http | None,
    progress: Progress,
    limits: Limits | None = None,
    costs: Costs | None = None,
    text_only: bool = False,
) -> Got:
    """Put the chosen build on this machine, verified, and its encoder if it is a vision model.

    ``http`` is None offline; then any usable build that is here already is taken, with its encoder
    if that is here, too. ``text_only`` leaves the encoder out.

    Raises:
        IncompatibleError, MemoryFitError, UsageError: nothing may be used (`Answer.require`).
        OfflineError: it is not here, and the network is switched off.
        IntegrityError: the content contradicts hash, size, format or label; nothing is kept.
        NetworkError, AuthenticationError, DiskSpaceError, MeteredError: see
            `registry.fetch.fetch`.
    """
    chosen = answer.require()
    means = Means(catalog, store=store, http=http, progress=progress, limits=limits, costs=costs)
    for candidate in (chosen,) if http else answer.resolution.ranked:
        here = _from_here(catalog, answer, candidate, policy=policy, store=store, progress=progress)
        if here is not None:
            half = None if text_only else Half.of(means, answer, candidate, here.installed)
            return _paired(here, half)
    if http is None:
        raise OfflineError(
            f"{chosen.artifact.name} is not on this machine, and the network is switched off",
            cause=["--offline, or the setting `offline` (RKFETCH_OFFLINE, HF_HUB_OFFLINE)"],
            hint="run it once online, or carry it here: `rkfetch export` on a PC, `rkfetch import` "
            "here; `rkfetch list` shows what is here",
        )
    artifact = chosen.artifact

    def check(facts: RkllmFacts) -> str | None:
        return contradiction(facts, artifact, answer.target, policy)

    def check_file(facts: RkllmFacts) -> str | None:
        complaint = check(facts)
        if complaint is not None and artifact.sha256 is not None:
            note_file(catalog, artifact, artifact.sha256, facts)
        return complaint

    others, asked = elsewhere(catalog, artifact), None
    if not header_is_known(artifact) and has_address(artifact):
        progress.phase("header")
        probed = _read_header(catalog, http, [artifact, *others])
        facts, asked = probed.facts, probed.route
        complaint = check(facts)
        if complaint is not None:
            raise IntegrityError(
                f"{artifact.name}: {complaint}",
                cause=["its header was read before the download; no weights were requested"],
                hint=_REMEMBERED if no_model(facts) is None else _DOUBTED,
            )
    half = None if text_only else Half.of(means, answer, chosen)
    fetched = fetch(
        artifact,
        store=store,
        http=http,
        progress=progress,
        check=check_file,
        record_extra={
            "model": answer.model or artifact.model,
            "verdict": chosen.verdict.level.value,
        },
        limits=limits,
        elsewhere=others,
        asked=asked,
        costs=costs,
        more_bytes=half.missing_bytes if half is not None else 0,
    )
    if fetched.facts is not None:
        note_file(catalog, artifact, fetched.installed.record.sha256, fetched.facts)
    got = Got(
        installed=fetched.installed,
        candidate=chosen,
        action=fetched.action,
        resumed_from=fetched.resumed_from,
        came=(fetched.installed,) if fetched.action == "downloaded" else (),
    )
    return _paired(got, half)


def _paired(got: Got, half: Half | None) -> Got:
    """Return a build with its encoder; raises as `Half.have`."""
    if half is None:
        return got
    joined = half.have(got.installed)
    return replace(
        got,
        installed=joined.model,
        companions=joined.companions,
        came=(*got.came, *joined.came),
        resumed_from=got.resumed_from + joined.resumed_from,
        alone=joined.alone,
    )


def _from_here(
    catalog: Catalog,
    answer: Answer,
    candidate: Candidate,
    *,
    policy: Policy,
    store: Store,
    progress: Progress,
) -> Got | None:
    """Return a build that is on this machine; one of a scanned folder is linked into the store.

    Raises:
        IntegrityError: it is not the file that was scanned, or whether it is whole cannot be told.
        UsageError, DiskSpaceError: see `registry.imports.import_file`.
    """
    here = installed(store, candidate.artifact)
    if here is not None:
        return Got(installed=here, candidate=candidate, action="present")
    if not candidate.artifact.is_local:
        return None
    from .imports import provenance
    from .sources.folder import local_path

    artifact = candidate.artifact
    path = local_path(artifact)

    def describe(sha256: str, facts: RkllmFacts) -> Record:
        complaint = contradiction(facts, artifact, answer.target, policy)
        if complaint is not None:
            raise IntegrityError(f"{path}: {complaint}", hint="rkfetch catalog update folder")
        known = provenance(catalog, path, sha256, facts, allow_unverified=policy.allow_unverified)
        note_file(catalog, artifact, sha256, facts)
        return known.record

    imported = import_file(store, path, describe=describe, progress=progress)
    action = "present" if imported.action == "present" else "imported"
    came = () if action == "present" else (imported.installed,)
    return Got(installed=imported.installed, candidate=candidate, action=action, came=came)


def elsewhere(catalog: Catalog, artifact: Artifact) -> list[Artifact]:
    """Return other places that are believed to give the same content to anybody."""
    if artifact.sha256 is None:
        return []
    own = (artifact.source, artifact.repo, artifact.path)
    return [
        other
        for other in catalog.by_sha256(artifact.sha256)
        if other.availability is Availability.LISTED
        and other.source in _HUBS
        and not other.gated
        and other.size_bytes in {None, artifact.size_bytes}
        and (other.source, other.repo, other.path) != own
    ][:_MOST_ELSEWHERE]


def _read_header(catalog: Catalog, http: Http, places: Sequence[Artifact]) -> Probed:
    """Read the header at the first place that gives it out; the first one's failure counts."""
    failures: list[RkfetchError] = []
    for artifact in places:
        try:
            return probe(catalog, http, artifact)
        except OF_A_PLACE as error:  # noqa: PERF203 - trying the next is the point
            failures.append(error)
    raise failures[0]


def header_is_known(artifact: Artifact) -> bool:
    """Tell whether platform and toolkit were read from the file itself."""
    read = {Origin.HEADER, Origin.TRAILER}
    return all(artifact.attribute(name).origin in read for name in ("platform", "toolkit"))
