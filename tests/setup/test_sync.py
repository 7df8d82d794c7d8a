"""``rkfetch sync``: the board becomes what the lock file says, and nothing happens twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from boards import rock_4d
from e2e.world import RKFETCH
from hub.server import Fault
from rkfetch.registry.store import Store
from setup.setups import ON_3588, OPI, QWEN, QWEN3, ROCK, SIZE, THREE_W4, W4, tree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from setup.setups import Setup

pytestmark = pytest.mark.once
PLACED = f"models/{Path(W4).name}"
CHAT = "models/chat.rkllm"


@pytest.fixture
def locked(setup: Setup) -> Setup:
    setup.locked()
    return setup


@pytest.fixture
def synced(locked: Setup) -> Iterator[Setup]:
    locked.synced("--locked")
    locked.hub.forget()
    yield locked
    assert sorted(p.name for p in (locked.home / "setups").iterdir() if p.suffix != ".json") == []


def test_files_come_to_their_places_and_a_second_run_does_nothing(locked: Setup) -> None:
    done = locked.run("sync", *ROCK)
    assert done.code == 0, done.err
    paths = [Path(line) for line in done.out.splitlines()]
    assert paths == [locked.folder / PLACED, locked.folder / CHAT]
    assert paths[0].samefile(locked.home / "models" / locked.sha256(W4) / paths[0].name)
    assert "downloaded and verified" in done.err
    locked.hub.forget()
    before = {p: p.stat() for p in locked.home.rglob("*")} | {p: p.stat() for p in paths}
    report = locked.synced()
    assert locked.hub.requests == []
    assert report["changed"] is False
    assert [m["action"] for m in report["models"]] == ["present", "present"]
    assert [m["path"] for m in report["models"]] == [str(p) for p in paths]
    assert {p: p.stat().st_mtime_ns for p in before} == {
        p: s.st_mtime_ns for p, s in before.items()
    }
    assert locked.states() == ["present", "present"]


def test_the_report_is_one_object_with_all_that_was_done(locked: Setup) -> None:
    report = locked.synced("--locked")
    assert next(iter(report)) == "schema_version"
    assert (report["status"], report["error"], report["changed"]) == ("ok", None, True)
    assert (report["target"], report["board"]["runtime"]) == ("rock-4d", "1.2.3")
    model = report["models"][0]
    assert (model["model"], model["action"], model["verdict"]) == (
        "qwen2.5-1.5b",
        "downloaded",
        "exact",
    )
    (file,) = model["files"]
    assert (file["state"], file["action"]) == ("missing", "downloaded")
    assert file["artifact"]["sha256"] == locked.sha256(W4)


def test_check_changes_nothing_and_names_what_is_not_so(synced: Setup) -> None:
    shutil.copy(synced.folder / PLACED, synced.folder / "copy")
    (synced.folder / PLACED).unlink()
    chat = synced.folder / CHAT
    chat.unlink()
    chat.write_bytes(b"\0" * (synced.folder / "copy").stat().st_size)
    before = tree(synced.folder)
    done = synced.run("sync", *ROCK, "--check")
    assert done.code == 13
    assert f"{PLACED}: missing" in done.err
    assert f"{CHAT}: damaged" in done.err
    assert tree(synced.folder) == before
    assert synced.hub.requests == []
    report = synced.run("sync", *ROCK, "--check", "--json").json
    assert report["error"]["code"] == 13
    assert [m["action"] for m in report["models"]] == ["none", "none"]
    mended = synced.synced()
    assert [m["action"] for m in mended["models"]] == ["placed", "placed"]
    assert synced.hub.requests == []
    assert synced.states() == ["present", "present"]


def test_what_was_damaged_through_the_link_is_downloaded_anew(synced: Setup) -> None:
    with (synced.folder / CHAT).open("r+b") as file:
        file.seek(SIZE // 2)
        file.write(b"changed")
    assert synced.states() == ["present", "damaged"]
    report = synced.synced()
    assert [m["action"] for m in report["models"]] == ["present", "downloaded"]
    repo = synced.hub.find_repo(QWEN3)
    assert repo is not None
    assert (synced.folder / CHAT).read_bytes() == repo.head.files[THREE_W4].content


def test_a_file_of_somebody_elses_is_never_replaced_unasked(locked: Setup) -> None:
    mine = locked.folder / CHAT
    mine.parent.mkdir()
    mine.write_bytes(b"mine")
    assert locked.states() == ["missing", "other content"]
    done = locked.run("sync", *ROCK, "--json", "--quiet")
    assert done.code == 2
    assert mine.read_bytes() == b"mine"
    assert [m["action"] for m in done.json["models"]] == ["downloaded", "none"]
    assert "no sync has placed it" in done.json["models"][1]["error"]["cause"][0]
    assert locked.hub.data_bytes(f"*{Path(THREE_W4).name}") == 0  # not for nothing
    assert locked.run("sync", *ROCK, "--force").code == 0
    assert mine.read_bytes() != b"mine"


def test_the_same_content_that_is_there_already_is_taken_for_placed(
    synced: Setup, tmp_path: Path
) -> None:
    """As when a card was copied from another board."""
    copy = tmp_path / "copy"
    shutil.copytree(synced.folder, copy)
    synced.env["RKFETCH_HOME"] = str(tmp_path / "other")
    synced.cwd = copy
    done = synced.run("sync", *ROCK, "--json", "--locked")
    assert done.code == 0, done.err
    assert [m["action"] for m in done.json["models"]] == ["present", "present"]
    assert synced.hub.requests == []
    assert not (tmp_path / "other" / "models").exists()


def test_a_new_lock_replaces_at_the_same_place_and_prunes_what_it_no_longer_names(
    synced: Setup,
) -> None:
    old = (synced.folder / PLACED).read_bytes()
    (synced.folder / "models" / "mine.rkllm").write_bytes(b"mine")
    synced.add(W4, seed=11, size=SIZE)
    synced.update()
    text = synced.toml.read_text().replace("models/chat.rkllm", "chat")
    synced.toml.write_text(text)
    assert synced.run("sync", *ROCK, "--locked").code == 13
    assert synced.run("lock", "--upgrade").code == 0
    assert synced.states() == ["earlier content", "missing"]
    report = synced.synced("--locked")
    assert [m["action"] for m in report["models"]] == ["downloaded", "placed"]
    assert report["leftovers"] == [{"path": CHAT, "kept": None}]
    assert (synced.folder / PLACED).read_bytes() != old
    assert (synced.folder / CHAT).exists()
    left = synced.run("sync", *ROCK, "--check", "--prune")
    assert (left.code, f"{CHAT}: left over" in left.err) == (13, True)
    assert synced.synced("--prune")["removed"] == [CHAT]
    assert sorted(tree(synced.folder)) == [
        "chat/Qwen3-4B_RK3576_w4a16.rkllm",
        PLACED,
        "models/mine.rkllm",
        "rkfetch.lock",
        "rkfetch.toml",
    ]


def test_prune_keeps_what_somebody_has_changed(synced: Setup) -> None:
    synced.toml.write_text(synced.toml.read_text().replace("models/chat.rkllm", "chat"))
    (synced.folder / CHAT).unlink()
    (synced.folder / CHAT).write_bytes(b"mine now")
    report = synced.synced("--prune")
    assert report["removed"] == []
    assert report["leftovers"] == [{"path": CHAT, "kept": "somebody has changed it since"}]
    assert (synced.folder / CHAT).read_bytes() == b"mine now"


def test_without_locked_it_locks_first_what_is_asked_for_now(setup: Setup) -> None:
    report = setup.synced()
    assert report["changed"] is True
    assert setup.run("lock", "--check").code == 0
    text = setup.toml.read_text()
    setup.toml.write_text(text + '\n[[model]]\nmodel = "qwen3-4b@w4a16"\n')
    refused = setup.run("sync", *ROCK, "--locked", "--json", "--quiet")
    assert (refused.code, refused.json["error"]["kind"]) == (13, "drift")
    assert setup.run("sync", *ROCK, "--check").code == 13
    third = setup.run("sync", *ROCK, "--json")
    assert third.code == 3  # rk3588 has no build of it
    setup.toml.write_text(text + '\n[[model]]\nmodel = "qwen3-4b@w4a16"\noptional = true\n')
    assert [m["action"] for m in setup.synced()["models"]] == ["present", "present", "present"]


def test_a_board_with_another_runtime_gets_only_what_loads_there(
    locked: Setup, tmp_path: Path
) -> None:
    old = rock_4d(tmp_path / "old", runtime="1.1.4", driver="0.9.8")
    done = locked.run("sync", "--locked", "--json", "--quiet", RKFETCH_SYSROOT=str(old))
    assert done.code == 3
    assert "does not load on this board" in done.json["error"]["message"]
    assert done.json["notes"] == ["its runtime is 1.1.4, locked was 1.2.3"]
    assert locked.hub.data_bytes() == 0
    assert not (locked.folder / "models").exists()
    same = rock_4d(tmp_path / "same", runtime="1.2.3", driver="0.9.8")
    fine = locked.run("sync", "--locked", "--json", "--quiet", RKFETCH_SYSROOT=str(same))
    assert (fine.code, fine.json["target"]) == (0, "rock-4d"), fine.err
    other = locked.run("sync", "--target", "opi-5", RKFETCH_SYSROOT=str(same))
    assert (other.code, other.out) == (3, "")
    assert "'opi-5' is for rk3588, and this board is rk3576" in " ".join(other.err.split())
    small = locked.run("sync", *ROCK, "--memory", "1G", "--into", "x", "--json", "--quiet")
    assert small.code == 9
    assert not (locked.folder / "x").exists()


def test_off_a_board_the_target_has_to_be_named(locked: Setup) -> None:
    done = locked.run("sync", "--locked")
    assert done.code == 2
    assert "rock-4d (rk3576)" in done.err
    report = locked.run("sync", "--locked", "--target", "opi-5", "--json").json
    assert report["notes"] == ["no board was detected here; taken as locked"]
    assert [m["path"] for m in report["models"]] == [
        str(locked.folder / "models" / Path(ON_3588).name)
    ]
    assert locked.run("sync", "--target", "nobody").code == 2
    assert locked.run("sync", "--platform", "rk3562").code == 2


def test_one_that_fails_stops_no_other(locked: Setup) -> None:
    locked.hub.break_it(
        Fault(origin="cdn", path=f"*{W4}", status=403), Fault(path=f"*{W4}", status=404)
    )
    done = locked.run("sync", *ROCK, "--locked", "--json", "--quiet")
    assert done.code == 4
    assert [(m["action"], m["error"] is None) for m in done.json["models"]] == [
        ("none", False),
        ("downloaded", True),
    ]
    assert (locked.folder / CHAT).exists()
    locked.hub.heal()
    assert [m["action"] for m in locked.synced()["models"]] == ["downloaded", "present"]


def test_a_lie_never_gets_to_its_place(locked: Setup) -> None:
    locked.hub.break_it(Fault(origin="cdn", path=f"*{W4}", flip_at=SIZE // 2))
    done = locked.run("sync", *ROCK, "--locked", "--json", "--quiet")
    assert done.code == 7
    assert tree(locked.folder / "models").keys() == {"chat.rkllm"}


def test_who_is_killed_in_between_goes_on(locked: Setup) -> None:
    hold = locked.hub.hold(f"*{Path(THREE_W4).name}", SIZE // 2)
    process = locked.start("sync", *ROCK, "--locked")
    assert hold.reached.wait(60)
    locked.wait_for_partial(1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    hold.released.set()
    assert locked.states() == ["present", "missing"]
    locked.hub.forget()
    report = locked.synced("--locked")
    assert [m["action"] for m in report["models"]] == ["present", "downloaded"]
    assert locked.hub.data_bytes(f"*{Path(W4).name}") == 0
    assert sorted(tree(locked.folder)) == [PLACED, CHAT, "rkfetch.lock", "rkfetch.toml"]


def test_interrupted_it_says_so_and_keeps_what_came(locked: Setup) -> None:
    hold = locked.hub.hold(f"*{Path(THREE_W4).name}", SIZE // 2)
    process = locked.start("sync", *ROCK, "--locked", "--json")
    assert hold.reached.wait(60)
    locked.wait_for_partial(1)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    hold.released.set()
    assert process.returncode == 130
    assert json.loads(out)["error"]["kind"] == "interrupted"
    assert len(locked.partials()) == 1
    assert locked.states() == ["present", "missing"]


def test_two_at_once_on_one_board_download_once(locked: Setup) -> None:
    both = [locked.start("sync", *ROCK, "--locked") for _ in range(2)]
    said = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert locked.hub.data_bytes(f"*{Path(THREE_W4).name}") < SIZE * 1.5
    assert said[0][0] == said[1][0]


def test_13_no_home_no_terminal_read_only_folder_locale_c(locked: Setup, tmp_path: Path) -> None:
    """Nothing is placed, or somewhere else: the folder of the set-up needs not be written."""
    for path in (locked.toml, locked.lock):
        path.chmod(0o444)
    locked.folder.chmod(0o555)
    bare = {"PATH": locked.env["PATH"], "HF_ENDPOINT": locked.hub.endpoint, "LC_ALL": "C"}
    bare |= {"RKFETCH_HOME": str(locked.home), "RKFETCH_SYSROOT": locked.env["RKFETCH_SYSROOT"]}
    command = [str(RKFETCH), "sync", *ROCK, "--locked"]
    done = subprocess.run(
        [*command, "--into", str(tmp_path / "board"), "--json", "--quiet"],
        cwd=locked.folder,
        env=bare,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    locked.folder.chmod(0o755)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count(b"\n") == 1
    assert json.loads(done.stdout)["status"] == "ok"
    assert not any(byte < 32 and byte != 10 for byte in done.stdout)
    assert sorted(tree(tmp_path / "board")) == [PLACED, CHAT]
    assert sorted(p.name for p in locked.folder.iterdir()) == ["rkfetch.lock", "rkfetch.toml"]


def test_the_lock_file_alone_is_enough(locked: Setup, tmp_path: Path) -> None:
    board = tmp_path / "board"
    board.mkdir()
    shutil.copy(locked.lock, board)
    locked.env["RKFETCH_HOME"] = str(tmp_path / "fresh")
    locked.cwd = board
    done = locked.run("sync", *OPI, "--quiet")
    assert (done.code, done.err) == (0, "")
    assert not (tmp_path / "fresh" / "catalog.db").exists()  # no catalog is needed, either
    offline = locked.run("sync", *ROCK, "--offline", "--json", "--quiet")
    assert offline.code == 11
    locked.cwd = tmp_path
    empty = locked.run("sync")
    assert (empty.code, "there is neither rkfetch.toml nor rkfetch.lock" in empty.err) == (2, True)


def test_without_a_place_the_store_is_it(setup: Setup) -> None:
    setup.toml.write_text('[[model]]\nmodel = "qwen2.5-1.5b"\n')
    assert setup.run("lock", *ROCK).code == 0
    report = setup.synced("--locked")
    assert Path(report["models"][0]["path"]).parent.parent == setup.home / "models"
    assert setup.synced("--locked")["changed"] is False
    with Path(report["models"][0]["path"]).open("r+b") as file:
        file.write(b"x")
    assert setup.states() == ["damaged"]
    assert setup.synced("--locked")["models"][0]["action"] == "downloaded"


def test_another_place_of_the_same_content_takes_over(setup: Setup) -> None:
    there = setup.hub.find_repo(QWEN)
    assert there is not None
    content = there.head.files[W4].content
    setup.hub.add_repo("zoe/copy", tags=("rkllm",)).add_file(W4, content)
    setup.update()
    setup.locked()
    (qwen, *_) = json.loads(setup.lock.read_text())["targets"][1]["models"]
    place = qwen["files"][0]["repo"]
    assert {place, *(other["repo"] for other in qwen["files"][0]["also"])} == {QWEN, "zoe/copy"}
    setup.hub.remove_repo(place)
    assert [m["action"] for m in setup.synced("--locked")["models"]] == ["downloaded"] * 2


def test_what_belongs_to_a_model_lies_beside_it_and_is_noted(locked: Setup) -> None:
    """As the encoder of a vision model, which the lock file names behind the model."""
    encoder = b"RKNN" + bytes(1000)
    repo = locked.hub.find_repo(QWEN3)
    assert repo is not None
    file = repo.add_file("RK3576/vision.rknn", encoder)
    values = json.loads(locked.lock.read_text())
    (model,) = (m for m in values["targets"][1]["models"] if m["to"] == CHAT)
    beside = {**model["files"][0], "path": "RK3576/vision.rknn", "revision": repo.commit}
    model["files"].append(
        {**beside, "sha256": file.sha256, "bytes": len(encoder), "attributes": {}}
    )
    locked.lock.write_text(json.dumps(values))
    report = locked.synced("--locked")
    files = report["models"][1]["files"]
    assert [Path(f["path"]).name for f in files] == ["chat.rkllm", "vision.rknn"]
    assert (locked.folder / "models" / "vision.rknn").read_bytes() == encoder
    store = Store(locked.home)
    chat = store.find(locked.sha256(THREE_W4, QWEN3))
    assert chat is not None
    assert [item.record.sha256 for item in store.companions(chat)] == [file.sha256]
    assert locked.synced("--locked")["changed"] is False


def test_from_a_store_that_may_only_be_read_files_are_placed(locked: Setup, tmp_path: Path) -> None:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("mounting needs root and unshare")
    locked.synced("--locked")
    script = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'
    ours = ["unshare", "-m", "sh", "-c", script, "sh", str(locked.home), str(RKFETCH), "sync"]
    for action in ("placed", "present"):
        done = subprocess.run(
            [*ours, *ROCK, "--locked", "--into", str(tmp_path / "board"), "--json", "--quiet"],
            cwd=locked.folder,
            env=locked.env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert [m["action"] for m in json.loads(done.stdout)["models"]] == [action, action]


def test_at_a_terminal_one_bar_makes_place_for_the_next(locked: Setup) -> None:
    locked.hub.break_it(Fault(origin="cdn", path=f"*{W4}", flip_at=SIZE // 2))
    lock = str(locked.lock)
    done = locked.at_terminal("sync", *ROCK, "--locked", "--file", lock, said="")
    assert done.code == 7
    assert "Traceback" not in done.err
    assert done.out == f"{locked.folder / CHAT}\n"
    assert "qwen3-4b: downloaded and verified" in done.err
