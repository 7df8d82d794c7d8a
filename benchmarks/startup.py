"""Time the start of rkfetch's commands against bare Python and ``hf version``, in one run.

    python benchmarks/startup.py [--runs 15]

Whole processes, one of each in turn so that a drifting machine hits all alike; the median and
its ratio to ``python -c pass`` are printed. Run it where rkfetch and huggingface_hub are installed.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BIN = Path(sys.executable).parent


def commands() -> dict[str, list[str]]:
    rkfetch = str(BIN / "rkfetch")
    target = ["--platform", "rk3576", "--runtime", "1.2.3", "--offline"]
    return {
        "python -c pass": [sys.executable, "-c", "pass"],
        "rkfetch --version": [rkfetch, "--version"],
        "rkfetch --help": [rkfetch, "--help"],
        "rkfetch list": [rkfetch, "list"],
        "rkfetch resolve (offline)": [rkfetch, "resolve", "qwen2.5-1.5b", *target],
        "rkfetch explain (offline)": [rkfetch, "explain", "qwen2.5-1.5b", *target],
        "rkfetch search qwen": [rkfetch, "search", "qwen"],
        "hf version": [str(BIN / "hf"), "version"],
        "hf --help": [str(BIN / "hf"), "--help"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "RKFETCH_HOME": home, "HF_HOME": home, "HF_HUB_DISABLE_TELEMETRY": "1"}
        times: dict[str, list[float]] = {name: [] for name in commands()}
        for number in range(runs + 1):
            for name, command in commands().items():
                begun = time.perf_counter()
                subprocess.run(command, env=env, capture_output=True, check=True)
                if number:  # the first round only warms the disk cache
                    times[name].append((time.perf_counter() - begun) * 1000)
    base = statistics.median(times["python -c pass"])
    print(f"{'command':28} {'median ms':>9} {'min':>6} {'max':>6} {'x python':>9}")
    for name, values in times.items():
        median = statistics.median(values)
        print(f"{name:28} {median:9.0f} {min(values):6.0f} {max(values):6.0f} {median / base:9.1f}")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(f"largest process: {peak / 1000:.0f} MB; {runs} runs each")


if __name__ == "__main__":
    main()
