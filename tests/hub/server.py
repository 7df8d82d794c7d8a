"""The loopback Hub: origins on 127.0.0.1 that behave like huggingface.co, ModelScope and a CDN."""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
from datetime import datetime
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, cast

from .accounts import Quota, Tokens
from .exchange import Request, Seen
from .faults import Fault, Faults, Hold
from .modelscope import ModelScope
from .repos import FIRST_DAY, Repo
from .routes import answer
from .sending import Dropped, Sender, reset

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from socketserver import BaseServer
    from types import TracebackType

    from typing_extensions import Self

    from .exchange import OriginName
    from .repos import Gate, RepoFile
    from .snapshot import Build

__all__ = ["Fault", "Hold", "Hub", "Seen"]


class Hub:
    """A Hub of one's own: fill it, break it, and read what it was asked."""

    def __init__(
        self, *, api_quota: int = 100_000, resolvers_quota: int = 100_000, window_s: float = 300
    ) -> None:
        self.tokens = Tokens()
        self.quotas = {
            "api": Quota("api", api_quota, window_s),
            "resolvers": Quota("resolvers", resolvers_quota, window_s),
        }
        self.page_size = 1000
        """Longest page of a listing."""
        self.url_lifetime_s = 3600.0
        """How long a signed URL is good for; negative: expired when handed out."""
        self.requests: list[Seen] = []
        """Every request since the start or `forget`, in the order of arrival."""
        self.errors: list[BaseException] = []
        """Bugs of the double itself; leaving the ``with`` block raises the first."""
        self.secret = secrets.token_bytes(16)
        self.blobs: dict[str, tuple[Repo, RepoFile]] = {}
        self.faults = Faults()
        self.holds: list[Hold] = []
        self.lock = threading.RLock()
        self.closing = threading.Event()
        self.modelscope = ModelScope()
        self.contents: dict[str, bytes] = {}
        """What was uploaded for Git LFS, by its digest."""
        self._repos: dict[str, Repo] = {}
        self._datasets: dict[str, Repo] = {}
        self._moved: dict[str, str] = {}
        self._origins: dict[OriginName, _Origin] = {}

    def __enter__(self) -> Self:
        names: tuple[OriginName, ...] = ("hub", "cdn", "modelscope")
        self._origins = {name: _Origin(self, name) for name in names}
        self.modelscope.url = self._origins["modelscope"].url
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        if error is None and self.errors:
            raise self.errors[0]

    def close(self) -> None:
        """End all connections and threads."""
        self.closing.set()
        for hold in self.holds:
            hold.released.set()
        for origin in self._origins.values():
            origin.close()

    @property
    def endpoint(self) -> str:
        """The base URL of the API: what HF_ENDPOINT is for."""
        return self._origins["hub"].url

    @property
    def cdn(self) -> str:
        """The base URL of the origin that serves the bytes of LFS files."""
        return self._origins["cdn"].url

    def serve_snapshot(
        self, rows: Iterable[Mapping[str, Any]] | None = None, **options: Any
    ) -> list[Build]:
        """Add the repositories of rkfetch's shipped catalog; see `hub.snapshot.serve`."""
        from .snapshot import serve

        return serve(self, rows, **options)

    def add_repo(
        self,
        repo_id: str,
        *,
        tags: Iterable[str] = (),
        library_name: str | None = None,
        card: str = "",
        gated: Gate = False,
        private: bool = False,
        downloads: int = 0,
        likes: int = 0,
        last_modified: str | datetime | None = None,
    ) -> Repo:
        """Add a model repository with ``.gitattributes`` and, given a card, ``README.md``."""
        repo = Repo(
            id=repo_id,
            own_tags=tuple(tags),
            own_library=library_name,
            gated=gated,
            private=private,
            downloads=downloads,
            likes=likes,
            created=FIRST_DAY if last_modified is None else _moment(last_modified),
        )
        if card:
            repo.add_file("README.md", card.encode(), lfs=False)
        with self.lock:
            self._repos[repo_id.lower()] = repo
        return repo

    @property
    def repos(self) -> list[Repo]:
        """All repositories, in the order of their adding."""
        return list(self._repos.values())

    def find_repo(self, repo_id: str) -> Repo | None:
        """The repository under this name, whatever its letter case, or under a former name."""
        key = repo_id.lower()
        while key in self._moved:
            key = self._moved[key]
        return self._repos.get(key)

    def add_dataset(self, repo_id: str) -> Repo:
        """Add an empty dataset repository."""
        with self.lock:
            repo = self._datasets[repo_id.lower()] = Repo(id=repo_id, kind="datasets")
        return repo

    def find_dataset(self, repo_id: str) -> Repo | None:
        """The dataset repository under this name."""
        return self._datasets.get(repo_id.lower())

    def rename(self, old_id: str, new_id: str) -> None:
        """Rename a repository; the old name redirects to the new one."""
        with self.lock:
            repo = self._repos.pop(old_id.lower())
            repo.id = new_id
            self._repos[new_id.lower()] = repo
            self._moved[old_id.lower()] = new_id.lower()

    def remove_repo(self, repo_id: str) -> None:
        """Delete a repository."""
        with self.lock:
            del self._repos[repo_id.lower()]

    def expire_urls(self) -> None:
        """Make every signed URL handed out so far worthless."""
        self.secret = secrets.token_bytes(16)

    def break_it(self, *faults: Fault) -> None:
        """Misbehave from now on."""
        for fault in faults:
            self.faults.add(fault)

    def heal(self) -> None:
        """Behave again: no faults, no holds."""
        self.faults.clear()
        for hold in self.holds:
            hold.released.set()
        self.holds = []

    def hold(self, path: str, at_bytes: int) -> Hold:
        """Stop the content of matching files once exactly so many bytes of it were sent.

        The total is counted from now on, over all connections.
        """
        hold = Hold(path, at_bytes)
        self.holds = [*self.holds, hold]
        return hold

    def stop_accepting(self, origin: OriginName | None = None) -> None:
        """Refuse connections, and end those that are open."""
        for name, server in self._origins.items():
            if origin in {None, name}:
                server.stop()

    def start_accepting(self) -> None:
        """Accept connections again, at the same addresses."""
        for server in self._origins.values():
            server.start()

    def data_requests(self, glob: str = "*") -> list[Seen]:
        """The requests that were answered with content of repository files."""
        return [seen for seen in list(self.requests) if seen.is_data and seen.is_about(glob)]

    def data_bytes(self, glob: str = "*") -> int:
        """How many bytes of the content of repository files were sent."""
        return sum(seen.sent_bytes for seen in self.data_requests(glob))

    def forget(self) -> None:
        """Clear the record of requests."""
        self.requests = []


