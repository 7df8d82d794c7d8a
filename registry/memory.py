"""How much memory a build needs on the board: measured where it was, else estimated.

An estimate says that it is one. All of the KV cache is taken when a model is loaded
(airockchip/rknn-llm#352), so the context that the file was built for counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .model import Artifact, Quant

_BENCHMARK = "https://github.com/airockchip/rknn-llm/blob/main/benchmark.md"
_CONTEXT_NOTES = "https://github.com/begetan/rkllm-convert"

SYSTEM_BYTES = 300_000_000
"""What a headless system itself keeps."""
COMFORT_BYTES = 1_000_000_000
"""Room left below which a fit is called tight: server, tokenizer and page cache live there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryNeed:
    """Memory that a loaded build takes, in bytes."""

    size_bytes: int
    measured: bool
    source: str | None
    """Where the figure, or the rule of the estimate, can be looked up."""
    tokens_per_s: float | None = None
    """Speed from the same measurement."""


class Fit(str, Enum):
    """Whether a build fits in a board's memory."""

    FITS = "fits"
    TIGHT = "tight"
    TOO_LARGE = "too-large"
    UNKNOWN = "unknown"


def fit(need: MemoryNeed | None, memory_bytes: int | None) -> Fit:
    """Compare a need with the memory of a board."""
    if need is None or memory_bytes is None:
        return Fit.UNKNOWN
    if need.size_bytes + SYSTEM_BYTES > memory_bytes:
        return Fit.TOO_LARGE
    return Fit.TIGHT if need.size_bytes + COMFORT_BYTES > memory_bytes else Fit.FITS


def _bytes_per_parameter(quant: Quant, params_b: float) -> float:
    """Read off Rockchip's table of peak memory (benchmark.md 1.3.0); small models cost more."""
    small = params_b < 1
    return {
        "w4a16": 0.9 if small else 0.65,
        "w4a8": 0.9 if small else 0.65,
        "w8a8": 1.4 if small else 1.15,
        "fp16": 2.4 if small else 2.2,
    }[quant.family]


def _context_bytes(context: int | None) -> int:
    """Memory beyond the benchmark's small context: +1 GB at 8192, +3 GB at 16384 (measured)."""
    if context is None or context <= 4096:
        return 0
    return 1_000_000_000 if context <= 8192 else 3_000_000_000


def estimate(artifact: Artifact) -> MemoryNeed | None:
    """Estimate from the file's size, or else from parameters and quantisation.

    None where neither is known.
    """
    extra = _context_bytes(artifact.context)
    if artifact.size_bytes:
        # Weights are mapped as they lie; about a tenth comes on top (RK3576, benchmark.md 1.3.0).
        return MemoryNeed(
            size_bytes=int(artifact.size_bytes * 1.1) + 100_000_000 + extra,
            measured=False,
            source=_CONTEXT_NOTES if extra else _BENCHMARK,
        )
    if artifact.params_b is None or artifact.quant is None:
        return None
    weights = artifact.params_b * 1e9 * _bytes_per_parameter(artifact.quant, artifact.params_b)
    return MemoryNeed(
        size_bytes=int(weights) + extra,
        measured=False,
        source=_CONTEXT_NOTES if extra else _BENCHMARK,
    )
