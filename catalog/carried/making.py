"""Write an export: a folder that is whole or not there, or a tar file piece by piece.

A folder that is there already is brought up to date in place: what has the right content stays,
and the list that makes it an export is replaced last.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rkfetch.catalog.published.reading import FormError
from rkfetch.registry import tar
from rkfetch.registry.disk_failures import largest_file
from rkfetch.registry.durable import (
    BLOCK_BYTES,
    disk_errors,
    hash_file,
    make_directory,
    require_space,
    sync_directory,
    write_durably,
)
from rkfetch.registry.errors import DiskSpaceError, IntegrityError, UsageError
from rkfetch.registry.place import link_or_copy
from rkfetch.registry.progress import NoProgress

from .form import (
    CATALOG,
    LARGEST_MANIFEST,
    MANIFEST,
    SIGNATURE,
    TOP,
    UNFINISHED,
    read_manifest,
)
from .gathering import Before
from .knowledge import read_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rkfetch.registry.progress import Progress

    from .form import CarriedFile
    from .gathering import Load

_NOT_OURS_BUT_FINE = {"lost+found", "System Volume Information", "$RECYCLE.BIN"}
_ROOM = "make room there, or name another place with -o"
_OTHER_FORM = "format the stick as exFAT or ext4, or name a place on another disk with -o"


@dataclass(kw_only=True)
class Written:
    """What it took."""

    copied_bytes: int = 0
    linked: int = 0
    """Files that share their content with the store's, and take no room."""
    present: int = 0
    """Files that were there already, with the right content."""


@contextmanager
def folder_for(folder: Path) -> Iterator[Folder]:
    """Give the folder of an export, which one process at a time may write.

    Raises:
        UsageError: it holds something else, or cannot be written.
        IntegrityError: what is there cannot be read.
    """
    folder = folder.absolute()
    with _alone_in(folder.parent):
        yield Folder(folder)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Let one export at a time be made in a folder; no lock file is left where people look."""
    make_directory(folder)
    with disk_errors(folder):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with disk_errors(folder):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


class Folder:
    """A folder that is an export, or will be one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with disk_errors(folder):
            self._is_new = not folder.exists()
            if not self._is_new:
                _require_ours(folder)
        partial = folder.with_name(f".{folder.name}.rkfetch-partial")
        self._at = partial if self._is_new else folder
        """Where it is written; a folder that is there may be a mounted stick itself."""

    @property
    def before(self) -> Before:
        """What is there already, and can stay.

        Raises:
            IntegrityError: it cannot be read.
        """
        path = self._folder / MANIFEST
        if self._is_new or not path.is_file():
            return Before()
        try:
            with disk_errors(path), path.open("rb") as file:
                export = read_manifest(file.read(LARGEST_MANIFEST + 1))
        except FormError as error:
            raise IntegrityError(
                f"the export in {self._folder} cannot be read",
                cause=[str(error)],
                hint=f"remove {self._folder}, or name another place with -o",
            ) from error
        lines: dict[bytes, bytes] = {}
        with suppress(OSError, IntegrityError):  # what is lost of it is written anew
            files = {f.path: (self._folder / f.path).read_bytes() for f in export.catalog}
            lines = read_lines(files)[1] if files else {}
        here = [m for m in export.models if all(map(self._is_there, m.files))]
        return Before(models=tuple(here), catalog=lines)

    def _is_there(self, file: CarriedFile) -> bool:
        with suppress(OSError):
            return (self._folder / file.path).stat().st_size == file.size_bytes
        return False

    def write(self, load: Load, progress: Progress | None = None) -> Written:
        """Write an export, whole or not at all; the place of each file changes in one step.

        Raises:
            DiskSpaceError: there is no room, or the file system holds no file of that size; known
                before anything is written.
            IntegrityError: a file of the store turned out damaged.
            UsageError, RkfetchError: it cannot be written.
        """
        writing = _Writing(self._at, load, progress or NoProgress())
        with _room():
            written = writing.run()
            if self._is_new:
                with disk_errors(self._folder):
                    self._at.rename(self._folder)
                    sync_directory(self._folder.parent)
        return written


