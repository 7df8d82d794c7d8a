from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

import boards
from rkfetch.cli.main import main
from rkfetch.registry.distribution import Distribution, Kind
from rkfetch.registry.doctor import examine
from rkfetch.registry.errors import UsageError
from rkfetch.registry.finding import Severity
from rkfetch.registry.model import Platform
from rkfetch.registry.npu_nodes import NpuNode
from rkfetch.registry.runtimes import RuntimeFound
from rkfetch.registry.surroundings import Surroundings, TokenState
from rkfetch.registry.target import Board
from rkfetch.registry.versions import Version

if TYPE_CHECKING:
    from pathlib import Path

    from rkfetch.registry.finding import Finding

GOOD = Board(
    on_board=True,
    platform=Platform.RK3576,
    platform_name="rk3576",
    runtime=Version("1.2.3"),
    driver=Version("0.9.8"),
    memory_bytes=4 << 30,
    memory_available_bytes=3 << 30,
    npu_cores=2,
    model="Radxa ROCK 4D",
    machine="aarch64",
    open_files=65_536,
)
HERE = Surroundings(store="/home/rock/.local/share/rkfetch", is_writable=True, free_bytes=10**11)


def of(rule: str, board: Board = GOOD, surroundings: Surroundings | None = None) -> Finding:
    (found,) = [f for f in examine(board, surroundings) if f.rule == rule]
    return found


def severities(board: Board, surroundings: Surroundings | None = None) -> dict[str, str]:
    return {f.rule: f.severity.value for f in examine(board, surroundings)}


def test_a_good_board_is_well() -> None:
    assert severities(GOOD, HERE) == {"platform": "ok", "runtime": "ok", "driver": "ok"}


@pytest.mark.parametrize(
    ("driver", "severity"),
    [
        ("0.9.9", "ok"),
        ("0.9.8", "ok"),
        ("0.9.7", "note"),
        ("0.9.6", "warning"),
        ("0.9.2", "warning"),
        ("0.8.2", "problem"),
        (None, "warning"),
    ],
)
def test_drivers(driver: str | None, severity: str) -> None:
    board = replace(GOOD, driver=Version(driver) if driver else None)
    assert of("driver", board).severity.value == severity


def test_an_old_driver_is_updated_the_vendors_way() -> None:
    old = replace(GOOD, driver=Version("0.9.6"))
    assert of("driver", old).todo == (
        "sudo rsetup, there System -> System Update: brings 0.9.8; then reboot",
    )
    assert of("driver", old).source == "https://github.com/airockchip/rknn-llm/issues/97"
    other = replace(old, model="FriendlyElec NanoPi R76S")
    assert "vendor's newest kernel" in of("driver", other).todo[0]


def test_rocket_cannot_serve_rkllm() -> None:
    finding = of("driver", replace(GOOD, driver=None, has_rocket=True))
    assert finding.severity is Severity.PROBLEM
    assert "rocket" in finding.text


@pytest.mark.parametrize(
    ("runtime", "severity"),
    [
        ("1.0.1", "problem"),
        ("1.1.4", "warning"),
        ("1.2.0", "ok"),
        ("1.2.1b1", "note"),
        ("1.2.3", "ok"),
        ("1.3.0", "note"),
        ("1.3.1", "note"),
        (None, "problem"),
    ],
)
def test_runtimes(runtime: str | None, severity: str) -> None:
    board = replace(GOOD, runtime=Version(runtime) if runtime else None)
    assert of("runtime", board).severity.value == severity


def test_a_missing_runtime_comes_with_its_commands() -> None:
    finding = of("runtime", replace(GOOD, runtime=None))
    assert finding.text == "no librkllmrt.so was found"
    release = "https://github.com/airockchip/rknn-llm/raw/release-v1.2.3"
    assert finding.todo[:3] == (
        f"curl -LO {release}/rkllm-runtime/Linux/librkllm_api/aarch64/librkllmrt.so",
        (
            "(printf 'blob %s\\0' $(stat -c %s librkllmrt.so); cat librkllmrt.so) | sha1sum"
            "   # must print 0084abc34ab43359cfa9fd5d4c92ece34127dbd0"
        ),
        "sudo install -m 644 librkllmrt.so /usr/lib/ && sudo ldconfig && rkfetch doctor",
    )
    on_32_bit = of("runtime", replace(GOOD, runtime=None, machine="arm"))
    assert "/armhf/librkllmrt.so" in on_32_bit.todo[0]


