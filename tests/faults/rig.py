"""A Hub, a CDN that misbehaves, and a store: what may become of a fetch there."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import TYPE_CHECKING, Any

import pytest

from downloads import FILE, REPO, Watcher, artifact, quick_http
from hub.server import Fault
from rkfetch.registry.errors import IntegrityError, NetworkError
from rkfetch.registry.fetch import fetch
from rkfetch.registry.store import Store
from rkllm_files import rkllm_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from hub.server import Hub
    from rkfetch.registry.errors import RkfetchError
    from rkfetch.registry.fetch import Fetched
    from rkfetch.registry.http import Http

    from .wire import Ask, Wire

CONTENT = rkllm_bytes(body_bytes=600_000)
OTHER = rkllm_bytes(body_bytes=600_000, seed=9)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
AT_MOST_S = 20
"""No failure may take longer; the time-outs in the tests are fractions of a second."""


class Rig:
    """One machine that fetches one file."""

    def __init__(self, hub: Hub, wire: Wire, folder: Path, endpoint: str) -> None:
        self.hub = hub
        self.wire = wire
        self.store = Store(folder)
        self.endpoint = endpoint
        hub.add_repo(REPO).add_file(FILE, CONTENT)
        hub.break_it(Fault(origin="hub", path="*.rkllm", redirect=wire.url))

    def no_digest(self) -> None:
        """Let the Hub not tell the SHA-256, as a plain mirror does."""
        self.hub.break_it(Fault(origin="hub", path="*.rkllm", headers={"X-Linked-ETag": None}))

    def fetch(self, *, http: Http | None = None, **known: Any) -> Fetched:
        """Fetch it once, as every program would."""
        self.watcher = Watcher()
        with http or quick_http() as client:
            return fetch(artifact(**known), store=self.store, http=client, progress=self.watcher)

    def succeeds(self, *, sha256: str = SHA256, **how: Any) -> Fetched:
        """Fetch it, and see that what is installed are the right bytes."""
        done = self.fetch(**how)
        actual = hashlib.sha256(done.installed.path.read_bytes()).hexdigest()
        assert actual == done.installed.record.sha256 == sha256
        assert self.partials() == []
        return done

    def fails(self, *kinds: type[RkfetchError], **how: Any) -> RkfetchError:
        """See it fail in bounded time, with words that help and nothing installed."""
        began = time.monotonic()
        with pytest.raises(kinds or (NetworkError, IntegrityError)) as caught:
            self.fetch(**how)
        error: RkfetchError = caught.value
        assert time.monotonic() - began < AT_MOST_S
        assert error.message.isprintable()
        assert all(line.isprintable() for line in error.cause)
        assert error.cause or error.hint
        assert "s3cret" not in " ".join([error.message, *error.cause, error.hint or ""])
        assert self.store.installed() == []
        if isinstance(error, IntegrityError):
            assert self.partials() == []
        return error

    def never_errs(self, **how: Any) -> RkfetchError | None:
        """See it end with the right bytes or with an error: never with anything else."""
        try:
            self.succeeds(**how)
        except (NetworkError, IntegrityError) as error:
            assert self.store.installed() == []
            return error
        return None

    def partials(self) -> list[Path]:
        """What is unfinished."""
        return sorted(self.store.root.glob("partials/*.partial"))

    def then(
        self, how: Callable[[Ask], None], *, times: int | None = None, at: int = 300_000
    ) -> None:
        """Break off once, and let ``how`` answer what goes on in the middle of the file."""
        first = _broken_at(at)
        state = {"broken": False, "met": 0}

        def answer(ask: Ask) -> None:
            if not state["broken"]:
                state["broken"] = True
                first(ask)
            if ask.part[0] == 0 or (times is not None and state["met"] >= times):
                ask.sound()
                return
            state["met"] += 1
            how(ask)

        self.wire.misbehave(answer)


def _broken_at(at: int) -> Callable[[Ask], None]:
    def answer(ask: Ask) -> None:
        ask.say(ask.head() + ask.body[:at])
        ask.pause(0.05)
        ask.hang_up()

    return answer


FETCHER = Path(__file__).with_name("fetcher.py")


def start(rig: Rig, *before: str, env: dict[str, str] | None = None, **task: Any) -> Popen[str]:
    """Fetch in a process of its own, perhaps through a command before it."""
    task = {"store": str(rig.store.root), "artifact": {"repo": REPO, "path": FILE}, **task}
    return Popen(
        [*before, sys.executable, str(FETCHER), json.dumps(task)],
        env={**os.environ, "HF_ENDPOINT": rig.endpoint, **(env or {})},
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        text=True,
    )


def outcome(process: Popen[str]) -> dict[str, Any]:
    """Wait for its end; how that went."""
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    told: dict[str, Any] = json.loads(out)
    assert "Traceback" not in err
    return told
