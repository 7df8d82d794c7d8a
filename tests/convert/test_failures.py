"""Each failure of the toolkit that is known becomes an error that says what to do."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convert.driving import drive, make_job
from convert.standin_wheel import write_package
from convert.tiny_models import LFS_POINTER, write_model
from rkfetch.registry.convert.environment import Outcome
from rkfetch.registry.convert.failures import Context, failure_of, warning_of
from rkfetch.registry.convert.job import Event
from rkfetch.registry.errors import DiskSpaceError
from rkfetch.registry.versions import Version

if TYPE_CHECKING:
    from rkfetch.registry.errors import RkfetchError

CONTEXT = Context(
    model="Qwen/Qwen3-0.6B",
    toolkit=Version("1.2.0"),
    platform="rk3576",
    dtype="w4a16",
    knowing=(Version("1.2.1"), Version("1.2.2")),
    memory_bytes=16_000_000_000,
)


def explain(
    *errors: str, phase: str | None = "load", why: str = "returned", **values: Any
) -> RkfetchError:
    told = {"phase": phase, "why": why, "errors": list(errors), **values}
    return failure_of(Outcome(status=1, last=Event(kind="failed", values=told)), CONTEXT)


# What the toolkits print, the phase, and what is made of it. Texts of 1.0.1 were seen here; the
# others are from public threads, or are those of its libraries.
KNOWN = [
    (
        "load",
        "Error: [Errno 2] No such file or directory: 'm/config.json'!",
        "Qwen/Qwen3-0.6B has no config.json",
    ),
    (
        "load",
        "Error: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)!",
        "a JSON file of Qwen/Qwen3-0.6B is broken, such as its config.json",
    ),
    (
        "load",
        "Error: Model missing. at line 1 column 2!",
        "the tokenizer.json of Qwen/Qwen3-0.6B is broken, or only a Git LFS pointer",
    ),
    (
        "load",
        (
            "ERROR: Catch exception when loading model: data did not match any variant of untagged"
            " enum ModelWrapper at line 757443 column 3"
        ),
        "the tokenizers library of toolkit 1.2.0 is too old for Qwen/Qwen3-0.6B",
    ),
    (
        "load",
        "Not support MistralForCausalLM!",
        "toolkit 1.2.0 does not know the architecture MistralForCausalLM",
    ),
    (
        "load",
        "ERROR: Not support Gemma3ForCausalLM!",
        "toolkit 1.2.0 does not know the architecture Gemma3ForCausalLM",
    ),
    (
        "load",
        (
            "ERROR: Catch exception when loading model: The checkpoint you are trying to load has"
            " model type `gemma4` but Transformers does not recognize this architecture."
        ),
        "the transformers library of toolkit 1.2.0 is too old for Qwen/Qwen3-0.6B",
    ),
    (
        "load",
        (
            "Error: Error no file named pytorch_model.bin, tf_model.h5, model.ckpt.index or"
            " flax_model.msgpack found in directory /m.!"
        ),
        "Qwen/Qwen3-0.6B has no weights that the toolkit could read",
    ),
    (
        "load",
        "Error: Error while deserializing header: HeaderTooLarge!",
        "weights of Qwen/Qwen3-0.6B are only Git LFS pointers, or no safetensors at all",
    ),
    (
        "load",
        "Error: invalid load key, 'v'.!",
        "weights of Qwen/Qwen3-0.6B are only Git LFS pointers, or no safetensors at all",
    ),
    (
        "load",
        "Error: You seem to have cloned a repository without having git-lfs installed.!",
        "weights of Qwen/Qwen3-0.6B are only Git LFS pointers, or no safetensors at all",
    ),
    (
        "load",
        "Error: Unable to load weights from pytorch checkpoint file for '/m/x' at '/m/x'.!",
        "weights of Qwen/Qwen3-0.6B are cut off or broken",
    ),
    (
        "load",
        "Error: Trying to set a tensor of shape torch.Size([320, 128]) in, this look incorrect.!",
        "the weights of Qwen/Qwen3-0.6B are not those that its config.json describes",
    ),
    (
        "load",
        "Error: expected str, bytes or os.PathLike object, not NoneType!",
        "Qwen/Qwen3-0.6B has no tokenizer that the toolkit could read",
    ),
    (
        "load",
        "Error: No module named 'optimum'!",
        "toolkit 1.2.0 does not take the way in which Qwen/Qwen3-0.6B is quantised already",
    ),
    (
        "load",
        "Error: AWQ is only available on GPU!",
        "toolkit 1.2.0 does not take the way in which Qwen/Qwen3-0.6B is quantised already",
    ),
    (
        "load",
        "Error: Error while deserializing header: MetadataIncompleteBuffer!",
        "weights of Qwen/Qwen3-0.6B are cut off or broken",
    ),
    (
        "load",
        (
            "Error: Can't load tokenizer for '/m'. If you were trying to load it from"
            " 'https://huggingface.co/models', make sure …!"
        ),
        "Qwen/Qwen3-0.6B has no tokenizer that the toolkit could read",
    ),
    (
        "export",
        'Error: Not found: "/m/tokenizer.model": No such file or directory Error #2!',
        "toolkit 1.2.0 wants the tokenizer.model of Qwen/Qwen3-0.6B, which is not there",
    ),
    (
        "load",
        (
            "ERROR: Catch exception when loading model: Using `bitsandbytes` 8-bit quantization"
            " requires the latest version of bitsandbytes"
        ),
        "toolkit 1.2.0 does not take the way in which Qwen/Qwen3-0.6B is quantised already",
    ),
    (
        "load",
        (
            "ERROR: Catch exception when loading model: This modeling file requires the following"
            " packages that were not found in your environment: flash_attn."
        ),
        "the code that comes with Qwen/Qwen3-0.6B wants libraries that toolkit 1.2.0 has not",
    ),
    (
        "load",
        (
            "Error: Loading /m requires you to execute the configuration file in that repo on your"
            " local machine. Set the option `trust_remote_code=True` to remove this error.!"
        ),
        "Qwen/Qwen3-0.6B is made of its own code, which toolkit 1.2.0 does not run here",
    ),
    (
        "load",
        "Error: We couldn't connect to 'https://huggingface.co' to load this file!",
        "Qwen/Qwen3-0.6B wants something from the network, which a conversion is not given",
    ),
    (
        "build",
        "Target_platform: rk3588 not support quantized_dtype: w4a16!",
        "toolkit 1.2.0 does not quantise to w4a16 for rk3588",
    ),
    (
        "build",
        "ERROR: target_platform: none not support quantized_dtype: w8a8!",
        "toolkit 1.2.0 does not quantise to w8a8 for none",
    ),
    (
        "build",
        "ERROR: Catch exception when optimizing model: 'mlp.down_proj'",
        "toolkit 1.2.0 does not find the layer mlp.down_proj in Qwen/Qwen3-0.6B",
    ),
    (
        "build",
        "ERROR: Catch exception when building model: Expecting value: line 1 column 1 (char 0)",
        "the calibration data cannot be read",
    ),
    (
        "build",
        "ERROR: Catch exception when optimizing model: No CUDA GPUs are available",
        "what was asked for needs an NVIDIA GPU, and the toolkit finds none",
    ),
    (
        "build",
        "Error: CUDA out of memory. Tried to allocate 2.00 GiB!",
        "the GPU has not enough memory to convert Qwen/Qwen3-0.6B",
    ),
    (
        "build",
        (
            "Error: [enforce fail at alloc_cpu.cpp:114] . DefaultCPUAllocator: can't allocate"
            " memory: you tried to allocate 2179989504 bytes. Error code 12 (Cannot allocate"
            " memory)!"
        ),
        "memory ran out while Qwen/Qwen3-0.6B was converted",
    ),
    (
        "import",
        "ImportError: libtorch_cuda.so: failed to map segment from shared object",
        "memory ran out while Qwen/Qwen3-0.6B was converted",
    ),
    (
        "import",
        "MemoryError",
        "memory ran out while Qwen/Qwen3-0.6B was converted",
    ),
    (
        "export",
        "Error: expected Tensor as element 0 in argument 0, but got int!",
        "the keys and values of Qwen/Qwen3-0.6B are too narrow for w4a16 on rk3576",
    ),
    (
        "export",
        "ERROR: dimension 64 must be greater than or equal to 96",
        "the keys and values of Qwen/Qwen3-0.6B are too narrow for w4a16 on rk3576",
    ),
    (
        "export",
        "Error: [Errno 28] No space left on device!",
        "the disk ran full while Qwen/Qwen3-0.6B was converted",
    ),
    (
        "export",
        "Error: 16896 requested and 11264 written!",
        "the disk ran full while Qwen/Qwen3-0.6B was converted",
    ),
    (
        "export",
        "Error: Not enough free space to write 65536000 bytes!",
        "the disk ran full while Qwen/Qwen3-0.6B was converted",
    ),
    (
        "load",
        "Error: [Errno 13] Permission denied: '/m/config.json'!",
        "the toolkit may not read or write what it must to convert Qwen/Qwen3-0.6B",
    ),
    (
        "export",
        "Error: [Errno 2] No such file or directory: 'nodir/x.rkllm'!",
        "toolkit 1.2.0 was not given what it needs to convert Qwen/Qwen3-0.6B",
    ),
    (
        "export",
        "Not support None!",
        "toolkit 1.2.0 was not given what it needs to convert Qwen/Qwen3-0.6B",
    ),
    (
        "build",
        "TypeError: build() got an unexpected keyword argument 'max_context'",
        "toolkit 1.2.0 does not know the argument max_context",
    ),
    (
        "load",
        "AttributeError: 'RKLLM' object has no attribute 'load_gguf'",
        "toolkit 1.2.0 does not read GGUF files",
    ),
    (
        "import",
        "ModuleNotFoundError: No module named 'rkllm'",
        "the environment of toolkit 1.2.0 is incomplete: it has no rkllm",
    ),
    (
        "import",
        "ImportError: libgomp.so.1: cannot open shared object file: No such file or directory",
        "toolkit 1.2.0 cannot start: the library libgomp.so.1 is missing",
    ),
    (
        "import",
        "ImportError: /lib/libc.so.6: version `GLIBC_2.34' not found (required by x.so)",
        "toolkit 1.2.0 cannot start: this system is older than it wants (GLIBC_2.34)",
    ),
    (
        "import",
        "RuntimeError: operator torchvision::nms does not exist",
        "the libraries in the environment of toolkit 1.2.0 do not fit each other",
    ),
]


@pytest.mark.parametrize(("phase", "said", "message"), KNOWN)
def test_what_is_known(phase: str, said: str, message: str) -> None:
    error = explain(said, phase=phase)
    assert error.message == message
    assert error.cause[0].startswith(f"it said: {said[:100]}")
    assert error.hint


def test_the_libraries_words_come_without_the_toolkits_shrug() -> None:
    error = explain(
        "Error: Error while deserializing header: HeaderTooLarge!",
        "Catch exception when loading model!",
    )
    assert error.cause == ("it said: Error: Error while deserializing header: HeaderTooLarge!",)
    assert error.hint == (
        "run `git lfs pull` in the model's folder, or let rkfetch fetch it from the Hub"
    )


def test_which_toolkits_know_the_architecture() -> None:
    error = explain("ERROR: Not support Qwen3ForCausalLM!")
    assert error.hint == (
        "choose one of 1.2.1, 1.2.2 with --toolkit, and update the board's runtime to match"
    )


def test_no_toolkit_knows_the_architecture() -> None:
    told = {"phase": "load", "errors": ["ERROR: Not support MambaForCausalLM!"]}
    context = Context(
        model="m", toolkit=Version("1.3.0"), platform="rk3588", dtype="w8a8", knowing=()
    )
    error = failure_of(Outcome(status=1, last=Event(kind="failed", values=told)), context)
    assert error.hint == (
        "no version of the toolkit is known to convert it: look for a prebuilt file with"
        " `rkfetch search`, or choose another model"
    )


@pytest.mark.parametrize(
    ("outcome", "cause"),
    [
        (
            Outcome(
                status=1,
                last=Event(kind="failed", values={"signal": 9, "peak_bytes": 15_600_000_000}),
            ),
            "it had 15.6 GB of 16.0 GB when it ended",
        ),
        (Outcome(status=-9, last=None), "it could use 16.0 GB"),
        (Outcome(status=137, last=None), "it could use 16.0 GB"),
        (Outcome(status=1, last=None, out_of_memory=True), "it could use 16.0 GB"),
    ],
)
def test_killed_means_memory(outcome: Outcome, cause: str) -> None:
    error = failure_of(outcome, CONTEXT)
    assert error.message == "memory ran out while Qwen/Qwen3-0.6B was converted"
    assert error.cause == ("the system ended the toolkit for it", cause)
    assert error.hint == (
        "load the weights as float16, which takes half of it; add swap, close other programs, or"
        " convert on a machine with more memory"
    )


def test_a_full_disk_tells_what_is_free_and_what_it_takes() -> None:
    told = {"phase": "export", "errors": ["Error: [Errno 28] No space left on device!"]}
    outcome = Outcome(
        status=1, last=Event(kind="failed", values={**told, "free_bytes": 12_000_000})
    )
    error = failure_of(outcome, CONTEXT)
    assert isinstance(error, DiskSpaceError)
    assert (error.exit_code, error.have_bytes, error.need_bytes) == (8, 12_000_000, None)
    assert error.cause[-1] == "12.0 MB are free there now"
    known = replace(CONTEXT, work=Path("/store/partials"), work_bytes=3_000_000_000)
    error = failure_of(outcome, known)
    assert isinstance(error, DiskSpaceError)
    assert (error.need_bytes, error.where) == (3_000_000_000, "/store/partials")
    assert error.cause[-2:] == (
        "12.0 MB are free in /store/partials now",
        "it writes about 3.0 GB",
    )


@pytest.mark.parametrize("status", [-15, 143, -2, 130])
def test_it_was_stopped(status: int) -> None:
    error = failure_of(Outcome(status=status, last=None), CONTEXT)
    assert error.message == "the conversion of Qwen/Qwen3-0.6B was stopped"


def test_it_crashed() -> None:
    error = explain(signal=signal.SIGILL, why="signal", phase="import", tail=["some word"])
    assert error.message == "toolkit 1.2.0 crashed while it converted Qwen/Qwen3-0.6B (SIGILL)"
    assert error.cause == ("it said: some word",)
    assert error.hint is not None
    assert "AVX" in error.hint


def test_a_crash_that_said_why_is_known_by_that() -> None:
    said = "terminate called after throwing an instance of 'std::bad_alloc'"
    error = explain(signal=signal.SIGABRT, why="signal", phase="export", tail=[said])
    assert error.message == "memory ran out while Qwen/Qwen3-0.6B was converted"


@pytest.mark.parametrize(
    ("values", "cause"),
    [
        ({"why": "returned", "returned": -1}, "it gave up while loading the model"),
        (
            {"why": "exit", "status": 255},
            "it ended by itself with status 255 while loading the model",
        ),
        ({"why": "died", "status": 0}, "it ended by itself with status 0 while loading the model"),
        ({"why": "no-file"}, "it reported success, but wrote no file"),
        ({"why": "empty-file"}, "it reported success, but the file is empty"),
        ({"why": "job"}, "it did not begin"),
    ],
)
def test_it_failed_without_a_word(values: dict[str, Any], cause: str) -> None:
    error = explain(**values)
    assert error.message == "toolkit 1.2.0 could not convert Qwen/Qwen3-0.6B"
    assert error.cause == (cause, "it did not say why")


def test_unknown_words_are_quoted() -> None:
    error = explain("ERROR: something new", phase="build")
    assert error.cause == ("it gave up while building", "it said: ERROR: something new")
    error = explain(phase="build", tail=[f"line {n}" for n in range(20)])
    assert error.cause[1:] == tuple(f"it said: line {n}" for n in range(14, 20))


def test_the_driver_died_without_a_word() -> None:
    outcome = Outcome(status=255, last=None, tail=("Error: something of the engine's",))
    error = failure_of(outcome, CONTEXT)
    assert error.message == "toolkit 1.2.0 could not convert Qwen/Qwen3-0.6B"
    assert error.cause == (
        "it ended by itself with status 255 while working",
        "it said: Error: something of the engine's",
    )


def test_a_strangers_words_are_short_and_harmless() -> None:
    error = explain("Error: \x1b[2Jgone \u202e{0} {model} " + "x" * 5000)
    (said,) = (cause for cause in error.cause if cause.startswith("it said"))
    assert said.startswith("it said: Error: [2Jgone {0} {model} xxx")
    assert said.endswith("x…")
    assert len(said) < 220


def test_warnings_that_a_user_should_know() -> None:
    assert warning_of("WARNING: Cuda device not available! switch to cpu device!") == (
        "there is no GPU that the toolkit could use: it converts on the CPU, which takes longer"
    )
    said = "WARNING: The bos token has two ids: 151646 and 151643, please ensure that …"
    assert warning_of(said) == (
        "the model's files disagree about its bos token (151646 and 151643): if it answers without"
        " end, make config.json and tokenizer_config.json agree, and convert again"
    )
    assert warning_of("WARNING: something else") is None


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
words = st.lists(st.text() | st.sampled_from([said for _, said, _ in KNOWN]), max_size=5)
names = ("phase", "why", "returned", "signal", "status", "exception", "peak_bytes", "free_bytes")


@given(
    status=st.integers(),
    told=st.none()
    | st.fixed_dictionaries(
        {}, optional=dict.fromkeys(names, anything) | {"errors": words | anything}
    ),
    tail=words,
    out_of_memory=st.booleans(),
)
def test_any_end_becomes_an_error_that_can_be_shown(
    status: int, told: dict[str, Any] | None, tail: list[str], out_of_memory: bool
) -> None:
    last = None if told is None else Event(kind="failed", values=told)
    outcome = Outcome(status=status, last=last, out_of_memory=out_of_memory, tail=tuple(tail))
    error = failure_of(outcome, CONTEXT)
    assert error.exit_code == (8 if isinstance(error, DiskSpaceError) else 12)
    assert error.hint
    assert len(error.cause) <= 8
    for text in (error.message, error.hint, *error.cause):
        assert text.isprintable()
        assert len(text) < 400


# The stand-in brings them about, the driver tells them.


@pytest.mark.parametrize("version", ["1.0.1", "1.2.3"])
@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("killed", "memory ran out while m was converted"),
        ("allocation", "memory ran out while m was converted"),
        ("target-full", "the disk ran full while m was converted"),
        ("staging-full", "the disk ran full while m was converted"),
        ("width", "the keys and values of m are too narrow for w4a16 on rk3576"),
        ("transformers", "the transformers library of toolkit VERSION is too old for m"),
        ("foreign", "toolkit VERSION does not take the way in which m is quantised already"),
        ("crashed", "toolkit VERSION crashed while it converted m (SIGSEGV)"),
        ("wordless", "toolkit VERSION could not convert m"),
        ("exits-255", "toolkit VERSION could not convert m"),
        ("nothing", "toolkit VERSION could not convert m"),
        ("lfs", "weights of m are only Git LFS pointers, or no safetensors at all"),
    ],
)
def test_what_the_stand_in_does(version: str, mode: str, message: str, tmp_path: Path) -> None:
    package = write_package(tmp_path / "package", version=version)
    standin = None if mode == "lfs" else {"mode": mode}
    model = write_model(tmp_path / "model", standin=standin)
    if mode == "lfs":
        (model / "model.safetensors").write_bytes(LFS_POINTER)
    run = drive(make_job(model, tmp_path / "out"), package=package)
    context = Context(model="m", toolkit=Version(version), platform="rk3576", dtype="w4a16")
    error = failure_of(run.outcome, context)
    assert error.message == message.replace("VERSION", version)
