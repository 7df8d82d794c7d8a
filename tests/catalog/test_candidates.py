"""Of a model that has very many builds, those that can fit best are judged."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from rkfetch.catalog import candidates as module
from rkfetch.catalog.additions import about
from rkfetch.catalog.answer import answer
from rkfetch.catalog.candidates import candidates
from rkfetch.catalog.database import Catalog
from rkfetch.catalog.writer import Writer
from rkfetch.registry.model import Origin, Platform, Quant, Target
from rkfetch.registry.sightings import Outcome
from rkfetch.registry.versions import Version

if TYPE_CHECKING:
    from collections.abc import Iterator

BOARD = Target(platform=Platform.RK3576, runtime=Version("1.2.3"), memory_bytes=8 << 30)


@pytest.fixture
def catalog() -> Iterator[Catalog]:
    with Catalog.open() as catalog:
        yield catalog


def test_of_few_builds_all_are_judged(catalog: Catalog) -> None:
    found = candidates(catalog, ["Qwen2.5-1.5B-Instruct"], BOARD)
    assert found.artifacts == catalog.candidates(["Qwen2.5-1.5B-Instruct"])
    assert found.left_out == 0


@pytest.mark.parametrize("model", ["qwen2.5-1.5b", "qwen3-4b", "qwen3-1.7b", "gemma-3-4b"])
@pytest.mark.parametrize(
    "target",
    [
        BOARD,
        replace(BOARD, memory_bytes=None),
        replace(BOARD, runtime=Version("1.3.1")),
        replace(BOARD, runtime=Version("1.1.4")),
        replace(BOARD, platform=Platform.RK3588),
        replace(BOARD, quant=Quant(8, 8)),
        replace(BOARD, context=8192),
    ],
)
def test_of_many_builds_the_same_one_is_chosen(
    catalog: Catalog, model: str, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = answer(catalog, model, target)
    monkeypatch.setattr(module, "MOST", 3)
    monkeypatch.setattr(module, "EXAMPLES", 1)
    some = answer(catalog, model, target)
    assert some.choice == every.choice
    judged = {c.artifact.name for c in (*some.resolution.ranked, *some.resolution.refused)}
    known = {c.artifact.name for c in (*every.resolution.ranked, *every.resolution.refused)}
    assert judged < known
    assert some.left_out == len(
        (*every.resolution.ranked, *every.resolution.refused)
    ) - len((*some.resolution.ranked, *some.resolution.refused))  # fmt: skip


def test_what_runs_on_another_chip_and_what_is_gone_is_still_named(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    monkeypatch.setattr(module, "EXAMPLES", 1)
    refused = answer(catalog, "qwen2.5-1.5b", BOARD).resolution.refusal_counts
    assert refused["platform"] == 1
    assert refused["gone"] == 1


def test_what_somebody_saw_on_a_board_is_always_judged(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 1)
    monkeypatch.setattr(module, "EXAMPLES", 0)
    names = ["Qwen2.5-1.5B-Instruct"]
    taken = candidates(catalog, names, BOARD).artifacts
    left = next(a for a in catalog.candidates(names) if a not in taken and a.path)
    told = about(
        left,
        seen="2026-11-26",
        origin=Origin.USER,
        outcome=Outcome.FAILS,
        platform=Platform.RK3576,
        runtime=Version("1.2.3"),
    )
    with Writer.open() as writer:
        writer.add(told, own=True)
    assert left.name in {a.name for a in candidates(catalog, names, BOARD).artifacts}
