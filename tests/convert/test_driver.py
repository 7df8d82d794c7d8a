"""The driver tells how a conversion fares, however it ends, and leaves nothing running."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from convert.driving import broken_job, drive, finish, make_job, start
from convert.standin_wheel import write_package
from convert.tiny_models import add_code, find_python, write_model
from rkfetch.registry.convert import driver
from rkfetch.registry.convert.job import Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from convert.driving import Run


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return write_package(tmp_path / "package")


@pytest.fixture
def convert(tmp_path: Path, package: Path) -> Callable[..., Run]:
    """Convert with the stand-in, which behaves as it is told."""

    def run(mode: str = "success", *, job: Any = None, **standin: object) -> Run:
        model = write_model(tmp_path / "model", standin={"mode": mode, **standin})
        return drive(make_job(model, tmp_path / "out", **(job or {})), package=package)

    return run


def is_alive(process: int) -> bool:
    """Tell whether a process runs; one that waits to be reaped does not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in {"Z", "X"}


def wait_until_dead(process: int) -> None:
    while is_alive(process):
        time.sleep(0.02)


def children_of(process: int) -> list[int]:
    return [
        int(number)
        for number in Path(f"/proc/{process}/task/{process}/children").read_text().split()
    ]


def wait_for(process: subprocess.Popen[bytes], text: bytes) -> None:
    """Read a driver's output until it says something."""
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    pytest.fail(f"it ended without {text!r}")


# Success


def test_success(convert: Callable[..., Run], tmp_path: Path) -> None:
    run = convert()
    assert (run.status, run.others, run.errors) == (0, [], "")
    assert run.events[0] == Event(
        kind="started",
        values={"python": "{}.{}.{}".format(*sys.version_info[:3]), "toolkit": None},
    )
    phases = [values["name"] for values in run.of("phase")]
    assert phases == ["import", "load", "build", "export"]
    assert run.last.kind == "result"
    assert run.last.values["bytes"] == (tmp_path / "out" / "model.rkllm").stat().st_size
    assert run.last.values["peak_bytes"] > 1_000_000
    assert list(run.last.values["seconds"]) == phases
    assert [event.kind for event in run.events].count("result") == 1
    # Its temporary files are gone.
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["model.rkllm"]


def test_bars_become_progress_of_their_phase(convert: Callable[..., Run]) -> None:
    run = convert()
    last = {v["what"]: (v["phase"], v["done"], v["total"]) for v in run.of("progress")}
    assert last == {
        "Building model": ("build", 51, 51),
        "Optimizing model": ("build", 4, 4),
        "Converting model": ("export", 51, 51),
        "Exporting model": ("export", 40, 40),
    }
    assert not [text for text in run.texts("info") if "%" in text]


def test_progress_is_told_five_times_a_second_at_most(convert: Callable[..., Run]) -> None:
    began = time.monotonic()
    run = convert(seconds=1)
    spent = time.monotonic() - began
    # Each of the four bars tells its end at once.
    assert len(run.of("progress")) <= spent / 0.2 + 2 * 4


def test_the_first_state_of_a_bar_is_told_before_the_second_is_drawn(
    tmp_path: Path, package: Path
) -> None:
    model = write_model(tmp_path / "model", standin={"mode": "silent", "seconds": 600})
    process = start(make_job(model, tmp_path / "out"), package=package)
    try:
        wait_for(process, b'"what": "Building model", "done": 51')
    finally:
        process.terminate()
        finish(process)


def test_messages_have_their_level_and_no_colours(convert: Callable[..., Run]) -> None:
    run = convert(colour=True, job={"load": {"device": "cuda"}})
    assert "INFO: rkllm-toolkit version: 1.2.3" in run.texts("info")
    assert run.texts("warning")[0] == "WARNING: Cuda device not available! switch to cpu device!"
    assert run.last.kind == "result"


def test_odd_bytes_and_forged_events_are_only_text(convert: Callable[..., Run]) -> None:
    run = convert("noisy")
    assert "\\xff\\xfe odd bytes" in run.texts("info")
    assert '{"event": "result", "bytes": 1, "peak_bytes": 1, "seconds": {}}' in run.texts("info")
    assert max(map(len, run.texts("info"))) == 2000
    assert [event.kind for event in run.events].count("result") == 1
    assert run.last.values["bytes"] > 1


def test_it_tells_that_it_lives_while_nothing_is_said(convert: Callable[..., Run]) -> None:
    run = convert("silent", seconds=2.5)
    assert run.of("alive")
    for values in run.of("alive"):
        assert values["peak_bytes"] >= values["rss_bytes"] > 1_000_000
        assert values["seconds"] >= 2


