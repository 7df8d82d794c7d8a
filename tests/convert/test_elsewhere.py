"""``rkfetch convert`` with ``--on``, ``--deliver``, ``--upload``: over a real ssh, to our Hub."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from typing import TYPE_CHECKING, Any

import pytest

import sshd
from convert import models
from convert.test_command import BASE, BOARD, FILE, NAME, how, weights_asked, words
from e2e.world import RKFETCH, World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sshd import Machine

pytestmark = pytest.mark.once
needs_sshd = pytest.mark.skipif(bool(sshd.MISSING), reason=sshd.MISSING)
TOKEN = "hf_ann"
REPO = "Ann/SmolLM2-360M-Instruct-rk3576-w4a16-v1.2.3-RKLLM"


@pytest.fixture(autouse=True)
def _base_model(world: World) -> None:
    models.serve(world.hub, models.tiny_model(), BASE)


@pytest.fixture
def machine(tmp_path: Path, world: World) -> Iterator[Machine]:
    """Another machine, with nothing on it."""
    started = sshd.start(tmp_path / "there")
    world.env["PATH"] = f"{tmp_path / 'there' / 'client'}:{os.environ['PATH']}"
    yield started
    started.stop()


@pytest.fixture
def pc(machine: Machine, world: World, wheel: Path, tools: Path) -> Machine:
    """Give it rkfetch and the toolkit: the stand-in, so it has to be told of its wheel."""
    home = machine.home / "rk"
    home.mkdir()
    (home / "convert").symlink_to(tools)
    own = {**world.env, "RKFETCH_HOME": str(home), "HF_HOME": str(machine.home / "hf")}
    own["PATH"] = os.environ["PATH"]
    told = shlex.join([*how(wheel)[len(BOARD) :]])
    lines = [
        "#!/bin/sh",
        *(f"export {name}={shlex.quote(value)}" for name, value in own.items()),
        f'case "$1" in convert) set -- "$@" {told};; esac',
        f'exec {shlex.quote(str(RKFETCH))} "$@"',
    ]
    machine.command("rkfetch", "\n".join([*lines, ""]))
    return machine


def on(machine: Machine) -> tuple[str, str]:
    return "--on", machine.host.address


def to(machine: Machine) -> tuple[str, str]:
    return "--deliver", f"{machine.host.address}/~/my models"


def made_there(machine: Machine) -> list[Path]:
    return sorted((machine.home / "rk").glob("models/*/*.rkllm"))


# --- on another machine ---------------------------------------------------------------------------


@needs_sshd
def test_it_is_made_there_and_here_in_the_end(world: World, pc: Machine) -> None:
    done = world.run("convert", NAME, *BOARD, *on(pc))
    assert done.code == 0, done.err
    (file,) = world.models()
    assert done.out == f"{file}\n"
    assert file.name == FILE
    (there,) = made_there(pc)
    assert file.read_bytes() == there.read_bytes()
    said = words(done)
    for part in ("asking", "toolkit 1.2.3", "virtual environment on", "quantising", "downloading",
                 "converted and verified"):  # fmt: skip
        assert part in said
    record = json.loads((file.parent / "record.json").read_text())
    assert (record["source"], record["endpoint"]) == ("converted", pc.host.address)
    assert record["made"]["base"]["model"] == BASE
    assert not (world.home.parent / "hf").exists()  # nothing of the base model came here

    world.hub.forget()
    again = world.run(NAME, *BOARD, "--json")
    assert (again.json["action"], again.json["path"]) == ("present", str(file))
    assert world.hub.requests == []

    present = world.run("convert", NAME, *BOARD, *on(pc), "--json")
    assert present.json["action"] == "present"
    told = [json.loads(line) for line in present.err.splitlines()]
    assert all(value["status"] for value in told)


@needs_sshd
def test_the_plan_is_that_machine_s(world: World, pc: Machine) -> None:
    done = world.run("convert", f"{NAME}@w8a8", *BOARD, "--optimization-level", "0", *on(pc), "-n")
    assert done.code == 0, done.err
    assert "quantisation w8a8" in words(done)
    assert "optimisation 0" in words(done)
    assert f"virtual environment on {pc.host.name}" in words(done)
    plan = world.run("convert", NAME, *BOARD, *on(pc), "-n", "--json").json["plan"]
    assert (plan["quant"], plan["environment"]) == ("w4a16", "venv")
    assert (made_there(pc), weights_asked(world)) == ([], [])


@needs_sshd
def test_what_is_in_its_way_is_said_with_where(world: World, pc: Machine) -> None:
    refused = world.run("convert", "no-such-model-9b", *BOARD, *on(pc))
    assert refused.code == 4
    assert f"on {pc.host.name}: no base model" in words(refused)
    models.serve(world.hub, models.with_code(models.tiny_model()), "someone/Tiny")
    refused = world.run("convert", "someone/Tiny", *BOARD, *on(pc))
    assert refused.code == 2
    assert "modeling_tiny.py" in words(refused)
    agreed = world.run("convert", "someone/Tiny", *BOARD, *on(pc), "--trust-code")
    assert agreed.code == 0, agreed.err


@needs_sshd
@pytest.mark.parametrize(
    "asked", [["./mine"], ["~/mine"], [NAME, "--dataset", "d.json"], [NAME, "--toolkit-wheel", "w"]]
)
def test_files_of_this_machine_are_not_there(world: World, pc: Machine, asked: list[str]) -> None:
    refused = world.run("convert", *asked, *BOARD, *on(pc))
    assert refused.code == 2
    assert "copy it there" in words(refused)


@needs_sshd
def test_another_version_that_is_not_understood(world: World, machine: Machine) -> None:
    for plan in ("{}", "[]", '{"base": {}}', "7"):
        answer = f'{{"status": "ok", "plan": {plan}}}'
        machine.command(
            "rkfetch",
            f"#!/bin/sh\n[ $1 = --version ] && echo rkfetch 9.9 || echo {shlex.quote(answer)}\n",
        )
        refused = world.run("convert", NAME, *BOARD, *on(machine))
        assert refused.code == 7, refused.err
        assert f"rkfetch 9.9 on {machine.host.name}" in words(refused)


# --- to a board -----------------------------------------------------------------------------------


@needs_sshd
def test_it_is_copied_to_a_board_that_has_nothing(
    world: World, machine: Machine, wheel: Path
) -> None:
    done = world.run("convert", NAME, *how(wheel), *to(machine))
    assert done.code == 0, done.err
    (file,) = world.models()
    there = machine.home / "my models" / FILE
    assert there.read_bytes() == file.read_bytes()
    assert f"on {machine.host.name} it is there as {there}" in words(done)
    again = world.run("convert", NAME, *how(wheel), *to(machine), "--json")
    assert again.json["action"] == "present"
    assert again.json["delivered"] == {
        "host": machine.host.address, "path": str(there), "action": "present",
    }  # fmt: skip


@needs_sshd
def test_from_one_machine_to_another_through_this_one(world: World, pc: Machine) -> None:
    done = world.run("convert", NAME, *BOARD, *on(pc), *to(pc), "--json")
    assert done.code == 0, done.err
    assert (done.json["action"], done.json["delivered"]["action"]) == ("converted", "copied")


@needs_sshd
def test_a_board_that_cannot_be_reached_is_found_out_first(
    world: World, machine: Machine, wheel: Path
) -> None:
    machine.stop()
    done = world.run("convert", NAME, *how(wheel), *to(machine))
    assert done.code == 6, done.err
    assert weights_asked(world) == []


@needs_sshd
def test_what_fails_there_does_not_lose_the_file_here(
    world: World, machine: Machine, wheel: Path
) -> None:
    (machine.home / "file").touch()
    done = world.run("convert", NAME, *how(wheel), "--deliver", f"{machine.host.address}/~/file")
    assert done.code == 1
    (file,) = world.models()
    assert f"the file is here: {file}" in words(done)


@pytest.mark.parametrize("text", ["", "board", ":models", "-oX@h:models", "a@b:", "ssh://b/", "/x"])
def test_what_names_no_folder_on_a_board(world: World, text: str) -> None:
    done = world.run("convert", NAME, *BOARD, "--deliver", text)
    assert done.code == 2
    assert world.hub.requests == []


# --- to everybody ---------------------------------------------------------------------------------


@pytest.fixture
def ann(world: World) -> World:
    """Let this machine's user be Ann on the Hub."""
    world.hub.tokens.add(TOKEN, user="Ann")
    world.env["HF_TOKEN"] = TOKEN
    return world


