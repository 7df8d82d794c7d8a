"""Several places for one file: other endpoints of the Hub, and stores of other machines."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from downloads import FILE, REPO, Watcher, always, artifact, quick_http
from hub.server import Fault, Hub
from neighbours import gives_out
from rkfetch.registry import endpoints, spread
from rkfetch.registry.errors import (
    AuthenticationError,
    IntegrityError,
    NetworkError,
    UnknownModelError,
    UsageError,
)
from rkfetch.registry.fetch import fetch
from rkfetch.registry.store import Store
from rkllm_files import rkllm_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rkfetch.registry.fetch import Fetched

CONTENT = rkllm_bytes(body_bytes=3 << 20)
SIZE = len(CONTENT)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NOBODY = "http://127.0.0.1:9"


def filled() -> Hub:
    hub = Hub()
    hub.__enter__()
    hub.add_repo(REPO).add_file(FILE, CONTENT)
    return hub


@pytest.fixture
def first(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    hub = filled()
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    yield hub
    hub.close()


@pytest.fixture
def second(first: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    hub = filled()
    monkeypatch.setenv("RKFETCH_ENDPOINTS", hub.endpoint)
    yield hub
    hub.close()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def get(store: Store, watcher: Watcher | None = None, **values: Any) -> Fetched:
    known = {"sha256": SHA256, "size_bytes": SIZE, **values}
    with quick_http() as client:
        done = fetch(artifact(**known), store=store, http=client, progress=watcher or Watcher())
    assert done.installed.path.read_bytes() == CONTENT
    return done


def came_whole_from(hub: Hub) -> bool:
    """Tell whether a hub sent every byte of the file, in whatever pieces.

    The end of a piece may come twice: another connection takes it over from one that is slow.
    """
    begins = re.compile(r"bytes=(\d+)")
    reached = 0
    for start, sent in sorted(
        (int(found[1]) if (found := begins.match(seen.range or "")) else 0, seen.sent_bytes)
        for seen in hub.data_requests()
    ):
        if start > reached:
            return False
        reached = max(reached, start + sent)
    return reached == SIZE


class TestHubs:
    def test_the_first_that_answers_is_taken(self, first: Hub, second: Hub, store: Store) -> None:
        assert get(store).installed.record.endpoint == first.endpoint
        assert second.requests == []

    @pytest.mark.parametrize("known", [{}, {"sha256": None, "size_bytes": None}])
    def test_a_dead_first_one_is_left(
        self, first: Hub, second: Hub, store: Store, known: dict[str, Any]
    ) -> None:
        first.stop_accepting()
        watcher = Watcher()
        assert get(store, watcher, **known).installed.record.endpoint == second.endpoint
        assert any(f"going on with {second.endpoint}" in wait for wait in watcher.waits)

    def test_a_dead_one_is_not_asked_first_again(
        self, first: Hub, second: Hub, store: Store
    ) -> None:
        store.root.mkdir()
        first.stop_accepting()
        get(store)
        store.remove(store.installed()[0])
        watcher = Watcher()
        get(store, watcher)
        assert watcher.waits == []

    @pytest.mark.parametrize("status", [403, 404, 500, 503])
    def test_one_that_does_not_give_it_out_is_left(
        self, first: Hub, second: Hub, store: Store, status: int
    ) -> None:
        first.break_it(Fault(origin="hub", status=status))
        assert get(store).installed.record.endpoint == second.endpoint

    def test_one_with_another_content_is_left(self, first: Hub, second: Hub, store: Store) -> None:
        first.repos[0].add_file(FILE, rkllm_bytes(seed=3))
        assert get(store).installed.record.endpoint == second.endpoint

    @pytest.mark.parametrize("connections", [1, 4])
    def test_the_next_one_goes_on_in_the_middle_of_the_file(
        self, first: Hub, second: Hub, store: Store, connections: int
    ) -> None:
        first.break_it(
            Fault(origin="cdn", drop_after=500_000), Fault(origin="cdn", status=502, after=3)
        )
        with always(connections, stride=400_000):
            done = get(store)
        assert done.installed.record.endpoint == second.endpoint
        assert first.data_bytes() > 300_000
        assert second.data_bytes() <= SIZE - 300_000 + 400_000 * (connections - 1)

    def test_without_a_digest_nothing_is_mixed(self, first: Hub, second: Hub, store: Store) -> None:
        """The same name elsewhere may be another file."""
        first.break_it(Fault(headers={"X-Linked-ETag": None}))
        first.break_it(Fault(origin="cdn", status=502, after=1), Fault(drop_after=500_000))
        second.repos[0].add_file(FILE, rkllm_bytes(body_bytes=3 << 20, seed=4))
        with pytest.raises(NetworkError):
            get(store, sha256=None, size_bytes=None)
        assert second.data_bytes() == 0

    @pytest.mark.parametrize("rate", [None, 2 << 20])
    def test_a_hostile_one_is_found_out_and_the_next_one_asked(
        self, first: Hub, second: Hub, store: Store, rate: int | None
    ) -> None:
        """Nothing that the first sent is kept, over however many connections the second is read."""
        first.break_it(Fault(flip_at=SIZE // 2))
        second.break_it(Fault(origin="cdn", rate=rate))
        watcher = Watcher()
        done = get(store, watcher)
        assert done.installed.record.endpoint == second.endpoint
        (restart,) = watcher.restarts
        assert "wrong SHA-256" in restart
        assert came_whole_from(second)

    @pytest.mark.parametrize("connections", [1, 4])
    def test_of_bytes_from_two_only_those_of_the_liar_are_fetched_again(
        self, first: Hub, second: Hub, store: Store, connections: int
    ) -> None:
        """The first sends wrong bytes, and dies in the middle of the file."""
        first.break_it(
            Fault(origin="cdn", flip_at=100_000, drop_after=500_000),
            Fault(origin="cdn", status=502, after=connections),
        )
        store.root.mkdir()
        watcher = Watcher()
        with always(connections, stride=400_000):
            done = get(store, watcher)
        assert "does not belong together" in watcher.restarts[0]
        assert done.installed.record.endpoint == second.endpoint
        assert SIZE <= second.data_bytes() < SIZE * 1.3
        first.faults.clear()
        first.forget()
        store.remove(store.installed()[0])
        get(store)
        assert first.requests == [], "who lied is asked last"

    def test_who_is_contradicted_by_nobody_is_not_blamed_for_what_an_earlier_run_left(
        self, first: Hub, second: Hub, store: Store
    ) -> None:
        first.break_it(Fault(origin="cdn", flip_at=100_000, drop_after=500_000))
        first.break_it(Fault(origin="cdn", status=502, after=1))
        second.break_it(Fault(origin="cdn", status=502))
        with pytest.raises(NetworkError):
            get(store)
        for hub in (first, second):
            hub.faults.clear()
            hub.forget()
        watcher = Watcher()
        get(store, watcher)
        assert watcher.resumed_from
        assert "does not belong together" in watcher.restarts[0]
        assert first.data_bytes() + second.data_bytes() < SIZE * 1.1
        assert "lied" not in (store.root / "endpoints.json").read_text().replace(
            'lied_until": 0', ""
        )

    def test_two_that_are_slow_work_together(
        self, first: Hub, second: Hub, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for hub in (first, second):
            hub.break_it(Fault(origin="cdn", rate=SIZE / 8))
        monkeypatch.setattr(spread, "_WINDOW_S", 0.5)
        monkeypatch.setattr(spread, "_WORTH_TRYING_S", 1.0)
        with always(1, stride=200_000):
            get(store)
        assert first.data_bytes() > SIZE / 4
        assert second.data_bytes() > SIZE / 4
        assert first.data_bytes() + second.data_bytes() < SIZE * 1.3

    def test_one_that_helps_and_fails_is_done_without(
        self, first: Hub, second: Hub, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first.break_it(Fault(origin="cdn", rate=SIZE / 4))
        second.break_it(Fault(origin="cdn", status=503))
        monkeypatch.setattr(spread, "_WINDOW_S", 0.3)
        monkeypatch.setattr(spread, "_WORTH_TRYING_S", 1.0)
        watcher = Watcher()
        with always(1, stride=200_000):
            assert get(store, watcher).installed.record.endpoint == first.endpoint
        assert second.requests
        assert any(f"going on with {first.endpoint}" in wait for wait in watcher.waits)

    def test_all_hostile_is_an_error(self, first: Hub, second: Hub, store: Store) -> None:
        first.break_it(Fault(flip_at=SIZE // 2))
        second.break_it(Fault(flip_at=SIZE // 2))
        with pytest.raises(IntegrityError, match="wrong SHA-256"):
            get(store)
        assert store.installed() == []

    def test_none_says_what_each_said(self, first: Hub, second: Hub, store: Store) -> None:
        first.stop_accepting()
        second.stop_accepting()
        with pytest.raises(NetworkError, match="refused the connection") as caught:
            get(store)
        assert sum("refused the connection" in line for line in caught.value.cause) == 1

    def test_the_last_ones_word_counts(self, first: Hub, second: Hub, store: Store) -> None:
        first.stop_accepting()
        second.repos[0].gated = "auto"
        with pytest.raises(AuthenticationError) as caught:
            get(store)
        assert f"{second.endpoint}/{REPO}" in (caught.value.hint or "")
        second.remove_repo(REPO)
        second.add_repo(REPO)
        with pytest.raises(UnknownModelError):
            get(store)


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The store of another board, given out by Python's own web server, which has no ranges."""
    asked: list[str] = []

    folder = tmp_path / "other" / "models"
    folder.mkdir(parents=True, exist_ok=True)
    with gives_out(tmp_path / "other", asked) as address:
        monkeypatch.setenv("RKFETCH_MIRRORS", f"{address}/models/")
        yield asked


