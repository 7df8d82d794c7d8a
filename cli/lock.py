"""``rkfetch lock``: write down which file every board of a set-up gets."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Annotated

import typer

from rkfetch.catalog.setup.files import DEFAULT, SetupFiles
from rkfetch.registry.errors import UsageError

from . import options
from .output import emit, emit_json, safe, say
from .setups import (
    FileOption,  # noqa: TC001 - typer reads the annotations
    declared,
    lock_json,
    lock_now,
    require_fresh,
    say_changes,
)
from .store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rkfetch.catalog.setup.declaration import Wish
    from rkfetch.catalog.setup.locked import Lock

ModelsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[MODEL...]", help="With --upgrade: these alone, as rkfetch.toml says."),
]
UpgradeOption = Annotated[
    bool,
    typer.Option("--upgrade", "-U", help="Choose anew what was locked before."),
]
CheckOption = Annotated[
    bool,
    typer.Option("--check", help="Change nothing; exit with 13 if the lock file is out of date."),
]


def lock_command(
    models: ModelsArgument = None,
    *,
    file: FileOption = DEFAULT,
    upgrade: UpgradeOption = False,
    check: CheckOption = False,
    platform: options.PlatformOption = None,
    runtime: options.RuntimeOption = None,
    driver: options.DriverOption = None,
    memory: options.MemoryOption = None,
    context: options.ContextOption = None,
    sysroot: options.SysrootOption = "/",
    offline: options.OfflineOption = False,
    as_json: options.JsonOption = False,
    quiet: options.QuietOption = False,
) -> None:
    """Write rkfetch.lock: for each model and each target of rkfetch.toml the file, by its SHA-256.

    What was locked before is kept while it may be used; --upgrade chooses anew, as after an
    upgrade of the boards' runtime. Where rkfetch.toml has no [[target]], the board is this one,
    or the one that the options describe. Nothing is downloaded but headers that nobody has read.

    \b
    Examples:
      rkfetch lock
      rkfetch lock --upgrade qwen2.5-1.5b
      rkfetch lock --check --file boards/rkfetch.toml

    \b
    Exit codes: 0 written, or as it was, 2 wrong usage or a mistake in a file, 3 nothing compatible
      for a model that is not optional, 4 unknown model, 9 memory, 10 only a conversion would help,
      11 offline, 13 out of date (--check).
    """
    files = SetupFiles.named(file)
    silent = quiet or as_json
    if models and not upgrade:
        raise UsageError(
            "models are named for --upgrade only",
            hint="rkfetch.toml says what is locked; `rkfetch lock --upgrade MODEL` chooses anew",
        )
    if check:
        require_fresh(files, declared(files), files.locked())
        if as_json:
            emit_json({"status": "ok", "lock": str(files.lock.absolute()), "error": None})
        elif not quiet:
            say(f"{safe(str(files.lock))} is up to date")
        return
    board = functools.partial(
        options.make_target,
        platform=platform,
        runtime=runtime,
        driver=driver,
        memory=memory,
        context=context,
        sysroot=sysroot,
    )
    made, written = lock_now(
        files,
        open_store(),
        board,
        upgrade=_upgraded(files, models or []) if upgrade else _nothing,
        offline=offline,
        silent=silent,
    )
    if as_json:
        emit_json(lock_json(files, made, written=written))
        return
    if not quiet:
        say_changes(made.changes)
        _conclude(made.lock, written=written)
    emit(str(files.lock))


def _nothing(_: Wish) -> bool:
    return False


def _upgraded(files: SetupFiles, models: Sequence[str]) -> Callable[[Wish], bool]:
    """Return what tells whether a model is to be chosen anew.

    Raises:
        UsageError: one of these is not in the declaration.
    """
    if not models:
        return lambda _: True
    wishes = [wish for wish, _ in declared(files).wishes]
    known = {name.lower() for wish in wishes for name in (wish.model, wish.words)}
    for name in models:
        if name.lower() not in known:
            raise UsageError(
                f"{files.declaration.name} has no model '{name}'",
                cause=[f"it has: {', '.join(dict.fromkeys(wish.words for wish in wishes))}"],
            )
    wanted = {name.lower() for name in models}
    return lambda wish: not wanted.isdisjoint({wish.model.lower(), wish.words.lower()})


def _conclude(lock: Lock, *, written: bool) -> None:
    targets = len(lock.targets)
    count = sum(len(target.models) for target in lock.targets)
    said = "written" if written else "is as it was"
    of = f"{count} model{'' if count == 1 else 's'}"
    on = f" for {targets} targets" if targets > 1 else ""
    say(f"{said}: {of}{on}")
