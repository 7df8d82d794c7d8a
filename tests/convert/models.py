"""Tiny base models, for tests only: the layout is real, the numbers are random."""

from __future__ import annotations

import json
import math
import random
import struct
from typing import TYPE_CHECKING, Any

from rkllm_files import TYPES, number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from hub.repos import Gate, Repo
    from hub.server import Hub

REPO = "Qwen/Qwen2.5-Tiny-Instruct"
BYTES = {"F32": 4, "F16": 2, "BF16": 2, "I32": 4, "U8": 1}
CONFIG = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "max_position_embeddings": 32768,
    "torch_dtype": "bfloat16",
    "vocab_size": 512,
}
TENSORS = {
    "model.embed_tokens.weight": ("BF16", (512, 64)),
    "model.layers.0.mlp.up_proj.weight": ("BF16", (256, 64)),
    "model.layers.1.mlp.up_proj.weight": ("BF16", (256, 64)),
    "model.norm.weight": ("BF16", (64,)),
}
PARAMETERS = 512 * 64 + 2 * 256 * 64 + 64


def safetensors_bytes(
    tensors: Mapping[str, tuple[str, Sequence[int]]], *, seed: int = 0, pad_bytes: int = 0
) -> bytes:
    """Write a ``.safetensors`` file; ``pad_bytes`` makes it larger by one tensor of bytes."""
    told: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    padded = {**tensors, **({"padding": ("U8", (pad_bytes,))} if pad_bytes else {})}
    for name, (dtype, shape) in padded.items():
        start, end = end, end + BYTES[dtype] * math.prod(shape)
        told[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
    header = json.dumps(told).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + random.Random(seed).randbytes(end)


def tiny_model(*, pad_bytes: int = 0, **config: Any) -> dict[str, bytes]:
    """Return the files of a model with one file of weights; a None in ``config`` removes a key."""
    merged = {key: value for key, value in {**CONFIG, **config}.items() if value is not None}
    return {
        "config.json": json.dumps(merged).encode(),
        "generation_config.json": b'{"do_sample": true}',
        "tokenizer.json": b'{"version": "1.0", "model": {"type": "BPE", "vocab": {}}}',
        "tokenizer_config.json": b'{"tokenizer_class": "Qwen2Tokenizer"}',
        "merges.txt": b"#version: 0.2\n",
        "model.safetensors": safetensors_bytes(TENSORS, pad_bytes=pad_bytes),
    }


def sharded(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return a model with its weights in two parts and an index."""
    names = list(TENSORS)
    parts = {f"model-0000{n}-of-00002.safetensors": names[n - 1 :: 2] for n in (1, 2)}
    index = {name: part for part, inside in parts.items() for name in inside}
    shards = {
        part: safetensors_bytes({name: TENSORS[name] for name in inside}, seed=n)
        for n, (part, inside) in enumerate(parts.items())
    }
    others = {name: data for name, data in files.items() if name != "model.safetensors"}
    told = {"metadata": {"total_size": 2 * PARAMETERS}, "weight_map": index}
    return {**others, **shards, "model.safetensors.index.json": json.dumps(told).encode()}


def pickled(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return a model with its weights in PyTorch's old form."""
    others = {name: data for name, data in files.items() if name != "model.safetensors"}
    return {
        **others,
        "pytorch_model.bin": b"PK\x03\x04" + random.Random(1).randbytes(2 * PARAMETERS),
    }


def with_code(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return a model that brings its own Python."""
    config = json.loads(files["config.json"])
    config["auto_map"] = {
        "AutoConfig": "configuration_tiny.TinyConfig",
        "AutoModelForCausalLM": "modeling_tiny.TinyForCausalLM",
    }
    return {
        **files,
        "config.json": json.dumps(config).encode(),
        "configuration_tiny.py": b"class TinyConfig: ...\n",
        "modeling_tiny.py": b"class TinyForCausalLM: ...\n",
    }


def serve(
    hub: Hub, files: Mapping[str, bytes], repo_id: str = REPO, *, gated: Gate = False
) -> Repo:
    """Publish a model; large files and the tokenizer go to Git LFS, as on the Hub."""
    card = "---\nlicense: apache-2.0\n---\n# A tiny model\n"
    repo = hub.add_repo(repo_id, card=card, gated=gated)
    large = {name for name in files if name.endswith((".safetensors", ".bin", "tokenizer.json"))}
    repo.add_files({name: files[name] for name in sorted(large)})
    repo.add_files({name: data for name, data in files.items() if name not in large}, lfs=False)
    return repo


def write(files: Mapping[str, bytes], folder: Path) -> Path:
    """Put a model into a folder of this machine."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def gguf_bytes(
    *,
    file_type: int | None = 1,
    tensors: Mapping[str, tuple[int, Sequence[int]]] | None = None,
    **keys: str | int,
) -> bytes:
    """Write a ``.gguf`` file; ``__`` in a key stands for its dot."""
    named: dict[str, str | int] = {
        "general.architecture": "qwen2",
        "qwen2.block_count": 2,
        "qwen2.context_length": 4096,
        **{name.replace("__", "."): value for name, value in keys.items()},
    }
    if file_type is not None:
        named["general.file_type"] = file_type
    if tensors is None:
        tensors = {"token_embd.weight": (1, (64, 512)), "output_norm.weight": (0, (64,))}
    directory, offset = b"", 0
    for name, (kind, dims) in tensors.items():
        directory += _text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset)
        in_block, block_bytes = {0: (1, 4), 1: (1, 2), 2: (32, 18)}[kind]
        offset += math.prod(dims) // in_block * block_bytes
        offset += -offset % 32
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(named))
    for key, value in named.items():
        if isinstance(value, str):
            head += _text(key) + struct.pack("<I", TYPES["str"]) + _text(value)
        else:
            head += _text(key) + struct.pack("<I", TYPES["u32"]) + number("u32", value)
    head += directory
    return head + bytes(-len(head) % 32) + bytes(offset)


def _text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()
