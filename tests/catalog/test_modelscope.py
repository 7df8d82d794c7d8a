"""What ModelScope lists comes into the catalog, and what did not change costs nothing."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest

from crawls import asked, everything, only
from hub.faults import HOSTILE_NAMES
from hub.modelscope import FARTHEST, PAGE_LIMIT_MESSAGE
from hub.server import Fault, Hub
from rkfetch.catalog.database import Catalog
from rkfetch.catalog.sources.modelscope import MOST_BARREN, PAGE, ModelScope
from rkfetch.catalog.update import update
from rkfetch.registry.errors import NetworkError, UsageError
from rkfetch.registry.http import Http, RetryPolicy
from rkfetch.registry.model import Availability, Origin, Platform
from rkfetch.registry.versions import Version
from rkllm_files import rkllm_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rkfetch.catalog.update import Report

REPO = "RKNNAI/RK3576-LLM-Qwen3-0.6B"
FILE = "Qwen3-0.6B-w4a16-2-1024/Qwen3-0.6B.rkllm"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as hub:
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", hub.modelscope.url)
        yield hub


@pytest.fixture
def run(path: Path, hub: Hub) -> Callable[[], Report]:
    def run() -> Report:
        with (
            Http(retries=RetryPolicy(attempts=2), sleep=lambda _: None) as http,
            ModelScope(http) as source,
        ):
            return update(source, http, path=path)

    return run


def test_a_build_is_found_with_size_hash_commit_and_its_header(
    hub: Hub, run: Callable[[], Report], path: Path
) -> None:
    content = rkllm_bytes(toolkit="1.2.3", platform="rk3576", max_context=1024)
    repo = hub.modelscope.add_repo(REPO, downloads=7, likes=3, tags=["llm"])
    repo.add_file(FILE, content)
    commit = repo.commit
    repo.add_file("notes.txt", b"later", lfs=False)
    report = run()
    artifact = only(path)
    assert (artifact.source, artifact.repo, artifact.path) == ("modelscope", REPO, FILE)
    assert artifact.sha256 == hashlib.sha256(content).hexdigest()
    assert artifact.size_bytes == len(content)
    # The commit that brought the file, not the newest one.
    assert artifact.revision == commit
    assert artifact.toolkits == (Version("1.2.3"),)
    assert (artifact.platform, artifact.context) == (Platform.RK3576, 1024)
    assert artifact.attribute("platform").origin is Origin.HEADER
    assert artifact.model == "Qwen3-0.6B"
    assert (report.changed, report.builds, report.probed, report.skipped) == (1, 1, 1, [])
    assert hub.data_bytes("*.rkllm") < 40_000
    assert {seen.origin for seen in hub.requests} == {"modelscope", "cdn"}


def test_names_tags_and_chinese_titles_lead_to_a_repository(
    hub: Hub, run: Callable[[], Report], path: Path
) -> None:
    hub.modelscope.add_repo("a/Qwen3-RKLLM").add_file("a.rkllm", rkllm_bytes())
    hub.modelscope.add_repo("b/boards", tags=["rkllm"]).add_file("b.rkllm", rkllm_bytes())
    titled = hub.modelscope.add_repo("c/tongyi", title="通义千问 RK3588 开发板")
    titled.add_file("模型/通义千问-1.5B_w8a8.rkllm", rkllm_bytes())
    hub.modelscope.add_repo("d/unrelated").add_file("d.rkllm", rkllm_bytes())
    run()
    assert {a.repo for a in everything(path)} == {"a/Qwen3-RKLLM", "b/boards", "c/tongyi"}
    (chinese,) = (a for a in everything(path) if a.repo == "c/tongyi")
    assert chinese.path == "模型/通义千问-1.5B_w8a8.rkllm"


def test_the_card_tells_model_toolkit_and_its_own_page(
    hub: Hub, run: Callable[[], Report], path: Path
) -> None:
    card = "---\nlicense: apache-2.0\nbase_model:\n- Qwen/Qwen2.5-1.5B-Instruct\n---\n"
    card += "RKLLM Toolkit: 1.2.3\n"
    repo = hub.modelscope.add_repo("someone/rkllm-files", card=card)
    repo.add_file("model.rkllm", rkllm_bytes())
    run()
    artifact = only(path)
    assert artifact.model == "Qwen2.5-1.5B-Instruct"
    (said,) = (e for e in artifact.attribute("toolkit").evidence if e.origin is Origin.CARD)
    assert (said.value, said.place) == (
        "1.2.3",
        "https://www.modelscope.cn/models/someone/rkllm-files/file/view/master/README.md#L6",
    )


def test_what_did_not_change_costs_nothing_beyond_the_listing(
    hub: Hub, run: Callable[[], Report]
) -> None:
    repo = hub.modelscope.add_repo(REPO)
    repo.add_file(FILE, rkllm_bytes())
    hub.modelscope.add_repo("else/rkllm-tools").add_file("tool.py", b"x", lfs=False)
    run()
    hub.forget()
    report = run()
    assert (report.unchanged, report.changed, report.probed) == (2, 0, 0)
    assert asked(hub, "/api/v1/") == 0
    assert asked(hub, "/resolve/") == 0
    repo.add_file("w8a8/Qwen3-0.6B.rkllm", rkllm_bytes(seed=5))
    hub.forget()
    report = run()
    assert (report.unchanged, report.changed, report.probed) == (1, 1, 1)
    assert asked(hub, "/repo/files") == 1


def test_content_that_another_source_has_told_of_is_not_read_again(
    hub: Hub, run: Callable[[], Report], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rkfetch.catalog.sources.huggingface import HuggingFace

    content = rkllm_bytes(toolkit="1.2.2")
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    hub.add_repo("RKNNAI/Qwen3-RKLLM").add_file("x.rkllm", content)
    hub.modelscope.add_repo(REPO).add_file(FILE, content)
    with Http() as http, HuggingFace(http) as source:
        update(source, http, path=path)
    hub.forget()
    report = run()
    assert report.probed == 0
    assert hub.data_requests("*.rkllm") == []
    with Catalog.open(path) as catalog:
        places = catalog.by_sha256(hashlib.sha256(content).hexdigest())
    assert {a.source for a in places} == {"huggingface", "modelscope"}
    assert {a.toolkits for a in places} == {(Version("1.2.2"),)}


def test_a_search_that_goes_on_with_other_things_is_left_alone(
    hub: Hub, run: Callable[[], Report], path: Path
) -> None:
    hub.modelscope.is_fuzzy = True
    for number in range(PAGE * (MOST_BARREN + 3)):
        hub.modelscope.add_repo(f"noise/model-{number}")
    hub.modelscope.add_repo(REPO).add_file(FILE, rkllm_bytes())
    report = run()
    assert report.listed == 1
    assert only(path).repo == REPO
    pages = [seen for seen in hub.requests if seen.query.get("search") == ["rv1126b"]]
    assert len(pages) == MOST_BARREN
    assert asked(hub, "/repo/files") == 1


def test_a_long_listing_is_read_page_by_page(
    hub: Hub, run: Callable[[], Report], path: Path
) -> None:
    for number in range(PAGE + 1):
        hub.modelscope.add_repo(f"many/rkllm-{number}")
    assert run().listed == PAGE + 1
    assert max(int(s.query.get("page_number", ["0"])[0]) for s in hub.requests) == 2


def test_the_tags_are_looked_into_where_the_default_branch_has_no_build(
    hub: Hub, run: Callable[[], Report], path: Path
) -> None:
    repo = hub.modelscope.add_repo("macrae/rkllm-builds", card="# builds are in the branches\n")
    repo.branch("w8a8-toolkitv1.2.1")
    repo.add_file("model.rkllm", rkllm_bytes(), branch="w8a8-toolkitv1.2.1")
    commit = repo.branches["w8a8-toolkitv1.2.1"].id
    report = run()
    assert report.builds == 1
    assert only(path).revision == commit


def test_what_disappears_is_gone(hub: Hub, run: Callable[[], Report], path: Path) -> None:
    repo = hub.modelscope.add_repo(REPO)
    repo.add_file(FILE, rkllm_bytes())
    other = hub.modelscope.add_repo("b/Qwen-RKLLM")
    other.add_file("b.rkllm", rkllm_bytes())
    run()
    repo.remove_file(FILE)
    hub.modelscope.private.add("b/Qwen-RKLLM")
    report = run()
    assert report.gone == 1
    assert {a.availability for a in everything(path)} == {Availability.GONE}


def test_a_known_repository_that_no_search_finds_is_found_by_its_owner(
    hub: Hub, run: Callable[[], Report], path: Path
) -> None:
    repo = hub.modelscope.add_repo("a/quiet", tags=["rkllm"])
    repo.add_file("a.rkllm", rkllm_bytes())
    run()
    repo.own_tags = ()
    hub.modelscope.add_repo("a/of-the-same-owner").add_file("x.rkllm", rkllm_bytes())
    hub.forget()
    report = run()
    assert (report.unchanged, report.changed, report.gone) == (1, 0, 0)
    assert only(path).availability is Availability.LISTED


def test_a_gated_build_is_known_and_marked(hub: Hub, run: Callable[[], Report], path: Path) -> None:
    hub.modelscope.add_repo(REPO, gated=True).add_file(FILE, rkllm_bytes())
    report = run()
    assert (report.builds, report.unread) == (1, 1)
    artifact = only(path)
    assert (artifact.gated, artifact.availability) == (True, Availability.LISTED)


def test_hostile_names_stay_outside(hub: Hub, run: Callable[[], Report], path: Path) -> None:
    repo = hub.modelscope.add_repo(REPO)
    for number, name in enumerate(HOSTILE_NAMES):
        repo.add_file(name, rkllm_bytes(seed=number))
    report = run()
    assert report.changed == 1
    for artifact in everything(path):
        parts = artifact.path.split("/")
        assert not {"", ".", ".."} & set(parts)
        assert artifact.path.isprintable()
    assert report.skipped


@pytest.mark.parametrize(
    "listed",
    [
        {"id": "../../etc/passwd"},
        {"id": 7},
        "a word: rkllm",
        {"id": "a/b/c-rkllm"},
        {"id": "rkllm"},
    ],
)
def test_an_entry_that_makes_no_sense_is_left_out(
    hub: Hub, run: Callable[[], Report], path: Path, listed: object
) -> None:
    tagged = {**listed, "tags": ["rkllm"]} if isinstance(listed, dict) else listed
    body = json.dumps({"success": True, "data": {"models": [tagged], "total_count": 1}})
    hub.break_it(Fault(origin="modelscope", path="/openapi/*", body=body.encode()))
    report = run()
    assert report.listed == 0
    assert everything(path) == []
    assert ("1 repositories of a listing", "they are described as ModelScope does not") in (
        report.skipped
    )


@pytest.mark.parametrize(
    "body",
    [
        b"<html>log in</html>",
        b"[" * 100_000,
        b'{"success": false, "code": "QuotaLimitExceed", "message": "too many"}',
        b'{"success": true, "data": {"models": 5}}',
        b"null",
    ],
)
def test_an_answer_that_is_no_listing_is_a_failure(
    hub: Hub, run: Callable[[], Report], body: bytes
) -> None:
    hub.break_it(Fault(origin="modelscope", path="/openapi/*", body=body))
    with pytest.raises(NetworkError, match="answered what ModelScope does not answer") as caught:
        run()
    assert "MODELSCOPE_ENDPOINT" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "files",
    ["5", '[{"Path": 5}]', "[null]", json.dumps([{"Path": "x", "Type": "blob"}] * FARTHEST)],
)
def test_a_repository_that_is_described_badly_is_left_out_alone(
    hub: Hub, run: Callable[[], Report], path: Path, files: str
) -> None:
    hub.modelscope.add_repo("a/good-rkllm").add_file("a.rkllm", rkllm_bytes())
    hub.modelscope.add_repo("b/bad-rkllm").add_file("b.rkllm", rkllm_bytes())
    body = f'{{"Code": 200, "Data": {{"Files": {files}}}, "Success": true}}'
    hub.break_it(Fault(origin="modelscope", path="*/b/bad-rkllm/repo/files", body=body.encode()))
    report = run()
    assert only(path).repo == "a/good-rkllm"
    ((what, why),) = report.skipped
    assert what == "b/bad-rkllm"
    assert "described as ModelScope does not" in why


def test_a_page_that_is_too_large_is_refused_by_the_double_as_it_is_there(hub: Hub) -> None:
    with Http() as http:
        reply = http.request("GET", f"{hub.modelscope.url}/openapi/v1/models?page_size=51")
    assert (reply.status, json.loads(reply.body)["message"]) == (403, PAGE_LIMIT_MESSAGE)


def test_a_busy_server_is_waited_for(hub: Hub, run: Callable[[], Report]) -> None:
    hub.modelscope.add_repo(REPO).add_file(FILE, rkllm_bytes())
    busy = Fault(origin="modelscope", status=429, headers={"Retry-After": "1"}, times=1)
    hub.break_it(busy)
    assert run().changed == 1


def test_a_server_that_is_down_is_named_with_the_way_round_it(
    hub: Hub, run: Callable[[], Report]
) -> None:
    hub.stop_accepting()
    with pytest.raises(NetworkError) as caught:
        run()
    assert "MODELSCOPE_ENDPOINT" in str(caught.value.hint)


def test_a_redirect_to_another_host_is_not_followed(hub: Hub, run: Callable[[], Report]) -> None:
    hub.break_it(Fault(origin="modelscope", path="/openapi/*", redirect=f"{hub.cdn}/x"))
    with pytest.raises(NetworkError, match="answered 302"):
        run()


def test_an_endpoint_that_is_none_is_wrong_usage(
    hub: Hub, run: Callable[[], Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", "ftp://modelscope.cn")
    with pytest.raises(UsageError, match="MODELSCOPE_ENDPOINT"):
        run()
