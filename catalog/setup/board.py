"""Which target of a lock is this board, and do the locked files load on it? Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rkfetch.catalog.measured import measured_memory
from rkfetch.registry.errors import IncompatibleError, MemoryFitError, UsageError
from rkfetch.registry.model import Target
from rkfetch.registry.resolve import resolve

from .declaration import THIS_BOARD

if TYPE_CHECKING:
    from rkfetch.registry.compat import Level
    from rkfetch.registry.errors import RkfetchError
    from rkfetch.registry.resolve import Policy

    from .locked import Lock, LockedModel, LockedTarget


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """This board, and the target of a lock that it is."""

    locked: LockedTarget
    board: Target
    """What the board is, completed with what was locked where nothing tells."""
    known: bool
    """The SoC was detected or given; else the lock is taken at its word."""

    @property
    def is_as_locked(self) -> bool:
        """Whether the board has the very runtime and driver that the lock was made for."""
        was = self.locked.target
        return (self.board.runtime, self.board.driver) == (was.runtime, was.driver)

    @property
    def differs(self) -> tuple[str, ...]:
        """In what the board is not what was locked: ``its runtime is 1.2.3, locked was 1.2.1``."""
        ours, theirs = self.board, self.locked.target
        pairs = (("runtime", ours.runtime, theirs.runtime), ("driver", ours.driver, theirs.driver))
        return tuple(
            f"its {name} is {own}, locked was {was}"
            for name, own, was in pairs
            if was is not None and own != was
        )


def find(lock: Lock, board: Target, *, known: bool, name: str | None = None) -> Here:
    """Tell which target of a lock a board is.

    ``known`` says that the SoC of ``board`` was detected or given, rather than supposed. ``name``
    is the target that the user named.

    Raises:
        UsageError: it is none, or may be several; a name is needed, or is wrong.
        IncompatibleError: the target that was named is for another SoC.
    """
    names = ", ".join(f"{t.name} ({t.target.platform.value})" for t in lock.targets)
    locked = None
    if name is not None:
        locked = lock.get(name)
        if locked is None:
            raise UsageError(f"the lock file has no target '{name}'", cause=[f"it has: {names}"])
        if known and locked.target.platform is not board.platform:
            raise _other_soc(locked, board)
    elif known:
        locked = _of_the_soc(lock, board, names)
    elif len(lock.targets) == 1:
        locked = lock.targets[0]
    if locked is None:
        raise UsageError(
            "which target of the lock file is this machine?",
            cause=["no board was detected here", f"the lock file has: {names}"],
            hint="say --target NAME, or describe the board: --platform, --runtime",
        )
    was = locked.target
    completed = Target(
        platform=was.platform,
        runtime=board.runtime or was.runtime,
        driver=board.driver or was.driver,
        memory_bytes=board.memory_bytes or was.memory_bytes,
        context=was.context,
    )
    return Here(locked=locked, board=completed, known=known)


def _of_the_soc(lock: Lock, board: Target, names: str) -> LockedTarget:
    fitting = [t for t in lock.targets if t.target.platform is board.platform]
    if not fitting:
        raise UsageError(
            f"the lock file has no target for this board, a {board.platform.value}",
            cause=[f"it has: {names}"],
            hint="add a [[target]] to rkfetch.toml, then `rkfetch lock`",
        )
    chosen = [t for t in fitting if t.target.runtime == board.runtime] or fitting
    if len(chosen) > 1:
        raise UsageError(
            "this board may be one of several targets of the lock file",
            cause=[", ".join(t.name for t in chosen)],
            hint="say which: --target NAME",
        )
    return chosen[0]


def _other_soc(locked: LockedTarget, board: Target) -> IncompatibleError:
    platform = locked.target.platform.value
    return IncompatibleError(
        f"the target '{locked.name}' is for {platform}, and this board is {board.platform.value}",
        hint=f"to prepare a tree for another board: --platform {platform} --into DIR",
    )


def how_to_upgrade(here: Here) -> str:
    """Say how a build is locked that suits the board as it is now."""
    runtime, name = here.board.runtime, here.locked.name
    if name == THIS_BOARD or runtime == here.locked.target.runtime:
        return "`rkfetch lock --upgrade` chooses another build, where there is one"
    return (
        f'say runtime = "{runtime}" for the [[target]] {name} in rkfetch.toml; `rkfetch lock '
        "--upgrade` then chooses another build, where there is one"
    )


def policy_of(model: LockedModel, here: Here) -> Policy:
    """Return what is allowed of a locked model.

    On the very board that it was locked for, what was found then counts: people may have told
    what no header does.
    """
    if not here.is_as_locked:
        return model.wish.policy
    return replace(model.wish.policy, allow_risky=True, allow_unverified=True)


def judged(model: LockedModel, here: Here) -> tuple[Level | None, RkfetchError | None]:
    """Judge a locked model for this board: its verdict there, and why it is not to be used, if so.

    Any file for another SoC, and any that the board's runtime refuses, is not to be used, whatever
    a lock file says.
    """
    if not model.files:
        return None, None
    artifact = model.files[0].artifact
    resolution = resolve(
        [artifact],
        model.wish.target(here.board),
        policy=policy_of(model, here),
        measured=measured_memory,
    )
    (candidate,) = (*resolution.ranked, *resolution.refused)
    level = model.level if here.is_as_locked else candidate.verdict.level
    refusal = candidate.refusal
    if refusal is None:
        return level, None
    cause = [f"{artifact.name}: {refusal.text}", *here.differs]
    hint = how_to_upgrade(here)
    if refusal.rule == "memory":
        return level, MemoryFitError(
            f"the locked build of {model.wish.words} does not fit in this board's memory",
            cause=cause,
            hint=hint,
        )
    return level, IncompatibleError(
        f"the locked build of {model.wish.words} does not load on this board",
        cause=cause,
        hint=hint,
    )
