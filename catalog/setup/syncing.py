"""Make a board have what its lock file says: look, bring, place; and nothing twice.

Looking changes nothing and asks no network. A file appears at its place with its whole content or
not at all, and one that nobody placed is never overwritten.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from rkfetch.registry.check import contradiction
from rkfetch.registry.durable import disk_errors, hash_file, make_directory, sync_directory
from rkfetch.registry.errors import OfflineError, RkfetchError, UsageError
from rkfetch.registry.fetch import fetch
from rkfetch.registry.record import Verified

from .board import judged, policy_of
from .ledger import Ledger, Placed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from rkfetch.registry.compat import Level
    from rkfetch.registry.http import Http
    from rkfetch.registry.limits import Limits
    from rkfetch.registry.metered import Costs
    from rkfetch.registry.progress import Progress
    from rkfetch.registry.rkllm import RkllmFacts
    from rkfetch.registry.store import Installed, Store

    from .board import Here
    from .locked import LockedFile, LockedModel


class State(str, Enum):
    """How a file is found on a board."""

    PRESENT = "present"
    MISSING = "missing"
    OTHER = "other content"
    """Another file is at its place, which no sync put there."""
    REPLACED = "earlier content"
    """What an earlier sync put at its place."""
    DAMAGED = "damaged"


@dataclass(kw_only=True)
class FileOutcome:
    """What was found of one file, and what was done about it."""

    file: LockedFile
    place: str | None
    """Relative to the folder; None is the store."""
    state: State
    """As it was found."""
    path: Path | None = None
    """Where it is, once it is there."""
    action: str = "none"
    """``present``, ``placed``, ``downloaded``, or ``none``."""


@dataclass(kw_only=True)
class ModelOutcome:
    """What was found of one model, and what was done about it."""

    model: LockedModel
    level: Level | None = None
    """The verdict on this board."""
    files: list[FileOutcome] = field(default_factory=list)
    error: RkfetchError | None = None

    @property
    def action(self) -> str:
        """What was done for it, as one word: the most that was done for one of its files."""
        order = ("downloaded", "placed", "present", "none")
        done = {file.action for file in self.files}
        return next((word for word in order if word in done), "none")

    @property
    def drifted(self) -> list[FileOutcome]:
        """The files that are not as they should be."""
        return [file for file in self.files if file.state is not State.PRESENT]


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a sync may use to bring files."""

    http: Http | None
    progress: Callable[[ModelOutcome, FileOutcome], Progress]
    """Shows how one file comes."""
    limits: Limits | None = None
    costs: Costs | None = None
    force: bool = False
    """Replace files that no sync has placed."""


