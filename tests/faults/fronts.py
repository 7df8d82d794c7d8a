"""What stands between a machine and a Hub: a TLS front with any certificate, and a proxy."""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    import trustme
    from typing_extensions import Self


class Front(ABC):
    """A listener that talks to a server behind it on behalf of whoever comes."""

    def __init__(self) -> None:
        self.cut_after: int | None = None
        """End the connection after so many bytes of an answer, without a good-bye."""
        self.cuts = 0
        """How often that was done."""
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Accept no more, and end what is open."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            _cut(connection)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection = self._listener.accept()[0]
                threading.Thread(target=self._begin, args=[connection], daemon=True).start()

    def _begin(self, connection: socket.socket) -> None:
        self._open.add(connection)
        try:
            with connection, contextlib.suppress(OSError, ValueError):
                self._serve(connection)
        finally:
            self._open.discard(connection)

    @abstractmethod
    def _serve(self, connection: socket.socket) -> None:
        """Talk until there is no more to say."""

    def _pump(self, source: socket.socket, sink: socket.socket, *, counted: bool = False) -> None:
        """Pass on what comes until there is no more, or the cut."""
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                passed += len(data)
                if counted and self.cut_after is not None and passed > self.cut_after:
                    sink.sendall(data[: self.cut_after - passed])
                    self.cuts += 1
                    break
                sink.sendall(data)
        _cut(sink)


def _cut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        # Not the method of an SSLSocket: nobody says good-bye here.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


def _head(connection: socket.socket) -> tuple[bytes, bytes]:
    """Read up to the end of a head; also what came behind it."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            break
        data += more
    head, end, rest = data.partition(b"\r\n\r\n")
    return head + end, rest


def _once(head: bytes, first_line: bytes | None = None) -> bytes:
    """Ask the server for one answer only, so that its end is the end of the connection."""
    lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    mine = (b"connection:", b"proxy-")
    kept = [line for line in lines[1:] if not line.lower().startswith(mine)]
    return b"\r\n".join([first_line or lines[0], *kept, b"Connection: close", b"", b""])


class Deaf(Front):
    """Accepts everybody, and answers nothing, or always the same."""

    def __init__(self, answer: bytes = b"") -> None:
        self._answer = answer
        super().__init__()

    def _serve(self, connection: socket.socket) -> None:
        while connection.recv(65536):
            if self._answer:
                connection.sendall(self._answer)
                return


class TlsFront(Front):
    """Speaks TLS in front of a server that does not."""

    def __init__(self, certificate: trustme.LeafCert, server_url: str) -> None:
        self._server_url = server_url
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(self._tls)
        self.names: Mapping[str, str] = {}
        """What to write in place of which URL in the heads of answers."""
        super().__init__()

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def _serve(self, connection: socket.socket) -> None:
        place = urlsplit(self._server_url)
        with (
            self._tls.wrap_socket(connection, server_side=True) as client,
            socket.create_connection((place.hostname, place.port)) as server,
        ):
            self._open |= {client, server}
            request, _ = _head(client)
            server.sendall(_once(request))
            head, rest = _head(server)
            for old, new in self.names.items():
                head = head.replace(old.encode(), new.encode())
            client.sendall(_once(head) + rest)
            self._pump(server, client, counted=True)
            self._open -= {client, server}
            if self.cut_after is None:
                client.unwrap()


class Proxy(Front):
    """An HTTP proxy: CONNECT for https, and whole URLs for http."""

    def __init__(self, *, user: str = "", password: str = "") -> None:
        self._secret = f"{user}:{password}" if user else ""
        self.answer: bytes | None = None
        """Say this to whatever is asked, without asking anybody."""
        self.portal = b""
        """Say this instead to who asks for portal.example."""
        self.asked: list[str] = []
        """First lines of all requests."""
        super().__init__()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _serve(self, connection: socket.socket) -> None:
        head, rest = _head(connection)
        if not head:
            return
        method, target, version = head.split(b"\r\n")[0].decode().split(" ")
        self.asked.append(f"{method} {target}")
        if self.answer is not None:
            connection.sendall(self.portal if "portal.example" in target else self.answer)
            return
        if self._secret and not self._knows(head):
            ask = b'Proxy-Authenticate: Basic realm="proxy"\r\nContent-Length: 0\r\n\r\n'
            connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n" + ask)
            return
        place = urlsplit(f"//{target}" if method == "CONNECT" else target)
        with socket.create_connection((place.hostname, place.port or 80)) as server:
            self._open.add(server)
            if method == "CONNECT":
                connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                up = threading.Thread(target=self._pump, args=(connection, server), daemon=True)
                up.start()
            else:
                path = place.path + (f"?{place.query}" if place.query else "")
                server.sendall(_once(head, f"{method} {path} {version}".encode()) + rest)
            self._pump(server, connection, counted=True)
            self._open.discard(server)

    def _knows(self, head: bytes) -> bool:
        wanted = b"basic " + base64.b64encode(self._secret.encode())
        return any(
            value.strip().lower() == wanted.lower() and value.strip()[6:] == wanted[6:]
            for name, _, value in (line.partition(b":") for line in head.split(b"\r\n"))
            if name.lower() == b"proxy-authorization"
        )
