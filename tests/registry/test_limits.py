"""What a user may limit: bytes a second, and how urgent it is."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from rkfetch.registry.errors import UsageError
from rkfetch.registry.limits import Limiter, parse_rate


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("2M", 2e6),
        ("500k", 5e5),
        ("1.5MB/s", 1.5e6),
        (" 3 MiB ", 3e6),
        ("1000", 1000),
        ("0.5g", 5e8),
    ],
)
def test_rates_are_read_as_people_write_them(text: str, rate: float) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "fast", "-1M", "0", "999", "1e6", "2M/h", "٢M", "1.2345M"])
def test_what_is_no_rate_is_said(text: str) -> None:
    with pytest.raises(UsageError, match="is not a rate"):
        parse_rate(text)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_bytes_are_spread_over_time() -> None:
    clock = Clock()
    limiter = Limiter(1000.0, monotonic=lambda: clock.now, sleep=clock.sleep)
    for _ in range(100):
        limiter.spent(50)
    assert clock.now == pytest.approx(5.0)


def test_what_was_not_used_is_gone() -> None:
    clock = Clock()
    limiter = Limiter(1000.0, monotonic=lambda: clock.now, sleep=clock.sleep)
    clock.now = 100.0
    limiter.spent(1000)
    assert clock.now == pytest.approx(101.0)


def test_all_connections_together_keep_to_it() -> None:
    waits: list[float] = []
    limiter = Limiter(1000.0, monotonic=lambda: 0.0, sleep=waits.append)
    threads = [threading.Thread(target=limiter.spent, args=[100]) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(waits) == pytest.approx(1.0)


def test_without_a_limit_nobody_waits() -> None:
    def fail(_: float) -> None:
        raise AssertionError

    limiter = Limiter(None, sleep=fail)
    limiter.spent(1 << 40)
    assert limiter.at_once > 1 << 20


def test_small_rates_are_received_in_small_pieces() -> None:
    assert Limiter(50_000).at_once == 5000


def test_who_gives_way_is_last_at_processor_and_disk() -> None:
    program = (
        "from rkfetch.registry.limits import give_way; give_way(); import os, subprocess; "
        "print(os.nice(0)); "
        "print(subprocess.run(['ionice', '-p', str(os.getpid())], capture_output=True, text=True)"
        ".stdout.strip())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == [str(min(19, os.nice(0) + 19)), "idle"]
