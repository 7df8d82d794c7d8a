"""Builds that lie on branches and tags are found there, named there, and fetched from there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from crawls import asked, everything, only, updated
from hub import shapes
from rkfetch.catalog.database import Catalog
from rkfetch.catalog.entries import Repository
from rkfetch.catalog.files import create
from rkfetch.catalog.sources import huggingface
from rkfetch.catalog.writer import Writer
from rkfetch.registry.model import Availability, Origin
from rkllm_files import rkllm_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from hub.server import Hub

REPO = "macrae/Qwen2.5-1.5B-Instruct-rkllm"
FILE = "Qwen2.5-1.5B-Instruct.rkllm"


@pytest.fixture
def path(own_home: Path) -> Path:
    path = own_home / "rkfetch" / "catalog.db"
    path.parent.mkdir()
    create(path).close()
    return path


def test_a_build_that_is_only_on_a_branch_is_found_and_named(hub: Hub, path: Path) -> None:
    repo = hub.add_repo(REPO, card="---\nlicense: mit\n---\n# Branches hold the builds\n")
    repo.add_file(FILE, rkllm_bytes(toolkit="1.1.1"), branch="w8a8_g512-toolkitv1.1.1")
    report = updated(path)
    artifact = only(path)
    branch = repo.branches["w8a8_g512-toolkitv1.1.1"]
    assert (artifact.path, artifact.ref, artifact.revision) == (
        FILE,
        "w8a8_g512-toolkitv1.1.1",
        branch.id,
    )
    assert artifact.sha256 == branch.files[FILE].sha256
    assert str(artifact.quant) == "w8a8_g512"
    assert artifact.attribute("toolkit").origin is Origin.HEADER
    assert report.skipped == []
    hub.forget()
    assert updated(path).unchanged == 1
    assert asked(hub, "/api/models/") == 0


def test_the_same_content_in_several_revisions_is_one_build(hub: Hub, path: Path) -> None:
    content = rkllm_bytes(toolkit="1.2.1")
    repo = hub.add_repo(REPO)
    repo.add_file(FILE, content)
    repo.tag("v1.2.1")
    repo.branch("rk3576")
    repo.add_file("more.rkllm", rkllm_bytes(seed=1), branch="rk3576")
    repo.add_file("README.md", b"changed", lfs=False)
    updated(path)
    assert {(a.path, a.ref) for a in everything(path)} == {(FILE, None), ("more.rkllm", "rk3576")}


def test_one_path_may_hold_another_build_in_each_revision(hub: Hub, path: Path) -> None:
    repo = hub.add_repo(REPO)
    for version in ("1.2.1", "1.2.3"):
        repo.add_file(FILE, rkllm_bytes(toolkit=version))
        repo.tag(f"v{version}")
    repo.add_file(FILE, rkllm_bytes(toolkit="1.1.4"), branch="1.1.4")
    for _ in range(2):
        updated(path)
        known = {a.ref: (str(a.toolkits[0]), a.availability) for a in everything(path)}
        assert known == {
            None: ("1.2.3", Availability.LISTED),
            "v1.2.1": ("1.2.1", Availability.LISTED),
            "1.1.4": ("1.1.4", Availability.LISTED),
        }
        repo.add_file("README.md", b"# changed\n", lfs=False)
    with Catalog.open(path) as catalog:
        for revision, ref in ((None, None), ("v1.2.1", "v1.2.1"), ("1.1.4", "1.1.4")):
            found = catalog.artifact("huggingface", REPO, FILE, revision)
            assert found is not None
            assert found.ref == ref


def test_a_push_to_a_branch_alone_is_noticed(hub: Hub, path: Path) -> None:
    repo = hub.add_repo(REPO)
    repo.add_file(FILE, rkllm_bytes(toolkit="1.2.3"))
    updated(path)
    repo.branch("rk3588")
    repo.add_file(FILE, rkllm_bytes(platform="rk3588"), branch="rk3588")
    assert updated(path).changed == 1
    assert {a.ref for a in everything(path)} == {None, "rk3588"}


def test_a_branch_that_is_deleted_leaves_its_builds_gone(hub: Hub, path: Path) -> None:
    repo = hub.add_repo(REPO)
    repo.add_file(FILE, rkllm_bytes(toolkit="1.2.3"))
    repo.add_file("old.rkllm", rkllm_bytes(toolkit="1.1.4"), branch="1.1.4")
    updated(path)
    del repo.branches["1.1.4"]
    updated(path)
    states = {a.path: a.availability for a in everything(path)}
    assert states == {FILE: Availability.LISTED, "old.rkllm": Availability.GONE}


def test_a_build_that_moves_to_the_default_branch_is_the_same(hub: Hub, path: Path) -> None:
    content = rkllm_bytes(toolkit="1.2.3")
    repo = hub.add_repo(REPO)
    repo.add_file(FILE, content, branch="rk3576")
    updated(path)
    assert only(path).ref == "rk3576"
    repo.add_file(FILE, content)
    updated(path)
    assert (only(path).ref, only(path).revision) == (None, repo.commit)


def test_revisions_are_looked_at_within_a_budget(
    hub: Hub, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface, "MOST_REVISIONS", 3)
    repo = hub.add_repo(REPO)
    for name in ("experiment", "rk3588", "v1.2.1", "w8a8", "zz"):
        repo.add_file(f"{name}.rkllm", rkllm_bytes(seed=len(name)), branch=name)
    report = updated(path)
    assert {a.ref for a in everything(path)} == {"rk3588", "v1.2.1", "w8a8"}
    assert report.skipped == [
        (f"2 revisions of {REPO}", "of one repository 3 are looked at"),
    ]


def test_a_version_of_a_tag_counts_releases_and_is_no_toolkits(hub: Hub, path: Path) -> None:
    repo = hub.add_repo(REPO, gated="manual")
    repo.add_file(FILE, rkllm_bytes())
    repo.tag("v1.2.4")
    repo.add_file(FILE, rkllm_bytes(seed=1))
    repo.add_file("b.rkllm", rkllm_bytes(seed=2), branch="1.1.4")
    updated(path)
    told = {a.ref: a.value("toolkit") for a in everything(path)}
    assert told == {None: None, "v1.2.4": None, "1.1.4": "1.1.4"}


def test_a_repository_without_further_content_costs_no_further_request(
    hub: Hub, path: Path
) -> None:
    hub.add_repo(REPO).add_file(FILE, rkllm_bytes())
    updated(path)
    assert asked(hub, "/refs") == 0


def test_a_build_on_a_branch_is_resolved_fetched_and_shown(
    hub: Hub, path: Path, rkfetch: Callable[..., tuple[int, str, str]]
) -> None:
    repo = hub.add_repo(REPO, card="---\nlicense: mit\n---\n")
    content = rkllm_bytes(toolkit="1.2.3", platform="rk3576")
    repo.add_file(FILE, content, branch="rk3576")
    updated(path)
    reference = f"hf:{REPO}/{FILE}"
    for wanted in ("qwen2.5-1.5b", reference, f"{reference}@rk3576"):
        code, out, err = rkfetch(wanted, "--runtime", "1.2.3", "--quiet")
        assert code == 0, err
        assert Path(out.strip()).read_bytes() == content
    _, out, _ = rkfetch("show", f"{reference}@rk3576")
    assert f"revision      rk3576 ({repo.branches['rk3576'].id})" in out
    assert "repository    0 downloads, 0 likes, licence mit, since 2026-10-01" in out
    assert rkfetch("show", f"{reference}@another")[0] == 4


def test_an_older_revision_that_was_named_leaves_the_current_row_alone(
    hub: Hub, path: Path, rkfetch: Callable[..., tuple[int, str, str]]
) -> None:
    repo = hub.add_repo(REPO)
    repo.add_file(FILE, rkllm_bytes(toolkit="1.2.3", seed=1))
    commit = repo.commit
    repo.add_file(FILE, rkllm_bytes(toolkit="1.2.3", seed=2))
    updated(path)
    code, out, err = rkfetch(f"hf:{REPO}/{FILE}@{commit}", "--runtime", "1.2.3", "--quiet")
    assert code == 0, err
    assert Path(out.strip()).read_bytes() == rkllm_bytes(toolkit="1.2.3", seed=1)
    states = {a.ref: a.availability for a in everything(path)}
    assert states == {None: Availability.LISTED, commit: Availability.LISTED}


def test_a_mirror_that_does_not_tell_the_room_costs_refs_and_forgets_nothing(
    hub: Hub, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = hub.add_repo(REPO)
    repo.add_file(FILE, rkllm_bytes())
    repo.add_file("b.rkllm", rkllm_bytes(seed=1), branch="rk3588")
    with monkeypatch.context() as mirror:
        mirror.setattr(shapes, "used_storage", lambda repo: None)
        updated(path)
        assert asked(hub, "/refs") == 1
        assert updated(path).unchanged == 1
    assert updated(path).changed == 1
    with monkeypatch.context() as mirror:
        mirror.setattr(shapes, "used_storage", lambda repo: None)
        assert updated(path).unchanged == 1
    assert updated(path).unchanged == 1
    assert {a.ref for a in everything(path)} == {None, "rk3588"}


def test_a_catalog_of_an_older_rkfetch_learns_of_branches(hub: Hub, path: Path) -> None:
    repo = hub.add_repo(REPO)
    repo.add_file(FILE, rkllm_bytes())
    repo.add_file("b.rkllm", rkllm_bytes(seed=1), branch="rk3588")
    known = Repository(source="huggingface", repo=REPO, sha=repo.commit)
    with Writer.open(path) as writer:
        writer.record_repository(known, seen="2026-10-02T00:00:00Z")
    updated(path)
    assert {a.ref for a in everything(path)} == {None, "rk3588"}
