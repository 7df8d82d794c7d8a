"""List the builds on Hugging Face, or on a mirror of it, through huggingface_hub.

Tags alone miss most uploaders, and the search matches repository ids only, so several queries
are joined. A listing carries names; sizes and hashes cost one request for a repository.
"""

from __future__ import annotations

import re
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from rkfetch.catalog import border
from rkfetch.catalog.naming import CardFacts
from rkfetch.catalog.writer import Repository
from rkfetch.registry.failures import TransientError
from rkfetch.registry.hub import endpoint, resolve_url

from . import Details, Listing, RemoteFile, is_build
from .hub_client import (
    EndlessError,
    MissingError,
    connect,
    disconnect,
    pages_of_models,
    translated,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import ModelInfo
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
MOST_REPOSITORIES = 50_000
"""Repositories of all queries together; the largest true listing has some hundreds."""
MOST_TAGS = 100
LARGEST_CARD = 128 << 10

_EXPANDED = ["sha", "lastModified", "siblings", "gated", "private", "tags", "downloads", "likes"]
_REPO = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9._-]{0,95}/)?[A-Za-z0-9_][A-Za-z0-9._-]{0,95}")


class HuggingFace:
    """The Hub at ``HF_ENDPOINT``, seen with the user's token; one at a time in a process.

    Raises:
        UsageError: ``HF_ENDPOINT`` is no address.
    """

    name = NAME

    def __init__(
        self, http: Http, *, waiting: Callable[[str, float], object] | None = None
    ) -> None:
        endpoint()
        self._http = http
        self._waiting = waiting
        self._api: HfApi | None = None
        self._lock = threading.Lock()
        self._pages = _Pages(0)
        self._listed = 0
        self.left_out: list[tuple[str, str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._api is not None:
            disconnect()

    def listings(self) -> Iterator[Listing]:
        """List every repository that the queries find, each once."""
        queries = [{"filter": [tag]} for tag in TAGS] + [{"search": word} for word in WORDS]
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

        def run() -> tuple[ModelInfo, Repository, tuple[RemoteFile, ...]] | None:
            info = self._client().model_info(repo, files_metadata=True)
            return info, _repository(info), tuple(map(_file, info.siblings or ()))

        found = self._ask(run, missing=None, repo=repo)
        if found is None:
            return None
        info, repository, files = found
        return Details(repository=repository, files=files, card=self._card(info, repository, files))

    def _card(
        self, info: ModelInfo, repository: Repository, files: Iterable[RemoteFile]
    ) -> CardFacts:
        readme = next((f for f in files if f.path == "README.md"), None)
        text = ""
        if readme is not None and (readme.size_bytes or 0) <= LARGEST_CARD:
            url = resolve_url(repository.repo, readme.path, repository.sha)
            reply = self._http.request("GET", url, max_bytes=LARGEST_CARD)
            text = reply.body.decode("utf-8", "replace") if reply.status == 200 else ""
        return CardFacts(base_model=_base_model(info), tags=repository.tags, text=text)

    def _query(self, query: Mapping[str, Any]) -> list[Listing]:
        """Run one query to its end; one that never ends is cut off."""

        def run() -> list[Listing]:
            self._pages = pages = _Pages(MOST_REPOSITORIES - self._listed)
            odd = 0
            with suppress(EndlessError):
                for item in pages_of_models(self._client(), {"expand": _EXPANDED, **query}):
                    listing = _listing(item)
                    if listing is None:
                        odd += 1
                    else:
                        pages.add(listing)
            if odd:
                self._leave_out(
                    f"{odd} repositories of a listing", "they are described as no Hub does"
                )
            return list(pages.found.values())

        found: list[Listing] = self._ask(run, missing=[])
        self._listed += len(found)
        if self._listed >= MOST_REPOSITORIES:
            self._leave_out(
                "the rest of the listings", f"they name more than {MOST_REPOSITORIES} repositories"
            )
        return found

    def _leave_out(self, what: str, why: str) -> None:
        if (what, why) not in self.left_out:
            self.left_out.append((what, why))

    def _ask(self, call: Callable[[], T], *, missing: T, repo: str | None = None) -> T:
        """Call the Hub's client, again where that may help; ``missing`` stands for a 404."""
        retries = self._http.retries(waiting=self._waiting)
        while True:
            try:
                with translated(repo):
                    return call()
            except TransientError as error:  # noqa: PERF203 - trying again is the point
                retries.pause(error)
            except MissingError:
                return missing

    def _turn_page(self) -> None:
        self._pages.turn()

    def _client(self) -> HfApi:
        with self._lock:
            if self._api is None:
                self._api = connect(self._turn_page)
            return self._api


class _Pages:
    """What one query found, page by page."""

    def __init__(self, most: int) -> None:
        self.found: dict[str, Listing] = {}
        self._most = most
        self._turned = self._barren = self._before = 0

    def add(self, listing: Listing) -> None:
        """Take in one repository; raise if there are too many."""
        if len(self.found) >= self._most:
            raise EndlessError
        self.found[listing.repository.repo] = listing

    def turn(self) -> None:
        """Go on to the next page; raise if that would never end."""
        self._barren = 0 if len(self.found) > self._before else self._barren + 1
        self._before = len(self.found)
        self._turned += 1
        if self._barren > MOST_BARREN or self._turned > MOST_PAGES:
            raise EndlessError


def _listing(item: dict[str, Any]) -> Listing | None:
    """Read one repository of a listing; None for one that is described as no Hub does."""
    from huggingface_hub import ModelInfo

    try:
        info = ModelInfo(**item)  # type: ignore[no-untyped-call]
        names = None if item.get("siblings") is None else map(_name, info.siblings or ())
        builds = None if names is None else tuple(name for name in names if is_build(name))
        return Listing(repository=_repository(info), builds=builds)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _name(sibling: Any) -> str:
    if not isinstance(sibling.rfilename, str):
        raise TypeError("a file of it has no name")
    return sibling.rfilename


def _file(sibling: Any) -> RemoteFile:
    lfs = sibling.lfs
    return RemoteFile(
        path=_name(sibling),
        size_bytes=border.count(lfs.size if lfs else sibling.size),
        sha256=border.digest(lfs.sha256) if lfs else None,
    )


def _base_model(info: ModelInfo) -> str | None:
    """Return the model that the card says it is a build of; None if it names none or several."""
    named = getattr(info.card_data, "base_model", None)
    if isinstance(named, list) and len(named) == 1:
        named = named[0]
    return border.text(named)


def _repository(info: ModelInfo) -> Repository:
    name: Any = info.id
    if not isinstance(name, str) or not _REPO.fullmatch(name):
        raise ValueError("its id is none")
    modified = info.last_modified
    tags: Any = info.tags if isinstance(info.tags, list) else ()
    return Repository(
        source=NAME,
        repo=name,
        sha=border.commit(info.sha),
        modified=modified.strftime("%Y-%m-%dT%H:%M:%SZ") if modified else None,
        gated=bool(info.gated),
        private=bool(info.private),
        downloads=border.count(info.downloads),
        likes=border.count(info.likes),
        tags=tuple(tag for tag in tags[:MOST_TAGS] if border.text(tag)),
    )
