"""What a journal vouches for: after a crash, after a power cut, torn, or of something else."""

from __future__ import annotations

import json
import os
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rkfetch.registry import journal
from rkfetch.registry.journal import Journal, Subject, Trusted, read, source_of
from rkfetch.registry.spans import Spans

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUBJECT = Subject(source="hf:alice/x@main", size_bytes=1000, sha256="a" * 64)
INODE = 7
SLOT = 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.journal"


@pytest.fixture
def open_journal(path: Path) -> Iterator[Journal]:
    opened = Journal(path, SUBJECT, inode=INODE)
    opened.begin()
    yield opened
    opened.close()


def trusted(path: Path, subject: Subject = SUBJECT, inode: int = INODE) -> list[tuple[int, int]]:
    found = read(path, subject, inode=inode)
    return [] if found is None else list(found.spans)


def after_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_boot_id", lambda: "another-boot")


class TestCrash:
    def test_what_was_written_is_trusted_while_the_machine_stays_on(
        self, path: Path, open_journal: Journal
    ) -> None:
        open_journal.written(Spans([(0, 10)]))
        open_journal.written(Spans([(0, 20), (50, 60)]))
        assert trusted(path) == [(0, 20), (50, 60)]

    def test_after_a_power_cut_only_what_was_synced(
        self, path: Path, open_journal: Journal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        open_journal.synced(Spans([(0, 10)]), (10, "b" * 64))
        open_journal.written(Spans([(0, 500)]))
        after_restart(monkeypatch)
        found = read(path, SUBJECT, inode=INODE)
        assert found is not None
        assert list(found.spans) == [(0, 10)]
        assert found.checked == (10, "b" * 64)

    def test_where_no_start_can_be_told_from_another_nothing_but_synced_counts(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(journal, "_boot_id", lambda: "")
        opened = Journal(path, SUBJECT, inode=INODE)
        opened.begin()
        opened.synced(Spans([(0, 10)]), None)
        opened.written(Spans([(0, 500)]))
        opened.close()
        assert trusted(path) == [(0, 10)]

    def test_a_copy_of_the_file_is_another_file(self, path: Path, open_journal: Journal) -> None:
        open_journal.synced(Spans([(0, 10)]), None)
        open_journal.written(Spans([(0, 500)]))
        assert trusted(path, inode=INODE + 1) == [(0, 10)]

    def test_a_digest_beyond_what_is_here_is_not_used(
        self, path: Path, open_journal: Journal
    ) -> None:
        open_journal.synced(Spans([(0, 10)]), (10, "b" * 64))
        open_journal.written(Spans([(0, 5)]))
        found = read(path, SUBJECT, inode=INODE)
        assert found is not None
        assert found.checked is None

    def test_begun_anew_it_vouches_for_nothing(self, path: Path, open_journal: Journal) -> None:
        open_journal.synced(Spans([(0, 10)]), (10, "b" * 64))
        open_journal.written(Spans([(0, 500)]))
        open_journal.begin()
        assert trusted(path) == []

    def test_going_on_leaves_the_old_notes_until_there_are_newer_ones(
        self, path: Path, open_journal: Journal
    ) -> None:
        open_journal.describe({"place": '"etag"'})
        open_journal.written(Spans([(0, 500)]))
        found = read(path, SUBJECT, inode=INODE)
        assert isinstance(found, Trusted)
        again = Journal(path, SUBJECT, inode=INODE)
        again.go_on(found)
        assert trusted(path) == [(0, 500)]
        again.written(Spans([(0, 501)]))
        again.close()
        newer = read(path, SUBJECT, inode=INODE)
        assert newer is not None
        assert (list(newer.spans), newer.validators) == ([(0, 501)], {"place": '"etag"'})


class TestSubject:
    @pytest.mark.parametrize(
        "other",
        [
            Subject(source=SUBJECT.source, size_bytes=1000, sha256="b" * 64),
            Subject(source=SUBJECT.source, size_bytes=1001, sha256="a" * 64),
            Subject(source=SUBJECT.source, size_bytes=1000, sha256=None),
        ],
    )
    def test_another_file_gets_nothing(
        self, path: Path, open_journal: Journal, other: Subject
    ) -> None:
        open_journal.written(Spans([(0, 500)]))
        assert read(path, other, inode=INODE) is None

    def test_the_same_content_from_elsewhere_goes_on(
        self, path: Path, open_journal: Journal
    ) -> None:
        open_journal.written(Spans([(0, 500)]))
        other = Subject(source="elsewhere", size_bytes=1000, sha256="a" * 64)
        assert trusted(path, other) == [(0, 500)]

    def test_without_a_digest_only_the_same_source_does(self, path: Path) -> None:
        nameless = Subject(source="here" * 200, size_bytes=1000, sha256=None)
        opened = Journal(path, nameless, inode=INODE)
        opened.begin()
        opened.written(Spans([(0, 500)]))
        opened.close()
        assert trusted(path, nameless) == [(0, 500)]
        other = Subject(source="here" * 199 + "her\udc80", size_bytes=1000, sha256=None)
        assert trusted(path, other) == []

    def test_people_are_told_of_what_it_is(self, path: Path, open_journal: Journal) -> None:
        assert source_of(path) == SUBJECT.source
        assert source_of(path.with_name("none")) is None


class TestTorn:
    def test_a_torn_note_leaves_the_one_before(self, path: Path, open_journal: Journal) -> None:
        open_journal.written(Spans([(0, 10)]))
        open_journal.written(Spans([(0, 20)]))
        data = path.read_bytes()
        at = data.index(b"0-20")
        path.write_bytes(data[:at] + b"0-99" + data[at + 4 :])
        assert trusted(path) == [(0, 10)]

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
    @given(at=st.integers(0, 5 * SLOT), damage=st.binary(min_size=1, max_size=64))
    def test_whatever_is_damaged_no_more_is_trusted_than_was_noted(
        self, path: Path, at: int, damage: bytes
    ) -> None:
        opened = Journal(path, SUBJECT, inode=INODE)
        opened.begin()
        noted = [[], [(0, 10)], [(0, 20)], [(0, 30)], [(0, 40)]]
        opened.synced(Spans([(0, 10)]), (10, "b" * 64))
        opened.written(Spans([(0, 20)]))
        opened.synced(Spans([(0, 30)]), (30, "c" * 64))
        opened.written(Spans([(0, 40)]))
        opened.close()
        data = path.read_bytes()
        path.write_bytes(data[:at] + damage + data[at + len(damage) :])
        assert trusted(path) in noted

    @given(data=st.binary(max_size=300))
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_any_bytes_vouch_for_nothing(self, path: Path, data: bytes) -> None:
        path.write_bytes(data)
        assert read(path, SUBJECT, inode=INODE) is None

    @pytest.mark.parametrize(
        ("slot", "bad"),
        [
            (0, {"schema_version": 3}),
            (0, {"schema_version": None}),
            (1, {"spans": "0-1001"}),
            (1, {"spans": "5-5"}),
            (1, {"spans": "a-b"}),
            (1, {"spans": ["0-5"]}),
            (1, {"number": -1}),
            (1, {"number": 1 << 63}),
            (1, {"number": True}),
        ],
    )
    def test_words_that_cannot_be_are_none(
        self, path: Path, slot: int, bad: dict[str, Any]
    ) -> None:
        opened = Journal(path, SUBJECT, inode=INODE)
        opened.begin()
        opened.synced(Spans([(0, 10)]), None)  # the second synced note: in slot 1
        opened.close()
        assert trusted(path) == [(0, 10)]
        data = bytearray(path.read_bytes())
        line = bytes(data[slot * SLOT : (slot + 1) * SLOT]).partition(b"\n")[0]
        text = json.dumps({**json.loads(line[9:]), **bad}).encode()
        new = b"%08x %s\n" % (zlib.crc32(text), text)
        data[slot * SLOT : slot * SLOT + len(new)] = new
        path.write_bytes(data)
        assert trusted(path) == []

    @pytest.mark.parametrize("value", ['"\xe9"', "x" * 201, "a\r\nb", 7])
    def test_a_validator_that_cannot_be_sent_is_none(
        self, path: Path, open_journal: Journal, value: Any
    ) -> None:
        open_journal.describe({"place": value, "other": '"good"'})
        open_journal.written(Spans([(0, 500)]))
        found = read(path, SUBJECT, inode=INODE)
        assert found is not None
        assert found.validators == {"other": '"good"'}

    def test_many_spans_and_long_names_fit(self, path: Path) -> None:
        subject = Subject(source="\u4e2d" * 4000, size_bytes=1 << 62, sha256="a" * 64)
        opened = Journal(path, subject, inode=INODE)
        opened.begin()
        big = (1 << 62) - 2000
        spans = Spans([(big + 4 * i, big + 4 * i + 1) for i in range(300)])
        opened.describe({f"{i:016x}": "x" * 200 for i in range(2)})
        opened.written(spans)
        opened.close()
        assert trusted(path, subject) == list(spans)[: len(trusted(path, subject))]
        assert len(trusted(path, subject)) >= 20


def test_a_pipe_in_its_place_gives_way(path: Path) -> None:
    os.mkfifo(path)
    opened = Journal(path, SUBJECT, inode=INODE)
    opened.begin()
    opened.written(Spans([(0, 500)]))
    opened.close()
    assert trusted(path) == [(0, 500)]