def test_an_unusable_or_unknown_runtime_is_told_apart_from_none() -> None:
    broken = RuntimeFound(path="/usr/lib/librkllmrt.so", problem="not readable by this user")
    finding = of("runtime", replace(GOOD, runtime=None, runtimes=(broken,)))
    assert finding.text == (
        "no usable librkllmrt.so: /usr/lib/librkllmrt.so (not readable by this user)"
    )
    unknown = RuntimeFound(path="/usr/lib/librkllmrt.so", usable=True, counts=True)
    finding = of("runtime", replace(GOOD, runtime=None, runtimes=(unknown,)))
    assert finding.severity is Severity.WARNING
    assert finding.text == "the version of /usr/lib/librkllmrt.so is unknown"


@pytest.mark.parametrize(("shared", "severity"), [(True, "problem"), (False, "warning")])
def test_copies_that_disagree(shared: bool, severity: str) -> None:
    first = RuntimeFound(
        path="/usr/lib/librkllmrt.so",
        version=Version("1.2.3"),
        usable=True,
        counts=True,
        shared=True,
    )
    second = RuntimeFound(
        path="/x/librkllmrt.so", version=Version("1.3.0"), usable=True, shared=shared
    )
    board = replace(GOOD, runtimes=(first, second))
    assert of("runtime-copies", board).severity.value == severity


def test_an_unsupported_chip_is_a_problem() -> None:
    board = replace(GOOD, platform=None, platform_name="rk3566")
    assert of("platform", board).text == "RKLLM does not run on RK3566"
    assert severities(replace(board, runtime=None, driver=None)) == {"platform": "problem"}


def test_a_cut_down_chip_is_warned_about() -> None:
    board = replace(GOOD, platform=Platform.RK3588, platform_name="rk3582", npu_cores=None)
    assert of("npu-cores", board).text == (
        "RK3582 has an unknown number of NPU cores, and files for rk3588 may be built for 3"
    )
    assert of("npu-cores", replace(board, npu_cores=2)).severity is Severity.WARNING


def test_little_memory() -> None:
    board = replace(GOOD, memory_bytes=10**9, memory_available_bytes=3 * 10**8)
    assert of("memory", board).severity is Severity.WARNING
    assert of("memory-available", board).text == "only 300 MB of memory are available now"


def test_limits_of_container_and_process() -> None:
    board = replace(GOOD, memory_limit_bytes=1 << 30, machine="arm", open_files=1024)
    assert of("memory-limit", board).todo == ("to stay within it: --memory 1024M",)
    assert of("32-bit", board).severity is Severity.WARNING
    assert of("open-files", board).todo == ("before starting one: ulimit -n 10240",)


def test_off_a_board_the_defaults_are_said() -> None:
    finding = of("no-board", Board(on_board=False))
    assert finding.severity is Severity.NOTE
    assert finding.why == (
        "rkfetch then resolves for rk3576, and the runtime's version must be given"
    )
    assert severities(Board(on_board=False)) == {"no-board": "note"}
    foreign = RuntimeFound(path="/usr/lib/librkllmrt.so", problem="built for aarch64, …")
    assert severities(Board(on_board=False, runtimes=(foreign,))) == {"no-board": "note"}
    container = of("no-board", Board(on_board=False, in_container=True))
    assert "--privileged" in container.todo[1]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"is_writable": False}, {"store": "problem"}),
        ({"store": None}, {"store": "problem"}),
        ({"overrides": ("runtime 1.2.3 (RKFETCH_RUNTIME)",)}, {"overrides": "note"}),
        ({"free_bytes": 10**9}, {"disk": "warning"}),
        ({"free_bytes": None}, {}),
        ({"is_offline": True}, {"offline": "note"}),
        ({"endpoint": "https://hf-mirror.com"}, {"endpoint": "note"}),
        ({"settings_problems": (UsageError("x"),)}, {"settings": "problem"}),
        ({"settings_unknown": ("x",)}, {"settings-unknown": "note"}),
        ({"token": TokenState.SET}, {"token": "ok"}),
        ({"token": TokenState.BROKEN}, {"token": "warning"}),
    ],
)
def test_the_machines_set_up(change: dict[str, Any], expected: dict[str, str]) -> None:
    assert severities(GOOD, replace(HERE, **change)) == {
        "platform": "ok",
        "runtime": "ok",
        "driver": "ok",
        **expected,
    }


