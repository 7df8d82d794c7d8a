"""The lock file's text, which people can compare, and what is believed of it.

Sorted, without times, with a version first: the same choices give the same bytes. What a lock file
says is checked as it is read: it may come from anybody.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rkfetch.catalog import border
from rkfetch.catalog.models import parse_reference
from rkfetch.catalog.sources import bad_path
from rkfetch.registry.compat import Level
from rkfetch.registry.errors import UsageError
from rkfetch.registry.model import (
    ATTRIBUTES,
    CONVERTED,
    LOCAL,
    Artifact,
    Availability,
    Evidence,
    Origin,
    Platform,
    Quant,
    Target,
    settle,
)
from rkfetch.registry.versions import as_version

from .declaration import MOST_ENTRIES, Wish
from .locked import Lock, LockedFile, LockedModel, LockedTarget, collision
from .paths import bad_place

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VERSION = 1
_MOST_FILES = 8
_MOST_PLACES = 8
_FLAGS = ("allow_risky", "allow_unverified", "force", "optional", "text_only")
_HUBS = {"huggingface", "modelscope"}


def write(lock: Lock) -> str:
    """Return the text of a lock file."""
    values = {
        "version": VERSION,
        "comment": "written by `rkfetch lock` from rkfetch.toml; change that, not this",
        "targets": [_target_json(t) for t in sorted(lock.targets, key=lambda t: t.name)],
    }
    return json.dumps(values, indent=1, ensure_ascii=True) + "\n"


def _target_json(target: LockedTarget) -> dict[str, Any]:
    board = target.target
    return {
        "name": target.name,
        "platform": board.platform.value,
        "runtime": str(board.runtime) if board.runtime else None,
        "driver": str(board.driver) if board.driver else None,
        "memory_bytes": board.memory_bytes,
        "context": board.context,
        "models": [_model_json(m) for m in sorted(target.models, key=_order)],
    }


def _order(model: LockedModel) -> tuple[str, ...]:
    wish = model.wish
    flags = str([getattr(wish, name) for name in _FLAGS])
    return wish.model, str(wish.quant or ""), f"{wish.context or 0:010}", wish.to or "", flags


def _model_json(model: LockedModel) -> dict[str, Any]:
    wish = model.wish
    return {
        "model": wish.model,
        "quant": str(wish.quant) if wish.quant else None,
        "context": wish.context,
        "to": wish.to,
        **{name: True for name in _FLAGS if getattr(wish, name)},
        "name": model.name,
        "verdict": model.level.value if model.level else None,
        "why": model.why,
        **({"alone": model.alone} if model.alone else {}),
        "files": [_file_json(file) for file in model.files],
    }


def _file_json(file: LockedFile) -> dict[str, Any]:
    artifact = file.artifact
    said = {name: artifact.attribute(name) for name in ATTRIBUTES}
    return {
        **_place_json(artifact),
        "bytes": artifact.size_bytes,
        "sha256": artifact.sha256,
        "updated": artifact.updated,
        "attributes": {
            name: {"value": attribute.value, "origin": attribute.origin.value}
            for name, attribute in said.items()
            if attribute.value is not None and attribute.origin is not None
        },
        "also": [_place_json(other) for other in file.also],
    }


def _place_json(artifact: Artifact) -> dict[str, Any]:
    return {name: getattr(artifact, name) for name in ("source", "repo", "path", "revision")}


# --- reading --------------------------------------------------------------------------------------


class _WrongError(Exception):
    """A part of a lock file makes no sense."""


def read(text: str, name: str = "rkfetch.lock") -> Lock:
    """Read the text of a lock file; ``name`` is what to call it.

    Raises:
        UsageError: it is none, it is damaged, or a newer rkfetch wrote it.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _unusable(name, str(error)) from error
    if not isinstance(values, dict) or type(values.get("version")) is not int:
        raise _unusable(name, "it has no version")
    if values["version"] > VERSION:
        raise UsageError(
            f"{name} was written by a newer rkfetch",
            cause=[f"its form is version {values['version']}, this rkfetch reads {VERSION}"],
            hint="update rkfetch here",
        )
    try:
        return Lock(targets=_targets(values))
    except _WrongError as error:
        raise _unusable(name, str(error)) from error


def _unusable(name: str, why: str) -> UsageError:
    return UsageError(
        f"{name} is no lock file that can be used",
        cause=[why],
        hint="take it from where it came once more, or make it anew: remove it, and `rkfetch lock`",
    )


def _targets(values: Mapping[str, Any]) -> tuple[LockedTarget, ...]:
    targets = tuple(_target(value) for value in _list(values, "targets", MOST_ENTRIES))
    names = [target.name for target in targets]
    if values["version"] < 1 or not targets or len(set(names)) < len(names):
        raise _WrongError("it has no targets, or two of one name")
    for target in targets:
        if (twice := collision(target)) is not None:
            raise _WrongError(twice)
    return targets


