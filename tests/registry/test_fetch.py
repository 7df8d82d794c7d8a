"""From an artifact to a file in the store, with real processes that are killed and that meet."""

from __future__ import annotations

import hashlib
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from downloads import FILE, REPO, Watcher, artifact, fetch_in_process, vouched_for
from hub.server import Fault
from rkfetch.registry.cleanup import gc_plan
from rkfetch.registry.errors import (
    AuthenticationError,
    IntegrityError,
    NetworkError,
    OfflineError,
)
from rkfetch.registry.fetch import fetch, installed
from rkfetch.registry.http import Http
from rkfetch.registry.store import Store
from rkllm_files import rkllm_bytes

if TYPE_CHECKING:
    import subprocess

    from hub.server import Hub
    from rkfetch.registry.fetch import Fetched
    from rkfetch.registry.rkllm import RkllmFacts

CONTENT = rkllm_bytes(body_bytes=8 << 20)
SIZE = len(CONTENT)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def get(store: Store, http: Http, **values: Any) -> Fetched:
    return fetch(artifact(**values), store=store, http=http, progress=Watcher())


def files(store: Store) -> set[str]:
    found = {path.name for path in store.root.rglob("*") if path.is_file()}
    return {name for name in found if not name.endswith(".lock")}


class TestFetch:
    def test_what_arrives_is_recorded_with_where_it_came_from(
        self, hub: Hub, store: Store, http: Http
    ) -> None:
        watcher = Watcher()
        done = fetch(
            artifact(),
            store=store,
            http=http,
            progress=watcher,
            record_extra={"model": "Qwen2.5-1.5B-Instruct", "verdict": "exact"},
        )
        assert (done.action, done.bytes_downloaded) == ("downloaded", SIZE)
        assert done.installed.path.read_bytes() == CONTENT
        record = done.installed.record
        assert (record.sha256, record.size_bytes) == (SHA256, SIZE)
        assert (record.repo, record.path, record.revision) == (REPO, FILE, hub.repos[0].commit)
        assert (record.model, record.verdict) == ("Qwen2.5-1.5B-Instruct", "exact")
        assert record.attributes["toolkit"] == {"value": "1.2.3", "origin": "header"}
        assert record.endpoint == hub.endpoint
        assert record.fetched_at.endswith("+00:00")
        assert watcher.phases == ["download", "verify", "install"]
        assert files(store) == {"qwen_w4a16.rkllm", "record.json"}

    @pytest.mark.parametrize("known", [{}, {"sha256": SHA256, "size_bytes": SIZE}])
    def test_a_second_time_asks_nobody(
        self, hub: Hub, store: Store, http: Http, known: dict[str, Any]
    ) -> None:
        first = get(store, http, **known)
        hub.forget()
        second = get(store, http, **known)
        assert (second.action, second.installed) == ("present", first.installed)
        assert hub.requests == []

    def test_the_same_content_from_elsewhere_is_not_downloaded_again(
        self, hub: Hub, store: Store, http: Http
    ) -> None:
        first = get(store, http)
        hub.add_repo("bob/copy").add_file("copy.rkllm", CONTENT)
        hub.forget()
        again = get(store, http, repo="bob/copy", path="copy.rkllm")
        assert (again.action, again.installed) == ("present", first.installed)
        assert hub.data_bytes() == 0

    def test_another_commit_is_another_file(self, hub: Hub, store: Store, http: Http) -> None:
        old = hub.repos[0].commit
        get(store, http)
        hub.repos[0].add_file(FILE, rkllm_bytes(seed=5))
        assert installed(store, artifact()) is not None
        assert installed(store, artifact(revision=old)) is not None
        assert installed(store, artifact(revision=hub.repos[0].commit)) is None
        new = get(store, http, revision=hub.repos[0].commit)
        assert new.action == "downloaded"
        assert len(store.installed()) == 2

    def test_offline_gives_what_is_here_and_nothing_else(
        self, hub: Hub, store: Store, http: Http
    ) -> None:
        with Http(offline=True) as offline:
            with pytest.raises(OfflineError):
                get(store, offline)
            get(store, http)
            assert get(store, offline).action == "present"

    def test_a_plain_server_is_verified_by_what_it_sends(
        self, hub: Hub, store: Store, http: Http
    ) -> None:
        small = rkllm_bytes()
        hub.repos[0].add_file("plain.rkllm", small, lfs=False)
        base = f"{hub.endpoint}/{REPO}/resolve/main"
        done = get(store, http, source="other", repo=base, path="plain.rkllm")
        assert done.installed.record.sha256 == hashlib.sha256(small).hexdigest()
        assert get(store, http, source="other", repo=base, path="plain.rkllm").action == "present"


