"""Measure what names alone tell, over the observed uploads.

    python benchmarks/naming_accuracy.py [OBSERVED.jsonl]

Prints accuracy per attribute and every miss. An attribute counts for a row where the row knows
its value and the names carry it; values given where the row knows none, or none from the names,
are listed apart, because a wrong value there would be worse than none.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rkfetch.catalog.naming import guess

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rkfetch.catalog.naming import Guess

SOURCES = {"rockchip-zoo": "modelzoo"}
COMPARED = ("platform", "quant", "toolkit", "model", "params_b", "context")


@dataclass(slots=True, kw_only=True)
class Score:
    """How one attribute did over all rows."""

    right: int = 0
    total: int = 0
    misses: list[str] = field(default_factory=list)
    confirmed: int = 0
    """Values given that the names do not carry, and the row agrees with."""
    unconfirmed: list[str] = field(default_factory=list)
    """The same where the row does not know the value."""
    contradicted: list[str] = field(default_factory=list)
    """Values given where the row says another, whether or not the names carry it."""

    @property
    def share(self) -> float:
        """Right ones among the rows that count; 1 where none does."""
        return self.right / self.total if self.total else 1.0


def measure(rows: Iterable[dict[str, Any]]) -> dict[str, Score]:
    """Return the table, by attribute."""
    table = {name: Score() for name in COMPARED}
    for row in rows:
        source = SOURCES.get(row["source"], row["source"])
        found = guess(row["repo_id"] or "", row["filename"] or "", source=source)
        for name, score in table.items():
            _count(score, row, name, _value(found, name))
    return table


def _count(score: Score, row: dict[str, Any], name: str, actual: Any) -> None:
    expected = _expected(row, name)
    same = actual is not None and _same(name, actual, expected)
    line = f"{name}: {actual}, row: {expected}  {row['repo_id']} | {row['filename']}"
    if actual is not None and expected is not None and not same:
        score.contradicted.append(line)
    if _in_the_name(row, name):
        score.total += 1
        score.right += same
        if not same:
            score.misses.append(line)
    elif same:
        score.confirmed += 1
    elif actual is not None:
        score.unconfirmed.append(line)


def packaged_rows() -> list[dict[str, Any]]:
    """Return the observed uploads that rkfetch ships."""
    return _rows(files("rkfetch.catalog").joinpath("data/observed.jsonl").read_text("utf-8"))


def main() -> None:
    path = sys.argv[1] if len(sys.argv) > 1 else None
    rows = _rows(Path(path).read_text("utf-8")) if path else packaged_rows()
    table = measure(rows)
    print(f"{len(rows)} rows")
    print(f"{'attribute':10} {'right':>6} {'of':>6} {'accuracy':>9}  given though not in the name")
    for name, score in table.items():
        given = f"{score.confirmed + len(score.unconfirmed)}, of which {len(score.unconfirmed)}"
        print(
            f"{name:10} {score.right:6} {score.total:6} {score.share:9.1%}  "
            f"{given} not confirmed by the row"
        )
    for title, lines in (
        ("misses", [line for s in table.values() for line in s.misses]),
        ("given though not in the name", [line for s in table.values() for line in s.unconfirmed]),
    ):
        print(f"\n{title}: {len(lines)}")
        print("\n".join(lines))


def _rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def _value(found: Guess, name: str) -> Any:
    value = getattr(found, name)
    if name == "platform":
        return value.value if value else None
    return str(value) if value is not None and name in {"quant", "toolkit"} else value


def _expected(row: dict[str, Any], name: str) -> Any:
    return row["toolkit_version" if name == "toolkit" else name]


def _in_the_name(row: dict[str, Any], name: str) -> bool:
    """Tell whether a person could read the row's value off its names."""
    value = _expected(row, name)
    if value is None:
        return False
    names = f"{row['repo_id'] or ''}/{row['filename'] or ''}".lower()
    if name == "toolkit":
        return row["toolkit_version_from"] in {"filename", "repo_id"}
    if name == "platform":
        return value[2:] in names
    if name == "quant":
        return value.partition("_")[0] in names
    if name == "context":
        return bool(re.search(rf"{value}|{value // 1024}k", names))
    return True


def _same(name: str, actual: Any, expected: Any) -> bool:
    if name == "model":
        return _plain(actual) == _plain(expected)
    return bool(actual == expected)


def _plain(model: str) -> str:
    return re.sub(r"[^a-z0-9]", "", model.lower())


if __name__ == "__main__":
    main()
