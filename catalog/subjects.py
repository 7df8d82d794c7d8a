"""Which file does a person or a log speak of? Found by content first, by its name only at last."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from rkfetch.registry.durable import disk_errors, hash_file
from rkfetch.registry.errors import UnknownModelError, UsageError
from rkfetch.registry.imports import require_model, stored_as
from rkfetch.registry.model import Artifact, Availability

from .imports import IMPORTED, upload
from .models import parse_reference
from .naming import guess
from .places import at_its_place, contents

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rkfetch.registry.model import Evidence
    from rkfetch.registry.progress import Progress
    from rkfetch.registry.runtime_log import Load
    from rkfetch.registry.store import Installed, Store

    from .database import Catalog


def of_digest(catalog: Catalog, sha256: str, name: str) -> Artifact:
    """Return what the catalog knows of a content; one that it does not know has only its name."""
    known = upload(catalog, sha256)
    if known is None:
        return Artifact(source=IMPORTED, repo="", path=PurePosixPath(name).name, sha256=sha256)
    return at_its_place(catalog, known)


def of_installed(catalog: Catalog, item: Installed) -> Artifact:
    """Return the artifact of a file in the store, at the place that it came from."""
    record = item.record
    places = catalog.by_sha256(record.sha256)
    place = (record.source, record.repo, record.path)
    here = next((a for a in places if (a.source, a.repo, a.path) == place), None)
    if here is not None:
        return at_its_place(catalog, here)
    if places or not record.repo:
        return of_digest(catalog, record.sha256, record.path)
    return Artifact(source=record.source, repo=record.repo, path=record.path, sha256=record.sha256)


def of_file(catalog: Catalog, store: Store, path: Path, *, progress: Progress) -> Artifact:
    """Return the artifact of a file on this disk; one that is not in the store is read whole.

    Raises:
        IntegrityError: it is no whole model.
        UsageError, RkfetchError: it cannot be read.
    """
    real = Path(os.path.realpath(path))
    require_model(real)
    here = stored_as(store, real)
    if here is not None:
        return of_installed(catalog, here)
    with disk_errors(real):
        size = real.stat().st_size
        progress.started(size, 0)
        sha256 = hash_file(real, length=size, advanced=progress.advanced).hexdigest()
    return of_digest(catalog, sha256, real.name)


def of_reference(catalog: Catalog, text: str) -> Artifact:
    """Return the artifact of a file's address, ``hf:OWNER/REPO/PATH.rkllm``.

    Raises:
        UsageError: it is none, or names a model.
        UnknownModelError: the catalog does not have it.
    """
    file = parse_reference(text).file
    if file is None:
        raise UsageError(
            f"'{text}' is a model: say which file of it",
            hint="the path of a file, the name of an installed one (`rkfetch list`), or "
            f"hf:OWNER/REPO/PATH.rkllm (`rkfetch show {text}` lists them)",
        )
    known = catalog.artifact(file.source, file.repo, file.path)
    if known is None:
        raise UnknownModelError(
            f"the catalog has no {text}",
            hint="`rkfetch catalog update` looks for uploads; or give the path of the file itself",
        )
    return at_its_place(catalog, known)


# --- the file that a log speaks of -------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What a load is believed to be of."""

    artifact: Artifact | None
    how: str
    """Why it is this file; or why none is certain."""


def of_load(catalog: Catalog, store: Store, load: Load) -> Match:
    """Find the file of a load: the very file on this disk, an installed one, or by its name.

    By its name it is only found if one content alone has it, the name tells a model, and nothing
    that is known of it contradicts what the runtime printed.
    """
    if load.path is None:
        return Match(artifact=None, how="the log does not name the file")
    path, name = Path(load.path), PurePosixPath(load.path).name
    installed = store.installed()
    # Not Path.is_file, which some names that a log can have make raise.
    is_here = os.path.isfile(load.path)  # noqa: PTH113
    if is_here:
        here = stored_as(store, path)
        if here is not None:
            return Match(artifact=of_installed(catalog, here), how="it is the installed file")
    same = [i for i in installed if name in {i.path.name, PurePosixPath(i.record.path).name}]
    if len(same) == 1:
        return _unless_contradicted(
            of_installed(catalog, same[0]), load, "the installed file has its name"
        )
    size = path.stat().st_size if is_here else None
    return _by_name(catalog, load, name, size)


def _by_name(catalog: Catalog, load: Load, name: str, size: int | None) -> Match:
    if guess("", name).model is None:
        return Match(artifact=None, how=f"'{name}' may be any file")
    had = [a for a in catalog.named(name) if a.availability is not Availability.UNNAMED]
    found = contents(catalog, had)
    if size is not None:
        found = [a for a in found if a.size_bytes in {None, size}]
    if not found:
        return Match(artifact=None, how=f"no file called '{name}' is known")
    if len(found) > 1:
        names = dict.fromkeys(a.name for a in found)
        if len(names) == 1:
            how = f"{len(found)} versions of {found[0].name} are known"
            return Match(artifact=None, how=how)
        places = ", ".join(list(names)[:3])
        return Match(artifact=None, how=f"{len(found)} files are called '{name}': {places}")
    how = "only one known file has its name" + (" and size" if size is not None else "")
    return _unless_contradicted(found[0], load, how)


def as_said(artifact: Artifact, load: Load) -> Match:
    """Accept a file that a person named, unless its own word is not what the runtime printed."""
    return _unless_contradicted(artifact, load, "you said so", by_labels=False)


def _unless_contradicted(
    artifact: Artifact, load: Load, how: str, *, by_labels: bool = True
) -> Match:
    """Accept a file, unless what is known of it is not what the runtime printed."""
    for item in load.evidence(place="", seen=""):
        known = artifact.attribute(item.attribute)
        if known.value not in {None, item.value} and (by_labels or known.is_read):
            return Match(
                artifact=None,
                how=f"it is not {artifact.name}, whose {item.attribute} is {known.value}: the log "
                f"says {item.value}",
            )
    return Match(artifact=artifact, how=how)


def news(artifact: Artifact, heard: Sequence[Evidence]) -> list[str]:
    """Say what observations add to what is known of an artifact, a sentence each."""
    said, confirmed = [], []
    for item in heard:
        attribute = artifact.attribute(item.attribute)
        value = f"{item.attribute} {item.value}"
        if attribute.value == item.value:
            confirmed.append(value)
        elif attribute.evidence:
            before, who = " or ".join(attribute.contenders), attribute.evidence[0].origin.words
            said.append(f"{value}, where {who} says {before}")
        else:
            said.append(f"{value}, which was not known")
    return said + ([f"{', '.join(confirmed)}: as it was known"] if confirmed else [])
