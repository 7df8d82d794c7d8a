"""What is shown while a file is read: nothing if that is quick."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rkfetch.cli.progress import JsonLines, ReadingBar, ReadingLines

if TYPE_CHECKING:
    import pytest


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_quick_reading_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    lines = ReadingLines("reading x.rkllm", clock)
    lines.phase("verify")
    lines.started(1000, 0)
    for done in (300, 600, 1000):
        clock.now += 0.3
        lines.advanced(done)
    assert capsys.readouterr().err == ""


def test_a_long_one_says_what_how_far_and_how_fast(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    lines = ReadingLines("reading x.rkllm", clock)
    lines.started(4_000_000_000, 0)
    clock.now = 2.0
    lines.advanced(1_000_000_000)
    assert capsys.readouterr().err.splitlines() == [
        "reading x.rkllm",
        "  1 GB (25 %), 500 MB/s, 6 s left",
    ]


def test_the_bar_waits_too(capsys: pytest.CaptureFixture[str]) -> None:
    bar = ReadingBar("reading x.rkllm")
    bar.started(1000, 0)
    bar.advanced(1000)
    bar.close()
    assert capsys.readouterr().err == ""


def test_programs_are_told_from_the_beginning(capsys: pytest.CaptureFixture[str]) -> None:
    lines = JsonLines(Clock(), doing="verifying", phase="verify")
    lines.started(1000, 0)
    lines.advanced(1000)
    said = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert said[-1] == {"status": "verifying", "phase": "verify", "total": 1000, "completed": 1000}
