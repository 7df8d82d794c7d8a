"""Take files that are on this disk already into the store: at no cost where they can be linked.

A hard link shares the content with the user's own file. Whoever writes to that later is noticed
by `Store.find`, which then gives the file out no more.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from . import rknn
from .check import FORMATS, another_format, no_model
from .durable import disk_errors, hash_file
from .errors import IntegrityError, UsageError
from .place import link_or_copy
from .progress import NoProgress
from .rkllm_read import read_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .place import How
    from .progress import Progress
    from .record import Record
    from .rkllm import RkllmFacts
    from .store import Installed, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A file that is in the store now, and what that took."""

    source: Path
    installed: Installed
    action: Literal["present"] | How
    removed: bool = False
    """The file itself is gone, as it was asked."""


def files_below(
    folder: Path, *, store: Store, unreadable: Callable[[OSError], object]
) -> Iterator[Path]:
    """Yield every file below a folder that can be a model, each content once, in order.

    A link is followed where it stays inside the folder, as in a Hub cache, and never out of it.
    The store itself is left out.
    """
    top = Path(os.path.realpath(folder))
    inside_store = Path(os.path.realpath(store.root))
    seen: set[Path] = set()
    for here, folders, names in os.walk(top, onerror=unreadable):
        folders[:] = sorted(name for name in folders if Path(here, name) != inside_store)
        for name in sorted(names):
            path = Path(here, name)
            real = Path(os.path.realpath(path))
            if (
                path.suffix.lower() in FORMATS
                and real.is_relative_to(top)
                and not real.is_relative_to(inside_store)
                and real.is_file()
                and real not in seen
            ):
                seen.add(real)
                yield path


def import_file(
    store: Store,
    source: Path,
    *,
    describe: Callable[[str, RkllmFacts], Record],
    copy: bool = False,
    move: bool = False,
    progress: Progress | None = None,
) -> Imported:
    """Have a file in the store: linked, else with shared blocks, else as a verified copy.

    ``describe`` is given SHA-256 and header and returns the record. ``copy`` never links;
    ``move`` removes the file once it is certainly in the store.

    Raises:
        IntegrityError: it is no whole model, or was written to meanwhile.
        UsageError: it cannot be read, or not be removed as it was asked (it is in the store then).
        DiskSpaceError, RkfetchError: as `durable.disk_errors`.
    """
    if move and source.is_symlink():
        raise UsageError(
            f"{source} is a symbolic link and cannot be moved", hint="name the file itself"
        )
    path = Path(os.path.realpath(source))
    require_model(path)
    here = stored_as(store, path)
    if here is not None:
        action: Literal["present"] | How = "present"
    else:
        task = _Import(store, path, describe=describe, copy=copy, progress=progress)
        here, action = task.run()
    removed = move and path != Path(os.path.realpath(here.path))
    if removed:
        with disk_errors(path.parent):
            path.unlink()
    return Imported(source=source, installed=here, action=action, removed=removed)


def require_model(path: Path) -> RkllmFacts:
    """Read what a file says about itself; its content must be what its name promises.

    Raises:
        IntegrityError: it is neither a whole ``.rkllm`` nor a whole ``.rknn`` file.
        UsageError: it cannot be read.
    """
    facts = read_file(path)
    wanted = FORMATS.get(path.suffix.lower(), facts.format)
    if facts.format == wanted == "rknn":
        encoder = rknn.read_file(path)
        cut_off = None if encoder is None else rknn.complaint(encoder, None)
        if cut_off is not None:
            raise IntegrityError(f"{path}: {cut_off}", hint="copy or download it again")
        return facts
    complaint = another_format(facts, wanted) or no_model(facts)
    if complaint is not None:
        raise IntegrityError(f"{path}: {complaint}", hint=f"rkfetch inspect {path}")
    return facts


def stored_as(store: Store, path: Path) -> Installed | None:
    """Return the stored file that is this very file, under whatever name."""
    with disk_errors(path):
        status = path.stat()
    for item in store.installed():
        try:
            same = os.path.samestat(item.path.stat(), status)
        except OSError:
            continue
        if same and (found := store.find(item.record.sha256)) is not None:
            return found
    return None


class _Import:
    """One file on its way in."""

    def __init__(
        self,
        store: Store,
        path: Path,
        *,
        describe: Callable[[str, RkllmFacts], Record],
        copy: bool,
        progress: Progress | None,
    ) -> None:
        self._store = store
        self._path = path
        self._describe = describe
        self._copy = copy
        self._progress = progress or NoProgress()
        with disk_errors(path):
            self._before = path.stat()

    def run(self) -> tuple[Installed, Literal["present"] | How]:
        """Bring the file in under a key of its own; no download works under that."""
        self._progress.phase("verify")
        self._progress.started(self._before.st_size, 0)
        sha256 = None
        if any(i.record.size_bytes == self._before.st_size for i in self._store.installed()):
            # It may be here, and then need not be copied.
            with disk_errors(self._path):
                sha256 = self._hash(self._path)
            if (here := self._store.find(sha256)) is not None:
                return here, "present"
        about = f"import:{self._before.st_dev}:{self._before.st_ino}"
        key = hashlib.sha256(about.encode()).hexdigest()
        with self._store.writing(key, waiting=self._progress.waiting):
            partial = self._store.partial(key)
            try:
                return self._take_in(partial, sha256)
            finally:
                # Where the disk fails, that has been said; `gc` removes it.
                with contextlib.suppress(OSError):
                    partial.unlink()

    def _take_in(
        self, partial: Path, sha256: str | None
    ) -> tuple[Installed, Literal["present"] | How]:
        with disk_errors(partial.parent):
            how, read = link_or_copy(
                self._path,
                partial,
                sha256=sha256,
                may_link=not self._copy and self._may_be_linked(),
                advanced=self._progress.advanced,
            )
            if sha256 is None:
                sha256 = read or self._hash(partial)
        self._require_unwritten()
        record = self._describe(sha256, require_model(partial))
        if (here := self._store.find(sha256)) is not None:
            return here, "present"
        return self._store.add(partial, record), how

    def _hash(self, path: Path) -> str:
        # No further than it was long then: somebody may be appending to it without end.
        length, advanced = self._before.st_size, self._progress.advanced
        return hash_file(path, length=length, advanced=advanced).hexdigest()

    def _may_be_linked(self) -> bool:
        """A link keeps the file's own mode: in a shared store, the others have to read it."""
        shared = self._store.partials.stat().st_mode & stat.S_IWGRP
        return not shared or bool(self._before.st_mode & stat.S_IRGRP)

    def _require_unwritten(self) -> None:
        with disk_errors(self._path):
            now = self._path.stat()
        if (now.st_size, now.st_mtime_ns, now.st_ino) != (
            self._before.st_size,
            self._before.st_mtime_ns,
            self._before.st_ino,
        ):
            raise IntegrityError(
                f"{self._path} was written to while it was read",
                hint="import it again once it is complete",
            )
