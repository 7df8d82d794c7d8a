"""``rkfetch diagnose``: what a runtime's log means, and the command that mends it."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rkfetch.registry.errors import UsageError

from . import options  # noqa: TC001 - typer reads the annotations
from .findings import finding_json, finding_lines
from .opening import open_catalog
from .output import emit, emit_json, human_bytes, safe, say, width, wrapped
from .store import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from rkfetch.registry.diagnosis.case import Case, Diagnosed
    from rkfetch.registry.diagnosis.explain import Diagnosis
    from rkfetch.registry.diagnosis.log import Log, Piece

_CHECK_FAILED = 3

LogArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[LOGFILE|-]",
        help="What the program printed. - is stdin, as it is without a terminal.",
        show_default=False,
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="FILE|REFERENCE",
        help="Which model it is about, where the log does not tell: a path, the name of an "
        "installed file, or what you would type to fetch it.",
    ),
]
CheckOption = Annotated[bool, typer.Option("--check", help="Exit with 3 if there is a problem.")]


def diagnose_command(
    log: LogArgument = None,
    *,
    model: ModelOption = None,
    sysroot: options.SysrootOption = "/",
    check: CheckOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Read what a program printed when a model failed: what is wrong, and what mends it.

    Give it whatever the program, journalctl, docker or dmesg printed, as it is. The root of the
    trouble comes first, its consequences last. The model file is looked at if it is on this
    machine, and on a board the board as well. Nothing is sent anywhere, nothing is changed.

    Exits with 0, whatever was found; with --check, with 3 if there is a problem.

    \b
    Examples:
      rkfetch diagnose load.log
      llm_demo model.rkllm 512 4096 2>&1 | rkfetch diagnose
      journalctl -u rkllama -b | rkfetch diagnose --model qwen2.5-1.5b
      dmesg | rkfetch diagnose --json
    """
    from rkfetch.catalog.diagnose import subjects
    from rkfetch.registry.diagnosis.explain import diagnose
    from rkfetch.registry.diagnosis.log import read
    from rkfetch.registry.target import detect

    pieces, left_out = _read(log)
    _refuse_a_model(log, pieces)
    found = read(pieces, left_out)
    board = detect(Path(sysroot))
    here = board if board.on_board else None
    with open_catalog(quiet=True) as catalog:
        subject_of = subjects(catalog, open_store(), given=model, board=here)
        diagnosis = diagnose(found, board=here, subject_of=subject_of)
    if as_json:
        emit_json(_json(log or "-", found, diagnosis))
    else:
        for line in _lines(found, diagnosis):
            emit(line)
        if left_out:
            say(f"note: {human_bytes(left_out)} in the middle of the log were not read")
    if check and diagnosis.has_problem:
        raise typer.Exit(_CHECK_FAILED)


