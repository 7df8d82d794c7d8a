"""How the Hub describes repositories and files in JSON."""

from __future__ import annotations

import contextlib
import json
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from .repos import hex_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime

    from .repos import Commit, Repo, RepoFile

_ALWAYS = ("_id", "id")
_LISTED = [
    "likes",
    "trendingScore",
    "private",
    "downloads",
    "tags",
    "pipeline_tag",
    "library_name",
    "createdAt",
    "modelId",
]
_FULL = [*_LISTED, "author", "gated", "lastModified", "sha", "siblings"]
_INFO = [*_FULL, "disabled", "cardData", "config", "spaces", "usedStorage", "safetensors"]


def timestamp(moment: datetime) -> str:
    """A moment as the Hub writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _properties(repo: Repo, commit: Commit, names: Collection[str], *, blobs: bool) -> Any:
    makers: dict[str, Callable[[], Any]] = {
        "_id": lambda: repo.hub_id,
        "id": lambda: repo.id,
        "modelId": lambda: repo.id,
        "author": lambda: repo.author,
        "sha": lambda: commit.id,
        "lastModified": lambda: timestamp(repo.last_modified),
        "createdAt": lambda: timestamp(repo.created),
        "private": lambda: repo.private,
        "gated": lambda: repo.gated,
        "disabled": lambda: False,
        "downloads": lambda: repo.downloads,
        "downloadsAllTime": lambda: repo.downloads * 3,
        "likes": lambda: repo.likes,
        "trendingScore": lambda: repo.likes,
        "tags": lambda: repo.all_tags,
        "pipeline_tag": lambda: repo.card.get("pipeline_tag"),
        "library_name": lambda: repo.library,
        "cardData": lambda: repo.card,
        "config": dict,
        "spaces": list,
        "usedStorage": lambda: used_storage(repo),
        "safetensors": lambda: safetensors(commit),
        "siblings": lambda: [sibling(f, blobs=blobs) for f in sorted_files(commit)],
    }
    found = {name: makers[name]() for name in names if name in makers}
    return {name: value for name, value in found.items() if value is not None}


def used_storage(repo: Repo) -> int:
    """What the large files of all revisions take, past ones included; each content once."""
    contents = {
        f.sha256: f.size for commit in repo.history() for f in commit.files.values() if f.lfs
    }
    return sum(contents.values())


def safetensors(commit: Commit) -> dict[str, Any] | None:
    """How many numbers of each type the weights have; None where there is no safetensors file."""
    counts: Counter[str] = Counter()
    for file in sorted_files(commit):
        if file.path.endswith(".safetensors"):
            counts.update(_counted(file.content))
    return {"parameters": dict(counts), "total": sum(counts.values())} if counts else None


def _counted(content: bytes) -> Counter[str]:
    counts: Counter[str] = Counter()
    length = int.from_bytes(content[:8], "little")
    with contextlib.suppress(ValueError):  # the Hub, too, says nothing of a broken file
        for name, tensor in json.loads(content[8 : 8 + length]).items():
            if name != "__metadata__":
                counts[tensor["dtype"]] += math.prod(tensor["shape"])
    return counts


def sorted_files(commit: Commit) -> list[RepoFile]:
    """The files of a commit, by path."""
    return [commit.files[path] for path in sorted(commit.files)]


def listed(
    repo: Repo, *, full: bool = False, card: bool = False, expand: Collection[str] = ()
) -> Any:
    """One item of ``/api/models``."""
    if expand:
        names = [*_ALWAYS, *expand]
    else:
        names = [*_ALWAYS, *(_FULL if full else _LISTED), *(["cardData"] if card else [])]
    return _properties(repo, repo.head, names, blobs=False)


def model_info(repo: Repo, commit: Commit, *, blobs: bool, expand: Collection[str] = ()) -> Any:
    """The answer of ``/api/models/{id}``."""
    return _properties(repo, commit, [*_ALWAYS, *(expand or _INFO)], blobs=blobs)


def sibling(file: RepoFile, *, blobs: bool) -> Any:
    """One file in ``siblings``; size and digest only if asked for."""
    told: dict[str, Any] = {"rfilename": file.path}
    if blobs:
        told |= {"size": file.size, "blobId": file.oid}
        if file.lfs:
            told["lfs"] = {
                "sha256": file.sha256,
                "size": file.size,
                "pointerSize": len(file.pointer),
            }
    return told


def tree_file(file: RepoFile, commit: Commit, *, expand: bool) -> Any:
    """One file of a tree."""
    told: dict[str, Any] = {
        "type": "file",
        "oid": file.oid,
        "size": file.size,
        "path": file.path,
    }
    if file.lfs:
        told["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": len(file.pointer)}
    if expand:
        told["lastCommit"] = _last_commit(commit)
        told["securityFileStatus"] = {"status": "safe", "avScan": {}, "pickleImportScan": None}
    return told


def tree_folder(path: str, commit: Commit, *, expand: bool) -> Any:
    """One folder of a tree."""
    told = {"type": "directory", "oid": hex_of(f"{commit.id}/{path}", 40), "size": 0, "path": path}
    return told | ({"lastCommit": _last_commit(commit)} if expand else {})


def _last_commit(commit: Commit) -> Any:
    return {"id": commit.id, "title": commit.title, "date": timestamp(commit.date)}


def tree(commit: Commit, folder: str, *, recursive: bool, expand: bool) -> list[Any] | None:
    """The entries below a folder; None if there is no such folder."""
    prefix = f"{folder}/" if folder else ""
    below = [file for file in sorted_files(commit) if file.path.startswith(prefix)]
    if folder and not below:
        return None
    folders: dict[str, None] = {}
    files = []
    for file in below:
        parts = file.path[len(prefix) :].split("/")
        depth = len(parts) if recursive else min(len(parts), 2)
        for i in range(1, depth):
            folders[prefix + "/".join(parts[:i])] = None
        if recursive or len(parts) == 1:
            files.append(file)
    return [
        *(tree_folder(path, commit, expand=expand) for path in folders),
        *(tree_file(file, commit, expand=expand) for file in files),
    ]


def paths_info(commit: Commit, paths: Collection[str], *, expand: bool) -> list[Any]:
    """The entries at these paths; missing ones are left out, as on the Hub."""
    found = []
    for path in paths:
        if file := commit.files.get(path):
            found.append(tree_file(file, commit, expand=expand))
        elif any(name.startswith(f"{path}/") for name in commit.files):
            found.append(tree_folder(path, commit, expand=expand))
    return found


def refs(repo: Repo) -> Any:
    """Branches and tags."""

    def listed_refs(commits: dict[str, Commit], kind: str) -> list[Any]:
        return [
            {"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": commit.id}
            for name, commit in commits.items()
        ]

    return {
        "branches": listed_refs(repo.branches, "heads"),
        "tags": listed_refs(repo.tags, "tags"),
        "converts": [],
    }


def commits(repo: Repo, commit: Commit) -> list[Any]:
    """The history that leads to a commit, newest first."""
    return [
        {
            "id": past.id,
            "title": past.title,
            "message": "",
            "authors": [{"user": repo.author}],
            "date": timestamp(past.date),
        }
        for past in repo.history(commit)
    ]
