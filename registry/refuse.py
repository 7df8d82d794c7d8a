"""Say why nothing fits: what was asked, why not (counted), what is nearest, what to do next.

No hint is given that was not checked: "update the runtime to X" means that the resolver was
asked again with X and found a build.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .compat import Level
from .errors import IncompatibleError, MemoryFitError, UsageError
from .resolve import Policy, resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .errors import RkfetchError
    from .model import Artifact, Target
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
            f"which runtime will load {name}? No librkllmrt was found here and --runtime was not "
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
        f"no build of {name} {_asked(target)}", cause=causes, hint=_hint(resolution, measured)
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
    return f"there are {counted}; a file needs a runtime that is not older than its toolkit"


# --- why not, counted --------------------------------------------------------------------------

_GROUPS = {
    "platform": "for another SoC",
    "platform-unknown": "of an unknown SoC",
    "quant-wanted": "of another quantisation",
    "newer-than-runtime": "newer than the runtime, which would refuse them",
    "format-1.0": "of toolkit 1.0.x, which runtimes from 1.1.0 on refuse",
    "format-1.0.0": "of toolkit 1.0.0, which later runtimes refuse",
    "toolkit-unknown": "of an unknown toolkit version",
    "toolkit-disputed": "of a disputed toolkit version",
    "context": "with a smaller context limit",
    "context-unknown": "with an unknown context limit",
    "manual": "known, but can only be fetched by hand",
    "unnamed": "in repositories whose files are not listed yet",
    "gone": "renamed or removed upstream",
    "rejected": "rejected, because their content is not what it claims",
    "memory": "too large",
    "role": "adapters or parts, not models",
    "eos": "risky",
    "driver": "hindered by the NPU driver",
}


def _causes(refused: Sequence[Candidate]) -> list[str]:
    """Return one line a rule, nearest miss first, and then the nearest build."""
    grouped: dict[str, list[Candidate]] = {}
    for candidate in refused:
        if candidate.refusal is not None:
            grouped.setdefault(candidate.refusal.rule, []).append(candidate)
    causes = [_cause(rule, items) for rule, items in list(grouped.items())[:_MAX_CAUSES]]
    if refused and refused[0].refusal is not None and refused[0].refusal.rule != "platform":
        causes.append(f"nearest: {_describe(refused[0])}")
    return causes


def _cause(rule: str, items: list[Candidate]) -> str:
    """Count one rule's refusals, with what they have in common."""
    reason = items[0].refusal
    assert reason is not None  # only refused candidates are grouped
    what = _GROUPS.get(rule)
    source = f" ({reason.source})" if reason.source else ""
    if what is None:
        return f"{_builds(len(items))}: {reason.text}{source}"
    line = f"{_builds(len(items))} {'is' if len(items) == 1 else 'are'} {what}"
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
_TELLING = {"toolkit-disputed", "memory", "eos", "driver", "rejected", "manual"}
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


def _hint(resolution: Resolution, measured: Measured | None) -> str | None:
    refused, target = resolution.refused, resolution.target
    hints = []
    runtime = _runtime_that_helps(resolution, measured)
    if runtime is not None:
        hints.append(f"update the board's runtime to {runtime}")
    if any(c.refusal and c.refusal.level is Level.RISKY for c in refused):
        hints.append("take a risky build knowingly with --allow-risky")
    if _nearness_of(refused, Level.UNKNOWN):
        hints.append(
            "take a build of which not enough is known with --allow-unverified (online, rkfetch "
            "reads such files' headers first)"
        )
    grouped = _grouped_quants(refused, target)
    if grouped:
        hints.append(f"ask for {' or '.join('@' + q for q in grouped)} instead")
    if target.runtime is not None and any(
        c.refusal and c.refusal.rule == "unnamed" for c in refused
    ):
        hints.append("`rkfetch catalog update` lists repositories that were not looked into yet")
    if target.runtime is not None:
        hints.append(
            f"convert the model with rkllm-toolkit {target.runtime} for {target.platform.value} "
            "on an x86_64 Linux PC"
        )
    return "; or ".join(hints) if hints else None


def _runtime_that_helps(resolution: Resolution, measured: Measured | None) -> Version | None:
    """Return the oldest newer runtime with which a build would be chosen, found by asking."""
    target = resolution.target
    if target.runtime is None:
        return None
    artifacts = [c.artifact for c in resolution.refused]
    newer = {t for a in artifacts for t in a.toolkits if t > target.runtime}
    for runtime in sorted(newer):
        again = resolve(
            artifacts, replace(target, runtime=runtime), policy=Policy(), measured=measured
        )
        if again.choice is not None:
            return runtime
    return None


def _nearness_of(refused: Sequence[Candidate], level: Level) -> bool:
    return any(
        c.refusal is not None and c.refusal.level is level and c.refusal.rule != "platform-unknown"
        for c in refused
    )


def _grouped_quants(refused: Sequence[Candidate], target: Target) -> list[str]:
    """Return other quantisations of this SoC that would be chosen if they were asked for."""
    if target.quant is None:
        return []
    free = replace(target, quant=None)
    choice = resolve([c.artifact for c in refused], free).choice
    if choice is None or choice.artifact.quant is None:
        return []
    return [str(choice.artifact.quant)]
