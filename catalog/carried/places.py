"""Where an export that is taken in lies: a folder, a tar file, or a tar file that streams in.

Nothing is written there, so that it may be mounted read-only. Only names of the list are ever
looked for; whatever else a folder or a tar file holds is passed over.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from rkfetch.registry.disk_failures import failure_of_disk, is_of_disk
from rkfetch.registry.durable import BLOCK_BYTES
from rkfetch.registry.errors import IntegrityError, UsageError
from rkfetch.registry.tar import TarReader

from .form import LARGEST_MANIFEST, MANIFEST, SIGNATURE, UNFINISHED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rkfetch.registry.tar import Member

    from .form import CarriedFile

STDIN = "-"
_LARGEST_SIGNATURE = 16 << 10
_FILLING_BLOCKS = 8
"""Read behind the end of a tar file at the most: tar fills its last record up."""


class Place(Protocol):
    """Gives the files of one export."""

    name: str
    """What to call it."""

    def lists(self) -> tuple[bytes, bytes | None]:
        """Return the list and its signature, if there is one; asked before anything else.

        Raises:
            IntegrityError: there is none.
        """

    def path_of(self, file: CarriedFile) -> Path | None:
        """Return where a file of the list lies, if it can be linked or copied from there.

        Raises:
            IntegrityError: it is not there, or is no plain file of the size that is listed.
        """

    def content(self, file: CarriedFile) -> Iterator[bytes]:
        """Yield the content of a file; of a stream, files come in the order of the list.

        Raises:
            IntegrityError: it is not there, or cut short.
        """

    def finish(self) -> None:
        """Take note that nothing more is wanted.

        Raises:
            IntegrityError: what is left is cut short.
        """


def folders_at(path: Path) -> list[Path]:
    """Return the exports at a folder: itself, or those right below it; none if there are none.

    Raises:
        IntegrityError: an export is there that was never finished.
    """
    try:
        if is_file(path / MANIFEST):
            return [path]
        below = sorted(path.iterdir())
        found = [p for p in below if not p.name.startswith(".") and is_file(p / MANIFEST)]
        unfinished = [p for p in (path, *below) if is_file(p / UNFINISHED)]
    except OSError:
        return []  # who looks for files in it says why it cannot be read
    if unfinished and not found:
        raise IntegrityError(
            f"the export in {path} was not finished",
            cause=["it was ended, or is still being written"],
            hint="run the same `rkfetch export` again: it goes on with what is there",
        )
    return found


def is_file(path: Path) -> bool:
    """Tell whether there is a plain file, and no link to one."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return False


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Say of a place that it cannot be read, which is another thing than not to be written."""
    try:
        yield
    except OSError as error:
        if is_of_disk(error):
            raise failure_of_disk(error, path) from error
        raise UsageError(f"{path} cannot be read", cause=[error.strerror or str(error)]) from error


class FolderPlace:
    """A folder, which may be mounted read-only."""

    def __init__(self, folder: Path) -> None:
        self._folder = Path(os.path.realpath(folder))
        self.name = str(folder)

    def lists(self) -> tuple[bytes, bytes | None]:
        """Return the list and its signature."""
        signature = self._folder / SIGNATURE
        return (
            self._small(self._folder / MANIFEST, LARGEST_MANIFEST),
            self._small(signature, _LARGEST_SIGNATURE) if is_file(signature) else None,
        )

    def _small(self, path: Path, most: int) -> bytes:
        with _reading(path), path.open("rb") as file:
            return file.read(most + 1)

    def path_of(self, file: CarriedFile) -> Path:
        """Return where a file lies; a link, which could lead anywhere, is none."""
        path = self._folder / file.path
        with _reading(path):
            if not is_file(path) or Path(os.path.realpath(path)) != path:
                raise IntegrityError(
                    f"{file.path} is missing in {self.name}",
                    cause=["it is listed, and no plain file there"],
                    hint="copy the whole folder once more, or make the export anew",
                )
            size = path.stat().st_size
        if size != file.size_bytes:
            raise IntegrityError(
                f"{file.path} in {self.name} has another size than is listed",
                expected=f"{file.size_bytes} bytes",
                actual=f"{size} bytes",
                cause=[f"it has {size:,} bytes instead of {file.size_bytes:,}"],
                hint="copy the whole folder once more, or make the export anew",
            )
        return path

    def content(self, file: CarriedFile) -> Iterator[bytes]:
        """Yield the content of a file."""
        path, left = self.path_of(file), file.size_bytes
        with _reading(path), path.open("rb", buffering=0) as content:
            while left and (piece := content.read(min(BLOCK_BYTES, left))):
                left -= len(piece)
                yield piece

    def finish(self) -> None:
        """Do nothing."""


class TarPlace:
    """A tar file on a disk, in whatever order its members are."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.name = name
        self._reader = TarReader(file, what=name, seeks=True)
        self._members: dict[str, Member] = {}

    def lists(self) -> tuple[bytes, bytes | None]:
        """Find all members, and return the list and its signature."""
        found = {_plain(m.name): m for m in self._reader.members()}
        tops = [name for name in found if name.rpartition("/")[2] == MANIFEST]
        if not tops:
            raise _no_list(self.name)
        top = min(tops, key=lambda name: (name.count("/"), name))[: -len(MANIFEST)]
        self._members = {n[len(top) :]: m for n, m in found.items() if n.startswith(top)}
        content = self._small(MANIFEST, LARGEST_MANIFEST)
        signed = SIGNATURE in self._members
        return content, self._small(SIGNATURE, _LARGEST_SIGNATURE) if signed else None

    def _small(self, name: str, most: int) -> bytes:
        member = self._members[name]
        self._reader.go_to(member)
        if member.size_bytes > most:
            raise IntegrityError(f"{name} in {self.name} is longer than any may be")
        return b"".join(self._reader.content())

    def path_of(self, file: CarriedFile) -> None:
        """Return nothing: what is in a tar file has no place of its own."""

    def content(self, file: CarriedFile) -> Iterator[bytes]:
        """Yield the content of a file."""
        member = self._members.get(file.path)
        if member is None or member.size_bytes != file.size_bytes:
            raise _missing(file, self.name)
        self._reader.go_to(member)
        return self._reader.content()

    def finish(self) -> None:
        """Do nothing: all of it was passed through at the beginning."""


