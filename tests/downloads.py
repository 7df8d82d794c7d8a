"""What the tests of downloads share: a watcher, a small disk, and fetching in another process."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from rkfetch.registry import arrivals, crew, journal, spans
from rkfetch.registry.http import Http, RetryPolicy
from rkfetch.registry.journal import Subject, journal_of
from rkfetch.registry.model import Artifact
from rkfetch.registry.progress import NoProgress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hub.server import Hub

REPO = "alice/Qwen2.5-1.5B-RKLLM"
FILE = "RK3576/qwen_w4a16.rkllm"


def artifact(**values: Any) -> Artifact:
    """Return an artifact of the test's repository."""
    return Artifact(**{"source": "huggingface", "repo": REPO, "path": FILE, **values})


def quick_http(**values: Any) -> Http:
    """Return a client that does not wait long for anything."""
    policy = RetryPolicy(first_wait_s=0.01, longest_wait_s=0.02)
    return Http(**{"stall_timeout_s": 1.5, "connect_timeout_s": 5, "retries": policy, **values})


def vouched_for(partial: Path, sha256: str, size_bytes: int) -> int:
    """How many bytes of a partial file the next process would take for certain."""
    subject = Subject(source="", size_bytes=size_bytes, sha256=sha256)
    found = journal.read(journal_of(partial), subject, inode=partial.stat().st_ino)
    return found.spans.total if found is not None else 0


class Always:
    """A pace that has so many connections from the beginning."""

    def __init__(self, connections: int) -> None:
        self.wanted = connections
        self.is_settled = True

    def __call__(self, **_: Any) -> Always:
        return self

    def observe(self, now: float, received: int, **_: object) -> None:
        """Find nothing out."""

    def hold_back(self) -> None:
        """Have half as many from now on."""
        self.wanted = max(1, self.wanted // 2)


@contextlib.contextmanager
def always(connections: int, *, stride: int) -> Iterator[None]:
    """Divide even small files among so many connections, into pieces of ``stride`` bytes."""
    with (
        mock.patch.object(crew, "Pace", Always(connections)),
        mock.patch.object(arrivals, "_LEAST_STRIDE", stride),
        mock.patch.object(arrivals, "_MOST_STRIDE", stride),
        mock.patch.object(spans, "LEAST_THEFT", min(spans.LEAST_THEFT, stride // 4)),
        mock.patch.object(arrivals, "_LEAST_THEFT_S", 0.02),
    ):
        yield


@contextlib.contextmanager
def trickling(endless: bytes, *, first: bytes = b"", every_s: float = 0.02) -> Iterator[str]:
    """A server that says the same again and again, and never comes to the point."""
    done = threading.Event()

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=talk, args=[listener.accept()[0]], daemon=True).start()

    def talk(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.sendall(first)
            while not done.wait(every_s):
                connection.sendall(endless)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            done.set()
            listener.shutdown(socket.SHUT_RDWR)


class Watcher(NoProgress):
    """Notes what a download tells, and that its count runs backwards only after a restart."""

    def __init__(self, *, interrupt_at: int | None = None) -> None:
        self.events: list[str] = []
        self.resumed_from: int | None = None
        self.received = 0
        self.restarts: list[str] = []
        self.waits: list[str] = []
        self.phases: list[str] = []
        self.interrupt_at = interrupt_at

    def started(self, total: int | None, resumed_from: int) -> None:
        self.total = total
        self.resumed_from = self.received = resumed_from

    def advanced(self, received: int) -> None:
        assert received > self.received
        self.received = received
        if self.interrupt_at is not None and received >= self.interrupt_at:
            raise KeyboardInterrupt

    def restarted(self, reason: str) -> None:
        self.received = 0
        self.restarts.append(reason)

    def waiting(self, reason: str, seconds: float) -> None:
        self.waits.append(reason)

    def phase(self, name: str) -> None:
        self.phases.append(name)


@contextlib.contextmanager
def small_disk(where: Path, size_bytes: int, monkeypatch: Any) -> Iterator[Path]:
    """A file system of its own with so much room; a pretended one where mounting is forbidden."""
    where.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(where)]
    try:
        mounted = subprocess.run(mount, check=False, capture_output=True).returncode == 0
    except OSError:
        mounted = False
    if mounted:
        try:
            yield where
        finally:
            subprocess.run(["umount", str(where)], check=True)
        return
    _pretend(where, size_bytes, monkeypatch)
    yield where


def _pretend(where: Path, size_bytes: int, monkeypatch: Any) -> None:
    write, statvfs = os.write, os.statvfs

    def used() -> int:
        return sum(f.stat().st_size for f in where.rglob("*") if f.is_file())

    def write_if_room(handle: int, data: Any) -> int:
        target = str(Path(f"/proc/self/fd/{handle}").readlink())
        if target.startswith(str(where)) and used() + len(data) > size_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(handle, data)

    def pretended(path: Any) -> Any:
        stats = statvfs(path)
        if not str(path).startswith(str(where)):
            return stats
        values = list(stats)
        values[4] = (size_bytes - used()) // stats.f_frsize
        return os.statvfs_result(values)

    monkeypatch.setattr(os, "write", write_if_room)
    monkeypatch.setattr(os, "statvfs", pretended)


_CHILD = """
import sys
from pathlib import Path
from rkfetch.registry.fetch import fetch
from rkfetch.registry.http import Http
from rkfetch.registry.model import Artifact
from rkfetch.registry.progress import NoProgress
from rkfetch.registry.store import Store
from rkfetch.registry.transfer import Limits

class Loud(NoProgress):
    def waiting(self, reason, seconds):
        print("waiting:", reason, file=sys.stderr, flush=True)
    def restarted(self, reason):
        print("restarted:", reason, file=sys.stderr, flush=True)

root, repo, path, connections = sys.argv[1:5]
limits = Limits(connections=int(connections))
artifact = Artifact(source="huggingface", repo=repo, path=path)
with Http() as http:
    done = fetch(artifact, store=Store(Path(root)), http=http, progress=Loud(), limits=limits)
print(done.action, done.resumed_from, done.installed.path)
"""


def fetch_in_process(hub: Hub, root: Path, *, connections: int = 1) -> subprocess.Popen[str]:
    """Begin to fetch the test's file in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(root), REPO, FILE, str(connections)],
        env={**os.environ, "HF_ENDPOINT": hub.endpoint},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
