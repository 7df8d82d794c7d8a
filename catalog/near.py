"""Why a search found nothing: what stood in the way of how much, and what was perhaps meant."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .models import suggest
from .search import count, expansions, search
from .terms import query_terms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .database import Catalog
    from .search import Hit, Query

_MOST_WORDS = 8
"""Words that are left out in turn."""
_PER_WORD = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """A filter or a word without which something would be found."""

    text: str
    """As it was given: ``--quant w4a16``, or the word."""
    is_filter: bool
    matches: int | None
    """How many would be found without it; None for more than were counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """Words that were perhaps meant; something is found with them."""

    text: str
    matches: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing:
    """Why nothing was found."""

    obstacles: tuple[Obstacle, ...]
    """Each alone stood in the way; the one that excludes least first."""
    together: int | None
    """How many have the words, without any filter; None for more than were counted."""
    nearest: Hit | None
    """The best of what one obstacle less, or none at all, would have found."""
    suggestions: tuple[Suggestion, ...]


def why_nothing(catalog: Catalog, query: Query) -> Nothing:
    """Look for what a search that found nothing would find with less to ask for."""
    found = [(o, relaxed) for o, relaxed in _relaxed(catalog, query) if o.matches != 0]
    found.sort(key=lambda item: (item[0].matches is None, item[0].matches or 0))
    bare = replace(query, filters=query.filters.without(*query.filters.given()))
    together = count(catalog, bare) if query.filters.given() else 0
    nearest = None
    if found or together != 0:
        hits = search(catalog, found[0][1] if found else bare, limit=1).hits
        nearest = next(iter(hits), None)
    return Nothing(
        obstacles=tuple(obstacle for obstacle, _ in found),
        together=together,
        nearest=nearest,
        suggestions=() if together != 0 else tuple(_suggestions(catalog, query)),
    )


def _relaxed(catalog: Catalog, query: Query) -> Iterator[tuple[Obstacle, Query]]:
    """Leave out each filter and each word in turn, and count what is then found."""
    for name, text in query.filters.given().items():
        less = replace(query, filters=query.filters.without(name))
        yield Obstacle(text=text, is_filter=True, matches=count(catalog, less)), less
    words = query.text.split()
    for number, word in enumerate(words[:_MOST_WORDS]):
        rest = " ".join([*words[:number], *words[number + 1 :]])
        if query_terms(rest):
            less = replace(query, text=rest)
            yield Obstacle(text=word, is_filter=False, matches=count(catalog, less)), less


def _suggestions(catalog: Catalog, query: Query) -> Iterator[Suggestion]:
    meant = _respelt(catalog, query.text) or suggest(query.text, catalog.models())
    for text in meant:
        matches = count(catalog, replace(query, text=text))
        if matches != 0:
            yield Suggestion(text=text, matches=matches)


def _respelt(catalog: Catalog, text: str) -> list[str]:
    """Replace each word that no name has by known ones that look like it."""
    terms = query_terms(text)
    choices = [_near(catalog, term) for term in terms]
    if choices == [[term] for term in terms] or not all(choices):
        return []
    best = [words[0] for words in choices]
    others = [
        [*best[:number], word, *best[number + 1 :]]
        for number, words in enumerate(choices)
        for word in words[1:]
    ]
    return [" ".join(words) for words in (best, *others)][:_PER_WORD]


def _near(catalog: Catalog, term: str) -> list[str]:
    """Return a word itself if it is known, else known words that look like it, nearest first."""
    import difflib

    meant = expansions(catalog, term)
    if any(catalog.rows("SELECT 1 FROM words WHERE word = ?", (word,)) for word in meant):
        return [term]
    least, most = max(1, len(term) - 2), len(term) + 2
    for first in (term[0], ""):
        # The first letter is seldom the wrong one, and narrows a large vocabulary down.
        pool = catalog.rows(
            "SELECT word FROM words WHERE word >= ? AND word < ? AND length(word) BETWEEN ? AND ?",
            (first, first + chr(0x10FFFF), least, most),
        )
        near = difflib.get_close_matches(term, [r["word"] for r in pool], n=_PER_WORD, cutoff=0.7)
        if near:
            return near
    return []
