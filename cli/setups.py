"""What ``lock``, ``sync`` and ``outdated --file`` share: the option, locking, and the JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from rkfetch.catalog.setup.compare import stale
from rkfetch.catalog.setup.files import DEFAULT
from rkfetch.registry.errors import DriftError, UsageError

from .answers import artifact_json, target_json
from .opening import open_catalog, open_network
from .output import error_json, safe, say, say_error, say_wrapped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rkfetch.catalog.setup.declaration import Declaration, Wish
    from rkfetch.catalog.setup.files import SetupFiles
    from rkfetch.catalog.setup.locked import Lock, LockedModel
    from rkfetch.catalog.setup.locking import Change, Made
    from rkfetch.registry.errors import RkfetchError
    from rkfetch.registry.model import Target
    from rkfetch.registry.store import Store

FileOption = Annotated[
    str,
    typer.Option(
        "--file",
        "-f",
        metavar="FILE",
        help="The declaration, or the lock file beside it, which has the same name and ends in "
        ".lock.",
    ),
]


def declared(files: SetupFiles) -> Declaration:
    """Read the declaration, which has to be there.

    Raises:
        UsageError: it is not, or cannot be read.
    """
    declaration = files.declared()
    if declaration is None:
        raise UsageError(
            f"there is no {files.declaration}",
            hint='write one: [[model]] on a line, below it model = "qwen2.5-1.5b"; or name it '
            "with --file",
        )
    return declaration


def require_fresh(files: SetupFiles, declaration: Declaration | None, lock: Lock | None) -> Lock:
    """Return the lock if it is there and says what the declaration asks for.

    Raises:
        DriftError: it does not.
        UsageError: there is neither.
    """
    if lock is None and declaration is None:
        raise UsageError(
            f"there is neither {files.declaration} nor {files.lock}",
            hint=f"name one with --file; {DEFAULT} in this folder is what is looked for",
        )
    if lock is None:
        raise DriftError(f"there is no {files.lock}", hint="`rkfetch lock` writes it")
    differences = stale(declaration, lock) if declaration is not None else []
    if differences:
        raise DriftError(
            f"{files.lock} is not what {files.declaration.name} asks for",
            cause=differences,
            hint="`rkfetch lock` brings it up to date",
        )
    return lock


def lock_now(
    files: SetupFiles,
    store: Store,
    board: Callable[[], Target],
    *,
    upgrade: Callable[[Wish], bool],
    offline: bool,
    silent: bool,
) -> tuple[Made, bool]:
    """Choose all files, and write the lock file; tell whether it had to be written.

    Raises:
        RkfetchError: a model cannot be had, with the JSON answer; nothing was written.
    """
    from rkfetch.catalog.setup.locking import make

    from .question import at_hand

    def waiting(reason: str, _: float) -> None:
        if not silent:
            say(reason)

    network = open_network(offline=offline, patient=False)
    with (
        files.alone(store, waiting=waiting),
        open_catalog(quiet=silent) as catalog,
        network as http,
    ):
        made = make(
            catalog,
            declared(files),
            board,
            old=files.locked(),
            upgrade=upgrade,
            http=http,
            at_hand=at_hand(http),
        )
        if made.failures:
            raise _failed(files, made)
        written = files.write(made.lock)
    return made, written


def _failed(files: SetupFiles, made: Made) -> RkfetchError:
    """Return the first failure, and say the others."""
    from rkfetch.catalog.setup.locking import NOTHING_FITS

    for failure in made.failures:
        failure.error.message = f"{failure.target}: {failure.error.message}"
    for failure in made.failures[1:]:
        say_error(failure.error)
    first = made.failures[0].error
    if isinstance(first, NOTHING_FITS):
        without = "`optional = true` in rkfetch.toml lets a target go without a model"
        first.hint = f"{first.hint}; or {without}" if first.hint else without
    more = len(made.failures) - 1
    first.cause = (*first.cause, *([f"{more} more cannot be had, see above"] if more else []))
    first.answer = lock_json(files, made, written=False)
    return first


# --- words ----------------------------------------------------------------------------------------


def say_changes(changes: Sequence[Change]) -> None:
    """Say what is locked otherwise than before."""
    for change in changes:
        if change.what == "kept":
            continue
        say(f"{safe(change.target)}: {safe(change.wish.words)}")
        old, new = (_file_words(m) for m in (change.old, change.new))
        if change.what == "removed":
            say_wrapped(f"no longer locked (was {old})", lead="  ")
            continue
        say_wrapped(new, lead="  ")
        if change.new is not None and change.new.alone is not None:
            say_wrapped(change.new.alone, lead="  warning: ")
        if change.what == "changed":
            say_wrapped(old, lead="  was ")


def _file_words(model: LockedModel | None) -> str:
    if model is None:
        return "nothing"
    if not model.files:
        return f"nothing, which is allowed: {model.why}"
    beside = f" and {len(model.files) - 1} more" if len(model.files) > 1 else ""
    artifact = model.files[0].artifact
    toolkit = artifact.value("toolkit")
    made_by = f" (toolkit {toolkit})" if toolkit else ""
    return f"{artifact.name}{made_by}{beside}"


# --- JSON -----------------------------------------------------------------------------------------


def lock_json(files: SetupFiles, made: Made, *, written: bool) -> dict[str, Any]:
    """Return what was locked, and how that came about."""
    return {
        "status": "ok",
        "lock": str(files.lock.absolute()),
        "written": written,
        "targets": [
            {
                "name": target.name,
                "target": target_json(target.target),
                "models": [
                    {
                        **model_json(change.new),
                        "change": change.what,
                        "was": None if change.old is None else model_json(change.old)["files"],
                    }
                    for change in made.changes
                    if change.target == target.name and change.new is not None
                ],
                "removed": [
                    model_json(change.old)
                    for change in made.changes
                    if change.target == target.name and change.new is None and change.old
                ],
            }
            for target in made.lock.targets
        ],
        "failures": [
            {"target": f.target, "model": f.wish.words, "error": error_json(f.error)}
            for f in made.failures
        ],
        "error": None,
    }


def model_json(model: LockedModel) -> dict[str, Any]:
    """Return a model as it is locked."""
    wish = model.wish
    return {
        "model": wish.model,
        "quant": str(wish.quant) if wish.quant else None,
        "context": wish.context,
        "to": wish.to,
        "optional": wish.optional,
        "name": model.name,
        "verdict": model.level.value if model.level else None,
        "why": model.why,
        "alone": model.alone,
        "files": [artifact_json(file.artifact) for file in model.files],
    }
