"""Put a log, the file that it speaks of and the board together: what is wrong, roots first."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
from rkfetch.registry.versions import Version

from .advice import driver_update, todo
from .case import Case, Diagnosed
from .symptoms import Cause

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rkfetch.registry.compat import Reason
    from rkfetch.registry.runtime_log import Load
    from rkfetch.registry.target import Board

    from .case import Subject
    from .log import Hit, Log

MOST_FINDINGS = 40
MOST_LOADS = 100
"""Of a log with more, the last ones are looked at."""
_TRUTHFUL = Version("1.2.0")
"""Earlier runtimes print success whatever happened (#156)."""
_FIRST_OF_LINEAGE = Version("1.1.0b0")
_SAID_BY_DRIVER = {"driver-warning", "matmul"}
_EXPLAINED = {
    # What may be a mere consequence, and of what.
    Cause.FILE: {Cause.SEEN, Cause.CHIP, Cause.LIBRARY, Cause.VERSIONS},
    Cause.CHIP: {Cause.SEEN, Cause.LIBRARY},
    Cause.VERSIONS: {Cause.LIBRARY},
    Cause.FAILED: set(Cause) - {Cause.FAILED, Cause.CRASH, Cause.REMARK, Cause.ANSWERS},
    Cause.CRASH: set(Cause) - {Cause.CRASH, Cause.REMARK, Cause.ANSWERS},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Everything that a log told, the root of the trouble first."""

    findings: tuple[Diagnosed, ...]
    cases: tuple[Case, ...]

    @property
    def recognised(self) -> bool:
        """Whether anything in the log was known."""
        return bool(self.findings)

    @property
    def has_problem(self) -> bool:
        """Whether something must be put right."""
        return any(d.finding.severity is Severity.PROBLEM for d in self.findings)


def is_of(board: Board, load: Load | None) -> bool:
    """Tell whether a load may have been on this board: nothing that is told contradicts it."""
    if not board.on_board or board.platform is None:
        return False
    if load is None:
        return True
    same_chip = load.platform in {None, board.platform}
    return same_chip and (None in {load.driver, board.driver} or load.driver == board.driver)


def diagnose(
    log: Log, *, board: Board | None, subject_of: Callable[[Load | None], Subject]
) -> Diagnosis:
    """Say what a log means. ``board`` is the one that we are on; None off a board."""
    cases, found = [], []
    loads: list[Load | None] = [None, *log.loads]
    for index, load in enumerate(loads, start=-1):
        if index < len(log.loads) - MOST_LOADS:
            continue
        hits = log.of_load(index)
        if load is None and not hits and len(loads) > 1:
            continue
        here = board if board is not None and is_of(board, load) else None
        case = Case(load=load, hits=hits, subject=subject_of(load), board=here, index=index)
        cases.append(case)
        found += _connected(list(_findings(case)))
    return Diagnosis(findings=_merged(found), cases=tuple(cases))


def _findings(case: Case) -> Iterator[Diagnosed]:
    of_case = [
        *_about_file(case),
        *_about_copies(case),
        *_about_pair(case),
        *_about_driver(case),
        *_about_hits(case),
    ]
    yield from of_case
    is_wrong = any(d.finding.severity is Severity.PROBLEM for d in of_case)
    load = case.load
    if load is None:
        return
    if is_wrong and load.succeeded and load.runtime is not None and load.runtime < _TRUTHFUL:
        yield _diagnosed(
            case,
            Cause.REMARK,
            "false-success",
            Severity.NOTE,
            "`rkllm init success` proves nothing here",
            why=f"runtime {load.runtime} prints it after a failure, too",
            source=f"{SDK}/issues/156",
        )
    if not is_wrong and (load.succeeded or load.file_line is not None):
        text = f"{case.name} was loaded"
        text += f" by runtime {load.runtime}" if load.runtime else ""
        yield _diagnosed(case, Cause.REMARK, "loaded", Severity.OK, text)


def _diagnosed(
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
    finding = Finding(
        rule=rule, severity=severity, text=text, why=why, todo=tuple(steps), source=source
    )
    return Diagnosed(finding=finding, cause=cause, hit=hit, load=case.index)


# --- the file ----------------------------------------------------------------------------------


def _about_file(case: Case) -> Iterator[Diagnosed]:
    subject, facts = case.subject, case.subject.facts
    if subject.damaged:
        yield _diagnosed(
            case,
            Cause.SEEN,
            "file-damaged",
            Severity.PROBLEM,
            f"{case.name} is damaged: it is not what was installed any more",
            steps=(case.fetch_again(),),
        )
    if subject.missing and (case.hit("load-failed") or not case.load):
        yield _diagnosed(
            case,
            Cause.REMARK,
            "file-missing",
            Severity.WARNING,
            f"there is no {case.load.path if case.load else case.name} on this machine",
            why="it may lie on another one, or the program was started in another folder",
        )
    if facts is not None and facts.format != "rkllm":
        yield _diagnosed(
            case,
            Cause.SEEN,
            "file-format",
            Severity.PROBLEM,
            f"{case.name} is {facts.explanation or facts.format}",
            steps=(case.fetch_again(),),
            source=f"{SDK}/issues/15" if facts.format == "git-lfs-pointer" else None,
        )
    elif facts is not None and facts.complete is False:
        yield _diagnosed(
            case,
            Cause.SEEN,
            "file-cut",
            Severity.PROBLEM,
            f"{case.name} is cut off or broken ({facts.size_bytes} bytes are there)",
            why=facts.refused or "a download or a copy that broke off leaves such a file",
            steps=(case.fetch_again(),),
        )
    if case.made_for is not None and case.platform not in {None, case.made_for}:
        on = case.platform.value if case.platform else ""
        yield _diagnosed(
            case,
            Cause.CHIP,
            "platform",
            Severity.PROBLEM,
            f"{case.name} was built for {case.made_for.value}, and this is {on}",
            why="a file runs only on the SoC that it was built for",
            steps=(case.fetch(),),
            source=f"{SDK}/blob/release-v1.2.3/README.md",
        )


# --- versions ----------------------------------------------------------------------------------

_SEVERITY = {
    Level.INCOMPATIBLE: Severity.PROBLEM,
    Level.RISKY: Severity.WARNING,
    Level.UNKNOWN: Severity.NOTE,
}


def _about_pair(case: Case) -> Iterator[Diagnosed]:
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
    yield _diagnosed(
        case,
        Cause.VERSIONS,
        reason.rule,
        severity,
        f"{case.name} was made by toolkit {toolkit}, and the runtime is {runtime}",
        why=_without_versions(reason, toolkit, runtime),
        steps=case.mend_versions() if verdict.level is not Level.UNKNOWN else (),
        source=reason.source,
        hit=hit,
    )


def _without_versions(reason: Reason, toolkit: Version, runtime: Version) -> str:
    """Return a reason without the versions that were told just before."""
    if reason.rule == "newer-than-runtime":
        return "the file is newer than the runtime, which refuses it or crashes on it"
    return reason.text.removeprefix(f"made by toolkit {toolkit}, newer than runtime {runtime}; ")


def _about_copies(case: Case) -> Iterator[Diagnosed]:
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
    yield _diagnosed(
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


# --- the driver, and what the log says ---------------------------------------------------------


def _about_driver(case: Case) -> Iterator[Diagnosed]:
    driver = case.driver
    if driver is None or driver >= DRIVER_CLEAN:
        return
    fails = case.hit("matmul") or (case.hit("npu-memory") if _is_large(case) else None)
    told = fails or case.hit("driver-warning")
    quant = case.load.quant if case.load else None
    w8a8 = quant is not None and quant.family == "w8a8"
    if driver < DRIVER_W8A8:
        why = "models load, and then every w8a8 matrix multiplication fails (seen on 0.8.2)"
        is_bad = fails is not None or w8a8
    else:
        why = "it cannot allocate about 4 GB at once, whatever memory is free; small models answer"
        is_bad = fails is not None
    yield _diagnosed(
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


def _is_large(case: Case) -> bool:
    hit = case.hit("npu-memory")
    size = hit.values.get("size") if hit else None
    return size is None or int(size) >= LARGE_ALLOCATION_BYTES


def _about_hits(case: Case) -> Iterator[Diagnosed]:
    driver_is_old = case.driver is not None and case.driver < DRIVER_CLEAN
    seen: set[str] = set()
    for hit in case.hits:
        name = hit.symptom.name
        if name in seen or (driver_is_old and _is_said_by_driver(case, name)):
            continue
        seen.add(name)
        cause, severity = hit.symptom.cause, Severity.PROBLEM
        if name == "driver-warning":
            severity = Severity.WARNING
        elif name == "model-too-old" and case.runtime and case.runtime < _FIRST_OF_LINEAGE:
            # Runtime 1.0.1 refuses files of 1.0.0 so, and complains of the SoC as well.
            cause = Cause.SEEN
        elif cause is Cause.REMARK:
            severity = Severity.NOTE
        told = _diagnosed(
            case,
            cause,
            name,
            severity,
            _worded(case, hit),
            why=hit.symptom.why,
            steps=todo(case, hit),
            source=hit.symptom.source,
            hit=hit,
        )
        yield replace(told, count=sum(h.symptom.name == name for h in case.hits))


def _is_said_by_driver(case: Case, name: str) -> bool:
    """Tell whether the finding about the driver says it already."""
    return name in _SAID_BY_DRIVER or (name == "npu-memory" and _is_large(case))


def _worded(case: Case, hit: Hit) -> str:
    values, text = hit.values, hit.symptom.text
    if "asked" in values and "limit" in values:
        return (
            f"the program asked for a context of {values['asked']} tokens, and "
            f"{case.name} has {values['limit']}"
        )
    if "size" in values:
        return f"the NPU had no room for {int(values['size']) / 1e9:.2f} GB at once"
    if hit.symptom.name == "newer-file" and "version" in values:
        return f"{case.name} is newer than the runtime: it needs {values['version']} or later"
    if hit.symptom.name == "glibc" and "version" in values:
        return f"{text}: it wants {values['version']}"
    return text


# --- order -------------------------------------------------------------------------------------


def _connected(found: list[Diagnosed]) -> list[Diagnosed]:
    """Mark what is a consequence of something nearer to the root."""
    wrong = [d for d in found if d.finding.severity is Severity.PROBLEM]
    linked = []
    for item in found:
        roots = [
            d
            for d in wrong
            if d is not item
            and d.cause in _EXPLAINED.get(item.cause, ())
            and d.cause.rank < item.cause.rank
        ]
        root = min(roots, key=lambda d: d.cause.rank, default=None)
        if root is None and item.finding.rule in {"killed", "no-memory"}:
            root = next((d for d in wrong if d.finding.rule in {"oom", "npu-memory"}), None)
        if root is None and item.finding.rule == "newer-file":
            # The line says what the versions say already.
            root = next((d for d in wrong if d.finding.rule == "newer-than-runtime"), None)
        linked.append(_consequence(item, root) if root else item)
    return linked


def _consequence(item: Diagnosed, root: Diagnosed) -> Diagnosed:
    """Return a finding without what to do: the root's is what helps."""
    finding = replace(item.finding, severity=Severity.NOTE, why=None, todo=(), source=None)
    return replace(item, finding=finding, explained_by=root.finding.rule)


def _merged(found: list[Diagnosed]) -> tuple[Diagnosed, ...]:
    """Join what several loads say alike, roots first, and keep so many."""
    known: dict[tuple[str, str, str | None], Diagnosed] = {}
    for item in found:
        key = (item.finding.rule, item.finding.text, item.explained_by)
        if key in known:
            known[key] = replace(known[key], count=known[key].count + item.count)
        else:
            known[key] = item

    def order(item: Diagnosed) -> tuple[object, ...]:
        line = item.hit.line if item.hit else 0
        return item.explained_by is not None, item.finding.severity.rank, item.cause.rank, line

    return tuple(sorted(known.values(), key=order)[:MOST_FINDINGS])
