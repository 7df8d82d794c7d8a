"""``rkfetch doctor``: what this board is, how each fact was found, and what to put right."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rkfetch.registry import settings
from rkfetch.registry.compat import DRIVER_CLEAN
from rkfetch.registry.errors import UsageError

from .findings import finding_json, finding_lines, wrap
from .options import JsonOption, SysrootOption, make_target  # noqa: TC001 - typer reads the annotations
from .output import emit, emit_json, safe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rkfetch.registry.finding import Finding
    from rkfetch.registry.runtimes import RuntimeFound
    from rkfetch.registry.surroundings import Surroundings, TokenState
    from rkfetch.registry.target import Board

_CHECK_FAILED = 3
_OF_THE_BOARD = ("platform", "runtime", "driver", "memory", "context")


ModelArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[MODEL]",
        help="Also say whether this board's runtime and driver suffice for it: qwen3-1.7b, with "
        "@w8a8 for one quantisation, or hf:OWNER/REPO/PATH.rkllm.",
        show_default=False,
    ),
]


def doctor_command(
    model: ModelArgument = None,
    *,
    sysroot: SysrootOption = "/",
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 3 if there is a problem.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what this board is, how each fact was found, and what to put right.

    Reads files only: no root, no network, nothing on the board is changed. With a MODEL it also
    says whether runtime and driver suffice for the builds that the catalog knows, and if not, what
    to install, and how on this distribution.

    Exits with 0; with --check, with 3 if there is a problem; with 4 for an unknown MODEL.

    \b
    Examples:
      rkfetch doctor
      rkfetch doctor qwen3-1.7b
      rkfetch doctor qwen2.5-1.5b@w8a8 --check
    """
    from rkfetch.registry.doctor import examine
    from rkfetch.registry.finding import Severity
    from rkfetch.registry.target import detect

    root = Path(sysroot)
    board = detect(root)
    is_here = os.path.realpath(root) == "/"
    in_force, problems = settings.everything() if is_here else ([], [])
    surroundings = _look_around(in_force, problems) if is_here else None
    findings = examine(board, surroundings)
    asked = _about_model(model, board, sysroot) if model is not None else None
    if asked is not None:
        # One way to install a runtime is enough: the one that suits the model.
        told = asked[1]["runtime"] is not None
        rest = (replace(f, todo=()) if told and f.rule == "runtime" else f for f in findings)
        findings = (asked[0], *rest)
    files = settings.files() if is_here else []
    if as_json:
        more = {"model": asked[1]} if asked is not None else {}
        emit_json(_as_json(board, findings, in_force, files) | more)
    else:
        for line in _screen(board, findings, [*_settings_lines(in_force, files)]):
            emit(line)
    if check and any(finding.severity is Severity.PROBLEM for finding in findings):
        raise typer.Exit(_CHECK_FAILED)


def _about_model(model: str, board: Board, sysroot: str) -> tuple[Finding, dict[str, Any]]:
    """Say what this board needs for a model, as the catalog knows it now.

    Raises:
        UsageError, UnknownModelError, ConversionUnavailableError: there is no such model, or no
            build of it.
    """
    from rkfetch.catalog.answer import answer
    from rkfetch.catalog.requirements import about_model, requirement

    from .opening import open_catalog

    given = {key: settings.value(key) for key in _OF_THE_BOARD}
    target = make_target(sysroot=sysroot, **given)
    with open_catalog(quiet=True) as catalog:
        answered = answer(catalog, model, target)
    needed = requirement(answered)
    build = needed.build.artifact if needed else None
    return about_model(answered, board), {
        "reference": model,
        "model": answered.model,
        "possible": needed is not None,
        "ready": needed is not None and needed.runtime is None and not needed.driver,
        "runtime": _text(needed.runtime) if needed else None,
        "least_runtime": _text(needed.least_runtime) if needed else None,
        "driver": str(DRIVER_CLEAN) if needed and needed.driver else None,
        "build": {"source": build.source, "repo": build.repo, "path": build.path}
        if build
        else None,
    }


def _look_around(
    in_force: Sequence[settings.Setting], problems: Sequence[UsageError]
) -> Surroundings:
    """Look at what rkfetch works with here, without creating or writing anything."""
    from rkfetch.registry.surroundings import Surroundings

    store, is_writable, free_bytes = _look_at_store()
    return Surroundings(
        store=store,
        is_writable=is_writable,
        free_bytes=free_bytes,
        endpoint=_endpoint(),
        token=_token_state(),
        is_offline=any(s.value for s in in_force if s.key == "offline"),
        overrides=tuple(
            f"{s.key} {s.text} ({s.origin})" for s in in_force if s.key in _OF_THE_BOARD
        ),
        settings_problems=tuple(problems),
        settings_unknown=tuple(settings.unknown_keys()),
    )


def _look_at_store() -> tuple[str | None, bool, int | None]:
    """Return the store's folder, whether it can be written, and the bytes free for it."""
    from rkfetch.registry.store import home

    try:
        store = home()
    except UsageError:
        return None, False, None
    existing = next((f for f in (store, *store.parents) if os.path.lexists(f)), Path("/"))
    is_writable = existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
    try:
        usage = shutil.disk_usage(existing)
    except OSError:
        return str(store), is_writable, None
    return str(store), is_writable, usage.free if usage.total else None


