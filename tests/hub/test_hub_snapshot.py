"""The Hub filled from the shipped catalog, and run by hand."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from hub.server import Hub
from hub.snapshot import UNTAGGED, shipped_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        yield hub


def test_serves_what_the_catalog_ships(hub: Hub) -> None:
    builds = {(b.repo, b.path): b for b in hub.serve_snapshot()}
    name = "RK3576/Qwen2.5-1.5B-Instruct_RK3576_w4a16.rkllm"
    build = builds["HanzoHuang/Qwen2.5-1.5B-Instruct-RKLLM", name]
    assert (build.platform, build.toolkit, build.quant) == ("rk3576", "1.2.3", "w4a16")
    info = httpx.get(f"{hub.endpoint}/api/models/{build.repo}?blobs=true").json()
    (listed,) = [s for s in info["siblings"] if s["rfilename"] == name]
    assert listed["size"] == len(build.content())
    assert b"rkllm-toolkit version: 1.2.3" in build.content()
    assert not any("_w4a16_RK3576" in path for _, path in builds)


def test_says_what_the_rows_say(hub: Hub) -> None:
    builds = {(b.repo, b.path): b for b in hub.serve_snapshot()}
    compared = 0
    for row in shipped_rows():
        build = builds.get((row["repo_id"], row["filename"]))
        if build is None:
            continue
        compared += 1
        assert row["platform"] in {None, build.platform}
        assert row["toolkit_version"] in {None, build.toolkit}
        assert row["quant"] in {None, build.quant}
    assert compared > 120


def test_some_uploaders_are_found_by_name_only(hub: Hub) -> None:
    hub.serve_snapshot()
    tagged = {m["id"] for m in httpx.get(f"{hub.endpoint}/api/models?filter=rkllm").json()}
    named = {m["id"] for m in httpx.get(f"{hub.endpoint}/api/models?search=rk35").json()}
    assert len(tagged) > 50
    assert not {name for name in tagged if name.partition("/")[0] in UNTAGGED}
    assert {name.partition("/")[0] for name in named} & UNTAGGED


def test_vision_models_have_their_partner(hub: Hub) -> None:
    hub.serve_snapshot()
    repo = hub.find_repo("HanzoHuang/Qwen3.5-2B-RKLLM")
    assert repo is not None
    assert repo.head.files["RK3576/Qwen3.5-2B_vision_RK3576.rknn"].content.startswith(b"RKNN")


def test_own_rows_and_sizes(hub: Hub) -> None:
    row = {
        "source": "huggingface",
        "repo_id": "Ann/m",
        "filename": "m-rk3576.rkllm",
        "platform": "rk3576",
        "quant": None,
        "multimodal": False,
    }
    (build,) = hub.serve_snapshot([row], big_bytes=1_000_000, big="Ann/*")
    assert 1_000_000 < len(build.content()) < 1_100_000


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a stand-in for rkfetch on the path that writes down what it is asked."""
    rkfetch = tmp_path / "bin" / "rkfetch"
    rkfetch.parent.mkdir()
    rkfetch.write_text(f'#!/bin/sh\necho "$RKFETCH_HOME" "$@" >> {tmp_path}/asked\n')
    rkfetch.chmod(0o755)
    monkeypatch.setenv("PATH", f"{rkfetch.parent}:{os.environ['PATH']}")
    return tmp_path / "asked"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(HERE), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_by_hand_runs_a_command_in_its_environment(asked: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    show = "import json, os; print(json.dumps(dict(os.environ))); raise SystemExit(5)"
    options = ["--home", str(home), "--fault", "flip", "--size-mb", "1"]
    result = run(*options, "--", sys.executable, "-c", show)
    assert result.returncode == 5
    environment = json.loads(result.stdout)
    assert environment["HF_ENDPOINT"].startswith("http://127.0.0.1:")
    assert environment["RKFETCH_HOME"] == str(home / "rkfetch")
    assert asked.read_text() == f"{home}/rkfetch catalog update\n"
    assert home.is_dir()


def test_by_hand_knows_a_command_that_is_missing(asked: Path) -> None:
    result = run("--", "no-such-command")
    assert result.returncode == 127
    assert result.stderr == "hub: no-such-command: command not found\n"


def test_by_hand_serves_until_interrupted() -> None:
    command = [sys.executable, str(HERE), "--slow", "1000", "--fault", "gated"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        endpoint = line.removeprefix("export HF_ENDPOINT=").strip()
        assert httpx.get(f"{endpoint}/api/models?limit=1").json()[0]["id"]
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert "rkfetch catalog update" in process.stdout.read()
