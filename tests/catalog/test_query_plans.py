"""Every question to the catalog finds its rows by an index, however large the catalog is."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from rkfetch.catalog.answer import answer
from rkfetch.catalog.database import Catalog
from rkfetch.catalog.files import catalog_path, connect
from rkfetch.catalog.filters import Filters, Sizes, Toolkits
from rkfetch.catalog.near import why_nothing
from rkfetch.catalog.search import SORTS, Query, search
from rkfetch.registry.model import Platform, Quant, Target
from rkfetch.registry.versions import Version

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator

BOARD = Target(platform=Platform.RK3576, runtime=Version("1.2.3"), memory_bytes=8 << 30)
SMALL = {"toolkits", "doubts", "meta", "models", "publications"}
"""What stays small: toolkit versions, doubts of a day, facts about the catalog, models' names."""


def ask(text: str = "", sort: str = "fit", **filters: object) -> Callable[[Catalog], object]:
    query = Query(text=text, filters=Filters(**filters), target=BOARD, sort=sort)  # type: ignore[arg-type]
    return lambda catalog: search(catalog, query, limit=5)


READS: dict[str, Callable[[Catalog], object]] = {
    "words": ask("qwen 1.5b w4a16"),
    "unfinished": ask("qwe"),
    "filters of the index": ask(quant=Quant(4, 16), vision=False, uploader="HanzoHuang"),
    "filters of rows": ask(
        "qwen", size=Sizes.parse("2G"), toolkit=Toolkits.parse(">=1.2"), context=4096, licence="mit"
    ),
    "no words": ask(platform=Platform.RK3576, memory_bytes=4 << 30),
    **{f"by {sort}": ask("qwen", sort) for sort in SORTS},
    "resolve": lambda c: answer(c, "qwen2.5-1.5b", BOARD),
    "one file": lambda c: answer(c, "hf:HanzoHuang/Qwen3-4B-RKLLM/RK3576/x.rkllm", BOARD),
    "content": lambda c: c.by_sha256("a" * 64),
    "repository": lambda c: c.repository("huggingface", "HanzoHuang/Qwen3-4B-RKLLM"),
    "companions": lambda c: c.companions(c.candidates(["Qwen3-4B"])[0]),
    "probed": lambda c: c.probed("a" * 64),
    "age": lambda c: c.as_of(),
}


@pytest.fixture
def conn() -> Iterator[sqlite3.Connection]:
    Catalog.open().close()
    with closing(connect(catalog_path())) as conn:
        yield conn


def statements(read: Callable[[Catalog], object], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    seen: list[str] = []
    with Catalog.open() as catalog:
        catalog._conn.set_trace_callback(seen.append)
        read(catalog)
        catalog._conn.set_trace_callback(None)
    asked = [s for s in dict.fromkeys(seen) if s.startswith(("SELECT", "WITH"))]
    # What FTS5 asks its own tables is its own affair.
    return [s for s in asked if "'main'." not in s]


def scanned(conn: sqlite3.Connection, statement: str) -> set[str]:
    """Tables that a statement reads from one end to the other."""
    conn.create_function("tokens_per_s", 3, lambda *_: None, deterministic=True)
    plan = [row["detail"] for row in conn.execute(f"EXPLAIN QUERY PLAN {statement}")]
    assert plan
    found = set()
    for detail in plan:
        words = detail.split()
        if words[0] == "SCAN" and "VIRTUAL TABLE INDEX" not in detail:
            found.add(words[1])
    return found


@pytest.mark.parametrize("name", READS)
def test_nothing_large_is_read_whole(
    name: str, conn: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = statements(READS[name], monkeypatch)
    assert asked
    read_whole = {s: tables for s in asked if (tables := scanned(conn, s) - SMALL)}
    assert read_whole == {}


def test_the_index_gives_what_it_finds_in_order(
    conn: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else SQLite would read every find before it gives the first."""
    asked = statements(READS["words"], monkeypatch) + statements(READS["no words"], monkeypatch)
    reading = [s for s in asked if "FROM names n" in s or "FROM builds b" in s]
    assert len(reading) >= 2
    for statement in reading:
        plan = " ".join(r["detail"] for r in conn.execute(f"EXPLAIN QUERY PLAN {statement}"))
        assert "TEMP B-TREE" not in plan, plan


def test_what_would_read_a_table_whole_is_noticed(conn: sqlite3.Connection) -> None:
    assert scanned(conn, "SELECT * FROM artifacts WHERE note = 'x'") == {"artifacts"}
    assert scanned(conn, "SELECT * FROM artifacts a WHERE a.note = 'x'") == {"a"}
    assert scanned(conn, "SELECT * FROM artifacts WHERE model = 'x'") == set()


def test_a_search_that_found_nothing_reads_only_the_words_whole(
    conn: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = Query(text="wqen", filters=Filters(), target=BOARD)
    asked = statements(lambda c: why_nothing(c, query), monkeypatch)
    assert {t for s in asked for t in scanned(conn, s)} - SMALL <= {"words"}
