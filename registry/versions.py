"""What a toolkit, runtime or driver version is, and how versions compare.

Rockchip numbers its releases as PEP 440 does (``1.2.3``, betas as ``1.2.1b1``), so the type
is :class:`packaging.version.Version`: a total order in which ``1.2.1b1`` comes before ``1.2.1``,
and a ``str()`` that reads back.
"""

from __future__ import annotations

import re

from packaging.version import InvalidVersion, Version

from .errors import UsageError

__all__ = ["Version", "as_version", "parse_version", "release_line"]

_SHAPE = re.compile(
    r"v?(\d{1,3}(?:\.\d{1,3}){1,3})(?:[ ._-]?(b|beta)[ ._-]?(\d{0,2}))?", re.IGNORECASE
)


def as_version(text: str) -> Version | None:
    """Read one version such as ``1.2.3``, ``v1.2.3`` or ``1.2.1b1``; None for anything else.

    A wildcard like ``1.2.x`` is not a version.
    """
    match = _SHAPE.fullmatch(text.strip())
    if match is None:
        return None
    number, beta, count = match.groups()
    try:
        return Version(f"{number}b{count or 0}" if beta else number)
    except InvalidVersion:  # pragma: no cover - the shape above admits valid versions only
        return None


def parse_version(text: str, *, what: str = "version") -> Version:
    """Read a version that a user gave.

    Raises:
        UsageError: ``text`` is no version; the message quotes it and names ``what`` it was for.
    """
    version = as_version(text)
    if version is None or len(version.release) < 3:
        raise UsageError(
            f"{what} '{text}' is not a whole version",
            cause=["a version has three numbers and perhaps a beta, like 1.2.3 or 1.2.1b1"],
            hint="`rkfetch doctor` on the board shows the installed versions",
        )
    return version


def release_line(version: Version) -> tuple[int, int]:
    """The minor line of a version, (1, 2) for 1.2.3."""
    return version.major, version.minor
