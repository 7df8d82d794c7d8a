"""List the builds on ModelScope through its HTTP API, with our own client.

ModelScope's package is too heavy for a board: modelscope 1.40.2 has 2,910 files, 22.7 MB. Its part
for the hub alone, modelscope-hub 0.5.1 (0.3 MB), calls itself alpha, brings a third HTTP stack and
reads answers of any size; what is asked here are four addresses. They are taken from that package.

A listing tells neither the files nor the commit of a repository, but when it was last modified: as
long as that stays the same, nothing of it is asked for. A search is fuzzy, so that only those of
its results count that have a word of ours in a name or tag.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from rkfetch.catalog import border
from rkfetch.catalog.cards import LARGEST_CARD
from rkfetch.catalog.entries import Repository
from rkfetch.catalog.naming import CardFacts
from rkfetch.registry import addresses
from rkfetch.registry.errors import AuthenticationError, IntegrityError, NetworkError
from rkfetch.registry.hub import modelscope_endpoint, resolve_url

from . import Details, Entry, Listing, RemoteFile, Revision, is_build, listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from typing_extensions import Self

    from rkfetch.registry.http import Http

NAME = "modelscope"
WORDS = ("rkllm", "rk3576", "rk3588", "rk3562", "rv1126b")
PAGE = 50
"""Repositories of one page; ModelScope refuses more."""
FARTHEST = 3000
"""How far a listing can be read, in repositories, and how many files of one it tells."""
MOST_BARREN = 3
"""Pages in a row that bring nothing of ours, until the rest of a search is left alone."""
MOST_TAGS = 100
MOST_REVISIONS = 20
LARGEST_ANSWER = 32 << 20

_REPO = re.compile(r"[A-Za-z0-9_][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,127}", re.ASCII)
_FRONT_MATTER = re.compile(r"---\r?\n(.*?)\r?\n---", re.DOTALL)
_BASE_MODEL = re.compile(
    r"^base_model:[ \t]*(?:\r?\n[ \t]*-[ \t]*)?([^\s,\[\]]+)[ \t]*$(?!\r?\n[ \t]*-)", re.MULTILINE
)
_HINT = "check the network; MODELSCOPE_ENDPOINT names another address of ModelScope"


class ModelScope:
    """ModelScope at ``MODELSCOPE_ENDPOINT``, as everybody sees it.

    Raises:
        UsageError: ``MODELSCOPE_ENDPOINT`` is no address.
    """

    name = NAME

    def __init__(
        self, http: Http, *, waiting: Callable[[str, float], object] | None = None
    ) -> None:
        self._base = modelscope_endpoint()
        self._http = http
        self._waiting = waiting
        self._seen: dict[str, Repository] = {}
        self._readmes: dict[tuple[str, str], str] = {}
        """What was read of cards for their front matter, until somebody wants their text."""
        self.left_out: list[tuple[str, str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """There is nothing to let go of: the client is the caller's."""

    def listings(self) -> Iterator[Listing]:
        """List every repository that the searches find, each once."""
        queries = [{"search": word} for word in WORDS] + [{"filter.custom_tag": WORDS[0]}]
        for query in queries:
            for listing in self._query(query, wanted=_has_our_words, most_barren=MOST_BARREN):
                name = listing.repository.repo.casefold()
                if name not in self._seen:
                    self._seen[name] = listing.repository
                    yield listing

    def listings_of(self, owner: str) -> Iterator[Listing]:
        """List the repositories of one owner."""
        for listing in self._query({"owner": owner}):
            self._seen.setdefault(listing.repository.repo.casefold(), listing.repository)
            yield listing

    def details(self, repo: str) -> Details | None:
        """Ask for the files of one repository with their sizes and hashes, and read its card.

        Where the default branch has no build, the other branches and the tags are looked into.
        """
        files = self._files(repo)
        if files is None:
            return None
        known = self._seen.get(repo.casefold()) or Repository(source=NAME, repo=repo)
        base_model = _base_model(self._front(repo, files))
        revisions = () if any(is_build(f.path) for f in files) else self._revisions(repo)
        return Details(
            repository=replace(known, base_model=base_model),
            files=files,
            card=CardFacts(
                base_model=base_model, tags=known.tags, place=self.page(repo, "README.md")
            ),
            revisions=tuple(revisions),
        )

    def readme(self, repo: str, file: RemoteFile, revision: str | None) -> str | None:
        """Ask for the text of a README at a commit; None if it is not for us, or too large."""
        known = self._readmes.pop((repo.casefold(), file.path), None)
        if known is not None:
            return known
        if (file.size_bytes or 0) > LARGEST_CARD:
            return None
        url = resolve_url(repo, file.path, revision, source=NAME)
        reply = self._http.request(
            "GET", url, max_bytes=LARGEST_CARD, waiting=self._waiting, hint=_HINT
        )
        return reply.body.decode("utf-8", "replace") if reply.status == 200 else None

    def page(self, repo: str, path: str, ref: str | None = None) -> str:
        """Return the address under which people look at a file of a branch or a tag."""
        return f"https://www.modelscope.cn/models/{repo}/file/view/{ref or 'master'}/{path}"

    # --- what is asked --------------------------------------------------------------------------

    def _query(
        self,
        query: dict[str, str],
        *,
        wanted: Callable[[Any], bool] = bool,
        most_barren: int = FARTHEST,
    ) -> Iterator[Listing]:
        """Read a listing page by page, to its end or until nothing of ours comes any more."""
        barren = odd = 0
        for page in range(1, FARTHEST // PAGE + 1):
            items, total = self._page({**query, "page_number": str(page), "page_size": str(PAGE)})
            ours = [item for item in items if wanted(item)]
            found = [listing for listing in map(_listing, ours) if listing is not None]
            odd += len(ours) - len(found)
            yield from found
            barren = 0 if found else barren + 1
            if len(items) < PAGE or page * PAGE >= total or barren >= most_barren:
                break
        else:
            words = " ".join(query.values())
            self._leave_out(f"what is behind the first {FARTHEST} of '{words}'", "it is not told")
        if odd:
            self._leave_out(
                f"{odd} repositories of a listing", "they are described as ModelScope does not"
            )

    def _page(self, query: dict[str, str]) -> tuple[list[Any], int]:
        answer = self._ask(f"/openapi/v1/models?{urlencode(query)}")
        data = answer.get("data") if isinstance(answer, dict) else None
        items = data.get("models") if isinstance(data, dict) else None
        if not isinstance(data, dict) or not isinstance(items, list):
            raise NetworkError(
                f"{self._base} answered what ModelScope does not answer",
                cause=[_said(answer)],
                hint=_HINT,
            )
        return items, border.count(data.get("total_count")) or 0

    def _files(self, repo: str, revision: str | None = None) -> tuple[RemoteFile, ...] | None:
        """List the files of a repository, at its default branch or another revision of it."""
        query = {"Recursive": "True"} | ({"Revision": revision} if revision else {})
        data = self._about(repo, f"repo/files?{urlencode(query)}")
        if data is None:
            return None
        entries = data.get("Files")
        if entries is None:  # a revision that is not there
            return ()
        if not isinstance(entries, list):
            raise _nonsense(repo, "its files are no list")
        if len(entries) >= FARTHEST:
            raise _nonsense(repo, f"it has more files than the {FARTHEST} that ModelScope tells")
        return tuple(_file(repo, e) for e in entries if _is_file(e))

    def _revisions(self, repo: str) -> Iterator[Revision]:
        """Look at the tags and branches of a repository other than its default branch."""
        data = self._about(repo, "revisions") or {}
        named = data.get("RevisionMap")
        kinds = ("Tags", "Branches")
        lists = [named.get(kind) for kind in kinds] if isinstance(named, dict) else []
        seen = {"master"}
        for is_branch, entries in enumerate(lists):
            for item in entries if isinstance(entries, list) else ():
                ref = border.ref(item.get("Revision")) if isinstance(item, dict) else None
                if ref is not None and ref not in seen and len(seen) <= MOST_REVISIONS:
                    seen.add(ref)
                    files = self._files(repo, ref) or ()
                    yield Revision(ref=ref, is_branch=bool(is_branch), commit="", files=files)

    def _front(self, repo: str, files: Iterable[RemoteFile]) -> str:
        """Return the card of a repository, whose front matter no other answer tells."""
        readme = next((file for file in files if file.path == "README.md"), None)
        text = self.readme(repo, readme, readme.revision) if readme is not None else None
        if text is None:
            return ""
        self._readmes[repo.casefold(), "README.md"] = text
        return text

    def _about(self, repo: str, what: str) -> dict[str, Any] | None:
        """Ask about one repository; None if there is none, or none for us."""
        answer = self._ask(f"/api/v1/models/{quote(repo)}/{what}", repo=repo)
        if answer is None:
            return None
        data = answer.get("Data") if isinstance(answer, dict) else None
        if not isinstance(data, dict):
            raise _nonsense(repo, _said(answer))
        return data

    def _ask(self, path: str, *, repo: str | None = None) -> Any:
        """Return what an address answers; None where ``repo`` is not there, or not for us.

        Raises:
            NetworkError, AuthenticationError: it could not be asked.
            IntegrityError: the answer about a repository is no JSON.
        """
        url = f"{self._base}{path}"
        reply = self._http.request(
            "GET",
            url,
            follow="same-origin",
            max_bytes=LARGEST_ANSWER,
            waiting=self._waiting,
            hint=_HINT,
        )
        if repo is not None and reply.status in {401, 403, 404}:
            return None
        try:
            answer = json.loads(reply.body)
        except (ValueError, RecursionError) as error:
            answer = f"{type(error).__name__}: {str(error)[:200]}"
            if repo is not None and reply.status == 200:
                raise _nonsense(repo, answer) from error
        if reply.status == 200:
            return answer
        where = addresses.shown(url)
        kind = AuthenticationError if reply.status == 401 else NetworkError
        raise kind(f"{where} answered {reply.status}", cause=[_said(answer)], hint=_HINT)

    def _leave_out(self, what: str, why: str) -> None:
        if (what, why) not in self.left_out:
            self.left_out.append((what, why))


# --- what is answered ----------------------------------------------------------------------------


def _has_our_words(item: Any) -> bool:
    """Tell whether a repository of a listing is one of those that were looked for."""
    if not isinstance(item, dict):
        return True  # it is counted among the odd ones
    tags = item.get("tags")
    names = [item.get("id"), item.get("display_name"), *(tags if isinstance(tags, list) else ())]
    said = " ".join(name for name in names if isinstance(name, str)).lower()
    return any(word in said for word in WORDS)


def _listing(item: Any) -> Listing | None:
    """Read one repository of a listing; None for one that is described as ModelScope does not."""
    name = item.get("id") if isinstance(item, dict) else None
    if not isinstance(name, str) or not _REPO.fullmatch(name) or ".." in name:
        return None
    modified = border.text(item.get("last_modified"))
    tags = item.get("tags")
    repository = Repository(
        source=NAME,
        repo=name,
        sha=modified,
        modified=modified,
        gated=bool(item.get("gated") or item.get("login_required")),
        downloads=border.count(item.get("downloads")),
        likes=border.count(item.get("likes")),
        tags=tuple(t for t in tags[:MOST_TAGS] if border.text(t)) if isinstance(tags, list) else (),
    )
    return Listing(repository=repository, builds=None)


def _is_file(entry: Any) -> bool:
    return not (isinstance(entry, dict) and entry.get("Type") == "tree")


def _file(repo: str, entry: Any) -> RemoteFile:
    path = entry.get("Path") if isinstance(entry, dict) else None
    if not isinstance(path, str):
        raise _nonsense(repo, "a file of it has no name")
    return RemoteFile(
        path=path,
        size_bytes=border.count(entry.get("Size")),
        sha256=border.digest(entry.get("Sha256")),
        revision=border.commit(entry.get("Revision")),
    )


def _base_model(card: str) -> str | None:
    """Return the model that a card's front matter names; None if it names none or several."""
    front = _FRONT_MATTER.match(card.lstrip("\ufeff"))
    named = _BASE_MODEL.search(front[1]) if front else None
    return border.text(named[1].strip("'\"")) if named else None


def _nonsense(repo: str, why: str) -> IntegrityError:
    return IntegrityError(f"{repo} is described as ModelScope does not", cause=[why])


def _said(answer: Any) -> str:
    """Return what an answer says went wrong."""
    if isinstance(answer, dict):
        named = [answer.get(key) for key in ("Message", "message", "Code", "code")]
        return " ".join(str(text)[:200] for text in named if text) or "it says nothing"
    return str(answer)[:200]


ENTRY = Entry(
    name=NAME,
    summary="ModelScope, at MODELSCOPE_ENDPOINT (www.modelscope.cn)",
    update=listed(ModelScope),
)
