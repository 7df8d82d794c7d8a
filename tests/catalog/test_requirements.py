"""What a board needs for a model: nothing, another runtime, a newer driver, or what else."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from rkfetch.catalog.answer import Answer
from rkfetch.catalog.models import parse_reference
from rkfetch.catalog.requirements import about_model, requirement
from rkfetch.registry.finding import Severity
from rkfetch.registry.model import Artifact, Evidence, Origin, Platform, Target, settle
from rkfetch.registry.resolve import resolve
from rkfetch.registry.runtimes import RuntimeFound
from rkfetch.registry.target import Board
from rkfetch.registry.versions import Version

if TYPE_CHECKING:
    from rkfetch.registry.finding import Finding

pytestmark = pytest.mark.once

BOARD = Board(on_board=True, platform=Platform.RK3576, model="Radxa ROCK 4D", machine="aarch64")


def build(toolkit: str, *, size: int = 10**9, platform: str = "rk3576") -> Artifact:
    values = {"toolkit": toolkit, "platform": platform, "quant": "w8a8", "context": "4096"}
    values["model"] = "Qwen2.5-1.5B-Instruct"
    evidence = [
        Evidence(attribute=name, value=value, origin=Origin.HEADER, place="header")
        for name, value in values.items()
    ]
    return Artifact(
        source="huggingface",
        repo="alice/Qwen",
        path=f"{platform}-{toolkit}.rkllm",
        size_bytes=size,
        attributes=settle(evidence),
    )


def ask(
    *artifacts: Artifact, runtime: str | None, driver: str = "0.9.8", memory: int | None = None
) -> Answer:
    target = Target(
        platform=Platform.RK3576,
        runtime=Version(runtime) if runtime else None,
        driver=Version(driver),
        memory_bytes=memory,
    )
    return Answer(
        reference=parse_reference("qwen2.5-1.5b"),
        model="Qwen/Qwen2.5-1.5B-Instruct",
        target=target,
        resolution=resolve(artifacts, target),
    )


def told(answer: Answer) -> Finding:
    return about_model(answer, BOARD)


def test_what_suffices_is_said_to() -> None:
    finding = told(ask(build("1.2.3"), runtime="1.2.3"))
    assert finding.severity is Severity.OK
    assert finding.text.startswith("this board runs qwen2.5-1.5b")
    assert finding.todo == ("rkfetch qwen2.5-1.5b",)


def test_too_old_a_runtime() -> None:
    answer = ask(build("1.2.1"), build("1.2.3"), runtime="1.1.4")
    finding = told(answer)
    assert finding.severity is Severity.PROBLEM
    assert finding.text == (
        "runtime 1.1.4 here; builds of qwen2.5-1.5b (Qwen/Qwen2.5-1.5B-Instruct) need 1.2.1 or "
        "later"
    )
    assert "release-v1.2.1/" in finding.todo[0]
    assert finding.todo[-1] == "rkfetch qwen2.5-1.5b   # takes alice/Qwen/rk3576-1.2.1.rkllm"


def test_a_beta_s_files_are_run_by_the_release() -> None:
    needed = requirement(ask(build("1.2.1b1"), runtime="1.2.0"))
    assert needed is not None
    assert (needed.runtime, needed.least_runtime) == (Version("1.2.1"), Version("1.2.1"))


def test_no_runtime_at_all() -> None:
    finding = told(ask(build("1.2.2"), runtime=None))
    assert finding.text.startswith("no runtime here; builds of")
    assert "release-v1.2.2/" in finding.todo[0]


def test_a_runtime_of_an_unknown_version() -> None:
    library = RuntimeFound(path="/usr/lib/librkllmrt.so", usable=True, counts=True)
    finding = about_model(ask(build("1.2.2"), runtime=None), replace(BOARD, runtimes=(library,)))
    assert finding.text.startswith("the runtime's version is unknown; builds of")


def test_a_runtime_that_is_too_new() -> None:
    finding = told(ask(build("1.2.3"), runtime="1.3.0"))
    assert "want 1.2.3, which is older" in finding.text
    assert "release-v1.2.3/" in finding.todo[0]


def test_an_old_driver_for_a_large_file() -> None:
    answer = ask(build("1.2.3", size=4 * 10**9), runtime="1.2.3", driver="0.9.6")
    finding = told(answer)
    assert finding.text == "NPU driver 0.9.6 here; they need 0.9.7 or later"
    assert "rsetup" in finding.todo[0]
    assert finding.todo[-1].startswith("rkfetch qwen2.5-1.5b")


def test_both_too_old() -> None:
    finding = told(ask(build("1.2.3", size=4 * 10**9), runtime="1.1.4", driver="0.9.2"))
    assert "need 1.2.3 or later; NPU driver 0.9.2 here" in finding.text
    assert "release-v1.2.3/" in finding.todo[0]
    assert any("rsetup" in step for step in finding.todo)


@pytest.mark.parametrize(
    "answer",
    [
        ask(build("1.2.3", platform="rk3588"), runtime="1.2.3"),
        ask(build("1.2.3"), runtime="1.2.3", memory=10**9),
    ],
    ids=["another SoC", "memory"],
)
def test_what_no_update_mends(answer: Answer) -> None:
    finding = told(answer)
    assert requirement(answer) is None
    assert finding.severity is Severity.PROBLEM
    assert finding.why


def test_headers_that_were_not_read_may_tell_more() -> None:
    unknown = replace(build("1.2.3"), attributes=settle([]))
    nothing = replace(ask(unknown, runtime="1.2.3"), unread="not read")
    finding = told(nothing)
    assert finding.severity is Severity.WARNING
    assert finding.todo[0].startswith("rkfetch resolve qwen2.5-1.5b   # online")
    some = replace(ask(unknown, build("1.2.3"), runtime="1.1.4"), unread="not read")
    assert told(some).todo[-1].startswith("or perhaps as it is: rkfetch resolve qwen2.5-1.5b")
