"""Build a catalog of any size whose names look like those that people give their uploads.

Models, uploaders and patterns of names are those of ``catalog/data`` and of the families that
rkfetch knows; a large catalog adds fine-tunes and uploaders with made-up names. Half of the builds
are Qwen's, as today. The largest are made of copies of one, each with fine-tunes and uploaders of
its own: SQLite makes those in minutes.
"""

from __future__ import annotations

import json
import random
from contextlib import closing
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from rkfetch.catalog import index
from rkfetch.catalog.files import create
from rkfetch.catalog.snapshot import DATA
from rkfetch.registry.model import Artifact, Evidence, Origin, settle

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

_SYLLABLES = [
    "ka",
    "lo",
    "mi",
    "ra",
    "ten",
    "shi",
    "dor",
    "vel",
    "an",
    "qu",
    "ber",
    "zi",
    "no",
    "pal",
    "gri",
    "ston",
    "wu",
    "hao",
    "lin",
    "chen",
    "ex",
    "or",
]
_TUNES = (
    "abliterated",
    "unsloth",
    "heretic",
    "Roleplay",
    "medical",
    "RAG",
    "DPO",
    "SFT",
    "uncensored",
)
_TOOLKITS = (
    "1.1.0",
    "1.1.1",
    "1.1.2",
    "1.1.4",
    "1.2.0",
    "1.2.1b1",
    "1.2.1",
    "1.2.2",
    "1.2.3",
    "1.3.0",
    "1.3.1",
)
_QUANTS = {
    "rk3576": ("w4a16", "w4a16_g128", "w8a8", "w4a16_g32", "fp16"),
    "rk3588": ("w8a8", "w8a8_g128", "w8a8_g256", "w8a8_g512", "fp16"),
    "rk3562": ("w8a8", "w4a16_g32", "w4a16_g128", "w4a8_g32"),
    "rv1126b": ("w4a16", "w8a8"),
}
_LICENCES = ("apache-2.0", "mit", "other", "llama3.2", "gemma", None)
_COPIES = ("bravo", "delta", "echo", "golf", "hotel", "india", "kilo", "lima", "mike")
_LARGEST = 100_000
"""Files up to which a catalog has no copies in it."""
_DAY = "2026-{:02d}-{:02d}T08:00:00Z"


def build(path: Path, files: int, *, seed: int = 1) -> None:
    """Write a catalog of so many files to ``path``, which must not exist."""
    copies = _COPIES if files >= _LARGEST * (len(_COPIES) + 1) else ()
    base = files // (len(copies) + 1)
    rows = _files(random.Random(seed), base)
    with closing(create(path)) as conn:
        conn.execute("PRAGMA foreign_keys = OFF")
        conn.execute("PRAGMA journal_mode = OFF")
        conn.execute("PRAGMA synchronous = OFF")
        conn.execute("PRAGMA cache_size = -400000")
        conn.execute("BEGIN")
        repositories: dict[str, tuple[Any, ...]] = {}
        models: set[str] = set()
        while batch := list(islice(rows, 20_000)):
            repositories.update({row["repo"]: row["repository"] for row in batch})
            models |= {row["model"] for row in batch}
            conn.executemany(
                "INSERT INTO artifacts (id, source, repo, path, size_bytes, sha256, availability, "
                "updated, model) VALUES (?, 'huggingface', ?, ?, ?, ?, 'listed', ?, ?)",
                [row["artifact"] for row in batch],
            )
            conn.executemany(
                "INSERT INTO evidence (artifact_id, sha256, attribute, value, origin, place, seen) "
                "VALUES (?, ?, ?, ?, ?, ?, '2026-11-01')",
                [item for row in batch for item in row["evidence"]],
            )
            # What reading all that again would give; that takes most of the time of a rebuild.
            index.add(conn, [_artifact(row) for row in batch])
        conn.executemany(
            "INSERT INTO repositories (source, repo, listed, downloads, likes, license) "
            "VALUES ('huggingface', ?, '2026-11-01', ?, ?, ?)",
            repositories.values(),
        )
        conn.executemany("INSERT INTO models (name) VALUES (?)", [(m,) for m in sorted(models)])
        for number, name in enumerate(copies, start=1):
            _copy(conn, number * base, name)
        conn.execute("INSERT INTO meta (key, value) VALUES ('snapshot', '2099-01-01')")
        conn.execute("COMMIT")
        conn.execute("INSERT INTO names (names) VALUES ('optimize')")
        conn.execute("PRAGMA journal_mode = WAL")


def _copy(conn: sqlite3.Connection, offset: int, name: str) -> None:
    """Add the first builds once more, of other uploaders, and fine-tunes by another name."""
    model = f"iif({{0}} IN (SELECT model FROM hub_names), {{0}}, {{0}} || '-{name}')"
    sha256 = f"'{offset // 1000:04d}' || substr(sha256, 5)"
    conn.execute("CREATE TEMP TABLE IF NOT EXISTS hub_names (model TEXT PRIMARY KEY)")
    known = [(model,) for model, _ in _published()]
    conn.executemany("INSERT INTO hub_names VALUES (?) ON CONFLICT DO NOTHING", known)
    first = _first(conn)
    conn.execute(
        "INSERT INTO artifacts (id, source, repo, path, size_bytes, sha256, availability, updated, "
        f"model) SELECT id + {offset}, source, '{name}-' || repo, path, size_bytes, {sha256}, "
        f"availability, updated, {model.format('model')} FROM artifacts WHERE id <= {first[0]}"
    )
    conn.execute(
        "INSERT INTO evidence (artifact_id, sha256, attribute, value, origin, place, seen) "
        f"SELECT artifact_id + {offset}, {sha256}, attribute, "
        f"iif(attribute = 'model', {model.format('value')}, value), origin, place, seen "
        f"FROM evidence WHERE id <= {first[1]}"
    )
    conn.execute(
        "INSERT INTO repositories (source, repo, listed, downloads, likes, license) "
        f"SELECT source, '{name}-' || repo, listed, downloads, likes, license FROM repositories "
        f"WHERE rowid <= {first[2]}"
    )
    conn.execute(
        "INSERT INTO models SELECT DISTINCT model FROM artifacts WHERE id > ? "
        "ON CONFLICT DO NOTHING",
        (offset,),
    )
    conn.execute(
        "INSERT INTO builds (id, artifact_id, model, platform, toolkits, quant, context, params_b, "
        f"role, vision, terms) SELECT id + {offset}, artifact_id + {offset}, "
        f"{model.format('model')}, platform, toolkits, quant, context, params_b, role, vision, "
        f"replace(terms, '=by.', '=by.{name}_') || ' {name}' FROM builds "
        f"WHERE artifact_id <= {first[0]}"
    )
    conn.execute("INSERT INTO words (word) VALUES (?)", (name,))