class StreamPlace:
    """A tar file that comes in through a pipe: its list first, and then its files in that order."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.name = name
        self._file = file
        self._reader = TarReader(file, what=name, seeks=False)
        self._members = self._reader.members()
        self._ahead: Member | None = None
        """A member that was come upon while another one was looked for."""
        self._top = ""

    def lists(self) -> tuple[bytes, bytes | None]:
        """Return the list, which has to come first, and its signature behind it."""
        first = next(self._members, None)
        if first is None or _plain(first.name).rpartition("/")[2] != MANIFEST:
            raise _no_list(self.name, "it does not begin with one")
        self._top = _plain(first.name)[: -len(MANIFEST)]
        if first.size_bytes > LARGEST_MANIFEST:
            raise IntegrityError(f"{MANIFEST} in {self.name} is longer than any may be")
        content = b"".join(self._reader.content())
        self._ahead = next(self._members, None)
        if self._ahead is None or self._name_of(self._ahead) != SIGNATURE:
            return content, None
        if self._ahead.size_bytes > _LARGEST_SIGNATURE:
            raise IntegrityError(f"{SIGNATURE} in {self.name} is longer than any may be")
        signature = b"".join(self._reader.content())
        self._ahead = None
        return content, signature

    def _name_of(self, member: Member) -> str:
        return _plain(member.name).removeprefix(self._top)

    def path_of(self, file: CarriedFile) -> None:
        """Return nothing: what comes through a pipe has no place."""

    def content(self, file: CarriedFile) -> Iterator[bytes]:
        """Yield the content of a file; those before it are passed over."""
        member = self._ahead or next(self._members, None)
        self._ahead = None
        while member is not None and self._name_of(member) != file.path:
            member = next(self._members, None)
        if member is None or member.size_bytes != file.size_bytes:
            raise _missing(file, self.name)
        return self._reader.content()

    def finish(self) -> None:
        """Let the rest come, so that who sends it is not told that nobody listens."""
        for _ in self._members:
            pass
        for _ in range(_FILLING_BLOCKS):
            if not self._file.read(BLOCK_BYTES):
                return


def _plain(name: str) -> str:
    """Return a member's name without the dot that ``tar cf x.tar .`` begins names with."""
    return name.removeprefix("./")


def _no_list(name: str, why: str = "it holds none") -> IntegrityError:
    return IntegrityError(
        f"{name} is no export of rkfetch's",
        cause=[f"{MANIFEST} lists what an export holds: {why}"],
        hint="`rkfetch export MODEL -o FILE.tar` makes one",
    )


def _missing(file: CarriedFile, name: str) -> IntegrityError:
    return IntegrityError(
        f"{file.path} is missing in {name}",
        cause=["it is listed, and not there with the size that is listed"],
        hint="make the export anew; a tar file that was made by hand can be read from a disk, "
        "not from a pipe",
    )


@contextmanager
def opened(text: str) -> Iterator[Place]:
    """Open an export: a folder, a tar file, or ``-`` for one on stdin.

    Raises:
        UsageError: it cannot be read.
    """
    if text == STDIN:
        import sys

        if sys.stdin is None or sys.stdin.isatty():
            raise UsageError(
                "no tar file comes in on stdin",
                hint="an example: ssh pc rkfetch export MODEL -o - | rkfetch import -",
            )
        yield StreamPlace(sys.stdin.buffer, "the tar file on stdin")
        return
    path = Path(text)
    if path.is_dir():
        yield FolderPlace(path)
        return
    with _reading(path):
        file = path.open("rb")
    with file:
        yield TarPlace(file, str(path))


def is_tar(path: Path) -> bool:
    """Tell whether a file is, or should be, a tar file."""
    if path.suffix.lower() == ".tar":
        return True
    with suppress(OSError), path.open("rb") as file:
        return path.is_file() and file.read(512)[257:262] == b"ustar"
    return False
