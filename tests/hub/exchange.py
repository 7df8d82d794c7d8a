"""What a request to the double is, what it answers, and what it remembers."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qs, unquote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .repos import RepoFile

OriginName = Literal["hub", "cdn", "modelscope"]


@dataclass(kw_only=True)
class Request:
    """One request as it came in."""

    method: str
    origin: OriginName
    target: str
    """Path and query exactly as sent."""
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes = b""

    @property
    def raw_path(self) -> str:
        """The path, still percent-encoded: a ``%2F`` inside a segment matters."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, list[str]]:
        """The decoded query."""
        return parse_qs(self.target.partition("?")[2], keep_blank_values=True)

    @property
    def form(self) -> dict[str, list[str]]:
        """The decoded body of a POST, sent as a form or as JSON."""
        if self.headers.get("content-type", "").startswith("application/json"):
            items = json.loads(self.body or b"{}").items()
            return {
                key: [str(v).lower() if isinstance(v, bool) else str(v) for v in _as_list(value)]
                for key, value in items
            }
        return parse_qs(self.body.decode(), keep_blank_values=True)

    @property
    def token(self) -> str | None:
        """The bearer token."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else None


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@dataclass(kw_only=True)
class Reply:
    """One answer before faults and ranges are applied to it."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    repo: str | None = None
    file: RepoFile | None = None
    """The repository file that the request is about."""
    is_data: bool = False
    """The body is the content of that file, and ranges apply."""
    part_status: int = 206
    """Status of an answer that carries a part."""
    is_listing: bool = False
    """The body is one page of a listing."""


def json_reply(value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """Answer with JSON."""
    return Reply(
        status=status,
        headers={"Content-Type": "application/json; charset=utf-8", **(headers or {})},
        body=json.dumps(value).encode(),
    )


def error_reply(
    status: int, message: str, *, code: str | None = None, headers: Mapping[str, str] | None = None
) -> Reply:
    """Answer as the Hub reports errors: ``{"error": …}`` and the ``X-Error-*`` headers."""
    told = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
    return json_reply({"error": message}, status=status, headers={**told, **(headers or {})})


@dataclass(kw_only=True)
class Seen:
    """One request that came in, and what became of it."""

    method: str
    origin: OriginName
    path: str
    """Decoded."""
    query: dict[str, list[str]]
    headers: dict[str, str]
    """Names in lower case."""
    status: int = 0
    sent_bytes: int = 0
    """Bytes of the body handed to the kernel."""
    range: str | None = None
    """The request's ``Range`` header."""
    repo: str | None = None
    file: str | None = None
    """Path of the repository file that it was about."""
    is_data: bool = False
    """It was answered with the content of that file."""

    @classmethod
    def of(cls, request: Request) -> Seen:
        """Begin the record of a request."""
        return cls(
            method=request.method,
            origin=request.origin,
            path=unquote(request.raw_path),
            query=request.query,
            headers=request.headers,
            range=request.headers.get("range"),
        )

    def is_about(self, glob: str) -> bool:
        """Whether the glob names the file, the repository with the file, or the URL's path."""
        return matches(glob, names_of(self.path, self.repo, self.file))


def names_of(path: str, repo: str | None, file: str | None) -> list[str]:
    """What a glob may match: URL path, file path, ``OWNER/NAME/path``."""
    names = [path]
    if file is not None:
        names += [file, f"{repo}/{file}"]
    return names


def matches(glob: str, names: Iterable[str]) -> bool:
    """Whether the glob (``*`` crosses ``/``) matches one of the names."""
    return any(fnmatchcase(name, glob) for name in names)


_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Read a ``Range`` of one part as (start, end), end exclusive.

    None where it is absent, malformed or of several parts: the whole body is due.
    (0, 0) where it cannot be satisfied.
    """
    match = _RANGE.fullmatch(header.replace(" ", "")) if header else None
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < int(first):
            return None
    return (start, end) if start < end else (0, 0)
