"""Say in our words why a conversion failed, and what its owner can do about it.

The toolkit answers -1 and prints something for its maker. Its texts are those of toolkit 1.0.1,
which was run, and of logs of 1.1 to 1.3 that users published (https://github.com/airockchip/
rknn-llm/issues: 52, 163, 171, 212, 220, 360, 366, 496, 535).
"""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from rkfetch.registry.errors import ConversionError, DiskSpaceError
from rkfetch.registry.versions import Version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from rkfetch.registry.errors import RkfetchError

    from .environment import Outcome

_MOST_LINES = 3
_MOST_LAST_LINES = 6
_LONGEST = 200
_JSON_ERROR = (
    r"(?:Expecting .{1,60}|Extra data|Unterminated string.{0,40}|Invalid .{1,40}): line \d+"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What was being converted, as far as a message about its failure wants to name it."""

    model: str
    """For people: ``Qwen/Qwen2.5-1.5B-Instruct at 989aa7980e4c``."""
    toolkit: Version
    platform: str
    dtype: str
    """As the toolkit calls it: ``w8a8``, ``w4a16_g128``."""
    load_type: str = "float32"
    knowing: tuple[Version, ...] = ()
    """Versions of the toolkit that know the model's architecture, oldest first."""
    memory_bytes: int | None = None
    """The most that the toolkit could use; None if that is not known."""
    work: Path | None = None
    """The folder that it worked in."""
    work_bytes: int | None = None
    """What it writes there, estimated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failure:
    """A failure that is known by what the toolkit says.

    ``{model}``, ``{toolkit}``, ``{platform}``, ``{dtype}``, and ``{0}`` for the first group of the
    pattern stand for the case at hand.
    """

    says: str
    message: str
    hint: str
    phase: str | None = None
    """Where alone it means that."""
    lacks: Literal["disk", "memory"] | None = None
    """What there was too little of."""


_FETCH_AGAIN = (
    "let rkfetch fetch the model from the Hub; or fetch that file again into the folder, and"
    " compare its size with the Hub's"
)
_NEW_ENVIRONMENT = "remove the toolkit's environment, so that the next run installs it anew"
_OURS = "this should not happen: please report it, with what is printed above"

_KNOWN: tuple[_Failure, ...] = (
    # What the machine lacks comes first: it says the same in all phases.
    _Failure(
        # What numpy says of a disk that took a part of an array is "2 requested and 1 written".
        says=r"No space left on device|Errno 28\b|Not enough free space to write"
        r"|Disk quota exceeded|Errno 122\b|\d requested and \d+ written",
        lacks="disk",
        message="the disk ran full while {model} was converted",
        hint="free some space, or name a folder on another disk with RKFETCH_HOME; the toolkit"
        " needs the size of its result twice, besides the weights",
    ),
    _Failure(
        says=r"CUDA out of memory|CUDA error: out of memory",
        message="the GPU has not enough memory to convert {model}",
        hint="convert on the CPU, which takes longer, or load the weights as float16",
    ),
    _Failure(
        says=r"can't allocate memory|Cannot allocate memory|Errno 12\b|\bMemoryError\b"
        r"|std::bad_alloc|OutOfMemoryError|memory allocation of \d+ bytes failed"
        r"|failed to map segment from shared object",
        lacks="memory",
        message="memory ran out while {model} was converted",
        hint="{memory_hint}",
    ),
    _Failure(
        says=r"Permission denied|Errno 13\b|Read-only file system|Errno 30\b",
        message="the toolkit may not read or write what it must to convert {model}",
        hint="check who owns the model's folder and rkfetch's own; its files must be readable",
    ),
    # The interface.
    _Failure(
        says=r"unexpected keyword argument '(\w{1,40})'",
        message="toolkit {toolkit} does not know the argument {0}",
        hint="leave that setting out, or choose a newer toolkit with --toolkit",
    ),
    _Failure(
        says=r"'RKLLM' object has no attribute 'load_gguf'",
        message="toolkit {toolkit} does not read GGUF files",
        hint="choose toolkit 1.1.0 or later with --toolkit, or convert the original model",
    ),
    _Failure(
        phase="import",
        says=r"No module named '([\w.]{1,60})'",
        message="the environment of toolkit {toolkit} is incomplete: it has no {0}",
        hint=_NEW_ENVIRONMENT,
    ),
    _Failure(
        phase="import",
        says=r"(lib[\w.+-]{1,60}\.so[\w.]{0,20}): cannot open shared object file",
        message="toolkit {toolkit} cannot start: the library {0} is missing",
        hint="convert in a container (podman or docker), or install the package that has it",
    ),
    _Failure(
        phase="import",
        says=r"version `(GLIBC(?:XX)?_[\d.]{1,12})' not found",
        message="toolkit {toolkit} cannot start: this system is older than it wants ({0})",
        hint="convert in a container (podman or docker)",
    ),
    _Failure(
        phase="import",
        says=r"torchvision::nms|PyExtensionType|numpy\.dtype size changed|_ARRAY_API not found"
        r"|compiled using NumPy 1|undefined symbol|cannot import name",
        message="the libraries in the environment of toolkit {toolkit} do not fit each other",
        hint=_NEW_ENVIRONMENT,
    ),
    # The model's folder.
    _Failure(
        says=r"Not support (?!None)(\w{1,80})!",
        message="toolkit {toolkit} does not know the architecture {0}",
        hint="{knowing_hint}",
    ),
    _Failure(
        says=r"does not recognize this architecture|version of Transformers is out of date"
        r"|Unrecognized (?:configuration class|model in)",
        message="the transformers library of toolkit {toolkit} is too old for {model}",
        hint="{knowing_hint}",
    ),
    _Failure(
        says=r"No such file or directory: '[^']{0,400}config\.json'"
        r"|does not appear to have a file named config\.json",
        message="{model} has no config.json",
        hint="what is converted is a model in the Hugging Face layout: a folder with config.json,"
        " *.safetensors and the tokenizer's files",
    ),
    _Failure(
        says=r"Error no file named|does not appear to have a file named [^ ]{0,60}"
        r"(?:pytorch_model|model\.safetensors)",
        message="{model} has no weights that the toolkit could read",
        hint="put its *.safetensors beside config.json; GGUF files, adapters and quantised formats"
        " of other engines do not count",
    ),
    _Failure(
        says=r"HeaderTooLarge|invalid load key, 'v'|without having git-lfs installed",
        message="weights of {model} are only Git LFS pointers, or no safetensors at all",
        hint="run `git lfs pull` in the model's folder, or let rkfetch fetch it from the Hub",
    ),
    _Failure(
        says=r"while deserializing header|MetadataIncompleteBuffer|InvalidHeader|SafetensorError"
        r"|PytorchStreamReader|Unable to load weights from",
        message="weights of {model} are cut off or broken",
        hint=_FETCH_AGAIN,
    ),
    _Failure(
        says=r'tokenizer\.model": No such file|Not found: "[^"]{0,400}tokenizer\.model"'
        r"|not a string!?$|vocab_file.{0,40}NoneType",
        message="toolkit {toolkit} wants the tokenizer.model of {model}, which is not there",
        hint="put the file from the original model's repository into the folder; if that has none,"
        " as with Llama 3, choose toolkit 1.1.0 or later with --toolkit",
    ),
    _Failure(
        says=r"Can't load tokenizer for|Couldn't instantiate the backend tokenizer"
        r"|expected str, bytes or os\.PathLike object, not NoneType"
        r"|Tokenizer class \w{1,60} does not exist",
        message="{model} has no tokenizer that the toolkit could read",
        hint="put the tokenizer's files beside config.json: tokenizer.json, tokenizer_config.json,"
        " and tokenizer.model or vocab.json with merges.txt",
    ),
    _Failure(
        phase="load",
        says=r"data did not match any variant of untagged enum",
        message="the tokenizers library of toolkit {toolkit} is too old for {model}",
        hint="{knowing_hint}",
    ),
    _Failure(
        phase="load",
        says=r" at line \d+ column \d+!?$",
        message="the tokenizer.json of {model} is broken, or only a Git LFS pointer",
        hint=_FETCH_AGAIN,
    ),
    _Failure(
        phase="load",
        says=r"Trying to set a tensor of shape|size mismatch for|Cannot copy out of meta tensor",
        message="the weights of {model} are not those that its config.json describes",
        hint="fetch both anew, from the same repository and revision",
    ),
    _Failure(
        phase="load",
        says=_JSON_ERROR + r"|is not a valid JSON file",
        message="a JSON file of {model} is broken, such as its config.json",
        hint=_FETCH_AGAIN,
    ),
    _Failure(
        phase="build",
        says=_JSON_ERROR + r"|(?:DatasetGeneration|while generating the dataset)",
        message="the calibration data cannot be read",
        hint='it has to be a JSON list of {{"input": "…", "target": "…"}}',
    ),
    _Failure(
        says=r"bitsandbytes|\b(?:auto)?awq\b|AWQ is only|auto[-_]gptq|named 'optimum'"
        r"|compressed[-_]tensors|\bhqq\b|\baqlm\b"
        r"|Unknown quantization|quantization_config|quantized with|\bfp8\b|\bmxfp4\b",
        message="toolkit {toolkit} does not take the way in which {model} is quantised already",
        hint="convert the original model instead; of quantised ones it takes GPTQ (from 1.1.4 on:"
        " symmetric, desc_act false) and GGUF (fp16, q4_0)",
    ),
    _Failure(
        phase="load",
        says=r"requires the following packages|No module named '([\w.]{1,60})'|cannot import name",
        message="the code that comes with {model} wants libraries that toolkit {toolkit} has not",
        hint="{knowing_hint}",
    ),
    _Failure(
        says=r"trust_remote_code=True|custom code which must be executed",
        message="{model} is made of its own code, which toolkit {toolkit} does not run here",
        hint="convert a model that transformers knows without code of its own",
    ),
    _Failure(
        says=r"offline mode|couldn't connect to|LocalEntryNotFound|OfflineMode|Connection refused"
        r"|Name or service not known|Temporary failure in name resolution",
        message="{model} wants something from the network, which a conversion is not given",
        hint="its configuration or code names another repository: put those files into the folder",
    ),
    # What was asked for.
    _Failure(
        says=r"(\w{1,20}) not support quantized_dtype: ?(\w{1,20})",
        message="toolkit {toolkit} does not quantise to {1} for {0}",
        hint="choose another quantisation: each platform has its own list, and toolkits add to it",
    ),
    _Failure(
        says=r"expected Tensor as element 0 in argument 0, but got int"
        r"|must be greater than or equal to 96",
        message="the keys and values of {model} are too narrow for {dtype} on {platform}",
        hint="the toolkit wants the number of key-value heads times their width to be 96 or more:"
        " choose fp16, or a larger model",
    ),
    _Failure(
        says=r"No CUDA GPUs are available|not compiled with CUDA|Found no NVIDIA driver"
        r"|CUDA driver version is insufficient",
        message="what was asked for needs an NVIDIA GPU, and the toolkit finds none",
        hint="convert on the CPU with the algorithm `normal`",
    ),
    _Failure(
        says=r"exception when (?:optimizing|building) model: '([\w.]{1,80})'",
        message="toolkit {toolkit} does not find the layer {0} in {model}",
        hint="{knowing_hint}",
    ),
    # What we should not have asked for.
    _Failure(
        says=r"Model file .{0,400} not exists|Unsupport model|Not support None|Only support cuda or"
        r" cpu|(?:No such file or directory|Is a directory): '[^']{0,400}\.rkllm'",
        message="toolkit {toolkit} was not given what it needs to convert {model}",
        hint=_OURS,
    ),
)

_WARNINGS = (
    (
        re.compile(r"switch to cpu device!"),
        "there is no GPU that the toolkit could use: it converts on the CPU, which takes longer",
    ),
    (
        re.compile(r"The (bos|eos) token has two ids: (\d+) and (\d+)"),
        (
            r"the model's files disagree about its \1 token (\2 and \3): if it answers without end,"
            " make config.json and tokenizer_config.json agree, and convert again"
        ),
    ),
)
_LOADS_HALF = Version("1.2.0b0")
_ADVICE: Mapping[int, str] = {
    signal.SIGILL: "this processor may lack instructions (AVX) that its libraries use: convert on"
    " another machine",
    signal.SIGBUS: "the disk may be full or failing: `dmesg` tells more",
}
_TOLD_TO_STOP = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


def failure_of(outcome: Outcome, context: Context) -> RkfetchError:
    """Return the error that a run which did not succeed means to its user.

    A DiskSpaceError where that was a full disk, a ConversionError else.
    """
    last = outcome.last
    told: Mapping[str, Any] = last.values if last is not None and last.kind == "failed" else {}
    errors = [*_lines(told.get("errors")), *_lines([told.get("exception")])]
    lines = [*_lines(told.get("tail")), *outcome.tail]
    ended_by = _number(told.get("signal")) if told else _signal_of(outcome.status)
    if ended_by in _TOLD_TO_STOP:
        return ConversionError(
            f"the conversion of {context.model} was stopped",
            cause=[f"by {signal.Signals(ended_by).name}"],
            hint="run the same command again: it begins anew, with the model that was fetched",
        )
    if outcome.out_of_memory or ended_by == signal.SIGKILL:
        return _out_of_memory(told, context)
    known = _known(errors or lines, told, context)
    if known is not None:
        return known
    if ended_by:
        return _crashed(ended_by, lines, context)
    return _unknown(errors, lines, told, outcome.status, context)


def warning_of(text: str) -> str | None:
    """Return what a warning of the toolkit means to its user; None if he need not know."""
    for pattern, words in _WARNINGS:
        found = pattern.search(text)
        if found:
            return found.expand(words)
    return None


def _known(errors: list[str], told: Mapping[str, Any], context: Context) -> RkfetchError | None:
    for failure in _KNOWN:
        if failure.phase is not None and failure.phase != told.get("phase"):
            continue
        for line in errors:
            found = re.search(failure.says, line)
            if found is None:
                continue
            groups = [_short(group or "what it needs") for group in found.groups()]
            words = {
                "model": context.model,
                "toolkit": context.toolkit,
                "platform": context.platform,
                "dtype": context.dtype,
                "knowing_hint": _knowing_hint(context),
                "memory_hint": _memory_hint(context),
            }
            message = failure.message.format(*groups, **words)
            cause, hint = _quoted(errors), failure.hint.format(*groups, **words)
            if failure.lacks == "disk":
                return _full_disk(message, cause, hint, told, context)
            if failure.lacks == "memory":
                cause += _memory_figures(told, context)
            return ConversionError(message, cause=cause, hint=hint)
    return None


def _full_disk(
    message: str, cause: list[str], hint: str, told: Mapping[str, Any], context: Context
) -> DiskSpaceError:
    free = _number(told.get("free_bytes"))
    place = "there" if context.work is None else f"in {context.work}"
    if free is not None:
        cause.append(f"{_size(free)} are free {place} now")
    if context.work_bytes is not None:
        cause.append(f"it writes about {_size(context.work_bytes)}")
    return DiskSpaceError(
        message,
        need_bytes=context.work_bytes,
        have_bytes=free,
        where=None if context.work is None else str(context.work),
        cause=cause,
        hint=hint,
    )


def _out_of_memory(told: Mapping[str, Any], context: Context) -> ConversionError:
    return ConversionError(
        f"memory ran out while {context.model} was converted",
        cause=["the system ended the toolkit for it", *_memory_figures(told, context)],
        hint=_memory_hint(context),
    )


def _memory_figures(told: Mapping[str, Any], context: Context) -> Iterator[str]:
    peak = _number(told.get("peak_bytes"))
    has = "" if context.memory_bytes is None else f" of {_size(context.memory_bytes)}"
    if peak:
        yield f"it had {_size(peak)}{has} when it ended"
    elif has:
        yield f"it could use {_size(context.memory_bytes or 0)}"


def _memory_hint(context: Context) -> str:
    can_halve = context.load_type == "float32" and context.toolkit >= _LOADS_HALF
    halved = "load the weights as float16, which takes half of it; " if can_halve else ""
    return f"{halved}add swap, close other programs, or convert on a machine with more memory"


def _crashed(number: int, lines: list[str], context: Context) -> ConversionError:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return ConversionError(
        f"toolkit {context.toolkit} crashed while it converted {context.model} ({name})",
        cause=_last(lines),
        hint=_ADVICE.get(
            number,
            "run it again; if it crashes at the same place, choose another version with --toolkit",
        ),
    )


_DOING = {
    "import": "starting",
    "load": "loading the model",
    "build": "building",
    "export": "exporting",
}
_ENDS = {
    "no-file": "it reported success, but wrote no file",
    "empty-file": "it reported success, but the file is empty",
    "job": "it did not begin",
}


def _unknown(
    errors: list[str],
    lines: list[str],
    told: Mapping[str, Any],
    status: int,
    context: Context,
) -> ConversionError:
    """Say what can be said of a failure that nobody described."""
    why = str(told.get("why"))
    doing = _DOING.get(str(told.get("phase")), "working")
    if why in _ENDS:
        how = _ENDS[why]
    elif not told or why in {"exit", "died"}:
        ended = _number(told.get("status")) if told else status
        how = f"it ended by itself with status {ended} while {doing}"
    else:
        how = f"it gave up while {doing}"
    said = _quoted(errors) or _last(lines)
    return ConversionError(
        f"toolkit {context.toolkit} could not convert {context.model}",
        cause=[how, *(said or ["it did not say why"])],
        hint="choose another version with --toolkit or another quantisation; if that does not help,"
        " search https://github.com/airockchip/rknn-llm/issues for what it said",
    )


def _knowing_hint(context: Context) -> str:
    others = [str(version) for version in context.knowing if version != context.toolkit]
    if not others:
        return (
            "no version of the toolkit is known to convert it: look for a prebuilt file with"
            " `rkfetch search`, or choose another model"
        )
    return (
        f"choose one of {', '.join(others)} with --toolkit, and update the board's runtime to match"
    )


# What it said is a stranger's text: the model's folder, its code and its names speak there.


def _lines(values: object) -> list[str]:
    given = values if isinstance(values, (list, tuple)) else ()
    return [value for value in given if isinstance(value, str)]


def _quoted(errors: Iterable[str]) -> list[str]:
    """Return the toolkit's last words, without those that only say that something went wrong."""
    lines = list(dict.fromkeys(filter(None, map(_short, errors))))
    telling = [line for line in lines if not re.fullmatch(r"Catch exception when .*!", line)]
    return [f"it said: {line}" for line in (telling or lines)[-_MOST_LINES:]]


def _last(lines: Iterable[str]) -> list[str]:
    shown = list(filter(None, map(_short, lines)))
    return [f"it said: {line}" for line in shown[-_MOST_LAST_LINES:]]


def _short(text: str) -> str:
    shown = (c if c.isprintable() else " " for c in text[: _LONGEST * 4])
    plain = " ".join("".join(shown).split())
    return plain if len(plain) <= _LONGEST else plain[: _LONGEST - 1] + "…"


def _signal_of(status: int) -> int | None:
    """Return what ended a process, as `subprocess` tells it, or a shell or container."""
    number = -status if status < 0 else status - 128
    return number if 0 < number <= signal.SIGRTMAX else None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 100_000_000 else f"{count / 1e6:.1f} MB"
