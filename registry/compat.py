"""Whether a board can run a build: the rules, as data, each with its public source.

Two rules of thumb stand behind the table. From toolkit 1.1.0 to 1.3.x there is one loading
lineage: an older file loads on a newer runtime, a newer file on an older runtime is refused.
And *loading is not behaving*: some pairs load without a word and then answer garbage or never
stop; those are `Level.RISKY`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING

from .model import Platform
from .versions import Version, release_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .model import Artifact, Quant

_ISSUES = "https://github.com/airockchip/rknn-llm/issues/"
_SDK = "https://github.com/airockchip/rknn-llm"


class Level(str, Enum):
    """How well a build suits a target, best first."""

    EXACT = "exact"
    """Made by the toolkit of the very version of the runtime."""
    COMPATIBLE = "compatible"
    """Another version, of a kind that was seen to load and to behave."""
    RISKY = "risky"
    """It loads, and this pair was seen to misbehave."""
    UNKNOWN = "unknown"
    """Not enough is known to promise anything."""
    INCOMPATIBLE = "incompatible"
    """It would not load, or not do what was asked."""

    @property
    def rank(self) -> int:
        """0 for the best."""
        return _LEVELS.index(self)


_LEVELS = list(Level)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One rule that spoke about one build."""

    rule: str
    """A stable name for scripts: ``platform``, ``newer-than-runtime``, ``eos``, …"""
    text: str
    source: str | None = None
    """The public page that the rule rests on."""
    level: Level | None = None
    """The level that the rule imposes; None for a remark that changes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A level with all the reasons for it, those that decided first."""

    level: Level
    reasons: tuple[Reason, ...] = ()


# --- toolkit version against runtime version ---------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRule:
    """What happens to files of some toolkits on some runtimes."""

    rule: str
    toolkit: tuple[str, str]
    """First version, and the first version no longer covered."""
    runtime: tuple[str, str]
    model: str | None
    """A regular expression over the model's name, for rules about one family."""
    level: Level
    text: str
    source: str

    def covers(self, toolkit: Version, runtime: Version, model: str | None) -> bool:
        """Tell whether the rule speaks about this pair (an unknown model is not covered)."""
        if self.model is not None and not re.search(self.model, model or "", re.IGNORECASE):
            return False
        return _within(toolkit, self.toolkit) and _within(runtime, self.runtime)


PAIR_RULES = (
    PairRule(
        rule="format-1.0.0",
        toolkit=("1.0.0", "1.0.1b0"),
        runtime=("1.0.1b0", "1.1.0b0"),
        model=None,
        level=Level.INCOMPATIBLE,
        text='files of toolkit 1.0.0 are refused from runtime 1.0.1 on ("the model version is '
        'too old")',
        source="https://github.com/Pelochus/ezrknn-llm/issues/5",
    ),
    PairRule(
        rule="format-1.0",
        toolkit=("1.0.0", "1.1.0b0"),
        runtime=("1.1.0b0", "99"),
        model=None,
        level=Level.INCOMPATIBLE,
        text="files of toolkit 1.0.x are refused from runtime 1.1.0 on: the format changed",
        source=f"{_SDK}/blob/release-v1.1.0/README.md",
    ),
    PairRule(
        rule="eos",
        toolkit=("1.2.2b0", "1.3.0b0"),
        runtime=("1.3.0b0", "1.3.1b0"),
        model=None,
        level=Level.RISKY,
        text="loads on runtime 1.3.0 without a warning, but the end-of-sequence token is not "
        "recognised, so an answer may never stop (toolkits 1.2.2 and 1.2.3 store it as UINT32)",
        source=f"{_ISSUES}534",
    ),
    PairRule(
        rule="eos-unreported",
        toolkit=("1.1.0b0", "1.2.2b0"),
        runtime=("1.3.0b0", "1.3.1b0"),
        model=None,
        level=Level.UNKNOWN,
        text="such files load on runtime 1.3.0, but whether answers stop was not reported "
        "(toolkits up to 1.2.3 store the end-of-sequence token in a form that 1.3.0 ignores)",
        source="https://github.com/noc7c9/rkllm-eos-repro",
    ),
    PairRule(
        rule="eos-unreported",
        toolkit=("1.1.0b0", "1.3.0b0"),
        runtime=("1.3.1b0", "1.4.0b0"),
        model=None,
        level=Level.UNKNOWN,
        text="on runtime 1.3.0 files of toolkits before 1.3.0 may never stop; whether runtime "
        "1.3.1 mends it is not known",
        source=f"{_ISSUES}534",
    ),
    PairRule(
        rule="deepseek-r1-on-1.2.3",
        toolkit=("1.1.0b0", "99"),
        runtime=("1.2.3b0", "1.2.4b0"),
        model=r"DeepSeek-R1-Distill-Qwen",
        level=Level.RISKY,
        text="DeepSeek-R1-Distill-Qwen answers garbage on runtime 1.2.3; the maintainer advises "
        "runtime 1.2.2 for it",
        source=f"{_ISSUES}424",
    ),
    PairRule(
        rule="regression-1.2.0-on-1.2.3",
        toolkit=("1.2.0b0", "1.2.1b0"),
        runtime=("1.2.3b0", "1.2.4b0"),
        model=None,
        level=Level.RISKY,
        text="files of toolkit 1.2.0 were seen to answer garbage on runtime 1.2.3 and to be fine "
        "on 1.2.1",
        source="https://github.com/NotPunchnox/rkllama/issues/102",
    ),
    PairRule(
        rule="lineage-end",
        toolkit=("1.4.0b0", "99"),
        runtime=("1.0.0", "99"),
        model=None,
        level=Level.UNKNOWN,
        text="nothing is known yet about toolkits from 1.4 on",
        source=f"{_SDK}/blob/main/CHANGELOG.md",
    ),
    PairRule(
        rule="lineage-end",
        toolkit=("1.1.0b0", "1.4.0b0"),
        runtime=("1.4.0b0", "99"),
        model=None,
        level=Level.UNKNOWN,
        text="nothing is known yet about runtimes from 1.4 on",
        source=f"{_SDK}/blob/main/CHANGELOG.md",
    ),
)
"""Pairs that do not simply follow "toolkit not newer than runtime"."""


