"""A web server that gives what was laid out on it, and an index of Python packages on it."""

from __future__ import annotations

import re
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from typing_extensions import Self


class Shelf:
    """Gives bytes by their path, or leads elsewhere where a text is laid; notes each request."""

    def __init__(self) -> None:
        self.laid: dict[str, bytes | str | int | Path] = {}
        """A number is a status, a path is read when it is asked for."""
        self.asked: list[str] = []
        shelf = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                path = unquote(self.path)
                shelf.asked.append(path)
                found = shelf.laid.get(path, 404)
                status, body = (found, b"") if isinstance(found, int) else (200, found)
                if isinstance(body, Path):
                    body = body.read_bytes()
                if isinstance(body, str):
                    status, location, body = 302, body, b""
                    self.send_response(status)
                    self.send_header("Location", location)
                else:
                    self.send_response(status)
                kind = "text/html" if path.endswith("/") else "application/octet-stream"
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def offer(self, wheel: Path) -> None:
        """Offer a wheel, or a package's source, as a package index does."""
        project = re.split(r"-\d", wheel.name)[0].replace("_", "-").lower()
        self.laid[f"/files/{wheel.name}"] = wheel
        page = self.laid.get(f"/simple/{project}/", b"")
        assert isinstance(page, bytes)
        link = f'<a href="/files/{wheel.name}">{wheel.name}</a>\n'
        self.laid[f"/simple/{project}/"] = page + link.encode()

    @property
    def index(self) -> str:
        """The address that pip is given."""
        return f"{self.url}/simple"


def make_wheel(
    folder: Path,
    name: str,
    version: str,
    *,
    files: Mapping[str, str],
    requires: Sequence[str] = (),
    tag: str = "py3-none-any",
) -> Path:
    """Write a wheel of some small files."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{name.replace('-', '_')}-{version}"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {pin}\n" for pin in requires)
    members = {
        **files,
        f"{stem}.dist-info/METADATA": metadata,
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\n"
        f"Root-Is-Purelib: false\nTag: {tag}\n",
    }
    members[f"{stem}.dist-info/RECORD"] = "".join(f"{member},,\n" for member in members)
    path = folder / f"{stem}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in members.items():
            archive.writestr(zipfile.ZipInfo(member, (2024, 1, 1, 0, 0, 0)), text)
    return path