@cache
def _first(conn: sqlite3.Connection) -> list[int]:
    """Return the last row numbers before anything was copied."""
    tables = ("artifacts", "evidence", "repositories")
    return [int(conn.execute(f"SELECT max(rowid) FROM {t}").fetchone()[0]) for t in tables]


def _artifact(row: dict[str, Any]) -> tuple[int, Artifact]:
    number, repo, path, size, sha256, _, _ = row["artifact"]
    evidence = [
        Evidence(attribute=attribute, value=value, origin=Origin(origin), place=place)
        for _, _, attribute, value, origin, place in row["evidence"]
    ]
    return number, Artifact(
        source="huggingface",
        repo=repo,
        path=path,
        size_bytes=size,
        sha256=sha256,
        attributes=settle(evidence),
    )


@cache
def _observed() -> list[dict[str, Any]]:
    return [json.loads(x) for x in (DATA / "observed.jsonl").read_text("utf-8").splitlines()]


def _published() -> list[tuple[str, float]]:
    return sorted({(o["model"], o["params_b"] or 1.5) for o in _observed() if o["model"]})


def _word(random_: random.Random) -> str:
    return "".join(random_.choices(_SYLLABLES, k=random_.randint(2, 4)))


def _files(random_: random.Random, files: int) -> Iterator[dict[str, Any]]:
    observed = _observed()
    known = _published()
    uploaders = sorted(
        {o["repo_id"].split("/")[0] for o in observed if "/" in (o["repo_id"] or "")}
    )
    uploaders += [_word(random_).title() for _ in range(int(files**0.65))]
    models = list(known)
    while len(models) < files**0.71:
        base, params = random_.choice(known)
        models.append((f"{base}-{random_.choice(_TUNES)}-{_word(random_)}", params))
    qwen = [m for m in models if "qwen" in m[0].lower()]
    others = [m for m in models if "qwen" not in m[0].lower()]
    number = 0
    while number < files:
        line = qwen if random_.random() < 0.5 else others
        # Few models have many builds, and most have few.
        model, params = line[int(len(line) * random_.random() ** 3)]
        owner = uploaders[int(len(uploaders) * random_.random() ** 2)]
        toolkit = random_.choice(_TOOLKITS)
        ending = random_.choice(("-RKLLM", f"-RKLLM-v{toolkit}", "-rk3576", "_rkllm"))
        repo = f"{owner}/{model}{ending}"
        if random_.random() < 0.3:
            repo += f"-{_word(random_)}"
        day = _DAY.format(random_.randint(1, 11), random_.randint(1, 28))
        repository = (
            repo,
            int(random_.paretovariate(0.6)),
            random_.randint(0, 50),
            random_.choice(_LICENCES),
        )
        for path, platform, quant in _paths(random_, model):
            number += 1
            if number > files:
                return
            sha256 = random_.randbytes(32).hex()
            bits = 4 if quant.startswith("w4") else 16 if quant == "fp16" else 8
            size = int(params * 1e9 * (bits / 8 * 1.15 + 0.15))
            evidence: list[tuple[int | None, str | None, str, str, str, str]] = [
                (number, None, "model", model, "file-name", path),
                (number, None, "params_b", f"{params:g}", "file-name", path),
            ]
            told = (
                ("platform", platform),
                ("quant", quant),
                ("toolkit", toolkit),
                ("context", "4096"),
            )
            by_header = random_.random() < 0.8
            for attribute, value in told:
                if by_header:
                    evidence.append((None, sha256, attribute, value, "header", "header"))
                elif attribute in {"platform", "quant"} or random_.random() < 0.5:
                    evidence.append((number, None, attribute, value, "repo-name", repo))
            yield {
                "repo": repo,
                "repository": repository,
                "artifact": (number, repo, path, size, sha256, day, model),
                "model": model,
                "evidence": evidence,
            }


def _paths(random_: random.Random, model: str) -> Iterator[tuple[str, str, str]]:
    """The files of one repository, each for another SoC or quantisation."""
    platform = random_.choices(list(_QUANTS), (45, 45, 6, 4))[0]
    pattern = random_.choice(
        (
            "{P}/{m}_{P}_{q}.rkllm",
            "{m}-{p}-{q}-opt-0-hybrid-ratio-0.0.rkllm",
            "{m}_{q}_{p}.rkllm",
            "{m}-{p}-{q}-opt-1-hybrid-ratio-0.5-16k-npu2.rkllm",
            "{q}/model.rkllm",
        )
    )
    for quant in _QUANTS[platform][: random_.randint(1, 5)]:
        yield pattern.format(P=platform.upper(), p=platform, m=model, q=quant), platform, quant
