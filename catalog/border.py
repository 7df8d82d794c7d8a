"""Parse what strangers wrote, once, where it enters: listings, rows of a database, evidence.

What makes no sense becomes None, which everywhere means unknown.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from rkfetch.registry.model import ATTRIBUTES, Platform, Quant
from rkfetch.registry.versions import as_version

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rkfetch.registry.model import Evidence

LONGEST_TEXT = 1024
HIDDEN = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
"""Characters that steer a terminal, or that nobody sees."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_USER = re.compile(r"(?<=://)[^/?#]*@")
_REVISION = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)*", re.ASCII)
_LARGEST = (1 << 63) - 1
"""What SQLite can hold."""


def digest(value: object) -> str | None:
    """Read a SHA-256 in hexadecimal; it ends up in paths, so nothing else passes."""
    text = value.lower() if isinstance(value, str) else ""
    return text if _SHA256.fullmatch(text) else None


def commit(value: object) -> str | None:
    """Read a commit in hexadecimal."""
    return value if isinstance(value, str) and _COMMIT.fullmatch(value) else None


def ref(value: object) -> str | None:
    """Read the name of a branch or a tag."""
    text = value if isinstance(value, str) and len(value) <= LONGEST_TEXT else ""
    return text if _REVISION.fullmatch(text) and ".." not in text else None


def count(value: object) -> int | None:
    """Read a size or another number that cannot be negative."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= _LARGEST else None


def text(value: object) -> str | None:
    """Read text that can be stored, and is of a length that somebody may want to read."""
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        return None
    if value.isascii():
        return value
    return value if not any("\ud800" <= c <= "\udfff" for c in value) else None


def place(address: str) -> str:
    """Return where something was seen, without the user and password that an address may hold."""
    return _USER.sub("", address)


def observation(item: Evidence) -> Evidence | None:
    """Read one observation into canonical spelling; None if its value means nothing to us."""
    value = (text(item.value) or "").strip()
    if item.attribute not in ATTRIBUTES or not value:
        return None
    try:
        read = _READERS.get(item.attribute, str)(value)
    except ValueError:
        return None
    return None if read is None else replace(item, value=str(read), place=place(item.place))


def _positive(value: str) -> int | None:
    return number if 0 < (number := int(value)) <= _LARGEST else None


def _number(value: str) -> str:
    return f"{float(value):g}"


_READERS: Mapping[str, Callable[[str], object]] = {
    "toolkit": as_version,
    "platform": lambda value: Platform(value.lower()).value,
    "quant": Quant.read,
    "context": _positive,
    "npu_cores": _positive,
    "opt_level": int,
    "hybrid_ratio": _number,
    "params_b": _number,
}
