"""Write an export as a folder, which is whole or not there.

A folder that is there already is brought up to date in place: what has the right content stays,
and the list that makes it an export is replaced last.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rkfetch.catalog.published.reading import FormError
from rkfetch.registry.durable import (
    disk_errors,
    hash_file,
    make_directory,
    require_space,
    sync_directory,
    write_durably,
)
from rkfetch.registry.errors import IntegrityError, UsageError
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
from .ground import alone_in, has_links, require_size, saying_where
from .knowledge import read_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rkfetch.registry.progress import Progress

    from .form import CarriedFile
    from .gathering import Load

_NOT_OURS_BUT_FINE = {"lost+found", "System Volume Information", "$RECYCLE.BIN"}


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
    with alone_in(folder.parent):
        yield Folder(folder)


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
        with saying_where():
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
            links = has_links(self._folder)
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
