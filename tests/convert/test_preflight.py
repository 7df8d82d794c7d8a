"""Can a machine convert? Every obstacle with its figures, before a byte is fetched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rkfetch.registry.convert.base import BaseModel
from rkfetch.registry.convert.engines import Engine, Python
from rkfetch.registry.convert.machine import Machine, Room, equipped, look, room
from rkfetch.registry.convert.plan import Wishes, make_plan
from rkfetch.registry.convert.preflight import (
    check,
    duration,
    parse_wanted,
    require_pc,
)
from rkfetch.registry.errors import ConversionUnavailableError, DiskSpaceError, UsageError
from rkfetch.registry.model import Target
from rkfetch.registry.versions import Version

if TYPE_CHECKING:
    from rkfetch.registry.convert.plan import Plan
    from rkfetch.registry.convert.preflight import (
        Chosen,
        Wanted,
    )

GB = 1_000_000_000
COMMAND = "rkfetch convert qwen3-4b --platform rk3576 --runtime 1.2.3"
PODMAN = Engine(name="podman", path="/usr/bin/podman", version="4.3.1", usable=True)
DOCKER = Engine(name="docker", path="/usr/bin/docker", why="its daemon does not answer")
PYTHON = Python(version="3.11", path="/usr/bin/python3.11")


def plan(wishes: Wishes | None = None, *, billions: float = 4, runtime: str = "1.2.3") -> Plan:
    base = BaseModel(
        name="Qwen3-4B",
        hub_id="Qwen/Qwen3-4B",
        architecture="Qwen3ForCausalLM" if runtime > "1.2" else "Qwen2ForCausalLM",
        parameters=int(billions * GB),
    )
    return make_plan(base, Target(runtime=Version(runtime)), wishes)


def machine(**known: Any) -> Machine:
    usual = {
        "system": "Linux",
        "architecture": "x86_64",
        "memory_bytes": 32 * GB,
        "engines": (PODMAN,),
        "pythons": (PYTHON,),
    }
    return Machine(**{**usual, **known})


def rooms(free: int = 100 * GB, *, device: int = 1) -> list[Room]:
    return [
        Room(what=what, path=Path(f"/{what}"), need_bytes=need, free_bytes=free, device=device)
        for what, need in [("base", 8 * GB), ("file", 5 * GB), ("toolkit", 5 * GB)]
    ]


def checked(
    made: Plan | None = None, here: Machine | None = None, *, free: int = 100 * GB, **how: Any
) -> Chosen:
    return check(made or plan(), here or machine(), rooms(free), command=COMMAND, **how)


def refused(made: Plan | None = None, here: Machine | None = None, **how: Any) -> str:
    with pytest.raises(ConversionUnavailableError) as caught:
        checked(made, here, **how)
    error = caught.value
    assert COMMAND in (error.hint or "")
    return "\n".join([error.message, *error.cause, error.hint or ""])


def test_a_board_is_refused_with_the_command_for_a_pc() -> None:
    board = machine(architecture="aarch64", board="Radxa ROCK 4D")
    with pytest.raises(ConversionUnavailableError, match="ROCK 4D") as caught:
        require_pc("qwen3-4b", board, COMMAND)
    assert caught.value.exit_code == 10
    assert caught.value.hint == f"on an x86_64 Linux PC: {COMMAND}"
    with pytest.raises(ConversionUnavailableError, match="Darwin on arm64"):
        require_pc("qwen3-4b", machine(system="Darwin", architecture="arm64"), COMMAND)
    require_pc("qwen3-4b", machine(), COMMAND)


class TestEnvironment:
    def test_a_container_comes_first(self) -> None:
        assert checked().engine is PODMAN
        assert checked().image_python == "3.11"
        assert checked(wanted="venv").python is PYTHON

    def test_an_engine_that_does_not_work_is_passed_over(self) -> None:
        assert checked(here=machine(engines=(DOCKER,))).python is PYTHON
        assert "its daemon does not answer" in refused(
            here=machine(engines=(DOCKER,)), wanted="container"
        )

    def test_without_either(self) -> None:
        said = refused(here=machine(engines=(), pythons=()))
        assert "neither podman nor docker" in said
        assert "3.9, 3.10, 3.11, 3.12" in said
        assert "install podman" in said

    def test_a_python_that_the_release_has_no_wheel_for_is_none(self) -> None:
        old = Python(version="3.9", path="/usr/bin/python3.9")
        here = machine(engines=(), pythons=(old,))
        assert checked(here=here).python is old
        assert "3.10, 3.11, 3.12" in refused(plan(runtime="1.3.0"), here)

    def test_a_python_that_cannot_make_an_environment_is_named(self) -> None:
        bare = Python(version="3.11", path="/usr/bin/python3", usable=False, why="no ensurepip")
        assert "no ensurepip" in refused(here=machine(engines=(), pythons=(bare,)))

    def test_musl(self) -> None:
        said = refused(here=machine(engines=(), is_musl=True))
        assert "musl" in said
        assert checked(here=machine(is_musl=True)).engine is PODMAN

    def test_what_is_none_of_the_three(self) -> None:
        assert parse_wanted("venv") == "venv"
        with pytest.raises(UsageError, match="vm"):
            parse_wanted("vm")


class TestMemory:
    def test_eight_gigabytes_for_four_billion_parameters(self) -> None:
        said = refused(here=machine(memory_bytes=8 * GB))
        assert "17.0 GB of memory at float32; 8.0 GB are free" in said
        assert "9.0 GB more swap" in said
        assert "--dtype bfloat16 takes about 8.5 GB" in said
        assert "--on ssh://" in said

    def test_half_types_are_no_way_out_where_they_would_not_fit(self) -> None:
        assert "--dtype" not in refused(here=machine(memory_bytes=4 * GB))
        assert "--dtype" not in refused(plan(Wishes(dtype="float16")), machine(memory_bytes=4 * GB))
        assert "--dtype" not in refused(plan(runtime="1.1.4"), machine(memory_bytes=8 * GB))

    def test_swap_counts_and_is_said(self) -> None:
        done = checked(here=machine(memory_bytes=8 * GB, swap_bytes=24 * GB))
        assert any("swap" in warning for warning in done.warnings)
        assert checked().warnings == ()

    def test_a_little_too_little_is_tried(self) -> None:
        done = checked(here=machine(memory_bytes=16 * GB))
        assert any("want of memory" in warning for warning in done.warnings)

    def test_memory_that_cannot_be_read_is_said(self) -> None:
        assert checked(here=machine(memory_bytes=None)).warnings


class TestRoom:
    def test_parts_on_one_disk_add_up(self) -> None:
        checked(free=18 * GB)
        with pytest.raises(DiskSpaceError) as caught:
            checked(free=17 * GB)
        assert caught.value.need_bytes == 18 * GB
        assert caught.value.have_bytes == 17 * GB
        assert "8.0 GB for base, 5.0 GB for file, 5.0 GB for toolkit" in caught.value.cause[0]

    def test_with_another_obstacle_it_is_one_of_several(self) -> None:
        said = refused(here=machine(memory_bytes=GB), free=GB)
        assert "1.0 GB are free, and it takes" in said
        assert "more swap" in said

    def test_what_is_not_there_yet_is_on_the_disk_above_it(self, tmp_path: Path) -> None:
        seen = room("x", tmp_path / "a" / "b", 5)
        assert seen.device == tmp_path.stat().st_dev
        assert seen.free_bytes > 0
        assert not (tmp_path / "a").exists()


def test_a_gpu_that_is_not_there() -> None:
    said = refused(plan(Wishes(device="cuda")))
    assert "nvidia-smi" in said
    assert "--device cpu" in said
    assert checked(plan(Wishes(device="cuda")), machine(has_gpu=True)).engine is PODMAN


def test_this_machine_can_be_looked_at() -> None:
    here = look()
    assert here.system == "Linux"
    assert here.memory_bytes is None or here.memory_bytes > 1 << 20


@pytest.mark.parametrize(
    ("wanted", "works", "asked"),
    [
        ("auto", True, ["podman"]),
        ("auto", False, ["podman", "python3.11"]),
        ("container", False, ["podman"]),
        ("venv", True, ["python3.11"]),
    ],
)
def test_only_what_may_be_taken_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: Wanted, works: bool, asked: list[str]
) -> None:
    """Asking an engine and some Pythons takes a second or two."""
    programs = {"podman": f"exit {int(not works)}", "python3.11": "echo 3.11; echo /x/python3.11"}
    for name, script in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\necho {name} >> {tmp_path}/asked\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    here = equipped(look(), wanted)
    assert sorted(set((tmp_path / "asked").read_text().split())) == asked
    assert [e.name for e in here.engines] == [n for n in asked if n == "podman"]
    assert [p.version for p in here.pythons] == ["3.11" for n in asked if n == "python3.11"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        ((20, 90), "1 to 2 minutes"),
        ((1240, 2840), "21 to 48 minutes"),
        ((3200, 7260), "0.9 to 2.5 hours"),
    ],
)
def test_times_in_words(seconds: tuple[int, int], words: str) -> None:
    assert duration(seconds) == words
