"""The rows of a published catalog: each a line of JSON, with a key that tells it apart."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rkfetch.catalog import border
from rkfetch.catalog.additions import from_line
from rkfetch.catalog.entries import Companion, Repository
from rkfetch.catalog.sources import bad_path
from rkfetch.registry.model import ATTRIBUTES, Artifact, Availability, Evidence, Origin, settle

from .reading import SOURCE, FormError, get, json_object, maybe, objects, word

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rkfetch.catalog.additions import Addition

_LONGEST_REPO = 300
_LONGEST_TIME = 40
_MOST_OBSERVATIONS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a published catalog; its key tells rows apart, whatever they say."""

    key: bytes
    repository: Repository | None = None
    artifact: Artifact | None = None
    companions: tuple[Companion, ...] = ()
    addition: Addition | None = None
    is_gone: bool = False
    """The catalog does not have the row of this key any more."""


def repository_line(repository: Repository) -> tuple[bytes, bytes]:
    """Write a repository down; return the row's key and the line."""
    what = {
        "kind": "repository",
        "source": repository.source,
        "repo": repository.repo,
        "commit": repository.sha,
        "modified": repository.modified,
        "created": repository.created,
        "gated": repository.gated or None,
        "downloads": _about(repository.downloads),
        "likes": _about(repository.likes),
        "tags": list(repository.tags) or None,
        "library": repository.library,
        "license": repository.license,
        "base_model": repository.base_model,
        "storage": repository.storage_bytes,
    }
    return key_of("repository", repository.source, repository.repo), _line(what)


def artifact_line(artifact: Artifact, companions: Iterable[Companion]) -> tuple[bytes, bytes]:
    """Write an artifact down with its evidence; return the row's key and the line."""
    said = [
        {
            "attribute": e.attribute,
            "value": e.value,
            "origin": e.origin.value,
            "place": e.place,
            "seen": e.seen,
        }
        for name in ATTRIBUTES
        for e in artifact.attribute(name).evidence
    ]
    what = {
        "kind": "artifact",
        "source": artifact.source,
        "repo": artifact.repo,
        "path": artifact.path or None,
        "revision": artifact.revision,
        "ref": artifact.ref,
        "bytes": artifact.size_bytes,
        "sha256": artifact.sha256,
        "availability": artifact.availability.value,
        "curated": artifact.curated or None,
        "gated": artifact.gated or None,
        "updated": artifact.updated,
        "note": artifact.note,
        "evidence": [_set_only(item) for item in said],
        "companions": [
            _set_only(
                {
                    "role": c.role,
                    "repo": c.repo,
                    "path": c.path,
                    "bytes": c.size_bytes,
                    "sha256": c.sha256,
                }
            )
            for c in companions
        ]
        or None,
    }
    key = key_of("artifact", artifact.source, artifact.repo, artifact.path, artifact.sha256)
    return key, _line(what)


def addition_line(addition: Addition) -> tuple[bytes, bytes]:
    """Write down what somebody observed of a file; return the row's key and the line."""
    line = _line({"kind": "addition", **json.loads(addition.line())})
    return read_row(line).key, line


def gone_line(line: bytes) -> bytes:
    """Write down that the row of a line is no more."""
    what = json.loads(line)
    kept = ("source", "repo", "path", "sha256")
    name = _addition_name(what) if what["kind"] == "addition" else None
    return _line(
        {"kind": "gone", "of": what["kind"], **{k: what.get(k) for k in kept}, "name": name}
    )


def bucket_of(line: bytes) -> bytes:
    """Return what decides in which part a line lies: the same for all of a repository."""
    what = json.loads(line)
    return hashlib.sha256(f"{what['source']} {what['repo'].casefold()}".encode()).digest()


def digest_of(line: bytes) -> bytes:
    """Return what tells two versions of a line apart."""
    return hashlib.blake2b(line, digest_size=16).digest()


def _about(count: int | None) -> int | None:
    """Keep one digit of a count: exact ones change daily, and every reader would fetch them."""
    if count is None or count < 10:
        return count
    zeros = len(str(count)) - 1
    return int(str(count)[0] + "0" * zeros)


def key_of(kind: str, source: str, repo: str, path: str = "", which: str | None = None) -> bytes:
    """Return what tells a row apart, in a few bytes; ``which`` is a SHA-256 or a name."""
    text = json.dumps([kind, source, repo.casefold(), path, which or ""])
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _addition_name(what: Mapping[str, Any]) -> str:
    """Return what tells additions about one file apart, whoever can read them."""
    said = {name: value for name, value in what.items() if name != "kind"}
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:12]


