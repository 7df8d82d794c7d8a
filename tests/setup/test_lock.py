"""``rkfetch lock``: what it writes, keeps, changes and refuses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from setup.setups import ON_3588, QWEN, QWEN3, ROCK, SIZE, THREE_W4, W4

if TYPE_CHECKING:
    from pathlib import Path

    from setup.setups import Setup

pytestmark = pytest.mark.once
THREE_NEWER = "RK3576/Qwen3-4B_RK3576_w4a16_v1.3.0.rkllm"
NEWER = "RK3576/Qwen2.5-1.5B-Instruct_RK3576_w4a16_v1.3.0.rkllm"


def test_one_file_locks_both_kinds_of_boards_and_says_so_once(setup: Setup) -> None:
    done = setup.run("lock")
    assert (done.code, done.out) == (0, "rkfetch.lock\n"), done.err
    assert "rock-4d: qwen2.5-1.5b\n" in done.err
    assert "3 models for 2 targets" in done.err
    assert setup.choices() == {
        "opi-5": {"qwen2.5-1.5b": ON_3588},
        "rock-4d": {"qwen2.5-1.5b": W4, "qwen3-4b": THREE_W4},
    }
    rock = json.loads(setup.lock.read_text())["targets"][1]["models"][0]
    (file,) = rock["files"]
    assert file["sha256"] == setup.sha256(W4)
    assert len(file["revision"]) == 40
    assert file["bytes"] > SIZE
    assert file["attributes"]["toolkit"] == {"value": "1.2.3", "origin": "header"}
    assert setup.hub.data_bytes() < SIZE  # headers at the most
    written = setup.lock.stat()
    again = setup.run("lock", "--json").json
    assert (again["written"], again["failures"]) == (False, [])
    assert {m["change"] for t in again["targets"] for m in t["models"]} == {"kept"}
    assert setup.lock.stat().st_mtime_ns == written.st_mtime_ns
    assert setup.run("lock", "--check").code == 0


def test_what_is_locked_stays_until_upgrade_is_said(setup: Setup) -> None:
    setup.locked()
    setup.add(W4, seed=9, size=SIZE + 1000)
    setup.update()
    before = setup.lock.read_text()
    assert setup.run("lock").code == 0
    assert setup.lock.read_text() == before
    compared = setup.run("outdated", "-f", "rkfetch.lock", "--json").json
    states = {
        (t["name"], m["model"]): (m["state"], m["update"])
        for t in compared["targets"]
        for m in t["models"]
    }
    assert states == {
        ("opi-5", "qwen2.5-1.5b"): ("current", None),
        ("rock-4d", "qwen2.5-1.5b"): ("replaced", "rkfetch lock --upgrade qwen2.5-1.5b"),
        ("rock-4d", "qwen3-4b"): ("current", None),
    }
    other = setup.run("lock", "--upgrade", "qwen3-4b")
    assert other.code == 0
    assert setup.lock.read_text() == before
    done = setup.run("lock", "--upgrade", "qwen2.5-1.5b")
    assert done.code == 0
    assert "rock-4d: qwen2.5-1.5b" in done.err
    assert "\n  was HanzoHuang/" in done.err
    assert setup.sha256(W4) in setup.lock.read_text()
    wrong = setup.run("lock", "--upgrade", "gemma")
    assert (wrong.code, "has no model 'gemma'" in wrong.err) == (2, True)


def test_a_new_runtime_in_the_declaration_chooses_anew_only_what_it_has_to(setup: Setup) -> None:
    setup.add(NEWER, seed=5, size=SIZE, toolkit="1.3.0")
    setup.update()
    setup.locked()
    assert setup.choices()["rock-4d"]["qwen2.5-1.5b"] == W4
    setup.toml.write_text(
        setup.toml.read_text().replace('runtime = "1.2.3"', 'runtime = "1.3.0"', 1)
    )
    stale = setup.run("lock", "--check")
    assert stale.code == 13
    assert "rock-4d: runtime is 1.3.0, was 1.2.3 when locked" in " ".join(stale.err.split())
    # With runtime 1.3.0 the older toolkit's build is risky; of Qwen3 there is none that is not.
    compared = setup.run("outdated", "-f", "rkfetch.toml")
    assert "another build suits this board better" in " ".join(compared.out.split())
    assert "rkfetch lock --upgrade qwen2.5-1.5b" in compared.out
    refused = setup.run("lock", "--json")
    assert refused.code == 3
    assert "`optional = true`" in refused.json["error"]["hint"]
    assert [(f["target"], f["model"]) for f in refused.json["failures"]] == [
        ("rock-4d", "qwen3-4b")
    ]
    assert setup.run("lock", "--check").code == 13  # nothing was written
    setup.toml.write_text(setup.toml.read_text() + "optional = true\n")
    done = setup.run("lock")
    assert done.code == 0, done.err
    assert setup.choices() == {
        "opi-5": {"qwen2.5-1.5b": ON_3588},
        "rock-4d": {"qwen2.5-1.5b": NEWER, "qwen3-4b": ""},
    }
    assert setup.run("lock", "--check").code == 0
    left_out = setup.run("outdated", "-f", "rkfetch.toml")
    assert "current ------------ qwen3-4b nothing, which is allowed: " in " ".join(
        left_out.out.split()
    )
    setup.add(THREE_NEWER, repo=QWEN3, seed=6, size=SIZE, toolkit="1.3.0")
    setup.update()
    compared = setup.run("outdated", "-f", "rkfetch.toml", "--json").json
    (found,) = [m for m in compared["targets"][-1]["models"] if m["model"] == "qwen3-4b"]
    assert (found["state"], found["files"]) == ("better", [])
    assert found["other"]["path"] == THREE_NEWER
    assert found["update"] == "rkfetch lock --upgrade qwen3-4b"
    assert setup.run("lock", "--upgrade", "qwen3-4b").code == 0
    assert setup.choices()["rock-4d"]["qwen3-4b"] == THREE_NEWER


def test_all_that_cannot_be_had_is_named_and_nothing_is_written(setup: Setup) -> None:
    more = '\n[[model]]\nmodel = "gpt-oss-20b"\n[[model]]\nmodel = "qwen2.5-1.5b@fp16"\n'
    setup.toml.write_text(setup.toml.read_text() + more)
    done = setup.run("lock", "--json")
    assert done.code in {3, 4, 10}
    failures = {(f["target"], f["model"]): f["error"]["code"] for f in done.json["failures"]}
    assert failures[("rock-4d", "qwen2.5-1.5b@fp16")] == 3
    assert failures[("opi-5", "qwen2.5-1.5b@fp16")] == 3
    assert ("rock-4d", "gpt-oss-20b") in failures
    assert not setup.lock.exists()
    assert "no build of qwen2.5-1.5b" in " ".join(done.err.split())


def test_offline_the_catalog_has_to_do(setup: Setup) -> None:
    offline = setup.run("lock", "--offline", "--json")
    assert offline.code == 0, offline.err
    assert setup.hub.requests == []
    assert setup.choices()["rock-4d"]["qwen3-4b"] == THREE_W4


def test_what_was_replaced_upstream_is_noticed_before_it_is_locked(
    setup: Setup, tmp_path: Path
) -> None:
    """The shipped catalog knows a digest that this Hub does not have, and header of none."""
    done = setup.run("lock", "--json", RKFETCH_HOME=str(tmp_path / "fresh"))
    assert done.code == 7, done.err
    assert done.json["failures"][0]["error"]["kind"] == "integrity"
    assert not setup.lock.exists()
    assert setup.hub.data_bytes() == 0


def test_without_a_target_it_is_this_board(setup: Setup) -> None:
    setup.toml.write_text('[[model]]\nmodel = "qwen2.5-1.5b"\n')
    nobody = setup.run("lock")
    assert nobody.code == 2
    assert "--runtime" in nobody.err
    assert setup.run("lock", *ROCK).code == 0
    assert setup.choices() == {"board": {"qwen2.5-1.5b": W4}}
    # Where nothing tells the board, as in CI, it is the one that was locked.
    kept = setup.run("lock", "--json")
    assert (kept.code, kept.json["written"]) == (0, False)


def test_an_exact_file_is_pinned_to_its_commit(setup: Setup) -> None:
    commit = setup.hub.find_repo(QWEN3)
    assert commit is not None
    setup.toml.write_text(f'[[model]]\nmodel = "hf:{QWEN3}/{THREE_W4}"\nto = "."\n')
    assert setup.run("lock", *ROCK).code == 0
    (target,) = json.loads(setup.lock.read_text())["targets"]
    assert target["models"][0]["files"][0]["revision"] == commit.commit


@pytest.mark.parametrize("name", ["models", "rkfetch", "rkfetch.json"])
def test_another_kind_of_file_names_no_set_up(setup: Setup, name: str) -> None:
    done = setup.run("lock", "--file", name)
    assert (done.code, "names no set-up" in done.err) == (2, True)


def test_two_models_that_would_overwrite_each_other_are_refused(setup: Setup) -> None:
    setup.toml.write_text(
        setup.toml.read_text().replace('to = "models"\n', 'to = "models/chat.rkllm"\n')
    )
    done = setup.run("lock")
    assert done.code == 2
    assert "two different files would be models/chat.rkllm" in done.err
    assert QWEN in setup.run("resolve", "qwen2.5-1.5b", *ROCK).out


def test_two_that_lock_at_once_leave_one_whole_file(setup: Setup) -> None:
    both = [setup.start("lock", "--quiet") for _ in range(3)]
    said = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0, 0], said
    assert setup.run("lock", "--check").code == 0
    assert sorted(p.name for p in setup.folder.iterdir()) == ["rkfetch.lock", "rkfetch.toml"]
