"""A log is read however it was caught, however long it is, and whatever it holds."""

from __future__ import annotations

import io
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from load_logs import log, started
from rkfetch.registry.diagnosis import log as module
from rkfetch.registry.diagnosis.case import Subject
from rkfetch.registry.diagnosis.explain import diagnose
from rkfetch.registry.diagnosis.log import Piece, read, read_pieces

FAILED = started() + "E rkllm: invalid rkllm model!\nrkllm init failed\n"


def names(data: bytes | str) -> list[str]:
    return [hit.symptom.name for hit in log(data).hits]


def prefixed(prefix: str) -> str:
    return "".join(f"{prefix}{line}\n" for line in FAILED.splitlines())


DISGUISES = {
    "colours": FAILED.replace("E rkllm", "\x1b[1;31mE rkllm").replace("\n", "\x1b[0m\n"),
    "carriage returns": FAILED.replace("\n", "\r\n"),
    "journalctl": prefixed("Nov 25 10:00:00 board llm[712]: "),
    "dmesg": prefixed("[  812.345678] "),
    "docker compose": prefixed("rkllm-1  | "),
    "docker's JSON": "".join(
        json.dumps({"log": f"{x}\n", "stream": "stderr"}) + "\n" for x in FAILED.splitlines()
    ),
    "kubernetes": prefixed("2026-11-25T10:00:00.123456789Z stderr F "),
    "full-width": FAILED.replace(": ", "\uff1a").replace(", ", "\uff0c"),
    "a progress bar": "\r".join(f"{n} %" for n in range(500)) + "\n" + FAILED,
}


@pytest.mark.parametrize("text", DISGUISES.values(), ids=DISGUISES)
def test_how_it_was_caught_does_not_matter(text: str) -> None:
    found = log(text)
    assert [hit.symptom.name for hit in found.hits] == ["no-model", "load-failed"]
    assert [str(load.runtime) for load in found.loads] == ["1.2.3"]


@pytest.mark.parametrize("encoding", ["utf-16", "gb18030", "utf-8-sig"])
def test_a_chinese_system(encoding: str) -> None:
    text = f"[1/4] 正在初始化模型\n{FAILED}段错误 (核心已转储)\n"
    assert names(text.encode(encoding)) == ["no-model", "load-failed", "crash"]


def test_one_line_that_is_no_utf8_does_not_spoil_the_others() -> None:
    data = b"\xff\xfa\xfb garbage\n" + "段错误\n".encode() + "段错误\n".encode("gb18030")
    assert names(data) == ["crash", "crash"]


def test_lines_are_counted_as_an_editor_does() -> None:
    found = log("10 %\r50 %\r100 %\n\n" + FAILED)
    assert [hit.line for hit in found.hits] == [7, 8]
    assert (found.loads[0].line, found.lines) == (4, 8)
    assert log("").lines == 0


def test_of_a_long_log_both_ends_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEAD_BYTES", 100_000)
    monkeypatch.setattr(module, "TAIL_BYTES", 100_000)
    middle = "robot: words and words\n" * 40_000
    text = FAILED + middle + "E rkllm: invalid rkllm model!\n" + middle + "Segmentation fault\n"
    pieces, left_out = read_pieces(io.BytesIO(text.encode()))
    found = read(pieces, left_out)
    kept = sum(len(piece.data) for piece in pieces)
    assert kept + left_out == len(text)
    assert kept < 300_000
    assert [(h.symptom.name, h.line) for h in found.hits] == [
        ("no-model", 5),
        ("load-failed", 6),
        ("crash", text.count("\n")),
    ]
    assert found.lines == text.count("\n")


@pytest.mark.parametrize("size", [0, 1, 65_536, 99_999, 100_000, 100_001, 200_000, 266_000])
def test_a_log_that_is_read_whole_is_kept_whole(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEAD_BYTES", 100_000)
    monkeypatch.setattr(module, "TAIL_BYTES", 100_000)
    data = bytes(n % 251 for n in range(size))
    pieces, left_out = read_pieces(io.BytesIO(data))
    kept = b"".join(piece.data for piece in pieces)
    assert len(kept) + left_out == size
    assert data.startswith(kept[:100_000])
    assert data.endswith(kept[-100_000:] if kept else b"")
    assert (left_out == 0) == (kept == data)


def test_the_last_load_of_a_service_is_seen() -> None:
    text = (started() + "E rkllm: invalid rkllm model!\n" * 30) * 300 + started()
    found = log(text)
    assert len(found.loads) == 301
    assert found.of_load(300) == ()
    assert 0 < len(found.of_load(299)) < 30


PIECES = st.lists(
    st.one_of(
        st.binary(max_size=60),
        st.sampled_from([line.encode() + b"\n" for line in FAILED.splitlines()]),
        st.sampled_from([b"\x1b[", b"\r", b"\n", b"\xff\xfe", b"\x00", "\u202e".encode()]),
        st.sampled_from([b"E rkllm: max_context[99999999999999999] must be less than [1]\n"]),
        st.sampled_from([b"failed to malloc npu memory, size: 999999999999999999999, f\n"]),
        st.sampled_from([b"loading rkllm model from /../\x07$(reboot);'\".rkllm\n"]),
        st.sampled_from([b"rkllm-runtime to 9.9.9b99 or higher\n", b"EOS token[0]: 11 'x'\n"]),
    ),
    max_size=25,
)


@given(PIECES)
def test_any_bytes_are_borne(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    found = log(data)
    diagnosis = diagnose(found, board=None, subject_of=lambda load: Subject())
    for item in diagnosis.findings:
        assert item.finding.text
        assert item.hit is None or 1 <= item.hit.line <= max(found.lines, 1)
        for step in item.finding.todo:
            assert "\n" not in step
            assert "\x1b" not in step


def test_a_hostile_log_takes_bounded_time() -> None:
    begun = time.process_time()
    log(b"E rkllm: failed to read version memory platform GGML magic /dev/ oom\n" * 6_000)
    log(b"&" * 1_000_000)
    log(b"librkllmrt" * 50_000 + b"version `GLIBC_" * 50_000)
    assert time.process_time() - begun < 60


def test_pieces_may_be_empty() -> None:
    assert read([]).lines == 0
    assert read([Piece(data=b"")]).loads == ()
