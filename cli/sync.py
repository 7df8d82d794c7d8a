"""``rkfetch sync``: make this board have what its lock file says."""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rkfetch.catalog.setup.board import find
from rkfetch.catalog.setup.compare import stale
from rkfetch.catalog.setup.files import DEFAULT, SetupFiles, alone

from . import options, spending
from .fetch import (
    BackgroundOption,  # noqa: TC001 - typer reads the annotations
    ConnectionsOption,  # noqa: TC001
    LimitRateOption,  # noqa: TC001
    limits_of,
)
from .opening import open_network
from .output import safe, say_wrapped
from .setups import (
    FileOption,  # noqa: TC001
    lock_now,
    require_fresh,
    say_changes,
)
from .store import open_store
from .sync_report import Report

if TYPE_CHECKING:
    from rkfetch.catalog.setup.locked import Lock
    from rkfetch.catalog.setup.syncing import FileOutcome, ModelOutcome
    from rkfetch.registry.model import Target
    from rkfetch.registry.progress import Progress
    from rkfetch.registry.store import Store

    from .progress import Silent

TargetOption = Annotated[
    str | None,
    typer.Option(
        "--target",
        metavar="NAME",
        help="Which target of the lock file this board is. By itself that is told by SoC and "
        "runtime.",
    ),
]
IntoOption = Annotated[
    str | None,
    typer.Option(
        "--into",
        metavar="DIR",
        help="Place the files below this folder instead of that of the lock file.",
    ),
]
CheckOption = Annotated[
    bool,
    typer.Option("--check", help="Change nothing; exit with 13 if something would be changed."),
]
LockedOption = Annotated[
    bool,
    typer.Option(
        "--locked", help="Never choose anew; exit with 13 if rkfetch.toml asks for something else."
    ),
]
PruneOption = Annotated[
    bool,
    typer.Option(
        "--prune",
        help="Remove the files that an earlier sync placed and the lock file no longer names; "
        "never anything else.",
    ),
]
ForceOption = Annotated[
    bool,
    typer.Option("--force", help="Replace files at these places that no sync has put there."),
]


def sync_command(
    *,
    file: FileOption = DEFAULT,
    target: TargetOption = None,
    into: IntoOption = None,
    check: CheckOption = False,
    locked: LockedOption = False,
    prune: PruneOption = False,
    force: ForceOption = False,
    platform: options.PlatformOption = None,
    runtime: options.RuntimeOption = None,
    driver: options.DriverOption = None,
    memory: options.MemoryOption = None,
    sysroot: options.SysrootOption = "/",
    limit_rate: LimitRateOption = None,
    connections: ConnectionsOption = 8,
    background: BackgroundOption = False,
    metered: spending.MeteredOption = "auto",
    offline: options.OfflineOption = False,
    as_json: options.JsonOption = False,
    quiet: options.QuietOption = False,
) -> None:
    """Make this board have the files that rkfetch.lock says, each verified and in its place.

    Doing it again changes nothing and asks no network. Where rkfetch.toml asks for something else
    than is locked, it locks that first; scripts say --locked. A board with another runtime than
    was locked gets only what loads there. Prints the models' paths, in the lock file's order.

    \b
    Examples:
      rkfetch sync
      rkfetch sync --locked --quiet
      rkfetch sync --check --json
      rkfetch sync --file /etc/models/rkfetch.lock --into /opt/models --prune

    \b
    Exit codes: 0 the board is as the lock file says, 13 it is not (--check), or the lock file is
      not as rkfetch.toml says (--locked); of the first model that failed: 3 it does not load on
      this board, 5 gated, 6 network, 7 integrity, 8 disk, 9 memory, 11 offline; 2 wrong usage,
      130 interrupted.
    """
    from rkfetch.catalog.setup.syncing import Board, Means

    files, store, silent = SetupFiles.named(file), open_store(), quiet or as_json
    limits = limits_of(limit_rate, connections, background=background)
    board, known = options.find_board(
        platform=platform,
        runtime=runtime,
        driver=driver,
        memory=memory,
        context=None,
        sysroot=sysroot,
    )
    lock = _lock(
        files, store, board, may_lock=not (check or locked), offline=offline, silent=silent
    )
    here = find(lock, board, known=known, name=target)
    folder = (Path(into) if into is not None else files.folder).absolute()
    report = Report(files, folder, here, check=check)
    if not silent:
        report.say_board()
    setup = Board(store, folder, here)
    with ExitStack() as stack:
        shown = stack.enter_context(closing(_Shown(as_json=as_json, quiet=quiet)))
        report.outcomes = setup.look(shown.reading())
        if not check and not (
            setup.is_noted(report.outcomes) and not (prune and setup.leftovers())
        ):
            stack.enter_context(
                alone(store, folder, "another rkfetch brings these files", waiting=shown.waiting)
            )
            setup = Board(store, folder, here)
            report.outcomes = setup.look(shown.reading())
            missing = any(outcome.drifted for outcome in report.outcomes)
            http = stack.enter_context(open_network(offline=offline or not missing, patient=True))
            means = Means(
                http=http,
                progress=shown.fetching,
                limits=limits,
                costs=spending.costs_of(metered, None if silent else shown),
                force=force,
            )
            setup.carry_out(report.outcomes, means)
        report.leftovers = [(place, None) for place in setup.leftovers()]
        if prune and not check and not report.errors:
            report.removed = list(setup.prune())
            report.leftovers = [(p, why) for p, why in report.removed if why is not None]
    report.conclude(as_json=as_json, silent=silent, prune=prune)


def _lock(
    files: SetupFiles, store: Store, board: Target, *, may_lock: bool, offline: bool, silent: bool
) -> Lock:
    """Return the lock to follow, after bringing it up to date if that may be."""
    declaration, lock = files.declared(), files.locked()
    if declaration is None or not may_lock or (lock is not None and not stale(declaration, lock)):
        return require_fresh(files, declaration, lock)
    made, _ = lock_now(
        files, store, lambda: board, upgrade=lambda _: False, offline=offline, silent=silent
    )
    if not silent:
        say_changes(made.changes)
    return made.lock


class _Shown:
    """Shows one thing after the other; a bar on the screen makes place for the next."""

    def __init__(self, *, as_json: bool, quiet: bool) -> None:
        self._as_json = as_json
        self._quiet = quiet
        self.current: Silent | None = None

    def reading(self) -> Progress:
        from .progress import for_reading

        self.close()
        title = "reading files whose times say nothing"
        self.current = for_reading(title, json_lines=self._as_json, quiet=self._quiet)
        return self.current

    def fetching(self, outcome: ModelOutcome, file: FileOutcome) -> Progress:
        from .progress import for_output

        self.close()
        if not (self._as_json or self._quiet):
            say_wrapped(file.file.artifact.name, lead=f"{safe(outcome.model.wish.words)}: ")
        self.current = for_output(json_lines=self._as_json, quiet=self._quiet)
        return self.current

    def waiting(self, reason: str, seconds: float) -> None:
        if self.current is not None:
            self.current.waiting(reason, seconds)

    def close(self) -> None:
        if self.current is not None:
            self.current.close()
