"""What a conversion takes of the machine that does it: memory, disk and time, as estimates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rkfetch.registry.model import Quant

    from .base import BaseModel

MEMORY_SOURCE = "https://github.com/begetan/rkllm-convert"
"""Qwen3-VL 2B, 4B, 8B, 32B at float32: 8, 16, 33.5 (measured) and 128 GB: 4 bytes a parameter."""
ENVIRONMENT_BYTES = 5_000_000_000
"""Image or virtual environment: 3 to 4 GB of packages without CUDA, and pip's own copies."""
ENVIRONMENT_CUDA_BYTES = 11_000_000_000
"""100 distributions of 3.25 GB (1.2.3, resolved against PyPI in November 2026), unpacked."""

_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
_OF_PROGRAMS = 1_000_000_000
_OF_VOCABULARY = 500_000_000
"""Embeddings stay at half precision: 0.47 GB in Qwen2.5-1.5B."""
_SECONDS_A_BILLION = {0: (30, 120), 1: (800, 1800)}
"""By optimisation level, of one CPU build: 1.5B in 20 to 31 min, 4B in 22 to 60, 8B in 2 to 4 h
at level 1; seconds at level 0."""
_SECONDS_A_BILLION_CUDA = (20, 60)
"""28 layers of a 1.5B model took 26 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """Estimates, in bytes and seconds."""

    memory_bytes: int
    """Together with swap, free while it runs."""
    output_bytes: int
    """The file."""
    work_bytes: int
    """The file twice: the toolkit stages its tensors in a temporary file."""
    download_bytes: int
    """Of the base model; 0 for one of this machine."""
    environment_bytes: int
    seconds: tuple[int, int]
    """At least, and at the most if nothing goes wrong; without installing and downloading."""


def output_bytes(parameters: int, quant: Quant) -> int:
    """Estimate the size of a file: within a tenth of published ones of 1.5B and more."""
    return int(parameters * quant.weight_bits / 8 * 1.05) + _OF_VOCABULARY


def estimate(base: BaseModel, quant: Quant, *, dtype: str, level: int, device: str) -> Needs:
    """Estimate what a conversion takes; of a model whose size is not known, from its weights."""
    parameters = base.parameters or base.weights_bytes // 2
    billions = parameters / 1e9
    output = output_bytes(parameters, quant)
    low, high = _SECONDS_A_BILLION_CUDA if device == "cuda" else _SECONDS_A_BILLION[level]
    return Needs(
        memory_bytes=parameters * _BYTES[dtype] + _OF_PROGRAMS,
        output_bytes=output,
        work_bytes=2 * output,
        download_bytes=base.download_bytes if base.missing_bytes is None else base.missing_bytes,
        environment_bytes=ENVIRONMENT_CUDA_BYTES if device == "cuda" else ENVIRONMENT_BYTES,
        seconds=(int(low * billions) + 10, int(high * billions) + 60),
    )
