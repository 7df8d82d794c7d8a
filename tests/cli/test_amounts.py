"""Amounts are read as people write them."""

from __future__ import annotations

import pytest

from rkfetch.cli.amounts import parse_bytes, parse_seconds
from rkfetch.registry.errors import UsageError


@pytest.mark.parametrize(
    ("text", "count"),
    [("50M", 50_000_000), ("500k", 500_000), ("2 GB", 2_000_000_000), ("17", 17), ("0", 0)],
)
def test_sizes(text: str, count: int) -> None:
    assert parse_bytes(text) == count


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("10 min", 600), ("1h", 3600), ("5", 5)]
)
def test_spans(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "M", "-1", "1.5M", "ten", "1d", "\u0661M"])
def test_what_is_no_amount_is_a_sentence(text: str) -> None:
    with pytest.raises(UsageError):
        parse_bytes(text)
    with pytest.raises(UsageError):
        parse_seconds(text)
