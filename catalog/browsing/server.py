"""Show the page on this machine alone, and fetch what is chosen there.

Only who was given the address with its key sees the page, and has anything fetched: no other site
and no other user of this machine. A request by another name than this machine's own is refused, as
a foreign name may be pointed here; and what can be fetched is only what the page lists.
"""

from __future__ import annotations

import json
import re
import secrets
import sys
import threading
from contextlib import suppress
from hmac import compare_digest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from .jobs import Jobs, read_object
from .site import FOLDER, PAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from typing_extensions import Self

KEY_HEADER = "X-Rkfetch-Key"
_HOST = "127.0.0.1"
_LARGEST_QUESTION = 8192
"""Bytes of a request to fetch something."""
_TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
}
_LENGTH = re.compile(r"[0-9]{1,6}")
_NO_KEY = b"open the whole address that rkfetch browse has printed\n"
_ELSEWHERE = (
    b"this page answers to its own address only: open the one that rkfetch browse has printed; "
    b"if ssh carries its port, to the same port\n"
)
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class PageServer:
    """Gives out a page on loopback and fetches what is asked for there; a context manager."""

    def __init__(
        self,
        files: Mapping[str, bytes],
        *,
        references: Collection[str],
        command: Callable[[str], Sequence[str]],
        installed: Callable[[], Sequence[str]],
        port: int = 0,
    ) -> None:
        """Take the files of `site`.

        ``references`` are what may be fetched, ``command`` makes the command line that does it and
        answers as ``rkfetch fetch --json``, ``installed`` tells what is here. A ``port`` of 0 is
        any that is free.

        Raises:
            OSError: the port is taken, or not to be had.
        """
        self._files = files
        self._key = secrets.token_urlsafe(24)
        self._references = frozenset(references)
        self._ticket: str | None = secrets.token_urlsafe(24)
        self._lock = threading.Lock()
        self.installed = installed
        self.jobs = Jobs(command)
        self._server = _Server((_HOST, port), _Handler)
        self._server.page = self

    @property
    def address(self) -> str:
        """Where the page is, with the key to it."""
        return f"http://{_HOST}:{self._server.server_port}/?key={self._key}"

    @property
    def address_for_once(self) -> str:
        """The same for one visit: every user of a machine sees with what a browser was started."""
        return f"http://{_HOST}:{self._server.server_port}/?once={self._ticket}"

    def serve(self, lasts: Callable[[], bool] = lambda: True) -> None:
        """Answer until interrupted, or until ``lasts``, which is asked now and then, denies it."""
        self._server.lasts = lasts
        with suppress(_Over):
            self._server.serve_forever(poll_interval=0.2)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.server_close()
        self.jobs.close()

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

    def redeem(self, ticket: str) -> str | None:
        """Return the address with its key to the first who has the ticket."""
        with self._lock:
            known, self._ticket = self._ticket, None
            if known is not None and compare_digest(ticket.encode(), known.encode()):
                return f"/?key={self._key}"
            self._ticket = known
        return None

    def fetch(self, reference: str) -> bool:
        """Have a build fetched, unless it is on its way; tells whether the page lists it."""
        if reference not in self._references:
            return False
        self.jobs.ask(reference)
        return True


class _Over(Exception):  # noqa: N818 - no error
    """Nobody is there any more to serve for."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    page: PageServer
    lasts: Callable[[], bool]

    def service_actions(self) -> None:
        if not self.lasts():
            raise _Over

    def handle_error(self, request: Any, client_address: Any) -> None:
        # Who closes a tab, or reloads it, leaves an answer half sent.
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


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
            self._answer(403, _ELSEWHERE)
        elif path == "/" and query.startswith("once="):
            address = page.redeem(query.removeprefix("once="))
            self._answer(403 if address is None else 303, _NO_KEY, Location=address)
        elif not is_file and not page.fits(key):
            self._answer(403, _NO_KEY)
        elif path == "/jobs":
            self._answer_json(page.jobs.as_json())
        elif path == "/installed":
            self._answer_json(list(page.installed()))
        else:
            content = page.file(path)
            kind = _TYPES.get(path.rpartition(".")[2], _TYPES["html"])
            # A file is named by what is in it.
            keep = "private, max-age=31536000, immutable" if is_file and content else "no-store"
            self._answer(404 if content is None else 200, content or b"", kind, Cache_Control=keep)

    def do_POST(self) -> None:
        page = self.server.page
        own = page.is_own(self.headers["Host"], self.headers["Origin"])
        if not own or not page.fits(self.headers[KEY_HEADER]):
            self._answer(403)
            return
        act = {"/fetch": page.fetch, "/stop": page.jobs.stop}.get(self.path)
        reference = self._question().get("reference")
        if act is None or not isinstance(reference, str) or not act(reference):
            self._answer(404)
        else:
            self._answer_json(page.jobs.as_json())

    def _question(self) -> dict[str, Any]:
        length = self.headers["Content-Length"] or ""
        if not _LENGTH.fullmatch(length) or int(length) > _LARGEST_QUESTION:
            self.close_connection = True
            return {}
        return read_object(self.rfile.read(int(length)).decode("utf-8", "replace"))

    def _answer_json(self, value: Any) -> None:
        self._answer(200, json.dumps(value).encode(), "application/json")

    def _answer(
        self,
        status: int,
        content: bytes = b"",
        kind: str = "text/plain; charset=utf-8",
        **more: str | None,
    ) -> None:
        if status == 403:
            self.close_connection = True
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            "Cache-Control": "no-store",
            "Content-Security-Policy": _POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            **{name.replace("_", "-"): value for name, value in more.items()},
        }
        self.send_response(status)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing: the terminal is for what the user does."""
