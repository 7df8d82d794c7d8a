"""What a long job tells about itself while it runs; whether anyone watches is not its business."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Watches a download."""

    def started(self, total: int | None, resumed_from: int) -> None:
        """Bytes begin to come: ``resumed_from`` of ``total`` are here already."""

    def advanced(self, received: int) -> None:
        """So many bytes are here in all."""

    def restarted(self, reason: str) -> None:
        """What was here cannot be used: counting begins at 0 again."""

    def waiting(self, reason: str, seconds: float) -> None:
        """Nothing happens for so long; 0 if it is not known how long."""

    def phase(self, name: str) -> None:
        """Another phase begins: ``resume``, ``download``, ``verify`` or ``install``."""


class NoProgress:
    """Watches nothing."""

    def started(self, total: int | None, resumed_from: int) -> None:
        """Do nothing."""

    def advanced(self, received: int) -> None:
        """Do nothing."""

    def restarted(self, reason: str) -> None:
        """Do nothing."""

    def waiting(self, reason: str, seconds: float) -> None:
        """Do nothing."""

    def phase(self, name: str) -> None:
        """Do nothing."""
