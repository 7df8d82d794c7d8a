"""Bring a base model into huggingface_hub's own cache, verified, and find one that is there.

The bytes come through `transfer`: huggingface_hub 2 begins a broken file anew in every process,
and takes a flipped byte for the file. What it has fetched is used, and it uses what is fetched
here: the layout is the one that it documents
(https://huggingface.co/docs/huggingface_hub/guides/manage-cache).
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from rkfetch.registry.durable import (
    BLOCK_BYTES,
    disk_errors,
    make_directory,
    require_space,
    sync_directory,
    write_durably,
)
from rkfetch.registry.endpoints import hub_cache
from rkfetch.registry.errors import DiskSpaceError, OfflineError
from rkfetch.registry.hub import hub_routes
from rkfetch.registry.journal import journal_of
from rkfetch.registry.locks import locked
from rkfetch.registry.model import Artifact
from rkfetch.registry.progress import NoProgress
from rkfetch.registry.transfer import download

from . import base_folder
from .base import ModelFile
from .safetensors import require_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rkfetch.registry.http import Http
    from rkfetch.registry.limits import Limits
    from rkfetch.registry.progress import Progress

    from .base import BaseModel

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PARTIAL = ".rkfetch"
_ROOM = "make room (`hf cache prune`), or name a folder on another disk with HF_HOME; then run the "
_ROOM += "same command again"


def folder_of(hub_id: str) -> Path:
    """Return the folder of the cache that a model has, or would have."""
    return hub_cache().absolute() / f"models--{hub_id.replace('/', '--')}"


def find(hub_id: str, revision: str | None = None) -> BaseModel | None:
    """Return a model that lies in the cache, ``main`` by default; None if it does not.

    The cache calls content by its digest: that is what `fetch` compares it with.

    Raises:
        As `base_folder.look_at`: it is there in parts, or is none that can be converted.
    """
    folder, ref = folder_of(hub_id), revision or "main"
    commit = ref if _COMMIT.fullmatch(ref) else _commit_of(folder, ref)
    if commit is None or not (folder / "snapshots" / commit).is_dir():
        return None
    place = folder / "snapshots" / commit
    base, names = base_folder.look_at_folder(place)
    base = replace(
        base,
        name=hub_id.rpartition("/")[2],
        hub_id=hub_id,
        revision=commit,
        ref=None if ref == commit else ref,
    )
    listing = [_as_kept(place, name) for name in names]
    if None in listing:
        return base  # the cache is where there are no links: nothing tells what it should be
    return replace(base, path=None, listing=tuple(file for file in listing if file is not None))


def _commit_of(folder: Path, ref: str) -> str | None:
    """Return the commit that a branch or tag was at when it was fetched last."""
    place = _place_of(folder, ref)
    if place is None:
        return None
    try:
        commit = place.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return commit if _COMMIT.fullmatch(commit) else None


def _place_of(folder: Path, ref: str) -> Path | None:
    """Return where the cache notes the commit of a branch or tag; None if no such can be."""
    is_sound = all(part.strip(".") and part.isprintable() for part in ref.split("/"))
    return folder / "refs" / ref if is_sound else None


def _as_kept(place: Path, name: str) -> ModelFile | None:
    link = place / name
    if not link.is_symlink():
        return None
    key = link.readlink().name
    size_bytes = link.stat().st_size
    if _SHA256.fullmatch(key):
        return ModelFile(path=name, size_bytes=size_bytes, sha256=key)
    return ModelFile(path=name, size_bytes=size_bytes, blob=key) if _COMMIT.fullmatch(key) else None


def fetch(
    base: BaseModel,
    *,
    http: Http,
    progress: Progress | None = None,
    limits: Limits | None = None,
) -> BaseModel:
    """Have all files of a model of the Hub on this machine; return it with its ``path``.

    What is there is read and compared, what is wrong is fetched anew, and what came of a broken
    file is kept for the next time. ``path`` is a folder of links into another one beside it.

    Raises:
        IntegrityError: content is not what the Hub lists, or is no weights. Nothing of it is kept.
        NetworkError: nothing came any more, after retries.
        DiskSpaceError: there is no room; known before the first byte.
        OfflineError: it is not all here, and the network is switched off.
        AuthenticationError, UnknownModelError: the Hub does not give it out (any more).
    """
    if base.path is not None:
        return base
    assert base.hub_id is not None
    assert base.revision is not None
    task = _Fetch(base, folder_of(base.hub_id), http, progress or NoProgress(), limits)
    try:
        with _room_is_in_the_cache():
            task.run()
    except OfflineError as error:
        raise OfflineError(
            f"{base.words} is not all in huggingface_hub's cache, and the network is switched off",
            hint="leave out --offline, and unset HF_HUB_OFFLINE",
        ) from error
    for name in base.files:
        if name.endswith(".safetensors"):
            require_whole(task.snapshot / name)
    return replace(base, path=task.snapshot)


def missing_bytes(base: BaseModel) -> int:
    """Return how many bytes of a model of the Hub are not in the cache yet."""
    if base.hub_id is None or base.path is not None:
        return 0
    blobs = folder_of(base.hub_id) / "blobs"
    return sum(_to_come(blobs, file) for file in base.listing)


def _to_come(blobs: Path, file: ModelFile) -> int:
    """Return how many bytes a file will still take: blocks of a partial are taken already."""
    for here in (blobs / file.key, _partial(blobs, file)):
        with suppress(OSError):
            return max(0, file.size_bytes - here.stat().st_blocks * 512)
    return file.size_bytes


def _partial(blobs: Path, file: ModelFile) -> Path:
    return blobs / f"{file.key}{_PARTIAL}"


@contextmanager
def _room_is_in_the_cache() -> Iterator[None]:
    try:
        yield
    except DiskSpaceError as error:
        error.hint = _ROOM
        raise


class _Fetch:
    """One model on its way into the cache."""

    def __init__(
        self,
        base: BaseModel,
        folder: Path,
        http: Http,
        progress: Progress,
        limits: Limits | None,
    ) -> None:
        self._base = base
        self._folder = folder
        self._http = http
        self._progress = _Part(progress)
        self._limits = limits
        self._blobs = folder / "blobs"
        self.snapshot = folder / "snapshots" / str(base.revision)

    def run(self) -> None:
        """Have every file in its place."""
        base = self._base
        with disk_errors(self._blobs):
            missing = missing_bytes(base)
            if missing:
                make_directory(self._blobs)
                require_space(self._blobs, missing)
        self._progress.begin("download" if missing else "verify", base.download_bytes)
        for file in base.listing:
            link = self.snapshot / file.path
            with disk_errors(link):
                is_there = self._is_good(link, file)
            if not is_there:
                self._have(file, link)
            self._progress.done(file.size_bytes)
        self._note_ref()

    def _note_ref(self) -> None:
        """Note, as huggingface_hub does, what to take for a branch when there is no network."""
        ref, commit = self._base.ref, str(self._base.revision)
        place = _place_of(self._folder, ref) if ref is not None else None
        if ref is None or place is None:
            return
        make_directory(place.parent)
        with self._alone("refs"), disk_errors(place):
            if _commit_of(self._folder, ref) != commit:
                write_durably(place, commit.encode())

    def _have(self, file: ModelFile, link: Path) -> None:
        """Have a file, out of the cache or off the Hub, and a link to it."""
        blob = self._blobs / file.key
        make_directory(self._blobs)

        def waiting() -> None:
            self._progress.waiting(f"another process fetches {file.path}", 0)

        with self._alone(file.key, waiting):
            if not self._is_good(blob, file):
                self._download(file, blob)
            with disk_errors(link):
                _link(blob, link)

    @contextmanager
    def _alone(self, what: str, waiting: Callable[[], object] | None = None) -> Iterator[None]:
        """Hold the lock that huggingface_hub takes for a content, or one beside those."""
        lock = self._folder.parent / ".locks" / self._folder.name / f"{what}.lock"
        make_directory(lock.parent)
        with disk_errors(lock), locked(lock, waiting=waiting):
            yield

    def _is_good(self, path: Path, file: ModelFile) -> bool:
        """Tell whether a file is there and what it should be; remove it if it is not."""
        try:
            if _is_content(path, file, self._progress.advanced):
                return True
        except FileNotFoundError:
            return False
        if not path.is_symlink():  # what a link leads to is looked at by itself
            self._progress.restarted(f"{file.path} in the cache is damaged")
        path.unlink(missing_ok=True)
        return False

    def _download(self, file: ModelFile, blob: Path) -> None:
        artifact = Artifact(
            source="huggingface",
            repo=str(self._base.hub_id),
            path=file.path,
            revision=self._base.revision,
            size_bytes=file.size_bytes,
            sha256=file.sha256,
        )

        def check(path: Path) -> str | None:
            if file.sha256 is not None or _is_content(path, file, None):
                return None
            return f"{file.path} is not the content that the Hub lists (git blob {file.blob})"

        done = download(
            self._http,
            hub_routes(self._http, artifact, waiting=self._progress.waiting),
            partial=_partial(self._blobs, file),
            expected_size=file.size_bytes,
            expected_sha256=file.sha256,
            progress=self._progress,
            check=check,
            limits=self._limits,
        )
        with disk_errors(blob):
            done.path.replace(blob)
            sync_directory(blob.parent)
            journal_of(done.path).unlink(missing_ok=True)


def _is_content(path: Path, file: ModelFile, advanced: Callable[[int], object] | None) -> bool:
    """Read a file and compare it; raises FileNotFoundError if it is not there."""
    digest, done = file.digest(), 0
    with path.open("rb", buffering=0) as content:
        if os.fstat(content.fileno()).st_size != file.size_bytes:
            return False
        while piece := content.read(BLOCK_BYTES):
            digest.update(piece)
            done += len(piece)
            if advanced is not None:
                advanced(done)
    return digest.hexdigest() == file.key


def _link(blob: Path, link: Path) -> None:
    make_directory(link.parent)
    to = os.path.relpath(blob, link.parent)
    if link.is_symlink() and str(link.readlink()) == to:
        return  # another process was faster, and may be reading already
    link.unlink(missing_ok=True)
    try:
        link.symlink_to(to)
    except FileExistsError:
        return  # huggingface_hub was faster
    except OSError:
        # As huggingface_hub does where there are no links.
        blob.replace(link)


class _Part(NoProgress):
    """Tells of one file after the other as of one download."""

    def __init__(self, whole: Progress) -> None:
        self._whole = whole
        self._before = 0
        self._said = 0

    def begin(self, phase: str, total: int) -> None:
        """Say how much it is in all."""
        self._whole.phase(phase)
        self._whole.started(total, 0)

    def done(self, size_bytes: int) -> None:
        """Go on to the next file."""
        self.advanced(size_bytes)
        self._before += size_bytes

    def started(self, total: int | None, resumed_from: int) -> None:  # noqa: ARG002 - the whole's
        """Count what an earlier process left."""
        self.advanced(resumed_from)

    def advanced(self, received: int) -> None:
        """So much of this file is here."""
        now = self._before + received
        if now > self._said:
            self._said = now
            self._whole.advanced(now)

    def restarted(self, reason: str) -> None:
        """Count this file from its beginning."""
        self._whole.restarted(reason)
        self._said = 0
        self.advanced(0)

    def waiting(self, reason: str, seconds: float) -> None:
        """Pass it on."""
        self._whole.waiting(reason, seconds)
