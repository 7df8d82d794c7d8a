"""Find out what a remote build says about itself, by range, and remember it.

What a content says never changes, so it is asked once for each SHA-256: a second place of the
same content, or the same place next year, costs no request for data. But no digest covers bytes
that were read by range: they can be damaged on their way, or forged. So what speaks against a
content counts for a day at most, and a file that was verified as a whole has the last word.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from rkfetch.registry.check import no_model
from rkfetch.registry.errors import RkfetchError
from rkfetch.registry.hub import HttpBytes, resolve_url
from rkfetch.registry.model import Availability, Origin, Platform, Quant, settle
from rkfetch.registry.rkllm import RkllmFacts, facts_evidence
from rkfetch.registry.rkllm_read import read_rkllm
from rkfetch.registry.versions import as_version

from .observations import READ, VERIFIED
from .writer import Writer, now

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rkfetch.registry.http import Http
    from rkfetch.registry.model import Artifact
    from rkfetch.registry.route import Route
    from rkfetch.registry.vocabulary import Span, Vocabularies

    from .answer import Prober
    from .database import Catalog


MOST_BYTES = 16 << 20
"""Of one file; so much takes only a vocabulary of 200,000 tokens that was never met before."""
MOST_REQUESTS = 24
MOST_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """A build whose own word was heard."""

    artifact: Artifact
    """With the evidence, and with size and SHA-256 where the source told them."""
    facts: RkllmFacts
    remembered: bool
    """The answer came from the catalog; nothing was read."""
    vouched: bool = False
    """The server that sent the bytes knows size and SHA-256 of the content."""
    route: Route | None = None
    """The place that was asked; it needs no second question where the file is."""


def probe(catalog: Catalog, http: Http, artifact: Artifact, *, afresh: bool = False) -> Probed:
    """Read the header and trailer of a remote build, or recall them, and note them down.

    ``afresh`` reads them whatever is remembered.

    Raises:
        NetworkError, AuthenticationError, UnknownModelError: it could not be read.
        IntegrityError: it is another file than the catalog says.
    """
    probed = read_remote(
        http,
        artifact,
        recall=_nothing if afresh else catalog.probed,
        vocabularies=_Vocabularies(catalog),
    )
    if not (probed.remembered or catalog.read_only):
        with Writer.open(catalog.path) as writer:
            note(writer, probed)
    return probed


def prober(catalog: Catalog, http: Http) -> Prober:
    """Return what reads headers for `answer.answer`, over a client."""

    def read(artifact: Artifact, *, afresh: bool = False) -> Artifact:
        return probe(catalog, http, artifact, afresh=afresh).artifact

    return read


@dataclass(frozen=True, slots=True)
class _Vocabularies:
    """What a catalog remembers of vocabularies."""

    catalog: Catalog

    def recall(self, beginning: str) -> Span | None:
        return self.catalog.vocabulary(beginning)

    def learn(self, beginning: str, span: Span) -> None:
        if not self.catalog.read_only:
            with Writer.open(self.catalog.path) as writer:
                writer.record_vocabulary(beginning, span)


def read_remote(
    http: Http,
    artifact: Artifact,
    *,
    recall: Callable[[str], str | None],
    vocabularies: Vocabularies,
) -> Probed:
    """Read a remote build's own word; ``recall`` gives what is noted about a SHA-256.

    Raises:
        NetworkError, AuthenticationError, UnknownModelError: it could not be read.
        IntegrityError: it is another file than the catalog says.
    """
    known = _recalled(artifact.sha256, recall)
    if known is not None:
        return _probed(artifact, known, remembered=True)
    source = HttpBytes(http, artifact)
    remote = source.remote
    artifact = replace(
        artifact,
        sha256=artifact.sha256 or remote.sha256,
        size_bytes=artifact.size_bytes or remote.size_bytes,
    )
    known = _recalled(artifact.sha256, recall)
    if known is not None:
        return _probed(artifact, known, remembered=True)
    facts = read_rkllm(
        source,
        vocabularies=vocabularies,
        budget_bytes=MOST_BYTES,
        max_requests=MOST_REQUESTS,
        budget_s=MOST_SECONDS,
    )
    same_size = artifact.size_bytes in {None, facts.size_bytes}
    vouched = same_size and remote.sha256 is not None and remote.sha256 == artifact.sha256
    found = _probed(artifact, facts, remembered=False)
    return replace(found, vouched=vouched, route=source.route)


def note(writer: Writer, probed: Probed) -> None:
    """Write down what a probe found, and the build itself."""
    with writer.transaction():
        if _may_be_recorded(writer, probed):
            # A doubt is no state of the row; and a row that was rejected for good stays so.
            artifact = replace(probed.artifact, availability=Availability.LISTED, note=None)
            writer.record_reading(artifact, seen=now())
        remember(writer, probed)


def _may_be_recorded(writer: Writer, probed: Probed) -> bool:
    if no_model(probed.facts) is None:
        return True
    sha256 = probed.artifact.sha256
    return probed.vouched and not (sha256 is not None and writer.observations.is_verified(sha256))


def remember(writer: Writer, probed: Probed) -> None:
    """Remember what a content says; for a day only what speaks against it."""
    sha256, facts = probed.artifact.sha256, probed.facts
    if sha256 is None:
        return
    complaint = no_model(facts)
    with writer.transaction():
        if writer.observations.is_verified(sha256):
            return
        if complaint is None:
            writer.record_probe(sha256, facts.format, facts_json(facts))
            writer.trust(sha256)
        elif probed.vouched:
            writer.doubt(sha256, complaint)


def note_file(catalog: Catalog, artifact: Artifact, sha256: str, facts: RkllmFacts) -> None:
    """Write down what a file says whose every byte is here and verified: the last word.

    One that is no model is rejected for ever. A catalog that cannot be written is no obstacle.
    """
    if catalog.read_only:
        return
    certain = _heard(replace(artifact, sha256=sha256, size_bytes=facts.size_bytes), facts, VERIFIED)
    complaint = no_model(facts)
    with suppress(RkfetchError), Writer.open(catalog.path) as writer, writer.transaction():
        writer.trust(sha256)
        writer.record_reading(certain, seen=now())
        if complaint is None:
            writer.record_probe(sha256, facts.format, facts_json(facts))
        else:
            writer.reject(certain, complaint)


def _nothing(_: str) -> None:
    return None


def _recalled(sha256: str | None, recall: Callable[[str], str | None]) -> RkllmFacts | None:
    text = recall(sha256) if sha256 is not None else None
    facts = None if text is None else facts_from_json(text)
    return facts if facts is not None and no_model(facts) is None else None


def _probed(artifact: Artifact, facts: RkllmFacts, *, remembered: bool) -> Probed:
    place = resolve_url(artifact.repo, artifact.path, artifact.revision, source=artifact.source)
    heard = _heard(artifact, facts, place)
    complaint = no_model(facts)
    if complaint is not None:
        heard = replace(heard, availability=Availability.REJECTED, note=complaint)
    return Probed(artifact=heard, facts=facts, remembered=remembered)


def _heard(artifact: Artifact, facts: RkllmFacts, place: str) -> Artifact:
    """Return a build with this reading of it in place of all others; a broken one tells nothing."""
    others = (e for a in artifact.attributes.values() for e in a.evidence if e.origin not in READ)
    said = () if no_model(facts) else facts_evidence(facts, place=place, seen=now())
    return replace(artifact, attributes=settle([*others, *said]))


_UNKEPT = {"keys", "read_bytes", "requests"}
"""Fields that describe one reading rather than the content, or that are large."""


def facts_json(facts: RkllmFacts) -> str:
    """Write facts as one JSON object."""
    kept = {f.name: _plain(getattr(facts, f.name)) for f in fields(facts) if f.name not in _UNKEPT}
    return json.dumps({name: value for name, value in kept.items() if value is not None})


def _plain(value: object) -> object:
    if isinstance(value, (bool, int, type(None))):
        return value
    if isinstance(value, (Origin, Platform)):
        return value.value
    return list(value) if isinstance(value, tuple) else str(value)


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "toolkit": as_version,
    "toolkit_origin": Origin,
    "platform": Platform,
    "quant": Quant.read,
    "not_read": tuple,
    "problems": tuple,
}


def facts_from_json(text: str) -> RkllmFacts | None:
    """Read what `facts_json` wrote; None if another version of rkfetch wrote it differently."""
    try:
        stored = json.loads(text)
        names = {f.name for f in fields(RkllmFacts)} - _UNKEPT
        return RkllmFacts(
            keys={},
            **{n: _READERS.get(n, _same)(v) for n, v in stored.items() if n in names},
        )
    except (ValueError, TypeError, AttributeError, RkfetchError):
        return None


def _same(value: object) -> object:
    return value
