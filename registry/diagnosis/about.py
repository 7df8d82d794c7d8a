"""What the file, the versions and the board tell about a load, whatever its log says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rkfetch.registry.compat import (
    DRIVER_CLEAN,
    DRIVER_W8A8,
    LARGE_ALLOCATION_BYTES,
    Level,
    judge_pair,
)
from rkfetch.registry.finding import Finding, Severity
from rkfetch.registry.remedies import SDK

from .advice import STOP_BY_HAND, driver_update
from .case import Diagnosed
from .symptoms import Cause

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rkfetch.registry.compat import Reason
    from rkfetch.registry.rkllm import RkllmFacts
    from rkfetch.registry.versions import Version

    from .case import Case
    from .log import Hit


def diagnosed(
    case: Case,
    cause: Cause,
    rule: str,
    severity: Severity,
    text: str,
    *,
    why: str | None = None,
    steps: Sequence[str] = (),
    source: str | None = None,
    hit: Hit | None = None,
) -> Diagnosed:
    """Put a finding about a case together."""
    finding = Finding(
        rule=rule, severity=severity, text=text, why=why, todo=tuple(steps), source=source
    )
    return Diagnosed(finding=finding, cause=cause, hit=hit, load=case.index)


# --- the file ----------------------------------------------------------------------------------


def about_file(case: Case) -> Iterator[Diagnosed]:
    """Say what is wrong with the file itself."""
    subject, facts = case.subject, case.subject.facts
    if subject.damaged:
        yield diagnosed(
            case,
            Cause.SEEN,
            "file-damaged",
            Severity.PROBLEM,
            f"{case.name} is damaged: it is not what was installed any more",
            steps=(case.fetch_again(),),
        )
    if facts is not None and facts.format != "rkllm":
        yield diagnosed(
            case,
            Cause.SEEN,
            "file-format",
            Severity.PROBLEM,
            f"{case.name} is {facts.explanation or facts.format}",
            steps=(case.fetch_again(),),
            source=f"{SDK}/issues/15" if facts.format == "git-lfs-pointer" else None,
        )
    elif facts is not None and (facts.complete is False or _has_lost_its_end(facts)):
        is_certain = facts.complete is False
        is_bad = is_certain or case.hit("no-model", "bad-magic", "cut-file", "load-failed", "crash")
        text = "is cut off or broken" if is_certain else "has probably lost its end"
        yield diagnosed(
            case,
            Cause.SEEN,
            "file-cut",
            Severity.PROBLEM if is_bad else Severity.WARNING,
            f"{case.name} {text}: {facts.size_bytes} bytes are there",
            why=facts.refused or "a download or a copy that broke off leaves such a file",
            steps=(case.fetch_again(),),
        )
    if case.made_for is not None and case.platform not in {None, case.made_for}:
        on = case.platform.value if case.platform else ""
        yield diagnosed(
            case,
            Cause.CHIP,
            "platform",
            Severity.PROBLEM,
            f"{case.name} was built for {case.made_for.value}, and this is {on}",
            why="a file runs only on the SoC that it was built for",
            steps=(case.fetch(),),
            source=f"{SDK}/blob/release-v1.2.3/README.md",
        )


def _has_lost_its_end(facts: RkllmFacts) -> bool:
    """Tell whether the toolkit's version is at the beginning, and not at the end as well."""
    return facts.complete is None and bool(facts.toolkit_key) and not facts.toolkit_trailer


# --- versions ----------------------------------------------------------------------------------

_SEVERITY = {
    Level.INCOMPATIBLE: Severity.PROBLEM,
    Level.RISKY: Severity.WARNING,
    Level.UNKNOWN: Severity.NOTE,
}


