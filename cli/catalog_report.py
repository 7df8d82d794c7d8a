"""``rkfetch catalog report``: what a runtime's load log teaches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rkfetch.registry.errors import UsageError

from . import options  # noqa: TC001 - typer reads the annotations
from .catalog_add import find, learnt_from, private_names
from .catalog_additions import addition_json, address, read_file_or_stdin
from .opening import open_catalog
from .output import emit, emit_json, safe, say, wrapped
from .store import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rkfetch.catalog.additions import Addition
    from rkfetch.catalog.database import Catalog
    from rkfetch.catalog.subjects import Match
    from rkfetch.registry.runtime_log import Load

LogArgument = Annotated[
    str, typer.Argument(metavar="LOGFILE|-", help="What the runtime printed; - is stdin.")
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="FILE|REFERENCE",
        help="Which file the log is about, where it does not tell: a path, the name of an "
        "installed file, or hf:OWNER/REPO/PATH.rkllm.",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Learnt:
    """One load, and what was made of it."""

    load: Load
    match: Match
    addition: Addition | None
    learnt: tuple[str, ...]


def report_command(
    log: LogArgument,
    *,
    model: ModelOption = None,
    as_json: options.JsonOption = False,
    quiet: options.QuietOption = False,
) -> None:
    """Read the log of a runtime that loaded a model: which file, what is in it, how it went.

    A runtime prints its version, and from 1.2.1 on what it read in the file. This becomes evidence
    for the file that the log names. Colours, prefixes and noise of a console do not matter, and
    a log may have many loads. Nothing leaves this machine.

    \b
    Examples:
      rkfetch catalog report load.log
      llm_demo model.rkllm 512 4096 2>&1 | tee /dev/tty | rkfetch catalog report -
      journalctl -u llm | rkfetch catalog report - --model hf:OWNER/REPO/FILE.rkllm
    """
    from rkfetch.registry.runtime_log import MOST_BYTES, read_log

    data = read_file_or_stdin(log)
    loads = read_log(data)
    if len(data) > MOST_BYTES:
        say(f"note: only the first {MOST_BYTES >> 20} MiB of the log were read")
    if not loads:
        raise UsageError(
            f"no load of a model is in {safe(log)}",
            cause=["it is told by a line like `I rkllm: rkllm-runtime version: 1.2.3, …`"],
            hint="the runtime prints it when a program loads a model; some programs hide it: "
            "RKLLM_LOG_LEVEL=1",
        )
    with open_catalog(quiet=True) as catalog:
        learnt = _learn(catalog, loads, model, as_json=as_json, quiet=quiet)
    if as_json:
        emit_json({"status": "ok", "log": log, "loads": [_json(item) for item in learnt]})
        return
    for number, item in enumerate(learnt):
        if number:
            emit("")
        for line in _lines(item, log):
            emit(line)


def _learn(
    catalog: Catalog, loads: tuple[Load, ...], model: str | None, *, as_json: bool, quiet: bool
) -> list[_Learnt]:
    """Match each load with its file, and record what is new.

    Raises:
        UsageError: ``model`` was given for a log of several files.
    """
    from rkfetch.catalog.additions import today
    from rkfetch.catalog.observe import Told, observe
    from rkfetch.catalog.subjects import as_said, of_load
    from rkfetch.catalog.writer import Writer
    from rkfetch.registry.target import detect

    files = {load.path for load in loads}
    if model is not None and len(files - {None}) > 1:
        raise UsageError(
            f"the log is about {len(files)} files: --model cannot mean all of them",
            hint="leave --model out, or give the part of the log that is about one",
        )
    given = find(catalog, model, as_json=as_json, quiet=quiet) if model is not None else None
    found = []
    store, here, names = open_store(), detect(), private_names()
    with Writer.open(catalog.path) as writer:
        for load in loads:
            match = as_said(given, load) if given else of_load(catalog, store, load)
            addition, learnt = None, []
            if match.artifact is not None:
                addition = observe(
                    match.artifact,
                    told=Told(),
                    load=load,
                    here=here,
                    seen=today(),
                    private=names,
                )
            if addition is not None and match.artifact is not None:
                learnt = learnt_from(match.artifact, addition)
                writer.add(addition, own=True)
            found.append(_Learnt(load=load, match=match, addition=addition, learnt=tuple(learnt)))
    return found


# --- words and JSON ----------------------------------------------------------------------------


def _lines(item: _Learnt, log: str) -> Iterator[str]:
    from rkfetch.registry.sightings import Outcome

    load = item.load
    platform = f" on {load.platform.value}" if load.platform else ""
    runtime = f"runtime {load.runtime}" if load.runtime else "a runtime"
    driver = f", driver {load.driver}" if load.driver else ""
    yield f"{safe(log)}, line {load.line}: {runtime}{driver}{platform}"
    for sentence in _went(load):
        yield from wrapped(sentence, lead="  ")
    file = safe(load.path or "a file that the log does not name")
    if item.match.artifact is None:
        yield from wrapped(f"of {file}: {item.match.how}", lead="  ")
        yield from wrapped(_facts(load), lead="  ")
        yield "  nothing was recorded; --model FILE|REFERENCE says which file it is"
        return
    if item.addition is None:
        yield from wrapped(f"of {file}: nothing to record", lead="  ")
        return
    yield from wrapped(f"of {address(item.addition)}: {item.match.how}", lead="  ")
    for sentence in item.learnt:
        yield from wrapped(sentence, lead="  learnt: ")
    yield f"  recorded; undo: rkfetch catalog remove {item.addition.id}"
    if load.outcome is Outcome.LOADS and load.runtime and load.platform:
        pair = f"--platform {load.platform.value} --runtime {load.runtime}"
        yield "  if it answers as it should, say so:"
        yield f"    rkfetch catalog add {address(item.addition)} --works {pair}"


def _went(load: Load) -> Iterator[str]:
    """Say how a load went."""
    from rkfetch.registry.sightings import Outcome

    if load.outcome is Outcome.LOADS:
        yield "it was loaded"
    elif load.outcome is Outcome.FAILS:
        yield "it failed"
    elif load.complaints:
        yield "it failed, which does not speak against the file"
    else:
        yield "how it went is not told"
    for complaint in load.complaints:
        yield f"line {complaint.line}: {complaint.text}"
    if load.unversioned:
        yield "the file carries no toolkit version, as those made before about 1.1.4"


def _facts(load: Load) -> str:
    said = ", ".join(f"{e.attribute} {e.value}" for e in load.evidence(place="", seen=""))
    return f"the runtime read: {said}" if said else "the runtime tells nothing of what is in it"


def _json(item: _Learnt) -> dict[str, Any]:
    load, artifact = item.load, item.match.artifact
    return {
        "line": load.line,
        "runtime": str(load.runtime) if load.runtime else None,
        "driver": str(load.driver) if load.driver else None,
        "platform": load.platform.value if load.platform else None,
        "file": load.path,
        "said": {e.attribute: e.value for e in load.evidence(place="", seen="")},
        "outcome": load.outcome.value if load.outcome else None,
        "complaints": [
            {"line": c.line, "text": c.text, "blame": c.blame.value} for c in load.complaints
        ],
        "artifact": None
        if artifact is None
        else {"source": artifact.source, "repo": artifact.repo, "path": artifact.path}
        | {"sha256": artifact.sha256},
        "how": item.match.how,
        "learnt": list(item.learnt),
        "addition": addition_json(item.addition, own=True) if item.addition else None,
    }
