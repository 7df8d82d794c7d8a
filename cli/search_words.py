"""How search results read for people: a table in groups, never wider than the terminal."""

from __future__ import annotations

import shutil
from itertools import groupby
from typing import TYPE_CHECKING

from rkfetch.registry.compat import Level
from rkfetch.registry.memory import Fit
from rkfetch.registry.model import Availability

from .answers import source_prefix, target_words
from .output import columns_of, cut, human_bytes, paint, safe, wrapped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rkfetch.catalog.near import Nothing
    from rkfetch.catalog.search import Found, Hit, Query
    from rkfetch.registry.model import Artifact, Target

_INDENT = 4
_GAP = 2
_TITLES = ("SoC", "quant", "toolkit", "ctx", "size", "RAM", "tok/s", "verdict")
_TO_THE_RIGHT = {"ctx", "size", "RAM", "tok/s"}
_DISPENSABLE = ("tok/s", "ctx", "SoC", "size", "toolkit")
"""Columns that a narrow terminal does without, the first of these first."""
_ONLY_IF_KNOWN = {"ctx", "size", "tok/s"}
_BY_HAND = "by hand"
_HERE = ", here"
_COLOURS = {Level.EXACT: "green", Level.COMPATIBLE: "green", Level.INCOMPATIBLE: "red"}


class _Notes:
    """The reasons that a verdict refers to by number, each written once."""

    def __init__(self) -> None:
        self._texts: dict[str, str | None] = {}

    def __bool__(self) -> bool:
        return bool(self._texts)

    def mark(self, text: str, source: str | None) -> str:
        """Return the mark of a reason: ``[1]``."""
        self._texts.setdefault(text, source)
        return f"[{list(self._texts).index(text) + 1}]"

    def lines(self, columns: int) -> Iterator[str]:
        """Write the reasons."""
        for number, (text, source) in enumerate(self._texts.items(), start=1):
            lead = f"[{number}] "
            yield from wrapped(text, lead=lead, columns=columns)
            if source:
                yield f"{' ' * len(lead)}{safe(source)}"


def result_lines(hits: Sequence[Hit], target: Target, *, by_fit: bool) -> Iterator[str]:
    """List builds under their models and repositories.

    By fit, all of a model stand where its best does; any other order is kept as it is.
    """
    columns = max(40, shutil.get_terminal_size((80, 24)).columns)
    notes = _Notes()
    groups = _grouped(hits, lambda hit: hit.artifact.model or "", together=by_fit)
    ordered = [hit for group in groups for of_repo in _by_place(group) for hit in of_repo]
    cells = {id(hit): _cells(hit, target, notes) for hit in ordered}
    rows = list(cells.values())
    titles = _fitting_titles(rows, columns)
    widths = {t: max(columns_of(t), *(columns_of(row[t]) for row in rows)) for t in titles}
    yield _row({title: title for title in titles}, widths).rstrip()
    for group in groups:
        yield paint(cut(safe(group[0].artifact.model or "(model not known)"), columns), "bold")
        for of_repo in _by_place(group):
            yield _repository_line(of_repo[0], columns)
            for hit in of_repo:
                yield from _build_lines(hit, cells[id(hit)], widths, columns)
    shown = {mark for mark in _LEGEND for row in rows if mark in "".join(row.values())}
    legend = [
        line
        for mark, text in _LEGEND.items()
        if mark in shown
        for line in wrapped(text, columns=columns)
    ]
    yield from ["", *legend] if legend or notes else []
    yield from notes.lines(columns)


_LEGEND = {
    "~": "~ estimated, or told by a name only",
    _BY_HAND: "by hand: rkfetch cannot download it; `rkfetch show` says where it is",
    _HERE: "here: it is on this machine already",
}


