"""Time a second call, when the file is here already, against bare Python, in one run.

    python benchmarks/warm_call.py [--runs 15] [--mib 1024]

Whole processes, one of each in turn; medians. It also tells how often the server was asked.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lab.clients import HF, REFERENCE, RKFETCH, TARGET
from lab.machine import BIN, described
from lab.measure import layout, run
from lab.origin import serving
from lab.sample import make_sample
from lab.stopping import stopped_in_order

if TYPE_CHECKING:
    from lab.measure import Cost

MEMORY = Path("/dev/shm")


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--mib", type=float, default=1024, help="size of the file")
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        stack.enter_context(stopped_in_order())
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="rkfetch-bench-", dir=MEMORY))
        )
        folder.chmod(0o755)
        sample = make_sample(folder, options.mib)
        origin = stack.enter_context(serving(sample))
        rkfetch = RKFETCH.command(origin, folder)
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "rkfetch --version": [str(BIN / "rkfetch"), "--version"],
            "rkfetch hf:…, present": rkfetch,
            "rkfetch hf:… --offline, present": [*rkfetch, "--offline"],
            "hf download, present": HF.command(origin, folder),
        }
        print(described())
        print(f"present: rkfetch {REFERENCE} {' '.join(TARGET)} --quiet; {options.mib:g} MiB\n")
        costs: dict[str, list[Cost]] = {name: [] for name in commands}
        asked = dict.fromkeys(commands, 0)
        for number in range(options.runs + 1):
            for name, command in commands.items():
                environment = RKFETCH.environment(origin, folder)
                cost = run(command, environment=environment, where=folder)
                if cost.exit_code != 0:
                    sys.exit(f"{name}: exit {cost.exit_code}\n{cost.stderr}")
                requests = len(origin.requests())
                if number:  # the first round downloads
                    costs[name].append(cost)
                    asked[name] += requests
    base = statistics.median(cost.wall_s for cost in costs["python -c pass"])
    rows = [("command", "median ms", "min", "max", "CPU ms", "peak MB", "requests", "x python")]
    for name, runs in costs.items():
        walls = [cost.wall_s for cost in runs]
        rows.append(
            (
                name,
                f"{statistics.median(walls) * 1000:.0f}",
                f"{min(walls) * 1000:.0f}",
                f"{max(walls) * 1000:.0f}",
                f"{statistics.median(cost.cpu_s for cost in runs) * 1000:.0f}",
                f"{statistics.median(cost.peak_mb for cost in runs):.0f}",
                f"{asked[name] / len(runs):g}",
                f"{statistics.median(walls) / base:.1f}",
            )
        )
    print(layout(rows, markdown=options.markdown))


if __name__ == "__main__":
    main()
