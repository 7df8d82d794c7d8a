"""The store on file systems that lack something: hard links, sparse files, modes, long names."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from disks import exfat, tool
from rkfetch.registry.place import destination_of
from rkfetch.registry.store import Store
from stored import CONTENT, SHA256, add

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = str(Path(__file__).parent.parent)

_LIFE = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from rkfetch.registry.cleanup import clean, gc_plan
from rkfetch.registry.durable import open_own
from rkfetch.registry.imports import import_file
from rkfetch.registry.record import Record
from rkfetch.registry.store import Store
from stored import CONTENT, SHA256, add
disk, links = Path(sys.argv[1]), sys.argv[2] == "links"
store = Store(disk / "store")
item = add(store)
assert store.find(SHA256) == item, (store.find(SHA256), item)
assert store.verify(item) is None
# Where time goes in whole seconds, a file that was just written may be written to unnoticed.
is_coarse = item.path.stat().st_mtime_ns % 10**9 == 0
assert store.is_changed(store.installed()[0]) == is_coarse
os.utime(item.path, (10**9, 10**9))
assert store.verify(item) is None
assert not store.is_changed(store.installed()[0])
placed = store.place(item, disk / "models")
assert placed.samefile(item.path) == links
assert placed.read_bytes() == CONTENT
assert store.place(item, disk / "models") == placed
store.remove(item)
def describe(sha256, facts):
    return Record(sha256=sha256, size_bytes=facts.size_bytes, source="import", repo="", path="x")
done = import_file(store, placed, describe=describe)
assert done.action == ("linked" if links else "copied"), done.action
assert import_file(store, placed, describe=describe, move=True).removed
assert store.find(SHA256) is not None
with store.writing("a" * 64):
    with store.locked_at_once("a" * 64) as ours:
        assert not ours
    with os.fdopen(open_own(store.partial("a" * 64)), "wb") as begun:
        begun.write(bytes(100_000))
assert clean(store, gc_plan(store, older_than_days=-1)) > 0
assert os.listdir(store.partials) == []
(done.installed.path.parent / "record.json").write_bytes(b"{")
assert store.find(SHA256).record.source == "unknown"
for folder, _, names in os.walk(disk):
    assert not [n for n in names if n.endswith(".tmp")], names
"""


def live(disk: Path, *, links: bool) -> None:
    """Do in a process what a store does in its life."""
    done = subprocess.run(
        [sys.executable, "-c", _LIFE, str(disk), "links" if links else "none", TESTS],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@contextmanager
def overlay(folder: Path) -> Iterator[Path]:
    """An overlay over a store that another layer holds, as in a container's image."""
    tool("mount", "mount")
    lower, disk = folder / "lower", folder / "disk"
    top = folder / "top"
    for path in (lower, disk, top):
        path.mkdir()
    # An overlay cannot lie upon another one, which a container's root often is.
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(top)], check=True)
    try:
        (top / "upper").mkdir()
        (top / "work").mkdir()
        layers = f"lowerdir={lower},upperdir={top}/upper,workdir={top}/work"
        mount = ["mount", "-t", "overlay", "overlay", "-o", layers, str(disk)]
        add(Store(lower / "image"))
        if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
            pytest.skip("this kernel mounts no overlay here")
        try:
            yield disk
        finally:
            subprocess.run(["umount", str(disk)], check=True)
    finally:
        subprocess.run(["umount", str(top)], check=True)


def test_without_hard_links_and_modes(tmp_path: Path) -> None:
    with exfat(tmp_path) as disk:
        live(disk, links=False)


def test_upon_an_overlay(tmp_path: Path) -> None:
    with overlay(tmp_path) as disk:
        live(disk, links=True)
        # A store of the layer below is found, verified, noted, damaged and removed like any other.
        store = Store(disk / "image")
        item = store.find(SHA256)
        assert item is not None
        assert store.verify(item) is None
        item.path.write_bytes(b"x" + CONTENT[1:])
        assert store.find(SHA256) is None
        store.remove(item)
        assert store.installed() == []
        assert Store(tmp_path / "lower" / "image").find(SHA256) is not None


_ENDLESS = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from rkfetch.registry.store import Store
from stored import add
store = Store(Path(sys.argv[1]))
while True:
    store.remove(add(store))
    print("once", flush=True)
"""


def test_killed_at_any_moment_without_hard_links_nothing_torn_is_given_out(tmp_path: Path) -> None:
    with exfat(tmp_path) as disk:
        for _ in range(5):
            process = subprocess.Popen(
                [sys.executable, "-c", _ENDLESS, str(disk / "store"), TESTS],
                stdout=subprocess.PIPE,
                text=True,
            )
            assert process.stdout is not None
            assert process.stdout.readline() == "once\n"
            process.send_signal(signal.SIGKILL)
            process.communicate()
            store = Store(disk / "store")
            found = store.find(SHA256)
            assert found is None or found.path.read_bytes() == CONTENT
            assert add(store).path.read_bytes() == CONTENT


class TestLongNames:
    """Most file systems stop at 255 bytes: what is longer stands for what stops at 143."""

    @pytest.fixture(autouse=True)
    def too_long_at_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("rkfetch.registry.record._LONGEST_NAMES", (300, 140, 70))

    def test_a_shorter_name_is_used_and_the_suffix_kept(self, tmp_path: Path) -> None:
        store = Store(tmp_path / "store")
        monster = "\u4e2d" * 400 + ".rkllm"
        item = add(store, path=monster)
        assert store.find(SHA256) == item
        assert 130 < len(os.fsencode(item.path.name)) <= 140
        assert item.path.suffix == ".rkllm"
        assert item.record.path == monster

    def test_where_the_user_wants_it_too(self, tmp_path: Path) -> None:
        name = "x" * 290 + ".rkllm"
        assert destination_of(name, tmp_path).name == "x" * 134 + ".rkllm"


def test_a_long_name_of_wide_characters_can_be_placed(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    item = add(store, path="\u4e2d" * 100 + ".rkllm")
    assert store.place(item, tmp_path / "models").samefile(item.path)
