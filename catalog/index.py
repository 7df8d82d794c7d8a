"""Keep what searches read in step with what is known: one row and its words for each build.

Everything here is derived from artifacts and evidence, and can be made anew from them. What is
gone or rejected is not in the index; triggers of the schema see to that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rkfetch.registry.memory import estimate
from rkfetch.registry.resolve import strength

from .entries import read_artifacts
from .families import read_model
from .order import number, toolkit_text, weight
from .terms import document_terms

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence

    from rkfetch.registry.model import Artifact

HIDDEN = ("gone", "rejected")
_BATCH = 500

_TOOLKIT = "INSERT INTO toolkits (versions) VALUES (?) ON CONFLICT DO NOTHING"
_BUILD = (
    "INSERT INTO builds (id, artifact_id, model, platform, toolkits, quant, context, params_b, "
    "role, vision, terms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_WORD = "INSERT INTO words (word) VALUES (?) ON CONFLICT DO NOTHING"


def refresh(conn: sqlite3.Connection, ids: Sequence[int]) -> None:
    """Bring what is derived of these artifacts up to date: their model, and their place in it."""
    for start in range(0, len(ids), _BATCH):
        part = ids[start : start + _BATCH]
        marks = ",".join("?" * len(part))
        conn.execute(f"DELETE FROM builds WHERE artifact_id IN ({marks})", part)  # noqa: S608
        found = read_artifacts(conn, f"id IN ({marks})", part)
        _name(conn, found)
        add(conn, [(i, a) for i, a in found if a.availability.value not in HIDDEN])


def add(conn: sqlite3.Connection, builds: Sequence[tuple[int, Artifact]]) -> None:
    """Add builds, each with the row number of its artifact, which are not in the index."""
    toolkits = _toolkit_numbers(conn, {toolkit_text(a) for _, a in builds})
    rows = [_row(row_id, a, toolkits, _sees(conn, row_id, a)) for row_id, a in builds]
    conn.executemany(_BUILD, rows)
    words = {word for row in rows for word in str(row[-1]).split() if not word.startswith("=")}
    conn.executemany(_WORD, [(word,) for word in sorted(words)])


def rebuild(conn: sqlite3.Connection) -> None:
    """Make everything that is derived anew."""
    conn.execute("DELETE FROM builds")
    conn.execute("DELETE FROM words")
    conn.execute("DELETE FROM models")
    for batch in _batches(conn):
        refresh(conn, batch)


def _name(conn: sqlite3.Connection, found: Sequence[tuple[int, Artifact]]) -> None:
    """Write down which models these artifacts are builds of, and which models there are."""
    for row_id, artifact in found:
        name = _model(artifact)
        (before,) = conn.execute("SELECT model FROM artifacts WHERE id = ?", (row_id,)).fetchone()
        if name is not None:
            conn.execute("INSERT INTO models (name) VALUES (?) ON CONFLICT DO NOTHING", (name,))
        if name == before:
            continue
        conn.execute("UPDATE artifacts SET model = ? WHERE id = ?", (name, row_id))
        drop_unused(conn, [before])


def drop_unused(conn: sqlite3.Connection, models: Iterable[str | None]) -> None:
    """Forget those of these models that no artifact is a build of any more."""
    conn.executemany(
        "DELETE FROM models WHERE name = ?1 "
        "AND NOT EXISTS (SELECT 1 FROM artifacts WHERE model = ?1)",
        [(model,) for model in models],
    )


def _batches(conn: sqlite3.Connection) -> Iterator[list[int]]:
    last = -1
    while batch := [
        int(row[0])
        for row in conn.execute(
            "SELECT id FROM artifacts WHERE id > ? ORDER BY id LIMIT ?", (last, _BATCH)
        )
    ]:
        yield batch
        last = batch[-1]


def _model(artifact: Artifact) -> str | None:
    """Return the model's name; of several that are equally well known the newest."""
    return next(iter(artifact.attribute("model").contenders), None)


def _toolkit_numbers(conn: sqlite3.Connection, texts: set[str]) -> dict[str, int]:
    texts.discard("")
    conn.executemany(_TOOLKIT, [(text,) for text in sorted(texts)])
    numbers = {"": 0}
    for text in texts:
        row = conn.execute("SELECT id FROM toolkits WHERE versions = ?", (text,)).fetchone()
        numbers[text] = int(row[0])
    return numbers


def _sees(conn: sqlite3.Connection, row_id: int, artifact: Artifact) -> bool | None:
    """Tell whether a build is of a model that sees pictures; None if that is not known."""
    partner = conn.execute(
        "SELECT 1 FROM companions WHERE artifact_id = ? AND role = 'vision'", (row_id,)
    ).fetchone()
    if partner is not None:
        return True
    name = _model(artifact)
    model = read_model(name) if name else None
    return None if model is None else model.multimodal


def _row(
    row_id: int, artifact: Artifact, toolkits: dict[str, int], sees: bool | None
) -> tuple[object, ...]:
    need = estimate(artifact)
    versions = toolkit_text(artifact)
    place = number(
        row_id,
        artifact.platform,
        toolkits[versions],
        strength(artifact),
        weight(need.size_bytes if need else None),
    )
    return (
        place,
        row_id,
        _model(artifact),
        artifact.platform.value if artifact.platform else None,
        versions,
        str(artifact.quant) if artifact.quant else None,
        artifact.context,
        artifact.params_b,
        artifact.role,
        None if sees is None else int(sees),
        " ".join(_terms(artifact, sees)),
    )


def _terms(artifact: Artifact, sees: bool | None) -> list[str]:
    """Return the words that a build is found by: of its names, of its facts, and for filters."""
    facts = (artifact.value("platform"), artifact.value("quant"), toolkit_text(artifact))
    named = (
        f"{_model(artifact) or ''} {artifact.repo} {artifact.path} {' '.join(filter(None, facts))}"
    )
    words = document_terms(named)
    if sees:
        words.append("vision")
    quant = artifact.quant
    filters = {uploader_term(artifact.repo), vision_term(sees)}
    filters |= {quant_term(str(quant)), quant_term(quant.family)} if quant else {quant_term("?")}
    return [*dict.fromkeys(words), *sorted(filters)]


def uploader_term(repo: str) -> str:
    """Return the word for a filter by who published something: a repository's, or a name."""
    owner = repo.partition("/")[0].casefold()
    return "=by." + "".join(c if c.isalnum() else "_" for c in owner)


def quant_term(quant: str) -> str:
    """Return the word for a filter by quantisation; ``?`` for an unknown one."""
    return f"=quant.{quant}"


def vision_term(sees: bool | None) -> str:
    """Return the word for a filter by whether a model sees pictures; None for an unknown one."""
    return {True: "=vision.yes", False: "=vision.no", None: "=vision.?"}[sees]