def _endpoint() -> str | None:
    """Return the first place that is asked, without secrets, if it is not the usual one."""
    from rkfetch.registry.addresses import shown
    from rkfetch.registry.endpoints import HUB, endpoint

    try:
        first = endpoint()
    except UsageError:
        return None
    return shown(first) if first != HUB else None


def _token_state() -> TokenState:
    from rkfetch.registry.hub import hub_token
    from rkfetch.registry.surroundings import TokenState

    try:
        return TokenState.SET if hub_token() else TokenState.NONE
    except UsageError:
        return TokenState.BROKEN


# --- for people --------------------------------------------------------------------------------


def _screen(board: Board, findings: tuple[Finding, ...], set_here: Sequence[str]) -> Iterator[str]:
    """Yield the lines: what it is, the facts, the runtimes, what is set, the findings."""
    width = _columns()
    yield _headline(board)
    yield ""
    yield from _table(
        [(fact.name.replace("_", " "), fact.value or "unknown", fact.how) for fact in board.facts],
        width,
    )
    if len(board.runtimes) > 1 or any(found.problem for found in board.runtimes):
        yield ""
        yield "copies of librkllmrt.so:"
        rows = [_runtime_row(found) for found in board.runtimes]
        yield from _table(rows, width)
    yield ""
    yield from set_here
    for finding in findings:
        yield from finding_lines(finding, width)


def _settings_lines(in_force: Sequence[settings.Setting], files: Sequence[Path]) -> Iterator[str]:
    """Yield what is set here, by what, and where it can be set."""
    if not files:
        return
    yield "settings:"
    rows = [(s.key, _shown(s), f"by {s.origin}") for s in in_force]
    rows += [("file", "read" if path.is_file() else "not there", str(path)) for path in files]
    yield from _table(rows, _columns())
    yield ""


def _shown(setting: settings.Setting) -> str:
    """Return what is set, without what an address may hold of secrets."""
    from rkfetch.registry.addresses import shown

    return " ".join(shown(word) if "://" in word else word for word in setting.text.split())


def _columns() -> int:
    return min(shutil.get_terminal_size((100, 24)).columns, 100)


def _headline(board: Board) -> str:
    if not board.on_board:
        return "no Rockchip board"
    known = [
        f"{label} {value}"
        for label, value in (("runtime", board.runtime), ("driver", board.driver))
        if value
    ]
    chip = (board.platform_name or "").upper()
    return safe(", ".join([f"{board.model or 'a board'} ({chip})", *known]))


def _table(rows: list[tuple[str, str, str]], width: int) -> Iterator[str]:
    """Align three columns; the last one is wrapped under itself."""
    shown = [tuple(safe(cell, limit=600) for cell in row) for row in rows]
    first = max(len(row[0]) for row in shown)
    second = min(max(len(row[1]) for row in shown), 40)
    indent = 2 + first + 2 + second + 2
    for name, value, how in shown:
        lines = wrap(how, width - indent)
        yield f"  {name:<{first}}  {value:<{second}}  {lines[0]}".rstrip()
        for line in lines[1:]:
            yield " " * indent + line


def _runtime_row(found: RuntimeFound) -> tuple[str, str, str]:
    remarks = ["counts" if found.counts else "", found.why, found.problem or ""]
    remarks += [f"also {', '.join(found.also)}"] if found.also else []
    return (
        str(found.version or "unknown"),
        found.path,
        "; ".join(remark for remark in remarks if remark),
    )


# --- for scripts -------------------------------------------------------------------------------


def _as_json(
    board: Board,
    findings: tuple[Finding, ...],
    in_force: Sequence[settings.Setting],
    files: Sequence[Path],
) -> dict[str, Any]:
    return {
        "board": {
            "on_board": board.on_board,
            "platform": board.platform.value if board.platform else None,
            "platform_name": board.platform_name,
            "model": board.model,
            "runtime": _text(board.runtime),
            "driver": _text(board.driver),
            "memory_bytes": board.memory_bytes,
            "memory_available_bytes": board.memory_available_bytes,
            "memory_limit_bytes": board.memory_limit_bytes,
            "npu_cores": board.npu_cores,
            "machine": board.machine,
            "open_files": board.open_files,
            "in_container": board.in_container,
        },
        "facts": [
            {"name": f.name, "value": f.value, "how": f.how, "problem": f.problem}
            for f in board.facts
        ],
        "runtimes": [
            {
                "path": found.path,
                "also": list(found.also),
                "version": _text(found.version),
                "build": found.build,
                "machine": found.machine,
                "bytes": found.size_bytes,
                "how": found.how,
                "why": found.why,
                "usable": found.usable,
                "counts": found.counts,
                "problem": found.problem,
            }
            for found in board.runtimes
        ],
        "settings": [{"key": s.key, "value": _shown(s), "from": s.origin} for s in in_force],
        "config_files": [{"path": str(path), "exists": path.is_file()} for path in files],
        "findings": [finding_json(finding) for finding in findings],
    }


def _text(value: object) -> str | None:
    return None if value is None else str(value)
