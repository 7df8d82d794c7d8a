"""Say how content differs from what was announced, and what it is instead."""

from __future__ import annotations

from .errors import IntegrityError


class BadContentError(IntegrityError):
    """What came is not the file; another try may bring it."""


class UnwantedContentError(IntegrityError):
    """It is the file, and it is not what was wanted; another try would bring the same."""


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


def explanation_of(head: bytes, size_bytes: int) -> str | None:
    """Say by its first bytes what a file is, if it clearly is something else than a model."""
    from .foreign import identify

    foreign = identify(head, size_bytes)
    if foreign is None or foreign.format in {"truncated", "unknown"}:
        return None
    return foreign.explanation
