"""The catalog opens whatever state its file is in, and for several processes at once."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from rkfetch.catalog import schema
from rkfetch.catalog.database import Catalog
from rkfetch.catalog.entries import Repository
from rkfetch.catalog.files import SNAPSHOT, SNAPSHOT_DATE, catalog_path, connect, create
from rkfetch.catalog.writer import Writer
from rkfetch.registry.errors import IntegrityError, RkfetchError
from rkfetch.registry.model import Artifact

if TYPE_CHECKING:
    from sqlite_utils import Database

SHIPPED = "Qwen2.5-1.5B-Instruct"


def test_the_first_use_installs_the_shipped_snapshot() -> None:
    with Catalog.open() as catalog:
        assert catalog.path == catalog_path()
        assert SHIPPED in catalog.models()
        assert catalog.notices == ()
    assert [p.name for p in catalog_path().parent.iterdir() if ".new" in p.name] == []


def test_reading_needs_the_standard_library_only() -> None:
    program = (
        "import sys; from rkfetch.catalog.database import Catalog\n"
        "with Catalog.open() as catalog: assert catalog.candidates(catalog.models()[:3])\n"
        "print(sorted({'sqlite_utils', 'httpx', 'huggingface_hub', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_twelve_processes_may_open_a_new_catalog_at_once() -> None:
    program = (
        "import sys; sys.stdin.readline()\n"
        "from rkfetch.catalog.writer import Writer\n"
        "from rkfetch.catalog.database import Catalog\n"
        "with Writer.open() as writer: writer.set_meta('key', sys.argv[1])\n"
        "with Catalog.open() as catalog: print(len(catalog.models()), catalog.notices)"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(12)
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = {process.communicate() for process in started}
    assert len(answers) == 1
    ((told, complained),) = answers
    assert told.endswith(" ()\n")
    assert complained == ""


def test_what_is_written_is_there_the_next_time() -> None:
    with Writer.open() as writer:
        writer.record_artifact(Artifact(source="folder", repo="/srv", path="mine.rkllm"))
    with Catalog.open() as catalog:
        assert catalog.artifact("folder", "/srv", "mine.rkllm") is not None


@pytest.mark.parametrize("content", [b"", b"not a database, but long enough to look like one" * 99])
def test_a_damaged_file_is_set_aside(content: bytes) -> None:
    path = catalog_path()
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with Catalog.open() as catalog:
        assert SHIPPED in catalog.models()
        (notice,) = catalog.notices
    (aside,) = path.parent.glob("catalog.db.damaged-*")
    assert aside.read_bytes() == content
    assert notice == (
        f"the catalog was damaged; it was set aside as {aside} and the shipped one took its "
        "place: `rkfetch catalog update` brings it up to date"
    )


def test_a_file_that_was_cut_off_is_set_aside() -> None:
    with Catalog.open():
        pass
    path = catalog_path()
    path.write_bytes(path.read_bytes()[:4096])
    with Catalog.open() as catalog:
        assert SHIPPED in catalog.models()
        assert catalog.notices


@pytest.mark.parametrize("page", [1, 9, 40, -1])
def test_a_page_of_zeros_is_damage_like_any_other(page: int) -> None:
    with Catalog.open():
        pass
    path = catalog_path()
    content = bytearray(path.read_bytes())
    start = page % (len(content) // 4096) * 4096
    content[start : start + 4096] = bytes(4096)
    path.write_bytes(content)
    with Catalog.open() as catalog:
        assert len(catalog.notices) == 1
        assert catalog.everything()
    with Catalog.open() as catalog:
        assert catalog.notices == ()


def test_what_a_killed_first_run_left_is_cleared_away() -> None:
    home = catalog_path().parent
    home.mkdir(parents=True)
    for name in ("catalog.db.1.new", "catalog.db.1.new-journal", "catalog.db.77.new"):
        (home / name).write_bytes(b"half a snapshot")
    with Catalog.open() as catalog:
        assert SHIPPED in catalog.models()
    assert [p.name for p in home.iterdir() if ".new" in p.name] == []


def test_damage_that_shows_late_is_an_error_that_names_the_file() -> None:
    with Catalog.open():
        pass
    path = catalog_path()
    with closing(connect(path)) as conn:
        conn.execute("DROP TABLE evidence")
    with Catalog.open() as catalog, pytest.raises(IntegrityError) as caught:
        catalog.everything()
    assert caught.value.message == f"the catalog cannot be read: {path}"
    assert caught.value.hint is not None


def test_a_newer_schema_is_a_sentence() -> None:
    path = catalog_path()
    create(path).close()
    with closing(connect(path)) as conn:
        conn.execute("PRAGMA user_version = 99")
    with pytest.raises(RkfetchError) as caught:
        Catalog.open()
    assert caught.value.message == f"the catalog was written by a newer rkfetch: {path}"
    assert caught.value.cause == (
        f"its schema is version 99, this program knows {schema.SCHEMA_VERSION}",
    )
    assert caught.value.hint == "upgrade rkfetch, or set RKFETCH_HOME to another folder"


def test_where_nothing_can_be_written_the_snapshot_is_read_in_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RKFETCH_HOME", "/proc/rkfetch")
    with Catalog.open() as catalog:
        assert catalog.read_only
        assert catalog.path == SNAPSHOT
        assert SHIPPED in catalog.models()
        assert len(catalog.notices) == 1
    with pytest.raises(RkfetchError, match="the catalog cannot be written"):
        Writer.open()


def test_a_newer_snapshot_is_taken_in_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an update or a user's machine found out stays."""
    path = catalog_path()
    create(path).close()
    listed = Repository(source="huggingface", repo="HanzoHuang/Qwen3-1.7B-RKLLM", sha="a" * 40)
    removed = Artifact(
        source="huggingface",
        repo=listed.repo,
        path="RK3588/Qwen3-1.7B_RK3588_w8a8.rkllm",
    )
    with Writer.open(path) as writer:
        writer.set_meta("snapshot", "2020-01-01")
        writer.sync_repository(listed, [], seen="2026-12-01T00:00:00Z")
        writer.reject(removed, "its header says rk3576")
    for _ in range(2):
        with Catalog.open() as catalog:
            assert catalog.status().snapshot == SNAPSHOT_DATE
            assert SHIPPED in catalog.models()
            ours = catalog.repository("huggingface", listed.repo)
            assert [(a.path, a.note) for a in ours] == [(removed.path, "its header says rk3576")]
    with Catalog.open() as catalog, closing(connect(SNAPSHOT, mode="ro")) as shipped:
        (others,) = shipped.execute(
            "SELECT count(*) FROM artifacts WHERE repo <> ?", (listed.repo,)
        ).fetchone()
        assert len(catalog.everything()) == others + 1


