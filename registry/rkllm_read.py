"""Pull the few pieces of an ``.rkllm`` file that tell what it is, from a disk or a server.

The last 64 bytes first, then the head in growing pieces, until everything wanted is known or
a budget is spent: two small requests where the toolkit put its keys before the tokenizer, some
6 MB where it put them behind a vocabulary of 150,000 tokens. Who reads many files remembers
vocabularies: then it is one request where the head tells everything, and two where the keys lie
behind a vocabulary that was met before.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from typing import TYPE_CHECKING, Protocol

from .disk_failures import failure_of_disk
from .errors import UsageError
from .foreign import identify
from .gguf import Decoder
from .rkllm import (
    TAIL_BYTES,
    Trailer,
    assemble,
    foreign_facts,
    is_satisfied,
    read_trailer,
    tells_all,
)
from .vocabulary import beginning, span_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

    from .foreign import Foreign
    from .rkllm import RkllmFacts
    from .vocabulary import Span, Vocabularies

FIRST_PIECE = 16 << 10
LAST_PIECE = 1 << 20
_FAR_ENOUGH = 256 << 10
"""Behind a vocabulary that was jumped over lie some kB of keys and a template."""
_SOME_TRAILER = Trailer(text="0.0.0", is_last=True)


class ByteSource(Protocol):
    """A file that can be read in pieces."""

    def size(self) -> int | None:
        """Return the total size if it is known without a request, or after the first read."""

    def read(self, start: int, length: int) -> bytes:
        """Return bytes from ``start`` on: at most ``length``, none only at the end."""

    def tail(self, length: int) -> bytes:
        """Return the last bytes, all of them if there are fewer; the size is known then."""


class FileBytes:
    """A local file as a `ByteSource`; use it in a ``with``.

    Raises:
        UsageError: there is no such file, or it is no regular one.
        RkfetchError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            # Without O_NONBLOCK, opening a named pipe would wait for a writer.
            self._handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise UsageError(
                f"cannot read '{path}'",
                cause=[error.strerror or str(error)],
                hint=_name_nearby(path) if error.errno == errno.ENOENT else None,
            ) from error
        status = os.fstat(self._handle)
        if not stat.S_ISREG(status.st_mode):
            os.close(self._handle)
            raise UsageError(f"cannot read '{path}'", cause=["it is not a regular file"])
        self._size = status.st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._handle)

    def size(self) -> int:
        """Return the size that the file had when it was opened."""
        return self._size

    def read(self, start: int, length: int) -> bytes:
        """Return bytes from ``start`` on."""
        try:
            return os.pread(self._handle, length, start)
        except OSError as error:
            raise failure_of_disk(error, self._path) from error

    def tail(self, length: int) -> bytes:
        """Return the last bytes."""
        start = max(0, self._size - length)
        return self.read(start, self._size - start)


def _name_nearby(path: Path) -> str:
    """Say what to do about a file that is not there."""
    import difflib

    try:
        names = sorted(there.name for there in path.parent.iterdir())
    except OSError:
        return f"the folder {path.parent} is not there either"
    near = difflib.get_close_matches(path.name, names, n=1, cutoff=0.8)
    if near:
        return f"did you mean {path.with_name(near[0])}?"
    return "check the name; a model that is not on this disk is fetched with `rkfetch MODEL`"


class _Meter:
    """A source that counts what is pulled from it, and knows what may still be."""

    def __init__(
        self,
        source: ByteSource,
        *,
        budget_bytes: int,
        max_requests: int,
        deadline: float,
        clock: Callable[[], float],
    ) -> None:
        self._source = source
        self._budget_bytes = budget_bytes
        self._max_requests = max_requests
        self._deadline = deadline
        self._clock = clock
        self.read_bytes = 0
        self.requests = 0

    def allowance(self) -> int:
        """Return how many bytes may still be read; 0 once any budget is spent."""
        if self.requests >= self._max_requests or self._clock() >= self._deadline:
            return 0
        return max(0, self._budget_bytes - self.read_bytes)

    def size(self) -> int | None:
        return self._source.size()

    def foreign(self, foreign: Foreign) -> RkllmFacts:
        return foreign_facts(
            foreign, size_bytes=self.size(), read_bytes=self.read_bytes, requests=self.requests
        )

    def concluded(
        self,
        decoder: Decoder,
        trailer: Trailer | None,
        *,
        full: bool = False,
        tail_read: bool = True,
    ) -> RkllmFacts:
        return assemble(
            decoder,
            trailer=trailer,
            size_bytes=self.size(),
            full=full,
            read_bytes=self.read_bytes,
            requests=self.requests,
            tail_read=tail_read,
        )

    def tail(self) -> bytes:
        return self._count(self._source.tail(TAIL_BYTES))

    def read(self, start: int, length: int) -> bytes:
        return self._count(self._source.read(start, length))

    def _count(self, data: bytes) -> bytes:
        self.requests += 1
        self.read_bytes += len(data)
        return data