def _require_ours(folder: Path) -> None:
    """Check that a folder is empty, or an export, or was to become one."""
    if not folder.is_dir():
        raise UsageError(
            f"{folder} is there already, and is no folder",
            hint="name another place with -o; a tar file's name ends in .tar",
        )
    names = {p.name for p in folder.iterdir() if not p.name.startswith(".")}
    if MANIFEST in names or UNFINISHED in names:
        return
    strangers = sorted(names - _NOT_OURS_BUT_FINE)
    if strangers:
        raise UsageError(
            f"{folder} holds something else",
            cause=[f"for one: {strangers[0]}"],
            hint=f"name a folder of its own: -o {folder / TOP}",
        )


class _Writing:
    """One export on its way into a folder."""

    def __init__(self, folder: Path, load: Load, progress: Progress) -> None:
        self._folder = folder
        self._load = load
        self._progress = progress
        self._done = 0
        self._written = Written()

    def run(self) -> Written:
        load = self._load
        make_directory(self._folder)
        self._progress.phase("verify")
        missing = [file for file in load.export.files if not self._is_here(file)]
        self._require_room(missing)
        with disk_errors(self._folder):
            if not (self._folder / MANIFEST).exists():
                write_durably(self._folder / UNFINISHED, b"{}\n")
            self._progress.phase("install")
            self._progress.started(sum(file.size_bytes for file in missing), 0)
            for file in missing:
                self._put(file)
            self._finish()
        return self._written

    def _is_here(self, file: CarriedFile) -> bool:
        """Tell whether a file is in its place, with the right content."""
        path, source = self._folder / file.path, self._load.sources.get(file.path)
        with disk_errors(path):
            if path.is_symlink() or not path.is_file():
                return False
            is_same = isinstance(source, Path) and path.samefile(source)
            if not is_same and (
                path.stat().st_size != file.size_bytes or hash_file(path).hexdigest() != file.sha256
            ):
                return False
        self._written.present += 1
        return True

    def _require_room(self, missing: Sequence[CarriedFile]) -> None:
        require_size(self._folder, [file.size_bytes for file in missing])
        with disk_errors(self._folder):
            device = self._folder.stat().st_dev
            links = _has_links(self._folder)
        need = 0
        for file in missing:
            source = self._load.sources.get(file.path)
            if not (links and isinstance(source, Path) and source.stat().st_dev == device):
                need += file.size_bytes
        require_space(self._folder, need)

    def _put(self, file: CarriedFile) -> None:
        source = self._load.sources.get(file.path)
        path = self._folder / file.path
        if source is None:
            raise IntegrityError(
                f"{path} is damaged",
                cause=["it belongs to an export that was made before, and has other content now"],
                hint="name its model too, so that it is written anew; or remove the folder",
            )
        make_directory(path.parent)
        if isinstance(source, bytes):
            write_durably(path, source)
        else:
            temporary = path.with_name(f".{path.name}.tmp")
            try:
                how, _ = link_or_copy(
                    source, temporary, sha256=file.sha256, advanced=self._advanced
                )
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
            sync_directory(path.parent)
            self._written.linked += how != "copied"
            self._written.copied_bytes += file.size_bytes if how == "copied" else 0
        self._done += file.size_bytes
        self._progress.advanced(self._done)

    def _advanced(self, count: int) -> None:
        self._progress.advanced(self._done + count)

    def _finish(self) -> None:
        """Write what makes it an export, and remove what is of no use any more."""
        folder, load = self._folder, self._load
        for name, content in load.notes.items():
            write_durably(folder / name, content)
        for name, content in reversed(list(load.lists.items())):
            write_durably(folder / name, content)
        if SIGNATURE not in load.lists:
            (folder / SIGNATURE).unlink(missing_ok=True)
        (folder / UNFINISHED).unlink(missing_ok=True)
        listed = {file.path for file in load.export.files}
        parts = folder / CATALOG
        for path in sorted(parts.rglob("*"), reverse=True) if parts.is_dir() else ():
            if path.is_file() and path.relative_to(folder).as_posix() not in listed:
                path.unlink()


