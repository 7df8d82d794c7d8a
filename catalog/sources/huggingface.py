"""List the builds on Hugging Face, or on a mirror of it, through huggingface_hub.

Tags alone miss most uploaders, and the search matches repository ids only, so several queries
are joined. A listing carries names; sizes and hashes cost one request for a repository. What all
revisions of it take together tells whether others than the default branch need be looked at.
"""

from __future__ import annotations

import re
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from rkfetch.catalog import border
from rkfetch.catalog.cards import LARGEST_CARD
from rkfetch.catalog.entries import Repository
from rkfetch.catalog.naming import CardFacts
from rkfetch.catalog.tokens import read_name
from rkfetch.registry.failures import TransientError
from rkfetch.registry.hub import endpoint

from . import Details, Entry, Listing, RemoteFile, Revision, is_build, listed
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
    from datetime import datetime

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
MOST_REVISIONS = 16
"""Commits of one repository that are looked at besides its default branch."""

_EXPANDED = [
    *("sha", "lastModified", "createdAt", "siblings", "gated", "private", "tags", "downloads"),
    *("likes", "library_name", "usedStorage"),
]
_SMALL = re.compile(r"\.(?:md|txt|json|ya?ml|py|sh|jinja|gitattributes|png|jpe?g)$|LICENSE")
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
        self._parsed: dict[str, Listing] = {}
        """Repositories that an earlier query found."""
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
        """Ask for one repository with the sizes and hashes of its files, in all revisions."""
        found = self._at(repo)
        if found is None:
            return None
        repository, files = found
        return Details(
            repository=repository,
            files=files,
            card=CardFacts(
                base_model=repository.base_model,
                tags=repository.tags,
                place=self.page(repository.repo, "README.md"),
            ),
            revisions=self._revisions(repository, files),
        )

    def page(self, repo: str, path: str, ref: str | None = None) -> str:
        """Return the address under which people look at a file of a branch or a tag."""
        return f"https://huggingface.co/{repo}/blob/{ref or 'main'}/{path}"

    def readme(self, repo: str, file: RemoteFile, revision: str | None) -> str | None:
        """Ask for the text of a README at a commit; None if it is not for us, or too large."""
        if (file.size_bytes or 0) > LARGEST_CARD:
            return None
        # Unlike /resolve/, this address answers a small file without a redirect.
        parts = [*repo.split("/"), "raw", revision or "main", *file.path.split("/")]
        url = f"{endpoint()}/{'/'.join(quote(part, safe='') for part in parts)}"
        reply = self._http.request("GET", url, max_bytes=LARGEST_CARD, waiting=self._waiting)
        return reply.body.decode("utf-8", "replace") if reply.status == 200 else None

    def _at(
        self, repo: str, revision: str | None = None
    ) -> tuple[Repository, tuple[RemoteFile, ...]] | None:
        def run() -> tuple[Repository, tuple[RemoteFile, ...]] | None:
            info = self._client().model_info(repo, revision=revision, files_metadata=True)
            return _repository(info), tuple(map(_file, info.siblings or ()))

        return self._ask(run, missing=None, repo=repo)

    def _revisions(
        self, repository: Repository, files: Iterable[RemoteFile]
    ) -> tuple[Revision, ...]:
        """Look at the branches and tags that hold something else than the default branch."""
        large = {f.sha256: f.size_bytes or 0 for f in files if f.sha256}
        if repository.storage_bytes is not None and repository.storage_bytes == sum(large.values()):
            return ()

        def refs() -> list[tuple[str, bool, str]]:
            found = self._client().list_repo_refs(repository.repo)
            both = [(ref, True) for ref in found.branches]
            both += [(ref, False) for ref in found.tags]
            return [
                (ref.name, is_branch, ref.target_commit)
                for ref, is_branch in both
                if border.commit(ref.target_commit) and border.ref(ref.name)
            ]

        none: list[tuple[str, bool, str]] = []
        listed = self._ask(refs, missing=none, repo=repository.repo)
        by_commit: dict[str, tuple[str, bool]] = {}
        for name, is_branch, commit in sorted(listed, key=lambda ref: _telling(ref[0])):
            if commit != repository.sha:
                by_commit.setdefault(commit, (name, is_branch))
        if len(by_commit) > MOST_REVISIONS:
            self._leave_out(
                f"{len(by_commit) - MOST_REVISIONS} revisions of {repository.repo}",
                f"of one repository {MOST_REVISIONS} are looked at",
            )
        chosen = list(by_commit.items())[:MOST_REVISIONS]
        return tuple(
            Revision(ref=name, is_branch=is_branch, commit=commit, files=found[1])
            for commit, (name, is_branch) in chosen
            if (found := self._at(repository.repo, commit)) is not None
        )

    def _query(self, query: Mapping[str, Any]) -> list[Listing]:
        """Run one query to its end; one that never ends is cut off."""

        def run() -> list[Listing]:
            self._pages = pages = _Pages(MOST_REPOSITORIES - self._listed)
            odd = 0
            with suppress(EndlessError):
                for item in pages_of_models(self._client(), {"expand": _EXPANDED, **query}):
                    listing = self._parsed.get(str(item.get("id"))) or _listing(item)
                    if listing is None:
                        odd += 1
                    else:
                        self._parsed[listing.repository.repo] = listing
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
                self._api = connect(self._turn_page, self._http.courtesy)
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
        repository = _repository(info)
        if item.get("siblings") is None:
            return Listing(repository=repository, builds=None)
        names = [_name(sibling) for sibling in info.siblings or ()]
        return Listing(
            repository=repository,
            builds=tuple(name for name in names if is_build(name)),
            hollow=bool(repository.storage_bytes) and all(map(_SMALL.search, names)),
        )
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
        blob=border.commit(sibling.blob_id),
    )


def _telling(ref: str) -> tuple[bool, str]:
    """Order names of branches and tags: first what names a version, a SoC or a quantisation."""
    return not read_name(ref, whole=False).attributes, ref


def _tagged(tags: Iterable[str], name: str) -> str | None:
    """Return what the tags say of a field of the card; None if nothing, or several things.

    The Hub makes ``license:mit`` and ``base_model:Qwen/Qwen3-4B`` of the front matter, and of the
    latter ``base_model:quantized:Qwen/Qwen3-4B`` as well.
    """
    values = {t.removeprefix(f"{name}:") for t in tags if t.startswith(f"{name}:")}
    plain = {value for value in values if ":" not in value}
    return plain.pop() if len(plain) == 1 else None


def _repository(info: ModelInfo) -> Repository:
    name: Any = info.id
    if not isinstance(name, str) or not _REPO.fullmatch(name):
        raise ValueError("its id is none")
    listed: Any = info.tags if isinstance(info.tags, list) else ()
    tags = [tag for tag in listed if border.text(tag)]
    return Repository(
        source=NAME,
        repo=name,
        sha=border.commit(info.sha),
        modified=_moment(info.last_modified),
        created=_moment(info.created_at),
        gated=bool(info.gated),
        private=bool(info.private),
        downloads=border.count(info.downloads),
        likes=border.count(info.likes),
        tags=tuple(tags[:MOST_TAGS]),
        library=border.text(info.library_name),
        license=_tagged(tags, "license"),
        base_model=_tagged(tags, "base_model"),
        storage_bytes=border.count(info.used_storage),
    )


def _moment(moment: datetime | None) -> str | None:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


ENTRY = Entry(
    name=NAME,
    summary="Hugging Face, or the mirror that HF_ENDPOINT names",
    update=listed(HuggingFace),
)
