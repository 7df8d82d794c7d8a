"""Read and write tar files piece by piece, so that neither memory nor a disk has to hold one.

Only what a plain tar of plain files needs is understood: whatever else a stranger puts into one
(links, devices, sparse files) is passed over or refused. No name is ever made into a path here.
The form is that of GNU tar (https://www.gnu.org/software/tar/manual/html_node/Standard.html); old
and POSIX ones are read, too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from .durable import BLOCK_BYTES
from .errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from tarfile import TarInfo

_BLOCK = 512
END = bytes(2 * _BLOCK)
"""What a tar file ends with."""
_LONGEST_NAME = 4096
_LONGEST_EXTRA = 64 << 10
"""Bytes of the keys that POSIX's form puts before a member."""
_MOST_MEMBERS = 100_000
_LARGEST = (1 << 63) - 1
_TIME = 1_577_836_800
"""2020-01-01: the same content gives the same bytes, and no tar warns of an implausible time."""
_KEY = re.compile(rb"(\d{1,6}) ([^=\n]{1,200})=")


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A plain file in a tar file."""

    name: str
    size_bytes: int
    offset: int
    """Where its content begins."""


def head(name: str, size_bytes: int) -> bytes:
    """Return what stands before the content of a plain file."""
    from tarfile import GNU_FORMAT, TarInfo

    info = TarInfo(name)
    info.size, info.mtime, info.mode = size_bytes, _TIME, 0o644
    return info.tobuf(GNU_FORMAT, "utf-8", "strict")


def filling(size_bytes: int) -> bytes:
    """Return what stands behind a content of that size."""
    return bytes(-size_bytes % _BLOCK)


class TarReader:
    """The members of a tar file, one after the other.

    With ``seeks`` content is passed over without being read, and `go_to` goes back.
    """

    def __init__(self, file: BinaryIO, *, what: str, seeks: bool) -> None:
        self._file = file
        self._what = what
        self._seeks = seeks
        self._at = file.tell() if seeks else 0
        self._next = self._at
        """Where the next head begins."""
        self._left = 0
        """Bytes of the present content that were not read yet."""

    def members(self) -> Iterator[Member]:
        """Yield the plain files; what was not read of one is passed over.

        Raises:
            IntegrityError: it is no tar file, or ends too early.
        """
        name: str | None = None
        size: int | None = None
        for _ in range(_MOST_MEMBERS):
            info = self._head()
            if info is None:
                return
            kind = info.type
            if kind in {b"L", b"x"}:
                extra = self._extra(info.size, _LONGEST_NAME if kind == b"L" else _LONGEST_EXTRA)
                if kind == b"L":
                    name = extra.rstrip(b"\0").decode(errors="replace")
                else:
                    name, size = _keys(extra, name, size)
                continue
            content = info.size if size is None else size
            self._begin(content)
            if kind == b"S":
                raise self._bad("it has files with holes in them", "make it without --sparse")
            if info.isreg():
                yield Member(name=name or info.name, size_bytes=content, offset=self._at)
            name = size = None
        raise self._bad("it has too many members")

    def go_to(self, member: Member) -> None:
        """Go to the content of a member that was seen before."""
        self._at = self._file.seek(member.offset)
        self._begin(member.size_bytes)

    def content(self) -> Iterator[bytes]:
        """Yield the content of the present member.

        Raises:
            IntegrityError: the tar file ends before it does.
        """
        while self._left:
            piece = self._read(min(BLOCK_BYTES, self._left))
            if not piece:
                raise self._cut()
            self._left -= len(piece)
            yield piece

    def _begin(self, size_bytes: int) -> None:
        self._left = size_bytes
        self._next = self._at + size_bytes + -size_bytes % _BLOCK

    def _head(self) -> TarInfo | None:
        from tarfile import HeaderError, TarInfo

        self._skip_to(self._next)
        block = self._exactly(_BLOCK)
        if not any(block):
            return None
        try:
            info = TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except HeaderError as error:
            raise self._bad(f"{error} at byte {self._at - _BLOCK:,}") from error
        if not 0 <= info.size <= _LARGEST:
            raise self._bad("a member has an impossible size")
        self._next = self._at
        return info

    def _extra(self, size_bytes: int, most: int) -> bytes:
        if size_bytes > most:
            raise self._bad("a member's name or its keys are longer than any may be")
        content = self._exactly(size_bytes)
        self._next = self._at + -size_bytes % _BLOCK
        return content

    def _skip_to(self, position: int) -> None:
        self._left = 0
        if self._seeks:
            self._at = self._file.seek(position)
            return
        while self._at < position:
            if not self._read(min(BLOCK_BYTES, position - self._at)):
                raise self._cut()

    def _exactly(self, count: int) -> bytes:
        found = b""
        while len(found) < count:
            piece = self._read(count - len(found))
            if not piece:
                raise self._cut() if self._at else self._bad("it is empty")
            found += piece
        return found

    def _read(self, count: int) -> bytes:
        piece = self._file.read(count)
        self._at += len(piece)
        return piece

    def _cut(self) -> IntegrityError:
        return IntegrityError(
            f"{self._what} is cut short",
            cause=[f"it ends after {self._at:,} bytes, in the middle"],
            hint="copy it once more; what came of it before that is kept",
        )

    def _bad(self, why: str, hint: str | None = None) -> IntegrityError:
        return IntegrityError(f"{self._what} cannot be read as a tar file", cause=[why], hint=hint)


def _keys(extra: bytes, name: str | None, size: int | None) -> tuple[str | None, int | None]:
    """Return name and size as POSIX's keys before a member say; what they leave open stays."""
    at = 0
    while (match := _KEY.match(extra, at)) is not None and int(match[1]) > 0:
        value = extra[match.end() : at + int(match[1])].rstrip(b"\n")
        if match[2] == b"path":
            name = value.decode(errors="replace")
        elif match[2] == b"size" and value.isdigit() and len(value) < 20:
            size = min(int(value), _LARGEST)
        at += int(match[1])
    return name, size
