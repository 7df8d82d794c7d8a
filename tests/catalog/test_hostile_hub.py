"""A Hub that answers nonsense costs bounded time and memory, and at most its own rows."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from hub import shapes
from hub.server import Fault, Hub
from rkfetch.catalog.database import Catalog
from rkfetch.catalog.sources import hub_client, huggingface
from rkfetch.catalog.sources.huggingface import HuggingFace
from rkfetch.catalog.update import update
from rkfetch.registry.errors import NetworkError, UsageError
from rkfetch.registry.http import Http, RetryPolicy
from rkllm_files import rkllm_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from rkfetch.catalog.update import Report

GOOD, BAD = "good/Qwen3-0.6B-rkllm", "bad/Qwen3-4B-rkllm"


@pytest.fixture
def run(path: Path) -> Callable[[], Report]:
    def run() -> Report:
        with (
            Http(retries=RetryPolicy(attempts=1), sleep=lambda _: None) as http,
            HuggingFace(http) as source,
        ):
            return update(source, http, path=path)

    return run


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        for number, repo in enumerate((GOOD, BAD)):
            hub.add_repo(repo, tags=["rkllm"]).add_file("m.rkllm", rkllm_bytes(seed=number))
        yield hub


def repositories(path: Path) -> set[str]:
    with Catalog.open(path) as catalog:
        return {artifact.repo for artifact in catalog.everything()}


# --- one bad repository ---------------------------------------------------------------------------


def spoil(monkeypatch: pytest.MonkeyPatch, change: Callable[[dict[str, Any]], object]) -> None:
    """Change how the Hub describes the bad repository's build."""
    original = shapes.sibling

    def sibling(file: Any, *, blobs: bool) -> Any:
        told = original(file, blobs=blobs)
        if blobs and file.sha256 == hub_file_sha256:
            change(told)
        return told

    with Hub() as there:
        hub_file_sha256 = there.add_repo(BAD).add_file("m.rkllm", rkllm_bytes(seed=1)).sha256
    monkeypatch.setattr(shapes, "sibling", sibling)


@pytest.mark.parametrize(
    "lfs",
    [
        {"sha256": "/tmp/pwned".ljust(64, "x")},
        {"sha256": 5},
        {"sha256": "\ud800" * 64},
        {"size": 1 << 63},
        {"size": -5},
        {"size": "many"},
        {"size": [1]},
    ],
    ids=str,
)
def test_an_odd_hash_or_size_is_unknown(
    hub: Hub,
    run: Callable[[], Report],
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lfs: Mapping[str, Any],
) -> None:
    hub.break_it(Fault(path="*.rkllm", headers={"X-Linked-ETag": None, "X-Linked-Size": None}))
    spoil(monkeypatch, lambda told: told["lfs"].update(lfs))
    run()
    with Catalog.open(path) as catalog:
        (odd,) = catalog.repository("huggingface", BAD)
    (name,) = lfs
    if name == "sha256":
        assert odd.sha256 is None
    else:
        assert odd.size_bytes in {None, len(rkllm_bytes())}
    assert repositories(path) == {GOOD, BAD}


@pytest.mark.parametrize("name", [5, None])
def test_a_file_without_a_name_costs_its_repository_only(
    hub: Hub, run: Callable[[], Report], path: Path, monkeypatch: pytest.MonkeyPatch, name: object
) -> None:
    spoil(monkeypatch, lambda told: told.update(rfilename=name))
    report = run()
    assert (BAD, f"{BAD} is described as no Hub does") in report.skipped
    assert repositories(path) == {GOOD}


@pytest.mark.parametrize(
    "fault",
    [
        Fault(body=b"[" * 200_000 + b"]" * 200_000),
        Fault(headers={"Content-Encoding": "gzip"}),
        Fault(redirect="{here}"),
        Fault(redirect="/api/models"),
        Fault(body=b"[1, 2]"),
        Fault(body=b"<!DOCTYPE html>"),
    ],
    ids=["deep", "gzip", "loop", "to the listing", "no object", "html"],
)
def test_a_bad_answer_about_one_repository_is_reported(
    hub: Hub, run: Callable[[], Report], path: Path, fault: Fault
) -> None:
    fault.path = f"/api/models/{BAD}"
    hub.break_it(fault)
    report = run()
    assert [what for what, _ in report.skipped] == [BAD]
    assert repositories(path) == {GOOD}


