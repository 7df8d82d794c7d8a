"""What a board would need for a model: nothing, another runtime, a newer driver, or what else."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rkfetch.registry.compat import DRIVER_ADVISED, DRIVER_CLEAN
from rkfetch.registry.distribution import update_driver
from rkfetch.registry.finding import Finding, Severity
from rkfetch.registry.refuse import refuse
from rkfetch.registry.remedies import RELEASES, install_runtime
from rkfetch.registry.resolve import resolve

from .measured import measured_memory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rkfetch.registry.model import Target
    from rkfetch.registry.resolve import Candidate
    from rkfetch.registry.target import Board
    from rkfetch.registry.versions import Version

    from .answer import Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """What must change on a board so that it runs a model."""

    runtime: Version | None
    """The release of librkllmrt to bring; None if the present one will do."""
    least_runtime: Version | None
    """The lowest release above the present one with which any build is taken."""
    driver: bool
    """The NPU driver must be updated."""
    build: Candidate
    """The build that is taken then."""


def requirement(answer: Answer) -> Requirement | None:
    """Find the least change with which a build of the model is taken; None if none helps.

    A runtime is a file, a driver is another kernel: the first is tried before the second.
    """
    now = answer.target
    old_driver = now.driver is not None and now.driver < DRIVER_CLEAN
    if answer.choice is not None:
        return Requirement(runtime=None, least_runtime=None, driver=False, build=answer.choice)
    for driver in (False, True) if old_driver else (False,):
        target = replace(now, driver=DRIVER_ADVISED) if driver else now
        if driver and (build := _taken(answer, target)) is not None:
            return Requirement(runtime=None, least_runtime=None, driver=True, build=build)
        taken = dict(_with_releases(answer, target))
        if not taken:
            continue
        newer = [v for v in taken if now.runtime is None or v > now.runtime]

        def order(release: Version, taken: dict[Version, Candidate] = taken) -> tuple[int, bool]:
            below = now.runtime is not None and release < now.runtime
            return taken[release].verdict.level.rank, below

        best = min(taken, key=order)
        return Requirement(
            runtime=best,
            least_runtime=min(newer, default=None),
            driver=driver,
            build=taken[best],
        )
    return None


def _with_releases(answer: Answer, target: Target) -> Iterator[tuple[Version, Candidate]]:
    for release in RELEASES:
        build = _taken(answer, replace(target, runtime=release))
        if build is not None:
            yield release, build


def _taken(answer: Answer, target: Target) -> Candidate | None:
    judged = (*answer.resolution.ranked, *answer.resolution.refused)
    return resolve([c.artifact for c in judged], target, measured=measured_memory).choice


def about_model(answer: Answer, board: Board) -> Finding:
    """Say whether a board's runtime and driver suffice for a model, and what to do if not."""
    needed = requirement(answer)
    name = answer.reference.text
    unread = f"rkfetch resolve {name}   # online: it reads the headers that would tell"
    if needed is None and answer.unread:
        return Finding(
            rule="model",
            severity=Severity.WARNING,
            text=f"whether this board runs {answer.name} is told by headers that were not read",
            todo=(unread,),
        )
    if needed is None:
        error = refuse(answer.name, answer.resolution, measured=measured_memory)
        return Finding(
            rule="model",
            severity=Severity.PROBLEM,
            text=error.message,
            why="; ".join(" ".join(cause.split()) for cause in error.cause) or None,
            todo=(error.hint,) if error.hint else (),
        )
    build = needed.build
    takes = f"rkfetch {name}   # takes {build.artifact.name}"
    if needed.runtime is None and not needed.driver:
        reason = build.verdict.reasons[0].text if build.verdict.reasons else None
        return Finding(
            rule="model",
            severity=Severity.OK,
            text=f"this board runs {answer.name}: {build.artifact.name}",
            why=reason,
            todo=(f"rkfetch {name}",),
        )
    todo: list[str] = []
    if needed.runtime is not None:
        todo += install_runtime(needed.runtime, machine=board.machine)
    if needed.driver:
        steps = update_driver(board.distribution, board.model, in_container=board.in_container)
        todo += steps.todo
    return Finding(
        rule="model",
        severity=Severity.PROBLEM,
        text=_lacking(answer, needed, board),
        why=_why(build),
        todo=(*todo, takes, *([f"or perhaps as it is: {unread}"] if answer.unread else [])),
        source=next((r.source for r in build.verdict.reasons if r.source), None),
    )


def _why(build: Candidate) -> str | None:
    if not build.verdict.reasons:
        return None
    text = build.verdict.reasons[0].text
    return f"the build that is taken then was {text}" if text.startswith("made by ") else text


def _lacking(answer: Answer, needed: Requirement, board: Board) -> str:
    here, parts = answer.target, []
    if needed.runtime is not None:
        have = f"runtime {here.runtime} here"
        if here.runtime is None:
            is_there = any(found.counts for found in board.runtimes)
            have = "the runtime's version is unknown" if is_there else "no runtime here"
        least = needed.least_runtime
        if least is None:
            wants = f"builds of {answer.name} want {needed.runtime}, which is older"
        elif least == needed.runtime:
            wants = f"builds of {answer.name} need {least} or later"
        else:
            wants = f"builds of {answer.name} need {least} or later, best {needed.runtime}"
        parts.append(f"{have}; {wants}")
    if needed.driver:
        parts.append(f"NPU driver {here.driver} here; they need {DRIVER_CLEAN} or later")
    return "; ".join(parts)
