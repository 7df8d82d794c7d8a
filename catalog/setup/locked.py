"""What a lock file says: for each target and each model the files, byte for byte."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .paths import place_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rkfetch.registry.compat import Level
    from rkfetch.registry.model import Artifact, Target

    from .declaration import Wish


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedFile:
    """One file of a model: the model itself, or what belongs to it."""

    artifact: Artifact
    """Its SHA-256 is known."""
    also: tuple[Artifact, ...] = ()
    """Other places of the same content."""

    @property
    def sha256(self) -> str:
        """The content."""
        assert self.artifact.sha256 is not None  # nothing else is locked
        return self.artifact.sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedModel:
    """What a wish came to on one target."""

    wish: Wish
    name: str | None
    """The base model's Hub id, or its plain name."""
    files: tuple[LockedFile, ...]
    """The model first; none if the wish is optional and nothing fits."""
    level: Level | None
    why: str
    """One sentence: the verdict's reason, or why there is no build."""
    alone: str | None = None
    """What is to be said of a vision model that is locked without its encoder."""

    def destinations(self) -> Iterator[tuple[LockedFile, str | None]]:
        """Yield each file with its place relative to the set-up's folder; None is the store."""
        for number, file in enumerate(self.files):
            to = self.wish.to
            place = None if to is None else place_of(to, file.artifact, is_model=number == 0)
            yield file, place


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedTarget:
    """What boards of one kind have."""

    name: str
    target: Target
    models: tuple[LockedModel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """All that a lock file says."""

    targets: tuple[LockedTarget, ...] = ()

    def get(self, name: str) -> LockedTarget | None:
        """Return a target by its name."""
        return next((target for target in self.targets if target.name == name), None)


def collision(target: LockedTarget) -> str | None:
    """Return what two models of a target would overwrite of each other; None if nothing."""
    taken: dict[str, str] = {}
    for model in target.models:
        for file, place in model.destinations():
            # A memory card with FAT takes two names that differ in case only for one.
            if place is not None and taken.setdefault(place.casefold(), file.sha256) != file.sha256:
                return f"{target.name}: two different files would be {place}"
    return None
