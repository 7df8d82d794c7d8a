"""The loopback ModelScope: a third origin of the Hub that behaves like www.modelscope.cn.

What it does was put together from ModelScope's own client (modelscope_hub) and from what others
measured: a request for a part is answered with status 200 and a true ``Content-Range`` unless the
CDN answers it (modelscope_hub issue 50), a file that is not there with 200 and an error in JSON, a
revision that is not there with an empty list, more than 50 entries a page with 403.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlencode

from .exchange import Reply, json_reply
from .repos import Repo

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .exchange import Request
    from .repos import Commit, RepoFile
    from .server import Hub

MOST_A_PAGE = 50
FARTHEST = 3000
"""A page number times a page's size may not be more; neither may the files of one listing."""
PAGE_LIMIT_MESSAGE = "page_size or page_number is beyond the limit"
NO_REPOSITORY = 10010205001
NO_FILE = 10990101007


class ModelScope:
    """The repositories of ModelScope, and how it is to behave."""

    def __init__(self) -> None:
        self.url = ""
        """Its base URL: what MODELSCOPE_ENDPOINT is for."""
        self.is_fuzzy = False
        """A search goes on with what has nothing to do with it."""
        self.by_gateway: set[str] = set()
        """Names of large files that are not left to the CDN."""
        self.titles: dict[str, str] = {}
        """Names for people, by repository."""
        self.private: set[str] = set()
        self._repos: dict[str, Repo] = {}

    def add_repo(
        self,
        repo_id: str,
        *,
        tags: Iterable[str] = (),
        card: str = "",
        gated: bool = False,
        title: str = "",
        downloads: int = 0,
        likes: int = 0,
    ) -> Repo:
        """Add a model repository; its default branch is ``master`` for who asks."""
        repo = Repo(
            id=repo_id,
            own_tags=tuple(tags),
            gated="auto" if gated else False,
            downloads=downloads,
            likes=likes,
        )
        if card:
            repo.add_file("README.md", card.encode(), lfs=False)
        self._repos[repo_id.lower()] = repo
        self.titles[repo_id] = title
        return repo

    def remove_repo(self, repo_id: str) -> None:
        """Delete a repository."""
        del self._repos[repo_id.lower()]

    def find(self, owner: str, name: str) -> Repo | None:
        """The repository of this name that everybody may see."""
        repo = self._repos.get(f"{unquote(owner)}/{unquote(name)}".lower())
        return None if repo is None or repo.id in self.private else repo

    def listed(self) -> list[Repo]:
        """What everybody may see, in the order of adding."""
        return [repo for repo in self._repos.values() if repo.id not in self.private]


def answer(hub: Hub, request: Request) -> Reply:
    """Answer a request to ModelScope itself."""
    parts = request.raw_path.strip("/").split("/")
    match parts:
        case ["openapi", "v1", "models"]:
            return _list_models(hub, request)
        case ["api", "v1", "models", owner, name, *rest]:
            return _with_repo(hub, request, owner, name, rest)
        case ["models", owner, name, "resolve", revision, *path] if path:
            return _with_repo(hub, request, owner, name, ["resolve", revision, *path])
        case _:
            return Reply(status=404, body=b"404 page not found")


def answer_cdn(hub: Hub, request: Request) -> Reply | None:
    """Answer a request to the CDN for one of ModelScope's files; None if it is for none."""
    if not request.raw_path.startswith("/prod/lfs-objects/"):
        return None
    expires, _, signature = request.query.get("auth_key", [""])[0].partition("-")
    repo, file = hub.blobs.get(request.raw_path) or (None, None)
    if file is None or repo is None or signature != _signature(hub, request.raw_path, expires):
        return Reply(status=403, body=b"<Error><Code>AccessDenied</Code></Error>")
    if int(expires) < time.time():
        return Reply(status=403, body=b"<Error><Code>AccessDenied</Code></Error>", file=file)
    return Reply(
        status=200,
        headers={
            "Content-Type": "application/octet-stream",
            "Accept-Ranges": "bytes",
            "ETag": f'"{hashlib.md5(file.content, usedforsecurity=False).hexdigest().upper()}"',
            "X-Linked-ETag": file.sha256,
        },
        body=file.content,
        is_data=True,
        repo=repo.id,
        file=file,
    )


def _signature(hub: Hub, path: str, expires: str) -> str:
    digest = hmac.new(hub.secret, f"{path}:{expires}".encode(), hashlib.md5)
    return f"0-0-{digest.hexdigest()}"


def _data(value: Any) -> Reply:
    body = {"Code": 200, "Data": value, "Message": "success", "RequestId": "r", "Success": True}
    return json_reply(body)


def _failed(status: int, code: int, message: str) -> Reply:
    body = {"Code": code, "Message": message, "RequestId": "r", "Success": False}
    return json_reply(body, status=status)


# --- listings ------------------------------------------------------------------------------------


def _list_models(hub: Hub, request: Request) -> Reply:
    query = {name: values[0] for name, values in request.query.items()}
    page, size = int(query.get("page_number", 1)), int(query.get("page_size", 10))
    if size > MOST_A_PAGE or page * size > FARTHEST:
        quota = {"success": False, "code": "QuotaLimitExceed", "message": PAGE_LIMIT_MESSAGE}
        return json_reply(quota, status=403)
    repos = [repo for repo in hub.modelscope.listed() if _is_of(repo, query)]
    word = query.get("search", "").lower()
    titles = hub.modelscope.titles
    found = [r for r in repos if word in r.id.lower() or word in titles[r.id].lower()]
    if hub.modelscope.is_fuzzy:
        found += [repo for repo in repos if repo not in found]
    chosen = found[(page - 1) * size : page * size]
    listed = {
        "models": [_listed(repo, titles[repo.id]) for repo in chosen],
        "total_count": len(found),
        "page_number": page,
        "page_size": size,
    }
    reply = json_reply({"success": True, "request_id": "r", "data": listed})
    reply.is_listing = True
    return reply


