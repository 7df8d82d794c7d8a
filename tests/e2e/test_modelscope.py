"""From ModelScope to a verified file, with the installed command and processes that are killed."""

from __future__ import annotations

import hashlib
import signal
import time
from typing import TYPE_CHECKING

import pytest

from hub.server import Fault
from rkllm_files import rkllm_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from e2e.world import World
    from hub.repos import RepoFile

pytestmark = pytest.mark.once

REPO = "boards/RK3576-LLM-Qwen3-0.6B"
FILE = "通义千问/Qwen3-0.6B_w4a16_rk3576.rkllm"
HERE = ("--platform", "rk3576", "--runtime", "1.2.3")
SIZE = 12_000_000


@pytest.fixture
def build(world: World) -> RepoFile:
    """Publish a build on ModelScope alone."""
    repo = world.hub.modelscope.add_repo(REPO, title="瑞芯微开发板")
    return repo.add_file(FILE, rkllm_bytes(body_bytes=SIZE))


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_build_of_modelscope_is_found_fetched_and_then_here(
    world: World, build: RepoFile
) -> None:
    world.update()
    done = world.run("qwen3-0.6b", *HERE, "--json")
    assert done.code == 0, done.err
    artifact = done.json["artifact"]
    assert (artifact["source"], artifact["repo"], artifact["path"]) == ("modelscope", REPO, FILE)
    assert artifact["sha256"] == build.sha256
    (model,) = world.models()
    assert sha256(model) == build.sha256
    assert str(model) == done.json["path"]
    world.hub.forget()
    assert world.run("qwen3-0.6b", *HERE, "--json").json["action"] == "present"
    assert world.hub.requests == []
    listed = world.run("resolve", "qwen3-0.6b", *HERE, "--quiet").out
    assert listed == f"ms:{REPO}/{FILE}\n"


@pytest.mark.parametrize(
    "form",
    [
        "ms:{repo}/{file}",
        "modelscope:{repo}/{file}@master",
        "{base}/models/{repo}/resolve/master/{file}",
        "{base}/models/{repo}/file/view/master/{file}?status=2",
    ],
)
def test_one_file_named_exactly_needs_no_catalog(world: World, build: RepoFile, form: str) -> None:
    name = form.format(base=world.hub.modelscope.url, repo=REPO, file=FILE)
    done = world.run(name, *HERE, "--quiet")
    assert done.code == 0, done.err
    (model,) = world.models()
    assert (done.out, sha256(model)) == (f"{model}\n", build.sha256)


def test_its_header_can_be_inspected(world: World, build: RepoFile) -> None:
    for name in (
        f"ms:{REPO}/{FILE}",
        f"{world.hub.modelscope.url}/models/{REPO}/resolve/master/{FILE}",
    ):
        done = world.run("inspect", name, "--json")
        assert (done.code, done.json["toolkit"]) == (0, "1.2.3")
    assert world.hub.data_bytes() < 200_000


@pytest.mark.parametrize("by", ["cdn", "gateway"])
def test_after_sigkill_a_new_process_goes_on(world: World, build: RepoFile, by: str) -> None:
    if by == "gateway":
        world.hub.modelscope.by_gateway.add(FILE)
    world.update()
    hold = world.hub.hold(f"*{FILE}", int(SIZE * 0.6))
    process = world.start("qwen3-0.6b", *HERE)
    assert hold.reached.wait(60)
    world.wait_for_partial(SIZE * 0.3)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    hold.released.set()
    world.hub.forget()
    done = world.run("qwen3-0.6b", *HERE)
    assert done.code == 0, done.err
    assert "were here already" in done.err
    (model,) = world.models()
    assert sha256(model) == build.sha256
    assert world.hub.data_bytes(FILE) < SIZE


def test_a_flipped_byte_never_becomes_a_model(world: World, build: RepoFile) -> None:
    world.update()
    world.hub.break_it(Fault(path=f"*{FILE}", flip_at=SIZE // 2))
    done = world.run("qwen3-0.6b", *HERE)
    assert (done.code, done.out) == (7, "")
    assert world.models() == []


def test_what_is_missing_gated_or_out_of_reach_has_its_exit_code(
    world: World, build: RepoFile
) -> None:
    assert world.run(f"ms:{REPO}/no.rkllm", *HERE).code == 4
    assert world.run("ms:nobody/nothing/no.rkllm", *HERE).code == 4
    gated = world.hub.modelscope.add_repo("boards/gated-rkllm", gated=True)
    gated.add_file("x.rkllm", rkllm_bytes())
    done = world.run("ms:boards/gated-rkllm/x.rkllm", *HERE)
    assert done.code == 5
    assert f"{world.hub.modelscope.url}/models/boards/gated-rkllm" in done.err
    away = {"MODELSCOPE_ENDPOINT": "http://127.0.0.1:9", "RKFETCH_CONNECTIONS": "1"}
    assert world.run("resolve", f"ms:{REPO}/{FILE}", *HERE, **away).code == 6


def test_an_update_that_is_killed_goes_on(world: World) -> None:
    for number in range(12):
        repo = world.hub.modelscope.add_repo(f"boards/rkllm-{number}")
        repo.add_file("Qwen3-0.6B_w4a16_rk3576.rkllm", rkllm_bytes(seed=number))
    world.hub.break_it(Fault(origin="modelscope", path="*/repo/files", header_delay_s=0.01))
    process = world.start("catalog", "update", "modelscope", "--quiet")
    for _ in range(1000):
        # Four are asked for at once: where a sixth is, two have been written down.
        if sum(seen.path.endswith("/repo/files") for seen in world.hub.requests) >= 6:
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    world.hub.heal()
    world.hub.forget()
    done = world.run("catalog", "update", "modelscope", "--json")
    (report,) = done.json["sources"]
    assert report["unchanged"] + report["changed"] == 12
    assert report["probed"] < 12
    status = world.run("catalog", "status", "--json").json
    (here,) = (s for s in status["sources"] if s["source"] == "modelscope")
    assert here["repositories"] == 12
