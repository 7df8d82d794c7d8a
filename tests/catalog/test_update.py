"""An update asks for what changed, reads what is new, and keeps what it knew."""

from __future__ import annotations

import subprocess
from functools import partial
from typing import TYPE_CHECKING

import pytest

from crawls import asked, everything, only, update_command, updated
from hub.server import Fault
from rkfetch.catalog.database import Catalog
from rkfetch.catalog.sources.huggingface import HuggingFace
from rkfetch.catalog.update import Observer, update
from rkfetch.catalog.writer import Writer
from rkfetch.registry.errors import AuthenticationError, NetworkError
from rkfetch.registry.http import Http
from rkfetch.registry.model import Artifact, Availability, Origin, Platform
from rkfetch.registry.versions import Version
from rkllm_files import rkllm_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hub.server import Hub
    from rkfetch.catalog.update import Report

REPO = "HanzoHuang/Qwen3-1.7B-RKLLM"
FILE = "RK3576/Qwen3-1.7B_RK3576_w4a16.rkllm"


@pytest.fixture
def run(path: Path, hub: Hub) -> Callable[..., Report]:
    """Update the catalog from the Hub."""
    return partial(updated, path)


def test_a_build_is_found_with_size_hash_commit_and_its_header(
    hub: Hub, run: Callable[..., Report], path: Path
) -> None:
    content = rkllm_bytes(toolkit="1.2.3", platform="rk3576")
    repo = hub.add_repo(REPO, tags=["rkllm"])
    repo.add_file(FILE, content)
    report = run()
    artifact = only(path)
    file = repo.head.files[FILE]
    assert (artifact.repo, artifact.path, artifact.revision) == (REPO, FILE, repo.commit)
    assert (artifact.size_bytes, artifact.sha256) == (len(content), file.sha256)
    assert artifact.availability is Availability.LISTED
    assert artifact.toolkits == (Version("1.2.3"),)
    assert artifact.platform is Platform.RK3576
    assert artifact.attribute("platform").origin is Origin.HEADER
    assert artifact.model == "Qwen3-1.7B"
    assert (report.changed, report.builds, report.probed, report.skipped) == (1, 1, 1, [])
    assert hub.data_bytes("*.rkllm") < 40_000


def test_tags_libraries_and_names_all_lead_to_a_repository(
    hub: Hub, run: Callable[..., Report], path: Path
) -> None:
    hub.add_repo("a/tagged", tags=["rk3576"]).add_file("a.rkllm", rkllm_bytes())
    hub.add_repo("b/library", library_name="rkllm").add_file("b.rkllm", rkllm_bytes())
    hub.add_repo("c/Qwen-RK3588-1.1.4").add_file("c.rkllm", rkllm_bytes())
    hub.add_repo("d/unrelated").add_file("d.rkllm", rkllm_bytes())
    hub.add_repo("e/rkllm-tools").add_file("tool.py", b"x", lfs=False)
    run()
    assert {a.repo for a in everything(path)} == {"a/tagged", "b/library", "c/Qwen-RK3588-1.1.4"}


def test_what_did_not_change_costs_nothing_beyond_the_listing(
    hub: Hub, run: Callable[..., Report]
) -> None:
    hub.add_repo(REPO, tags=["rkllm"]).add_file(FILE, rkllm_bytes())
    run()
    hub.forget()
    report = run()
    assert (report.unchanged, report.changed, report.probed) == (1, 0, 0)
    assert asked(hub, "/api/models/") == 0
    assert asked(hub, "/resolve/") == 0


def test_the_same_content_is_never_read_twice(
    hub: Hub, run: Callable[..., Report], path: Path
) -> None:
    hub.add_repo(REPO, tags=["rkllm"]).add_file(FILE, rkllm_bytes(toolkit="1.2.3"))
    run()
    hub.forget()
    hub.add_repo("else/copy-rkllm").add_file("model.rkllm", rkllm_bytes(toolkit="1.2.3"))
    report = run()
    assert report.probed == 0
    assert hub.data_requests("*.rkllm") == []
    assert {a.toolkits for a in everything(path)} == {(Version("1.2.3"),)}


