"""Deliver a file of the store to another machine over ssh: resumed, compared, then under its name.

That machine needs no more than a POSIX shell with cat, wc and sha256sum, as every board has.
"""

from __future__ import annotations

import re
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from .bring import GOES_ON, Patience
from .durable import BLOCK_BYTES
from .errors import DiskSpaceError, IntegrityError, NetworkError, RkfetchError
from .progress import NoProgress
from .ssh import SSH_FAILED, end, last_lines

if TYPE_CHECKING:
    from .progress import Progress
    from .ssh import Said, Ssh
    from .store import Installed

# `$1` is the folder, `$2` the final name, `$3` the temporary one. Answers four lines: the folder,
# the length of the temporary file, the digest of the final one if there is one, free kilobytes.
_LOOK = """
command -v sha256sum >/dev/null || { echo "there is no sha256sum" >&2; exit 3; }
mkdir -p -- "$1" && cd -- "$1" && pwd || exit 4
if [ -f "$3" ]; then wc -c < "$3"; else echo 0; fi
if [ -f "$2" ]; then sha256sum < "$2"; else echo -; fi
df -Pk . 2>/dev/null | tail -n 1
"""
_TAKE_REST = 'cd -- "$1" && exec cat >> "$2"'
_EMPTY = 'cd -- "$1" && rm -f -- "$2"'
_DIGEST = 'cd -- "$1" && sync && sha256sum < "$2"'
_NAME = 'cd -- "$1" && mv -f -- "$2" "$3" && sync'


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """A file that lies on another machine now."""

    path: str
    """There, absolute."""
    action: Literal["present", "copied"]


def deliver(link: Ssh, item: Installed, folder: str, progress: Progress | None = None) -> Delivered:
    """Copy a file of the store into a folder there, which is made if it is not there.

    It comes under a temporary name, is read and compared there, and only then gets its own. What
    came before a link broke is used again. ``folder`` is relative to the user's home; ``~/`` may
    stand before it.

    Raises:
        IntegrityError: what arrived is not what was sent, twice.
        NetworkError, AuthenticationError: the link broke, and again and again.
        DiskSpaceError: there is no room there.
        RkfetchError: the folder cannot be written, or there is no sha256sum.
    """
    return _Delivery(link, item, folder, progress or NoProgress()).run()


class _Delivery:
    """One file on its way there."""

    def __init__(self, link: Ssh, item: Installed, folder: str, progress: Progress) -> None:
        self._link = link
        self._item = item
        self._name = item.path.name
        self._size = item.record.size_bytes
        self._sha256 = item.record.sha256
        self._temporary = f".{item.record.sha256[:16]}.partial"
        self._folder = folder.removeprefix("~/") or "."
        self._progress = progress

    def run(self) -> Delivered:
        there = self._look()
        path = f"{self._folder.rstrip('/')}/{self._name}"
        if there.digest == self._sha256:
            return Delivered(path=path, action="present")
        self._require_space(there)
        self._progress.phase("deliver")
        actual = self._collect(there.length)
        if actual != self._sha256 and there.length:
            self._progress.restarted("what was there of it does not fit")
            self._do(_EMPTY, self._temporary)
            actual = self._collect(0)
        if actual != self._sha256:
            self._do(_EMPTY, self._temporary)
            raise IntegrityError(
                f"what arrived on {self._link.host.name} is not what was sent",
                expected=self._sha256,
                actual=actual,
                cause=[f"expected {self._sha256}", f"got      {actual}"],
                hint="check the disk there; rkfetch verify checks the file here",
            )
        self._do(_NAME, self._temporary, self._name)
        return Delivered(path=path, action="copied")

    def _look(self) -> _There:
        there = _There.read(self._do(_LOOK, self._name, self._temporary))
        if there is None:
            raise RkfetchError(f"{self._link.host.name} does not answer as a shell would")
        self._folder = there.folder
        if there.length > self._size:
            self._do(_EMPTY, self._temporary)
            return self._look()
        return there

    def _require_space(self, there: _There) -> None:
        need = self._size - there.length + (1 << 20)
        if there.free_bytes is not None and there.free_bytes < need:
            raise DiskSpaceError(
                f"not enough room in {there.folder} on {self._link.host.name}",
                need_bytes=need,
                have_bytes=there.free_bytes,
                where=f"{self._link.host.name}:{there.folder}",
                cause=[f"{need:,} bytes are needed, {there.free_bytes:,} are free"],
                hint="make room there, or name another folder",
            )

    def _collect(self, have: int) -> str:
        """Send what is missing, over as many connections as it takes; return the SHA-256 there."""
        self._progress.started(self._size, have)
        patience = Patience(self._link, self._progress)
        while have < self._size:
            before = have
            try:
                have = self._once(have)
            except NetworkError as error:
                patience.broke(error, forward=False)
                have = self._look().length
                if have > before:
                    patience.moved()
        self._progress.phase("verify")
        return self._do(_DIGEST, self._temporary).out.split(" ")[0].strip("\\\n")

    def _once(self, have: int) -> int:
        process = self._link.start(
            _TAKE_REST,
            self._folder,
            self._temporary,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stderr is not None
        try:
            with self._item.path.open("rb", buffering=0) as file, suppress(BrokenPipeError):
                file.seek(have)
                while block := file.read(BLOCK_BYTES):
                    process.stdin.write(block)
                    process.stdin.flush()
                    have += len(block)
                    self._progress.advanced(have)
            with suppress(BrokenPipeError):
                process.stdin.close()
            text = process.stderr.read(BLOCK_BYTES).decode("utf-8", "replace")
            status = process.wait()
        finally:
            end(process)
        if status == SSH_FAILED:
            raise self._link.failure(text)
        self._require(status, text)
        return have

    def _do(self, script: str, *arguments: str) -> Said:
        """Run a script in the folder there; its ``$1`` is the folder."""
        said = self._link.run(script, self._folder, *arguments)
        self._require(said.status, said.err)
        return said

    def _require(self, status: int, text: str) -> None:
        if status == 0:
            return
        if "no space left" in text.lower():
            raise DiskSpaceError(
                f"the disk of {self._link.host.name} is full",
                where=f"{self._link.host.name}:{self._folder}",
                cause=last_lines(text),
                hint=f"make room there; {GOES_ON}",
            )
        raise RkfetchError(
            f"{self._folder} on {self._link.host.name} cannot be used",
            cause=last_lines(text),
            hint="name a folder that the user there may write to",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _There:
    """What a machine has of a file."""

    folder: str
    length: int
    digest: str | None
    free_bytes: int | None

    @classmethod
    def read(cls, said: Said) -> _There | None:
        lines = said.out.splitlines()
        if len(lines) < 3 or not re.fullmatch(r"\s*\d{1,18}\s*", lines[1]):
            return None
        digest = re.match(r"\\?([0-9a-f]{64})", lines[2])
        room = re.search(r"\s\d+\s+\d+\s+(\d{1,18})\s+\d+%\s", lines[3]) if lines[3:] else None
        return cls(
            folder=lines[0],
            length=int(lines[1]),
            digest=digest[1] if digest else None,
            free_bytes=int(room[1]) * 1024 if room else None,
        )
