"""Rockchip's own demos: what to type for a model. Pure.

Arguments as ``main`` in airockchip/rknn-llm reads them: ``llm_demo.cpp`` is the same in all
releases; the multimodal ``main.cpp`` got the encoder's cores in 1.2.1, the image's marks in 1.2.2
and the platform in 1.3.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rkfetch.registry.model import Platform
from rkfetch.registry.versions import Version

from .vision import family_of

if TYPE_CHECKING:
    from .served import Served

_IMAGE = "demo.jpg"
_CORES, _MARKS, _PLATFORM = Version("1.2.1"), Version("1.2.2"), Version("1.3.0")


def command(served: Served, model: str, encoder: str | None = None) -> list[str]:
    """Return the words of the command line; ``model`` and ``encoder`` are the files' paths.

    Where the runtime is not known, the newest release's demo is meant.
    """
    numbers = [str(served.answer_tokens), str(served.context)]
    if encoder is None:
        return ["llm_demo", model, *numbers]
    words = ["demo", _IMAGE, encoder, model, *numbers]
    runtime = served.runtime or _PLATFORM
    platform = Platform(served.platform) if served.platform else Platform.RK3576
    if runtime >= _CORES:
        words.append(str(platform.npu_cores))
    if runtime >= _PLATFORM:
        words.append(platform.value)
    family = family_of(served.model or served.file_name)
    if runtime >= _MARKS and family is not None:
        words += [family.marks.start, family.marks.end, family.marks.content]
    return words


def notes(served: Served) -> list[str]:
    """Return what a person should know of it."""
    if served.encoder is None:
        return []
    said = [f"{_IMAGE} stands for the picture that you ask about"]
    if family_of(served.model or served.file_name) is None:
        said.append("how its prompts mark an image is not known here: see the model's config")
    return said