class Board:
    """The files of a set-up on this machine."""

    def __init__(self, store: Store, folder: Path, here: Here) -> None:
        self._store = store
        self._folder = folder
        self._here = here
        self._ledger = Ledger(store, folder)

    # --- looking ----------------------------------------------------------------------------------

    def look(self, reading: Progress) -> list[ModelOutcome]:
        """Compare what is here with the lock; a file that cannot be known by its time is read."""
        found = []
        for model in self._here.locked.models:
            level, refusal = judged(model, self._here)
            outcome = ModelOutcome(model=model, level=level, error=refusal)
            for file, place in model.destinations():
                look = FileOutcome(file=file, place=place, state=State.MISSING)
                try:
                    look.state, look.path = self._state(file, place, reading)
                except RkfetchError as error:
                    outcome.error = outcome.error or error
                if look.state is State.PRESENT and refusal is None:
                    look.action = "present"
                outcome.files.append(look)
            found.append(outcome)
        return found

    def is_noted(self, outcomes: Sequence[ModelOutcome]) -> bool:
        """Tell whether all that was found is known by its time, so that nothing is to be noted."""
        return all(
            file.state is State.PRESENT and (file.place is None or self._is_as_placed(file))
            for outcome in outcomes
            for file in outcome.files
        )

    def _is_as_placed(self, file: FileOutcome) -> bool:
        noted = self._ledger.files.get(file.place or "")
        if noted is None or noted.sha256 != file.file.sha256 or noted.verified is None:
            return False
        try:
            return noted.verified.is_unchanged((self._folder / (file.place or "")).stat())
        except OSError:
            return False

    def _state(
        self, file: LockedFile, place: str | None, reading: Progress
    ) -> tuple[State, Path | None]:
        if place is None:
            item = self._store.find(file.sha256)
            if item is not None:
                return State.PRESENT, item.path
            lost = self._store.load(file.sha256)
            return (State.MISSING if lost is None else State.DAMAGED), None
        path = self._folder / place
        if not os.path.lexists(path):
            return State.MISSING, None
        noted = self._ledger.files.get(place)
        ours = noted is not None and noted.sha256 == file.sha256
        if self._has_content(path, file, noted if ours else None, reading):
            return State.PRESENT, path
        if noted is None:
            return State.OTHER, None
        return (State.DAMAGED if ours else State.REPLACED), None

    def _has_content(
        self, path: Path, file: LockedFile, noted: Placed | None, reading: Progress
    ) -> bool:
        with disk_errors(path):
            try:
                if not path.is_file():
                    return False
                status = path.stat()
                when = noted.verified if noted is not None else None
                if when is not None and when.is_unchanged(status):
                    return True
                size = file.artifact.size_bytes
                if size is not None and size != status.st_size:
                    return False
                stored = self._store.find(file.sha256)
                if stored is not None and path.samefile(stored.path):
                    return True
                reading.started(status.st_size, 0)
                return hash_file(path, advanced=reading.advanced).hexdigest() == file.sha256
            except FileNotFoundError:
                return False

    # --- bringing ---------------------------------------------------------------------------------

    def carry_out(self, outcomes: Sequence[ModelOutcome], means: Means) -> None:
        """Bring and place what is not there; what fails for one model does not stop the others."""
        for outcome in outcomes:
            if outcome.error is not None:
                continue
            try:
                for file in outcome.files:
                    self._have(outcome, file, means)
                self._join(outcome)
            except RkfetchError as error:
                outcome.error = error

    def _have(self, outcome: ModelOutcome, file: FileOutcome, means: Means) -> None:
        if file.state is State.PRESENT:
            if file.place is not None and not self._is_as_placed(file):
                self._note(file)
            return
        if file.state is State.OTHER and not means.force:
            raise UsageError(
                f"{self._folder / (file.place or '')} is there already, and is another file",
                cause=["no sync has placed it, so none replaces it unasked"],
                hint="remove it, give the model another `to` in rkfetch.toml, or say --force",
            )
        if file.place is not None:
            folder = (self._folder / file.place).parent
            try:
                make_directory(folder)
                if not os.access(folder, os.W_OK | os.X_OK):
                    raise UsageError(f"{folder} may not be written")
            except RkfetchError as error:
                error.hint = "place the files elsewhere: --into DIR; or leave `to` out"
                raise
        item, action = self._stored(outcome, file, means)
        if file.place is None:
            file.path = item.path
        else:
            # Noted before: who is killed in between must not take it for somebody else's.
            self._ledger.note(file.place, Placed(sha256=file.file.sha256))
            file.path = self._store.place(item, self._folder / file.place, force=True)
            self._note(file)
        file.action = action

    def _note(self, file: FileOutcome) -> None:
        assert file.place is not None  # only what is placed is noted
        status = (self._folder / file.place).stat()
        placed = Placed(sha256=file.file.sha256, verified=Verified.now(status))
        self._ledger.note(file.place, placed)

    def _stored(
        self, outcome: ModelOutcome, file: FileOutcome, means: Means
    ) -> tuple[Installed, str]:
        """Have a file in the store, from wherever it can be had.

        Raises:
            OfflineError: it is not here, and the network is switched off.
            RkfetchError: as `registry.fetch.fetch`.
        """
        artifact = file.file.artifact
        item = self._store.find(file.file.sha256)
        if item is not None:
            return item, "placed" if file.place is not None else "present"
        if means.http is None:
            raise OfflineError(
                f"{artifact.name} is not on this machine, and the network is switched off",
                cause=["--offline, or the setting `offline` (RKFETCH_OFFLINE, HF_HUB_OFFLINE)"],
                hint="run it once online; `rkfetch list` shows what is here",
            )

        def check(facts: RkllmFacts) -> str | None:
            target = outcome.model.wish.target(self._here.board)
            return contradiction(facts, artifact, target, policy_of(outcome.model, self._here))

        fetched = fetch(
            artifact,
            store=self._store,
            http=means.http,
            progress=means.progress(outcome, file),
            check=check,
            record_extra={
                "model": outcome.model.name,
                "verdict": outcome.level.value if outcome.level else None,
            },
            limits=means.limits,
            elsewhere=file.file.also,
            costs=means.costs,
        )
        return fetched.installed, fetched.action

    def _join(self, outcome: ModelOutcome) -> None:
        """Note in the store what belongs together."""
        items = [self._store.find(file.file.sha256) for file in outcome.files]
        if items and (model := items[0]) is not None:
            for companion in items[1:]:
                if companion is not None:
                    model = self._store.join(model, companion)

    # --- what is left over ------------------------------------------------------------------------

    def leftovers(self) -> list[str]:
        """Return what earlier syncs placed and the lock does not name any more, if it is there."""
        named = {place for model in self._here.locked.models for _, place in model.destinations()}
        return [
            place
            for place in sorted(self._ledger.files)
            if place not in named and os.path.lexists(self._folder / place)
        ]

    def prune(self) -> Iterator[tuple[str, str | None]]:
        """Remove what is left over; yield each with the reason why it was kept, if it was."""
        for place in self.leftovers():
            noted = self._ledger.files[place]
            why = self._not_ours(place, noted)
            if why is None:
                path = self._folder / place
                with disk_errors(path):
                    path.unlink(missing_ok=True)
                    sync_directory(path.parent)
                self._ledger.note(place, None)
            yield place, why

    def _not_ours(self, place: str, noted: Placed) -> str | None:
        path = self._folder / place
        if path.is_symlink() or not path.is_file():
            return "it is no plain file any more"
        with disk_errors(path):
            if noted.verified is not None and noted.verified.is_unchanged(path.stat()):
                return None
            same = hash_file(path).hexdigest() == noted.sha256
        return None if same else "somebody has changed it since"
