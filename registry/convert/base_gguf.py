"""Read the head of a ``.gguf`` file, and refuse what the toolkit does not take.

``load_gguf`` takes F16 and Q4_0 (Rockchip's guides of rkllm-toolkit, 1.1.0 to 1.3.0). Keys and
file types as in https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from rkfetch.registry.errors import ConversionUnavailableError, IntegrityError, UsageError
from rkfetch.registry.foreign import identify
from rkfetch.registry.gguf import PLAIN_MAGIC, Decoder

from .base import BaseModel
from .base_config import number, word
from .reading import FIRST_BYTES, readable

if TYPE_CHECKING:
    from pathlib import Path

_TYPES = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    32: "BF16",
}
"""``general.file_type``."""
_ACCEPTED = {"F16": None, "Q4_0": 4}
"""And with how many bits they are quantised."""
_BLOCKS = {0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 8: (32, 34), 14: (256, 210)}
"""By type of tensor: numbers in a block, and its bytes. Of the types in accepted files."""
_PIECE = 1 << 20
_PART = re.compile(r"-\d{5}-of-(\d{5})\.gguf$", re.IGNORECASE)


def look_at(path: Path) -> BaseModel:
    """Return what a ``.gguf`` file says of itself.

    Raises:
        ConversionUnavailableError: it is of a type that the toolkit does not take.
        UsageError: it is an adapter, or no language model, or cannot be read.
        IntegrityError: it is cut off, or no GGUF.
    """
    head, size_bytes = _head(path)
    if (kind := head.string("general.type")) not in {None, "model"}:
        raise UsageError(
            f"{path} is no model",
            cause=[f"it is of the type {_shown(kind)}"],
            hint="name the model that it belongs to",
        )
    parts = head.integer("split.count")
    if (parts or 1) > 1 or _PART.search(path.name):
        raise ConversionUnavailableError(
            f"{path} is one of {parts or 'several'} parts",
            cause=["the toolkit takes one file"],
            hint="put them together with `llama-gguf-split --merge FIRST OUTPUT`",
        )
    stated = head.integer("general.file_type")
    kind = _TYPES.get(stated, f"type {stated}") if stated is not None else "of no stated type"
    if kind not in _ACCEPTED:
        raise ConversionUnavailableError(
            f"{path} is {kind}; the toolkit takes {' and '.join(_ACCEPTED)}",
            hint="take a GGUF of one of these, or better the original model with safetensors",
        )
    _require_whole(path, head, size_bytes)
    architecture = word(head.string("general.architecture"))
    return BaseModel(
        name=re.sub(r"[^A-Za-z0-9_.+-]+", "-", path.stem)[:96].strip("-.") or "model",
        path=path.absolute(),
        architecture=architecture,
        parameters=number(sum(math.prod(tensor.dims) for tensor in head.tensors)) or None,
        weights_bytes=size_bytes,
        quantised=kind.lower() if _ACCEPTED[kind] else None,
        bits=_ACCEPTED[kind],
        group=32 if _ACCEPTED[kind] else None,
        layers=number(head.integer(f"{architecture}.block_count")) or None,
        context=number(head.integer(f"{architecture}.context_length")) or None,
        licence=word(head.string("general.license")),
    )


def _head(path: Path) -> tuple[Decoder, int]:
    """Read keys and tensor directory."""
    with readable(path), path.open("rb") as file:
        size_bytes = path.stat().st_size
        first = file.read(_PIECE)
        decoder = Decoder(size_bytes, masked=False)
        decoder.feed(first)
        while not decoder.done:
            file.seek(decoder.wants)
            if not (piece := file.read(_PIECE)):
                decoder.finish()
            else:
                decoder.feed(piece)
    if not first.startswith(PLAIN_MAGIC):
        foreign = identify(first[:FIRST_BYTES], size_bytes)
        raise _broken(path, foreign.explanation if foreign is not None else "it is an .rkllm file")
    if (why := decoder.cut or decoder.refusal or decoder.unknown) is not None:
        raise _broken(path, why)
    return decoder, size_bytes


def _require_whole(path: Path, head: Decoder, size_bytes: int) -> None:
    """Check that the file has its last tensor, as far as the size of its type is known."""
    end = head.data_start or 0
    for tensor in head.tensors:
        numbers, block_bytes = _BLOCKS.get(tensor.type, (1, 0))
        length = math.prod(tensor.dims) // numbers * block_bytes
        end = max(end, (head.data_start or 0) + tensor.offset + length)
    if end > size_bytes:
        raise _broken(path, f"cut off: {end:,} bytes are announced, {size_bytes:,} are there")


def _broken(path: Path, why: str) -> IntegrityError:
    return IntegrityError(f"{path} is no whole GGUF file", cause=[why], hint="download it again")


def _shown(text: str | None) -> str:
    return word(text) or "unknown"
