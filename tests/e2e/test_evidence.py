"""What is known and what is seen, through the installed command against the loopback Hub."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from e2e.world import QWEN, W4, W8

if TYPE_CHECKING:
    from e2e.world import World

pytestmark = pytest.mark.once

HERE = ("--runtime", "1.2.3")
SEEN = ("--platform", "rk3576", *HERE)
LIAR = "liar/Qwen2.5-1.5B-Instruct-RKLLM"
MIRROR = "mirror/Qwen2.5-1.5B-Instruct-RKLLM"


def test_what_was_tried_and_failed_makes_room_for_another_build(qwen: World) -> None:
    path = qwen.run("qwen2.5-1.5b", *HERE, "--quiet").out.strip()
    assert path.endswith(W4.rpartition("/")[2])
    added = qwen.run("catalog", "add", path, "--fails", "--note", "never stops", *SEEN)
    assert added.code == 0, added.err
    other = qwen.run("qwen2.5-1.5b", *HERE)
    assert (other.code, other.out.strip().endswith(W8.rpartition("/")[2])) == (0, True)
    assert "you saw it fail on rk3576, runtime 1.2.3" in " ".join(other.err.split())
    assert qwen.run("catalog", "remove", added.out.strip()).code == 0
    assert qwen.run("qwen2.5-1.5b", *HERE, "--quiet").out.strip() == path


def test_the_log_of_the_installed_file_is_known_by_its_path(qwen: World, tmp_path: Path) -> None:
    path = qwen.run("qwen2.5-1.5b", *HERE, "--quiet").out.strip()
    log = tmp_path / "load.log"
    log.write_text(
        "I rkllm: rkllm-runtime version: 1.2.3, rknpu driver version: 0.9.8, platform: RK3576\n"
        f"I rkllm: loading rkllm model from {path}\n"
        "I rkllm: rkllm-toolkit version: 1.2.3, max_context_limit: 4096, npu_core_num: 2, "
        "target_platform: RK3576, model_dtype: W4A16\n",
        "utf-8",
    )
    (load,) = qwen.run("catalog", "report", str(log), "--json").json["loads"]
    assert (load["how"], load["outcome"]) == ("it is the installed file", "loads")
    assert (load["artifact"]["repo"], load["artifact"]["sha256"]) == (QWEN, qwen.sha256(W4))
    assert str(Path(path).parent) not in str(load["addition"])


def test_a_lie_that_an_update_found_is_a_message_that_can_be_checked(world: World) -> None:
    path = "Qwen2.5-1.5B-Instruct_RK3576_w4a16_rkllm1.2.3.rkllm"
    world.add(path, repo=LIAR, toolkit="1.3.0")
    world.update()
    message = world.run("catalog", "conflicts", "--repo", LIAR, "--format", "markdown").out
    assert f"| `{path}` | rkllm-toolkit version | 1.2.3 |" in message
    (command,) = [x for x in message.splitlines() if x.startswith("rkfetch inspect ")]
    assert world.run(*shlex.split(command)[1:], "--json").json["toolkit"] == "1.3.0"


def test_the_same_file_in_two_repositories_is_one_build(world: World) -> None:
    world.add(W4, seed=1)
    world.add(W4, seed=1, repo=MIRROR)
    world.update()
    told = world.run("explain", "qwen2.5-1.5b", *HERE).out
    assert told.count("exact: made by toolkit 1.2.3") == 1
    assert told.count(f"also in {MIRROR}/{W4}") + told.count(f"also in {QWEN}/{W4}") == 1
    answer = world.run("resolve", "qwen2.5-1.5b", *HERE, "--json").json
    assert len(answer["artifact"]["also"]) == 1
    assert {MIRROR, QWEN} == {answer["artifact"]["repo"], answer["artifact"]["also"][0]["repo"]}