class TestRefusal:
    def test_replaced_upstream_is_known_before_any_byte(
        self, hub: Hub, store: Store, http: Http
    ) -> None:
        with pytest.raises(IntegrityError, match="was replaced upstream") as caught:
            get(store, http, sha256="0" * 64)
        assert (caught.value.expected, caught.value.actual) == ("0" * 64, SHA256)
        assert caught.value.hint == "rkfetch catalog update"
        assert hub.data_bytes() == 0
        assert not store.root.exists()

    @pytest.mark.parametrize("sha256", ["/tmp/x".ljust(64, "x"), "../../../esc", "A" * 64, ""])
    def test_a_digest_that_is_none_asks_nobody_and_writes_nothing(
        self, hub: Hub, store: Store, http: Http, sha256: str
    ) -> None:
        with pytest.raises(IntegrityError, match=r"SHA-256 of .* is none"):
            get(store, http, sha256=sha256)
        assert hub.requests == []
        assert not store.root.exists()

    def test_a_login_page_for_everything_is_no_hub(
        self, hub: Hub, store: Store, http: Http
    ) -> None:
        names = ("X-Repo-Commit", "X-Linked-ETag", "X-Linked-Size")
        page = b"<html><title>Log in</title></html>"
        hub.break_it(Fault(status=200, body=page, headers=dict.fromkeys(names)))
        for known in ({}, {"sha256": SHA256, "size_bytes": SIZE}):
            with pytest.raises(NetworkError, match="does not answer like a Hub") as caught:
                get(store, http, **known)
            assert caught.value.exit_code == 6
        assert not store.root.exists()

    def test_a_hostile_mirror_is_measured_by_the_catalog(
        self, hub: Hub, store: Store, http: Http
    ) -> None:
        hub.break_it(Fault(method="HEAD", headers={"X-Linked-ETag": None}), Fault(flip_at=9))
        with pytest.raises(IntegrityError, match="a wrong SHA-256"):
            get(store, http, sha256=SHA256)
        assert files(store) == set()

    def test_a_header_that_contradicts_the_plan_never_gets_a_name(
        self, hub: Hub, store: Store, http: Http
    ) -> None:
        seen: list[RkllmFacts] = []

        def check(facts: RkllmFacts) -> str | None:
            seen.append(facts)
            return "its label says rk3588, its header says rk3576"

        with pytest.raises(IntegrityError, match="its label says rk3588"):
            fetch(artifact(), store=store, http=http, progress=Watcher(), check=check)
        assert seen[0].format == "rkllm"
        assert files(store) == set()
        assert len(hub.data_requests()) == 1

    @pytest.mark.parametrize(
        ("content", "word"),
        [(b'{"error": "Not found, we are very sorry"}', "JSON"), (b"GGUF" + bytes(99), "GGUF")],
    )
    def test_a_file_that_is_no_model_is_named(
        self, hub: Hub, store: Store, http: Http, content: bytes, word: str
    ) -> None:
        hub.repos[0].add_file("bad.rkllm", content)
        with pytest.raises(IntegrityError, match=r"it is no \.rkllm file but") as caught:
            get(store, http, path="bad.rkllm")
        assert word in caught.value.message
        assert files(store) == set()

    def test_other_kinds_of_files_are_taken_as_they_are(
        self, hub: Hub, store: Store, http: Http
    ) -> None:
        hub.repos[0].add_file("tokenizer.json", b"{}", lfs=False)
        hub.repos[0].add_file("vision.rknn", b"<html></html>")
        assert get(store, http, path="tokenizer.json").installed.path.name == "tokenizer.json"
        with pytest.raises(IntegrityError, match=r"no \.rknn file"):
            get(store, http, path="vision.rknn")

    def test_gated(self, hub: Hub, store: Store, http: Http) -> None:
        hub.add_repo("bob/gated", gated="auto").add_file("x.rkllm", CONTENT)
        with pytest.raises(AuthenticationError) as caught:
            get(store, http, repo="bob/gated", path="x.rkllm")
        assert caught.value.exit_code == 5

    @pytest.mark.parametrize("path", ["../../../evil.rkllm", "/abs.rkllm", "a/../../x.rkllm"])
    def test_a_hostile_path_is_not_asked_for(
        self, hub: Hub, store: Store, http: Http, path: str
    ) -> None:
        with pytest.raises(IntegrityError):
            get(store, http, path=path)
        assert hub.requests == []

    @pytest.mark.parametrize(
        "path", ["a\nb\x1b[2J.rkllm", "\u202ellkr.rkllm", "x" * 3000 + ".rkllm"]
    )
    def test_an_odd_name_is_kept_under_a_harmless_one(
        self, hub: Hub, store: Store, http: Http, path: str
    ) -> None:
        hub.repos[0].add_file(path, rkllm_bytes(body_bytes=4096))
        item = get(store, http, path=path).installed
        assert item.path.parent.parent == store.root / "models"
        assert item.path.name.isprintable()
        assert item.record.path == path


