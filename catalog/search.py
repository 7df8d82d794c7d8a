"""Find builds by words and filters, those that fit a board first.

The index gives what has the words in the order of the numbers of `order`. Few finds are all ranked.
Of many, those of the best SoC, toolkit and weight are read first, and reading stops when there is
enough: what half of a large catalog has is found as fast as what one build has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rkfetch.registry.compat import Level
from rkfetch.registry.memory import Fit
from rkfetch.registry.resolve import resolve

from . import order
from .index import HIDDEN, quant_term, uploader_term, vision_term
from .measured import measured_memory
from .order import toolkit_text
from .places import contents, to_be_had
from .ranking import Ranking, each_once, tokens_per_s, toolkits
from .terms import document_terms, query_terms

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from rkfetch.registry.model import Artifact, Target
    from rkfetch.registry.resolve import Candidate

    from .database import Catalog
    from .filters import Filters
    from .order import Span

FEW = 500
"""So many finds are all ranked, and counted."""
_WINDOW = 100
"""Finds that are alike in SoC, toolkit, evidence and memory, and are ranked among each other."""
_MOST_EXPANSIONS = 24
"""Known words that an unfinished one may stand for."""

SORTS = ("fit", "name", "size", "new", "downloads", "speed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A search."""

    text: str
    filters: Filters
    target: Target
    """The board that what is found is judged for."""
    sort: str = "fit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One build that was found, judged."""

    candidate: Candidate
    vision: bool | None
    """Its model sees pictures; None if that is not known."""
    here: bool
    """This machine has it."""
    licence: str | None
    downloads: int | None
    """Of its repository."""
    likes: int | None
    unknown: tuple[str, ...]
    """Filters that it passed only because nothing is known."""

    @property
    def artifact(self) -> Artifact:
        """The build."""
        return self.candidate.artifact


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search found."""

    hits: tuple[Hit, ...]
    """Best first."""
    matches: int | None
    """How many there are in all; None if there are more than were counted."""


def search(
    catalog: Catalog, query: Query, *, limit: int | None = 20, here: Collection[str] = ()
) -> Found:
    """Return the builds that have all the words and that no filter is known to exclude.

    A content that lies in several places is found once.
    Words are those of models, repositories, files and facts (``w4a16``, ``rk3576``), in any order,
    the last letters of each may be missing. What is gone or was rejected is not found. ``limit`` is
    None for all. ``here`` are the SHA-256 of what is on this machine, so that it does not matter
    whether it could be downloaded.
    """
    here = frozenset(here)
    asked = frozenset(document_terms(query.text))
    ranking = Ranking(query.target, query.filters, asked, here)
    reader = _Reader(catalog, query)
    matches: int | None = None
    if query.sort != "fit":
        rows, matches = _sorted(reader, ranking, query.sort, limit)
    elif limit is None or reader.are_few():
        rows = ranking.ranked(reader.every())
        matches = len(rows)
    else:
        rows = _best_first(reader, ranking, limit)
    hits, hidden = _hits(catalog, query, rows, limit, here)
    return Found(hits=hits, matches=None if matches is None else matches - hidden)


def count(catalog: Catalog, query: Query) -> int | None:
    """Return how many builds are found; None for more than `FEW`."""
    reader = _Reader(catalog, query)
    if not reader.are_few():
        return None
    return len(Ranking(query.target, query.filters, frozenset()).ranked(reader.every()))


def _best_first(reader: _Reader, ranking: Ranking, limit: int) -> list[sqlite3.Row]:
    """Read what fits best until there is enough; the rest is not looked at."""
    read: list[sqlite3.Row] = []
    window = max(_WINDOW, 2 * limit)
    for tier, spans in ranking.tiers(reader.toolkits):
        room = window
        for span in spans:
            found = reader.within(span, room)
            read += found
            room -= len(found)
            if room <= 0:
                break
        if len(ranking.up_to(tier, read)) >= limit:
            break
    return ranking.ranked(read)


def _sorted(
    reader: _Reader, ranking: Ranking, sort: str, limit: int | None
) -> tuple[list[sqlite3.Row], int | None]:
    """Read in another order than that of fit; what the filters exclude makes room for more."""
    ask = limit and max(2 * limit, _WINDOW)
    while True:
        rows = reader.ordered(sort, ask)
        passed = each_once(filter(ranking.passes, rows))
        if ask is None or len(rows) < ask:
            return passed, len(passed)
        if limit is not None and len(passed) > limit:
            return passed, None
        ask *= 4


# --- reading the index -------------------------------------------------------------------------

_COLUMNS = (
    "SELECT b.id AS number, b.artifact_id, b.platform, b.toolkits, b.quant, b.context, b.params_b, "
    "b.role, b.vision, a.model, a.repo, a.path, a.sha256, a.size_bytes, a.availability, a.curated, "
    "coalesce(a.updated, r.modified) AS updated, r.downloads, r.likes, r.license"
)
# CROSS JOIN keeps the order: what has the words comes first, and brings the rest along.
_JOINED = (
    "CROSS JOIN artifacts a ON a.id = b.artifact_id "
    "LEFT JOIN repositories r ON r.source = a.source AND r.repo = a.repo"
)
_BY_WORDS = f"FROM names n CROSS JOIN builds b ON b.id = n.rowid {_JOINED} WHERE n.names MATCH ?"
_ORDERS = {
    "name": "a.model IS NULL, a.model, a.repo, a.path",
    "size": "a.size_bytes IS NULL, a.size_bytes",
    "new": "coalesce(a.updated, r.modified) DESC",
    "downloads": "r.downloads DESC, a.repo, a.path",
    "speed": "tokens_per_s(a.model, b.platform, b.quant) DESC",
}


class _Reader:
    """Reads the rows of one search."""

    def __init__(self, catalog: Catalog, query: Query) -> None:
        self._catalog = catalog
        self._expression = match_expression(catalog, query.text, query.filters)
        self._number = "n.rowid" if self._expression else "b.id"
        self.toolkits = toolkits(catalog)
        self._conditions, self._values = _conditions(query.filters, self.toolkits)
        wanted = query.filters.platform
        self._spans = (
            [order.platform_span(None), order.platform_span(wanted)] if wanted else [order.whole()]
        )

    def are_few(self) -> bool:
        """Tell whether all finds can be ranked."""
        room = FEW + 1
        for first, last in self._spans:
            sql = "SELECT id FROM builds WHERE id BETWEEN ? AND ? LIMIT ?"
            values: list[Any] = [first, last, room]
            if self._expression:
                sql = (
                    "SELECT rowid FROM names WHERE names MATCH ? AND rowid BETWEEN ? AND ? LIMIT ?"
                )
                values = [self._expression, *values]
            room -= len(self._catalog.rows(sql, values))
        return room > 0

    def every(self) -> list[sqlite3.Row]:
        """Return all finds."""
        return [row for span in self._spans for row in self.within(span, -1)]

    def within(self, span: Span, most: int) -> list[sqlite3.Row]:
        """Return the first finds of a span that is inside the wanted ones; -1 is all of them."""
        if not any(first <= span[0] and span[1] <= last for first, last in self._spans):
            return []
        source, values = self._source([span])
        # This is the order that the index gives anyway.
        return self._catalog.rows(
            f"{_COLUMNS} {source} ORDER BY {self._number} LIMIT ?", [*values, most]
        )

    def ordered(self, sort: str, most: int | None) -> list[sqlite3.Row]:
        """Return the first finds in another order than the index's."""
        if sort == "speed":
            self._catalog.define("tokens_per_s", 3, tokens_per_s)
        source, values = self._source(self._spans)
        return self._catalog.rows(
            f"{_COLUMNS} {source} ORDER BY {_ORDERS[sort]}, b.id LIMIT ?",
            [*values, -1 if most is None else most],
        )

    def _source(self, spans: Sequence[Span]) -> tuple[str, list[Any]]:
        source, values = f"FROM builds b {_JOINED} WHERE TRUE", []
        if self._expression:
            source, values = _BY_WORDS, [self._expression]
        among = " OR ".join([f"{self._number} BETWEEN ? AND ?"] * len(spans))
        source = " AND ".join([source, f"({among})", *self._conditions])
        return source, [*values, *(n for span in spans for n in span), *self._values]


