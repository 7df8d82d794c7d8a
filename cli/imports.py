"""``rkfetch import``: files that are on this disk already."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rkfetch.registry.errors import IntegrityError, RkfetchError, UsageError

from . import options  # noqa: TC001 - typer reads the annotations
from .opening import open_catalog
from .output import emit, emit_json, error_json, human_bytes, safe, say, say_wrapped
from .pairs import alone_words, is_encoder, owners
from .store import installed_json, open_store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rkfetch.catalog.database import Catalog
    from rkfetch.catalog.imports import Provenance
    from rkfetch.catalog.recognise import By
    from rkfetch.registry.imports import Imported
    from rkfetch.registry.model import Target
    from rkfetch.registry.record import Record
    from rkfetch.registry.rkllm import RkllmFacts
    from rkfetch.registry.store import Installed, Store

FilesArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE|FOLDER...",
        help=".rkllm and .rknn files; a folder means all of them below it. What `rkfetch export` "
        "made: its folder, the stick that it is on, its tar file, or - for one on stdin.",
    ),
]
CopyOption = Annotated[
    bool, typer.Option("--copy", help="Never link: the store gets content of its own.")
]
MoveOption = Annotated[
    bool, typer.Option("--move", help="Remove the file once it is certainly in the store.")
]

AllowOption = Annotated[
    bool,
    typer.Option(
        "--allow-unverified",
        help="Accept a file of which neither the catalog nor its own end tells that it is whole.",
    ),
]
ForceOption = Annotated[
    bool,
    typer.Option("--force", help="Take of an export also what does not fit this board."),
]


def import_command(
    names: FilesArgument,
    *,
    copy: CopyOption = False,
    move: MoveOption = False,
    allow_unverified: AllowOption = False,
    platform: options.PlatformOption = None,
    runtime: options.RuntimeOption = None,
    sysroot: options.SysrootOption = "/",
    force: ForceOption = False,
    as_json: options.JsonOption = False,
    quiet: options.QuietOption = False,
) -> None:
    """Take model files that are on this disk into the store, verified; print where they are now.

    On the same file system this costs no room: the file is linked, and stays where it is. The
    catalog is asked by SHA-256 which upload it is (of a file that only a person can fetch, by size,
    name or header, too); what the file's own header says counts more.
    Files that are no whole model are named, and the others imported all the same; then it exits
    with 7.

    Of an export everything comes, with tokenizer and vision encoder, and the catalog then knows
    the models; on a board, only what fits it (3, if nothing does). No network is used, and nothing
    is written to the export.

    \b
    Examples:
      rkfetch import Qwen2.5-1.5B-Instruct_W8A8_RK3576.rkllm
      rkfetch import --move ~/Downloads/*.rkllm
      rkfetch import --copy /media/usb/models
      rkfetch import models.tar

    \b
    Exit codes: 0 verified and here, 2 wrong usage, 3 nothing of an export fits this board,
      7 integrity, 8 disk, 130 interrupted.
    """
    store = open_store()
    task = _Task(
        store,
        copy=copy,
        move=move,
        allow_unverified=allow_unverified,
        as_json=as_json,
        quiet=quiet,
    )
    plain, exports = task.parted(names)
    target = None
    if exports:
        from .carried import target_of

        if move:
            raise UsageError("what was exported is never removed", hint="leave out --move")
        target = target_of(platform=platform, runtime=runtime, sysroot=sysroot)
    with open_catalog(quiet=True) as catalog:
        for path in task.files(plain):
            task.bring_in(catalog, path)
        task.join()
        for place in exports:
            task.take_in(catalog, place, target=target, force=force)
    task.conclude()


class _Task:
    """Several files, of which some may fail."""

    def __init__(
        self,
        store: Store,
        *,
        copy: bool,
        move: bool,
        allow_unverified: bool,
        as_json: bool,
        quiet: bool,
    ) -> None:
        self._store = store
        self._how = {"copy": copy, "move": move}
        self._allow_unverified = allow_unverified
        self._as_json = as_json
        self._quiet = quiet
        self._silent = quiet or as_json
        self._done: list[dict[str, Any]] = []
        self._exports: list[dict[str, Any]] = []
        self._failed: list[tuple[Path, RkfetchError]] = []
        self._taken: list[tuple[Path, Installed]] = []
        """Files that were named, or lay in a folder that was."""

    def parted(self, names: Sequence[str]) -> tuple[list[str], list[str]]:
        """Tell names of files and folders from exports; one that is unfinished is a failure."""
        from .carried import exports_at

        plain: list[str] = []
        exports: list[str] = []
        for name in names:
            try:
                found = exports_at(name)
            except RkfetchError as error:
                self._failed.append((Path(name), error))
                continue
            exports += found
            plain += [] if found else [name]
        return plain, list(dict.fromkeys(exports))

    def take_in(self, catalog: Catalog, name: str, *, target: Target | None, force: bool) -> None:
        """Take an export in, and tell."""
        from rkfetch.catalog.carried.places import STDIN, opened
        from rkfetch.catalog.carried.taking import take_in

        from .carried import export_json, model_json, none_fits, say_taken
        from .progress import for_reading

        progress = for_reading(
            f"reading {safe(name) if name != STDIN else 'the tar file on stdin'}",
            json_lines=self._as_json,
            quiet=self._quiet,
        )
        try:
            with closing(progress), opened(name) as place:
                taken = take_in(
                    place,
                    store=self._store,
                    catalog=catalog,
                    target=target,
                    force=force,
                    copy=self._how["copy"],
                    progress=progress,
                )
        except RkfetchError as error:
            self._failed.append((Path(name), error))
            return
        self._exports.append(export_json(taken))
        if not taken.models:
            self._failed.append((Path(name), none_fits(taken)))
            return
        self._done += [model_json(taken, model) for model in taken.models]
        if self._as_json:
            return
        say_taken(taken, quiet=self._quiet)
        for model in taken.models:
            emit(str(model.installed.path))

    def files(self, names: Sequence[str]) -> list[Path]:
        """Return the files that are meant; what is none is noted as a failure."""
        from rkfetch.registry.imports import files_below

        found: list[Path] = []
        for name in names:
            path = Path(os.path.abspath(name))  # noqa: PTH100 - links in it are not followed
            if not path.is_dir():
                found.append(path)
                continue
            unreadable: list[OSError] = []
            below = list(files_below(path, store=self._store, unreadable=unreadable.append))
            for error in unreadable:
                said = UsageError("the folder cannot be read", cause=[error.strerror or ""])
                self._failed.append((Path(str(error.filename)), said))
            if not below and not unreadable:
                self._failed.append((path, UsageError("no .rkllm or .rknn file is below it")))
            found += below
        return list(dict.fromkeys(found))

    def bring_in(self, catalog: Catalog, path: Path) -> None:
        """Import one file, and tell."""
        from rkfetch.catalog.imports import provenance
        from rkfetch.registry.imports import import_file

        from .progress import for_reading

        known: Provenance | None = None

        def describe(sha256: str, facts: RkllmFacts) -> Record:
            nonlocal known
            known = provenance(
                catalog, path, sha256, facts, allow_unverified=self._allow_unverified
            )
            return known.record

        title = f"reading {safe(path.name)}"
        progress = for_reading(title, json_lines=self._as_json, quiet=self._quiet)
        try:
            with closing(progress):
                imported = import_file(
                    self._store, path, describe=describe, progress=progress, **self._how
                )
        except RkfetchError as error:
            self._failed.append((path, error))
            return
        self._tell(imported, known)

    def join(self) -> None:
        """Join the halves of vision models, and say of a half that it is alone."""
        from rkfetch.catalog.joining import join_together

        joined = join_together(self._store, self._taken)
        whole = {item.record.sha256 for pair in joined for item in pair}
        wholes = {model.record.sha256: model for model, _ in joined}
        for done in self._done:
            model = wholes.get(done["artifact"]["sha256"])
            if model is not None:
                done["companions"] = list(model.record.companions)
        if self._silent:
            return
        for model, encoder in joined:
            say_wrapped(f"{encoder.path.name} is the vision encoder of {model.path.name}")
        owned = owners(self._store.installed())
        for path, item in self._taken:
            if item.record.sha256 in whole or item.record.sha256 in owned:
                continue
            if is_encoder(item):
                say_wrapped(f"{path.name}: an encoder alone; no model that is here belongs to it")
            elif alone := alone_words(item, self._store.companions(item)):
                say_wrapped(f"{path.name}: {alone}")

    def _tell(self, imported: Imported, known: Provenance | None) -> None:
        self._taken.append((imported.source, imported.installed))
        notes = known.contradictions if known else ()
        recognised_by = known.recognised_by if known else None
        self._done.append(
            {
                **installed_json(imported.installed),
                "from": str(imported.source),
                "action": imported.action,
                "removed": imported.removed,
                "recognised_by": recognised_by,
                "notes": list(notes),
            }
        )
        if not self._silent:
            say(_words(imported, recognised_by))
        for note in () if self._as_json else notes:
            say_wrapped(f"{imported.source.name}: {note}", lead="warning: ")
        if not self._as_json:
            emit(str(imported.installed.path))

    def conclude(self) -> None:
        """Answer; a failure of some files is one, with all of the answer.

        Raises:
            RkfetchError: not all files could be imported.
        """
        answer: dict[str, Any] = {
            "files": self._done,
            "failed": [
                {"from": str(path), "error": error_json(error)} for path, error in self._failed
            ],
        }
        if self._exports:
            answer["exports"] = self._exports
        if self._failed:
            raise _all_failed(self._failed, len(self._done), answer)
        if self._as_json:
            emit_json({"status": "ok", **answer})


_ACTIONS = {
    "present": "already here",
    "linked": "linked, which takes no room",
    "cloned": "copied with shared blocks, which takes no room",
    "copied": "copied",
}


_BY = {
    "size": "known again by its size",
    "name": "known again by its name",
    "header": "known again by its header",
}


def _words(imported: Imported, recognised_by: By | None) -> str:
    record = imported.installed.record
    size = human_bytes(record.size_bytes)
    removed = ", and removed from its old place" if imported.removed else ""
    model = f": {record.model}" if record.model else ""
    place = f" of {record.source}:{record.repo}" if record.repo else ""
    place += f" ({_BY[recognised_by]})" if recognised_by in _BY else ""
    name = safe(imported.source.name)
    return f"{name}, {size}{safe(model + place)}, {_ACTIONS[imported.action]}{removed}"


def _all_failed(
    failed: Sequence[tuple[Path, RkfetchError]], done: int, answer: dict[str, Any]
) -> RkfetchError:
    path, error = failed[0]
    if len(failed) == 1 and done == 0:
        if str(path) not in error.message:
            error.message = f"{path}: {error.message}"
    else:
        kinds = {type(e) for _, e in failed}
        kind = kinds.pop() if len(kinds) == 1 else IntegrityError
        causes = [e.message if str(p) in e.message else f"{p}: {e.message}" for p, e in failed]
        error = kind(
            f"{len(failed)} of {len(failed) + done} could not be imported",
            cause=causes,
            hint=error.hint if len(failed) == 1 else "`rkfetch inspect FILE` tells more of each",
        )
    error.answer = answer
    return error
