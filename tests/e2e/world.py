"""A world for the installed command: a Hub, a home, and real processes."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rkllm_files import rkllm_bytes
from waiting import wait_until

if TYPE_CHECKING:
    from hub.repos import RepoFile
    from hub.server import Hub

RKFETCH = Path(sys.executable).with_name("rkfetch")
QWEN = "HanzoHuang/Qwen2.5-1.5B-Instruct-RKLLM"
W4 = "RK3576/Qwen2.5-1.5B-Instruct_RK3576_w4a16.rkllm"
W8 = "RK3576/Qwen2.5-1.5B-Instruct_RK3576_w8a8.rkllm"
OTHER = "RK3588/Qwen2.5-1.5B-Instruct_RK3588_w8a8.rkllm"
SIZE = 3_000_000


@dataclass
class Run:
    """What a finished command left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON object on stdout."""
        lines = self.out.splitlines()
        assert len(lines) == 1, self.out
        return json.loads(lines[0])


class World:
    """A Hub on loopback and a machine whose whole state lies in one folder."""

    def __init__(self, hub: Hub, folder: Path) -> None:
        self.hub = hub
        self.command = [str(RKFETCH)]
        """What is typed in front of the arguments."""
        self.within_s = 120.0
        """How long a command may take."""
        self.home = folder / "rkfetch"
        self.cwd: Path | None = None
        """Where commands are called."""
        (folder / "no-board").mkdir(parents=True)
        self.env = {
            "PATH": os.environ["PATH"],
            "RKFETCH_HOME": str(self.home),
            "HF_ENDPOINT": hub.endpoint,
            "MODELSCOPE_ENDPOINT": hub.modelscope.url,
            "HF_HOME": str(folder / "hf"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "RKFETCH_STALE_AFTER_DAYS": "0",
            "RKFETCH_SYSROOT": str(folder / "no-board"),
        }

    def run_under(self, *before: str) -> Run:
        """Run the installed command through another one: a program and its argument come first."""
        done = subprocess.run(
            [*before[:2], *self.command, *before[2:]],
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=self.within_s,
            check=False,
        )
        return Run(done.returncode, done.stdout, done.stderr)

    def start(self, *args: str, **env: str) -> subprocess.Popen[str]:
        """Start the installed command without a terminal."""
        return subprocess.Popen(
            [*self.command, *args],
            cwd=self.cwd,
            env={**self.env, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def at_terminal(self, *args: str, said: str) -> Run:
        """Run the command where a person has typed this already; ``err`` is the screen."""
        mine, theirs = pty.openpty()
        process = subprocess.Popen(
            [*self.command, *args],
            env={**self.env, "TERM": "dumb"},
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=theirs,
            text=True,
        )
        os.close(theirs)
        os.write(mine, said.encode())
        screen = b""
        with contextlib.suppress(OSError):  # the other end is closed
            while piece := os.read(mine, 1 << 16):
                screen += piece
        out, _ = process.communicate(timeout=60)
        os.close(mine)
        return Run(process.returncode, out, screen.decode())

    def run(self, *args: str, **env: str) -> Run:
        """Run the installed command to its end."""
        process = self.start(*args, **env)
        out, err = process.communicate(timeout=self.within_s)
        assert "Traceback" not in err, err
        return Run(process.returncode, out, err)

    def add(self, path: str, *, repo: str = QWEN, size: int = SIZE, **build: Any) -> RepoFile:
        """Publish a build on the Hub."""
        there = self.hub.find_repo(repo) or self.hub.add_repo(repo, tags=("rkllm",))
        return there.add_file(path, rkllm_bytes(body_bytes=size, **build))

    def sha256(self, path: str, repo: str = QWEN) -> str:
        """The digest of what the Hub has at a path now."""
        there = self.hub.find_repo(repo)
        assert there is not None
        return there.head.files[path].sha256

    def update(self) -> None:
        """Let the catalog learn what the Hub has now."""
        done = self.run("catalog", "update", "--quiet")
        assert done.code == 0, done.err
        self.hub.forget()

    def models(self) -> list[Path]:
        """The finished models on this machine."""
        return sorted(self.home.glob("models/*/*.rkllm"))

    def partials(self) -> list[Path]:
        """The unfinished ones."""
        return sorted(self.home.glob("partials/*.partial"))

    def wait_for_partial(self, size_bytes: float) -> None:
        """Wait until a file is here in part, with at least so many bytes.

        What the Hub has sent may still be on its way: a hold that was reached says nothing of
        what the process has written.
        """
        wait_until(
            lambda: any(path.stat().st_size >= size_bytes for path in self.partials()),
            at_most_s=60,
        )
