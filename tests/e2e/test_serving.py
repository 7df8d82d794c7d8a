"""``--for``: from a model's name to a server's folder, or to a command line."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from boards import put
from e2e.world import SIZE, W4
from rkfetch.registry.serving import rkllama

if TYPE_CHECKING:
    from e2e.world import World

pytestmark = pytest.mark.once

HERE = ("--platform", "rk3576", "--runtime", "1.2.3")
FILE = "Qwen2.5-1.5B-Instruct_RK3576_w4a16.rkllm"


def test_rkllama_gets_it_where_its_settings_say(qwen: World, tmp_path: Path) -> None:
    board = Path(qwen.env["RKFETCH_SYSROOT"])
    put(board, "etc/rkllama.ini", "[paths]\nmodels = /srv/models\n")
    (board / "opt/rkllama/models").mkdir(parents=True)
    done = qwen.run("qwen2.5-1.5b", *HERE, "--for", "rkllama")
    assert done.code == 0, done.err
    placed = board / "srv/models/qwen2.5-1.5b-instruct" / FILE
    assert done.out == f"{placed}\n"
    assert placed.stat().st_size > SIZE
    said = rkllama.read((placed.parent / "Modelfile").read_text())
    assert said == {
        "FROM": FILE,
        "HUGGINGFACE_PATH": "Qwen/Qwen2.5-1.5B-Instruct",
        "NUM_CTX": "4096",
        "MAX_NEW_TOKENS": "2048",
    }
    told = " ".join(done.err.split())
    assert "next: rkllama_client run qwen2.5-1.5b-instruct" in told
    assert "/etc/rkllama.ini says so" in told
    assert "found too: /opt/rkllama/models" in told

    qwen.hub.forget()
    other = tmp_path / "other"
    again = qwen.run(
        "qwen2.5-1.5b", *HERE, "--for", "rkllama", "--models", str(other), "--name", "q", "--json"
    )
    answer = again.json
    assert qwen.hub.data_bytes() == 0
    assert answer["path"] == answer["serving"]["model"] == str(other / "q" / FILE)
    assert answer["serving"]["next"] == "rkllama_client run q"
    assert (answer["serving"]["for"], answer["serving"]["kept"]) == ("rkllama", [])
    assert again.err == ""


def test_what_is_in_the_way_is_said_before_the_download(qwen: World, tmp_path: Path) -> None:
    theirs = tmp_path / "qwen2.5-1.5b-instruct"
    put(theirs, "other.rkllm", "theirs")
    args = ("qwen2.5-1.5b", *HERE, "--for", "rkllama", "--models", str(tmp_path))
    qwen.hub.forget()
    done = qwen.run(*args)
    assert (done.code, done.out) == (2, "")
    assert "another build already: other.rkllm" in " ".join(done.err.split())
    assert qwen.hub.data_bytes() == 0
    forced = qwen.run(*args, "--force")
    assert forced.code == 0, forced.err
    assert "removed the other build there: other.rkllm" in forced.err


def test_orkllm_gets_it_by_owner_and_repository(qwen: World, tmp_path: Path) -> None:
    done = qwen.run("qwen2.5-1.5b", *HERE, "--for", "orkllm", "--models", str(tmp_path), "-q")
    name = "Qwen2.5-1.5B-Instruct_RK3576_w4a16-v1.2.3-RKLLM.rkllm"
    placed = tmp_path / "HanzoHuang/Qwen2.5-1.5B-Instruct-RKLLM" / name
    assert (done.code, done.out, done.err) == (0, f"{placed}\n", "")
    assert placed.read_bytes()[:5] == (tmp_path / placed).read_bytes()[:5]


def test_plain_prints_what_to_type(qwen: World, tmp_path: Path) -> None:
    folder = tmp_path / "my models"
    done = qwen.run("qwen2.5-1.5b", *HERE, "--for", "plain", "-o", str(folder), "-q")
    assert shlex.split(done.out) == ["llm_demo", str(folder / FILE), "2048", "4096"]
    asked = qwen.run("qwen2.5-1.5b", *HERE, "--context", "1000", "--for", "plain", "--json").json
    serving = asked["serving"]
    assert serving["command"] == ["llm_demo", asked["path"], "512", "1024"]
    assert shlex.split(serving["command_line"]) == serving["command"]


NONSENSE = [
    (("--for", "ollama"), "known are rkllama, orkllm, plain"),
    (("--for", "rkllama"), "--for rkllama --models DIR"),
    (("--for", "orkllm"), "--for orkllm --models DIR"),
    (("--models", "/x"), "says nothing without --for"),
    (("--name", "x"), "says nothing without --for"),
    (("--for", "plain", "--models", "/x"), "--for plain has none"),
    (("--for", "rkllama", "--models", "/x", "-o", "/y"), "both say where the file goes"),
    (("--for", "rkllama", "--models", "/x", "--name", "../x"), "cannot be a model's name"),
]


def test_what_makes_no_sense_is_said_at_once(world: World) -> None:
    for args, words in NONSENSE:
        done = world.run("qwen2.5-1.5b", *HERE, *args)
        assert (done.code, done.out) == (2, ""), args
        assert words in " ".join(done.err.split())


def test_what_stands_in_the_way_at_the_end_is_answered_in_json(qwen: World, tmp_path: Path) -> None:
    torn = bytes(qwen.add(W4, seed=1).size)
    put(tmp_path, f"qwen2.5-1.5b-instruct/{FILE}", torn)
    args = ("--for", "rkllama", "--models", str(tmp_path), "--json")
    done = qwen.run("qwen2.5-1.5b", *HERE, *args)
    assert done.code == done.json["error"]["code"] == 2
    assert done.json["model"] == "Qwen/Qwen2.5-1.5B-Instruct"
    assert (tmp_path / "qwen2.5-1.5b-instruct" / FILE).read_bytes() == torn


def test_removing_it_leaves_the_servers_own(qwen: World, tmp_path: Path) -> None:
    args = ("--for", "rkllama", "--models", str(tmp_path), "-q")
    placed = Path(qwen.run("qwen2.5-1.5b", *HERE, *args).out.strip())
    removed = qwen.run("rm", qwen.sha256(W4)[:12])
    assert "linked elsewhere too" in removed.err
    assert placed.stat().st_size > SIZE
