"""``rkfetch catalog update``: bring the catalog up to date with its sources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from rkfetch.registry import settings
from rkfetch.registry.errors import NetworkError, OfflineError, RkfetchError, UsageError

from . import options
from .catalog_words import update_lines
from .output import emit_json, error_json, safe, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rkfetch.catalog.reading import Allowance
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


BudgetOption = Annotated[
    str | None,
    options.fixable(
        "update_budget",
        "--budget",
        metavar="SIZE",
        help="Read at most so many bytes of headers, like 50M; the rest is left for the next "
        "update. Not with --from, which takes in all that changed.",
    ),
]
WithinOption = Annotated[
    str | None,
    options.fixable(
        "update_within",
        "--within",
        metavar="TIME",
        help="Begin nothing new after so long, like 90s, 10m or 1h; the rest is left for the next "
        "update. Not with --from.",
    ),
]


FromOption = Annotated[
    str | None,
    options.fixable(
        "catalog_from",
        "--from",
        metavar="PLACE",
        help="Take in the catalog that somebody published at https://HOST/PATH, at hf:OWNER/NAME "
        "or in a folder, instead of asking the sources.",
    ),
]
KeyOption = Annotated[
    str | None,
    options.fixable(
        "catalog_key",
        "--key",
        metavar="PUBKEY",
        help="The publisher's key (RW…, or its file). Needed once for each place.",
    ),
]
UnsignedOption = Annotated[
    bool, typer.Option("--allow-unsigned", help="Take in what nobody has signed.")
]
ForgetOption = Annotated[
    bool, typer.Option("--forget", help="Drop what was taken in from that place, and its key.")
]


def update_command(
    ctx: typer.Context,
    sources: SourcesArgument = None,
    *,
    update_budget: BudgetOption = None,
    update_within: WithinOption = None,
    catalog_from: FromOption = None,
    catalog_key: KeyOption = None,
    allow_unsigned: UnsignedOption = False,
    forget: ForgetOption = False,
    offline: options.OfflineOption = False,
    as_json: options.JsonOption = False,
    quiet: options.QuietOption = False,
) -> None:
    """Bring the catalog up to date with the places where builds are listed, or with --from.

    Only what changed is asked for, and only headers that nobody has read yet are read, some
    kilobytes each. Interrupted, the same command goes on where it was. If a source fails, the
    others are updated all the same; then it exits with the failure's code.

    Of a published catalog, too, only what changed is fetched; its signature is checked.

    \b
    Examples:
      rkfetch catalog update
      rkfetch catalog update modelscope
      rkfetch catalog update --budget 20M --within 5m
      rkfetch catalog update --from https://example.org/catalog --key RW…
      rkfetch catalog update --from /media/usb/catalog
    """
    # Who names sources means these, whatever a setting says.
    if catalog_from is not None and not sources:
        from .catalog_publish import update_from

        _require_no_limits(ctx, catalog_from)
        if not options.is_typed(ctx, "catalog_key") and catalog_from != settings.value(
            "catalog_from"
        ):
            catalog_key = None  # what is fixed is that of the fixed place
        update_from(
            catalog_from,
            key=catalog_key,
            allow_unsigned=allow_unsigned,
            forget=forget,
            offline=offline,
            as_json=as_json,
            quiet=quiet,
        )
        return
    if allow_unsigned or forget:
        raise UsageError(
            "--allow-unsigned and --forget need --from, and no source beside it",
            hint="`rkfetch catalog status` lists what was taken in",
        )
    from rkfetch.catalog.reading import Allowance
    from rkfetch.catalog.sources import chosen
    from rkfetch.registry.courtesy import Courtesy
    from rkfetch.registry.http import Http
    from rkfetch.registry.hub import hub_token

    from .amounts import parse_bytes, parse_seconds

    most_bytes = parse_bytes(update_budget) if update_budget else None
    most_s = parse_seconds(update_within) if update_within else None
    wanted = chosen(sources or ())
    if offline and any(entry.is_online for entry in wanted):
        raise OfflineError(
            "the catalog was not updated: the network is switched off",
            cause=["--offline, or the setting `offline` (RKFETCH_OFFLINE, HF_HUB_OFFLINE)"],
            hint="`rkfetch catalog status` shows how old it is",
        )
    allowance = Allowance(most_bytes=most_bytes, most_s=most_s)
    token = None if offline else hub_token()
    with Http(token=token, offline=offline, courtesy=Courtesy()) as http:
        done = [
            _update(
                entry,
                http,
                allowance,
                quiet=quiet,
                as_json=as_json,
                is_alone=len(wanted) == 1,
            )
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


def _require_no_limits(ctx: typer.Context, place: str) -> None:
    """Refuse limits that a published catalog has no use for; those that are fixed are for sources.

    Raises:
        UsageError: one was typed.
    """
    names = {"update_budget": "--budget", "update_within": "--within"}
    typed = [option for name, option in names.items() if options.is_typed(ctx, name)]
    if not typed:
        return
    hint = f"leave out {' and '.join(typed)}"
    if not options.is_typed(ctx, "catalog_from"):
        hint += "; or name sources, like `rkfetch catalog update huggingface`, to ask these instead"
    raise UsageError(
        f"{' and '.join(typed)} cannot limit what is taken in from {safe(place)}",
        cause=[
            "a published catalog comes whole: all that changed, under one signature",
            "the limits are for reading headers where builds are listed",
        ],
        hint=hint,
    )


def _update(
    entry: Entry,
    http: Http,
    allowance: Allowance,
    *,
    quiet: bool,
    as_json: bool,
    is_alone: bool,
) -> Report | RkfetchError:
    """Update one source and tell; return what it did, or why it failed."""
    from rkfetch.catalog.sources import Task
    from rkfetch.catalog.update import Observer

    from .catalog_progress import Talk

    observer: Observer = Observer() if quiet else Talk(entry.name)
    try:
        report = entry.update(Task(http=http, observer=observer, allowance=allowance))
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
        "read_bytes": result.read_bytes,
        "unread": result.unread,
        "left": result.left,
        "left_repositories": result.left_repositories,
        "skipped": [{"what": what, "why": why} for what, why in result.skipped],
    }
