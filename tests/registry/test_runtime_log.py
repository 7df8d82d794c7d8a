"""What is learnt from a runtime's log: true lines of every form, torn ones, and hostile ones.

The logs are lines from public issues and documentation, which `tests/data/compat-evidence.jsonl`
names; who ran them, and where their files lay, is made up.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rkfetch.registry.model import Origin, Platform, Quant
from rkfetch.registry.runtime_log import MOST_LOADS, Blame, Load, read_log
from rkfetch.registry.sightings import Outcome
from rkfetch.registry.versions import Version

RUNTIME = "I rkllm: rkllm-runtime version: 1.2.3, rknpu driver version: 0.9.8, platform: RK3576"
LOADING = "I rkllm: loading rkllm model from /home/x/m/Qwen3-4B_RK3576_w4a16_g128.rkllm"
FILE = (
    "I rkllm: rkllm-toolkit version: 1.2.3, max_context_limit: 4096, npu_core_num: 2, "
    "target_platform: RK3576, model_dtype: W4A16_G128"
)
WHOLE = f"{RUNTIME}\n{LOADING}\n{FILE}\nI rkllm: Enabled cpus: [6, 7]\nrkllm init success\n"
EVIDENCE = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "data" / "compat-evidence.jsonl")
    .read_text("utf-8")
    .splitlines()
]


def one(text: str | bytes) -> Load:
    (load,) = read_log(text if isinstance(text, bytes) else text.encode())
    return load


def test_a_load_is_read_whole() -> None:
    load = one("rkllm init start\n" + WHOLE)
    assert load == Load(
        line=2,
        runtime=Version("1.2.3"),
        driver=Version("0.9.8"),
        platform=Platform.RK3576,
        path="/home/x/m/Qwen3-4B_RK3576_w4a16_g128.rkllm",
        toolkit=Version("1.2.3"),
        context=4096,
        npu_cores=2,
        file_platform=Platform.RK3576,
        quant=Quant(4, 16, 128),
        file_line=4,
        succeeded=True,
    )
    assert load.outcome is Outcome.LOADS
    said = {e.attribute: (e.value, e.origin) for e in load.evidence(place="p", seen="2026-11-25")}
    assert said == {
        "toolkit": ("1.2.3", Origin.LOG),
        "platform": ("rk3576", Origin.LOG),
        "quant": ("w4a16_g128", Origin.LOG),
        "context": ("4096", Origin.LOG),
        "npu_cores": ("2", Origin.LOG),
    }


DISGUISES = {
    "colours": WHOLE.replace("I rkllm", "\x1b[1;32mI rkllm").replace("\n", "\x1b[0m\n"),
    "a terminal's title": f"\x1b]0;root@board\x07{WHOLE}",
    "carriage returns": WHOLE.replace("\n", "\r\n"),
    "only carriage returns": WHOLE.replace("\n", "\r"),
    "a journal": "".join(f"Nov 25 10:00:00 b llm[7]: {x}\n" for x in WHOLE.splitlines()),
    "containers": "".join(f"rkllm-1  | {x}\n" for x in WHOLE.splitlines()),
    "a container's JSON": "".join(
        json.dumps({"log": x + "\n", "stream": "stderr"}) + "\n" for x in WHOLE.splitlines()
    ),
    "a notebook": "".join(f'      "{x}\\n",\n' for x in WHOLE.splitlines()),
    "a quote": "".join(f"> {x}\n" for x in WHOLE.splitlines()),
    "full-width punctuation": WHOLE.replace(", ", "\uff0c").replace(": ", "\uff1a"),
    "every line twice": "".join(f"{x}\n{x}\n" for x in WHOLE.splitlines()),
    "a Chinese program": f"[2/4] 正在初始化模型...\n{WHOLE}[成功] 模型初始化完成\n",
    "kernel messages between": WHOLE.replace("\n", "\n[   12.345678] RKNPU fdab0000.npu: ok\n"),
    "NUL and bells": WHOLE.replace("rkllm-", "\x00rkllm\x07-"),
}


@pytest.mark.parametrize("text", DISGUISES.values(), ids=DISGUISES)
def test_how_a_log_was_caught_does_not_matter(text: str) -> None:
    expected = one(WHOLE)
    load = one(text)
    for name in ("runtime", "driver", "platform", "path", "outcome"):
        assert getattr(load, name) == getattr(expected, name)
    assert load.evidence(place="", seen="") == expected.evidence(place="", seen="")


@pytest.mark.parametrize("encoding", ["utf-16", "gb18030"])
def test_other_encodings_are_borne(encoding: str) -> None:
    assert one(f"模型\n{WHOLE}".encode(encoding)).toolkit == Version("1.2.3")


def test_a_summary_of_bullets_is_a_log_too() -> None:
    load = one(
        "- rkllm-runtime version: 1.3.0\n- rknpu driver version: 0.9.2\n- platform: RK3588\n"
        "- rkllm-toolkit version: 1.3.0\n- max_context_limit: 2048\n- npu_core_num: 3\n"
        "- target_platform: RK3588\n- model_dtype: W8A8\n"
    )
    assert (load.runtime, load.driver, load.toolkit) == tuple(
        map(Version, ("1.3.0", "0.9.2", "1.3.0"))
    )
    assert (load.context, load.npu_cores, load.quant) == (2048, 3, Quant(8, 8))


OLD = [
    ("rkllm-runtime version: 1.0.1, rknpu driver version: 0.9.6, platform: RK3588", "1.0.1"),
    (
        "I rkllm: rkllm-runtime version: 1.1.4, rknpu driver version: 0.9.7, platform: RK3588",
        "1.1.4",
    ),
]


@pytest.mark.parametrize(("line", "runtime"), OLD)
def test_older_runtimes_say_nothing_of_the_file(line: str, runtime: str) -> None:
    load = one(f"rkllm init start\n{line}\n\nrkllm init success\nuser: hello\n")
    assert (load.runtime, load.platform) == (Version(runtime), Platform.RK3588)
    assert (load.outcome, load.evidence(place="", seen="")) == (Outcome.LOADS, ())


def test_that_a_file_has_no_version_is_told() -> None:
    load = one(WHOLE.replace("toolkit version: 1.2.3", "toolkit version: unknown"))
    assert (load.toolkit, load.unversioned, load.context) == (None, True, 4096)


def test_several_loads_are_kept_apart() -> None:
    second = WHOLE.replace("1.2.3", "1.3.0").replace("Qwen3-4B", "Qwen3-8B")
    loads = read_log(f"{WHOLE}user: hi\nrobot: hello\n{second}{FILE}\n".encode())
    assert [(str(x.runtime), str(x.toolkit)) for x in loads] == [
        ("1.2.3", "1.2.3"),
        ("1.3.0", "1.3.0"),
        ("None", "1.2.3"),
    ]


def test_a_converter_s_log_is_none() -> None:
    assert (
        read_log(b"INFO: rkllm-toolkit version: 1.2.3\nINFO: Setting max_context_limit to 4096\n")
        == ()
    )


def test_the_vision_part_is_not_taken_for_the_model() -> None:
    rknn = (
        "I RKNN: [03:26:54.872] RKNN Model Information, version: 6, toolkit version: 2.3.2, "
        "target: RKNPU f2, target platform: rk3588, framework name: ONNX\n"
    )
    assert one(rknn + WHOLE + rknn).platform is Platform.RK3576


COMPLAINTS = [
    ("E RKNN: [17:14:05.664] invalid rknn llm model magic", Blame.FILE, Outcome.FAILS),
    ("gguf_init_from_file: invalid magic characters '\ufffd\u0314'", Blame.FILE, Outcome.FAILS),
    ("E rkllm: invalid rkllm model!", Blame.FILE, Outcome.FAILS),
    (
        (
            "E rkllm: The rkllm-runtime version is lower than the rkllm-toolkit version. Please "
            "update rkllm-runtime to 1.2.2 or higher."
        ),
        Blame.FILE,
        Outcome.FAILS,
    ),
    ("The model target_platform does not match!", Blame.FILE, Outcome.FAILS),
    (":0: GGML_ASSERT(hparams.rope_scaling_type_train != X) failed", Blame.FILE, Outcome.FAILS),
    ("E rkllm: failed to read tensor data", Blame.FILE, Outcome.FAILS),
    ("E rkllm: rkllm_init failed", Blame.NONE, Outcome.FAILS),
    (
        "E rkllm: max_context[16384] must be less than the model's max_context_limit[4096]",
        Blame.CALL,
        None,
    ),
    ("E rkllm: The n_batch must be between 1 and 100, but got 0", Blame.CALL, None),
    ("E RKNN: failed to malloc npu memory, size: 4022272000, flags: 0x2", Blame.BOARD, None),
    ("E rkllm: matmul(w8a8) run failed", Blame.BOARD, None),
    ("Out of memory: Killed process 812 (demo)", Blame.BOARD, None),
    ("Query platform error!", Blame.BOARD, None),
    (
        "Warning: The model version is too old, please use the latest toolkit",
        Blame.NONE,
        Outcome.LOADS,
    ),
]


@pytest.mark.parametrize(("line", "blame", "outcome"), COMPLAINTS, ids=[c[0] for c in COMPLAINTS])
def test_what_a_complaint_speaks_against(line: str, blame: Blame, outcome: Outcome | None) -> None:
    # Runtimes before 1.2 say success after all of these.
    load = one(f"{RUNTIME}\n{line}\nrkllm init success\n")
    assert [(c.blame, c.line) for c in load.complaints] == [(blame, 2)]
    assert load.outcome is outcome


def test_a_failure_that_the_board_explains_is_not_the_file_s() -> None:
    load = one(
        f"{RUNTIME}\nE RKNN: failed to malloc npu memory, size: 4059037696\n"
        "rknn_init fail! ret=-1\nrkllm init success\n"
    )
    assert load.outcome is None
    assert [c.fatal for c in load.complaints] == [False, True]


@pytest.mark.parametrize(
    "row",
    [r for r in EVIDENCE if "version: " in r["message"] and r["message"].startswith("I rkllm")],
    ids=lambda r: f"{r['toolkit']}-on-{r['runtime']}",
)
def test_the_lines_of_public_logs_are_read(row: dict[str, Any]) -> None:
    load = one(f"{row['message']}\nrkllm init success")
    if "rkllm-runtime" in row["message"]:
        assert (str(load.runtime), str(load.driver)) == (row["runtime"], row["driver"])
    else:
        assert str(load.toolkit) == {"unknown": "None"}.get(row["toolkit"], row["toolkit"])
    assert row["platform"] == (load.platform or load.file_platform or Platform.RK3562).value


# --- torn and hostile --------------------------------------------------------------------------


def is_part_of_the_truth(load: Load) -> bool:
    whole = one(WHOLE)
    names = ("runtime", "driver", "platform", "toolkit", "context", "npu_cores", "file_platform")
    return all(getattr(load, n) in {None, getattr(whole, n)} for n in names)


@given(
    st.integers(0, len(WHOLE)), st.sampled_from(["", "\n", "[  12.345678] RKNPU: ok\n", "\x1b["])
)
@example(WHOLE.index("4096") + 2, "\n")
def test_a_torn_line_never_gives_a_wrong_value(at: int, noise: str) -> None:
    for load in read_log((WHOLE[:at] + noise + WHOLE[at:]).encode()):
        assert is_part_of_the_truth(load)


@given(st.integers(0, len(WHOLE)))
def test_a_log_that_is_cut_off_never_gives_a_wrong_value(end: int) -> None:
    for load in read_log(WHOLE[:end].encode()):
        assert is_part_of_the_truth(load)


PIECES = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from([x.encode() for x in (RUNTIME, LOADING, FILE)]),
        st.sampled_from([b"\n", b"\x1b]0;", b"\x1b[31", b"rkllm-runtime version: 9" * 50]),
        st.sampled_from([b"max_context_limit: 99999999999999,", b"npu_core_num: 0,", b"\xff\xfe"]),
        st.sampled_from([c[0].encode() for c in COMPLAINTS]),
    ),
    max_size=30,
)


@given(PIECES)
def test_any_bytes_are_borne(pieces: list[bytes]) -> None:
    for load in read_log(b"".join(pieces)):
        assert load.line >= 1
        assert load.context is None or 0 < load.context < 1 << 31
        assert load.path is None or len(load.path) <= 1030
        for item in load.evidence(place="log", seen="2026-11-25"):
            assert item.value.isascii()


def test_a_log_of_nothing_but_loads_ends() -> None:
    assert len(read_log(f"{RUNTIME}\n{FILE}\n".encode() * 20_000)) == MOST_LOADS
    assert read_log(b"\x1b]" * 500_000 + b"platform: " * 500_000) == ()
