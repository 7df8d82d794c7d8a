"""How an update of the catalog shows that it goes on: few lines, for logs and people alike."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rkfetch.catalog.update import Observer

from .output import safe, say

if TYPE_CHECKING:
    from collections.abc import Callable

_EVERY_S = 5.0


class Talk(Observer):
    """Says what is left out and waited for at once, and how far it is every few seconds."""

    def __init__(self, source: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._said_at = clock()
        self._to_read = self._read = self._probed = self._listed = 0

    def listed(self, count: int) -> None:
        """Count the listing."""
        self._listed = count
        self._say_sometimes(f"{count} repositories listed so far")

    def planned(self, *, unchanged: int, to_read: int) -> None:
        """Say what will come."""
        self._to_read = to_read
        self._say(
            f"{self._listed} repositories listed: {unchanged} unchanged, {to_read} to ask for"
        )

    def read(self) -> None:
        """Count a repository."""
        self._read += 1
        self._say_sometimes(
            f"{self._read} of {self._to_read} repositories, {self._probed} headers read"
        )

    def probed(self) -> None:
        """Count a header."""
        self._probed += 1

    def skipped(self, what: str, why: str) -> None:
        """Name what is left out."""
        self._say(f"left out: {safe(what)}: {safe(why)}")

    def waiting(self, why: str, seconds: float) -> None:
        """Say why nothing happens."""
        self._say(f"{safe(why)}; next try in {max(1, round(seconds))} s")

    def _say(self, text: str) -> None:
        say(f"{self._source}: {text}")

    def _say_sometimes(self, text: str) -> None:
        now = self._clock()
        if now - self._said_at >= _EVERY_S:
            self._said_at = now
            self._say(text)