def test_a_replaced_file_is_another_artifact(
    hub: Hub, run: Callable[..., Report], path: Path
) -> None:
    repo = hub.add_repo(REPO, tags=["rkllm"])
    repo.add_file(FILE, rkllm_bytes(toolkit="1.2.3"))
    run()
    repo.add_file(FILE, rkllm_bytes(toolkit="1.3.0"))
    run()
    states = {str(a.toolkits[0]): a.availability for a in everything(path)}
    assert states == {"1.2.3": Availability.GONE, "1.3.0": Availability.LISTED}


def test_what_disappears_is_marked_gone_and_kept(
    hub: Hub, run: Callable[..., Report], path: Path
) -> None:
    hub.add_repo(REPO, tags=["rkllm"]).add_file(FILE, rkllm_bytes())
    run()
    hub.remove_repo(REPO)
    report = run()
    artifact = only(path)
    assert artifact.availability is Availability.GONE
    assert artifact.note == "its repository was removed, renamed or made private"
    assert report.gone == 1
    hub.forget()
    run()
    assert asked(hub, "/api/models/") == 0


def test_a_mirror_that_holds_little_does_not_empty_the_catalog(
    hub: Hub, run: Callable[..., Report], path: Path
) -> None:
    with Writer.open(path) as writer:
        for number in range(30):
            repo = f"a/{number:02}-rkllm"
            writer.record_artifact(Artifact(source="huggingface", repo=repo, path="m.rkllm"))
    hub.add_repo("a/00-rkllm").add_file("m.rkllm", rkllm_bytes())
    report = run()
    assert {a.availability for a in everything(path)} == {Availability.LISTED}
    assert report.gone == 0
    assert report.skipped == [
        (
            "29 of 30 known repositories",
            "this endpoint does not have them, so it is taken for a partial mirror",
        )
    ]


def test_a_renamed_repository_goes_on_under_its_new_name(
    hub: Hub, run: Callable[..., Report], path: Path
) -> None:
    hub.add_repo(REPO, tags=["rkllm"]).add_file(FILE, rkllm_bytes())
    run()
    hub.rename(REPO, "HanzoHuang/Qwen3-1.7B-RKLLM-v2")
    run()
    states = {a.repo: a.availability for a in everything(path)}
    assert states == {
        REPO: Availability.GONE,
        "HanzoHuang/Qwen3-1.7B-RKLLM-v2": Availability.LISTED,
    }


def test_a_known_repository_that_no_query_finds_is_asked_for(
    hub: Hub, run: Callable[..., Report], path: Path
) -> None:
    hub.add_repo("FydeOS/Qwen1.5-0.5B").add_file("qwen.rkllm", rkllm_bytes())
    unnamed = Artifact(
        source="huggingface",
        repo="FydeOS/Qwen1.5-0.5B",
        path="",
        availability=Availability.UNNAMED,
    )
    with Writer.open(path) as writer:
        writer.record_artifact(unnamed)
    run()
    states = {a.path: a.availability for a in everything(path)}
    assert states == {"": Availability.GONE, "qwen.rkllm": Availability.LISTED}


def test_a_header_outranks_a_lying_name(hub: Hub, run: Callable[..., Report], path: Path) -> None:
    hub.add_repo(REPO, tags=["rkllm"]).add_file(FILE, rkllm_bytes(platform="rk3588"))
    run()
    attribute = only(path).attribute("platform")
    assert attribute.value == "rk3588"
    assert {e.value for e in attribute.overruled} == {"rk3576"}


def test_what_is_no_model_is_passed_over_and_asked_again(
    hub: Hub, run: Callable[..., Report], path: Path
) -> None:
    content = rkllm_bytes()
    hub.add_repo(REPO, tags=["rkllm"]).add_file(FILE, content)
    page = b"<!DOCTYPE html><html>Sign in</html>".ljust(len(content))
    hub.break_it(Fault(origin="cdn", body=page))
    for _ in range(2):
        report = run()
        artifact = only(path)
        assert artifact.availability is Availability.REJECTED
        assert (artifact.note or "").startswith("it is no .rkllm model but")
        assert report.skipped == [(artifact.name, artifact.note)]
    hub.heal()
    assert run().skipped == []
    assert (only(path).availability, only(path).note) == (Availability.LISTED, None)


