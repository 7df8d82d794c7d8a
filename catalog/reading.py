"""Read one repository: its builds in all revisions, and what header, names and card say of each.

The header is asked first. The card's text costs a request more, so it is asked for only where
header, names and front matter leave something open; what was read once is kept by its hash.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rkfetch.registry.check import no_model
from rkfetch.registry.errors import (
    AuthenticationError,
    IntegrityError,
    NetworkError,
    RkfetchError,
    UnknownModelError,
)
from rkfetch.registry.hub import resolve_url
from rkfetch.registry.model import Artifact, settle

from . import border
from .companions import companions_of
from .naming import CardText, guess
from .observations import READ
from .probe import facts_json, read_remote, remember
from .sources import Revision, bad_path, is_build
from .tokens import read_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rkfetch.registry.http import Http
    from rkfetch.registry.vocabulary import Span

    from .database import Catalog
    from .entries import Companion
    from .probe import Probed
    from .sources import Details, RemoteFile, Source
    from .writer import Writer

_AT_ONCE = 16
"""Headers that are written down together: what a killed update may have to read again."""
_TOLD = ("model", "platform", "quant", "toolkit", "context")
"""What a card is asked for where nothing better tells it."""


class Allowance:
    """How many bytes of headers an update may read, and how long it may take. For threads."""

    def __init__(
        self,
        *,
        most_bytes: int | None = None,
        most_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most_bytes = most_bytes
        self._clock = clock
        self._until = None if most_s is None else clock() + most_s
        self._lock = threading.Lock()
        self.spent_bytes = 0

    def spend(self, count: int) -> None:
        """Count bytes that were read."""
        with self._lock:
            self.spent_bytes += count

    @property
    def is_over(self) -> bool:
        """The time is up."""
        return self._until is not None and self._clock() >= self._until

    @property
    def allows_reading(self) -> bool:
        """Another header may be read."""
        within = self._most_bytes is None or self.spent_bytes < self._most_bytes
        return within and not self.is_over


class Memory:
    """What the catalog knows and is told, for threads: one at a time touches the database."""

    def __init__(self, writer: Writer, catalog: Catalog) -> None:
        self._writer = writer
        self._catalog = catalog
        self._lock = threading.Lock()
        self._stopped = False
        self._pending: dict[str, Probed] = {}

    def stop(self) -> None:
        """Write down what was read, and let nothing be written any more."""
        with self._lock:
            self._stopped = True
            with suppress(RkfetchError), self._writer.transaction():
                self._write_headers()

    @property
    def stopped(self) -> bool:
        """Nothing may be written any more."""
        return self._stopped

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        """Make what happens inside one transaction, together with the headers that wait for one.

        Raises:
            RkfetchError: the update was stopped.
        """
        with self._asking(), self._writer.transaction():
            self._write_headers()
            yield self._writer

    def _write_headers(self) -> None:
        for probed in self._pending.values():
            remember(self._writer, probed)
        self._pending.clear()

    def remember(self, probed: Probed) -> None:
        """Remember what a header said: at the latest when some more were read."""
        if probed.artifact.sha256 is None:
            return
        with self._asking():
            self._pending[probed.artifact.sha256] = probed
            full = len(self._pending) >= _AT_ONCE
        if full:
            with self.writing():
                pass

    @contextmanager
    def _asking(self) -> Iterator[Catalog]:
        with self._lock:
            if self._stopped:
                raise RkfetchError("the update was stopped")
            yield self._catalog

    def probed(self, sha256: str) -> str | None:
        """Return what is noted about a content."""
        with self._asking() as catalog:
            waiting = self._pending.get(sha256)
            return catalog.probed(sha256) if waiting is None else facts_json(waiting.facts)

    def card(self, blob: str) -> str | None:
        """Return the text of a card that was read once."""
        with self._asking() as catalog:
            return catalog.card(blob)

    def recall(self, beginning: str) -> Span | None:
        """Return how long a vocabulary is."""
        with self._asking() as catalog:
            return catalog.vocabulary(beginning)

    def learn(self, beginning: str, span: Span) -> None:
        """Remember how long a vocabulary is."""
        with self.writing() as writer:
            writer.record_vocabulary(beginning, span)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one repository holds."""

    builds: Sequence[tuple[Artifact, Sequence[Companion]]]
    probed: int
    """Headers that were read just now."""
    unread: int
    """Headers that could not be read, or are not for us."""
    left: int
    """Headers that were not read because the allowance was used up."""
    left_out: Sequence[tuple[str, str]]
    """Files that were left out, each with the reason."""
    complete: bool
    """Asking again would bring nothing while the repository does not change."""


