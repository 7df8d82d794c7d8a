"""Take an export in: every byte is verified on its way, and only what fits the board is taken.

Models go into the store as any other file does, so that a process that is killed leaves nothing
half-made, and the same command again goes on. What the list says is compared with the content:
digests, formats, and what the headers say of chip and toolkit.
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from rkfetch.catalog.probe import note_file
from rkfetch.catalog.published.reading import FormError
from rkfetch.registry.beside import LARGEST_BYTES, put
from rkfetch.registry.durable import disk_errors, require_space
from rkfetch.registry.errors import IntegrityError, RkfetchError
from rkfetch.registry.imports import import_file, require_model
from rkfetch.registry.progress import NoProgress

from . import knowledge
from .checking import Checked, misfit, require_digest, signed_by
from .form import LARGEST_CATALOG_FILE, MODEL, VISION, read_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rkfetch.catalog.database import Catalog
    from rkfetch.registry.model import Target
    from rkfetch.registry.place import How
    from rkfetch.registry.progress import Progress
    from rkfetch.registry.rkllm import RkllmFacts
    from rkfetch.registry.store import Installed, Store

    from .form import CarriedFile, CarriedModel, Export
    from .knowledge import Learned
    from .places import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenModel:
    """A model of an export that is in the store now."""

    carried: CarriedModel
    installed: Installed
    companions: tuple[Installed, ...]
    action: Literal["present"] | How
    """Of the model itself."""
    unfit: str | None = None
    """Why it does not fit the board, if it was taken all the same."""


@dataclass(kw_only=True)
class Taken:
    """What came of an export."""

    place: str
    models: list[TakenModel] = field(default_factory=list)
    skipped: list[tuple[CarriedModel, str]] = field(default_factory=list)
    """What does not fit this board, each with the reason."""
    signed: Literal["known", "unknown", "no"] = "no"
    """Whether it is signed, with a key that this machine takes catalogs from."""
    key: str | None = None
    """The key, or the number of one that is not known."""
    learned: Learned | None = None
    """What the catalog knows now; None if there was nothing for it."""
    note: str | None = None
    """Why the catalog could not take its part."""


def take_in(
    place: Place,
    *,
    store: Store,
    catalog: Catalog,
    target: Target | None,
    force: bool = False,
    copy: bool = False,
    progress: Progress | None = None,
) -> Taken:
    """Take in what fits a board; ``target`` is None on what is no board: then everything fits.

    ``force`` takes what does not fit, too; ``copy`` never links to the export's own files.

    Raises:
        IntegrityError: it is no export, was altered, or is damaged. What came before that is kept.
        DiskSpaceError: there is no room for what is missing; known before anything is written.
        UsageError, RkfetchError: it cannot be read, or the store not be written.
    """
    taken = Taken(place=place.name)
    export = _listed(place, catalog, taken)
    task = _Task(place, store, catalog, progress or NoProgress(), copy=copy)
    wanted: list[tuple[CarriedModel, str | None]] = []
    for model in export.models:
        why = None if target is None else misfit(model, target)
        if why is None or force:
            wanted.append((model, why))
        else:
            taken.skipped.append((model, why))
    task.require_room([model for model, _ in wanted])
    for model, why in wanted:
        taken.models.append(task.take(model, why))
    if wanted:
        task.learn(export, taken)
    place.finish()
    return taken


def _listed(place: Place, catalog: Catalog, taken: Taken) -> Export:
    """Return the list, once its signature was looked at."""
    content, signature = place.lists()
    if signature is not None:
        taken.signed, taken.key = signed_by(content, signature, catalog, where=place.name)
    try:
        return read_manifest(content)
    except FormError as error:
        raise IntegrityError(
            f"the list of {place.name} cannot be read",
            cause=[str(error)],
            hint="was the export made by rkfetch? Nothing of it was taken",
        ) from error


class _Task:
    """One export on its way in."""

    def __init__(
        self,
        place: Place,
        store: Store,
        catalog: Catalog,
        progress: Progress,
        *,
        copy: bool,
    ) -> None:
        self._place = place
        self._store = store
        self._catalog = catalog
        self._progress = progress
        self._copy = copy
        self._read: dict[str, RkllmFacts] = {}
        """Headers of what came, which the catalog is told of at the end."""

    def require_room(self, models: Sequence[CarriedModel]) -> None:
        """Check that what is missing has room, and that it is there in its size."""
        need = 0
        for file in {f.path: f for model in models for f in model.files}.values():
            if file.record is not None and self._store.find(file.sha256) is not None:
                continue
            path = self._place.path_of(file)
            if file.record is not None and not self._may_link(path):
                need += file.size_bytes
        if need:
            at = self._store.root
            while not at.exists():
                at = at.parent
            require_space(at, need)

    def _may_link(self, path: Path | None) -> bool:
        if path is None or self._copy:
            return False
        at = self._store.root
        with contextlib.suppress(OSError):
            return at.stat().st_dev == path.stat().st_dev
        return False

    def take(self, model: CarriedModel, unfit: str | None) -> TakenModel:
        """Have a model and all that belongs to it in the store."""
        companions = [self._file(file, model)[0] for file in model.companions]
        item, action = self._file(model.main, model)
        for companion in companions:
            item = self._store.join(item, companion)
        for file in model.beside:
            put(self._store, item, file.name, self._small(file, LARGEST_BYTES))
        return TakenModel(
            carried=model,
            installed=item,
            companions=tuple(companions),
            action=action,
            unfit=unfit,
        )

    def _file(
        self, file: CarriedFile, model: CarriedModel
    ) -> tuple[Installed, Literal["present"] | How]:
        here = self._store.find(file.sha256)
        if here is not None:
            return here, "present"
        checked = Checked(file, model, self._place.name)
        path = self._place.path_of(file)
        if path is None:
            done = self._from_stream(file, checked)
        else:
            if file.role == VISION:
                checked.require_chip(path)
            imported = import_file(
                self._store, path, describe=checked, copy=self._copy, progress=self._progress
            )
            done = imported.installed, imported.action
        if checked.facts is not None and file.role == MODEL:
            self._read[file.sha256] = checked.facts
        return done

    def _from_stream(
        self, file: CarriedFile, checked: Checked
    ) -> tuple[Installed, Literal["present"] | How]:
        """Take in a file that comes piece by piece, under a key that no download works under."""
        key = hashlib.sha256(f"carried:{file.sha256}".encode()).hexdigest()
        self._progress.phase("verify")
        self._progress.started(file.size_bytes, 0)
        with self._store.writing(key, waiting=self._progress.waiting):
            here = self._store.find(file.sha256)
            if here is not None:
                return here, "present"
            partial = self._store.partial(key)
            try:
                sha256 = self._collect(file, partial)
                record = checked(sha256, require_model(partial))
                if file.role == VISION:
                    checked.require_chip(partial)
                return self._store.add(partial, record), "copied"
            finally:
                with contextlib.suppress(OSError):
                    partial.unlink(missing_ok=True)

    def _collect(self, file: CarriedFile, partial: Path) -> str:
        digest, done = hashlib.sha256(), 0
        with disk_errors(partial):
            partial.unlink(missing_ok=True)
            with partial.open("xb", buffering=0) as copy:
                for piece in self._content(file):
                    digest.update(piece)
                    view = memoryview(piece)
                    while view:
                        view = view[copy.write(view) :]
                    done += len(piece)
                    self._progress.advanced(done)
        return digest.hexdigest()

    def _content(self, file: CarriedFile) -> Iterator[bytes]:
        """Yield a file's content; a failure to read it is none of the store's disk."""
        try:
            yield from self._place.content(file)
        except OSError as error:
            raise RkfetchError(
                f"{self._place.name} cannot be read", cause=[error.strerror or str(error)]
            ) from error

    def _small(self, file: CarriedFile, most: int) -> bytes:
        """Return the content of a small file, verified."""
        assert file.size_bytes <= most  # the list was read strictly
        content = b"".join(self._place.content(file))
        require_digest(file, hashlib.sha256(content).hexdigest(), self._place.name)
        return content

    def learn(self, export: Export, taken: Taken) -> None:
        """Let the catalog know what the export says of what was taken."""
        digests = {model.carried.main.sha256 for model in taken.models}
        files = {file.path: self._small(file, LARGEST_CATALOG_FILE) for file in export.catalog}
        if self._catalog.read_only:
            taken.note = "the catalog may only be read, so it learned nothing"
            return
        key = taken.key if taken.signed == "known" else None
        try:
            taken.learned = knowledge.take(self._catalog.path, files, digests, key=key)
        except IntegrityError:
            raise
        except RkfetchError as error:
            taken.note = error.message
        for sha256, facts in self._read.items():
            for artifact in self._catalog.by_sha256(sha256)[:1]:
                note_file(self._catalog, artifact, sha256, facts)