def _target(value: Any) -> LockedTarget:
    values = _table(value, "a target")
    name = _text(values, "name") or ""
    if not name or border.HIDDEN.search(name):
        raise _WrongError("a target has no name")
    memory, context = _count(values, "memory_bytes"), _count(values, "context")
    return LockedTarget(
        name=name,
        target=Target(
            platform=_value(values, "platform", Platform),
            runtime=_value(values, "runtime", as_version) if values.get("runtime") else None,
            driver=_value(values, "driver", as_version) if values.get("driver") else None,
            memory_bytes=memory,
            context=context,
        ),
        models=tuple(_model(value) for value in _list(values, "models", MOST_ENTRIES)),
    )


def _model(value: Any) -> LockedModel:
    values = _table(value, "a model")
    reference, to = _text(values, "model") or "", _text(values, "to")
    try:
        parse_reference(reference)
    except UsageError as error:
        raise _WrongError(f"`model`: {error.message}") from error
    if to is not None and (why := bad_place(to)) is not None:
        raise _WrongError(f"`to`: {to[:200]!r} {why}")
    flags = {name: values.get(name, False) for name in _FLAGS}
    if any(type(flag) is not bool for flag in flags.values()):
        raise _WrongError(f"one of {', '.join(_FLAGS)} is neither true nor false")
    files = tuple(_file(value) for value in _list(values, "files", _MOST_FILES))
    if files and not files[0].artifact.path.lower().endswith(".rkllm"):
        raise _WrongError("the first file of a model is no .rkllm")
    if not files and not flags["optional"]:
        raise _WrongError(f"{reference} has no file")
    return LockedModel(
        wish=Wish(
            model=reference,
            quant=_value(values, "quant", Quant.read) if values.get("quant") else None,
            context=_count(values, "context"),
            to=to,
            **flags,
        ),
        name=_text(values, "name"),
        files=files,
        level=_value(values, "verdict", Level) if values.get("verdict") else None,
        why=_text(values, "why") or "",
        alone=_text(values, "alone"),
    )


def _file(value: Any) -> LockedFile:
    values = _table(value, "a file")
    sha256 = border.digest(values.get("sha256"))
    if sha256 is None:
        raise _WrongError("a file has no SHA-256")
    size = _count(values, "bytes")
    attributes = settle(_evidence(values.get("attributes")))
    others = _list(values, "also", _MOST_PLACES)
    return LockedFile(
        artifact=Artifact(
            **_place(values, size, sha256),
            attributes=attributes,
            updated=_text(values, "updated"),
        ),
        also=tuple(
            Artifact(**_place(_table(other, "a place"), size, sha256), attributes=attributes)
            for other in others
        ),
    )


def _place(values: Mapping[str, Any], size: int | None, sha256: str) -> dict[str, Any]:
    source, repo, path = (_text(values, name) or "" for name in ("source", "repo", "path"))
    if not source.isascii() or not source.isalpha() or source == LOCAL:
        raise _WrongError(f"{source[:80]!r} is no source")
    if border.HIDDEN.search(repo) or (source in _HUBS | {CONVERTED} and bad_path(repo) is not None):
        raise _WrongError(f"{repo[:200]!r} is no repository")
    if (why := bad_path(path)) is not None:
        raise _WrongError(f"`path`: {path[:200]!r}: {why}")
    revision = values.get("revision")
    if revision is not None and border.ref(revision) is None:
        raise _WrongError("a revision is none")
    return {
        "source": source,
        "repo": repo,
        "path": path,
        "revision": revision,
        "size_bytes": size,
        "sha256": sha256,
        "availability": Availability.LISTED,
    }


def _evidence(values: Any) -> Iterator[Evidence]:
    for name, said in _table({} if values is None else values, "attributes").items():
        try:
            origin = Origin(_table(said, "an attribute").get("origin"))
        except ValueError:
            continue  # of a newer rkfetch
        value = said.get("value")
        item = isinstance(value, str) and border.observation(
            Evidence(attribute=name, value=value, origin=origin, place="lock")
        )
        if item:
            yield item


def _table(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _WrongError(f"{what} is none")
    return value


def _list(values: Mapping[str, Any], key: str, most: int) -> list[Any]:
    found = values.get(key)
    if not isinstance(found, list) or len(found) > most:
        raise _WrongError(f"`{key}` is no list of at most {most}")
    return found


def _text(values: Mapping[str, Any], key: str) -> str | None:
    value = values.get(key)
    if value is None:
        return None
    if border.text(value) is None:
        raise _WrongError(f"`{key}` is no text of at most {border.LONGEST_TEXT} characters")
    return str(value)


def _count(values: Mapping[str, Any], key: str) -> int | None:
    value = values.get(key)
    if value is None:
        return None
    if border.count(value) is None:
        raise _WrongError(f"`{key}` is no amount")
    return int(value)


def _value(values: Mapping[str, Any], key: str, reader: Any) -> Any:
    text = values.get(key)
    try:
        value = reader(text) if isinstance(text, str) else None
    except ValueError:
        value = None
    if value is None:
        raise _WrongError(f"`{key}` is {text!r:.80}, which means nothing here")
    return value
