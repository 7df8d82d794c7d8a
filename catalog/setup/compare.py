"""Does a lock file say what its declaration asks for? Pure, one sentence for each difference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .declaration import THIS_BOARD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .declaration import Declaration, WantedTarget, Wish
    from .locked import Lock, LockedTarget


def stale(declaration: Declaration, lock: Lock) -> list[str]:
    """Return in what a lock is not what its declaration asks for; nothing if it is up to date.

    A declaration without targets means one board, whatever that is.
    """
    return list(_differences(declaration, lock))


def _differences(declaration: Declaration, lock: Lock) -> Iterator[str]:
    wanted = {target.name: target for target in declaration.targets}
    names = list(wanted) or [THIS_BOARD]
    for name in names:
        locked = lock.get(name)
        if locked is None:
            yield f"the target {name} is not locked"
        else:
            yield from _of_target(locked, wanted.get(name), declaration.wishes_for(name))
    for target in lock.targets:
        if target.name not in names:
            yield f"the target {target.name} is locked and not declared"


def _of_target(
    locked: LockedTarget, wanted: WantedTarget | None, wishes: tuple[Wish, ...]
) -> Iterator[str]:
    if wanted is not None:
        for what in ("platform", "runtime", "driver", "memory_bytes"):
            said, was = getattr(wanted.target, what), getattr(locked.target, what)
            if said != was:
                label = what.removesuffix("_bytes")
                yield f"{locked.name}: {label} is {_words(said)}, was {_words(was)} when locked"
    have = [model.wish for model in locked.models]
    missing = [wish for wish in wishes if wish not in have]
    names, said_of = {wish.words for wish in have}, {wish.words for wish in missing}
    for wish in missing:
        how = "declared otherwise than it was locked" if wish.words in names else "not locked"
        yield f"{locked.name}: {wish.words} is {how}"
    for wish in have:
        if wish not in wishes and wish.words not in said_of:
            yield f"{locked.name}: {wish.words} is locked and not declared"


def _words(value: object) -> str:
    return "not said" if value is None else str(getattr(value, "value", value))
