"""Read JSON that strangers wrote: each value is of its kind and of a sane size, or refused."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from rkfetch.catalog import border

if TYPE_CHECKING:
    from collections.abc import Mapping

SOURCE = re.compile(r"[a-z][a-z0-9-]{0,31}")
"""What a source of builds may be called."""
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


class FormError(ValueError):
    """What was read is not of the form that it should be; the message says where."""


def moment(text: str) -> datetime:
    """Read a time of a manifest."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)


def json_object(content: bytes) -> dict[str, Any]:
    """Read one JSON object; raises `FormError` like all that follows."""
    try:
        what = json.loads(content)
    except (ValueError, RecursionError):
        raise FormError("it is no JSON") from None
    if not isinstance(what, dict):
        raise FormError("it is no JSON object")
    return what


def get(what: Mapping[str, Any], name: str, kind: type) -> Any:
    """Return a value of a kind."""
    value = what.get(name)
    if not isinstance(value, kind):
        raise FormError(f"'{name}' is missing, or no {kind.__name__}")
    return value


def word(what: Mapping[str, Any], name: str, longest: int) -> str:
    """Return a text that can be shown on one line."""
    text = border.text(what.get(name))
    if not text or len(text) > longest or not text.isprintable():
        raise FormError(f"'{name}' is missing, or no text of at most {longest} characters")
    return text


def maybe(what: Mapping[str, Any], name: str, longest: int) -> str | None:
    """Return a text like `word`, or None where there is nothing."""
    return None if what.get(name) is None else word(what, name, longest)


def count(what: Mapping[str, Any], name: str) -> int:
    """Return a number that is not negative, and that SQLite can hold."""
    number = border.count(what.get(name))
    if number is None:
        raise FormError(f"'{name}' is missing, or no number")
    return number


def time_of(what: Mapping[str, Any], name: str) -> str:
    """Return a time in UTC, as ``2026-11-25T12:00:00Z``."""
    text = what.get(name)
    try:
        if isinstance(text, str) and _TIME.fullmatch(text):
            moment(text)
            return text
    except ValueError:
        pass
    raise FormError(f"'{name}' is missing, or no time")


def objects(what: Mapping[str, Any], name: str, most: int) -> list[dict[str, Any]]:
    """Return a list of objects; an absent one is empty."""
    items = what.get(name) or []
    if not isinstance(items, list) or len(items) > most:
        raise FormError(f"'{name}' is no list of at most {most}")
    if not all(isinstance(item, dict) for item in items):
        raise FormError(f"'{name}' holds something else than objects")
    return items