def _grouped(hits: Sequence[Hit], key: Callable[[Hit], str], *, together: bool) -> list[list[Hit]]:
    """Group what has the same key: all of it where the first is, or only what is adjacent."""
    if together:
        first = {key(hit): number for number, hit in reversed(list(enumerate(hits)))}
        hits = sorted(hits, key=lambda hit: first[key(hit)])
    return [list(group) for _, group in groupby(hits, key=key)]


def _by_place(hits: Sequence[Hit]) -> list[list[Hit]]:
    return _grouped(hits, lambda hit: _place(hit.artifact), together=True)


def _place(artifact: Artifact) -> str:
    return source_prefix(artifact.source) + safe(artifact.repo)


def _repository_line(hit: Hit, columns: int) -> str:
    place = cut(_place(hit.artifact), columns - 2)
    facts = [safe(hit.licence)] if hit.licence else []
    if hit.downloads is not None:
        facts.append(f"{hit.downloads:,} downloads".replace(",", " "))
    facts += ["gated"] if hit.artifact.gated else []
    room = columns - 2 - columns_of(place) - _GAP
    beside = ", ".join(facts)
    return f"  {place}" + (f"  {paint(beside, 'dim')}" if beside and len(beside) <= room else "")


def _build_lines(
    hit: Hit, row: dict[str, str], widths: dict[str, int], columns: int
) -> Iterator[str]:
    line = _row(row, widths)
    path = safe(hit.artifact.path)
    spare = widths["verdict"] - len(row["verdict"])
    shown = line[: len(line) - widths["verdict"]] + paint(row["verdict"], _colour(hit))
    if not path:
        yield shown
    elif columns_of(line) + _GAP + columns_of(path) <= columns:
        yield f"{shown}{' ' * (spare + _GAP)}{path}"
    else:
        yield shown
        yield paint(f"{' ' * (_INDENT + 2)}{cut(path, columns - _INDENT - 2)}", "dim")


def _colour(hit: Hit) -> str:
    candidate = hit.candidate
    refused = candidate.refusal is not None and candidate.verdict.level in {
        Level.EXACT, Level.COMPATIBLE,
    }  # fmt: skip
    return "red" if refused else _COLOURS.get(candidate.verdict.level, "yellow")


def _cells(hit: Hit, target: Target, notes: _Notes) -> dict[str, str]:
    artifact, need = hit.artifact, hit.candidate.need
    memory = "?" if need is None else _short(need.size_bytes, digits=2)
    speed = need.tokens_per_s if need else None
    return {
        "SoC": artifact.platform.value if artifact.platform else "?",
        "quant": str(artifact.quant or "?"),
        "toolkit": _toolkit(artifact),
        "ctx": _tokens(artifact.context),
        "size": _short(artifact.size_bytes),
        "RAM": memory if need is None or need.measured else f"~{memory}",
        "tok/s": f"{speed:.1f}" if speed else "",
        "verdict": _verdict(hit, target, notes) + (_HERE if hit.here else ""),
    }


def _toolkit(artifact: Artifact) -> str:
    versions = "/".join(str(v) for v in artifact.toolkits) or "?"
    return f"~{versions}" if artifact.attribute("toolkit").told_by_name else versions


def _tokens(context: int | None) -> str:
    if context is None:
        return "?"
    return f"{context // 1024}k" if context % 1024 == 0 else str(context)


def _short(size_bytes: int | None, digits: int = 3) -> str:
    """Write a size in few characters: ``1.39G``."""
    if size_bytes is None:
        return "?"
    size = round(size_bytes, digits - len(str(size_bytes))) if digits < 3 else size_bytes
    return human_bytes(size).replace(" ", "").removesuffix("B") or "0"


_UNAVAILABLE = {Availability.MANUAL: _BY_HAND, Availability.UNNAMED: "files not listed"}
_BRIEF = {"platform": "other SoC", "memory": "too large", "role": "no model"}


