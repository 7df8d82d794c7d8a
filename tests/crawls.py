"""Updates of a catalog from the loopback Hub, for tests of different parts of it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rkfetch.catalog.database import Catalog
from rkfetch.catalog.sources.huggingface import HuggingFace
from rkfetch.catalog.update import update
from rkfetch.registry.http import Http, RetryPolicy
from rkfetch.registry.hub import hub_token

if TYPE_CHECKING:
    from pathlib import Path

    from hub.server import Hub
    from rkfetch.catalog.reading import Allowance
    from rkfetch.catalog.update import Observer, Report
    from rkfetch.registry.model import Artifact


def updated(
    path: Path,
    *,
    observer: Observer | None = None,
    allowance: Allowance | None = None,
    attempts: int = 2,
) -> Report:
    """Update the catalog at a path from the Hub of the environment, without waiting for retries."""
    retries = RetryPolicy(attempts=attempts)
    with (
        Http(token=hub_token(), retries=retries, sleep=lambda _: None) as http,
        HuggingFace(http) as source,
    ):
        return update(source, http, path=path, observer=observer, allowance=allowance)


def update_command(path: Path) -> list[str]:
    """Return a command that does the same in a process of its own."""
    program = (
        "from pathlib import Path; import sys\n"
        "from rkfetch.catalog.sources.huggingface import HuggingFace\n"
        "from rkfetch.catalog.update import update\n"
        "from rkfetch.registry.http import Http\n"
        "with Http() as http, HuggingFace(http) as source:\n"
        "    update(source, http, path=Path(sys.argv[1]))"
    )
    return [sys.executable, "-c", program, str(path)]


def everything(path: Path) -> list[Artifact]:
    """Return all that a catalog holds."""
    with Catalog.open(path) as catalog:
        return catalog.everything()


def only(path: Path) -> Artifact:
    """Return the one artifact that a catalog holds."""
    (artifact,) = everything(path)
    return artifact


def asked(hub: Hub, part: str) -> int:
    """Count the requests whose path has this in it."""
    return sum(part in seen.path for seen in list(hub.requests))
