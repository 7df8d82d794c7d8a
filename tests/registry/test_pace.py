"""How many connections are found worth having, on links that behave one way or the other."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from rkfetch.registry.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Callable


def run(
    pace: Pace, rate_of: Callable[[int], float], seconds: float, *, answer_s: float = 0.02
) -> list[tuple[float, int]]:
    """Let a link of so many bytes per second at so many connections run; when it changed."""
    changes, received, now = [(0.0, pace.wanted)], 0.0, 0.0
    while now < seconds:
        now += 0.02
        received += 0.02 * rate_of(pace.wanted)
        pace.observe(
            now, int(received), at_work=pace.wanted, delivering=pace.wanted, answer_s=answer_s
        )
        if pace.wanted != changes[-1][1]:
            changes.append((now, pace.wanted))
    return changes


def test_one_that_fills_the_link_stays_alone() -> None:
    changes = run(Pace(most=8), lambda n: 1e7, 9)
    assert changes[-1][1] == 1
    assert changes[-1][0] < 1


def test_a_limit_for_each_is_met_with_all_that_are_allowed_and_soon() -> None:
    changes = run(Pace(most=8), lambda n: n * 1e6, 9)
    assert [n for _, n in changes] == [1, 4, 8]
    assert changes[-1][0] < 0.5


def test_far_away_several_begin() -> None:
    changes = run(Pace(most=8, round_trip_s=0.2), lambda n: n * 1e6, 9, answer_s=0.2)
    assert [n for _, n in changes] == [4, 8]


def test_who_is_too_many_is_let_end_before_fewer_are_judged() -> None:
    pace = Pace(most=8)
    run(pace, lambda n: min(n, 4) * 1e6, 5)
    assert pace.wanted == 4
    now, received = 5.0, 0.0
    while now < 60:
        now += 0.02
        received += 0.02 * 4e6
        pace.observe(now, int(received), at_work=8, delivering=8, answer_s=0.02)
    assert pace.wanted >= 2


@pytest.mark.parametrize("most", [1, 2, 3, 5, 16])
def test_never_more_than_allowed(most: int) -> None:
    changes = run(Pace(most=most), lambda n: n * 1e6, 60)
    assert max(n for _, n in changes) == most


def test_a_link_that_four_fill_gets_four() -> None:
    changes = run(Pace(most=16), lambda n: min(n, 4) * 1e6, 9)
    assert changes[-1][1] == 4


def test_too_many_are_found_out_later() -> None:
    """TCP's slow start makes more connections look better at first than they are."""
    pace = Pace(most=8)
    run(pace, lambda n: n * 1e6, 3)
    assert pace.wanted == 8
    changes = run(pace, lambda n: 8e6, 0)
    del changes
    now, received = 3.0, 0.0
    while now < 30:
        now += 0.02
        received += 0.02 * 8e6
        n = pace.wanted
        pace.observe(now, int(received), at_work=n, delivering=n, answer_s=0.02)
    assert pace.wanted == 1


def test_a_link_that_becomes_limited_is_looked_at_again() -> None:
    pace = Pace(most=8)
    run(pace, lambda n: 1e7, 5)
    assert pace.wanted == 1
    now, received = 5.0, 0.0
    while now < 40:
        now += 0.02
        received += 0.02 * pace.wanted * 1e6
        n = pace.wanted
        pace.observe(now, int(received), at_work=n, delivering=n, answer_s=0.02)
    assert pace.wanted == 8


def test_looking_becomes_rarer() -> None:
    changes = run(Pace(most=8), lambda n: 1e7, 3000)
    after_the_start = [at for at, n in changes if n > 1 and at > 1]
    assert len(after_the_start) <= 14
    waits = [b - a for a, b in itertools.pairwise(after_the_start)]
    assert waits == sorted(waits) or max(waits) <= 310


def test_a_server_that_asks_for_less_gets_less_for_good() -> None:
    pace = Pace(most=8)
    run(pace, lambda n: n * 1e6, 3)
    assert pace.wanted == 8
    pace.hold_back()
    assert pace.wanted == 4
    assert run(pace, lambda n: n * 1e6, 60)[-1][1] == 4
    for _ in range(5):
        pace.hold_back()
    assert pace.wanted == 1


def test_connections_that_never_bring_anything_do_not_hold_it_up() -> None:
    pace = Pace(most=8)
    received = 0
    for i in range(600):
        now = i / 50
        received += 1000
        pace.observe(now, received, at_work=1, delivering=1, answer_s=0.02)
    assert pace.wanted == 1
