"""In which order places are asked, after they behaved one way or the other."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rkfetch.registry.health import Health
from rkfetch.registry.mirror import MirrorFile
from rkfetch.registry.route import Route

if TYPE_CHECKING:
    from pathlib import Path

A, B, C = "http://a", "http://b", "http://c"


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "endpoints.json"


@pytest.fixture
def clock() -> Clock:
    return Clock()


def order(path: Path, clock: Clock) -> list[str]:
    routes = [
        Route(MirrorFile(http=None, base=base, sha256="", name=""))  # type: ignore[arg-type]
        for base in (A, B, C)
    ]
    return [route.source.place for route in Health(path, clock=clock).ordered(routes)]


def test_nothing_is_known_at_first(path: Path, clock: Clock) -> None:
    assert order(path, clock) == [A, B, C]
    assert not path.exists()


def test_who_failed_rests_longer_each_time(path: Path, clock: Clock) -> None:
    health = Health(path, clock=clock)
    health.failed(A)
    assert order(path, clock) == [B, C, A]
    clock.now += 61
    assert order(path, clock) == [A, B, C]
    health.failed(A)
    clock.now += 61
    assert order(path, clock) == [B, C, A]
    for _ in range(50):
        health.failed(A)
    clock.now += 1801
    assert order(path, clock) == [A, B, C]


def test_who_worked_is_forgiven(path: Path, clock: Clock) -> None:
    health = Health(path, clock=clock)
    health.failed(A)
    health.worked(A)
    assert order(path, clock) == [A, B, C]


def test_who_lied_is_asked_last_for_a_day(path: Path, clock: Clock) -> None:
    health = Health(path, clock=clock)
    health.lied(A)
    health.failed(B)
    assert order(path, clock) == [C, B, A]
    clock.now += 86_401
    assert order(path, clock) == [A, B, C]


def test_a_clock_that_was_wrong_rests_nobody_for_ever(path: Path, clock: Clock) -> None:
    clock.now += 1e9
    Health(path, clock=clock).failed(A)
    Health(path, clock=clock).lied(B)
    clock.now -= 1e9
    assert order(path, clock) == [A, B, C]


def test_two_processes_do_not_forget_each_others_places(path: Path, clock: Clock) -> None:
    one, two = Health(path, clock=clock), Health(path, clock=clock)
    one.failed(A)
    two.failed(B)
    assert order(path, clock) == [C, A, B]


def test_a_link_in_the_folder_is_not_followed(path: Path, clock: Clock) -> None:
    precious = path.with_name("precious")
    precious.write_text("precious")
    path.with_name(f".{path.name}.tmp").symlink_to(precious)
    path.symlink_to(precious)
    Health(path, clock=clock).failed(A)
    assert precious.read_text() == "precious"
    assert order(path, clock) == [B, C, A]
    assert not list(path.parent.glob(".endpoints-*"))


def test_a_folder_that_cannot_be_written_is_no_obstacle(tmp_path: Path, clock: Clock) -> None:
    Health(tmp_path / "none" / "endpoints.json", clock=clock).failed(A)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.one_of(
        st.binary(max_size=50),
        st.fixed_dictionaries(
            {
                "schema_version": st.sampled_from([1, 2, None]),
                "places": st.one_of(
                    st.none(),
                    st.dictionaries(
                        st.sampled_from([A, B]),
                        st.one_of(
                            st.text(),
                            st.dictionaries(
                                st.sampled_from(["failures", "rests_until", "lied_until"]),
                                st.one_of(st.none(), st.floats(), st.text(), st.integers()),
                            ),
                        ),
                    ),
                ),
            }
        ).map(lambda v: json.dumps(v).encode()),
    )
)
def test_whatever_is_in_the_file_all_places_are_asked(
    path: Path, clock: Clock, values: bytes
) -> None:
    path.write_bytes(values)
    assert sorted(order(path, clock)) == [A, B, C]
