"""What the tests of both environments have in common: a toolkit, a probe in it, what it said."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convert.shelf import make_wheel
from convert.tiny_models import write_model
from rkfetch.registry.convert.environment import Unwatched
from rkfetch.registry.convert.job import Job
from rkfetch.registry.convert.wheels import WheelFile
from rkfetch.registry.versions import Version

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rkfetch.registry.convert.environment import Environment, Outcome
    from rkfetch.registry.convert.job import Event

GOOD_API = "class RKLLM: ..."
PROBE = Path(__file__).with_name("probe.py")


def toolkit_wheel(
    folder: Path, python: str, *, requires: Sequence[str] = (), api: str = GOOD_API
) -> WheelFile:
    """Make a wheel that is called like the vendor's."""
    tag = "cp{0}-cp{0}-linux_x86_64".format(python.replace(".", ""))
    files = {"rkllm/__init__.py": "", "rkllm/api.py": api}
    path = make_wheel(folder, "rkllm-toolkit", "9.9.9", files=files, requires=requires, tag=tag)
    return described(path, "9.9.9", python)


def described(path: Path, version: str, python: str) -> WheelFile:
    """Return what is known of a wheel that was checked."""
    content = path.read_bytes()
    return WheelFile(
        path=path,
        toolkit=Version(version),
        python=python,
        name=path.name,
        sha256=hashlib.sha256(content).hexdigest(),
        blob=hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest(),
        pinned=False,
    )


def job(folder: Path, code: str) -> Job:
    """Make a job whose probe runs this code, with a model of one file."""
    model, output = folder / "model", folder / "output"
    for path in (model, output):
        path.mkdir(parents=True, exist_ok=True)
    (model / "config.json").write_text("{}")
    return Job(model=model, output=output, load={"code": code})


class Heard(Unwatched):
    """Keeps steps and details, too, and may do something when an event comes."""

    def __init__(self, then: Callable[[Event], object] | None = None) -> None:
        super().__init__()
        self.steps: list[str] = []
        self.details: list[str] = []
        self._then = then

    def step(self, text: str) -> None:
        self.steps.append(text)

    def detail(self, text: str) -> None:
        self.details.append(text)

    def event(self, event: Event) -> None:
        super().event(event)
        if self._then is not None:
            self._then(event)


def probe(environment: Environment, folder: Path, code: str) -> dict[str, Any]:
    """Run code in an environment that emits one ``log``; return that."""
    heard = Heard()
    outcome = environment.run(job(folder, code), heard)
    assert outcome.status == 0, (outcome, heard.events)
    assert outcome.last is not None
    assert outcome.last.kind == "result"
    (said,) = [event.values for event in heard.events if event.kind == "log"]
    return json.loads(json.dumps(said))  # type: ignore[no-any-return]


def convert(environment: Environment, folder: Path) -> bytes:
    """Convert a small model with the real driver; return the file that was made."""
    output = folder / "output"
    output.mkdir()
    build = {"target_platform": "rk3576", "quantized_dtype": "w4a16"}
    heard = Heard()
    outcome = environment.run(
        Job(model=write_model(folder / "model"), output=output, build=build), heard
    )
    assert outcome.status == 0, (outcome, heard.events)
    assert [e.values["name"] for e in heard.events if e.kind == "phase"][-1] == "export"
    assert outcome.tail == ()
    (made,) = output.iterdir()
    assert outcome.last is not None
    assert outcome.last.values["bytes"] == made.stat().st_size
    assert made.stat().st_uid == os.geteuid()
    return made.read_bytes()


def failed(environment: Environment, folder: Path, code: str, **more: Any) -> Outcome:
    """Run code that does not come to a good end."""
    outcome = environment.run(job(folder, code), Heard(), **more)
    assert outcome.status != 0
    return outcome
