"""Who brings what: every byte once, nobody idle, nothing forgotten."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rkfetch.registry import spans as spans_module
from rkfetch.registry.spans import Division, Spans

if TYPE_CHECKING:
    from rkfetch.registry.spans import Piece

SIZE = 60

intervals = st.tuples(st.integers(0, SIZE), st.integers(0, SIZE))


@given(
    changes=st.lists(st.tuples(st.booleans(), intervals), max_size=12),
    size=st.integers(0, SIZE),
    window=intervals,
)
def test_it_is_a_set_of_bytes(
    changes: list[tuple[bool, tuple[int, int]]], size: int, window: tuple[int, int]
) -> None:
    spans, model = Spans(), set[int]()
    for is_added, (start, end) in changes:
        if is_added:
            spans.add(start, end)
            model |= set(range(start, end))
        else:
            spans.remove(start, end)
            model -= set(range(start, end))
    kept = list(spans)
    assert {i for start, end in kept for i in range(start, end)} == model
    assert all(start < end for start, end in kept)
    assert all(one[1] < two[0] for one, two in itertools.pairwise(kept))
    assert spans.total == len(model)
    assert spans.end == max(model, default=-1) + 1
    assert spans.prefix == next(i for i in range(SIZE + 1) if i not in model)
    gaps = {i for start, end in spans.gaps(size) for i in range(start, end)}
    assert gaps == set(range(size)) - model
    within = {i for start, end in spans.within(*window) for i in range(start, end)}
    assert within == model & set(range(*window))
    assert Spans(kept) == spans == spans.copy()


@pytest.fixture(autouse=True)
def few_bytes_are_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans_module, "LEAST_THEFT", 1)


class Dividing(RuleBasedStateMachine):
    """Connections that take, bring, give up and take over in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.division = Division(SIZE, Spans([(10, 15)]))
        self.pieces: list[Piece] = []

    @rule(stride=st.one_of(st.none(), st.integers(1, 20)))
    def take(self, stride: int | None) -> None:
        piece = self.division.take(stride)
        if piece is not None:
            assert piece.left > 0
            self.pieces.append(piece)

    @rule(stride=st.integers(1, 20), rate=st.floats(0, 100), least_s=st.floats(0, 10))
    def steal(self, stride: int, rate: float, least_s: float) -> None:
        free = self.division.take(None)
        if free is not None:
            self.division.release(free)
            return  # there is something that nobody has: no need to steal
        piece = self.division.steal(stride, rate=rate, least_s=least_s)
        if piece is not None:
            assert piece.left > 0
            self.pieces.append(piece)

    @precondition(lambda self: self.pieces)
    @rule(data=st.data(), count=st.integers(1, 30), rate=st.floats(0, 100))
    def bring(self, data: st.DataObject, count: int, rate: float) -> None:
        piece = data.draw(st.sampled_from(self.pieces))
        before, left = piece.position, piece.left
        useful = self.division.advance(piece, count)
        assert useful == min(count, left)
        assert piece.position == before + useful
        piece.rate = rate

    @precondition(lambda self: self.pieces)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        piece = data.draw(st.sampled_from(self.pieces))
        self.pieces.remove(piece)
        self.division.release(piece)

    @precondition(lambda self: self.pieces)
    @rule(data=st.data())
    def stall(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.pieces)).stalled = True

    @rule(interval=intervals)
    def lose(self, interval: tuple[int, int]) -> None:
        held = Spans((p.position, p.end) for p in self.pieces)
        self.division.lose(*interval)
        assert held == Spans((p.position, p.end) for p in self.pieces)

    @invariant()
    def nobody_brings_what_another_brings(self) -> None:
        held = sorted((p.position, p.end) for p in self.pieces if p.left)
        assert all(one[1] <= two[0] for one, two in itertools.pairwise(held))

    def teardown(self) -> None:
        for piece in list(self.pieces):
            self.division.advance(piece, piece.left)
            self.division.release(piece)
        while (piece_ := self.division.take(7)) is not None:
            self.division.advance(piece_, 7)
            self.division.release(piece_)
        assert self.division.is_complete


TestDividing = Dividing.TestCase


def test_a_far_longer_piece_is_cut_off_near_its_beginning() -> None:
    division = Division(1000, Spans())
    whole = division.take(None)
    assert whole is not None
    taken = division.steal(100, rate=1, least_s=1)
    assert taken is not None
    assert (whole.end, taken.position, taken.end) == (100, 100, 200)


def test_the_last_piece_is_shared_by_speed() -> None:
    division = Division(100, Spans())
    slow = division.take(None)
    assert slow is not None
    slow.rate = 1
    taken = division.steal(100, rate=9, least_s=1)
    assert taken is not None
    assert (slow.end, taken.position, taken.end) == (10, 10, 100)
    assert division.steal(100, rate=9, least_s=20) is None


def test_whoever_is_silent_loses_all() -> None:
    division = Division(100, Spans())
    silent = division.take(None)
    assert silent is not None
    division.advance(silent, 3)
    silent.stalled = True
    taken = division.steal(100, rate=1, least_s=1000)
    assert taken is not None
    assert (silent.left, taken.position, taken.end) == (0, 3, 100)


def test_what_is_being_written_is_not_taken_over() -> None:
    division = Division(100, Spans())
    silent = division.take(None)
    assert silent is not None
    assert division.claim(silent, 30) == 30
    silent.stalled = True
    taken = division.steal(100, rate=1, least_s=1)
    assert taken is not None
    assert (silent.end, taken.position, taken.end) == (30, 30, 100)
    assert division.advance(silent, 30) == 30
    assert division.claim(silent, 30) == 0
