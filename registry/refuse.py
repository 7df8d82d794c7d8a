"""Say why nothing fits: what was asked, why not (counted), what is nearest, what to do next.

No hint is given that was not checked: "update the runtime to X" means that the resolver was
asked again with X and found a build.
"""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .compat import DRIVER_ADVISED, Level, judge_pair
from .errors import IncompatibleError, MemoryFitError, UsageError
from .model import Availability
from .resolve import Policy, resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .errors import RkfetchError
    from .model import Artifact, Quant, Target
    from .resolve import Candidate, Measured, Resolution
    from .versions import Version

_MAX_CAUSES = 6


def refuse(name: str, resolution: Resolution, *, measured: Measured | None = None) -> RkfetchError:
    """Turn a resolution without a choice into the error that explains it.

    Returns:
        `MemoryFitError` where only memory stands in the way, `UsageError` where only the runtime
        version is missing, `IncompatibleError` otherwise.
    """
    refused, target = resolution.refused, resolution.target
    nearest = refused[0].refusal if refused else None
    causes = _causes(refused)
    causes += [
        f"on runtime {target.runtime}: {note.text} ({note.source})"
        for note in resolution.notes
        if not any(note.text in cause for cause in causes)
    ]
    if nearest is not None and nearest.rule == "runtime-unknown":
        return UsageError(
            f"which runtime will load {name}? No librkllmrt was found here, and --runtime was not "
            "given",
            cause=[_what_exists(refused), *causes[1:]],
            hint="say --runtime X.Y.Z (on the board: `rkfetch doctor`, or the first line that the "
            "runtime prints), or take the best guess with --allow-unverified",
        )
    if nearest is not None and nearest.rule == "memory":
        return MemoryFitError(
            f"{name} does not fit in {_memory(target)} of memory", cause=causes, hint=_force_hint()
        )
    return IncompatibleError(
        f"no build of {name} {_asked(target)}", cause=causes, hint=_hint(name, resolution, measured)
    )


def passed_over(resolution: Resolution) -> list[str]:
    """Tell, beside a choice, which builds were avoided because they are known to misbehave."""
    risky = [c for c in resolution.refused if c.refusal and c.refusal.level is Level.RISKY]
    return [line for line in _causes(risky) if not line.startswith("nearest")]


def _asked(target: Target) -> str:
    parts = [f"runs on {target.platform.value}"]
    if target.runtime is not None:
        parts.append(f"with runtime {target.runtime}")
    if target.quant is not None:
        parts.append(f"as {target.quant}")
    if target.context is not None:
        parts.append(f"with a context of {target.context}")
    return " ".join(parts)


def _memory(target: Target) -> str:
    return f"{(target.memory_bytes or 0) / 1e9:.1f} GB"


def _force_hint() -> str:
    return (
        "choose a smaller quantisation or model, or --force to take it anyway; a smaller context "
        "needs a file that was built for it"
    )


def _what_exists(refused: Sequence[Candidate]) -> str:
    toolkits: dict[str, int] = {}
    for candidate in refused:
        if candidate.refusal is not None and candidate.refusal.rule == "runtime-unknown":
            said = "/".join(str(t) for t in candidate.artifact.toolkits) or "unknown"
            toolkits[said] = toolkits.get(said, 0) + 1
    counted = ", ".join(f"{_builds(n)} of toolkit {t}" for t, n in sorted(toolkits.items()))
    return f"known: {counted}; a file needs a runtime that is not older than its toolkit"


# --- why not, counted --------------------------------------------------------------------------

_GROUPS = {
    "platform": "for another SoC",
    "platform-unknown": "for a SoC that is not known",
    "quant-wanted": "of another quantisation",
    "newer-than-runtime": "newer than the runtime accepts",
    "format-1.0": "of toolkit 1.0.x, which runtimes from 1.1.0 on refuse",
    "format-1.0.0": "of toolkit 1.0.0, which later runtimes refuse",
    "toolkit-unknown": "of an unknown toolkit version",
    "toolkit-disputed": "of a disputed toolkit version",
    "toolkit-doubted": "of a doubtful toolkit version",
    "platform-doubted": "for a doubtful SoC",
    "seen-to-fail": "seen to fail",
    "context": "of a smaller context limit",
    "context-unknown": "of an unknown context limit",
    "manual": "known but not downloadable by rkfetch",
    "unnamed": "in repositories whose files are not listed yet",
    "gone": "renamed, replaced or removed upstream",
    "rejected": "rejected: their content is not what they claim",
    "memory": "too large",
    "role": "adapters or parts, not models",
    "eos": "risky",
    "driver": "hindered by the NPU driver",
}
"""What builds that one rule refused are, so that "N builds" can stand before it."""


def _causes(refused: Sequence[Candidate]) -> list[str]:
    """Return one line a rule, nearest miss first, and then the nearest build."""
    grouped: dict[str, list[Candidate]] = {}
    for candidate in refused:
        if candidate.refusal is not None:
            grouped.setdefault(candidate.refusal.rule, []).append(candidate)
    causes = [_cause(rule, items) for rule, items in list(grouped.items())[:_MAX_CAUSES]]
    nearest = next((c for c in refused if c.artifact.availability is Availability.LISTED), None)
    if nearest is not None and nearest.refusal is not None and nearest.refusal.rule != "platform":
        causes.append(f"nearest: {_describe(nearest)}")
    return causes


