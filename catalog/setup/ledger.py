"""Remember which files a set-up has placed, so that they are known again, and nothing else is.

It lies in the store. Lost or torn, it is made anew from what is there: then nothing that was placed
before is ever removed, and files are read once more.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rkfetch.catalog import border
from rkfetch.registry.durable import disk_errors, make_directory, read_note, write_durably
from rkfetch.registry.errors import UsageError
from rkfetch.registry.record import Verified

from .files import note_of
from .paths import bad_place

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from rkfetch.registry.store import Store

_SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A file that was placed."""

    sha256: str
    verified: Verified | None = None
    """What it was like then; None where that was not noted any more."""


class Ledger:
    """What lies below one folder because of a set-up, by its path relative to that."""

    def __init__(self, store: Store, folder: Path) -> None:
        self._path = note_of(store, folder)
        self._folder = folder
        self.files: dict[str, Placed] = _read(self._path)

    def note(self, place: str, placed: Placed | None) -> None:
        """Note a file, or that it is not there any more; nothing is written that is noted.

        A store that may only be read remembers nothing: then files are compared with it.

        Raises:
            DiskSpaceError, RkfetchError: it cannot be written.
        """
        if self.files.get(place) == placed:
            return
        if placed is None:
            del self.files[place]
        else:
            self.files[place] = placed
        values = {
            "schema_version": _SCHEMA_VERSION,
            "folder": str(self._folder),
            "files": {
                name: {
                    "sha256": item.sha256,
                    "verified": item.verified.as_json() if item.verified else None,
                }
                for name, item in sorted(self.files.items())
            },
        }
        with suppress(UsageError), disk_errors(self._path):
            make_directory(self._path.parent)
            write_durably(self._path, json.dumps(values, indent=1).encode())


def _read(path: Path) -> dict[str, Placed]:
    values: Any = None
    with suppress(OSError, ValueError, RecursionError):
        values = json.loads(read_note(path))
    if not isinstance(values, dict) or values.get("schema_version") != _SCHEMA_VERSION:
        return {}
    files = values.get("files")
    found = {}
    for name, item in (files if isinstance(files, dict) else {}).items():
        sha256 = border.digest(item.get("sha256")) if isinstance(item, dict) else None
        if sha256 is not None and bad_place(name) is None:
            found[name] = Placed(sha256=sha256, verified=Verified.from_json(item.get("verified")))
    return found
