"""A vision model is one thing: both halves come, are verified, kept and removed together."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from e2e.test_scenarios import run_on_small_disk
from e2e.world import World
from hub.server import Fault, Hub
from rkfetch.registry.serving import rkllama
from rknn_files import rknn_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.once

REPO = "Ann/Qwen2.5-VL-3B-Instruct-RKLLM"
MODEL = "rk3576/Qwen2.5-VL-3B-Instruct_w4a16_rk3576.rkllm"
ENCODER = "rk3576/qwen2.5-vl-3b_vision_rk3576.rknn"
OTHER = "rk3588/qwen2.5-vl-3b_vision_rk3588.rknn"
ASKED = ("qwen2.5-vl-3b", "--platform", "rk3576", "--runtime", "1.2.3")


def add(world: World, *encoders: str) -> None:
    world.add(MODEL, repo=REPO, size=2_000_000)
    there = world.hub.find_repo(REPO)
    assert there is not None
    for path in encoders:
        chip = "rk3588" if "rk3588" in path else "rk3576"
        there.add_file(path, rknn_bytes(chip, body_bytes=3_000_000, seed=len(path)))
    world.update()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with Hub() as hub:
        world = World(hub, tmp_path / "machine")
        add(world, ENCODER, OTHER)
        yield world


@pytest.fixture
def lonely(tmp_path: Path) -> Iterator[World]:
    """Only another chip's encoder is there."""
    with Hub() as hub:
        world = World(hub, tmp_path / "machine")
        add(world, OTHER)
        yield world


def encoders(world: World) -> list[Path]:
    return sorted(world.home.glob("models/*/*.rknn"))


def words(text: str) -> str:
    return " ".join(text.split())


def test_both_halves_come_and_one_path_is_printed(world: World) -> None:
    done = world.run(*ASKED)
    assert done.code == 0, done.err
    (model,), (encoder,) = world.models(), encoders(world)
    assert done.out == f"{model}\n"
    assert encoder.parent.name == world.sha256(ENCODER, REPO)
    assert f"its vision encoder: {ENCODER}" in words(done.err)
    assert f"its vision encoder: {encoder}" in words(done.err)
    world.hub.forget()
    again = world.run(*ASKED, "--json").json
    assert world.hub.data_bytes() == 0
    assert (again["action"], again["path"]) == ("present", str(model))
    (companion,) = again["companions"]
    assert (companion["role"], companion["path"]) == ("vision", str(encoder))
    assert companion["artifact"]["sha256"] == world.sha256(ENCODER, REPO)


def test_both_are_placed_where_one_is_asked_for(world: World, tmp_path: Path) -> None:
    place = tmp_path / "here"
    place.mkdir()
    done = world.run(*ASKED, "-o", str(place), "--json").json
    assert {path.name for path in place.iterdir()} == {Path(MODEL).name, Path(ENCODER).name}
    assert done["companions"][0]["path"] == str(place / Path(ENCODER).name)


def test_the_text_alone_for_who_wants_that(world: World) -> None:
    for how in ({}, {"RKFETCH_TEXT_ONLY": "1"}):
        option = [] if how else ["--text-only"]
        done = world.run(*ASKED, "--json", *option, **how).json
        assert (done["companions"], done["alone"]) == ([], None)
        assert encoders(world) == []
    assert world.run(*ASKED).code == 0
    assert len(encoders(world)) == 1


def test_only_the_missing_half_comes(world: World) -> None:
    assert world.run(*ASKED, "--text-only").code == 0
    world.hub.forget()
    done = world.run(*ASKED)
    assert "its vision encoder was downloaded and verified" in words(done.err)
    assert 2_900_000 < world.hub.data_bytes() < 3_300_000


def test_a_process_that_is_killed_in_the_encoder_is_gone_on_with(world: World) -> None:
    there = world.hub.find_repo(REPO)
    assert there is not None
    there.add_file(ENCODER, rknn_bytes("rk3576", body_bytes=30_000_000))
    world.update()
    hold = world.hub.hold(ENCODER, 20_000_000)
    process = world.start(*ASKED)
    assert hold.reached.wait(60)
    world.wait_for_partial(10_000_000)
    process.kill()
    process.communicate()
    world.hub.heal()
    assert len(world.models()) == 1  # the whole half stays
    assert encoders(world) == []
    assert len(world.partials()) == 1
    world.hub.forget()
    assert world.run(*ASKED).code == 0
    assert world.hub.data_bytes() < 25_000_000  # the rest, and what was on its way
    assert len(encoders(world)) == 1


def test_a_damaged_encoder_is_never_installed(world: World) -> None:
    world.hub.break_it(Fault(path=f"*{ENCODER}", flip_at=500_000))
    done = world.run(*ASKED)
    assert done.code == 7
    assert encoders(world) == []


