"""Name a build so that everybody's parser, ours first, reads back what it is.

The form is the one that most uploaders have come to: model, SoC, quantisation and toolkit version,
in this order, joined by hyphens.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rkfetch.registry.model import Platform, Quant
    from rkfetch.registry.versions import Version

_LONGEST_REPOSITORY = 96
"""What the Hub allows for a repository's name."""
_LONGEST_FILE = 140
"""Bytes; what encrypts names, such as eCryptfs, stops at 143."""


def repository_name(model: str, platform: Platform, quant: Quant, toolkit: Version) -> str:
    """Return ``Qwen2.5-1.5B-Instruct-rk3576-w4a16-v1.2.3-RKLLM``, without an owner."""
    ending = f"-{platform.value}-{quant}-v{toolkit}-RKLLM"
    return _plain(model, _LONGEST_REPOSITORY - len(ending)) + ending


def file_name(
    model: str, platform: Platform, quant: Quant, toolkit: Version, context: int | None
) -> str:
    """Return ``Qwen2.5-1.5B-Instruct-rk3576-w4a16-ctx4096-v1.2.3.rkllm``."""
    limit = f"-ctx{context}" if context else ""
    ending = f"-{platform.value}-{quant}{limit}-v{toolkit}.rkllm"
    return _plain(model, _LONGEST_FILE - len(ending)) + ending


def _plain(model: str, longest: int) -> str:
    """Return a model's name with nothing in it that the Hub refuses in names."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", model)
    name = re.sub(r"([.-])[.-]+", r"\1", name)
    return name[:longest].strip("-._") or "model"
