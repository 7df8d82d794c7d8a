"""Fetch from the store of another machine, which any web server gives out as static files.

``models/<sha256>/record.json`` tells under which name the file lies beside it. Nothing that such
a server says is believed: the SHA-256 is known before it is asked, and decides.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from . import addresses
from .endpoints import mirrors
from .errors import NetworkError, UnknownModelError
from .headers import whole_number
from .record import RECORD_NAME, Record, safe_file_name
from .route import OF_A_PLACE, Remote

if TYPE_CHECKING:
    from collections.abc import Callable

    from .http import Http, Reply
    from .model import Artifact

_LONGEST_RECORD = 256 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorFile:
    """A content in the store of another machine, as the `route.Source` of its bytes."""

    http: Http
    base: str
    """Address of its folder ``models``."""
    sha256: str
    name: str
    """What to call it in a message."""
    waiting: Callable[[str, float], object] | None = None

    @property
    def identity(self) -> str:
        """The content: it is the same wherever it lies."""
        return f"sha256:{self.sha256}"

    @property
    def place(self) -> str:
        """Address of the store."""
        return self.base

    @property
    def shares(self) -> bool:
        """A neighbour is there so that the file is not fetched from far away as well."""
        return False

    def locate(self, *, hurried: bool = False) -> Remote:
        """Find the file's name there.

        Raises:
            UnknownModelError: that store does not have it.
            NetworkError: it cannot be reached, or is no store.
        """
        folder = f"{self.base}/{self.sha256}"
        reply = self._asked("GET", f"{folder}/{RECORD_NAME}", hurried=hurried)
        try:
            record = Record.from_json(json.loads(reply.body))
        except (ValueError, RecursionError):
            record = None
        if record is None or record.sha256 != self.sha256:
            raise NetworkError(
                f"{addresses.shown(folder)} is no entry of a store",
                hint="RKFETCH_MIRRORS names folders `models` that a web server gives out",
            )
        url = f"{folder}/{quote(safe_file_name(record.path), safe='')}"
        reply = self._asked("HEAD", url, hurried=hurried)
        return Remote(
            url=reply.url,
            size_bytes=whole_number(reply.headers.get("content-length")),
            sha256=self.sha256,
        )

    def _asked(self, method: str, url: str, *, hurried: bool) -> Reply:
        reply = self.http.request(
            method, url, max_bytes=_LONGEST_RECORD, waiting=self.waiting, hurried=hurried
        )
        if reply.status in {404, 410}:
            raise UnknownModelError(f"{self.base} does not have {self.name}")
        if reply.status != 200:
            raise NetworkError(f"{addresses.shown(url)} answered {reply.status}")
        return reply


class Neighbours:
    """The stores of other machines, while one question is answered."""

    def __init__(self, http: Http) -> None:
        self._http = http
        self._bases = mirrors()

    def have(self, artifact: Artifact) -> bool:
        """Tell whether one of them has a content; a store that cannot be asked is asked once."""
        if artifact.sha256 is None:
            return False
        for base in list(self._bases):
            file = MirrorFile(
                http=self._http, base=base, sha256=artifact.sha256, name=artifact.name
            )
            try:
                file.locate(hurried=True)
            except UnknownModelError:
                continue
            except OF_A_PLACE:
                self._bases.remove(base)
            else:
                return True
        return False
