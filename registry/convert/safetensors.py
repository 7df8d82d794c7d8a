"""Read the head of a ``.safetensors`` file: is it whole, and how many numbers has it.

An unsigned 64-bit length, a JSON object of that length, and the data that its ``data_offsets``
cover without a gap (https://github.com/huggingface/safetensors#format).
"""

from __future__ import annotations

import json
import math
import struct
from collections import Counter
from typing import TYPE_CHECKING, Any

from rkfetch.registry.foreign import identify

from .reading import FIRST_BYTES, readable, torn_weights

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LONGEST_HEADER = 100_000_000
"""Bytes; the format's own limit."""


def require_whole(path: Path) -> Mapping[str, int]:
    """Check that a file has all of its data; return how many numbers of each type it has.

    Raises:
        IntegrityError: it is cut off, or is something else.
        UsageError, RkfetchError: it cannot be read, as `readable`.
    """
    with readable(path), path.open("rb") as file:
        size_bytes = path.stat().st_size
        first = file.read(FIRST_BYTES)
        length = struct.unpack("<Q", first[:8])[0] if len(first) >= 8 else 0
        fits = 2 <= length <= min(LONGEST_HEADER, size_bytes - 8)
        header = (
            first[8 : 8 + length] + file.read(max(0, length - (FIRST_BYTES - 8))) if fits else b""
        )
    told = _header(header)
    if told is None:
        raise torn_weights(path, _what_instead(first, size_bytes, length))
    counts, data_bytes = told
    there = size_bytes - 8 - length
    if there != data_bytes:
        missing = f"{data_bytes:,} bytes of data are announced, {there:,} are there"
        raise torn_weights(path, f"cut off: {missing}" if there < data_bytes else missing)
    return counts


def _header(text: bytes) -> tuple[Mapping[str, int], int] | None:
    """Return the numbers by their type, and where the data ends; None if it is no header."""
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict):
        return None
    counts: Counter[str] = Counter()
    end = 0
    for name, tensor in told.items():
        if name == "__metadata__":
            continue
        read = _tensor(tensor)
        if read is None:
            return None
        dtype, numbers, data_end = read
        counts[dtype] += numbers
        end = max(end, data_end)
    return counts, end


def _tensor(told: Any) -> tuple[str, int, int] | None:
    """Return the type of a tensor, how many numbers it has, and where its data ends."""
    if not isinstance(told, dict):
        return None
    dtype, shape, offsets = (
        told.get("dtype"),
        _counts(told.get("shape")),
        _counts(told.get("data_offsets")),
    )
    if not isinstance(dtype, str) or shape is None or offsets is None or len(offsets) != 2:
        return None
    return dtype[:20], math.prod(shape), offsets[1]


def _counts(value: Any) -> list[int] | None:
    is_short = isinstance(value, list) and len(value) <= 16
    return value if is_short and all(map(_is_count, value)) else None


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


def _what_instead(head: bytes, size_bytes: int, length: int) -> str:
    if size_bytes > 8 and head[8:9] == b"{" and length > size_bytes - 8:
        return f"cut off inside its header: {length:,} bytes of it are announced"
    foreign = identify(head, size_bytes)
    known = foreign is not None and foreign.format not in {"unknown", "truncated"}
    return foreign.explanation if foreign is not None and known else "no safetensors file"
