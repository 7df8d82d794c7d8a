"""Make an addition of what a person says, a runtime printed, and the board is. A pure function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rkfetch.registry.errors import UsageError
from rkfetch.registry.model import Origin

from .additions import about, without_private

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rkfetch.registry.model import Artifact, Platform
    from rkfetch.registry.runtime_log import Load
    from rkfetch.registry.sightings import Outcome
    from rkfetch.registry.target import Board
    from rkfetch.registry.versions import Version

    from .additions import Addition


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a person says; None where nothing was said."""

    outcome: Outcome | None = None
    platform: Platform | None = None
    runtime: Version | None = None
    driver: Version | None = None
    board: str | None = None
    note: str | None = None


def observe(
    artifact: Artifact,
    *,
    told: Told,
    load: Load | None,
    here: Board,
    seen: str,
    private: Sequence[str] = (),
) -> Addition | None:
    """Join what is known of a run: what was told counts first, then the log, then this board.

    This board is only believed where the run was on its SoC, and its versions only where there is
    no log of another one. ``private`` are names that are left out of a person's words. None if
    nothing is said about the file.

    Raises:
        UsageError: it is not known on what a file works or fails, or its header names another SoC.
    """
    platform = told.platform or (load.platform if load else None) or here.platform
    platform = platform or artifact.platform
    runtime = told.runtime or (load.runtime if load else None)
    driver = told.driver or (load.driver if load else None)
    is_here = here.platform is not None and platform is here.platform
    if is_here and load is None:
        runtime, driver = runtime or here.runtime, driver or here.driver
    if told.outcome is not None:
        _require_pair(artifact, platform, runtime)
    outcome = told.outcome or (load.outcome if load else None)
    known = platform is not None and runtime is not None
    complaints = "; ".join(c.text for c in load.complaints) if load else ""
    heard = load.evidence(place="", seen=seen) if load else ()
    said = tuple(sorted((e.attribute, e.value) for e in heard))
    if not (outcome and known) and not said:
        return None
    board = told.board or (here.model if is_here else None) or ""
    return about(
        artifact,
        seen=seen,
        origin=Origin.LOG if told.outcome is None else Origin.USER,
        outcome=outcome if known else None,
        platform=platform,
        runtime=runtime,
        driver=driver,
        board=without_private(board, private) or None,
        note=without_private(told.note or complaints, private) or None,
        said=said,
    )


def _require_pair(artifact: Artifact, platform: Platform | None, runtime: Version | None) -> None:
    hint = "--platform SOC --runtime X.Y.Z, or --log with what the runtime printed"
    if platform is None:
        raise UsageError("on which SoC did you see that?", hint=hint)
    own = artifact.attribute("platform")
    if own.is_read and own.value not in {None, platform.value}:
        raise UsageError(
            f"it cannot have been on {platform.value}: the file is built for {own.value}",
            cause=[f"{own.origin.words if own.origin else ''} says so"],
            hint="--platform SOC says where you saw it",
        )
    if runtime is None:
        raise UsageError(f"with which runtime did you see that on {platform.value}?", hint=hint)