def _moment(moment: str | datetime) -> datetime:
    if isinstance(moment, datetime):
        return moment
    return datetime.fromisoformat(moment.replace("Z", "+00:00"))


class _Origin:
    """One listening port and its connections."""

    def __init__(self, hub: Hub, name: OriginName) -> None:
        self.hub = hub
        self.name = name
        self._port = 0
        self._listener: socket.socket | None = None
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: set[threading.Thread] = set()
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        if self._listener is not None:
            return
        self._listener = socket.create_server(("127.0.0.1", self._port), backlog=128)
        self._port = self._listener.getsockname()[1]
        self._begin(self._accept, self._listener)

    def _begin(self, job: Any, *args: Any) -> None:
        thread = threading.Thread(target=job, args=args, name=f"{self.name} origin", daemon=True)
        with self._lock:
            self._threads = {t for t in self._threads if t.is_alive()} | {thread}
            # Within the lock: a thread that was not started yet does not count as alive.
            thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, address = listener.accept()
            except OSError:
                return
            with self._lock:
                if self._listener is not listener:
                    connection.close()  # it came in while the origin was being stopped
                    return
                self._open.add(connection)
            self._begin(self._converse, connection, address)

    def _converse(self, connection: socket.socket, address: Any) -> None:
        try:
            _Conversation(connection, address, cast("BaseServer", self))
        except OSError:
            pass  # the client went away, or the double is closing
        except Exception as error:  # noqa: BLE001 - kept for the test to see
            self.hub.errors.append(error)
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def stop(self) -> None:
        with self._lock:
            listener, self._listener = self._listener, None
        if listener is not None:
            # The shutdown wakes the thread that waits in accept(); a close alone does not.
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.stop()
        for thread in list(self._threads):
            thread.join(timeout=10)


class _Conversation(BaseHTTPRequestHandler):
    """The requests of one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Origin  # type: ignore[assignment]

    def _answer(self) -> None:
        hub = self.server.hub
        length = int(self.headers.get("Content-Length") or 0)
        request = Request(
            method=self.command,
            origin=self.server.name,
            target=self.path,
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(length) if length else b"",
        )
        seen = Seen.of(request)
        hub.requests.append(seen)
        with hub.lock:
            reply = answer(hub, request)
        fault = hub.faults.take(request, reply)
        seen.repo, seen.file = reply.repo, reply.file.path if reply.file else None
        holds = hub.holds if reply.is_data else []
        url = self.server.url + self.path
        try:
            sender = Sender(self.connection, hub.closing)
            if not sender.send(request, reply, fault, seen, holds, url):
                self.close_connection = True
        except Dropped as drop:
            self.close_connection = True
            if drop.reset:
                reset(self.connection)

    do_GET = do_HEAD = do_POST = do_PUT = _answer  # noqa: N815 - names that http.server looks for

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""