def kill_at(hub: Hub, store: Store, share: float) -> int:
    """Kill a process after a share of the bytes; return what its journal vouches for."""
    hold = hub.hold(FILE, int(SIZE * share))
    child = fetch_in_process(hub, store.root)
    assert hold.reached.wait(30)
    partial = store.partial(SHA256)
    deadline = time.monotonic() + 10
    while partial.stat().st_size < int(SIZE * share) and time.monotonic() < deadline:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=30)
    hub.heal()
    return vouched_for(partial, SHA256, SIZE)


def output(child: subprocess.Popen[str]) -> tuple[list[str], str]:
    out, err = child.communicate(timeout=60)
    assert child.returncode == 0, err
    return out.split(), err


class TestProcesses:
    def test_power_loss_at_forty_percent(self, hub: Hub, store: Store) -> None:
        durable = kill_at(hub, store, 0.4)
        assert durable == int(SIZE * 0.4)
        partial = store.partial(SHA256)
        with partial.open("r+b") as file:
            # The last block, which no journal vouches for, comes back torn.
            file.seek(durable)
            file.write(b"\0" * 50_000)
        hub.forget()
        (action, resumed, path), _ = output(fetch_in_process(hub, store.root))
        assert (action, int(resumed)) == ("downloaded", durable)
        (request,) = hub.data_requests()
        assert request.range == f"bytes={durable}-"
        assert request.headers["if-range"] == hub.repos[0].head.files[FILE].etag
        assert hub.data_bytes() == SIZE - durable
        assert Path(path).read_bytes() == CONTENT
        assert files(store) == {"qwen_w4a16.rkllm", "record.json"}

    def test_a_killed_process_leaves_no_lock_behind(self, hub: Hub, store: Store) -> None:
        kill_at(hub, store, 0.2)
        _, said = output(fetch_in_process(hub, store.root))
        assert "another rkfetch" not in said

    def test_two_that_want_one_file_download_it_once(self, hub: Hub, store: Store) -> None:
        hold = hub.hold(FILE, SIZE // 2)
        first = fetch_in_process(hub, store.root)
        assert hold.reached.wait(30)
        second = fetch_in_process(hub, store.root)
        assert second.stderr is not None
        assert "another rkfetch is downloading this file" in second.stderr.readline()
        hold.released.set()
        one, _ = output(first)
        two, _ = output(second)
        assert (one[0], two[0]) == ("downloaded", "present")
        assert one[2] == two[2]
        assert hub.data_bytes() == SIZE

    def test_when_the_first_is_killed_the_second_goes_on(self, hub: Hub, store: Store) -> None:
        hold = hub.hold(FILE, SIZE // 2)
        first = fetch_in_process(hub, store.root)
        assert hold.reached.wait(30)
        second = fetch_in_process(hub, store.root)
        assert second.stderr is not None
        assert "another rkfetch" in second.stderr.readline()
        first.kill()
        first.communicate(timeout=30)
        hold.released.set()
        (action, resumed, _), _ = output(second)
        assert action == "downloaded"
        assert int(resumed) == SIZE // 2

    def test_ctrl_c_keeps_what_is_here(self, hub: Hub, store: Store) -> None:
        hold = hub.hold(FILE, 100_000)
        child = fetch_in_process(hub, store.root)
        assert hold.reached.wait(30)
        partial = store.partial(SHA256)
        while partial.stat().st_size < 100_000:
            time.sleep(0.01)
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=30)
        assert vouched_for(partial, SHA256, SIZE) == 100_000

    def test_gc_in_another_process_leaves_a_live_download_alone(
        self, hub: Hub, store: Store
    ) -> None:
        hold = hub.hold(FILE, SIZE // 2)
        child = fetch_in_process(hub, store.root)
        assert hold.reached.wait(30)
        assert gc_plan(store, older_than_days=-1).leftovers == ()
        hold.released.set()
        assert output(child)[0][0] == "downloaded"


def test_no_network_at_all_is_bounded_and_says_how_to_go_on(
    hub: Hub, store: Store, http: Http
) -> None:
    hub.break_it(Fault(drop_after=1_000_000, times=1), Fault(origin="cdn", status=502, after=1))
    with pytest.raises(NetworkError) as caught:
        get(store, http)
    assert caught.value.exit_code == 6
    assert "run the same command again" in (caught.value.hint or "")
    assert files(store) == {f"{SHA256}.partial", f"{SHA256}.journal"}
    assert vouched_for(store.partial(SHA256), SHA256, SIZE) == 1_000_000
