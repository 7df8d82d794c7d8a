"""Small files that lie beside a model in the store: tokenizer, configuration, licence, card.

``models/<sha256>/beside/`` is one flat folder, so that whatever loads a tokenizer from a folder
can be given it. What is in it goes with the model when that is removed.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .durable import disk_errors, make_directory, require_own, write_durably
from .errors import IntegrityError
from .record import safe_file_name

if TYPE_CHECKING:
    from pathlib import Path

    from .store import Installed, Store

FOLDER = "beside"
CARD = "MODEL_CARD.md"
"""What the uploader wrote of the build."""
LARGEST_BYTES = 64 << 20
"""Of one file. The largest tokenizers have some 35 MB."""
ROLES = ("tokenizer", "chat-template", "config", "licence", "card")

_LICENCE = re.compile(r"(?:.*[-_.])?(?:licen[cs]e|notice|copying|use_policy|terms)(?:[-_.].*)?")
_TOKENIZER = re.compile(
    r"(?:tokenizer|vocab|merges|special_tokens_map|added_tokens|spiece|sentencepiece)[._-].*"
    r"|.*\.(?:tiktoken|model)|(?:special_tokens_map|added_tokens|.*_vocab_.*)\..*"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """One of these files."""

    role: str
    path: Path
    size_bytes: int


def role_of(name: str) -> str:
    """Return what a small file is for, as its name tells: one of `ROLES`."""
    lower = name.lower()
    if name == CARD:
        return "card"
    if _LICENCE.fullmatch(lower):
        return "licence"
    if lower.startswith("chat_template"):
        return "chat-template"
    return "tokenizer" if _TOKENIZER.fullmatch(lower) else "config"


def folder_of(item: Installed) -> Path:
    """Return where the files of an installed model lie, whether there are any or not."""
    return item.path.parent / FOLDER


def beside(item: Installed) -> list[Beside]:
    """Return what lies beside a model, by role and name; reading never creates anything.

    Raises:
        RkfetchError: the disk failed, or is gone.
    """
    folder = folder_of(item)
    with disk_errors(folder):
        found = [
            Beside(role=role_of(path.name), path=path, size_bytes=path.stat().st_size)
            for path in paths_in(item.path.parent)[1:]
            if not path.name.startswith(".") and path.is_file() and not path.is_symlink()
        ]
    return sorted(found, key=lambda file: (ROLES.index(file.role), file.path.name))


def put(store: Store, item: Installed, name: str, content: bytes) -> None:
    """Lay a small file beside a model; one of the same name is replaced as a whole.

    Raises:
        IntegrityError: the name could lead anywhere else, or the content is too long.
        DiskSpaceError, UsageError, RkfetchError: as `durable.disk_errors`.
    """
    if safe_file_name(name) != name or len(content) > LARGEST_BYTES:
        raise IntegrityError(f"'{name[:80]}' cannot lie beside a model")
    folder = folder_of(item)
    with store.writing(item.record.sha256), disk_errors(folder):
        require_own(folder)
        make_directory(folder)
        path = folder / name
        if not path.is_file() or path.is_symlink() or path.read_bytes() != content:
            write_durably(path, content)


def paths_in(entry: Path) -> list[Path]:
    """Return the folder of these files in an entry of the store, then what is in it, if any."""
    folder = entry / FOLDER
    if folder.is_symlink():
        return [folder]  # nothing of what it leads to is ours
    if not folder.is_dir():
        return []
    return [folder, *(folder / name for name in sorted(os.listdir(folder)))]  # noqa: PTH208
