"""What a whole command costs, and the medians of several runs as a table."""

from __future__ import annotations

import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_TEXTS = {"remark", "outcome"}
"""Heads of columns that hold words."""
_LAUNCH = Path(__file__).parent / "launch.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """One run of one command with everything that it started."""

    wall_s: float
    cpu_s: float
    """User and system time of the whole process tree."""
    peak_mb: float
    """Resident memory of the largest process."""
    exit_code: int | None
    """None if it was stopped because it took too long."""
    stdout: str
    stderr: str


def run(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    where: Path | None = None,
    timeout_s: float = 3600,
) -> Cost:
    """Run a command to its end, or stop it and all that it started when it takes too long."""
    with tempfile.NamedTemporaryFile(mode="r", encoding="ascii") as result:
        child = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_LAUNCH), result.name, *command],
            env={**os.environ, **(environment or {})},
            cwd=where,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            out, err = child.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            _kill_group(child)
            out, err = child.communicate()
        except BaseException:
            _kill_group(child)
            raise
        fields = result.read().split()
    if not fields:
        return Cost(wall_s=timeout_s, cpu_s=0, peak_mb=0, exit_code=None, stdout=out, stderr=err)
    wall_s, cpu_s, peak_kib, code = (float(text) for text in fields)
    return Cost(
        wall_s=wall_s,
        cpu_s=cpu_s,
        peak_mb=peak_kib * 1024 / 1e6,
        exit_code=int(code),
        stdout=out,
        stderr=err,
    )


def _kill_group(child: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


@dataclass(slots=True, kw_only=True)
class Row:
    """All runs of one client."""

    name: str
    costs: list[Cost] = field(default_factory=list)
    against: list[float] = field(default_factory=list)
    """Its time against the first client's in the same round."""
    remarks: list[str] = field(default_factory=list)
    """What went wrong, or why it was not run."""

    def note(self, remark: str) -> None:
        """Keep a remark once."""
        if remark not in self.remarks:
            self.remarks.append(remark)


def table(rows: Sequence[Row], *, size_bytes: int, markdown: bool) -> str:
    """Return medians as a table; a client without a good run has a row that says why."""
    head = ("client", "wall s", "min-max", "MB/s", "CPU s", "peak MB", "x rkfetch", "remark")
    lines = [head, *(_cells(row, size_bytes) for row in rows)]
    return layout(lines, markdown=markdown)


def _cells(row: Row, size_bytes: int) -> tuple[str, ...]:
    remark = "; ".join(row.remarks)
    if not row.costs:
        return (row.name, *["-"] * 6, remark or "not run")
    walls = [cost.wall_s for cost in row.costs]
    wall = statistics.median(walls)
    rate = size_bytes / 1e6 / wall
    return (
        row.name,
        f"{wall:.2f}",
        f"{min(walls):.2f}-{max(walls):.2f}",
        f"{rate:.0f}" if rate >= 100 else f"{rate:.2f}",
        f"{statistics.median(cost.cpu_s for cost in row.costs):.2f}",
        f"{statistics.median(cost.peak_mb for cost in row.costs):.0f}",
        f"{statistics.median(row.against):.2f}" if row.against else "-",
        remark,
    )


def layout(lines: Sequence[Sequence[str]], *, markdown: bool) -> str:
    """Put cells into columns, the first line being their heads."""
    if not any(line[-1] for line in lines[1:]):
        lines = [line[:-1] for line in lines]
    if markdown:
        rule = ["---" if n == 0 or head in _TEXTS else "---:" for n, head in enumerate(lines[0])]
        return "\n".join("| " + " | ".join(line) + " |" for line in [lines[0], rule, *lines[1:]])
    widths = [max(len(line[n]) for line in lines) for n in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if n == 0 or lines[0][n] in _TEXTS else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
