"""What a clean-up takes away, and what it never touches."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from rkfetch.registry.cleanup import clean, gc_plan
from rkfetch.registry.store import Store
from stored import CONTENT, SHA256, add, lose_record_and_content, record

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


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
        plan = gc_plan(store)
        assert [leftover.key for leftover in plan.leftovers] == ["a" * 64]
        assert plan.size_bytes >= 100_000
        assert store.partial("a" * 64).exists()
        assert clean(store, plan) == plan.size_bytes
        assert not store.partial("a" * 64).exists()
        assert store.partial("b" * 64).exists()

    def test_a_partial_of_what_is_here_goes(self, store: Store) -> None:
        add(store)
        self.leave(store, SHA256, days=0)
        assert [x.reason for x in gc_plan(store).leftovers] == ["the file is here, complete"]
        clean(store, gc_plan(store))
        assert store.find(SHA256) is not None

    def test_what_a_process_works_on_stays(self, store: Store) -> None:
        self.leave(store, "a" * 64, days=8)
        plan = gc_plan(store)
        with store.writing("a" * 64):
            assert gc_plan(store).leftovers == ()
            assert clean(store, plan) == 0
        assert store.partial("a" * 64).exists()

    def test_half_made_entries_go(self, store: Store) -> None:
        item = add(store)
        item.path.unlink()
        assert gc_plan(store).leftovers == ()
        self.age(item.path.parent, 8)
        plan = gc_plan(store)
        assert [x.reason for x in plan.leftovers] == ["has no file in it"]
        clean(store, plan)
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
        plan = gc_plan(store, older_than_days=0)
        assert plan.leftovers == ()
        assert all(path.exists() for path in mine)

    def test_an_entry_in_the_making_stays(self, store: Store) -> None:
        item = add(store)
        item.path.unlink()
        self.age(item.path.parent, 8)
        plan = gc_plan(store)
        with store.writing(SHA256):
            assert gc_plan(store).leftovers == ()
            assert clean(store, plan) == 0
            item.path.write_bytes(CONTENT)
        assert clean(store, plan) == 0
        found = store.find(SHA256)
        assert found is not None
        assert found.path == item.path

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
        assert gc_plan(store).leftovers == ()
        self.age(item.path, 8)
        plan = gc_plan(store)
        (leftover,) = plan.leftovers
        assert "is damaged" in leftover.reason
        assert leftover.paths[:2] == (item.path.parent, item.path)
        assert clean(store, plan) == plan.size_bytes > 0
        assert not item.path.parent.exists()

    def test_models_stay(self, store: Store) -> None:
        item = add(store)
        self.age(item.path, 1000)
        self.age(item.path.parent, 1000)
        assert gc_plan(store).leftovers == ()


_HOLDER = """
import mmap, os, sys, time
from pathlib import Path
from rkfetch.registry.store import Store
root, key, how = sys.argv[1:]
store = Store(Path(root))
if how == "lock":
    held = store.writing(key)
    held.__enter__()
else:
    handle = os.open(store.partial(key), os.O_RDWR)
    if how == "map":
        mapped = mmap.mmap(handle, 4096)
        os.close(handle)
print("ready", flush=True)
time.sleep(600)
"""


class TestInUse:
    @pytest.mark.parametrize(
        ("how", "reason"),
        [
            ("lock", "a running rkfetch works on it"),
            ("open", "process {pid} has it open"),
            ("map", "process {pid} has it open"),
        ],
    )
    def test_what_a_live_process_uses_stays_and_a_killed_one_holds_nothing(
        self, store: Store, how: str, reason: str
    ) -> None:
        key = "a" * 64
        with store.writing(key):
            store.partial(key).write_bytes(bytes(100_000))
        before = gc_plan(store, older_than_days=-1)
        assert len(before.leftovers) == 1
        process = subprocess.Popen(
            [sys.executable, "-c", _HOLDER, str(store.root), key, how],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        plan = gc_plan(store, older_than_days=-1)
        assert plan.leftovers == ()
        assert [kept.reason for kept in plan.kept] == [reason.format(pid=process.pid)]
        assert clean(store, before) == 0
        assert store.partial(key).exists()
        process.kill()
        process.communicate()
        after = gc_plan(store, older_than_days=-1)
        assert after.kept == ()
        assert clean(store, after) >= 100_000
        assert list(store.partials.iterdir()) == []

    def test_the_lock_of_a_killed_process_alone_is_cleared_away(self, store: Store) -> None:
        store.partials.mkdir(parents=True)
        lock = store.partials / f"{'a' * 64}.lock"
        lock.touch()
        plan = gc_plan(store)
        assert [x.reason for x in plan.leftovers] == ["left by a process that was killed"]
        assert clean(store, plan) == 0
        assert not lock.exists()

    def test_what_stays_is_told_with_the_reason(self, store: Store) -> None:
        with store.writing("a" * 64):
            store.partial("a" * 64).write_bytes(b"begun")
        (kept,) = gc_plan(store).kept
        assert (kept.path, kept.reason) == (
            store.partial("a" * 64),
            "it can be gone on with (0 of 7 days old)",
        )
