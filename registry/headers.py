"""Read what a server writes into the head of an answer; what makes no sense is left out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_NUMBER = re.compile(r"[0-9]{1,19}")
_PLAIN = re.compile(r"[ -~]{1,200}")
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)")


def whole_number(text: str | None) -> int | None:
    """Read a count of bytes or seconds; None beyond 19 digits, which nothing has."""
    return int(text) if text is not None and _NUMBER.fullmatch(text) else None


def plain(text: object) -> str | None:
    """Return text that can be kept and sent back: printable ASCII of at most 200 characters."""
    return text if isinstance(text, str) and _PLAIN.fullmatch(text) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentRange:
    """Which part of a file an answer carries."""

    first: int
    last: int
    total: int | None

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> ContentRange | None:
        """Read ``Content-Range``; None if it is missing or makes no sense."""
        match = _CONTENT_RANGE.fullmatch(headers.get("content-range", "").strip())
        if match is None:
            return None
        first, last, total = int(match[1]), int(match[2]), whole_number(match[3])
        if last < first or (total is not None and last >= total):
            return None
        return cls(first=first, last=last, total=total)
