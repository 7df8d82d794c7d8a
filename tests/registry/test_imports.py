"""Files that are on this disk already: linked, cloned or copied in, and never torn."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from downloads import small_disk
from rkfetch.registry.errors import DiskSpaceError, IntegrityError, UsageError
from rkfetch.registry.imports import files_below, import_file
from rkfetch.registry.progress import NoProgress
from rkfetch.registry.record import Record
from rkfetch.registry.store import Store
from rkllm_files import rkllm_bytes
from stored import CONTENT, SHA256, add
from users import ALICE, BOB, FRIENDS, open_folder, python_as, require_users

if TYPE_CHECKING:
    from pathlib import Path

    from rkfetch.registry.imports import Imported
    from rkfetch.registry.rkllm import RkllmFacts


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine" / "x.rkllm"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    return path


def bring(store: Store, path: Path, **how: Any) -> Imported:
    def describe(sha256: str, facts: RkllmFacts) -> Record:
        return Record(
            sha256=sha256,
            size_bytes=facts.size_bytes or 0,
            source="import",
            repo="",
            path=str(path),
        )

    return import_file(store, path, describe=describe, **how)


def no_links(*args: Any, **more: Any) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


class TestHow:
    def test_a_link_costs_no_room_and_the_file_stays(self, store: Store, file: Path) -> None:
        done = bring(store, file)
        assert (done.action, done.removed) == ("linked", False)
        assert done.installed.path.samefile(file)
        assert done.installed.record.sha256 == SHA256
        assert store.find(SHA256) == done.installed
        assert list(store.partials.iterdir()) == []
        assert not store.is_changed(done.installed)

    def test_again_it_costs_nothing(
        self, store: Store, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = bring(store, file)
        monkeypatch.setattr("rkfetch.registry.imports.hash_file", None)
        assert bring(store, file).action == "present"
        other = file.with_name("other.rkllm")
        os.link(file, other)
        assert bring(store, other).installed == first.installed

    def test_the_same_content_elsewhere_is_here_already(self, store: Store, file: Path) -> None:
        item = add(store)
        done = bring(store, file)
        assert (done.action, done.installed) == ("present", item)
        assert done.installed.record.source == "huggingface"
        assert file.stat().st_nlink == 1

    def test_where_there_are_no_links_it_is_copied(
        self, store: Store, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "link", no_links)
        done = bring(store, file)
        assert done.action in {"copied", "cloned"}
        assert done.installed.path.read_bytes() == CONTENT
        assert not done.installed.path.samefile(file)

    def test_copy_never_links(self, store: Store, file: Path) -> None:
        done = bring(store, file, copy=True)
        assert done.action in {"copied", "cloned"}
        file.write_bytes(b"something else")
        assert store.find(SHA256) == done.installed

    @pytest.mark.parametrize("copy", [False, True])
    def test_move_removes_the_file_when_it_is_in_the_store(
        self, store: Store, file: Path, copy: bool
    ) -> None:
        done = bring(store, file, move=True, copy=copy)
        assert done.removed
        assert not file.exists()
        assert store.find(SHA256) == done.installed

    def test_move_of_what_is_here_already_removes_the_other_one_only(
        self, store: Store, file: Path
    ) -> None:
        item = add(store)
        assert bring(store, file, move=True).removed
        assert not file.exists()
        again = bring(store, item.path, move=True)
        assert (again.action, again.removed) == ("present", False)
        assert store.find(SHA256) == item

    def test_a_file_that_failed_is_not_moved(
        self, store: Store, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(handle: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", fail)
            with pytest.raises(DiskSpaceError):
                bring(store, file, move=True)
        assert file.read_bytes() == CONTENT
        assert bring(store, file, move=True).removed

    def test_a_symbolic_link_is_followed_and_not_moved(self, store: Store, file: Path) -> None:
        link = file.with_name("link.rkllm")
        link.symlink_to(file)
        with pytest.raises(UsageError, match="symbolic link"):
            bring(store, link, move=True)
        assert bring(store, link).installed.path.samefile(file)

    def test_a_copy_needs_room(
        self, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        big = tmp_path / "big.rkllm"
        big.write_bytes(rkllm_bytes(body_bytes=2 << 20))
        with small_disk(tmp_path / "disk", 2 << 20, monkeypatch) as disk:
            monkeypatch.setattr(os, "link", no_links)
            with pytest.raises(DiskSpaceError):
                bring(Store(disk / "store"), big)
            assert [p for p in disk.rglob("*") if p.is_file()] == []

    def test_shared_blocks_where_the_file_system_can(self, tmp_path: Path) -> None:
        mkfs = shutil.which("mkfs.xfs") or shutil.which("mkfs.xfs", path="/usr/sbin:/sbin")
        if os.geteuid() != 0 or mkfs is None:
            pytest.skip("a file system with shared blocks needs root and xfsprogs")
        image, disk = tmp_path / "xfs", tmp_path / "disk"
        disk.mkdir()
        with image.open("wb") as raw:
            raw.truncate(320 << 20)
        subprocess.run([mkfs, "-q", str(image)], check=True)
        mounted = subprocess.run(["mount", "-o", "loop", str(image), str(disk)], check=False)
        if mounted.returncode != 0:
            pytest.skip("this kernel mounts no XFS image")
        try:
            path = disk / "x.rkllm"
            path.write_bytes(CONTENT)
            done = bring(Store(disk / "store"), path, copy=True)
            assert done.action == "cloned"
            assert done.installed.path.read_bytes() == CONTENT
            path.write_bytes(b"else")
            assert Store(disk / "store").find(SHA256) is not None
        finally:
            subprocess.run(["umount", str(disk)], check=True)


class TestRefused:
    @pytest.mark.parametrize(
        ("name", "content", "said"),
        [
            ("x.rkllm", b"<html><title>Login</title></html>", "web page"),
            ("x.rkllm", b"", "empty file"),
            ("x.rkllm", CONTENT[:2000], "it is cut off"),
            ("x.rkllm", b"RKNN" + bytes(5000), "RKNN model"),
            ("x.rknn", CONTENT, "it is no .rknn file"),
            ("x.bin", b"GGUF" + bytes(5000), "GGUF"),
            ("x.rkllm", bytes(5000), "zeros"),
        ],
    )
    def test_what_is_no_whole_model(
        self, store: Store, tmp_path: Path, name: str, content: bytes, said: str
    ) -> None:
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(IntegrityError, match=said):
            bring(store, path, move=True)
        assert path.exists()
        assert not store.root.exists()

    def test_what_cannot_be_read(self, store: Store, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="cannot read"):
            bring(store, tmp_path / "nothing.rkllm")
        os.mkfifo(tmp_path / "pipe.rkllm")
        with pytest.raises(UsageError, match="cannot read"):
            bring(store, tmp_path / "pipe.rkllm")

    @pytest.mark.parametrize("copy", [False, True])
    def test_a_file_that_is_still_being_written(self, store: Store, file: Path, copy: bool) -> None:
        class Writer(NoProgress):
            def advanced(self, received: int) -> None:
                with file.open("ab") as more:
                    more.write(b"more")

        with pytest.raises(IntegrityError, match="was written to"):
            bring(store, file, copy=copy, progress=Writer(), move=True)
        assert store.installed() == []
        assert list(store.partials.iterdir()) == []
        assert file.exists()


class TestShared:
    def test_who_writes_to_the_shared_content_later_is_noticed(
        self, store: Store, file: Path
    ) -> None:
        bring(store, file)
        with file.open("r+b") as mine:
            mine.write(b"x")
        assert store.find(SHA256) is None
        assert [item.record.damaged for item in store.installed()] == [True]

    def test_and_a_change_that_hides_its_time_by_verify(self, store: Store, file: Path) -> None:
        item = bring(store, file).installed
        before = file.stat()
        with file.open("r+b") as mine:
            mine.seek(5000)
            mine.write(b"\xff\xff\xff\xff")
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert isinstance(store.verify(item), IntegrityError)

    def test_a_file_that_the_others_could_not_read_is_copied(self) -> None:
        require_users()
        with open_folder() as folder:
            root = folder / "store"
            root.mkdir()
            os.chown(root, ALICE, FRIENDS)
            root.chmod(0o2775)
            code = """