class Reader:
    """Reads repositories of one source; each by a thread of its own, if need be."""

    def __init__(
        self, source: Source, http: Http, memory: Memory, allowance: Allowance, *, seen: str
    ) -> None:
        self._source = source
        self._http = http
        self._memory = memory
        self._allowance = allowance
        self._seen = seen

    def read(self, details: Details, *, heard: Callable[[], object]) -> Reading:
        """Read the builds of a repository; ``heard`` is called for each header that was read.

        Raises:
            NetworkError: its card cannot be read.
        """
        return _Repository(self, details, heard).read()

    def ask(self, artifact: Artifact) -> Probed:
        """Read the header of a build, or recall it, and remember what it says.

        Raises:
            AuthenticationError: it is gated, and there is no token, or none that opens it.
            NetworkError, IntegrityError, UnknownModelError: it cannot be read.
        """
        url = resolve_url(artifact.repo, artifact.path, source=artifact.source)
        if artifact.gated and not self._http.has_token_for(url):
            raise AuthenticationError(f"{artifact.repo} is gated, and there is no token")
        probed = read_remote(
            self._http, artifact, recall=self._memory.probed, vocabularies=self._memory
        )
        if not probed.remembered:
            self._allowance.spend(probed.facts.read_bytes)
            self._memory.remember(probed)
        return probed

    def may_read(self, artifact: Artifact) -> bool:
        """Tell whether a build's header is known, or may still be read."""
        known = artifact.sha256 is not None and self._memory.probed(artifact.sha256) is not None
        return known or self._allowance.allows_reading

    def named(self, details: Details, revision: Revision, file: RemoteFile) -> Artifact:
        """Return a build with what its names and the front matter say."""
        repository = details.repository
        found = guess(
            repository.repo,
            file.path,
            source=repository.source,
            branch=_speaking(revision),
            card=details.card,
        )
        return Artifact(
            source=repository.source,
            repo=repository.repo,
            path=file.path,
            revision=file.revision or border.commit(revision.commit),
            ref=revision.ref or None,
            size_bytes=file.size_bytes,
            sha256=file.sha256,
            attributes=settle(replace(e, seen=self._seen) for e in found.evidence),
            gated=repository.gated,
            updated=repository.modified,
        )

    def text(
        self, repo: str, revision: Revision, file: RemoteFile, *, ask: bool
    ) -> CardText | None:
        """Return a README, if it can be had, or is remembered."""
        known = text = self._memory.card(file.blob) if file.blob else None
        if text is None and ask:
            text = self._source.readme(repo, file, file.revision or border.commit(revision.commit))
        if text is None:
            return None
        if known is None and file.blob:
            with self._memory.writing() as writer:
                writer.record_card(file.blob, text)
        return CardText(
            text=text,
            place=self._source.page(repo, file.path, revision.ref or None),
            folder=file.path.rpartition("/")[0],
        )

    def with_card(
        self, artifact: Artifact, details: Details, revision: Revision, texts: Sequence[CardText]
    ) -> Artifact:
        """Return a build with what the texts of cards say as well."""
        read = [e for a in artifact.attributes.values() for e in a.evidence if e.origin in READ]
        found = guess(
            artifact.repo,
            artifact.path,
            source=artifact.source,
            branch=_speaking(revision),
            card=replace(details.card, texts=(*details.card.texts, *texts)),
            heard={e.attribute: e.value for e in read},
        )
        said = [replace(e, seen=self._seen) for e in found.evidence]
        return replace(artifact, attributes=settle([*read, *said]))