def test_an_encoder_that_was_built_for_another_chip_is_found_out(tmp_path: Path) -> None:
    with Hub() as hub:
        world = World(hub, tmp_path / "machine")
        world.add(MODEL, repo=REPO, size=2_000_000)
        there = hub.find_repo(REPO)
        assert there is not None
        there.add_file(ENCODER, rknn_bytes("rk3588", body_bytes=1_000_000))
        world.update()
        done = world.run(*ASKED)
        assert done.code == 0
        assert "warning: only the language half" in words(done.err)
        assert "rk3588" in done.err
        assert encoders(world) == []


def test_a_lonely_half_is_said(lonely: World) -> None:
    done = lonely.run(*ASKED)
    assert done.code == 0
    said = "only the language half; its vision encoder for rk3576 is not in the repository"
    assert f"warning: {said}" in words(done.err)
    assert lonely.run(*ASKED, "--json").json["alone"] == said
    assert encoders(lonely) == []
    assert "only the language half" in words(lonely.run("list").out)
    assert "only the language half" in words(lonely.run("explain", *ASKED).out)


def test_offline_a_missing_half_is_said(world: World) -> None:
    assert world.run(*ASKED, "--text-only").code == 0
    done = world.run(*ASKED, "--offline")
    assert done.code == 0
    assert "the network is switched off" in words(done.err)
    assert world.run(*ASKED).code == 0
    assert world.run(*ASKED, "--offline", "--json").json["alone"] is None


def test_the_path_of_the_encoder(world: World) -> None:
    assert world.run("path", "qwen2.5-vl-3b", "--vision").code == 4
    world.run(*ASKED, "--text-only")
    done = world.run("path", "qwen2.5-vl-3b", "--vision")
    assert (done.code, done.out) == (4, "")
    assert "no vision encoder" in done.err
    world.run(*ASKED)
    (encoder,) = encoders(world)
    assert world.run("path", "qwen2.5-vl-3b", "--vision").out == f"{encoder}\n"
    assert world.run("path", "qwen2.5-vl-3b").out == f"{world.models()[0]}\n"


def test_the_list_shows_the_encoder_below_its_model(world: World) -> None:
    world.run(*ASKED)
    lines = world.run("list").out.splitlines()
    at = next(n for n, line in enumerate(lines) if Path(ENCODER).name in line)
    assert Path(MODEL).name in "".join(lines[:at])
    assert "vision, 3 MB" in lines[at]
    files = world.run("list", "--json").json["files"]
    assert [f["companions"] for f in files if f["companions"]] == [[world.sha256(ENCODER, REPO)]]


def test_both_are_verified_and_both_are_removed(world: World) -> None:
    world.run(*ASKED)
    (encoder,) = encoders(world)
    assert len(world.run("verify", "qwen2.5-vl-3b", "--json").json["files"]) == 2
    content = bytearray(encoder.read_bytes())
    content[5000] ^= 1
    encoder.write_bytes(content)
    assert world.run("verify", "qwen2.5-vl-3b").code == 7
    assert world.run(*ASKED).code == 0  # it is replaced
    assert world.run("verify", "qwen2.5-vl-3b").code == 0
    done = world.run("rm", "qwen2.5-vl-3b", "--json").json
    assert len(done["removed"]) == 2
    assert (world.models(), encoders(world)) == ([], [])


def test_an_encoder_that_two_models_need_stays_with_the_other(world: World) -> None:
    second = MODEL.replace("w4a16", "w8a8")
    world.add(second, repo=REPO, size=2_100_000)
    world.update()
    assert world.run(f"hf:{REPO}/{MODEL}", *ASKED[1:]).code == 0
    assert world.run(f"hf:{REPO}/{second}", *ASKED[1:]).code == 0
    assert len(encoders(world)) == 1
    assert world.run("rm", Path(second).name).code == 0
    assert len(encoders(world)) == 1
    assert world.run("gc", "--older-than", "0").code == 0
    assert world.run("rm", Path(MODEL).name).code == 0
    assert encoders(world) == []


def test_imported_together_they_are_joined(world: World, tmp_path: Path) -> None:
    there = world.hub.find_repo(REPO)
    assert there is not None
    for path in (MODEL, ENCODER, OTHER):
        (tmp_path / "stick" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "stick" / path).write_bytes(there.head.files[path].content)
    done = world.run("import", "--copy", str(tmp_path / "stick"))
    assert done.code == 0
    said = words(done.err)
    assert f"{Path(ENCODER).name} is the vision encoder of {Path(MODEL).name}" in said
    assert f"{Path(OTHER).name}: an encoder alone" in said
    (encoder,) = (p for p in encoders(world) if "rk3576" in p.name)
    assert world.run("path", "qwen2.5-vl-3b", "--vision").out == f"{encoder}\n"


def test_a_disk_with_room_for_one_half_only_gets_none(world: World) -> None:
    script = f'"$rkfetch" {" ".join(ASKED)}'
    world.hub.forget()
    done = run_on_small_disk(world, 2_500_000, script)
    assert (done.returncode, done.stdout) == (8, ""), done.stderr
    assert world.hub.data_bytes(MODEL) < 200_000  # the header


