"""How a conversion shows itself in a log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rkfetch.cli.convert_progress import WatchingLines
from rkfetch.registry.convert.job import Event

if TYPE_CHECKING:
    import pytest


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def alive(**values: Any) -> Event:
    return Event(kind="alive", values={"seconds": 40.0, "rss_bytes": 422_000_000, **values})


def test_an_installation_of_minutes_says_now_and_then_what_it_does(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = Clock()
    watch = WatchingLines(clock)
    watch.step("installing rkllm-toolkit")
    for second in range(95):
        clock.now = float(second)
        watch.detail(f"Collecting package {second}")
    assert capsys.readouterr().err.splitlines() == [
        "installing rkllm-toolkit",
        *(f"    Collecting package {second}" for second in (30, 60, 90)),
    ]


def test_what_libraries_note_for_themselves_is_no_progress(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = Clock()
    watch = WatchingLines(clock)
    for second, written in ((30.0, 1), (60.0, 12_000_000)):
        clock.now = second
        watch.event(alive(written_bytes=written))
    assert capsys.readouterr().err.splitlines() == [
        "    working, 40 s, 422 MB of memory",
        "    working, 40 s, 422 MB of memory, 12 MB written",
    ]