def test_what_lies_in_deleted_files_counts_as_written(tmp_path: Path) -> None:
    (tmp_path / "named").write_bytes(bytes(1000))
    with (tmp_path / "anonymous").open("wb", buffering=0) as file:
        file.write(bytes(500))
        (tmp_path / "anonymous").unlink()
        assert driver._written(tmp_path, os.getpid()) == 1500


def test_a_thread_that_is_left_behind_does_not_keep_it(convert: Callable[..., Run]) -> None:
    assert convert("lingering").last.kind == "result"


def test_what_the_worker_started_ends_with_it(convert: Callable[..., Run], tmp_path: Path) -> None:
    assert convert("children").last.kind == "result"
    wait_until_dead(int((tmp_path / "out" / "child.pid").read_text()))


def test_a_job_may_come_in_a_file(tmp_path: Path, package: Path) -> None:
    model = write_model(tmp_path / "model")
    job = make_job(model, tmp_path / "out")
    text = job.as_json({"model": str(model), "output": str(tmp_path / "out")})
    (tmp_path / "job.json").write_text(text)
    command = [sys.executable, driver.__file__, str(tmp_path / "job.json")]
    environment = os.environ | {"PYTHONPATH": str(package)}
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.stdout.splitlines()[-1].startswith(b'{"event": "result"')
    assert done.returncode == 0


@pytest.mark.parametrize("version", ["3.8", "3.9", "3.12", "3.13"])
def test_it_runs_on_the_toolkits_pythons(version: str, tmp_path: Path, package: Path) -> None:
    python = find_python(version)
    if python is None:
        pytest.skip(f"there is no Python {version} here")
    model = write_model(tmp_path / "model")
    run = drive(make_job(model, tmp_path / "out"), package=package, python=python)
    assert (run.last.kind, run.errors) == ("result", "")
    assert run.events[0].values["python"].startswith(version + ".")


def test_dataset_and_arguments_reach_the_toolkit(tmp_path: Path, package: Path) -> None:
    model = write_model(tmp_path / "model")
    (tmp_path / "rows.json").write_text('[{"input": "a", "target": "b"}]')
    job = make_job(model, tmp_path / "out", dataset=tmp_path / "rows.json", max_context=8192)
    run = drive(job, package=package)
    assert "Generating train split: 1 examples" in run.texts("info")
    assert "INFO: Setting max_context_limit to 8192" in run.texts("info")


def test_code_of_the_model_sees_no_secret_and_a_home_of_its_own(
    tmp_path: Path, package: Path
) -> None:
    seen = tmp_path / "seen.json"
    model = write_model(tmp_path / "model")
    add_code(model, f"import json, os; json.dump(dict(os.environ), open({str(seen)!r}, 'w'))")
    drive(
        make_job(model, tmp_path / "out"), package=package, HF_TOKEN="hf_secret", LC_ALL="C.UTF-8"
    )
    environment = json.loads(seen.read_text())
    assert "HF_TOKEN" not in environment
    assert environment["LC_ALL"] == "C.UTF-8"
    assert environment["HF_HUB_OFFLINE"] == environment["TRANSFORMERS_OFFLINE"] == "1"
    for name in ("HOME", "TMPDIR", "HF_HOME"):
        assert environment[name].startswith(str(tmp_path / "out"))


# Failure


@pytest.mark.parametrize(
    ("mode", "phase", "why", "expected"),
    [
        ("wordless", "build", "returned", {"returned": -1}),
        ("optimizing", "build", "returned", {"returned": -1}),
        ("target-full", "export", "returned", {"returned": -1}),
        ("raises", "build", "exception", {"exception": "KeyError: 'model.layers.0'"}),
        ("no-memory", "build", "exception", {"exception": "MemoryError"}),
        ("exits-255", "build", "exit", {"status": 255}),
        ("exits-0", "build", "exit", {"status": 0}),
        ("killed", "build", "signal", {"signal": signal.SIGKILL}),
        ("memory", "build", "signal", {"signal": signal.SIGKILL}),
        ("crashed", "build", "signal", {"signal": signal.SIGSEGV}),
        ("nothing", "export", "no-file", {"returned": 0}),
        ("empty", "export", "empty-file", {"returned": 0}),
    ],
)
def test_each_end_is_told_apart(
    mode: str, phase: str, why: str, expected: dict[str, object], convert: Callable[..., Run]
) -> None:
    run = convert(mode, most_bytes=100_000_000)
    assert (run.status, run.last.kind, run.errors) == (1, "failed", "")
    assert (run.last.values["phase"], run.last.values["why"]) == (phase, why)
    ends = {"returned": None, "status": None, "signal": None, "exception": None}
    assert {name: run.last.values[name] for name in ends} == ends | expected
    assert run.last.values["free_bytes"] > 0


