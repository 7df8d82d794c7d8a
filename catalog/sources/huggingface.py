"""List the builds on Hugging Face, or on a mirror of it, through huggingface_hub.

Tags alone miss most uploaders, and the search matches repository ids only, so several queries
are joined. A listing carries names; sizes and hashes cost one request for a repository.
"""

from __future__ import annotations

import os
import re
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from rkfetch.catalog.naming import CardFacts
from rkfetch.catalog.writer import Repository
from rkfetch.registry import addresses
from rkfetch.registry.errors import (
    AuthenticationError,
    NetworkError,
)
from rkfetch.registry.failures import TransientError, failure_of_status
from rkfetch.registry.http import rkfetch_version
from rkfetch.registry.hub import endpoint, hub_token, resolve_url

from . import Details, Listing, RemoteFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import httpx2
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.hf_api import ExpandModelProperty_T, ModelInfo
    from typing_extensions import Self

    from rkfetch.registry.http import Http

T = TypeVar("T")

NAME = "huggingface"
TAGS = ("rkllm", "rk3576", "rk3588", "rk3562", "rv1126b", "rkllm-runtime")
WORDS = ("rkllm", "rk3576", "rk3588", "rk3562", "rv1126b", "-3576", "-3588")
MOST_PAGES = 200
"""Pages of one query; a page may have 1,000 repositories, and the largest query some hundreds."""
MOST_BARREN = 3
"""Pages in a row that bring nothing new, until a listing is taken for endless."""
LARGEST_CARD = 128 << 10
CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 30.0

_EXPANDED: list[ExpandModelProperty_T] = [
    "sha",
    "lastModified",
    "siblings",
    "gated",
    "tags",
    "downloads",
    "likes",
]


class HuggingFace:
    """The Hub at ``HF_ENDPOINT``, seen with the user's token; one at a time in a process."""

    name = NAME

    def __init__(
        self, http: Http, *, waiting: Callable[[str, float], object] | None = None
    ) -> None:
        self._http = http
        self._waiting = waiting
        self._api: HfApi | None = None
        self._lock = threading.Lock()
        self._pages = _Pages()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._api is not None:
            from huggingface_hub import close_session, set_client_factory
            from huggingface_hub.utils._http import default_client_factory

            # The factory is the whole process's; others get back the one that they know.
            set_client_factory(default_client_factory)
            close_session()

    def listings(self) -> Iterator[Listing]:
        """List every repository that the queries find, each once."""
        queries = [{"filter": tag} for tag in TAGS] + [{"search": word} for word in WORDS]
        seen: set[str] = set()
        for query in queries:
            for listing in self._query(query):
                if listing.repository.repo not in seen:
                    seen.add(listing.repository.repo)
                    yield listing

    def listings_of(self, owner: str) -> list[Listing]:
        """List the repositories of one owner."""
        return self._query({"author": owner})

    def details(self, repo: str) -> Details | None:
        """Ask for one repository with the sizes and hashes of its files, and read its card."""
        info = self._ask(lambda: self._client().model_info(repo, files_metadata=True), missing=None)
        if info is None:
            return None
        files = tuple(
            RemoteFile(
                path=s.rfilename,
                size_bytes=s.lfs.size if s.lfs else s.size,
                sha256=s.lfs.sha256 if s.lfs else None,
            )
            for s in info.siblings or ()
        )
        return Details(repository=_repository(info), files=files, card=self._card(info, files))

    def _card(self, info: ModelInfo, files: Iterable[RemoteFile]) -> CardFacts:
        readme = next((f for f in files if f.path == "README.md"), None)
        text = ""
        if readme is not None and (readme.size_bytes or 0) <= LARGEST_CARD:
            url = resolve_url(info.id, readme.path, info.sha)
            reply = self._http.request("GET", url, max_bytes=LARGEST_CARD)
            text = reply.body.decode("utf-8", "replace") if reply.status == 200 else ""
        return CardFacts(base_model=_base_model(info), tags=tuple(info.tags or ()), text=text)

    def _query(self, query: Mapping[str, Any]) -> list[Listing]:
        """Run one query to its end; one that never ends is cut off."""

        def run() -> list[Listing]:
            self._pages = pages = _Pages()
            with suppress(_EndlessError):
                for info in self._client().list_models(expand=_EXPANDED, **query):
                    pages.found[info.id] = _listing(info)
            return list(pages.found.values())

        return self._ask(run, missing=[])

    def _ask(self, call: Callable[[], T], *, missing: T) -> T:
        """Call the Hub's client, again where that may help; ``missing`` stands for a 404."""
        retries = self._http.retries(waiting=self._waiting)
        while True:
            try:
                with _translated():
                    return call()
            except TransientError as error:  # noqa: PERF203 - trying again is the point
                retries.pause(error)
            except _MissingError:
                return missing

    def _turn_page(self) -> None:
        self._pages.turn()

    def _client(self) -> HfApi:
        with self._lock:
            if self._api is None:
                self._api = _connect(self._turn_page)
            return self._api


