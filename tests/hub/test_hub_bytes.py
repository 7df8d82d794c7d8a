"""The bytes of files: ranges, conditions, signed URLs, faults."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from hub.faults import HOSTILE_NAMES, JSON_ERROR, named_faults
from hub.server import Fault, Hub

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 300_000
WEIGHTS = bytes(i * 7 % 251 for i in range(SIZE))


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        hub.add_repo("Ann/m", tags=("rkllm",)).add_file("RK3576/m.rkllm", WEIGHTS)
        yield hub


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(follow_redirects=True, timeout=5) as client:
        yield client


def url_of(hub: Hub) -> str:
    return f"{hub.endpoint}/Ann/m/resolve/main/RK3576/m.rkllm"


def location(hub: Hub) -> str:
    """The signed URL, so that faults on the way to it play no part."""
    place = httpx.head(url_of(hub)).headers["location"]
    assert isinstance(place, str)
    return place


def read(client: httpx.Client, url: str, **headers: str) -> tuple[bytes, httpx.HTTPError | None]:
    """What arrives, and how it ended."""
    got = bytearray()
    try:
        with client.stream("GET", url, headers=headers) as response:
            for piece in response.iter_raw():
                got += piece
    except httpx.HTTPError as error:
        return bytes(got), error
    return bytes(got), None


@pytest.mark.parametrize(
    ("asked", "part", "told"),
    [
        ("bytes=0-9", WEIGHTS[:10], "bytes 0-9/300000"),
        ("bytes=299990-", WEIGHTS[-10:], "bytes 299990-299999/300000"),
        ("bytes=-64", WEIGHTS[-64:], "bytes 299936-299999/300000"),
        ("bytes=299999-400000", WEIGHTS[-1:], "bytes 299999-299999/300000"),
        ("bytes=-400000", WEIGHTS, "bytes 0-299999/300000"),
    ],
)
def test_ranges(hub: Hub, client: httpx.Client, asked: str, part: bytes, told: str) -> None:
    answer = client.get(url_of(hub), headers={"Range": asked})
    assert (answer.status_code, answer.content) == (206, part)
    assert answer.headers["content-range"] == told
    assert [s.range for s in hub.data_requests()] == [asked]
    assert hub.data_bytes() == len(part)


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "bytes=9-3", "lines=1-2", "bytes=-"])
def test_what_is_no_single_range_gets_everything(
    hub: Hub, client: httpx.Client, asked: str
) -> None:
    answer = client.get(url_of(hub), headers={"Range": asked})
    assert (answer.status_code, answer.content) == (200, WEIGHTS)


def test_range_behind_the_end(hub: Hub, client: httpx.Client) -> None:
    answer = client.get(url_of(hub), headers={"Range": "bytes=300000-"})
    assert (answer.status_code, answer.content) == (416, b"")
    assert answer.headers["content-range"] == "bytes */300000"


def test_if_range(hub: Hub, client: httpx.Client) -> None:
    url = location(hub)
    etag = client.get(url).headers["etag"]
    assert hashlib.sha256(WEIGHTS).hexdigest() not in etag
    asked = {"Range": "bytes=5-9"}
    assert client.get(url, headers={**asked, "If-Range": etag}).status_code == 206
    assert client.get(url, headers={**asked, "If-Range": '"other"'}).status_code == 200


def test_small_files_are_served_by_the_hub_itself(hub: Hub, client: httpx.Client) -> None:
    repo = hub.add_repo("Ann/small")
    repo.add_file("dir/config.json", b'{"a": 1}', lfs=False)
    url = f"{hub.endpoint}/Ann/small/resolve/main/dir/config.json"
    assert httpx.get(url).status_code == 307
    answer = client.get(url, headers={"Range": "bytes=2-"})
    assert (answer.status_code, answer.content) == (206, b'a": 1}')
    assert answer.headers["x-repo-commit"] == repo.commit


def test_signed_urls(hub: Hub, client: httpx.Client) -> None:
    url = location(hub)
    assert client.get(url).status_code == 200
    assert client.get(url.replace("Signature=", "Signature=0")).status_code == 403
    hub.expire_urls()
    answer = client.get(url)
    assert answer.status_code == 403
    assert b"<Message>Request has expired</Message>" in answer.content
    hub.url_lifetime_s = -1
    assert client.get(url_of(hub)).status_code == 403


def test_raw_gives_the_pointer(hub: Hub, client: httpx.Client) -> None:
    answer = client.get(f"{hub.endpoint}/Ann/m/raw/main/RK3576/m.rkllm")
    digest = hashlib.sha256(WEIGHTS).hexdigest()
    assert answer.text.splitlines()[1:] == [f"oid sha256:{digest}", "size 300000"]


def test_connections_are_kept(hub: Hub) -> None:
    host, port = hub.endpoint.removeprefix("http://").split(":")
    ask = b"GET /api/models HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection((host, int(port))) as connection:
        for _ in range(3):
            connection.sendall(ask)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")


def test_drop_gives_exactly_so_many_bytes(hub: Hub, client: httpx.Client) -> None:
    hub.break_it(Fault(path="*.rkllm", drop_after=1000, times=2))
    for _ in range(2):
        got, error = read(client, url_of(hub))
        assert got == WEIGHTS[:1000]
        assert isinstance(error, httpx.RemoteProtocolError)
    assert read(client, url_of(hub)) == (WEIGHTS, None)
    assert [s.sent_bytes for s in hub.data_requests()] == [1000, 1000, SIZE]


def test_drop_leaves_shorter_bodies_alone(hub: Hub, client: httpx.Client) -> None:
    hub.break_it(Fault(path="*.rkllm", drop_after=1000))
    assert read(client, url_of(hub), Range="bytes=0-999") == (WEIGHTS[:1000], None)


def test_reset_comes_after_the_bytes(hub: Hub, client: httpx.Client) -> None:
    hub.break_it(Fault(path="*.rkllm", reset_after=200_000, times=1))
    got, error = read(client, url_of(hub))
    assert got == WEIGHTS[:200_000]
    assert isinstance(error, httpx.ReadError)


def test_stall_once(hub: Hub, client: httpx.Client) -> None:
    hub.break_it(Fault(path="*.rkllm", stall_after=5000, stall_s=0.2, times=1))
    began = time.monotonic()
    assert read(client, url_of(hub)) == (WEIGHTS, None)
    assert time.monotonic() - began > 0.2


def test_stall_outlasts_the_client_but_not_the_hub(client: httpx.Client) -> None:
    began = time.monotonic()
    with Hub() as hub:
        hub.add_repo("Ann/m").add_file("RK3576/m.rkllm", WEIGHTS)
        hub.break_it(Fault(path="*.rkllm", stall_after=0))
        with pytest.raises(httpx.ReadTimeout):
            client.get(url_of(hub), timeout=0.2)
    assert time.monotonic() - began < 3


def test_flip(hub: Hub, client: httpx.Client) -> None:
    hub.break_it(Fault(path="*.rkllm", flip_at=150_000))
    whole, _ = read(client, url_of(hub))
    assert [i for i in range(SIZE) if whole[i] != WEIGHTS[i]] == [150_000]
    part, _ = read(client, url_of(hub), Range="bytes=149990-150010")
    assert part[10] == WEIGHTS[150_000] ^ 1
    assert read(client, url_of(hub), Range="bytes=0-9") == (WEIGHTS[:10], None)


def test_ignored_range(hub: Hub, client: httpx.Client) -> None:
    hub.break_it(Fault(path="*.rkllm", ignore_range=True))
    answer = client.get(url_of(hub), headers={"Range": "bytes=5-9"})
    assert (answer.status_code, answer.content) == (200, WEIGHTS)


@pytest.mark.parametrize(
    ("fault", "status", "headers"),
    [
        ({"status": 416, "headers": {"Content-Range": "bytes */9"}}, 416, {}),
        ({"content_range": "bytes 0-4/9"}, 206, {"content-range": "bytes 0-4/9"}),
        ({"etag": '"new"'}, 206, {"etag": '"new"'}),
        ({"status": 429, "headers": {"Retry-After": "7"}}, 429, {"retry-after": "7"}),
        ({"status": 503, "body": b"busy"}, 503, {"content-length": "4"}),
        ({"headers": {"X-Repo-Commit": "f" * 40}}, 206, {"x-repo-commit": "f" * 40}),
    ],
)
def test_told_faults(
    hub: Hub, client: httpx.Client, fault: dict[str, Any], status: int, headers: dict[str, str]
) -> None:
    hub.break_it(Fault(origin="cdn", **fault))
    answer = client.get(url_of(hub), headers={"Range": "bytes=5-9"})
    assert answer.status_code == status
    assert {name: answer.headers[name] for name in headers} == headers


def test_headers_can_be_left_out(hub: Hub, client: httpx.Client) -> None:
    hub.break_it(Fault(origin="hub", headers={"X-Linked-ETag": None, "X-Linked-Size": "7"}))
    answer = httpx.head(url_of(hub))
    assert "x-linked-etag" not in answer.headers
    assert answer.headers["x-linked-size"] == "7"


def test_changed_etag_voids_if_range(hub: Hub, client: httpx.Client) -> None:
    url = location(hub)
    etag = client.get(url).headers["etag"]
    hub.break_it(Fault(path="*.rkllm", etag='"new"'))
    answer = client.get(url, headers={"Range": "bytes=5-9", "If-Range": etag})
    assert (answer.status_code, answer.headers["etag"]) == (200, '"new"')


def test_replaced_body_looks_healthy(hub: Hub, client: httpx.Client) -> None:
    hub.break_it(Fault(path="*.rkllm", body=JSON_ERROR))
    assert len(JSON_ERROR) == 42
    answer = client.get(url_of(hub), headers={"Range": "bytes=5-9"})
    assert (answer.status_code, answer.content) == (200, JSON_ERROR)
    assert hub.data_bytes() == 0


def test_wrong_lengths(hub: Hub, client: httpx.Client) -> None:
    url = location(hub)
    hub.break_it(Fault(origin="cdn", length_delta=10, times=1))
    got, error = read(client, url)
    assert got == WEIGHTS
    assert isinstance(error, httpx.RemoteProtocolError)
    hub.break_it(Fault(origin="cdn", length_delta=-10, after=0, times=2))
    assert len(read(client, url)[0]) <= SIZE - 10
    hub.heal()
    hub.break_it(Fault(origin="cdn", extra_bytes=10, no_length=True))
    assert read(client, url) == (WEIGHTS + bytes(10), None)


def test_unannounced_lengths(hub: Hub, client: httpx.Client) -> None:
    hub.break_it(Fault(path="*.rkllm", chunked=True, times=1))
    hub.break_it(Fault(path="*.rkllm", no_length=True, after=1, times=1))
    hub.break_it(Fault(path="*.rkllm", gzip=True, after=2))
    chunked, closed, zipped = (client.get(url_of(hub)) for _ in range(3))
    assert chunked.content == closed.content == zipped.content == WEIGHTS
    assert chunked.headers["transfer-encoding"] == "chunked"
    assert "content-length" not in closed.headers
    assert zipped.headers["content-encoding"] == "gzip"
    assert int(zipped.headers["content-length"]) < SIZE


def test_slow(hub: Hub, client: httpx.Client) -> None:
    hub.break_it(Fault(path="*.rkllm", rate=1_000_000))
    began = time.monotonic()
    assert read(client, url_of(hub)) == (WEIGHTS, None)
    assert 0.25 < time.monotonic() - began < 2


def test_slow_head(hub: Hub, client: httpx.Client) -> None:
    url = location(hub)
    hub.break_it(Fault(origin="cdn", header_delay_s=0.05))
    with pytest.raises(httpx.ReadTimeout):
        client.get(url, timeout=0.02)


def test_redirects(hub: Hub, client: httpx.Client) -> None:
    hub.break_it(Fault(origin="hub", path="*.rkllm", redirect="{here}", times=21))
    with pytest.raises(httpx.TooManyRedirects):
        client.get(url_of(hub))
    hub.break_it(*named_faults(SIZE)["to-cloud"])
    place = httpx.get(url_of(hub)).headers["location"]
    assert place == "http://169.254.169.254/latest/meta-data/"


def test_endless_listing(hub: Hub, client: httpx.Client) -> None:
    hub.break_it(*named_faults(SIZE)["endless"])
    url = f"{hub.endpoint}/api/models?filter=rkllm"
    pages = set()
    for _ in range(5):
        answer = client.get(url)
        pages.add(url)
        url = answer.links["next"]["url"]
        assert [model["id"] for model in answer.json()] == ["Ann/m"]
    assert len(pages) == 5


def test_hostile_names_are_listed_as_they_are(hub: Hub, client: httpx.Client) -> None:
    repo = hub.add_repo("Eve/m")
    repo.add_files(dict.fromkeys(HOSTILE_NAMES, b"evil"))
    info = client.get(f"{hub.endpoint}/api/models/Eve/m?blobs=true").json()
    assert {s["rfilename"] for s in info["siblings"]} > set(HOSTILE_NAMES)
    tree = client.get(f"{hub.endpoint}/api/models/Eve/m/tree/main?recursive=true").json()
    assert {entry["path"] for entry in tree} > set(HOSTILE_NAMES)
    answer = client.get(f"{hub.endpoint}/Eve/m/resolve/main/..%2F..%2Foutside-rk3576.rkllm")
    assert answer.content == b"evil"


def test_refuses_connections_until_told(hub: Hub) -> None:
    url = url_of(hub)
    with httpx.Client() as client:
        assert client.head(url).status_code == 302
        hub.stop_accepting()
        for _ in range(2):
            with pytest.raises(httpx.TransportError):
                client.head(url)
        with pytest.raises(httpx.ConnectError):
            httpx.head(url)
        hub.start_accepting()
        assert client.head(url).status_code == 302
    hub.stop_accepting("cdn")
    assert httpx.head(url).status_code == 302


def test_hold_stops_all_connections_at_an_exact_total(hub: Hub) -> None:
    hold = hub.hold("*.rkllm", 120_000)
    url = location(hub)
    got: list[bytes] = []

    def fetch(asked: str) -> None:
        got.append(httpx.get(url, headers={"Range": asked}).content)

    ranges = ("bytes=0-99999", "bytes=100000-199999", "bytes=200000-")
    threads = [threading.Thread(target=fetch, args=(asked,)) for asked in ranges]
    for thread in threads:
        thread.start()
    assert hold.reached.wait(5)
    time.sleep(0.05)
    assert hub.data_bytes() == 120_000
    hold.released.set()
    for thread in threads:
        thread.join()
    assert b"".join(sorted(got, key=WEIGHTS.index)) == WEIGHTS


def test_faults_meet_only_whom_they_name(hub: Hub, client: httpx.Client) -> None:
    hub.break_it(
        Fault(path="Bob/*", status=500),
        Fault(origin="cdn", path="/api/*", status=500),
        Fault(method="POST", status=500),
        Fault(path="*.rkllm", drop_after=0, after=1),
    )
    assert client.get(url_of(hub)).status_code == 200
    assert read(client, url_of(hub))[0] == b""
    hub.heal()
    assert client.get(url_of(hub)).content == WEIGHTS


def test_record_can_be_cleared(hub: Hub, client: httpx.Client) -> None:
    client.get(url_of(hub), headers={"X-Odd": "1"})
    first, second = hub.requests
    assert (first.method, first.origin, first.status) == ("GET", "hub", 302)
    assert first.path == "/Ann/m/resolve/main/RK3576/m.rkllm"
    assert (second.origin, second.repo, second.file) == ("cdn", "Ann/m", "RK3576/m.rkllm")
    assert second.headers["x-odd"] == "1"
    hub.forget()
    assert hub.requests == []
