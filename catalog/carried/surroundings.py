"""Fetch the small files that belong to a build: its base model's tokenizer, licences, the card.

They come through huggingface_hub's cache, verified, and then lie beside the model in the store, so
that the next export needs no network for them. What cannot be had is said, and left out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rkfetch.catalog.models import hub_id
from rkfetch.registry.beside import CARD, LARGEST_BYTES, beside, put, role_of
from rkfetch.registry.convert.base_cache import fetch, missing_bytes
from rkfetch.registry.convert.base_files import Weights, is_plain, is_small_and_wanted
from rkfetch.registry.convert.base_hub import list_files
from rkfetch.registry.durable import disk_errors
from rkfetch.registry.errors import (
    AuthenticationError,
    IntegrityError,
    MeteredError,
    NetworkError,
    UnknownModelError,
    UsageError,
)
from rkfetch.registry.record import safe_file_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rkfetch.registry.convert.base import BaseModel, ModelFile
    from rkfetch.registry.errors import RkfetchError
    from rkfetch.registry.http import Http
    from rkfetch.registry.metered import Costs
    from rkfetch.registry.progress import Progress
    from rkfetch.registry.store import Installed, Store

_README = "README.md"
_NOT_TO_BE_HAD = (
    AuthenticationError,
    IntegrityError,
    MeteredError,
    NetworkError,
    UnknownModelError,
    UsageError,
)


def surround(
    store: Store,
    item: Installed,
    *,
    http: Http | None,
    tokenizer: bool = True,
    progress: Progress,
    costs: Costs | None = None,
) -> tuple[Installed, tuple[str, ...]]:
    """Have the small files of an installed model beside it, as far as they can be had.

    Returns the model, whose record tells the licence then, and sentences that say what could not
    be had, and why.

    Those that are there are not fetched again. ``http`` is None offline. Without ``tokenizer``
    only licences and the card are fetched.

    Raises:
        DiskSpaceError, RkfetchError: they cannot be written.
    """
    return _Task(store, item, http, progress, costs, tokenizer=tokenizer).run()


class _Task:
    """One model."""

    def __init__(
        self,
        store: Store,
        item: Installed,
        http: Http | None,
        progress: Progress,
        costs: Costs | None,
        *,
        tokenizer: bool,
    ) -> None:
        self._store = store
        self._item = item
        self._http = http
        self._progress = progress
        self._costs = costs
        self._wants_tokenizer = tokenizer
        self._missing: list[str] = []

    @property
    def _roles(self) -> set[str]:
        return {file.role for file in beside(self._item)}

    def run(self) -> tuple[Installed, tuple[str, ...]]:
        record = self._item.record
        self._of_the_base()
        if record.source == "huggingface" and record.repo and "card" not in self._roles:
            self._of_the_upload()
        if self._wants_tokenizer and "tokenizer" not in self._roles:
            name = record.model or record.path
            self._missing.append(f"so {name} goes without its tokenizer")
        return self._item, tuple(self._missing)

    def _of_the_base(self) -> None:
        """Have the base model's tokenizer and licence."""
        record = self._item.record
        base_id = hub_id(record.model) or record.model if record.model else None
        if base_id is None or "/" not in base_id:
            if self._wants_tokenizer and "tokenizer" not in self._roles:
                self._missing.append("its base model is not known")
            return
        is_here = "tokenizer" in self._roles or not self._wants_tokenizer
        if is_here and (record.licence is not None or self._http is None):
            return
        base = self._listed(base_id, None, "the base model's files")
        if base is None:
            return
        if base.licence is not None:
            self._item = self._store.note_licence(self._item, base.licence)
        files = [
            file
            for file in base.listing
            if _is_wanted(file, tokenizer=self._wants_tokenizer) and file.path != _README
        ]
        self._have(base, files)

    def _of_the_upload(self) -> None:
        """Have the uploader's card and licence; the tokenizer, too, if the base has given none."""
        record = self._item.record
        needs = self._wants_tokenizer and "tokenizer" not in self._roles
        if self._http is None and self._roles:
            return  # it was asked for once, and perhaps there is none
        upload = self._listed(record.repo, record.revision, "the model card")
        if upload is None:
            return
        if self._item.record.licence is None and upload.licence is not None:
            self._item = self._store.note_licence(self._item, upload.licence)
        there = {file.path.name for file in beside(self._item)}
        files = [
            file
            for file in upload.listing
            if (file.path == _README and file.size_bytes <= LARGEST_BYTES)
            or (_is_wanted(file, tokenizer=needs) and file.path not in there)
        ]
        self._have(upload, files)

    def _listed(self, repo: str, revision: str | None, what: str) -> BaseModel | None:
        if self._http is None:
            self._missing.append(f"{what}: not fetched, for the network is switched off")
            return None
        with self._unless_impossible(what):
            return list_files(repo, revision, http=self._http, waiting=self._progress.waiting)
        return None

    def _have(self, repository: BaseModel, files: Sequence[ModelFile]) -> None:
        """Fetch some files of a repository, and lay them beside the model."""
        if not files or self._http is None:
            return
        wanted = replace(repository, listing=tuple(files))
        here: BaseModel | None = None
        with self._unless_impossible(f"files of {repository.hub_id}"):
            self._require_link(wanted)
            here = fetch(wanted, http=self._http, progress=self._progress)
        if here is None or here.path is None:
            return
        with self._unless_impossible("the files beside it"):
            for file in files:
                path = here.path / file.path
                with disk_errors(path):
                    content = path.read_bytes()
                put(self._store, self._item, CARD if file.path == _README else file.path, content)

    def _require_link(self, wanted: BaseModel) -> None:
        """Have consent to what would come over a link that costs."""
        size = missing_bytes(wanted)
        who = self._costs.matter(size) if self._costs is not None else None
        if self._costs is not None and who is not None:
            self._costs.require(wanted.words, size, who)

    def _unless_impossible(self, what: str) -> _Unless:
        return _Unless(lambda error: self._missing.append(f"{what}: {error.message}"))


class _Unless:
    """Notes why something cannot be had, instead of failing."""

    def __init__(self, note: Callable[[RkfetchError], object]) -> None:
        self._note = note

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        if isinstance(error, _NOT_TO_BE_HAD):
            self._note(error)
            return True
        return False


def _is_wanted(file: ModelFile, *, tokenizer: bool) -> bool:
    """Tell whether a file at the top of a repository is a small one that belongs to a build."""
    name = file.path
    if not is_plain(name) or "/" in name or safe_file_name(name) != name:
        return False
    if file.size_bytes > LARGEST_BYTES:
        return False
    if role_of(name) == "licence":
        return True
    return tokenizer and is_small_and_wanted(name, Weights())
