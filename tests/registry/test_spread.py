"""Whether a further place at the same time is worth having."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rkfetch.registry.spread import Spread

if TYPE_CHECKING:
    from collections.abc import Callable


def simulate(
    rate_of: Callable[[int], float],
    *,
    seconds: float,
    size: float = 1e10,
    settled: Callable[[float], bool] = lambda _: True,
) -> list[tuple[float, int]]:
    """Let two places bring bytes for a while; returns when how many places were at work."""
    spread, places, received, tried, history = Spread(), 1, 0.0, False, [(0.0, 1)]
    for tick in range(int(seconds * 10)):
        now = tick / 10
        rate = rate_of(places)
        received += rate / 10
        advice = spread.observe(
            now,
            int(received),
            settled=settled(now),
            seconds_left=(size - received) / rate,
            others=not tried,
        )
        if advice == "add":
            places, tried = 2, True
        elif advice == "drop":
            places = 1
        if history[-1][1] != places:
            history.append((now, places))
    return history


def test_a_second_place_that_brings_more_stays() -> None:
    history = simulate(lambda places: 1e6 * places, seconds=60)
    assert [places for _, places in history] == [1, 2]


def test_one_behind_the_same_bottleneck_is_given_up_soon_and_not_tried_again() -> None:
    history = simulate(lambda _: 1e6, seconds=300)
    assert [places for _, places in history] == [1, 2, 1]
    assert history[2][0] - history[1][0] < 6


def test_nothing_is_tried_for_a_download_that_ends_soon() -> None:
    assert simulate(lambda places: 1e6 * places, seconds=20, size=25e6) == [(0.0, 1)]


def test_nothing_is_tried_while_connections_are_still_being_found() -> None:
    never = simulate(lambda places: 1e6 * places, seconds=60, settled=lambda _: False)
    assert never == [(0.0, 1)]


def test_a_place_that_never_settles_is_judged_all_the_same() -> None:
    history = simulate(lambda _: 1e6, seconds=60, settled=lambda now: now < 6)
    assert [places for _, places in history] == [1, 2, 1]