def _read(log: str | None) -> tuple[tuple[Piece, ...], int]:
    """Read the log's beginning and end.

    Raises:
        UsageError: there is none, or it cannot be read.
    """
    from rkfetch.registry.diagnosis.log import read_pieces

    try:
        if log is not None and log != "-":
            with Path(log).open("rb") as file:
                _refuse_endless(log, file)
                return read_pieces(file)
        if sys.stdin is None:
            return (), 0
        if sys.stdin.isatty():
            if log is None:
                raise UsageError(
                    "there is no log to read",
                    cause=["neither a file was named, nor is anything piped in"],
                    hint="PROGRAM … 2>&1 | rkfetch diagnose; or rkfetch diagnose LOGFILE; or "
                    "`rkfetch diagnose -`, to paste it",
                )
            say("paste what the program printed, then press Ctrl-D on a line of its own")
        return read_pieces(sys.stdin.buffer)
    except OSError as error:
        name = safe(log or "stdin")
        raise UsageError(f"{name} cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # a NUL in the name
        raise UsageError(f"{safe(log or '')} cannot be read: {error}") from error


def _refuse_endless(log: str, file: BinaryIO) -> None:
    """Refuse devices such as /dev/zero, which never end."""
    mode = os.fstat(file.fileno()).st_mode
    if stat.S_ISBLK(mode) or (stat.S_ISCHR(mode) and not os.isatty(file.fileno())):
        if os.path.samestat(os.fstat(file.fileno()), Path(os.devnull).stat()):
            return
        raise UsageError(f"{safe(log)} is a device, not a log")


def _refuse_a_model(log: str | None, pieces: tuple[Piece, ...]) -> None:
    """Say so if it is the model itself that was given."""
    from rkfetch.registry.gguf import MAGIC

    head = pieces[0].data[:16] if pieces else b""
    if head.startswith((MAGIC, b"GGUF", b"RKNN")):
        name = safe(log or "-")
        raise UsageError(
            f"{name} is a model, not a log",
            hint=f"`rkfetch inspect {name}` reads it; this wants what the program printed",
        )


# --- for people --------------------------------------------------------------------------------


def _lines(log: Log, diagnosis: Diagnosis) -> Iterator[str]:
    columns = width()
    for case in diagnosis.cases[-3:]:
        if case.load is not None:
            yield from wrapped(_about(case), lead="         ", columns=columns)
    if not diagnosis.recognised:
        yield f"nothing that is known is in these {log.lines} lines"
        yield "RKLLM_LOG_LEVEL=2 before the program shows more; `rkfetch doctor` looks at the board"
        yield "if a model did fail: please report the log, with what `rkfetch doctor --json` prints"
        return
    for item in diagnosis.findings:
        if item.explained_by is None:
            yield from finding_lines(item.finding, columns, seen=[*_where(item, columns)])
    for item in diagnosis.findings:
        if item.explained_by is not None:
            line = f" (line {item.hit.line})" if item.hit else ""
            text = f"{item.finding.text}{line}: follows from the above"
            yield from wrapped(text, lead="then     ", columns=columns)


def _about(case: Case) -> str:
    load = case.load
    assert load is not None
    runtime = f"runtime {load.runtime}" if load.runtime else "a runtime"
    driver = f", driver {load.driver}" if load.driver else ""
    platform = f" on {load.platform.value}" if load.platform else ""
    facts = [f"toolkit {case.toolkit}" if case.toolkit else ""]
    facts += [str(load.quant) if load.quant else "", case.made_for.value if case.made_for else ""]
    facts += [f"context {case.context}" if case.context else ""]
    said = ", ".join(fact for fact in facts if fact)
    file = case.name + (f" ({said})" if said else "")
    return f"line {load.line}: {runtime}{driver}{platform}: {file}"


def _where(item: Diagnosed, columns: int) -> Iterator[str]:
    """Say where the log tells it."""
    if item.hit is not None:
        times = f" ({item.count} times)" if item.count > 1 else ""
        lead = f"line {item.hit.line}{times}: "
        yield lead + safe(item.hit.quote, limit=max(columns - len(lead) - 10, 20))


# --- for scripts -------------------------------------------------------------------------------


def _json(name: str, log: Log, diagnosis: Diagnosis) -> dict[str, Any]:
    return {
        "status": "ok",
        "log": name,
        "lines": log.lines,
        "left_out_bytes": log.left_out_bytes,
        "recognised": diagnosis.recognised,
        "loads": [_load_json(case) for case in diagnosis.cases if case.load is not None],
        "findings": [
            {
                **finding_json(item.finding),
                "cause": item.cause.value,
                "line": item.hit.line if item.hit else None,
                "quote": item.hit.quote if item.hit else None,
                "count": item.count,
                "load": item.load if item.load >= 0 else None,
                "explained_by": item.explained_by,
            }
            for item in diagnosis.findings
        ],
    }


def _load_json(case: Case) -> dict[str, Any]:
    load, subject = case.load, case.subject
    assert load is not None
    facts = subject.facts
    return {
        "index": case.index,
        "line": load.line,
        "runtime": str(load.runtime) if load.runtime else None,
        "driver": str(load.driver) if load.driver else None,
        "platform": load.platform.value if load.platform else None,
        "file": load.path,
        "toolkit": str(case.toolkit) if case.toolkit else None,
        "made_for": case.made_for.value if case.made_for else None,
        "context": case.context,
        "this_board": case.board is not None,
        "path": subject.path,
        "format": facts.format if facts else None,
        "complete": facts.complete if facts else None,
        "installed": subject.installed,
        "reference": subject.reference,
        "fitting": subject.fitting,
    }
