"""A publisher's catalog, its folder and key, and an empty catalog that takes from it."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from rkfetch.catalog.database import Catalog
from rkfetch.catalog.entries import Repository
from rkfetch.catalog.files import create
from rkfetch.catalog.published import signing
from rkfetch.catalog.published.places import place_of
from rkfetch.catalog.published.publish import publish
from rkfetch.catalog.published.subscribe import take_from
from rkfetch.catalog.writer import Writer
from rkfetch.registry.http import Http, RetryPolicy
from rkfetch.registry.model import Artifact, Evidence, Origin, settle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rkfetch.catalog.published.publish import Published
    from rkfetch.catalog.published.subscribe import Taken

NOW = datetime(2026, 11, 25, 12, tzinfo=timezone.utc)
REPO = "Ann/Qwen3-4B-RKLLM"


def digest(number: int) -> str:
    return hashlib.sha256(b"%d" % number).hexdigest()


def build(
    number: int = 0,
    *,
    repo: str = REPO,
    toolkit: str = "1.2.3",
    place: str = "https://huggingface.co/x",
    **fields: Any,
) -> Artifact:
    """A build whose header was read."""
    said = {"toolkit": toolkit, "platform": "rk3576", "model": "Qwen3-4B"}
    fields.setdefault("sha256", digest(number))
    fields.setdefault("source", "huggingface")
    fields.setdefault("path", f"m{number}.rkllm")
    return Artifact(
        repo=repo,
        size_bytes=1000 + number,
        attributes=settle(
            Evidence(
                attribute=attribute,
                value=value,
                origin=Origin.HEADER,
                place=place,
                seen="2026-11-20T00:00:00Z",
            )
            for attribute, value in said.items()
        ),
        **fields,
    )


def listed(repo: str = REPO, **fields: Any) -> Repository:
    return Repository(source="huggingface", repo=repo, sha="a" * 40, **fields)


def dump(path: Path) -> list[str]:
    """Everything that a database holds, except when it was last looked at."""
    with closing(sqlite3.connect(path)) as conn:
        return [line for line in conn.iterdump() if "names_" not in line]


@dataclass
class Publisher:
    """Somebody who publishes."""

    root: Path
    name: str = "Board owners"
    folder: Path = field(init=False)
    db: Path = field(init=False)
    now: datetime = NOW

    def __post_init__(self) -> None:
        self.folder = self.root / "www"
        self.db = self.root / "theirs.db"
        create(self.db).close()
        self.key = signing.generate(self.root / "their.key", password=None)

    @property
    def signer(self) -> signing.Signer:
        return signing.Signer.load(self.root / "their.key", password=lambda: "")

    def add(self, *artifacts: Artifact, seen: str = "2026-11-24T00:00:00Z") -> None:
        with Writer.open(self.db) as writer, writer.transaction():
            for artifact in artifacts:
                if artifact.source == "huggingface":
                    writer.record_repository(listed(artifact.repo), seen=seen)
                writer.record_artifact(artifact, seen=seen)
            writer.set_meta("updated:huggingface", seen)

    def publish(self, *, signed: bool = True, folder: Path | None = None) -> Published:
        self.now += timedelta(hours=1)
        with Catalog.open(self.db) as catalog:
            return publish(
                catalog,
                folder or self.folder,
                name=self.name,
                signer=self.signer if signed else None,
                date=self.now,
            )


@dataclass
class Subscriber:
    """Somebody who takes from a publisher."""

    path: Path
    http: Http
    now: datetime = NOW + timedelta(hours=12)

    def __post_init__(self) -> None:
        create(self.path).close()

    def take(self, where: Path | str, key: str | None = None, **options: Any) -> Taken:
        return take_from(
            place_of(str(where), self.http),
            key=key,
            path=self.path,
            clock=lambda: self.now,
            **options,
        )

    @property
    def artifacts(self) -> list[Artifact]:
        with Catalog.open(self.path) as catalog:
            return catalog.everything()


class Server:
    """Gives out a folder over HTTP, and notes what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[tuple[str, int]] = []
        self.broken: set[str] = set()
        """Paths (parts of them) that answer 404."""
        self.held: dict[str, threading.Event] = {}
        """Paths that are not answered before the event."""
        self.reached = threading.Event()
        outer = self

        class Handler(SimpleHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                for part, event in list(outer.held.items()):
                    if part in self.path:
                        outer.reached.set()
                        event.wait(60)
                if any(part in self.path for part in outer.broken):
                    self.send_error(404)
                else:
                    super().do_GET()

            def log_request(self, code: Any = "-", size: Any = "-") -> None:
                outer.asked.append((self.path, int(code)))

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Say nothing."""

        self._server = ThreadingHTTPServer(
            ("127.0.0.1", 0), partial(Handler, directory=str(folder))
        )
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        for event in self.held.values():
            event.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    publisher = Publisher(tmp_path)
    publisher.add(build(1), build(2), build(3, repo="Bob/Qwen3-4B-rk3576"))
    return publisher


@pytest.fixture
def http() -> Iterator[Http]:
    with Http(retries=RetryPolicy(attempts=1)) as http:
        yield http


@pytest.fixture
def subscriber(tmp_path: Path, http: Http) -> Subscriber:
    return Subscriber(tmp_path / "ours.db", http)


@pytest.fixture
def server(publisher: Publisher) -> Iterator[Server]:
    publisher.folder.mkdir()
    server = Server(publisher.folder)
    yield server
    server.close()
