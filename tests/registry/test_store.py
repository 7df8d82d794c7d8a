"""What the store keeps, gives out, checks and clears away."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import unicodedata
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from downloads import small_disk
from rkfetch.registry.cleanup import gc_plan
from rkfetch.registry.errors import DiskSpaceError, IntegrityError, RkfetchError, UsageError
from rkfetch.registry.progress import NoProgress
from rkfetch.registry.record import Record
from rkfetch.registry.store import Installed, Store, home, safe_file_name
from stored import CONTENT, SHA256, add, lose_record_and_content, record

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


class TestHome:
    def test_it_is_where_the_user_says(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("RKFETCH_HOME", str(tmp_path / "here"))
        assert home() == tmp_path / "here"
        monkeypatch.setenv("RKFETCH_HOME", "~/there")
        assert home() == tmp_path / "home" / "there"

    def test_else_with_the_users_data(
        self, monkeypatch: pytest.MonkeyPatch, own_home: Path
    ) -> None:
        monkeypatch.delenv("RKFETCH_HOME")
        monkeypatch.delenv("XDG_DATA_HOME", raising=False)
        assert home() == own_home / ".local" / "share" / "rkfetch"

    def test_a_user_without_a_home_is_told_what_to_set(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("RKFETCH_HOME", "XDG_DATA_HOME", "HOME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(os.path, "expanduser", lambda path: path)
        with pytest.raises(UsageError, match="no home folder") as caught:
            home()
        assert "RKFETCH_HOME" in (caught.value.hint or "")


class TestContent:
    def test_what_was_added_is_found_by_content_and_by_source(self, store: Store) -> None:
        item = add(store, model="Qwen2.5-1.5B", attributes={"toolkit": {"value": "1.2.3"}})
        assert item.path.read_bytes() == CONTENT
        assert item.path == store.root / "models" / SHA256 / "x.rkllm"
        assert store.find(SHA256) == item
        assert store.find_source("huggingface", "alice/models", "RK3576/x.rkllm") == item
        assert store.find_source("huggingface", "alice/models", "x.rkllm") is None
        assert store.installed() == [item]
        assert not store.partial(SHA256).exists()

    def test_an_empty_store_is_only_looked_at(self, store: Store) -> None:
        assert store.find(SHA256) is None
        assert store.find("../../etc") is None
        assert store.installed() == []
        assert gc_plan(store).leftovers == ()
        assert not store.root.exists()

    def test_the_newest_of_one_source_is_found(self, store: Store) -> None:
        add(store, b"old", fetched_at="2026-01-01T00:00:00+00:00")
        new = add(store, b"new", fetched_at="2026-02-01T00:00:00+00:00")
        assert store.find_source("huggingface", "alice/models", "RK3576/x.rkllm") == new

    def test_names_that_differ_only_in_case_do_not_meet(self, store: Store) -> None:
        one, two = add(store, b"1", path="a.rkllm"), add(store, b"2", path="A.rkllm")
        assert one.path.read_bytes() == b"1"
        assert two.path.read_bytes() == b"2"

    def test_a_file_of_the_wrong_size_is_not_given_out_and_is_replaced(self, store: Store) -> None:
        item = add(store)
        with item.path.open("ab") as file:
            file.write(b"more")
        assert store.find(SHA256) is None
        assert [i.path for i in store.installed()] == [item.path]
        add(store, path="other-name.rkllm")
        found = store.find(SHA256)
        assert found is not None
        assert [f.name for f in found.path.parent.glob("*.rkllm")] == ["other-name.rkllm"]

    @pytest.mark.parametrize("damage", [None, b"", b"{", b'{"schema_version": 7}', b"[1]"])
    def test_a_torn_record_is_made_anew_from_the_content(
        self, store: Store, damage: bytes | None
    ) -> None:
        item = add(store)
        path = item.path.parent / "record.json"
        path.unlink() if damage is None else path.write_bytes(damage)
        (rebuilt,) = store.installed()
        assert rebuilt.record.sha256 == SHA256
        assert rebuilt.record.source == "unknown"
        assert rebuilt.record.attributes["toolkit"] == {"value": "1.2.3", "origin": "header"}
        assert store.find(SHA256) == rebuilt
        assert json.loads(path.read_bytes())["sha256"] == SHA256

    def test_a_record_torn_at_any_byte_is_made_anew(self, store: Store) -> None:
        path = add(store, model="Qwen", revision="a" * 40).path.parent / "record.json"
        whole = path.read_bytes()
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            found = store.find(SHA256)
            assert found is not None, length
            assert found.record.source == "unknown", length
            assert json.loads(path.read_bytes())["sha256"] == SHA256
        assert len(whole) > 400

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        where=st.floats(0, 1, exclude_max=True),
        garbage=st.binary(min_size=1, max_size=40),
        tail=st.booleans(),
    )
    def test_whatever_is_in_a_record_the_content_is_given_out(
        self, store: Store, where: float, garbage: bytes, tail: bool
    ) -> None:
        item = add(store)
        path = item.path.parent / "record.json"
        whole = path.read_bytes()
        at = int(where * len(whole))
        path.write_bytes(whole[:at] + garbage + (whole[at + len(garbage) :] if tail else b""))
        found = store.find(SHA256)
        (seen,) = store.installed()
        if seen.record.damaged:
            # Only where the bytes happen to say just that; reading it again says otherwise.
            assert store.verify(seen) is None
            found = store.find(SHA256)
        assert found is not None
        assert found.path.read_bytes() == CONTENT
        store.remove(found)

    def test_a_record_with_another_size_is_put_right_by_the_content(self, store: Store) -> None:
        item = add(store)
        replace(item.record, size_bytes=7).write(item.path.parent)
        found = store.find(SHA256)
        assert found is not None
        assert found.record.size_bytes == len(CONTENT)

    def test_other_content_without_a_record_is_damaged_and_read_only_once(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        item = lose_record_and_content(store)
        (found,) = store.installed()
        assert (found.path, found.record.sha256, found.record.damaged) == (item.path, SHA256, True)
        assert store.find(SHA256) is None
        monkeypatch.setattr("rkfetch.registry.record.hash_file", None)
        assert store.installed() == [found]
        assert isinstance(store.verify(found), IntegrityError)
        store.remove(found)
        assert not item.path.parent.exists()

    def test_a_size_that_no_disk_has_is_no_record(self) -> None:
        values = record().as_json()
        assert Record.from_json(values) == record()
        assert Record.from_json({**values, "bytes": 1 << 63}) is None

    def test_a_record_survives_its_own_writing(self, tmp_path: Path) -> None:
        full = record(
            revision="a" * 40,
            requested="main",
            model="Qwen",
            verdict="exact",
            attributes={"toolkit": {"value": "1.2.3", "origin": "header"}},
            damaged=True,
        )
        full.write(tmp_path)
        assert Record.read(tmp_path / "record.json") == full

    def test_a_read_only_place_says_what_to_do(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*args: Any, **more: Any) -> None:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

        monkeypatch.setattr("pathlib.Path.mkdir", refuse)
        with pytest.raises(UsageError, match="cannot be written") as caught, store.writing(SHA256):
            pass
        assert "RKFETCH_HOME" in (caught.value.hint or "")

    @pytest.mark.parametrize(
        ("number", "kind"),
        [
            (errno.ENOSPC, DiskSpaceError),
            (errno.EDQUOT, DiskSpaceError),
            (errno.EFBIG, DiskSpaceError),
            (errno.EACCES, UsageError),
            (errno.EIO, RkfetchError),
        ],
    )
    def test_a_disk_that_fails_is_one_of_our_errors(
        self, store: Store, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[RkfetchError]
    ) -> None:
        def fail(handle: int) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(RkfetchError) as caught:
            add(store)
        assert type(caught.value) is kind
        assert store.find(SHA256) is None


class TestKeys:
    @pytest.mark.parametrize(
        "key",
        [
            "",
            "a" * 63,
            "A" * 64,
            "a" * 64 + "\n",
            "/tmp/x".ljust(64, "x"),
            "../../e".ljust(64, "x"),
        ],
    )
    def test_what_is_no_digest_never_becomes_a_path(
        self, store: Store, tmp_path: Path, key: str
    ) -> None:
        with pytest.raises(IntegrityError, match="is no SHA-256"):
            store.partial(key)
        with pytest.raises(IntegrityError), store.writing(key):
            pass
        partial = tmp_path / "x.partial"
        partial.write_bytes(CONTENT)
        evil = replace(record(), sha256=key)
        with pytest.raises(IntegrityError):
            store.add(partial, evil)
        with pytest.raises(IntegrityError):
            store.remove(Installed(path=partial, record=evil))
        assert store.find(key) is None
        assert partial.exists()
        assert not store.root.exists()


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder of the user's that nobody may touch."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "precious.txt").write_text("precious")
    return folder


class TestPlanted:
    def untouched(self, outside: Path) -> bool:
        return [p.name for p in outside.iterdir()] == ["precious.txt"] and (
            outside / "precious.txt"
        ).read_text() == "precious"

    @pytest.mark.parametrize("name", ["models", f"models/{SHA256}", "partials"])
    def test_a_folder_that_leads_out_is_named_and_not_written_to(
        self, store: Store, outside: Path, name: str
    ) -> None:
        link = store.root / name
        link.parent.mkdir(parents=True)
        link.symlink_to(outside)
        with (
            pytest.raises(RkfetchError, match="is a symbolic link") as caught,
            store.writing(SHA256),
        ):
            pass
        assert str(link) in caught.value.message
        assert "remove" in (caught.value.hint or "")
        assert self.untouched(outside)

    @pytest.mark.parametrize("name", ["models", "partials"])
    def test_nor_cleaned_up(self, store: Store, outside: Path, name: str) -> None:
        store.root.mkdir()
        (store.root / name).symlink_to(outside)
        with pytest.raises(RkfetchError, match="is a symbolic link"):
            gc_plan(store, older_than_days=-1)
        assert self.untouched(outside)

    def test_an_entry_that_leads_out_is_none(self, store: Store, outside: Path) -> None:
        item = add(store)
        elsewhere = outside.with_name("elsewhere")
        item.path.parent.rename(elsewhere)
        item.path.parent.symlink_to(elsewhere)
        assert store.installed() == []
        assert gc_plan(store, older_than_days=-1).leftovers == ()
        with pytest.raises(RkfetchError, match="is a symbolic link"):
            store.remove(item)
        assert (elsewhere / "x.rkllm").exists()

    def test_a_lock_that_leads_out_is_refused(self, store: Store, outside: Path) -> None:
        (store.root / "partials").mkdir(parents=True)
        store.partial(SHA256).with_suffix(".lock").symlink_to(outside / "precious.txt")
        with pytest.raises(RkfetchError, match="is a symbolic link"), store.writing(SHA256):
            pass
        assert self.untouched(outside)

    def test_a_record_is_replaced_not_written_through(self, store: Store, outside: Path) -> None:
        item = add(store)
        for name in ("record.json", ".record.json.tmp"):
            path = item.path.parent / name
            path.unlink(missing_ok=True)
            path.symlink_to(outside / "precious.txt")
        assert store.installed()[0].record.source == "unknown"
        assert not (item.path.parent / "record.json").is_symlink()
        assert self.untouched(outside)

    @pytest.mark.parametrize("kind", ["pipe", "endless"])
    def test_a_record_that_cannot_be_read_to_its_end_is_none(self, store: Store, kind: str) -> None:
        path = add(store).path.parent / "record.json"
        path.unlink()
        os.mkfifo(path) if kind == "pipe" else path.write_bytes(b" " * (2 << 20))
        assert store.installed()[0].record.source == "unknown"

    def test_a_home_that_is_a_link_is_the_users_own_choice(
        self, store: Store, outside: Path
    ) -> None:
        store.root.symlink_to(outside)
        item = add(store)
        assert (outside / "models" / SHA256 / "x.rkllm").exists()
        store.remove(item)


def rot(item: Installed) -> None:
    """Change a byte as a dying disk does: the times stay."""
    before = item.path.stat()
    with item.path.open("r+b") as file:
        file.seek(1000)
        file.write(b"\xff")
    os.utime(item.path, ns=(before.st_atime_ns, before.st_mtime_ns))


class TestVerify:
    def test_a_sound_file_is_sound(self, store: Store) -> None:
        assert store.verify(add(store)) is None

    def test_a_flipped_byte_is_found_and_the_file_not_given_out_again(self, store: Store) -> None:
        item = add(store)
        rot(item)
        assert store.find(SHA256) is not None
        error = store.verify(item)
        assert isinstance(error, IntegrityError)
        assert error.expected == SHA256
        assert error.actual == hashlib.sha256(item.path.read_bytes()).hexdigest()
        assert store.find(SHA256) is None
        assert [i.record.damaged for i in store.installed()] == [True]
        item.path.write_bytes(CONTENT)
        assert store.verify(store.installed()[0]) is None
        assert store.find(SHA256) is not None

    def test_a_file_that_was_written_to_is_looked_at_before_it_is_given_out(
        self, store: Store
    ) -> None:
        item = add(store)
        item.path.write_bytes(CONTENT)
        assert store.find(SHA256) is not None
        item.path.write_bytes(b"x" + CONTENT[1:])
        assert store.find(SHA256) is None
        assert [i.record.damaged for i in store.installed()] == [True]

    def test_a_write_that_leaves_the_size_and_an_older_time_is_noticed(self, store: Store) -> None:
        item = add(store)
        item.path.write_bytes(b"x" + CONTENT[1:])
        os.utime(item.path, (0, 0))
        assert store.find(SHA256) is None

    def test_what_was_verified_is_noted(self, store: Store) -> None:
        item = add(store)
        assert not store.is_changed(item)
        noted = store.installed()[0].record.verified
        assert noted is not None
        assert noted.inode == item.path.stat().st_ino
        assert noted.at >= "2026"
        os.utime(item.path)
        assert store.is_changed(store.installed()[0])
        assert store.verify(item) is None
        assert not store.is_changed(store.installed()[0])

    def test_another_file_with_the_same_size_and_time_is_a_change(self, store: Store) -> None:
        item = add(store)
        before = item.path.stat()
        other = item.path.with_name("other")
        other.write_bytes(CONTENT)
        os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
        other.replace(item.path)
        assert store.is_changed(store.installed()[0])

    def test_a_record_of_an_older_version_counts_as_changed_and_is_believed(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        item = add(store)
        replace(item.record, verified=None).write(item.path.parent)
        (old,) = store.installed()
        assert store.is_changed(old)
        with monkeypatch.context() as patched:
            patched.setattr("rkfetch.registry.store.hash_file", None)
            assert store.find(SHA256) == old
        assert store.verify(old) is None
        assert not store.is_changed(store.installed()[0])
        replace(item.record, verified=None).write(item.path.parent)
        item.path.write_bytes(b"x" + CONTENT[1:])
        assert store.find(SHA256) is None

    def test_a_file_that_is_written_to_while_it_is_read_is_not_noted_as_verified(
        self, store: Store
    ) -> None:
        item = add(store)

        class Writer(NoProgress):
            def advanced(self, received: int) -> None:
                os.utime(item.path, (1, 1))

        assert store.verify(item, Writer()) is None
        (now,) = store.installed()
        assert now.record.verified is None
        assert store.is_changed(now)


class TestRemove:
    def test_the_file_goes_with_its_record(self, store: Store) -> None:
        item = add(store)
        other = add(store, b"other")
        store.remove(item)
        assert store.installed() == [other]
        assert not item.path.parent.exists()
        store.remove(item)

    def test_what_the_user_put_beside_it_stays(self, store: Store) -> None:
        item = add(store)
        notes = item.path.with_name("my-notes")
        notes.mkdir()
        store.remove(item)
        assert store.installed() == []
        assert notes.exists()

    def test_a_fetch_of_the_same_file_is_waited_for(self, store: Store) -> None:
        item = add(store)
        said: list[str] = []
        with store.writing(SHA256):

            def stop(reason: str, seconds: float) -> None:
                said.append(reason)
                raise KeyboardInterrupt

            with pytest.raises(KeyboardInterrupt):
                store.remove(item, waiting=stop)
        assert said == ["another rkfetch is downloading this file"]
        assert store.find(SHA256) == item


class TestPlace:
    def test_a_link_costs_no_room(self, store: Store, tmp_path: Path) -> None:
        item = add(store)
        placed = store.place(item, tmp_path / "models")
        assert placed == tmp_path / "models" / "x.rkllm"
        assert placed.samefile(item.path)
        assert store.place(item, tmp_path / "models" / "mine.rkllm").name == "mine.rkllm"
        assert store.place(item, tmp_path / "models") == placed

    def test_another_file_system_gets_a_copy(
        self, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        item = add(store)
        with small_disk(tmp_path / "disk", 8 << 20, monkeypatch) as disk:
            monkeypatch.setattr(os, "link", _cross_device)
            placed = store.place(item, disk)
            assert placed.read_bytes() == CONTENT
            assert store.place(item, disk) == placed
            assert [p.name for p in disk.iterdir()] == ["x.rkllm"]

    def test_a_copy_needs_room(
        self, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        item = add(store, bytes(2 << 20))
        with small_disk(tmp_path / "disk", 1 << 20, monkeypatch) as disk:
            monkeypatch.setattr(os, "link", _cross_device)
            with pytest.raises(DiskSpaceError):
                store.place(item, disk)
            assert list(disk.iterdir()) == []

    def test_a_damaged_file_is_not_copied(
        self, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        item = add(store)
        item.path.write_bytes(CONTENT[:-1] + b"x")
        monkeypatch.setattr(os, "link", _cross_device)
        with pytest.raises(IntegrityError):
            store.place(item, tmp_path / "models")
        assert list((tmp_path / "models").iterdir()) == []

    def test_another_file_is_left_alone_unless_forced(self, store: Store, tmp_path: Path) -> None:
        item = add(store)
        target = tmp_path / "mine.rkllm"
        target.write_bytes(b"mine")
        with pytest.raises(UsageError, match="is another file"):
            store.place(item, target)
        assert target.read_bytes() == b"mine"
        assert store.place(item, target, force=True).read_bytes() == CONTENT

    def test_the_same_content_is_kept(self, store: Store, tmp_path: Path) -> None:
        item = add(store)
        target = tmp_path / "mine.rkllm"
        target.write_bytes(CONTENT)
        assert store.place(item, target) == target
        assert not target.samefile(item.path)


def _cross_device(*args: Any, **more: Any) -> None:
    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))


class TestFileNames:
    @pytest.mark.parametrize(
        ("path", "name"),
        [
            ("RK3576/Qwen2.5-1.5B_w4a16.rkllm", "Qwen2.5-1.5B_w4a16.rkllm"),
            ("../../etc/passwd", "passwd"),
            ("/etc/passwd", "passwd"),
            ("a\\..\\b.rkllm", "b.rkllm"),
            ("..", "model"),
            (".", "model"),
            ("", "model"),
            ("a/", "model"),
            (".rkllm", "model.rkllm"),
            ("-rf.rkllm", "rf.rkllm"),
            (".hidden.rkllm", "hidden.rkllm"),
            ("a\x00b\nc\x1b[31m.rkllm", "abc[31m.rkllm"),
            ("a\u202egpj.rkllm", "agpj.rkllm"),
            ("a b.rkllm", "a b.rkllm"),
            ("a:b*c?.rkllm", "a_b_c_.rkllm"),
            ("nul.rkllm", "_nul.rkllm"),
            ("record.json", "_record.json"),
            ("\u4e2d\u6587.rkllm", "\u4e2d\u6587.rkllm"),
            ("x" * 4000 + ".rkllm", "x" * 194 + ".rkllm"),
            ("\ud800.rkllm", "model.rkllm"),
            ("con." + "\u4e2d" * 100 + ".rkllm", "_con." + "\u4e2d" * 63 + ".rkllm"),
        ],
    )
    def test_some(self, path: str, name: str) -> None:
        assert safe_file_name(path) == name

    @given(path=st.text(max_size=400))
    def test_any(self, path: str) -> None:
        for ending in ("", ".rkllm"):
            name = safe_file_name(path + ending)
            assert name not in {"", ".", "..", "record.json"}
            assert "/" not in name
            assert not name.startswith((".", "-"))
            assert len(name.encode()) <= 200
            assert name.endswith(ending)
            assert not any(unicodedata.category(c) in {"Cc", "Cf", "Cs"} for c in name)
            assert safe_file_name(name) == name


def test_an_entry_whose_folder_was_copied_is_still_one(store: Store, tmp_path: Path) -> None:
    add(store)
    shutil.copytree(store.root, tmp_path / "copy")
    assert Store(tmp_path / "copy").find(SHA256) is not None
