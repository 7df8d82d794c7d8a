"""A vision model as one thing: a build, and the encoder of pictures for the same SoC.

What the catalog knows of a build's repository tells; where nobody has listed that yet, it is
listed once, and that is remembered. A build without its encoder still answers in words: it is
taken, and what it lacks is said.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from rkfetch.registry.errors import (
    AuthenticationError,
    IntegrityError,
    NetworkError,
    RkfetchError,
    UnknownModelError,
)
from rkfetch.registry.model import (
    CONVERTED,
    LOCAL,
    Artifact,
    Availability,
    Evidence,
    Origin,
    settle,
)

from .entries import VISION
from .families import read_model
from .naming import guess

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rkfetch.registry.http import Http

    from .database import Catalog
    from .entries import Companion
    from .sources import RemoteFile

ALONE = "only the language half"
_HUBS = {"huggingface", "modelscope"}


class Lister(Protocol):
    """Lists the repository of a build."""

    def __call__(self, artifact: Artifact) -> Sequence[RemoteFile] | None:
        """Return the files of the revision that the build is in; None if that cannot be had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """What belongs to a build."""

    encoder: Artifact | None = None
    alone: str | None = None
    """What is to be said of a vision model without its encoder; None of any other."""

    @property
    def companions(self) -> tuple[Artifact, ...]:
        """The encoder, if there is one."""
        return () if self.encoder is None else (self.encoder,)


def sees(artifact: Artifact) -> bool:
    """Tell whether a build is of a model that sees pictures, as its name tells."""
    model = read_model(artifact.model) if artifact.model else None
    return model is not None and model.multimodal and artifact.role == "llm"


def pair_of(
    catalog: Catalog,
    artifact: Artifact,
    *,
    lister: Lister | None = None,
    at_hand: Callable[[Artifact], bool] | None = None,
) -> Pair:
    """Return what belongs to a build, or what is to be said of one that is alone.

    ``lister`` is None offline. ``at_hand`` tells what is here already: for that nothing is listed.
    """
    found = _known(catalog, artifact)
    if not found and not sees(artifact):
        return Pair()
    listed = catalog.listed(artifact.source, artifact.repo) is not None
    if lister is not None and _is_worth_listing(artifact, found, at_hand, listed=listed):
        files = lister(artifact)
        if files is not None:
            found, listed = _listed(catalog, artifact, files), True
    if len(found) == 1:
        return Pair(encoder=_encoder(artifact, found[0]))
    return Pair(alone=_why_alone(artifact, found, listed=listed))


def _known(catalog: Catalog, artifact: Artifact) -> list[Companion]:
    """Return what the catalog says may be the encoder of a content, at any of its places.

    A catalog may be somebody else's: what names another chip is not taken from it either.
    """
    places = [artifact] + [
        replace(artifact, source=p.source, repo=p.repo, path=p.path) for p in artifact.also
    ]
    for place in places:
        found = [
            c
            for c in catalog.companions(place)
            if c.role == VISION and _is_for(artifact, c, source=place.source)
        ]
        if found and place.source == artifact.source:
            return found
    return []


def _is_for(artifact: Artifact, companion: Companion, *, source: str) -> bool:
    told = guess(companion.repo, companion.path, source=source).platform
    return artifact.platform is not None and told in {None, artifact.platform}


def _is_worth_listing(
    artifact: Artifact,
    found: Sequence[Companion],
    at_hand: Callable[[Artifact], bool] | None,
    *,
    listed: bool,
) -> bool:
    if artifact.source not in _HUBS or artifact.availability is not Availability.LISTED:
        return False
    here = at_hand or (lambda _: False)
    if not found:
        return not listed and not here(artifact)
    # How much will come has to be known before it does.
    lacking = len(found) == 1 and found[0].size_bytes is None
    return lacking and not here(_encoder(artifact, found[0]))


def _listed(catalog: Catalog, artifact: Artifact, files: Sequence[RemoteFile]) -> list[Companion]:
    """Return the encoders among the files of a repository, and have the catalog remember them."""
    from .companions import companions_of
    from .writer import Writer

    companions = companions_of(artifact, files)
    if not catalog.read_only:
        # It is found again next time if it cannot be written now.
        with suppress(RkfetchError), Writer.open(catalog.path) as writer:
            writer.record_companions(artifact, companions)
    return [c for c in companions if c.role == VISION]


def _encoder(artifact: Artifact, companion: Companion) -> Artifact:
    """Return an encoder as something that can be fetched."""
    platform = artifact.platform
    said = [("role", VISION), *([("platform", platform.value)] if platform else [])]
    # Each file of ModelScope has the commit that it was last changed in.
    at_one_commit = artifact.source != "modelscope"
    own = companion.repo == artifact.repo
    return Artifact(
        source=artifact.source,
        repo=companion.repo,
        path=companion.path,
        revision=(artifact.revision if at_one_commit else artifact.ref) if own else None,
        ref=artifact.ref if own else None,
        size_bytes=companion.size_bytes,
        sha256=companion.sha256,
        availability=artifact.availability,
        gated=artifact.gated,
        attributes=settle(
            Evidence(attribute=name, value=value, origin=Origin.FILE_NAME, place=companion.path)
            for name, value in said
        ),
    )


def _why_alone(artifact: Artifact, found: Sequence[Companion], *, listed: bool) -> str:
    chip = f" for {artifact.platform.value}" if artifact.platform else ""
    where = "folder" if artifact.source == LOCAL else "repository"
    if found:
        names = ", ".join(sorted(c.path for c in found))
        return f"{ALONE}; {len(found)} files may be its vision encoder{chip}: {names}"
    if artifact.source == CONVERTED:
        return f"{ALONE}; a conversion makes no vision encoder"
    if listed:
        return f"{ALONE}; its vision encoder{chip} is not in the {where}"
    return (
        f"{ALONE}; whether its vision encoder{chip} is in the {where} is not known "
        "(`rkfetch catalog update` lists it)"
    )


def lister_of(http: Http) -> Lister:
    """Return what lists a repository on its Hub; one that does not answer is no obstacle."""

    def files(artifact: Artifact) -> Sequence[RemoteFile] | None:
        from .sources.huggingface import HuggingFace
        from .sources.modelscope import ModelScope

        hub = ModelScope if artifact.source == "modelscope" else HuggingFace
        try:
            with hub(http) as source:
                details = source.details(artifact.repo)
        except (NetworkError, AuthenticationError, IntegrityError, UnknownModelError):
            return None
        if details is None:
            return None
        listings = [details.files, *(revision.files for revision in details.revisions)]
        return next((found for found in listings if _holds(found, artifact)), None)

    return files


def _holds(files: Sequence[RemoteFile], artifact: Artifact) -> bool:
    return any(
        file.path == artifact.path
        and (None in {file.sha256, artifact.sha256} or file.sha256 == artifact.sha256)
        for file in files
    )
