"""``rkfetch catalog add``: what you know of a file."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rkfetch.registry.errors import UnknownModelError, UsageError
from rkfetch.registry.model import Platform

from . import options  # noqa: TC001 - typer reads the annotations
from .catalog_additions import about_words, addition_json, address, read_file_or_stdin, remark
from .opening import open_catalog
from .output import emit, emit_json, safe, say, wrapped
from .store import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rkfetch.catalog.additions import Addition
    from rkfetch.catalog.database import Catalog
    from rkfetch.registry.model import Artifact
    from rkfetch.registry.runtime_log import Load
    from rkfetch.registry.sightings import Outcome

FileArgument = Annotated[
    str,
    typer.Argument(
        metavar="FILE|REFERENCE",
        help="A .rkllm file on this disk, the name of an installed one, or "
        "hf:OWNER/REPO/PATH.rkllm.",
    ),
]
WorksOption = Annotated[bool, typer.Option("--works", help="It answers as it should.")]
FailsOption = Annotated[
    bool, typer.Option("--fails", help="It is refused, or what it answers is of no use.")
]
# Under names of their own: what is fixed for this machine must not overrule a log.
SeenOnOption = Annotated[
    str | None,
    typer.Option(
        "--platform",
        metavar="SOC",
        help="The SoC that you saw it on. Else the log's, this board's, or the file's own.",
    ),
]
SeenWithOption = Annotated[
    str | None,
    typer.Option(
        "--runtime",
        metavar="X.Y.Z",
        help="The version of librkllmrt.so. Else the log's, or this board's.",
    ),
]
SeenDriverOption = Annotated[
    str | None,
    typer.Option(
        "--driver", metavar="X.Y.Z", help="The rknpu driver. Else the log's, or this board's."
    ),
]
BoardOption = Annotated[
    str | None,
    typer.Option("--board", metavar="TEXT", help="Which board: 'Radxa ROCK 4D'. Else detected."),
]
LogOption = Annotated[
    str | None,
    typer.Option(
        "--log",
        metavar="FILE",
        help="What the runtime printed when it loaded the file; - is stdin.",
    ),
]
NoteOption = Annotated[
    str | None,
    typer.Option("--note", metavar="TEXT", help="What you saw, in a few words: 'never stops'."),
]


def add_command(
    subject: FileArgument,
    *,
    works: WorksOption = False,
    fails: FailsOption = False,
    seen_runtime: SeenWithOption = None,
    seen_platform: SeenOnOption = None,
    seen_driver: SeenDriverOption = None,
    board: BoardOption = None,
    log: LogOption = None,
    note: NoteOption = None,
    sysroot: options.SysrootOption = "/",
    as_json: options.JsonOption = False,
    quiet: options.QuietOption = False,
) -> None:
    """Record what you know of a file: that it works or fails on a board, or what a log says.

    What you saw fail on a SoC and runtime is not chosen for them again (--allow-risky takes it all
    the same); what you saw work is preferred. On a board, SoC, runtime and driver are detected.
    Prints the addition's name, with which `rkfetch catalog remove` undoes it. Nothing leaves this
    machine: `rkfetch catalog additions --export FILE` writes what you may pass on.

    \b
    Examples:
      rkfetch catalog add hf:OWNER/REPO/FILE.rkllm --works --runtime 1.2.3
      rkfetch catalog add model.rkllm --fails --note 'answers never stop' --log load.log
    """
    from rkfetch.catalog.additions import today
    from rkfetch.catalog.observe import Told, observe
    from rkfetch.catalog.writer import Writer
    from rkfetch.registry.target import detect
    from rkfetch.registry.versions import parse_version

    outcome = _outcome(works=works, fails=fails)
    if outcome is None and log is None:
        raise UsageError(
            "nothing is said about the file", hint="--works, --fails, or --log with a load log"
        )
    told = Told(
        outcome=outcome,
        platform=Platform.parse(seen_platform) if seen_platform else None,
        runtime=parse_version(seen_runtime, what="runtime") if seen_runtime else None,
        driver=parse_version(seen_driver, what="driver") if seen_driver else None,
        board=board,
        note=note,
    )
    with open_catalog(quiet=True) as catalog:
        artifact = find(catalog, subject, as_json=as_json, quiet=quiet)
        addition = observe(
            artifact,
            told=told,
            load=_load_of(artifact, read_file_or_stdin(log), log) if log is not None else None,
            here=detect(Path(sysroot)),
            seen=today(),
            private=private_names(),
        )
        if addition is None:
            raise UsageError(
                f"{safe(log or '')} says nothing about the file itself",
                hint="say --works or --fails",
            )
        with Writer.open(catalog.path) as writer:
            writer.add(addition, own=True)
    learnt = learnt_from(artifact, addition)
    if as_json:
        emit_json({"status": "ok", "addition": addition_json(addition, own=True), "learnt": learnt})
        return
    if not quiet:
        for line in told_lines(addition, learnt):
            say(line)
    emit(addition.id)


def _outcome(*, works: bool, fails: bool) -> Outcome | None:
    from rkfetch.registry.sightings import Outcome

    if works and fails:
        raise UsageError("a file either works or fails", hint="give one of --works and --fails")
    if works or fails:
        return Outcome.WORKS if works else Outcome.FAILS
    return None


def find(catalog: Catalog, text: str, *, as_json: bool, quiet: bool) -> Artifact:
    """Return the artifact that a person means: a file here, an installed one, or a reference.

    Raises:
        UsageError, UnknownModelError, IntegrityError: there is none.
    """
    from rkfetch.catalog.subjects import of_file, of_installed, of_reference

    from .progress import for_reading
    from .selection import select_one

    store = open_store()
    if os.path.isfile(text):  # noqa: PTH113 - unlike Path.is_file, it bears any text
        progress = for_reading(f"reading {safe(Path(text).name)}", json_lines=as_json, quiet=quiet)
        with closing(progress):
            return of_file(catalog, store, Path(text), progress=progress)
    if text.lower().endswith(".rkllm") and "/" in text and ":" not in text:
        raise UsageError(f"there is no file {safe(text)}")
    try:
        item = select_one(store.installed(), text)
    except UnknownModelError:
        return of_reference(catalog, text)
    return of_installed(catalog, item)


def private_names() -> list[str]:
    """Return the names of this user and machine, which nobody else needs to know."""
    import socket

    names = {os.environ.get("USER", ""), os.environ.get("LOGNAME", ""), Path.home().name}
    names |= {socket.gethostname(), socket.gethostname().partition(".")[0]}
    return sorted((n for n in names - {"root", "localhost"} if len(n) > 2), key=len, reverse=True)


def _load_of(artifact: Artifact, data: bytes, name: str) -> Load:
    """Return the load of a file in a log.

    Raises:
        UsageError: there is none, or it cannot be told which.
    """
    from rkfetch.catalog.subjects import as_said
    from rkfetch.registry.runtime_log import read_log

    loads = read_log(data)
    file = artifact.path.rpartition("/")[2]
    of_it = [load for load in loads if load.path and Path(load.path).name == file]
    found = of_it[-1:] or (list(loads) if len(loads) == 1 else [])
    if not found:
        raise UsageError(
            f"no load of a model is in {safe(name)}"
            if not loads
            else f"{len(loads)} loads are in {safe(name)}, and none names {safe(file)}",
            hint="it is what the program prints when it starts: `I rkllm: rkllm-runtime version: …`"
            if not loads
            else "`rkfetch catalog report LOG` reads them all",
        )
    match = as_said(artifact, found[0])
    if match.artifact is None:
        raise UsageError(f"{safe(name)} is the log of another file", cause=[match.how])
    return found[0]


def learnt_from(artifact: Artifact, addition: Addition) -> list[str]:
    """Say what an addition adds to what was known."""
    from rkfetch.catalog.subjects import news

    return news(artifact, addition.evidence())


def told_lines(addition: Addition, learnt: Sequence[str]) -> Iterator[str]:
    """Say what was recorded, and how to take it back."""
    yield address(addition)
    yield from wrapped(about_words(addition) + remark(addition), lead="  ")
    for sentence in learnt:
        yield from wrapped(sentence, lead="  learnt: ")
    yield f"undo: rkfetch catalog remove {addition.id}"
