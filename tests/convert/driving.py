"""Run the driver beside a toolkit, as an environment does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rkfetch.registry.convert import driver
from rkfetch.registry.convert.environment import Outcome
from rkfetch.registry.convert.job import DATASET, MODEL, OUTPUT, Event, Job

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_ALONE = tempfile.TemporaryDirectory(prefix="rkfetch-driver-")
DRIVER = shutil.copy(driver.__file__, _ALONE.name)
"""Alone in its folder, as environments have it: what lies beside it is found before libraries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a driver told, and how it ended."""

    events: list[Event]
    others: list[str]
    """Lines that are no events, of which there should be none."""
    status: int
    errors: str
    """Its stderr."""

    @property
    def last(self) -> Event:
        return self.events[-1]

    @property
    def outcome(self) -> Outcome:
        return Outcome(status=self.status, last=self.last, tail=tuple(self.others))

    def of(self, kind: str) -> list[Mapping[str, Any]]:
        return [event.values for event in self.events if event.kind == kind]

    def texts(self, level: str) -> list[str]:
        return [values["text"] for values in self.of("log") if values["level"] == level]


def make_job(
    model: Path,
    output: Path,
    *,
    platform: str = "rk3576",
    dtype: str = "w4a16",
    load: Mapping[str, Any] | None = None,
    dataset: Path | None = None,
    **build: object,
) -> Job:
    """Ask for a conversion into a new folder."""
    output.mkdir()
    build = {"target_platform": platform, "quantized_dtype": dtype, **build}
    return Job(model=model, output=output, dataset=dataset, load=load or {}, build=build)


def start(
    job: Job,
    *,
    python: str = sys.executable,
    package: Path | None = None,
    wrapper: Sequence[str] = (),
    **environment: str,
) -> subprocess.Popen[bytes]:
    """Start the driver with a job on its stdin; ``wrapper`` is a command that runs another."""
    files = job.files
    paths = {n: str(files[n]) for n in (MODEL, DATASET, OUTPUT) if n in files}
    shown = {} if package is None else {"PYTHONPATH": str(package)}
    process = subprocess.Popen(
        [*wrapper, python, DRIVER, "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | shown | environment,
    )
    assert process.stdin is not None
    process.stdin.write(job.as_json(paths).encode())
    process.stdin.close()
    process.stdin = None
    return process


def finish(process: subprocess.Popen[bytes]) -> Run:
    """Read what a driver tells, to its end."""
    out, errors = process.communicate()
    lines = out.decode("ascii").splitlines()
    events = [(line, Event.read(line)) for line in lines]
    return Run(
        events=[event for _, event in events if event is not None],
        others=[line for line, event in events if event is None],
        status=process.returncode,
        errors=errors.decode(),
    )


def drive(job: Job, **how: Any) -> Run:
    """Run the driver to its end."""
    return finish(start(job, **how))


def broken_job(text: str) -> Run:
    """Give the driver a job that it cannot read."""
    done = subprocess.run(
        [sys.executable, DRIVER, "-"],
        input=text.encode(),
        capture_output=True,
        check=False,
    )
    event = Event.read(done.stdout.decode())
    assert event is not None, json.dumps(done.stderr.decode())
    return Run(events=[event], others=[], status=done.returncode, errors=done.stderr.decode())