def test_the_worst_comes_first() -> None:
    board = replace(GOOD, driver=Version("0.8.2"), runtime=Version("1.1.4"))
    ranks = [f.severity.rank for f in examine(board, HERE)]
    assert ranks == sorted(ranks)


# --- the command -------------------------------------------------------------------------------


def run(*args: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["doctor", *args])
    assert isinstance(stop.value.code, int)
    return stop.value.code


def test_the_screen_of_a_rock_4d(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--sysroot", str(boards.rock_4d(tmp_path, driver="0.9.6"))) == 0
    assert (
        capsys.readouterr().out
        == """\
Radxa ROCK 4D (RK3576), runtime 1.2.3, driver 0.9.6

  board             Radxa ROCK 4D  /proc/device-tree/model
  platform          rk3576         /proc/device-tree/compatible
  npu cores         2              what a rk3576 has
  runtime           1.2.3          /usr/lib/librkllmrt.so (version line in the library)
  driver            0.9.6          /sys/module/rknpu/version
  memory            3.7 GiB        /proc/meminfo, MemTotal
  memory available  3.1 GiB        /proc/meminfo, MemAvailable
  machine           aarch64        ELF header of /usr/bin/env

warning  NPU driver 0.9.6 is too old: RKLLM asks for 0.9.8
         why: the runtime warns and small models answer, but it cannot allocate about 4 GB at once,
              whatever memory is free: larger models fail to load
         do:  sudo rsetup, there System -> System Update: brings 0.9.8; then reboot
         see: https://github.com/airockchip/rknn-llm/issues/97
ok       RK3576 runs RKLLM files made for rk3576
ok       runtime 1.2.3 loads files of toolkits 1.1.0 to 1.2.3
"""
    )


def test_commands_are_printed_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("--sysroot", str(boards.nanopi_r76s(tmp_path)))
    out = capsys.readouterr().out
    assert (
        "         do:  curl -LO https://github.com/airockchip/rknn-llm/raw/release-v1.2.3/" in out
    )
    assert "/aarch64/librkllmrt.so\n" in out


def test_check_fails_only_for_problems(tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    boards.rock_4d(good, driver="0.9.6")
    boards.rock_4d(bad, driver="0.8.2")
    assert run("--sysroot", str(good), "--check") == 0
    assert run("--sysroot", str(bad)) == 0
    assert run("--sysroot", str(bad), "--check") == 3


def test_json_says_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--sysroot", str(boards.radxa_e52c(tmp_path)), "--json") == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    answer = json.loads(out)
    assert list(answer) == [
        *("schema_version", "board", "facts", "runtimes"),
        *("settings", "config_files", "findings"),
    ]
    assert answer["settings"] == answer["config_files"] == []  # it is another machine
    assert answer["schema_version"] == 1
    assert answer["board"]["platform"] == "rk3588"
    assert answer["board"]["platform_name"] == "rk3582"
    assert answer["board"]["memory_bytes"] == 8_133_000 * 1024
    assert answer["board"]["npu_cores"] is None
    assert answer["runtimes"][0]["version"] == "1.2.1b1"
    assert {f["rule"] for f in answer["findings"]} == {"npu-cores", "runtime", "driver"}


def test_a_hostile_board_name_cannot_reach_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    boards.device_tree(tmp_path, "evil\x1b[2J\u202e board", "rockchip,rk3576")
    run("--sysroot", str(tmp_path))
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "evil\\x1b[2J\\x202e board" in out


def test_copies_are_listed_where_there_are_several(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    boards.rock_4d(tmp_path)
    boards.put(tmp_path, "usr/local/lib/librkllmrt.so", boards.library("1.3.0"))
    assert run("--sysroot", str(tmp_path), "--check") == 3
    out = capsys.readouterr().out
    assert "copies of librkllmrt.so:\n" in out
    assert "problem  copies disagree: 1.2.3 in /usr/lib/librkllmrt.so counts" in out


def test_this_machine_is_looked_at_without_telling_secrets(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = boards.put(tmp_path, "file", "")
    monkeypatch.setenv("HF_TOKEN", "hf_SECRET")
    monkeypatch.setenv("HF_ENDPOINT", "http://mirror.example/hub?key=SECRET")
    monkeypatch.setenv("RKFETCH_RUNTIME", "1.2.3")
    monkeypatch.setenv("RKFETCH_HOME", str(file / "below"))
    monkeypatch.setenv("RKFETCH_OFFLINE", "1")
    assert run("--json") == 0
    out = capsys.readouterr().out
    assert "SECRET" not in out
    findings = {f["rule"]: f for f in json.loads(out)["findings"]}
    assert findings["store"]["severity"] == "problem"
    assert "http://mirror.example" in findings["endpoint"]["text"]
    assert findings["overrides"]["text"] == "set by hand: runtime 1.2.3 (RKFETCH_RUNTIME)"
    assert {"token", "offline"} <= set(findings)
    assert not (tmp_path / "home/rkfetch").exists()


def test_a_wrong_set_up_is_a_finding_not_a_failure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "with space")
    monkeypatch.setenv("HF_ENDPOINT", "nonsense")
    assert run() == 0
    out = capsys.readouterr().out
    assert "problem  HF_ENDPOINT: 'nonsense' is not an address" in out
    assert "warning  the Hugging Face token contains characters that no token has" in out
    assert "with space" not in out


def test_a_wrong_sysroot_is_a_wrong_argument(tmp_path: Path) -> None:
    assert run("--sysroot", str(tmp_path / "nowhere")) == 2


# --- with a model --------------------------------------------------------------------------------


def test_a_model_s_needs_come_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = str(boards.rock_4d(tmp_path, runtime="1.1.4"))
    assert run("qwen2.5-1.5b", "--sysroot", root, "--check") == 3
    out = capsys.readouterr().out
    assert "problem  runtime 1.1.4 here; builds of qwen2.5-1.5b" in out
    assert out.count("curl -LO") == 1
    assert run("qwen2.5-1.5b", "--sysroot", root, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["findings"][0]["rule"] == "model"
    model = answer["model"]
    assert (model["model"], model["ready"]) == ("Qwen/Qwen2.5-1.5B-Instruct", False)
    assert (model["runtime"], model["least_runtime"], model["driver"]) == ("1.2.3", "1.2.3", None)
    assert model["build"]["repo"] == "HanzoHuang/Qwen2.5-1.5B-Instruct-RKLLM"


def test_a_board_that_runs_the_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = str(boards.rock_4d(tmp_path))
    assert run("qwen2.5-1.5b", "--sysroot", root, "--check") == 0
    assert "ok       this board runs qwen2.5-1.5b" in capsys.readouterr().out


def test_a_model_that_nobody_knows(tmp_path: Path) -> None:
    assert run("nonsense-9b", "--sysroot", str(boards.rock_4d(tmp_path))) == 4


def test_devices_that_may_not_be_opened() -> None:
    closed = (NpuNode(path="/dev/dri/renderD129", openable=False),)
    finding = of("npu-device", replace(GOOD, npu_nodes=closed))
    assert finding.text == "you may not open /dev/dri/renderD129"
    assert "usermod" in finding.todo[0]
    none = of("npu-device", replace(GOOD, npu_nodes=()))
    assert "no device" in none.text
    assert "--device" in of("npu-device", replace(GOOD, npu_nodes=(), in_container=True)).todo[0]
    opened = (NpuNode(path="/dev/rknpu", openable=True), *closed)
    assert "npu-device" not in severities(replace(GOOD, npu_nodes=opened))


def test_each_distribution_has_its_own_way() -> None:
    armbian = Distribution(kind=Kind.ARMBIAN, name="Armbian", how="x", branch="current")
    board = replace(GOOD, driver=None, has_rocket=True, distribution=armbian)
    assert "linux-image-vendor-rk35xx" in of("driver", board).todo[0]
