"""How much memory a build needs on the board: measured where it was, else estimated.

An estimate says that it is one. All of the KV cache is taken when a model is loaded
(airockchip/rknn-llm#352), so the context that the file was built for counts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .model import Artifact

_FIGURES = "https://github.com/Hanzo-Huang/rkllm-docker/blob/main/benchmarks/rk3576.csv"
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


_BYTES_PER_PARAMETER = {"w4a16": 0.8, "w4a8": 0.8, "w8a8": 1.2, "fp16": 2.2}
_BESIDE_WEIGHTS = 400_000_000
"""Together they give the figures of rkllm-docker's rk3576.csv for 1.5B to 4B within 0.3 GB; the
figures of Rockchip's benchmark.md, taken with 128 tokens of context, are lower."""


def for_context(need: MemoryNeed, context: int | None) -> MemoryNeed:
    """Add what a larger context than the measured one takes; the sum is an estimate."""
    extra = _context_bytes(context)
    if not extra:
        return need
    return replace(need, size_bytes=need.size_bytes + extra, measured=False, source=_CONTEXT_NOTES)


def _context_bytes(context: int | None) -> int:
    """Memory beyond the benchmark's small context: +1 GB at 8192, +3 GB at 16384 (measured)."""
    if context is None or context <= 4096:
        return 0
    return 1_000_000_000 if context <= 8192 else 3_000_000_000


def estimate(artifact: Artifact) -> MemoryNeed | None:
    """Estimate from the file's size, or else from parameters and quantisation.

    None where neither is known.
    """
    if artifact.size_bytes:
        weights = float(artifact.size_bytes)
    elif artifact.params_b is not None and artifact.quant is not None:
        weights = artifact.params_b * 1e9 * _BYTES_PER_PARAMETER[artifact.quant.family]
    else:
        return None
    need = MemoryNeed(size_bytes=int(weights) + _BESIDE_WEIGHTS, measured=False, source=_FIGURES)
    return for_context(need, artifact.context)
