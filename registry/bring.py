"""Bring a model from another machine into the store over ssh: resumed, verified, then stored."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING

from .check import no_model
from .durable import BLOCK_BYTES, disk_errors, hash_file, open_own, require_space
from .errors import IntegrityError, NetworkError
from .journal import journal_of
from .link import end, last_lines
from .progress import NoProgress
from .rkllm_read import read_file
from .ssh import SSH_FAILED

if TYPE_CHECKING:
    import hashlib
    from collections.abc import Callable
    from pathlib import Path

    from .link import Link
    from .progress import Progress
    from .record import Record
    from .rkllm import RkllmFacts
    from .ssh import Ssh
    from .store import Installed, Store

_TRIES = 4
"""In a row that bring nothing forward."""
_PAUSE_S = 2.0
GOES_ON = "the same command goes on with what is there"

# `$1` is the path. A redirection, since a name may begin with a hyphen.
_SEND_REST = 'exec tail -c "+$2" < "$1"'


def bring(
    link: Ssh,
    store: Store,
    path: str,
    *,
    size_bytes: int,
    sha256: str,
    describe: Callable[[RkllmFacts], Record],
    progress: Progress | None = None,
) -> Installed:
    """Bring a model from there into the store; what came before a link broke is used again.

    ``describe`` is given the header and returns the record.

    Raises:
        IntegrityError: it is another file than was said, or no whole model.
        NetworkError, AuthenticationError: the link broke, and again and again; a part is kept.
        DiskSpaceError: there is no room here.
    """
    here = store.find(sha256)
    if here is not None:
        return here
    progress = progress or NoProgress()
    with store.writing(sha256, waiting=progress.waiting):
        here = store.find(sha256)
        if here is not None:
            return here
        partial = store.partial(sha256)
        task = _Bring(link, path, partial, size_bytes=size_bytes, sha256=sha256, progress=progress)
        task.run()
        progress.phase("install")
        facts = read_file(task.partial)
        complaint = no_model(facts)
        if complaint is not None:
            task.partial.unlink(missing_ok=True)
            raise IntegrityError(f"what {link.host.name} made is no model: {complaint}")
        return store.add(task.partial, describe(facts))


class _Bring:
    """One file on its way here."""

    def __init__(
        self,
        link: Ssh,
        path: str,
        partial: Path,
        *,
        size_bytes: int,
        sha256: str,
        progress: Progress,
    ) -> None:
        self._link = link
        self._path = path
        self.partial = partial
        self._size = size_bytes
        self._sha256 = sha256
        self._progress = progress

    def run(self) -> None:
        """Have all of it in the partial file."""
        with disk_errors(self.partial.parent):
            if journal_of(self.partial).exists():
                # A download's, which has holes.
                self._forget()
            resumed = self._length()
        if resumed > self._size:
            self._forget()
            resumed = 0
        require_space(self.partial.parent, self._size - resumed)
        self._progress.phase("download")
        actual = self._collect()
        if actual != self._sha256 and resumed:
            self._progress.restarted("what was here of it does not fit")
            self._forget()
            actual = self._collect()
        if actual != self._sha256:
            self._forget()
            raise IntegrityError(
                f"what came from {self._link.host.name} is not what it made",
                expected=self._sha256,
                actual=actual,
                cause=[f"expected {self._sha256}", f"got      {actual}"],
                hint="run the same command again",
            )

    def _forget(self) -> None:
        with disk_errors(self.partial.parent):
            self.partial.unlink(missing_ok=True)
            journal_of(self.partial).unlink(missing_ok=True)

    def _length(self) -> int:
        try:
            return self.partial.stat().st_size
        except FileNotFoundError:
            return 0

    def _collect(self) -> str:
        """Fetch what is missing, over as many connections as it takes; return the SHA-256."""
        with disk_errors(self.partial.parent):
            handle = open_own(self.partial)
        try:
            with disk_errors(self.partial.parent):
                have = self._length()
                digest = hash_file(self.partial, length=have)
            self._progress.started(self._size, have)
            patience = Patience(self._link, self._progress)
            while have < self._size:
                before = have
                try:
                    have = self._once(handle, digest, have)
                except NetworkError as error:
                    have = os.fstat(handle).st_size
                    patience.broke(error, forward=have > before)
            with disk_errors(self.partial.parent):
                os.fsync(handle)
            return digest.hexdigest()
        finally:
            os.close(handle)

    def _once(self, handle: int, digest: hashlib._Hash, have: int) -> int:
        process = self._link.start(
            _SEND_REST,
            self._path,
            str(have + 1),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            while have < self._size:
                block = process.stdout.read1(min(BLOCK_BYTES, self._size - have))  # type: ignore[attr-defined]
                if not block:
                    break
                with disk_errors(self.partial.parent):
                    os.pwrite(handle, block, have)
                digest.update(block)
                have += len(block)
                self._progress.advanced(have)
            if have == self._size:
                return have
            text = process.stderr.read(BLOCK_BYTES).decode("utf-8", "replace")
            status = process.wait()
        finally:
            end(process)
        if status == SSH_FAILED:
            raise self._link.failure(text)
        raise IntegrityError(
            f"{self._link.host.name} has only {have:,} of {self._size:,} bytes of it",
            cause=last_lines(text),
        )


class Patience:
    """Connects again when a link breaks; gives up if nothing moves on."""

    def __init__(self, link: Link, progress: Progress) -> None:
        self._link = link
        self._progress = progress
        self._tries = 0

    def moved(self) -> None:
        """Something came through."""
        self._tries = 0

    def broke(self, error: NetworkError, *, forward: bool) -> None:
        """Wait, and have a connection again.

        Raises:
            NetworkError: nothing has moved on for long.
            AuthenticationError: it does not let us in any more.
        """
        self._tries = 0 if forward else self._tries
        while True:
            self._tries += 1
            if self._tries >= _TRIES:
                raise NetworkError(error.message, cause=error.cause, hint=GOES_ON) from error
            self._progress.waiting(error.message, _PAUSE_S)
            time.sleep(_PAUSE_S)
            try:
                return self._link.connect()
            except NetworkError as again:
                error = again
