"""Judge what rkfetch itself works with on this machine: its store, its way to the network."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from .finding import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .errors import UsageError

_LEAST_DISK = 2_000_000_000


class TokenState(Enum):
    """Whether a Hub token is there; what it is stays unsaid."""

    NONE = "none"
    SET = "set"
    BROKEN = "broken"
    """What is there cannot be a token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What rkfetch itself works with on this machine."""

    store: str | None
    """The folder in which models are kept; None if the user has no home folder."""
    is_writable: bool
    free_bytes: int | None
    """On the store's file system, for this user."""
    endpoint: str | None = None
    """The first place that is asked instead of huggingface.co, without credentials."""
    token: TokenState = TokenState.NONE
    is_offline: bool = False
    overrides: tuple[str, ...] = ()
    """Such as ``runtime 1.2.3 (RKFETCH_RUNTIME)``, which win over what was detected."""
    settings_problems: tuple[UsageError, ...] = ()
    """What is wrong with the files and variables that set something."""
    settings_unknown: tuple[str, ...] = ()
    """Sentences about keys in the files that nothing knows."""


def about_store(around: Surroundings) -> Iterator[Finding]:
    """Say whether models can be kept, and how many."""
    if around.store is None:
        yield Finding(
            rule="store",
            severity=Severity.PROBLEM,
            text="there is no home folder to keep models in",
            todo=("name a folder: RKFETCH_HOME=/path/to/folder",),
        )
        return
    if not around.is_writable:
        yield Finding(
            rule="store",
            severity=Severity.PROBLEM,
            text=f"'{around.store}' cannot be written",
            why="models are kept there",
            todo=("make it yours, or choose another folder: RKFETCH_HOME=/path/to/folder",),
        )
    if around.free_bytes is not None and around.free_bytes < _LEAST_DISK:
        yield Finding(
            rule="disk",
            severity=Severity.WARNING,
            text=f"{around.free_bytes // 10**6} MB are free for '{around.store}'",
            why="models have from 0.5 GB (0.6B, w4a16) to tens of gigabytes",
            todo=("make room with `rkfetch gc`, or set RKFETCH_HOME to a larger disk",),
        )


def about_network(around: Surroundings) -> Iterator[Finding]:
    """Say what changes where files come from."""
    if around.is_offline:
        yield Finding(
            rule="offline",
            severity=Severity.NOTE,
            text="the network is switched off (`offline` is set): nothing is fetched",
        )
    if around.endpoint is not None:
        plain = around.endpoint.startswith("http://")
        yield Finding(
            rule="endpoint",
            severity=Severity.NOTE,
            text=f"{around.endpoint} is asked instead of huggingface.co",
            why="every file is still checked against the SHA-256 that the catalog knows"
            + ("; over http:// others can see what you fetch" if plain else ""),
        )
    if around.token is TokenState.BROKEN:
        yield Finding(
            rule="token",
            severity=Severity.WARNING,
            text="the Hugging Face token contains characters that no token has",
            why="gated models cannot be fetched with it",
            todo=("set HF_TOKEN anew, or run `hf auth login`",),
        )
    elif around.token is TokenState.SET:
        yield Finding(
            rule="token",
            severity=Severity.OK,
            text="a Hugging Face token is set (gated models can be fetched)",
        )


def about_settings(around: Surroundings) -> Iterator[Finding]:
    """Say what is wrong with what is set, and what of it wins over what was detected."""
    for error in around.settings_problems:
        yield Finding(
            rule="settings",
            severity=Severity.PROBLEM,
            text=error.message,
            why="; ".join(error.cause) or None,
            todo=(error.hint,) if error.hint else (),
        )
    for sentence in around.settings_unknown:
        yield Finding(rule="settings-unknown", severity=Severity.NOTE, text=sentence)
    if around.overrides:
        yield Finding(
            rule="overrides",
            severity=Severity.NOTE,
            text=f"set by hand: {', '.join(around.overrides)}",
            why="rkfetch resolves for that, whatever was detected here",
        )