def _conditions(filters: Filters, known: dict[int, str]) -> tuple[list[str], list[Any]]:
    """Translate the filters that the index has no words for; unknown values pass."""
    conditions: list[str] = []
    values: list[Any] = []
    if filters.toolkit is not None:
        wanted = [text for text in known.values() if filters.toolkit.may_be(text)]
        conditions.append(f"b.toolkits IN ({','.join('?' * len(wanted))})")
        values += wanted
    if filters.context is not None:
        conditions.append("(b.context IS NULL OR b.context >= ?)")
        values.append(filters.context)
    if filters.size is not None:
        conditions.append("(a.size_bytes IS NULL OR a.size_bytes BETWEEN ? AND ?)")
        values += [filters.size.least, filters.size.most]
    if filters.licence is not None:
        conditions.append("(r.license IS NULL OR lower(r.license) = ?)")
        values.append(filters.licence.lower())
    return conditions, values


def match_expression(catalog: Catalog, text: str, filters: Filters) -> str:
    """Translate words and filters into FTS5; empty if neither needs the index of words."""
    asked = [_any(expansions(catalog, term)) for term in query_terms(text)]
    if filters.quant is not None:
        asked.append(_any([quant_term(str(filters.quant)), quant_term("?")]))
    if filters.uploader is not None:
        asked.append(_any([uploader_term(filters.uploader)]))
    if filters.vision is not None:
        asked.append(_any([vision_term(filters.vision), vision_term(None)]))
    return " AND ".join(asked)


