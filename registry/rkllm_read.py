"""Pull the few pieces of an ``.rkllm`` file that tell what it is, from a disk or a server.

The last 64 bytes first, then the head in growing pieces, until everything wanted is known or
a budget is spent: two small requests where the toolkit put its keys before the tokenizer, some
6 MB where it put them behind a vocabulary of 150,000 tokens.
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
from .rkllm import TAIL_BYTES, assemble, foreign_facts, is_satisfied, read_trailer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

    from .rkllm import RkllmFacts

FIRST_PIECE = 16 << 10
LAST_PIECE = 1 << 20


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
    budget_bytes: int = 16 << 20,
    max_requests: int = 24,
    budget_s: float = 120.0,
    clock: Callable[[], float] = time.monotonic,
) -> RkllmFacts:
    """Read what a file says about itself; whatever it holds, the answer is facts.

    Without ``full``, reading stops as soon as the facts that decide about a board are known. The
    trailer and the first 16 KiB are read whatever the budgets say; the time is looked at between
    requests. Errors of the source itself pass through.
    """
    meter = _Meter(
        source,
        budget_bytes=budget_bytes,
        max_requests=max_requests,
        deadline=clock() + budget_s,
        clock=clock,
    )
    tail = meter.tail()
    size = source.size()
    head = tail if size is not None and size <= len(tail) else meter.read(0, FIRST_PIECE)
    size = source.size()
    foreign = identify(head, size)
    if foreign is not None:
        return foreign_facts(
            foreign, size_bytes=size, read_bytes=meter.read_bytes, requests=meter.requests
        )
    trailer = read_trailer(tail)
    decoder = Decoder(size)
    decoder.feed(head)
    pieces = _pieces()
    while not is_satisfied(decoder, trailer, full=full):
        length = min(next(pieces), meter.allowance())
        if length == 0:
            break
        if size is not None:
            length = min(length, size - decoder.wants)
        piece = meter.read(decoder.wants, length)
        if not piece:
            decoder.finish()
        decoder.feed(piece)
    return assemble(
        decoder,
        trailer=trailer,
        size_bytes=size,
        full=full,
        read_bytes=meter.read_bytes,
        requests=meter.requests,
    )


def _pieces() -> Iterator[int]:
    """Yield how much to ask for after the first piece: few requests, and little in vain."""
    length = FIRST_PIECE
    while True:
        length = min(4 * length, LAST_PIECE)
        yield length


def read_file(path: Path, *, full: bool = False) -> RkllmFacts:
    """Read what a local file says about itself.

    Raises:
        UsageError: there is no such file, or it is no regular one.
    """
    with FileBytes(path) as source:
        return read_rkllm(source, full=full)
