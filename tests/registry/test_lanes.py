"""Several connections for one file: when there are more, who takes over, and what that costs."""

from __future__ import annotations

import hashlib
import random
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from downloads import (
    FILE,
    Watcher,
    always,
    artifact,
    fetch_in_process,
    quick_http,
    vouched_for,
)
from hub.server import Fault
from rkfetch.registry.errors import IntegrityError, NetworkError
from rkfetch.registry.hub import HubFile
from rkfetch.registry.limits import Limits
from rkfetch.registry.route import Route
from rkfetch.registry.store import Store
from rkfetch.registry.transfer import download
from rkllm_files import rkllm_bytes

if TYPE_CHECKING:
    from hub.server import Hub
    from rkfetch.registry.http import Http
    from rkfetch.registry.transfer import Downloaded

CONTENT = random.Random(1).randbytes(3 << 20)
SIZE = len(CONTENT)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def get(http: Http, partial: Path, watcher: Watcher | None = None, **values: Any) -> Downloaded:
    source = HubFile(http=http, artifact=artifact())
    done = download(http, [Route(source)], partial=partial, progress=watcher or Watcher(), **values)
    assert partial.read_bytes() == CONTENT
    assert done.sha256 == SHA256
    return done


class TestNumber:
    def test_a_server_that_limits_each_connection_gets_more_of_them(
        self, hub: Hub, http: Http, partial: Path
    ) -> None:
        hub.repos[0].add_file(FILE, CONTENT * 4)
        hub.break_it(Fault(origin="cdn", rate=4_000_000))
        source = HubFile(http=http, artifact=artifact())
        done = download(http, [Route(source)], partial=partial)
        assert partial.read_bytes() == CONTENT * 4
        assert done.requests > 1
        assert hub.data_bytes() < 4 * SIZE * 1.2

    def test_never_more_than_allowed(self, hub: Hub, http: Http, partial: Path) -> None:
        hub.break_it(Fault(origin="cdn", rate=1_000_000))
        assert get(http, partial, limits=Limits(connections=1)).requests == 1

    def test_pieces_cost_no_byte_twice(self, hub: Hub, http: Http, partial: Path) -> None:
        with always(4, stride=100_000):
            done = get(http, partial)
        assert done.received_bytes == SIZE
        assert done.requests >= SIZE // 100_000
        assert hub.data_bytes() < SIZE * 1.1

    def test_a_server_without_ranges_is_asked_once(
        self, hub: Hub, http: Http, partial: Path
    ) -> None:
        hub.break_it(Fault(ignore_range=True))
        watcher = Watcher()
        with always(4, stride=100_000):
            get(http, partial, watcher)
        assert len(watcher.restarts) <= 1
        assert hub.data_requests()[-1].status == 200

    def test_without_a_digest_and_a_validator_nothing_is_divided(
        self, hub: Hub, http: Http, partial: Path
    ) -> None:
        hub.break_it(Fault(headers={"ETag": None, "Last-Modified": None, "X-Linked-ETag": None}))
        with always(4, stride=100_000):
            assert get(http, partial).requests == 1

    def test_a_file_system_that_fills_holes_gets_its_bytes_in_order(
        self, hub: Hub, http: Http, partial: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("rkfetch.registry.partial.preallocate", lambda *_: False)
        with always(4, stride=100_000):
            assert get(http, partial).requests == 1


class TestTakingOver:
    def test_a_slow_connection_does_not_decide_the_end(
        self, hub: Hub, partial: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """At its own rate the first piece alone would take a minute."""
        hub.break_it(Fault(origin="cdn", rate=SIZE / 120, times=1))
        with quick_http(stall_timeout_s=60) as http, always(2, stride=SIZE // 2):
            began = time.monotonic()
            get(http, partial)
            assert time.monotonic() - began < 30

    def test_a_silent_connection_does_not_either(
        self, hub: Hub, partial: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("rkfetch.registry.crew._STALLED_AFTER_S", 0.2)
        hub.break_it(Fault(origin="cdn", stall_after=1000, stall_s=60, times=1))
        with quick_http(stall_timeout_s=50) as http, always(2, stride=SIZE // 2):
            began = time.monotonic()
            get(http, partial)
            assert time.monotonic() - began < 30


class TestFailures:
    def test_a_server_that_bears_two_connections_is_left_with_two(
        self, hub: Hub, http: Http, partial: Path
    ) -> None:
        hub.break_it(Fault(origin="cdn", status=503, after=2, times=6))
        with always(8, stride=100_000):
            get(http, partial)

    def test_a_wait_that_is_asked_for_is_waited_by_all(self, hub: Hub, partial: Path) -> None:
        waits: list[float] = []
        hub.break_it(
            Fault(origin="cdn", status=429, headers={"Retry-After": "7"}, after=3, times=1)
        )
        with quick_http(sleep=waits.append) as http, always(4, stride=100_000):
            get(http, partial)
        assert 7 in waits

    def test_two_versions_in_two_connections_are_never_mixed(
        self, hub: Hub, http: Http, partial: Path
    ) -> None:
        hub.break_it(Fault(origin="cdn", etag='"another"', after=3, times=2))
        watcher = Watcher()
        with always(4, stride=100_000):
            get(http, partial, watcher)
        assert watcher.restarts

    @pytest.mark.parametrize("connections", [1, 4])
    def test_tags_that_change_with_every_answer_end_in_a_file_all_the_same(
        self, hub: Hub, http: Http, partial: Path, connections: int
    ) -> None:
        """Two machines behind one name may tag one content differently; the SHA-256 decides."""
        for i in range(0, 400, 2):
            hub.break_it(Fault(origin="cdn", etag=f'"{i}"', after=i, times=1))
        hub.break_it(Fault(origin="cdn", drop_after=500_000))
        with always(connections, stride=100_000):
            get(http, partial)

    def test_drops_everywhere(self, hub: Hub, http: Http, partial: Path) -> None:
        hub.break_it(Fault(origin="cdn", drop_after=70_000))
        with always(4, stride=300_000):
            done = get(http, partial)
        assert done.received_bytes == SIZE

    def test_without_progress_it_ends(self, hub: Hub, http: Http, partial: Path) -> None:
        hub.break_it(Fault(origin="cdn", status=503, after=6))
        with always(4, stride=100_000), pytest.raises(NetworkError, match="503") as caught:
            get(http, partial)
        assert caught.value.cause[-1] == "gave up after 5 tries without progress"
        assert vouched_for(partial, SHA256, SIZE) >= 100_000

    def test_a_flipped_byte_in_any_piece_is_found(
        self, hub: Hub, http: Http, partial: Path
    ) -> None:
        hub.break_it(Fault(origin="cdn", flip_at=SIZE - 5))
        with always(4, stride=100_000), pytest.raises(IntegrityError, match="wrong SHA-256"):
            get(http, partial)
        assert list(partial.parent.iterdir()) == []


def test_after_a_kill_all_pieces_that_came_are_used(hub: Hub, tmp_path: Path) -> None:
    content = rkllm_bytes(body_bytes=24 << 20)
    size = len(content)
    hub.repos[0].add_file(FILE, content)
    sha256 = hashlib.sha256(content).hexdigest()
    store = Store(tmp_path / "store")
    hub.break_it(Fault(origin="cdn", rate=8_000_000))
    hub.hold(FILE, 20_000_000)
    partial = store.partial(sha256)
    child = fetch_in_process(hub, store.root, connections=8)
    here, before, deadline = 0, -1, time.monotonic() + 40
    try:
        while (here < 10_000_000 or here > before) and time.monotonic() < deadline:
            # It goes on until the Hub holds it, and what is on its way still comes in.
            time.sleep(0.5)
            here, before = partial.exists() and vouched_for(partial, sha256, size), here
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate(timeout=30)
    assert here > 10_000_000
    hub.heal()
    hub.forget()
    again = fetch_in_process(hub, store.root, connections=8)
    out, err = again.communicate(timeout=60)
    assert again.returncode == 0, err
    action, resumed, path = out.split()
    assert action == "downloaded"
    assert int(resumed) >= here
    assert hashlib.sha256(Path(path).read_bytes()).hexdigest() == sha256
    assert hub.data_bytes() <= len(content) - int(resumed) + (4 << 20)
