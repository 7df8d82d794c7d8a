"""Put a model where a server looks for it, and the small files beside it."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rkfetch.registry.durable import disk_errors, sync_directory, write_durably
from rkfetch.registry.errors import UsageError
from rkfetch.registry.place import destination_of, place

from . import rkllama

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rkfetch.registry.store import Installed

    from .served import Layout

_LONGEST_MODELFILE = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """What is there now."""

    model: Path
    encoder: Path | None = None
    modelfile: Path | None = None
    kept: tuple[str, ...] = ()
    """Where a Modelfile that was there already says something else; it was left as it is."""
    removed: tuple[str, ...] = ()
    """Names of other builds that had to go."""


def require_room(
    layout: Layout, models: Path, *, size_bytes: int | None = None, force: bool = False
) -> Path:
    """Check before a download that nothing will stand in the way; return the model's folder.

    ``size_bytes`` is the model's; a file of another size is another file.

    Raises:
        UsageError: the folder cannot be made or written; another file of the name or another
            build lies in it, or a Modelfile for another file (``force`` replaces them), or one
            that cannot be read.
    """
    folder = destination_of(layout.model_file, models / layout.folder / layout.model_file).parent
    if force:
        return folder
    with contextlib.suppress(OSError):
        if size_bytes not in {None, (folder / layout.model_file).stat().st_size}:
            _refuse(layout, f"{folder / layout.model_file} is there already, and is another file")
    others = _others(layout, folder)
    if others:
        _refuse(layout, f"{folder} has another build already: {', '.join(others)}")
    if layout.settings:
        path = folder / rkllama.MODELFILE
        named = rkllama.read(_text_of(path) or "").get("FROM")
        if named is not None and named != layout.model_file:
            _refuse(layout, f"{path} is for another file: {named}")
    return folder


def _refuse(layout: Layout, message: str) -> None:
    raise UsageError(
        message,
        hint=f"--force puts this one in its place; --name NAME gives this one another name than "
        f"{layout.name}",
    )


def put(
    layout: Layout,
    models: Path,
    item: Installed,
    encoder: Installed | None = None,
    *,
    force: bool = False,
) -> Placed:
    """Put a stored model, its encoder and its Modelfile into a server's folder.

    Each appears whole or not at all, the Modelfile after the files that it names. What is there
    already is kept, so it may be done again. A Modelfile that says something else is the user's
    and stays as it is; with ``force``, our keys are set in it, and nothing else is changed.

    Raises:
        UsageError: as `require_room`, or a file may not be written.
        DiskSpaceError, IntegrityError: as `registry.place.place`.
    """
    folder = require_room(layout, models, size_bytes=item.record.size_bytes, force=force)
    others = _others(layout, folder)
    model = place(item, folder / layout.model_file, force=force)
    beside = None
    if encoder is not None and layout.encoder_file is not None:
        beside = place(encoder, folder / layout.encoder_file, force=force)
    modelfile = None
    kept: tuple[str, ...] = ()
    if layout.settings:
        modelfile = folder / rkllama.MODELFILE
        kept = _write(modelfile, dict(layout.settings), force=force)
    with disk_errors(folder):
        for name in others:
            (folder / name).unlink(missing_ok=True)
        if others:
            sync_directory(folder)
    return Placed(
        model=model, encoder=beside, modelfile=modelfile, kept=kept, removed=tuple(others)
    )


def _others(layout: Layout, folder: Path) -> list[str]:
    """Return the names of other models and encoders in a folder that must have one of each.

    Without an encoder of ours, one that is there is the user's, and may well be the right one.
    """
    if not layout.is_alone:
        return []
    own = {layout.model_file, layout.encoder_file}
    suffixes = (".rkllm",) if layout.encoder_file is None else (".rkllm", ".rknn")
    try:
        names = os.listdir(folder)  # noqa: PTH208 - names are all that is wanted
    except OSError:
        return []
    return sorted(n for n in names if n.endswith(suffixes) and n not in own)


def _write(path: Path, settings: Mapping[str, str], *, force: bool) -> tuple[str, ...]:
    """Write a Modelfile, or say where the one that is there differs."""
    text = _text_of(path)
    if text is not None:
        different = rkllama.differences(text, settings)
        if not different or not force:
            return tuple(different)
    new = rkllama.modelfile(settings) if text is None else rkllama.corrected(text, settings)
    with disk_errors(path):
        write_durably(path, new.encode())
        # The server may be another user.
        with contextlib.suppress(OSError):
            path.chmod(path.stat().st_mode | 0o444)
    return ()


def _text_of(path: Path) -> str | None:
    """Return what a Modelfile says; None if there is none.

    Raises:
        UsageError: it cannot be read, or is none.
    """
    try:
        if not path.is_file():
            raise FileNotFoundError if not os.path.lexists(path) else IsADirectoryError
        with path.open("rb") as file:
            data = file.read(_LONGEST_MODELFILE + 1)
        if len(data) <= _LONGEST_MODELFILE:
            return data.decode()
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        pass
    raise UsageError(f"{path} cannot be read as a Modelfile", hint="remove it, or see what it is")
