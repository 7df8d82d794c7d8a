"""The nginx configuration in the documents gives out a store."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from downloads import FILE, REPO, Watcher, always, artifact, quick_http
from hub.server import Hub
from rkfetch.registry.fetch import fetch
from rkfetch.registry.store import Store
from rkllm_files import rkllm_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parent.parent / "docs" / "downloads.md"
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
CONTENT = rkllm_bytes(body_bytes=3 << 20)

FRAME = """
daemon off;
user root;
pid {prefix}/pid;
error_log {prefix}/error.log;
events {{ }}
http {{
    access_log {prefix}/access.log;
    client_body_temp_path {prefix}/body;
    proxy_temp_path {prefix}/proxy;
    fastcgi_temp_path {prefix}/fastcgi;
    uwsgi_temp_path {prefix}/uwsgi;
    scgi_temp_path {prefix}/scgi;
    {server}
}}
"""


@pytest.fixture
def neighbour(tmp_path: Path) -> Iterator[str]:
    """Another board's store, served as the page says; gives the address of its models."""
    assert NGINX is not None
    (block,) = re.findall(r"```nginx\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = block.replace("8080", f"127.0.0.1:{port}").replace("/opt/rkfetch", f"{tmp_path}/other")
    assert server != block
    prefix = tmp_path / "nginx"
    prefix.mkdir()
    (prefix / "nginx.conf").write_text(FRAME.format(prefix=prefix, server=server))
    arguments = ["-p", str(prefix), "-c", str(prefix / "nginx.conf"), "-e", f"{prefix}/error.log"]
    with subprocess.Popen([NGINX, *arguments]) as process:
        for _ in range(200):
            if (prefix / "pid").exists():
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/models"
        process.terminate()


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
def test_a_neighbours_store_is_given_out_in_parts(
    tmp_path: Path, neighbour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Hub() as hub, quick_http() as http:
        hub.add_repo(REPO).add_file(FILE, CONTENT)
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        theirs = fetch(artifact(), store=Store(tmp_path / "other"), http=http, progress=Watcher())
        hub.forget()
        monkeypatch.setenv("RKFETCH_MIRRORS", neighbour)
        sha256 = theirs.installed.record.sha256
        with always(4, stride=300_000):
            ours = fetch(
                artifact(sha256=sha256),
                store=Store(tmp_path / "ours"),
                http=http,
                progress=Watcher(),
            )
        assert ours.installed.record.endpoint == neighbour
        assert ours.installed.path.read_bytes() == CONTENT
        assert hub.requests == []
        log = (tmp_path / "nginx" / "access.log").read_text()
        assert log.count(" 206 ") > 4
