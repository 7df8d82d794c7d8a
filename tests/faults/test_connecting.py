"""No way to the Hub at all: names, routes, ports, and servers that accept nobody."""

from __future__ import annotations

import contextlib
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from downloads import quick_http
from faults.fronts import Deaf
from faults.rig import SHA256, outcome, start
from hub.server import Fault
from rkfetch.registry.errors import NetworkError
from rkfetch.registry.http import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from faults.rig import Rig

BRIEF = RetryPolicy(attempts=2, first_wait_s=0.01, longest_wait_s=0.02)
ALONE = ("unshare", "-rmn", "sh", "-c")
"""In a network of its own, without any way out."""


def test_a_name_that_nobody_knows(rig: Rig) -> None:
    told = outcome(start(rig, *ALONE, '"$@"', "sh", env={"HF_ENDPOINT": "https://hub.invalid"}))
    assert told["code"] == 6
    assert told["message"] == "the name hub.invalid cannot be resolved"
    assert "HF_ENDPOINT" in told["hint"]
    assert outcome(start(rig))["sha256"] == SHA256


def test_a_name_server_that_does_not_answer(rig: Rig, tmp_path: Path) -> None:
    """The system's resolver has time-outs of its own; they are bounded and told."""
    settings = tmp_path / "resolv.conf"
    settings.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    lo_up = (
        "import fcntl,socket,struct;"
        "s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);"
        "fcntl.ioctl(s,0x8914,struct.pack('16sh14x',b'lo',1));"
        "s.bind(('127.0.0.1',53));import time;time.sleep(60)"
    )
    script = (
        f"mount --bind {settings} $(readlink -f /etc/resolv.conf); "
        f'{sys.executable} -c "{lo_up}" & server=$!; sleep 0.5; '
        '"$@"; code=$?; kill $server; exit $code'
    )
    told = outcome(
        start(rig, *ALONE, script, "sh", env={"HF_ENDPOINT": "https://hub.example"}, attempts=2)
    )
    assert told["code"] == 6
    assert told["message"] == "the name hub.example cannot be resolved"
    assert told["seconds"] < 20


def test_no_route(rig: Rig) -> None:
    told = outcome(
        start(rig, *ALONE, '"$@"', "sh", env={"HF_ENDPOINT": "http://192.0.2.1"}, attempts=2)
    )
    assert (told["code"], told["message"]) == (6, "192.0.2.1 cannot be reached")
    assert "unreachable" in told["cause"][0]
    assert outcome(start(rig))["sha256"] == SHA256


@pytest.mark.parametrize("origin", ["hub", "cdn"])
def test_nobody_listens(rig: Rig, monkeypatch: pytest.MonkeyPatch, origin: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    nobody = f"http://127.0.0.1:{port}"
    if origin == "hub":
        monkeypatch.setenv("HF_ENDPOINT", nobody)
    else:
        rig.hub.break_it(Fault(origin="hub", path="*.rkllm", redirect=f"{nobody}/blob"))
    error = rig.fails(NetworkError, http=quick_http(retries=BRIEF))
    assert error.message == "127.0.0.1 refused the connection"
    assert error.hint
    monkeypatch.setenv("HF_ENDPOINT", rig.hub.endpoint)
    rig.hub.break_it(Fault(origin="hub", path="*.rkllm", redirect=rig.wire.url))
    rig.succeeds()


@contextlib.contextmanager
def crowded() -> Iterator[int]:
    """A port whose queue is full: the kernel drops whoever asks for a connection."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@pytest.mark.parametrize("origin", ["hub", "cdn"])
def test_a_connection_that_does_not_come_about(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, origin: str
) -> None:
    with crowded() as port:
        if origin == "hub":
            monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
        else:
            rig.hub.break_it(
                Fault(origin="hub", path="*.rkllm", redirect=f"http://127.0.0.1:{port}/blob")
            )
        error = rig.fails(NetworkError, http=quick_http(connect_timeout_s=0.2, retries=BRIEF))
    assert error.message == "127.0.0.1 did not answer in time"
    assert error.hint


@pytest.mark.parametrize("origin", ["hub", "cdn"])
def test_who_accepts_and_says_nothing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, origin: str
) -> None:
    with Deaf() as deaf:
        url = f"http://127.0.0.1:{deaf.port}"
        if origin == "hub":
            monkeypatch.setenv("HF_ENDPOINT", url)
        else:
            rig.hub.break_it(Fault(origin="hub", path="*.rkllm", redirect=f"{url}/blob"))
        error = rig.fails(NetworkError, http=quick_http(stall_timeout_s=0.2, retries=BRIEF))
    assert error.hint


def test_the_way_back_goes_on_with_what_is_here(rig: Rig) -> None:
    """The network is gone in the middle, for good; the next run finds it again."""
    rig.then(lambda ask: ask.hang_up())
    rig.fails(NetworkError, http=quick_http(retries=BRIEF))
    rig.wire.heal()
    done = rig.succeeds()
    assert done.resumed_from > 200_000
    assert done.bytes_downloaded < len(rig.wire.content) * 0.6
