"""Every line that is known, as runtimes, drivers, kernels and loaders print it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rkfetch.registry.diagnosis.symptoms import SYMPTOMS, Blame, Cause, is_worth_reading
from rkfetch.registry.runtime_log import read_log

LINES = {
    "old-magic": ["E RKNN: [17:14:05.664] invalid rknn llm model magic"],
    "bad-magic": ["gguf_init_from_file: invalid magic characters '\ufffd\u0314'"],
    "no-model": ["E rkllm: invalid rkllm model!"],
    "lfs-pointer": ["version https://git-lfs.github.com/spec/v1"],
    "newer-file": [
        (
            "E rkllm: The rkllm-runtime version is lower than the rkllm-toolkit version. Please "
            "update rkllm-runtime to 1.2.2 or higher."
        )
    ],
    "other-soc": [
        "The model target_platform does not match!",
        "E rkllm: the model's target_platform does not match the real platform",
    ],
    "architecture": ["E rkllm: the model architecture gemma4 is not supported by rkllm"],
    "rope": ["An unsupported rope type was detected, please try upgrading the rkllm-runtime"],
    "cut-file": [
        "E rkllm: failed to read header",
        "E rkllm: failed to read key-value pairs",
        "E rkllm: failed to read tensor data",
    ],
    "assertion": [":0: GGML_ASSERT(hparams.rope_scaling_type_train != X) failed"],
    "model-too-old": [
        "Warning: The model version is too old, please use the latest toolkit to reconvert"
    ],
    "quant-of-soc": ["ERROR: target_platform: rk3588 not support quantized_dtype: w4a16!"],
    "weights-of-32-bit": [
        "E rkllm: 32-bit systems only support models with weights smaller than 2GB"
    ],
    "context": [
        "E rkllm: max_context[16384] must be less than the model's max_context_limit[4096]"
    ],
    "abi": ["E rkllm: The n_batch must be between 1 and 100, but got 0"],
    "core-mask": [
        (
            "E RKNN: rknn_set_core_mask: unavailable core mask found for current platform! max "
            "core mask = 3"
        )
    ],
    "open-files": ["error: Too many open files", "错误: 打开的文件过多"],
    "tokenizer-online": [
        "OSError: We couldn't connect to 'https://huggingface.co' to load the files, and couldn't"
    ],
    "no-library": [
        (
            "./llm_demo: error while loading shared libraries: librkllmrt.so: cannot open shared "
            "object file: No such file or directory"
        ),
        "OSError: librkllmrt.so: 无法打开共享对象文件: 没有那个文件或目录",
    ],
    "library-machine": [
        "OSError: /usr/lib/librkllmrt.so: wrong ELF class: ELFCLASS32",
        "bash: ./llm_demo: cannot execute binary file: Exec format error",
        "OSError: lib/librkllmrt.so: invalid ELF header",
        "-bash: ./llm_demo: 无法执行二进制文件: 可执行文件格式错误",
    ],
    "library-symbol": [
        "AttributeError: /usr/lib/librkllmrt.so: undefined symbol: rkllm_set_chat_template",
        "./llm_demo: symbol lookup error: ./llm_demo: undefined symbol: rkllm_load_lora",
    ],
    "glibc": [
        "./llm_demo: /lib/aarch64-linux-gnu/libc.so.6: version `GLIBC_2.34' not found (required by",
        "./llm_demo: libstdc++.so.6: version `GLIBCXX_3.4.32' not found (required by ./llm_demo)",
    ],
    "no-driver": [
        "E RKNN: [08:21:53.967] failed to open rknpu module, need to insmod rknpu dirver!",
        "E RKNN: [08:21:53.967] failed to open rknn device!",
        "Get device properties failed",
    ],
    "unknown-chip": [
        (
            "Platform error: must be either RK3588, RK3576, RV1126B, or RK3562. Your platform is "
            "lite."
        ),
        "Your platform is unknown",
    ],
    "query-platform": ["Query platform error!"],
    "npu-memory": [
        "E RKNN: failed to malloc npu memory, size: 4022272000, flags: 0x2",
        "E RKNN: failed to allocate handle, ret: -1, errno: 14, errstr: Bad address",
        "E RKNN: failed to convert fd(11) to handle, ret: -1, errno: 12, errstr: Cannot allocate",
    ],
    "oom": [
        "[  812.1] Out of memory: Killed process 812 (demo) total-vm:9000kB",
        "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null)",
    ],
    "no-memory": [
        "terminate called after throwing an instance of 'std::bad_alloc'",
        "mmap: Cannot allocate memory",
        "mmap: 无法分配内存",
    ],
    "matmul": [
        "E rkllm: matmul(w8a8) run failed",
        "matmul run failed",
        "E RKNN: [..] failed to submit!, op id: 0, op name: MatMul, flags: 0x5, task start: 0",
    ],
    "driver-warning": [
        ("W rkllm: Warning: Your rknpu driver version is too low, please upgrade to 0.9.7"),
        "Mismatch driver version, matmul requires driver version >= 0.9.2",
    ],
    "npu-hung": ["[ 88.1] RKNPU: job timeout, flags: 0x0:", "RKNPU: failed to wait job, task"],
    "no-permission": ["open /dev/dri/renderD129: Permission denied", "/dev/rknpu: 权限不够"],
    "eos": ["I rkllm: EOS token[0]: 11 '<jupyter_start>'"],
    "garbage": ["robot: [PAD151935][PAD151935]", "robot: " + "&" * 60, "!" * 41],
    "load-failed": [
        "rkllm init failed",
        "E rkllm: rkllm_init failed",
        "rknn_init fail! ret=-1",
        "load model file error!",
        ": error: failed to load model 'x.rkllm'",
    ],
    "crash": [
        "Segmentation fault (core dumped)",
        "段错误 (核心已转储)",
        "Aborted",
        "已放弃 (核心已转储)",
        "llm_demo[812]: segfault at 0 ip 0000",
        "Bus error",
    ],
    "killed": ["Killed", "./run.sh: line 3:  1234 Killed    ./llm_demo x.rkllm", "已杀死"],
}
PAIRS = [(name, line) for name, lines in LINES.items() for line in lines]


def known_by(line: str) -> set[str]:
    return {s.name for s in SYMPTOMS if s.shape.search(line)}


def test_every_symptom_has_a_line() -> None:
    assert [s.name for s in SYMPTOMS if s.name not in LINES] == []
    assert len({s.name for s in SYMPTOMS}) == len(SYMPTOMS) == len(LINES)


@pytest.mark.parametrize(("name", "line"), PAIRS, ids=[line[:40] for _, line in PAIRS])
def test_a_line_is_known(name: str, line: str) -> None:
    assert is_worth_reading(line)
    assert name in known_by(line)


ORDINARY = [
    "I rkllm: rkllm-runtime version: 1.2.3, rknpu driver version: 0.9.8, platform: RK3576",
    "I rkllm: EOS token: 49279 '<end_of_utterance>'",
    "I rkllm: EOS token[0]: 151645 '<|im_end|>'",
    "I rkllm: Enabled cpus: [6, 7]",
    "rkllm init success",
    "robot: The magic of memory is that a platform is not supported by the version of events!!!",
    "user: why was the process Killed?",
    "[drm] Initialized rknpu 0.9.8 20240828 for fdab0000.npu on minor 1",
    "RKNPU fdab0000.npu: can't request region for resource [mem 0xfdab0000-0xfdabffff]",
]


@pytest.mark.parametrize("line", ORDINARY)
def test_an_ordinary_line_means_nothing(line: str) -> None:
    assert known_by(line) == set()


@pytest.mark.parametrize("symptom", SYMPTOMS, ids=lambda s: s.name)
def test_each_rests_on_a_public_page_or_on_linux(symptom: Any) -> None:
    assert symptom.source is None or symptom.source.startswith("https://github.com/")
    assert symptom.text[0].islower()


EVIDENCE = [
    json.loads(line)
    for line in (Path(__file__).parents[2] / "data" / "compat-evidence.jsonl")
    .read_text("utf-8")
    .splitlines()
]
SEEN_FAILING = sorted(
    {
        row["message"]
        for row in EVIDENCE
        if row["outcome"] == "rejected" and row["observed"] and row["message"]
    }
)


@pytest.mark.parametrize("message", SEEN_FAILING, ids=lambda m: m[:40])
def test_what_was_seen_in_public_is_known(message: str) -> None:
    assert known_by(message)


def test_the_load_reader_goes_by_the_same_table() -> None:
    start = "I rkllm: rkllm-runtime version: 1.2.3, rknpu driver version: 0.9.8, platform: RK3576\n"
    for symptom in SYMPTOMS:
        (load,) = read_log(f"{start}{LINES[symptom.name][0]}\nrkllm init success\n".encode())
        said = [c.text for c in load.complaints]
        assert (symptom.text in said) is (symptom.blame is not None)


def test_consequences_come_after_roots() -> None:
    rank = {cause: cause.rank for cause in Cause}
    assert rank[Cause.SEEN] < rank[Cause.VERSIONS] < rank[Cause.FAILED] < rank[Cause.CRASH]
    by_name = {s.name: s for s in SYMPTOMS}
    assert by_name["crash"].blame is None
    assert by_name["assertion"].blame is Blame.FILE