def test_a_gated_repository_is_listed_though_not_read(
    hub: Hub, run: Callable[..., Report], path: Path
) -> None:
    hub.add_repo(REPO, tags=["rkllm"], gated="manual").add_file(FILE, rkllm_bytes())
    report = run()
    artifact = only(path)
    assert artifact.gated
    assert artifact.availability is Availability.LISTED
    assert artifact.attribute("platform").origin is Origin.FILE_NAME
    assert report.unread == 1


def test_a_failing_repository_is_reported_and_tried_again(
    hub: Hub, run: Callable[..., Report], path: Path
) -> None:
    hub.add_repo("a/one-rkllm").add_file("a.rkllm", rkllm_bytes())
    hub.add_repo("b/two-rkllm").add_file("b.rkllm", rkllm_bytes())
    hub.break_it(Fault(path="/api/models/a/one-rkllm", status=503))
    report = run()
    assert [what for what, _ in report.skipped] == ["a/one-rkllm"]
    assert [a.repo for a in everything(path)] == ["b/two-rkllm"]
    hub.heal()
    report = run()
    assert (report.changed, report.unchanged) == (1, 1)
    assert len(everything(path)) == 2


def test_a_header_that_could_not_be_read_is_read_the_next_time(
    hub: Hub, run: Callable[..., Report], path: Path
) -> None:
    hub.add_repo(REPO, tags=["rkllm"]).add_file(FILE, rkllm_bytes(toolkit="1.3.0"))
    hub.break_it(Fault(origin="cdn", status=503))
    report = run()
    assert (report.unread, only(path).toolkits) == (1, ())
    hub.heal()
    run()
    assert only(path).toolkits == (Version("1.3.0"),)


def test_an_order_to_slow_down_is_obeyed(hub: Hub, path: Path) -> None:
    hub.add_repo(REPO, tags=["rkllm"]).add_file(FILE, rkllm_bytes())
    slow = {"Retry-After": "7"}
    hub.break_it(
        Fault(path="/api/models", status=429, headers=slow, times=1),
        Fault(path=f"/api/models/{REPO}", status=429, headers=slow, times=1),
    )
    waits: list[float] = []
    said: list[tuple[str, float]] = []
    with (
        Http(sleep=waits.append) as http,
        HuggingFace(http, waiting=lambda why, s: said.append((why, s))) as source,
    ):
        report = update(source, http, path=path)
    assert waits == [7, 7]
    assert [seconds for _, seconds in said] == [7, 7]
    assert "slow down (429)" in said[0][0]
    assert report.changed == 1


def test_a_hub_that_is_down_changes_nothing(
    hub: Hub, run: Callable[..., Report], path: Path
) -> None:
    hub.add_repo(REPO, tags=["rkllm"]).add_file(FILE, rkllm_bytes())
    run()
    before = everything(path)
    hub.stop_accepting()
    with pytest.raises(NetworkError, match="no connection to http"):
        run()
    assert everything(path) == before