def _line(what: Mapping[str, Any]) -> bytes:
    text = json.dumps(_set_only(what), ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def _set_only(what: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in what.items() if value is not None}


def read_row(line: bytes) -> Row:
    """Read one line. One of a kind that a newer rkfetch may know has a key, and nothing else.

    Raises:
        FormError: it makes no sense.
    """
    what = json_object(line)
    kind, source = get(what, "kind", str), get(what, "source", str)
    of = get(what, "of", str) if kind == "gone" else kind
    # A file that no repository is known to hold may be told by its content alone.
    is_addition = of == "addition" and not what.get("repo")
    repo = "" if is_addition else word(what, "repo", _LONGEST_REPO)
    if not SOURCE.fullmatch(source):
        raise FormError("a source has an impossible name")
    path = "" if what.get("path") is None else get(what, "path", str)
    if path and (why := bad_path(path)) is not None:
        raise FormError(f"a path cannot be one: {why}")
    sha256 = border.digest(what.get("sha256"))
    if what.get("sha256") is not None and sha256 is None:
        raise FormError("a SHA-256 is none")
    if kind == "gone":
        name = maybe(what, "name", 12) if of == "addition" else sha256
        return Row(key=key_of(of, source, repo, path, name), is_gone=True)
    if kind == "addition":
        return _addition_row(what, source, repo, path)
    key = key_of(kind, source, repo, path, sha256)
    if kind == "repository":
        return Row(key=key, repository=_repository(what, source, repo))
    if kind != "artifact":
        return Row(key=key)
    artifact = Artifact(
        source=source,
        repo=repo,
        path=path,
        revision=maybe(what, "revision", 200),
        ref=maybe(what, "ref", 200),
        size_bytes=border.count(what.get("bytes")),
        sha256=sha256,
        availability=_availability(what),
        curated=what.get("curated") is True,
        gated=what.get("gated") is True,
        updated=maybe(what, "updated", _LONGEST_TIME),
        note=maybe(what, "note", border.LONGEST_TEXT),
        attributes=settle(_evidence(what)),
    )
    return Row(key=key, artifact=artifact, companions=tuple(_companions(what)))


def _addition_row(what: Mapping[str, Any], source: str, repo: str, path: str) -> Row:
    """Read an addition; of one that a newer rkfetch wrote, only the key."""
    said = {name: value for name, value in what.items() if name != "kind"}
    key = key_of("addition", source, repo, path, _addition_name(what))
    with suppress(ValueError):
        return Row(key=key, addition=from_line(json.dumps(said)))
    return Row(key=key)


def _repository(what: Mapping[str, Any], source: str, repo: str) -> Repository:
    tags = what.get("tags") or ()
    if not isinstance(tags, (list, tuple)):
        raise FormError("tags are no list")
    return Repository(
        source=source,
        repo=repo,
        sha=border.commit(what.get("commit")),
        modified=maybe(what, "modified", _LONGEST_TIME),
        created=maybe(what, "created", _LONGEST_TIME),
        gated=what.get("gated") is True,
        downloads=border.count(what.get("downloads")),
        likes=border.count(what.get("likes")),
        tags=tuple(tag for tag in tags[:100] if border.text(tag)),
        library=maybe(what, "library", 200),
        license=maybe(what, "license", 200),
        base_model=maybe(what, "base_model", _LONGEST_REPO),
        storage_bytes=border.count(what.get("storage")),
    )


def _availability(what: Mapping[str, Any]) -> Availability:
    try:
        return Availability(what.get("availability"))
    except ValueError:
        raise FormError("an availability has no meaning") from None


def _evidence(what: Mapping[str, Any]) -> Iterator[Evidence]:
    """Read what is said; an observation that means nothing to this version is left out."""
    for item in objects(what, "evidence", _MOST_OBSERVATIONS):
        with suppress(ValueError):  # FormError is one
            yield Evidence(
                attribute=get(item, "attribute", str),
                value=get(item, "value", str),
                origin=Origin(item.get("origin")),
                place=word(item, "place", border.LONGEST_TEXT),
                seen=maybe(item, "seen", _LONGEST_TIME),
            )


def _companions(what: Mapping[str, Any]) -> Iterator[Companion]:
    for item in objects(what, "companions", 100):
        path = get(item, "path", str)
        if (why := bad_path(path)) is not None:
            raise FormError(f"a path cannot be one: {why}")
        yield Companion(
            role=word(item, "role", 40),
            repo=word(item, "repo", _LONGEST_REPO),
            path=path,
            size_bytes=border.count(item.get("bytes")),
            sha256=border.digest(item.get("sha256")),
        )
