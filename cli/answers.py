"""How an answer is written: the JSON object of one question, and the words for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rkfetch.registry.compat import Level
from rkfetch.registry.memory import Fit
from rkfetch.registry.model import Availability

from .output import human_bytes, paint, safe, wrapped
from .pairs import companion_lines, companions_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rkfetch.catalog.answer import Answer
    from rkfetch.registry.compat import Reason
    from rkfetch.registry.model import Artifact, Target
    from rkfetch.registry.resolve import Candidate

SHOWN_ATTRIBUTES = ("toolkit", "platform", "quant", "context", "npu_cores", "architecture")


# --- JSON ---------------------------------------------------------------------------------------


def question_json(reference: str | None, target: Target | None = None) -> dict[str, Any]:
    """Return the keys that are always present, before anything is known."""
    return {
        "status": "ok",
        "reference": reference,
        "model": None,
        "target": target_json(target) if target else None,
        "action": "none",
        "path": None,
        "artifact": None,
        "companions": [],
        "attributes": {},
        "verdict": None,
        "rejected": [],
        "error": None,
    }


def answer_json(answer: Answer, *, action: str, candidate: Candidate | None) -> dict[str, Any]:
    """Return the answer to `resolve` and `fetch`; ``path`` is filled in by the caller."""
    value = question_json(answer.reference.text, answer.target)
    value["model"] = answer.model
    value["action"] = action
    value["rejected"] = [_rejected_json(c) for c in answer.resolution.refused]
    value["left_out"] = answer.left_out
    value["notes"] = [reason_json(n) for n in answer.resolution.notes]
    if candidate is not None:
        value["artifact"] = artifact_json(candidate.artifact)
        value["attributes"] = attributes_json(candidate.artifact)
        value["verdict"] = {
            "level": candidate.verdict.level.value,
            "reasons": [reason_json(r) for r in candidate.verdict.reasons],
        }
        value["memory"] = memory_json(candidate)
        if candidate is answer.choice:
            value["companions"] = companions_json(answer)
            value["alone"] = answer.alone
        value["alternatives"] = [
            {
                **artifact_json(c.artifact),
                "verdict": c.verdict.level.value,
            }
            for c in answer.resolution.ranked
            if c is not candidate
        ]
    return value


def target_json(target: Target) -> dict[str, Any]:
    """Return what was resolved for."""
    return {
        "platform": target.platform.value,
        "runtime": str(target.runtime) if target.runtime else None,
        "driver": str(target.driver) if target.driver else None,
        "memory_bytes": target.memory_bytes,
        "context": target.context,
        "quant": str(target.quant) if target.quant else None,
    }


def artifact_json(artifact: Artifact) -> dict[str, Any]:
    """Return where a file is, and which content it has."""
    return {
        "source": artifact.source,
        "repo": artifact.repo,
        "path": artifact.path,
        "revision": artifact.revision,
        "bytes": artifact.size_bytes,
        "sha256": artifact.sha256,
        "also": [
            {
                "source": place.source,
                "repo": place.repo,
                "path": place.path,
                "revision": place.revision,
                "availability": place.availability.value,
            }
            for place in artifact.also
        ],
    }


def also_lines(artifact: Artifact, *, lead: str) -> Iterator[str]:
    """Say where else the same content can be had, one place a line."""
    there = [p for p in artifact.also if p.availability is Availability.LISTED]
    for place in there[:_MOST_PLACES]:
        yield f"{lead}also in {source_prefix(place.source)}{safe(place.name)}"
    if len(there) > _MOST_PLACES:
        yield f"{lead}and in {len(there) - _MOST_PLACES} more places"


_MOST_PLACES = 3


def attributes_json(artifact: Artifact) -> dict[str, Any]:
    """Return each attribute with where it comes from and how sure that is."""
    value: dict[str, Any] = {}
    for name in SHOWN_ATTRIBUTES:
        attribute = artifact.attribute(name)
        origin, sure = attribute.origin, attribute.confidence
        value[name] = {
            "value": _typed(name, attribute.value),
            "origin": origin.value if origin else None,
            "confidence": sure.value if sure else None,
        }
        if attribute.disputed:
            value[name]["disputed"] = list(attribute.contenders)
    return value


def _typed(name: str, value: str | None) -> str | int | None:
    return int(value) if value is not None and name in {"context", "npu_cores"} else value


def reason_json(reason: Reason) -> dict[str, Any]:
    """Return a reason with its source."""
    return {"rule": reason.rule, "text": reason.text, "source": reason.source}


def _rejected_json(candidate: Candidate) -> dict[str, Any]:
    refusal = candidate.refusal
    assert refusal is not None  # only refused candidates come here
    return {
        "source": candidate.artifact.source,
        "repo": candidate.artifact.repo,
        "path": candidate.artifact.path or None,
        "reason": refusal.rule,
        "text": refusal.text,
        "page": refusal.source,
    }


def memory_json(candidate: Candidate) -> dict[str, Any] | None:
    """Return what memory a build takes, and whether that was measured."""
    need = candidate.need
    if need is None:
        return None
    return {
        "bytes": need.size_bytes,
        "measured": need.measured,
        "source": need.source,
        "fit": candidate.fit.value,
        "tokens_per_s": need.tokens_per_s,
    }


# --- words --------------------------------------------------------------------------------------


def target_words(target: Target) -> str:
    """Say what was resolved for: ``rk3576, runtime 1.2.3, 8.1 GB of memory``."""
    parts = [target.platform.value]
    parts.append(f"runtime {target.runtime}" if target.runtime else "runtime not known")
    if target.driver:
        parts.append(f"driver {target.driver}")
    if target.memory_bytes:
        parts.append(f"{human_bytes(target.memory_bytes)} of memory")
    if target.context:
        parts.append(f"a context of {target.context}")
    if target.quant:
        parts.append(str(target.quant))
    return ", ".join(parts)


def build_words(candidate: Candidate) -> str:
    """Say what a build is: quantisation, toolkit, context, size, memory, speed."""
    artifact = candidate.artifact
    facts = []
    if artifact.quant:
        facts.append(str(artifact.quant))
    facts.append(toolkit_words(artifact))
    if artifact.context:
        facts.append(f"context {artifact.context}")
    if artifact.size_bytes:
        facts.append(human_bytes(artifact.size_bytes))
    facts += memory_words(candidate)
    return ", ".join(facts)


def toolkit_words(artifact: Artifact) -> str:
    """Say the toolkit version and where it comes from."""
    attribute = artifact.attribute("toolkit")
    if attribute.disputed:
        return f"toolkit {' or '.join(attribute.contenders)} (sources disagree)"
    if attribute.value is None:
        return "toolkit unknown"
    return f"toolkit {attribute.value} ({attribute.origin.value})" if attribute.origin else ""


def memory_words(candidate: Candidate) -> list[str]:
    """Say what memory it takes and how fast it was measured to be."""
    need = candidate.need
    if need is None:
        return []
    about = "" if need.measured else "about "
    words = [f"{about}{need.size_bytes / 1e9:.1f} GB of memory"]
    if need.tokens_per_s:
        words.append(f"{need.tokens_per_s:.1f} tokens/s")
    return words


_TIGHT = "it fits only just: close other programs, and expect little room for anything else"


def choice_lines(candidate: Candidate) -> Iterator[str]:
    """Say what was chosen and why, for people."""
    artifact = candidate.artifact
    yield f"  {safe(artifact.name)}"
    yield from also_lines(artifact, lead="    ")
    yield from wrapped(build_words(candidate), lead="    ")
    for reason in candidate.verdict.reasons:
        yield from reason_lines(reason, lead=f"    {_word(reason)}: ")
    for warning in _warnings(candidate):
        yield from wrapped(warning, lead="    warning: ")


def _warnings(candidate: Candidate) -> Iterator[str]:
    """Say what speaks against a build that is taken all the same."""
    if candidate.fit is Fit.TIGHT:
        yield _TIGHT
    if candidate.fit is Fit.TOO_LARGE and candidate.refusal is None:
        yield "it is too large for this board's memory (taken because of --force)"
    for name in ("toolkit", "platform", "quant"):
        for weaker in candidate.artifact.attribute(name).overruled:
            yield (
                f"{weaker.origin.words} says {name} {weaker.value}, which stronger evidence "
                "contradicts"
            )


def _word(reason: Reason) -> str:
    """Return the word that a reason stands behind."""
    if reason.rule == "memory":
        return "memory"
    return reason.level.value if reason.level is not None else "note"


def reason_lines(reason: Reason, *, lead: str) -> Iterator[str]:
    """Write a reason, wrapped, its source on a line of its own."""
    yield from wrapped(reason.text, lead=lead)
    # That the runtime's own version suits it needs no proof on the screen; JSON has it.
    if reason.source and reason.level is not Level.EXACT:
        yield f"{' ' * len(lead)}{reason.source}"


def explain_lines(answer: Answer) -> Iterator[str]:
    """Write the whole table: every build with its verdict and reasons, best first."""
    resolution = answer.resolution
    yield f"{safe(answer.reference.text)} is {paint(safe(answer.model or 'one file'), 'bold')}"
    yield f"for {target_words(answer.target)}"
    for note in resolution.notes:
        yield ""
        yield from reason_lines(note, lead="note: ")
    if resolution.ranked:
        yield ""
        yield "May be used, best first:"
        for number, candidate in enumerate(resolution.ranked):
            yield from _candidate_lines(candidate, mark=">" if number == 0 else " ")
            if candidate is answer.choice:
                yield from half_lines(answer)
    if resolution.refused:
        yield ""
        yield "Not used, nearest first:" if resolution.ranked else "None may be used:"
        yield from _refused_lines(resolution.refused)
    if answer.left_out:
        yield ""
        yield from wrapped(
            f"{answer.left_out} more builds fit no better, and were not judged: `rkfetch search` "
            "finds them",
            lead="note: ",
        )
    if answer.unread:
        yield ""
        yield from wrapped(answer.unread, lead="note: ")


_PAINT = {
    Level.EXACT: "green",
    Level.COMPATIBLE: "green",
    Level.RISKY: "yellow",
    Level.UNKNOWN: "yellow",
    Level.INCOMPATIBLE: "red",
}


def half_lines(answer: Answer, *, lead: str = "    ") -> Iterator[str]:
    """Say what comes with the choice, or what it lacks."""
    yield from companion_lines(answer, lead=lead)
    if answer.alone:
        yield from wrapped(answer.alone, lead=f"{lead}warning: ")


def _candidate_lines(candidate: Candidate, *, mark: str) -> Iterator[str]:
    yield ""
    artifact = candidate.artifact
    yield f"{mark} {paint(safe(source_prefix(artifact.source) + artifact.repo), 'bold')}"
    yield f"    {safe(artifact.path)}"
    yield from also_lines(artifact, lead="    ")
    yield from wrapped(build_words(candidate), lead="    ")
    for reason in candidate.reasons:
        refused = reason is candidate.refusal and reason.level is None
        word = "not used" if refused else _word(reason)
        lines = list(reason_lines(reason, lead=f"    {word}: "))
        colour = _PAINT[reason.level] if reason.level is not None else "dim"
        yield lines[0].replace(word, paint(word, colour), 1)
        yield from lines[1:]
    for warning in _warnings(candidate):
        yield from wrapped(warning, lead="    warning: ")


def source_prefix(source: str) -> str:
    """Return what stands before a repository that is not on Hugging Face."""
    return "" if source == "huggingface" else f"{source}: "


_BRIEF = {"platform", "gone", "role", "unnamed"}
"""Refusals that need no line of reasons for each build."""


def _refused_lines(refused: tuple[Candidate, ...]) -> Iterator[str]:
    brief: dict[str, list[Candidate]] = {}
    for candidate in refused:
        if candidate.refusal is not None and candidate.refusal.rule in _BRIEF:
            brief.setdefault(_brief_title(candidate), []).append(candidate)
        else:
            yield from _candidate_lines(candidate, mark="-")
    for title, candidates in brief.items():
        yield ""
        count = f"{len(candidates)} build" + ("" if len(candidates) == 1 else "s")
        yield from wrapped(f"{count} {title}:", lead="- ")
        for candidate in candidates:
            artifact = candidate.artifact
            yield f"    {source_prefix(artifact.source)}{safe(artifact.name)}"


def _brief_title(candidate: Candidate) -> str:
    """Return what builds have in common that are only named; they are grouped by it."""
    refusal, artifact = candidate.refusal, candidate.artifact
    assert refusal is not None  # only refused candidates come here
    if refusal.rule == "platform":
        return f"for another SoC ({artifact.platform.value if artifact.platform else 'unknown'})"
    if refusal.rule == "unnamed":
        return "in repositories whose files `rkfetch catalog update` would list"
    return refusal.text
