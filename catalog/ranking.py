"""Which of the builds that have the words a person sees first: those that fit the board.

The verdict decides, then whether the memory suffices, then how well it is known what the build is,
then how close its name is to the words, and then what resolving prefers, too. Only what the index
has of a build is looked at, so that a thousand are ranked in no time.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING

from rkfetch.registry.compat import Level, runtime_risks
from rkfetch.registry.judge import judge
from rkfetch.registry.memory import SYSTEM_BYTES, Fit, fit
from rkfetch.registry.model import (
    Artifact,
    Attribute,
    Availability,
    Evidence,
    Origin,
    Platform,
    Quant,
)
from rkfetch.registry.resolve import NO_MODELS, QUANT_ORDER, STRENGTHS, memory_need

from . import order
from .measured import measured_memory
from .terms import closeness

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rkfetch.registry.model import Target
    from rkfetch.registry.versions import Version

    from .database import Catalog
    from .filters import Filters
    from .order import Span

Tier = tuple[int, int, int, int]
"""Refused, verdict, fit in memory, strength of evidence: the first parts of every key."""

_USABLE, _REFUSED, _OTHER_CHIP = range(3)

_FITS = (Fit.FITS, Fit.UNKNOWN, Fit.TIGHT, Fit.TOO_LARGE)
_HEAVY_BYTES = 1 << 30
_ROUGH = 1.3
"""Measured needs differ from the estimates that weights are made of by up to so much."""


def each_once(rows: Iterable[sqlite3.Row]) -> list[sqlite3.Row]:
    """Return the first of the rows of each content; one whose content is not known stays."""
    return list({row["sha256"] or row["number"]: row for row in reversed([*rows])}.values())[::-1]


class Ranking:
    """The order of the finds of one search for one board."""

    def __init__(
        self,
        target: Target,
        filters: Filters,
        asked: frozenset[str],
        here: frozenset[str] = frozenset(),
    ) -> None:
        self._target = target
        self._filters = filters
        self._asked = asked
        self._here = here
        self._levels: dict[tuple[object, ...], Level] = {}
        self._keys: dict[int, tuple[object, ...]] = {}
        self._passes: dict[int, bool] = {}

    def ranked(self, rows: Sequence[sqlite3.Row]) -> list[sqlite3.Row]:
        """Return the rows that pass the filters, best first, each content once."""
        return each_once(sorted(filter(self.passes, rows), key=self._key))

    def up_to(self, tier: Tier, rows: Sequence[sqlite3.Row]) -> list[sqlite3.Row]:
        """Return those of them that are of a tier, or of a better one."""
        return [row for row in self.ranked(rows) if self._key(row)[: len(tier)] <= tier]

    def passes(self, row: sqlite3.Row) -> bool:
        """Tell whether runtime and memory, where they are insisted on, let a build pass."""
        passed = self._passes.get(row["number"])
        if passed is None:
            passed = self._passes[row["number"]] = self._is_let_through(row)
        return passed

    def _is_let_through(self, row: sqlite3.Row) -> bool:
        filters = self._filters
        if filters.runtime is not None:
            # A runtime of the same version refuses a build for another SoC for the same reasons.
            platform = Platform(row["platform"]) if row["platform"] else self._target.platform
            if self._level(row, platform) is Level.INCOMPATIBLE:
                return False
        return filters.memory_bytes is None or self._fit(row) is not Fit.TOO_LARGE

    def _key(self, row: sqlite3.Row) -> tuple[object, ...]:
        key = self._keys.get(row["number"])
        if key is None:
            key = self._keys[row["number"]] = self._new_key(row)
        return key

    def _new_key(self, row: sqlite3.Row) -> tuple[object, ...]:
        level, how = self._level(row), self._fit(row)
        preferred = QUANT_ORDER[self._target.platform]
        quant = Quant.read(row["quant"] or "")
        family = quant.family if quant else ""
        return (
            *self._tier(level, how, order.strength_of(row["number"]), least=self._refusal(row)),
            -closeness(self._asked, row["model"]),
            preferred.index(family) if family in preferred else len(preferred),
            not row["curated"],
            -(row["downloads"] or 0),
            tuple(-ord(c) for c in row["updated"] or "") or (0,),
            row["size_bytes"] or 1 << 62,
            row["number"],
        )

    def _tier(self, level: Level, how: Fit, strength: int, *, least: int = _USABLE) -> Tier:
        refused = level is Level.INCOMPATIBLE or how is Fit.TOO_LARGE
        return max(least, int(refused)), level.rank, _FITS.index(how), strength

    def _refusal(self, row: sqlite3.Row) -> int:
        """Tell what refuses a build, whatever runtime and memory are."""
        if row["platform"] not in {None, self._target.platform.value}:
            return _OTHER_CHIP
        can_be_had = row["availability"] == Availability.LISTED.value or row["sha256"] in self._here
        return _USABLE if can_be_had and row["role"] not in NO_MODELS else _REFUSED

    def _level(self, row: sqlite3.Row, platform: Platform | None = None) -> Level:
        """Return the verdict, which few of the facts decide; so it is soon known for all."""
        target, model = self._target, row["model"]
        if platform is not None and platform is not target.platform:
            target = replace(target, platform=platform)
        if row["platform"] not in {None, target.platform.value}:
            return Level.INCOMPATIBLE
        special = model if target.runtime and _has_risks(target.runtime, model) else None
        size = row["size_bytes"] or 0
        key = (
            *(target.platform, row["platform"], row["toolkits"], row["quant"], special),
            row["context"] if target.context else None,
            size if size >= _HEAVY_BYTES and target.driver else 0,
        )
        if key not in self._levels:
            self._levels[key] = judge(_artifact(row), target).level
        return self._levels[key]

    def _fit(self, row: sqlite3.Row) -> Fit:
        other_chip = row["platform"] not in {None, self._target.platform.value}
        if self._target.memory_bytes is None or (other_chip and not self._filters.memory_bytes):
            return Fit.UNKNOWN
        need = memory_need(_artifact(row), self._target, measured_memory)
        return fit(need, self._target.memory_bytes)

    # --- where in the index the best are -------------------------------------------------------

    def tiers(self, toolkits: Mapping[int, str]) -> Iterator[tuple[Tier, list[Span]]]:
        """Return the spans of the index that hold what fits, the best first, in groups.

        Weights are estimates, so that a span may hold a few builds of the next group.
        """
        wanted = self._filters.toolkit
        tiers = [
            (self._tier(level, how, strength), order.span(platform, toolkit, strength, weights))
            for platform in (self._target.platform, None)
            for toolkit, versions in _told_apart(toolkits).items()
            if wanted is None or wanted.may_be(versions)
            for level in [self._level_of(platform, versions)]
            for how, weights in self._weights()
            for strength in STRENGTHS
        ]
        others = [
            ((_OTHER_CHIP, Level.INCOMPATIBLE.rank, 0, 0), order.platform_span(platform))
            for platform in Platform
            if platform is not self._target.platform and self._filters.platform is None
        ]
        ordered = sorted([*tiers, *others], key=lambda item: (item[0], -item[1][0]))
        for tier, group in groupby(ordered, key=lambda item: item[0]):
            yield tier, [span for _, span in group]

    def _level_of(self, platform: Platform | None, versions: str) -> Level:
        attributes = {
            "platform": _known("platform", platform.value if platform else None),
            "toolkit": _known("toolkit", *versions.split()),
        }
        artifact = Artifact(source="", repo="", path="", attributes=attributes)
        return judge(artifact, self._target).level

    def _weights(self) -> list[tuple[Fit, tuple[int, int]]]:
        memory = self._target.memory_bytes
        if memory is None:
            return [(Fit.UNKNOWN, (0, order.HEAVIEST))]
        bound = order.weight(int((memory - SYSTEM_BYTES) * _ROUGH))
        return [
            (Fit.FITS, (1, bound)),
            (Fit.UNKNOWN, (0, 0)),
            (Fit.TOO_LARGE, (bound + 1, order.HEAVIEST)),
        ]


def _told_apart(toolkits: Mapping[int, str]) -> dict[int, str]:
    """Leave those without a number of their own together, as unknown ones."""
    own = {n: versions for n, versions in toolkits.items() if n < order.MOST_TOOLKITS}
    return own if len(own) == len(toolkits) else {**own, order.MOST_TOOLKITS: ""}


@lru_cache(maxsize=4096)
def _has_risks(runtime: Version, model: str | None) -> bool:
    return bool(runtime_risks(runtime, model))


def _artifact(row: sqlite3.Row) -> Artifact:
    """Return what the index has of a build, for the rules that judge builds."""
    params, context = row["params_b"], row["context"]
    attributes = {
        "platform": _known("platform", row["platform"]),
        "toolkit": _known("toolkit", *row["toolkits"].split()),
        "quant": _known("quant", row["quant"]),
        "context": _known("context", None if context is None else str(context)),
        "params_b": _known("params_b", None if params is None else str(params)),
        "model": _known("model", row["model"]),
    }
    return Artifact(
        source="", repo="", path="", size_bytes=row["size_bytes"], attributes=attributes
    )


@lru_cache(maxsize=4096)
def _known(name: str, *values: str | None) -> Attribute:
    return Attribute(
        name=name,
        evidence=tuple(
            Evidence(attribute=name, value=value, origin=Origin.HEADER, place="")
            for value in values
            if value is not None
        ),
    )


def toolkits(catalog: Catalog) -> dict[int, str]:
    """Return the toolkits of all builds by number, several in one text where sources disagree."""
    rows = catalog.rows("SELECT id, versions FROM toolkits")
    return {0: "", **{row["id"]: row["versions"] for row in rows}}


@lru_cache(maxsize=4096)
def tokens_per_s(model: str | None, platform: str | None, quant: str | None) -> float | None:
    """Return how fast a build was measured to be; None where nobody measured."""
    known = Quant.read(quant or "")
    if model is None or platform is None or known is None:
        return None
    need = measured_memory(model, Platform(platform), known)
    return need.tokens_per_s if need else None
