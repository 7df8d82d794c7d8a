"""Is what a lock file names still what to use? Compared with the catalog, for each target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rkfetch.catalog.answer import answer
from rkfetch.catalog.outdated import Finding, State, outdated
from rkfetch.registry.errors import RkfetchError
from rkfetch.registry.record import Record, known_attributes

from .board import find

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rkfetch.catalog.database import Catalog
    from rkfetch.registry.model import Target

    from .board import Here
    from .declaration import Declaration, Wish
    from .locked import Lock, LockedFile, LockedModel, LockedTarget


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One target, and what was found of its models."""

    locked: LockedTarget
    board: Target
    """What it was compared for."""
    here: Here | None
    """Where the target is this board."""
    models: tuple[tuple[LockedModel, Finding], ...]


def compare(
    catalog: Catalog, lock: Lock, declaration: Declaration | None, board: Target, *, known: bool
) -> list[Compared]:
    """Compare all that is locked: for this board as it is now, for others as they are declared."""
    here = _this_board(lock, board, known=known)
    declared = {t.name: t.target for t in declaration.targets} if declaration is not None else {}
    compared = []
    for locked in lock.targets:
        mine = here if here is not None and here.locked is locked else None
        target = mine.board if mine is not None else declared.get(locked.name, locked.target)
        models = tuple(_findings(catalog, locked, target))
        compared.append(Compared(locked=locked, board=target, here=mine, models=models))
    return compared


def _this_board(lock: Lock, board: Target, *, known: bool) -> Here | None:
    """Return which target this board is, if that can be told."""
    try:
        return find(lock, board, known=known)
    except RkfetchError:
        return None


def _findings(
    catalog: Catalog, locked: LockedTarget, board: Target
) -> Iterator[tuple[LockedModel, Finding]]:
    for model in locked.models:
        if not model.files:
            yield model, _left_out(catalog, model.wish, board)
            continue
        (finding,) = outdated(
            catalog,
            [_as_record(model.files[0])],
            model.wish.target(board),
            policy=model.wish.policy,
            installed=(),
        )
        yield model, finding


def _left_out(catalog: Catalog, wish: Wish, board: Target) -> Finding:
    """Tell whether an optional model of which nothing fitted can be had by now."""
    try:
        choice = answer(catalog, wish.model, wish.target(board), policy=wish.policy).require()
    except RkfetchError as error:
        text = f"nothing, which is allowed: {error.message}"
        return Finding(state=State.CURRENT, upstream="unknown", text=text)
    text = "it was left out, and a build fits by now"
    return Finding(state=State.BETTER, upstream="unknown", text=text, other=choice)


def _as_record(file: LockedFile) -> Record:
    """Return what a store would have noted of a file, had it been fetched when it was locked."""
    artifact = file.artifact
    return Record(
        sha256=file.sha256,
        size_bytes=artifact.size_bytes or 0,
        source=artifact.source,
        repo=artifact.repo,
        path=artifact.path,
        revision=artifact.revision,
        model=artifact.model,
        attributes=known_attributes(artifact, None),
        fetched_at=artifact.updated or "",
    )
