"""The commands about what is installed, as a user or a script sees them."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rkfetch.cli.main import main
from rkfetch.registry.record import Record
from rkfetch.registry.store import Store, home
from rkllm_files import rkllm_bytes

if TYPE_CHECKING:
    from rkfetch.registry.store import Installed


@pytest.fixture
def store() -> Store:
    return Store(home())


def add(store: Store, content: bytes | None = None, **values: Any) -> Installed:
    data = rkllm_bytes(body_bytes=4096) if content is None else content
    record = Record(
        **{
            "sha256": hashlib.sha256(data).hexdigest(),
            "size_bytes": len(data),
            "source": "huggingface",
            "repo": "alice/Qwen2.5-1.5B-RKLLM",
            "path": "RK3576/qwen_w4a16.rkllm",
            "revision": "a" * 40,
            "model": "Qwen/Qwen2.5-1.5B-Instruct",
            "attributes": {
                "platform": {"value": "rk3576", "origin": "header"},
                "quant": {"value": "w4a16_g128", "origin": "file-name"},
                "toolkit": {"value": "1.2.3", "origin": "header"},
            },
            "fetched_at": "2026-11-23T12:00:00+00:00",
            **values,
        }
    )
    with store.writing(record.sha256):
        store.partial(record.sha256).write_bytes(data)
        return store.add(store.partial(record.sha256), record)


def add_w8a8(store: Store) -> Installed:
    return add(
        store,
        rkllm_bytes(body_bytes=4096, seed=8),
        path="RK3576/qwen_w8a8.rkllm",
        attributes={"quant": {"value": "w8a8", "origin": "file-name"}},
    )


class Ran:
    def __init__(self, capsys: pytest.CaptureFixture[str], *args: str) -> None:
        with pytest.raises(SystemExit) as stop:
            main(args)
        self.code = stop.value.code
        self.out, self.err = capsys.readouterr()

    @property
    def json(self) -> Any:
        assert self.out.count("\n") == 1
        return json.loads(self.out)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    return lambda *args: Ran(capsys, *args)


class TestList:
    def test_for_people(self, store: Store, run: Any) -> None:
        item = add(store)
        ran = run("list")
        assert ran.code == 0
        size = f"{len(rkllm_bytes(body_bytes=4096)) / 1000:.3g} kB"
        assert ran.out.splitlines() == [
            f"Qwen/Qwen2.5-1.5B-Instruct  rk3576  w4a16_g128  toolkit 1.2.3  {size}  2026-11-23",
            f"  {item.record.sha256[:12]}  qwen_w4a16.rkllm",
            "  huggingface: alice/Qwen2.5-1.5B-RKLLM",
        ]
        assert ran.err == f"1 file, {size}, in {store.root}\n"

    def test_for_scripts(self, store: Store, run: Any) -> None:
        item = add(store)
        (file,) = run("list", "--json").json["files"]
        assert file["path"] == str(item.path)
        assert file["artifact"]["sha256"] == item.record.sha256
        assert file["artifact"]["path"] == "RK3576/qwen_w4a16.rkllm"
        assert file["damaged"] is False

    def test_nothing_is_an_answer_too(self, run: Any, store: Store) -> None:
        ran = run("list")
        assert (ran.code, ran.out) == (0, "")
        assert "no model is installed" in ran.err
        assert run("list", "--json").json == {
            "schema_version": 1,
            "status": "ok",
            "store": str(store.root),
            "files": [],
        }

    def test_odd_text_in_a_record_cannot_reach_the_terminal(self, store: Store, run: Any) -> None:
        add(store, model="evil\x1b[2J", repo="a\u202eb/c")
        assert run("list").out.isprintable() or "\x1b" not in run("list").out
        assert "\u202e" not in run("list").out


class TestPath:
    @pytest.mark.parametrize(
        "name",
        [
            "qwen2.5-1.5b",
            "qwen2.5:1.5b",
            "Qwen/Qwen2.5-1.5B-Instruct",
            "qwen2.5-1.5b@w4a16",
            "qwen_w4a16.rkllm",
            "hf:alice/Qwen2.5-1.5B-RKLLM/RK3576/qwen_w4a16.rkllm",
            "hf:alice/Qwen2.5-1.5B-RKLLM/RK3576/qwen_w4a16.rkllm@" + "a" * 40,
        ],
    )
    def test_every_way_to_name_a_file(self, store: Store, run: Any, name: str) -> None:
        item = add(store)
        ran = run("path", name)
        assert (ran.code, ran.out, ran.err) == (0, f"{item.path}\n", "")

    def test_by_digest_and_by_path(self, store: Store, run: Any) -> None:
        item = add(store)
        for name in (item.record.sha256, item.record.sha256[:8], str(item.path)):
            assert run("path", name).out == f"{item.path}\n"
        assert run("path", item.record.sha256[:8], "--json").json["path"] == str(item.path)

    def test_what_is_not_here(self, store: Store, run: Any) -> None:
        add(store)
        for name in ("qwen3-4b", "0123456789ab", "qwen2.5-1.5b@w8a8", "hf:a/b/c.rkllm"):
            ran = run("path", name)
            assert (ran.code, ran.out) == (4, "")
        assert "nothing that is installed" in ran.err

    def test_two_builds_are_told_apart(self, store: Store, run: Any) -> None:
        add(store)
        other = add_w8a8(store)
        ran = run("path", "qwen2.5-1.5b")
        assert ran.code == 2
        assert "qwen_w8a8.rkllm" in ran.err
        assert run("path", "qwen2.5-1.5b@w8a8").out == f"{other.path}\n"

    def test_a_model_without_a_recorded_name_is_known_by_its_file(
        self, store: Store, run: Any
    ) -> None:
        item = add(store, model=None, path="Qwen2.5-1.5B-Instruct_w4a16_rk3576.rkllm")
        assert run("path", "qwen2.5-1.5b").out == f"{item.path}\n"

    def test_a_damaged_file_is_not_given_out(self, store: Store, run: Any) -> None:
        item = add(store)
        with item.path.open("ab") as file:
            file.write(b"x")
        ran = run("path", "qwen2.5-1.5b")
        assert (ran.code, ran.out) == (7, "")


class TestVerify:
    def test_all_or_some(self, store: Store, run: Any) -> None:
        one, two = add(store), add_w8a8(store)
        assert run("verify").out.splitlines() == [f"ok      {one.path}", f"ok      {two.path}"]
        assert run("verify", "qwen2.5-1.5b@w8a8", "--quiet").out == f"ok      {two.path}\n"

    def test_a_flipped_byte(self, store: Store, run: Any) -> None:
        item = add(store)
        content = bytearray(item.path.read_bytes())
        content[99] ^= 1
        item.path.write_bytes(content)
        ran = run("verify")
        assert ran.code == 7
        assert ran.out == f"DAMAGED {item.path}\n"
        assert f"expected {item.record.sha256}" in ran.err
        answer = run("verify", "--json").json
        assert answer["status"] == "error"
        assert answer["error"]["code"] == 7
        assert answer["files"][0]["actual"] == hashlib.sha256(content).hexdigest()
        assert "DAMAGED" in run("list").out

    def test_nothing_to_do(self, run: Any) -> None:
        assert run("verify").code == 0

    def test_only_what_changed(self, store: Store, run: Any) -> None:
        one, two = add(store), add_w8a8(store)
        os.utime(two.path)
        ran = run("verify", "--changed")
        assert ran.out.splitlines() == [f"same    {one.path}", f"ok      {two.path}"]
        assert ran.err == "1 read and sound, 1 unchanged since they were verified\n"
        answer = run("verify", "--changed", "--json").json
        assert [file["read"] for file in answer["files"]] == [False, False]
        assert answer["files"][0]["verified_at"] is not None
        two.path.write_bytes(b"x" * two.record.size_bytes)
        assert run("verify", "--changed").code == 7
        assert run("verify", "--changed").out.splitlines()[1] == f"DAMAGED {two.path}"


class TestRemove:
    def test_one(self, store: Store, run: Any) -> None:
        item, other = add(store), add_w8a8(store)
        ran = run("rm", "qwen2.5-1.5b@w4a16")
        assert (ran.code, ran.out) == (0, "")
        assert store.installed() == [other]
        assert not item.path.exists()

    @pytest.mark.parametrize(
        "name", ["../../etc", "/etc/passwd", "..", "*", "", "models", "a/../b", "\x1b[2J"]
    )
    def test_what_is_no_model_is_refused(self, store: Store, run: Any, name: str) -> None:
        item = add(store)
        ran = run("rm", name)
        assert ran.code in {2, 4}
        assert "\x1b" not in ran.err
        assert store.installed() == [item]
        assert Path("/etc/passwd").exists()

    def test_all_names_are_understood_before_anything_is_removed(
        self, store: Store, run: Any
    ) -> None:
        item = add(store)
        assert run("rm", "qwen2.5-1.5b", "gemma-3-4b").code == 4
        assert store.installed() == [item]

    def test_room_that_a_link_still_takes_is_not_counted(
        self, store: Store, run: Any, tmp_path: Path
    ) -> None:
        item = add(store)
        placed = store.place(item, tmp_path / "models")
        answer = run("rm", "qwen2.5-1.5b", "--json").json
        assert answer["freed_bytes"] == 0
        assert answer["removed"][0]["path"] == str(item.path)
        assert placed.exists()


def test_a_damaged_file_that_lost_its_record_is_seen_and_can_be_removed(
    store: Store, run: Any
) -> None:
    item = add(store)
    (item.path.parent / "record.json").unlink()
    item.path.write_bytes(b"damage")
    assert "DAMAGED" in run("list").out
    assert run("verify").code == 7
    assert run("rm", item.record.sha256[:12]).code == 0
    assert not item.path.parent.exists()


def test_a_planted_name_cannot_reach_the_terminal(store: Store, run: Any) -> None:
    item = add(store)
    item.path.rename(item.path.with_name("evil\x1b[2J.rkllm"))
    assert "\x1b" not in run("verify").out
    (item.path.parent / "record.json").unlink()
    item.path.with_name("evil\x1b[2J.rkllm").write_bytes(b"damage")
    ran = run("gc", "--dry-run", "--older-than", "-0")
    assert "is damaged" in ran.out
    assert "\x1b" not in ran.out


class TestGc:
    def test_dry_and_real(self, store: Store, run: Any) -> None:
        add(store)
        key = "b" * 64
        with store.writing(key):
            store.partial(key).write_bytes(bytes(10_000))
        then = time.time() - 8 * 86_400
        os.utime(store.partial(key), (then, then))
        dry = run("gc", "--dry-run")
        assert str(store.partial(key)) in dry.out
        assert "would free" in dry.err
        assert store.partial(key).exists()
        answer = run("gc", "--json").json
        assert answer["leftovers"][0]["paths"] == [str(store.partial(key))]
        assert answer["freed_bytes"] >= 10_000
        assert not store.partial(key).exists()
        assert len(store.installed()) == 1