def test_whatever_fails_while_one_is_read_the_others_are_read(
    hub: Hub, run: Callable[[], Report], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = HuggingFace.details

    def details(self: HuggingFace, repo: str) -> Any:
        return 1 / 0 if repo == BAD else original(self, repo)

    monkeypatch.setattr(HuggingFace, "details", details)
    report = run()
    assert report.skipped == [(BAD, "it cannot be read: ZeroDivisionError: division by zero")]
    assert repositories(path) == {GOOD}


# --- listings -------------------------------------------------------------------------------------


class _Server(ThreadingHTTPServer):
    """Answers listings as it is told, and knows no repository."""

    daemon_threads = True

    def __init__(self, answer: Callable[[BaseHTTPRequestHandler], object]) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path.startswith("/api/models?"):
                    answer(self)
                else:
                    self.send_error(404)

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    servers = []

    def serve(answer: Callable[[BaseHTTPRequestHandler], object]) -> str:
        servers.append(_Server(answer))
        address = f"http://127.0.0.1:{servers[-1].server_port}"
        monkeypatch.setenv("HF_ENDPOINT", address)
        return address

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def send(request: BaseHTTPRequestHandler, body: bytes, **headers: str) -> None:
    request.send_response(200)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        request.send_header(name.replace("_", "-"), value)
    request.end_headers()
    request.wfile.write(body)


def listed(number: object, **more: object) -> dict[str, Any]:
    siblings = [{"rfilename": "readme.txt"}]
    return {"id": f"o/m{number}", "sha": "a" * 40, "siblings": siblings, **more}


@pytest.mark.parametrize(
    "odd",
    [
        {"id": 5},
        {"id": None},
        {"id": "a/b/../../c"},
        {"id": "a/\x1b[31m"},
        {"id": "a/b\ud800"},
        {"siblings": [{"rfilename": 5}]},
        {"siblings": [{}]},
        {"siblings": 7},
        {"lastModified": "yesterday"},
        {"lfs": {"evalResults": "\x1b"}, "id": ""},
    ],
    ids=str,
)
def test_an_odd_repository_of_a_listing_is_left_out(
    serve: Any, run: Callable[[], Report], odd: Mapping[str, Any]
) -> None:
    serve(lambda request: send(request, json.dumps([listed(1), listed(2, **odd)]).encode()))
    report = run()
    assert report.listed == 1
    assert report.skipped == [("1 repositories of a listing", "they are described as no Hub does")]


def test_odd_numbers_and_tags_do_no_harm(serve: Any, run: Callable[[], Report]) -> None:
    odd = {
        "downloads": 1 << 70,
        "likes": "x",
        "tags": [5, None, "y" * 9999, "rkllm"],
        "sha": "\x1b",
    }
    serve(lambda request: send(request, json.dumps([listed(1, **odd)]).encode()))
    assert (run().listed, run().skipped) == (1, [])


@pytest.mark.parametrize(
    "body",
    [b"[" * 200_000 + b"]" * 200_000, b'{"error": "no"}', b"[1]", b"<html>", b"", b"\xff"],
    ids=["deep", "object", "numbers", "html", "empty", "binary"],
)
def test_what_is_no_listing_is_a_sentence(
    serve: Any, run: Callable[[], Report], body: bytes
) -> None:
    serve(lambda request: send(request, body))
    with pytest.raises(NetworkError, match="answered what no Hub answers"):
        run()


def test_answers_come_packed_in_the_way_that_was_asked_for(
    serve: Any, run: Callable[[], Report]
) -> None:
    asked = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        asked.append(request.headers["Accept-Encoding"])
        send(request, zlib.compress(b" " * 1000), Content_Encoding="deflate")

    serve(answer)
    with pytest.raises(NetworkError, match="compresses its answers in a way"):
        run()
    assert asked == ["gzip"]


def test_a_packed_listing_is_read(serve: Any, run: Callable[[], Report]) -> None:
    packed = gzip.compress(json.dumps([listed(1)]).encode())
    serve(lambda request: send(request, packed, Content_Encoding="gzip"))
    assert run().listed == 1


@pytest.mark.parametrize("body", [b"\x1f\x8b and no more", b"[]"], ids=["torn", "plain"])
def test_what_is_packed_badly_is_a_sentence(
    serve: Any, run: Callable[[], Report], body: bytes
) -> None:
    serve(lambda request: send(request, body, Content_Encoding="gzip"))
    with pytest.raises(NetworkError, match="answered what no Hub answers"):
        run()


def test_an_answer_that_unpacks_to_too_much_is_not_unpacked(
    serve: Any, run: Callable[[], Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_client, "LARGEST_ANSWER", 1 << 20)
    bomb = gzip.compress(b" " * (1 << 26))
    serve(lambda request: send(request, bomb, Content_Encoding="gzip"))
    with pytest.raises(NetworkError, match="sends more than anybody asked for"):
        run()


def test_an_answer_that_is_too_large_is_not_read_to_its_end(
    serve: Any, run: Callable[[], Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_client, "LARGEST_ANSWER", 1 << 20)
    serve(lambda request: send(request, b" " * (1 << 22)))
    with pytest.raises(NetworkError, match="sends more than anybody asked for"):
        run()


def test_an_answer_that_trickles_ends(
    serve: Any, run: Callable[[], Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_client, "REQUEST_TIMEOUT_S", 0.3)
    over = threading.Event()

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not over.wait(0.05):
            request.wfile.write(b"X-A: b\r\n")

    serve(answer)
    with pytest.raises(NetworkError, match="did not end its answer within"):
        run()
    over.set()


def test_ever_new_repositories_are_cut_off_with_a_word(
    serve: Any, run: Callable[[], Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface, "MOST_REPOSITORIES", 250)
    pages = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        pages.append(request.path)
        body = json.dumps([listed(f"{len(pages)}-{n}") for n in range(100)]).encode()
        link = f'<{address}/api/models?cursor={len(pages)}>; rel="next"'
        send(request, body, Link=link)

    address = serve(answer)
    report = run()
    assert report.listed == 250
    assert report.skipped == [("the rest of the listings", "they name more than 250 repositories")]
    assert len(pages) < 20


def test_a_redirect_loop_of_the_listing_is_said(hub: Hub, run: Callable[[], Report]) -> None:
    hub.break_it(Fault(path="/api/models", redirect="{here}"))
    with pytest.raises(NetworkError, match="cannot be asked"):
        run()


# --- what reaches the terminal --------------------------------------------------------------------


def test_what_a_server_says_is_not_printed(
    serve: Any, run: Callable[[], Report], capfd: pytest.CaptureFixture[str]
) -> None:
    item = listed(1, evalResults=[{"dataset": "\x1b[31m"}], cardData={"model-index": "\x1b"})
    warning = "topic; \x1b[2J run rm -rf /"
    serve(lambda request: send(request, json.dumps([item]).encode(), X_HF_Warning=warning))
    run()
    assert capfd.readouterr() == ("", "")


def test_a_garbage_endpoint_is_refused_before_anything_is_imported() -> None:
    program = (
        "import sys\n"
        "from rkfetch.catalog.sources.huggingface import HuggingFace\n"
        "from rkfetch.registry.errors import UsageError\n"
        "try: HuggingFace(None)\n"
        "except UsageError: print('huggingface_hub' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"HF_ENDPOINT": "https://[::1"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_an_endpoint_that_is_no_address_is_a_sentence(
    run: Callable[[], Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://a\x1bb")
    with pytest.raises((NetworkError, UsageError)):
        run()
