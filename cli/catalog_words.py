"""How the catalog's answers read for people: plain text, aligned, 80 columns where names allow."""

from __future__ import annotations

import shutil
from datetime import datetime, timezone
from itertools import groupby
from typing import TYPE_CHECKING

from rkfetch.registry.model import ATTRIBUTES, LOCAL, Availability

from .output import answers_to_terminal, cut, human_bytes, safe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rkfetch.catalog.entries import CatalogStatus
    from rkfetch.catalog.naming import Guess
    from rkfetch.catalog.update import Report
    from rkfetch.registry.model import Artifact

STATES = {
    Availability.MANUAL: "by hand",
    Availability.UNNAMED: "files not listed yet",
    Availability.GONE: "gone",
    Availability.REJECTED: "rejected",
}


def build_lines(artifacts: Sequence[Artifact]) -> Iterator[str]:
    """List builds under their repositories or folders."""
    if not artifacts:
        return
    table = [_TITLES, *map(_cells, artifacts)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    yield _row(_TITLES, widths, "file")
    for place, group in groupby(artifacts, key=lambda artifact: artifact.repo):
        yield safe(place)
        for artifact in group:
            yield _row(_cells(artifact), widths, safe(artifact.path))


_TITLES = ["SoC", "quant", "toolkit", "size"]


def _row(cells: Sequence[str], widths: Sequence[int], name: str) -> str:
    columns = "  ".join(text.ljust(width) for text, width in zip(cells, widths, strict=True))
    row = f"  {columns}  "
    room = shutil.get_terminal_size().columns - len(row)
    # A pipe gets all of a name, and a terminal that has next to no room for it.
    return row + (cut(name, room) if answers_to_terminal() and room >= 20 else name)


def _cells(artifact: Artifact) -> list[str]:
    return [
        artifact.platform.value if artifact.platform else "?",
        str(artifact.quant or "?"),
        " or ".join(str(v) for v in artifact.toolkits) or "?",
        human_bytes(artifact.size_bytes),
    ]


def status_lines(status: CatalogStatus) -> Iterator[str]:
    """Show what the catalog is made of."""
    yield f"catalog    {status.path}" + (" (read only)" if status.read_only else "")
    yield f"schema     {status.schema}"
    yield f"snapshot   {status.snapshot or 'none'}{_age(status.snapshot)}"
    yield (
        f"content    {status.artifacts} builds of {status.models} models, "
        f"{status.evidence} observations, {status.probed} headers read"
    )
    yield ""
    yield _source_line("source", [state.value for state in Availability], "updated")
    for source in status.sources:
        counts = [str(source.rows.get(state, 0)) for state in Availability]
        updated = f"{source.updated or 'never here'}{_age(source.updated)}"
        yield _source_line(source.source, counts, updated)
    for published in status.publications:
        yield ""
        yield f"taken from {safe(published.address)}"
        yield (
            f"  {safe(published.name or '')}: serial {published.serial}, "
            f"{published.builds} builds, {published.date[:10]}{_age(published.date)}"
        )
        yield f"  key {published.key or 'none: it is not signed'}"


def _source_line(source: str, counts: Sequence[str], updated: str) -> str:
    return f"{source:<12}" + "".join(f"{count:>9}" for count in counts) + f"  {updated}"


def _age(moment: str | None) -> str:
    if moment is None:
        return ""
    then = datetime.fromisoformat(moment.replace("Z", "+00:00"))
    if then.tzinfo is None:
        then = then.replace(tzinfo=timezone.utc)
    days = (datetime.now(timezone.utc) - then).days
    return f" ({'today' if days < 1 else f'{days} days ago' if days > 1 else 'yesterday'})"


def update_lines(report: Report) -> Iterator[str]:
    """Sum up an update."""
    what = "folders" if report.source == LOCAL else "repositories"
    yield (
        f"{report.source}: {report.listed} {what} listed, {report.unchanged} unchanged, "
        f"{report.changed} read with {report.builds} builds, {report.gone} gone"
    )
    amount = f" ({human_bytes(report.read_bytes)})" if report.probed else ""
    yield f"{report.probed} headers read{amount}" + (
        f", {report.unread} could not be read" if report.unread else ""
    )
    left = [
        f"{count} {what}"
        for count, what in ((report.left_repositories, "repositories"), (report.left, "headers"))
        if count
    ]
    if left:
        yield f"{' and '.join(left)} left for the next update: its limits were reached"
    if report.skipped:
        yield f"{len(report.skipped)} left out; the next update tries them again"


def guess_lines(repo: str, path: str, found: Guess) -> Iterator[str]:
    """Show what names tell, and which name told it."""
    yield safe(f"{repo}/{path}")
    told = {e.attribute: e for e in reversed(found.evidence)}
    for name in ATTRIBUTES:
        if name in told:
            yield f"  {name:<13}{safe(told[name].value):<28} {told[name].origin.value}"
    if not told:
        yield "  its names tell nothing"
