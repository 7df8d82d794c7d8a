"""Where a published catalog lies: on a web server, in a dataset of the Hub, or in a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote, unquote, urlsplit

from rkfetch.registry import addresses
from rkfetch.registry.errors import (
    AuthenticationError,
    NetworkError,
    OfflineError,
    UsageError,
)
from rkfetch.registry.hub import endpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from rkfetch.registry.http import Http

_EXAMPLES = "https://HOST/PATH, hf:OWNER/NAME, or a folder"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A file of a published catalog."""

    content: bytes
    """At most one byte more than was asked for."""
    etag: str | None = None
    modified: str | None = None


class MissingFileError(NetworkError):
    """The place does not have the file."""


class Place(Protocol):
    """Gives the files of one published catalog."""

    address: str
    """What it is called, the same for every spelling that a user may choose."""

    def get(
        self, name: str, most: int, *, etag: str | None = None, modified: str | None = None
    ) -> Found | None:
        """Return a file; None if it is still the one that ``etag`` or ``modified`` is of.

        Raises:
            MissingFileError: it is not there.
            NetworkError, AuthenticationError, OfflineError: it cannot be asked for.
        """


def place_of(
    text: str,
    http: Http | None,
    *,
    waiting: Callable[[str, float], object] | None = None,
) -> Place:
    """Return the place that a user named; without ``http`` only folders can be read.

    ``waiting`` is told why and how many seconds it waits between tries.

    Raises:
        UsageError: it names no place.
        OfflineError: it lies in the network.
    """
    scheme, colon, rest = text.partition(":")
    if scheme == "file" and colon:
        return Folder(Path(unquote(urlsplit(text).path)) if rest.startswith("//") else Path(rest))
    if scheme == "hf" and colon:
        named, _, revision = rest.partition("@")
        owner, _, name = named.removeprefix("datasets/").strip("/").partition("/")
        if not owner or not name or "/" in name:
            raise UsageError(
                f"'{text}' names no dataset of the Hub", hint="an example: hf:OWNER/NAME"
            )
        revision = revision or "main"
        where = f"datasets/{quote(owner)}/{quote(name)}/resolve/{quote(revision, safe='')}"
        shown = f"hf:{owner}/{name}" + (f"@{revision}" if revision != "main" else "")
        return Web(shown, f"{endpoint()}/{where}", _online(text, http), waiting)
    if scheme in {"http", "https"} and colon:
        base = text.partition("?")[0].partition("#")[0].rstrip("/").removesuffix("/catalog.json")
        addresses.origin(base)
        return Web(base, base, _online(text, http), waiting)
    if colon and "/" not in scheme and not Path(text).exists():
        raise UsageError(f"'{text}' names no place that can be read", hint=_EXAMPLES)
    return Folder(Path(text))


def _online(text: str, http: Http | None) -> Http:
    if http is None:
        raise OfflineError(
            f"{addresses.shown(text) if '://' in text else text} was not asked: the network is "
            "switched off",
            hint="leave out --offline; a folder, such as a USB stick, can be read without",
        )
    return http


class Folder:
    """A folder on this machine."""

    def __init__(self, path: Path) -> None:
        self._path = path.expanduser().absolute()
        self.address = str(self._path)

    def get(
        self, name: str, most: int, *, etag: str | None = None, modified: str | None = None
    ) -> Found | None:
        """Return a file; a folder is read whatever it was before."""
        del etag, modified
        path = self._path / name
        try:
            if path.is_file():  # a pipe would keep us waiting
                with path.open("rb") as file:
                    return Found(content=file.read(most + 1))
        except OSError as error:
            raise UsageError(
                f"{path} cannot be read", cause=[error.strerror or str(error)]
            ) from error
        raise MissingFileError(f"{path} is not there")


class Web:
    """A web server, or the Hub."""

    def __init__(
        self, address: str, base: str, http: Http, waiting: Callable[[str, float], object] | None
    ) -> None:
        self.address = address
        self._base = base
        self._http = http
        self._waiting = waiting

    def get(
        self, name: str, most: int, *, etag: str | None = None, modified: str | None = None
    ) -> Found | None:
        """Ask for a file."""
        url = f"{self._base}/{name}"
        known = {"If-None-Match": etag, "If-Modified-Since": modified}
        reply = self._http.request(
            "GET",
            url,
            headers={header: value for header, value in known.items() if value},
            max_bytes=most + 1,
            waiting=self._waiting,
        )
        where = addresses.shown(url)
        if reply.status == 304:
            return None
        if reply.status in {404, 410}:
            raise MissingFileError(f"{where} is not there", cause=[f"status {reply.status}"])
        if reply.status in {401, 403}:
            raise AuthenticationError(
                f"{where} answered {reply.status}",
                hint="for a private dataset set HF_TOKEN; other servers must give it to all",
            )
        if reply.status != 200:
            raise NetworkError(f"{where} answered {reply.status}", hint="try again later")
        return Found(
            content=reply.body,
            etag=reply.headers.get("etag"),
            modified=reply.headers.get("last-modified"),
        )
