"""Logs of loads: lines in the forms of public logs, with paths and names made up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rkfetch.registry.diagnosis.log import Piece, read

if TYPE_CHECKING:
    from rkfetch.registry.diagnosis.log import Log


def started(
    runtime: str = "1.2.3",
    *,
    driver: str = "0.9.8",
    platform: str = "RK3576",
    path: str | None = "/home/u/Qwen2.5-1.5B-Instruct_RK3576_w4a16.rkllm",
    toolkit: str | None = "1.2.3",
    made_for: str | None = None,
    quant: str = "W4A16",
) -> str:
    """What a runtime prints when it starts to load a file; without ``toolkit`` nothing of it."""
    versions = f"rkllm-runtime version: {runtime}, rknpu driver version: {driver}"
    lines = ["rkllm init start", f"I rkllm: {versions}, platform: {platform}"]
    if path is not None:
        lines.append(f"I rkllm: loading rkllm model from {path}")
    if toolkit is not None:
        of_file = f"rkllm-toolkit version: {toolkit}, max_context_limit: 4096, npu_core_num: 2"
        more = f"target_platform: {made_for or platform}, model_dtype: {quant}"
        lines.append(f"I rkllm: {of_file}, {more}")
    return "\n".join(lines) + "\n"


def log(text: str | bytes) -> Log:
    """Read a log."""
    return read([Piece(data=text if isinstance(text, bytes) else text.encode())])


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
    "prompt": [
        "error: prompt gather than max context (prompt: 1299 tokens, max context: 1020)",
        "Prompt is 11543 tokens but the model context window is 4096 tokens.",
    ],
    "few-cpus": [
        "E rkllm: The number of enabled CPUs must be greater than or equal to the number of NPU"
    ],
    "modelfile": [
        "Error loading model: 400 - Modelfile not found in 'llama3-8b' directory.",
        "Error loading model: 400 - FROM or HUGGINGFACE_PATH not defined in Modelfile.",
    ],
    "vision-soc": ["E RKNN: [1] This rknn model is for RK3588, but current platform is RK3576"],
    "vision-version": ["E RKNN: [14:34:00.922] Invalid RKNN model version 6"],
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
"""Lines of every symptom, as they were seen in public."""
