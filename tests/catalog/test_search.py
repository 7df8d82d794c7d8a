"""A person finds builds by the words that come to mind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rkfetch.catalog.database import Catalog
from rkfetch.catalog.search import match_expression, search
from rkfetch.registry.model import Platform, Quant

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def catalog() -> Iterator[Catalog]:
    with Catalog.open() as catalog:
        yield catalog


@pytest.mark.parametrize(
    "text",
    [
        "qwen2.5-1.5b-instruct",
        "Qwen2.5 1.5B",
        "qwen 2.5 1.5b",
        "hanzohuang qwen2.5-1.5b",
        "HanzoHuang/Qwen2.5-1.5B-Instruct-RKLLM",
        "qwen2.5-1.5b rk3576",
    ],
)
def test_a_model_is_found_however_it_is_written(catalog: Catalog, text: str) -> None:
    repos = {a.repo for a in search(catalog, text)}
    assert "HanzoHuang/Qwen2.5-1.5B-Instruct-RKLLM" in repos


@pytest.mark.parametrize(
    "text",
    [
        '"',
        "qwen2.5 AND",
        "NEAR(",
        "a*b",
        "-",
        "model:x",
        "(",
        "'; DROP TABLE artifacts; --",
        "  ",
        "",
    ],
)
def test_no_text_is_a_syntax_error(catalog: Catalog, text: str) -> None:
    search(catalog, text)


def test_words_that_nothing_has_find_nothing(catalog: Catalog) -> None:
    assert search(catalog, "qwen2.5 nonesuch") == []
    assert search(catalog, "?") == []


def test_all_words_are_asked_for() -> None:
    assert match_expression('qwen2.5 "x') == ('("qwen2.5"* OR "qwen 2.5"*) AND ("""x"* OR """x"*)')


def test_letters_and_digits_may_be_written_together_or_apart(catalog: Catalog) -> None:
    assert {a.model for a in search(catalog, "gemma4")} == {"gemma-4-E2B-it"}
    assert {a.model for a in search(catalog, "gemma 4 e2b")} == {"gemma-4-E2B-it"}


def test_filters_leave_out_only_what_is_known_to_differ(catalog: Catalog) -> None:
    found = search(catalog, "qwen3", platform=Platform.RK3576, quant=Quant(4, 16), limit=400)
    assert found
    assert {a.platform for a in found} <= {Platform.RK3576, None}
    assert {a.quant.family for a in found if a.quant} == {"w4a16"}
    assert {a.quant.group for a in found if a.quant} > {0}
    narrow = search(catalog, "qwen3", quant=Quant(4, 16, 128), limit=400)
    assert {str(a.quant) for a in narrow if a.quant} == {"w4a16_g128"}


def test_the_limit_holds_and_the_order_is_always_the_same(catalog: Catalog) -> None:
    first = search(catalog, "qwen", limit=5)
    assert len(first) == 5
    assert search(catalog, "qwen", limit=5) == first
