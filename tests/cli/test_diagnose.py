"""``rkfetch diagnose`` as a user or a script sees it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import boards
from load_logs import started
from rkllm_files import rkllm_bytes

if TYPE_CHECKING:
    from conftest import Rkfetch

RKFETCH = Path(sys.executable).with_name("rkfetch")
NEWER = started("1.1.4", toolkit="1.2.3") + "Segmentation fault (core dumped)\n"


@pytest.fixture(autouse=True)
def no_board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pc").mkdir()
    monkeypatch.setenv("RKFETCH_SYSROOT", str(tmp_path / "pc"))


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "load.log"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def pipe(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


def test_the_screen(rkfetch: Rkfetch, tmp_path: Path) -> None:
    code, out, err = rkfetch("diagnose", write(tmp_path, NEWER))
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert " ".join(out.split()).startswith(
        "line 2: runtime 1.1.4, driver 0.9.8 on rk3576: Qwen2.5-1.5B-Instruct_RK3576_w4a16.rkllm "
        "(toolkit 1.2.3, w4a16, rk3576, context 4096) "
        "problem Qwen2.5-1.5B-Instruct_RK3576_w4a16.rkllm was made by toolkit 1.2.3, and the "
        "runtime is 1.1.4 why: "
    )
    assert any(line.startswith("         do:  curl -LO https://github.com/") for line in lines)
    assert lines[-1] == "then     the program crashed (line 5): follows from the above"


def test_stdin_is_read_with_and_without_a_dash(
    rkfetch: Rkfetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    for args in ([], ["-"]):
        pipe(monkeypatch, NEWER)
        code, out, _ = rkfetch("diagnose", *args)
        assert code == 0
        assert "made by toolkit 1.2.3" in out


def answer(rkfetch: Rkfetch, *args: object) -> Any:
    code, out, err = rkfetch("diagnose", *args, "--json")
    assert (code, err, out.count("\n")) == (0, "", 1)
    return json.loads(out)


def test_json_says_the_same(rkfetch: Rkfetch, tmp_path: Path) -> None:
    log = write(tmp_path, NEWER)
    told = answer(rkfetch, log)
    assert list(told) == [
        *("schema_version", "status", "log", "lines", "left_out_bytes", "recognised"),
        *("loads", "findings"),
    ]
    assert (told["schema_version"], told["status"], told["log"]) == (1, "ok", str(log))
    assert (told["lines"], told["left_out_bytes"], told["recognised"]) == (5, 0, True)
    (load,) = told["loads"]
    assert (load["runtime"], load["toolkit"], load["platform"]) == ("1.1.4", "1.2.3", "rk3576")
    assert (load["reference"], load["this_board"]) == ("Qwen2.5-1.5B-Instruct", False)
    root, crash = told["findings"]
    assert (root["rule"], root["severity"], root["load"]) == ("newer-than-runtime", "problem", 0)
    assert (crash["rule"], crash["explained_by"], crash["line"]) == (
        "crash",
        "newer-than-runtime",
        5,
    )
    assert crash["quote"] == "Segmentation fault (core dumped)"


def test_check_is_for_scripts(rkfetch: Rkfetch, tmp_path: Path) -> None:
    assert rkfetch("diagnose", write(tmp_path, NEWER), "--check")[0] == 3
    fine = write(tmp_path, started() + "rkllm init success\n")
    code, out, _ = rkfetch("diagnose", fine, "--check")
    assert code == 0
    assert "ok       Qwen2.5-1.5B-Instruct_RK3576_w4a16.rkllm was loaded by runtime 1.2.3" in out


def test_nothing_known_is_said_plainly(rkfetch: Rkfetch, tmp_path: Path) -> None:
    log = write(tmp_path, "hello\nworld\n")
    code, out, _ = rkfetch("diagnose", log, "--check")
    assert code == 0
    assert out.startswith("nothing that is known is in these 2 lines\n")
    assert "please report the log" in out
    assert answer(rkfetch, log)["recognised"] is False
    assert answer(rkfetch, write(tmp_path, ""))["lines"] == 0
    assert answer(rkfetch, os.devnull)["findings"] == []


def test_a_file_named_by_the_user_is_looked_at(rkfetch: Rkfetch, tmp_path: Path) -> None:
    model = tmp_path / "m.rkllm"
    model.write_bytes(b"version https://git-lfs.github.com/spec/v1\nsize 1394162444\n")
    log = write(tmp_path, "E rkllm: invalid rkllm model!\n")
    told = answer(rkfetch, log, "--model", model)
    assert [f["rule"] for f in told["findings"]] == ["file-format", "no-model"]
    assert "1394162444 bytes" in told["findings"][0]["text"]
    assert told["findings"][1]["explained_by"] == "file-format"


def test_this_board_s_own_way_is_told(
    rkfetch: Rkfetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = boards.rock_4d(tmp_path / "board", driver="0.9.6")
    boards.put(root, "etc/armbian-release", "BOARD=rock-4d\nBRANCH=vendor\n")
    monkeypatch.setenv("RKFETCH_SYSROOT", str(root))
    log = write(tmp_path, "E RKNN: failed to malloc npu memory, size: 4022272000, flags: 0x2\n")
    told = answer(rkfetch, log)
    assert [f["rule"] for f in told["findings"]] == ["driver"]
    assert "apt full-upgrade" in told["findings"][0]["todo"][0]


def test_what_is_no_log_is_refused(rkfetch: Rkfetch, tmp_path: Path) -> None:
    code, _, err = rkfetch("diagnose", tmp_path / "nowhere.log")
    assert code == 2
    assert "nowhere.log cannot be read: No such file or directory" in " ".join(err.split())
    code, _, err = rkfetch("diagnose", write(tmp_path, rkllm_bytes()))
    assert code == 2
    assert "is a model, not a log" in " ".join(err.split())
    assert "rkfetch inspect" in err
    assert rkfetch("diagnose", "/dev/zero")[0] == 2
    assert rkfetch("diagnose", tmp_path)[0] == 2
    log = write(tmp_path, NEWER)
    code, _, err = rkfetch("diagnose", log, "--model", "nowhere.rkllm")
    assert code == 2
    assert "there is no file 'nowhere.rkllm'" in err


def test_a_hostile_log_cannot_reach_the_terminal(rkfetch: Rkfetch, tmp_path: Path) -> None:
    path = "/m/\x1b]0;evil\x07\u202e$(reboot)';x.rkllm"
    text = started(path=path, toolkit=None) + "E rkllm: invalid rkllm model! \u202e\u2028\n"
    code, out, err = rkfetch("diagnose", write(tmp_path, text))
    assert code == 0
    assert not set("\x1b\x07\u202e\u2028") & set(out + err)


def test_of_a_very_long_log_it_is_said_what_was_left_out(rkfetch: Rkfetch, tmp_path: Path) -> None:
    text = NEWER + f"robot: {'words ' * 30}\n" * 30_000 + "Bus error\n"
    code, out, err = rkfetch("diagnose", write(tmp_path, text))
    assert code == 0
    assert "the program crashed" in out
    assert err.startswith("note: 1.")
    assert "in the middle of the log were not read" in err


def at_terminal(*args: str, typed: str) -> tuple[int, str, str]:
    """Run the command where a person types; gives its exit code, stdout and the screen."""
    mine, theirs = pty.openpty()
    process = subprocess.Popen(
        [str(RKFETCH), "diagnose", *args],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
    )
    os.close(theirs)
    os.write(mine, typed.encode())
    out, _ = process.communicate(timeout=60)
    screen = b""
    with contextlib.suppress(OSError):  # the other end is closed
        while piece := os.read(mine, 1 << 16):
            screen += piece
    os.close(mine)
    return process.returncode, out, screen.decode()


def test_at_a_terminal_it_is_said_what_to_do() -> None:
    code, out, screen = at_terminal(typed="")
    assert (code, out) == (2, "")
    assert "there is no log to read" in screen
    code, out, screen = at_terminal("-", typed="E rkllm: invalid rkllm model!\n\x04")
    assert code == 0
    assert "the file is no .rkllm model" in out
    assert "Ctrl-D" in screen
