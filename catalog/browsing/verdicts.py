"""Verdicts of every build on every runtime, said once: a page decides nothing by itself.

The rules stay in one place, `rkfetch.registry.compat`. What they say is written down for each
runtime that there is, so that whoever looks at it only looks it up. A thousand builds have the same
few dozen verdicts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rkfetch.registry.compat import driver_reasons, rules_about
from rkfetch.registry.judge import judge
from rkfetch.registry.model import Target
from rkfetch.registry.resolve import preference

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from rkfetch.registry.compat import Reason
    from rkfetch.registry.model import Artifact, Platform
    from rkfetch.registry.versions import Version


class Interned:
    """Values by their numbers, each once, in the order in which they came."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self.values: list[Any] = []

    def number(self, key: Hashable, value: Any = None) -> int:
        """Return the number of a value that ``key`` tells apart, or that is the key."""
        if key not in self._numbers:
            self._numbers[key] = len(self.values)
            self.values.append(key if value is None else value)
        return self._numbers[key]


class Verdicts:
    """What the rules say of builds for one SoC, on each of ``runtimes`` and on an unknown one.

    An NPU driver counts where it is known: a page that many boards read has none.
    """

    def __init__(
        self, platform: Platform, runtimes: Sequence[Version], driver: Version | None = None
    ) -> None:
        self._driver = driver
        self._targets = [
            Target(platform=platform, runtime=r, driver=driver) for r in (None, *runtimes)
        ]
        self._reasons = Interned()
        self._verdicts = Interned()
        self._profiles = Interned()
        self._known: dict[Hashable, int] = {}

    def profile(self, artifact: Artifact) -> int:
        """Return the number of a build's row in ``profiles``: its verdicts on all runtimes."""
        key = self._what_counts(artifact)
        if key is not None and key in self._known:
            return self._known[key]
        row = tuple(self._number(artifact, target) for target in self._targets)
        number = self._profiles.number(row)
        if key is not None:
            self._known[key] = number
        return number

    def _what_counts(self, artifact: Artifact) -> Hashable | None:
        known = _what_counts(artifact)
        of_driver = driver_reasons(self._driver, artifact.quant, artifact.size_bytes)
        return None if known is None else (known, *of_driver)

    def _number(self, artifact: Artifact, target: Target) -> int:
        verdict = judge(artifact, target)
        reasons = tuple(self._reason(reason) for reason in verdict.reasons)
        seen, rank, told = preference(artifact, verdict, target)
        row = (verdict.level.value, reasons, seen << 8 | rank << 1 | told)
        return self._verdicts.number(row, [row[0], list(reasons), row[2]])

    def _reason(self, reason: Reason) -> int:
        level = reason.level.value if reason.level else None
        said = (reason.rule, reason.text, reason.source, level)
        return self._reasons.number(said, list(said))

    def as_json(self) -> dict[str, Any]:
        """Return ``reasons``, ``verdicts`` that name them, and ``profiles`` that name those.

        A verdict is its level, its reasons, and which of two builds is taken: that with less.
        """
        return {
            "reasons": self._reasons.values,
            "verdicts": self._verdicts.values,
            "profiles": [list(row) for row in self._profiles.values],
        }


_JUDGED = ("toolkit", "platform", "quant")


def _what_counts(artifact: Artifact) -> Hashable | None:
    """Return what a verdict depends on; None where a reason names more than that.

    So it does of a file that somebody saw on a board, and where sources disagree, who says what.
    """
    attributes = [artifact.attribute(name) for name in _JUDGED]
    if artifact.sightings or any(attribute.disputed for attribute in attributes):
        return None
    said = tuple(tuple(dict.fromkeys((e.value, e.origin) for e in a.evidence)) for a in attributes)
    return (*said, rules_about(artifact.model))
