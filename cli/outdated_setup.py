"""``rkfetch outdated --file``: what of a lock file is not what to use any more."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from rkfetch.catalog.outdated import State
from rkfetch.catalog.setup.board import how_to_upgrade
from rkfetch.catalog.setup.files import SetupFiles
from rkfetch.registry.errors import UsageError

from .answers import target_json, target_words
from .opening import open_catalog
from .outdated import finding_json, finding_lines
from .output import emit, emit_json, safe, say, say_wrapped
from .setups import model_json

if TYPE_CHECKING:
    from rkfetch.catalog.outdated import Finding
    from rkfetch.catalog.setup.locked import LockedModel
    from rkfetch.catalog.setup.upgrades import Compared
    from rkfetch.registry.model import Target


def outdated_setup(file: str, board: Target, *, known: bool, as_json: bool, quiet: bool) -> None:
    """Answer for all targets of a lock file.

    Raises:
        UsageError: there is no lock file, or it cannot be read.
    """
    from rkfetch.catalog.setup.upgrades import compare

    files = SetupFiles.named(file)
    lock, declaration = files.locked(), files.declared()
    if lock is None:
        raise UsageError(f"there is no {files.lock}", hint="`rkfetch lock` writes it")
    with open_catalog(quiet=quiet or as_json) as catalog:
        compared = compare(catalog, lock, declaration, board, known=known)
    if as_json:
        emit_json(
            {
                "status": "ok",
                "lock": str(files.lock.absolute()),
                "targets": [_target_json(item, file) for item in compared],
            }
        )
        return
    for item in compared:
        emit(f"{safe(item.locked.name)}: {target_words(item.board)}")
        for model, finding in item.models:
            sha256, name = "-" * 12, model.wish.words
            if model.files:
                sha256, name = model.files[0].sha256, model.files[0].artifact.name
            update = _command(model, finding, file)
            for line in finding_lines(sha256, name, finding, update=update):
                emit(f"  {line}")
    if not quiet:
        _say_of_the_board(compared)


def _say_of_the_board(compared: list[Compared]) -> None:
    for item in compared:
        for sentence in item.here.differs if item.here is not None else ():
            say(f"{safe(item.locked.name)} is this board, and {sentence}")
        if item.here is not None and not item.here.is_as_locked:
            say_wrapped(how_to_upgrade(item.here), lead="hint: ")


def _command(model: LockedModel, finding: Finding, file: str) -> str | None:
    if finding.other is None and finding.state not in {State.REPLACED, State.GONE}:
        return None
    where = "" if file in {"rkfetch.toml", "rkfetch.lock"} else f" --file {shlex.quote(file)}"
    return f"rkfetch lock --upgrade {shlex.quote(model.wish.words)}{where}"


def _target_json(item: Compared, file: str) -> dict[str, object]:
    return {
        "name": item.locked.name,
        "board": target_json(item.board),
        "is_this_board": item.here is not None,
        "models": [
            {**model_json(model), **finding_json(finding, update=_command(model, finding, file))}
            for model, finding in item.models
        ],
    }