def _is_of(repo: Repo, query: dict[str, str]) -> bool:
    owner = query.get("owner")
    tag = query.get("filter.custom_tag")
    return (owner is None or repo.author.lower() == owner.lower()) and (
        tag is None or tag in repo.own_tags
    )


def _listed(repo: Repo, title: str) -> dict[str, Any]:
    return {
        "id": repo.id,
        "display_name": title or repo.id.partition("/")[2],
        "tags": list(repo.own_tags),
        "tasks": ["text-generation"],
        "license": "apache-2.0",
        "downloads": repo.downloads,
        "likes": repo.likes,
        "created_at": repo.created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "last_modified": repo.last_modified.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "private": False,
        "gated": bool(repo.gated),
        "login_required": False,
    }


# --- one repository ------------------------------------------------------------------------------


def _with_repo(hub: Hub, request: Request, owner: str, name: str, rest: list[str]) -> Reply:
    repo = hub.modelscope.find(owner, name)
    if repo is None:
        return _failed(404, NO_REPOSITORY, "获取模型信息失败，信息：record not found")  # noqa: RUF001
    reply = _repo_route(hub, request, repo, rest)
    reply.repo = repo.id
    return reply


def _repo_route(hub: Hub, request: Request, repo: Repo, rest: list[str]) -> Reply:
    query = request.query
    revision = unquote(rest[1]) if rest[:1] == ["resolve"] else query.get("Revision", ["master"])[0]
    commit = repo.at("main" if revision == "master" else revision)
    match rest:
        case ["repo", "files"]:
            return _files(repo, commit, query)
        case ["revisions"]:
            return _data(_revisions(repo))
        case ["repo"]:
            return _file(hub, request, repo, commit, query.get("FilePath", [""])[0])
        case ["resolve", _, *path]:
            return _file(hub, request, repo, commit, unquote("/".join(path)))
        case _:
            return Reply(status=404, body=b"404 page not found")


def _files(repo: Repo, commit: Commit | None, query: dict[str, list[str]]) -> Reply:
    if commit is None:
        return _data({"Files": None, "IsVisual": 0, "LatestCommitter": None})
    entries = [_entry(repo, commit, file) for file in commit.files.values()]
    folders = {path.rpartition("/")[0] for path in commit.files} - {""}
    entries += [{"Path": f, "Name": f, "Type": "tree", "Size": 0} for f in sorted(folders)]
    if query.get("Recursive", ["False"])[0].lower() != "true":
        entries = [entry for entry in entries if "/" not in entry["Path"]]
    latest = {"Id": "", "ShortId": commit.id[:8], "Name": repo.author}
    return _data({"Files": entries[:FARTHEST], "IsVisual": 0, "LatestCommitter": latest})


def _entry(repo: Repo, commit: Commit, file: RepoFile) -> dict[str, Any]:
    since = commit
    for older in repo.history(commit):
        if older.files.get(file.path) is not file:
            break
        since = older
    return {
        "Path": file.path,
        "Name": file.path.rpartition("/")[2],
        "Type": "blob",
        "Size": file.size,
        "Sha256": file.sha256,
        "IsLFS": file.lfs,
        "Revision": since.id,
        "CommittedDate": int(since.date.timestamp()),
    }


def _revisions(repo: Repo) -> dict[str, Any]:
    def named(commits: Sequence[tuple[str, Commit]]) -> list[dict[str, Any]]:
        return [{"Revision": n, "CreatedAt": int(c.date.timestamp())} for n, c in commits]

    branches = [("master" if n == "main" else n, c) for n, c in repo.branches.items()]
    return {"RevisionMap": {"Branches": named(branches), "Tags": named(list(repo.tags.items()))}}


# --- content -------------------------------------------------------------------------------------


def _file(hub: Hub, request: Request, repo: Repo, commit: Commit | None, path: str) -> Reply:
    if request.method == "HEAD":  # nobody is known to have asked, so nothing may rely on it
        return Reply(status=404, body=b"404 page not found")
    if repo.gated and hub.tokens.account(request.token) is None:
        return _failed(403, 10010101004, "没有权限")
    file = commit.files.get(path) if commit else None
    if file is None:
        return _failed(200, NO_FILE, "获取模型文件失败，文件内容为空")  # noqa: RUF001
    if file.lfs and path not in hub.modelscope.by_gateway:
        return Reply(status=302, headers={"Location": _sign(hub, repo, file)}, file=file)
    return Reply(
        status=200,
        headers={"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"},
        body=file.content,
        is_data=True,
        part_status=200,
        file=file,
    )


def _sign(hub: Hub, repo: Repo, file: RepoFile) -> str:
    sha256 = file.sha256
    path = f"/prod/lfs-objects/{sha256[:2]}/{sha256[2:4]}/{sha256[4:]}"
    hub.blobs[path] = (repo, file)
    expires = str(int(time.time() + hub.url_lifetime_s))
    query = {
        "filename": file.path.rpartition("/")[2],
        "namespace": repo.author,
        "repository": repo.id.partition("/")[2],
        "revision": "master",
        "tag": "model",
        "auth_key": f"{expires}-{_signature(hub, path, expires)}",
    }
    return f"{hub.cdn}{path}?{urlencode(query, quote_via=quote)}"