def _has_links(folder: Path) -> bool:
    """Tell whether a file system knows hard links."""
    probe, other = folder / ".rkfetch-link", folder / ".rkfetch-link2"
    try:
        for path in (probe, other):
            path.unlink(missing_ok=True)
        probe.touch()
        os.link(probe, other)
    except OSError:
        return False
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)
            other.unlink(missing_ok=True)
    return True


def require_size(place: Path, sizes: Sequence[int]) -> None:
    """Check that a file system holds files of these sizes, before anything is written.

    Raises:
        DiskSpaceError: it does not.
    """
    most, largest = largest_file(place), max(sizes, default=0)
    if most is not None and largest > most:
        raise DiskSpaceError(
            f"the file system of {place} does not hold files of that size",
            need_bytes=largest,
            where=str(place),
            cause=[f"one of them has {largest:,} bytes; FAT32 ends at {most:,}"],
            hint=_OTHER_FORM,
        )


@contextmanager
def _room() -> Iterator[None]:
    """Say of a full disk what helps here: what is exported to is not the store."""
    try:
        yield
    except DiskSpaceError as error:
        if error.hint != _OTHER_FORM:
            error.hint = _ROOM
        raise


# --- tar files ----------------------------------------------------------------------------------


def write_tar(
    load: Load, write: Callable[[bytes], object], progress: Progress | None = None
) -> None:
    """Write an export as a tar file, its list first; the same export gives the same bytes.

    Raises:
        IntegrityError: a file of the store turned out damaged: what was written is no export.
        RkfetchError: a file cannot be read.
    """
    progress = progress or NoProgress()
    progress.phase("install")
    progress.started(load.size_bytes, 0)
    done = 0

    def put(name: str, size_bytes: int, content: Iterator[bytes]) -> None:
        nonlocal done
        write(tar.head(f"{TOP}/{name}", size_bytes))
        for piece in content:
            write(piece)
            done += len(piece)
            progress.advanced(done)
        write(tar.filling(size_bytes))

    for name, text in load.lists.items():
        put(name, len(text), iter([text]))
    for file in load.export.files:
        put(file.path, file.size_bytes, _content(load.sources[file.path], file))
    for name, text in load.notes.items():
        put(name, len(text), iter([text]))
    write(tar.END)


def _content(source: Path | bytes, file: CarriedFile) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield source
        return
    digest, left = hashlib.sha256(), file.size_bytes
    with disk_errors(source), source.open("rb", buffering=0) as content:
        while left and (piece := content.read(min(BLOCK_BYTES, left))):
            digest.update(piece)
            left -= len(piece)
            yield piece
    if left or digest.hexdigest() != file.sha256:
        raise IntegrityError(
            f"{source} is damaged",
            expected=file.sha256,
            actual=digest.hexdigest(),
            cause=["its content changed after it was installed"],
            hint="rkfetch verify",
        )


def write_tar_file(load: Load, path: Path, progress: Progress | None = None) -> None:
    """Write an export as a tar file that is there whole or not at all.

    Raises:
        UsageError: another file is there, or it cannot be written.
        DiskSpaceError: there is no room; known before anything is written.
        IntegrityError, RkfetchError: as `write_tar`.
    """
    path = path.absolute()
    partial = path.with_name(f"{path.name}.partial")
    with _room(), _alone_in(path.parent), disk_errors(path):
        if os.path.lexists(path) and not is_export_tar(path):
            raise UsageError(
                f"{path} is there already, and is no export",
                hint="name another place with -o, or remove it",
            )
        partial.unlink(missing_ok=True)
        size = load.size_bytes + 1024 * (len(load.sources) + 8)
        require_size(path.parent, [size])
        require_space(path.parent, size)
        try:
            with partial.open("xb") as file:
                write_tar(load, file.write, progress)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
            sync_directory(path.parent)
        finally:
            partial.unlink(missing_ok=True)


def is_export_tar(path: Path) -> bool:
    """Tell whether a file begins like a tar file of ours."""
    with suppress(OSError), path.open("rb") as file:
        return path.is_file() and file.read(len(TOP) + 1 + len(MANIFEST)) == (
            f"{TOP}/{MANIFEST}".encode()
        )
    return False
