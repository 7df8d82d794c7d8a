"""Open what commands work with: the catalog, and the network if it may be used."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from rkfetch.registry import settings

from .output import safe, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rkfetch.catalog.database import Catalog
    from rkfetch.registry.http import Http


STALE_AFTER_DAYS = 30


@contextmanager
def open_catalog(*, quiet: bool = False) -> Iterator[Catalog]:
    """Open the user's catalog, and say what is wrong with it and (unless quiet) that it is old."""
    from rkfetch.catalog.database import Catalog

    with Catalog.open() as catalog:
        for notice in catalog.notices:
            say(safe(notice, limit=2000))
        if not quiet:
            _say_if_stale(catalog)
        yield catalog


def _say_if_stale(catalog: Catalog) -> None:
    limit: int | None = settings.value("stale_after_days")
    days = STALE_AFTER_DAYS if limit is None else limit
    as_of = catalog.as_of()
    if as_of is None or not days:
        return
    age = (datetime.now(timezone.utc) - as_of).days
    if age > days:
        say(f"note: the catalog is {age} days old; `rkfetch catalog update` looks for news")


@contextmanager
def open_network(*, offline: bool, patient: bool) -> Iterator[Http | None]:
    """Give a client, or None offline; a question gives up sooner than a download."""
    if offline:
        yield None
        return
    from rkfetch.registry.http import Http, RetryPolicy
    from rkfetch.registry.hub import hub_token

    if patient:
        client = Http(token=hub_token(), offline=False)
    else:
        client = Http(
            token=hub_token(),
            offline=False,
            connect_timeout_s=5,
            retries=RetryPolicy(attempts=2),
        )
    with client:
        yield client
