"""Time what a search and a resolve ask a large catalog, and show that each question has an index.

    python benchmarks/catalog_queries.py [--files 1000 100000 1000000] [--folder DIR]

Catalogs are built once, into a temporary folder (or DIR, where they are kept and used again). For
each question: the median time in SQLite, the median of the whole call with its Python, and how many
statements it took. The plans of all statements follow.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from lab.large_catalog import build
from rkfetch.catalog.answer import answer
from rkfetch.catalog.candidates import candidates
from rkfetch.catalog.database import Catalog
from rkfetch.catalog.files import OpenFile, connect
from rkfetch.catalog.filters import Filters, Sizes, Toolkits
from rkfetch.catalog.near import why_nothing
from rkfetch.catalog.search import Query, search
from rkfetch.registry.model import Platform, Quant, Target
from rkfetch.registry.versions import Version

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Sequence

AIMS_MS = {1_000: 5, 100_000: 10, 1_000_000: 30}
BOARD = Target(platform=Platform.RK3576, runtime=Version("1.2.3"), memory_bytes=8 << 30)
RK3576 = Filters(platform=Platform.RK3576)


class Rows:
    """What a statement gave, all of it read."""

    def __init__(self, rows: list[Any]) -> None:
        self._rows = rows

    def fetchall(self) -> list[Any]:
        return self._rows

    def fetchone(self) -> Any:
        return self._rows[0] if self._rows else None

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)


class Timed:
    """A connection that notes its statements and the time that SQLite takes for them."""

    def __init__(self, conn: sqlite3.Connection, clock: Callable[[], float]) -> None:
        self._conn = conn
        self.clock = clock
        self.seconds = 0.0
        self.statements: list[str] = []
        self.plans: dict[str, tuple[str, Sequence[Any]]] = {}

    def execute(self, sql: str, values: Sequence[Any] = ()) -> Rows:
        begun = self.clock()
        rows = self._conn.execute(sql, values).fetchall()
        self.seconds += self.clock() - begun
        self.statements.append(sql)
        # How many values are asked for at once makes no other statement of it.
        self.plans.setdefault(sql.replace("?,", ""), (sql, values))
        return Rows(rows)

    def create_function(self, *args: Any, **options: Any) -> None:
        self._conn.create_function(*args, **options)

    def explain(self) -> Iterator[tuple[str, list[str]]]:
        for sql, values in self.plans.values():
            plan = self._conn.execute(f"EXPLAIN QUERY PLAN {sql}", values)
            yield sql, [str(row["detail"]) for row in plan]


def questions(catalog: Catalog) -> dict[str, Callable[[], object]]:
    def ask(text: str, filters: Filters | None = None, sort: str = "fit") -> Callable[[], object]:
        query = Query(text=text, filters=filters or Filters(), target=BOARD, sort=sort)
        return lambda: search(catalog, query, limit=20)

    some = catalog.by_ids([random.Random(5).randint(1, 900)])[0]
    owner, _, name = some.repo.partition("/")
    return {
        "qwen 1.5b w4a16": ask("qwen 1.5b w4a16"),
        "qwen": ask("qwen"),
        "qwe (unfinished)": ask("qwe"),
        "rk3576 vision": ask("vision", RK3576),
        "deepseek r1": ask("deepseek r1"),
        "qwen3 --toolkit '>=1.2,<1.3' --size 2G": ask(
            "qwen3", Filters(toolkit=Toolkits.parse(">=1.2,<1.3"), size=Sizes.parse("2G"))
        ),
        "--platform rk3576 --memory 4G": ask(
            "", Filters(platform=Platform.RK3576, memory_bytes=4 << 30)
        ),
        "--platform rk3576 --quant w8a8 --licence mit": ask(
            "", Filters(platform=Platform.RK3576, quant=Quant(8, 8), licence="mit")
        ),
        f"--uploader {owner}": ask("", Filters(uploader=owner)),
        "one repository's name": ask(name),
    }


def slow_questions(catalog: Catalog) -> dict[str, Callable[[], object]]:
    """Orders and failures that have to look at everything: told, and without an aim."""
    query = Query(text="qwen", filters=Filters(), target=BOARD, sort="downloads")
    wrong = Query(text="qwne 1.5b", filters=Filters(), target=BOARD)
    return {
        "qwen --sort downloads": lambda: search(catalog, query, limit=20),
        "qwne 1.5b: what was meant?": lambda: why_nothing(catalog, wrong),
        "instead: FTS5's own prefix, qwen*": lambda: catalog.rows(
            "SELECT rowid FROM names WHERE names MATCH 'qwen*' LIMIT 20"
        ),
        "instead: FTS5's own ranking, bm25": lambda: catalog.rows(
            "SELECT rowid FROM names WHERE names MATCH 'qwen' ORDER BY rank LIMIT 20"
        ),
    }


def resolving(catalog: Catalog) -> dict[str, Callable[[], object]]:
    counted = catalog.rows(
        "SELECT model, count(*) AS n FROM artifacts GROUP BY model ORDER BY n DESC"
    )
    picked = {"most": counted[0], "median": counted[len(counted) // 2], "fewest": counted[-1]}

    def candidates_of(model: str) -> Callable[[], object]:
        return lambda: candidates(catalog, [model], BOARD)

    return {
        "names of all models": catalog.models,
        "qwen2.5-1.5b (names, candidates)": lambda: answer(catalog, "qwen2.5-1.5b", BOARD),
        **{
            f"candidates of a model ({what}: {row['n']} builds)": candidates_of(row["model"])
            for what, row in picked.items()
        },
    }


def measure(timed: Timed, question: Callable[[], object], runs: int) -> tuple[float, float, int]:
    inside, whole, count = [], [], 0
    for number in range(runs + 1):
        timed.seconds, timed.statements = 0.0, []
        begun = timed.clock()
        question()
        if number:  # the first only warms the cache
            whole.append((timed.clock() - begun) * 1000)
            inside.append(timed.seconds * 1000)
        count = len(timed.statements)
    return statistics.median(inside), statistics.median(whole), count


def run(path: Path, files: int, runs: int, clock: Callable[[], float]) -> Timed:
    size = path.stat().st_size / 1e6
    print(f"\n{files} files, {size:.0f} MB; aim: {AIMS_MS.get(files, '-')} ms in SQLite")
    print(f"{'question':62} {'SQLite ms':>9} {'whole ms':>9} {'statements':>10}")
    with closing(connect(path)) as conn:
        timed = Timed(conn, clock)
        opened = OpenFile(
            conn=cast("sqlite3.Connection", timed), path=path, read_only=True, notices=()
        )
        catalog = Catalog(opened)
        for title, group in (
            ("search", questions(catalog)),
            ("resolve", resolving(catalog)),
            ("without an aim", slow_questions(catalog)),
        ):
            medians = []
            for name, question in group.items():
                inside, whole, count = measure(timed, question, runs)
                medians.append(inside)
                print(f"{name:62.62} {inside:9.2f} {whole:9.2f} {count:10}")
            median, worst = statistics.median(medians), max(medians)
            print(f"  {title}: median {median:.2f} ms, worst {worst:.2f} ms")
        for sql, plan in list(timed.explain()):
            timed.plans[sql] = ("\n      ".join(plan), ())
    return timed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, nargs="+", default=[1_000, 100_000, 1_000_000])
    parser.add_argument("--folder", type=Path, help="keep the catalogs here, and use them again")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument(
        "--cpu", action="store_true", help="count processor time, on a machine that others use, too"
    )
    parser.add_argument("--build-only", action="store_true")
    options = parser.parse_args()
    clock = time.process_time if options.cpu else time.perf_counter
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        timed = None
        for files in options.files:
            path = folder / f"{files}.db"
            if not path.exists():
                begun = time.perf_counter()
                build(path, files)
                print(f"built {files} files in {time.perf_counter() - begun:.0f} s")
            if not options.build_only:
                timed = run(path, files, options.runs, clock)
        if timed is not None:
            print("\nplans")
            for sql, (plan, _) in timed.plans.items():
                print(f"  {' '.join(sql.split())}\n      {plan}")


if __name__ == "__main__":
    main()
