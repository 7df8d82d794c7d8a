"""Put a log, the file that it speaks of and the board together: what is wrong, roots first."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rkfetch.registry.compat import (
    DRIVER_CLEAN,
)
from rkfetch.registry.finding import Severity
from rkfetch.registry.remedies import SDK
from rkfetch.registry.versions import Version

from .about import about_copies, about_driver, about_file, about_pair, diagnosed, is_large
from .advice import todo
from .case import Case
from .symptoms import Cause

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rkfetch.registry.runtime_log import Load
    from rkfetch.registry.target import Board

    from .case import Diagnosed, Subject
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
    Cause.ANSWERS: {Cause.LIBRARY, Cause.VERSIONS},
    Cause.FAILED: set(Cause) - {Cause.FAILED, Cause.CRASH, Cause.REMARK, Cause.ANSWERS},
    Cause.CRASH: set(Cause) - {Cause.CRASH, Cause.REMARK, Cause.ANSWERS},
}
_SAID_BY_OTHERS = {
    # Of one and the same thing, what is said more exactly by another.
    "killed": {"oom", "npu-memory"},
    "no-memory": {"oom", "npu-memory"},
    "newer-file": {"newer-than-runtime"},
    # Runtimes of 1.1 say that they loaded what they could not read, and crash at the first prompt.
    "assertion": {"old-magic", "bad-magic", "no-model", "cut-file"},
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
        *about_file(case),
        *about_copies(case),
        *about_pair(case),
        *about_driver(case),
        *_about_hits(case),
    ]
    yield from of_case
    is_wrong = any(d.finding.severity is Severity.PROBLEM for d in of_case)
    if all(d.cause in {Cause.FAILED, Cause.CRASH} for d in of_case):
        yield from _about_missing(case)
    load = case.load
    if load is None:
        return
    if is_wrong and load.succeeded and load.runtime is not None and load.runtime < _TRUTHFUL:
        yield diagnosed(
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
        yield diagnosed(case, Cause.REMARK, "loaded", Severity.OK, text)


def _about_missing(case: Case) -> Iterator[Diagnosed]:
    """Say that the file is not here, where nothing else tells why it failed."""
    if case.subject.missing and case.hits:
        yield diagnosed(
            case,
            Cause.REMARK,
            "file-missing",
            Severity.WARNING,
            f"there is no {case.load.path if case.load else case.name} on this machine",
            why="it may lie on another one, or the program was started in another folder",
        )


# --- what the log says ---------------------------------------------------------------------------


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
        told = diagnosed(
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
    return name in _SAID_BY_DRIVER or (name == "npu-memory" and is_large(case))


def _worded(case: Case, hit: Hit) -> str:
    """Say what a line means, with its own figures if it has them all."""
    symptom, told = hit.symptom, {**hit.values, "name": case.name}
    if "size" in told:
        told["gigabytes"] = f"{int(told['size']) / 1e9:.2f}"
    try:
        return symptom.exact.format(**told) if symptom.exact else symptom.text
    except KeyError:
        return symptom.text


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
        if root is None:
            others = _SAID_BY_OTHERS.get(item.finding.rule, ())
            root = next((d for d in wrong if d.finding.rule in others), None)
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
