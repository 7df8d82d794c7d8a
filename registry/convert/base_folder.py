"""Look at a base model that is on this machine, before anything runs."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from rkfetch.registry.errors import UsageError

from . import base_gguf
from .base import BaseModel
from .base_config import CONFIG
from .base_facts import put_together
from .base_files import is_plain, wanted
from .reading import foreign, readable, torn_weights
from .safetensors import require_whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .base_files import Weights

_POINTER_BYTES = 1024
"""A Git LFS pointer is shorter, weights never are."""


def look_at(path: Path) -> BaseModel:
    """Return what a folder in Hugging Face's layout, or a ``.gguf`` file, says of itself.

    Raises:
        UsageError: there is nothing, or no model, or it may not be read.
        ConversionUnavailableError: its weights are in no form that the toolkit reads.
        IntegrityError: files are missing, cut off, or pointers to what was never downloaded.
    """
    if path.is_dir():
        return look_at_folder(path)[0]
    if not path.is_file():
        raise UsageError(f"{path} is not there")
    if path.suffix.lower() == ".gguf":
        return base_gguf.look_at(path)
    instead = foreign(path)
    raise UsageError(
        f"{path} is neither a model's folder nor a .gguf file",
        cause=[f"it is {instead.explanation}"] if instead is not None else [],
        hint="name the folder that has config.json in it",
    )


def look_at_folder(path: Path) -> tuple[BaseModel, tuple[str, ...]]:
    """Return a model, and which files of its folder the toolkit needs; raises as `look_at`."""
    path = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would leave a cache's folder of links
    with readable(path):
        sizes = {
            name: (path / name).stat().st_size
            for name in _names(path)
            if is_plain(name) and (path / name).is_file()
        }

    def read(name: str) -> bytes:
        with readable(path / name):
            return (path / name).read_bytes()

    def counted(weights: Weights) -> Mapping[str, int]:
        counts: Counter[str] = Counter()
        for name in weights.files:
            if weights.is_pickle:
                _require_no_pointer(path / name, sizes[name])
            else:
                counts.update(require_whole(path / name))
        return counts

    base, weights = put_together(BaseModel(name=_name(path), path=path), sizes, read, counted)
    return base, wanted(sizes, weights, base.code)


def _names(path: Path) -> list[str]:
    """Return the files of a folder, and those one folder deeper, where templates may lie."""
    found = []
    is_model = (path / CONFIG).is_file()
    for entry in sorted(path.iterdir()):
        if is_model and entry.is_dir() and not entry.name.startswith("."):
            found += [f"{entry.name}/{inner.name}" for inner in sorted(entry.iterdir())]
        else:
            found.append(entry.name)
    return found


def _name(path: Path) -> str:
    """Return what to call a folder's model; a cache's folder has the model's name further up."""
    if path.parent.name == "snapshots":
        path = path.parent.parent
    plain = re.sub(r"[^A-Za-z0-9_.+-]+", "-", path.name.rpartition("--")[2]).strip("-.")
    return plain[:96] or "model"


def _require_no_pointer(path: Path, size_bytes: int) -> None:
    """Check what can be checked of weights that are pickled."""
    if size_bytes == 0:
        raise torn_weights(path, "it is empty")
    instead = foreign(path) if size_bytes <= _POINTER_BYTES else None
    if instead is not None and instead.format == "git-lfs-pointer":
        raise torn_weights(path, instead.explanation)
