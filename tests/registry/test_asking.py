"""What the scripts for another machine do there, each by the shells that boards have."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import boards
from rkfetch.registry import deliver as delivering
from rkfetch.registry.asking import ask_board
from rkfetch.registry.deliver import deliver
from rkfetch.registry.errors import DiskSpaceError, NetworkError, RkfetchError
from rkfetch.registry.progress import NoProgress
from rkfetch.registry.store import Store
from rkfetch.registry.target import detect
from rkllm_files import rkllm_bytes
from stored import add

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rkfetch.registry.store import Installed

pytestmark = pytest.mark.once

SHELLS = [[name] for name in ("sh", "dash", "bash") if shutil.which(name)] + (
    [["busybox", "sh"]] if shutil.which("busybox") else []
)
CONTENT = rkllm_bytes(body_bytes=400_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PART = f".{SHA256[:16]}.partial"
LOCK = f".{SHA256[:16]}.lock"


class Here:
    """Stands for another machine: what is asked runs on this one."""

    name = address = "there"

    def __init__(self, *shell: str, before: str = "", by_pieces: bool = False) -> None:
        self.host = self
        self.by_pieces = by_pieces
        self._shell = shell or ("sh",)
        self._before = before

    def connect(self) -> None:
        """It is there."""

    def start(self, script: str, *arguments: str, **streams: Any) -> subprocess.Popen[bytes]:
        command = [*self._shell, "-c", self._before + script, "sh", *arguments]
        return subprocess.Popen(command, start_new_session=True, **streams)

    def broken(self, status: int, text: str) -> RkfetchError | None:
        return None

    def put(self, piece: bytes, path: str) -> None:
        Path(path).write_bytes(piece)


# --- which board it is ----------------------------------------------------------------------------


def docker(root: Path) -> Path:
    boards.rock_4d(root)
    shutil.rmtree(root / "sys/firmware")
    (root / "proc/device-tree").unlink()
    boards.put(
        root,
        "sys/bus/platform/devices/27700000.npu/uevent",
        "OF_COMPATIBLE_0=rockchip,rk3576-rknpu\n",
    )
    return boards.bare_container(root)


def elsewhere(root: Path) -> Path:
    """Its libraries lie where few look: the loader's folders, a home, and one for another chip."""
    boards.rock_4d(root, runtime=None)
    boards.put(root, "etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n")
    boards.put(root, "etc/ld.so.conf.d/rk.conf", "# comment\n/opt/rk lib\n/opt/rk\n")
    boards.put(root, "opt/rk/librkllmrt.so", boards.library("1.2.2"))
    boards.put(root, "usr/lib/librkllmrt.so", boards.library("1.3.0", machine=boards.ARM))
    boards.put(root, "home/ann/RKLLAMA/lib/librkllmrt.so", boards.library("1.1.4"))
    boards.put(root, "data/demo x/librkllmrt.so", boards.library("1.2.0"))
    return root


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
@pytest.mark.parametrize(
    "make",
    [
        boards.rock_4d, boards.nanopi_r76s, boards.radxa_e52c, boards.radxa_zero_3, boards.pc,
        boards.bare_container, docker, elsewhere,
    ],
)  # fmt: skip
def test_a_board_is_the_same_from_afar(
    make: Callable[[Path], Path], shell: list[str], tmp_path: Path
) -> None:
    root = make(tmp_path / "root")
    asked = ask_board(Here(*shell), "~", root=str(root))
    near = detect(root, {"HOME": os.environ["HOME"]})
    for field in dataclasses.fields(near):
        if field.name != "facts":  # why something is not there is known only from near
            assert getattr(asked.board, field.name) == getattr(near, field.name), field.name
    assert asked.can_verify
    assert asked.free_bytes is not None


def test_without_anything_to_look_into_files_the_library_is_brought(tmp_path: Path) -> None:
    root = boards.rock_4d(tmp_path / "root")
    blind = "grep() { return 127; }; strings() { return 127; }; head() { return 127; }\n"
    asked = ask_board(Here(before=blind), "~", root=str(root))
    assert str(asked.board.runtime) == "1.2.3"


@given(noise=st.binary(max_size=300))
def test_whatever_it_says_first(noise: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        boards.memory(Path(folder), 1000, 500)
        told = Path(folder, "noise")
        told.write_bytes(noise)
        asked = ask_board(Here(before=f"cat {told}\n"), root=folder)
        assert asked.board.memory_bytes == 1_024_000


HOSTILE = {
    "silence": "exit 0\n",
    "noise without end": "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done\n",
    "files without end": 'while :; do printf "%s\\n" "$3 there /x"; done\n',
    "a file without end": 'printf "%s\\n" "$3 file /x"; exec cat /dev/zero\n',
    "one line without end": 'printf "$3 tool "; exec cat /dev/zero\n',
}


@pytest.mark.parametrize("script", HOSTILE.values(), ids=HOSTILE)
def test_what_it_says_is_bounded(script: str) -> None:
    with pytest.raises(RkfetchError, match=r"does not answer as a shell would|more than was asked"):
        ask_board(Here(before=script))


@pytest.mark.parametrize(
    "path", ["/../../escaped", "../escaped", "/a/../../../escaped", "/" + "x/" * 600, "", "/"]
)
def test_no_path_leads_out(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "inner" / "most"))
    (tmp_path / "inner" / "most").mkdir(parents=True)
    lies = f'printf "%s\\n" "$3 file {path}" x "$3 over" "$3 there {path}" '
    lies += f'"$3 library 999999999999 {path}" x "$3 over" "$3 version" "$3 over" "$3 done"\nexit\n'
    asked = ask_board(Here(before=lies))
    assert not asked.board.on_board
    assert [p.name for p in tmp_path.rglob("*") if p.name not in {"inner", "most"}] == ["home"]


