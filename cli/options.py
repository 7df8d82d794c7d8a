"""Options that several commands share, and what they mean.

Most can be fixed for a whole machine, by the variable that the help names or in ``config.toml``:
`Fixed` gives what is set to the command line, which itself reads neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from rkfetch.registry import settings
from rkfetch.registry.model import Platform
from rkfetch.registry.versions import parse_version

if TYPE_CHECKING:
    from rkfetch.registry.model import Target
    from rkfetch.registry.target import Board


class Fixed(dict[str, Any]):
    """What is set for the options of a command, by their names; looked up when it is asked for."""

    def get(self, key: str, default: Any = None) -> Any:
        """Return what is set for an option that was not given; raises as `settings.find`."""
        return settings.value(key) if key in settings.KNOWN else default


def fixable(key: str, name: str, *, help: str, **more: Any) -> Any:  # noqa: A002 - typer's word
    """Return an option whose parameter bears the name of a setting, which is its default."""
    variables = ", ".join(settings.KNOWN[key].variables)
    return typer.Option(name, help=f"{help} [env var: {variables}]", **more)


PlatformOption = Annotated[
    str | None,
    fixable(
        "platform",
        "--platform",
        metavar="SOC",
        help="The board's SoC: rk3576, rk3588, rk3562 or rv1126b. On a board it is detected; "
        "elsewhere it is rk3576 unless said.",
    ),
]
RuntimeOption = Annotated[
    str | None,
    fixable(
        "runtime",
        "--runtime",
        metavar="X.Y.Z",
        help="Version of librkllmrt.so on the board. On a board it is detected.",
    ),
]
DriverOption = Annotated[
    str | None,
    fixable(
        "driver",
        "--driver",
        metavar="X.Y.Z",
        help="Version of the board's rknpu kernel driver. On a board it is detected.",
    ),
]
MemoryOption = Annotated[
    str | None,
    fixable(
        "memory",
        "--memory",
        metavar="SIZE",
        help="The board's memory, like 4G or 8G. On a board it is detected; elsewhere memory is "
        "not checked unless said.",
    ),
]
ContextOption = Annotated[
    int | None,
    fixable(
        "context",
        "--context",
        metavar="TOKENS",
        min=1,
        help="The context you need. It is fixed when a file is built, so smaller files are "
        "refused.",
    ),
]
SysrootOption = Annotated[
    str,
    fixable(
        "sysroot",
        "--sysroot",
        metavar="DIR",
        help="Detect the board from this root file system instead of /.",
    ),
]
AllowRiskyOption = Annotated[
    bool,
    typer.Option(
        "--allow-risky",
        help="Accept a build that loads but was seen to misbehave on this runtime.",
    ),
]
AllowUnverifiedOption = Annotated[
    bool,
    typer.Option(
        "--allow-unverified",
        help="Accept a build of which not enough is known to promise that it loads.",
    ),
]
OfflineOption = Annotated[
    bool,
    fixable(
        "offline",
        "--offline/--no-offline",
        help="Never use the network.",
    ),
]
JsonOption = Annotated[
    bool,
    typer.Option("--json", help="Answer with one JSON object."),
]
QuietOption = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="No progress and no remarks, only errors."),
]


def make_target(
    *,
    platform: str | None,
    runtime: str | None,
    driver: str | None,
    memory: str | None,
    context: int | None,
    sysroot: str,
    board: Board | None = None,
) -> Target:
    """Read the target options; what was not given is detected, unless the board is given.

    Raises:
        UsageError: an option cannot be read.
    """
    return find_board(
        platform=platform,
        runtime=runtime,
        driver=driver,
        memory=memory,
        context=context,
        sysroot=sysroot,
        board=board,
    )[0]


def find_board(
    *,
    platform: str | None,
    runtime: str | None,
    driver: str | None,
    memory: str | None,
    context: int | None,
    sysroot: str,
    board: Board | None = None,
) -> tuple[Target, bool]:
    """Return the target as `make_target`, and whether its SoC was given or detected.

    Raises:
        UsageError: an option cannot be read.
    """
    from pathlib import Path

    from rkfetch.registry.target import detect, parse_memory, target_from

    board = board or detect(Path(sysroot))
    target = target_from(
        board,
        platform=Platform.parse(platform) if platform else None,
        runtime=parse_version(runtime, what="runtime") if runtime else None,
        driver=parse_version(driver, what="driver") if driver else None,
        memory_bytes=parse_memory(memory) if memory else None,
        context=context,
    )
    return target, bool(platform) or board.on_board


def is_typed(ctx: typer.Context, name: str) -> bool:
    """Tell whether an option was given on the command line, and not by a setting."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
