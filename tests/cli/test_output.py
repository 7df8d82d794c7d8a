"""How names are made to fit into a terminal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rkfetch.cli.output import columns_of, cut


def test_a_name_is_cut_in_the_middle() -> None:
    assert cut("Qwen2.5-1.5B_w4a16.rkllm", 24) == "Qwen2.5-1.5B_w4a16.rkllm"
    assert cut("Qwen2.5-1.5B_w4a16.rkllm", 15) == "Qwen2.5…6.rkllm"
    assert columns_of("通义") == 4
    assert cut("通义千问", 7) == "通…问"


@given(st.text(st.characters(exclude_characters="…"), max_size=60), st.integers(1, 60))
def test_nothing_is_wider_than_its_room(text: str, room: int) -> None:
    short = cut(text, room)
    assert columns_of(short) <= room
    head, was_cut, tail = short.partition("…")
    assert text.startswith(head)
    assert text.endswith(tail)
    assert was_cut or short == text
