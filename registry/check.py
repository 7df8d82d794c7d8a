"""Does a file's own header agree with the plan that chose it?

Asked twice with the same function: of the remote header before a byte of weights is
requested, and of the finished file before it gets its final name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .compat import Level
from .judge import judge
from .model import with_evidence
from .rkllm import facts_evidence

if TYPE_CHECKING:
    from .model import Artifact, Target
    from .resolve import Policy
    from .rkllm import RkllmFacts


FORMATS = {".rkllm": "rkllm", ".rknn": "rknn"}
"""What a file must be inside, by how its name ends; other names promise nothing."""


def contradiction(
    facts: RkllmFacts, artifact: Artifact, target: Target, policy: Policy
) -> str | None:
    """Return one sentence that says how the content contradicts the plan; None if it agrees."""
    return (
        no_model(facts)
        or _label_is_wrong(facts, artifact)
        or _is_silent(facts, policy)
        or _does_not_fit(facts, artifact, target, policy)
    )


def another_format(facts: RkllmFacts, wanted: str) -> str | None:
    """Return one sentence that says what a file is instead of what its name promises."""
    if facts.format == wanted:
        return None
    return f"it is no .{wanted} file but {facts.explanation or facts.format}"


def no_model(facts: RkllmFacts) -> str | None:
    """Return one sentence that says why a content is no usable model; None if it may be one."""
    if facts.format != "rkllm":
        return f"it is no .rkllm model but {facts.explanation or facts.format}"
    if facts.refused is not None:
        return f"its header is broken: {facts.refused}"
    if facts.complete is False:
        return "it is cut off: " + ("; ".join(facts.problems) or "its end is missing")
    return None


def _label_is_wrong(facts: RkllmFacts, artifact: Artifact) -> str | None:
    """Compare what the header says with what the catalog promised."""
    pairs = (
        ("platform", facts.platform and facts.platform.value),
        ("toolkit", facts.toolkit and str(facts.toolkit)),
        ("quant", facts.quant and str(facts.quant)),
    )
    for name, actual in pairs:
        promised = artifact.value(name)
        if actual and promised and actual != promised:
            origin = artifact.attribute(name).origin
            said_by = f" (from: {origin.value})" if origin else ""
            return f"its label says {name} {promised}{said_by}, its header says {actual}"
    return None


def _is_silent(facts: RkllmFacts, policy: Policy) -> str | None:
    """A label alone is not enough once the file itself was asked and told nothing."""
    if policy.allow_unverified or facts.toolkit is not None or facts.platform_code is not None:
        return None
    return (
        "neither SoC nor toolkit is recorded in it, so nothing but its label promises that it "
        "loads (--allow-unverified takes it all the same)"
    )


def _does_not_fit(
    facts: RkllmFacts, artifact: Artifact, target: Target, policy: Policy
) -> str | None:
    """Judge the build again with what its header says (the label may have been silent)."""
    known = with_evidence(artifact, facts_evidence(facts, place="header", seen=None))
    verdict = judge(known, target)
    accepted = {Level.EXACT, Level.COMPATIBLE}
    if policy.allow_risky:
        accepted.add(Level.RISKY)
    if policy.allow_unverified or target.runtime is None:
        accepted |= {Level.UNKNOWN, Level.RISKY} if policy.allow_risky else {Level.UNKNOWN}
    if verdict.level in accepted:
        return None
    return f"its header says that it does not fit: {verdict.reasons[0].text}"
