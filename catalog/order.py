"""The numbers that builds have in the search index: those worth showing together lie together.

A full-text index gives what it finds in the order of the row numbers, and can begin and stop at
any number. So a number is made of what decides whether a build fits a board: SoC, toolkit, how
well these are known, and how heavy it is. What fits best is then found first, and the search can
stop when there is enough, however many builds have the word.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rkfetch.registry.model import Platform
from rkfetch.registry.versions import as_version

if TYPE_CHECKING:
    from rkfetch.registry.model import Artifact

_ID_BITS, _WEIGHT_BITS, _STRENGTH_BITS, _TOOLKIT_BITS = 40, 7, 2, 11
_WEIGHT_AT = _ID_BITS
_STRENGTH_AT = _WEIGHT_AT + _WEIGHT_BITS
_TOOLKIT_AT = _STRENGTH_AT + _STRENGTH_BITS
_PLATFORM_AT = _TOOLKIT_AT + _TOOLKIT_BITS

_PLATFORMS: dict[Platform | None, int] = {p: n for n, p in enumerate((None, *Platform))}
MOST_TOOLKITS = (1 << _TOOLKIT_BITS) - 1
"""Toolkits beyond so many different ones share the last number."""
HEAVIEST = (1 << _WEIGHT_BITS) - 1
_LIGHTEST_BYTES = 64 << 20
_STEPS = 8
"""Weights in a doubling: neighbours differ by 9 %."""

Span = tuple[int, int]
"""The first and the last of the numbers."""


def number(row_id: int, platform: Platform | None, toolkit: int, strength: int, weight: int) -> int:
    """Return the number of a build; ``toolkit`` and ``weight`` are 0 where unknown."""
    return (
        _PLATFORMS[platform] << _PLATFORM_AT
        | min(toolkit, MOST_TOOLKITS) << _TOOLKIT_AT
        | strength << _STRENGTH_AT
        | weight << _WEIGHT_AT
        | row_id
    )


def strength_of(number: int) -> int:
    """Return how well toolkit and platform of a build are known, from its number."""
    return number >> _STRENGTH_AT & ((1 << _STRENGTH_BITS) - 1)


def weight(size_bytes: int | None) -> int:
    """Return how heavy a build is in memory, in steps of 9 %; 0 if that is not known."""
    if not size_bytes:
        return 0
    steps = math.log2(max(size_bytes / _LIGHTEST_BYTES, 1)) * _STEPS
    return min(1 + int(steps), HEAVIEST)


def platform_span(platform: Platform | None) -> Span:
    """Return the numbers of all builds for a SoC; None for those of an unknown one."""
    first = _PLATFORMS[platform] << _PLATFORM_AT
    return first, first + (1 << _PLATFORM_AT) - 1


def span(platform: Platform | None, toolkit: int, strength: int, weights: tuple[int, int]) -> Span:
    """Return the numbers of the builds that have all this in common."""
    first = number(0, platform, toolkit, strength, weights[0])
    return first, number((1 << _ID_BITS) - 1, platform, toolkit, strength, weights[1])


def whole() -> Span:
    """Return the numbers of all builds."""
    return 0, (1 << 63) - 1


def toolkit_text(artifact: Artifact) -> str:
    """Write the toolkit versions that may have made a build: all that labels say, if only they do.

    Where the file itself tells, no label counts.
    """
    attribute = artifact.attribute("toolkit")
    labels = () if attribute.is_read else attribute.overruled
    versions = {v for text in attribute.contenders if (v := as_version(text))}
    versions |= {v for label in labels if (v := as_version(label.value))}
    return " ".join(str(version) for version in sorted(versions))
