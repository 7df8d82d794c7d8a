"""Find where a file of a source lives, and read pieces of it there."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import quote

from . import addresses
from .endpoints import endpoint, endpoints, hub_token, modelscope_endpoint
from .errors import AuthenticationError, IntegrityError, NetworkError, UnknownModelError
from .failures import TransientError
from .headers import ContentRange, plain, whole_number
from .mismatch import replaced_upstream
from .model import Availability
from .route import Remote, Route, first_that_answers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .http import Http, Reply, Response
    from .model import Artifact

__all__ = [
    "HttpBytes",
    "HubFile",
    "Remote",
    "endpoint",
    "hub_token",
    "locate",
    "modelscope_endpoint",
    "resolve_url",
]

_SHA256 = re.compile(r"[0-9a-f]{64}")
_LONGEST_REFUSAL = 4096
"""Bytes of an answer that says in JSON why there is no file."""
_MOST_WITHOUT_RANGES = 8 << 20
"""Bytes that may be read and dropped to reach a piece on a server that ignores ranges."""


def resolve_url(
    repo: str,
    path: str,
    revision: str | None = None,
    *,
    source: str = "huggingface",
    base: str | None = None,
) -> str:
    """Return the address under which a source gives out a file.

    A ``source`` other than the known hubs has its base URL as ``repo``, and no revisions. ``base``
    is another endpoint of a hub than the one that is set.

    Raises:
        UnknownModelError: the source has no addresses.
        IntegrityError: the path could lead out of its repository.
    """
    parts = path.split("/")
    if any(part in {"", ".", ".."} for part in parts):
        raise IntegrityError(f"'{path[:200]}' is not the path of a file in a repository")
    file = "/".join(quote(part, safe="") for part in parts)
    if source == "huggingface":
        at = quote(revision or "main", safe="")
        return f"{base or endpoint()}/{_quoted_repo(repo)}/resolve/{at}/{file}"
    if source == "modelscope":
        at = quote(revision or "master", safe="")
        return f"{base or modelscope_endpoint()}/models/{_quoted_repo(repo)}/resolve/{at}/{file}"
    if repo.startswith(("http://", "https://")):
        return f"{repo.rstrip('/')}/{file}"
    raise UnknownModelError(
        f"{repo}/{path} cannot be downloaded by rkfetch",
        hint="fetch it by hand",
    )


def has_address(artifact: Artifact) -> bool:
    """Tell whether an artifact's source has addresses, as `resolve_url` makes them."""
    by_name = artifact.source in {"huggingface", "modelscope"}
    return by_name or artifact.repo.startswith(("http://", "https://"))


def base_url(artifact: Artifact) -> str:
    """Return the endpoint that an artifact's source is asked at."""
    if artifact.source == "huggingface":
        return endpoint()
    return modelscope_endpoint() if artifact.source == "modelscope" else artifact.repo


def _quoted_repo(repo: str) -> str:
    return "/".join(quote(part, safe="") for part in repo.split("/"))


def locate(
    http: Http,
    artifact: Artifact,
    *,
    waiting: Callable[[str, float], object] | None = None,
    hurried: bool = False,
    base: str | None = None,
) -> Remote:
    """Ask the source where an artifact's content is, without asking for content.

    ``base`` is another endpoint of the Hub than `endpoint`; ``hurried`` as for `Http.retries`.

    Raises:
        AuthenticationError: it wants a token or consent.
        UnknownModelError: it has no such file any more.
        IntegrityError: what is known of the artifact cannot be true, or the source contradicts it.
        NetworkError: it could not be asked, or what answers is no Hub.
    """
    if artifact.sha256 is not None and not _SHA256.fullmatch(artifact.sha256):
        raise IntegrityError(
            f"the catalog's SHA-256 of {artifact.name} is none",
            actual=artifact.sha256[:80],
            hint="rkfetch catalog update",
        )
    if artifact.availability in {Availability.MANUAL, Availability.UNNAMED}:
        raise UnknownModelError(
            f"{artifact.name} can only be fetched by hand",
            cause=[artifact.note] if artifact.note else [],
        )
    url = resolve_url(
        artifact.repo, artifact.path, artifact.revision, source=artifact.source, base=base
    )
    reply = _asked(http, url, artifact, waiting=waiting, hurried=hurried)
    _raise_for_status(http, reply, artifact, base or base_url(artifact))
    remote = _remote(reply)
    if reply.redirect is not None and not _is_from_a_hub(remote):
        remote = _located_elsewhere(http, reply.redirect) or remote
    if artifact.source == "huggingface" and not _is_from_a_hub(remote):
        raise NetworkError(
            f"{addresses.host(url)} does not answer like a Hub (captive portal?)",
            cause=[f"it answers {reply.status}, without X-Repo-Commit and X-Linked-ETag"],
            hint="open a web page to log in to this network, or see HF_ENDPOINT",
        )
    _require_same(artifact, remote)
    return remote


