"""Publish into a dataset repository of the Hub, through huggingface_hub; only what changed goes up.

The repository is the folder of `publish`, kept elsewhere: what it has now is fetched, published
to, and sent back as one commit upon the commit that it was made from.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rkfetch.catalog.browsing.site import FOLDER, PAGE, files_of
from rkfetch.catalog.hub_writing import writing_to

from .form import MANIFEST, PARTS, SIGNATURE, read_manifest
from .publish import EXPIRES_DAYS, publish
from .reading import FormError

if TYPE_CHECKING:
    from collections.abc import Callable

    from huggingface_hub import HfApi

    from rkfetch.catalog.database import Catalog

    from .publish import Published
    from .signing import Signer

CARD = "README.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What was published, and what of it went to the Hub."""

    published: Published
    address: str
    commit: str
    """The repository's commit with it."""
    sent_files: int
    sent_bytes: int
    removed_files: int


def publish_to_hub(
    catalog: Catalog,
    repo: str,
    *,
    name: str,
    signer: Signer | None,
    revision: str = "main",
    expires_days: int | None = EXPIRES_DAYS,
    converted: bool = False,
) -> Sent:
    """Publish a catalog into a dataset repository, which is made if it is not there.

    Raises:
        UsageError: the name is none, or the repository holds something else.
        AuthenticationError: there is no token, or it may not write there.
        NetworkError: the Hub cannot be asked, or somebody else writes at the same time.
        As `publish` besides.
    """
    with writing_to(repo, option="--hub") as api:
        api.create_repo(repo, repo_type="dataset", exist_ok=True)
        return _send(
            api,
            repo,
            revision,
            partial(
                publish,
                catalog,
                name=name,
                signer=signer,
                expires_days=expires_days,
                converted=converted,
            ),
        )


def _send(api: HfApi, repo: str, revision: str, publish_to: Callable[[Path], Published]) -> Sent:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    info = api.dataset_info(repo, revision=revision, files_metadata=True)
    there = {sibling.rfilename for sibling in info.siblings or ()}
    with tempfile.TemporaryDirectory(prefix="rkfetch-publish-") as place:
        folder = Path(place) / "published"
        before = _fetch(api, repo, str(info.sha), there, folder)
        published = publish_to(folder)
        now = _files(folder)
    if CARD not in there:
        now[CARD] = _card(published.manifest.name, repo, published.key).encode()
    fresh = {path: content for path, content in now.items() if before.get(path) != content}
    ours = {path for path in there if path.startswith((f"{PARTS}/", f"{FOLDER}/"))} | {SIGNATURE}
    gone = sorted((there & ours) - now.keys())
    commit = str(info.sha)
    if fresh or gone:
        done = api.create_commit(
            repo,
            [
                *(CommitOperationAdd(path, content) for path, content in sorted(fresh.items())),
                *(CommitOperationDelete(path) for path in gone),
            ],
            commit_message=f"Publish serial {published.manifest.serial}",
            repo_type="dataset",
            revision=revision,
            parent_commit=commit,
        )
        commit = str(done.oid)
    return Sent(
        published=published,
        address=f"hf:{repo}" + (f"@{revision}" if revision != "main" else ""),
        commit=commit,
        sent_files=len(fresh),
        sent_bytes=sum(map(len, fresh.values())),
        removed_files=len(gone),
    )


def _files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.relative_to(folder).as_posix().startswith(".")
    }


def _fetch(api: HfApi, repo: str, commit: str, there: set[str], folder: Path) -> dict[str, bytes]:
    """Fetch what is published at a commit into a folder; return the files that it has."""
    found: dict[str, bytes] = {}

    def fetch(path: str) -> None:
        if path in there:
            place = api.hf_hub_download(
                repo, path, repo_type="dataset", revision=commit, local_dir=folder
            )
            found[path] = Path(place).read_bytes()

    for name in (MANIFEST, PAGE):
        fetch(name)
    if MANIFEST in found:
        try:
            manifest = read_manifest(found[MANIFEST])
        except FormError:
            return found  # `publish` says what is wrong with it
        signatures = {path for path in there if path.endswith(".minisig")}
        page = files_of(found.get(PAGE, b""))
        for path in sorted(manifest.referred | signatures | page):
            fetch(path)
    return found


def _card(name: str, repo: str, key: str | None) -> str:
    terms = f"--key {key}" if key else "--allow-unsigned"
    return f"""---
tags:
- rkllm
- rockchip
---
# {name}

A catalog of `.rkllm` models for Rockchip boards, published with rkfetch. Take it with

    rkfetch catalog update --from hf:{repo} {terms}

`catalog.json` names the parts: gzipped JSON, one object a line.
"""
