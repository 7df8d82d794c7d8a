from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import boards
from rkfetch.registry import facts
from rkfetch.registry.errors import IncompatibleError, UsageError
from rkfetch.registry.model import Platform, Quant, Target
from rkfetch.registry.sysroot import Sysroot
from rkfetch.registry.target import Board, detect, parse_memory, target_from
from rkfetch.registry.versions import Version

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def names(*strings: str) -> bytes:
    return "".join(f"{text}\0" for text in strings).encode()


@pytest.mark.parametrize(
    ("data", "name", "platform"),
    [
        (names("radxa,rock-4d", "rockchip,rk3576"), "rk3576", Platform.RK3576),
        (names("100ask,dshanpi-a1", "rockchip,rk3576"), "rk3576", Platform.RK3576),
        (names("rockchip,rk3576-dshanpi-a1", "rockchip,rk3576"), "rk3576", Platform.RK3576),
        (b"nanopi,r76s\0rockchip,rk3576", "rk3576", Platform.RK3576),
        (names("radxa,rock-5a", "rockchip,rk3588s"), "rk3588s", Platform.RK3588),
        (names("radxa,rock-5b", "rockchip,rk3588"), "rk3588", Platform.RK3588),
        (names("radxa,e52c", "rockchip,rk3582", "rockchip,rk3588s"), "rk3582", Platform.RK3588),
        (names("radxa,e52c", "rockchip,rk3588s", "rockchip,rk3582"), "rk3582", Platform.RK3588),
        (names("x,y", "rockchip,rk3583", "rockchip,rk3588"), "rk3583", Platform.RK3588),
        (names("rockchip,rk3562-evb1-lp4x-v10", "rockchip,rk3562"), "rk3562", Platform.RK3562),
        (names("rockchip,rv1126b-evb1", "rockchip,rv1126b"), "rv1126b", Platform.RV1126B),
        (names("radxa,zero3w", "rockchip,rk3566"), "rk3566", None),
        (names("radxa,rock3a", "rockchip,rk3568"), "rk3568", None),
        (names("pine64,rockpro64", "rockchip,rk3399"), "rk3399", None),
        (names("x,y", "rockchip,rk3399pro"), "rk3399pro", None),
        (names("x,y", "rockchip,rv1126"), "rv1126", None),
        (names("x,future", "rockchip,rk3688"), "rk3688", None),
    ],
)
def test_the_chip_is_the_last_whole_string(
    data: bytes, name: str, platform: Platform | None
) -> None:
    chip = facts.chip_from_compatible(data)
    assert chip is not None
    assert (chip.name, chip.platform) == (name, platform)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\0",
        names("rockchip,rk3576-evb1-v10"),
        names("rockchip,rk3576rockchip,rk3588"),
        names("xrockchip,rk3576"),
        names("rockchip,RK3576"),
        names("raspberrypi,5-model-b", "brcm,bcm2712"),
        names("rockchip,rk808"),
        "rockchip,rk\u0663\u0665\u0667\u0666\0".encode(),
        b"\xff\xfe\0rockchip,rk3576\xff\0",
    ],
)
def test_other_strings_are_no_chip(data: bytes) -> None:
    assert facts.chip_from_compatible(data) is None


@given(st.binary(max_size=200))
def test_any_bytes_give_a_chip_only_if_a_whole_string_names_it(data: bytes) -> None:
    chip = facts.chip_from_compatible(data)
    if chip is not None:
        assert f"rockchip,{chip.name}".encode() in [part.strip() for part in data.split(b"\0")]


@given(st.lists(st.sampled_from(["rk3576", "rk3588s", "rk3566", "rk3582", "evb"]), max_size=5))
def test_an_unsupported_chip_is_never_mapped(chips: list[str]) -> None:
    chip = facts.chip_from_compatible(names(*(f"rockchip,{name}" for name in chips)))
    known = [name for name in chips if name != "evb"]
    if not known:
        assert chip is None
    elif known[-1] == "rk3566":
        assert chip == facts.Chip("rk3566", None, None)
    else:
        assert chip is not None
        assert chip.platform is not None


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("Firefly ROC-RK3576-PC", "rk3576"),
        ("Rockchip RK3588S EVB", "rk3588s"),
        ("Radxa ROCK 4D", None),
        ("RK3576 carrier for RK3588", None),
        ("XRK3576Y", None),
    ],
)
def test_a_board_name_may_name_the_chip(model: str, name: str | None) -> None:
    chip = facts.chip_from_model(model)
    assert (chip.name if chip else None) == name


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("RKNPU driver: v0.9.8\n", "0.9.8"),
        ("0.9.6", "0.9.6"),
        ("RKNPU driver: v0.9", None),
        ("10.20.30.40", None),
        ("", None),
        ("v0.9.\u0668", None),
    ],
)
def test_driver_versions(text: str, version: str | None) -> None:
    assert facts.driver_from_text(text) == (Version(version) if version else None)


