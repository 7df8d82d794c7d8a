"""Two users and one store, and a store that may only be read."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from rkfetch.registry.durable import share
from rkfetch.registry.store import Store
from stored import add
from users import ALICE, BOB, EVE, FRIENDS, open_folder, python_as, require_users

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TOOLS = """
import hashlib, json, os, sys
from pathlib import Path
from rkfetch.registry.cleanup import clean, gc_plan
from rkfetch.registry.errors import RkfetchError
from rkfetch.registry.record import Record
from rkfetch.registry.store import Store
store = Store(Path(sys.argv[1]))
def add(content):
    sha256 = hashlib.sha256(content).hexdigest()
    record = Record(sha256=sha256, size_bytes=len(content), source="s", repo="r", path="x.rkllm")
    with store.writing(sha256):
        store.partial(sha256).write_bytes(content)
        return store.add(store.partial(sha256), record)
def begin(key):
    from rkfetch.registry.durable import open_own
    with store.writing(key):
        handle = open_own(store.partial(key))
        os.write(handle, b"begun")
def failing(what):
    try:
        what()
    except RkfetchError as error:
        print(json.dumps([type(error).__name__, error.message, error.cause, error.hint]))
    else:
        print("null")
"""


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that a group may write, though nobody's umask says so."""
    require_users()
    with open_folder() as folder:
        root = folder / "store"
        root.mkdir()
        os.chown(root, ALICE, FRIENDS)
        root.chmod(0o2775)
        yield root


def run(user: int, root: Path, code: str) -> str:
    return python_as(user, _TOOLS + code, str(root))


class TestTwoUsers:
    def test_what_one_makes_the_other_may_write(self, shared: Path) -> None:
        run(ALICE, shared, "add(b'one'); begin('a' * 64)")
        for path in shared.rglob("*"):
            status = path.stat()
            wanted = 0o2070 if path.is_dir() else 0o060
            assert stat.S_IMODE(status.st_mode) & wanted == wanted, path
            assert status.st_gid == FRIENDS, path

    def test_a_folder_without_the_setgid_bit_is_shared_too(self, shared: Path) -> None:
        shared.chmod(0o775)
        run(ALICE, shared, "add(b'one')")
        assert {path.stat().st_gid for path in shared.rglob("*")} == {FRIENDS}
        run(BOB, shared, "store.remove(store.installed()[0])")
        assert Store(shared).installed() == []

    def test_each_goes_on_with_removes_verifies_and_clears_away_what_the_other_began(
        self, shared: Path
    ) -> None:
        run(ALICE, shared, "add(b'one'); add(b'two'); begin('a' * 64)")
        # Killed while it held a lock.
        run(ALICE, shared, "w = store.writing('a' * 64); w.__enter__(); os._exit(0)")
        assert (shared / "partials" / f"{'a' * 64}.lock").exists()
        run(
            BOB,
            shared,
            """
one, two = store.installed()
assert store.verify(one) is None
assert (one.path.parent / "record.json").stat().st_uid == os.getuid()
store.remove(two)
begin("a" * 64)
assert clean(store, gc_plan(store, older_than_days=-1)) > 0
assert os.listdir(store.partials) == []
add(b"three")
""",
        )
        assert run(ALICE, shared, "print(len(store.installed()))") == "2\n"

    def test_a_file_that_the_other_may_not_write_is_named_with_its_owner_and_what_to_do(
        self, shared: Path
    ) -> None:
        run(ALICE, shared, "begin('a' * 64)")
        partial = shared / "partials" / f"{'a' * 64}.partial"
        partial.chmod(0o600)
        said = json.loads(run(BOB, shared, "failing(lambda: begin('a' * 64))"))
        assert said[0] == "UsageError"
        assert any(f"{partial} belongs to user {ALICE}, group {FRIENDS}" in c for c in said[2])
        assert f"chmod -R g+rwX {shared}" in said[3]
        assert "g+s" in said[3]

    def test_who_is_not_of_the_group_reads_only(self, shared: Path) -> None:
        shared.chmod(0o2775)
        run(ALICE, shared, "add(b'one')")
        for path in (shared / "models").rglob("*"):
            path.chmod(path.stat().st_mode | 0o005)
        (shared / "models").chmod(0o2775)
        said = json.loads(run(EVE, shared, "failing(lambda: add(b'two'))"))
        assert said[0] == "UsageError"
        assert f"belongs to user {ALICE}" in " ".join(said[2])
        assert run(EVE, shared, "print(store.find(store.digests()[0]) is not None)") == "True\n"

    def test_who_may_not_make_the_store_is_told_whose_folder_it_is(self) -> None:
        require_users()
        with open_folder() as folder:
            said = json.loads(run(BOB, folder / "store", "failing(lambda: add(b'one'))"))
        assert said[0] == "UsageError"
        assert any(f"{folder} belongs to root" in cause for cause in said[2])


