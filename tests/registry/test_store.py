"""What the store keeps, gives out, checks and clears away."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import threading
import time
import unicodedata
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downloads import small_disk
from rkfetch.registry.errors import DiskSpaceError, IntegrityError, RkfetchError, UsageError
from rkfetch.registry.record import Record
from rkfetch.registry.store import Installed, Store, home, safe_file_name
from rkllm_files import rkllm_bytes

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = rkllm_bytes()
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def record(content: bytes = CONTENT, **values: Any) -> Record:
    return Record(
        **{
            "sha256": hashlib.sha256(content).hexdigest(),
            "size_bytes": len(content),
            "source": "huggingface",
            "repo": "alice/models",
            "path": "RK3576/x.rkllm",
            "fetched_at": "2026-11-01T00:00:00+00:00",
            **values,
        }
    )


def add(store: Store, content: bytes = CONTENT, **values: Any) -> Installed:
    new = record(content, **values)
    partial = store.partial(new.sha256)
    with store.writing(new.sha256):
        partial.write_bytes(content)
        return store.add(partial, new)


def lose_record_and_content(store: Store) -> Installed:
    item = add(store)
    (item.path.parent / "record.json").unlink()
    item.path.write_bytes(CONTENT[:-1] + b"x")
    return item


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
        assert store.gc_plan().leftovers == ()
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
        assert store.installed() == [item]
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
            store.gc_plan(older_than_days=-1)
        assert self.untouched(outside)

    def test_an_entry_that_leads_out_is_none(self, store: Store, outside: Path) -> None:
        item = add(store)
        elsewhere = outside.with_name("elsewhere")
        item.path.parent.rename(elsewhere)
        item.path.parent.symlink_to(elsewhere)
        assert store.installed() == []
        assert store.gc_plan(older_than_days=-1).leftovers == ()
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


class TestVerify:
    def test_a_sound_file_is_sound(self, store: Store) -> None:
        assert store.verify(add(store)) is None

    def test_a_flipped_byte_is_found_and_the_file_not_given_out_again(self, store: Store) -> None:
        item = add(store)
        with item.path.open("r+b") as file:
            file.seek(1000)
            file.write(b"\xff")
        os.utime(item.path, (0, 0))  # a bit that rots leaves the times alone
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


class TestCleaningUp:
    def leave(self, store: Store, key: str, *, days: float) -> None:
        with store.writing(key):
            store.partial(key).write_bytes(bytes(100_000))
        self.age(store.partial(key), days)

    def age(self, path: Path, days: float) -> None:
        then = time.time() - days * 86_400
        os.utime(path, (then, then))

    def test_old_partials_go_and_young_ones_stay(self, store: Store) -> None:
        self.leave(store, "a" * 64, days=8)
        self.leave(store, "b" * 64, days=1)
        plan = store.gc_plan()
        assert [leftover.key for leftover in plan.leftovers] == ["a" * 64]
        assert plan.size_bytes >= 100_000
        assert store.partial("a" * 64).exists()
        assert store.gc(plan) == plan.size_bytes
        assert not store.partial("a" * 64).exists()
        assert store.partial("b" * 64).exists()

    def test_a_partial_of_what_is_here_goes(self, store: Store) -> None:
        add(store)
        self.leave(store, SHA256, days=0)
        assert [x.reason for x in store.gc_plan().leftovers] == ["the file is here, complete"]
        store.gc(store.gc_plan())
        assert store.find(SHA256) is not None

    def test_what_a_process_works_on_stays(self, store: Store) -> None:
        self.leave(store, "a" * 64, days=8)
        plan = store.gc_plan()
        with store.writing("a" * 64):
            assert store.gc_plan().leftovers == ()
            assert store.gc(plan) == 0
        assert store.partial("a" * 64).exists()

    def test_half_made_entries_go(self, store: Store) -> None:
        item = add(store)
        item.path.unlink()
        assert store.gc_plan().leftovers == ()
        self.age(item.path.parent, 8)
        plan = store.gc_plan()
        assert [x.reason for x in plan.leftovers] == ["has no file in it"]
        store.gc(plan)
        assert not item.path.parent.exists()

    def test_what_is_not_rkfetchs_own_stays(self, store: Store) -> None:
        add(store)
        models, partials = store.root / "models", store.root / "partials"
        mine = [
            models / "my-folder" / "x.txt",
            models / "notes.txt",
            models / ("b" * 64) / "my-folder" / "x.txt",
            partials / "thesis.partial.txt",
            partials / f"{'c' * 64}.partial" / "x.txt",
            partials / f".{SHA256}.thesis.tmp",
        ]
        for path in mine:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("mine")
        (models / "empty-folder").mkdir()
        for path in store.root.rglob("*"):
            self.age(path, 1000)
        plan = store.gc_plan(older_than_days=0)
        assert plan.leftovers == ()
        assert all(path.exists() for path in mine)

    def test_an_entry_in_the_making_stays(self, store: Store) -> None:
        item = add(store)
        item.path.unlink()
        self.age(item.path.parent, 8)
        plan = store.gc_plan()
        with store.writing(SHA256):
            assert store.gc_plan().leftovers == ()
            assert store.gc(plan) == 0
            item.path.write_bytes(CONTENT)
        assert store.gc(plan) == 0
        assert store.find(SHA256) == item

    def test_what_was_collected_under_another_key_is_taken_in_under_its_digest(
        self, store: Store
    ) -> None:
        with store.writing("a" * 64), store.writing(SHA256):
            store.partial("a" * 64).write_bytes(CONTENT)
            taking = threading.Thread(target=store.add, args=(store.partial("a" * 64), record()))
            taking.start()
            taking.join(0.1)
            assert store.find(SHA256) is None
        taking.join()
        assert store.find(SHA256) is not None

    def test_a_damaged_file_of_unknown_origin_goes(self, store: Store) -> None:
        item = lose_record_and_content(store)
        assert store.gc_plan().leftovers == ()
        self.age(item.path, 8)
        plan = store.gc_plan()
        (leftover,) = plan.leftovers
        assert "is damaged" in leftover.reason
        assert leftover.paths[:2] == (item.path.parent, item.path)
        assert store.gc(plan) == plan.size_bytes > 0
        assert not item.path.parent.exists()

    def test_models_stay(self, store: Store) -> None:
        item = add(store)
        self.age(item.path, 1000)
        self.age(item.path.parent, 1000)
        assert store.gc_plan().leftovers == ()


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
