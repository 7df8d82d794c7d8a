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
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from rkfetch.catalog.naming import guess

if TYPE_CHECKING:
    from rkfetch.catalog.naming import Guess

SOURCES = {"rockchip-zoo": "modelzoo"}
COMPARED = ("platform", "quant", "toolkit", "model", "params_b", "context")


def main() -> None:
    rows = _rows()
    right: dict[str, int] = dict.fromkeys(COMPARED, 0)
    total: dict[str, int] = dict.fromkeys(COMPARED, 0)
    silent: dict[str, list[str]] = {name: [] for name in COMPARED}
    misses: list[str] = []
    for row in rows:
        found = guess(
            row["repo_id"] or "",
            row["filename"] or "",
            source=SOURCES.get(row["source"], row["source"]),
        )
        for name in COMPARED:
            actual, expected = _value(found, name), _expected(row, name)
            where = f"{row['repo_id']} | {row['filename']}"
            if not _in_the_name(row, name):
                if actual is not None:
                    ok = expected is not None and _same(name, actual, expected)
                    word = "agrees with the row" if ok else f"row: {expected}"
                    silent[name].append(f"{name}: {actual} ({word})  {where}")
                continue
            total[name] += 1
            if actual is not None and _same(name, actual, expected):
                right[name] += 1
            else:
                misses.append(f"{name}: {actual}, expected {expected}  {where}")
    print(f"{len(rows)} rows")
    print(f"{'attribute':10} {'right':>6} {'of':>6} {'accuracy':>9}  given though not in the name")
    for name in COMPARED:
        share = right[name] / total[name] if total[name] else 1
        wrong = sum("agrees" not in s for s in silent[name])
        print(
            f"{name:10} {right[name]:6} {total[name]:6} {share:9.1%}  "
            f"{len(silent[name])}, of which {wrong} not confirmed by the row"
        )
    print(f"\n{len(misses)} misses:")
    print("\n".join(misses))
    print("\ngiven though the row does not confirm it:")
    print("\n".join(s for name in COMPARED for s in silent[name] if "agrees" not in s))


def _rows() -> list[dict[str, Any]]:
    if len(sys.argv) > 1:
        with open(sys.argv[1], encoding="utf-8") as file:  # noqa: PTH123 - a script's argument
            text = file.read()
    else:
        text = files("rkfetch.catalog").joinpath("data/observed.jsonl").read_text("utf-8")
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
