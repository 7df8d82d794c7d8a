"""``rkfetch catalog status|guess``: what is known."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rkfetch.registry.errors import UsageError
from rkfetch.registry.model import Availability

from . import options  # noqa: TC001 - typer reads the annotations
from .catalog_words import guess_lines, status_lines
from .opening import open_catalog
from .output import emit, emit_json, safe, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rkfetch.catalog.entries import CatalogStatus
    from rkfetch.catalog.naming import Guess


def status_command(*, as_json: options.JsonOption = False) -> None:
    """Show what the catalog holds, where it came from and how old it is."""
    with open_catalog(quiet=True) as catalog:
        status = catalog.status()
    if as_json:
        emit_json(_status_json(status))
        return
    for line in status_lines(status):
        emit(line)


def _status_json(status: CatalogStatus) -> dict[str, Any]:
    return {
        "path": str(status.path),
        "read_only": status.read_only,
        "schema": status.schema,
        "snapshot": status.snapshot,
        "models": status.models,
        "artifacts": status.artifacts,
        "evidence": status.evidence,
        "probed": status.probed,
        "sources": [
            {
                "source": source.source,
                "artifacts": {state.value: source.rows.get(state, 0) for state in Availability},
                "repositories": source.repositories,
                "updated": source.updated,
            }
            for source in status.sources
        ],
        "publications": [
            {
                "from": p.address,
                "name": p.name,
                "key": p.key,
                "serial": p.serial,
                "date": p.date,
                "expires": p.expires,
                "taken": p.taken,
                "artifacts": p.builds,
            }
            for p in status.publications
        ],
        "notices": list(status.notices),
    }


def guess_command(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[REPO PATH]...",
            help="A repository and a path in it, or several such pairs. Without any, lines of "
            "REPO<TAB>PATH are read from standard input.",
            show_default=False,
        ),
    ] = None,
    *,
    as_json: options.JsonOption = False,
) -> None:
    """Tell from names alone what a build is; no catalog and no network is used.

    With --json, one object a line; what the names do not tell is null.

    \b
    Examples:
      rkfetch catalog guess c01zaut/gemma-2-2b-it-RK3588-1.1.4 gemma-2-2b-it-rk3588-w8a8.rkllm
      rkfetch catalog guess --json < names.tsv
    """
    from rkfetch.catalog.naming import guess

    for repo, path in _named(names) if names else _lines():
        found = guess(repo, path)
        if as_json:
            emit(json.dumps(_guess_json(repo, path, found)))
        else:
            for line in guess_lines(repo, path, found):
                emit(line)


def _named(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    if len(names) % 2:
        raise UsageError(
            "a repository and a path are needed for each guess",
            hint="rkfetch catalog guess OWNER/REPO FILE.rkllm",
        )
    yield from zip(names[::2], names[1::2], strict=True)


def _lines() -> Iterator[tuple[str, str]]:
    for number, line in enumerate(sys.stdin or (), start=1):
        repo, tab, path = line.rstrip("\r\n").partition("\t")
        if " " in repo and not tab:
            say(f"line {number} has no tab, and is taken for a repository: {safe(repo)}")
        if repo or path:
            yield repo, path


def _guess_json(repo: str, path: str, found: Guess) -> dict[str, Any]:
    return {
        "repo": repo,
        "path": path,
        "model": found.model,
        "params_b": found.params_b,
        "platform": found.platform.value if found.platform else None,
        "quant": str(found.quant) if found.quant else None,
        "toolkit": str(found.toolkit) if found.toolkit else None,
        "context": found.context,
        "npu_cores": found.npu_cores,
        "opt_level": found.opt_level,
        "hybrid_ratio": found.hybrid_ratio,
    }
