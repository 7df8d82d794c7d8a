"""What may come over a link that costs by the byte, and asking for more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Protocol

from . import options
from .asking import can_ask, says_yes
from .output import human_bytes, say_wrapped

if TYPE_CHECKING:
    from rkfetch.registry.metered import Costs

MeteredOption = Annotated[
    str,
    options.fixable(
        "metered",
        "--metered",
        metavar="yes|no|auto",
        help="Whether the network costs by the byte: then nothing large comes over it unasked, and "
        "what comes uses one connection. By itself it asks NetworkManager.",
    ),
]


class Shown(Protocol):
    """What is on the screen."""

    def close(self) -> None:
        """Leave the terminal in order."""


def costs_of(metered: str, progress: Shown | None) -> Costs:
    """Return what may be spent; with ``progress``, whose place a question takes, if agreed to."""
    from rkfetch.registry.metered import Costs

    def agree(size_bytes: int | None, who: str) -> bool:
        if progress is None or not can_ask():
            return False
        progress.close()
        much = "nobody knows how much" if size_bytes is None else human_bytes(size_bytes)
        say_wrapped(f"this link is metered ({who}), and {much} would come over it")
        return says_yes("Fetch it all the same?")

    return Costs(metered=metered, agree=agree)
