"""``rkfetch catalog update``: bring the catalog up to date with its sources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from rkfetch.registry.errors import NetworkError, OfflineError, RkfetchError

from . import options  # noqa: TC001 - typer reads the annotations
from .catalog_words import update_lines
from .output import emit_json, error_json, safe, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rkfetch.catalog.sources import Entry
    from rkfetch.catalog.update import Report
    from rkfetch.registry.http import Http


def _known_sources() -> list[str]:
    from rkfetch.catalog.sources import entries

    return list(entries())


SourcesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[SOURCE]...",
        help="Only these sources; without any, all of them.",
        show_default=False,
        autocompletion=_known_sources,
    ),
]


class ListsSources(TyperCommand):
    """A command whose help ends with what sources there are; they are looked for only then."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the list."""
        from rkfetch.catalog.sources import entries

        with formatter.section("Sources"):
            formatter.write_dl([(entry.name, entry.summary) for entry in entries().values()])
        super().format_epilog(ctx, formatter)


def update_command(
    sources: SourcesArgument = None,
    *,
    offline: options.OfflineOption = False,
    as_json: options.JsonOption = False,
    quiet: options.QuietOption = False,
) -> None:
    """Bring the catalog up to date with the places where builds are listed.

    Only what changed is asked for, and only headers that nobody has read yet are read, some
    kilobytes each. Interrupted, the same command goes on where it was. If a source fails, the
    others are updated all the same; then it exits with the failure's code.

    \b
    Examples:
      rkfetch catalog update
      rkfetch catalog update modelscope
    """
    from rkfetch.catalog.sources import chosen
    from rkfetch.registry.http import Http
    from rkfetch.registry.hub import hub_token

    wanted = chosen(sources or ())
    if offline and any(entry.is_online for entry in wanted):
        raise OfflineError(
            "the catalog was not updated: the network is switched off",
            cause=["--offline, RKFETCH_OFFLINE or HF_HUB_OFFLINE is set"],
            hint="`rkfetch catalog status` shows how old it is",
        )
    with Http(token=None if offline else hub_token(), offline=offline) as http:
        done = [
            _update(entry, http, quiet=quiet, as_json=as_json, is_alone=len(wanted) == 1)
            for entry in wanted
        ]
    answer = {"sources": [_json(entry, result) for entry, result in zip(wanted, done, strict=True)]}
    failed = [(e, r) for e, r in zip(wanted, done, strict=True) if isinstance(r, RkfetchError)]
    if failed:
        error = _all_failed(failed, len(wanted))
        error.answer = answer
        raise error
    if as_json:
        emit_json({"status": "ok", **answer})


def _update(
    entry: Entry, http: Http, *, quiet: bool, as_json: bool, is_alone: bool
) -> Report | RkfetchError:
    """Update one source and tell; return what it did, or why it failed."""
    from rkfetch.catalog.sources import Task
    from rkfetch.catalog.update import Observer

    from .catalog_progress import Talk

    observer: Observer = Observer() if quiet else Talk(entry.name)
    try:
        report = entry.update(Task(http=http, observer=observer))
    except RkfetchError as error:
        if not (quiet or is_alone):
            say(f"{entry.name}: {safe(error.message)}")
        return error
    is_worth_a_word = entry.is_online or report.listed
    if is_worth_a_word and not (quiet or as_json):
        for line in update_lines(report):
            say(line)
    return report


def _all_failed(failed: Sequence[tuple[Entry, RkfetchError]], count: int) -> RkfetchError:
    """Make one error of those of several sources."""
    _, first = failed[0]
    if count == 1:
        return first
    kinds = {type(error) for _, error in failed}
    kind = kinds.pop() if len(kinds) == 1 else NetworkError
    names = ", ".join(entry.name for entry, _ in failed)
    return kind(
        f"{len(failed)} of {count} sources could not be updated: {names}",
        cause=[
            f"{e.name}: {line}" for e, error in failed for line in (error.message, *error.cause)
        ],
        hint=first.hint,
    )


def _json(entry: Entry, result: Report | RkfetchError) -> dict[str, Any]:
    if isinstance(result, RkfetchError):
        return {"source": entry.name, "status": "error", "error": error_json(result)}
    return {"source": entry.name, "status": "ok", **report_json(result)}


def report_json(result: Report) -> dict[str, Any]:
    """Return what an update of a source did."""
    return {
        "listed": result.listed,
        "unchanged": result.unchanged,
        "changed": result.changed,
        "gone": result.gone,
        "builds": result.builds,
        "probed": result.probed,
        "unread": result.unread,
        "skipped": [{"what": what, "why": why} for what, why in result.skipped],
    }
