"""Media that are sound and lack something: FAT above all, which this kernel may not know itself."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest

from media.machine import FETCH, MODEL, NAME, OWNER
from rkllm_files import rkllm_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from media.card import Card
    from media.machine import Machine

NO_FALLOCATE = {"call": "fallocate", "errno": errno.EOPNOTSUPP}
NO_LINKS = [{"call": call, "errno": errno.EPERM} for call in ("link", "symlink")]
NO_MODES = {"call": "chmod", "errno": errno.EPERM}
FAT: dict[str, Any] = {"holes": False, "two_seconds": True, "any_case": True}


@pytest.fixture
def fat(card: Card) -> Card:
    """Linux's vfat: it can fallocate, and fills holes with zeros all the same."""
    card.order(*NO_LINKS, NO_MODES, **FAT)
    return card


def test_a_life_on_fat(machine: Machine, fat: Card, tmp_path: Path) -> None:
    assert machine.run(*FETCH).code == 0
    machine.assert_whole()
    assert "Thing-1B" in machine.run("list").out
    (model,) = machine.world.models()
    placed = machine.run(*FETCH, "-o", str(fat.path / "models"))
    assert placed.code == 0, placed.err
    assert (fat.path / "models" / model.name).read_bytes() == model.read_bytes()
    assert machine.run("rm", MODEL).code == 0
    assert machine.run("gc", "--older-than", "0").code == 0
    assert machine.run("list").out == ""
    assert list(machine.home.glob("**/*.tmp")) == []


def test_who_writes_within_the_same_two_seconds_is_noticed(machine: Machine, fat: Card) -> None:
    assert machine.run(*FETCH).code == 0
    (model,) = machine.world.models()
    before = model.stat()
    with model.open("r+b") as file:
        file.seek(5000)
        file.write(b"\xff\xfe")
    os.utime(model, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert model.stat().st_mtime_ns == before.st_mtime_ns
    assert machine.run("verify", "--changed").code == 7


def test_what_is_older_than_two_seconds_is_not_read_again(machine: Machine, fat: Card) -> None:
    assert machine.run(*FETCH).code == 0
    (model,) = machine.world.models()
    os.utime(model, (1_700_000_000, 1_700_000_000))
    assert machine.run("verify", "--changed").err == "1 read and sound"
    assert machine.run("verify", "--changed").err == "1 unchanged since they were verified"


@pytest.mark.parametrize(
    ("lacking", "more"),
    [
        ([NO_FALLOCATE], {}),
        ([NO_FALLOCATE], {"holes": False}),
        ([], {"holes": False}),
        (NO_LINKS, {}),
        ([NO_MODES], {}),
        ([], {"two_seconds": True}),
        ([], {"any_case": True}),
    ],
    ids=[
        "no fallocate",
        "neither fallocate nor holes",
        "no holes",
        "no links",
        "no modes",
        "two seconds",
        "any case",
    ],
)
def test_without_one_thing(
    machine: Machine, card: Card, lacking: list[dict[str, Any]], more: dict[str, Any]
) -> None:
    card.order(*lacking, **more)
    broken_off = machine.fetch_and(
        lambda: card.order({"call": "write", "errno": errno.EIO}, *lacking, **more)
    )
    assert broken_off.code == 1
    card.order(*lacking, **more)
    machine.goes_on()


def test_names_of_143_bytes(machine: Machine, card: Card) -> None:
    """As on eCryptfs, and on a NAS that encrypts."""
    name = f"{'y' * 180}_w4a16.rkllm"
    machine.world.add(name, repo=OWNER)
    card.order(longest_name=143)
    done = machine.run(f"hf:{OWNER}/{name}", "--runtime", "1.2.3", "-o", str(card.path / "models"))
    assert done.code == 0, done.err
    (model,) = (card.path / "models").iterdir()
    assert 100 < len(model.name) <= 143
    assert model.suffix == ".rkllm"
    assert machine.run("verify").code == 0


def test_what_cannot_be_linked_is_copied_and_that_is_said(
    machine: Machine, fat: Card, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.rkllm"
    mine.write_bytes(rkllm_bytes(seed=5))
    done = machine.run("import", str(mine))
    assert done.code == 0, done.err
    assert done.err.endswith("copied")
    here = fat.path / "here.rkllm"
    here.write_bytes(rkllm_bytes(seed=6))
    assert machine.run("import", str(here)).err.endswith("copied")
    assert mine.stat().st_nlink == here.stat().st_nlink == 1


def test_a_stick_that_fails_while_it_is_imported_from_is_blamed_itself(
    machine: Machine, card: Card, tmp_path: Path
) -> None:
    machine.home = machine.world.home = tmp_path / "sound"
    machine.world.env["RKFETCH_HOME"] = str(tmp_path / "sound")
    stick = card.path / NAME
    stick.write_bytes(rkllm_bytes(body_bytes=4_000_000))
    card.order({"call": "read", "errno": errno.EIO, "from_byte": 2_000_000, "to_byte": 3_000_000})
    done = machine.run("import", str(stick))
    assert (done.code, done.out) == (1, ""), done
    assert f"the disk of {stick} failed" in done.err, done.err
    assert list(machine.home.glob("partials/*")) == []
    card.heal()
    assert machine.run("import", str(stick)).code == 0


def test_no_zeros_are_written_for_what_comes_anyway(machine: Machine, card: Card) -> None:
    card.order({"call": "link", "errno": 1}, holes=False, two_seconds=True, any_case=True)
    assert machine.run(*FETCH).code == 0
    lines = [line for line in card.log if line.startswith("zeros") and ".partial" in line]
    zeros = [int(line.split()[2]) for line in lines]
    assert sum(zeros) < 1 << 21, zeros
