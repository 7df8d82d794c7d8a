"""Ask the Hub about a base model before a weight of it is downloaded."""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from rkfetch.registry import addresses
from rkfetch.registry.endpoints import endpoint, endpoints
from rkfetch.registry.errors import (
    IntegrityError,
    NetworkError,
    OfflineError,
    UnknownModelError,
    UsageError,
)
from rkfetch.registry.hub import authentication_needed, resolve_url

from . import base_cache
from .base import BaseModel, ModelFile
from .base_config import number, word
from .base_facts import put_together
from .base_files import is_plain, wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import TypeAlias

    from rkfetch.registry.http import Http, Reply

    Waiting: TypeAlias = Callable[[str, float], object]

_LARGEST_ANSWER = 32 << 20
"""Bytes; a repository of 10,000 files has some 3 MB."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9_.-]{1,96}", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LOOK_IT_UP = "check the name, OWNER/NAME as on https://huggingface.co/models"


def look_up(
    hub_id: str,
    revision: str | None = None,
    *,
    http: Http,
    waiting: Waiting | None = None,
) -> BaseModel:
    """Return what the Hub says of a model: a commit, its files, and what its small files tell.

    With the network switched off it is looked for in huggingface_hub's cache instead. ``waiting``
    as for `Http.request`.

    Raises:
        UsageError: the name is none, or it is an adapter or no model at all.
        UnknownModelError: the Hub has no such model, or no such revision of it.
        AuthenticationError: its owner wants consent, or it is private.
        ConversionUnavailableError: its weights are in no form that the toolkit reads.
        IntegrityError: the Hub describes it as no Hub does, or files are missing.
        NetworkError: the Hub could not be asked.
        OfflineError: the network is switched off, and it is not in the cache.
    """
    try:
        base, info = _described(http, hub_id, revision, waiting)
    except OfflineError as error:
        return _from_cache(hub_id, revision, error)
    files = {file.path: file for file in base.listing}

    def read(path: str) -> bytes:
        return _content(http, base, files[path], waiting)

    base, weights = put_together(
        base,
        {path: file.size_bytes for path, file in files.items()},
        read,
        lambda _: _counted(info),
    )
    listing = tuple(files[path] for path in wanted(files, weights, base.code))
    return replace(base, listing=listing)


def list_files(
    hub_id: str,
    revision: str | None = None,
    *,
    http: Http,
    waiting: Waiting | None = None,
) -> BaseModel:
    """Return what the Hub says of a repository, all of whose files are in ``listing``.

    Whether it holds a model that could be converted is not asked.

    Raises:
        UsageError, UnknownModelError, AuthenticationError, IntegrityError, NetworkError,
        OfflineError: as `look_up`.
    """
    return _described(http, hub_id, revision, waiting)[0]


def _described(
    http: Http, hub_id: str, revision: str | None, waiting: Waiting | None
) -> tuple[BaseModel, Mapping[str, Any]]:
    """Ask for a repository; return it with everything that it lists, and all that was said."""
    if not _ID.fullmatch(hub_id) or ".." in hub_id:
        raise UsageError(f"'{hub_id[:200]}' names no model of the Hub", hint=_LOOK_IT_UP)
    info = _info(http, hub_id, revision, waiting)
    commit, named = info.get("sha"), info.get("id")
    if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
        raise _nonsense(hub_id, "it names no commit")
    if isinstance(named, str) and _ID.fullmatch(named) and ".." not in named:
        hub_id = named  # it may have been renamed, or have another letter case
    base = BaseModel(
        name=hub_id.rpartition("/")[2],
        hub_id=hub_id,
        revision=commit,
        ref=None if revision == commit else revision or "main",
        licence=_licence(info),
        gated=bool(info.get("gated")),
        listing=tuple(_files(info, hub_id)),
    )
    return base, info


def _from_cache(hub_id: str, revision: str | None, error: OfflineError) -> BaseModel:
    found = base_cache.find(hub_id, revision)
    if found is not None:
        return found
    raise OfflineError(
        f"{hub_id} is not in huggingface_hub's cache, and the network is switched off",
        cause=[f"looked for {revision or 'main'} in {base_cache.folder_of(hub_id)}"],
        hint=f"fetch it while there is a network: `hf download {hub_id}`; "
        "or leave out --offline, and unset HF_HUB_OFFLINE",
    ) from error


def _info(http: Http, hub_id: str, revision: str | None, waiting: Waiting | None) -> dict[str, Any]:
    at = quote(revision or "main", safe="")
    reply = _asked(
        http,
        lambda base: f"{base}/api/models/{hub_id}/revision/{at}?blobs=true",
        max_bytes=_LARGEST_ANSWER,
        waiting=waiting,
    )
    _raise_for_status(http, reply, hub_id, revision)
    try:
        info = json.loads(reply.body)
    except (ValueError, RecursionError) as error:
        raise NetworkError(
            f"{addresses.host(reply.url)} answered what no Hub answers",
            cause=[str(error)[:200]],
            hint="open a web page to log in to this network, or see HF_ENDPOINT",
        ) from error
    if not isinstance(info, dict):
        raise _nonsense(hub_id, "it is no object")
    return info


def _asked(
    http: Http, url: Callable[[str], str], *, max_bytes: int, waiting: Waiting | None
) -> Reply:
    """Ask the first endpoint that answers at all."""
    *first, last = endpoints()
    for base in first:
        with contextlib.suppress(NetworkError):
            return http.request(
                "GET", url(base), max_bytes=max_bytes, waiting=waiting, hurried=True
            )
    return http.request("GET", url(last), max_bytes=max_bytes, waiting=waiting)


def _raise_for_status(http: Http, reply: Reply, hub_id: str, revision: str | None) -> None:
    if reply.status < 300:
        return
    if reply.status in {401, 403}:
        raise authentication_needed(http, reply, hub_id, f"{endpoint()}/{hub_id}")
    if reply.status in {404, 410}:
        what = f"the Hub has no model {hub_id}"
        if reply.headers.get("x-error-code") in {"RevisionNotFound", "EntryNotFound"}:
            what = f"{hub_id} has no revision {revision}"
        raise UnknownModelError(
            what,
            cause=[f"{addresses.shown(reply.url)} answered {reply.status}"],
            hint=f"{_LOOK_IT_UP}; a private one needs HF_TOKEN",
        )
    raise NetworkError(
        f"{addresses.shown(reply.url)} answered {reply.status}",
        cause=[text[:200]] if (text := reply.headers.get("x-error-message")) else [],
    )


def _nonsense(hub_id: str, why: str) -> IntegrityError:
    return IntegrityError(
        f"{hub_id} is described as no Hub does", cause=[why], hint="check HF_ENDPOINT"
    )


def _files(info: Mapping[str, Any], hub_id: str) -> Iterator[ModelFile]:
    """Return the files whose names may become paths, and which have a size and a digest."""
    siblings = info.get("siblings")
    if not isinstance(siblings, list):
        raise _nonsense(hub_id, "it lists no files")
    for told in siblings:
        if not isinstance(told, dict):
            continue
        path, size, blob = told.get("rfilename"), number(told.get("size")), told.get("blobId")
        if not isinstance(path, str) or not is_plain(path) or size is None:
            continue
        lfs = told.get("lfs")
        sha256 = lfs.get("sha256") if isinstance(lfs, dict) else None
        if isinstance(sha256, str) and _SHA256.fullmatch(sha256):
            yield ModelFile(path=path, size_bytes=size, sha256=sha256)
        elif isinstance(blob, str) and _COMMIT.fullmatch(blob):
            yield ModelFile(path=path, size_bytes=size, blob=blob)


def _counted(info: Mapping[str, Any]) -> Mapping[str, int]:
    """Return how many numbers of each type the Hub found in the safetensors."""
    told = info.get("safetensors")
    by_type = told.get("parameters") if isinstance(told, dict) else None
    if not isinstance(by_type, dict):
        return {}
    counts = ((dtype, number(count)) for dtype, count in by_type.items())
    return {dtype: count for dtype, count in counts if count is not None}


def _licence(info: Mapping[str, Any]) -> str | None:
    card = info.get("cardData")
    if isinstance(card, dict):
        # "other" says nothing; its name does.
        for key in ("license_name", "license"):
            if (said := word(card.get(key))) is not None:
                return said
    tags = info.get("tags")
    said_by_tags = (
        word(tag.removeprefix("license:"))
        for tag in (tags if isinstance(tags, list) else ())
        if isinstance(tag, str) and tag.startswith("license:")
    )
    return next(said_by_tags, None)


def _content(http: Http, base: BaseModel, file: ModelFile, waiting: Waiting | None) -> bytes:
    """Return one small file, checked against what was listed."""
    assert base.hub_id is not None
    repo = base.hub_id
    reply = _asked(
        http,
        lambda at: resolve_url(repo, file.path, base.revision, base=at),
        max_bytes=file.size_bytes,
        waiting=waiting,
    )
    _raise_for_status(http, reply, repo, base.revision)
    if not file.is_content(reply.body):
        raise IntegrityError(
            f"{file.path} of {repo} is not what the Hub lists",
            cause=[f"{addresses.host(reply.url)} gave other content"],
            hint="run the command again; open a web page to log in to this network, or see "
            "HF_ENDPOINT",
        )
    return reply.body
