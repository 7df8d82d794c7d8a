"""What a check found: how bad it is, why it matters, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Severity(str, Enum):
    """How bad a finding is, worst first."""

    PROBLEM = "problem"
    """No model can be used, or not safely, until this is put right."""
    WARNING = "warning"
    NOTE = "note"
    OK = "ok"

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return list(Severity).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One judgement about the board or about the machine's set-up."""

    rule: str
    """A stable name for scripts: ``driver``, ``runtime``, ``runtime-copies``, …"""
    severity: Severity
    text: str
    why: str | None = None
    """Why it matters."""
    todo: tuple[str, ...] = ()
    """What to do: sentences, and commands to be typed as they are."""
    source: str | None = None
    """The public page that it rests on."""
