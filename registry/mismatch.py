"""Say how content differs from what was announced, and what it is instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import IntegrityError

if TYPE_CHECKING:
    from pathlib import Path


class BadContentError(IntegrityError):
    """What came is not the file; another try may bring it."""


def differs(
    message: str, expected: str, actual: str, explanation: str | None = None
) -> BadContentError:
    """Return the error for content that is not as announced."""
    cause = [f"expected {expected}", f"got      {actual}"]
    if explanation is not None:
        cause.append(f"what came is {explanation}")
    return BadContentError(message, expected=expected, actual=actual, cause=cause)


def replaced_upstream(name: str, what: str, expected: str, actual: str) -> IntegrityError:
    """Return the error for a file that is another one now than the catalog knows."""
    return IntegrityError(
        f"{name} was replaced upstream since the catalog was made",
        expected=expected,
        actual=actual,
        cause=[f"its {what} was {expected}", f"its {what} is  {actual}"],
        hint="rkfetch catalog update",
    )


def explanation_of(path: Path) -> str | None:
    """Say what a file is, if it clearly is something else than a model."""
    from .rkllm_read import read_file

    facts = read_file(path)
    return facts.explanation if facts.format not in {"rkllm", "truncated", "unknown"} else None
