"""How what a check found is shown: how bad it is, why it matters, what to do."""

from __future__ import annotations

import os
import textwrap
from typing import TYPE_CHECKING, Any

import typer

from .output import answers_to_terminal, safe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rkfetch.registry.finding import Finding

_COLOURS = {
    "problem": typer.colors.RED,
    "warning": typer.colors.YELLOW,
    "note": typer.colors.CYAN,
    "ok": typer.colors.GREEN,
}


def finding_lines(finding: Finding, width: int, *, seen: Sequence[str] = ()) -> Iterator[str]:
    """Yield the lines of one finding; ``seen`` are lines on where it was seen."""
    label = f"{finding.severity.value:<7}"
    if answers_to_terminal() and not os.environ.get("NO_COLOR"):
        label = typer.style(label, fg=_COLOURS[finding.severity.value], bold=True)
    parts = [("", finding.text)]
    parts += [("why: ", finding.why)] if finding.why else []
    lines = [line for lead, text in parts for line in wrap(safe(text, limit=1000), width - 9, lead)]
    lines += [safe(line, limit=1000) for line in seen]
    # Commands and addresses stay whole, to be copied.
    lines += [f"do:  {safe(step, limit=1000)}" for step in finding.todo]
    if finding.source and finding.severity.value != "ok":
        lines.append(f"see: {finding.source}")
    yield f"{label}  {lines[0]}"
    for line in lines[1:]:
        yield " " * 9 + line


def wrap(text: str, width: int, lead: str = "") -> list[str]:
    """Break text into lines under its lead, words kept whole."""
    return textwrap.wrap(
        text,
        max(width, 24),
        initial_indent=lead,
        subsequent_indent=" " * len(lead),
        break_long_words=False,
        break_on_hyphens=False,
    ) or [lead]


def finding_json(finding: Finding) -> dict[str, Any]:
    """Return a finding for scripts."""
    return {
        "rule": finding.rule,
        "severity": finding.severity.value,
        "text": finding.text,
        "why": finding.why,
        "todo": list(finding.todo),
        "source": finding.source,
    }
