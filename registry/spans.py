"""Divide a file among connections: which bytes are here, who brings which, and what is left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LEAST_THEFT = 16 << 10
"""Fewer bytes are not worth a request."""
_LEAST_SHARE = 0.1
"""Nor is a smaller share of what is left: who loses it has to open a new connection."""


class Spans:
    """A set of byte positions, kept as few half-open intervals in order."""

    __slots__ = ("_spans",)

    def __init__(self, spans: Iterable[tuple[int, int]] = ()) -> None:
        self._spans: list[tuple[int, int]] = []
        for start, end in spans:
            self.add(start, end)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(self._spans)

    def __len__(self) -> int:
        return len(self._spans)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spans) and self._spans == other._spans

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Spans({self._spans})"

    @property
    def total(self) -> int:
        """How many bytes are in it."""
        return sum(end - start for start, end in self._spans)

    @property
    def prefix(self) -> int:
        """How many bytes from the very first on are in it."""
        return self._spans[0][1] if self._spans and self._spans[0][0] == 0 else 0

    @property
    def end(self) -> int:
        """The position after the last byte."""
        return self._spans[-1][1] if self._spans else 0

    def add(self, start: int, end: int) -> None:
        """Put an interval in."""
        if start >= end:
            return
        kept = []
        for span in self._spans:
            if span[1] < start or span[0] > end:
                kept.append(span)
            else:
                start, end = min(start, span[0]), max(end, span[1])
        kept.append((start, end))
        kept.sort()
        self._spans = kept

    def remove(self, start: int, end: int) -> None:
        """Take an interval out."""
        if start >= end:
            return
        kept = []
        for first, last in self._spans:
            if first < min(last, start):
                kept.append((first, min(last, start)))
            if max(first, end) < last:
                kept.append((max(first, end), last))
        self._spans = kept

    def gaps(self, size: int) -> list[tuple[int, int]]:
        """Return the intervals below ``size`` that are not in it."""
        found, at = [], 0
        for start, end in self._spans:
            if at < min(start, size):
                found.append((at, min(start, size)))
            at = max(at, end)
        if at < size:
            found.append((at, size))
        return found

    def within(self, start: int, end: int) -> list[tuple[int, int]]:
        """Return what of it lies between two positions."""
        cut = ((max(start, first), min(end, last)) for first, last in self._spans)
        return [(first, last) for first, last in cut if first < last]

    def copy(self) -> Spans:
        """Return another set with the same bytes."""
        other = Spans()
        other._spans = list(self._spans)
        return other


@dataclass(slots=True, eq=False, kw_only=True)
class Piece:
    """A stretch of the file that one connection brings, from its beginning to its end."""

    position: int
    """The next byte."""
    end: int
    """Where it ends; may be moved towards ``position`` while the bytes come."""
    writing: int = 0
    """So many bytes from ``position`` on are being written just now: nobody may take those over."""
    rate: float | None = None
    """Bytes per second lately; None if that is not known yet."""
    stalled: bool = False
    """Nothing has come for so long that others may take all of it."""

    @property
    def left(self) -> int:
        """Bytes that still have to come."""
        return self.end - self.position


class Division:
    """Who brings what of a file of known size. Not for several threads at once."""

    def __init__(self, size: int, done: Spans) -> None:
        self.size = size
        self.done = done
        self.held: list[Piece] = []

    @property
    def is_complete(self) -> bool:
        """Whether all bytes are here."""
        return self.done.prefix >= self.size

    def take(self, stride: int | None) -> Piece | None:
        """Hold the first bytes that nobody brings, at most ``stride``; None if there are none."""
        taken = self.done.copy()
        for piece in self.held:
            taken.add(piece.position, piece.end)
        gaps = taken.gaps(self.size)
        if not gaps:
            return None
        start, end = gaps[0]
        piece = Piece(position=start, end=end if stride is None else min(end, start + stride))
        self.held.append(piece)
        return piece

    def steal(
        self, stride: int, *, rate: float, least_s: float, answer_s: float = 0.0
    ) -> Piece | None:
        """Take bytes over from whoever would need longest for them; None if that gains nothing.

        ``rate`` is what the taker expects to bring, in bytes per second, after ``answer_s``
        seconds; who needs less than ``least_s`` seconds is left alone. A piece far longer than
        ``stride`` is only cut off there, so that what comes lies close to what is here already.
        """
        victim = max(self.held, key=lambda piece: _seconds(piece, rate), default=None)
        if victim is None or _seconds(victim, rate) < least_s:
            return None
        if victim.stalled:
            kept = 0
        elif victim.left > 2 * stride:
            kept = stride
        else:
            theirs = rate if victim.rate is None else victim.rate
            # Both end at the same time, though the taker begins later.
            share = theirs / (theirs + rate) if theirs + rate else 0.5
            kept = int((victim.left + rate * answer_s) * share)
            if victim.left - kept < max(LEAST_THEFT, victim.left * _LEAST_SHARE):
                return None
        victim.end = min(victim.end, victim.position + max(kept, victim.writing))
        return self.take(stride)

    def claim(self, piece: Piece, count: int) -> int:
        """Hold bytes that came for writing them; return how many still belong to the piece."""
        piece.writing = min(count, piece.left)
        return piece.writing

    def advance(self, piece: Piece, count: int) -> int:
        """Note that bytes came; return how many of them belonged to the piece."""
        count = min(count, piece.left)
        self.done.add(piece.position, piece.position + count)
        piece.position += count
        piece.writing = 0
        return count

    def release(self, piece: Piece) -> None:
        """Leave what is missing of a piece to others."""
        self.held.remove(piece)

    def lose(self, start: int, end: int) -> None:
        """Take note that bytes that were here are not to be trusted."""
        self.done.remove(start, end)


def _seconds(piece: Piece, rate: float) -> float:
    if piece.stalled and piece.left:
        return float("inf")
    return piece.left / max(1.0, rate if piece.rate is None else piece.rate)