class TestSharing:
    @pytest.mark.parametrize(
        ("above", "wanted"), [(0o755, 0o600), (0o775, 0o660), (0o1777, 0o600), (0o2755, 0o600)]
    )
    def test_only_where_the_group_and_not_everybody_may_write(
        self, tmp_path: Path, above: int, wanted: int
    ) -> None:
        folder = tmp_path / "folder"
        folder.mkdir()
        folder.chmod(above)
        file = folder / "file"
        file.touch(0o600)
        share(file)
        assert stat.S_IMODE(file.stat().st_mode) == wanted

    def test_a_link_is_not_followed(self, tmp_path: Path) -> None:
        precious = tmp_path / "precious"
        precious.touch(0o600)
        folder = tmp_path / "folder"
        folder.mkdir()
        folder.chmod(0o775)
        (folder / "link").symlink_to(precious)
        share(folder / "link")
        assert stat.S_IMODE(precious.stat().st_mode) == 0o600


_READ_ONLY = """
sha256 = store.digests()[0]
item = store.find(sha256)
assert item is not None
assert store.find_source("huggingface", "alice/models", "RK3576/x.rkllm") == item
assert store.installed() == [item]
assert store.verify(item) is None
assert not store.is_changed(item)
assert gc_plan(store, older_than_days=-1).leftovers[0].reason.startswith("nobody has gone on")
target = Path(sys.argv[2])
assert store.place(item, target).read_bytes() == item.path.read_bytes()
failing(lambda: add(b"two"))
failing(lambda: clean(store, gc_plan(store, older_than_days=-1)))
failing(lambda: store.remove(item))
"""


def prepared(root: Path) -> Store:
    store = Store(root)
    add(store)
    with store.writing("a" * 64):
        store.partial("a" * 64).write_bytes(b"begun")
    return store


class TestReadOnly:
    def test_a_store_of_another_user_serves(self) -> None:
        require_users()
        with open_folder() as folder:
            prepared(folder / "store")
            (folder / "mine").mkdir()
            os.chown(folder / "mine", BOB, BOB)
            before = listing(folder / "store")
            out = python_as(
                BOB, _TOOLS + _READ_ONLY, str(folder / "store"), str(folder / "mine" / "x.rkllm")
            )
            for said in map(json.loads, out.splitlines()):
                assert said[0] == "UsageError"
                assert "belongs to root" in " ".join(said[2])
            assert len(out.splitlines()) == 3
            assert listing(folder / "store") == before

    def test_a_store_on_a_read_only_mount_serves(self, tmp_path: Path) -> None:
        if os.geteuid() != 0 or shutil.which("unshare") is None:
            pytest.skip("mounting needs root and unshare")
        root = tmp_path / "store"
        prepared(root)
        script = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && exec "$2" -c "$3" '
        script += '"$1" "$4"'
        target = str(tmp_path / "x.rkllm")
        command = ["unshare", "-m", "sh", "-c", script, "sh", str(root), sys.executable]
        before = listing(root)
        done = subprocess.run(
            [*command, _TOOLS + _READ_ONLY, target], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        for said in map(json.loads, done.stdout.splitlines()):
            assert said[0] == "UsageError"
            assert "Read-only file system" in said[2]
        assert len(done.stdout.splitlines()) == 3
        assert listing(root) == before


def listing(root: Path) -> dict[str, tuple[int, int]]:
    return {str(p): (p.lstat().st_mtime_ns, p.lstat().st_mode) for p in root.rglob("*")}
