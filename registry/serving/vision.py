"""How a family of vision models marks an image in its prompt, and how large its encoder's is.

Marks: Rockchip's ``quickstart`` command lines (airockchip/rknn-llm, README.md of 1.3.0) and
rkllama's README for MiniCPM-V. Sizes: defaults of Rockchip's ``export_vision*.py``; an encoder
that was exported for another one says so in its name at best.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SIZES = re.compile(r"(?<!\d)(\d{3,4})x(\d{3,4})(?!\d)|[-_](224|336|392|448|512|672|896)(?=[-_.])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """What stands before, after and for an image in the prompt."""

    start: str
    end: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What the encoder makes of a picture."""

    width: int
    """Pixels."""
    height: int
    tokens: int
    is_named: bool
    """Whether the size is in the encoder's name, not just the usual one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What the models of one family have in common."""

    marks: Marks
    side: int | None = None
    """Pixels of the usual picture."""
    patch: int | None = None
    """Pixels along one side that become one token."""
    tokens: int | None = None
    """Where their number does not follow from the size."""


_QWEN = Marks(start="<|vision_start|>", end="<|vision_end|>", content="<|image_pad|>")
_FAMILIES = (
    (r"qwen-?2(\.5)?-?vl", Family(marks=_QWEN, side=392, patch=28)),
    (r"qwen-?3(\.5|-?vl)", Family(marks=_QWEN, side=448, patch=32)),
    (
        r"internvl-?3",
        Family(
            marks=Marks(start="<img>", end="</img>", content="<IMG_CONTEXT>"), side=448, patch=28
        ),
    ),
    (
        r"minicpm-?v",
        Family(marks=Marks(start="<image>", end="</image>", content="<unk>"), side=448, tokens=64),
    ),
    (
        r"deepseek-?ocr",
        Family(marks=Marks(start="", end="", content="<\uff5c\u2581pad\u2581\uff5c>")),
    ),
)


def family_of(model: str) -> Family | None:
    """Find the family by the model's name; None if nothing is known of it."""
    name = model.rpartition("/")[2].lower().replace("_", "-")
    return next((family for pattern, family in _FAMILIES if re.search(pattern, name)), None)


def picture_of(family: Family, encoder: str) -> Picture | None:
    """Say how large a picture an encoder takes; None where that is not known."""
    found = _SIZES.search(encoder.lower())
    if found is not None:
        width, height = int(found[1] or found[3]), int(found[2] or found[3])
    elif family.side is not None:
        width = height = family.side
    else:
        return None
    tokens = family.tokens if family.patch is None else width * height // family.patch**2
    if not tokens:
        return None
    return Picture(width=width, height=height, tokens=tokens, is_named=found is not None)
