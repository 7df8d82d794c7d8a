"""A memory card, as far as rkfetch can tell: a mounted folder that fails when it is told to."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = Path(__file__).with_name("faulty.py")


def require_fuse() -> None:
    """Skip a test where no file system of ours can be mounted."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    if importlib.util.find_spec("mfusepy") is None:
        pytest.skip("mfusepy is missing (it is one of rkfetch's test dependencies)")
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("there is no FUSE here (/dev/fuse)")


class Card:
    """A mounted folder, sound at first."""

    def __init__(self, folder: Path) -> None:
        self.behind = folder / "behind"
        """What is really there."""
        self.path = folder / "card"
        """Where it is mounted."""
        self._orders = folder / "orders"
        self._process: subprocess.Popen[bytes] | None = None
        for path in (self.behind, self.path):
            path.mkdir(parents=True)
        self.heal()

    def order(self, *faults: dict[str, Any], **more: Any) -> None:
        """Have it do this from now on, and nothing of what was ordered before."""
        new = self._orders.with_suffix(".new")
        new.write_text(json.dumps({"faults": faults, **more}))
        new.replace(self._orders)

    def heal(self) -> None:
        """Have it be sound from now on."""
        self.order()

    @property
    def log(self) -> list[str]:
        """What was done to whom."""
        log = Path(f"{self._orders}.log")
        return log.read_text().splitlines() if log.exists() else []

    def put_in(self) -> None:
        """Mount it, at first or once more."""
        self._process = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(self.behind), str(self.path), str(self._orders)],
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda: os.path.ismount(self.path) or self._process_ended())
        if self._process_ended():
            pytest.skip("FUSE cannot be used here")

    def _process_ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def pull_out(self) -> None:
        """Let it vanish while it is used: its folder is there, and every call fails."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def put_in_again(self) -> None:
        """Mount it anew after it was pulled out."""
        self.take_away()
        self.put_in()

    def take_away(self) -> None:
        """Let nothing of it be left where it was mounted."""
        self.heal()
        self.pull_out()
        subprocess.run(["umount", "-l", str(self.path)], check=True)


@contextlib.contextmanager
def mounted(folder: Path) -> Iterator[Card]:
    """Put a card in."""
    require_fuse()
    card = Card(folder)
    card.put_in()
    try:
        yield card
    finally:
        card.take_away()
