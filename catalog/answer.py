"""Answer a reference for a target: which builds there are, and which one to use.

Joins the two halves: the catalog knows what exists, `registry.resolve` decides. Builds whose
toolkit version nobody wrote down are read by range first, when that could change the answer.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rkfetch.registry.compat import Level
from rkfetch.registry.errors import (
    AuthenticationError,
    ConversionUnavailableError,
    IntegrityError,
    NetworkError,
    OfflineError,
    UnknownModelError,
)
from rkfetch.registry.model import CONVERTED, LOCAL, Artifact, Availability, settle
from rkfetch.registry.refuse import refuse
from rkfetch.registry.resolve import Policy, resolve

from .candidates import candidates
from .measured import measured_memory
from .models import hub_id, known_model, match, parse_reference, suggest
from .naming import guess
from .observations import READ, VERIFIED
from .pairs import Pair, pair_of
from .places import at_its_place, contents, to_be_had

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rkfetch.registry.model import Target
    from rkfetch.registry.resolve import Candidate, Resolution

    from .database import Catalog
    from .models import FileReference, Reference
    from .pairs import Lister

MAX_PROBES = 6
"""Headers read for one question; two range requests each."""


class Prober(Protocol):
    """Reads the header of a remote file and returns the artifact with what it says."""

    def __call__(self, artifact: Artifact, *, afresh: bool = False) -> Artifact:
        """Return the artifact with header evidence, and remember it.

        ``afresh`` reads it again, whatever is remembered.

        Raises:
            NetworkError, AuthenticationError, IntegrityError: it could not be read.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a reference means on a target."""

    reference: Reference
    model: str | None
    """The base model's Hub id, or its plain name where the id is not known."""
    target: Target
    resolution: Resolution
    unread: str | None = None
    """Why headers that would have mattered could not be read."""
    offline: bool = False
    """The network was switched off."""
    left_out: int = 0
    """Builds of the model that were not judged, because so many fit as well or better."""
    pair: Pair = field(default_factory=Pair)
    """What comes with the choice: the vision encoder of the same SoC; nothing for a text model."""

    @property
    def choice(self) -> Candidate | None:
        """The build to use."""
        return self.resolution.choice

    @property
    def companions(self) -> tuple[Artifact, ...]:
        """The files that come with the choice."""
        return self.pair.companions

    @property
    def alone(self) -> str | None:
        """What is to be said of a choice that is only half of a vision model."""
        return self.pair.alone

    @property
    def name(self) -> str:
        """What was asked for, in a sentence: ``qwen2.5-1.5b (Qwen/Qwen2.5-1.5B-Instruct)``."""
        typed = self.reference.model or self.reference.text
        if self.reference.file is not None or self.model in {None, typed}:
            return typed
        return f"{typed} ({self.model})"

    def text_only(self) -> Answer:
        """Return the answer for those who want no pictures seen."""
        return replace(self, pair=Pair())

    def require(self) -> Candidate:
        """Return the build to use.

        Raises:
            IncompatibleError, MemoryFitError, UsageError: why there is none.
            OfflineError: only a header would tell whether there is one, and none may be read.
        """
        if self.choice is not None:
            return self.choice
        if self.offline and self.unread:
            what = self.name if self.reference.file is not None else f"a build of {self.name}"
            raise OfflineError(
                f"whether {what} fits is told by its header only",
                cause=[self.unread],
                hint="run it once online, or accept it unread with --allow-unverified",
            )
        error = refuse(self.name, self.resolution, measured=measured_memory)
        if self.unread:
            error.cause = (*error.cause, self.unread)
        raise error


