"""Download one file into a partial file, across broken connections, processes and power cuts.

The partial and its journal always describe one version of the file: what cannot be proved to
continue it is thrown away, never appended. Whatever goes wrong on the way, the last word is the
SHA-256 over all bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from . import addresses
from .durable import disk_errors, hash_file, make_directory, open_own, require_space
from .errors import DiskSpaceError, IntegrityError
from .failures import TransientError
from .headers import ContentRange, plain
from .http import LEAST_RATE
from .journal import Journal, journal_of
from .mismatch import BadContentError, differs, explanation_of, replaced_upstream
from .progress import NoProgress, Progress

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .http import Http, Response
    from .hub import Remote

__all__ = [
    "Downloaded",
    "NoProgress",
    "Progress",
    "Source",
    "download",
]

_CHECKPOINT_LEAST = 256 << 10
_CHECKPOINT_MOST = 64 << 20
_CHECKPOINT_EVERY_S = 1.0
_ROOM_FOR_JOURNAL = 256 << 10
_AT_ONCE_AFTER = 1 << 20
"""A connection that brought so much before it broke is followed by the next without a wait."""
_LEAST_PROGRESS = 16 << 10
_ENOUGH_TO_TELL = 64 << 10
"""Bytes of a wrong document that show what it is."""
_RESUME_HINT = "what was downloaded is kept: run the same command again to go on"


class Source(Protocol):
    """Where the bytes come from."""

    @property
    def name(self) -> str:
        """What to call the file in a message."""

    @property
    def identity(self) -> str:
        """Tells the file (repository, path, revision) from all others."""

    def locate(self) -> Remote:
        """Find an address that works now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloaded:
    """A complete file that is what it should be, still under its partial name."""

    path: Path
    size_bytes: int
    sha256: str
    resumed_from: int
    """Bytes that an earlier process had left."""
    received_bytes: int
    """Bytes that came over the network in this one."""
    requests: int
    """Requests for content."""
    validator: str | None
    """Strong ETag or date under which the server gave the file."""


def download(
    http: Http,
    source: Source,
    *,
    partial: Path,
    remote: Remote | None = None,
    expected_size: int | None = None,
    expected_sha256: str | None = None,
    progress: Progress | None = None,
    check: Callable[[Path], str | None] | None = None,
) -> Downloaded:
    """Bring a file here, going on where an earlier process stopped.

    The caller must be the only writer of ``partial``. ``remote`` saves the first
    `Source.locate`. A size or digest that nobody expects is the one that the source tells; a
    file of which nobody tells the size is refused, because it could fill the disk. ``check``
    looks at the finished file and returns a sentence if it is not what was wanted.

    Wrong content is removed and fetched once more from its beginning before it is an error.

    Raises:
        NetworkError: nothing came any more, after retries. The partial file is kept.
        IntegrityError: the content is wrong, or was replaced upstream. Nothing is kept of it.
        DiskSpaceError: there is no room; raised before the first byte if that can be known.
            What was downloaded is kept.
        AuthenticationError, UnknownModelError: as `Source.locate`.
    """
    task = _Download(
        http,
        source,
        partial=partial,
        remote=remote,
        size=expected_size,
        sha256=expected_sha256,
        progress=progress or NoProgress(),
        check=check,
    )
    try:
        return task.run()
    except BadContentError as error:
        task.discard()
        task.progress.restarted(error.message)
    try:
        return task.run()
    except BadContentError as error:
        task.discard()
        raise IntegrityError(
            error.message,
            expected=error.expected,
            actual=error.actual,
            cause=[*error.cause, "it was fetched twice; nothing of it is kept"],
            hint=error.hint or "try later, or another mirror (HF_ENDPOINT)",
        ) from error