def test_it_is_published_and_everybody_finds_it(ann: World, wheel: Path, tmp_path: Path) -> None:
    done = ann.run("convert", NAME, *how(wheel), "--upload", "Ann", "--yes", "--json")
    assert done.code == 0, done.err
    assert done.json["uploaded"]["repo"] == REPO
    assert done.json["uploaded"]["reference"] == f"hf:{REPO}/{FILE}"
    repo = ann.hub.find_repo(REPO)
    assert repo is not None
    (file,) = ann.models()
    assert repo.head.files[FILE].content == file.read_bytes()
    card = repo.head.files["README.md"].content.decode()
    assert hashlib.sha256(file.read_bytes()).hexdigest() in card
    assert "apache-2.0" in card

    other = World(ann.hub, tmp_path / "other")
    other.update()
    got = other.run(NAME, *BOARD, "--json")
    assert got.code == 0, got.err
    assert (got.json["action"], got.json["artifact"]["repo"]) == ("downloaded", REPO)


def test_nothing_is_published_unasked(ann: World, wheel: Path) -> None:
    for more in ((), ("--json",), ("--quiet",)):
        done = ann.run("convert", NAME, *how(wheel), "--upload", "Ann", *more)
        assert done.code == 2
        assert "nobody agreed to convert it and publish it" in words(done)
    assert weights_asked(ann) == []
    assert ann.hub.find_repo(REPO) is None
    assert ann.run("convert", NAME, *how(wheel)).code == 0
    later = ann.run("convert", NAME, *how(wheel), "--upload", "Ann/mine")
    assert "nobody agreed to publish it" in words(later)
    private = ann.run("convert", NAME, *how(wheel), "--upload", "Ann/mine", "--private", "-y")
    assert private.code == 0, private.err
    repo = ann.hub.find_repo("Ann/mine")
    assert repo is not None
    assert repo.private
    assert "published as Ann/mine on the Hub, for you alone" in words(private)


@pytest.mark.parametrize(
    ("tokens", "owner", "says"),
    [
        ({}, "Ann", "needs a token"),
        ({TOKEN: {"user": "Bob"}}, "Ann", "belongs to Bob"),
        ({TOKEN: {"user": "Ann", "role": "read"}}, "Ann", "may only read"),
    ],
)
def test_who_may_not_write_learns_it_before_anything_is_fetched(
    world: World, wheel: Path, tokens: dict[str, Any], owner: str, says: str
) -> None:
    for token, options in tokens.items():
        world.hub.tokens.add(token, **options)
        world.env["HF_TOKEN"] = token
    done = world.run("convert", NAME, *how(wheel), "--upload", owner, "--yes")
    assert done.code == 5, done.err
    assert says in words(done)
    assert weights_asked(world) == []


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--private"], 2),
        (["--upload", "a/b/c"], 2),
        (["--upload", "/b"], 2),
        (["--upload", "a/b", "--offline"], 11),
    ],
)
def test_what_cannot_be_meant(world: World, options: list[str], code: int) -> None:
    assert world.run("convert", NAME, *BOARD, *options).code == code
