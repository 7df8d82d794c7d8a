"""Choose which files of a base model the toolkit needs. Pure: names in, names out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .base_config import shown

if TYPE_CHECKING:
    from collections.abc import Collection

    from .base import Code
    from .base_config import Config

SAFETENSORS = "model.safetensors"
PICKLE = "pytorch_model.bin"
INDEXES = {f"{SAFETENSORS}.index.json": SAFETENSORS, f"{PICKLE}.index.json": PICKLE}
"""Lists of the parts that weights were split into, and what the whole would be called."""
TOKENIZERS = (
    "tokenizer.json",
    "tokenizer.model",
    "spiece.model",
    "vocab.json",
    "vocab.txt",
    "qwen.tiktoken",
    "tiktoken.model",
    "rwkv_vocab_v20230424.txt",
)
"""One of these has the vocabulary."""

_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+@=-]{0,199}", re.ASCII)
_ENDINGS = (".json", ".model", ".tiktoken", ".jinja")
_TEXTS = re.compile(r"(?:.*_)?(?:merges|vocab)(?:[._-].*)?\.txt", re.ASCII)
_OTHERS = re.compile(r"(?:tf_model|flax_model|onnx|model\.onnx|openvino|rust_model|adapter_).*")
"""Of other frameworks, or of what trained the model."""
_FOREIGN = (
    ("GGUF", re.compile(r".*\.gguf")),
    ("a LoRA adapter", re.compile(r"adapter_model\.(?:safetensors|bin)|adapter_config\.json")),
    ("Meta's original form", re.compile(r"(?:.*/)?consolidated.*\.(?:pth|safetensors)")),
    ("TensorFlow", re.compile(r"(?:.*/)?tf_model.*\.h5")),
    ("Flax", re.compile(r"(?:.*/)?flax_model.*\.msgpack")),
    ("ONNX", re.compile(r".*\.onnx")),
    ("MLX or another form", re.compile(r"(?:.*/)?[^/]*\.(?:npz|safetensors)")),
    ("RKLLM", re.compile(r".*\.rkllm")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """The files that hold the numbers."""

    files: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    """Parts that the index names and that are not there."""
    index: str | None = None
    is_pickle: bool = False

    @property
    def pickles(self) -> tuple[str, ...]:
        """The files, if reading them may run code."""
        return self.files if self.is_pickle else ()


def is_plain(path: str) -> bool:
    """Tell whether a name may become a path: relative, ordinary letters, no way up."""
    parts = path.split("/")
    return len(path) <= 400 and len(parts) <= 8 and all(map(_SEGMENT.fullmatch, parts))


def index_of(names: Collection[str]) -> str | None:
    """Return the index that says which parts the weights have; None if there are no parts."""
    for index, whole in INDEXES.items():
        if whole in names:
            return None
        if index in names:
            return index
    return None


def weights_of(names: Collection[str], index: Config) -> Weights:
    """Return the weights that transformers would load, safetensors before pickles.

    ``index`` is the content of `index_of`.
    """
    named = index_of(names)
    if named is None:
        for whole in (SAFETENSORS, PICKLE):
            if whole in names:
                return Weights(files=(whole,), is_pickle=whole == PICKLE)
        return Weights()
    parts = index.get("weight_map")
    values = parts.values() if isinstance(parts, dict) else ()
    shards = {v for v in values if isinstance(v, str)}
    there = {shard for shard in shards if shard in names and is_plain(shard)}
    return Weights(
        files=tuple(sorted(there)),
        missing=tuple(map(shown, sorted(shards - there))),
        index=named,
        is_pickle=INDEXES[named] == PICKLE,
    )


def wanted(names: Collection[str], weights: Weights, code: Code) -> tuple[str, ...]:
    """Return all files that the toolkit needs, in the order in which they are best fetched."""
    small = (name for name in names if is_plain(name) and is_small_and_wanted(name, weights))
    return (*sorted({*small, *code.files}), *weights.files)


def is_small_and_wanted(name: str, weights: Weights) -> bool:
    """Tell whether a file is of the tokenizer or the configuration, or the index of the weights."""
    if name.startswith("chat_templates/") and name.endswith(".jinja"):
        return True
    if "/" in name or _OTHERS.fullmatch(name):
        return False
    if name.endswith(".index.json"):
        return name == weights.index
    return name.endswith(_ENDINGS) or _TEXTS.fullmatch(name) is not None


def instead(names: Collection[str]) -> str | None:
    """Say in which forms the weights are there that cannot be used; None if there are none."""
    found = [kind for kind, form in _FOREIGN if any(map(form.fullmatch, names))]
    return ", ".join(found) or None