class _Download:
    """One file on its way: how much of it is here, and of which version."""

    def __init__(
        self,
        http: Http,
        source: Source,
        *,
        partial: Path,
        remote: Remote | None,
        size: int | None,
        sha256: str | None,
        progress: Progress,
        check: Callable[[Path], str | None] | None,
    ) -> None:
        self._http = http
        self._source = source
        self._partial = partial
        self._remote = remote
        self._wanted = (size, sha256)
        self._size = size
        self._sha256 = sha256
        self.progress = progress
        self._check = check
        self._handle = -1
        self._received = 0
        self._digest = hashlib.sha256()
        self._validator: str | None = None
        self._durable = 0
        self._synced_at = 0.0
        self._ended = False
        self._resumed_from = 0
        self._wire_bytes = 0
        self._requests = 0

    def run(self) -> Downloaded:
        """Fetch what is missing, then verify all of it."""
        make_directory(self._partial.parent)
        remote = self._located()
        self._handle = open_own(self._partial)
        try:
            self._take_up(Journal.read(journal_of(self._partial)))
            size = self._size or remote.size_bytes
            require_space(self._partial.parent, (size or 0) - self._received)
            self.progress.phase("download")
            self.progress.started(size, self._received)
            self._transfer()
            self._checkpoint()
            return self._verified()
        except BaseException:
            if not self._received:
                self._partial.unlink(missing_ok=True)
            raise
        finally:
            os.close(self._handle)

    def discard(self) -> None:
        """Remove what is here; the next run begins from nothing."""
        self._partial.unlink(missing_ok=True)
        journal_of(self._partial).unlink(missing_ok=True)
        self._remote = None
        self._size, self._sha256 = self._wanted
        self._forget()

    def _forget(self) -> None:
        self._received = self._durable = 0
        self._digest = hashlib.sha256()
        self._validator = None
        self._ended = False

    def _located(self) -> Remote:
        """Return where the file is now, having checked that it still is the wanted one."""
        if self._remote is None:
            self._remote = self._source.locate()
        remote = self._remote
        if self._sha256 and remote.sha256 and self._sha256 != remote.sha256:
            raise replaced_upstream(self._source.name, "SHA-256", self._sha256, remote.sha256)
        if len({self._size, remote.size_bytes} - {None}) > 1:
            raise replaced_upstream(
                self._source.name, "size", f"{self._size}", f"{remote.size_bytes}"
            )
        self._sha256 = self._sha256 or remote.sha256
        if remote.size_bytes is not None:
            self._size = remote.size_bytes
        return remote

    # --- taking up what an earlier process left -------------------------------------------------

    def _take_up(self, journal: Journal | None) -> None:
        """Keep as much of the partial file as its journal vouches for, if it is of this file."""
        if journal is not None and journal.durable_bytes and self._is_ours(journal):
            self._take_up_prefix(journal)
        with disk_errors(self._partial.parent):
            os.ftruncate(self._handle, self._received)
            os.lseek(self._handle, self._received, os.SEEK_SET)
        self._durable = self._resumed_from = self._received
        self._synced_at = time.monotonic()

    def _is_ours(self, journal: Journal) -> bool:
        if self._size is not None and journal.durable_bytes > self._size:
            return False
        if self._sha256 is not None:
            return journal.sha256 == self._sha256
        return journal.source == self._source.identity and journal.validator is not None

    def _take_up_prefix(self, journal: Journal) -> None:
        self.progress.phase("resume")
        try:
            digest = hash_file(self._partial, length=journal.durable_bytes)
        except OSError:
            return
        if journal.durable_sha256 not in {None, digest.hexdigest()}:
            self.progress.restarted("the partial file was damaged on the disk")
            return
        self._digest = digest
        self._received = journal.durable_bytes
        # Another source of the same content has validators of its own.
        if journal.source == self._source.identity:
            self._validator = journal.validator

    # --- the bytes ------------------------------------------------------------------------------

    def _transfer(self) -> None:
        retries = self._http.retries(waiting=self.progress.waiting, hint=_RESUME_HINT)
        furthest, since = self._received, self._http.monotonic()
        try:
            while not self._is_complete():
                before = self._received
                try:
                    self._attempt()
                except TransientError as error:
                    self._checkpoint()
                    at_once = self._received - before >= _AT_ONCE_AFTER
                    now = self._http.monotonic()
                    progressed = self._received - furthest >= self._least_progress(now - since)
                    if progressed:
                        furthest, since = self._received, now
                    retries.pause(error, progressed=progressed, at_once=at_once)
        except BaseException as error:
            self._put_in_order(error)
            raise

    def _least_progress(self, seconds: float) -> float:
        """Return how many new bytes renew the patience: a byte a time would take for ever."""
        least = max(1, min(_LEAST_PROGRESS, (self._size or 0) // 1000))
        return max(least, LEAST_RATE * seconds)

    def _is_complete(self) -> bool:
        return self._ended or 0 < self._received == self._size

    def _attempt(self) -> None:
        """Ask once for what is missing and take what comes."""
        remote = self._located()
        headers = self._range_headers()
        self._requests += 1
        with self._http.open("GET", remote.url, headers=headers) as response:
            self._http.raise_if_transient(response)
            if response.status == 206 and self._received:
                self._go_on(response)
            elif response.status == 200:
                self._begin(response)
            elif response.status == 416 and self._received:
                self._begin_again("the server has no such part of the file")
            else:
                # A signed address has expired, or the server behind it has changed its mind.
                self._remote = None
                raise TransientError(
                    f"{addresses.host(remote.url)} answered {response.status}", retry_after_s=0
                )
            self._receive(response)

    def _range_headers(self) -> dict[str, str]:
        if not self._received:
            return {}
        if self._validator is None and self._sha256 is None:
            # Nothing could tell whether the rest belongs to what is here.
            self._restart("the server cannot tell versions of the file apart")
            return {}
        headers = {"Range": f"bytes={self._received}-"}
        if self._validator is not None:
            headers["If-Range"] = self._validator
        return headers

    def _go_on(self, response: Response) -> None:
        """Check that a partial answer continues what is here."""
        span = ContentRange.of(response.headers)
        if span is None or span.first != self._received:
            self._begin_again("the server sent another part than it was asked for")
            return
        if self._size is None:
            self._size = span.total
        etag = _validator(response)
        changed = etag is not None and self._validator not in {None, etag}
        if changed or span.total not in {None, self._size}:
            self._begin_again("the file changed on the server")
        self._validator = etag or self._validator

    def _begin(self, response: Response) -> None:
        """Take an answer that carries the file from its beginning."""
        validator = _validator(response)
        if self._received:
            changed = validator != self._validator
            self._restart(
                "the file changed on the server"
                if changed
                else "the server cannot go on where it stopped"
            )
        self._validator = validator
        if self._size is None:
            self._size = response.length
        if response.length is not None and self._size is not None:
            if response.length > self._size:
                raise self._too_long(response.length)
            if response.length < self._size:
                self._write(response.read(_ENOUGH_TO_TELL))
                raise self._too_short(response.length)

    def _begin_again(self, reason: str) -> None:
        self._restart(reason)
        raise TransientError(reason, retry_after_s=0)

    def _restart(self, reason: str) -> None:
        """Throw away what is here; the journal first, so that it never vouches for too much."""
        with disk_errors(self._partial.parent):
            journal_of(self._partial).unlink(missing_ok=True)
            os.ftruncate(self._handle, 0)
            os.lseek(self._handle, 0, os.SEEK_SET)
        self._forget()
        self.progress.restarted(reason)

    def _receive(self, response: Response) -> None:
        if self._size is None:
            raise IntegrityError(
                f"nobody tells how large {self._source.name} is, and it could fill the disk",
                cause=[f"{addresses.host(response.url)} does not, and the catalog does not"],
                hint="fetch it by hand",
            )
        for chunk in response.chunks():
            if self._received + len(chunk) > self._size:
                raise self._too_long(None)
            self._write(chunk)
            self._digest.update(chunk)
            self._received += len(chunk)
            self._wire_bytes += len(chunk)
            self.progress.advanced(self._received)
            if self._is_checkpoint_due():
                self._checkpoint()
        if self._received == self._size:
            self._ended = True
        elif response.length is None and explanation_of(self._partial) is not None:
            raise self._too_short(self._received)
        else:
            raise TransientError(f"{addresses.host(response.url)} sent less than it had announced")

    def _write(self, chunk: bytes) -> None:
        view = memoryview(chunk)
        with disk_errors(self._partial.parent):
            while view:
                view = view[os.write(self._handle, view) :]

    # --- the journal ----------------------------------------------------------------------------

    def _is_checkpoint_due(self) -> bool:
        pending = self._received - self._durable
        if pending >= min(_CHECKPOINT_MOST, max(_CHECKPOINT_LEAST, self._received // 8)):
            return True
        return time.monotonic() - self._synced_at >= _CHECKPOINT_EVERY_S

    def _checkpoint(self, *, with_digest: bool = True) -> None:
        """Make what is here last: the data first, then the journal that vouches for it."""
        if self._received == self._durable:
            return
        with disk_errors(self._partial.parent):
            os.fdatasync(self._handle)
            Journal(
                source=self._source.identity,
                size_bytes=self._size,
                sha256=self._sha256,
                validator=self._validator,
                durable_bytes=self._received,
                durable_sha256=self._digest.hexdigest() if with_digest else None,
            ).write(journal_of(self._partial))
        self._durable = self._received
        self._synced_at = time.monotonic()

    def _put_in_order(self, error: BaseException) -> None:
        """Save what can be saved when the download ends early.

        A signal may have struck between hashing bytes and counting them, so the journal is
        written without a digest. A full disk has no room for a journal: the newest bytes give way.
        """
        if isinstance(error, BadContentError):
            return
        with contextlib.suppress(OSError, DiskSpaceError):
            if isinstance(error, DiskSpaceError):
                self._received = max(self._durable, self._received - _ROOM_FOR_JOURNAL)
                os.ftruncate(self._handle, self._received)
            self._checkpoint(with_digest=False)

    # --- the last word --------------------------------------------------------------------------

    def _verified(self) -> Downloaded:
        self.progress.phase("verify")
        actual = self._digest.hexdigest()
        if self._sha256 is not None and actual != self._sha256:
            raise differs(
                f"{self._source.name} arrived with a wrong SHA-256",
                self._sha256,
                actual,
                explanation_of(self._partial),
            )
        complaint = self._check(self._partial) if self._check else None
        if complaint is not None:
            self._refuse(complaint)
        return Downloaded(
            path=self._partial,
            size_bytes=self._received,
            sha256=actual,
            resumed_from=self._resumed_from,
            received_bytes=self._wire_bytes,
            requests=self._requests,
            validator=self._validator,
        )

    def _refuse(self, complaint: str) -> None:
        message = f"{self._source.name}: {complaint}"
        if self._sha256 is None:
            raise BadContentError(message)
        # These are the right bytes: fetching them again would not change them.
        self.discard()
        raise IntegrityError(message, cause=["nothing of it is kept"])

    def _too_long(self, length: int | None) -> BadContentError:
        actual = f"{length} bytes" if length is not None else f"more than {self._size} bytes"
        return differs(
            f"{self._source.name} is longer than announced", f"{self._size} bytes", actual
        )

    def _too_short(self, length: int) -> BadContentError:
        return differs(
            f"{self._source.name} is shorter than announced",
            f"{self._size} bytes",
            f"{length} bytes",
            explanation_of(self._partial),
        )


def _validator(response: Response) -> str | None:
    """Return what can be sent as ``If-Range``: a strong ETag, else a date."""
    etag = plain(response.header("etag"))
    if etag is not None and not etag.startswith("W/"):
        return etag
    return plain(response.header("last-modified"))