import sys
from pathlib import Path
from rkfetch.registry.imports import import_file
from rkfetch.registry.record import Record
from rkfetch.registry.store import Store
store = Store(Path(sys.argv[1]) / "store")
def describe(sha256, facts):
    return Record(sha256=sha256, size_bytes=facts.size_bytes, source="import", repo="", path="x")
print(import_file(store, Path(sys.argv[1]) / sys.argv[2], describe=describe).action)
"""
            for number, mode in enumerate((0o600, 0o644)):
                path = folder / f"{number}.rkllm"
                path.write_bytes(rkllm_bytes(seed=number))
                os.chown(path, ALICE, ALICE)
                path.chmod(mode)
            assert python_as(ALICE, code, str(folder), "0.rkllm") in {"copied\n", "cloned\n"}
            assert python_as(ALICE, code, str(folder), "1.rkllm") == "linked\n"
            assert stat.S_IMODE((folder / "1.rkllm").stat().st_mode) == 0o644
            # Who may not write a file may not link it either, where the kernel says so.
            path = folder / "2.rkllm"
            path.write_bytes(rkllm_bytes(seed=2))
            assert python_as(BOB, code, str(folder), "2.rkllm") in {
                "copied\n",
                "cloned\n",
                "linked\n",
            }
            for item in Store(root).installed():
                assert item.path.stat().st_mode & stat.S_IRGRP


_KILLED = """
import os, signal, sys
from pathlib import Path
from rkfetch.registry.imports import import_file
from rkfetch.registry.progress import NoProgress
from rkfetch.registry.record import Record
from rkfetch.registry.store import Store
class Killed(NoProgress):
    def advanced(self, received):
        os.kill(os.getpid(), signal.SIGKILL)
