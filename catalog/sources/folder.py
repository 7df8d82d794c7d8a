"""Know the models in folders of this machine: a disk, a share, another program's own folder.

A folder is known from its first scan on, and every update scans it again. A row is one file; its
revision is the size, time and inode that the file had, so that one that nobody wrote to is not
read again. Nothing is hashed unless that is asked for. Rows of other machines count for nothing:
a file is offered only while it is here as it was.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from rkfetch.catalog import border
from rkfetch.catalog.entries import Repository
from rkfetch.catalog.naming import CardFacts, guess
from rkfetch.catalog.observations import VERIFIED
from rkfetch.catalog.writer import Writer, now
from rkfetch.registry.check import no_model
from rkfetch.registry.durable import disk_errors
from rkfetch.registry.errors import RkfetchError, UsageError
from rkfetch.registry.imports import files_below
from rkfetch.registry.model import LOCAL, Artifact, Availability, settle
from rkfetch.registry.rkllm import facts_evidence
from rkfetch.registry.rkllm_read import read_file
from rkfetch.registry.store import Store, home

from . import Entry, RemoteFile, bad_path, is_build

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rkfetch.catalog.database import Catalog
    from rkfetch.catalog.update import Observer, Report
    from rkfetch.registry.model import Evidence

    from . import Task

NOT_THERE = "it is not there any more"
_NOT_AS_IT_WAS = "it is not there, or was written to, since its folder was scanned"
_BASE_MODEL = re.compile(r"^HUGGINGFACE_PATH=[\"']?([\w.-]+/[\w.-]+)[\"']?\s*$", re.MULTILINE)
_LARGEST_MODELFILE = 64 << 10


def local_path(artifact: Artifact) -> Path:
    """Return where a file of a folder is."""
    return Path(artifact.repo, artifact.path)


def at_hand(artifact: Artifact) -> Artifact:
    """Return a file of a folder as it can be had now: gone unless it is here as it was.

    Its inode does not count: FAT and exFAT give out new ones whenever a disk is plugged in.
    """
    with suppress(OSError):
        now_there = _stamp(local_path(artifact).stat())
        if _without_inode(artifact.revision or "") == _without_inode(now_there):
            return artifact
    if artifact.availability is not Availability.LISTED:
        return artifact
    return replace(artifact, availability=Availability.GONE, note=_NOT_AS_IT_WAS)


def scan(
    folders: Sequence[Path],
    *,
    path: Path | None = None,
    observer: Observer,
    digest: Callable[[Path], str] | None = None,
) -> Report:
    """Bring the rows of folders up to date with what lies in them.

    ``digest`` hashes a file that has no digest yet; without it none is hashed. A folder that is
    not there has lost all its files.

    Raises:
        RkfetchError: the catalog cannot be written.
    """
    from rkfetch.catalog.database import Catalog
    from rkfetch.catalog.update import Report

    report = Report(source=LOCAL, listed=len(folders))
    with Writer.open(path) as writer, Catalog.open(path) as catalog:
        for folder in folders:
            task = _Scan(catalog, folder, observer, report, digest)
            task.run(writer)
        writer.set_meta(f"updated:{LOCAL}", now())
    return report


def file_at(catalog: Catalog, path: Path) -> Artifact | None:
    """Return the row of a file of this machine; None if no folder that it is below was scanned."""
    for folder in known_folders(catalog):
        if path.is_relative_to(folder):
            found = catalog.artifact(LOCAL, str(folder), path.relative_to(folder).as_posix())
            if found is not None:
                return found
    return None


def known_folders(catalog: Catalog) -> list[Path]:
    """Return the folders that were scanned before."""
    return sorted(Path(known.repo) for known in catalog.repositories(LOCAL).values())


def forget_folders(names: Sequence[str], *, path: Path | None = None) -> None:
    """Delete the rows of folders; the files stay where they are.

    Raises:
        UsageError: one of them was never scanned.
    """
    from rkfetch.catalog.database import Catalog

    with Writer.open(path) as writer, Catalog.open(path) as catalog, writer.transaction():
        known = [str(folder) for folder in known_folders(catalog)]
        for name in names:
            folder = os.path.realpath(name)
            if folder not in known:
                raise UsageError(
                    f"'{name}' was not scanned",
                    cause=["known are:", *known] if known else ["no folder is known"],
                    hint="`rkfetch catalog scan FOLDER` looks into one",
                )
            for artifact in catalog.repository(LOCAL, folder):
                writer.forget(artifact)
            writer.drop_repository(LOCAL, folder, note=NOT_THERE)


def folder_named(name: str) -> Path:
    """Return the folder that a user names, as the catalog has it.

    Raises:
        UsageError: there is no such folder, or its name cannot be kept.
    """
    folder = Path(os.path.realpath(name))
    if not folder.is_dir():
        raise UsageError(f"there is no folder '{name}'", hint="rkfetch catalog scan FOLDER")
    if bad_path(str(folder).lstrip("/") or "root"):
        raise UsageError(
            f"the name of {name!r} cannot be kept", cause=["it has control characters, or no text"]
        )
    return folder


class _Scan:
    """One folder, once."""

    def __init__(
        self,
        catalog: Catalog,
        folder: Path,
        observer: Observer,
        report: Report,
        digest: Callable[[Path], str] | None,
    ) -> None:
        self._folder = folder
        self._observer = observer
        self._report = report
        self._digest = digest
        self._started = now()
        self._known = {a.path: a for a in catalog.repository(LOCAL, str(folder))}
        self._changed = False
        self._encoders: list[RemoteFile] = []

    def run(self, writer: Writer) -> None:
        """Look at every file, then write down all that was found."""
        from rkfetch.catalog.companions import companions_of

        found = {artifact.path: artifact for artifact in self._files()}
        gone = [
            artifact
            for name, artifact in self._known.items()
            if name not in found and artifact.availability is Availability.LISTED
        ]
        with writer.transaction():
            for name, artifact in found.items():
                if (old := self._known.get(name)) and old.revision != artifact.revision:
                    writer.forget(old)  # what was known of it is not true of what is there now
            writer.sync_repository(
                Repository(source=LOCAL, repo=str(self._folder)),
                [(a, companions_of(a, self._encoders)) for a in found.values()],
                seen=self._started,
                gone_because=NOT_THERE,
            )
        self._report.gone += len(gone)
        self._report.builds += len(found)
        if self._changed or gone:
            self._report.changed += 1
        else:
            self._report.unchanged += 1
        self._observer.read()

    def _files(self) -> Iterator[Artifact]:
        if not self._folder.is_dir():
            self._skip(str(self._folder), "it is not there now")
            return
        unreadable: list[str] = []

        def skip(error: OSError) -> None:
            unreadable.append(str(error.filename))
            self._skip(str(error.filename), error.strerror or "it cannot be read")

        for path in files_below(self._folder, store=Store(home()), unreadable=skip):
            if not is_build(path.name):
                name = path.relative_to(self._folder).as_posix()
                with suppress(OSError):
                    self._encoders.append(RemoteFile(path=name, size_bytes=path.stat().st_size))
            elif (artifact := self._file(path)) is not None:
                yield artifact
        for artifact in self._known.values():
            # Nobody knows whether what lies there is still there.
            if any(local_path(artifact).is_relative_to(folder) for folder in unreadable):
                yield artifact

    def _file(self, path: Path) -> Artifact | None:
        name = path.relative_to(self._folder).as_posix()
        why = bad_path(name)
        if why is not None:
            self._skip(str(path), why)
            return None
        try:
            with disk_errors(path):
                stamp = _stamp(path.stat())
            old = self._known.get(name)
            is_same = old is not None and old.revision == stamp
            if old is not None and is_same and (old.sha256 or self._digest is None):
                self._changed |= old.availability is not Availability.LISTED
                return replace(old, availability=Availability.LISTED, note=None)
            return self._read(path, name, stamp)
        except RkfetchError as error:
            self._skip(str(path), error.message)
            return None

    def _read(self, path: Path, name: str, stamp: str) -> Artifact | None:
        facts = read_file(path)
        self._report.probed += 1
        self._observer.probed()
        complaint = no_model(facts)
        if complaint is not None:
            self._skip(str(path), complaint)
            return None
        sha256 = None
        if self._digest is not None:
            with disk_errors(path):
                sha256 = self._digest(path)
        with disk_errors(path):
            if _stamp(path.stat()) != stamp:
                self._skip(str(path), "it is being written to")
                return None
        self._changed = True
        place = VERIFIED if sha256 else str(path)
        header = facts_evidence(facts, place=place, seen=self._started)
        named = (replace(e, seen=self._started) for e in _named(self._folder, name))
        return Artifact(
            source=LOCAL,
            repo=str(self._folder),
            path=name,
            revision=stamp,
            size_bytes=facts.size_bytes,
            sha256=sha256,
            attributes=settle([*named, *header]),
        )

    def _skip(self, what: str, why: str) -> None:
        self._report.skipped.append((what, why))
        self._observer.skipped(what, why)


def _stamp(status: os.stat_result) -> str:
    return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ino}"


def _without_inode(stamp: str) -> str:
    return stamp.rpartition("-")[0]


def _named(folder: Path, name: str) -> list[Evidence]:
    """Read a file's name and that of its folder; what is above that is the user's own affair."""
    near = PurePosixPath(*PurePosixPath(folder.name, name).parts[-2:])
    modelfile = Path(folder, name).parent / "Modelfile"
    card = CardFacts(base_model=_base_model(modelfile), place=modelfile.name)
    return list(guess("", near.as_posix(), source=LOCAL, card=card).evidence)


def _base_model(modelfile: Path) -> str | None:
    """Return the model that rkllama's file beside a model names."""
    if not modelfile.is_file():  # a named pipe would be waited for
        return None
    try:
        with modelfile.open("rb") as file:
            text = file.read(_LARGEST_MODELFILE).decode("utf-8", "replace")
    except OSError:
        return None
    named = _BASE_MODEL.search(text)
    return border.text(named[1]) if named else None


def _update(task: Task) -> Report:
    from rkfetch.catalog.database import Catalog

    with Catalog.open(task.path) as catalog:
        folders = known_folders(catalog)
    return scan(folders, path=task.path, observer=task.observer)


ENTRY = Entry(
    name=LOCAL,
    summary="the folders of this machine that `rkfetch catalog scan` was given",
    update=_update,
    is_online=False,
)
