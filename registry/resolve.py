"""Choose the build of a model for a target, and keep the reason for every other one.

A pure function of (artifacts, target, policy): the same catalog always gives the same answer.
First filters, then ranking; a filter never drops a candidate without a `Reason`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from .compat import Level, Reason, runtime_risks
from .judge import judge
from .memory import Fit, estimate, fit, for_context
from .model import CONVERTED, LOCAL, Availability, Confidence, Origin, Platform
from .sightings import Outcome, decisive

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .compat import Verdict
    from .memory import MemoryNeed
    from .model import Artifact, Attribute, Quant, Target


class Measured(Protocol):
    """Looks up a measured memory figure for a model's build; None where nobody measured."""

    def __call__(self, model: str, platform: Platform, quant: Quant) -> MemoryNeed | None:
        """Return the figure for exactly this model, platform and quantisation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the user allows beyond the safe default."""

    allow_risky: bool = False
    """Take a pair that was seen to misbehave."""
    allow_unverified: bool = False
    """Take a build of which not enough is known."""
    force: bool = False
    """Take a build that does not fit in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One build, judged."""

    artifact: Artifact
    verdict: Verdict
    need: MemoryNeed | None
    fit: Fit
    refusal: Reason | None = None
    """Why it is not used; None for a candidate that may be."""

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Everything that was said about it, the refusal first."""
        rest = tuple(r for r in self.verdict.reasons if r is not self.refusal)
        return (self.refusal, *rest) if self.refusal else rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """Every candidate, judged: those that may be used, best first, and those that may not."""

    target: Target
    ranked: tuple[Candidate, ...]
    refused: tuple[Candidate, ...]
    """Nearest miss first."""
    notes: tuple[Reason, ...] = ()
    """What is known about this model on this runtime, whatever was chosen."""

    @property
    def choice(self) -> Candidate | None:
        """The best candidate."""
        return self.ranked[0] if self.ranked else None

    @property
    def refusal_counts(self) -> dict[str, int]:
        """How many candidates each rule refused, in the order of nearness."""
        return dict(Counter(c.refusal.rule for c in self.refused if c.refusal))


# Refusals in the order in which they are checked; later ones came nearer to being used.
NEARNESS = (
    "rejected",
    "gone",
    "role",
    "platform",
    "platform-unknown",
    "quant-wanted",
    "manual",
    "unnamed",
    "context",
    "incompatible",
    "driver",
    "unknown",
    "risky",
    "memory",
)


def resolve(
    artifacts: Iterable[Artifact],
    target: Target,
    *,
    policy: Policy | None = None,
    measured: Measured | None = None,
) -> Resolution:
    """Judge, filter and rank all builds of one model for ``target``."""
    rules = policy or Policy()
    candidates = [_judge(a, target, rules, measured) for a in artifacts]
    usable = [c for c in candidates if c.refusal is None]
    refused = [c for c in candidates if c.refusal is not None]
    notes: list[Reason] = []
    if target.runtime is not None:
        for model in sorted({c.artifact.model or "" for c in candidates}):
            notes += [n for n in runtime_risks(target.runtime, model) if n not in notes]
    return Resolution(
        target=target,
        ranked=tuple(sorted(usable, key=lambda c: _rank(c, target))),
        refused=tuple(sorted(refused, key=lambda c: (-_nearness(c), *_rank(c, target)))),
        notes=tuple(notes),
    )


def _judge(
    artifact: Artifact, target: Target, policy: Policy, measured: Measured | None
) -> Candidate:
    verdict = judge(artifact, target)
    need = memory_need(artifact, target, measured)
    how = fit(need, target.memory_bytes)
    candidate = Candidate(artifact=artifact, verdict=verdict, need=need, fit=how)
    return replace(candidate, refusal=_refusal(candidate, target, policy))


def memory_need(artifact: Artifact, target: Target, measured: Measured | None) -> MemoryNeed | None:
    """Return the measured need where the very build was measured, else the estimate."""
    quant, model = artifact.quant, artifact.model
    if measured is not None and quant is not None and model is not None:
        figure = measured(model, artifact.platform or target.platform, quant)
        if figure is not None:
            return for_context(figure, artifact.context)
    return estimate(artifact)


_UNAVAILABLE = {
    Availability.REJECTED: "its content was found not to be what it claims",
    Availability.GONE: "it was renamed or removed upstream",
    Availability.MANUAL: "rkfetch cannot download it; a person can",
    Availability.UNNAMED: "the repository's files are not listed yet; "
    "`rkfetch catalog update` lists them",
}


def _unavailable(artifact: Artifact) -> Reason | None:
    text = _UNAVAILABLE.get(artifact.availability)
    if text is None:
        return None
    return Reason(rule=artifact.availability.value, text=artifact.note or text)


NO_MODELS = {
    "lora": "it is a LoRA adapter, not a model",
    "vision": "it is the vision encoder of a model, not the model",
}


def _refusal(candidate: Candidate, target: Target, policy: Policy) -> Reason | None:
    """Return the first reason against using a candidate; None if it may be used."""
    artifact, verdict = candidate.artifact, candidate.verdict
    unavailable = _unavailable(artifact)
    if artifact.availability in {Availability.REJECTED, Availability.GONE}:
        return unavailable
    if artifact.role in NO_MODELS:
        return Reason(rule="role", text=NO_MODELS[artifact.role])
    platform = next((r for r in verdict.reasons if r.rule == "platform"), None)
    if platform is not None:
        return platform
    if target.quant is not None and artifact.quant != target.quant:
        return Reason(
            rule="quant-wanted",
            text=f"its quantisation is {artifact.quant or 'not known'}; {target.quant} was asked",
        )
    if unavailable is not None:
        return unavailable
    return _refused_by_verdict(verdict, policy) or _too_large(candidate, target, policy)


def _refused_by_verdict(verdict: Verdict, policy: Policy) -> Reason | None:
    deciding = next((r for r in verdict.reasons if r.level is verdict.level), None)
    if deciding is None:
        return None
    if verdict.level is Level.INCOMPATIBLE:
        return deciding
    if verdict.level is Level.UNKNOWN and not policy.allow_unverified:
        return deciding
    risk = next((r for r in verdict.reasons if r.level is Level.RISKY), None)
    if risk is not None and not policy.allow_risky:
        return risk
    return None


def _too_large(candidate: Candidate, target: Target, policy: Policy) -> Reason | None:
    need = candidate.need
    if candidate.fit is not Fit.TOO_LARGE or need is None or policy.force:
        return None
    how = "measured" if need.measured else "estimated"
    has = (target.memory_bytes or 0) / 1e9
    return Reason(
        rule="memory",
        text=f"it needs {need.size_bytes / 1e9:.1f} GB of memory ({how}), besides the system's "
        f"own; the board has {has:.1f} GB",
        source=need.source,
        level=Level.INCOMPATIBLE,
    )


def _nearness(candidate: Candidate) -> int:
    """Higher for candidates that came nearer to being used."""
    refusal = candidate.refusal
    if refusal is None:
        return len(NEARNESS)
    if refusal.rule in NEARNESS:
        return NEARNESS.index(refusal.rule)
    return NEARNESS.index(refusal.level.value if refusal.level else "incompatible")


# --- ranking -----------------------------------------------------------------------------------

QUANT_ORDER = {
    # On two cores of RK3576 w4a16 is faster and smaller: Qwen3-0.6B 24.85 against 17.17 tok/s,
    # 513 against 796 MB (airockchip/rknn-llm benchmark.md 1.3.0).
    Platform.RK3576: ("w4a16", "w8a8", "w4a8", "fp16"),
    Platform.RV1126B: ("w4a16", "w8a8", "w4a8", "fp16"),
    Platform.RK3588: ("w8a8", "w4a16", "w4a8", "fp16"),
    Platform.RK3562: ("w8a8", "w4a16", "w4a8", "fp16"),
}


STRENGTHS = range(4)
"""What `strength` may be."""
_STRENGTH = {Confidence.HIGH: 0, Confidence.MEDIUM: 1, Confidence.LOW: 2, None: 3}


def strength(artifact: Artifact) -> int:
    """How well toolkit and platform are known, as well as the worse of them; 0 is best.

    A maintained list that gives a hash, and that nothing contradicts, counts as the file's word.
    """
    return max(_strength_of(artifact.attribute(name)) for name in ("toolkit", "platform"))


def _strength_of(attribute: Attribute) -> int:
    sure = attribute.confidence
    listed = attribute.origin is Origin.CURATED and sure is Confidence.MEDIUM
    return 0 if listed else _STRENGTH[sure]


def _seen_to_work(artifact: Artifact, target: Target, *, here: bool) -> bool:
    """Tell whether somebody saw a build work on the target: on this machine, or anywhere."""
    told = decisive(artifact.sightings, target)
    return told is not None and told.outcome is Outcome.WORKS and (told.own or not here)


def _rank(candidate: Candidate, target: Target) -> tuple[object, ...]:
    """Sort key, best first; the last parts make it total."""
    artifact = candidate.artifact
    return (*preference(artifact, candidate.verdict, target), *standing(artifact, target.platform))


def preference(artifact: Artifact, verdict: Verdict, target: Target) -> tuple[int, int, int]:
    """Return what is better of two builds by their verdicts on a target; less is better."""
    return (
        int(not _seen_to_work(artifact, target, here=True)),
        verdict.level.rank,
        int(not _seen_to_work(artifact, target, here=False)),
    )


def standing(artifact: Artifact, platform: Platform) -> tuple[object, ...]:
    """Return what is better of two builds whose verdicts are equally good; it is total."""
    order: Sequence[str] = QUANT_ORDER[platform]
    quant = artifact.quant
    family = order.index(quant.family) if quant and quant.family in order else len(order)
    updated = artifact.updated or ""
    return (
        strength(artifact),
        family,
        -(artifact.context or 0),
        # As good, and nothing has to be downloaded.
        artifact.source not in {LOCAL, CONVERTED},
        not artifact.curated,
        quant.group if quant else 0,
        tuple(-ord(c) for c in updated) or (0,),
        artifact.size_bytes or 1 << 62,
        artifact.source,
        artifact.repo.lower(),
        artifact.repo,
        artifact.path,
        artifact.sha256 or "",
        artifact.revision or "",
    )