def test_the_peak_of_a_worker_that_was_killed_is_known(convert: Callable[..., Run]) -> None:
    run = convert("memory", most_bytes=100_000_000)
    assert run.last.values["peak_bytes"] > 100_000_000


def test_what_the_toolkit_said_is_in_the_failure(convert: Callable[..., Run]) -> None:
    run = convert("optimizing")
    said = "ERROR: Catch exception when optimizing model: 'mlp.down_proj'"
    assert run.last.values["errors"] == [said]
    assert run.last.values["tail"][-1] == said
    assert run.texts("error") == [said]


def test_an_older_toolkit_is_understood_too(tmp_path: Path) -> None:
    package = write_package(tmp_path / "package", version="1.0.1")
    model = write_model(tmp_path / "model")
    (model / "config.json").write_text("{nonsense")
    run = drive(make_job(model, tmp_path / "out"), package=package)
    assert run.last.values["errors"] == [
        "Error: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)!",
        "Catch exception when loading model!",
    ]
    assert (run.last.values["phase"], run.last.values["returned"]) == ("load", -1)


def test_an_argument_that_the_toolkit_does_not_know(tmp_path: Path) -> None:
    package = write_package(tmp_path / "package", version="1.1.4")
    model = write_model(tmp_path / "model")
    run = drive(make_job(model, tmp_path / "out", max_context=4096), package=package)
    assert run.last.values["why"] == "exception"
    said = "TypeError: build() got an unexpected keyword argument 'max_context'"
    assert run.last.values["exception"] == said


def test_no_toolkit_at_all(tmp_path: Path) -> None:
    run = drive(make_job(write_model(tmp_path / "model"), tmp_path / "out"))
    assert run.last.values["phase"] == "import"
    assert run.last.values["exception"] == "ModuleNotFoundError: No module named 'rkllm'"


def test_code_that_ends_the_process_is_a_death_without_a_word(
    tmp_path: Path, package: Path
) -> None:
    model = add_code(write_model(tmp_path / "model"), "import os; os._exit(7)")
    run = drive(make_job(model, tmp_path / "out"), package=package)
    assert (run.last.values["why"], run.last.values["status"]) == ("died", 7)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"paths": {"output": "/nonexistent/x"}}'])
def test_a_job_that_cannot_be_read(text: str) -> None:
    run = broken_job(text)
    assert (run.last.kind, run.last.values["why"], run.status) == ("failed", "job", 1)
    assert run.errors == ""


def test_how_it_is_called() -> None:
    done = subprocess.run([sys.executable, driver.__file__], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"usage: ")


# Ended from outside


@pytest.fixture
def running(tmp_path: Path, package: Path) -> subprocess.Popen[bytes]:
    """A driver in the middle of a conversion that will not end by itself."""
    model = write_model(tmp_path / "model", standin={"mode": "children", "seconds": 600})
    process = start(make_job(model, tmp_path / "out"), package=package)
    wait_for(process, b'"what": "Building model", "done": 51')
    pid = tmp_path / "out" / "child.pid"
    while not (pid.exists() and pid.read_text()):
        time.sleep(0.01)
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_all_of_it(
    number: signal.Signals, running: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    (worker,) = children_of(running.pid)
    running.send_signal(number)
    run = finish(running)
    assert run.status == 128 + number
    assert (run.last.kind, run.last.values["why"]) == ("failed", "stopped")
    assert (run.last.values["signal"], run.errors) == (number, "")
    assert not is_alive(worker)
    wait_until_dead(int((tmp_path / "out" / "child.pid").read_text()))
    assert not (tmp_path / "out" / "tmp").exists()


def test_no_worker_outlives_a_driver_that_is_killed(
    running: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    (worker,) = children_of(running.pid)
    running.kill()
    finish_pipes(running)
    wait_until_dead(worker)
    # What the worker started is out of reach then.
    os.kill(int((tmp_path / "out" / "child.pid").read_text()), signal.SIGKILL)


def test_the_kernel_ends_the_worker_first_when_memory_is_short(
    running: subprocess.Popen[bytes],
) -> None:
    (worker,) = children_of(running.pid)
    assert Path(f"/proc/{worker}/oom_score_adj").read_text() == "1000\n"
    running.terminate()
    finish(running)


def test_it_ends_when_nobody_listens(running: subprocess.Popen[bytes]) -> None:
    (worker,) = children_of(running.pid)
    assert running.stdout is not None
    running.stdout.close()
    assert running.wait() == 1
    wait_until_dead(worker)
    assert running.stderr is not None
    assert running.stderr.read() == b""
    running.stderr.close()


def finish_pipes(process: subprocess.Popen[bytes]) -> None:
    process.wait()
    for pipe in (process.stdout, process.stderr):
        assert pipe is not None
        pipe.close()
