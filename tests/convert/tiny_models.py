"""Folders that look like base models, for the stand-in toolkit, and Pythons to run it on."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import struct
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

LFS_POINTER = b"""version https://git-lfs.github.com/spec/v1
oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393
size 3087467144
"""


def write_model(
    folder: Path,
    *,
    architecture: str = "Qwen2ForCausalLM",
    standin: Mapping[str, Any] | None = None,
    **config: object,
) -> Path:
    """Write a model of two layers without content, and what the stand-in shall do with it."""
    folder.mkdir(parents=True, exist_ok=True)
    known: dict[str, object] = {
        "architectures": [architecture],
        "model_type": architecture.removesuffix("ForCausalLM").lower(),
        "hidden_size": 128,
        "num_attention_heads": 8,
        "num_key_value_heads": 8,
        "num_hidden_layers": 4,
        "max_position_embeddings": 32768,
        "torch_dtype": "bfloat16",
    }
    (folder / "config.json").write_text(json.dumps(known | config))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "tokenizer.model").write_bytes(b"\n\x05")
    (folder / "tokenizer_config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(safetensors(4096))
    if standin is not None:
        (folder / "standin.json").write_text(json.dumps(standin))
    return folder


def safetensors(size_bytes: int) -> bytes:
    """Return a file in the safetensors form with one tensor of zeros."""
    entry = {"dtype": "BF16", "shape": [size_bytes // 2], "data_offsets": [0, size_bytes]}
    header = json.dumps({"model.embed_tokens.weight": entry}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(size_bytes)


def add_code(folder: Path, code: str) -> Path:
    """Put Python with a model that the toolkit runs when it loads it."""
    (folder / "tokenization_own.py").write_text(code)
    entry = {"auto_map": {"AutoTokenizer": ["tokenization_own.OwnTokenizer", None]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(entry))
    return folder


def find_python(version: str) -> str | None:
    """Find an interpreter of a version, such as ``3.8``, on the path or in pyenv."""
    named = os.environ.get("RKFETCH_TEST_PYTHON")
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    kept = sorted(home.glob(f".pyenv/versions/{version}.*/bin/python{version}"))
    for path in filter(None, [named, shutil.which(f"python{version}"), *map(str, kept)]):
        asked = [path, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        # A shim of pyenv may be there and lead nowhere.
        said = subprocess.run(asked, capture_output=True, text=True, check=False)
        if said.stdout.strip() == version:
            return path
    return None
