"""The vendor's toolkit 1.0.1 itself, driven for real; only where its wheel is at hand.

Name it with RKFETCH_TEST_TOOLKIT: ``rkllm_toolkit-1.0.1-cp38-cp38-linux_x86_64.whl`` of the
vendor's tag release-v1.0.1. It needs Python 3.8, on the path, in pyenv, or named by
RKFETCH_TEST_PYTHON; what it is pinned to comes from PyPI: some 45 packages, 2 GB, a minute or two.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from convert.driving import drive, finish, make_job, start
from convert.test_driver import children_of, wait_for
from convert.tiny_models import LFS_POINTER, add_code
from convert.vendor import needs_the_vendors_wheel
from downloads import small_disk
from rkfetch.registry.convert.failures import Context, failure_of, warning_of
from rkfetch.registry.convert.job import Job
from rkfetch.registry.rkllm_read import read_file
from rkfetch.registry.versions import Version

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from convert.driving import Run
    from rkfetch.registry.convert.venv_environment import VenvEnvironment
    from rkfetch.registry.errors import RkfetchError

pytestmark = [needs_the_vendors_wheel, pytest.mark.timeout(1800), pytest.mark.once]


@pytest.fixture(scope="module")
def python(vendor_venv: VenvEnvironment) -> str:
    """The Python that has the toolkit, as `VenvEnvironment` installs it."""
    return str(vendor_venv.path / "bin" / "python")


@pytest.fixture(scope="module")
def models(vendor_models: Path) -> Path:
    return vendor_models


@pytest.fixture
def convert(python: str, models: Path, tmp_path: Path) -> Callable[..., Run]:
    """Convert a copy of a model, spoilt before."""

    def run(
        model: str = "qwen2",
        *,
        spoil: Callable[[Path], object] | None = None,
        out: Path | None = None,
        **how: Any,
    ) -> Run:
        copy = shutil.copytree(models / model, tmp_path / "model")
        if spoil is not None:
            spoil(copy)
        how = {"platform": "rk3588", "dtype": "w8a8", "optimization_level": 0, **how}
        return drive(make_job(copy, out or tmp_path / "out", **how), python=python)

    return run


def explain(run: Run, *, platform: str = "rk3588", dtype: str = "w8a8") -> RkfetchError:
    context = Context(model="m", toolkit=Version("1.0.1"), platform=platform, dtype=dtype)
    return failure_of(run.outcome, context)


@pytest.mark.parametrize(
    ("model", "platform", "dtype", "level", "quantised"),
    [
        ("qwen2", "rk3588", "w8a8", 1, True),
        ("llama", "rk3588", "w8a8", 0, True),
        ("qwen2", "rk3576", "w8a8", 0, True),
        ("qwen2", "rk3576", "w4a16", 1, True),
        ("llama", "rk3576", "w4a16", 0, True),
        ("qwen2", "rk3588", "fp16", 0, False),
        ("llama", "rk3576", "fp16", 0, False),
        ("narrow", "rk3576", "w8a8", 0, True),
    ],
)
def test_a_conversion(
    model: str,
    platform: str,
    dtype: str,
    level: int,
    quantised: bool,
    convert: Callable[..., Run],
    tmp_path: Path,
) -> None:
    run = convert(
        model,
        platform=platform,
        # Which one is given does not matter then, but the platform has to have it.
        dtype=dtype if quantised else "w8a8",
        optimization_level=level,
        do_quantization=quantised,
    )
    assert (run.last.kind, run.status, run.others, run.errors) == ("result", 0, [], "")
    assert run.of("started")[0]["toolkit"] == "1.0.1"
    assert list(run.last.values["seconds"]) == ["import", "load", "build", "export"]
    bars = {v["what"]: (v["phase"], v["done"] == v["total"]) for v in run.of("progress")}
    optimised = {"Optimizing model": ("build", True)} if level == 1 else {}
    assert bars == {**optimised, "Converting model": ("export", True)}
    facts = read_file(tmp_path / "out" / "model.rkllm", full=True)
    assert (str(facts.toolkit), facts.architecture) == ("1.0.1", model.replace("narrow", "qwen2"))
    assert (facts.platform_text, facts.quant_text) == (platform, dtype)
    assert facts.complete is True
    assert run.last.values["bytes"] == facts.size_bytes
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["model.rkllm"]


def change(name: str, values: dict[str, object], model: Path) -> None:
    path = model / name
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def remove(*names: str) -> Callable[[Path], object]:
    def spoil(model: Path) -> None:
        for name in names:
            (model / name).unlink()

    return spoil


def cut(name: str, size: int) -> Callable[[Path], object]:
    return lambda model: os.truncate(model / name, size)


def configure(**values: object) -> Callable[[Path], object]:
    return partial(change, "config.json", values)


def only_fast(model: Path) -> None:
    """Leave the tokenizer in a form that loads, but is not what is exported."""
    (model / "tokenizer.model").unlink()
    change("tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"}, model)


def pointers(model: Path) -> None:
    (model / "model.safetensors").unlink()
    (model / "pytorch_model.bin").write_bytes(LFS_POINTER)


FOREIGN = "toolkit 1.0.1 does not take the way in which m is quantised already"
POINTERS = "weights of m are only Git LFS pointers, or no safetensors at all"
NO_TOKENIZER_MODEL = "toolkit 1.0.1 wants the tokenizer.model of m, which is not there"


@pytest.mark.parametrize(
    ("model", "spoil", "phase", "message"),
    [
        (
            "qwen2",
            shutil.rmtree,
            "load",
            "toolkit 1.0.1 was not given what it needs to convert m",
        ),
        ("qwen2", remove("config.json"), "load", "m has no config.json"),
        (
            "qwen2",
            lambda model: (model / "config.json").write_text("{nonsense"),
            "load",
            "a JSON file of m is broken, such as its config.json",
        ),
        (
            "qwen2",
            configure(architectures=["MistralForCausalLM"]),
            "load",
            "toolkit 1.0.1 does not know the architecture MistralForCausalLM",
        ),
        (
            "qwen2",
            configure(model_type="qwen3"),
            "load",
            "the transformers library of toolkit 1.0.1 is too old for m",
        ),
        (
            "qwen2",
            remove("model.safetensors"),
            "load",
            "m has no weights that the toolkit could read",
        ),
        (
            "qwen2",
            cut("model.safetensors", 500_000),
            "load",
            "weights of m are cut off or broken",
        ),
        (
            "qwen2",
            lambda model: (model / "model.safetensors").write_bytes(LFS_POINTER),
            "load",
            POINTERS,
        ),
        ("qwen2", pointers, "load", POINTERS),
        (
            "qwen2",
            configure(hidden_size=64),
            "load",
            "the weights of m are not those that its config.json describes",
        ),
        (
            "qwen2",
            remove("vocab.json", "merges.txt", "tokenizer_config.json"),
            "load",
            "m has no tokenizer that the toolkit could read",
        ),
        (
            "qwen2",
            remove("vocab.json"),
            "load",
            "m has no tokenizer that the toolkit could read",
        ),
        ("llama", remove("tokenizer.model"), "load", NO_TOKENIZER_MODEL),
        ("llama", only_fast, "export", NO_TOKENIZER_MODEL),
        (
            "qwen2",
            configure(quantization_config={"quant_method": "bitsandbytes", "load_in_8bit": True}),
            "load",
            FOREIGN,
        ),
        (
            "qwen2",
            configure(quantization_config={"quant_method": "gptq", "bits": 4}),
            "load",
            FOREIGN,
        ),
        ("qwen2", configure(quantization_config={"quant_method": "fp8"}), "load", FOREIGN),
        (
            "narrow",
            None,
            "export",
            "the keys and values of m are too narrow for w8a8 on rk3588",
        ),
    ],
)
def test_a_folder_that_it_does_not_convert(
    model: str,
    spoil: Callable[[Path], object] | None,
    phase: str,
    message: str,
    convert: Callable[..., Run],
) -> None:
    run = convert(model, spoil=spoil)
    assert (run.last.kind, run.last.values["phase"], run.status) == ("failed", phase, 1)
    assert run.last.values["returned"] == -1
    error = explain(run)
    assert error.message == message
    assert error.cause
    assert error.hint


@pytest.mark.parametrize(
    ("platform", "dtype"),
    [("rk3588", "w4a16"), ("RK3588", "W4A16"), ("rk3562", "w8a8"), ("rk3576", "w4a16_g128")],
)
def test_what_it_does_not_quantise_to(
    platform: str, dtype: str, convert: Callable[..., Run]
) -> None:
    error = explain(convert(platform=platform, dtype=dtype))
    assert error.message == (
        f"toolkit 1.0.1 does not quantise to {dtype.lower()} for {platform.lower()}"
    )


def test_without_a_gpu_it_warns_and_goes_on(convert: Callable[..., Run]) -> None:
    run = convert(load={"device": "cuda"})
    assert run.last.kind == "result"
    (said,) = run.texts("warning")
    assert warning_of(said) is not None


def test_a_device_that_there_is_not(convert: Callable[..., Run]) -> None:
    error = explain(convert(load={"device": "npu"}))
    assert error.message == "toolkit 1.0.1 was not given what it needs to convert m"


def test_an_argument_of_a_later_toolkit(convert: Callable[..., Run]) -> None:
    error = explain(convert(max_context=4096))
    assert error.message == "toolkit 1.0.1 does not know the argument max_context"


def test_gguf_came_later(python: str, tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    (tmp_path / "out").mkdir()
    run = drive(Job(model=tmp_path / "x.gguf", output=tmp_path / "out"), python=python)
    assert explain(run).message == "toolkit 1.0.1 does not read GGUF files"


# The file has 474 kB. It is staged in TMPDIR, which lies on the same disk, and then copied.
@pytest.mark.parametrize("size_bytes", [300_000, 800_000])
def test_a_full_disk(
    size_bytes: int,
    convert: Callable[..., Run],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with small_disk(tmp_path / "disk", size_bytes, monkeypatch) as disk:
        if not os.path.ismount(disk):
            pytest.skip("mounting is not allowed here")
        run = convert(out=disk / "out")
        assert list((disk / "out").iterdir()) == []
    assert run.last.values["phase"] == "export"
    error = explain(run)
    assert error.message == "the disk ran full while m was converted"
    assert error.exit_code == 8
    assert error.cause[-1].endswith("are free there now")


def test_killed_in_the_middle_of_optimizing(python: str, models: Path, tmp_path: Path) -> None:
    job = make_job(models / "qwen2", tmp_path / "out", platform="rk3588", dtype="w8a8")
    process = start(job, python=python)
    wait_for(process, b'"what": "Optimizing model", "done": 0')
    (worker,) = children_of(process.pid)
    os.kill(worker, signal.SIGKILL)
    error = explain(finish(process))
    assert error.message == "memory ran out while m was converted"
    assert error.cause[1].startswith("it had 0.")


def test_stopped_in_the_middle_of_optimizing(python: str, models: Path, tmp_path: Path) -> None:
    job = make_job(models / "qwen2", tmp_path / "out", platform="rk3588", dtype="w8a8")
    process = start(job, python=python)
    wait_for(process, b'"what": "Optimizing model", "done": 0')
    process.terminate()
    run = finish(process)
    assert run.status == 128 + signal.SIGTERM
    assert explain(run).message == "the conversion of m was stopped"
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("megabytes", [1200, 1400, 1500, 1600])
def test_too_little_memory_to_start(
    megabytes: int, python: str, models: Path, tmp_path: Path
) -> None:
    job = make_job(models / "qwen2", tmp_path / "out")
    process = start(job, python=python, wrapper=["prlimit", f"--as={megabytes}000000"])
    assert explain(finish(process)).message == "memory ran out while m was converted"


def test_it_runs_code_that_lies_with_the_model_without_our_secrets(
    convert: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    seen = tmp_path / "seen.json"
    code = f"import json, os; json.dump(dict(os.environ), open({str(seen)!r}, 'w'))"
    run = convert(spoil=lambda model: add_code(model, code))
    assert run.last.kind == "failed"  # it defines no tokenizer
    environment = json.loads(seen.read_text())
    assert "HF_TOKEN" not in environment
    assert environment["HOME"].startswith(str(tmp_path / "out"))
