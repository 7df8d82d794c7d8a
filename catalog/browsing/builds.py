"""Read the builds that a page of this machine shows out of its catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .tables import Build

if TYPE_CHECKING:
    from rkfetch.catalog.database import Catalog


def builds_of(catalog: Catalog) -> list[Build]:
    """Return every build that the catalog has, with its repository and what belongs to it."""
    listed = {(r.source, r.repo.casefold()): r for r in catalog.all_repositories()}
    return [
        Build(a, listed.get((a.source, a.repo.casefold())), catalog.companions(a))
        for part in catalog.in_parts()
        for a in part.values()
    ]