def _add_colour(db: Database) -> None:
    db.execute("ALTER TABLE artifacts ADD COLUMN colour TEXT")


def _fail(db: Database) -> None:
    db.execute("CREATE TABLE half_done (x TEXT)")
    raise ZeroDivisionError


def test_an_older_schema_is_migrated(monkeypatch: pytest.MonkeyPatch) -> None:
    with Catalog.open():
        pass
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, _add_colour))
    monkeypatch.setattr(schema, "SCHEMA_VERSION", schema.SCHEMA_VERSION + 1)
    monkeypatch.setattr("rkfetch.catalog.files.SCHEMA_VERSION", schema.SCHEMA_VERSION)
    with Catalog.open() as catalog:
        assert SHIPPED in catalog.models()
        assert catalog.status().schema == schema.SCHEMA_VERSION
    with closing(connect(catalog_path())) as conn:
        assert "colour" in {row["name"] for row in conn.execute("PRAGMA table_info(artifacts)")}


def test_a_migration_that_fails_leaves_everything_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Catalog.open():
        pass
    version = schema.SCHEMA_VERSION
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, _add_colour, _fail))
    monkeypatch.setattr(schema, "SCHEMA_VERSION", version + 2)
    with closing(connect(catalog_path())) as conn:
        with pytest.raises(ZeroDivisionError):
            schema.migrate(conn, catalog_path())
        assert schema.version_of(conn) == version
        tables = {row["name"] for row in conn.execute("SELECT name FROM sqlite_master")}
        columns = {row["name"] for row in conn.execute("PRAGMA table_info(artifacts)")}
    assert "half_done" not in tables
    assert "colour" not in columns
