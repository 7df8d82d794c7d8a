"""A model is put on a board that has nothing but ssh and a few commands, chosen for that board."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import sshd
from boards import library, put, rock_4d
from e2e.world import QWEN, RKFETCH, W4, World
from hub.server import Hub
from rknn_files import rknn_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from e2e.world import Run

BUSYBOX = shutil.which("busybox")
DASH = os.path.realpath("/bin/sh")
CHROOT = shutil.which("chroot", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") or ""
pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(
        os.geteuid() != 0 or bool(sshd.MISSING) or BUSYBOX is None,
        reason="needs root, sshd, ssh and busybox (Debian: busybox-static) for a board of its own",
    ),
]
APPLETS = (
    *("cat", "wc", "mkdir", "mv", "rm", "df", "sha256sum", "printf", "kill", "pwd"),
    *("head", "grep"),
)
SIZE = 30_000_000


@dataclass
class Board:
    """A board's whole root file system, which sshd's sessions are locked into."""

    root: Path
    machine: sshd.Machine

    @property
    def address(self) -> str:
        return self.machine.host.address

    @property
    def models(self) -> Path:
        return self.root / "home" / "rock" / "models"

    def have(self, *applets: str) -> None:
        """Have these commands, and no others."""
        assert BUSYBOX is not None
        shutil.rmtree(self.root / "bin", ignore_errors=True)
        (self.root / "bin").mkdir()
        shutil.copy(BUSYBOX, self.root / "bin" / "busybox")
        for name in applets:
            (self.root / "bin" / name).symlink_to("busybox")
        # Busybox's own shell would find its other commands, wherever they are not.
        shutil.copy(DASH, self.root / "bin" / "sh")

    def files(self) -> dict[str, str]:
        """What lies in its folder of models, by digest."""
        there = self.models.iterdir() if self.models.is_dir() else ()
        return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in there}


def make_board(
    folder: Path, *, greeting: str = "", runtime: str | None = "1.2.3", before: Sequence[str] = ()
) -> Board:
    root = rock_4d(folder / "root", runtime=runtime)
    needed = subprocess.run(["ldd", DASH], capture_output=True, text=True, check=True).stdout
    for needs in re.findall(r"(/\S+) \(", needed):
        put(root, needs, Path(needs).read_bytes()).chmod(0o755)
    (root / "home" / "rock").mkdir(parents=True)
    (root / "dev").mkdir()
    os.mknod(root / "dev" / "null", 0o20666, os.makedev(1, 3))
    (root / "dev" / "null").chmod(0o666)
    session = (
        f"#!/bin/sh\n{greeting}\n"
        f'exec env -i HOME=/home/rock PATH=/bin {CHROOT} {root} /bin/sh -c "cd; '
        '$SSH_ORIGINAL_COMMAND"\n'
    )
    machine = sshd.start(folder / "ssh", session=session, before=before)
    board = Board(root, machine)
    board.have(*APPLETS)
    return board


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    board = make_board(tmp_path / "board")
    yield board
    board.machine.stop()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with Hub() as hub:
        world = World(hub, tmp_path / "pc")
        world.add(W4, size=SIZE)
        world.update()
        yield world


def reaches(world: World, *boards: Board) -> None:
    """Let the ssh of the PC reach a board."""
    clients = [str(board.machine.folder / "client") for board in boards]
    world.env["PATH"] = ":".join([*clients, os.environ["PATH"]])


def push(world: World, board: Board, *options: str, model: str = "qwen2.5-1.5b") -> Run:
    reaches(world, board)
    return world.run("push", model, f"{board.address}/~/models", *options)


def words(text: str) -> str:
    return " ".join(text.split())


def test_a_model_that_suits_the_board_is_put_there(world: World, board: Board) -> None:
    done = push(world, board)
    assert done.code == 0, done.err
    name = Path(W4).name
    assert board.files() == {name: world.sha256(W4)}
    assert done.out.endswith(f":/home/rock/models/{name}\n")
    assert "rk3576, runtime 1.2.3, driver 0.9.8" in words(done.err)
    world.hub.forget()
    again = push(world, board, "--json").json
    assert again["boards"][0]["action"] == "present"
    assert again["boards"][0]["files"][0]["sha256"] == world.sha256(W4)
    assert world.hub.data_bytes() == 0


def test_what_suits_no_such_board_is_not_sent(world: World, board: Board) -> None:
    put(board.root, "usr/lib/librkllmrt.so", library("1.1.4"))
    done = push(world, board)
    assert (done.code, done.out) == (3, "")
    assert "1.1.4" in done.err
    assert board.files() == {}
    assert world.models() == []


def test_a_board_that_does_not_tell_its_runtime(world: World, board: Board) -> None:
    (board.root / "usr" / "lib" / "librkllmrt.so").unlink()
    done = push(world, board)
    assert done.code == 2
    assert "say it: --runtime X.Y.Z" in words(done.err)
    assert push(world, board, "--runtime", "1.2.3").code == 0


def test_a_board_without_anything_to_look_into_files_with(world: World, board: Board) -> None:
    board.have(*(name for name in APPLETS if name not in {"head", "grep", "df"}))
    assert push(world, board).code == 0
    assert list(board.files().values()) == [world.sha256(W4)]


def test_a_dry_run_asks_and_sends_nothing(world: World, board: Board) -> None:
    done = push(world, board, "--dry-run", "--json").json
    (told,) = done["boards"]
    assert (told["action"], told["files"]) == ("push", [])
    assert told["target"]["runtime"] == "1.2.3"
    assert (board.files(), world.models()) == ({}, [])


def partial(board: Board) -> Path | None:
    return next(iter(board.models.glob(".*.partial")), None)


def until_part_is_there(board: Board, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        part = partial(board)
        if part is not None and part.stat().st_size > 2_000_000:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    raise AssertionError("nothing came")


def slow_down(board: Board) -> None:
    """Let the board take the file in slowly, by a cat that does."""
    slow = "while /bin/busybox dd bs=262144 count=1 iflag=fullblock of=/tmp/p 2>/dev/null\n"
    slow += "[ -s /tmp/p ]; do /bin/busybox cat /tmp/p; /bin/busybox sleep 0.05; done\n"
    (board.root / "tmp").mkdir(exist_ok=True)
    cat = board.root / "bin" / "cat"
    cat.unlink()
    cat.write_text(f'#!/bin/sh\n[ $# -gt 0 ] && exec /bin/busybox cat "$@"\n{slow}')
    cat.chmod(0o755)


def test_a_sender_that_is_killed_is_gone_on_with(world: World, board: Board) -> None:
    assert world.run("qwen2.5-1.5b", "--platform", "rk3576", "--runtime", "1.2.3").code == 0
    slow_down(board)
    reaches(world, board)
    process = world.start("push", "qwen2.5-1.5b", f"{board.address}/~/models")
    until_part_is_there(board, process)
    process.kill()
    process.communicate()
    board.have(*APPLETS)
    assert Path(W4).name not in board.files()
    done = push(world, board, "--json").json
    assert done["boards"][0]["files"][0]["resumed_from"] > 1_000_000
    assert board.files() == {Path(W4).name: world.sha256(W4)}


def test_a_link_that_breaks_is_gone_on_with(world: World, board: Board) -> None:
    assert world.run("qwen2.5-1.5b", "--platform", "rk3576", "--runtime", "1.2.3").code == 0
    slow_down(board)
    reaches(world, board)
    process = world.start("push", "qwen2.5-1.5b", f"{board.address}/~/models")
    until_part_is_there(board, process)
    board.machine.drop_connections()
    board.have(*APPLETS)
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    assert board.files() == {Path(W4).name: world.sha256(W4)}
    assert out.count("\n") == 1


def test_a_disk_there_that_alters_what_it_gets(world: World, board: Board) -> None:
    program = board.root / "bin" / "sha256sum"
    program.unlink()
    program.write_text(
        "#!/bin/sh\necho 0000000000000000000000000000000000000000000000000000000000000000 -\n"
    )
    program.chmod(0o755)
    done = push(world, board)
    assert (done.code, done.out) == (7, "")
    assert "what arrived on" in done.err
    assert board.files() == {}


def test_a_board_without_sha256sum_is_said(world: World, board: Board) -> None:
    board.have(*(name for name in APPLETS if name != "sha256sum"))
    done = push(world, board)
    assert done.code == 1
    assert "there is no sha256sum" in done.err
    assert world.models() == []


def test_a_login_that_talks(world: World, tmp_path: Path) -> None:
    noise = "echo 'Welcome to the board!'; printf '\\033[31mred\\n'; echo 'files: 7' >&2"
    board = make_board(tmp_path / "board", greeting=noise)
    try:
        done = push(world, board)
        assert done.code == 0, done.err
        assert "\x1b" not in done.err
        assert list(board.files().values()) == [world.sha256(W4)]
    finally:
        board.machine.stop()


def test_two_at_once_do_not_mix(world: World, board: Board) -> None:
    assert world.run("qwen2.5-1.5b", "--platform", "rk3576", "--runtime", "1.2.3").code == 0
    reaches(world, board)
    both = [world.start("push", "qwen2.5-1.5b", f"{board.address}/~/models") for _ in range(2)]
    said = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert board.files() == {Path(W4).name: world.sha256(W4)}


def test_several_boards_of_which_one_fails(world: World, board: Board, tmp_path: Path) -> None:
    reaches(world, board)
    there = f"{board.address}/~/models"
    nowhere = "ssh://root@127.0.0.1:9/models"
    done = world.run("push", "qwen2.5-1.5b", nowhere, there, "--json")
    assert done.code == 6
    first, second = done.json["boards"]
    assert (first["status"], second["status"]) == ("error", "ok")
    assert list(board.files().values()) == [world.sha256(W4)]


def test_both_halves_of_a_vision_model_are_sent(world: World, board: Board) -> None:
    repo = "Ann/Qwen2.5-VL-3B-Instruct-RKLLM"
    model = "rk3576/Qwen2.5-VL-3B-Instruct_w4a16_rk3576.rkllm"
    encoder = "rk3576/qwen2.5-vl-3b_vision_rk3576.rknn"
    world.add(model, repo=repo, size=2_000_000)
    there = world.hub.find_repo(repo)
    assert there is not None
    there.add_file(encoder, rknn_bytes("rk3576", body_bytes=1_000_000))
    world.update()
    done = push(world, board, "--json", model="qwen2.5-vl-3b").json
    assert len(done["boards"][0]["files"]) == 2
    assert set(board.files()) == {Path(model).name, Path(encoder).name}


@pytest.mark.parametrize(
    "folder", ["my models/of mine", 'it\'s "here"', "-n", "$(touch /owned)", "a;touch /owned"]
)
def test_folders_are_names_and_nothing_more(world: World, board: Board, folder: str) -> None:
    reaches(world, board)
    done = world.run("push", "qwen2.5-1.5b", f"{board.address}/~/{folder}")
    assert done.code == 0, done.err
    assert (board.root / "home" / "rock" / folder / Path(W4).name).is_file()
    assert not (board.root / "owned").exists()


def test_in_a_network_of_its_own(world: World, tmp_path: Path) -> None:
    """Sshd and rkfetch have a loopback that nothing else has: no Hub, no way out."""
    assert world.run("qwen2.5-1.5b", "--platform", "rk3576", "--runtime", "1.2.3").code == 0
    with subprocess.Popen(["unshare", "-n", "sleep", "1000"]) as holder:
        try:
            inside = ["nsenter", "-t", str(holder.pid), "-n"]
            deadline = time.monotonic() + 20
            ours = Path("/proc/self/ns/net").readlink()
            while Path(f"/proc/{holder.pid}/ns/net").readlink() == ours:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            subprocess.run([*inside, "ip", "link", "set", "lo", "up"], check=True)
            board = make_board(tmp_path / "board", before=inside)
            try:
                reaches(world, board)
                done = subprocess.run(
                    [
                        *inside,
                        str(RKFETCH),
                        *("push", f"hf:{QWEN}/{W4}", f"{board.address}/~/models"),
                        *("--offline", "--json"),
                    ],
                    env=world.env,
                    capture_output=True,
                    text=True,
                    check=False,
                    timeout=100,
                )
                assert done.returncode == 0, done.stderr
                assert json.loads(done.stdout)["boards"][0]["action"] == "copied"
                assert list(board.files().values()) == [world.sha256(W4)]
            finally:
                board.machine.stop()
        finally:
            holder.kill()


# --- adb -----------------------------------------------------------------------------------------

ADB = """#!/bin/sh
# What adb does, for one device: its shell runs in the board's root.
if [ "$1" = -s ]; then
    [ "$2" = "$SERIAL" ] || { echo "error: device '$2' not found" >&2; exit 1; }
    shift 2
