"""Bytes from ModelScope: through its CDN, and through its gateway with a status of its own."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from downloads import FILE, REPO, Watcher, always, quick_http
from hub.server import Fault, Hub
from rkfetch.registry.errors import (
    AuthenticationError,
    IntegrityError,
    NetworkError,
    UnknownModelError,
)
from rkfetch.registry.fetch import fetch
from rkfetch.registry.hub import HttpBytes, locate, modelscope_endpoint
from rkfetch.registry.model import Artifact
from rkfetch.registry.rkllm_read import read_rkllm
from rkfetch.registry.store import Store
from rkllm_files import rkllm_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rkfetch.registry.fetch import Fetched

CONTENT = rkllm_bytes(body_bytes=3 << 20)
SIZE = len(CONTENT)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def artifact(**values: Any) -> Artifact:
    return Artifact(**{"source": "modelscope", "repo": REPO, "path": FILE, **values})


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as hub:
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", hub.modelscope.url)
        hub.modelscope.add_repo(REPO).add_file(FILE, CONTENT)
        yield hub


@pytest.fixture
def gateway(hub: Hub) -> Hub:
    hub.modelscope.by_gateway.add(FILE)
    return hub


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def get(store: Store, **values: Any) -> Fetched:
    with quick_http() as http:
        return fetch(artifact(**values), store=store, http=http, progress=Watcher())


def test_the_cdn_tells_size_and_digest_before_any_content(hub: Hub) -> None:
    with quick_http() as http:
        remote = locate(http, artifact())
    assert (remote.size_bytes, remote.sha256) == (SIZE, SHA256)
    assert remote.url.startswith(f"{hub.cdn}/prod/lfs-objects/{SHA256[:2]}/")
    assert hub.data_bytes() == 0


def test_another_file_than_the_catalog_knows_is_noticed_before_any_content(hub: Hub) -> None:
    with quick_http() as http, pytest.raises(IntegrityError, match="replaced"):
        locate(http, artifact(sha256="b" * 64))
    assert hub.data_bytes() == 0


@pytest.mark.parametrize("by", ["cdn", "gateway"])
def test_a_download_arrives_over_several_connections(hub: Hub, store: Store, by: str) -> None:
    if by == "gateway":
        hub.modelscope.by_gateway.add(FILE)
    with always(3, stride=200_000):
        done = get(store, sha256=SHA256, size_bytes=SIZE)
    assert done.installed.path.read_bytes() == CONTENT
    record = done.installed.record
    assert (record.source, record.repo, record.path) == ("modelscope", REPO, FILE)
    assert record.endpoint == hub.modelscope.url
    assert hub.data_bytes(FILE) < SIZE + 300_000
    assert len({seen.range for seen in hub.data_requests(FILE)}) > 5


def test_a_part_with_status_200_is_put_where_it_belongs(gateway: Hub, store: Store) -> None:
    """https://github.com/modelscope/modelscope_hub/issues/50."""
    gateway.break_it(Fault(path=FILE, drop_after=1_000_000, times=2, after=1))
    done = get(store, sha256=SHA256, size_bytes=SIZE)
    assert done.installed.path.read_bytes() == CONTENT
    parts = [seen for seen in gateway.data_requests(FILE) if (seen.range or "") > "bytes=0-0"]
    assert {seen.status for seen in parts} == {200}
    assert gateway.data_bytes(FILE) < 2 * SIZE


def test_a_server_that_ignores_ranges_is_not_taken_for_one_that_misnames_them(
    gateway: Hub, store: Store
) -> None:
    gateway.break_it(Fault(path=FILE, ignore_range=True))
    gateway.break_it(Fault(path=FILE, drop_after=1_000_000, times=1, after=1))
    assert get(store, sha256=SHA256, size_bytes=SIZE).installed.path.read_bytes() == CONTENT


@pytest.mark.parametrize("by", ["cdn", "gateway"])
def test_a_header_is_read_by_range(hub: Hub, by: str) -> None:
    if by == "gateway":
        hub.modelscope.by_gateway.add(FILE)
    with quick_http() as http:
        facts = read_rkllm(HttpBytes(http, artifact()))
    assert (str(facts.toolkit), facts.size_bytes, facts.complete) == ("1.2.3", SIZE, True)
    assert hub.data_bytes(FILE) < 100_000


def test_a_signed_address_that_has_expired_is_asked_for_anew(hub: Hub, store: Store) -> None:
    hub.break_it(Fault(origin="cdn", method="GET", status=403, times=1))
    assert get(store, sha256=SHA256, size_bytes=SIZE).installed.path.read_bytes() == CONTENT


@pytest.mark.parametrize("repo", [REPO, "nobody/nothing"])
def test_a_file_that_is_not_there_is_said_to_be_missing(hub: Hub, repo: str) -> None:
    with quick_http() as http, pytest.raises(UnknownModelError, match=r"has no file no\.rkllm"):
        locate(http, artifact(repo=repo, path="no.rkllm"))


def test_a_gated_file_is_left_to_a_browser(hub: Hub, store: Store) -> None:
    hub.modelscope.add_repo("a/gated", gated=True).add_file(FILE, CONTENT)
    with pytest.raises(AuthenticationError, match="a/gated asks for permission") as caught:
        get(store, repo="a/gated")
    assert f"{hub.modelscope.url}/models/a/gated" in (caught.value.hint or "")
    assert "rkfetch import FILE" in (caught.value.hint or "")


def test_no_token_of_hugging_face_goes_there(hub: Hub, store: Store) -> None:
    with quick_http(token="hf_secret", endpoint="https://huggingface.co") as http:
        fetch(artifact(), store=store, http=http, progress=Watcher())
    assert [s for s in hub.requests if "authorization" in s.headers] == []


@pytest.mark.parametrize(
    ("variable", "value", "found"),
    [
        ("MODELSCOPE_ENDPOINT", "https://www.modelscope.ai/", "https://www.modelscope.ai"),
        ("MODELSCOPE_ENDPOINT", "", "https://www.modelscope.cn"),
    ],
)
def test_the_endpoint_is_the_one_of_its_own_client(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, found: str
) -> None:
    monkeypatch.setenv(variable, value)
    assert modelscope_endpoint() == found


def test_a_dead_endpoint_is_a_network_failure(
    hub: Hub, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(NetworkError):
        get(store, sha256=SHA256, size_bytes=SIZE)
