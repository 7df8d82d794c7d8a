"""Look at a base model, or a LoRA adapter, that is on this machine, before anything runs."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from rkfetch.registry.errors import IntegrityError, UsageError

from . import base_gguf
from .base import BaseModel, Code, Lora
from .base_config import ADAPTER, CONFIG, LARGEST_JSON, number, read_json, shown
from .base_facts import put_together
from .base_files import is_plain, wanted
from .reading import foreign, readable, torn_weights
from .safetensors import require_whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .base_files import Weights

_ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
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


def look_at_lora(path: Path) -> Lora:
    """Return what a LoRA adapter says of itself: a folder as PEFT writes it, or a ``.gguf`` file.

    Raises:
        UsageError: there is nothing, or it is no LoRA adapter.
        IntegrityError: its weights are missing, cut off or a pointer.
    """
    if path.suffix.lower() == ".gguf" and path.is_file():
        base_gguf.require_lora(path)
        return Lora(path=path)
    if not (path / ADAPTER).is_file():
        is_model = (path / CONFIG).is_file()
        raise UsageError(
            f"{path} is no LoRA adapter",
            cause=["it is a whole model" if is_model else f"it has no {ADAPTER}"],
            hint="name the folder into which PEFT saved the adapter",
        )
    with readable(path):
        is_small = (path / ADAPTER).stat().st_size <= LARGEST_JSON
        config = read_json((path / ADAPTER).read_bytes()) if is_small else {}
    kind, trained_for = config.get("peft_type"), config.get("base_model_name_or_path")
    if kind != "LORA":
        raise UsageError(
            f"{path} is an adapter, but no LoRA",
            cause=[f"its peft_type is {shown(str(kind))}"],
            hint="the toolkit takes LoRA alone: merge it into its model with PEFT instead",
        )
    weights = next((path / name for name in _ADAPTER_WEIGHTS if (path / name).is_file()), None)
    if weights is None:
        raise IntegrityError(
            f"{path} has no weights",
            cause=[f"neither {' nor '.join(_ADAPTER_WEIGHTS)} is there"],
            hint="download it completely",
        )
    is_pickle = weights.suffix == ".bin"
    if is_pickle:
        _require_no_pointer(weights, weights.stat().st_size)
    else:
        require_whole(weights)
    return Lora(
        path=path,
        base=shown(trained_for) if isinstance(trained_for, str) else None,
        rank=number(config.get("r")),
        code=Code(pickles=(weights.name,) if is_pickle else ()),
    )


def _require_no_pointer(path: Path, size_bytes: int) -> None:
    """Check what can be checked of weights that are pickled."""
    if size_bytes == 0:
        raise torn_weights(path, "it is empty")
    instead = foreign(path) if size_bytes <= _POINTER_BYTES else None
    if instead is not None and instead.format == "git-lfs-pointer":
        raise torn_weights(path, instead.explanation)
