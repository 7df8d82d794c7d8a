"""Where a set-up may put files: below its own folder, under names that show what they are."""

from __future__ import annotations

import unicodedata
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from rkfetch.registry.record import safe_file_name

if TYPE_CHECKING:
    from rkfetch.registry.model import Artifact

MODEL_SUFFIX = ".rkllm"
_LONGEST = 1000
_LONGEST_PART = 200
"""Bytes."""
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def bad_place(to: str) -> str | None:
    """Return why a text cannot be a place below the folder of a set-up; None if it can."""
    if not to or len(to) > _LONGEST:
        return "is no path" if not to else "is too long"
    if any(unicodedata.category(c) in _HIDDEN for c in to) or "\\" in to:
        return "has characters that no path should have"
    if to.startswith(("/", "~")):
        return "is no path below the folder of the set-up"
    parts = to.removesuffix("/").split("/")
    if to != "." and any(part in {"", ".", ".."} for part in parts):
        return "leads out of the folder of the set-up, or about in it"
    if any(len(part.encode()) > _LONGEST_PART or part.strip() != part for part in parts):
        return "has a name that is too long, or begins or ends with a space"
    return None


def place_of(to: str, artifact: Artifact, *, is_model: bool) -> str:
    """Return where a file of a model goes, relative to the folder of the set-up.

    ``to`` is a folder, or the model's own name if it ends in ``.rkllm``; what belongs to the model
    lies beside it. The name depends on nothing but the lock file, so that all boards are alike.
    """
    path = PurePosixPath(to)
    if path.suffix.lower() == MODEL_SUFFIX:
        return str(path if is_model else path.with_name(safe_file_name(artifact.path)))
    return str(path / safe_file_name(artifact.path))