def about_pair(case: Case) -> Iterator[Diagnosed]:
    """Judge the toolkit that made the file against the runtime that loaded it."""
    toolkit, runtime = case.toolkit, case.runtime
    if toolkit is None or runtime is None:
        return
    verdict = judge_pair(toolkit, runtime, case.subject.model)
    if verdict.level not in _SEVERITY:
        return
    reason = next(r for r in verdict.reasons if r.level is verdict.level)
    hit = case.hit("eos", "garbage", "newer-file")
    severity = _SEVERITY[verdict.level]
    if hit is not None and verdict.level is Level.RISKY:
        severity = Severity.PROBLEM
    yield diagnosed(
        case,
        Cause.VERSIONS,
        reason.rule,
        severity,
        f"{case.name} was made by toolkit {toolkit}, and the runtime is {runtime}",
        why=_without_versions(reason, toolkit, runtime),
        steps=_mend_pair(case, reason.rule) if verdict.level is not Level.UNKNOWN else (),
        source=reason.source,
        hit=hit,
    )


def _mend_pair(case: Case, rule: str) -> tuple[str, ...]:
    return (*case.mend_versions(), STOP_BY_HAND) if rule == "eos" else case.mend_versions()


def _without_versions(reason: Reason, toolkit: Version, runtime: Version) -> str:
    """Return a reason without the versions that were told just before."""
    if reason.rule == "newer-than-runtime":
        return "the file is newer than the runtime, which refuses it or crashes on it"
    return reason.text.removeprefix(f"made by toolkit {toolkit}, newer than runtime {runtime}; ")


def about_copies(case: Case) -> Iterator[Diagnosed]:
    """Say if the program loaded another copy of the library than the one that counts here."""
    told = case.load.runtime if case.load else None
    board = case.board
    if told is None or board is None or board.runtime is None or board.runtime == told:
        return
    chosen = next(r for r in board.runtimes if r.counts)
    same = [r.path for r in board.runtimes if r.version == told]
    where = f": {', '.join(same[:3])}" if same else ", which is in none of the usual places"
    toolkit = case.toolkit
    mends = (
        toolkit is not None
        and judge_pair(toolkit, told, case.subject.model).level is Level.INCOMPATIBLE
        and judge_pair(toolkit, board.runtime, case.subject.model).level
        in {Level.EXACT, Level.COMPATIBLE}
    )
    yield diagnosed(
        case,
        Cause.LIBRARY,
        "other-copy",
        Severity.PROBLEM if mends else Severity.WARNING,
        f"the program loaded another librkllmrt.so than {chosen.path} ({board.runtime})",
        why=f"it says that it is {told}{where}"
        + ("; with the other one the file would load" if mends else ""),
        steps=(
            f"LD_LIBRARY_PATH={chosen.path.rpartition('/')[0]} PROGRAM …   # takes that one",
            *(f"or replace it: sudo cp {chosen.path} {path}" for path in same[:1]),
        ),
        source="https://github.com/oRKLLM/oRKLLM",
    )


# --- the driver --------------------------------------------------------------------------------


def about_driver(case: Case) -> Iterator[Diagnosed]:
    """Judge the driver's version, by what fails of what it is known to fail at."""
    driver = case.driver
    if driver is None or driver >= DRIVER_CLEAN:
        return
    fails = case.hit("matmul") or (case.hit("npu-memory") if is_large(case) else None)
    told = fails or case.hit("driver-warning")
    quant = case.load.quant if case.load else None
    w8a8 = quant is not None and quant.family == "w8a8"
    if driver < DRIVER_W8A8:
        why = "models load, and then every w8a8 matrix multiplication fails (seen on 0.8.2)"
        is_bad = fails is not None or w8a8
    else:
        why = "it cannot allocate about 4 GB at once, whatever memory is free; small models answer"
        is_bad = fails is not None
    yield diagnosed(
        case,
        Cause.DRIVER,
        "driver",
        Severity.PROBLEM if is_bad else Severity.WARNING,
        f"NPU driver {driver} is too old: RKLLM asks for 0.9.8",
        why=why,
        steps=driver_update(case),
        source=f"{SDK}/issues/{187 if driver < DRIVER_W8A8 else 97}",
        hit=told,
    )


def is_large(case: Case) -> bool:
    """Tell whether it is the size that old drivers cannot allocate."""
    hit = case.hit("npu-memory")
    size = hit.values.get("size") if hit else None
    return size is None or int(size) >= LARGE_ALLOCATION_BYTES
