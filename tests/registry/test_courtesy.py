"""An order to slow down holds for all who ask the same server."""

from __future__ import annotations

import pytest

from rkfetch.registry.courtesy import Courtesy

API = "https://hub.example/api/models/a/b"
FILES = "https://hub.example/a/b/resolve/main/m.rkllm"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {"retry-after": "7"}, 7),
        (503, {"retry-after": "3"}, 3),
        (429, {"ratelimit": '"api";r=0;t=55'}, 56),
        (200, {"ratelimit": '"api";r=0;t=55'}, 56),
        (429, {"retry-after": "86400"}, 310),
        (200, {"ratelimit": '"api";r=12;t=55'}, None),
        (200, {"retry-after": "7"}, None),
        (429, {}, None),
        (404, {"ratelimit": "nonsense"}, None),
    ],
)
def test_what_an_answer_orders(status: int, headers: dict[str, str], seconds: float | None) -> None:
    clock = Clock()
    courtesy = Courtesy(clock=clock, sleep=clock.sleep)
    courtesy.heard(API, status, headers)
    courtesy.wait(API)
    courtesy.wait(API)
    assert clock.slept == ([] if seconds is None else [seconds])


def test_api_and_files_are_counted_apart_and_so_are_servers() -> None:
    clock = Clock()
    courtesy = Courtesy(clock=clock, sleep=clock.sleep)
    courtesy.heard(API, 429, {"retry-after": "7"})
    courtesy.wait(FILES)
    courtesy.wait("https://other.example/api/models")
    assert clock.slept == []
    courtesy.wait("https://hub.example/api/models?search=rkllm")
    assert clock.slept == [7]


def test_a_shorter_order_does_not_shorten_a_longer_one() -> None:
    clock = Clock()
    courtesy = Courtesy(clock=clock, sleep=clock.sleep)
    courtesy.heard(API, 429, {"retry-after": "30"})
    courtesy.heard(API, 429, {"retry-after": "2"})
    courtesy.wait(API)
    assert clock.slept == [30]
