"""What each address of the Hub and of its CDN answers."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlencode

from . import modelscope, shapes, writing
from .exchange import Reply, error_reply, json_reply
from .repos import hex_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .exchange import Request
    from .repos import Commit, Repo, RepoFile
    from .server import Hub

_SORTS = {
    "lastModified": lambda repo: repo.last_modified,
    "createdAt": lambda repo: repo.created,
    "downloads": lambda repo: repo.downloads,
    "likes": lambda repo: repo.likes,
    "trendingScore": lambda repo: repo.likes,
}
_SORTS |= {"last_modified": _SORTS["lastModified"], "created_at": _SORTS["createdAt"]}
_EXPIRED = (
    b'<?xml version="1.0" encoding="UTF-8"?>'
    b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
)


def answer(hub: Hub, request: Request) -> Reply:
    """Answer a request to any origin as a healthy one would."""
    if request.origin == "modelscope":
        return modelscope.answer(hub, request)
    if request.origin == "cdn":
        if request.method == "PUT":
            reply = writing.put(hub, request)
        else:
            reply = modelscope.answer_cdn(hub, request) or _cdn(hub, request)
        return _if_changed(request, reply)
    parts = request.raw_path.strip("/").split("/")
    quota = hub.quotas["resolvers" if "resolve" in parts[:4] else "api"]
    within, told = quota.spend()
    if not within:
        reply = error_reply(429, "We had to rate limit you.")
    else:
        reply = hub.tokens.refusal_of_token(request) or _route(hub, request, parts)
    reply.headers |= told
    return _if_changed(request, reply)


def _if_changed(request: Request, reply: Reply) -> Reply:
    """Answer 304 to who has the version already."""
    known = request.headers.get("if-none-match")
    if reply.status == 200 and known is not None and known == reply.headers.get("ETag"):
        return Reply(status=304, headers={"ETag": known}, repo=reply.repo, file=reply.file)
    return reply


def _route(hub: Hub, request: Request, parts: list[str]) -> Reply:
    match parts:
        case ["api", "models"]:
            return _list_models(hub, request)
        case ["api", "repos", "create"]:
            return writing.create(hub, request)
        case ["api", ("models" | "datasets") as kind, owner, name, *rest]:
            return _with_repo(hub, request, owner, name, rest, kind=kind)
        case ["api", "resolve-cache", ("models" | "datasets") as kind, owner, name, commit, *path]:
            rest = ["resolve-cache", commit, *path]
            return _with_repo(hub, request, owner, name, rest, kind=kind)
        case ["datasets", owner, git, "info", "lfs", "objects", "batch"]:
            name = git.removesuffix(".git")
            return _with_repo(hub, request, owner, name, ["lfs"], kind="datasets")
        case [owner, git, "info", "lfs", "objects", "batch"]:
            return _with_repo(hub, request, owner, git.removesuffix(".git"), ["lfs"])
        case ["datasets", owner, name, ("resolve" | "raw") as verb, revision, *path] if path:
            rest = [verb, revision, *path]
            return _with_repo(hub, request, owner, name, rest, kind="datasets")
        case ["api", "whoami-v2"]:
            return _whoami(hub, request)
        case ["api", "validate-yaml"]:
            return json_reply({"errors": [], "warnings": []})
        case ["api", "agent-harnesses"]:
            return json_reply({"harnesses": {}, "standardEnvVars": []})
        case [owner, name, ("resolve" | "raw") as verb, revision, *path] if path:
            return _with_repo(hub, request, owner, name, [verb, revision, *path])
        case [""]:
            return Reply(status=200, headers={"Content-Type": "text/html"}, body=b"<html></html>")
        case _:
            return error_reply(404, "Sorry, we can't find the page you are looking for.")


def _whoami(hub: Hub, request: Request) -> Reply:
    account = hub.tokens.account(request.token)
    if account is None:
        return error_reply(401, "Invalid username or password.")
    auth = {"type": "access_token", "accessToken": {"role": account.role}}
    return json_reply({"type": "user", "name": account.user, "orgs": [], "auth": auth})


def _with_repo(
    hub: Hub, request: Request, owner: str, name: str, rest: list[str], *, kind: str = "models"
) -> Reply:
    asked = f"{unquote(owner)}/{unquote(name)}"
    repo = hub.find_repo(asked) if kind == "models" else hub.find_dataset(asked)
    if repo is None or not hub.tokens.sees(request, repo):
        return hub.tokens.not_found(request)
    if repo.id != asked:
        # A renamed repository, or another letter case.
        moved = request.target.replace(f"{owner}/{name}", quote(repo.id), 1)
        return Reply(status=307, headers={"Location": moved}, repo=repo.id)
    reply = _repo_route(hub, request, repo, rest)
    reply.repo = repo.id
    return reply


def _repo_route(hub: Hub, request: Request, repo: Repo, rest: list[str]) -> Reply:
    if request.method == "POST" and rest and rest[0] in {"preupload", "commit", "lfs"}:
        return writing.write(hub, request, repo, rest)
    if rest == ["refs"]:
        return json_reply(shapes.refs(repo))
    if rest == ["auth-check"]:
        return hub.tokens.refusal_of_files(request, repo) or json_reply({})
    verb = rest[0] if rest else "revision"
    revision = unquote(rest[1]) if len(rest) > 1 else "main"
    commit = repo.at(revision)
    if commit is None:
        return error_reply(404, f"Invalid rev id: {revision}", code="RevisionNotFound")
    path = unquote("/".join(rest[2:]))
    query = request.query
    match verb:
        case "revision":
            blobs, expand = query.get("blobs") == ["true"], _expand(query)
            return json_reply(shapes.model_info(repo, commit, blobs=blobs, expand=expand))
        case "tree":
            return _tree(hub, request, commit, path)
        case "paths-info":
            form = request.form
            expand_paths = form.get("expand") == ["true"]
            return json_reply(shapes.paths_info(commit, form.get("paths", []), expand=expand_paths))
        case "commits":
            return json_reply(shapes.commits(repo, commit))
        case "resolve" | "raw" | "resolve-cache":
            return _file(hub, request, repo, commit, path, verb)
        case _:
            return error_reply(404, "Sorry, we can't find the page you are looking for.")


def _expand(query: dict[str, list[str]]) -> list[str]:
    return query.get("expand", []) + query.get("expand[]", [])


def _list_models(hub: Hub, request: Request) -> Reply:
    query = request.query
    repos = [
        repo for repo in hub.repos if hub.tokens.sees(request, repo) and _is_wanted(repo, query)
    ]
    sort = _SORTS.get(query.get("sort", ["trendingScore"])[0])
    if sort is None:
        return error_reply(400, '"sort" must be one of lastModified, createdAt, downloads, likes')
    repos.sort(key=sort, reverse=query.get("direction", ["-1"])[0] == "-1")
    repos = repos[int(query.get("skip", ["0"])[0]) :]
    full, expand = query.get("full") == ["true"], _expand(query)
    page = min(int(query.get("limit", [hub.page_size])[0]), hub.page_size)
    card = query.get("cardData") == ["true"]
    chosen, headers = _page(hub, request, repos, page)
    items = [shapes.listed(repo, full=full, card=card, expand=expand) for repo in chosen]
    reply = json_reply(items, headers=headers)
    reply.is_listing = True
    return reply


def _is_wanted(repo: Repo, query: dict[str, list[str]]) -> bool:
    tags = {tag.lower() for tag in repo.all_tags}
    filters = [part for value in query.get("filter", []) for part in value.split(",")]
    words = query.get("search", [""])[0].lower().split()
    authors = [author.lower() for author in query.get("author", [])]
    gated = query.get("gated")
    return (
        all(wanted.lower() in tags for wanted in filters)
        and all(word in repo.id.lower() for word in words)
        and (not authors or repo.author.lower() in authors)
        and (gated is None or (gated == ["true"]) == bool(repo.gated))
    )


def _page(
    hub: Hub, request: Request, items: Sequence[Any], size: int
) -> tuple[Sequence[Any], dict[str, str]]:
    """Cut out the page that the cursor names, and link to the next one."""
    query = request.query
    start = int(query.get("cursor", ["0"])[0].partition(".")[0])
    end = start + size
    if end >= len(items):
        return items[start:], {}
    query["cursor"] = [f"{end}.0"]
    url = f"{hub.endpoint}{request.raw_path}?{urlencode(query, doseq=True)}"
    return items[start:end], {"Link": f'<{url}>; rel="next"'}


def _tree(hub: Hub, request: Request, commit: Commit, folder: str) -> Reply:
    query = request.query
    expand = query.get("expand") == ["true"]
    recursive = query.get("recursive") == ["true"]
    entries = shapes.tree(commit, folder, recursive=recursive, expand=expand)
    if entries is None:
        return error_reply(404, f"{folder} does not exist on this revision", code="EntryNotFound")
    size = min(hub.page_size, 50 if expand else 1000)
    chosen, headers = _page(hub, request, entries, size)
    reply = json_reply(chosen, headers=headers)
    reply.is_listing = True
    return reply


def _file(hub: Hub, request: Request, repo: Repo, commit: Commit, path: str, verb: str) -> Reply:
    refusal = hub.tokens.refusal_of_files(request, repo)
    if refusal is not None:
        return refusal
    file = commit.files.get(path)
    if file is None:
        return error_reply(
            404, "Entry not found", code="EntryNotFound", headers={"X-Repo-Commit": commit.id}
        )
    common = {"X-Repo-Commit": commit.id, "Accept-Ranges": "bytes"}
    if verb == "raw":
        headers = {**common, "ETag": f'"{file.oid}"', "Content-Type": "text/plain; charset=utf-8"}
        return Reply(
            status=200, headers=headers, body=file.pointer if file.lfs else file.content, file=file
        )
    if verb == "resolve-cache":
        headers = {**common, "ETag": file.etag, "Content-Type": "text/plain; charset=utf-8"}
        return Reply(status=200, headers=headers, body=file.content, file=file, is_data=True)
    if not file.lfs:
        where = (
            f"/api/resolve-cache/{repo.kind}/{quote(repo.id)}/{commit.id}/{quote(path, safe='')}"
        )
        where += "?" + urlencode({request.raw_path: "", "etag": file.etag})
        return Reply(status=307, headers={**common, "Location": where}, file=file)
    return Reply(
        status=302,
        headers={
            **common,
            "Location": sign(hub, repo, file),
            "Cache-Control": "no-store",
            "X-Linked-Size": str(file.size),
            "X-Linked-ETag": f'"{file.sha256}"',
            "Content-Type": "text/plain; charset=utf-8",
        },
        body=b"Found. Redirecting to the CDN",
        file=file,
    )


def sign(hub: Hub, repo: Repo, file: RepoFile) -> str:
    """Make the URL at which the CDN serves a file for a while."""
    blob = hex_of(f"xet:{file.sha256}", 64)
    hub.blobs[blob] = (repo, file)
    path = f"/xet-bridge-us/{repo.hub_id}/{blob}"
    expires = int(time.time() + hub.url_lifetime_s)
    name = quote(file.path.rpartition("/")[2], safe="", errors="replace")
    query = {
        "response-content-disposition": f"inline; filename*=UTF-8''{name}",
        "Expires": expires,
        "Signature": _signature(hub, path, str(expires)),
    }
    return f"{hub.cdn}{path}?{urlencode(query)}"


def _signature(hub: Hub, path: str, expires: str) -> str:
    return hmac.new(hub.secret, f"{path}:{expires}".encode(), hashlib.sha256).hexdigest()


def _cdn(hub: Hub, request: Request) -> Reply:
    query = request.query
    expires = query.get("Expires", ["0"])[0]
    signature = query.get("Signature", [""])[0]
    blob = request.raw_path.rpartition("/")[2]
    repo, file = hub.blobs.get(blob) or (None, None)
    repo_id = repo.id if repo else None
    good = _signature(hub, request.raw_path, expires)
    if (
        file is None
        or re.fullmatch(r"\d+", expires) is None
        or int(expires) < time.time()
        or not hmac.compare_digest(signature, good)
    ):
        headers = {"Content-Type": "application/xml"}
        return Reply(status=403, headers=headers, body=_EXPIRED, repo=repo_id, file=file)
    return Reply(
        status=200,
        headers={
            "Content-Type": "application/octet-stream",
            "Accept-Ranges": "bytes",
            "ETag": file.etag,
            "Last-Modified": "Thu, 01 Oct 2026 12:00:00 GMT",
            "Cache-Control": "public, max-age=31536000",
        },
        body=file.content,
        is_data=True,
        repo=repo_id,
        file=file,
    )
