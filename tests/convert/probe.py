"""Stands in for the driver: runs the code that its job carries, and tells what became of it."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def emit(event: str, **values: Any) -> None:
    print(json.dumps({"event": event, **values}), flush=True)


def tried(call: Callable[[], object]) -> str:
    """Return what an attempt gave: ``ok``, or the name of its error."""
    try:
        call()
    except OSError as error:
        return type(error).__name__
    return "ok"


if __name__ == "__main__":
    job = json.loads(sys.stdin.read())
    emit("started", python=sys.version.split()[0], toolkit=None, pid=os.getpid())
    try:
        exec(job["load"]["code"], {"job": job, "emit": emit, "tried": tried})
    except Exception as error:  # noqa: BLE001 - any is told
        emit("failed", errors=[f"{type(error).__name__}: {error}"], signal=None)
        sys.exit(1)
    emit("result", bytes=1)