def _any(terms: Iterable[str]) -> str:
    return "(" + " OR ".join(f'"{term}"' for term in terms) + ")"


def expansions(catalog: Catalog, term: str) -> list[str]:
    """Return the words that one may stand for: itself, and known ones that begin with it.

    A prefix in FTS5's own notation would have it read every build of every such word before it
    gives the first.
    """
    if term[-1].isdigit():
        return [term, f"{term}b"] if "." in term and term[0].isdigit() else [term]
    if len(term) < 3 or term[0].isdigit():
        return [term]
    # Behind the digits: a name that goes on with a number has the letters as a word, too.
    longer = catalog.rows(
        "SELECT word FROM words WHERE word > ? AND word < ? LIMIT ?",
        (term + ":", term + chr(0x10FFFF), _MOST_EXPANSIONS),
    )
    return [term, *(row["word"] for row in longer)]


# --- what was found ----------------------------------------------------------------------------


def _hits(
    catalog: Catalog,
    query: Query,
    rows: Sequence[sqlite3.Row],
    limit: int | None,
    here: Collection[str],
) -> tuple[tuple[Hit, ...], int]:
    """Return the first hits, and how many rows before the last of them are none."""
    hits: list[Hit] = []
    at = 0
    while at < len(rows) and (limit is None or len(hits) < limit):
        part = rows[at:] if limit is None else rows[at : at + limit - len(hits)]
        hits += _judged(catalog, query, part, here)
        at += len(part)
    return tuple(hits), at - len(hits)


def _judged(
    catalog: Catalog, query: Query, rows: Sequence[sqlite3.Row], here: Collection[str]
) -> Iterator[Hit]:
    """Judge what was found as the content that it is, wherever that lies.

    The index knows rows. It does not know of doubts, which last a day, of a disk that was pulled
    out, nor of what is said of the same content at another place.
    """
    known = catalog.numbered([row["artifact_id"] for row in rows])
    there = [row for row in rows if row["artifact_id"] in known]
    artifacts = [
        to_be_had(artifact, lambda a: a.sha256 in here)
        for artifact in contents(catalog, [known[row["artifact_id"]] for row in there])
    ]
    resolution = resolve(artifacts, query.target, measured=measured_memory)
    judged = {id(c.artifact): c for c in (*resolution.ranked, *resolution.refused)}
    for row, artifact in zip(there, artifacts, strict=True):
        if artifact.availability.value in HIDDEN or not query.filters.may_be(artifact):
            continue
        candidate = judged[id(artifact)]
        yield Hit(
            candidate=candidate,
            vision=None if row["vision"] is None else bool(row["vision"]),
            here=artifact.sha256 in here,
            licence=row["license"],
            downloads=row["downloads"],
            likes=row["likes"],
            unknown=_unknown(query.filters, row, candidate),
        )


def _unknown(filters: Filters, row: sqlite3.Row, candidate: Candidate) -> tuple[str, ...]:
    """Return the filters that a build passed only because nothing is known."""
    artifact = candidate.artifact
    missing = {
        "platform": artifact.platform is None,
        "quant": artifact.quant is None,
        "toolkit": len(toolkit_text(artifact).split()) != 1,
        "runtime": candidate.verdict.level is Level.UNKNOWN,
        "context": artifact.context is None,
        "memory_bytes": candidate.fit is Fit.UNKNOWN,
        "size": artifact.size_bytes is None,
        "licence": row["license"] is None,
        "vision": row["vision"] is None,
    }
    return tuple(name for name in filters.given() if missing.get(name))
