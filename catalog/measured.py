"""Look up how much memory a build took and how fast it was, where somebody measured it.

The figures are published ones (``data/measured.csv``); they are never changed into each other.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from rkfetch.registry.memory import MemoryNeed
from rkfetch.registry.model import Quant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rkfetch.registry.model import Platform

_FILE = Path(__file__).with_name("data") / "measured.csv"
_PAGES = {
    "airockchip/rknn-llm benchmark.md (v1.3.0)": (
        "https://github.com/airockchip/rknn-llm/blob/release-v1.3.0/benchmark.md"
    ),
    "Hanzo-Huang/rkllm-docker benchmarks/rk3576.csv": (
        "https://github.com/Hanzo-Huang/rkllm-docker/blob/main/benchmarks/rk3576.csv"
    ),
}
_CHAT = re.compile(r"-(?:instruct|chat|it)(?=-|$)|-v\d+\.\d+$")
_TABLE_NAMES = {
    "deepseek-ocr": "deepseekocr-3b",
    "gemma3n-e2b": "gemma3n-2b",
    "phi3-mini-4k": "phi3-3.8b",
}
"""Names that Rockchip's table writes otherwise."""
_Key = tuple[str, str, Quant]


_GROUPS_TAKE = 1.1
"""Grouped quantisations take up to a tenth more than plain ones (benchmark.md 1.3.0, RK3576)."""


@lru_cache(maxsize=4096)
def measured_memory(model: str, platform: Platform, quant: Quant) -> MemoryNeed | None:
    """Return the figure for this model, platform and quantisation; None where nobody measured.

    Where only the quantisation without groups was measured, the figure is an estimate from that.
    """
    need = _measured(model, platform, quant)
    if need is not None or not quant.group:
        return need
    plain = _measured(model, platform, replace(quant, group=0))
    if plain is None:
        return None
    size_bytes = round(plain.size_bytes * _GROUPS_TAKE)
    return replace(plain, size_bytes=size_bytes, measured=False, tokens_per_s=None)


def _measured(model: str, platform: Platform, quant: Quant) -> MemoryNeed | None:
    """Return the figure for exactly this build.

    Weights of one size take the same memory whether they were trained to chat or not, so the
    ending that says so may be missing. A figure for the model's full name is preferred, then the
    one that is higher.
    """
    name = _plain(model)
    for key in (name, _CHAT.sub("", name), series(model)):
        found = _figures().get((key, platform.value, quant))
        if found is not None:
            return found
    return None


def series(model: str) -> str:
    """Return what models have in common that one figure may stand for, however they are spelt."""
    short = _CHAT.sub("", _plain(model))
    return _TABLE_NAMES.get(short, short)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """What somebody measured of one model in one quantisation on one SoC."""

    model: str
    """As the table that it is from calls it, with its size."""
    platform: str
    quant: Quant
    need: MemoryNeed


@lru_cache(maxsize=1)
def measured_figures() -> Sequence[Figure]:
    """Return all figures that are published, in the order of their tables."""
    figures = []
    with _FILE.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            quant = Quant.read(row["quant"])
            if quant is None:
                continue
            need = MemoryNeed(
                size_bytes=round(float(row["memory_mb"]) * 1e6),
                measured=True,
                source=_PAGES[row["source"]],
                tokens_per_s=float(row["tokens_per_s"]),
            )
            named = _plain(row["params"]) in _plain(row["model"])
            model = row["model"] if named else f"{row['model']}-{row['params']}"
            figures.append(Figure(model=model, platform=row["platform"], quant=quant, need=need))
    return figures


@lru_cache(maxsize=1)
def _figures() -> Mapping[_Key, MemoryNeed]:
    figures: dict[_Key, MemoryNeed] = {}
    for figure in measured_figures():
        name = _plain(figure.model)
        for spelling in {name, _CHAT.sub("", name)}:
            slot = (spelling, figure.platform, figure.quant)
            if slot not in figures or figures[slot].size_bytes < figure.need.size_bytes:
                figures[slot] = figure.need
    return figures


def _plain(name: str) -> str:
    """Fold what differs between spellings of one name."""
    folded = re.sub(r"(?<=\d)_(?=\d+b)", ".", name.lower()).replace("_", "-")
    folded = re.sub(r"\(.*?\)", "", folded)
    return re.sub(r"^(gemma|phi)-(?=\d)", r"\1", folded)
