"""How the catalog's answers read for people: plain text, aligned, 80 columns where names allow."""

from __future__ import annotations

import shutil
from datetime import datetime, timezone
from itertools import groupby
from typing import TYPE_CHECKING

from rkfetch.registry.model import ATTRIBUTES, Availability

from .output import answers_to_terminal, human_bytes, safe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rkfetch.catalog.database import CatalogStatus, Companion
    from rkfetch.catalog.naming import Guess
    from rkfetch.catalog.update import Report
    from rkfetch.registry.compat import Level
    from rkfetch.registry.model import Artifact, Attribute

_STATES = {
    Availability.MANUAL: "by hand",
    Availability.UNNAMED: "files not listed yet",
    Availability.GONE: "gone",
    Availability.REJECTED: "rejected",
}
_SCHEMES = {"huggingface": "hf"}


def result_lines(results: Sequence[tuple[Artifact, Level | None]]) -> Iterator[str]:
    """List builds under their repositories, in the order of the first of each."""
    rows = [(_place(artifact), _cells(artifact, level), artifact) for artifact, level in results]
    if not rows:
        return
    titles = _TITLES[: len(rows[0][1])]
    table = [titles, *(cells for _, cells, _ in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    yield _row(titles, widths, "file")
    order = {place: number for number, (place, _, _) in reversed(list(enumerate(rows)))}
    rows.sort(key=lambda row: order[row[0]])
    for place, group in groupby(rows, key=lambda row: row[0]):
        yield place
        for _, cells, artifact in group:
            yield _row(cells, widths, _file_and_state(artifact))


_TITLES = ["SoC", "quant", "toolkit", "size", "verdict"]


def _row(cells: Sequence[str], widths: Sequence[int], name: str) -> str:
    columns = "  ".join(text.ljust(width) for text, width in zip(cells, widths, strict=True))
    row = f"  {columns}  "
    return row + _fitting(name, len(row))


def _place(artifact: Artifact) -> str:
    place = safe(artifact.repo)
    return place if artifact.source == "huggingface" else f"{artifact.source}: {place}"


def _cells(artifact: Artifact, level: Level | None) -> list[str]:
    return [
        artifact.platform.value if artifact.platform else "?",
        str(artifact.quant or "?"),
        " or ".join(str(v) for v in artifact.toolkits) or "?",
        human_bytes(artifact.size_bytes),
        *([level.value] if level is not None else []),
    ]


def _file_and_state(artifact: Artifact) -> str:
    state = _STATES.get(artifact.availability)
    return f"{safe(artifact.path)} ({state})".strip() if state else safe(artifact.path)


def _fitting(name: str, used: int) -> str:
    """Cut the middle out of a name that a terminal would break; a pipe gets all of it."""
    room = shutil.get_terminal_size().columns - used
    if not answers_to_terminal() or len(name) <= room or room < 20:
        return name
    half = (room - 1) // 2
    return f"{name[: room - 1 - half]}…{name[-half:]}"


def artifact_lines(artifact: Artifact, companions: Sequence[Companion]) -> Iterator[str]:
    """Show one build with all its evidence, the strongest first."""
    scheme = _SCHEMES.get(artifact.source, artifact.source)
    yield safe(f"{scheme}:{artifact.name}", limit=2000)
    traits = [artifact.availability.value]
    traits += [human_bytes(artifact.size_bytes)] if artifact.size_bytes is not None else []
    traits += ["curated"] if artifact.curated else []
    traits += ["gated"] if artifact.gated else []
    yield "  " + ", ".join(traits)
    for label, text in (
        ("sha256", artifact.sha256),
        ("revision", artifact.revision),
        ("updated", artifact.updated),
        ("note", artifact.note),
    ):
        if text:
            yield f"  {label:<13}{safe(text)}"
    for companion in companions:
        yield f"  {companion.role:<13}{safe(companion.path)}"
    for name in ATTRIBUTES:
        attribute = artifact.attribute(name)
        if attribute.evidence:
            yield from _attribute_lines(attribute)


def _attribute_lines(attribute: Attribute) -> Iterator[str]:
    verdict = "disputed: " + " or ".join(attribute.contenders) if attribute.disputed else ""
    yield f"  {attribute.name:<13}{safe(verdict or attribute.value or '?')}"
    contenders = attribute.contenders
    for item in attribute.evidence:
        mark = " " if item.value in contenders else "!"
        seen = (item.seen or "")[:10]
        yield (
            f"    {mark} {safe(item.value):<16} {item.origin.value:<10} {seen:<10} "
            f"{safe(item.place)}" + (f" (says {safe(item.publisher)})" if item.publisher else "")
        )


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
        updated = f"{source.updated or 'snapshot only'}{_age(source.updated)}"
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
    yield (
        f"{report.source}: {report.listed} repositories listed, {report.unchanged} unchanged, "
        f"{report.changed} read with {report.builds} builds, {report.gone} gone"
    )
    yield f"{report.probed} headers read" + (
        f", {report.unread} could not be read" if report.unread else ""
    )
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
