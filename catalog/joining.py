"""Join the halves of vision models that were taken in together: which encoder is whose."""

from __future__ import annotations

import os
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from rkfetch.registry.model import LOCAL, Artifact, Evidence, Origin, settle

from .encoders import SUFFIX, encoders_of
from .naming import recorded_model
from .sources import RemoteFile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rkfetch.registry.store import Installed, Store

_ORIGINS = {origin.value for origin in Origin}


def join_together(
    store: Store, taken: Sequence[tuple[Path, Installed]]
) -> list[tuple[Installed, Installed]]:
    """Note which of these files belong together; return each model with its encoder.

    ``taken`` are files with where they lay: an encoder is a model's if it would be the one in a
    repository that looks like that. What may be several's, or one of several, is left alone.

    Raises:
        RkfetchError: as `Store.join`.
    """
    if not taken:
        return []
    root = os.path.commonpath([path.parent for path, _ in taken])
    placed = [(PurePosixPath(os.path.relpath(path, root)).as_posix(), item) for path, item in taken]
    files = [
        RemoteFile(path=path, size_bytes=item.record.size_bytes, sha256=item.record.sha256)
        for path, item in placed
    ]
    encoders = {path: item for path, item in placed if path.lower().endswith(SUFFIX)}
    joined = []
    for path, item in placed:
        found = () if path in encoders else encoders_of(_as_artifact(item, root, path), files)
        if len(found) == 1:
            encoder = encoders[found[0].path]
            joined.append((store.join(item, encoder), encoder))
    return joined


def _as_artifact(item: Installed, root: str, path: str) -> Artifact:
    said = {name: (a.get("value"), a.get("origin")) for name, a in item.record.attributes.items()}
    said["model"] = (recorded_model(item.record), Origin.FILE_NAME.value)
    return Artifact(
        source=LOCAL,
        repo=root,
        path=path,
        sha256=item.record.sha256,
        attributes=settle(
            Evidence(attribute=name, value=value, origin=Origin(origin), place="record")
            for name, (value, origin) in said.items()
            if value and origin in _ORIGINS
        ),
    )
