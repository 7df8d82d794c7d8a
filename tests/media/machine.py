"""What the tests of failing media do over and over: fetch a file while its disk changes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from downloads import vouched_for
from e2e.world import Run
from rkfetch.registry.store import Store
from waiting import wait_until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from e2e.world import World

OWNER, NAME = "someone/Thing-1B-RKLLM", "thing_w4a16.rkllm"
FETCH = (f"hf:{OWNER}/{NAME}", "--runtime", "1.2.3")
MODEL = "Thing-1B"
BIG = 6_000_000
HALF = BIG // 2


class Machine:
    """A machine whose store lies in a folder of the test's."""

    def __init__(self, world: World, home: Path) -> None:
        self.world = world
        self.hub = world.hub
        self.home = world.home = home
        self.world.env |= {"RKFETCH_HOME": str(home), "HF_HUB_DOWNLOAD_TIMEOUT": "5"}
        self.sha256 = world.sha256(NAME, OWNER)
        self.size = world.hub.find_repo(OWNER).head.files[NAME].size  # type: ignore[union-attr]
        self.store = Store(home)

    @property
    def vouched(self) -> int:
        """How much of the partial file another process would go on with."""
        partial = self.store.partial(self.sha256)
        return vouched_for(partial, self.sha256, self.size) if partial.exists() else 0

    def run(self, *args: str) -> Run:
        """Run the command; whatever happens, it is none of its own bugs, and no wrong file."""
        return self.finish(self.world.start(*args))

    def finish(self, process: subprocess.Popen[str]) -> Run:
        """Wait for its end."""
        out, err = process.communicate(timeout=120)
        done = Run(process.returncode, out, " ".join(err.split()))
        assert "Traceback" not in err, err
        assert "this is a bug" not in done.err, err
        return done

    def fetch_and(self, then: Callable[[], object], *more: str) -> Run:
        """Begin to fetch, let something happen in the middle, and wait for the end."""
        hold = self.hub.hold("*_w4a16.rkllm", HALF)
        process = self.world.start(*FETCH, *more)
        assert hold.reached.wait(60)
        self.wait_for_some()
        then()
        hold.released.set()
        return self.finish(process)

    def wait_for_some(self) -> None:
        """Wait until much of what was sent has arrived; the rest was for the file's header."""
        wait_until(lambda: self.vouched > HALF // 2)
        self.kept = self.vouched

    def goes_on(self) -> None:
        """Fetch it to its end, from where it was."""
        done = self.run(*FETCH, "--json")
        assert done.code == 0, done.err
        assert done.json["resumed_from"] >= self.kept
        self.assert_whole()

    def assert_whole(self) -> None:
        """What is given out is right."""
        (model,) = self.world.models()
        assert hashlib.sha256(model.read_bytes()).hexdigest() == self.sha256
        assert self.world.partials() == []
        assert self.run("verify").code == 0
