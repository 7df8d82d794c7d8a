"""One download: what is asked for, what is kept, what is refused."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from downloads import FILE, Watcher, artifact, quick_http, small_disk
from hub.server import Fault
from rkfetch.registry import partial as partial_module
from rkfetch.registry.errors import (
    DiskSpaceError,
    IntegrityError,
    NetworkError,
    RkfetchError,
    UnknownModelError,
)
from rkfetch.registry.hub import HubFile
from rkfetch.registry.journal import journal_of
from rkfetch.registry.limits import Limits
from rkfetch.registry.route import Route
from rkfetch.registry.transfer import download
from rkllm_files import rkllm_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from hub.server import Hub
    from rkfetch.registry.http import Http
    from rkfetch.registry.transfer import Downloaded

CONTENT = rkllm_bytes(body_bytes=4 << 20)
SIZE = len(CONTENT)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


def get(http: Http, partial: Path, watcher: Watcher | None = None, **values: Any) -> Downloaded:
    source = HubFile(http=http, artifact=artifact())
    values = {"limits": Limits(connections=1), **values}
    return download(http, [Route(source)], partial=partial, progress=watcher or Watcher(), **values)


def get_a_part(hub: Hub, http: Http, partial: Path, size: int = 2 << 20) -> int:
    """Download the beginning, then forget what the Hub was asked; how much is here."""
    hub.hold("*", size)
    with pytest.raises(KeyboardInterrupt):
        get(http, partial, Watcher(interrupt_at=size))
    hub.heal()
    hub.forget()
    assert partial.stat().st_size == size
    return size


class TestWhole:
    def test_it_is_hashed_on_the_way(self, hub: Hub, http: Http, partial: Path) -> None:
        watcher = Watcher()
        done = get(http, partial, watcher)
        assert partial.read_bytes() == CONTENT
        assert (done.size_bytes, done.sha256, done.resumed_from) == (SIZE, SHA256, 0)
        assert (done.received_bytes, done.requests) == (SIZE, 1)
        assert watcher.phases == ["download", "verify"]
        assert (watcher.total, watcher.received) == (SIZE, SIZE)

    def test_a_complete_partial_costs_no_content(self, hub: Hub, http: Http, partial: Path) -> None:
        get(http, partial)
        hub.forget()
        done = get(http, partial)
        assert (done.resumed_from, done.sha256) == (SIZE, SHA256)
        assert hub.data_bytes() == 0

    @pytest.mark.parametrize("fault", [Fault(chunked=True), Fault(no_length=True)])
    def test_a_body_without_length(self, hub: Hub, http: Http, partial: Path, fault: Fault) -> None:
        hub.break_it(fault)
        assert get(http, partial).sha256 == SHA256

    def test_a_file_whose_size_nobody_tells_is_refused(
        self, hub: Hub, http: Http, partial: Path
    ) -> None:
        hub.break_it(
            Fault(method="HEAD", headers={"X-Linked-Size": None}),
            Fault(chunked=True, ignore_range=True),
        )
        with pytest.raises(IntegrityError, match="nobody tells how large"):
            get(http, partial)
        assert not partial.exists()
        assert get(http, partial, expected_size=SIZE).sha256 == SHA256

    def test_a_size_that_only_the_answer_with_the_content_tells_will_do(
        self, hub: Hub, http: Http, partial: Path
    ) -> None:
        hub.break_it(Fault(method="HEAD", headers={"X-Linked-Size": None}))
        assert get(http, partial).sha256 == SHA256

    def test_an_empty_file_is_no_endless_loop(self, hub: Hub, http: Http, partial: Path) -> None:
        hub.repos[0].add_file(FILE, b"")
        assert get(http, partial).size_bytes == 0
        assert hub.data_requests() == []


class TestBadLink:
    def test_a_connection_that_drops_again_and_again(
        self, hub: Hub, http: Http, partial: Path, watcher: Watcher
    ) -> None:
        hub.break_it(Fault(drop_after=500_000))
        done = get(http, partial, watcher)
        assert done.sha256 == SHA256
        assert done.requests == 9
        assert hub.data_bytes() == SIZE
        assert watcher.restarts == []

    def test_one_stall(self, hub: Hub, http: Http, partial: Path, watcher: Watcher) -> None:
        hub.break_it(Fault(stall_after=1_000_000, stall_s=20, times=1))
        assert get(http, partial, watcher).sha256 == SHA256
        assert watcher.waits == ["127.0.0.1 stalled"]
        assert hub.data_requests()[1].range == "bytes=1000000-"

    def test_resets_and_overloaded_servers(self, hub: Hub, http: Http, partial: Path) -> None:
        hub.break_it(
            Fault(reset_after=700_000, times=1),
            Fault(origin="cdn", status=503, after=1, times=2),
            Fault(origin="cdn", status=429, headers={"Retry-After": "0"}, after=3, times=1),
        )
        assert get(http, partial).sha256 == SHA256

    def test_without_any_progress_it_ends_and_keeps_the_partial(
        self, hub: Hub, http: Http, partial: Path
    ) -> None:
        hub.break_it(Fault(origin="cdn", status=503, after=1), Fault(drop_after=1_000_000))
        with pytest.raises(NetworkError, match="answered 503") as caught:
            get(http, partial)
        assert caught.value.exit_code == 6
        assert caught.value.cause == ("gave up after 5 tries without progress",)
        assert caught.value.hint == (
            "what was downloaded is kept: run the same command again to go on"
        )
        assert partial.stat().st_size == 1_000_000
        hub.heal()
        hub.forget()
        assert get(http, partial).resumed_from == 1_000_000
        assert hub.data_bytes() == SIZE - 1_000_000

    def test_progress_renews_the_patience(
        self, hub: Hub, http: Http, partial: Path, watcher: Watcher
    ) -> None:
        for begin in range(0, 40, 5):
            hub.break_it(
                Fault(origin="cdn", status=503, after=begin, times=4),
                Fault(origin="cdn", drop_after=400_000, after=begin + 4, times=1),
            )
        assert get(http, partial, watcher).sha256 == SHA256

    def test_a_server_that_neither_resumes_nor_holds_is_given_up(
        self, hub: Hub, http: Http, partial: Path
    ) -> None:
        hub.break_it(Fault(ignore_range=True, drop_after=1_000_000))
        with pytest.raises(NetworkError):
            get(http, partial)
        assert len(hub.data_requests()) <= 10

    def test_bytes_that_trickle_between_drops_do_not_renew_the_patience(
        self, hub: Hub, partial: Path
    ) -> None:
        now = 0.0

        class Slow(Watcher):
            def advanced(self, received: int) -> None:
                nonlocal now
                now += 100
                super().advanced(received)

        hub.break_it(Fault(drop_after=20_000))
        with (
            quick_http(monotonic=lambda: now) as http,
            pytest.raises(NetworkError, match="broke") as caught,
        ):
            get(http, partial, Slow())
        assert caught.value.cause[-1] == "gave up after 5 tries without progress"
        assert partial.stat().st_size <= 8 * 20_000

    def test_a_body_that_trickles_is_given_up(self, hub: Hub, partial: Path) -> None:
        hub.break_it(Fault(rate=200))
        with (
            quick_http(stall_timeout_s=0.1) as http,
            pytest.raises(NetworkError, match="stalled") as caught,
        ):
            get(http, partial)
        assert caught.value.cause[-1] == "gave up after 5 tries without progress"

    def test_an_expired_address_is_renewed(self, hub: Hub, http: Http, partial: Path) -> None:
        class Expiring(Watcher):
            def advanced(self, received: int) -> None:
                super().advanced(received)
                hub.expire_urls()

        hub.break_it(Fault(drop_after=1_000_000, times=1))
        assert get(http, partial, Expiring()).sha256 == SHA256
        statuses = [seen.status for seen in hub.requests if seen.origin == "cdn"]
        assert statuses == [200, 403, 206]
        assert hub.data_bytes() == SIZE

    def test_an_address_that_never_works_is_given_up(
        self, hub: Hub, http: Http, partial: Path
    ) -> None:
        hub.url_lifetime_s = -1
        with pytest.raises(NetworkError, match="answered 403"):
            get(http, partial)

    def test_a_file_removed_meanwhile_says_so(self, hub: Hub, http: Http, partial: Path) -> None:
        get_a_part(hub, http, partial)
        hub.repos[0].remove_file(FILE)
        with pytest.raises(UnknownModelError):
            get(http, partial)


class TestResume:
    def test_the_rest_is_asked_for_on_condition(
        self, hub: Hub, http: Http, partial: Path, watcher: Watcher
    ) -> None:
        here = get_a_part(hub, http, partial)
        done = get(http, partial, watcher)
        assert partial.read_bytes() == CONTENT
        assert done.resumed_from == watcher.resumed_from == here
        (request,) = hub.data_requests()
        assert request.range == f"bytes={here}-"
        assert request.headers["if-range"] == hub.repos[0].head.files[FILE].etag
        assert hub.data_bytes() == SIZE - here
        assert watcher.phases == ["download", "verify"]

    def test_what_the_journal_does_not_vouch_for_is_cut_off(
        self, hub: Hub, http: Http, partial: Path
    ) -> None:
        here = get_a_part(hub, http, partial)
        with partial.open("ab") as file:
            file.write(b"\0" * 70_000)
        assert get(http, partial).resumed_from == here
        assert partial.read_bytes() == CONTENT

    def test_a_damaged_prefix_is_noticed_before_the_rest_is_fetched(
        self, hub: Hub, http: Http, partial: Path, watcher: Watcher
    ) -> None:
        hub.break_it(Fault(origin="cdn", status=503, after=1), Fault(drop_after=2 << 20))
        with pytest.raises(NetworkError):
            get(http, partial)
        hub.heal()
        with partial.open("r+b") as file:
            file.seek(1000)
            file.write(b"damage")
        done = get(http, partial, watcher)
        assert (done.sha256, done.resumed_from) == (SHA256, 0)
        assert watcher.restarts == ["the partial file was damaged on the disk"]

    @pytest.mark.parametrize(
        "damage",
        [
            b"",
            b"{",
            b"[]",
            b'{"schema_version": 99}',
            b'{"schema_version": 1, "source": 1}',
            b"\xff" * 100,
        ],
    )
    def test_a_torn_journal_vouches_for_nothing(
        self, hub: Hub, http: Http, partial: Path, damage: bytes
    ) -> None:
        get_a_part(hub, http, partial)
        journal_of(partial).write_bytes(damage)
        done = get(http, partial)
        assert (done.sha256, done.resumed_from) == (SHA256, 0)

    def test_a_partial_that_lost_its_end_is_not_trusted(
        self, hub: Hub, http: Http, partial: Path
    ) -> None:
        get_a_part(hub, http, partial)
        with partial.open("r+b") as file:
            file.truncate(1000)
        done = get(http, partial)
        assert (done.sha256, done.resumed_from) == (SHA256, 0)

    def test_a_server_that_ignores_ranges_starts_over(
        self, hub: Hub, http: Http, partial: Path, watcher: Watcher
    ) -> None:
        get_a_part(hub, http, partial)
        hub.break_it(Fault(ignore_range=True))
        assert get(http, partial, watcher).sha256 == SHA256
        assert watcher.restarts == ["the server cannot go on where it stopped"]
        assert hub.data_bytes() == SIZE

    def test_a_changed_etag_starts_over(
        self, hub: Hub, http: Http, partial: Path, watcher: Watcher
    ) -> None:
        get_a_part(hub, http, partial)
        hub.break_it(Fault(etag='"another"'))
        assert get(http, partial, watcher).sha256 == SHA256
        assert watcher.restarts == ["the file changed on the server"]

    def test_two_versions_are_never_spliced(
        self, hub: Hub, http: Http, partial: Path, watcher: Watcher
    ) -> None:
        get_a_part(hub, http, partial)
        other = rkllm_bytes(body_bytes=4 << 20, seed=1)
        hub.repos[0].add_file(FILE, other)
        assert get(http, partial, watcher).sha256 == hashlib.sha256(other).hexdigest()
        assert partial.read_bytes() == other

    def test_a_lying_206_is_noticed(
        self, hub: Hub, http: Http, partial: Path, watcher: Watcher
    ) -> None:
        get_a_part(hub, http, partial)
        hub.break_it(Fault(headers={"ETag": '"another"'}, origin="cdn", times=1))
        assert get(http, partial, watcher).sha256 == SHA256
        assert watcher.restarts == ["the file changed on the server"]

    @pytest.mark.parametrize(
        "content_range",
        ["bytes 0-99/100", f"bytes 100-{SIZE - 1}/{SIZE}", "bytes x", f"bytes 9-3/{SIZE}"],
    )
    def test_another_part_than_asked_for_is_not_taken(
        self, hub: Hub, http: Http, partial: Path, watcher: Watcher, content_range: str
    ) -> None:
        get_a_part(hub, http, partial)
        hub.break_it(Fault(content_range=content_range, times=1))
        assert get(http, partial, watcher).sha256 == SHA256
        assert watcher.restarts == ["the server sent another part than it was asked for"]

    def test_another_total_is_another_file(
        self, hub: Hub, http: Http, partial: Path, watcher: Watcher
    ) -> None:
        here = get_a_part(hub, http, partial)
        hub.break_it(Fault(content_range=f"bytes {here}-{SIZE - 1}/{SIZE + 1}", times=1))
        assert get(http, partial, watcher).sha256 == SHA256
        assert watcher.restarts == ["the file changed on the server"]

    def test_a_part_that_is_refused_starts_over(
        self, hub: Hub, http: Http, partial: Path, watcher: Watcher
    ) -> None:
        get_a_part(hub, http, partial)
        hub.break_it(Fault(origin="cdn", status=416, times=1))
        assert get(http, partial, watcher).sha256 == SHA256
        assert watcher.restarts == ["the server has no such part of the file"]

    def test_without_digest_and_validator_nothing_is_resumed(
        self, hub: Hub, http: Http, partial: Path, watcher: Watcher
    ) -> None:
        nameless = {"ETag": None, "Last-Modified": None, "X-Linked-ETag": None}
        hub.break_it(Fault(headers=nameless), Fault(drop_after=1 << 20, times=1))
        assert get(http, partial, watcher).sha256 == SHA256
        assert watcher.restarts == ["the server cannot tell versions of the file apart"]
        assert [seen.range for seen in hub.data_requests()] == [None, None]

    def test_a_date_stands_in_for_an_etag(self, hub: Hub, http: Http, partial: Path) -> None:
        hub.break_it(Fault(headers={"ETag": 'W/"weak"'}), Fault(drop_after=1 << 20, times=1))
        assert get(http, partial).sha256 == SHA256
        assert hub.data_requests()[1].headers["if-range"] == "Thu, 01 Oct 2026 12:00:00 GMT"

    @pytest.mark.parametrize("value", ['"\xe9\xff"', '"a\x1b[31m"', f'"{"x" * 300}"'])
    @pytest.mark.parametrize("name", ["ETag", "Last-Modified"])
    def test_a_validator_that_cannot_be_sent_back_is_none(
        self, hub: Hub, http: Http, partial: Path, name: str, value: str
    ) -> None:
        headers = {"ETag": None, "Last-Modified": None, name: value}
        hub.break_it(Fault(origin="cdn", headers=headers), Fault(drop_after=1 << 20, times=1))
        assert get(http, partial).sha256 == SHA256
        assert "if-range" not in hub.data_requests()[-1].headers

    def test_the_same_content_from_another_place_goes_on(
        self, hub: Hub, http: Http, partial: Path
    ) -> None:
        here = get_a_part(hub, http, partial)
        hub.add_repo("bob/copy").add_file("copy.rkllm", CONTENT)
        source = HubFile(http=http, artifact=artifact(repo="bob/copy", path="copy.rkllm"))
        done = download(http, [Route(source)], partial=partial, expected_sha256=SHA256)
        assert (done.resumed_from, done.sha256) == (here, SHA256)
        assert "if-range" not in hub.data_requests()[0].headers


class TestWrongContent:
    def test_one_flipped_byte_is_fetched_anew_once(
        self, hub: Hub, http: Http, partial: Path, watcher: Watcher
    ) -> None:
        hub.break_it(Fault(flip_at=2_000_000, times=1))
        assert get(http, partial, watcher).sha256 == SHA256
        assert len(watcher.restarts) == 1
        assert hub.data_bytes() == 2 * SIZE

    def test_twice_is_an_error_and_nothing_is_kept(
        self, hub: Hub, http: Http, partial: Path
    ) -> None:
        hub.break_it(Fault(flip_at=2_000_000))
        with pytest.raises(IntegrityError, match="a wrong SHA-256") as caught:
            get(http, partial)
        error = caught.value
        assert error.exit_code == 7
        assert error.expected == SHA256
        assert error.actual is not None
        assert error.cause[:2] == (f"expected {SHA256}", f"got      {error.actual}")
        assert list(partial.parent.iterdir()) == []
        assert len(hub.data_requests()) == 2

    @pytest.mark.parametrize(
        ("body", "word"),
        [
            (json.dumps({"error": "Repository not found, sorry"}).encode(), "JSON"),
            (b"<!DOCTYPE html><html><body>Log in</body></html>", "a web page"),
            (
                b"version https://git-lfs.github.com/spec/v1\noid sha256:"
                + SHA256.encode()
                + b"\nsize 12\n",
                "Git LFS",
            ),
        ],
    )
    @pytest.mark.parametrize("chunked", [False, True])
    def test_what_is_no_model_is_told_by_its_name(
        self, hub: Hub, http: Http, partial: Path, body: bytes, word: str, chunked: bool
    ) -> None:
        hub.break_it(Fault(body=body, origin="cdn", chunked=chunked))
        with pytest.raises(IntegrityError, match="shorter than announced") as caught:
            get(http, partial)
        assert f"{len(body)} bytes" in caught.value.cause[1]
        assert word in caught.value.cause[2]
        assert len([seen for seen in hub.requests if seen.origin == "cdn"]) == 2
        assert list(partial.parent.iterdir()) == []

    def test_more_than_announced_is_not_even_read(
        self, hub: Hub, http: Http, partial: Path
    ) -> None:
        hub.break_it(Fault(body=bytes(SIZE + 9)))
        with pytest.raises(IntegrityError, match="longer than announced") as caught:
            get(http, partial)
        assert caught.value.actual == f"{SIZE + 9} bytes"
        assert list(partial.parent.iterdir()) == []

    def test_more_than_announced_is_cut_off_where_it_was_to_end(
        self, hub: Hub, http: Http, partial: Path
    ) -> None:
        hub.break_it(Fault(body=bytes(SIZE + (1 << 20)), chunked=True))
        with pytest.raises(IntegrityError, match="longer than announced"):
            get(http, partial)

    def test_a_compressed_body_is_refused(self, hub: Hub, http: Http, partial: Path) -> None:
        hub.break_it(Fault(gzip=True))
        with pytest.raises(IntegrityError, match="came compressed"):
            get(http, partial)

    def test_replaced_upstream_is_known_before_any_byte(
        self, hub: Hub, http: Http, partial: Path
    ) -> None:
        with pytest.raises(IntegrityError, match="was replaced upstream") as caught:
            get(http, partial, expected_sha256="0" * 64)
        assert (caught.value.expected, caught.value.actual) == ("0" * 64, SHA256)
        assert caught.value.hint == "rkfetch catalog update"
        with pytest.raises(IntegrityError, match="was replaced upstream"):
            get(http, partial, expected_size=5, expected_sha256=None)
        assert hub.data_bytes() == 0

    @pytest.mark.parametrize("announced", [SIZE - 1, 10**18])
    def test_a_size_that_contradicts_the_catalog_is_no_lack_of_room(
        self, hub: Hub, http: Http, partial: Path, announced: int
    ) -> None:
        hub.break_it(Fault(method="HEAD", headers={"X-Linked-Size": str(announced)}))
        with pytest.raises(IntegrityError, match="was replaced upstream") as caught:
            get(http, partial, expected_size=SIZE, expected_sha256=SHA256)
        assert (caught.value.expected, caught.value.actual) == (str(SIZE), str(announced))

    def test_the_callers_objection_removes_it_without_a_second_try(
        self, hub: Hub, http: Http, partial: Path
    ) -> None:
        with pytest.raises(IntegrityError, match="its header says rk3588"):
            get(http, partial, check=lambda path: "its header says rk3588")
        assert list(partial.parent.iterdir()) == []
        assert len(hub.data_requests()) == 1


class TestPlanted:
    @pytest.mark.parametrize("kind", ["link", "dangling link", "pipe", "second name", "folder"])
    def test_a_partial_that_is_no_file_of_its_own_is_refused(
        self, hub: Hub, http: Http, partial: Path, kind: str
    ) -> None:
        precious = partial.parent.with_name("precious.txt")
        precious.write_text("precious")
        partial.parent.mkdir()
        match kind:
            case "link":
                partial.symlink_to(precious)
            case "dangling link":
                partial.symlink_to(partial.with_name("nothing"))
            case "pipe":
                os.mkfifo(partial)
            case "second name":
                partial.hardlink_to(precious)
            case _:
                partial.mkdir()
        with pytest.raises(RkfetchError, match="is no plain file") as caught:
            get(http, partial)
        assert f"remove {partial}" in (caught.value.hint or "")
        assert precious.read_text() == "precious"
        assert [p.name for p in partial.parent.iterdir()] == [partial.name]
        assert hub.data_bytes() == 0

    def test_a_journal_that_is_a_pipe_vouches_for_nothing(
        self, hub: Hub, http: Http, partial: Path
    ) -> None:
        get_a_part(hub, http, partial)
        journal_of(partial).unlink()
        os.mkfifo(journal_of(partial))
        assert get(http, partial).resumed_from == 0


class TestDisk:
    def test_too_little_room_is_known_before_the_first_byte(
        self, hub: Hub, http: Http, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with small_disk(tmp_path / "disk", SIZE, monkeypatch) as disk:
            with pytest.raises(DiskSpaceError, match="not enough room") as caught:
                get(http, disk / "x.partial")
            error = caught.value
            assert error.exit_code == 8
            assert error.need_bytes == SIZE + (1 << 20)
            assert error.have_bytes is not None
            assert 0 < error.have_bytes <= SIZE + 4096
            assert error.where == str(disk)
            assert hub.data_bytes() == 0
            assert list(disk.iterdir()) == []

    def test_room_that_vanishes_on_the_way_leaves_a_partial_that_goes_on(
        self, hub: Hub, http: Http, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("rkfetch.registry.partial.preallocate", lambda *_: False)
        with small_disk(tmp_path / "disk", 6 << 20, monkeypatch) as disk:
            partial = disk / "x.partial"
            hog = disk / "hog"
            hold = hub.hold("*", 1 << 20)

            class Greedy(Watcher):
                def advanced(self, received: int) -> None:
                    super().advanced(received)
                    if not hog.exists():
                        hog.write_bytes(bytes(3 << 20))
                    hold.released.set()

            with pytest.raises(DiskSpaceError, match="no room is left") as caught:
                get(http, partial, Greedy())
            assert caught.value.where == str(disk)
            assert caught.value.have_bytes is not None
            hog.unlink()
            hub.forget()
            done = get(http, partial)
            assert done.sha256 == SHA256
            assert done.resumed_from > 1 << 20
            assert hub.data_bytes() == SIZE - done.resumed_from

    def test_a_disk_that_fails_to_sync_at_the_very_end_is_no_success(
        self, hub: Hub, http: Http, partial: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever syncs later may not be told of it again."""
        sync, is_called = os.fdatasync, threading.Event()

        def fail_late(handle: int) -> None:
            if handle == part[0]:
                is_called.set()
                time.sleep(0.5)  # until all bytes are here
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            sync(handle)

        part: list[int] = [-1]
        opened = partial_module.Partial.__init__

        def remember(self: Any, path: Path, subject: Any) -> None:
            opened(self, path, subject)
            part[0] = self.handle

        monkeypatch.setattr(partial_module.Partial, "__init__", remember)
        monkeypatch.setattr("rkfetch.registry.transfer._SYNC_EVERY_S", 0.0)
        monkeypatch.setattr(os, "fdatasync", fail_late)
        hub.break_it(Fault(rate=SIZE / 0.3))
        with pytest.raises(RkfetchError, match="failed"):
            get(http, partial)
        assert is_called.is_set()

    def test_what_is_here_already_needs_no_room_again(
        self, hub: Hub, http: Http, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with small_disk(tmp_path / "disk", SIZE + (2 << 20), monkeypatch) as disk:
            get_a_part(hub, http, disk / "x.partial", 3 << 20)
            assert get(http, disk / "x.partial").sha256 == SHA256
