"""Servers that ask to wait, that are overloaded, and clocks that jump."""

from __future__ import annotations

import datetime as dt
import itertools
import time
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest

from downloads import quick_http
from faults.rig import SHA256, outcome, start
from hub.server import Fault
from rkfetch.registry.errors import NetworkError
from rkfetch.registry.http import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

    from faults.rig import Rig
    from faults.wire import Ask

    How = Callable[[Ask], None]

NOW = dt.datetime.now(dt.timezone.utc)
YEAR = dt.timedelta(days=365)
BRIEF = RetryPolicy(attempts=3, first_wait_s=0.01, longest_wait_s=0.02)


def busy(status: str, *lines: str) -> How:
    def answer(ask: Ask) -> None:
        ask.say(ask.head("Content-Length: 0", *lines, status=status, without=["Content-Range"]))

    return answer


ABSURD = {
    "a year": "Retry-After: 31536000",
    "18 digits": "Retry-After: " + "9" * 18,
    "a date in a year": f"Retry-After: {format_datetime(NOW + YEAR, usegmt=True)}",
    "a quota that is renewed in a year": 'RateLimit: "resolvers";r=0;t=31536000',
}
HARMLESS = {
    "nothing": "X-Nothing: 1",
    "a date in the past": f"Retry-After: {format_datetime(NOW - YEAR, usegmt=True)}",
    "a negative number": "Retry-After: -5",
    "a word": "Retry-After: soon",
    "zero": "Retry-After: 0",
    "5000 digits": "Retry-After: " + "9" * 5000,
    "a date that is none": "Retry-After: Fri, 99 Foo 9999 99:99:99 GMT",
    "a quota with some left": 'RateLimit: "resolvers";r=99;t=300',
    "a quota that is none": "RateLimit: nonsense",
}


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
@pytest.mark.parametrize("line", ABSURD.values(), ids=ABSURD)
def test_an_absurd_order_to_wait_ends_at_once(rig: Rig, line: str, status: str) -> None:
    rig.wire.misbehave(busy(status, line))
    began = time.monotonic()
    error = rig.fails(NetworkError)
    assert time.monotonic() - began < 5
    assert "asks to wait" in " ".join(error.cause)
    assert error.hint
    rig.wire.heal()
    rig.succeeds()


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
@pytest.mark.parametrize("line", HARMLESS.values(), ids=HARMLESS)
def test_a_storm_ends_in_an_error_or_passes(rig: Rig, line: str, status: str) -> None:
    rig.wire.misbehave(busy(status, line))
    error = rig.fails(NetworkError, http=quick_http(retries=BRIEF))
    assert "tries" in " ".join(error.cause)
    assert error.hint
    rig.wire.misbehave(busy(status, line), times=2)
    rig.succeeds()


@pytest.mark.parametrize("status", [429, 503])
def test_the_hub_itself_may_storm(rig: Rig, status: int) -> None:
    rig.hub.break_it(Fault(origin="hub", status=status, headers={"Retry-After": "31536000"}))
    error = rig.fails(NetworkError)
    assert "asks to wait" in " ".join(error.cause)
    assert rig.wire.asked == []
    assert not rig.store.root.exists()


def test_a_short_order_is_obeyed(rig: Rig) -> None:
    refused: list[float] = []

    def wait(ask: Ask) -> None:
        refused.append(time.monotonic())
        busy("429 Too Many Requests", "Retry-After: 1")(ask)

    rig.wire.misbehave(wait, times=1)
    rig.succeeds()
    assert time.monotonic() - refused[0] >= 1
    assert rig.watcher.waits


def test_a_date_is_read_by_the_clock_of_who_wrote_it(rig: Rig) -> None:
    """This machine's clock may be a year off; one second is meant all the same."""
    theirs = NOW - YEAR
    lines = (
        f"Date: {format_datetime(theirs, usegmt=True)}",
        f"Retry-After: {format_datetime(theirs + dt.timedelta(seconds=1), usegmt=True)}",
    )
    refused: list[float] = []

    def wait(ask: Ask) -> None:
        refused.append(time.monotonic())
        busy("429 Too Many Requests", *lines)(ask)

    rig.wire.misbehave(wait, times=1)
    rig.succeeds()
    assert time.monotonic() - refused[0] >= 1


@pytest.mark.parametrize("status", ["500", "502", "503", "504", "520", "429"])
def test_a_server_that_fails_every_other_time_is_lived_with(rig: Rig, status: str) -> None:
    turns = itertools.count()

    def sometimes(ask: Ask) -> None:
        if next(turns) % 2:
            busy(status)(ask)
        else:
            ask.say(ask.head() + ask.body[:60_000])

    rig.wire.misbehave(sometimes)
    done = rig.succeeds()
    assert rig.wire.misbehaved > 10
    assert done.bytes_downloaded < len(rig.wire.content) * 1.2


@pytest.mark.parametrize("days", [[400.0, -400.0], [-20_000.0, 0.0], [0.0, 3.0, -3.0]])
def test_a_clock_that_jumps_ends_nothing_and_delays_nothing(rig: Rig, days: list[float]) -> None:
    state = {"n": 0}

    def sometimes(ask: Ask) -> None:
        state["n"] += 1
        if state["n"] % 3 == 0:
            busy("503 Busy", "Retry-After: 0")(ask)
            return
        ask.say(ask.head() + ask.body[:30_000])
        ask.pause(0.02)
        ask.say(ask.body[30_000:60_000])

    rig.wire.misbehave(sometimes)
    told = outcome(start(rig, clock_jumps_days=days))
    assert (told["code"], told.get("sha256")) == (0, SHA256), told
    assert told["seconds"] < 15


@pytest.mark.parametrize("days", [[20_000.0, -20_000.0], [-20_000.0]])
def test_a_clock_that_jumps_does_not_keep_a_dead_link_alive(rig: Rig, days: list[float]) -> None:
    rig.then(lambda ask: ask.pause(30))
    told = outcome(
        start(rig, clock_jumps_days=days, attempts=2, env={"HF_HUB_DOWNLOAD_TIMEOUT": "0.3"})
    )
    assert told["code"] == 6
    assert told["seconds"] < 15
    rig.wire.heal()
    assert outcome(start(rig))["sha256"] == SHA256


@pytest.mark.parametrize(
    "value", ["", "0", "-1", "abc", "nan", "inf", "1e400", "0x10", "\uff15", "1" * 400]
)
def test_a_time_out_that_makes_no_sense_does_no_harm(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", value)
    rig.succeeds(http=quick_http(stall_timeout_s=None))