def _asked(
    http: Http,
    url: str,
    artifact: Artifact,
    *,
    waiting: Callable[[str, float], object] | None,
    hurried: bool,
) -> Reply:
    """Ask for the head of an answer, or for one byte where HEAD may not be understood."""
    reply = None
    if artifact.source == "huggingface":
        reply = http.request("HEAD", url, follow="same-origin", waiting=waiting, hurried=hurried)
    if reply is None or reply.status in {405, 501}:
        reply = http.request(
            "GET",
            url,
            headers={"Range": "bytes=0-0"},
            follow="same-origin",
            max_bytes=_LONGEST_REFUSAL,
            waiting=waiting,
            hurried=hurried,
        )
    return reply


def _is_from_a_hub(remote: Remote) -> bool:
    return remote.commit is not None or remote.sha256 is not None


def _require_same(artifact: Artifact, remote: Remote) -> None:
    """Check before any byte that the source still has what the catalog knows."""
    if artifact.sha256 and remote.sha256 and artifact.sha256 != remote.sha256:
        raise replaced_upstream(artifact.name, "SHA-256", artifact.sha256, remote.sha256)
    known, said = artifact.size_bytes, remote.size_bytes
    if known is not None and said is not None and known != said:
        raise replaced_upstream(artifact.name, "size", f"{known} bytes", f"{said} bytes")


def _located_elsewhere(http: Http, url: str) -> Remote | None:
    """Ask the host that a mirror redirects to, which may be the Hub that it mirrors."""
    reply = http.request("HEAD", url, follow="same-origin")
    return _remote(reply) if reply.status < 400 else None


def _remote(reply: Reply) -> Remote:
    headers = reply.headers
    size_bytes = whole_number(headers.get("x-linked-size"))
    if size_bytes is None and (part := ContentRange.of(headers)):
        size_bytes = part.total
    elif size_bytes is None and reply.redirect is None:
        size_bytes = whole_number(headers.get("content-length"))
    digest = _unquoted(headers.get("x-linked-etag", "")).lower()
    return Remote(
        url=reply.redirect or reply.url,
        size_bytes=size_bytes,
        sha256=digest if _SHA256.fullmatch(digest) else None,
        commit=plain(headers.get("x-repo-commit")),
        round_trip_s=reply.round_trip_s,
    )


def _unquoted(etag: str) -> str:
    return etag.removeprefix("W/").strip('"')


def _raise_for_status(http: Http, reply: Reply, artifact: Artifact, base: str) -> None:
    code = reply.headers.get("x-error-code", "")
    if reply.status < 400 and not _says_no(reply):
        return
    if reply.status in {401, 403}:
        folder = "/models" if artifact.source == "modelscope" else ""
        raise _authentication(http, reply, artifact, f"{base}{folder}/{artifact.repo}")
    if reply.status in {200, 404, 410}:
        what = {
            "RepoNotFound": f"the repository {artifact.repo} is not there",
            "RevisionNotFound": f"{artifact.repo} has no revision {artifact.revision}",
        }.get(code, f"{artifact.repo} has no file {artifact.path}")
        raise UnknownModelError(
            what,
            cause=[f"{addresses.shown(reply.url)} answered {reply.status}"],
            hint="check the name; `rkfetch catalog update` learns what is there now",
        )
    raise NetworkError(
        f"{addresses.shown(reply.url)} answered {reply.status}",
        cause=[text[:200]] if (text := reply.headers.get("x-error-message")) else [],
    )


def _says_no(reply: Reply) -> bool:
    """Tell whether an answer with a good status is a refusal: ModelScope's for a missing file."""
    if not reply.headers.get("content-type", "").startswith("application/json"):
        return False
    try:
        said = json.loads(reply.body)
    except (ValueError, RecursionError):
        return False
    return isinstance(said, dict) and said.get("Success") is False


def _authentication(http: Http, reply: Reply, artifact: Artifact, page: str) -> AuthenticationError:
    if artifact.source != "huggingface":
        return AuthenticationError(
            f"{artifact.repo} asks for permission, which rkfetch cannot give there",
            cause=[f"it answered {reply.status}"],
            hint=f"see {page}; download it in a browser, then `rkfetch import FILE`",
        )
    return authentication_needed(http, reply, artifact.repo, page)


