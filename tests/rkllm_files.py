"""Writer of synthetic ``.rkllm`` files, for tests only.

They follow what is publicly known of toolkit 1.1 and later: a masked GGUF head, ordinary
tensors, a program block, packed matrices, and a plain trailer. No vendor tool made them, no
runtime would run them.
"""

from __future__ import annotations

import random
import struct
from typing import TYPE_CHECKING

from rkfetch.registry.gguf import mask

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

TYPES = {
    "u8": 0,
    "i8": 1,
    "u16": 2,
    "i16": 3,
    "u32": 4,
    "i32": 5,
    "f32": 6,
    "bool": 7,
    "str": 8,
    "arr": 9,
    "u64": 10,
    "i64": 11,
    "f64": 12,
}
FORMATS = {
    "u8": "<B",
    "i8": "<b",
    "u16": "<H",
    "i16": "<h",
    "u32": "<I",
    "i32": "<i",
    "f32": "<f",
    "bool": "<B",
    "u64": "<Q",
    "i64": "<q",
    "f64": "<d",
}
PLATFORM_CODES = {"rk3588": 0, "rk3576": 1, "rk3562": 2, "rv1126b": 3}
"""Only the first two were seen in files; the others are a guess from the order of support."""
MAGIC = mask(b"GGUF")
ALIGNMENT = 32


def text(value: str | bytes) -> bytes:
    """Encode one string: its length, and its bytes under the mask."""
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + mask(raw)


def number(kind: str, value: float) -> bytes:
    """Encode one number."""
    return struct.pack(FORMATS[kind], value)


def kv(key: str | bytes, kind: str, value: object) -> bytes:
    """Encode one key with a value that is no array."""
    if isinstance(value, (str, bytes)):
        body = text(value)
    else:
        assert isinstance(value, (int, float))
        body = number(kind, value)
    return text(key) + struct.pack("<I", TYPES[kind]) + body


def kv_array(key: str, element: str, values: Sequence[object]) -> bytes:
    """Encode one key with an array."""
    head = text(key) + struct.pack("<IIQ", TYPES["arr"], TYPES[element], len(values))
    if element == "str":
        return head + b"".join(text(str(v)) for v in values)
    return head + struct.pack(f"<{len(values)}{FORMATS[element][1]}", *values)


def tensor(name: str, dims: Sequence[int], kind: int, offset: int) -> bytes:
    """Encode one entry of the tensor directory."""
    shape = struct.pack(f"<I{len(dims)}Q", len(dims), *dims)
    return text(name) + shape + struct.pack("<IQ", kind, offset)


def container(
    keys: Iterable[bytes],
    tensors: Iterable[bytes] = (),
    *,
    version: int = 3,
    alignment: int = ALIGNMENT,
) -> bytes:
    """Put keys and tensor entries into a head that ends where the data starts."""
    keys, tensors = list(keys), list(tensors)
    head = MAGIC + struct.pack("<IQQ", version, len(tensors), len(keys))
    head += b"".join(keys) + b"".join(tensors)
    return head + bytes(-len(head) % alignment)


def tokenizer_keys(vocabulary: int, eos_type: str) -> list[bytes]:
    """Write a byte-pair tokenizer whose vocabulary takes about as many bytes as Qwen's."""
    tokens = [f"tok{n:06d}xx" for n in range(vocabulary)]
    merges = [f"tok{n:05d} xx" for n in range(vocabulary)]
    eos_key, eos = "tokenizer.ggml.eos_token_id", vocabulary - 1
    if eos_type in FORMATS:
        eos_kv = kv(eos_key, eos_type, eos)
    else:
        eos_kv = kv_array(eos_key, eos_type.removeprefix("arr "), [eos])
    return [
        kv("tokenizer.ggml.model", "str", "gpt2"),
        kv("tokenizer.ggml.pre", "str", "qwen2"),
        kv_array("tokenizer.ggml.tokens", "str", tokens),
        kv_array("tokenizer.ggml.token_type", "i32", [1] * vocabulary),
        kv_array("tokenizer.ggml.merges", "str", merges),
        kv("tokenizer.ggml.bos_token_id", "u32", 0),
        eos_kv,
    ]


