"""Which file does a log speak of, what is it, and what would fit the board instead?"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from rkfetch.registry.diagnosis.case import Subject
from rkfetch.registry.errors import RkfetchError, UsageError
from rkfetch.registry.model import Target
from rkfetch.registry.rkllm_read import read_file

from .answer import answer
from .models import exactly, known_model, match, parse_reference
from .naming import guess, recorded_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from rkfetch.registry.model import Artifact, Platform
    from rkfetch.registry.rkllm import RkllmFacts
    from rkfetch.registry.runtime_log import Load
    from rkfetch.registry.store import Installed, Store
    from rkfetch.registry.target import Board
    from rkfetch.registry.versions import Version

    from .database import Catalog

MOST_SUBJECTS = 20
"""A log that names more files than this is not looked into any further."""


def subjects(
    catalog: Catalog, store: Store, *, given: str | None = None, board: Board | None = None
) -> Callable[[Load | None], Subject]:
    """Return what finds the file of a load. ``given`` is what the user says it is.

    Raises:
        UsageError: ``given`` is no file that is here, and no reference either.
    """
    finder = _Finder(catalog, store, board)
    if given is not None and not os.path.isfile(given):  # noqa: PTH113 - it bears any text
        finder.require(given)
    known: dict[object, Subject] = {}

    def find(load: Load | None) -> Subject:
        key = (load.path, load.platform, load.runtime, load.toolkit) if load else None
        if key not in known:
            if len(known) > MOST_SUBJECTS:
                return Subject()
            known[key] = finder.find(given, load)
        return known[key]

    return find


class _Finder:
    """Looks at this machine and in the catalog; no network."""

    def __init__(self, catalog: Catalog, store: Store, board: Board | None) -> None:
        self._catalog = catalog
        self._installed = store.installed()
        self._board = board
        self._models = catalog.models()

    def require(self, given: str) -> None:
        """Refuse what can mean nothing."""
        if given.endswith(".rkllm") and ":" not in given and self._item(given) is None:
            raise UsageError(
                f"there is no file '{given}', and none of that name is installed",
                hint="--model takes a path, the name of an installed file, or a reference",
            )
        parse_reference(given)

    def find(self, given: str | None, load: Load | None) -> Subject:
        """Return what is known of a load's file."""
        named = given or (load.path if load else None)
        if named is None:
            return Subject()
        item = self._item(named)
        if os.path.isfile(named):  # noqa: PTH113 - a log may name anything
            return self._of_file(Path(named), item, load)
        if item is not None:
            return self._of_file(item.path, item, load)
        if given is not None and (":" in given or not given.endswith(".rkllm")):
            return self._of_reference(given, load)
        return self._of_name(PurePosixPath(named).name, load)

    def _item(self, named: str) -> Installed | None:
        """Return the installed file that is meant: the very file, or the only one of its name."""
        with suppress(OSError, ValueError):
            status = Path(named).stat()
            for item in self._installed:
                with suppress(OSError):
                    if os.path.samestat(item.path.stat(), status):
                        return item
            return None
        name = PurePosixPath(named).name
        same = [
            i for i in self._installed if name in {i.path.name, PurePosixPath(i.record.path).name}
        ]
        return same[0] if len(same) == 1 else None

    def _of_file(self, path: Path, item: Installed | None, load: Load | None) -> Subject:
        facts: RkllmFacts | None = None
        with suppress(RkfetchError):
            facts = read_file(path)
        if facts is not None and load is not None and _contradict(facts, load):
            # Somebody has put another file there since.
            facts = None
        name = _name_of(item) if item else path.name
        model = recorded_model(item.record) if item else guess("", name).model
        return Subject(
            path=str(path),
            facts=facts,
            installed=item is not None,
            damaged=item is not None and item.record.damaged,
            reference=self._known(model),
            exact=_address(item) if item else None,
            model=model,
            fitting=self._fitting(model, load),
        )

    def _of_name(self, name: str, load: Load | None) -> Subject:
        model = guess("", name).model
        had = {a.name: a for a in self._catalog.named(name)} if model else {}
        upload = next(iter(had.values())) if len(had) == 1 else None
        return Subject(
            missing=True,
            reference=self._known(model),
            exact=exactly(upload.source, upload.name) if upload else None,
            model=model,
            fitting=self._fitting(model, load),
        )

    def _of_reference(self, given: str, load: Load | None) -> Subject:
        reference = parse_reference(given)
        artifact: Artifact | None = None
        model = None
        if reference.file is not None:
            file = reference.file
            artifact = self._catalog.artifact(file.source, file.repo, file.path)
            model = artifact.model if artifact else guess(file.repo, file.path).model
        else:
            model = next(iter(match(reference.model or "", self._models)), None)
        toolkits: tuple[Version, ...] = artifact.toolkits if artifact else ()
        return Subject(
            toolkit=toolkits[0] if len(toolkits) == 1 else None,
            platform=artifact.platform if artifact else None,
            context=artifact.context if artifact else None,
            reference=model if reference.file is not None and model else given,
            exact=given if reference.file is not None else None,
            model=model,
            fitting=self._fitting(model, load),
        )

    def _known(self, model: str | None) -> str | None:
        """Return a model's name if it can be asked for; what a name may mean is no model yet."""
        if model is None or not (match(model, self._models) or known_model(model)):
            return None
        return model

    def _fitting(self, model: str | None, load: Load | None) -> str | None:
        """Return the build that is taken for the board of the log; None if none is known."""
        board = self._board
        platform: Platform | None = (load.platform if load else None) or (
            board.platform if board else None
        )
        runtime = (load.runtime if load else None) or (board.runtime if board else None)
        if model is None or platform is None or runtime is None:
            return None
        target = Target(
            platform=platform,
            runtime=runtime,
            driver=(load.driver if load else None) or (board.driver if board else None),
            memory_bytes=board.memory_bytes if board and board.platform is platform else None,
        )
        with suppress(RkfetchError):
            choice = answer(self._catalog, model, target).choice
            return choice.artifact.name if choice else None
        return None


def _name_of(item: Installed) -> str:
    return PurePosixPath(item.record.path).name


def _address(item: Installed) -> str | None:
    """Return what to type to get this very file again."""
    record = item.record
    return exactly(record.source, f"{record.repo}/{record.path}") if record.repo else None


def _contradict(facts: RkllmFacts, load: Load) -> bool:
    """Tell whether what is in a file is not what the runtime read in it."""
    pairs = (
        (facts.toolkit, load.toolkit),
        (facts.platform, load.file_platform),
        (facts.max_context, load.context),
    )
    return any(None not in pair and pair[0] != pair[1] for pair in pairs)
