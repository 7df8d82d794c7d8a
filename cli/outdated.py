"""``rkfetch outdated``: what of the installed files is not what to use any more."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rkfetch.registry.errors import UsageError

from . import options
from .answers import (
    artifact_json,
    build_words,
    reason_json,
    reason_lines,
    target_json,
    target_words,
)
from .opening import open_catalog
from .output import emit, emit_json, paint, safe, say, say_wrapped, wrapped
from .store import (
    SomeNamesArgument,  # noqa: TC001 - typer reads the annotations
    installed_json,
    open_store,
    selected,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rkfetch.catalog.outdated import Finding
    from rkfetch.registry.model import Target
    from rkfetch.registry.resolve import Candidate

SetupOption = Annotated[
    str | None,
    typer.Option(
        "--file",
        "-f",
        metavar="FILE",
        help="Compare what this rkfetch.toml, or the lock file beside it, has locked.",
    ),
]


def outdated_command(
    names: SomeNamesArgument = None,
    *,
    file: SetupOption = None,
    platform: options.PlatformOption = None,
    runtime: options.RuntimeOption = None,
    driver: options.DriverOption = None,
    memory: options.MemoryOption = None,
    context: options.ContextOption = None,
    sysroot: options.SysrootOption = "/",
    allow_risky: options.AllowRiskyOption = False,
    allow_unverified: options.AllowUnverifiedOption = False,
    as_json: options.JsonOption = False,
    quiet: options.QuietOption = False,
) -> None:
    """Compare installed files with the catalog and the board, and say what would update them.

    With --file, those that a lock file names, for each of its targets.

    replaced: other content is at its place upstream. gone: it is not there any more. better:
    another build suits the board better, as after an upgrade of the runtime. unusable: the board
    does not run it. No network is used: `rkfetch catalog update` first looks for news. Exits
    with 0 whatever is found: it answers a question.

    \b
    Examples:
      rkfetch outdated
      rkfetch outdated qwen2.5-1.5b --runtime 1.3.0
      rkfetch catalog update && rkfetch outdated --json
      rkfetch outdated --file rkfetch.toml
    """
    from rkfetch.catalog.outdated import outdated
    from rkfetch.registry.resolve import Policy

    target, is_known = options.find_board(
        platform=platform,
        runtime=runtime,
        driver=driver,
        memory=memory,
        context=context,
        sysroot=sysroot,
    )
    if file is not None:
        if names:
            raise UsageError("with --file all models of the lock file are compared: name none")
        from .outdated_setup import outdated_setup

        outdated_setup(file, target, known=is_known, as_json=as_json, quiet=quiet)
        return
    known = target if target.runtime is not None else None
    silent = quiet or as_json
    store = open_store()
    items = selected(store, names)
    policy = Policy(allow_risky=allow_risky, allow_unverified=allow_unverified)
    with open_catalog(quiet=silent) as catalog:
        findings = outdated(
            catalog,
            [item.record for item in items],
            known,
            policy=policy,
            installed=store.digests(),
        )
        as_of = catalog.as_of()
    if as_json:
        files = [
            {**installed_json(i), **finding_json(f, update=_command(f))}
            for i, f in zip(items, findings, strict=True)
        ]
        emit_json({"status": "ok", "target": target_json(target), "files": files})
        return
    for item, finding in zip(items, findings, strict=True):
        update = _command(finding)
        for line in finding_lines(item.record.sha256, item.path.name, finding, update=update):
            emit(line)
    if not silent:
        _conclude(len(items), known, None if as_of is None else as_of.date().isoformat())


def _conclude(count: int, target: Target | None, as_of: str | None) -> None:
    if not count:
        say("no model is installed")
        return
    board = target_words(target) if target else "no board: its runtime is not known"
    say(f"compared for {board}, with the catalog of {as_of or 'an unknown day'}")
    if target is None:
        hint = "say --runtime X.Y.Z to have the files judged for a board, too"
        say_wrapped(hint, lead="hint: ")


_COLOURS = {"unusable": "red", "replaced": "yellow", "better": "yellow", "gone": "yellow"}


def finding_lines(sha256: str, name: str, finding: Finding, *, update: str | None) -> Iterator[str]:
    """Say what was found of a file; ``update`` is the command that updates it."""
    state = finding.state.value
    word = paint(state, _COLOURS.get(state, "green")) + " " * (10 - len(state))
    yield f"{word}{sha256[:12]}  {safe(name)}"
    yield from wrapped(finding.text, lead="  ")
    if state == "current":
        return
    if finding.own is not None:
        yield from _verdict_lines("this one", finding.own)
    if finding.other is not None:
        yield f"  {safe(finding.other.artifact.name)}"
        yield from wrapped(build_words(finding.other), lead="    ")
        yield from _verdict_lines("that one", finding.other)
    if update is not None:
        yield f"  to update: {safe(update, limit=2000)}"


def _verdict_lines(which: str, candidate: Candidate) -> Iterator[str]:
    level = candidate.verdict.level
    for reason in candidate.reasons:
        if reason.level is level or reason is candidate.refusal:
            word = (reason.level or level).value
            yield from reason_lines(reason, lead=f"    {which} is {word}: ")
            return


def _command(finding: Finding) -> str | None:
    return None if finding.update is None else f"rkfetch {shlex.quote(finding.update)}"


def finding_json(finding: Finding, *, update: str | None) -> dict[str, Any]:
    """Return what was found of a file, and the command that updates it."""
    other = finding.other
    return {
        "state": finding.state.value,
        "upstream": finding.upstream,
        "text": finding.text,
        "judged": _verdict_json(finding.own),
        "other": None
        if other is None
        else {**artifact_json(other.artifact), "verdict": _verdict_json(other)},
        "update": update,
    }


def _verdict_json(candidate: Candidate | None) -> dict[str, Any] | None:
    if candidate is None:
        return None
    return {
        "level": candidate.verdict.level.value,
        "reasons": [reason_json(reason) for reason in candidate.reasons],
    }
