"""Ask a person at the terminal, and only there."""

from __future__ import annotations

import sys

from .output import say, talks_to_terminal


def can_ask() -> bool:
    """Tell whether somebody is there to answer."""
    return sys.stdin is not None and sys.stdin.isatty() and talks_to_terminal()


def says_yes(question: str) -> bool:
    """Ask; anything but yes is no."""
    # Not typer.confirm: it writes a space to stdout, where only the path may stand.
    say(f"{question} [y/N]")
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