def _within(version: Version, bounds: tuple[str, str]) -> bool:
    return _bound(bounds[0]) <= version < _bound(bounds[1])


@cache
def _bound(text: str) -> Version:
    return Version(text)


def _by_order(toolkit: Version, runtime: Version) -> Reason:
    """Apply the rule that the library itself holds: toolkit <= runtime."""
    if toolkit == runtime:
        return Reason(
            rule="same-version",
            text=f"made by toolkit {toolkit}, the runtime's own version",
            # Rockchip's own samples ask for toolkit and runtime of one version.
            source=f"{_SDK}/tree/release-v1.2.0/examples",
            level=Level.EXACT,
        )
    if toolkit < runtime:
        return Reason(
            rule="older-than-runtime",
            text=f"made by toolkit {toolkit}; from 1.1.0 on, runtimes load older files",
            source=f"{_ISSUES}337",
            level=Level.COMPATIBLE,
        )
    if release_line(toolkit) == release_line(runtime) == (1, 1):
        return Reason(
            rule="newer-within-1.1",
            text=f"made by toolkit {toolkit}, newer than runtime {runtime}; within 1.1.x that was "
            "said to work",
            source="https://github.com/c0zaut/ez-er-rkllm-toolkit/issues/3",
            level=Level.UNKNOWN,
        )
    return Reason(
        rule="newer-than-runtime",
        text=f"made by toolkit {toolkit}, newer than runtime {runtime}: the runtime refuses it",
        source=f"{_ISSUES}389",
        level=Level.INCOMPATIBLE,
    )


def judge_pair(toolkit: Version, runtime: Version, model: str | None = None) -> Verdict:
    """Judge a file of ``toolkit`` on ``runtime``; ``model`` matters for rules about one family."""
    by_order = _by_order(toolkit, runtime)
    special = [
        Reason(rule=r.rule, text=r.text, source=r.source, level=r.level)
        for r in PAIR_RULES
        if r.covers(toolkit, runtime, model)
    ]
    if any(s.level is Level.INCOMPATIBLE for s in special):
        # The format changed in between: that older files load elsewhere is beside the point.
        return combine(special)
    if by_order.level is Level.INCOMPATIBLE:
        # Known trouble does not soften a refusal; it is still worth knowing.
        special = [s for s in special if s.level is not Level.UNKNOWN]
    return combine([by_order, *special])


def rules_about(model: str | None) -> tuple[str, ...]:
    """Return the rules about one family that speak of a model: with the same, judged alike."""
    return tuple(
        r.rule
        for r in PAIR_RULES
        if r.model is not None and re.search(r.model, model or "", re.IGNORECASE)
    )


def runtime_risks(runtime: Version, model: str | None) -> tuple[Reason, ...]:
    """Known trouble of a model family on a runtime, whichever toolkit made the file."""
    return tuple(
        Reason(rule=r.rule, text=r.text, source=r.source, level=r.level)
        for r in PAIR_RULES
        if r.model is not None
        and re.search(r.model, model or "", re.IGNORECASE)
        and _within(runtime, r.runtime)
    )


def combine(reasons: Iterable[Reason]) -> Verdict:
    """Let the worst level decide; reasons that decided come first, remarks last."""
    items = list(reasons)
    worst = max((r.level for r in items if r.level), key=lambda lv: lv.rank, default=Level.UNKNOWN)

    def order(reason: Reason) -> tuple[bool, int]:
        return reason.level is None, -(reason.level.rank if reason.level else 0)

    kept = [r for r in items if r.level is not Level.EXACT or worst is Level.EXACT]
    return Verdict(level=worst, reasons=tuple(sorted(kept, key=order)))


