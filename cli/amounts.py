"""Read the amounts that users give to options: bytes and spans of time."""

from __future__ import annotations

import re

from rkfetch.registry.errors import UsageError

_BYTES = re.compile(r"([0-9]{1,12})\s*([kmgt]?)i?b?", re.IGNORECASE)
_SECONDS = re.compile(r"([0-9]{1,6})\s*(s|m|min|h)?", re.IGNORECASE)
_SIZES = {"": 1, "k": 1000, "m": 1_000_000, "g": 1_000_000_000, "t": 1_000_000_000_000}
_SPANS = {None: 1, "s": 1, "m": 60, "min": 60, "h": 3600}


def parse_bytes(text: str) -> int:
    """Read ``50M`` or ``2GB``; units are powers of 1000.

    Raises:
        UsageError: it is no size.
    """
    match = _BYTES.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            f"'{text}' is not a size", cause=["a size is a number with a unit, like 500k or 50M"]
        )
    return int(match[1]) * _SIZES[match[2].lower()]


def parse_seconds(text: str) -> float:
    """Read ``90s``, ``10m`` or ``1h``; a bare number is seconds.

    Raises:
        UsageError: it is no span of time.
    """
    match = _SECONDS.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            f"'{text}' is not a span of time", cause=["one is written like 90s, 10m or 1h"]
        )
    return int(match[1]) * _SPANS[match[2].lower() if match[2] else None]