@given(st.text(max_size=80))
def test_any_text_is_a_driver_version_or_none(text: str) -> None:
    version = facts.driver_from_text(text)
    assert version is None or str(version.release[0]) in text


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4G", 4 << 30),
        ("4g", 4 << 30),
        ("8GB", 8 << 30),
        ("4GiB", 4 << 30),
        (" 16 GB ", 16 << 30),
        ("3800M", 3800 << 20),
        ("3911116 kB", 3911116 << 10),
        ("1.5G", 3 << 29),
        ("4294967296", 4 << 30),
        ("4294967296 B", 4 << 30),
    ],
)
def test_memory_is_read_as_boards_are_sold(text: str, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize(
    "text", ["", "G", "4", "-4G", "4X", "4 GiBs", "1e9", "4,5G", "\u0664G", "0G", "nan", "9" * 40]
)
def test_other_amounts_are_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_memory(text)
    assert caught.value.message == f"memory '{text}' is not an amount"


@given(st.integers(1, 4096))
def test_memory_units_are_a_thousand_and_twenty_four_apart(count: int) -> None:
    assert parse_memory(f"{count}G") == parse_memory(f"{count * 1024}M")


# --- detection on whole trees ------------------------------------------------------------------


def test_a_rock_4d(tmp_path: Path) -> None:
    board = detect(boards.rock_4d(tmp_path), {})
    assert board.on_board
    assert board.platform is Platform.RK3576
    assert board.platform_name == "rk3576"
    assert board.model == "Radxa ROCK 4D"
    assert board.runtime == Version("1.2.3")
    assert board.driver == Version("0.9.8")
    assert board.memory_bytes == 3_911_116 * 1024
    assert board.npu_cores == 2
    assert board.machine == "aarch64"
    assert {fact.name: (fact.value, fact.how) for fact in board.facts} == {
        "board": ("Radxa ROCK 4D", "/proc/device-tree/model"),
        "platform": ("rk3576", "/proc/device-tree/compatible"),
        "npu_cores": ("2", "what a rk3576 has"),
        "runtime": ("1.2.3", "/usr/lib/librkllmrt.so (version line in the library)"),
        "driver": ("0.9.8", "/sys/module/rknpu/version"),
        "memory": ("3.7 GiB", "/proc/meminfo, MemTotal"),
        "memory_available": ("3.1 GiB", "/proc/meminfo, MemAvailable"),
        "machine": ("aarch64", "ELF header of /usr/bin/env"),
    }


def test_a_nanopi_r76s_counts_its_cores_and_knows_its_driver(tmp_path: Path) -> None:
    board = detect(boards.nanopi_r76s(tmp_path), {})
    assert board.platform is Platform.RK3576
    assert board.driver == Version("0.9.6")
    assert board.npu_cores == 2
    assert board.runtime is None
    assert board.runtimes == ()


def test_a_cut_down_rk3588s_does_not_claim_three_cores(tmp_path: Path) -> None:
    board = detect(boards.radxa_e52c(tmp_path), {})
    assert board.platform is Platform.RK3588
    assert board.platform_name == "rk3582"
    assert board.npu_cores is None
    assert board.runtime == Version("1.2.1b1")
    fact = board.fact("platform")
    assert fact is not None
    assert fact.value == "rk3588 (rk3582)"


def test_an_unsupported_chip_is_named(tmp_path: Path) -> None:
    board = detect(boards.radxa_zero_3(tmp_path), {})
    assert board.on_board
    assert board.platform is None
    assert board.platform_name == "rk3566"
    fact = board.fact("platform")
    assert fact is not None
    assert fact.problem == "RKLLM does not run on RK3566, only on rk3576, rk3588, rk3562, rv1126b"


@pytest.mark.parametrize("build", [boards.pc, boards.bare_container, lambda root: root])
def test_off_a_board_nothing_is_guessed(tmp_path: Path, build: Callable[[Path], Path]) -> None:
    board = detect(build(tmp_path), {})
    assert not board.on_board
    assert (board.platform, board.platform_name, board.runtime, board.driver) == (None,) * 4
    assert board.npu_cores is None
    assert all(fact.how for fact in board.facts)


def test_docker_hides_the_device_tree_but_not_the_npu(tmp_path: Path) -> None:
    boards.bare_container(tmp_path)
    boards.put(
        tmp_path,
        "sys/bus/platform/devices/27700000.npu/uevent",
        "DRIVER=RKNPU\nOF_NAME=npu\nOF_COMPATIBLE_0=rockchip,rk3576-rknpu\n",
    )
    board = detect(tmp_path, {})
    assert board.platform is Platform.RK3576
    assert board.in_container


def test_the_tightest_container_limit_is_noted_and_not_taken_for_the_memory(
    tmp_path: Path,
) -> None:
    boards.rock_4d(tmp_path)
    boards.put(tmp_path, "proc/self/cgroup", "0::/a/b\n")
    boards.put(tmp_path, "sys/fs/cgroup/a/b/memory.max", "max\n")
    boards.put(tmp_path, "sys/fs/cgroup/a/memory.max", "1073741824\n")
    boards.put(tmp_path, "sys/fs/cgroup/memory.max", "2147483648\n")
    board = detect(tmp_path, {})
    assert board.memory_limit_bytes == 1 << 30
    assert board.memory_bytes == 3_911_116 * 1024


def test_the_model_names_the_chip_where_compatible_is_missing(tmp_path: Path) -> None:
    boards.device_tree(tmp_path, "Firefly ROC-RK3576-PC")
    board = detect(tmp_path, {})
    assert board.platform is Platform.RK3576
    assert board.fact("platform").how == "/proc/device-tree/model"  # type: ignore[union-attr]


def test_32_bit_programs_on_a_64_bit_kernel(tmp_path: Path) -> None:
    boards.rock_4d(tmp_path)
    boards.programs(tmp_path, boards.ARM)
    board = detect(tmp_path, {})
    assert board.machine == "arm"
    assert board.runtime is None
    assert board.runtimes[0].problem == "built for aarch64, and programs here are arm"


def test_hostile_files_are_survived(tmp_path: Path) -> None:
    boards.link(tmp_path, "proc/device-tree", "/proc/device-tree")
    boards.put(tmp_path, "proc/meminfo", b"MemTotal: \xff kB\nMemAvailable: " + b"9" * 5000)
    (tmp_path / "sys/module/rknpu").mkdir(parents=True)
    os.mkfifo(tmp_path / "sys/module/rknpu/version")
    (tmp_path / "sys/kernel/debug/rknpu/version").mkdir(parents=True)
    boards.put(tmp_path, "proc/rknpu/version", "RKNPU driver: v" + "9" * 5000)
    board = detect(tmp_path, {})
    assert not board.on_board
    assert board.driver is None
    assert board.memory_bytes is None
    driver = board.fact("driver")
    assert driver is not None
    assert driver.how == (
        "/sys/kernel/debug/rknpu/version: not a regular file; "
        "/sys/module/rknpu/version: not a regular file; "
        "/proc/rknpu/version: no version in it"
    )


def test_a_root_that_is_no_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no folder"):
        detect(tmp_path / "nowhere", {})


def test_links_stay_inside_the_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    boards.put(tmp_path, "secret", "outside")
    boards.put(root, "etc/inside", "inside")
    boards.link(root, "up", "../../../../secret")
    boards.link(root, "absolute", "/etc/inside")
    boards.link(root, "loop", "loop")
    boards.link(root, "a", "/b/x")
    boards.link(root, "b", "/a/y")
    tree = Sysroot(root=root)
    assert tree.read("/up").problem == "not there"
    assert tree.read("/../../secret").problem == "not there"
    assert tree.read("/absolute").data == b"inside"
    assert tree.read("/loop").problem == "a loop of symbolic links"
    assert tree.read("/a").problem == "a loop of symbolic links"
    assert tree.read("/etc/\0").problem == "not there"
    assert tree.resolve("/etc/../absolute/./") == "/etc/inside"
    assert list(tree.glob("/et*/in*")) == ["/etc/inside"]


def test_importing_detection_is_cheap() -> None:
    heavy = ["httpx", "rich", "sqlite_utils", "huggingface_hub", "typer"]
    code = f"import sys, rkfetch.registry.target; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# --- targets -----------------------------------------------------------------------------------

ROCK = Board(
    on_board=True,
    platform=Platform.RK3576,
    platform_name="rk3576",
    runtime=Version("1.2.3"),
    driver=Version("0.9.8"),
    memory_bytes=4 << 30,
)


def test_on_a_board_what_was_detected_completes_what_was_given() -> None:
    target = target_from(ROCK, runtime=Version("1.3.0"), context=8192, quant=Quant(4, 16))
    assert target == Target(
        platform=Platform.RK3576,
        runtime=Version("1.3.0"),
        driver=Version("0.9.8"),
        memory_bytes=4 << 30,
        context=8192,
        quant=Quant(4, 16),
    )


def test_facts_of_this_board_say_nothing_about_another_one() -> None:
    assert target_from(ROCK, platform=Platform.RK3588) == Target(platform=Platform.RK3588)


def test_a_pc_is_no_board(tmp_path: Path) -> None:
    assert target_from(detect(boards.pc(tmp_path), {})) == Target(platform=Platform.RK3576)


def test_a_runtime_in_a_container_counts(tmp_path: Path) -> None:
    boards.bare_container(tmp_path)
    boards.put(tmp_path, "usr/lib/librkllmrt.so", boards.library("1.2.3"))
    target = target_from(detect(tmp_path, {}), platform=Platform.RK3588)
    assert target == Target(platform=Platform.RK3588, runtime=Version("1.2.3"))


def test_an_unsupported_board_fetches_for_others_only() -> None:
    board = Board(on_board=True, platform_name="rk3566", memory_bytes=1 << 30)
    with pytest.raises(IncompatibleError) as caught:
        target_from(board)
    assert caught.value.message == "this board's RK3566 cannot run RKLLM models"
    assert target_from(board, platform=Platform.RK3576) == Target(platform=Platform.RK3576)
