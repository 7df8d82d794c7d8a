"""Whether one build suits one target: the rules of `registry.compat`, joined with what is known.

How well a thing is known counts: where the file itself was not heard and what people say about it
contradicts itself, nothing is promised. And what somebody saw of this very file on this very pair
of SoC and runtime says more than any rule about its kind.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from .compat import (
    Level,
    Reason,
    Verdict,
    combine,
    context_reason,
    driver_reasons,
    judge_pair,
    platform_reason,
    quant_reason,
    runtime_risks,
)
from .model import Confidence
from .sightings import Outcome, decisive, on_target
from .versions import as_version

if TYPE_CHECKING:
    from .model import Artifact, Attribute, Evidence, Target
    from .sightings import Sighting
    from .versions import Version


def _toolkit_verdict(artifact: Artifact, runtime: Version) -> Verdict:
    """Judge the toolkit version; a disputed one is judged in every version it may be."""
    attribute = artifact.attribute("toolkit")
    model = artifact.model
    if not artifact.toolkits:
        reason = Reason(
            rule="toolkit-unknown",
            text="the toolkit version that made it is not known; its header would tell",
            level=Level.UNKNOWN,
        )
        return combine([reason, *runtime_risks(runtime, model)])
    verdicts = {t: judge_pair(t, runtime, model) for t in artifact.toolkits}
    if len(verdicts) > 1:
        return combine([_dispute(attribute, verdicts)])
    verdict = next(iter(verdicts.values()))
    doubt = _toolkit_doubt(attribute, verdict.level, runtime, model)
    return verdict if doubt is None else combine([*verdict.reasons, doubt])


def _toolkit_doubt(
    attribute: Attribute, level: Level, runtime: Version, model: str | None
) -> Reason | None:
    """Say what weakens a toolkit version that only people tell; None if nothing does.

    It may contradict itself: where the other version would not do, nothing is promised.
    """
    for other in _contradictions(attribute) if level in _GOOD else ():
        version = as_version(other.value)
        worse = None if version is None else judge_pair(version, runtime, model)
        if worse is not None and worse.level not in _GOOD:
            return Reason(
                rule="toolkit-doubted",
                text=f"{_claims(attribute, other)}, and with that: {worse.reasons[0].text}; its "
                "header would tell",
                source=worse.reasons[0].source,
                level=Level.UNKNOWN,
            )
    return _weak(attribute, "toolkit version")


_GOOD = frozenset({Level.EXACT, Level.COMPATIBLE})


def _contradictions(attribute: Attribute) -> tuple[Evidence, ...]:
    """Return what contradicts a value that the file itself was not heard about."""
    return () if attribute.is_read or attribute.disputed else attribute.overruled


def _claims(attribute: Attribute, other: Evidence) -> str:
    """Say who says what: ``its model card says toolkit 1.2.3, its file name says 1.3.0``."""
    first = attribute.evidence[0]
    name = "SoC" if attribute.name == "platform" else attribute.name
    return (
        f"{first.origin.words} says {name} {first.value}, {other.origin.words} says {other.value}"
    )


def _weak(attribute: Attribute, what: str) -> Reason | None:
    """Remark that only weak evidence tells something; None where it is known better."""
    if attribute.confidence is not Confidence.LOW or attribute.overruled:
        return None
    return Reason(
        rule="weak-evidence",
        text=f"only {attribute.evidence[0].origin.words} tells its {what}, {attribute.value}; "
        "its header would tell for certain",
    )


def _platform_doubt(attribute: Attribute) -> Reason | None:
    """Doubt a SoC that a label tells and another one contradicts; remark if only a weak one does.

    ``attribute`` says the SoC that is wanted.
    """
    for other in _contradictions(attribute):
        return Reason(
            rule="platform-doubted",
            text=f"{_claims(attribute, other)}; its header would tell",
            level=Level.UNKNOWN,
        )
    return _weak(attribute, "SoC")


def _dispute(attribute: Attribute, verdicts: dict[Version, Verdict]) -> Reason:
    """Judge a version that sources disagree about: as good as the worst that it may be.

    Where one reading would be refused and another would work, nothing can be promised.
    """
    said = "; ".join(
        f"{e.value} says {_publisher(e.place)}"
        for e in attribute.evidence
        if e.value in attribute.contenders and e.origin is attribute.origin
    )
    toolkit, worst = max(verdicts.items(), key=lambda item: item[1].level.rank)
    level = worst.level
    if level is not Level.RISKY and len({v.level for v in verdicts.values()}) > 1:
        level = Level.UNKNOWN
    blame = next((r for r in worst.reasons if r.level is worst.level), None)
    consequence = f"; if {toolkit}: {blame.text}" if blame else ""
    return Reason(
        rule="toolkit-disputed",
        text=f"sources disagree about its toolkit version ({said}){consequence}",
        source=blame.source if blame else None,
        level=level,
    )


def _publisher(place: str) -> str:
    """Shorten a page of a repository to the repository; the whole address stays in the evidence."""
    match = re.match(r"https://(?:github\.com|huggingface\.co)/([^/]+/[^/]+)", place)
    return match[1] if match else place


def judge(artifact: Artifact, target: Target) -> Verdict:
    """Judge one build on one target: platform, toolkit, quantisation, context, driver, sightings.

    Memory is not judged here (see `registry.memory`), because it does not depend on versions.
    """
    platform = platform_reason(artifact, target.platform)
    if platform is not None and platform.level is Level.INCOMPATIBLE:
        return Verdict(level=Level.INCOMPATIBLE, reasons=(platform,))
    checks = [
        platform or _platform_doubt(artifact.attribute("platform")),
        quant_reason(artifact, target.platform),
        context_reason(artifact, target.context),
        *driver_reasons(target.driver, artifact.quant, artifact.size_bytes),
    ]
    if target.runtime is None:
        pair: tuple[Reason, ...] = (
            Reason(
                rule="runtime-unknown",
                text="the board's runtime version is not known",
                level=Level.UNKNOWN,
            ),
        )
    else:
        pair = _toolkit_verdict(artifact, target.runtime).reasons
    verdict = combine([*pair, *(c for c in checks if c is not None)])
    return _with_sightings(verdict, artifact, target)


# --- what was seen on boards -------------------------------------------------------------------

_STAYS = {"context-unknown", "driver", "runtime-unknown"}
"""Doubts that one good run with one driver and one context does not settle."""


def _with_sightings(verdict: Verdict, artifact: Artifact, target: Target) -> Verdict:
    """Let what was seen of this file on this pair count.

    A failure makes it risky. A good run settles doubts about versions, and, if it was seen here,
    known trouble of its kind; it never overrules a refusal.
    """
    seen = on_target(artifact.sightings, target)
    if not seen:
        return verdict
    told = decisive(seen, target)
    against = [s for s in seen if told is not None and _contradicts(s, told)]
    remarks = [_reason(s) for s in ([told] if told else seen[:1]) + against[:1]]
    if told is None:
        return combine([*verdict.reasons, *remarks])
    if told.outcome is Outcome.FAILS:
        risk = replace(remarks[0], level=Level.RISKY)
        return combine([*verdict.reasons, risk, *remarks[1:]])
    reasons = [_settled(reason, own=told.own) for reason in verdict.reasons]
    if reasons != list(verdict.reasons):
        remarks[0] = replace(remarks[0], level=Level.COMPATIBLE)
    return combine([*reasons, *remarks])


def _contradicts(sighting: Sighting, told: Sighting) -> bool:
    return {sighting.outcome, told.outcome} == {Outcome.WORKS, Outcome.FAILS}


def _settled(reason: Reason, *, own: bool) -> Reason:
    """Return a doubt as a mere remark, if a good run settles it."""
    settles = {Level.UNKNOWN, Level.RISKY} if own else {Level.UNKNOWN}
    if reason.level not in settles or reason.rule in _STAYS:
        return reason
    return replace(reason, level=None)


_SAW = {
    Outcome.WORKS: ("you saw it work", "it was seen to work", "seen-to-work"),
    Outcome.LOADS: ("you saw it load", "it was seen to load", "seen-to-load"),
    Outcome.FAILS: ("you saw it fail", "it was seen to fail", "seen-to-fail"),
}


def _reason(sighting: Sighting) -> Reason:
    own, others, rule = _SAW[sighting.outcome]
    note = f": {sighting.note}" if sighting.note else ""
    return Reason(
        rule=rule,
        text=f"{own if sighting.own else others} on {sighting.pair} "
        f"({sighting.seen[:10]}, {sighting.place}){note}",
    )
