"""Scenario 12, through the installed command: a PC exports, a board without a network imports."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from e2e.boards_offline import (
    BASE,
    ENCODER,
    HERE,
    SEER,
    SEES,
    TOKENIZER,
    Board,
    have_pair,
    serve_base,
    serve_pair,
)
from e2e.world import OTHER, QWEN, RKFETCH, SIZE, W4, W8, World
from hub.server import Hub

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.once
NAME = "qwen2.5-1.5b"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Board]]:
    """What every test begins with, made once: a PC whose catalog knows the Hub, a new board."""
    folder = tmp_path_factory.mktemp("made")
    with Hub() as hub:
        world = World(hub, folder / "pc")
        world.add(W4, seed=1)
        world.add(W8, seed=2, size=SIZE * 2)
        world.add(OTHER, seed=3, platform="rk3588", npu_cores=3)
        repo = hub.find_repo(QWEN)
        assert repo is not None
        repo.add_file("README.md", b"# Builds of Qwen2.5\n", lfs=False)
        serve_base(world)
        serve_pair(world)
        world.update()
        board = Board(folder / "board")
        assert board.run("catalog", "status").code == 0
        yield world, board


@pytest.fixture
def pc(made: tuple[World, Board], tmp_path: Path) -> World:
    world = copy(made[0])
    world.home = tmp_path / "pc"
    shutil.copytree(made[0].home, world.home)
    more = {"RKFETCH_HOME": str(world.home), "HF_HOME": str(tmp_path / "hf")}
    world.env = {**world.env, **more}
    world.hub.forget()
    return world


@pytest.fixture
def board(made: tuple[World, Board], tmp_path: Path) -> Board:
    return Board(tmp_path / "board", like=made[1])


def export(pc: World, *args: str) -> None:
    done = pc.run("export", *args)
    assert done.code == 0, done.err


def names(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def snapshot(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    return {
        name: (status.st_mtime_ns, status.st_ino, (folder / name).read_bytes())
        for name in names(folder)
        for status in [(folder / name).stat()]
    }


# --- the whole of it ----------------------------------------------------------------------------


def test_a_folder_is_carried_to_a_board_without_a_network(
    pc: World, board: Board, tmp_path: Path
) -> None:
    stick = tmp_path / "stick"
    done = pc.run("export", NAME, *HERE, "-o", str(stick / "models"))
    assert done.code == 0, done.err
    assert done.out == f"{stick / 'models'}\n"
    before = snapshot(stick)
    came = board.run("import", str(stick / "models"))
    assert came.code == 0, came.err
    path = Path(came.out.removesuffix("\n"))
    assert hashlib.sha256(path.read_bytes()).hexdigest() == pc.sha256(W4)
    assert "with tokenizer, licence, card" in came.err
    assert snapshot(stick) == before
    # The board's catalog knows it now, by name and without a network.
    for said in ((NAME,), (NAME, "--offline"), ("fetch", NAME, "--offline", "--quiet")):
        again = board.run(*said)
        assert (again.code, again.out) == (0, came.out), again.err
    assert board.run("verify").code == 0
    (file,) = json.loads(board.run("list", "--json").out)["files"]
    assert file["artifact"]["repo"] == QWEN
    assert file["model"] == BASE
    assert file["licence"] == "apache-2.0"
    near = {Path(f["path"]).name: Path(f["path"]) for f in file["beside"]}
    assert {*TOKENIZER, "MODEL_CARD.md"} == set(near)
    assert all(near[name].read_bytes() == content for name, content in TOKENIZER.items())
    assert "beside it, in beside/: tokenizer, config, licence, card" in board.run("list").out
    # Nothing is left of it once it is removed.
    assert board.run("rm", NAME).code == 0
    assert list((board.home / "models").iterdir()) == []


def test_a_vision_model_comes_with_its_encoder(pc: World, board: Board, tmp_path: Path) -> None:
    have_pair(pc)
    export(pc, SEER, "-o", str(tmp_path / "models"), "--no-tokenizer")
    came = board.run("import", str(tmp_path / "models"), "--json")
    (file,) = json.loads(came.out)["files"]
    (companion,) = file["companions"]
    assert companion["artifact"]["path"] == ENCODER
    item = board.store.find(pc.sha256(SEER, SEES))
    assert item is not None
    (encoder,) = board.store.companions(item)
    assert encoder.record.sha256 == pc.sha256(ENCODER, SEES)


def test_a_tar_file_and_a_pipe_do_the_same(pc: World, board: Board, tmp_path: Path) -> None:
    have_pair(pc)
    tar = tmp_path / "models.tar"
    export(pc, NAME, SEER, *HERE, "-o", str(tar))
    raw = subprocess.run(
        [str(RKFETCH), "export", NAME, SEER, *HERE, "-o", "-"],
        env=pc.env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    ).stdout
    assert raw == tar.read_bytes()
    other = Board(tmp_path / "other", like=board)
    from_file, from_pipe = board.run("import", str(tar)), other.run("import", "-", given=raw)
    assert (from_file.code, from_pipe.code) == (0, 0), (from_file.err, from_pipe.err)
    assert len(from_file.out.splitlines()) == 2
    assert from_pipe.out == from_file.out.replace(str(board.home), str(other.home))
    for there in (board, other):
        assert there.run(NAME, "--offline").code == 0
        item = there.store.find(pc.sha256(SEER, SEES))
        assert item is not None
        assert len(there.store.companions(item)) == 1
    # A tar program makes a folder of it that is an export, too, and verifies.
    with tarfile.open(tar) as opened:
        opened.extractall(tmp_path / "unpacked")
    folder = tmp_path / "unpacked" / "rkfetch-export"
    checked = subprocess.run(
        ["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=folder, capture_output=True, check=False
    )
    assert checked.returncode == 0, checked
    assert "already here" in board.run("import", str(folder)).err


def test_offline_and_not_here_is_eleven_at_once(pc: World, board: Board, tmp_path: Path) -> None:
    begun = time.monotonic()
    for command in (("fetch", NAME), ("export", NAME, "-o", str(tmp_path / "models"))):
        done = board.run(*command, "--offline", "--allow-unverified")
        assert done.code == 11, done.err
        assert done.out == ""
    assert time.monotonic() - begun < 30
    assert not (tmp_path / "models").exists()
    pc.hub.forget()
    done = pc.run("export", NAME, *HERE, "--offline", "-o", str(tmp_path / "models"))
    assert done.code == 11
    assert pc.hub.data_requests() == []


# --- what fits ----------------------------------------------------------------------------------


def test_of_a_stick_for_many_boards_each_takes_what_fits(
    pc: World, board: Board, tmp_path: Path
) -> None:
    folder = tmp_path / "stick" / "models"
    export(pc, NAME, *HERE, "-o", str(folder))
    export(pc, NAME, "--platform", "rk3588", "--runtime", "1.2.3", "-o", str(folder))
    done = board.run("import", str(tmp_path / "stick"), "--json")
    answer = json.loads(done.out)
    assert (done.code, answer["status"]) == (0, "ok")
    assert [f["artifact"]["path"] for f in answer["files"]] == [W4]
    ((skipped,),) = [e["skipped"] for e in answer["exports"]]
    assert skipped["sha256"] == pc.sha256(OTHER)
    assert "rk3588" in skipped["reason"]
    # What is no board takes all of it.
    pc.env["RKFETCH_HOME"] = str(tmp_path / "another")
    assert len(pc.run("import", str(folder)).out.splitlines()) == 2


def test_nothing_that_fits_is_three_and_force_takes_it(
    pc: World, board: Board, tmp_path: Path
) -> None:
    export(pc, NAME, "--platform", "rk3588", "--runtime", "1.2.3", "-o", str(tmp_path / "models"))
    refused = board.run("import", str(tmp_path / "models"))
    assert (refused.code, refused.out) == (3, "")
    assert "fits this board" in refused.err
    assert "rk3588" in refused.err
    assert not (board.home / "models").exists()
    forced = board.run("import", str(tmp_path / "models"), "--force")
    assert forced.code == 0
    assert "warning: " in forced.err
    assert board.store.find(pc.sha256(OTHER)) is not None


def test_a_runtime_that_would_refuse_it(pc: World, board: Board, tmp_path: Path) -> None:
    old = Board(tmp_path / "old", runtime="1.1.4", like=board)
    export(pc, NAME, *HERE, "-o", str(tmp_path / "models"))
    refused = old.run("import", str(tmp_path / "models"))
    assert refused.code == 3
    assert "newer than runtime 1.1.4" in refused.err or "1.1.4" in refused.err


# --- what may go wrong --------------------------------------------------------------------------


def test_what_was_altered_on_its_way_is_seven_and_mended_by_exporting_again(
    pc: World, board: Board, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    export(pc, NAME, *HERE, "-o", str(folder))
    (model,) = folder.rglob("*.rkllm")
    content = bytearray(model.read_bytes())
    content[1_000_000] ^= 1
    model.unlink()  # else it would be the store's file, too
    model.write_bytes(content)
    done = board.run("import", str(folder), "--json")
    (failed,) = json.loads(done.out)["failed"]
    assert (done.code, failed["error"]["kind"]) == (7, "integrity")
    assert model.name in done.err
    assert not list(board.home.glob("models/*/*.rkllm"))
    assert not list(board.home.glob("partials/*.partial"))
    # Made anew, only what is wrong is written again.
    mended = pc.run("export", NAME, *HERE, "-o", str(folder), "--json").json
    assert mended["present_files"] == len(names(folder)) - 4
    assert board.run("import", str(folder)).code == 0


def test_an_export_that_was_killed_goes_on_and_is_none_before(
    pc: World, board: Board, tmp_path: Path
) -> None:
    export(pc, NAME, *HERE, "-o", str(tmp_path / "whole"))
    folder = tmp_path / "stick" / "models"
    script = (
        "import os, signal, sys\n"
        "from rkfetch.catalog.carried import making\n"
        "making._Writing._finish = lambda self: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from rkfetch.cli.main import main\n"
        "main(sys.argv[1:])\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", script, "export", NAME, *HERE, "-o", str(folder)],
        env=pc.env,
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not folder.exists()
    refused = board.run("import", str(folder.parent))
    assert (refused.code, refused.out) == (7, ""), refused.err
    again = pc.run("export", NAME, *HERE, "-o", str(folder), "--json").json
    assert again["present_files"] > 0
    assert names(folder) == names(tmp_path / "whole")
    assert [p.name for p in folder.parent.iterdir()] == ["models"]
    assert board.run("import", str(folder)).code == 0


def test_an_import_that_was_killed_goes_on(pc: World, board: Board, tmp_path: Path) -> None:
    tar = tmp_path / "models.tar"
    export(pc, f"{NAME}@w8a8", *HERE, "-o", str(tar))
    with board.start("import", "-") as process:
        assert process.stdin is not None
        process.stdin.write(tar.read_bytes()[:4_000_000])
        process.stdin.flush()
        process.kill()
    assert not list(board.home.glob("models/*/*.rkllm"))
    assert board.run("import", str(tar)).code == 0
    assert not list(board.home.glob("partials/*.partial"))


def test_two_exports_and_three_imports_at_once(pc: World, board: Board, tmp_path: Path) -> None:
    tar, folder = tmp_path / "models.tar", tmp_path / "stick" / "models"
    export(pc, NAME, *HERE, "-o", str(tar))
    exports = [pc.start("export", NAME, *HERE, "-o", str(folder)) for _ in range(2)]
    told = [process.communicate(timeout=120) for process in exports]
    assert [process.returncode for process in exports] == [0, 0], told
    assert [p.name for p in folder.parent.iterdir()] == ["models"]
    assert "card" in board.run("import", str(folder)).err
    assert board.run("rm", NAME).code == 0
    runs = [board.start("import", str(tar)) for _ in range(3)]
    outs = [process.communicate(timeout=120) for process in runs]
    assert [process.returncode for process in runs] == [0, 0, 0], outs
    assert len({out for out, _ in outs}) == 1


def test_full_disks_are_told_before_anything_is_written(
    pc: World, board: Board, tmp_path: Path
) -> None:
    export(pc, NAME, *HERE, "-o", str(tmp_path / "models"))
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting needs root")
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(small)], check=True)
    try:
        done = pc.run("export", NAME, *HERE, "-o", str(small / "models"))
        assert done.code == 8, done.err
        assert "name another place with -o" in " ".join(done.err.split())
        assert pc.run("export", NAME, *HERE, "-o", str(small / "models.tar")).code == 8
        assert not list(small.glob("*/*/*.rkllm")) + list(small.glob("*.tar*"))
        board.env["RKFETCH_HOME"] = str(small / "store")
        assert board.run("import", str(tmp_path / "models")).code == 8
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_stick_that_is_mounted_read_only(pc: World, board: Board, tmp_path: Path) -> None:
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting needs root")
    stick, models = tmp_path / "stick", tmp_path / "models"
    stick.mkdir()
    export(pc, NAME, *HERE, "-o", str(models))
    export(pc, NAME, *HERE, "-o", str(models / "too.tar"))
    subprocess.run(["mount", "--bind", str(models), str(stick)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(stick)], check=True)
        with pytest.raises(OSError, match="Read-only"):
            (stick / "x").touch()
        came = board.run("import", str(stick))
        assert came.code == 0, came.err
        assert Path(came.out.strip()).stat().st_nlink == 1
        assert board.run(NAME, "--offline").out == came.out
        other = Board(tmp_path / "other", like=board)
        assert other.run("import", str(stick / "too.tar")).code == 0
    finally:
        subprocess.run(["umount", str(stick)], check=True)


# --- what goes in -------------------------------------------------------------------------------


def test_an_export_is_deterministic_and_costs_no_network_the_second_time(
    pc: World, tmp_path: Path
) -> None:
    export(pc, NAME, *HERE, "-o", str(tmp_path / "a"))
    pc.hub.forget()
    # The only build that is here need not be described.
    export(pc, NAME, "-o", str(tmp_path / "b"), "--offline")
    assert pc.hub.data_requests() == []
    contents = [
        {name: content for name, (_, _, content) in snapshot(tmp_path / folder).items()}
        for folder in ("a", "b")
    ]
    assert contents[0] == contents[1]
    export(pc, NAME, "-o", str(tmp_path / "c"), "--offline", "--no-tokenizer")
    assert {p.name for p in (tmp_path / "c").glob("*/beside/*")} == {"LICENSE", "MODEL_CARD.md"}
    # On the same disk the model takes no room.
    (model,) = (tmp_path / "a").rglob("*.rkllm")
    assert model.stat().st_nlink == 4


@pytest.fixture
def gated(pc: World) -> Iterator[None]:
    base = pc.hub.find_repo(BASE)
    assert base is not None
    base.gated = "manual"
    yield
    base.gated = False


@pytest.mark.usefixtures("gated")
def test_a_gated_base_is_said_and_left_out(pc: World, tmp_path: Path) -> None:
    done = pc.run("export", NAME, *HERE, "-o", str(tmp_path / "models"))
    said = " ".join(done.err.split())
    assert done.code == 0
    assert "is gated by its owner" in said
    assert "goes without its tokenizer" in said
    assert not list((tmp_path / "models").rglob("tokenizer.json"))
    quiet = pc.run("export", NAME, *HERE, "-o", str(tmp_path / "more"), "--json", "--quiet")
    assert any("gated" in sentence for sentence in quiet.json["missing"])


def test_several_builds_stay_in_one_export(pc: World, board: Board, tmp_path: Path) -> None:
    folder = str(tmp_path / "models")
    export(pc, f"{NAME}@w4a16", *HERE, "-o", folder)
    answer = pc.run("export", f"{NAME}@w8a8", *HERE, "-o", folder, "--json").json
    assert [model["named"] for model in answer["models"]] == [False, True]
    assert len(board.run("import", folder).out.splitlines()) == 2
    for quant, path in (("w4a16", W4), ("w8a8", W8)):
        found = board.run(f"{NAME}@{quant}", "--offline")
        assert Path(found.out.strip()).parent.name == pc.sha256(path), found.err


def test_an_export_that_is_signed(pc: World, board: Board, tmp_path: Path) -> None:
    key = tmp_path / "my.key"
    public = pc.run("catalog", "keygen", "--no-password", str(key)).out.strip()
    folder = tmp_path / "models"
    export(pc, NAME, *HERE, "-o", str(folder), "--key", str(key))
    stranger = json.loads(board.run("import", str(folder), "--json").out)["exports"][0]
    assert stranger["signed"] == "unknown"
    board.env["RKFETCH_CATALOG_KEY"] = public
    assert f"signed with {public}" in board.run("import", str(folder)).err
    manifest = folder / "rkfetch-export.json"
    manifest.write_bytes(manifest.read_bytes().replace(b"apache-2.0", b"apache-2.1"))
    done = board.run("import", str(folder))
    assert done.code == 7
    assert "altered after it was signed" in done.err
    # Its part of the catalog is one that anybody can take in.
    known = pc.run("catalog", "update", "--from", str(folder / "catalog"), "--key", public)
    assert known.code == 0, known.err
