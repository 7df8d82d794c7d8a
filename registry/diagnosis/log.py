"""Read a log for a diagnosis: the loads in it, and every line whose meaning is known.

However long a log is, so much of its beginning and of its end is read: what went wrong first, and
what went wrong last. Any bytes are borne.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, BinaryIO

from rkfetch.registry.runtime_log import clean_lines, read_log

from .symptoms import SYMPTOMS, is_worth_reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rkfetch.registry.runtime_log import Load

    from .symptoms import Symptom

HEAD_BYTES = TAIL_BYTES = 2 << 20
_CHUNK_BYTES = 1 << 16
_MOST_HITS = 20
"""Lines of one symptom that are kept of one load."""
_QUOTED = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A known line."""

    symptom: Symptom
    line: int
    """From 1, as an editor counts."""
    quote: str
    """The line, as the log has it: escape it before showing it."""
    values: Mapping[str, str]
    """What the line tells: ``version``, ``size``, ``asked``, ``limit``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Consecutive bytes of a log."""

    data: bytes
    lines_before: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """What was read in a log."""

    loads: tuple[Load, ...]
    hits: tuple[Hit, ...]
    lines: int
    """Lines in all, those included that were not read."""
    left_out_bytes: int = 0

    def of_load(self, index: int) -> tuple[Hit, ...]:
        """Return the hits of one load, up to where the next one begins; -1 is before the first."""
        begin = self.loads[index].line if index >= 0 else 0
        end = self.loads[index + 1].line if index + 1 < len(self.loads) else None
        return tuple(h for h in self.hits if h.line >= begin and (end is None or h.line < end))


@dataclass(slots=True)
class _Tail:
    """The last bytes of a stream, by chunks, and the lines of what went before."""

    chunks: deque[bytes] = field(default_factory=deque)
    size: int = 0
    lines_out: int = 0
    bytes_out: int = 0

    def add(self, chunk: bytes) -> None:
        self.chunks.append(chunk)
        self.size += len(chunk)
        while self.size - len(self.chunks[0]) >= TAIL_BYTES:
            out = self.chunks.popleft()
            self.size -= len(out)
            self.lines_out += out.count(b"\n")
            self.bytes_out += len(out)


def read_pieces(stream: BinaryIO) -> tuple[tuple[Piece, ...], int]:
    """Read a log to its end, and keep its beginning and its end; also the bytes left out.

    Raises:
        OSError: it cannot be read.
    """
    head = bytearray()
    tail = _Tail()
    chunk = None
    # Less than was asked for is the end: a terminal that was asked again would want another Ctrl-D.
    while chunk is None or len(chunk) == _CHUNK_BYTES:
        chunk = stream.read(_CHUNK_BYTES)
        room = HEAD_BYTES - len(head)
        head += chunk[:room]
        if chunk[room:]:
            tail.add(chunk[room:])
    end = b"".join(tail.chunks)
    if not tail.bytes_out:
        return (Piece(data=bytes(head) + end),), 0
    before = head.count(b"\n") + tail.lines_out
    return (Piece(data=bytes(head)), Piece(data=end, lines_before=before)), tail.bytes_out


def read(pieces: Sequence[Piece], left_out_bytes: int = 0) -> Log:
    """Find the loads and the known lines in a log."""
    loads: list[Load] = []
    hits: list[Hit] = []
    lines = 0
    for piece in pieces:
        offset = piece.lines_before
        there = [replace(x, line=x.line + offset) for x in read_log(piece.data)]
        loads += there
        hits += _hits(piece, {load.line for load in there})
        lines = offset + piece.data.count(b"\n") + (not piece.data.endswith(b"\n"))
    return Log(
        loads=tuple(loads),
        hits=tuple(hits),
        lines=lines if pieces and pieces[-1].data else 0,
        left_out_bytes=left_out_bytes,
    )


def _hits(piece: Piece, begin: set[int]) -> Iterator[Hit]:
    """Yield the known lines; at the lines ``begin`` another load does."""
    nothing = dict.fromkeys((known.name for known in SYMPTOMS), 0)
    seen, at = dict(nothing), 0
    for number, line in clean_lines(piece.data):
        if number + piece.lines_before in begin and number != at:
            seen, at = dict(nothing), number
        if not is_worth_reading(line):
            continue
        for known in SYMPTOMS:
            if seen[known.name] >= _MOST_HITS:
                continue
            found = known.shape.search(line)
            if found is not None:
                seen[known.name] += 1
                yield Hit(
                    symptom=known,
                    line=number + piece.lines_before,
                    quote=line.strip()[:_QUOTED],
                    values={
                        name.removesuffix("_zh"): value
                        for name, value in found.groupdict().items()
                        if value is not None
                    },
                )
