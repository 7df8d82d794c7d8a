"""Show the page on this machine alone, and fetch what is chosen there.

Only who was given the address with its key sees the page, and has anything fetched: no other site
and no other user of this machine. A request by another name than this machine's own is refused, as
a foreign name may be pointed here; and what can be fetched is only what the page lists.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from hmac import compare_digest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Literal

from .site import FOLDER, PAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from typing_extensions import Self

KEY_HEADER = "X-Rkfetch-Key"
_HOST = "127.0.0.1"
_LARGEST_QUESTION = 8192
"""Bytes of a request to fetch something."""
_LARGEST_LINE = 1 << 16
_STOPS_WITHIN_S = 20
_TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass
class Job:
    """One build on its way to this machine, by a process of its own."""

    process: subprocess.Popen[str]
    state: Literal["running", "done", "failed", "stopped"] = "running"
    total: int | None = None
    completed: int = 0
    path: str | None = None
    why: str | None = None
    _threads: list[threading.Thread] = field(default_factory=list)

    @classmethod
    def start(cls, command: Sequence[str]) -> Self:
        """Begin; what the process says is read as it comes."""
        pipe = subprocess.PIPE
        process = subprocess.Popen(  # noqa: S603 - our own program
            command,
            stdin=subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C reaches it through us, once
        )
        job = cls(process)
        thread = threading.Thread(target=job._follow, daemon=True)
        job._threads.append(thread)
        thread.start()
        return job

    def _follow(self) -> None:
        process = self.process
        assert process.stdout is not None
        assert process.stderr is not None
        answers: list[str] = []
        answer_of = process.stdout.read
        reader = threading.Thread(target=lambda: answers.append(answer_of()), daemon=True)
        reader.start()
        while line := process.stderr.readline(_LARGEST_LINE):
            said = _object(line)
            total, completed = said.get("total"), said.get("completed")
            if isinstance(completed, int):
                self.completed = completed
                self.total = total if isinstance(total, int) else self.total
        code = process.wait()
        reader.join()
        answer = _object("".join(answers))
        if code == 0 and answer.get("status") == "ok":
            self.path, self.state = str(answer.get("path")), "done"
            return
        error = answer.get("error")
        told = error if isinstance(error, dict) else {}
        self.why = (
            ". ".join(str(told[k]) for k in ("message", "hint") if told.get(k)) or f"exit {code}"
        )
        self.state = "stopped" if code in {130, -15} else "failed"

    def stop(self) -> None:
        """Ask it to end; what has come is kept, and the next one goes on with it."""
        with suppress(ProcessLookupError):
            self.process.terminate()

    def join(self) -> None:
        """Wait until it has ended; one that does not is killed."""
        for thread in self._threads:
            thread.join(_STOPS_WITHIN_S)
        if self.process.poll() is None:
            self.process.kill()

    def as_json(self) -> dict[str, Any]:
        """Return how far it is."""
        return {
            "state": self.state,
            "total": self.total,
            "completed": self.completed,
            "path": self.path,
            "why": self.why,
        }


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


class PageServer:
    """Gives out a page on loopback and fetches what is asked for there; a context manager."""

    def __init__(
        self,
        files: Mapping[str, bytes],
        *,
        references: Collection[str],
        command: Callable[[str], Sequence[str]],
        port: int = 0,
    ) -> None:
        """Take the files of `site`.

        ``references`` are what may be fetched, ``command`` makes the command line that does it and
        answers as ``rkfetch fetch --json``. A ``port`` of 0 is any that is free.

        Raises:
            OSError: the port is taken, or not to be had.
        """
        self._files = files
        self._key = secrets.token_urlsafe(24)
        self._references = frozenset(references)
        self._command = command
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()
        self._server = _Server((_HOST, port), _Handler)
        self._server.page = self

    @property
    def address(self) -> str:
        """Where the page is, with the key to it."""
        return f"http://{_HOST}:{self._server.server_port}/?key={self._key}"

    def serve(self) -> None:
        """Answer until interrupted."""
        self._server.serve_forever(poll_interval=0.2)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.server_close()
        for job in self._jobs.values():
            job.stop()
        for job in self._jobs.values():
            job.join()

    @property
    def running(self) -> int:
        """How many downloads are on their way."""
        return sum(job.state == "running" for job in self._jobs.values())

    # --- what is asked -----------------------------------------------------------------------

    def is_own(self, host: str | None, origin: str | None) -> bool:
        """Tell whether a request comes by this machine's own name, and from our page if any."""
        port = self._server.server_port
        names = {f"{name}:{port}" for name in (_HOST, "localhost")}
        return host in names and origin in {None, *(f"http://{name}" for name in names)}

    def fits(self, key: str | None) -> bool:
        """Tell whether somebody was given the address."""
        return compare_digest((key or "").encode(), self._key.encode())

    def file(self, path: str) -> bytes | None:
        """Return a file of the page; an unknown one is None."""
        return self._files.get(path.lstrip("/") or PAGE)

    def fetch(self, reference: str) -> bool:
        """Begin to fetch a build, unless it is on its way; tells whether there is such a build."""
        if reference not in self._references:
            return False
        with self._lock:
            job = self._jobs.get(reference)
            if job is None or job.state != "running":
                self._jobs[reference] = Job.start(self._command(reference))
        return True

    def stop(self, reference: str) -> bool:
        """Stop fetching a build; tells whether it was asked for."""
        job = self._jobs.get(reference)
        if job is not None:
            job.stop()
        return job is not None

    def jobs(self) -> dict[str, Any]:
        """Return how far everything is that was asked for, by its reference."""
        return {reference: job.as_json() for reference, job in self._jobs.items()}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    page: PageServer


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "rkfetch"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        page = self.server.page
        path, _, query = self.path.partition("?")
        key = query.removeprefix("key=") if path == "/" else self.headers[KEY_HEADER]
        is_file = path.startswith(f"/{FOLDER}/")  # the catalog is no secret
        if not page.is_own(self.headers["Host"], self.headers["Origin"]):
            self._answer(403)
        elif not is_file and not page.fits(key):
            self._answer(403, b"open the whole address that rkfetch browse has printed\n")
        elif path == "/jobs":
            self._answer_json(page.jobs())
        else:
            content = page.file(path)
            kind = _TYPES.get(path.rpartition(".")[2], _TYPES["html"])
            self._answer(404 if content is None else 200, content or b"", kind)

    def do_POST(self) -> None:
        page = self.server.page
        own = page.is_own(self.headers["Host"], self.headers["Origin"])
        if not own or not page.fits(self.headers[KEY_HEADER]):
            self._answer(403)
            return
        act = {"/fetch": page.fetch, "/stop": page.stop}.get(self.path)
        reference = self._question().get("reference")
        if act is None or not isinstance(reference, str) or not act(reference):
            self._answer(404)
        else:
            self._answer_json(page.jobs())

    def _question(self) -> dict[str, Any]:
        length = self.headers["Content-Length"] or ""
        if not length.isdecimal() or int(length) > _LARGEST_QUESTION:
            self.close_connection = True
            return {}
        return _object(self.rfile.read(int(length)).decode("utf-8", "replace"))

    def _answer_json(self, value: Any) -> None:
        self._answer(200, json.dumps(value).encode(), "application/json")

    def _answer(self, status: int, content: bytes = b"", kind: str = "text/plain") -> None:
        if status == 403:
            self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.end_headers()
        with suppress(ConnectionError):
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing: the terminal is for what the user does."""
