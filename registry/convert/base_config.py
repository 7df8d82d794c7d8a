"""Read what a base model's small JSON files say about it. Pure: contents in, facts out.

Whoever published the model wrote them: nothing in them is believed to be of the right type, and
no text of them is longer or odder than a name. Keys as in Hugging Face's transformers and in the
quantisers' own files.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from .base import Code

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from .base import BaseModel

CONFIG = "config.json"
ADAPTER = "adapter_config.json"
QUANTIZE = "quantize_config.json"
"""Where AutoGPTQ wrote its settings before they had a place in config.json."""
WITH_CODE = (
    CONFIG,
    "tokenizer_config.json",
    "generation_config.json",
    "processor_config.json",
    "preprocessor_config.json",
    "image_processor_config.json",
    "video_preprocessor_config.json",
)
"""Files whose ``auto_map`` transformers reads."""
LARGEST_JSON = 16 << 20
"""Bytes; an index of 60,000 weights has some 5 MB."""

Config: TypeAlias = "Mapping[str, Any]"

_PARTS = ("text_config", "llm_config", "language_config", "thinker_config")
"""Where a multimodal model describes its language part."""
_LAYERS = ("num_hidden_layers", "num_layers", "n_layer", "n_layers")
_CONTEXT = ("max_position_embeddings", "seq_length", "n_positions", "max_sequence_length")
_BITS = ("bits", "w_bit")
_GROUP = ("group_size", "q_group_size")
_DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "float8_e4m3fn": 1}
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}", re.ASCII)
_REFERENCE = re.compile(
    r"(?:(?P<repo>[A-Za-z0-9_.-]{1,96}/[A-Za-z0-9_.-]{1,96})--)?[A-Za-z0-9_.]{1,200}", re.ASCII
)
_MOST_ENTRIES = 50
_LONGEST_SHOWN = 80
_MOST = 1 << 48


def read_json(data: bytes) -> Config:
    """Return the object that a file holds; an empty one for anything else."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def word(value: Any) -> str | None:
    """Return a name of at most 100 ordinary characters; None for anything else."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None


def number(value: Any) -> int | None:
    """Return a count; None for what is none, or beyond all that exists."""
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST
    return value if is_count else None


def described(base: BaseModel, configs: Mapping[str, Config]) -> BaseModel:
    """Add what ``config.json`` and its like say to what is known of a model."""
    config = configs.get(CONFIG, {})
    parts = [config, *(part for name in _PARTS if isinstance(part := config.get(name), dict))]
    named = config.get("architectures")
    method, quantisation = _quantisation(parts, configs.get(QUANTIZE, {}))
    return replace(
        base,
        architecture=word(named[0]) if isinstance(named, list) and named else None,
        layers=_first(parts, _LAYERS),
        context=_first(parts, _CONTEXT),
        quantised=method,
        bits=_bits(quantisation),
        group=_first([quantisation], _GROUP),
        symmetric=_truth(quantisation.get("sym")),
        reordered=_truth(quantisation.get("desc_act")),
    )


def _first(parts: Collection[Config], keys: tuple[str, ...]) -> int | None:
    values = (number(part.get(key)) for part in parts for key in keys)
    return next((value for value in values if value), None)


def _truth(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _quantisation(parts: Collection[Config], beside: Config) -> tuple[str | None, Config]:
    """Return how the weights were quantised, and the settings of that."""
    found = (part.get("quantization_config") for part in parts)
    settings = next((value for value in found if isinstance(value, dict) and value), None)
    if settings is None:
        return ("gptq", beside) if _first([beside], _BITS) else (None, {})
    method = word(settings.get("quant_method"))
    if method is None:
        loads = settings.get("load_in_4bit") or settings.get("load_in_8bit")
        method = "bitsandbytes" if loads else "unknown"
    return method.lower(), settings


def _bits(settings: Config) -> int | None:
    if settings.get("load_in_4bit") is True:
        return 4
    if settings.get("load_in_8bit") is True:
        return 8
    return _first([settings], _BITS)


def parameters_of(told: Mapping[str, int], bits: int | None) -> int | None:
    """Return how many weights there are, from how many numbers there are of each type.

    Quantisers pack several weights of so many ``bits`` into one number of 32 or 8 bits.
    """
    packed = {"I32": 32, "U8": 8}
    counts = (
        count * max(1, packed.get(dtype.upper(), 0) // bits) if bits else count
        for dtype, count in told.items()
    )
    return sum(counts) or None


def parameters_by_size(weights_bytes: int, config: Config, bits: int | None) -> int | None:
    """Estimate how many weights so many bytes hold, by the type that ``config.json`` names."""
    dtype = word(config.get("torch_dtype")) or word(config.get("dtype")) or "bfloat16"
    if bits and bits <= 8:
        return weights_bytes * 8 // bits or None
    return weights_bytes // _DTYPE_BYTES.get(dtype, 2) or None


def code_of(
    configs: Mapping[str, Config], names: Collection[str], pickles: tuple[str, ...] = ()
) -> Code:
    """Return what code a model's files ask for, out of the files that are there.

    ``OWNER/NAME--module.Class`` is code of another repository, which is fetched from the Hub when
    it is asked for.
    """
    entries: list[str] = []
    elsewhere: dict[str, None] = {}
    own = False
    for file, auto_class, reference in _references(configs):
        match = _REFERENCE.fullmatch(reference)
        repo = match["repo"] if match is not None else None
        if repo is not None:
            elsewhere[repo] = None
        own = own or repo is None
        if len(entries) < _MOST_ENTRIES:
            entries.append(f"{file}: {auto_class} = {shown(reference)}")
    return Code(
        files=tuple(sorted(name for name in names if name.endswith(".py"))) if own else (),
        entries=tuple(entries),
        elsewhere=tuple(elsewhere),
        pickles=pickles,
    )


def _references(configs: Mapping[str, Config]) -> Iterator[tuple[str, str, str]]:
    for file in WITH_CODE:
        auto_map = configs.get(file, {}).get("auto_map")
        if isinstance(auto_map, list):  # of a tokenizer, in an old form
            auto_map = {"AutoTokenizer": auto_map}
        if not isinstance(auto_map, dict):
            continue
        for auto_class, named in auto_map.items():
            for reference in named if isinstance(named, list) else [named]:
                if isinstance(reference, str):
                    yield file, shown(auto_class), reference


def shown(text: str) -> str:
    """Return a stranger's text for a message: printable, and not long."""
    plain = "".join(c if c.isprintable() else "\ufffd" for c in text[:_LONGEST_SHOWN])
    return plain + ("…" if len(text) > _LONGEST_SHOWN else "")