@pytest.fixture
def other(tmp_path: Path, first: Hub, monkeypatch: pytest.MonkeyPatch) -> Store:
    """That board's store, with the file in it."""
    other = Store(tmp_path / "other")
    get(other)
    first.forget()
    return other


class TestMirrors:
    def test_a_neighbour_gives_what_the_hub_would(
        self, first: Hub, other: Store, mirror: list[str], store: Store
    ) -> None:
        done = get(store)
        assert done.installed.path.name == other.installed()[0].path.name
        assert first.requests == []
        assert (done.installed.record.endpoint or "").endswith("/models")

    def test_a_neighbour_without_it_costs_one_question(
        self, first: Hub, mirror: list[str], store: Store
    ) -> None:
        assert get(store).installed.record.endpoint == first.endpoint
        assert mirror == [f"GET /models/{SHA256}/record.json"]

    def test_what_no_catalog_knows_is_asked_of_the_hub_and_taken_from_the_neighbour(
        self, first: Hub, other: Store, mirror: list[str], store: Store
    ) -> None:
        get(store, sha256=None, size_bytes=None)
        assert first.data_bytes() == 0

    def test_a_hub_that_cannot_be_reached_is_not_needed(
        self, first: Hub, other: Store, mirror: list[str], store: Store
    ) -> None:
        first.stop_accepting()
        get(store)

    def test_a_damaged_neighbour_is_found_out(
        self, first: Hub, other: Store, mirror: list[str], store: Store
    ) -> None:
        (item,) = other.installed()
        content = bytearray(CONTENT)
        content[SIZE // 2] ^= 1
        item.path.write_bytes(content)
        assert get(store).installed.record.endpoint == first.endpoint

    @pytest.mark.parametrize(
        "record",
        [b"", b"<html>", b"[]", b"{}", b'{"schema_version": 1, "sha256": "x"}', b"[" * 100_000],
    )
    def test_what_is_no_store_is_left(
        self, first: Hub, other: Store, mirror: list[str], store: Store, record: bytes
    ) -> None:
        (other.installed()[0].path.parent / "record.json").write_bytes(record)
        assert get(store).installed.record.endpoint == first.endpoint

    def test_a_dead_neighbour_is_left(
        self, first: Hub, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("RKFETCH_MIRRORS", NOBODY)
        assert get(store).installed.record.endpoint == first.endpoint


class TestNames:
    def test_they_are_listed_in_order_and_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_ENDPOINT", "https://a.example/")
        monkeypatch.setenv("RKFETCH_ENDPOINTS", " https://b.example,https://a.example\nhttp://c/ ")
        assert endpoints.endpoints() == ["https://a.example", "https://b.example", "http://c"]
        assert endpoints.mirrors() == []

    @pytest.mark.parametrize("variable", ["RKFETCH_ENDPOINTS", "RKFETCH_MIRRORS"])
    @pytest.mark.parametrize("value", ["nas", "ftp://nas", "http://u:p@nas/", "http://[::1"])
    def test_what_is_no_address_is_said(
        self, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
    ) -> None:
        monkeypatch.setenv(variable, value)
        with pytest.raises(UsageError, match=variable):
            endpoints.mirrors() if variable == "RKFETCH_MIRRORS" else endpoints.endpoints()

    def test_the_token_goes_where_it_fits_only(
        self, first: Hub, second: Hub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("RKFETCH_ENDPOINTS", f"{second.endpoint} https://mirror.example")
        with quick_http(token="hf_x") as client:
            assert client.has_token_for(f"{first.endpoint}/x")
            assert client.has_token_for(f"{second.endpoint}/x")
            assert not client.has_token_for("https://mirror.example/x")


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"HF_HOME": "~/elsewhere"},
        {"XDG_CACHE_HOME": "/var/cache"},
        {"HF_HOME": "/data/hf", "HUGGINGFACE_HUB_CACHE": "$HOME/old"},
        {"HF_HUB_CACHE": "relative", "HF_HOME": "/data/hf", "HUGGINGFACE_HUB_CACHE": "/old"},
    ],
)
def test_the_cache_is_where_huggingface_hub_has_it(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name in ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    asked = "import huggingface_hub.constants as c; print(c.HF_HUB_CACHE)"
    said = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert str(endpoints.hub_cache()) == said.stdout.strip()
