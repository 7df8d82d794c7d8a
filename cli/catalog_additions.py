"""``rkfetch catalog additions|remove``: what was recorded, listed, exchanged and taken back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rkfetch.catalog.models import exactly
from rkfetch.registry.errors import UsageError

from . import options  # noqa: TC001 - typer reads the annotations
from .opening import open_catalog
from .output import emit, emit_json, safe, say, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rkfetch.catalog.additions import Addition
    from rkfetch.catalog.database import Catalog
    from rkfetch.catalog.entries import Kept


def remove_command(
    names: Annotated[
        list[str],
        typer.Argument(metavar="ADDITION...", help="As `rkfetch catalog additions` lists them."),
    ],
    *,
    as_json: options.JsonOption = False,
    quiet: options.QuietOption = False,
) -> None:
    """Take back what was recorded with `catalog add` or `catalog report`, or imported.

    \b
    Example:
      rkfetch catalog remove 3f2a91c04b7d
    """
    from rkfetch.catalog.writer import Writer

    with open_catalog(quiet=True) as catalog:
        chosen = [_named(name, catalog.additions()) for name in names]
        with Writer.open(catalog.path) as writer, writer.transaction():
            for kept in chosen:
                writer.remove_addition(kept.addition)
    if as_json:
        removed = [addition_json(k.addition, own=k.own) for k in chosen]
        emit_json({"status": "ok", "removed": removed})
    elif not quiet:
        for kept in chosen:
            say(f"removed {kept.addition.id}: {address(kept.addition)}")


def _named(name: str, additions: Iterable[Kept]) -> Kept:
    found = [k for k in additions if len(name) >= 4 and k.addition.id.startswith(name.lower())]
    if len(found) != 1:
        why = f"{len(found)} additions begin with" if found else "there is no addition"
        raise UsageError(
            f"{why} '{safe(name)}'", hint="`rkfetch catalog additions` lists them with their names"
        )
    return found[0]


def additions_command(
    *,
    export: Annotated[
        str | None,
        typer.Option(
            "--export",
            metavar="FILE",
            help="Write what was recorded here as lines of JSON; lines that the file has already "
            "stay. - is stdout.",
        ),
    ] = None,
    take_in: Annotated[
        str | None,
        typer.Option("--import", metavar="FILE", help="Take in other people's; - is stdin."),
    ] = None,
    everyone: Annotated[
        bool, typer.Option("--all", help="List other people's, too; --json always has them.")
    ] = False,
    as_json: options.JsonOption = False,
    quiet: options.QuietOption = False,
) -> None:
    """List what was recorded about files on this machine; write it to a file, or take others' in.

    An exported file holds no path of this disk and no name of a user or a machine. It always has
    the same order, so that it fits into a pull request.

    \b
    Examples:
      rkfetch catalog additions
      rkfetch catalog additions --export additions.jsonl
      rkfetch catalog additions --import additions.jsonl
    """
    if export is not None and take_in is not None:
        raise UsageError("either --export or --import")
    with open_catalog(quiet=True) as catalog:
        if take_in is not None:
            count = _take_in(catalog, take_in)
            if not quiet:
                say(f"{count} additions taken in from {safe(take_in)}")
        kept = catalog.additions()
    if export is not None:
        _export([k.addition for k in kept if k.own], export, quiet=quiet, as_json=as_json)
        return
    if as_json:
        emit_json({"additions": [addition_json(k.addition, own=k.own) for k in kept]})
    elif take_in is None:
        shown = [k for k in kept if k.own or everyone]
        _list(shown)
        if not quiet and len(shown) < len(kept):
            say(f"{len(kept) - len(shown)} more from others: --all")


def _list(kept: Sequence[Kept]) -> None:
    for number, item in enumerate(kept):
        addition = item.addition
        if number:
            emit("")
        whose = "yours" if item.own else "from others"
        emit(f"{addition.id}  {addition.seen}  {addition.origin.value}, {whose}")
        emit(f"  {address(addition)}")
        for line in wrapped(about_words(addition) + remark(addition), lead="  "):
            emit(line)
        if addition.said:
            said = ", ".join(f"{name} {value}" for name, value in addition.said)
            for line in wrapped(f"the runtime read: {said}", lead="  "):
                emit(line)
    if not kept:
        say("nothing was recorded here yet: `rkfetch catalog add --help`")


def _export(additions: Sequence[Addition], name: str, *, quiet: bool, as_json: bool) -> None:
    from rkfetch.catalog.additions import from_lines, to_lines
    from rkfetch.registry.durable import disk_errors, write_durably

    if name == "-":
        for line in to_lines(additions).splitlines():
            emit(line)
        return
    path = Path(name)
    before = from_lines(read_file_or_stdin(name), name=name) if path.exists() else []
    with disk_errors(path.parent):
        write_durably(path, to_lines([*before, *additions]).encode())
    new = {a.id for a in additions} - {a.id for a in before}
    if as_json:
        emit_json({"status": "ok", "file": name, "additions": len(additions), "new": len(new)})
    elif not quiet:
        say(f"{len(additions)} additions, {len(new)} of them new, written to {safe(name)}")


def _take_in(catalog: Catalog, name: str) -> int:
    from rkfetch.catalog.additions import from_lines
    from rkfetch.catalog.writer import Writer

    additions = from_lines(read_file_or_stdin(name), name=name)
    with Writer.open(catalog.path) as writer, writer.transaction():
        for addition in additions:
            writer.add(addition, own=False)
    return len(additions)


# --- what `add` and `report` say and read, too -------------------------------------------------


def read_file_or_stdin(name: str) -> bytes:
    """Read a file, or standard input for ``-``, no further than a log or list may be long.

    Raises:
        UsageError: it cannot be read.
    """
    from rkfetch.registry.runtime_log import MOST_BYTES

    try:
        if name == "-":
            return sys.stdin.buffer.read(MOST_BYTES + 1) if sys.stdin else b""
        with Path(name).open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{safe(name)} cannot be read: {error.strerror or error}") from error


def about_words(addition: Addition) -> str:
    """Say what an addition says: ``works on rk3576, runtime 1.2.3``."""
    sighting = addition.sighting(own=True)
    if sighting is None:
        return "its load log was read"
    return f"{sighting.outcome.value} on {sighting.pair}"


def address(addition: Addition) -> str:
    """Return the file of an addition as one types it."""
    path = addition.path
    return safe(exactly(addition.source, f"{addition.repo}/{path}") if addition.repo else path)


def remark(addition: Addition) -> str:
    """Return board and note of an addition, in parentheses."""
    parts = [p for p in (addition.board, addition.note) if p]
    return f" ({'; '.join(parts)})" if parts else ""


def addition_json(addition: Addition, *, own: bool) -> dict[str, Any]:
    """Return an addition with its name."""
    import json

    return {"id": addition.id, "own": own, **json.loads(addition.line())}
