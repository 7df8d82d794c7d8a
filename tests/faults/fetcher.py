"""Fetch one file in a process of its own, and tell as JSON how that went and what it cost.

Started as a script, with what to do as JSON in its only argument.
"""

from __future__ import annotations

import hashlib
import json
import resource
import sys
import threading
import time
from pathlib import Path
from typing import Any

from rkfetch.registry.errors import RkfetchError
from rkfetch.registry.fetch import fetch
from rkfetch.registry.http import Http, RetryPolicy
from rkfetch.registry.model import Artifact
from rkfetch.registry.progress import NoProgress
from rkfetch.registry.store import Store

DAY_S = 86_400


class _Progress(NoProgress):
    def __init__(self, jumps: list[float]) -> None:
        self._jumps = jumps

    def advanced(self, received: int) -> None:
        """With every piece, the clock of the wall jumps."""
        if self._jumps:
            self._jumps.append(self._jumps.pop(0))

    def phase(self, name: str) -> None:
        print(name, file=sys.stderr, flush=True)


def _fetch(task: dict[str, Any], progress: _Progress) -> dict[str, Any]:
    artifact = Artifact(source="huggingface", **task["artifact"])
    policy = RetryPolicy(attempts=task.get("attempts", 5), first_wait_s=0.01, longest_wait_s=0.02)
    try:
        with Http(retries=policy, connect_timeout_s=2) as http:
            done = fetch(artifact, store=Store(Path(task["store"])), http=http, progress=progress)
    except RkfetchError as error:
        return {
            "code": error.exit_code,
            "message": error.message,
            "cause": error.cause,
            "hint": error.hint,
        }
    return {
        "code": 0,
        "sha256": hashlib.sha256(done.installed.path.read_bytes()).hexdigest(),
        "resumed_from": done.resumed_from,
        "bytes_downloaded": done.bytes_downloaded,
    }


def main(task: dict[str, Any]) -> None:
    """Do it as often as the task says."""
    jumps = [days * DAY_S for days in task.get("clock_jumps_days", [])]
    if jumps:
        real = time.time
        time.time = lambda: real() + jumps[0]
    if "largest_file" in task:
        resource.setrlimit(resource.RLIMIT_FSIZE, (task["largest_file"], resource.RLIM_INFINITY))
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.monotonic()
    open_files, threads = [], []
    for _ in range(task.get("times", 1)):
        outcome = _fetch(task, _Progress(jumps))
        open_files.append(len([*Path("/proc/self/fd").iterdir()]))
        threads.append(threading.active_count())
    print(
        json.dumps(
            {
                **outcome,
                "seconds": time.monotonic() - began,
                "grown_kb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb,
                "open_files": open_files,
                "threads": threads,
            }
        )
    )


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
