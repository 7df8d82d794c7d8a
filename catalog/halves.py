"""Bring the encoder of a vision model to the language half, with the same guarantees."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rkfetch.registry import rknn
from rkfetch.registry.endpoints import mirrors
from rkfetch.registry.errors import RkfetchError, UnknownModelError
from rkfetch.registry.fetch import fetch, installed
from rkfetch.registry.hub import HttpBytes, has_address

from .pairs import ALONE, Pair, pair_of

if TYPE_CHECKING:
    from rkfetch.registry.http import Http
    from rkfetch.registry.limits import Limits
    from rkfetch.registry.metered import Costs
    from rkfetch.registry.model import Artifact
    from rkfetch.registry.progress import Progress
    from rkfetch.registry.resolve import Candidate
    from rkfetch.registry.rknn import RknnFacts
    from rkfetch.registry.store import Installed, Store

    from .answer import Answer
    from .database import Catalog

_SHOULD_BE = "its vision encoder"


@dataclass(frozen=True, slots=True)
class Means:
    """What a file is brought with."""

    catalog: Catalog
    store: Store
    http: Http | None
    progress: Progress
    limits: Limits | None
    costs: Costs | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """A build with what belongs to it."""

    model: Installed
    companions: tuple[Installed, ...] = ()
    came: tuple[Installed, ...] = ()
    resumed_from: int = 0
    alone: str | None = None


class Half:
    """The encoder of one build, as it is wanted, found here, or missed."""

    def __init__(self, means: Means, pair: Pair, here: Installed | None) -> None:
        self._means = means
        self._wanted = pair.encoder
        self._alone = pair.alone
        self._here = here

    @classmethod
    def of(
        cls, means: Means, answer: Answer, candidate: Candidate, model: Installed | None = None
    ) -> Half:
        """Look for the encoder of a build: what ``model`` is joined to is not looked for again.

        What names the right chip and was built for another is found out here, by a few bytes.

        Raises:
            NetworkError, AuthenticationError, UnknownModelError, IntegrityError: it is not given
                out, or is another file than the catalog knows.
        """
        joined = [] if model is None else means.store.companions(model)
        for companion in joined:
            if (sound := means.store.find(companion.record.sha256)) is not None:
                return cls(means, Pair(), sound)
        pair = answer.pair
        if candidate is not answer.choice:
            pair = pair_of(means.catalog, candidate.artifact)
        here = None if pair.encoder is None else installed(means.store, pair.encoder)
        half = cls(means, pair, here)
        half._look_first()
        return half

    @property
    def missing_bytes(self) -> int:
        """How much is still to come, as far as that is known."""
        wanted = self._wanted
        return 0 if wanted is None or self._here is not None else wanted.size_bytes or 0

    def _look_first(self) -> None:
        """Read what an encoder says of its chip before it is downloaded."""
        wanted, http = self._wanted, self._means.http
        if wanted is None or self._here is not None or wanted.is_local:
            return
        if http is None:
            off = "and the network is switched off"
            why: str | None = f"{_SHOULD_BE} {wanted.path} is not here, {off}"
        else:
            why = obstacle(wanted, http)
        if why is not None:
            self._wanted, self._alone = None, f"{ALONE}; {why}"

    def have(self, model: Installed) -> Joined:
        """Have the encoder here, verified, and note that it belongs to the build.

        Raises:
            RkfetchError: as `registry.fetch.fetch`, and `registry.imports.import_file` for a file
                of this machine.
        """
        encoder, resumed_from, came = self._here, 0, False
        if encoder is None and self._wanted is not None:
            encoder, resumed_from, came = self._bring(self._wanted)
        if encoder is None:
            return Joined(model=model, alone=self._alone)
        with suppress(RkfetchError):  # in a store that may only be read they are found all the same
            model = self._means.store.join(model, encoder)
        return Joined(
            model=model,
            companions=(encoder,),
            came=(encoder,) if came else (),
            resumed_from=resumed_from,
        )

    def _bring(self, wanted: Artifact) -> tuple[Installed, int, bool]:
        means = self._means
        if wanted.is_local:
            return self._take_in(wanted)
        assert means.http is not None  # else nothing is wanted any more
        fetched = fetch(
            wanted,
            store=means.store,
            http=means.http,
            progress=means.progress,
            limits=means.limits,
            costs=means.costs,
        )
        return fetched.installed, fetched.resumed_from, fetched.action == "downloaded"

    def _take_in(self, wanted: Artifact) -> tuple[Installed, int, bool]:
        """Link a file of a scanned folder into the store."""
        from rkfetch.registry.imports import import_file

        from .imports import provenance
        from .sources.folder import local_path

        means, path = self._means, local_path(wanted)
        imported = import_file(
            means.store,
            path,
            describe=lambda sha256, facts: provenance(means.catalog, path, sha256, facts).record,
            progress=means.progress,
        )
        return imported.installed, 0, imported.action != "present"


def obstacle(wanted: Artifact, http: Http) -> str | None:
    """Return why an encoder cannot be had, or is another chip's by a few of its bytes.

    Raises:
        NetworkError, AuthenticationError, IntegrityError: it is not given out, or is another file
            than the catalog knows.
    """
    if not has_address(wanted):
        return f"{_SHOULD_BE} {wanted.path} has to be fetched by hand (`rkfetch import`)"
    if wanted.sha256 is not None and mirrors():
        return None  # a neighbour's store needs no Hub
    try:
        return _wrong(rknn.read_rknn(HttpBytes(http, wanted)), wanted)
    except UnknownModelError:
        return f"{_SHOULD_BE} {wanted.path} is not there any more"


def _wrong(facts: RknnFacts | None, wanted: Artifact) -> str | None:
    """Return why a file is not the encoder that it is taken for; None if it may be."""
    said = "it is no RKNN model" if facts is None else rknn.complaint(facts, wanted.platform)
    return said and f"{wanted.path} should be its vision encoder, but {said}"