# --- driver ------------------------------------------------------------------------------------

DRIVER_CLEAN = Version("0.9.7")
"""The library warns below it: ``Your rknpu driver version is too low, please upgrade to 0.9.7``."""
DRIVER_ADVISED = Version("0.9.8")
"""Required by the SDK guides 1.1.0 to 1.3.0, section 2.4."""
DRIVER_W8A8 = Version("0.9.0")
"""Below it (seen on 0.8.2) every w8a8 matrix multiplication fails."""
LARGE_ALLOCATION_BYTES = 3_600_000_000
"""Drivers before 0.9.7 fail to allocate about 4 GB at once, whatever memory is free."""


def driver_reasons(
    driver: Version | None, quant: Quant | None, size_bytes: int | None
) -> list[Reason]:
    """Say what an old NPU driver does to a build; an unknown driver says nothing."""
    if driver is None or driver >= DRIVER_CLEAN:
        return []
    if driver < DRIVER_W8A8 and quant is not None and quant.family == "w8a8":
        return [
            Reason(
                rule="driver",
                text=f"NPU driver {driver} fails every w8a8 matrix multiplication; update it to "
                f"{DRIVER_ADVISED}",
                source=f"{_ISSUES}187",
                level=Level.INCOMPATIBLE,
            )
        ]
    if size_bytes is not None and size_bytes >= LARGE_ALLOCATION_BYTES:
        return [
            Reason(
                rule="driver",
                text=f"NPU driver {driver} cannot allocate about 4 GB at once, which a file of "
                f"this size needs; update it to {DRIVER_ADVISED}",
                source=f"{_ISSUES}97",
                level=Level.RISKY,
            )
        ]
    return [
        Reason(
            rule="driver",
            text=f"NPU driver {driver} is older than {DRIVER_CLEAN}: the runtime warns; update it "
            f"to {DRIVER_ADVISED}",
            source=f"{_ISSUES}390",
        )
    ]


# --- platform, quantisation, context -----------------------------------------------------------

_GROUPED_W4 = {"w4a16", "w4a16_g32", "w4a16_g64", "w4a16_g128", "w8a8", "fp16"}
QUANTS: dict[Platform, frozenset[str]] = {
    Platform.RK3576: frozenset(_GROUPED_W4),
    Platform.RV1126B: frozenset(_GROUPED_W4),
    Platform.RK3588: frozenset({"w8a8", "w8a8_g128", "w8a8_g256", "w8a8_g512", "fp16"}),
    Platform.RK3562: frozenset(
        {"w8a8", "w4a16_g32", "w4a16_g64", "w4a16_g128", "w4a8_g32", "fp16"}
    ),
}
"""What the toolkit builds for each SoC: SDK guides 1.1.0 to 1.3.0, table 3-3."""

DEFAULT_CONTEXT = 4096
"""Limit of files made before toolkit 1.2.0, which has no option for it (rkllama#60)."""


def platform_reason(artifact: Artifact, platform: Platform) -> Reason | None:
    """Refuse a build for another SoC; None where it is the right one."""
    seen = artifact.attribute("platform")
    if seen.value == platform.value:
        return None
    if seen.value is None:
        said = " and ".join(seen.contenders)
        return Reason(
            rule="platform-unknown",
            text=f"sources disagree about its SoC: {said}" if said else "its SoC is not known",
            level=Level.UNKNOWN,
        )
    return Reason(
        rule="platform",
        text=f"built for {seen.value}; a file runs only on the SoC it was built for",
        source=f"{_SDK}/blob/release-v1.2.3/README.md",
        level=Level.INCOMPATIBLE,
    )


def quant_reason(artifact: Artifact, platform: Platform) -> Reason | None:
    """Doubt a label that no toolkit can have produced."""
    quant = artifact.quant
    if quant is None or str(quant) in QUANTS[platform]:
        return None
    return Reason(
        rule="quant-impossible",
        text=f"labelled {quant}, which no toolkit release builds for {platform.value}",
        source=f"{_ISSUES}535",
        level=Level.UNKNOWN,
    )


def context_reason(artifact: Artifact, wanted: int | None) -> Reason | None:
    """Refuse a build whose context limit is below what was asked."""
    if wanted is None:
        return None
    limit = artifact.context
    if limit is None and artifact.toolkits and max(artifact.toolkits) < Version("1.2.0b0"):
        limit = DEFAULT_CONTEXT
    if limit is None:
        return Reason(
            rule="context-unknown",
            text=f"its context limit is not known; {wanted} was asked",
            level=Level.UNKNOWN,
        )
    if limit >= wanted:
        return None
    return Reason(
        rule="context",
        text=f"its context limit is {limit}, below the {wanted} that was asked; the limit is fixed "
        "when a file is built",
        source="https://github.com/NotPunchnox/rkllama/issues/60",
        level=Level.INCOMPATIBLE,
    )
