"""Find artifacts by words, as a person types them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rkfetch.registry.model import Artifact, Platform, Quant

    from .database import Catalog

_READ_LIMIT = 400


def search(
    catalog: Catalog,
    text: str,
    *,
    platform: Platform | None = None,
    quant: Quant | None = None,
    limit: int = 50,
) -> list[Artifact]:
    """Return the artifacts whose names have all the words of ``text``, best match first.

    The last letters of a word may be missing. An artifact whose platform or quantisation is
    unknown is kept: only what is known to differ is left out.
    """
    expression = match_expression(text)
    if not expression:
        return []
    found = catalog.by_ids(catalog.matching(expression, _READ_LIMIT))
    fitting = (
        artifact
        for artifact in found
        if artifact.platform in {None, platform or artifact.platform}
        and (quant is None or artifact.quant is None or _covers(quant, artifact.quant))
    )
    return list(fitting)[:limit]


def match_expression(text: str) -> str:
    """Translate a person's words into FTS5: each a quoted prefix, all required."""
    words = [w for w in re.split(r"[\s/]+", text) if re.search(r"\w", w)]
    return " AND ".join('"' + word.replace('"', '""') + '"*' for word in words)


def _covers(asked: Quant, found: Quant) -> bool:
    """``w4a16`` asks for any group size, ``w4a16_g128`` for just that one."""
    return found == asked or (not asked.group and found.family == asked.family)
