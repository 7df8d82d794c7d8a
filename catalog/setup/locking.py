"""Choose for every target of a set-up the files that its boards get, and keep what holds.

A choice that was locked before stays, as long as it may be used: what twenty boards have is not
changed because a catalog has learnt of something newer. Who wants that says so (``upgrade``).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from rkfetch.catalog import border
from rkfetch.catalog.answer import answer
from rkfetch.catalog.get import elsewhere, header_is_known
from rkfetch.catalog.halves import obstacle
from rkfetch.catalog.measured import measured_memory
from rkfetch.catalog.pairs import ALONE, Pair, lister_of, pair_of
from rkfetch.catalog.places import at_its_place
from rkfetch.catalog.probe import prober
from rkfetch.registry.errors import (
    AuthenticationError,
    ConversionUnavailableError,
    IncompatibleError,
    IntegrityError,
    MemoryFitError,
    NetworkError,
    OfflineError,
    RkfetchError,
    UnknownModelError,
    UsageError,
)
from rkfetch.registry.hub import has_address, hub_routes
from rkfetch.registry.model import CONVERTED, LOCAL, Availability, with_evidence
from rkfetch.registry.resolve import resolve
from rkfetch.registry.route import first_that_answers

from .declaration import THIS_BOARD, WantedTarget
from .locked import Lock, LockedFile, LockedModel, LockedTarget, collision
from .paths import MODEL_SUFFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rkfetch.catalog.database import Catalog
    from rkfetch.registry.http import Http
    from rkfetch.registry.model import Artifact, Target
    from rkfetch.registry.resolve import Candidate

    from .declaration import Declaration, Wish

AtHand: TypeAlias = "Callable[[Artifact], bool]"
NOTHING_FITS = (IncompatibleError, MemoryFitError, ConversionUnavailableError)
"""What an optional model of a target does without."""
_MOST_TRIED = 4
"""Builds looked at before a model is given up whose best builds turn out not to be there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What became of one model of one target."""

    target: str
    what: Literal["new", "kept", "changed", "removed"]
    old: LockedModel | None = None
    new: LockedModel | None = None

    @property
    def wish(self) -> Wish:
        """What was wished for."""
        model = self.new or self.old
        assert model is not None  # one of them is there
        return model.wish


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A model that a target cannot have."""

    target: str
    wish: Wish
    error: RkfetchError


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A lock, and how it came about; with failures it is not to be used."""

    lock: Lock
    changes: tuple[Change, ...]
    failures: tuple[Failure, ...]


def make(
    catalog: Catalog,
    declaration: Declaration,
    board: Callable[[], Target],
    *,
    old: Lock | None = None,
    upgrade: Callable[[Wish], bool] = lambda _: False,
    http: Http | None = None,
    at_hand: AtHand | None = None,
) -> Made:
    """Choose the files of all models for all targets.

    ``board`` finds the target where none is declared. Of the lock ``old`` every choice is kept that
    may be used still, unless ``upgrade`` says to choose anew. ``http`` is None offline: then what
    the catalog knows has to do. ``at_hand`` is as for `answer.answer`.

    Raises:
        UsageError: two different files of a target would get one name.
    """
    targets, changes, failures = [], list[Change](), list[Failure]()
    for wanted in declaration.targets or [_this_board(board(), old)]:
        before = _before(old, wanted.name)
        models = []
        for wish in declaration.wishes_for(wanted.name):
            kept = next((m for m in before if m.wish.question == wish.question), None)
            try:
                model = None
                if kept is not None and not upgrade(wish):
                    model = _kept(catalog, replace(kept, wish=wish), wanted.target)
                if model is None:
                    model = _chosen(catalog, wish, wanted.target, http, at_hand)
            except RkfetchError as error:
                failures.append(Failure(target=wanted.name, wish=wish, error=error))
                continue
            models.append(model)
            changes.append(_change(wanted.name, kept, model))
        target = LockedTarget(name=wanted.name, target=wanted.target, models=tuple(models))
        if (twice := collision(target)) is not None:
            hint = "give one of them another `to`"
            raise UsageError(twice, hint=hint)
        targets.append(target)
        changes += _removed(wanted.name, before, models)
    return Made(lock=Lock(targets=tuple(targets)), changes=tuple(changes), failures=tuple(failures))


def _this_board(board: Target, old: Lock | None) -> WantedTarget:
    """Return the target that is meant where none is declared.

    Where nothing tells the runtime (on a PC, in CI) it is the one that was locked.
    """
    locked = old.get(THIS_BOARD) if old is not None else None
    known = locked.target if locked is not None and board.runtime is None else board
    return WantedTarget(name=THIS_BOARD, target=replace(known, quant=None))


def _before(old: Lock | None, name: str) -> tuple[LockedModel, ...]:
    locked = old.get(name) if old is not None else None
    return locked.models if locked is not None else ()


def _change(target: str, kept: LockedModel | None, model: LockedModel) -> Change:
    if kept is None:
        return Change(target=target, what="new", new=model)
    same = [file.sha256 for file in kept.files] == [file.sha256 for file in model.files]
    return Change(target=target, what="kept" if same else "changed", old=kept, new=model)


def _removed(
    target: str, before: Sequence[LockedModel], models: Sequence[LockedModel]
) -> Iterator[Change]:
    asked = {model.wish.question for model in models}
    for model in before:
        if model.wish.question not in asked:
            yield Change(target=target, what="removed", old=model)


# --- what was locked before -----------------------------------------------------------------------


def _kept(catalog: Catalog, model: LockedModel, board: Target) -> LockedModel | None:
    """Return a locked model, judged by what is known now; None if it may not be used any more."""
    if not model.files:
        return None
    judged = judge(known_now(catalog, model.files[0].artifact), model.wish, board)
    if judged.refusal is not None:
        return None
    return replace(model, level=judged.verdict.level, why=_reason(judged))


def known_now(catalog: Catalog, artifact: Artifact) -> Artifact:
    """Return a locked file with what the catalog knows of its content besides."""
    row = catalog.artifact(artifact.source, artifact.repo, artifact.path, artifact.revision)
    if row is None or row.sha256 != artifact.sha256:
        rows = catalog.by_sha256(artifact.sha256 or "")
        row = rows[0] if rows else None
    if row is None:
        return artifact
    row = at_its_place(catalog, row)
    rejected = row.availability is Availability.REJECTED
    return replace(
        artifact,
        availability=Availability.REJECTED if rejected else artifact.availability,
        note=row.note if rejected else None,
        sightings=row.sightings,
        attributes=with_evidence(
            row, (e for a in artifact.attributes.values() for e in a.evidence)
        ).attributes,
    )


def judge(artifact: Artifact, wish: Wish, board: Target) -> Candidate:
    """Judge one build for a board and what is wished of it."""
    resolution = resolve(
        [artifact], wish.target(board), policy=wish.policy, measured=measured_memory
    )
    return (*resolution.ranked, *resolution.refused)[0]


def _reason(candidate: Candidate) -> str:
    return next((reason.text for reason in candidate.verdict.reasons), "")


# --- what is chosen anew --------------------------------------------------------------------------


def _chosen(
    catalog: Catalog, wish: Wish, board: Target, http: Http | None, at_hand: AtHand | None
) -> LockedModel:
    """Choose a build.

    Raises:
        RkfetchError: there is none, and the wish is not optional; see `answer.Answer.require`.
    """
    try:
        return _best(catalog, wish, board, http, at_hand)
    except NOTHING_FITS as error:
        if not wish.optional:
            raise
        return LockedModel(wish=wish, name=None, files=(), level=None, why=error.message)


def _best(
    catalog: Catalog, wish: Wish, board: Target, http: Http | None, at_hand: AtHand | None
) -> LockedModel:
    lister = None if http is None or wish.text_only else lister_of(http)
    found = answer(
        catalog,
        wish.model,
        wish.target(board),
        policy=wish.policy,
        prober=prober(catalog, http) if http is not None else None,
        at_hand=at_hand,
        lister=lister,
    )
    found.require()
    failure: RkfetchError | None = None
    for candidate in found.resolution.ranked[:_MOST_TRIED]:
        try:
            pinned = _pinned(catalog, candidate.artifact, http)
        except (IntegrityError, UnknownModelError, AuthenticationError, OfflineError) as error:
            failure = failure or error
            continue
        judged = judge(pinned, wish, board)
        if judged.refusal is None:
            pair = found.pair
            if candidate is not found.choice:
                pair = pair_of(catalog, candidate.artifact, lister=lister)
            pair = Pair() if wish.text_only else _pinned_pair(catalog, pair, http)
            return LockedModel(
                wish=wish,
                name=found.model,
                files=tuple(_file(catalog, f) for f in (pinned, *pair.companions)),
                level=judged.verdict.level,
                why=_reason(judged),
                alone=pair.alone,
            )
        failure = failure or IncompatibleError(f"{pinned.name}: {judged.refusal.text}")
    assert failure is not None  # something was required to be there
    raise failure


def _pinned_pair(catalog: Catalog, pair: Pair, http: Http | None) -> Pair:
    """Return an encoder with what a lock needs; or why a vision model has to do without.

    Raises:
        RkfetchError: as `_pinned` and `halves.obstacle`.
    """
    if pair.encoder is None:
        return pair
    if http is not None and not pair.encoder.is_local:
        why = obstacle(pair.encoder, http)
        if why is not None:
            return Pair(alone=f"{ALONE}; {why}")
    return Pair(encoder=_pinned(catalog, pair.encoder, http))


def _pinned(catalog: Catalog, artifact: Artifact, http: Http | None) -> Artifact:
    """Return a build with what a lock needs: content, commit, and the file's own word.

    Raises:
        IntegrityError: it was replaced upstream.
        UnknownModelError: it is not there any more, or lies in a folder of this machine alone.
        AuthenticationError: its source does not give it out.
        OfflineError: its SHA-256 is not known, and cannot be asked for.
    """
    if artifact.is_local:
        artifact = _upstream(catalog, artifact)
    if http is not None and has_address(artifact):
        if artifact.path.endswith(MODEL_SUFFIX) and not header_is_known(artifact):
            # What is promised to twenty boards is worth two requests; the catalog has to do if
            # the network does not.
            with suppress(NetworkError):
                artifact = prober(catalog, http)(artifact)
        if artifact.sha256 is None or border.commit(artifact.revision) is None:
            artifact = _located(http, artifact)
    if artifact.sha256 is None:
        raise OfflineError(
            f"the SHA-256 of {artifact.name} is not known",
            cause=["the network is switched off"] if http is None else [],
            hint="run it once online",
        )
    return artifact


def _upstream(catalog: Catalog, artifact: Artifact) -> Artifact:
    """Return where others can have what lies in a folder of this machine."""
    for place in artifact.also:
        if place.availability is Availability.LISTED and place.source not in {LOCAL, CONVERTED}:
            row = catalog.artifact(place.source, place.repo, place.path)
            if row is not None and row.sha256 == artifact.sha256:
                return at_its_place(catalog, row)
    raise UnknownModelError(
        f"{artifact.name} lies in a folder of this machine, where no other can have it",
        hint="`rkfetch import` takes it into the store, which RKFETCH_MIRRORS can give out",
    )


def _located(http: Http, artifact: Artifact) -> Artifact:
    try:
        remote = first_that_answers(hub_routes(http, artifact))[0].located()
    except NetworkError:
        if artifact.sha256 is None:
            raise
        return artifact
    return replace(
        artifact,
        sha256=artifact.sha256 or remote.sha256,
        size_bytes=artifact.size_bytes or remote.size_bytes,
        revision=remote.commit or artifact.revision,
    )


def _file(catalog: Catalog, artifact: Artifact) -> LockedFile:
    return LockedFile(artifact=artifact, also=tuple(elsewhere(catalog, artifact)))