def _rk_keys(
    *,
    toolkit: str | None,
    platform_code: int | None,
    npu_cores: int | None,
    max_context: int | None,
    integer: str,
) -> list[bytes]:
    keys = []
    if platform_code is not None:
        keys.append(kv("rkllm.platform", "i32", platform_code))
    if npu_cores is not None:
        keys.append(kv("rkllm.core_num", integer, npu_cores))
    if toolkit is not None:
        keys.append(kv("rkllm.version", "str", toolkit))
    if max_context is not None:
        keys.append(kv("rkllm.max_context", integer, max_context))
    return [*keys, kv("rkllm.has_embedding", "bool", 1)]


def _directory(layers: int, file_type: int) -> list[bytes]:
    """Entries whose matrices repeat the current offset, as toolkit 1.3.1 writes them."""
    entries = [tensor("token_embd.weight", (16, 32), 1, 0)]
    offset = 1024
    for layer in range(layers):
        entries += (
            tensor(f"blk.{layer}.{part}.weight", (16, 16), file_type, offset)
            for part in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_up", "ffn_down")
        )
        entries.append(tensor(f"blk.{layer}.attn_norm.weight", (16,), 0, offset))
        offset += 64
    return [*entries, tensor("output_norm.weight", (16,), 0, offset)]


_MOST_AT_ONCE = 1 << 27
"""Bytes that `random` makes in one go; it counts bits, with 32 of them."""


def _data(layers: int, body_bytes: int, seed: int) -> bytes:
    """Ordinary tensors, the program block and matrices; ``body_bytes``, or the least needed."""
    noise = random.Random(seed)
    ordinary = noise.randbytes(1024 + 64 * (layers + 1))
    sections = (128, 80, 48)
    program = struct.pack("<QQ3Q", 0x4D4C4C52, 1, *sections).ljust(256, b"\0")
    program += b"\x10\0\0\0RKRK".ljust(sum(sections), b"\1")
    rest = max(64, body_bytes - len(ordinary) - len(program))
    parts = [_MOST_AT_ONCE] * (rest // _MOST_AT_ONCE) + [rest % _MOST_AT_ONCE]
    return b"".join([ordinary, program, *map(noise.randbytes, parts)])


def rkllm_bytes(
    *,
    toolkit: str = "1.2.3",
    platform: str = "rk3576",
    npu_cores: int | None = 2,
    max_context: int | None = 4096,
    architecture: str = "qwen2",
    file_type: int = 34,
    eos_type: str = "u32",
    keys_last: bool = False,
    vocabulary: int = 64,
    body_bytes: int = 65536,
    version_key: bool = True,
    trailer: bool = True,
    seed: int = 0,
    platform_code: int | None = -1000,
    trailer_toolkit: str | None = None,
    after_trailer: bytes = b"",
    integer: str = "u32",
    extra: Sequence[bytes] = (),
) -> bytes:
    """Build a whole file as toolkit 1.1 or later would, the same bytes for the same arguments.

    ``keys_last`` puts the ``rkllm.*`` keys behind the tokenizer's arrays. ``eos_type`` is
    ``u32``, ``i32`` or ``arr i32``. ``platform_code`` overrides the code of ``platform``, None
    leaves the key out. ``trailer_toolkit`` lets the trailer contradict the key. ``extra`` are
    further keys, encoded by `kv`. ``body_bytes`` is the size of what follows the head.
    """
    layers = 2
    head = [
        kv("general.architecture", "str", architecture),
        kv("general.name", "str", architecture),
        kv(f"{architecture}.block_count", "u32", layers),
        kv(f"{architecture}.context_length", "u32", 32768),
        kv(f"{architecture}.embedding_length", "u32", 16),
        kv("general.file_type", "u32", file_type),
        kv("general.alignment", "u32", ALIGNMENT),
        *extra,
    ]
    rk = _rk_keys(
        toolkit=toolkit if version_key else None,
        platform_code=PLATFORM_CODES[platform] if platform_code == -1000 else platform_code,
        npu_cores=npu_cores,
        max_context=max_context,
        integer=integer,
    )
    tokenizer = tokenizer_keys(vocabulary, eos_type)
    keys = [*head, *tokenizer, *rk] if keys_last else [*head, *rk, *tokenizer]
    tail = f"rkllm-toolkit version: {trailer_toolkit or toolkit}".encode() if trailer else b""
    body = _data(layers, body_bytes, seed)
    return container(keys, _directory(layers, file_type)) + body + tail + after_trailer