def answer(
    catalog: Catalog,
    text: str,
    target: Target,
    *,
    policy: Policy | None = None,
    prober: Prober | None = None,
    at_hand: Callable[[Artifact], bool] | None = None,
    lister: Lister | None = None,
) -> Answer:
    """Find and judge every build that ``text`` may mean.

    ``prober`` is None offline: unknown builds then stay unknown. ``at_hand`` tells which builds
    are on this machine or a neighbour's, so that it does not matter where they were uploaded.
    ``lister`` lists the repository of a vision model that nobody has listed yet; None offline.

    Raises:
        UsageError: ``text`` is no reference.
        UnknownModelError: the catalog knows no such model; with the names that are near.
        ConversionUnavailableError: the model is known, and nobody has published a build of it.
    """
    reference = parse_reference(text)
    if reference.quant is not None:
        target = replace(target, quant=reference.quant)
    rules = policy or Policy()
    left_out = 0
    artifacts: Sequence[Artifact]
    if reference.file is not None:
        artifacts = [_exact_file(catalog, reference.file)]
        model = artifacts[0].model
    else:
        names = _models(catalog, reference)
        found, model = candidates(catalog, names, target), names[0]
        artifacts, left_out = contents(catalog, found.artifacts), found.left_out
    if at_hand is not None:
        artifacts = [to_be_had(artifact, at_hand) for artifact in artifacts]
    resolution = resolve(artifacts, target, policy=rules, measured=measured_memory)
    unread = None
    if prober is not None:
        if reference.file is not None and _may_be_misread(resolution):
            artifacts = [_asked_again(artifacts[0], prober)]
            resolution = resolve(artifacts, target, policy=rules, measured=measured_memory)
        exact = reference.file is not None
        resolution, unread = _with_headers(resolution, artifacts, rules, prober, exact=exact)
    elif _worth_reading(resolution, set()) is not None:
        unread = "headers that would tell more were not read: the network is switched off"
    choice = resolution.choice
    pair = Pair()
    if choice is not None:
        pair = pair_of(catalog, choice.artifact, lister=lister, at_hand=at_hand)
    return Answer(
        reference=reference,
        model=(hub_id(model) or model) if model else None,
        target=target,
        resolution=resolution,
        unread=unread,
        offline=prober is None,
        left_out=left_out,
        pair=pair,
    )


def _models(catalog: Catalog, reference: Reference) -> Sequence[str]:
    known = catalog.models()
    name = reference.model or reference.text
    names = match(name, known)
    if names:
        return names
    near = suggest(name, known)
    did_you_mean = f"did you mean {', '.join(near)}?" if near else None
    known_as = known_model(name)
    if known_as is not None:
        raise ConversionUnavailableError(
            f"nobody is known to have published a build of {known_as.hub_id or known_as.name}",
            cause=[f"none of the {len(known)} models in the catalog is this one"],
            hint="`rkfetch catalog update` looks for new uploads"
            + (f"; or {did_you_mean}" if did_you_mean else ""),
        )
    raise UnknownModelError(
        f"no model called '{name}' is known",
        cause=[f"the catalog knows {len(known)} models"],
        hint=did_you_mean
        or "`rkfetch search WORD` looks for names; `rkfetch catalog update` for new uploads",
    )


def row_of(catalog: Catalog, file: FileReference) -> Artifact | None:
    """Return the catalog's row for a file named exactly; None if it has none."""
    if file.source == LOCAL:
        from .sources.folder import file_at

        return file_at(catalog, Path(file.repo, file.path))
    return catalog.artifact(file.source, file.repo, file.path, file.revision)


def _exact_file(catalog: Catalog, file: FileReference) -> Artifact:
    """Return the catalog's row for a file named exactly, or what its name alone tells.

    Raises:
        UnknownModelError: it is a file of this machine that no scan has seen, or that was never
            made.
    """
    known = row_of(catalog, file)
    if known is not None:
        known = at_its_place(catalog, known)
        # Who names an upload exactly may have it again, whatever became of it.
        # What was made here is had by making it again.
        is_upload = not known.is_local and known.source != CONVERTED
        if known.availability is not Availability.LISTED and is_upload:
            known = replace(known, availability=Availability.LISTED, note=None)
        return known
    if file.source == CONVERTED:
        raise UnknownModelError(
            f"no {file.path} was made here",
            hint=f"`rkfetch convert {file.repo.removeprefix('local/')}` makes one",
        )
    if file.source == LOCAL:
        raise UnknownModelError(
            f"{file.repo}/{file.path} was not seen by a scan",
            hint=f"`rkfetch catalog scan {file.repo}`; or `rkfetch import` takes a file at once",
        )
    return Artifact(
        source=file.source,
        repo=file.repo,
        path=file.path,
        revision=file.revision,
        ref=file.revision,
        attributes=settle(guess(file.repo, file.path, source=file.source).evidence),
    )