def authentication_needed(http: Http, reply: Reply, repo: str, page: str) -> AuthenticationError:
    """Return what the Hub's 401 or 403 about a repository means; ``page`` is its own."""
    sent = http.has_token_for(reply.url)
    give = "set HF_TOKEN, or run `hf auth login`"
    if reply.headers.get("x-error-code") == "GatedRepo":
        accept = f"accept its conditions at {page}"
        return AuthenticationError(
            f"{repo} is gated by its owner",
            cause=["the token that was sent has no access"] if sent else ["no token was sent"],
            hint=f"{accept}, then run the command again" if sent else f"{accept}; then {give}",
        )
    said = reply.headers.get("x-error-message", "")
    if sent and reply.status == 401:
        return AuthenticationError(
            "the Hub does not accept the token that was sent",
            cause=[said] if said else [],
            hint="set HF_TOKEN anew, or run `hf auth login`",
        )
    cause = [f"the token that was sent has no access: {said}" if sent else "no token was sent"]
    if not sent and hub_token() is not None:
        cause = ["HF_TOKEN is not sent to a mirror of another domain"]
        give = "RKFETCH_TOKEN_TO_MIRROR=1 sends it to HF_ENDPOINT all the same"
    return AuthenticationError(
        f"{repo} is private, or not there (the Hub answers {reply.status} to both)",
        cause=cause,
        hint=f"see {page}; {give}",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HubFile:
    """An artifact as the `route.Source` of its bytes."""

    http: Http
    artifact: Artifact
    waiting: Callable[[str, float], object] | None = None
    base: str | None = None
    """Another endpoint of the Hub than `endpoint`."""

    @property
    def name(self) -> str:
        """What to call it in a message."""
        return self.artifact.name

    @property
    def identity(self) -> str:
        """Source, repository, path and revision; not the endpoint, which may change."""
        artifact = self.artifact
        return f"{artifact.source}:{artifact.repo}/{artifact.path}@{artifact.revision or ''}"

    @property
    def place(self) -> str:
        """Base URL of the endpoint that is asked."""
        return self.base or base_url(self.artifact)

    @property
    def shares(self) -> bool:
        """Two endpoints may bring more than one."""
        return True

    def locate(self, *, hurried: bool = False) -> Remote:
        """Find an address that works now; raises like `locate`."""
        return locate(
            self.http, self.artifact, waiting=self.waiting, hurried=hurried, base=self.base
        )


@dataclass(frozen=True, slots=True)
class SameElsewhere:
    """The same content in another repository than the one that was asked for.

    The SHA-256 has to be known: nothing else tells that it is the same.
    """

    file: HubFile

    @property
    def name(self) -> str:
        """What to call it in a message."""
        return self.file.name

    @property
    def identity(self) -> str:
        """As `HubFile.identity`."""
        return self.file.identity

    @property
    def place(self) -> str:
        """Address of the repository: what its owner does says nothing about the endpoint."""
        return f"{self.file.place}/{_quoted_repo(self.file.artifact.repo)}"

    @property
    def shares(self) -> bool:
        """It is there for when the others fail; mostly it is the same server."""
        return False

    def locate(self, *, hurried: bool = False) -> Remote:
        """Find an address that works now, without a commit: none of it was asked for.

        Raises:
            AuthenticationError, UnknownModelError, NetworkError: as `locate`; that there is
                another file now only means that this one is not there.
        """
        try:
            return replace(self.file.locate(hurried=hurried), commit=None)
        except IntegrityError as error:
            raise UnknownModelError(error.message, cause=error.cause) from error


def hub_routes(
    http: Http,
    artifact: Artifact,
    *,
    elsewhere: Sequence[Artifact] = (),
    waiting: Callable[[str, float], object] | None = None,
) -> list[Route]:
    """Return the places that may give out an artifact, in the order in which they are asked.

    Its own repository at every endpoint comes before the repositories of ``elsewhere``, which are
    known to have the same content.
    """

    def files(artifact: Artifact) -> list[HubFile]:
        bases = endpoints() if artifact.source == "huggingface" else [base_url(artifact)]
        return [HubFile(http=http, artifact=artifact, waiting=waiting, base=b) for b in bases]

    others = [SameElsewhere(file) for other in elsewhere for file in files(other)]
    return [*map(Route, files(artifact)), *map(Route, others)]


class HttpBytes:
    """Pieces of one remote file, all of the same version.

    It is located once, and the address reused until it expires; nothing beyond the pieces that
    are asked for is read.
    """

    def __init__(self, http: Http, artifact: Artifact) -> None:
        self._http = http
        self._artifact = artifact
        self._remote: Remote | None = None
        self.route: Route | None = None
        """The place that was asked, once one was."""
        self._size: int | None = None
        self._etag: str | None = None
        self.requests = 0
        """Requests so far."""
        self.bytes_read = 0
        """Bytes of content so far."""

    @property
    def remote(self) -> Remote:
        """Where the file is.

        Raises:
            AuthenticationError, UnknownModelError, NetworkError: as `locate`.
            IntegrityError: it is another file than before, or than the catalog knows.
        """
        if self._remote is None:
            self.requests += 1
            self.route = first_that_answers(hub_routes(self._http, self._artifact))[0]
            self._remote = self.route.located()
            self._same_version(size=self._remote.size_bytes)
        return self._remote

    def size(self) -> int | None:
        """Bytes of the whole file; None if the server does not tell."""
        return self._size if self._size is not None else self.remote.size_bytes

    def read(self, start: int, length: int) -> bytes:
        """Return a piece, shorter only at the end of the file.

        Raises:
            IntegrityError: the file changed between two pieces.
            NetworkError: it could not be read, after retries.
        """
        size = self.size()
        if size is not None:
            length = min(length, size - start)
        if length <= 0:
            return b""
        return self._piece(f"bytes={start}-{start + length - 1}", start, length)

    def tail(self, length: int) -> bytes:
        """Return the last bytes of the file; raises like `read`."""
        size = self.size()
        if size is not None:
            start = max(0, size - length)
            return self.read(start, size - start)
        return self._piece(f"bytes=-{length}", None, length)

    def _piece(self, span: str, start: int | None, length: int) -> bytes:
        retries = self._http.retries()
        while True:
            try:
                return self._ask(span, start, length)
            except TransientError as error:  # noqa: PERF203 - trying again is the point
                retries.pause(error)

    def _ask(self, span: str, start: int | None, length: int) -> bytes:
        url = self.remote.url
        self.requests += 1
        with self._http.open("GET", url, headers={"Range": span}) as response:
            self._http.raise_if_transient(response)
            if response.status == 206:
                return self._part(response, start, length)
            if response.status == 200:
                return self._cut_out(response, start, length)
            if response.status == 416:
                return b""
            self._remote = None
            raise TransientError(
                f"{addresses.shown(url)} answered {response.status}", retry_after_s=0
            )

    def _part(self, response: Response, start: int | None, length: int) -> bytes:
        span = ContentRange.of(response.headers)
        if span is None or (start is not None and span.first != start):
            raise IntegrityError(
                f"{addresses.shown(response.url)} sent another part than it was asked for",
                expected=f"{length} bytes from {start}",
                actual=response.header("content-range"),
            )
        self._same_version(size=span.total, etag=response.header("etag"))
        return self._all(response, min(length, span.last - span.first + 1))

    def _cut_out(self, response: Response, start: int | None, length: int) -> bytes:
        """Read a piece out of the whole file, from a server that ignores ranges."""
        self._same_version(size=response.length, etag=response.header("etag"))
        if start is None and response.length is not None:
            start = max(0, response.length - length)
        if start is None or start + length > _MOST_WITHOUT_RANGES:
            raise NetworkError(
                f"{addresses.shown(response.url)} cannot give a part of a file",
                cause=["it answers a range request with the whole file"],
            )
        until = start + length
        if response.length is not None:
            until = min(until, response.length)
        return self._all(response, until)[start:]

    def _all(self, response: Response, count: int) -> bytes:
        body = response.read(count)
        self.bytes_read += len(body)
        if len(body) < count and (response.length or count) >= count:
            raise TransientError(f"{addresses.shown(response.url)} broke off")
        return body

    def _same_version(self, *, size: int | None = None, etag: str | None = None) -> None:
        if size is not None:
            _same("size", str(self._size or size), str(size), self._artifact)
            self._size = size
        if etag is not None:
            _same("ETag", self._etag or etag, etag, self._artifact)
            self._etag = etag


def _same(what: str, expected: str, actual: str, artifact: Artifact) -> None:
    if expected != actual:
        raise IntegrityError(
            f"{artifact.name} is not the file that it was",
            expected=expected,
            actual=actual,
            cause=[f"its {what} was {expected}, and is {actual}"],
            hint="rkfetch catalog update",
        )
