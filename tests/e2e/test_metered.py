"""A link that costs: nothing large comes over it unasked, and nothing of it twice."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from e2e.world import QWEN, W4, World
from hub.server import Fault, Hub
from neighbours import gives_out
from rkfetch.registry.metered import FREE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.once

HERE = ("qwen2.5-1.5b", "--runtime", "1.2.3")
SIZE = FREE_BYTES + 1_000_000
"""Large enough to be asked about; so is nothing else in the tests."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A machine that finds no other programs than a test gives it, and one large file."""
    with Hub() as hub:
        world = World(hub, tmp_path / "machine")
        (tmp_path / "bin").mkdir()
        world.env["PATH"] = str(tmp_path / "bin")
        world.add(W4, size=SIZE)
        world.update()
        yield world


def network_manager(world: World, metered: int) -> None:
    """Let NetworkManager say this of the connection."""
    program(world, f"echo u {metered}")


def program(world: World, script: str) -> None:
    path = Path(world.env["PATH"]) / "busctl"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_a_script_is_refused_before_any_weights(world: World) -> None:
    network_manager(world, 3)
    done = world.run(*HERE)
    assert (done.code, done.out) == (11, "")
    said = " ".join(done.err.split())
    assert "this link is metered, and 11 MB would come over it" in said
    assert "NetworkManager guesses so" in said
    assert "--metered no (or RKFETCH_METERED=no)" in said
    assert world.hub.data_bytes() < 200_000  # the header


def test_a_file_that_no_catalog_knows_is_counted_too(world: World) -> None:
    network_manager(world, 1)
    world.add("RK3576/new.rkllm", size=SIZE, seed=5)
    done = world.run(f"hf:{QWEN}/RK3576/new.rkllm", *HERE[1:])
    assert done.code == 11
    assert "11 MB would come over it" in " ".join(done.err.split())


def test_json_says_the_same(world: World) -> None:
    network_manager(world, 1)
    done = world.run(*HERE, "--json")
    error = done.json["error"]
    assert (done.code, error["code"], error["kind"]) == (11, 11, "metered")
    assert done.json["artifact"]["path"] == W4


def test_what_is_small_or_here_is_not_asked_about(world: World) -> None:
    asked = Path(world.env["PATH"]) / "asked"
    program(world, f"echo x >> {asked}; echo u 1")
    world.add("RK3576/Qwen2.5-0.5B-Instruct_RK3576_w4a16.rkllm", repo="a/Qwen2.5-0.5B-RKLLM")
    world.update()
    assert world.run("qwen2.5-0.5b", *HERE[1:]).code == 0
    assert world.run("qwen2.5-0.5b", *HERE[1:]).code == 0
    assert not asked.exists()


def test_the_option_before_the_variable_before_the_file_before_network_manager(
    world: World,
) -> None:
    network_manager(world, 2)
    (world.home / "config.toml").write_text('metered = "yes"\n')
    assert world.run(*HERE).code == 11
    assert world.run(*HERE, "--metered", "yes", RKFETCH_METERED="no").code == 11
    network_manager(world, 1)
    assert world.run(*HERE, RKFETCH_METERED="no").code == 0


def test_another_word_is_wrong_usage(world: World) -> None:
    done = world.run(*HERE, "--metered", "maybe")
    assert done.code == 2
    assert "one of yes, no, auto" in done.err


def test_a_person_is_asked_and_agrees(world: World) -> None:
    network_manager(world, 3)
    done = world.at_terminal(*HERE, said="y\n")
    assert done.code == 0, done.err
    assert done.out.endswith(".rkllm\n")
    assert "11 MB would come over it" in " ".join(done.err.split())
    assert "Fetch it all the same? [y/N]" in done.err
    # One connection: one request for content after those for the header.
    weights = [r for r in world.hub.data_requests() if r.sent_bytes > 1_000_000]
    assert len(weights) == 1


def test_a_person_is_asked_and_does_not(world: World) -> None:
    network_manager(world, 3)
    done = world.at_terminal(*HERE, said="\n")
    assert (done.code, done.out) == (11, "")
    assert "Fetch it all the same?" in done.err
    assert world.hub.data_bytes() < 200_000


def test_only_what_is_missing_is_asked_about(world: World) -> None:
    world.hub.break_it(Fault(origin="cdn", rate=8e6))
    process = world.start(*HERE, "--connections", "1", "--metered", "no")
    while not any(p.stat().st_blocks for p in world.partials()) or world.hub.data_bytes() < 5e6:
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    world.hub.heal()
    done = world.run(*HERE, "--metered", "yes")
    assert done.code == 0, done.err
    assert "going on at" in done.err


def test_what_was_paid_for_is_not_fetched_anew(world: World) -> None:
    """Nor is it kept: it was wrong."""
    network_manager(world, 1)
    world.hub.break_it(Fault(origin="cdn", flip_at=SIZE - 500_000))
    done = world.at_terminal(*HERE, said="y\n")
    assert (done.code, done.out) == (11, ""), done.err
    assert "it would have to begin anew" in " ".join(done.err.split())
    assert world.hub.data_bytes() < SIZE + 500_000
    assert world.models() == world.partials() == []


class TestMirrors:
    """What a store on the same network gives costs nothing."""

    @pytest.fixture
    def served(self, world: World, tmp_path: Path) -> Iterator[Path]:
        """Another machine's store with the file, given out; the folder of that machine."""
        home = tmp_path / "other"
        assert world.run(*HERE, "--metered", "no").code == 0
        home.mkdir()
        (world.home / "models").rename(home / "models")
        world.hub.forget()

        with gives_out(home) as address:
            world.env["RKFETCH_MIRRORS"] = f"{address}/models"
            yield home

    def test_it_is_used_without_a_question(self, world: World, served: Path) -> None:
        network_manager(world, 1)
        done = world.run(*HERE)
        assert done.code == 0, done.err
        assert world.hub.data_bytes() < 200_000

    @pytest.mark.parametrize("damage", ["gone", "flipped"])
    def test_where_it_has_not_the_file_the_hub_is_asked_about(
        self, world: World, served: Path, damage: str
    ) -> None:
        (file,) = served.glob("models/*/*.rkllm")
        if damage == "gone":
            file.unlink()
        else:
            content = bytearray(file.read_bytes())
            content[-500_000] ^= 1
            file.write_bytes(content)
        network_manager(world, 1)
        refused = world.run(*HERE)
        assert refused.code == 11, refused.err
        assert world.hub.data_bytes() < 200_000
        done = world.at_terminal(*HERE, said="y\n")
        assert done.code == 0, done.err
        assert done.out.endswith(".rkllm\n")