# --- reading headers where they matter ---------------------------------------------------------


def _may_be_misread(resolution: Resolution) -> bool:
    """Tell whether a build is refused for what was read by range only, or by others."""
    return resolution.choice is None and any(
        e.origin in READ and (e.place != VERIFIED or e.publisher is not None)
        for candidate in resolution.refused
        for attribute in candidate.artifact.attributes.values()
        for e in attribute.evidence
    )


def _asked_again(artifact: Artifact, prober: Prober) -> Artifact:
    """Read the header once more of a build that was named exactly; it stays if that fails."""
    with suppress(NetworkError, AuthenticationError, IntegrityError, UnknownModelError):
        return prober(artifact, afresh=True)
    return artifact


def _with_headers(
    resolution: Resolution,
    artifacts: Sequence[Artifact],
    policy: Policy,
    prober: Prober,
    *,
    exact: bool,
) -> tuple[Resolution, str | None]:
    """Read unknown builds, most promising first, until something certain is found.

    Trouble with one of several builds is told at the end; trouble with the one file that was
    named exactly (``exact``) is the answer, and raised.
    """
    known = {_key(a): a for a in artifacts}
    unread = None
    tried: set[tuple[str, str, str]] = set()
    while len(tried) < MAX_PROBES:
        wanted = _worth_reading(resolution, tried)
        if wanted is None:
            break
        tried.add(_key(wanted))
        try:
            known[_key(wanted)] = prober(wanted)
        except (NetworkError, AuthenticationError, UnknownModelError) as error:
            if exact:
                raise
            if isinstance(error, NetworkError):
                # The next file lies on the same host: asking again would only take longer.
                unread = f"headers that would tell more could not be read: {error.message}"
                break
            if isinstance(error, UnknownModelError):
                gone = replace(wanted, availability=Availability.GONE, note=error.message)
                known[_key(wanted)] = gone
        except IntegrityError as error:
            if exact:
                raise
            known[_key(wanted)] = replace(
                wanted, availability=Availability.REJECTED, note=error.message
            )
        resolution = resolve(
            known.values(), resolution.target, policy=policy, measured=measured_memory
        )
    return resolution, unread


def _key(artifact: Artifact) -> tuple[str, str, str]:
    return artifact.source, artifact.repo, artifact.path


_HEADER_WOULD_TELL = {
    "toolkit-unknown",
    "toolkit-disputed",
    "toolkit-doubted",
    "context-unknown",
    "platform-unknown",
    "platform-doubted",
}


def _worth_reading(resolution: Resolution, tried: set[tuple[str, str, str]]) -> Artifact | None:
    """Return the build whose header could still change the answer; None if there is none."""
    choice = resolution.choice
    if choice is not None and choice.verdict.level in {Level.EXACT, Level.COMPATIBLE}:
        return None
    if resolution.target.runtime is None:
        return None
    for candidate in (*resolution.ranked, *resolution.refused):
        artifact = candidate.artifact
        doubts = {r.rule for r in candidate.verdict.reasons}
        if (
            doubts & _HEADER_WOULD_TELL
            and candidate.verdict.level is not Level.INCOMPATIBLE
            and artifact.availability is Availability.LISTED
            and artifact.source in {"huggingface", "modelscope"}
            and (candidate.refusal is None or candidate.refusal.rule in doubts)
            and _key(artifact) not in tried
        ):
            return artifact
    return None
