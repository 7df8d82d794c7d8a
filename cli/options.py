"""Options that several commands share, and what they mean.

Each can be fixed for a whole machine by an environment variable, which its help names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rkfetch.registry.model import Platform
from rkfetch.registry.versions import parse_version

if TYPE_CHECKING:
    from rkfetch.registry.model import Target

PlatformOption = Annotated[
    str | None,
    typer.Option(
        "--platform",
        envvar="RKFETCH_PLATFORM",
        metavar="SOC",
        help="The board's SoC: rk3576, rk3588, rk3562 or rv1126b. On a board it is detected; "
        "elsewhere it is rk3576 unless said.",
    ),
]
RuntimeOption = Annotated[
    str | None,
    typer.Option(
        "--runtime",
        envvar="RKFETCH_RUNTIME",
        metavar="X.Y.Z",
        help="Version of librkllmrt.so on the board. On a board it is detected.",
    ),
]
DriverOption = Annotated[
    str | None,
    typer.Option(
        "--driver",
        envvar="RKFETCH_DRIVER",
        metavar="X.Y.Z",
        help="Version of the board's rknpu kernel driver. On a board it is detected.",
    ),
]
MemoryOption = Annotated[
    str | None,
    typer.Option(
        "--memory",
        envvar="RKFETCH_MEMORY",
        metavar="SIZE",
        help="The board's memory, like 4G or 8G. On a board it is detected; elsewhere memory is "
        "not checked unless said.",
    ),
]
ContextOption = Annotated[
    int | None,
    typer.Option(
        "--context",
        envvar="RKFETCH_CONTEXT",
        metavar="TOKENS",
        min=1,
        help="The context you need. It is fixed when a file is built, so smaller files are "
        "refused.",
    ),
]
SysrootOption = Annotated[
    str,
    typer.Option(
        "--sysroot",
        envvar="RKFETCH_SYSROOT",
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
    typer.Option(
        "--offline",
        envvar=["RKFETCH_OFFLINE", "HF_HUB_OFFLINE"],
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
) -> Target:
    """Read the target options; what was not given is detected.

    Raises:
        UsageError: an option cannot be read.
    """
    from pathlib import Path

    from rkfetch.registry.target import detect, parse_memory, target_from

    return target_from(
        detect(Path(sysroot)),
        platform=Platform.parse(platform) if platform else None,
        runtime=parse_version(runtime, what="runtime") if runtime else None,
        driver=parse_version(driver, what="driver") if driver else None,
        memory_bytes=parse_memory(memory) if memory else None,
        context=context,
    )
