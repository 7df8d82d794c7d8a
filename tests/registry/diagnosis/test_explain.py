"""What is wrong, roots first, with the figures of the log and what this very board needs."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import boards
from load_logs import LINES, log, started
from rkfetch.cli.main import main
from rkfetch.registry.diagnosis.case import Subject
from rkfetch.registry.diagnosis.explain import MOST_FINDINGS, diagnose
from rkfetch.registry.finding import Severity
from rkfetch.registry.npu_nodes import NpuNode
from rkfetch.registry.rkllm_read import read_file
from rkfetch.registry.target import detect
from rkllm_files import rkllm_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from rkfetch.registry.diagnosis.case import Diagnosed
    from rkfetch.registry.diagnosis.explain import Diagnosis
    from rkfetch.registry.target import Board

pytestmark = pytest.mark.once

QWEN = Subject(reference="qwen2.5-1.5b", model="Qwen2.5-1.5B-Instruct")


def found(text: str, *, board: Board | None = None, subject: Subject = QWEN) -> Diagnosis:
    return diagnose(log(text), board=board, subject_of=lambda _load: subject)


def roots(diagnosis: Diagnosis) -> list[str]:
    return [d.finding.rule for d in diagnosis.findings if d.explained_by is None]


def of(rule: str, diagnosis: Diagnosis) -> Diagnosed:
    (item,) = [d for d in diagnosis.findings if d.finding.rule == rule]
    return item


def todo(rule: str, diagnosis: Diagnosis) -> str:
    return "\n".join(of(rule, diagnosis).finding.todo)


def a_board(tmp_path: Path, **facts: str | None) -> Board:
    return detect(boards.rock_4d(tmp_path / "board", **facts), environ={})


# --- versions ----------------------------------------------------------------------------------


def test_a_newer_file_explains_the_crash() -> None:
    told = found(
        started("1.1.4", toolkit="1.2.1")
        + ":0: GGML_ASSERT(hparams.rope_scaling_type_train != X) failed\nAborted (core dumped)\n"
    )
    assert roots(told) == ["newer-than-runtime"]
    root = told.findings[0].finding
    assert root.text == (
        "Qwen2.5-1.5B-Instruct_RK3576_w4a16.rkllm was made by toolkit 1.2.1, and the runtime is "
        "1.1.4"
    )
    assert "release-v1.2.1/rkllm-runtime/Linux/librkllm_api/aarch64/librkllmrt.so" in root.todo[0]
    assert "6b9439d59f2fe4bb8ef5ee2b09c102f1bf993da9" in root.todo[1]
    assert root.todo[-1] == (
        "or make one, on a PC: rkfetch convert qwen2.5-1.5b --platform rk3576 --runtime 1.1.4"
    )
    for rule in ("assertion", "crash"):
        consequence = of(rule, told)
        assert consequence.explained_by == "newer-than-runtime"
        assert consequence.finding.todo == ()


def test_where_a_build_fits_the_runtime_it_comes_first() -> None:
    told = found(
        started("1.1.4", toolkit="1.2.3"), subject=replace(QWEN, fitting="alice/Old/x.rkllm")
    )
    steps = of("newer-than-runtime", told).finding.todo
    assert steps[0] == (
        "rkfetch qwen2.5-1.5b --platform rk3576 --runtime 1.1.4   # takes alice/Old/x.rkllm"
    )
    assert steps[1] == "or bring the runtime that suits the file:"


def test_the_runtime_itself_says_which_one_it_must_be() -> None:
    told = found(
        "I rkllm: rkllm-runtime version: 1.2.1b1, rknpu driver version: 0.9.7, platform: RK3588\n"
        "E rkllm: The rkllm-runtime version is lower than the rkllm-toolkit version. Please "
        "update rkllm-runtime to 1.2.2 or higher.\n"
    )
    item = of("newer-file", told)
    assert item.finding.text == "the file is newer than the runtime: it needs 1.2.2 or later"
    assert "release-v1.2.2/" in item.finding.todo[0]
    assert item.hit is not None
    assert item.hit.line == 2


def test_the_versions_and_the_line_about_them_are_one_finding() -> None:
    told = found(
        started("1.2.1", toolkit="1.2.3")
        + "E rkllm: The rkllm-runtime version is lower than the rkllm-toolkit version. Please "
        "update rkllm-runtime to 1.2.3 or higher.\n"
    )
    assert roots(told) == ["newer-than-runtime"]
    assert of("newer-file", told).explained_by == "newer-than-runtime"


def test_answers_that_never_stop() -> None:
    quiet = found(started("1.3.0", toolkit="1.2.2") + "rkllm init success\nrobot: words\n")
    assert of("eos", quiet).finding.severity is Severity.WARNING
    assert "never stop" in (of("eos", quiet).finding.why or "")
    assert "release-v1.2.2/" in todo("eos", quiet)
    both = found(started("1.3.0", toolkit="1.2.2") + "I rkllm: EOS token[0]: 11 '<x>'\n")
    assert roots(both) == ["eos"]
    assert [d.explained_by for d in both.findings] == [None, "eos"]
    assert "rkllm_abort" in both.findings[0].finding.todo[-1]
    seen = found(started("1.3.0", toolkit=None) + "I rkllm: EOS token[0]: 11 '<jupyter_start>'\n")
    assert of("eos", seen).finding.severity is Severity.PROBLEM
    assert "rkllm_abort" in todo("eos", seen)


def test_a_model_that_answers_garbage_on_one_runtime() -> None:
    subject = Subject(reference="deepseek-r1-1.5b", model="DeepSeek-R1-Distill-Qwen-1.5B")
    told = found(started(toolkit="1.2.3") + "robot: [PAD151935][PAD151935]\n", subject=subject)
    item = of("deepseek-r1-on-1.2.3", told)
    assert item.finding.severity is Severity.PROBLEM
    assert told.findings[0] is item
    assert "release-v1.2.3" not in "\n".join(item.finding.todo)


def test_files_of_the_first_toolkit_on_the_first_runtimes() -> None:
    told = found(
        "rkllm-runtime version: 1.0.1, rknpu driver version: 0.9.6, platform: RK3588\n"
        "Warning: The model version is too old, please use the latest toolkit to reconvert!\n"
        "The model target_platform does not match!\nRKLLM init success!\n"
    )
    assert told.findings[0].finding.rule == "model-too-old"
    assert of("other-soc", told).explained_by == "model-too-old"
    assert of("driver", told).finding.severity is Severity.WARNING


def test_a_success_that_is_none() -> None:
    told = found(
        started("1.1.2", toolkit=None) + "E RKNN: [1] invalid rknn llm model magic\n"
        "load model file error!\nrknn_init fail! ret=-1\nrkllm init success\n"
    )
    assert roots(told)[0] == "old-magic"
    assert of("load-failed", told).explained_by == "old-magic"
    assert of("false-success", told).finding.severity is Severity.NOTE
    assert "rkfetch inspect /home/u/Qwen2.5-1.5B-Instruct_RK3576_w4a16.rkllm" in todo(
        "old-magic", told
    )


def test_a_good_load_is_said_to_be_one() -> None:
    told = found(started() + "rkllm init success\nuser: hello\nrobot: hi\n")
    assert roots(told) == ["loaded"]
    assert told.findings[0].finding.severity is Severity.OK
    assert not told.has_problem


def test_what_nobody_knows_is_not_made_up() -> None:
    told = found("hello\nworld\n")
    assert not told.recognised
    assert told.findings == ()


# --- driver, memory, board ---------------------------------------------------------------------

MALLOC = "E RKNN: failed to malloc npu memory, size: 4022272000, flags: 0x2\n"


def test_an_old_driver_explains_an_allocation_of_4_gb(tmp_path: Path) -> None:
    text = started(driver="0.9.6") + MALLOC + "E rkllm: rkllm_init failed\n"
    told = found(text, board=a_board(tmp_path, driver="0.9.6"))
    assert roots(told) == ["driver"]
    driver = of("driver", told)
    assert driver.finding.severity is Severity.PROBLEM
    assert driver.finding.todo == (
        "sudo rsetup, there System -> System Update: brings 0.9.8; then reboot",
    )
    assert driver.hit is not None
    assert driver.hit.line == 5
    assert of("load-failed", told).explained_by == "driver"


def test_with_a_good_driver_it_is_memory() -> None:
    told = found(started(driver="0.9.8") + MALLOC)
    assert roots(told) == ["npu-memory"]
    assert of("npu-memory", told).finding.text == "the NPU had no room for 4.02 GB at once"
    assert "rkfetch explain qwen2.5-1.5b --platform rk3576" in todo("npu-memory", told)


def test_a_small_allocation_is_not_the_driver_s_fault() -> None:
    told = found(started(driver="0.9.6") + MALLOC.replace("4022272000", "100000000"))
    assert roots(told) == ["npu-memory", "driver"]
    assert of("driver", told).finding.severity is Severity.WARNING


def test_an_unknown_driver_is_asked_for() -> None:
    assert "/sys/kernel/debug/rknpu/version" in todo("npu-memory", found(MALLOC))


def test_the_oldest_driver_fails_to_compute() -> None:
    told = found(
        started("1.2.1b1", driver="0.8.2", toolkit="1.1.4", quant="W8A8")
        + "W rkllm: Warning: Your rknpu driver version is too low, please upgrade to 0.9.7\n"
        "rkllm init success\nE rkllm: matmul(w8a8) run failed\n"
    )
    assert roots(told) == ["driver"]
    assert of("driver", told).finding.severity is Severity.PROBLEM
    assert (of("driver", told).finding.source or "").endswith("/187")


def test_a_warning_about_the_driver_alone_is_a_warning() -> None:
    told = found("W rkllm: Warning: Your rknpu driver version is too low, upgrade to 0.9.7\n")
    assert of("driver-warning", told).finding.severity is Severity.WARNING


def test_the_board_ran_out_of_memory(tmp_path: Path) -> None:
    text = started() + "Out of memory: Killed process 812 (demo) total-vm:1kB\nKilled\n"
    told = found(text, board=a_board(tmp_path))
    assert roots(told) == ["oom"]
    assert of("killed", told).explained_by == "oom"
    assert todo("oom", told).startswith("rkfetch explain qwen2.5-1.5b   #")


NO_DRIVER = (
    "rkllm init start\nE RKNN: [12:35:17.433] failed to open rknpu module, need to insmod rknpu "
    "dirver!\nE RKNN: [12:35:17.433] failed to open rknn device!\nrkllm init failed\n"
)


def test_an_npu_that_cannot_be_opened(tmp_path: Path) -> None:
    assert "rkfetch doctor" in todo("no-driver", found(NO_DRIVER))
    board = a_board(tmp_path)
    assert "usermod" in todo("no-driver", found(NO_DRIVER, board=board))
    closed = (NpuNode(path="/dev/dri/renderD129", openable=False),)
    told = found(NO_DRIVER, board=replace(board, npu_nodes=closed))
    assert of("no-driver", told).count == 2
    assert "stat -c %G /dev/dri/renderD129" in todo("no-driver", told)
    roots_own = (NpuNode(path="/dev/rknpu", openable=False, has_group=False),)
    told = found(NO_DRIVER, board=replace(board, npu_nodes=roots_own))
    assert 'KERNEL=="rknpu", GROUP="video"' in todo("no-driver", told)
    assert of("load-failed", told).explained_by == "no-driver"
    rocket = found(NO_DRIVER, board=replace(board, has_rocket=True, driver=None))
    assert "vendor's kernel" in todo("no-driver", rocket)
    container = found(NO_DRIVER, board=replace(board, in_container=True))
    assert "--device /dev/dri" in todo("no-driver", container)


def test_another_chip_than_this_board_s_means_another_machine(tmp_path: Path) -> None:
    board = a_board(tmp_path, driver="0.9.6")
    told = found(started(platform="RK3588", driver="0.9.2") + MALLOC, board=board)
    assert "rsetup" not in todo("driver", told)
    assert told.cases[0].board is None
    here = found(started(driver="0.9.6") + MALLOC, board=board)
    assert here.cases[0].board is board


def test_a_program_that_loaded_another_copy(tmp_path: Path) -> None:
    root = boards.rock_4d(tmp_path / "board", runtime="1.2.3")
    boards.put(root, "home/u/RKLLAMA/lib/librkllmrt.so", boards.library("1.1.4"))
    board = detect(root, environ={})
    told = found(started("1.1.4", toolkit="1.2.3") + "Segmentation fault\n", board=board)
    assert roots(told)[0] == "other-copy"
    root_cause = of("other-copy", told).finding
    assert root_cause.severity is Severity.PROBLEM
    assert "with the other one the file would load" in (root_cause.why or "")
    assert (
        "or replace it: sudo cp /usr/lib/librkllmrt.so /home/u/RKLLAMA/lib/librkllmrt.so"
        in root_cause.todo
    )
    assert of("newer-than-runtime", told).explained_by == "other-copy"
    fine = found(started("1.1.4", toolkit="1.1.4"), board=board)
    assert of("other-copy", fine).finding.severity is Severity.WARNING


# --- the call ----------------------------------------------------------------------------------


def test_too_long_a_context() -> None:
    told = found(
        started() + "E rkllm: max_context[16384] must be less than the model's "
        "max_context_limit[4096]\nE rkllm: rkllm_init failed\n"
    )
    assert of("context", told).finding.text == (
        "the program asked for a context of 16384 tokens, and "
        "Qwen2.5-1.5B-Instruct_RK3576_w4a16.rkllm has 4096"
    )
    steps = of("context", told).finding.todo
    assert "max_context_len 4096" in steps[0]
    assert steps[1].startswith("rkfetch qwen2.5-1.5b --platform rk3576 --runtime 1.2.3 --context")


def test_a_program_of_another_header() -> None:
    told = found(started() + "E rkllm: The n_batch must be between 1 and 100, but got 0\n")
    assert "release-v1.2.3/rkllm-runtime/Linux/librkllm_api/include/rkllm.h" in todo("abi", told)


def test_more_cores_than_the_chip_has() -> None:
    told = found(
        started() + "rknn_set_core_mask: unavailable core mask found for current platform!"
    )
    assert "at most 2 NPU cores" in todo("core-mask", told)


def test_a_prompt_that_is_too_long() -> None:
    line = "error: prompt gather than max context (prompt: 1299 tokens, max context: 1020)\n"
    told = found(started() + line)
    assert of("prompt", told).finding.text == "the prompt has 1299 tokens, and the context 1020"
    assert "the file has 4096 tokens" in todo("prompt", told)
    longer = found(line.replace("1299", "11543"))
    assert "rkfetch qwen2.5-1.5b --context 16384" in todo("prompt", longer)


def test_a_vision_encoder_of_another_chip() -> None:
    line = "E RKNN: [1] This rknn model is for RK3588, but current platform is RK3576\n"
    told = found(line + "rknn_init fail! ret=-1\n")
    assert roots(told) == ["vision-soc"]
    assert told.findings[0].finding.text == (
        "the vision encoder was built for RK3588, and this is RK3576"
    )


def test_a_crash_at_the_first_prompt_after_a_load_that_failed() -> None:
    told = found(
        started("1.1.2", toolkit=None, platform="RK3588") + "E RKNN: invalid rknn llm model magic\n"
        "rkllm init success\nrobot: :0: GGML_ASSERT(view_src == NULL) failed\n"
    )
    assert of("assertion", told).explained_by == "old-magic"


def test_a_library_that_is_not_found(tmp_path: Path) -> None:
    line = "./llm_demo: error while loading shared libraries: librkllmrt.so: cannot open shared "
    there = found(f"{line}object file\n", board=a_board(tmp_path))
    assert "export LD_LIBRARY_PATH=/usr/lib" in todo("no-library", there)
    assert "release-v1.2.3/" in todo("no-library", found(f"{line}object file\n"))


# --- the file ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "rule", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\nsize 9\n", "file-format", "Git LFS pointer"),
        (b"<html><title>Sign in</title></html>", "file-format", "Sign in"),
        (rkllm_bytes()[:4000], "file-cut", "is cut off or broken: 4000 bytes are there"),
        (rkllm_bytes()[:9000], "file-cut", "has probably lost its end: 9000 bytes are there"),
        (rkllm_bytes(platform="rk3588"), "platform", "built for rk3588, and this is rk3576"),
    ],
    ids=["lfs", "html", "cut", "end-lost", "soc"],
)
def test_the_file_itself_is_the_root(content: bytes, rule: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "x.rkllm"
    path.write_bytes(content)
    subject = replace(QWEN, path=str(path), facts=read_file(path), exact="hf:a/b/x.rkllm")
    text = started(toolkit=None, path=str(path)) + "E rkllm: invalid rkllm model!\n"
    told = found(text + "rkllm init failed\nSegmentation fault\n", subject=subject)
    assert roots(told) == [rule]
    assert words in told.findings[0].finding.text
    assert {d.explained_by for d in told.findings[1:]} == {rule}
    command = "rkfetch qwen2.5-1.5b" if rule == "platform" else "rkfetch hf:a/b/x.rkllm"
    assert told.findings[0].finding.todo[0].startswith(command)


def test_a_file_that_is_not_here_is_only_a_hint() -> None:
    subject = replace(QWEN, missing=True)
    told = found(started(toolkit=None) + "rkllm init failed\n", subject=subject)
    assert of("file-missing", told).finding.severity is Severity.WARNING
    assert roots(told)[0] == "load-failed"


def test_a_damaged_file_of_the_store() -> None:
    subject = replace(QWEN, damaged=True, installed=True, exact="hf:a/b/x.rkllm")
    assert todo("file-damaged", found(started(), subject=subject)) == "rkfetch hf:a/b/x.rkllm"


# --- several loads -----------------------------------------------------------------------------


def test_what_happened_again_and_again_is_said_once() -> None:
    told = found((started("1.1.4", toolkit="1.2.3") + "Aborted\n") * 50)
    assert roots(told) == ["newer-than-runtime"]
    assert of("crash", told).count == 50


def test_an_error_of_one_load_does_not_explain_another() -> None:
    told = found(started("1.1.4", toolkit="1.2.3") + started() + "Segmentation fault\n")
    assert of("crash", told).explained_by is None


def test_findings_are_bounded() -> None:
    text = "".join(started("1.1.4", toolkit="1.2.3", path=f"/m/{n}.rkllm") for n in range(90))
    assert len(found(text).findings) == MOST_FINDINGS


def test_a_name_that_is_no_word_is_quoted() -> None:
    path = "/m/$(reboot) x.rkllm"
    text = started(toolkit=None, path=path) + "E rkllm: invalid rkllm model!\n"
    told = found(text, subject=Subject(reference="a b;c"))
    assert "rkfetch inspect '/m/$(reboot) x.rkllm'" in todo("no-model", told)
    assert "rkfetch 'a b;c'" in todo("no-model", told)


@pytest.mark.parametrize("name", [n for n in LINES if n != "modelfile"])
def test_every_command_that_is_advised_exists(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each is parsed with its options; --help keeps it from running."""
    board = a_board(tmp_path, driver="0.9.6")
    for where, subject in ((None, Subject()), (board, QWEN)):
        told = found(started("1.2.1") + LINES[name][0] + "\n", board=where, subject=subject)
        steps = [step for d in told.findings for step in d.finding.todo]
        for step in steps:
            command = step.removeprefix("or make one, on a PC: ").partition("   #")[0]
            if not command.startswith("rkfetch ") or "LOGFILE" in command:
                continue
            with pytest.raises(SystemExit) as stopped:
                main([*shlex.split(command)[1:], "--help"])
            assert stopped.value.code == 0, (command, capsys.readouterr().err)
