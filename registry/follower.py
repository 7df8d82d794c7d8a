"""Hash a file from its first byte on while it comes, so that its end is the end of the work.

What arrives in order is hashed from the buffer that it was received in; what was here before, or
came out of order, is read back as soon as everything in front of it is here.
"""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

BUFFER_BYTES = 2 << 20
_READ_BYTES = 1 << 20
_SPARE = 8
"""Buffers more than there are connections: how far receiving may run ahead of hashing."""


class _Work(NamedTuple):
    turn: int
    digest: hashlib._Hash
    start: int
    end: int
    buffer: bytearray
    """Empty for what has to be read back."""


class Follower:
    """The SHA-256 over the beginning of a partial file, kept up by a thread of its own.

    Args:
        handle: of the file.
        checked: so many bytes from the first on had this SHA-256 when they came.
    """

    def __init__(self, handle: int, *, checked: tuple[int, str] | None = None) -> None:
        self._handle = handle
        self._expected = checked
        self._damaged: Callable[[int, int], object] = _nobody
        self._changed = threading.Condition()  # on a lock that its holder may take again
        self._queue: deque[tuple[bytearray, int]] = deque()
        self._queued_to = 0
        self._prefix = 0
        self._position = 0
        self._digest = hashlib.sha256()
        self._turn = 0
        self._spare: list[bytearray] = []
        self._made = 0
        self._most = _SPARE
        self._ended = False
        self._failure: BaseException | None = None
        self._unreadable: set[int] = set()
        self.checked: tuple[int, str] | None = None
        """So many bytes from the first on have this SHA-256."""
        self._thread = threading.Thread(target=self._run, name="hash", daemon=True)

    # --- for those who receive ------------------------------------------------------------------

    def borrow(self) -> bytearray:
        """Return a buffer to receive into; waits while hashing is far behind."""
        with self._changed:
            while not self._spare and self._made >= self._most and not self._ended:
                self._changed.wait()
            if self._spare:
                return self._spare.pop()
            self._made += 1
        return bytearray(BUFFER_BYTES)

    def allow(self, connections: int) -> None:
        """Have buffers enough for so many connections."""
        with self._changed:
            self._most = max(self._most, connections + _SPARE)

    def give_back(self, buffer: bytearray) -> None:
        """Return a buffer that nothing was received into."""
        with self._changed:
            self._spare.append(buffer)
            self._changed.notify_all()

    def follow(self, position: int, buffer: bytearray, count: int, *, prefix: int) -> None:
        """Take note of bytes that were written, of which ``prefix`` are here from the first on.

        The buffer is the follower's from now on.
        """
        with self._changed:
            self._prefix = prefix
            if position == self._queued_to and count and not self._ended:
                self._queue.append((buffer, count))
                self._queued_to += count
            else:
                self._spare.append(buffer)
            self._changed.notify_all()

    # --- for the one who waits ------------------------------------------------------------------

    def start(self, prefix: int, *, damaged: Callable[[int, int], object]) -> None:
        """Begin with what is here already.

        ``damaged`` is called in the follower's thread with the first and the last position of
        bytes that have another SHA-256 now than when they came, or cannot be read; it must call
        `go_back` with the first.
        """
        self._prefix, self._damaged = prefix, damaged
        self._thread.start()

    def begin(self) -> None:
        """Hash anew from the first byte on; none of them is here."""
        with self._changed:
            self._turn += 1
            self._position = 0
            self._digest = hashlib.sha256()
            self.checked = self._expected = None
            self._wait_at(0)

    def go_back(self, position: int) -> None:
        """Wait for the bytes from a position on, none of which is here any more.

        It is where hashing is just now, or the very first.
        """
        if position == 0:
            self.begin()
            return
        with self._changed:
            self._wait_at(position)

    def _wait_at(self, position: int) -> None:
        self._unqueue()
        self._prefix = self._queued_to = position
        self._changed.notify_all()

    def _unqueue(self) -> None:
        self._spare += [buffer for buffer, _ in self._queue]
        self._queue.clear()

    def raise_failure(self) -> None:
        """Raise what ended hashing.

        Raises:
            OSError: the file cannot be read.
        """
        with self._changed:
            if self._failure is not None:
                raise self._failure

    def wait(self, position: int, seconds: float) -> bool:
        """Wait a while; tell whether so many bytes have been hashed.

        Raises:
            OSError: the file cannot be read.
        """
        with self._changed:
            if self._position < position and self._failure is None:
                self._changed.wait(seconds)
            self.raise_failure()
            return self._position >= position

    def hexdigest(self) -> str:
        """Return the SHA-256 over all bytes; they must have been waited for."""
        return self._digest.hexdigest()

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join()

    # --- the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._step():
                pass
        except BaseException as error:  # noqa: BLE001 - told to whoever waits
            with self._changed:
                self._failure = error
                self._ended = True
                self._changed.notify_all()

    def _next(self) -> _Work | None:
        """Wait for something to hash; None at the end."""
        with self._changed:
            while not (self._queue or self._prefix > self._queued_to or self._ended):
                self._changed.wait()
            if self._ended:
                return None
            if self._queue:
                buffer, count = self._queue.popleft()
                end = self._position + count
            else:
                buffer = bytearray()
                # On the same borders wherever it begins, so that a bad spot costs one of them.
                border = (self._position // _READ_BYTES + 1) * _READ_BYTES
                end = min(self._prefix, border)
                if self._expected is not None and self._position < self._expected[0]:
                    end = min(end, self._expected[0])
                self._queued_to = end
            return _Work(self._turn, self._digest, self._position, end, buffer)

    def _step(self) -> bool:
        work = self._next()
        if work is None:
            return False
        turn, digest, start, end, buffer = work
        data: memoryview | bytes | None = memoryview(buffer)[: end - start]
        if not buffer:
            data = self._read(start, end - start)
        if data is None:
            if turn == self._turn:
                self._damaged(start, end)
            return True
        digest.update(data)
        with self._changed:
            if buffer:
                self._spare.append(buffer)
            elif turn == self._turn and len(data) < end - start:
                end = self._queued_to = start + len(data)
                self._unqueue()
            damaged = turn == self._turn and self._is_damaged(end, digest)
            self._changed.notify_all()
        if damaged:
            # Without the lock: the answer is `begin`.
            self._damaged(0, end)
        return True

    def _read(self, start: int, count: int) -> bytes | None:
        """Read back what is here, as far as it can be; None where nothing can, the first time."""
        try:
            data = os.pread(self._handle, count, start)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            data = b""
        if data:
            return data
        # Writing it anew may help: a card has spare places.
        if start in self._unreadable:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._unreadable.add(start)
        return None

    def _is_damaged(self, position: int, digest: hashlib._Hash) -> bool:
        """Compare with what is known, and note what is known now."""
        self._position = position
        if self._expected is not None and position == self._expected[0]:
            known, self._expected = self._expected, None
            if digest.hexdigest() != known[1]:
                return True
        self.checked = (position, digest.hexdigest())
        return False


def _nobody(_first: int, _last: int) -> None:
    """Stand in until `Follower.start`."""