class _Repository:
    """One repository while it is read."""

    def __init__(self, reader: Reader, details: Details, heard: Callable[[], object]) -> None:
        self._reader = reader
        self._details = details
        self._tell = heard
        self._texts: dict[str, CardText] = {}
        self._missed: set[str] = set()
        self._left_out: list[tuple[str, str]] = []
        self._probed = self._unread = self._left = 0
        self._complete = True

    def read(self) -> Reading:
        details = self._details
        main = Revision(
            ref="", is_branch=False, commit=details.repository.sha or "", files=details.files
        )
        builds = []
        taken: set[tuple[str, str | None]] = set()
        for revision in (main, *details.revisions):
            for file in revision.files:
                # The same content at the same path is one build, however many revisions have it.
                place = file.path, file.sha256
                unsure = revision is not main and file.sha256 is None
                if not is_build(file.path) or place in taken or unsure:
                    continue
                taken.add(place)
                artifact = self._build(revision, file)
                if artifact is not None:
                    builds.append((artifact, companions_of(artifact, revision.files)))
        return Reading(
            builds=builds,
            probed=self._probed,
            unread=self._unread,
            left=self._left,
            left_out=self._left_out,
            complete=self._complete,
        )

    def _build(self, revision: Revision, file: RemoteFile) -> Artifact | None:
        why = bad_path(file.path)
        if why is not None:
            self._left_out.append((f"{self._details.repository.repo}/{file.path}", why))
            return None
        artifact = self._heard(self._reader.named(self._details, revision, file))
        texts = self._cards(revision, file, ask=not all(map(artifact.value, _TOLD)))
        return (
            self._reader.with_card(artifact, self._details, revision, texts) if texts else artifact
        )

    def _heard(self, artifact: Artifact) -> Artifact:
        """Return a build with its header's word, as far as that can be had."""
        if not self._reader.may_read(artifact):
            self._left += 1
            self._complete = False
            return artifact
        try:
            probed = self._reader.ask(artifact)
        except AuthenticationError:
            self._unread += 1
            return artifact
        except NetworkError as error:
            self._unread += 1
            return self._doubted(artifact, f"its header could not be read: {error.message}")
        except (IntegrityError, UnknownModelError) as error:
            return self._doubted(artifact, error.message)
        if not probed.remembered:
            self._probed += 1
            self._tell()
        complaint = no_model(probed.facts)
        if complaint is not None:
            # The row stays as it is: bytes that no digest covers do not condemn it.
            return self._doubted(artifact, complaint)
        return probed.artifact

    def _doubted(self, artifact: Artifact, why: str) -> Artifact:
        self._left_out.append((artifact.name, why))
        self._complete = False
        return artifact

    def _cards(self, revision: Revision, file: RemoteFile, *, ask: bool) -> list[CardText]:
        """Return the READMEs that are about a file: of the repository, and of its folder."""
        folder = file.path.rpartition("/")[0]
        wanted = {"README.md", f"{folder}/README.md".lstrip("/")}
        found = []
        repo = self._details.repository.repo
        for readme in revision.files:
            if readme.path in wanted:
                key = f"{revision.commit}:{readme.path}"
                text = self._texts.get(key)
                if text is None and key not in self._missed:
                    text = self._reader.text(repo, revision, readme, ask=ask)
                    if text is not None:
                        self._texts[key] = text
                    elif ask:
                        self._missed.add(key)
                if text is not None:
                    found.append(text)
        return found


def _speaking(revision: Revision) -> str | None:
    """Return a revision's name if that tells something of its files.

    A tag that is a version alone counts releases, of the repository or of a runtime.
    """
    if revision.is_branch or "toolkit" not in read_name(revision.ref, whole=False).attributes:
        return revision.ref or None
    return None