def read_rkllm(
    source: ByteSource,
    *,
    full: bool = False,
    vocabularies: Vocabularies | None = None,
    budget_bytes: int = 16 << 20,
    max_requests: int = 24,
    budget_s: float = 120.0,
    clock: Callable[[], float] = time.monotonic,
) -> RkllmFacts:
    """Read what a file says about itself; whatever it holds, the answer is facts.

    Without ``full``, reading stops as soon as the facts that decide about a board are known. The
    trailer and the first 16 KiB are read whatever the budgets say; the time is looked at between
    requests. Errors of the source itself pass through.

    With ``vocabularies`` those that were met before are jumped over, and the trailer is read only
    where the head leaves something open; whether the file is whole is then not always told.
    """
    meter = _Meter(
        source,
        budget_bytes=budget_bytes,
        max_requests=max_requests,
        deadline=clock() + budget_s,
        clock=clock,
    )
    if vocabularies is not None and not full:
        return _read_thriftily(meter, vocabularies)
    tail = meter.tail()
    size = meter.size()
    head = tail if size is not None and size <= len(tail) else meter.read(0, FIRST_PIECE)
    foreign = identify(head, meter.size())
    if foreign is not None:
        return meter.foreign(foreign)
    decoder = Decoder(meter.size())
    decoder.feed(head)
    trailer = read_trailer(tail)
    _read_on(meter, decoder, until=lambda: is_satisfied(decoder, trailer, full=full))
    return meter.concluded(decoder, trailer, full=full)


def _read_thriftily(meter: _Meter, vocabularies: Vocabularies) -> RkllmFacts:
    """Read the head, then what stands behind a known vocabulary, and the tail if need be."""
    head = meter.read(0, FIRST_PIECE)
    foreign = identify(head, meter.size())
    if foreign is not None:
        return meter.foreign(foreign)
    decoder = Decoder(meter.size())
    decoder.feed(head)
    start = decoder.walking
    trailer, tail_read = None, False

    def satisfied() -> bool:
        return tells_all(decoder) or is_satisfied(decoder, trailer, full=False)

    if not satisfied() and is_satisfied(decoder, _SOME_TRAILER, full=False):
        trailer, tail_read = read_trailer(meter.tail()), True
    mark = None if satisfied() else beginning(head, decoder)
    jumped = None
    if mark is not None and start is not None:
        jumped = _jumped(meter, head, start, vocabularies.recall(mark))
        decoder = jumped or decoder
    if not tail_read and (not satisfied() or decoder.data_start is not None):
        trailer, tail_read = read_trailer(meter.tail()), True
    _read_on(meter, decoder, until=satisfied)
    if mark is not None and start is not None and jumped is None:
        span = span_at(decoder, start)
        if span is not None:
            vocabularies.learn(mark, span)
    return meter.concluded(decoder, trailer, tail_read=tail_read)


def _jumped(meter: _Meter, head: bytes, start: int, span: Span | None) -> Decoder | None:
    """Read what stands behind a vocabulary; None if there is no span, or it was another one's."""
    size = meter.size()
    if span is None or (size is not None and start + span.length >= size):
        return None
    decoder = Decoder(size)
    decoder.feed(head)
    decoder.jump(start + span.length, span.keys)

    def settled() -> bool:
        # Behind the last key the first tensor must stand, or the keys were counted wrongly.
        return decoder.done or bool(decoder.tensors) or tells_all(decoder)

    _read_on(meter, decoder, until=settled, first=FIRST_PIECE, most=_FAR_ENOUGH)
    astray = decoder.refusal or decoder.unknown or decoder.cut
    return decoder if settled() and not astray else None


def _read_on(
    meter: _Meter,
    decoder: Decoder,
    *,
    until: Callable[[], bool],
    first: int = 4 * FIRST_PIECE,
    most: int | None = None,
) -> None:
    """Feed growing pieces, some ``most`` bytes in all, as long as the budgets allow."""
    size = meter.size()
    given_up_at = None if most is None else decoder.wants + most
    pieces = _pieces(first)
    while not until() and (given_up_at is None or decoder.wants < given_up_at):
        length = min(next(pieces), meter.allowance())
        if length == 0:
            return
        if size is not None:
            length = min(length, size - decoder.wants)
        piece = meter.read(decoder.wants, length)
        if not piece:
            decoder.finish()
        decoder.feed(piece)


def _pieces(first: int) -> Iterator[int]:
    """Yield how much to ask for next: few requests, and little in vain."""
    length = first
    while True:
        yield length
        length = min(4 * length, LAST_PIECE)


def read_file(path: Path, *, full: bool = False) -> RkllmFacts:
    """Read what a local file says about itself.

    Raises:
        UsageError: there is no such file, or it is no regular one.
    """
    with FileBytes(path) as source:
        return read_rkllm(source, full=full)
