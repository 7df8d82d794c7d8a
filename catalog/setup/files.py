"""Where a set-up lies: its declaration, its lock file, and the folder that both speak of."""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rkfetch.registry.durable import disk_errors, make_directory, sync_directory
from rkfetch.registry.errors import UsageError
from rkfetch.registry.locks import locked

from .declaration import LONGEST_FILE, parse
from .lock_form import read, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rkfetch.registry.store import Store

    from .declaration import Declaration
    from .locked import Lock

DEFAULT = "rkfetch.toml"


@dataclass(frozen=True, slots=True)
class SetupFiles:
    """The two files of a set-up, side by side."""

    declaration: Path
    lock: Path

    @classmethod
    def named(cls, text: str) -> SetupFiles:
        """Return the files of a set-up that either of them names.

        Raises:
            UsageError: the name ends neither in ``.toml`` nor in ``.lock``.
        """
        path = Path(text)
        if path.suffix not in {".toml", ".lock"}:
            raise UsageError(
                f"'{text}' names no set-up",
                cause=["its name has to end in .toml (the declaration) or .lock (the lock file)"],
                hint="an example: --file rkfetch.toml",
            )
        return cls(path.with_suffix(".toml"), path.with_suffix(".lock"))

    @property
    def folder(self) -> Path:
        """The folder that places are relative to."""
        return self.lock.parent

    def declared(self) -> Declaration | None:
        """Read the declaration; None if there is none.

        Raises:
            UsageError: it cannot be read, or what it says cannot be meant.
        """
        text = _text_of(self.declaration)
        return None if text is None else parse(text, str(self.declaration))

    def locked(self) -> Lock | None:
        """Read the lock file; None if there is none.

        Raises:
            UsageError: it cannot be read, or a newer rkfetch wrote it.
        """
        text = _text_of(self.lock)
        return None if text is None else read(text, str(self.lock))

    def write(self, lock: Lock) -> bool:
        """Write the lock file as a whole, unless it says so already; tell whether that was needed.

        Raises:
            UsageError, DiskSpaceError, RkfetchError: it cannot be written; the old one is there.
        """
        data = write(lock).encode()
        with suppress(OSError):
            if self.lock.read_bytes() == data:
                return False
        with disk_errors(self.lock):
            _replace(self.lock, data)
        return True

    @contextmanager
    def alone(
        self, store: Store, *, waiting: Callable[[str, float], object] | None = None
    ) -> Iterator[None]:
        """Be the only process of this machine that writes the lock file; waits for another.

        Raises:
            RkfetchError: the store's folder cannot be used.
        """
        with alone(store, self.lock, "another rkfetch writes this lock file", waiting=waiting):
            yield


@contextmanager
def alone(
    store: Store,
    place: Path,
    why: str,
    *,
    waiting: Callable[[str, float], object] | None = None,
) -> Iterator[None]:
    """Be the only process of this machine that changes a place of a set-up; waits for another.

    In a store that may only be read nothing is downloaded, and nobody has to wait.

    Raises:
        RkfetchError: the store's folder cannot be used.
    """
    path = note_of(store, place).with_suffix(".lock")
    tell = None if waiting is None else lambda: waiting(why, 0)
    with ExitStack() as stack:
        with suppress(UsageError), disk_errors(path.parent):
            make_directory(path.parent)
            stack.enter_context(locked(path, waiting=tell))
        yield


def note_of(store: Store, place: Path) -> Path:
    """Return where the store keeps what is to be remembered of a place."""
    name = hashlib.sha256(os.fsencode(os.path.realpath(place))).hexdigest()
    return store.root / "setups" / f"{name}.json"


def _text_of(path: Path) -> str | None:
    """Read a small text; None if it is not there.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LONGEST_FILE + 1)
        if len(data) > LONGEST_FILE:
            raise UsageError(f"{path} is longer than {LONGEST_FILE >> 20} MiB: it is none of ours")
        return data.decode()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise UsageError(f"{path} cannot be read", cause=["it is no text in UTF-8"]) from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read", cause=[error.strerror or str(error)]) from error


def _replace(path: Path, data: bytes) -> None:
    """Replace a file as a whole; several may do so at once, and one of them is the last."""
    path = Path(os.path.realpath(path))  # a link to it stays one
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), _mode_of(path))
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def _mode_of(path: Path) -> int:
    """Return the mode that a file has, or that a new one would get."""
    with suppress(OSError):
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
