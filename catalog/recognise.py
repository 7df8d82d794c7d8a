"""Tell which known file a user brought whose SHA-256 nobody has told yet.

Only files that a person has to fetch come in question: of all others the source tells the digest.
Several builds of one model may have the same size, and names recur, so that a header which
contradicts a row rules it out, and a file that two rows fit is none of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rkfetch.registry.model import Artifact

By = Literal["sha256", "size", "name", "header"]

_SECOND_COPY = re.compile(r" ?\(\d{1,3}\)(?=\.[a-z]+$)")
"""What browsers put into the name of a file that they have downloaded before."""
_DECIDING = ("platform", "quant", "toolkit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """A known file, and by what it was known again."""

    artifact: Artifact
    by: By

    @property
    def is_whole(self) -> bool:
        """Whether that also tells that nothing of it is missing."""
        return self.by in {"sha256", "size"}


def recognise(
    rows: Iterable[Artifact],
    *,
    name: str,
    size_bytes: int | None,
    header: Mapping[str, str],
    model: str | None,
) -> Recognised | None:
    """Return the one row that a file fits, if there is one.

    ``header`` is what the file says about itself, ``model`` what its name and folder do.
    """
    possible = [
        row
        for row in rows
        if row.sha256 is None
        and row.size_bytes in {None, size_bytes}
        and all(row.value(a) in {None, value} for a, value in header.items())
    ]
    ways: dict[By, list[Artifact]] = {
        "size": [row for row in possible if row.size_bytes is not None],
        "name": [row for row in possible if plain_name(row.path) == plain_name(name)],
        "header": [
            row
            for row in possible
            if row.model is not None
            and row.model == model
            and all(row.value(a) is not None and a in header for a in _DECIDING)
        ],
    }
    for by, found in ways.items():
        if len(found) == 1:
            return Recognised(artifact=found[0], by=by)
    return None


def plain_name(path: str) -> str:
    """Return a file's own name, as it was before a browser or a file system changed it."""
    return _SECOND_COPY.sub("", path.rpartition("/")[2].casefold())
