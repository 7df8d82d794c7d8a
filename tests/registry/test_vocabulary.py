"""A vocabulary that was read once is jumped over, and a wrong memory is found out."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rkfetch.registry.rkllm_read import read_rkllm
from rkfetch.registry.vocabulary import Span
from rkllm_files import rkllm_bytes

VOCABULARY = 40_000
"""Tokens: the keys behind them begin some 2 MB into the file."""


class Remembered(dict[str, Span]):
    """Spans in memory."""

    def recall(self, beginning: str) -> Span | None:
        return self.get(beginning)

    def learn(self, beginning: str, span: Span) -> None:
        self[beginning] = span


class Counted:
    """A file in memory that counts what is read of it."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.requests = self.read_bytes = 0

    def size(self) -> int:
        return len(self._data)

    def read(self, start: int, length: int) -> bytes:
        assert start >= 0
        assert length >= 0
        data = self._data[start : start + length]
        self.requests += 1
        self.read_bytes += len(data)
        return data

    def tail(self, length: int) -> bytes:
        return self.read(len(self._data) - length, length)


def late(**options: object) -> bytes:
    return rkllm_bytes(keys_last=True, vocabulary=VOCABULARY, **options)  # type: ignore[arg-type]


def facts(data: bytes, memory: Remembered) -> tuple[tuple[object, ...], Counted]:
    source = Counted(data)
    said = read_rkllm(source, vocabularies=memory)
    true = read_rkllm(Counted(data), full=True)
    told = (said.toolkit, said.platform, said.max_context, said.npu_cores, said.architecture)
    assert told == (
        true.toolkit,
        true.platform,
        true.max_context,
        true.npu_cores,
        true.architecture,
    )
    return told, source


def test_one_reading_through_serves_all_files_with_that_vocabulary() -> None:
    memory = Remembered()
    _, first = facts(late(), memory)
    assert first.read_bytes > 1_000_000
    _, second = facts(late(toolkit="1.3.0", platform="rk3588", max_context=16384), memory)
    # The directory of this small model lies in the second piece, so that the trailer counts.
    assert (second.requests, second.read_bytes) == (3, 2 * 16384 + 64)


def test_the_head_alone_is_read_where_it_tells_everything() -> None:
    _, source = facts(rkllm_bytes(vocabulary=VOCABULARY), Remembered())
    assert (source.requests, source.read_bytes) == (1, 16384)


def test_a_trailer_is_read_where_only_the_toolkit_is_missing() -> None:
    early = rkllm_bytes(vocabulary=VOCABULARY, version_key=False, toolkit="1.1.4")
    _, source = facts(early, Remembered())
    assert (source.requests, source.read_bytes) == (2, 16384 + 64)


def test_keys_behind_a_known_vocabulary_without_a_version_take_the_trailer_too() -> None:
    memory = Remembered()
    facts(late(), memory)
    _, source = facts(late(version_key=False, toolkit="1.1.4"), memory)
    assert source.requests <= 4
    assert source.read_bytes < 100_000


def test_another_vocabulary_with_the_same_beginning_is_read_through_and_learnt() -> None:
    memory = Remembered()
    facts(late(), memory)
    (mark,) = memory
    shorter = rkllm_bytes(keys_last=True, vocabulary=VOCABULARY - 5)
    facts(shorter, memory)
    # Their counts differ, so that they are told apart; a memory that is wrong all the same:
    wrong = Span(length=memory[mark].length - 3, keys=memory[mark].keys)
    memory[mark] = wrong
    facts(late(), memory)
    assert memory[mark] != wrong


@pytest.mark.parametrize("span", [Span(length=1 << 40, keys=3), Span(length=1, keys=4000)])
def test_an_absurd_memory_does_no_harm(span: Span) -> None:
    memory = Remembered()
    facts(late(), memory)
    (mark,) = memory
    memory[mark] = span
    facts(late(), memory)


@settings(max_examples=60)
@given(st.integers(1, 3_000_000), st.integers(0, 5))
def test_whatever_is_remembered_the_facts_are_those_of_the_file(length: int, keys: int) -> None:
    memory = Remembered()
    facts(LATE, memory)
    (mark,) = memory
    memory[mark] = Span(length=length, keys=keys)
    facts(LATE, memory)


def test_a_file_that_is_cut_off_behind_its_head_is_no_less_known() -> None:
    memory = Remembered()
    facts(late(), memory)
    torn = late()[:100_000]
    assert read_rkllm(Counted(torn), vocabularies=memory).complete is False


LATE = rkllm_bytes(keys_last=True, vocabulary=6_000, body_bytes=2_000)
