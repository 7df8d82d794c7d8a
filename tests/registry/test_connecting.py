"""Opening connections: several addresses, silent ones, and names that nobody resolves."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from rkfetch.registry.connecting import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

Address = tuple[str, int]


@pytest.fixture
def server() -> Iterator[Address]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()


@pytest.fixture
def silent() -> Iterator[Address]:
    """An address whose queue is full: the kernel leaves further connections without an answer."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.2", 0), backlog=0))
        for _ in range(3):
            filling = stack.enter_context(socket.socket())
            filling.setblocking(False)
            filling.connect_ex(listener.getsockname())
        yield listener.getsockname()


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: Address) -> None:
    def getaddrinfo(*_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def refused() -> Address:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address: Address = listener.getsockname()
    return address


def test_a_silent_address_does_not_keep_the_next_one_waiting(
    server: Address, silent: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, silent, server)
    with connect("host", 80, 20) as opened:
        assert opened.getpeername() == server


def test_a_refusing_address_is_left_at_once(
    server: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, *[refused() for _ in range(3)], server)
    with connect("host", 80, 20) as opened:
        assert opened.getpeername() == server


def test_when_none_takes_it_the_reason_is_the_last_one_s(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, refused(), refused())
    with pytest.raises(ConnectionRefusedError):
        connect("host", 80, 20)


def test_silent_addresses_together_have_no_more_than_the_time_of_one(
    silent: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, *[silent] * 5)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        connect("host", 80, 0.6)
    assert time.monotonic() - began < 3


def test_a_name_that_nobody_resolves_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    done = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: done.wait(30))
    with pytest.raises(TimeoutError, match="not resolved"):
        connect("host", 80, 0.2)
    done.set()


def test_an_unknown_name_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(socket.gaierror):
        connect("host", 80, 1)


def test_both_families_are_tried_in_turn(server: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten dead addresses of one family do not hide the living one of the other."""
    six = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", refused()[1], 0, 0))] * 10
    four = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", server)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [*six, *four])
    with connect("host", 80, 20) as opened:
        assert opened.getpeername() == server
