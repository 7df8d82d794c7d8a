"""Which builds of a model are judged for a board: all, or of very many those that can fit best.

Of a model that has thousands, reading and judging every build would take seconds. So the best are
read, in the order of the index, and of the rest so many that a refusal can say why. How many were
left out is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rkfetch.registry.model import Platform

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rkfetch.registry.model import Artifact, Target

    from .database import Catalog
    from .order import Span

MOST = 300
"""Builds of one question that are judged."""
EXAMPLES = 20
"""Of each other SoC, and of what is gone: they are only named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """Builds of a model."""

    artifacts: Sequence[Artifact]
    left_out: int
    """Further ones, which fit no better."""


def candidates(catalog: Catalog, models: Sequence[str], target: Target) -> Candidates:
    """Return the builds of these models that are worth judging for a target."""
    in_all = sum(
        catalog.rows("SELECT count(*) AS n FROM artifacts WHERE model = ?", (model,))[0]["n"]
        for model in models
    )
    if in_all <= MOST:
        return Candidates(artifacts=catalog.candidates(models), left_out=0)
    ids: dict[int, None] = {}
    for row_id in _best_first(catalog, models, target):
        ids[row_id] = None
        if len(ids) >= MOST:
            break
    ids |= dict.fromkeys(_seen_on_boards(catalog, models))
    ids |= dict.fromkeys(_examples(catalog, models, target))
    return Candidates(artifacts=catalog.by_ids(list(ids)), left_out=in_all - len(ids))


def _best_first(catalog: Catalog, models: Sequence[str], target: Target) -> Iterator[int]:
    """Read builds for the SoC, first those with the quantisation and context that are wanted."""
    from .filters import Filters
    from .ranking import Ranking, toolkits

    wanted = [("b.quant = ?", str(target.quant))] if target.quant else []
    if target.context is not None:
        wanted.append(("(b.context IS NULL OR b.context >= ?)", str(target.context)))
    tiers = list(
        Ranking(target, Filters(platform=target.platform), frozenset()).tiers(toolkits(catalog))
    )
    for conditions in (wanted, []) if wanted else ([],):
        for _, spans in tiers:
            for span in spans:
                yield from _within(catalog, models, span, conditions)


def _within(
    catalog: Catalog, models: Sequence[str], span: Span, conditions: Sequence[tuple[str, str]]
) -> Iterator[int]:
    terms = "".join(f" AND {condition}" for condition, _ in conditions)
    values: list[Any] = [value for _, value in conditions]
    for model in models:
        rows = catalog.rows(
            "SELECT b.artifact_id FROM builds b WHERE b.model = ? AND b.id BETWEEN ? AND ?"  # noqa: S608
            f"{terms} ORDER BY b.id LIMIT ?",
            [model, *span, *values, MOST],
        )
        yield from (row["artifact_id"] for row in rows)


def _seen_on_boards(catalog: Catalog, models: Sequence[str]) -> Iterator[int]:
    """Return the builds that somebody saw work or fail, which says more than any rule."""
    for model in models:
        # CROSS JOIN keeps the order: there are few additions, and many builds of a model.
        rows = catalog.rows(
            "SELECT a.id FROM additions x CROSS JOIN artifacts a ON a.sha256 = x.sha256 "
            "WHERE a.model = ?1 UNION ALL SELECT a.id FROM additions x CROSS JOIN artifacts a "
            "ON x.sha256 IS NULL AND a.source = x.source AND a.repo = x.repo AND a.path = x.path "
            "WHERE a.model = ?1 LIMIT ?2",
            (model, MOST),
        )
        yield from (row["id"] for row in rows)


def _examples(catalog: Catalog, models: Sequence[str], target: Target) -> Iterator[int]:
    from .index import HIDDEN
    from .order import platform_span

    for model in models:
        for platform in Platform:
            rows = catalog.rows(
                "SELECT artifact_id AS id FROM builds WHERE model = ? AND id BETWEEN ? AND ? "
                "LIMIT ?",
                (model, *platform_span(platform), EXAMPLES if platform != target.platform else 0),
            )
            yield from (row["id"] for row in rows)
        for state in HIDDEN:
            rows = catalog.rows(
                "SELECT id FROM artifacts WHERE model = ? AND availability = ? LIMIT ?",
                (model, state, EXAMPLES),
            )
            yield from (row["id"] for row in rows)