def _cause(rule: str, items: list[Candidate]) -> str:
    """Count one rule's refusals, with what they have in common."""
    reason = items[0].refusal
    assert reason is not None  # only refused candidates are grouped
    what = _GROUPS.get(rule)
    source = f" ({reason.source})" if reason.source else ""
    if what is None:
        return f"{_builds(len(items))}: {reason.text}{source}"
    line = f"{_builds(len(items))} {what}"
    common = _COMMON.get(rule)
    if common is not None:
        return f"{line}: {', '.join(sorted({common(c.artifact) for c in items}))}"
    if rule in _TELLING:
        line += f": {reason.text}"
    return line + source


_COMMON: dict[str, Callable[[Artifact], str]] = {
    "platform": lambda a: a.platform.value if a.platform else "unknown",
    "quant-wanted": lambda a: str(a.quant or "unknown"),
    "newer-than-runtime": lambda a: "toolkit " + "/".join(map(str, a.toolkits)),
    "context": lambda a: str(a.context or "unknown"),
}
"""What to tell of all builds that one rule refused."""
_TELLING = {
    "toolkit-disputed",
    "toolkit-doubted",
    "platform-doubted",
    "seen-to-fail",
    "memory",
    "eos",
    "driver",
}
"""Rules whose own sentence says more than the group's."""


def _describe(candidate: Candidate) -> str:
    artifact = candidate.artifact
    toolkits = "/".join(str(t) for t in artifact.toolkits)
    facts = [str(artifact.quant) if artifact.quant else None, toolkits and f"toolkit {toolkits}"]
    said = ", ".join(f for f in facts if f)
    return f"{artifact.name} ({said})" if said else artifact.name


def _builds(count: int) -> str:
    return f"{count} build" if count == 1 else f"{count} builds"


# --- what next ---------------------------------------------------------------------------------


def _hint(name: str, resolution: Resolution, measured: Measured | None) -> str | None:
    """Join the ways out, each of which was tried on the resolver first."""
    target = resolution.target
    artifacts = [c.artifact for c in resolution.refused]

    def helps(policy: Policy | None = None, **changes: Any) -> bool:
        again = resolve(artifacts, replace(target, **changes), policy=policy, measured=measured)
        return again.choice is not None

    hints = []
    runtime = _runtime_that_helps(artifacts, target, helps)
    if runtime is not None:
        newer = target.runtime is not None and runtime > target.runtime
        hints.append(
            f"update the board's runtime to {runtime}" if newer else f"use runtime {runtime}"
        )
    if target.driver is not None and helps(driver=None):
        hints.append(f"update the NPU driver to {DRIVER_ADVISED}")
    if target.quant is not None and (other := _quant_that_fits(artifacts, target, measured)):
        hints.append(f"ask for @{other} instead")
    if any(c.refusal and c.refusal.rule == "unnamed" for c in _on_hub(resolution)):
        hints.append("`rkfetch catalog update` lists repositories that were not looked into yet")
    hints += _by_hand(resolution, measured)
    hints += _flags(helps)
    if target.runtime is not None and _conversion_fits(target.runtime, artifacts):
        # A reference may be any text; what is typed is its first word.
        command = f"rkfetch convert {shlex.quote(name.split(' (', 1)[0])}"
        hints.append(
            f"make one on an x86_64 Linux PC: {command} --platform {target.platform.value} "
            f"--runtime {target.runtime}"
        )
    return "; or ".join(hints) if hints else None


def _flags(helps: Callable[..., bool]) -> list[str]:
    """Return the option that would let a build through, if one does."""
    if helps(Policy(allow_risky=True)):
        return ["take a build that is known to misbehave with --allow-risky"]
    if helps(Policy(allow_unverified=True)):
        return ["take a build of which not enough is known with --allow-unverified"]
    if helps(Policy(allow_risky=True, allow_unverified=True)):
        return ["take a build at your own risk with --allow-risky --allow-unverified"]
    return []


def _by_hand(resolution: Resolution, measured: Measured | None) -> list[str]:
    """Return how a person gets the build that would be used if rkfetch could download it."""
    manual = [c.artifact for c in resolution.refused if c.refusal and c.refusal.rule == "manual"]
    had = [replace(artifact, availability=Availability.LISTED) for artifact in manual]
    best = resolve(had, resolution.target, policy=Policy(allow_unverified=True), measured=measured)
    if best.choice is None:
        return []
    note = next(a.note for a in manual if _same_place(a, best.choice.artifact))
    return [note] if note else []


def _same_place(one: Artifact, other: Artifact) -> bool:
    return (one.source, one.repo, one.path) == (other.source, other.repo, other.path)


def _on_hub(resolution: Resolution) -> list[Candidate]:
    """Return what `rkfetch catalog update` looks at."""
    hubs = {"huggingface", "modelscope"}
    return [c for c in resolution.refused if c.artifact.source in hubs]


def _conversion_fits(runtime: Version, artifacts: Sequence[Artifact]) -> bool:
    """Tell whether the runtime's own toolkit would make a file that behaves."""
    models = {a.model for a in artifacts}
    return all(judge_pair(runtime, runtime, model).level is Level.EXACT for model in models)


def _runtime_that_helps(
    artifacts: Sequence[Artifact], target: Target, helps: Callable[..., bool]
) -> Version | None:
    """Return the oldest newer runtime with which a build would be chosen, else an older one."""
    if target.runtime is None:
        return None
    known = sorted({t for a in artifacts for t in a.toolkits})
    newer = [t for t in known if t > target.runtime]
    older = [t for t in reversed(known) if t < target.runtime]
    return next((t for t in [*newer, *older] if helps(runtime=t)), None)


def _quant_that_fits(
    artifacts: Sequence[Artifact], target: Target, measured: Measured | None
) -> Quant | None:
    """Return the quantisation that would be chosen if none was asked for."""
    choice = resolve(artifacts, replace(target, quant=None), measured=measured).choice
    return choice.artifact.quant if choice is not None else None