def test_a_network_that_fails_midway_keeps_what_was_read(
    hub: Hub, run: Callable[..., Report], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rkfetch.catalog.update.WORKERS", 1)
    for number in range(12):
        hub.add_repo(f"a/{number:02}-rkllm").add_file("m.rkllm", rkllm_bytes())
    hub.break_it(Fault(path="/api/models/a/*", status=503, after=2))
    with pytest.raises(NetworkError) as caught:
        run()
    assert caught.value.hint == "what was read is kept; the same command goes on from there"
    assert len(everything(path)) == 2


def test_a_bad_token_is_said_and_changes_nothing(
    hub: Hub, run: Callable[..., Report], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add_repo(REPO, tags=["rkllm"]).add_file(FILE, rkllm_bytes())
    run()
    monkeypatch.setenv("HF_TOKEN", "hf_expired")
    with pytest.raises(AuthenticationError):
        run()
    assert only(path).availability is Availability.LISTED


def test_a_listing_that_never_ends_is_cut_off(
    hub: Hub, run: Callable[..., Report], path: Path
) -> None:
    hub.add_repo(REPO, tags=["rkllm"]).add_file(FILE, rkllm_bytes())
    hub.break_it(Fault(endless=True))
    run()
    assert len(everything(path)) == 1
    assert asked(hub, "/api/models?") + asked(hub, "/api/models") < 20_000


@pytest.mark.parametrize(
    "name",
    [
        "../x.rkllm",
        "/etc/x.rkllm",
        "a/../../x.rkllm",
        "a\nb.rkllm",
        "a\x1b[2J.rkllm",
        "\u202ex.rkllm",
    ],
)
def test_names_that_are_no_paths_are_left_out(
    hub: Hub, run: Callable[..., Report], path: Path, name: str
) -> None:
    repo = hub.add_repo(REPO, tags=["rkllm"])
    repo.add_file(FILE, rkllm_bytes())
    repo.add_file(name, rkllm_bytes())
    report = run()
    assert [a.path for a in everything(path)] == [FILE]
    assert [what for what, _ in report.skipped] == [f"{REPO}/{name}"]


def test_the_vision_encoder_of_the_same_soc_comes_along(
    hub: Hub, run: Callable[..., Report], path: Path
) -> None:
    repo = hub.add_repo("HanzoHuang/Qwen3.5-2B-RKLLM", tags=["rkllm"])
    for soc in ("RK3576", "RK3588"):
        repo.add_file(f"{soc}/Qwen3.5-2B_{soc}_w8a8.rkllm", rkllm_bytes(platform=soc.lower()))
        repo.add_file(f"{soc}/Qwen3.5-2B_vision_{soc}.rknn", soc.encode())
    run()
    with Catalog.open(path) as catalog:
        paired = {a.path: [c.path for c in catalog.companions(a)] for a in catalog.everything()}
    assert paired == {
        f"{soc}/Qwen3.5-2B_{soc}_w8a8.rkllm": [f"{soc}/Qwen3.5-2B_vision_{soc}.rknn"]
        for soc in ("RK3576", "RK3588")
    }


def test_two_updates_at_once_do_no_harm(hub: Hub, path: Path) -> None:
    for number in range(6):
        repo = hub.add_repo(f"a/{number}-rkllm")
        repo.add_file("m.rkllm", rkllm_bytes(toolkit=f"1.2.{number}"))
    started = [subprocess.Popen(update_command(path), stderr=subprocess.PIPE) for _ in range(2)]
    assert [process.communicate(timeout=60)[1] for process in started] == [b"", b""]
    assert sorted(str(a.toolkits[0]) for a in everything(path)) == [f"1.2.{n}" for n in range(6)]


class _Interrupting(Observer):
    def read(self) -> None:
        raise KeyboardInterrupt


def test_an_interrupted_update_goes_on_where_it_was(
    hub: Hub, run: Callable[..., Report], path: Path
) -> None:
    for number in range(9):
        repo = hub.add_repo(f"a/{number}-rkllm")
        repo.add_file("m.rkllm", rkllm_bytes(toolkit=f"1.2.{number}"))
    with pytest.raises(KeyboardInterrupt):
        run(observer=_Interrupting())
    first = len(everything(path))
    assert 1 <= first < 9
    report = run()
    assert report.unchanged >= 1
    assert len(everything(path)) == 9


def test_the_time_of_the_update_is_kept(hub: Hub, run: Callable[..., Report], path: Path) -> None:
    hub.add_repo(REPO, tags=["rkllm"]).add_file(FILE, rkllm_bytes())
    run()
    with Catalog.open(path) as catalog:
        (source,) = catalog.status().sources
    assert source.updated is not None
    assert source.repositories == 1
