"""What changes repositories: creating them, uploading content, committing.

As huggingface_hub's plain (not Xet) way goes: ``preupload`` says which files are for Git LFS, the
LFS batch tells where their content is to be put, and a commit names it by its digest.
"""

from __future__ import annotations

import base64
import hashlib
import json
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from .exchange import Reply, error_reply, json_reply
from .repos import RepoFile, hex_of

if TYPE_CHECKING:
    from .exchange import Request
    from .repos import Repo
    from .server import Hub


def create(hub: Hub, request: Request) -> Reply:
    """Make a repository that belongs to the user."""
    account = hub.tokens.account(request.token)
    if account is None:
        return error_reply(401, "Invalid username or password.")
    what = json.loads(request.body)
    kind = what.get("type", "model")
    repo_id = f"{what.get('organization') or account.user}/{what['name']}"
    url = f"{hub.endpoint}/{'datasets/' if kind == 'dataset' else ''}{repo_id}"
    found = hub.find_dataset(repo_id) if kind == "dataset" else hub.find_repo(repo_id)
    if found is not None:
        return json_reply(
            {"error": f"You already created this {kind} repo", "url": url}, status=409
        )
    if account.user != repo_id.partition("/")[0]:
        return error_reply(
            403, f"You don't have the rights to create a {kind} under this namespace"
        )
    if kind == "dataset":
        hub.add_dataset(repo_id)
    else:
        hub.add_repo(repo_id, private=what.get("visibility") == "private")
    return json_reply({"url": url, "name": repo_id, "id": hex_of(repo_id, 24)})


def write(hub: Hub, request: Request, repo: Repo, rest: list[str]) -> Reply:
    """Answer what changes a repository, to its owner alone."""
    account = hub.tokens.account(request.token)
    if account is None:
        return error_reply(401, "Invalid username or password.")
    if account.user != repo.author:
        return error_reply(403, "Forbidden: you must use a write token to upload to a repository.")
    match rest:
        case ["preupload", _]:
            return _preupload(repo, json.loads(request.body))
        case ["commit", branch]:
            return _commit(hub, repo, branch, request.body)
        case ["lfs"]:
            return _batch(hub, json.loads(request.body))
        case _:
            return error_reply(404, "Sorry, we can't find the page you are looking for.")


def _preupload(repo: Repo, asked: dict[str, Any]) -> Reply:
    lines = repo.head.files[".gitattributes"].content.decode().splitlines()
    patterns = [line.split()[0] for line in lines if "filter=lfs" in line]

    def mode(file: dict[str, Any]) -> str:
        name = file["path"].rpartition("/")[2]
        large = file["size"] >= 10 << 20 or any(fnmatchcase(name, p) for p in patterns)
        return "lfs" if large else "regular"

    return json_reply(
        {
            "files": [
                {"path": f["path"], "uploadMode": mode(f), "shouldIgnore": False}
                for f in asked["files"]
            ]
        }
    )


def _batch(hub: Hub, asked: dict[str, Any]) -> Reply:
    def told(item: dict[str, Any]) -> dict[str, Any]:
        if item["oid"] in hub.contents:
            return item
        href = f"{hub.cdn}/lfs-upload/{item['oid']}"
        return {**item, "actions": {"upload": {"href": href}}}

    objects = [told(item) for item in asked["objects"]]
    return json_reply({"transfer": "basic", "objects": objects})


def put(hub: Hub, request: Request) -> Reply:
    """Take the content of an LFS file."""
    oid = request.raw_path.rpartition("/")[2]
    if hashlib.sha256(request.body).hexdigest() != oid:
        return Reply(status=400, body=b"<Error><Code>BadDigest</Code></Error>")
    hub.contents[oid] = request.body
    return Reply(status=200)


def _commit(hub: Hub, repo: Repo, branch: str, body: bytes) -> Reply:
    items = [json.loads(line) for line in body.splitlines() if line.strip()]
    title, added, removed = "", [], []
    for item in items:
        value = item["value"]
        match item["key"]:
            case "header":
                title = value["summary"]
                if value.get("parentCommit") not in {None, repo.branches[branch].id}:
                    return error_reply(412, "A commit has happened since. Please refresh.")
            case "file":
                content = base64.b64decode(value["content"])
                added.append(RepoFile(value["path"], content, lfs=False))
            case "lfsFile":
                if value["oid"] not in hub.contents:
                    return error_reply(400, f"{value['oid']} was not uploaded")
                added.append(RepoFile(value["path"], hub.contents[value["oid"]]))
            case "deletedFile":
                removed.append(value["path"])
    repo.commit_files(added, removed, title=title, branch=branch)
    oid = repo.branches[branch].id
    url = f"{hub.endpoint}/{repo.kind}/{repo.id}/commit/{oid}"
    return json_reply({"success": True, "commitOid": oid, "commitUrl": url})