# --- a delivery -----------------------------------------------------------------------------------


@pytest.fixture
def item(tmp_path: Path) -> Installed:
    return add(Store(tmp_path / "store"), CONTENT, path="m.rkllm")


@pytest.fixture
def there(tmp_path: Path) -> Path:
    folder = tmp_path / "the board's"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("by_pieces", [False, True])
@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_what_is_there_is_used_again(
    shell: list[str], by_pieces: bool, item: Installed, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivering, "_PIECE_BYTES", 100_000)
    link = Here(*shell, by_pieces=by_pieces)
    (there / "m.rkllm").write_bytes(b"x" * len(CONTENT))  # its length, and other bytes
    (there / PART).write_bytes(CONTENT[:100_001])
    done = deliver(link, item, str(there))
    assert (done.action, done.resumed_from) == ("copied", 100_001)
    assert [p.name for p in there.iterdir()] == ["m.rkllm"]
    assert (there / "m.rkllm").read_bytes() == CONTENT
    assert deliver(link, item, str(there)).action == "present"


@pytest.mark.parametrize("left", [b"x" * 5000, CONTENT + b"more", CONTENT])
def test_what_is_there_and_does_not_fit(left: bytes, item: Installed, there: Path) -> None:
    (there / PART).write_bytes(left)
    assert deliver(Here(), item, str(there)).action == "copied"
    assert (there / "m.rkllm").read_bytes() == CONTENT


def test_a_link_in_place_of_the_part_is_not_followed(
    item: Installed, there: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    mine.write_bytes(b"mine")
    (there / PART).symlink_to(mine)
    deliver(Here(), item, str(there))
    assert mine.read_bytes() == b"mine"
    assert (there / "m.rkllm").read_bytes() == CONTENT


@pytest.fixture
def somebody() -> Iterator[subprocess.Popen[bytes]]:
    """A shell that another machine has there."""
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as process:
        yield process
        process.kill()


def lock_of(process: subprocess.Popen[bytes], sender: str) -> str:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(") ")[2].split()
    return f"{process.pid} {fields[2]} {fields[19]} {sender}\n"


def test_another_sender_is_waited_for(
    item: Installed,
    there: Path,
    somebody: subprocess.Popen[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivering, "_PAUSE_S", 0.02)
    (there / LOCK).write_text(lock_of(somebody, "another"))
    heard: list[str] = []

    class Heard(NoProgress):
        def waiting(self, reason: str, seconds: float) -> None:
            heard.append(reason)
            threading.Timer(0.2, somebody.kill).start()
            threading.Timer(0.3, somebody.wait).start()

    assert deliver(Here(), item, str(there), Heard()).action == "copied"
    assert heard == ["another machine is sending this file to there"]
    assert [p.name for p in there.iterdir()] == ["m.rkllm"]


def test_another_sender_is_not_waited_for_without_end(
    item: Installed,
    there: Path,
    somebody: subprocess.Popen[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivering, "_PATIENCE_S", 0.0)
    monkeypatch.setattr(delivering, "_PAUSE_S", 0.02)
    (there / LOCK).write_text(lock_of(somebody, "another"))
    with pytest.raises(NetworkError, match="for long") as caught:
        deliver(Here(), item, str(there))
    assert LOCK in str(caught.value.hint)
    assert somebody.poll() is None


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_what_the_same_sender_left_on_a_dead_link_is_ended(
    shell: list[str], item: Installed, there: Path, somebody: subprocess.Popen[bytes]
) -> None:
    (there / LOCK).write_text(lock_of(somebody, delivering._sender()))
    assert deliver(Here(*shell), item, str(there)).action == "copied"
    assert somebody.wait(20) == -9


@pytest.mark.parametrize(
    "text",
    [
        "999999999 5 5 another\n",
        "1 1 1 another\n",
        "x y z\n",
        "-1 -1 -1 ; * $(x)\n",
        "0\n",
        "\n",
        "",
    ],
)
def test_a_lock_that_nobody_holds(
    text: str, item: Installed, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivering, "_PAUSE_S", 0.02)
    monkeypatch.setattr(delivering, "_PATIENCE_S", 20.0)
    (there / LOCK).write_text(text)
    assert deliver(Here(), item, str(there)).action == "copied"
    assert [p.name for p in there.iterdir()] == ["m.rkllm"]


@pytest.mark.skipif(os.geteuid() != 0, reason="a file system of one's own needs root")
def test_a_disk_that_fills_up_keeps_what_came(item: Installed, there: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", there], check=True)
    try:
        blind = "df() { return 1; }\n"
        with pytest.raises(DiskSpaceError, match="is full"):
            deliver(Here(before=blind), item, str(there))
        (part,) = there.iterdir()
        assert part.name == PART
        kept = part.stat().st_size
        assert 0 < kept < len(CONTENT)
        subprocess.run(["mount", "-o", "remount,size=4m", "none", there], check=True)
        assert deliver(Here(), item, str(there)).resumed_from == kept
        assert (there / "m.rkllm").read_bytes() == CONTENT
    finally:
        subprocess.run(["umount", there], check=True)
