"""The stand-in toolkit has the bad habits of the real one, and pip installs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import venv
from typing import TYPE_CHECKING

import pytest

from convert.standin.rkllm.api import FILE_TYPES
from convert.standin_wheel import build_wheel, write_package
from convert.tiny_models import LFS_POINTER, add_code, find_python, write_model
from rkfetch.registry.rkllm_read import read_file

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once

SCRIPT = """
import sys
from rkllm.api import RKLLM
model, target, platform, dtype = sys.argv[1:5]
llm = RKLLM()
ret = llm.load_huggingface(model=model)
print("load", ret)
if ret == 0:
    ret = llm.build(do_quantization=True, optimization_level=1, quantized_dtype=dtype,
                    target_platform=platform, **eval(sys.argv[5]))
    print("build", ret)
if ret == 0:
    print("export", llm.export_rkllm(target))
"""


class Ran:
    """What a script with the stand-in came to."""

    def __init__(self, done: subprocess.CompletedProcess[bytes]) -> None:
        self.status = done.returncode
        self.out = done.stdout.decode()
        self.err = done.stderr.decode()


def run(
    package: Path,
    model: Path,
    target: Path | str,
    *,
    platform: str = "rk3576",
    dtype: str = "w4a16",
    more: str = "{}",
    python: str = sys.executable,
    standin: str = "{}",
) -> Ran:
    command = [python, "-c", SCRIPT, str(model), str(target), platform, dtype, more]
    environment = os.environ | {"PYTHONPATH": str(package), "RKLLM_STANDIN": standin}
    return Ran(subprocess.run(command, env=environment, check=False, capture_output=True))


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return write_package(tmp_path / "package")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model")


def test_the_wheel_is_installed_by_pip(tmp_path: Path, model: Path) -> None:
    python = "{}.{}".format(*sys.version_info)
    wheel = build_wheel(tmp_path / "wheels", version="1.2.1", python=python)
    venv.create(tmp_path / "venv", symlinks=True)
    own = str(tmp_path / "venv" / "bin" / "python")
    site = subprocess.run(
        [own, "-c", "import site; print(site.getsitepackages()[0])"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    pip = [sys.executable, "-m", "pip", "--isolated", "install", "--no-index", "--quiet"]
    subprocess.run([*pip, "--target", site, str(wheel)], check=True)
    ran = run(tmp_path, model, tmp_path / "x.rkllm", python=own)
    assert ran.out.startswith("INFO: rkllm-toolkit version: 1.2.1\nload 0\n")
    assert ran.out.endswith(f"INFO: Model has been saved to {tmp_path}/x.rkllm!\nexport 0\n")


def test_the_same_wheel_is_the_same_bytes(tmp_path: Path) -> None:
    first = build_wheel(tmp_path / "a", requires=["numpy==1.23.1"])
    second = build_wheel(tmp_path / "b", requires=["numpy==1.23.1"])
    assert first.name == "rkllm_toolkit-1.2.3-cp311-cp311-linux_x86_64.whl"
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("version", ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13"])
def test_it_runs_on_every_python(version: str, tmp_path: Path, package: Path, model: Path) -> None:
    python = find_python(version)
    if python is None:
        pytest.skip(f"there is no Python {version} here")
    ran = run(package, model, tmp_path / "x.rkllm", python=python)
    assert (ran.out.splitlines()[-1], ran.status) == ("export 0", 0), ran.err


@pytest.mark.parametrize(
    ("platform", "dtype", "cores", "context"),
    [("rk3576", "w4a16_g128", 2, 4096), ("RK3588", "W8A8", 3, 8192), ("rk3576", "w8a8", 1, 16384)],
)
def test_its_file_tells_what_was_asked_for(
    platform: str, dtype: str, cores: int, context: int, tmp_path: Path, package: Path, model: Path
) -> None:
    more = f"dict(num_npu_core={cores}, max_context={context})"
    run(package, model, tmp_path / "x.rkllm", platform=platform, dtype=dtype, more=more)
    facts = read_file(tmp_path / "x.rkllm", full=True)
    assert facts.format == "rkllm"
    assert facts.platform is not None
    assert facts.platform.value == platform.lower()
    assert (facts.npu_cores, facts.max_context) == (cores, context)
    assert facts.file_type == FILE_TYPES[dtype.lower()]
    assert (facts.toolkit_key, facts.toolkit_trailer) == ("1.2.3", "1.2.3")
    assert facts.architecture == "qwen2"
    assert facts.complete is not False


def test_padding_makes_the_file_larger_and_no_worse(tmp_path: Path, package: Path) -> None:
    model = write_model(tmp_path / "model", standin={"padding_bytes": 3_000_000})
    run(package, model, tmp_path / "x.rkllm")
    assert (tmp_path / "x.rkllm").stat().st_size > 3_000_000
    assert read_file(tmp_path / "x.rkllm").toolkit_trailer == "1.2.3"


@pytest.mark.parametrize(
    ("asked", "written"),
    [
        ("plain", "plain.rkllm"),
        ("a.bin", "a.rkllm"),
        ("A.RKLLM", "A.rkllm"),
        ("Qwen2.5-1.5B_w8a8", "Qwen2.5-1.rkllm"),
    ],
)
def test_it_cuts_names_at_their_last_dot(
    asked: str, written: str, tmp_path: Path, package: Path, model: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    run(package, model, out / asked)
    assert [path.name for path in out.iterdir()] == [written]


def test_a_failing_export_destroys_what_was_there(tmp_path: Path, package: Path) -> None:
    (tmp_path / "x.rkllm").write_text("a good file")
    model = write_model(tmp_path / "model", standin={"mode": "target-full"})
    ran = run(package, model, tmp_path / "x.rkllm")
    assert "Converting model: 100%" in ran.err
    assert "ERROR: Catch exception when converting model: [Errno 28] No space left" in ran.out
    assert ran.out.endswith("export -1\n")
    assert ran.status == 0
    assert not (tmp_path / "x.rkllm").exists()


def test_it_runs_code_that_lies_with_the_model(tmp_path: Path, package: Path, model: Path) -> None:
    add_code(model, f"open({str(tmp_path / 'ran')!r}, 'w').close()")
    run(package, model, tmp_path / "x.rkllm")
    assert (tmp_path / "ran").exists()


def test_bars_are_on_stderr_with_carriage_returns(
    tmp_path: Path, package: Path, model: Path
) -> None:
    ran = run(package, model, tmp_path / "x.rkllm")
    assert "\rOptimizing model:  50%|█████     | 2/4 [" in ran.err
    assert "Optimizing" not in ran.out
    assert f"[{'=' * 49}>] 40/40 (100%)\n" in ran.out


LOADING = "Catch exception when loading model"


def _remove(name: str) -> object:
    return lambda model: (model / name).unlink()


def _write(name: str, content: bytes) -> object:
    return lambda model: (model / name).write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "old", "new"),
    [
        (
            _remove("config.json"),
            "Error: [Errno 2] No such file or directory: 'MODEL/config.json'!",
            "[Errno 2] No such file or directory: 'MODEL/config.json'",
        ),
        (
            _write("config.json", b"{nonsense"),
            "Error: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)!",
            "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
        ),
        (
            _write("model.safetensors", LFS_POINTER),
            "Error: Error while deserializing header: HeaderTooLarge!",
            "Error while deserializing header: HeaderTooLarge",
        ),
        (
            _write("model.safetensors", b"\x40\0\0\0\0\0\0\0{"),
            "Error: Error while deserializing header: MetadataIncompleteBuffer!",
            "Error while deserializing header: MetadataIncompleteBuffer",
        ),
    ],
)
def test_both_dialects_tell_what_is_wrong_with_a_folder(
    spoil: object, old: str, new: str, tmp_path: Path, package: Path, model: Path
) -> None:
    assert callable(spoil)
    spoil(model)
    ran = run(package, model, tmp_path / "x.rkllm")
    wanted = f"ERROR: {LOADING}: {new}".replace("MODEL", str(model))
    assert ran.out.splitlines()[1:] == [wanted, "load -1"]
    older = write_package(tmp_path / "older", version="1.0.1")
    ran = run(older, model, tmp_path / "x.rkllm")
    wanted = old.replace("MODEL", str(model))
    assert ran.out.splitlines()[1:] == [wanted, f"{LOADING}!", "load -1"]


def test_an_architecture_is_known_from_some_toolkit_on(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", architecture="Qwen3ForCausalLM")
    old = write_package(tmp_path / "old", version="1.2.0")
    new = write_package(tmp_path / "new", version="1.2.1")
    assert "ERROR: Not support Qwen3ForCausalLM!" in run(old, model, tmp_path / "x.rkllm").out
    assert "export 0" in run(new, model, tmp_path / "x.rkllm").out


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("1.0.1", "Target_platform: rk3588 not support quantized_dtype: w4a16!"),
        ("1.3.0", "ERROR: target_platform: rk3588 not support quantized_dtype: w4a16!"),
    ],
)
def test_not_every_platform_has_every_dtype(
    version: str, said: str, tmp_path: Path, model: Path
) -> None:
    package = write_package(tmp_path / "package", version=version)
    ran = run(package, model, tmp_path / "x.rkllm", platform="RK3588", dtype="W4A16")
    assert ran.out.splitlines()[-2:] == [said, "build -1"]


def test_an_argument_that_it_does_not_know_is_the_one_exception(
    tmp_path: Path, model: Path
) -> None:
    package = write_package(tmp_path / "package", version="1.1.4")
    ran = run(package, model, tmp_path / "x.rkllm", more="dict(max_context=4096)")
    assert ran.status == 1
    assert "TypeError: build() got an unexpected keyword argument 'max_context'" in ran.err


@pytest.mark.parametrize(
    ("mode", "status", "last"),
    [
        ("killed", -signal.SIGKILL, "load 0"),
        ("memory", -signal.SIGKILL, "load 0"),
        ("crashed", -signal.SIGSEGV, "load 0"),
        ("exits-255", 255, "load 0"),
        ("exits-0", 0, "load 0"),
        ("wordless", 0, "build -1"),
        ("optimizing", 0, "build -1"),
        ("width", 0, "export -1"),
        ("short", 0, "export 0"),
        ("nothing", 0, "export 0"),
        ("silent", 0, "export 0"),
    ],
)
def test_it_ends_as_it_was_told(
    mode: str, status: int, last: str, tmp_path: Path, package: Path, model: Path
) -> None:
    standin = f'{{"mode": "{mode}", "most_bytes": 100000000}}'
    ran = run(package, model, tmp_path / "x.rkllm", standin=standin)
    assert (ran.status, ran.out.splitlines()[-1]) == (status, last), ran.err
    assert (tmp_path / "x.rkllm").exists() == (last == "export 0" and mode != "nothing")


def test_a_short_file_has_lost_its_end(tmp_path: Path, package: Path) -> None:
    model = write_model(tmp_path / "model", standin={"mode": "short"})
    run(package, model, tmp_path / "x.rkllm")
    assert read_file(tmp_path / "x.rkllm").toolkit_trailer is None
