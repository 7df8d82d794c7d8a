"""What ``rkfetch sync`` found and did, for people and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rkfetch.registry.errors import DriftError

from .answers import artifact_json, target_json, target_words
from .output import emit, emit_json, error_json, human_bytes, safe, say, say_error, say_wrapped
from .setups import model_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rkfetch.catalog.setup.board import Here
    from rkfetch.catalog.setup.files import SetupFiles
    from rkfetch.catalog.setup.syncing import ModelOutcome
    from rkfetch.registry.errors import RkfetchError


class Report:
    """The report of one sync."""

    def __init__(self, files: SetupFiles, folder: Path, here: Here, *, check: bool) -> None:
        self._files = files
        self._folder = folder
        self._here = here
        self._check = check
        self.outcomes: Sequence[ModelOutcome] = ()
        self.leftovers: list[tuple[str, str | None]] = []
        self.removed: list[tuple[str, str | None]] = []

    @property
    def errors(self) -> list[RkfetchError]:
        """What failed, in the order of the models."""
        return [outcome.error for outcome in self.outcomes if outcome.error is not None]

    def say_board(self) -> None:
        """Say what the files are for, and where the board is not what was locked."""
        here = self._here
        say(f"{safe(here.locked.name)}: {target_words(here.board)}")
        for sentence in self._notes():
            say_wrapped(sentence, lead="note: ")

    def _notes(self) -> list[str]:
        notes = [] if self._here.known else ["no board was detected here; taken as locked"]
        return [*notes, *self._here.differs]

    def conclude(self, *, as_json: bool, silent: bool, prune: bool) -> None:
        """Give the answer; raises what failed first, with the report."""
        errors = self.errors
        error = errors[0] if errors else self._drift(prune=prune)
        if not silent:
            self._say_what_was_done(prune=prune)
        if not as_json:
            for outcome in self.outcomes:
                if outcome.files and outcome.files[0].path is not None and outcome.error is None:
                    emit(str(outcome.files[0].path))
        if error is not None:
            for other in errors[1:]:
                say_error(other)
            error.answer = self._json()
            raise error
        if as_json:
            emit_json(self._json())

    def _drift(self, *, prune: bool) -> DriftError | None:
        if not self._check:
            return None
        found = [
            f"{file.place or file.file.artifact.name}: {file.state.value}"
            for outcome in self.outcomes
            for file in outcome.drifted
        ]
        if prune:
            found += [f"{place}: left over" for place, _ in self.leftovers]
        if not found:
            return None
        name = self._files.lock.name
        return DriftError(
            f"this board is not as {name} says", cause=found, hint="`rkfetch sync` makes it so"
        )

    def _say_what_was_done(self, *, prune: bool) -> None:
        words = {"downloaded": "downloaded and verified", "placed": "was in the store; placed"}
        for outcome in self.outcomes:
            lead = f"{safe(outcome.model.wish.words)}: "
            if not outcome.model.files:
                say_wrapped(f"nothing, which is allowed: {outcome.model.why}", lead=lead)
            elif outcome.error is None and outcome.action in words:
                size = sum(file.file.artifact.size_bytes or 0 for file in outcome.files)
                say(f"{lead}{words[outcome.action]}, {human_bytes(size)}")
            elif outcome.error is None and outcome.action == "present":
                say(f"{lead}already here")
            if outcome.model.alone is not None:
                say_wrapped(outcome.model.alone, lead=f"{lead}warning: ")
        for place, why in self.removed:
            say_wrapped("removed" if why is None else f"kept: {why}", lead=f"{safe(place)}: ")
        if self.leftovers and not prune:
            count = len(self.leftovers)
            files = "1 file" if count == 1 else f"{count} files"
            say(f"{files} of an earlier lock file may go: `rkfetch sync --prune`")

    def _json(self) -> dict[str, Any]:
        return {
            "status": "ok",
            "lock": str(self._files.lock.absolute()),
            "folder": str(self._folder),
            "target": self._here.locked.name,
            "board": target_json(self._here.board),
            "notes": self._notes(),
            "changed": any(
                file.action in {"placed", "downloaded"}
                for outcome in self.outcomes
                for file in outcome.files
            )
            or any(why is None for _, why in self.removed),
            "models": [self._model_json(outcome) for outcome in self.outcomes],
            "removed": [place for place, why in self.removed if why is None],
            "leftovers": [{"path": place, "kept": why} for place, why in self.leftovers],
            "error": None,
        }

    def _model_json(self, outcome: ModelOutcome) -> dict[str, Any]:
        locked = model_json(outcome.model)
        return {
            **{key: locked[key] for key in ("model", "quant", "context", "to", "name", "alone")},
            "verdict": outcome.level.value if outcome.level else None,
            "action": outcome.action,
            "path": str(outcome.files[0].path) if outcome.files and outcome.files[0].path else None,
            "files": [
                {
                    "artifact": artifact_json(file.file.artifact),
                    "state": file.state.value,
                    "action": file.action,
                    "path": str(file.path) if file.path else None,
                }
                for file in outcome.files
            ],
            "error": None if outcome.error is None else error_json(outcome.error),
        }
