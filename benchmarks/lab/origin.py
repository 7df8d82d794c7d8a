"""A Hub and its CDN on nginx: two ports, the headers of the real one, one file."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .sample import FILE, REPO

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .sample import Sample

COMMIT = "5f0c" * 10
_ECHO_MODULE = Path("/usr/lib/nginx/modules/ngx_http_echo_module.so")
_CONFIG = """
{modules}
{user}
daemon off;
worker_processes 1;
pid {prefix}/nginx.pid;
error_log {prefix}/error.log warn;
events {{ worker_connections 1024; }}
http {{
  log_format line '$server_port\t$request_method\t$status\t$body_bytes_sent\t$http_range\t$uri';
  access_log {prefix}/access.log line;
  client_body_temp_path {prefix}/body;
  proxy_temp_path {prefix}/proxy;
  fastcgi_temp_path {prefix}/fastcgi;
  uwsgi_temp_path {prefix}/uwsgi;
  scgi_temp_path {prefix}/scgi;
  default_type application/octet-stream;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 100000;
  server {{
    listen {address}:{hub_port};
    location ~ ^/{repo}/resolve/[^/]+/{file}$ {{
      add_header X-Repo-Commit {commit} always;
      add_header X-Linked-Size {size} always;
      add_header X-Linked-ETag '"{sha256}"' always;
      {resolved}
    }}
    location /api/models/{repo} {{
      default_type application/json;
      return 200 '{info}';
    }}
  }}
  server {{
    listen {address}:{cdn_port};
    location ~ ^/cdn/ {{ {content} }}
    location = /file {{ internal; {file_content} }}
  }}
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One line of the server's log."""

    of_cdn: bool
    method: str
    status: int
    body_bytes: int
    """Handed to the kernel: what a client that went away had not read counts too."""
    range: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A running Hub."""

    endpoint: str
    cdn_port: int
    prefix: Path
    description: str

    @property
    def url(self) -> str:
        """The file's address at the Hub, as people would give it to curl."""
        return f"{self.endpoint}/{REPO}/resolve/main/{FILE}"

    def requests(self) -> list[Request]:
        """Return what was asked since the last call, in the order in which it ended."""
        log = self.prefix / "access.log"
        lines = log.read_text().splitlines()
        os.truncate(log, 0)
        found = []
        for line in lines:
            port, method, status, body_bytes, span, _ = line.split("\t")
            found.append(
                Request(
                    of_cdn=int(port) == self.cdn_port,
                    method=method,
                    status=int(status),
                    body_bytes=int(body_bytes),
                    range="" if span == "-" else span,
                )
            )
        return found


def free_port() -> int:
    """Return a port of the loopback that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def can_delay() -> bool:
    """Tell whether nginx can wait before the first byte (Debian: libnginx-mod-http-echo)."""
    return _ECHO_MODULE.exists()


@contextmanager
def serving(
    sample: Sample,
    *,
    rate: int = 0,
    first_byte_ms: int = 0,
    plainly: bool = False,
    address: str = "127.0.0.1",
    inside: Sequence[str] = (),
    cdn_url: str | None = None,
    cdn_port: int | None = None,
) -> Iterator[Origin]:
    """Serve a file until the block is left.

    ``rate`` bounds each connection, in bytes per second; ``first_byte_ms`` is waited before each
    answer of the CDN. ``plainly``: the Hub answers with the file instead of a redirect. ``inside``
    is a command that runs nginx elsewhere (``ip netns exec …``). ``cdn_url`` is where the Hub
    redirects to, if something stands before the CDN.
    """
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if nginx is None:
        raise SystemExit("nginx is not installed (Debian: apt install nginx-light)")
    if first_byte_ms and not can_delay():
        raise SystemExit("nginx cannot wait (Debian: apt install libnginx-mod-http-echo)")
    hub_port, cdn_port = free_port(), cdn_port or free_port()
    cdn = cdn_url or f"http://{address}:{cdn_port}"
    with tempfile.TemporaryDirectory(prefix="rkfetch-nginx-") as folder:
        prefix = Path(folder)
        prefix.chmod(0o755)
        text = _config(sample, prefix, address, (hub_port, cdn_port), cdn, plainly, first_byte_ms)
        if rate:
            text = text.replace("  sendfile on;", f"  limit_rate {rate};\n  sendfile on;")
        (prefix / "nginx.conf").write_text(text)
        arguments = ["-p", folder, "-c", f"{folder}/nginx.conf", "-e", f"{folder}/error.log"]
        # Of its own session: Ctrl-C is for the benchmark, which stops it in order.
        server = subprocess.Popen([*inside, nginx, *arguments], start_new_session=True)
        try:
            _wait_for(prefix / "nginx.pid", server)
            yield Origin(
                endpoint=f"http://{address}:{hub_port}",
                cdn_port=cdn_port,
                prefix=prefix,
                description=_description(rate, first_byte_ms, plainly=plainly),
            )
        finally:
            server.terminate()
            server.wait()


def _config(
    sample: Sample,
    prefix: Path,
    address: str,
    ports: tuple[int, int],
    cdn: str,
    plainly: bool,
    first_byte_ms: int,
) -> str:
    alias = f"alias {sample.path};"
    redirect = f"return 302 {cdn}/cdn/{sample.sha256}?Expires=4102444800&Signature=bench;"
    wait = f"echo_sleep {first_byte_ms / 1000}; echo_exec /file;"
    file = {
        "rfilename": FILE,
        "size": sample.size_bytes,
        "blobId": COMMIT,
        "lfs": {"sha256": sample.sha256, "size": sample.size_bytes, "pointerSize": 134},
    }
    info = {"_id": "0" * 24, "id": REPO, "sha": COMMIT, "private": False, "siblings": [file]}
    return _CONFIG.format(
        modules=f"load_module {_ECHO_MODULE};" if first_byte_ms else "",
        user="user root;" if os.geteuid() == 0 else "",
        prefix=prefix,
        address=address,
        hub_port=ports[0],
        cdn_port=ports[1],
        repo=REPO,
        file=FILE,
        commit=COMMIT,
        size=sample.size_bytes,
        sha256=sample.sha256,
        resolved=alias if plainly else redirect,
        info=json.dumps(info),
        content=wait if first_byte_ms else alias,
        file_content=alias,
    )


def _description(rate: int, first_byte_ms: int, *, plainly: bool) -> str:
    parts = ["nginx, no TLS", "plain answer" if plainly else "302 to a CDN on another port"]
    if rate:
        parts.append(f"{rate / 1e6:g} MB/s per connection")
    if first_byte_ms:
        parts.append(f"{first_byte_ms} ms to the first byte")
    return ", ".join(parts)


def _wait_for(pid_file: Path, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 10
    while not (pid_file.exists() and pid_file.read_text().strip()):
        if server.poll() is not None or time.monotonic() > until:
            raise SystemExit(f"nginx did not start:\n{_errors(pid_file.parent)}")
        time.sleep(0.02)


def _errors(prefix: Path) -> str:
    log = prefix / "error.log"
    return log.read_text() if log.exists() else ""