def _verdict(hit: Hit, target: Target, notes: _Notes) -> str:
    """Say in a word or two whether a build may be used, and by a mark why not."""
    candidate, artifact = hit.candidate, hit.artifact
    refusal, level = candidate.refusal, candidate.verdict.level
    if refusal is not None and refusal.rule in _BRIEF:
        return _BRIEF[refusal.rule]
    if artifact.availability in _UNAVAILABLE:
        return _UNAVAILABLE[artifact.availability]
    if target.runtime is None and level is Level.UNKNOWN:
        return "?"
    if level in {Level.EXACT, Level.COMPATIBLE}:
        return f"{level.value}, tight" if candidate.fit is Fit.TIGHT else level.value
    told = [r for r in candidate.verdict.reasons if r.level in {level, Level.RISKY}]
    return " ".join([level.value, "".join(notes.mark(r.text, r.source) for r in told)]).rstrip()


def _fitting_titles(rows: Sequence[dict[str, str]], columns: int) -> list[str]:
    """Leave out what nothing is known of, and then what there is no room for."""
    titles = [
        t
        for t in _TITLES
        if t not in _ONLY_IF_KNOWN or any(row[t] not in {"", "?"} for row in rows)
    ]
    for dispensable in _DISPENSABLE:
        if _table_width(titles, rows) <= columns:
            break
        titles = [t for t in titles if t != dispensable]
    return titles


def _table_width(titles: Sequence[str], rows: Sequence[dict[str, str]]) -> int:
    widths = (max(columns_of(t), *(columns_of(row[t]) for row in rows)) for t in titles)
    return _INDENT + sum(widths) + _GAP * (len(titles) - 1)


def _row(cells: dict[str, str], widths: dict[str, int]) -> str:
    padded = [
        cells[title].rjust(width) if title in _TO_THE_RIGHT else cells[title].ljust(width)
        for title, width in widths.items()
    ]
    return " " * _INDENT + (" " * _GAP).join(padded)


# --- what is said beside it ---------------------------------------------------------------------


def remark_lines(query: Query, found: Found) -> Iterator[str]:
    """Say what the verdicts are for, and that there is more."""
    unknown = "" if query.target.runtime else "; --runtime X.Y.Z tells what loads"
    yield from wrapped(f"for {target_words(query.target)}{unknown}")
    shown = len(found.hits)
    if found.matches is None:
        yield f"{shown} builds of many; add words or filters, or --limit N, or --all"
    elif found.matches > shown:
        yield f"{shown} of {found.matches} builds; add words or filters, or --all"


def nothing_lines(query: Query, nothing: Nothing) -> Iterator[str]:
    """Say what stood in the way, what was nearest, and what was perhaps meant."""
    filters = list(query.filters.given().values())
    asked = f"'{query.text}'" if query.text else "any model"
    among = f" with {', '.join(filters)}" if filters else ""
    yield from wrapped(f"no build in the catalog matches {asked}{among}")
    obstacles = [o for o in nothing.obstacles if o.is_filter or not nothing.suggestions]
    for obstacle in obstacles:
        yield from wrapped(f"{_count(obstacle.matches)} without {obstacle.text}", lead="  ")
    if not obstacles and nothing.together != 0:
        yield from wrapped(f"{_count(nothing.together)} without any filter", lead="  ")
    if nothing.nearest is not None and not nothing.suggestions:
        artifact = nothing.nearest.artifact
        facts = [
            artifact.platform.value if artifact.platform else "SoC unknown",
            str(artifact.quant or "quantisation unknown"),
            f"toolkit {_toolkit(artifact)}",
        ]
        yield from wrapped(f"nearest: {artifact.name} ({', '.join(facts)})", lead="  ")
    for number, suggestion in enumerate(nothing.suggestions):
        lead = "did you mean " if number == 0 else "          or "
        yield f"{lead}`rkfetch search {safe(suggestion.text)}`? ({_count(suggestion.matches)})"


def _count(matches: int | None) -> str:
    from rkfetch.catalog.search import FEW

    if matches is None:
        return f"over {FEW} builds"
    return f"{matches} build" + ("" if matches == 1 else "s")