class _EndlessError(Exception):
    """A listing goes on and on."""


class _Pages:
    """What one query found, page by page."""

    def __init__(self) -> None:
        self.found: dict[str, Listing] = {}
        self._turned = self._barren = self._before = 0

    def turn(self) -> None:
        """Go on to the next page; raise if that would never end."""
        self._barren = 0 if len(self.found) > self._before else self._barren + 1
        self._before = len(self.found)
        self._turned += 1
        if self._barren > MOST_BARREN or self._turned > MOST_PAGES:
            raise _EndlessError


class _MissingError(Exception):
    """The Hub says that there is no such repository, or that it is not for us."""


def _listing(info: ModelInfo) -> Listing:
    paths = None if info.siblings is None else tuple(s.rfilename for s in info.siblings)
    return Listing(repository=_repository(info), paths=paths)


def _base_model(info: ModelInfo) -> str | None:
    """Return the model that the card says it is a build of; None if it names none or several."""
    named = getattr(info.card_data, "base_model", None)
    if isinstance(named, list) and len(named) == 1:
        named = named[0]
    return named if isinstance(named, str) else None


def _repository(info: ModelInfo) -> Repository:
    modified = info.last_modified
    return Repository(
        source=NAME,
        repo=info.id,
        sha=info.sha,
        modified=modified.strftime("%Y-%m-%dT%H:%M:%SZ") if modified else None,
        gated=bool(info.gated),
        downloads=info.downloads,
        likes=info.likes,
        tags=tuple(info.tags or ()),
    )


def _connect(turn_page: Callable[[], None]) -> HfApi:
    """Make a client that is bounded in time, fails in our words and talks to the endpoint alone.

    ``turn_page`` is called before each page of a listing.

    By itself huggingface_hub 2 waits for ever on listings, does not repeat `model_info`, and
    follows a ``Link`` to any host with the token.
    """
    # Read once, at import: an update is no agent's session, and telemetry costs a request.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import httpx2
    from huggingface_hub import HfApi, set_client_factory

    base = endpoint()
    here = addresses.origin(base)
    limits = httpx2.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)

    class Client(httpx2.Client):
        def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
            try:
                return super().send(request, **options)
            except httpx2.TimeoutException as error:
                raise TransientError(f"{base} stalled", cause=[str(error)]) from error
            except httpx2.TransportError as error:
                raise TransientError(f"no connection to {base}", cause=[str(error)]) from error

    def guard(request: httpx2.Request) -> None:
        if addresses.origin(str(request.url)) != here:
            raise NetworkError(
                f"{base} sends to another host: {request.url.host}",
                cause=["its listings are read from the endpoint alone"],
            )
        request.extensions["timeout"] = limits.as_dict()
        if request.url.path.endswith("/api/models"):
            turn_page()

    def judge(response: httpx2.Response) -> None:
        headers = {name.lower(): value for name, value in response.headers.items()}
        where = addresses.shown(str(response.url))
        failure = failure_of_status(response.status_code, headers, where, time.time())
        if failure is not None:
            raise failure
        if "link" in headers:
            # The next page is the endpoint's too; a mirror may pass on links to the Hub.
            response.headers["link"] = re.sub(r"<https?://[^/>]+", f"<{base}", headers["link"])

    set_client_factory(
        lambda: Client(
            follow_redirects=True,
            timeout=limits,
            event_hooks={"request": [guard], "response": [judge]},
        )
    )
    token = hub_token() if addresses.token_fits(base) else None
    return HfApi(
        endpoint=base,
        token=token or False,
        library_name="rkfetch",
        library_version=rkfetch_version(),
    )


@contextmanager
def _translated() -> Iterator[None]:
    """Turn what huggingface_hub raises into our errors."""
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

    try:
        yield
    except RepositoryNotFoundError as error:
        raise _MissingError from error
    except HfHubHTTPError as error:
        raise _of_status(error) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise NetworkError(
            f"{endpoint()} answered what no Hub answers",
            cause=[f"{type(error).__name__}: {str(error)[:200]}"],
            hint="check HF_ENDPOINT",
        ) from error


def _of_status(error: HfHubHTTPError) -> Exception:
    status = error.response.status_code
    where = addresses.shown(str(error.response.url))
    about_one = "/api/models/" in where
    # An anonymous client cannot tell a missing repository from a private one.
    if about_one and status in {401, 403, 404}:
        return _MissingError()
    if status in {401, 403}:
        return AuthenticationError(f"{where} answered {status}", hint="check HF_TOKEN, or unset it")
    return NetworkError(f"{where} answered {status}", cause=[error.server_message or str(error)])
