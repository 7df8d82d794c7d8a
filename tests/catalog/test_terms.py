"""Names and people's words are taken apart alike."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rkfetch.catalog.terms import LONGEST, MOST, closeness, document_terms, query_terms


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("qwen2.5", "Qwen2.5-1.5B-Instruct"),
        ("qwen 2.5 1.5b", "Qwen2.5-1.5B-Instruct"),
        ("Qwen2_5", "Qwen2.5-1.5B"),
        ("internvl3.5 1b", "InternVL3_5-1B"),
        ("gemma4", "gemma-4-E2B-it"),
        ("gemma 4 e2b", "gemma-4-E2B-it"),
        ("deepseek-r1", "DeepSeek-R1-Distill-Qwen-1.5B"),
        ("qwen3vl", "Qwen3-VL-2B-Instruct"),
        ("phi3", "Phi-3-mini-4k-instruct"),
        ("1.2.3", "Qwen3-1.7B-RKLLM-v1.2.3"),
        ("1.1.4", "Qwen2.5-3B-Instruct-RKLLM1.1.4"),
        ("w4a16 g128", "Qwen3-4B_W4A16_G128_RK3576.rkllm"),
        ("3576", "InternVL3-3576"),
        ("千问", "通义千问2.5-7B"),
        ("问", "通义千问2.5-7B"),
        ("通义千问 7b", "通义千问2.5-7B"),
        ("\uff31wen3", "Qwen3-4B"),
        ("müller", "Müller/qwen"),
    ],
)
def test_a_name_has_all_words_of_what_is_typed(typed: str, name: str) -> None:
    assert set(query_terms(typed)) <= set(document_terms(name))


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("qwen2.5", "Qwen2-0.5B"),
        ("7b", "Qwen2.5-1.7B"),
        ("qwen3", "3ib0n/Qwen2.5-7B-Instruct"),
        ("w4a16", "Qwen3-4B_W8A8_RK3576.rkllm"),
        ("问千", "通义千问"),
        ("义问", "通义千问"),
    ],
)
def test_a_name_lacks_a_word_of_what_it_is_not(typed: str, name: str) -> None:
    assert not set(query_terms(typed)) <= set(document_terms(name))


def test_what_every_name_has_tells_nothing() -> None:
    assert query_terms("rkllm") == []
    assert query_terms(" -- / ") == []


@given(st.text(max_size=200))
def test_any_text_finds_itself_and_is_bounded(text: str) -> None:
    asked = query_terms(text)
    known = document_terms(text)
    if len(known) < MOST:
        assert set(asked) <= set(known)
    assert len(asked) <= MOST
    assert all(0 < len(term) <= LONGEST and " " not in term and '"' not in term for term in asked)


def test_the_plain_model_is_closer_than_a_fine_tune() -> None:
    asked = frozenset(document_terms("qwen3 4b"))
    names = ["Qwen3-4B", "Qwen3-VL-4B-Instruct", "Qwen3-4B-abliterated-by-me", None]
    shares = [closeness(asked, name) for name in names]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == 1
    assert shares[-1] == 0