import_file(Store(Path(sys.argv[1])), Path(sys.argv[2]), describe=None,
            copy=sys.argv[3] == "copy", progress=Killed())
"""


@pytest.mark.parametrize("how", ["link", "copy"])
def test_a_killed_import_leaves_nothing_that_counts(store: Store, file: Path, how: str) -> None:
    command = [sys.executable, "-c", _KILLED, str(store.root), str(file), how]
    done = subprocess.run(command, check=False)
    assert done.returncode == -9
    assert store.installed() == []
    assert file.read_bytes() == CONTENT
    assert bring(store, file).installed.record.sha256 == SHA256
    assert list(store.partials.iterdir()) == []


class TestFolders:
    def below(self, folder: Path, store: Store) -> list[str]:
        unreadable: list[OSError] = []
        paths = list(files_below(folder, store=store, unreadable=unreadable.append))
        assert unreadable == []
        return [str(path.relative_to(folder)) for path in paths]

    def test_every_model_below_and_no_link_out(self, store: Store, tmp_path: Path) -> None:
        outside = tmp_path / "outside" / "x.rkllm"
        outside.parent.mkdir()
        outside.write_bytes(CONTENT)
        top = tmp_path / "top"
        for name in ("b/c/two.RKLLM", "a.rkllm", "v.rknn", "readme.md"):
            path = top / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(CONTENT)
        (top / "out.rkllm").symlink_to(outside)
        (top / "up").symlink_to(outside.parent)
        (top / "again").symlink_to(top)
        (top / "broken.rkllm").symlink_to("nothing")
        (top / "folder.rkllm").mkdir()
        assert self.below(top, store) == ["a.rkllm", "v.rknn", "b/c/two.RKLLM"]

    def test_a_link_inside_as_a_hub_cache_has_them_is_followed_once(
        self, store: Store, tmp_path: Path
    ) -> None:
        blob = tmp_path / "hub" / "blobs" / SHA256
        blob.parent.mkdir(parents=True)
        blob.write_bytes(CONTENT)
        for snapshot in ("1", "2"):
            link = tmp_path / "hub" / "snapshots" / snapshot / "x.rkllm"
            link.parent.mkdir(parents=True)
            link.symlink_to(f"../../blobs/{SHA256}")
        assert self.below(tmp_path / "hub", store) == ["snapshots/1/x.rkllm"]

    def test_the_store_itself_is_left_out(self, store: Store, tmp_path: Path) -> None:
        add(store)
        (tmp_path / "y.rkllm").write_bytes(CONTENT)
        (tmp_path / "z.rkllm").symlink_to(store.installed()[0].path)
        assert self.below(tmp_path, store) == ["y.rkllm"]


def test_a_name_without_a_suffix_is_taken_by_its_content(store: Store, tmp_path: Path) -> None:
    blob = tmp_path / hashlib.sha256(CONTENT).hexdigest()
    blob.write_bytes(CONTENT)
    assert bring(store, blob).action == "linked"
