"""The same content in several repositories: another one goes on where the chosen one fails."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.server
import threading
from typing import TYPE_CHECKING, Any

import pytest

from downloads import FILE, REPO, Watcher, always, artifact, quick_http
from hub.server import Fault, Hub
from rkfetch.registry.errors import (
    AuthenticationError,
    IntegrityError,
    NetworkError,
    UnknownModelError,
)
from rkfetch.registry.fetch import fetch
from rkfetch.registry.health import Health
from rkfetch.registry.hub import hub_routes
from rkfetch.registry.store import Store
from rkllm_files import rkllm_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rkfetch.registry.errors import RkfetchError
    from rkfetch.registry.fetch import Fetched
    from rkfetch.registry.model import Artifact

CONTENT = rkllm_bytes(body_bytes=3 << 20)
SIZE = len(CONTENT)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
COPY, COPY_FILE = "bob/some-copies", "qwen.rkllm"
KNOWN: dict[str, Any] = {"sha256": SHA256, "size_bytes": SIZE}
CHOSEN = artifact(**KNOWN)
ELSEWHERE = artifact(repo=COPY, path=COPY_FILE, **KNOWN)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        hub.add_repo(REPO).add_file(FILE, CONTENT)
        hub.add_repo(COPY).add_file(COPY_FILE, CONTENT)
        yield hub


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def get(store: Store, *others: Artifact, watcher: Watcher | None = None, **client: Any) -> Fetched:
    with quick_http(**client) as opened:
        done = fetch(
            CHOSEN,
            store=store,
            http=opened,
            progress=watcher or Watcher(),
            elsewhere=others or (ELSEWHERE,),
        )
    assert done.installed.path.read_bytes() == CONTENT
    return done


def asked(hub: Hub, repo: str) -> int:
    return sum(request.repo == repo for request in hub.requests)


def test_the_chosen_one_is_asked_alone_while_it_answers(hub: Hub, store: Store) -> None:
    record = get(store).installed.record
    assert (record.repo, record.endpoint) == (REPO, hub.endpoint)
    assert len(record.revision or "") == 40
    assert asked(hub, COPY) == 0


@pytest.mark.parametrize("status", [401, 403, 404, 410, 500, 503])
def test_another_repository_gives_what_the_chosen_one_does_not(
    hub: Hub, store: Store, status: int
) -> None:
    hub.break_it(Fault(path=f"{REPO}/*", status=status))
    watcher = Watcher()
    record = get(store, watcher=watcher).installed.record
    # The file is known by the name under which it was asked for; its place is where it came from.
    assert (record.repo, record.path) == (REPO, FILE)
    assert record.endpoint == f"{hub.endpoint}/{COPY}"
    assert record.revision is None  # it was at none of the chosen repository's commits
    assert any(wait.endswith(f"going on with {hub.endpoint}/{COPY}") for wait in watcher.waits)


@pytest.mark.parametrize("connections", [1, 4])
def test_it_goes_on_in_the_middle_of_the_file(hub: Hub, store: Store, connections: int) -> None:
    # The CDN is the same for both; the way to it is not.
    hub.break_it(
        Fault(origin="cdn", drop_after=500_000, times=connections),
        Fault(path=f"{REPO}/*", origin="hub", status=404, after=1),
        Fault(origin="cdn", status=403, after=connections, times=connections),
    )
    with always(connections, stride=400_000):
        done = get(store)
    assert done.installed.record.endpoint == f"{hub.endpoint}/{COPY}"
    assert hub.data_bytes() <= SIZE + 400_000 * (connections - 1)


def test_one_that_was_replaced_is_left(hub: Hub, store: Store) -> None:
    hub.repos[0].add_file(FILE, rkllm_bytes(seed=3))
    assert get(store).installed.record.endpoint == f"{hub.endpoint}/{COPY}"


def test_a_liar_is_found_out_and_the_other_one_asked(hub: Hub, store: Store) -> None:
    hub.break_it(Fault(path=f"{REPO}/*", flip_at=SIZE // 2))
    hub.break_it(Fault(origin="cdn", flip_at=SIZE // 2, times=1))
    watcher = Watcher()
    assert get(store, watcher=watcher).installed.record.endpoint == f"{hub.endpoint}/{COPY}"
    assert "wrong SHA-256" in watcher.restarts[0]


def test_one_that_died_is_not_asked_first_again_nor_what_lies_at_it(hub: Hub, store: Store) -> None:
    store.root.mkdir()
    health = Health(store.root / "endpoints.json")
    routes = hub_routes(quick_http(), CHOSEN, elsewhere=[ELSEWHERE, MODELSCOPE])
    places = [route.source.place for route in routes]
    assert [r.source.place for r in health.ordered(routes)] == places
    health.failed(hub.endpoint)
    assert [r.source.place for r in health.ordered(routes)] == [places[2], *places[:2]]
    health.worked(hub.endpoint)
    health.lied(places[1])
    assert [r.source.place for r in health.ordered(routes)] == [places[0], places[2], places[1]]


class TestFailures:
    """What is said is why the repository that was asked for does not give it out."""

    @pytest.mark.parametrize(
        ("status", "kind"), [(404, UnknownModelError), (403, AuthenticationError)]
    )
    def test_the_chosen_ones_reason_counts(
        self, hub: Hub, store: Store, status: int, kind: type[RkfetchError]
    ) -> None:
        hub.break_it(Fault(path=f"{REPO}/*", origin="hub", status=status))
        hub.break_it(Fault(path=f"{COPY}/*", origin="hub", status=503))
        with pytest.raises(kind, match=REPO) as caught:
            get(store)
        assert any("the last place that was asked" in line for line in caught.value.cause)

    def test_a_network_that_fails_is_no_unknown_model(self, hub: Hub, store: Store) -> None:
        hub.break_it(Fault(origin="cdn", status=502))
        hub.remove_repo(COPY)
        with pytest.raises(NetworkError, match="did not come to its end") as caught:
            get(store)
        assert any(COPY in line for line in caught.value.cause)

    def test_wrong_bytes_everywhere_are_an_error(self, hub: Hub, store: Store) -> None:
        hub.break_it(Fault(flip_at=SIZE // 2))
        with pytest.raises(IntegrityError, match="wrong SHA-256"):
            get(store)
        assert store.installed() == []

    def test_one_that_has_another_file_now_says_nothing_about_the_chosen_one(
        self, hub: Hub, store: Store
    ) -> None:
        hub.break_it(Fault(path=f"{REPO}/*", origin="hub", status=404))
        hub.repos[1].add_file(COPY_FILE, rkllm_bytes(seed=3))
        with pytest.raises(UnknownModelError, match=REPO):
            get(store)


MODELSCOPE = artifact(source="modelscope", repo="carol/Qwen", path="a/b.rkllm", **KNOWN)


@pytest.fixture
def modelscope(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, str]]]:
    """Another source, which has the same content; gives the headers of each request."""
    seen: list[dict[str, str]] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_request(self, *_: Any) -> None:
            seen.append({name.lower(): value for name, value in self.headers.items()})

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

        def handle(self) -> None:
            with contextlib.suppress(OSError):  # who has enough hangs up
                super().handle()

    file = tmp_path / "ms" / "models" / "carol" / "Qwen" / "resolve" / "master" / "a" / "b.rkllm"
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT)
    handler = functools.partial(Handler, directory=str(tmp_path / "ms"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", address)
        yield seen
        server.shutdown()


def test_another_source_takes_over_and_gets_no_token(
    hub: Hub, store: Store, modelscope: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first place's own connections are refused before any answer.
    monkeypatch.setenv("HF_ENDPOINT", "http://localhost:9")
    record = get(store, ELSEWHERE, MODELSCOPE, token="hf_SECRET").installed.record
    assert (record.endpoint or "").endswith("/carol/Qwen")
    assert (record.source, record.repo) == ("huggingface", REPO)
    assert modelscope
    assert not any("authorization" in headers for headers in modelscope)
