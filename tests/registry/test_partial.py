"""The partial file while several use it, and a disk that fails under it."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import threading
from typing import TYPE_CHECKING, Any

import pytest

from downloads import Watcher, artifact
from hub.server import Fault
from rkfetch.registry.errors import NetworkError, RkfetchError
from rkfetch.registry.hub import HubFile
from rkfetch.registry.journal import Subject
from rkfetch.registry.limits import Limits
from rkfetch.registry.partial import Partial
from rkfetch.registry.route import Route
from rkfetch.registry.transfer import download

if TYPE_CHECKING:
    from pathlib import Path

    from hub.server import Hub
    from rkfetch.registry.http import Http
    from rkfetch.registry.transfer import Downloaded

CONTENT = random.Random(7).randbytes(4 << 20)
SIZE = len(CONTENT)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def get(http: Http, partial: Path, watcher: Watcher | None = None) -> Downloaded:
    route = Route(HubFile(http=http, artifact=artifact()))
    limits = Limits(connections=1)
    return download(http, [route], partial=partial, progress=watcher or Watcher(), limits=limits)


def get_a_part(hub: Hub, http: Http, partial: Path, size: int) -> None:
    hub.hold("*", size)
    with pytest.raises(KeyboardInterrupt):
        get(http, partial, Watcher(interrupt_at=size))
    hub.heal()
    hub.forget()


def fail_reading(
    monkeypatch: pytest.MonkeyPatch, number: int, *, first: int = 0, last: int = SIZE
) -> None:
    pread = os.pread

    def failing(handle: int, count: int, offset: int) -> bytes:
        if first <= offset < last:
            raise OSError(number, os.strerror(number))
        return pread(handle, count, offset)

    monkeypatch.setattr(os, "pread", failing)


def hashed_up_to(partial: Path, position: int) -> None:
    """Have the journal say that hashing had come so far when it was interrupted."""
    file = Partial(partial, Subject(source="", size_bytes=SIZE, sha256=SHA256))
    trusted = file.take_up()
    assert trusted is not None
    file.begin(trusted)
    checked = (position, hashlib.sha256(CONTENT[:position]).hexdigest())
    file.sync(trusted.spans, checked, turn=file.turn)
    file.close(keep=True)


@pytest.mark.parametrize("hashed", [1 << 19, (1 << 20) + 1, 3 << 19, 5 << 19, 3 << 20])
def test_what_cannot_be_read_any_more_is_fetched_anew(
    hub: Hub, http: Http, partial: Path, monkeypatch: pytest.MonkeyPatch, hashed: int
) -> None:
    """On a slow machine hashing is somewhere far behind when the first run ends."""
    get_a_part(hub, http, partial, 3 << 20)
    hashed_up_to(partial, hashed)
    fail_reading(monkeypatch, errno.EIO, first=1 << 20, last=2 << 20)
    watcher = Watcher()
    done = get(http, partial, watcher)
    assert done.sha256 == SHA256
    assert watcher.restarts == ["the partial file was damaged on the disk"]
    assert hub.data_bytes() == 2 << 20, "the end, and the one part that cannot be read"


def test_a_disk_that_is_not_there_any_more_ends_it_before_the_rest_is_fetched(
    hub: Hub, http: Http, partial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    get_a_part(hub, http, partial, 3 << 20)
    hold = hub.hold("*", SIZE - 10)
    with monkeypatch.context() as gone:
        fail_reading(gone, errno.ENODEV)
        with pytest.raises(RkfetchError, match="is gone"):
            get(http, partial)
    hold.released.set()
    assert get(http, partial).resumed_from >= 3 << 20


def test_it_is_closed_only_after_who_writes_just_now(
    partial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A number that was closed may be another file's by then."""
    file = Partial(partial, Subject(source="", size_bytes=100, sha256=None))
    file.begin(None)
    writing, may_end = threading.Event(), threading.Event()
    pwrite = os.pwrite

    def slow(handle: int, data: Any, offset: int) -> int:
        if handle == file.handle:
            writing.set()
            may_end.wait(20)
        return pwrite(handle, data, offset)

    monkeypatch.setattr(os, "pwrite", slow)
    writer = threading.Thread(target=file.write, args=[0, memoryview(b"late")])
    writer.start()
    assert writing.wait(20)
    closer = threading.Thread(target=file.close, kwargs={"keep": True})
    closer.start()
    closer.join(0.1)
    assert closer.is_alive()
    with pytest.raises(RkfetchError):
        file.write(0, memoryview(b"later"))
    may_end.set()
    writer.join(20)
    closer.join(20)
    assert partial.read_bytes() == b"late"


class TestBegunAnew:
    """A server without ranges, whose connections break."""

    def answers(self, hub: Hub, *lengths: int) -> None:
        for number, length in enumerate(lengths):
            hub.break_it(
                Fault(origin="cdn", ignore_range=True, drop_after=length, after=number, times=1)
            )
        hub.break_it(Fault(origin="cdn", ignore_range=True, after=len(lengths)))

    def test_who_gets_less_far_each_time_is_lived_with(
        self, hub: Hub, http: Http, partial: Path
    ) -> None:
        self.answers(hub, *[(30 - 3 * i) * 100_000 for i in range(7)])
        assert get(http, partial).sha256 == SHA256

    def test_but_not_for_ever(self, hub: Hub, http: Http, partial: Path) -> None:
        self.answers(hub, *[2_000_000] * 40)
        with pytest.raises(NetworkError, match="begun anew too often"):
            get(http, partial)
        assert len(hub.data_requests()) < 15
