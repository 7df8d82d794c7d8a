"""Let nothing large come unasked over a link that costs by the byte, such as a phone's hotspot.

NetworkManager knows that a connection is metered, or guesses it from what a phone's DHCP says.
Where it does not run or cannot be asked, nobody knows, and the link is taken for a free one.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from .errors import MeteredError, UsageError
from .limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .errors import RkfetchError
    from .progress import Progress

FREE_BYTES = 10_000_000
"""Headers, listings and the last bytes of a file are never asked about."""

_CHOICES = ("yes", "no", "auto")
_PATIENCE_S = 2
_NAME = "org.freedesktop.NetworkManager"
_GET = "org.freedesktop.DBus.Properties.Get"
_PATH = "/org/freedesktop/NetworkManager"
_COMMANDS = (
    # Not started for our sake: where it does not run, it does not run the network.
    f"busctl --system --auto-start=no --timeout=1 get-property {_NAME} {_PATH} {_NAME} Metered",
    f"gdbus call --system --timeout 1 -d {_NAME} -o {_PATH} -m {_GET} {_NAME} Metered",
)
_ANSWER = re.compile(r"\bu(?:int32)? ([0-9]+)\b")
_SAYS = {1: "NetworkManager says so", 3: "NetworkManager guesses so"}
"""NMMetered: 0 is unknown, 2 and 4 are no (https://networkmanager.dev/docs/api/latest)."""


def require_choice(word: str) -> None:
    """Check what a user says of the link.

    Raises:
        UsageError: it is neither ``yes`` nor ``no`` nor ``auto``.
    """
    if word not in _CHOICES:
        raise UsageError(
            f"'{word[:80]}' does not tell whether the link is metered",
            cause=[f"it is one of {', '.join(_CHOICES)}"],
        )


class Costs:
    """What one command may spend on a metered link.

    Args:
        metered: ``yes`` or ``no`` where the user knows, else ``auto``.
        agree: asks the user, given how many bytes would come (None if nobody tells) and who says
            that they cost; None where there is nobody to ask.

    Raises:
        UsageError: as `require_choice`.
    """

    def __init__(
        self, *, metered: str = "auto", agree: Callable[[int | None, str], bool] | None = None
    ) -> None:
        require_choice(metered)
        self._metered = metered
        self._agree = agree
        self._agreed_bytes = 0
        """What was agreed to already, of something that is still to come."""

    def matter(self, size_bytes: int | None) -> str | None:
        """Return who says that so many bytes would cost; None if they do not."""
        if self._metered == "no" or (size_bytes is not None and size_bytes <= FREE_BYTES):
            return None
        return "you say so (`metered` is set)" if self._metered == "yes" else _network_manager()

    def require(
        self,
        name: str,
        size_bytes: int | None,
        who: str,
        *,
        more_bytes: int = 0,
        failures: Sequence[RkfetchError] = (),
    ) -> None:
        """Have the user's consent to so many bytes.

        ``more_bytes`` are what belongs to it and comes next: they are asked about now, and not
        once more.

        Raises:
            MeteredError: there is none.
        """
        if size_bytes is not None and size_bytes + more_bytes <= self._agreed_bytes:
            self._agreed_bytes -= size_bytes
            return
        total = None if size_bytes is None else size_bytes + more_bytes
        if self._agree is not None and self._agree(total, who):
            self._agreed_bytes = more_bytes
            return
        raise _refused(name, total, who, [error.message for error in failures])


def _refused(name: str, size_bytes: int | None, who: str, cause: Sequence[str]) -> MeteredError:
    much = (
        f"{max(1, size_bytes // 10**6)} MB" if size_bytes is not None else "nobody knows how much"
    )
    return MeteredError(
        f"{name} was not fetched: this link is metered, and {much} would come over it",
        need_bytes=size_bytes,
        cause=[who, *cause],
        hint="--metered no (or RKFETCH_METERED=no) fetches it all the same; what a store on your "
        "own network gives is free (RKFETCH_MIRRORS)",
    )


def sparing(limits: Limits | None) -> Limits:
    """Return the limits for a metered link: what several connections began to send is wasted."""
    return replace(limits or Limits(), connections=1)


def _network_manager() -> str | None:
    """Return what NetworkManager says of the primary connection; None unless that is metered."""
    # Heavier than all the rest, and needed only for what is large.
    import shutil
    import subprocess

    for line in _COMMANDS:
        command = line.split()
        if shutil.which(command[0]) is None:
            continue
        try:
            done = subprocess.run(  # noqa: S603 - fixed words
                command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
            )
        except (OSError, ValueError, subprocess.TimeoutExpired):
            return None
        answer = _ANSWER.search(done.stdout) if done.returncode == 0 else None
        return _SAYS.get(int(answer[1])) if answer else None
    return None


class Once:
    """A `progress.Progress` for bytes that cost: nothing of them is fetched a second time."""

    def __init__(self, progress: Progress, *, name: str, size_bytes: int | None, who: str) -> None:
        self._about = (name, size_bytes, who)
        self.started = progress.started
        self.advanced = progress.advanced
        self.waiting = progress.waiting
        self.phase = progress.phase

    def restarted(self, reason: str) -> None:
        """End the download.

        Raises:
            MeteredError: what was paid for cannot be used, and all of it would come once more.
        """
        raise _refused(*self._about, [f"it would have to begin anew: {reason}"])
