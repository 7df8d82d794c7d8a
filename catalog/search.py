"""Find artifacts by words, as a person types them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rkfetch.registry.model import Availability

from .database import split_words
from .places import contents

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
    limit: int = _READ_LIMIT,
) -> list[Artifact]:
    """Return the artifacts whose names have all the words of ``text``.

    A content that lies in several places is found once. Those that can be had come first, curated
    ones before others, then by how well they match.
    The last letters of a word may be missing. What is gone or was rejected is left out; of the
    rest only what is known to differ, so that an unknown platform or quantisation is kept.
    """
    expression = match_expression(text)
    if not expression:
        return []
    found = contents(catalog, catalog.by_ids(catalog.matching(expression, _READ_LIMIT)))
    fitting = (
        artifact
        for artifact in found
        if artifact.availability not in {Availability.GONE, Availability.REJECTED}
        and artifact.platform in {None, platform or artifact.platform}
        and (quant is None or artifact.quant is None or _covers(quant, artifact.quant))
    )
    return sorted(fitting, key=_usefulness)[:limit]


def _usefulness(artifact: Artifact) -> tuple[bool, bool]:
    """Put what can be had first, and of that what somebody vouches for."""
    return artifact.availability is not Availability.LISTED, not artifact.curated


def match_expression(text: str) -> str:
    """Translate a person's words into FTS5: each a quoted prefix, all required.

    A word also stands for itself with letters and digits apart: ``gemma4`` finds ``gemma-4``.
    """
    words = [w for w in re.split(r"[\s/]+", text) if re.search(r"\w", w)]
    return " AND ".join(f"({_prefix(word)} OR {_prefix(split_words(word))})" for word in words)


def _prefix(word: str) -> str:
    return '"' + word.replace('"', '""') + '"*'


def _covers(asked: Quant, found: Quant) -> bool:
    """``w4a16`` asks for any group size, ``w4a16_g128`` for just that one."""
    return found == asked or (not asked.group and found.family == asked.family)
