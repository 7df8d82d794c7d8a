"""Media that fail while a model is fetched, read, listed and cleaned up after."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from media.machine import FETCH, HALF, MODEL
from waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from media.card import Card
    from media.machine import Machine

WORN_OUT = "may be worn out"
_GONE = r"is gone (?:Transport endpoint is not connected|Software caused connection abort)"
DMESG = "`dmesg` tells"


def fault(call: str, number: int | None = None, **more: Any) -> dict[str, Any]:
    return {"call": call, **({} if number is None else {"errno": number}), **more}


IN_THE_MIDDLE: list[tuple[str, list[dict[str, Any]], int, str, str]] = [
    ("a bad block", [fault("write", errno.EIO, name="*.partial")], 1, "failed", WORN_OUT),
    (
        "a bad block further on",
        [fault("write", errno.EIO, name="*.partial", from_byte=HALF + 500_000)],
        1,
        "failed",
        WORN_OUT,
    ),
    (
        "one that cannot be read",
        [fault("read", errno.EIO, name="*.partial")],
        1,
        "failed",
        WORN_OUT,
    ),
    ("found late", [fault("fsync", errno.EIO, name="*.partial")], 1, "failed", WORN_OUT),
    ("in the record", [fault("write", errno.EIO, name="*record*")], 1, "failed", WORN_OUT),
    ("in a folder", [fault("rename", errno.EIO)], 1, "failed", WORN_OUT),
    (
        "a quota",
        [fault("write", errno.EDQUOT, name="*.partial")],
        8,
        "quota is used up",
        "rkfetch gc",
    ),
    ("a quota found late", [fault("fsync", errno.EDQUOT)], 8, "quota is used up", "rkfetch gc"),
    ("made read-only", [fault("change", errno.EROFS)], 2, "cannot be written", DMESG),
    (
        "gone",
        [fault(call, errno.ENODEV) for call in ("change", "fsync")],
        1,
        "is gone",
        "plug it in",
    ),
]


@pytest.mark.parametrize(
    ("faults", "code", "said", "hint"),
    [case[1:] for case in IN_THE_MIDDLE],
    ids=[case[0] for case in IN_THE_MIDDLE],
)
def test_what_came_before_is_kept_and_used_once_it_is_healed(
    machine: Machine, card: Card, faults: list[dict[str, Any]], code: int, said: str, hint: str
) -> None:
    done = machine.fetch_and(lambda: card.order(*faults))
    assert card.log
    assert done.code == code, done.err
    assert done.out == ""
    message, _, rest = done.err.partition("error: ")[2].partition("hint: ")
    assert said in message
    assert os.strerror(faults[0]["errno"]) in message
    assert "bytes are free" not in message
    assert hint in rest
    # Whatever is asked meanwhile gets an answer.
    assert machine.run("list").out == ""
    assert machine.run("verify").code == 0
    assert machine.run("gc", "--dry-run").code == 0
    card.heal()
    machine.goes_on()


def test_a_card_that_fails_with_everything(machine: Machine, card: Card) -> None:
    calls = ("change", "fsync", "open", "read", "create", "list", "stat")
    done = machine.fetch_and(lambda: card.order(*(fault(call, errno.EIO) for call in calls)))
    assert (done.code, done.out) == (1, "")
    assert "the disk of" in done.err
    for command in (["list"], ["verify"], ["gc"], ["path", MODEL], ["rm", MODEL], FETCH):
        failed = machine.run(*command)
        assert (failed.code, failed.out) == (1, ""), (command, failed)
        assert "failed Input/output error" in failed.err
        assert WORN_OUT in failed.err
    card.heal()
    machine.goes_on()


def test_a_card_that_is_full_and_then_is_not(machine: Machine, card: Card) -> None:
    done = machine.fetch_and(lambda: card.order(room_bytes=1))
    assert done.code == 8
    assert "0 bytes are free" in done.err
    assert "rkfetch gc" in done.err
    refused = machine.run(*FETCH, "--json")
    error = json.loads(refused.out)["error"]
    assert error["code"] == 8
    card.heal()
    machine.goes_on()


def test_what_a_failed_sync_lost_is_not_taken_for_here(machine: Machine, card: Card) -> None:
    """After it, Linux may forget what it could not write; only the digest tells then."""
    done = machine.fetch_and(lambda: card.order(fault("fsync", errno.EIO, name="*.partial")))
    assert done.code == 1
    (partial,) = card.behind.glob("rkfetch/partials/*.partial")
    with partial.open("r+b") as file:
        file.seek(HALF // 2)
        file.write(bytes(100_000))
    card.heal()
    assert machine.run(*FETCH).code == 0
    machine.assert_whole()


@pytest.fixture
def installed(machine: Machine) -> Path:
    """Where the model is."""
    assert machine.run(*FETCH).code == 0
    (model,) = machine.world.models()
    return model


def test_a_disk_that_was_pulled_out(machine: Machine, card: Card, installed: Path) -> None:
    card.pull_out()
    for command in (["list"], ["verify"], ["verify", "--changed"], ["gc"], ["path", MODEL], FETCH):
        done = machine.run(*command)
        assert (done.code, done.out) == (1, ""), (command, done)
        assert re.search(_GONE, done.err)
        assert "plug it in and mount it" in done.err
    card.put_in_again()
    machine.hub.forget()
    assert machine.run(*FETCH).out == f"{installed}\n"
    assert machine.hub.data_bytes() == 0
    machine.assert_whole()


def test_a_bad_block_in_a_model_is_found_and_the_model_is_fetched_anew(
    machine: Machine, card: Card, installed: Path
) -> None:
    card.order(fault("read", errno.EIO, name="*.rkllm", from_byte=HALF))
    found = machine.run("verify", "--json")
    assert found.code == 7
    answer = json.loads(found.out)
    assert answer["files"][0]["damaged"]
    assert "cannot be read any more" in answer["error"]["message"]
    assert answer["error"]["cause"] == ["Input/output error"]
    assert "DAMAGED" in machine.run("list").out
    assert machine.run("path", MODEL).code == 7
    # It was the cable, perhaps: what can be read soundly is given out again.
    card.heal()
    assert machine.run("verify").code == 0
    assert machine.run("path", MODEL).out == f"{installed}\n"
    card.order(fault("read", errno.EIO, name="*.rkllm", from_byte=HALF))
    assert machine.run("verify").code == 7
    card.heal()
    machine.hub.forget()
    assert machine.run(*FETCH).out == f"{installed}\n"
    assert machine.hub.data_bytes() >= machine.size
    machine.assert_whole()


def test_a_record_that_cannot_be_read_for_now_is_not_replaced(
    machine: Machine, card: Card, installed: Path
) -> None:
    record = installed.parent / "record.json"
    before = record.read_bytes()
    card.order(fault("read", errno.EIO, name="*record.json"))
    assert installed.name in machine.run("list").out
    assert machine.run("verify").code == 0
    card.heal()
    assert record.read_bytes() == before
    assert "someone/Thing-1B" in machine.run("list").out


# --- slow ---------------------------------------------------------------------------------------


def test_an_interrupt_while_the_disk_does_not_answer_is_said(machine: Machine, card: Card) -> None:
    """A sync that hangs cannot be interrupted; who waits for it is told."""
    card.order(fault("fsync", hangs=True, name="*.partial"))
    hold = machine.hub.hold("*_w4a16.rkllm", HALF)
    process = machine.world.start(*FETCH)
    assert hold.reached.wait(60)
    machine.wait_for_some()
    process.send_signal(signal.SIGINT)
    wait_until(lambda: any(line.startswith("fsync") for line in card.log))
    assert process.stderr is not None
    said = ""
    while "stopping once the disk has answered" not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    card.heal()
    done = machine.finish(process)
    assert done.code == 130
    assert "interrupted (SIGINT)" in done.err
    hold.released.set()
    machine.goes_on()


def test_a_slow_disk_does_not_hold_up_the_network(machine: Machine, card: Card) -> None:
    """Whatever a sync takes, it is waited for at the end, not at every piece."""
    card.order(fault("fsync", seconds=0.3))
    began = time.monotonic()
    assert machine.run(*FETCH).code == 0
    assert time.monotonic() - began < 30
    syncs = [line for line in card.log if "/partials" in line or "/models" in line]
    assert len(syncs) <= 8
    card.heal()
    machine.assert_whole()


def test_a_stick_pulled_out_in_the_middle_of_a_download(machine: Machine, card: Card) -> None:
    done = machine.fetch_and(card.pull_out)
    assert (done.code, done.out) == (1, "")
    assert re.search(_GONE, done.err)
    card.put_in_again()
    machine.goes_on()


def test_a_journal_that_cannot_be_read_for_a_moment_costs_nothing(
    machine: Machine, card: Card
) -> None:
    fails = {"call": "write", "errno": errno.EIO}
    assert machine.fetch_and(lambda: card.order(fails)).code == 1
    card.order({"call": "read", "errno": errno.EIO, "name": "*.journal"})
    assert machine.run(*FETCH).code == 1
    card.heal()
    machine.goes_on()
