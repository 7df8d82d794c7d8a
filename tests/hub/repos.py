"""Repositories of the double: files, commits, branches, tags and the model card."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

Content: TypeAlias = "bytes | Callable[[], bytes]"
"""The bytes of a file, or what makes them when they are first asked for."""
Gate: TypeAlias = 'Literal[False, "auto", "manual"]'

FIRST_DAY = datetime(2026, 10, 1, 12, tzinfo=timezone.utc)
_ATTRIBUTES = b"".join(
    b"*.%s filter=lfs diff=lfs merge=lfs -text\n" % kind
    for kind in (b"rkllm", b"rknn", b"safetensors", b"gz")
)


def hex_of(text: str, digits: int) -> str:
    """Invent an identifier that is the same in every run."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:digits]


class RepoFile:
    """One file at one commit."""

    def __init__(self, path: str, content: Content, *, lfs: bool = True) -> None:
        self.path = path
        self.lfs = lfs
        self._content = content

    @cached_property
    def content(self) -> bytes:
        """The bytes."""
        return self._content() if callable(self._content) else self._content

    @cached_property
    def sha256(self) -> str:
        """The digest of the content, which the Hub gives as ``X-Linked-ETag`` and ``lfs.oid``."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def size(self) -> int:
        """Length of the content in bytes."""
        return len(self.content)

    @property
    def pointer(self) -> bytes:
        """The Git LFS pointer that git itself stores."""
        return (
            "version https://git-lfs.github.com/spec/v1\n"
            f"oid sha256:{self.sha256}\nsize {self.size}\n"
        ).encode()

    @cached_property
    def oid(self) -> str:
        """The git blob id: of the pointer for an LFS file, else of the content."""
        blob = self.pointer if self.lfs else self.content
        return hashlib.sha1(b"blob %d\0" % len(blob) + blob, usedforsecurity=False).hexdigest()

    @property
    def etag(self) -> str:
        """What the server of the bytes says: for an LFS file it is *not* the sha256."""
        return f'"{hex_of(self.sha256, 32) if self.lfs else self.oid}"'

    @property
    def stamp(self) -> str:
        """What tells this version of the file apart, without making lazy content."""
        return "lazy" if callable(self._content) else self.sha256


@dataclass(frozen=True, kw_only=True)
class Commit:
    """A state of the repository."""

    id: str
    title: str
    date: datetime
    files: Mapping[str, RepoFile]
    parent: Commit | None = None


@dataclass(kw_only=True)
class Repo:
    """A repository of a model, or of a dataset."""

    id: str
    kind: Literal["models", "datasets"] = "models"
    own_tags: tuple[str, ...] = ()
    own_library: str | None = None
    gated: Gate = False
    private: bool = False
    downloads: int = 0
    likes: int = 0
    created: datetime = FIRST_DAY
    branches: dict[str, Commit] = field(default_factory=dict)
    tags: dict[str, Commit] = field(default_factory=dict)
    hub_id: str = ""
    """The ``_id`` of the Hub: it survives renaming."""
    _count: int = 0

    def __post_init__(self) -> None:
        self.hub_id = hex_of(self.id, 24)
        self.add_files({".gitattributes": _ATTRIBUTES}, lfs=False, title="initial commit")

    @property
    def author(self) -> str:
        """The user or organisation that owns it."""
        return self.id.partition("/")[0]

    @property
    def head(self) -> Commit:
        """The newest commit of main."""
        return self.branches["main"]

    @property
    def commit(self) -> str:
        """The id of the newest commit of main, 40 hex digits."""
        return self.head.id

    @property
    def last_modified(self) -> datetime:
        """When main last changed."""
        return self.head.date

    def add_file(
        self, path: str, content: Content, *, lfs: bool = True, branch: str = "main"
    ) -> RepoFile:
        """Commit a new or changed file."""
        return self.add_files({path: content}, lfs=lfs, branch=branch)[0]

    def add_files(
        self,
        contents: Mapping[str, Content],
        *,
        lfs: bool = True,
        branch: str = "main",
        title: str | None = None,
    ) -> list[RepoFile]:
        """Commit several files at once."""
        files = [RepoFile(path, content, lfs=lfs) for path, content in contents.items()]
        self.commit_files(files, branch=branch, title=title)
        return files

    def commit_files(
        self,
        added: Sequence[RepoFile],
        removed: Iterable[str] = (),
        *,
        branch: str = "main",
        title: str | None = None,
    ) -> None:
        """Commit files that exist already, and the removal of others."""
        tree = dict(self.branches[branch].files) if branch in self.branches else {}
        for path in set(removed) & tree.keys():
            del tree[path]
        tree.update({file.path: file for file in added})
        self._advance(branch, title or f"Upload {len(added)} files", tree)

    def remove_file(self, path: str, *, branch: str = "main") -> None:
        """Commit the removal of a file."""
        tree = dict(self.branches[branch].files)
        del tree[path]
        self._advance(branch, f"Delete {path}", tree)

    def _advance(self, branch: str, title: str, tree: dict[str, RepoFile]) -> None:
        parent = self.branches.get(branch)
        self._count += 1
        stamps = "".join(f"{path}:{file.stamp};" for path, file in sorted(tree.items()))
        self.branches[branch] = Commit(
            id=hex_of(f"{self.id}:{self._count}:{title}:{stamps}", 40),
            title=title,
            date=parent.date + timedelta(seconds=1) if parent else self.created,
            files=tree,
            parent=parent,
        )

    def tag(self, name: str) -> None:
        """Tag main as it is now."""
        self.tags[name] = self.head

    def branch(self, name: str) -> None:
        """Branch off main."""
        self.branches[name] = self.head

    def at(self, revision: str) -> Commit | None:
        """The commit that a branch, a tag, a commit id or its beginning stands for."""
        named = self.branches.get(revision) or self.tags.get(revision)
        if named is not None:
            return named
        if re.fullmatch(r"[0-9a-f]{7,40}", revision) is None:
            return None
        for commit in self.history():
            if commit.id.startswith(revision):
                return commit
        return None

    def history(self, start: Commit | None = None) -> list[Commit]:
        """All commits, or those that lead to one, newest first."""
        starts = [start] if start else [*self.branches.values(), *self.tags.values()]
        found: dict[str, Commit] = {}
        for tip in starts:
            commit: Commit | None = tip
            while commit is not None and commit.id not in found:
                found[commit.id] = commit
                commit = commit.parent
        return list(found.values())

    @property
    def card(self) -> dict[str, Any]:
        """The front matter of README.md."""
        readme = self.head.files.get("README.md")
        return front_matter(readme.content.decode(errors="replace")) if readme else {}

    @property
    def library(self) -> str | None:
        """The library, as set or as the card says."""
        said = self.card.get("library_name")
        return self.own_library or (said if isinstance(said, str) else None)

    @property
    def all_tags(self) -> list[str]:
        """The tags that the Hub shows: the uploader's, and those that it derives."""
        card = self.card
        tags = [*self.own_tags, *_strings(card.get("tags"))]
        tags += [self.library] if self.library else []
        tags += _strings(card.get("pipeline_tag"))
        tags += [f"base_model:{base}" for base in _strings(card.get("base_model"))]
        tags += [f"license:{name}" for name in _strings(card.get("license"))]
        return list(dict.fromkeys([*tags, "region:us"]))


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [str(item) for item in value] if isinstance(value, list) else []


def front_matter(text: str) -> dict[str, Any]:
    """Read the part of YAML that model cards use: scalars, and lists in both notations."""
    match = re.match(r"---\n(.*?)\n---(?:\n|$)", text, re.DOTALL)
    found: dict[str, Any] = {}
    key = ""
    for line in match.group(1).splitlines() if match else ():
        if item := re.match(r"\s*-\s+(.*)", line):
            if isinstance(found.get(key), list):
                found[key].append(_scalar(item.group(1)))
        elif pair := re.match(r"([\w-]+):\s*(.*)", line):
            key, value = pair.groups()
            if inline := re.fullmatch(r"\[(.*)\]", value):
                found[key] = [_scalar(part) for part in inline.group(1).split(",") if part.strip()]
            else:
                found[key] = _scalar(value) if value else []
    return found


def _scalar(text: str) -> str:
    return text.strip().strip("'\"")
