"""Write an export as a tar file, piece by piece: to a disk, or to whoever reads it."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rkfetch.registry import tar
from rkfetch.registry.durable import BLOCK_BYTES, disk_errors, require_space, sync_directory
from rkfetch.registry.errors import IntegrityError, UsageError
from rkfetch.registry.progress import NoProgress

from .form import MANIFEST, TOP
from .ground import alone_in, require_size, saying_where

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rkfetch.registry.progress import Progress

    from .form import CarriedFile
    from .gathering import Load


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
    if not isinstance(source, Path):
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
    with saying_where(), alone_in(path.parent), disk_errors(path):
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
