"""Lines that runtimes, the NPU driver, the kernel and loaders print, and what each means.

Each is data: the shape of the line, its meaning, how near it is to the root of the trouble, and
the public page that it rests on. The texts are those of runtimes 1.0.0 to 1.3.1; some were seen
only as strings in the library of 1.2.1b1 (https://github.com/Luna-Inference/open-rkllm,
``analyze/strings.txt``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

_ISSUES = "https://github.com/airockchip/rknn-llm/issues/"
_STRINGS = "https://github.com/Luna-Inference/open-rkllm"
_KERNEL = "https://github.com/airockchip/rknn-llm/tree/main/rknpu-driver"


class Blame(str, Enum):
    """What a complaint of the runtime speaks against."""

    FILE = "file"
    """The file does not suit this runtime and chip."""
    BOARD = "board"
    """Memory or driver of the board."""
    CALL = "call"
    """How the calling program used the runtime."""
    NONE = "none"
    """Nothing by itself: that it failed, or a warning."""


class Cause(str, Enum):
    """How near to the root a symptom is, nearest first: the earlier explains the later."""

    SEEN = "seen"
    """What was seen in the file itself."""
    CHIP = "chip"
    LIBRARY = "library"
    VERSIONS = "versions"
    FILE = "file"
    """The runtime cannot read the file; why, other findings may tell."""
    DRIVER = "driver"
    CALL = "call"
    MEMORY = "memory"
    ANSWERS = "answers"
    """It runs, and what it answers is of no use."""
    FAILED = "failed"
    """Only that it failed."""
    CRASH = "crash"
    REMARK = "remark"

    @property
    def rank(self) -> int:
        """0 for the nearest to the root."""
        return list(Cause).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Symptom:
    """A line that is known, and what it means."""

    name: str
    """A stable name for scripts."""
    shape: re.Pattern[str]
    text: str
    """What it means, in plain words."""
    cause: Cause
    source: str | None
    """The public page that tells of it; None for what every Linux system prints."""
    blame: Blame | None = None
    """What it speaks against where a load is judged; None if it says nothing about one."""
    fatal: bool = False
    """The load ended with it."""
    why: str | None = None
    exact: str | None = None
    """What it means with what the line tells in braces, and the file as ``{name}``."""


def _line(
    name: str,
    shape: str,
    text: str,
    cause: Cause,
    source: str | None,
    *,
    blame: Blame | None = None,
    fatal: bool = False,
    why: str | None = None,
    exact: str | None = None,
) -> Symptom:
    return Symptom(
        name=name,
        shape=re.compile(shape, re.IGNORECASE),
        text=text,
        cause=cause,
        source=source,
        blame=blame,
        fatal=fatal,
        why=why,
        exact=exact,
    )


_THE_FILE = (
    _line(
        "old-magic",
        r"invalid rknn llm model magic",
        "the file is of a toolkit that this runtime no longer takes, or no model",
        Cause.FILE,
        "https://github.com/Pelochus/ezrknpu/issues/11",
        blame=Blame.FILE,
        why="files of toolkit 1.0.x are refused from runtime 1.1.0 on",
    ),
    _line(
        "bad-magic",
        r"invalid magic characters",
        "the file is damaged, foreign, or of another format",
        Cause.FILE,
        f"{_ISSUES}235",
        blame=Blame.FILE,
        why="a download that broke off, another kind of file and a wrong version all end so",
    ),
    _line(
        "no-model",
        r"invalid rkllm model",
        "the file is no .rkllm model",
        Cause.FILE,
        "https://github.com/NotPunchnox/rkllama/issues/55",
        blame=Blame.FILE,
        why="it may be a Git LFS pointer, a web page, another format, or of a home-made converter",
    ),
    _line(
        "lfs-pointer",
        r"version https://git-lfs\.github\.com/spec/",
        "there is a Git LFS pointer where the model should be: it was never downloaded",
        Cause.SEEN,
        f"{_ISSUES}15",
    ),
    _line(
        "newer-file",
        r"rkllm-runtime version is lower than the rkllm-toolkit version"
        r"(?:.{0,60}?update rkllm-runtime to (?P<version>[\w.]{1,20}?) or higher)?",
        "the file is newer than the runtime",
        Cause.VERSIONS,
        _STRINGS,
        blame=Blame.FILE,
        why="a runtime loads files of its own toolkit version and of older ones only",
        exact="{name} is newer than the runtime: it needs {version} or later",
    ),
    _line(
        "other-soc",
        r"target_platform does not match",
        "the file was built for another SoC",
        Cause.CHIP,
        "https://github.com/Pelochus/ezrknn-llm/issues/5",
        blame=Blame.FILE,
        why="a file runs only on the SoC that it was built for; converting it anew is the only way",
    ),
    _line(
        "vision-soc",
        r"This rknn model is for (?P<made_for>\w{1,12}), but current platform is "
        r"(?P<chip>\w{1,12})",
        "the vision encoder (.rknn) was built for another SoC",
        Cause.CHIP,
        "https://github.com/alexw914/RK_VideoPipe/issues/17",
        exact="the vision encoder was built for {made_for}, and this is {chip}",
    ),
    _line(
        "vision-version",
        r"Invalid RKNN model version",
        "the vision encoder (.rknn) is newer than librknnrt.so",
        Cause.VERSIONS,
        "https://github.com/airockchip/rknn-toolkit2/issues/281",
        why="librknnrt is another library than librkllmrt, with versions of its own",
    ),
    _line(
        "architecture",
        r"the model architecture .{0,80}is not supported",
        "the runtime does not know the model's architecture",
        Cause.VERSIONS,
        _STRINGS,
        blame=Blame.FILE,
        why="each release of the runtime adds some",
    ),
    _line(
        "rope",
        r"unsupported rope type",
        "the runtime is too old for the model's architecture",
        Cause.VERSIONS,
        _STRINGS,
        blame=Blame.FILE,
    ),
    _line(
        "cut-file",
        r"failed to read (?:header|key-value pairs|tensor data)",
        "the file is cut off or damaged",
        Cause.FILE,
        _STRINGS,
        blame=Blame.FILE,
    ),
    _line(
        "assertion",
        r"GGML_ASSERT\(",
        "the runtime crashed on the file",
        Cause.FILE,
        f"{_ISSUES}389",
        blame=Blame.FILE,
        fatal=True,
        why="a file of a later toolkit was seen to end so on runtime 1.1.4",
    ),
    _line(
        "model-too-old",
        r"model version is too old",
        "the file is older than the runtime wants",
        Cause.REMARK,
        "https://github.com/Pelochus/ezrknn-llm/issues/5",
        blame=Blame.NONE,
    ),
    _line(
        "quant-of-soc",
        r"target_platform: ?\w{1,20} not support quantized_dtype",
        "the toolkit does not build this quantisation for this SoC",
        Cause.CALL,
        f"{_ISSUES}535",
    ),
    _line(
        "weights-of-32-bit",
        r"32-bit systems only support models",
        "the program is 32-bit, and loads weights below 2 GB only",
        Cause.CALL,
        _STRINGS,
        blame=Blame.CALL,
    ),
)

_THE_CALL = (
    _line(
        "context",
        r"max_context\[(?P<asked>\d{1,10})\] must be less than(?:.{0,40}?\[(?P<limit>\d{1,10})\])?",
        "the program asked for a longer context than the file has",
        Cause.CALL,
        "https://github.com/NotPunchnox/rkllama/issues/60",
        blame=Blame.CALL,
        why="the context limit is fixed when a file is built",
        exact="the program asked for a context of {asked} tokens, and {name} has {limit}",
    ),
    _line(
        "prompt",
        r"prompt gather than max context \(prompt: ?(?P<prompt>\d{1,9}) tokens, max context: ?"
        r"(?P<room>\d{1,9})\)|Prompt is (?P<prompt_zh>\d{1,9}) tokens but the model context window "
        r"is (?P<room_zh>\d{1,9})",
        "the prompt is longer than the context",
        Cause.CALL,
        "https://github.com/NotPunchnox/rkllama/issues/25",
        exact="the prompt has {prompt} tokens, and the context {room}",
    ),
    _line(
        "few-cpus",
        r"number of enabled CPUs must be greater than or equal",
        "the program gives the runtime fewer CPUs than the file uses NPU cores",
        Cause.CALL,
        "https://github.com/airockchip/rknn-llm/tree/main/doc",
        blame=Blame.CALL,
    ),
    _line(
        "modelfile",
        r"Modelfile not found in|HUGGINGFACE_PATH not defined in Modelfile",
        "rkllama wants a Modelfile beside the model, which names the file and its tokenizer",
        Cause.CALL,
        "https://github.com/NotPunchnox/rkllama/issues/48",
    ),
    _line(
        "abi",
        r"The n_batch must be between",
        "the program was built for another version of the runtime",
        Cause.CALL,
        "https://github.com/functionland/blox-ai",
        blame=Blame.CALL,
        why="the structures of rkllm.h changed with 1.1.0, 1.2.0, 1.2.1 and 1.3.0; the program "
        "must be built with the header of the library that it loads",
    ),
    _line(
        "core-mask",
        r"unavailable core mask found for current platform",
        "the program asked for more NPU cores than the chip has",
        Cause.CALL,
        "https://github.com/airockchip/rknn-llm/tree/main/examples",
        why="RK3576 has 2, RK3588 has 3, RK3562 and RV1126B have 1",
    ),
    _line(
        "open-files",
        r"Too many open files|打开的文件过多",
        "the program may not open more files",
        Cause.CALL,
        f"{_ISSUES}17",
    ),
    _line(
        "tokenizer-online",
        r"couldn't connect to .{0,3}https://[\w.-]{1,80}.{0,3} to load",
        "the program wants the model's tokenizer from the network, and cannot reach it",
        Cause.CALL,
        "https://github.com/NotPunchnox/rkllama/issues/48",
    ),
)

_THE_LIBRARY = (
    _line(
        "no-library",
        r"librkllmrt[\w.-]{0,40}: cannot open shared object|librkllmrt[\w.-]{0,40}: 无法打开"
        r"|librkllmrt[^\n]{0,60}not found",
        "the program does not find librkllmrt.so",
        Cause.LIBRARY,
        "https://github.com/airockchip/rknn_model_zoo/issues/289",
    ),
    _line(
        "library-machine",
        r"wrong ELF class|Exec format error|可执行文件格式错误"
        r"|librkllmrt[^\n]{0,80}(?:invalid ELF header|file too short)",
        "program and library are not for this processor, or the library is no library",
        Cause.LIBRARY,
        None,
        why="boards need aarch64 builds (armhf where programs are 32-bit); a Git LFS pointer in "
        "the library's place has no ELF header",
    ),
    _line(
        "library-symbol",
        r"undefined symbol: rkllm_\w{1,60}|symbol lookup error:[^\n]{0,200}rkllm",
        "the program was built for another version of the runtime",
        Cause.LIBRARY,
        "https://github.com/airockchip/rknn-llm/blob/main/CHANGELOG.md",
        why="it calls a function that the library it found does not have",
    ),
    _line(
        "glibc",
        r"version [`'\u2018\"]?(?P<version>GLIBC(?:XX)?_[\d.]{1,12}).{0,3} not found"
        r"|(?P<version_zh>GLIBC(?:XX)?_[\d.]{1,12}).{0,3}未找到",
        "the program was built on a newer system than this one",
        Cause.LIBRARY,
        f"{_ISSUES}276",
        exact="the program was built on a newer system than this one: it wants {version}",
    ),
)

_THE_BOARD = (
    _line(
        "no-driver",
        r"failed to open rkn(?:pu module|n device)|Get device properties failed",
        "the program cannot open the NPU",
        Cause.CHIP,
        "https://github.com/radxa-docs/docs/issues/881",
        blame=Blame.BOARD,
        why="the rknpu driver is not there, the user may not open its device, or a container does "
        "not have it",
    ),
    _line(
        "unknown-chip",
        r"Platform error: must be either|Your platform is unknown",
        "the runtime does not know this board's chip",
        Cause.CHIP,
        f"{_ISSUES}416",
        blame=Blame.BOARD,
    ),
    _line(
        "query-platform",
        r"Query platform error",
        "the runtime does not know this board's chip",
        Cause.CHIP,
        f"{_ISSUES}44",
        blame=Blame.BOARD,
        why="runtime 1.0.1 fails so with some kernels; later ones do not",
    ),
    _line(
        "npu-memory",
        r"failed to malloc npu memory(?:, ?size: ?(?P<size>\d{1,15}))?"
        r"|failed to (?:allocate|convert fd\(\d{1,5}\) to) handle",
        "the NPU had no room: too little memory, or a driver before 0.9.7",
        Cause.MEMORY,
        f"{_ISSUES}97",
        blame=Blame.BOARD,
        exact="the NPU had no room for {gigabytes} GB at once",
    ),
    _line(
        "oom",
        r"Out of memory: Killed process|oom-kill:|\boom_reaper\b|内存不足",
        "the board ran out of memory",
        Cause.MEMORY,
        "https://github.com/airockchip/rknn-llm/blob/main/benchmark.md",
        blame=Blame.BOARD,
        why="a model takes all of its memory, context included, when it is loaded; a vision "
        "encoder comes on top",
    ),
    _line(
        "no-memory",
        r"std::bad_alloc|Cannot allocate memory|无法分配内存",
        "the program got no memory",
        Cause.MEMORY,
        f"{_ISSUES}352",
        blame=Blame.BOARD,
    ),
    _line(
        "matmul",
        r"matmul(?:\(\w{1,8}\))? run failed|failed to submit!.{0,60}op name: ?MatMul",
        "the NPU failed to compute, as drivers before 0.9.7 do",
        Cause.DRIVER,
        f"{_ISSUES}187",
        blame=Blame.BOARD,
    ),
    _line(
        "driver-warning",
        r"rknpu driver version is too low|Mismatch driver version|requires driver version",
        "the NPU driver is too old",
        Cause.DRIVER,
        f"{_ISSUES}390",
    ),
    _line(
        "npu-hung",
        r"RKNPU.{0,40}(?:job timeout|failed to wait job|soft reset)",
        "the NPU did not finish a job",
        Cause.DRIVER,
        _KERNEL,
        why="the kernel's driver gave it up",
    ),
    _line(
        "no-permission",
        r"(?:/dev/(?:rknpu|dri/\w{1,20}|dma_heap)[^\n]{0,80}(?:Permission denied|权限不够))",
        "the program may not open the NPU's device",
        Cause.CHIP,
        "https://github.com/rockchip-linux/rknn-toolkit2/issues/244",
        blame=Blame.BOARD,
    ),
)

_ANSWERS = (
    _line(
        "eos",
        r"EOS token\[0\]: ?11\b",
        "the runtime did not find the model's end-of-sequence token, so answers may never stop",
        Cause.ANSWERS,
        f"{_ISSUES}534",
        why="11 is what it takes where it finds none; files of toolkits up to 1.2.3 store theirs "
        "in a form that runtime 1.3.0 ignores",
    ),
    _line(
        "garbage",
        r"\[PAD\d{3,7}\]|([&!])\1{39}",
        "the answer is garbage",
        Cause.ANSWERS,
        f"{_ISSUES}424",
        why="DeepSeek-R1-Distill-Qwen answers so on runtime 1.2.3, and files of toolkit 1.2.0 were "
        "seen to",
    ),
)

_CONSEQUENCES = (
    _line(
        "load-failed",
        r"rkllm[ _]init fail|rknn_init fail|load model file error|error: failed to load model",
        "the load failed",
        Cause.FAILED,
        f"{_ISSUES}182",
        blame=Blame.NONE,
        fatal=True,
    ),
    _line(
        "crash",
        r"Segmentation fault|段错误|\bSIGSEGV\b|\bsegfault at\b|\bSIGABRT\b|\bAborted\b|已放弃"
        r"|Bus error|总线错误",
        "the program crashed",
        Cause.CRASH,
        f"{_ISSUES}522",
    ),
    _line(
        "killed",
        r"^(?:\S{1,80}: line \d{1,6}: +\d{1,9} )?(?:Killed|已杀死|已终止)\b",
        "the program was killed, as the kernel does when memory runs out",
        Cause.MEMORY,
        "https://github.com/airockchip/rknn-llm/blob/main/benchmark.md",
    ),
)

SYMPTOMS = (
    *_THE_FILE,
    *_THE_CALL,
    *_THE_LIBRARY,
    *_THE_BOARD,
    *_ANSWERS,
    *_CONSEQUENCES,
)

_WORDS = (
    *("magic", "rkllm", "rknpu", "git-lfs", "platform", "architecture"),
    *("rope type", "failed to", "ggml", "version", "32-bit", "max_context"),
    *("npu_core", "model_dtype", "n_batch", "max context", "core mask", "context window"),
    *("cpus must", "modelfile", "open files", "打开的文件", "connect to", "file too"),
    *("elf class", "elf header", "exec format", "格式错误", "undefined symbol", "glibc"),
    *("memory", "oom", "内存", "bad_alloc", "matmul", "/dev/"),
    *("eos token", "[pad", "&&&&", "!!!!", "init fail", "load model"),
    *("device properties", "segmentation", "段错误", "sigsegv", "segfault", "sigabrt"),
    *("abort", "已放弃", "bus error", "总线错误", "killed", "已杀死"),
    *("已终止",),
)


def is_worth_reading(line: str) -> bool:
    """Tell whether a line may be any of them, or tell a fact: most lines are neither.

    It need not be compared with all then, which would take ten times as long.
    """
    small = line.lower()
    return any(word in small for word in _WORDS)
