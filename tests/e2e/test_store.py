"""Life after a download, through the installed command: import, verify, outdated, gc, two users."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from e2e.world import QWEN, RKFETCH, W4, W8
from rkllm_files import rkllm_bytes
from users import ALICE, BOB, FRIENDS, open_folder, require_users, run_as

if TYPE_CHECKING:
    from e2e.world import World

pytestmark = pytest.mark.once

HERE = ("--runtime", "1.2.3")


def on_disk(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def published(world: World, path: str) -> bytes:
    """What the Hub has at a path."""
    repo = world.hub.find_repo(QWEN)
    assert repo is not None
    return bytes(repo.head.files[path].content)


# --- import -------------------------------------------------------------------------------------


def test_a_file_that_was_downloaded_by_hand_is_known_by_its_content(
    qwen: World, tmp_path: Path
) -> None:
    mine = on_disk(tmp_path / "Downloads" / "model(1).rkllm", published(qwen, W4))
    done = qwen.run("import", str(mine))
    assert done.code == 0, done.err
    path = Path(done.out.removesuffix("\n"))
    assert path.name == Path(W4).name
    assert path.samefile(mine)
    assert "linked, which takes no room" in done.err
    (file,) = qwen.run("list", "--json").json["files"]
    assert file["artifact"]["repo"] == QWEN
    assert file["artifact"]["path"] == W4
    assert len(file["artifact"]["revision"]) == 40
    assert file["model"] == "Qwen/Qwen2.5-1.5B-Instruct"
    # It is what a download would have brought, so that nothing is downloaded.
    qwen.hub.forget()
    fetched = qwen.run("qwen2.5-1.5b", *HERE)
    assert fetched.out == done.out
    assert qwen.hub.data_bytes() == 0


def test_a_file_that_nobody_knows_is_kept_under_its_own_name(world: World, tmp_path: Path) -> None:
    name = "Qwen2.5-1.5B-Instruct_w8a8_rk3588.rkllm"
    mine = on_disk(tmp_path / name, rkllm_bytes(seed=77))
    answer = world.run("import", str(mine), "--json").json
    (file,) = answer["files"]
    assert file["action"] == "linked"
    assert file["artifact"]["source"] == "import"
    assert file["artifact"]["path"] == str(mine)
    assert file["attributes"]["platform"] == {"value": "rk3576", "origin": "header"}
    assert file["notes"] == [
        "its name says platform rk3588, its header says rk3576: the header is believed"
    ]
    assert world.run("path", "qwen2.5-1.5b").out == file["path"] + "\n"
    said = world.run("import", "--copy", str(mine.with_name("again.rkllm")))
    assert said.code == 2
    again = world.run("import", str(mine))
    assert (again.code, again.out) == (0, file["path"] + "\n")
    assert "already here" in again.err


def test_a_folder_with_bad_files_gives_the_good_ones_and_seven(
    world: World, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    good = [on_disk(folder / f"{n}" / f"{n}.rkllm", rkllm_bytes(seed=n)) for n in (1, 2)]
    on_disk(folder / "page.rkllm", b"<html><title>Login</title></html>")
    on_disk(folder / "cut.rkllm", rkllm_bytes(seed=3)[:-100])
    (folder / "out.rkllm").symlink_to("/etc/hostname")
    done = world.run("import", str(folder))
    assert done.code == 7
    assert len(done.out.splitlines()) == 2
    assert all(Path(line).stat().st_nlink == 2 for line in done.out.splitlines())
    assert "2 of 4 could not be imported" in done.err
    assert "web page" in done.err
    assert "cut.rkllm: whether it is whole cannot be told" in " ".join(done.err.split())
    answer = world.run("import", str(folder), "--json", "--quiet").json
    assert answer["status"] == "error"
    assert answer["error"]["code"] == 7
    assert [file["action"] for file in answer["files"]] == ["present", "present"]
    assert sorted(Path(f["from"]).name for f in answer["failed"]) == ["cut.rkllm", "page.rkllm"]
    assert all(path.exists() for path in good)
    taken = world.run("import", str(folder / "cut.rkllm"), "--allow-unverified", "--quiet")
    assert (taken.code, taken.err) == (0, "")


def test_move_and_copy(world: World, tmp_path: Path) -> None:
    one = on_disk(tmp_path / "one.rkllm", rkllm_bytes(seed=1))
    two = on_disk(tmp_path / "two.rkllm", rkllm_bytes(seed=2))
    moved = world.run("import", "--move", str(one))
    assert "removed from its old place" in moved.err
    assert not one.exists()
    copied = world.run("import", "--copy", str(two))
    two.write_bytes(b"mine again")
    for done in (moved, copied):
        assert Path(done.out.strip()).stat().st_nlink == 1
    assert world.run("verify", "--changed").code == 0


def test_nothing_to_import_is_said(world: World, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = world.run("import", str(tmp_path / "empty"))
    assert (done.code, done.out) == (2, "")
    assert "no .rkllm or .rknn file is below it" in " ".join(done.err.split())


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("moddel.rkllm", "did you mean {folder}/model.rkllm?"),
        ("other.rkllm", "check the name; a model that is not on this disk is fetched with"),
        ("nowhere/model.rkllm", "the folder {folder}/nowhere is not there either"),
    ],
)
def test_a_file_that_is_not_there_is_said_with_what_to_do(
    world: World, tmp_path: Path, name: str, hint: str
) -> None:
    on_disk(tmp_path / "model.rkllm", rkllm_bytes())
    done = world.run("import", str(tmp_path / name), "--json")
    assert done.code == 2
    (failed,) = done.json["failed"]
    assert hint.format(folder=tmp_path) in failed["error"]["hint"]
    assert "hint: " in done.err


# --- verify -------------------------------------------------------------------------------------


def test_changed_finds_what_was_written_to_and_all_finds_what_decayed(qwen: World) -> None:
    for quant in ("w4a16", "w8a8"):
        assert qwen.run(f"qwen2.5-1.5b@{quant}", *HERE).code == 0
    assert [f["read"] for f in qwen.run("verify", "--changed", "--json").json["files"]] == [
        False,
        False,
    ]
    rotten = qwen.models()[0]
    before = rotten.stat()
    with rotten.open("r+b") as file:
        file.seek(5000)
        file.write(b"\xff\xfe")
    assert qwen.run("verify", "--changed").code == 7
    os.utime(rotten, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert qwen.run("verify").code == 7


def test_a_terminal_sees_a_bar_or_nothing_and_stdout_only_the_answer(
    world: World, tmp_path: Path
) -> None:
    big = tmp_path / "big.rkllm"
    big.write_bytes(rkllm_bytes(body_bytes=1000))
    assert world.run("import", str(big)).code == 0
    master, slave = pty.openpty()
    done = subprocess.run(
        [str(RKFETCH), "verify"],
        env={**world.env, "TERM": "xterm"},
        stderr=slave,
        stdout=subprocess.PIPE,
        check=True,
    )
    os.close(slave)
    assert done.stdout.count(b"\n") == 1
    os.close(master)


# --- two users, and a store that may only be read -----------------------------------------------


def test_two_users_share_what_the_commands_make(tmp_path: Path) -> None:
    require_users()
    with open_folder() as folder:
        home = folder / "home"
        home.mkdir()
        os.chown(home, ALICE, FRIENDS)
        home.chmod(0o2775)
        file = on_disk(folder / "x.rkllm", rkllm_bytes(seed=1))
        file.chmod(0o644)
        env = {"RKFETCH_HOME": str(home), "RKFETCH_STALE_AFTER_DAYS": "0"}
        imported = run_as(ALICE, [str(RKFETCH), "import", str(file)], env=env)
        assert imported.returncode == 0, imported.stderr
        for command in (["verify"], ["gc"], ["catalog", "status"], ["rm", "x.rkllm"]):
            done = run_as(BOB, [str(RKFETCH), *command], env=env)
            assert done.returncode == 0, done.stderr
            assert "read only" not in done.stdout + done.stderr
        assert run_as(ALICE, [str(RKFETCH), "list"], env=env).stdout == ""


def test_a_read_only_store_serves(qwen: World, tmp_path: Path) -> None:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("mounting needs root and unshare")
    path = qwen.run("qwen2.5-1.5b", *HERE, "--quiet").out
    script = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'
    ours = ["unshare", "-m", "sh", "-c", script, "sh", str(qwen.home), str(RKFETCH)]
    commands = [
        ["qwen2.5-1.5b", *HERE, "--quiet"],
        ["path", "qwen2.5-1.5b"],
        ["list", "--json"],
        ["verify"],
        ["verify", "--changed"],
        ["outdated", *HERE],
        ["qwen2.5-1.5b", *HERE, "--quiet", "-o", str(tmp_path / "placed.rkllm")],
    ]
    for command in commands:
        done = subprocess.run(
            [*ours, *command], env=qwen.env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (command, done.stderr)
        if command[-1] == "--quiet" or command[0] == "path":
            assert done.stdout == path
    placed = (tmp_path / "placed.rkllm").read_bytes()
    assert hashlib.sha256(placed).hexdigest() == qwen.sha256(W4)
    refused = subprocess.run(
        [*ours, "qwen2.5-1.5b@w8a8", *HERE, "--json"],
        env=qwen.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 2
    assert json.loads(refused.stdout)["error"]["cause"] == ["Read-only file system"]
    assert W8 not in path


# --- outdated -----------------------------------------------------------------------------------


def outdated(world: World, *args: str) -> dict[str, object]:
    (file,) = world.run("outdated", *args, "--json").json["files"]
    return dict(file)


def test_15_a_file_that_was_replaced_upstream_is_said_with_the_command(qwen: World) -> None:
    assert qwen.run("qwen2.5-1.5b", *HERE, "-q").code == 0
    qwen.hub.forget()
    assert outdated(qwen, *HERE)["state"] == "current"
    assert qwen.hub.requests == []
    qwen.add(W4, seed=9)
    qwen.update()
    done = qwen.run("outdated", *HERE)
    assert done.code == 0
    assert done.out.startswith("replaced  ")
    assert f"to update: rkfetch hf:{QWEN}/{W4}" in done.out
    found = outdated(qwen, *HERE)
    assert (found["state"], found["upstream"]) == ("replaced", "replaced")
    command = str(found["update"]).split()
    assert command[0] == "rkfetch"
    updated = qwen.run(*command[1:], *HERE, "--json", "-q").json
    assert updated["action"] == "downloaded"
    files = qwen.run("outdated", *HERE, "--json").json["files"]
    assert sorted(f["state"] for f in files) == ["current", "replaced"]


def test_15_a_file_that_is_gone_upstream_is_to_be_kept(qwen: World) -> None:
    assert qwen.run("qwen2.5-1.5b", *HERE, "-q").code == 0
    repo = qwen.hub.find_repo(QWEN)
    assert repo is not None
    repo.remove_file(W4)
    qwen.update()
    found = outdated(qwen, *HERE)
    assert (found["state"], found["update"]) == ("gone", None)


def test_15_after_an_upgrade_of_the_runtime_a_better_build_is_said_with_both_verdicts(
    qwen: World,
) -> None:
    assert qwen.run("qwen2.5-1.5b", *HERE, "-q").code == 0
    newer = "RK3576/Qwen2.5-1.5B-Instruct_RK3576_w4a16_1.3.0.rkllm"
    qwen.add(newer, toolkit="1.3.0", seed=5)
    qwen.update()
    assert outdated(qwen, *HERE)["state"] == "current"
    done = qwen.run("outdated", "qwen2.5-1.5b", "--runtime", "1.3.0")
    assert done.code == 0
    text = " ".join(done.out.split())
    assert text.startswith("better ")
    assert "this one is risky: loads on runtime 1.3.0" in text
    assert "that one is exact: made by toolkit 1.3.0" in text
    assert f"to update: rkfetch hf:{QWEN}/{newer}" in text
    assert "compared for rk3576, runtime 1.3.0, with the catalog of" in done.err


def test_15_a_file_that_the_board_no_longer_runs_is_unusable(qwen: World) -> None:
    assert qwen.run("qwen2.5-1.5b", *HERE, "-q").code == 0
    found = outdated(qwen, "--runtime", "1.2.1")
    assert found["state"] == "unusable"
    no_board = qwen.run("outdated")
    assert no_board.code == 0
    assert no_board.out.startswith("current ")
    assert "say --runtime X.Y.Z" in no_board.err


def test_nothing_installed_is_an_answer(world: World) -> None:
    done = world.run("outdated", *HERE)
    assert (done.code, done.out) == (0, "")
    assert world.run("outdated", *HERE, "--json").json["files"] == []
