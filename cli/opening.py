"""Open what commands work with: the catalog, and the network if it may be used."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from .output import safe, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rkfetch.catalog.database import Catalog
    from rkfetch.registry.http import Http


@contextmanager
def open_catalog() -> Iterator[Catalog]:
    """Open the user's catalog, and say what was found wrong with it."""
    from rkfetch.catalog.database import Catalog

    with Catalog.open() as catalog:
        for notice in catalog.notices:
            say(safe(notice, limit=2000))
        yield catalog


@contextmanager
def open_network(*, offline: bool, patient: bool) -> Iterator[Http | None]:
    """Give a client, or None offline; a question gives up sooner than a download."""
    if offline:
        yield None
        return
    from rkfetch.registry.http import Http, RetryPolicy
    from rkfetch.registry.hub import hub_token

    if patient:
        client = Http(token=hub_token())
    else:
        client = Http(token=hub_token(), connect_timeout_s=5, retries=RetryPolicy(attempts=2))
    with client:
        yield client