fi
case $1 in
get-state) echo device ;;
shell) shift; exec env -i HOME=/home/rock PATH=/bin CHROOT ROOT /bin/sh -c "cd; $*" ;;
push) exec cp "$2" "ROOT/home/rock/${3#/home/rock/}" ;;
esac
"""


def test_over_adb(world: World, board: Board, tmp_path: Path) -> None:
    program = tmp_path / "adb" / "adb"
    program.parent.mkdir()
    text = (
        ADB.replace("CHROOT", CHROOT).replace("ROOT", str(board.root)).replace("$SERIAL", "0123ABC")
    )
    program.write_text(text)
    program.chmod(0o755)
    world.env["PATH"] = f"{program.parent}:{os.environ['PATH']}"
    done = world.run("push", "qwen2.5-1.5b", "adb:0123ABC:/home/rock/models", "--json").json
    assert done["boards"][0]["path"] == f"/home/rock/models/{Path(W4).name}"
    assert board.files() == {Path(W4).name: world.sha256(W4)}
    gone = world.run("push", "qwen2.5-1.5b", "adb:999:/home/rock/models")
    assert gone.code == 6
    assert "adb devices" in gone.err


def test_without_adb_it_says_how_to_get_it(world: World, tmp_path: Path) -> None:
    world.env["PATH"] = str(tmp_path)
    done = world.run("push", "qwen2.5-1.5b", "adb:/data")
    assert done.code == 2
    assert "sudo apt install adb" in done.err
