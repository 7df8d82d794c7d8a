"""The Hub as the real huggingface_hub sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile, RepoFolder

from convert.models import safetensors_bytes
from hub.server import Hub

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CARD = """---
license: apache-2.0
library_name: rkllm
base_model:
- Qwen/Qwen3-0.6B
tags: [npu, "rk3576"]
---
# A model
"""
WEIGHTS = bytes(range(256)) * 4000


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        yield hub


@pytest.fixture
def api(hub: Hub) -> HfApi:
    return HfApi(endpoint=hub.endpoint, token=False)


def test_lists_by_tag_name_and_author(hub: Hub, api: HfApi) -> None:
    hub.add_repo("Ann/Qwen3-0.6B-RKLLM", tags=("rkllm", "npu"), card=CARD)
    hub.add_repo("Bob/Qwen3-rk3588-1.1.4", gated="manual")
    hub.add_repo("Bob/secret-rkllm", tags=("rkllm",), private=True)

    def ids(**options: object) -> list[str]:
        return [model.id for model in api.list_models(**options)]  # type: ignore[arg-type]

    assert ids(filter="rkllm") == ["Ann/Qwen3-0.6B-RKLLM"]
    assert ids(filter=["npu", "rk3576"]) == ["Ann/Qwen3-0.6B-RKLLM"]
    assert ids(filter="base_model:Qwen/Qwen3-0.6B") == ["Ann/Qwen3-0.6B-RKLLM"]
    assert ids(search="qwen3 RK3588") == ["Bob/Qwen3-rk3588-1.1.4"]
    assert ids(author="Bob") == ["Bob/Qwen3-rk3588-1.1.4"]
    assert ids(gated=True) == ["Bob/Qwen3-rk3588-1.1.4"]


def test_sorts_and_limits(hub: Hub, api: HfApi) -> None:
    for month, downloads in ((3, 10), (9, 5), (6, 20)):
        hub.add_repo(
            f"Ann/m{month}", downloads=downloads, last_modified=f"2026-{month:02}-01T00:00:00Z"
        )
    assert [m.id for m in api.list_models(sort="last_modified")] == ["Ann/m9", "Ann/m6", "Ann/m3"]
    assert [m.id for m in api.list_models(sort="downloads", limit=1)] == ["Ann/m6"]


def test_listing_says_no_more_than_asked(hub: Hub, api: HfApi) -> None:
    repo = hub.add_repo("Ann/m", card=CARD)
    repo.add_file("m.rkllm", WEIGHTS)
    (plain,) = api.list_models()
    assert plain.sha is None
    assert plain.siblings is None
    (full,) = api.list_models(full=True, cardData=True)
    assert full.sha == repo.commit
    assert full.card_data is not None
    assert full.card_data["base_model"] == ["Qwen/Qwen3-0.6B"]
    (some,) = api.list_models(expand=["sha", "siblings"])
    assert some.sha == repo.commit
    assert some.tags is None
    assert some.siblings is not None
    assert [(s.rfilename, s.size) for s in some.siblings] == [
        (".gitattributes", None),
        ("README.md", None),
        ("m.rkllm", None),
    ]


def test_listing_comes_in_pages(hub: Hub, api: HfApi) -> None:
    hub.page_size = 2
    for i in range(5):
        hub.add_repo(f"Ann/m{i}", tags=("rkllm",))
    assert len(list(api.list_models(filter="rkllm"))) == 5
    assert [seen.query["filter"] for seen in hub.requests] == [["rkllm"]] * 3
    assert len(list(api.list_models(limit=3))) == 3


def test_info_tells_sizes_and_digests(hub: Hub, api: HfApi) -> None:
    repo = hub.add_repo("Ann/m", card=CARD, gated="auto", likes=3)
    file = repo.add_file("RK3576/m.rkllm", WEIGHTS)
    info = api.model_info("Ann/m", files_metadata=True)
    assert (info.sha, info.gated, info.likes) == (repo.commit, "auto", 3)
    assert info.library_name == "rkllm"
    assert info.siblings is not None
    listed = info.siblings[-1]
    assert (listed.rfilename, listed.size) == ("RK3576/m.rkllm", len(WEIGHTS))
    assert listed.lfs is not None
    assert listed.lfs["sha256"] == file.sha256
    assert api.model_info("Ann/m").siblings[-1].size is None  # type: ignore[index]
    assert info.safetensors is None


def test_info_tells_how_many_numbers_safetensors_hold(hub: Hub, api: HfApi) -> None:
    weights = {"a": ("BF16", (4, 8)), "b": ("F32", (3,))}
    repo = hub.add_repo("Ann/m")
    repo.add_file("model-1.safetensors", safetensors_bytes(weights))
    repo.add_file("model-2.safetensors", safetensors_bytes({"c": ("BF16", (2,))}))
    repo.add_file("broken.safetensors", b"\2\0\0\0\0\0\0\0no")
    told = api.model_info("Ann/m").safetensors
    assert told is not None
    assert (told.parameters, told.total) == ({"BF16": 34, "F32": 3}, 37)


def test_tree_and_paths(hub: Hub, api: HfApi) -> None:
    repo = hub.add_repo("Ann/m")
    file = repo.add_file("a/b/m.rkllm", WEIGHTS)
    repo.add_file("a/notes.txt", b"hello", lfs=False)
    flat = list(api.list_repo_tree("Ann/m"))
    assert [entry.path for entry in flat] == ["a", ".gitattributes"]
    below = list(api.list_repo_tree("Ann/m", "a", recursive=True, expand=True))
    assert [type(entry) for entry in below] == [RepoFolder, RepoFile, RepoFile]
    weights = below[1]
    assert isinstance(weights, RepoFile)
    assert weights.lfs is not None
    assert (weights.path, weights.lfs.sha256) == ("a/b/m.rkllm", file.sha256)
    assert weights.last_commit is not None
    found = api.get_paths_info("Ann/m", ["a/b/m.rkllm", "a", "gone"])
    assert [entry.path for entry in found] == ["a/b/m.rkllm", "a"]
    with pytest.raises(EntryNotFoundError):
        list(api.list_repo_tree("Ann/m", "nowhere"))


def test_long_tree_comes_in_pages(hub: Hub, api: HfApi) -> None:
    repo = hub.add_repo("Ann/m")
    repo.add_files({f"{i}.rkllm": b"x" for i in range(120)})
    assert len(list(api.list_repo_tree("Ann/m", expand=True))) == 121
    assert len(hub.requests) == 3


def test_revisions(hub: Hub, api: HfApi, tmp_path: Path) -> None:
    repo = hub.add_repo("Ann/m")
    repo.add_file("m.rkllm", b"first")
    first = repo.commit
    repo.tag("v1.2.4")
    repo.branch("a/b")
    repo.add_file("m.rkllm", b"second")
    repo.add_file("only.rkllm", b"x", branch="a/b")
    refs = api.list_repo_refs("Ann/m")
    assert [(ref.name, ref.target_commit) for ref in refs.tags] == [("v1.2.4", first)]
    assert api.model_info("Ann/m", revision=first).sha == first
    assert [c.commit_id for c in api.list_repo_commits("Ann/m")][:2] == [repo.commit, first]
    for revision, content in ((first, b"first"), ("v1.2.4", b"first"), ("main", b"second")):
        path = hf_hub_download(
            "Ann/m",
            "m.rkllm",
            revision=revision,
            endpoint=hub.endpoint,
            token=False,
            cache_dir=tmp_path,
        )
        with open(path, "rb") as stream:  # noqa: PTH123 - hf_hub_download gives a string
            assert stream.read() == content
    assert api.file_exists("Ann/m", "only.rkllm", revision="a/b")
    with pytest.raises(RevisionNotFoundError):
        api.model_info("Ann/m", revision="v9")
    repo.remove_file("m.rkllm")
    assert not api.file_exists("Ann/m", "m.rkllm")


def test_resolve_tells_digest_size_and_commit(hub: Hub) -> None:
    repo = hub.add_repo("Ann/m", card=CARD)
    file = repo.add_file("RK3576/m.rkllm", WEIGHTS)
    url = hf_hub_url("Ann/m", "RK3576/m.rkllm", endpoint=hub.endpoint)
    about = get_hf_file_metadata(url, token=False, endpoint=hub.endpoint)
    assert (about.commit_hash, about.etag) == (repo.commit, file.sha256)
    assert about.size == len(WEIGHTS)
    assert about.location.startswith(hub.cdn)
    assert about.xet_file_data is None
    url = hf_hub_url("Ann/m", "README.md", endpoint=hub.endpoint)
    about = get_hf_file_metadata(url, token=False, endpoint=hub.endpoint)
    assert (about.commit_hash, about.size) == (repo.commit, len(CARD))


def test_downloads_and_keeps_the_token_from_the_cdn(hub: Hub, tmp_path: Path) -> None:
    repo = hub.add_repo("Ann/m", card=CARD, gated="auto")
    repo.add_file("m.rkllm", WEIGHTS)
    hub.tokens.add("hf_good")
    for name, content in (("m.rkllm", WEIGHTS), ("README.md", CARD.encode())):
        path = tmp_path / "there" / name
        hf_hub_download(
            "Ann/m", name, endpoint=hub.endpoint, token="hf_good", local_dir=path.parent
        )
        assert path.read_bytes() == content
    assert hub.data_bytes("*.rkllm") == len(WEIGHTS)
    assert hub.data_bytes() == len(WEIGHTS) + len(CARD)
    assert len(hub.data_requests("Ann/m/m.rkllm")) == 1
    assert not [s for s in hub.requests if s.origin == "cdn" and "authorization" in s.headers]
    assert [s for s in hub.requests if s.headers.get("authorization") == "Bearer hf_good"]


def test_gated_repositories_show_their_files_and_keep_the_content(hub: Hub, api: HfApi) -> None:
    hub.add_repo("Ann/m", gated="manual").add_file("m.rkllm", WEIGHTS)
    hub.tokens.add("hf_new", accepted=False)
    hub.tokens.add("hf_other", accepted={"Ann/m"})
    assert api.model_info("Ann/m", files_metadata=True).gated == "manual"
    assert len(list(api.list_repo_tree("Ann/m"))) == 2
    url = hf_hub_url("Ann/m", "m.rkllm", endpoint=hub.endpoint)
    for token, status in ((False, 401), ("hf_new", 403)):
        with pytest.raises(GatedRepoError) as caught:
            get_hf_file_metadata(url, token=token, endpoint=hub.endpoint)
        assert caught.value.response is not None
        assert caught.value.response.status_code == status
    with pytest.raises(GatedRepoError):
        api.auth_check("Ann/m")
    assert get_hf_file_metadata(url, token="hf_other", endpoint=hub.endpoint).size == len(WEIGHTS)


def test_missing_and_private_look_the_same_without_a_token(hub: Hub, api: HfApi) -> None:
    hub.add_repo("Ann/secret", private=True)
    hub.tokens.add("hf_ann", user="Ann")
    hub.tokens.add("hf_bob", user="Bob")
    for name in ("Ann/secret", "Ann/missing"):
        with pytest.raises(RepositoryNotFoundError):
            api.model_info(name)
        with pytest.raises(RepositoryNotFoundError):
            api.model_info(name, token="hf_bob")
        bare = httpx.get(f"{hub.endpoint}/api/models/{name}")
        assert bare.status_code == 401
        assert "x-error-code" not in bare.headers
        assert bare.headers["x-error-message"] == "Invalid username or password."
    assert api.model_info("Ann/secret", token="hf_ann").private
    with pytest.raises(HfHubHTTPError, match="Invalid credentials"):
        api.model_info("Ann/secret", token="hf_bad")
    assert api.whoami(token="hf_bob")["name"] == "Bob"


def test_missing_file(hub: Hub) -> None:
    hub.add_repo("Ann/m")
    url = hf_hub_url("Ann/m", "gone.rkllm", endpoint=hub.endpoint)
    with pytest.raises(EntryNotFoundError):
        get_hf_file_metadata(url, token=False, endpoint=hub.endpoint)


def test_renamed_repositories_redirect(hub: Hub, api: HfApi) -> None:
    repo = hub.add_repo("Ann/old")
    repo.add_file("m.rkllm", WEIGHTS)
    hub.rename("Ann/old", "Eve/new")
    assert api.model_info("Ann/old").id == "Eve/new"
    assert api.model_info("eve/NEW").id == "Eve/new"
    url = hf_hub_url("Ann/old", "m.rkllm", endpoint=hub.endpoint)
    about = get_hf_file_metadata(url, token=False, endpoint=hub.endpoint)
    assert about.commit_hash == repo.commit
    moved = httpx.head(url)
    assert moved.status_code == 307
    assert moved.headers["location"] == "/Eve/new/resolve/main/m.rkllm"


def test_quota_is_told_and_enforced() -> None:
    with Hub(api_quota=2) as hub:
        told = [httpx.get(f"{hub.endpoint}/api/models") for _ in range(3)]
    assert [answer.status_code for answer in told] == [200, 200, 429]
    assert told[0].headers["ratelimit"].startswith('"api";r=1;t=')
    assert told[2].headers["ratelimit-policy"] == '"fixed window";"api";q=2;w=300'


def test_the_same_filling_gives_the_same_commits() -> None:
    commits = []
    for _ in range(2):
        with Hub() as hub:
            repo = hub.add_repo("Ann/m", card=CARD)
            repo.add_file("m.rkllm", WEIGHTS)
            commits.append(repo.commit)
    assert commits[0] == commits[1]


def test_the_room_of_all_revisions_is_told_in_listings_and_details(hub: Hub, api: HfApi) -> None:
    repo = hub.add_repo("Ann/x-rkllm", card=CARD)
    repo.add_file("m.rkllm", WEIGHTS)
    repo.tag("same")
    repo.add_file("copy.rkllm", WEIGHTS, branch="rk3576")
    (listed,) = api.list_models(search="x-rkllm", expand=["usedStorage", "createdAt"])
    assert listed.used_storage == len(WEIGHTS)
    repo.add_file("other.rkllm", WEIGHTS[1:], branch="rk3576")
    assert api.model_info("Ann/x-rkllm").used_storage == 2 * len(WEIGHTS) - 1
    refs = api.list_repo_refs("Ann/x-rkllm")
    assert [(ref.name, ref.target_commit) for ref in refs.tags] == [("same", repo.commit)]
    assert {ref.name for ref in refs.branches} == {"main", "rk3576"}


def test_json_is_packed_for_who_takes_it_and_files_never_are(hub: Hub) -> None:
    repo = hub.add_repo("Ann/x-rkllm", card=CARD)
    repo.add_files({f"{number}.rkllm": WEIGHTS for number in range(40)})
    for accepted, packed in (("gzip", "gzip"), ("identity", None)):
        reply = httpx.get(
            f"{hub.endpoint}/api/models?full=true", headers={"Accept-Encoding": accepted}
        )
        assert reply.headers.get("content-encoding") == packed
        assert len(reply.json()[0]["siblings"]) == 42
    page = f"{hub.endpoint}/Ann/x-rkllm/resolve/main/0.rkllm"
    file = httpx.get(page, headers={"Accept-Encoding": "gzip"}, follow_redirects=True)
    assert "content-encoding" not in file.headers
