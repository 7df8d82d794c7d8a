"""Know how long a file's tokenizer is from another file that begins with the same one.

Most builds share a dozen vocabularies, of 150,000 strings each: some 6 MB that say nothing about
a board, and that stand before other keys in some files. A file can be read over them once another
file with the same beginning was read through. What stands behind must then be keys again, as many
as the header counts, so that a wrong memory is found out.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .gguf import Decoder, Entry

_SAMPLE = 4096
"""Bytes of the first array that tell vocabularies apart: some 250 tokens."""
_WORTH_IT = 64 << 10
"""An array that is no longer than this is read faster than jumped over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Keys in a row that hold a tokenizer's arrays."""

    length: int
    """Bytes, from the first byte of the first such key to behind the last."""
    keys: int


class Vocabularies(Protocol):
    """Remembers spans. May be used by threads."""

    def recall(self, beginning: str) -> Span | None:
        """Return how long the keys are that begin so; None if that was not seen yet."""

    def learn(self, beginning: str, span: Span) -> None:
        """Remember it, in place of what was remembered before."""


def beginning(head: bytes, decoder: Decoder) -> str | None:
    """Return what tells the array apart that goes on behind a file's ``head``; None if none does.

    Toolkits write keys in different orders, so the keys before it are a part.
    """
    start = decoder.walking
    if start is None or start + _SAMPLE > len(head):
        return None
    keys = "\n".join(decoder.entries).encode()
    return hashlib.sha256(keys + b"\0" + head[start : start + _SAMPLE]).hexdigest()


def span_at(decoder: Decoder, start: int) -> Span | None:
    """Return the span of long arrays from an offset on, once they all were read."""
    if decoder.duplicates:
        return None
    run: list[Entry] = []
    found = None
    for entry in decoder.entries.values():
        if entry.start < start:
            continue
        run.append(entry)
        if entry.type == "arr" and entry.end - entry.start > _WORTH_IT:
            found = Span(length=entry.end - start, keys=len(run))
    return found