def test_both_halves_count_on_a_link_that_costs(world: World) -> None:
    world.add(MODEL, repo=REPO, size=6_000_000)
    there = world.hub.find_repo(REPO)
    assert there is not None
    there.add_file(ENCODER, rknn_bytes("rk3576", body_bytes=6_000_000))
    world.update()
    done = world.run(*ASKED, "--metered", "yes")
    assert (done.code, done.out) == (11, "")
    assert "12 MB would come over it" in words(done.err)
    assert world.run(*ASKED, "--metered", "yes", "--text-only").code == 0


# --- a set-up -----------------------------------------------------------------------------------


def declared(world: World, more: str = "") -> World:
    """Declare the model for a board of one kind."""
    world.cwd = world.home.parent
    (world.cwd / "rkfetch.toml").write_text(
        '[[target]]\nname = "rock-4d"\nplatform = "rk3576"\nruntime = "1.2.3"\n'
        f'[[model]]\nmodel = "qwen2.5-vl-3b"\nto = "models"\n{more}'
    )
    return world


def locked_files(report: dict[str, Any]) -> list[str]:
    return [file["path"] for file in report["targets"][0]["models"][0]["files"]]


def test_both_halves_are_locked_and_come_to_a_board_with_no_catalog(world: World) -> None:
    report = declared(world).run("lock", "--json").json
    assert locked_files(report) == [MODEL, ENCODER]
    assert report["targets"][0]["models"][0]["alone"] is None
    assert "alone" not in (world.home.parent / "rkfetch.lock").read_text()
    world.env["RKFETCH_HOME"] = str(world.home.parent / "board")
    synced = world.run("sync", "--locked", "--json", *ASKED[1:])
    assert synced.code == 0, synced.err
    (model,) = synced.json["models"]
    assert [Path(f["path"]).name for f in model["files"]] == [
        Path(MODEL).name,
        Path(ENCODER).name,
    ]
    assert model["alone"] is None


def test_a_lonely_half_is_said_when_it_is_locked_and_brought(lonely: World) -> None:
    done = declared(lonely).run("lock")
    assert done.code == 0, done.err
    assert "warning: only the language half; its vision encoder for rk3576 is not in" in words(
        done.err
    )
    synced = lonely.run("sync", "--locked", *ASKED[1:])
    assert synced.code == 0, synced.err
    assert "warning: only the language half" in words(synced.err)
    assert (
        "only the language half"
        in lonely.run("sync", "--check", "--json", *ASKED[1:]).json["models"][0]["alone"]
    )
    kept = lonely.run("lock", "--json").json
    assert (kept["written"], kept["targets"][0]["models"][0]["change"]) == (False, "kept")
    assert lonely.run("lock", "--upgrade", "--quiet").err == ""


def test_who_wants_words_only_is_not_warned(lonely: World) -> None:
    done = declared(lonely, "text_only = true\n").run("lock", "--json")
    assert done.code == 0
    assert done.json["targets"][0]["models"][0]["alone"] is None


def test_what_is_another_chips_encoder_by_its_content_is_not_locked(lonely: World) -> None:
    there = lonely.hub.find_repo(REPO)
    assert there is not None
    there.add_file(ENCODER, rknn_bytes("rk3588", body_bytes=3_000_000))
    lonely.update()
    report = declared(lonely).run("lock", "--json").json
    assert locked_files(report) == [MODEL]
    assert "should be its vision encoder, but" in report["targets"][0]["models"][0]["alone"]


# --- for a server ---------------------------------------------------------------------------------


def test_rkllama_gets_both_halves_and_a_modelfile_for_pictures(world: World) -> None:
    models = world.home.parent / "served"
    done = world.run(*ASKED, "--for", "rkllama", "--models", str(models), "--json")
    assert done.code == 0, done.err
    serving = done.json["serving"]
    folder = Path(serving["model"]).parent
    assert Path(serving["encoder"]) == folder / Path(ENCODER).name
    stored = {path.read_bytes() for path in (*world.models(), *encoders(world))}
    assert {path.read_bytes() for path in folder.glob("*.r*")} == stored
    said = rkllama.read((folder / "Modelfile").read_text())
    assert said["IMG_START"] == "<|vision_start|>"
    assert {"IMAGE_WIDTH", "IMAGE_HEIGHT", "N_IMAGE_TOKENS"} <= set(said)


def test_the_demo_is_that_for_pictures_and_of_words_alone_the_other(world: World) -> None:
    both = world.run(*ASKED, "--for", "plain", "-q")
    assert both.code == 0, both.err
    assert shlex.split(both.out)[:4:2] == ["demo", str(encoders(world)[0])]
    words_only = world.run(*ASKED, "--text-only", "--for", "plain", "-q")
    assert shlex.split(words_only.out)[0] == "llm_demo"


def test_orkllm_gets_the_language_half_and_says_what_it_cannot(world: World) -> None:
    models = world.home.parent / "served"
    done = world.run(*ASKED, "--for", "orkllm", "--models", str(models))
    assert done.code == 0, done.err
    assert list(models.rglob("*.rknn")) == []
    assert "oRKLLM does not use vision encoders: it will answer to text only" in words(done.err)
