"""What people type, and which model they mean by it.

A reference names a model, not a file. ``qwen2.5-1.5b`` means the chat model of that family and
size; never Coder, Math, VL, an embedding model, a base model or a fine-tune unless it is named.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from rkfetch.registry.errors import UsageError
from rkfetch.registry.model import CONVERTED, LOCAL, Quant

from . import border
from .border import HIDDEN
from .families import ModelName, read_model, read_respelt, squeeze

if TYPE_CHECKING:
    from collections.abc import Iterable

_SOURCES = {
    "hf": "huggingface",
    "huggingface": "huggingface",
    "ms": "modelscope",
    "modelscope": "modelscope",
    CONVERTED: CONVERTED,
}
SCHEMES = {source: prefix for prefix, source in reversed(_SOURCES.items())}
"""The shortest prefix of each source that has several."""
_FILE_SYNTAX = "hf:OWNER/REPO/PATH.rkllm[@REVISION], or ms: for ModelScope"
_REVISION = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)*", re.ASCII)


def exactly(source: str, name: str) -> str:
    """Return the reference that names a file exactly: ``hf:OWNER/REPO/PATH``."""
    return f"{SCHEMES.get(source, source)}:{name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReference:
    """One file, named exactly; of one of this machine, ``repo`` is the folder that it lies in."""

    source: str
    repo: str
    path: str
    revision: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What a user typed, taken apart."""

    text: str
    model: str | None
    """The model's part; None for a file."""
    quant: Quant | None = None
    file: FileReference | None = None


def parse_reference(text: str) -> Reference:
    """Read ``qwen2.5-1.5b``, ``qwen2.5:1.5b``, ``OWNER/NAME``, ``…@w8a8`` or ``hf:…``.

    Raises:
        UsageError: it is none of these; with what to write instead.
    """
    text = text.strip()
    if not text or len(text) > 1000 or HIDDEN.search(text):
        raise UsageError(
            "a reference must be a model's name or a file's address, of at most 1000 characters "
            "and without control characters",
            hint=f"for example qwen2.5-1.5b, Qwen/Qwen2.5-1.5B-Instruct or {_FILE_SYNTAX}",
        )
    if text.startswith(("http://", "https://")):
        return Reference(text=text, model=None, file=_from_address(text))
    prefix, colon, rest = text.partition(":")
    if colon and prefix.lower() == LOCAL:
        folder, _, name = rest.rpartition("/")
        if not folder.startswith("/") or not name.lower().endswith(".rkllm"):
            raise UsageError(f"{rest!r} is not the whole path of a .rkllm file")
        file = FileReference(source=LOCAL, repo=folder, path=name)
        return Reference(text=text, model=None, file=file)
    if colon and prefix.lower() in _SOURCES:
        return Reference(
            text=text, model=None, file=_from_short_form(_SOURCES[prefix.lower()], rest)
        )
    name, at, quant = text.rpartition("@")
    if not at:
        return Reference(text=text, model=_model_part(text))
    return Reference(text=text, model=_model_part(name), quant=Quant.parse(quant))


def _model_part(name: str) -> str:
    parts = name.strip().split("/")
    odd = any(not p or p[0] in ".~" for p in parts) or len(parts) > 2
    if odd or not re.search(r"[^\W\d_]", name) or ".." in name or re.search(r"[\\@]", name):
        raise UsageError(
            f"'{name}' is not a model's name",
            hint=f"for example qwen2.5-1.5b, Qwen/Qwen2.5-1.5B-Instruct or {_FILE_SYNTAX}",
        )
    return name


def _from_short_form(source: str, rest: str) -> FileReference:
    rest, at, revision = rest.partition("@")
    parts = rest.split("/")
    if at and not revision:
        raise UsageError("there is no revision behind the @", hint=_FILE_SYNTAX)
    return _file(source, parts, revision or None)


def _from_address(text: str) -> FileReference:
    try:
        address = urlsplit(text)
        host = address.hostname or ""
    except ValueError:
        raise UsageError(f"'{text}' is no address", hint=f"write {_FILE_SYNTAX}") from None
    # Some clients encode the slashes of the path too.
    parts = unquote(address.path).strip("/").split("/")
    source = "modelscope" if "modelscope" in host else "huggingface"
    if parts[0] == "models":  # no owner on Hugging Face is called so
        source, parts = "modelscope", parts[1:]
        if parts[2:4] == ["file", "view"]:  # the page of a file
            parts[2:4] = ["blob"]
    if len(parts) < 5 or parts[2] not in {"resolve", "blob"}:
        raise UsageError(
            f"'{text}' is not the address of a file in a repository",
            hint=f"copy the address of the file's download button, or write {_FILE_SYNTAX}",
        )
    return _file(source, [*parts[:2], *parts[4:]], parts[3])


def _file(source: str, parts: list[str], revision: str | None) -> FileReference:
    odd = any(p in {"", ".", ".."} or "\\" in p or HIDDEN.search(p) for p in parts)
    if len(parts) < 3 or odd or not parts[-1].lower().endswith(".rkllm"):
        raise UsageError(
            f"{'/'.join(parts)!r} is not a .rkllm file in a repository",
            hint=f"write {_FILE_SYNTAX}",
        )
    if revision is not None and border.ref(revision) is None:
        raise UsageError(f"{revision!r} is not a revision", hint=_FILE_SYNTAX)
    default = {"main", "master"}
    return FileReference(
        source=source,
        repo="/".join(parts[:2]),
        path="/".join(parts[2:]),
        revision=None if revision in default else revision,
    )


# --- which of the known models -----------------------------------------------------------------


def match(reference: str, known: Iterable[str]) -> tuple[str, ...]:
    """Return the known plain names that a reference means, best first; empty if none.

    A name that is known exactly always means itself, whatever else it looks like.
    """
    names = list(known)
    exact = _exact(reference, names)
    if "/" in reference:
        return exact
    wanted = _read(exact[0] if exact else reference)
    if exact and not _means_chat_model(wanted):
        return exact
    names = _perhaps_of_family(wanted, names)
    fitting = [n for n in names if (m := read_model(n)) is not None and _meant(wanted, m)]
    if wanted.size is None and len(_sizes(wanted, names)) > 1:
        return exact
    return tuple(sorted(fitting, key=lambda n: (not _is_whole(n), n))) or exact


def _exact(reference: str, names: list[str]) -> tuple[str, ...]:
    organisation, _, name = reference.rpartition("/")
    plain = squeeze(name)
    found = [n for n in names if squeeze(n) == plain]
    if organisation:
        # Qwen/Qwen2.5-1.5B is the base model; nobody/Qwen2.5-1.5B is nothing that we know.
        found = [n for n in found if (hub_id(n) or reference).lower() == reference.lower()]
    return tuple(found)


def _perhaps_of_family(wanted: ModelName, names: Iterable[str]) -> list[str]:
    """Leave out the names that cannot be of the family, because reading each takes its time."""
    begin = squeeze((wanted.family or "").partition("-")[0])
    return [n for n in names if begin in squeeze(n)]


def _means_chat_model(wanted: ModelName) -> bool:
    """Tell whether a bare name could be a base model's, but is meant as the chat model's."""
    return wanted.known and wanted.is_base and not wanted.says_base


def _read(reference: str) -> ModelName:
    """Read a reference as a model's name; ``:`` separates a tag as in ollama."""
    text = re.sub(r"[:\s]+", "-", reference.rpartition("/")[2].strip())
    model = read_model(text) or ModelName.nothing(text)
    return model if model.hub_id is not None else read_respelt(text) or model


def _meant(wanted: ModelName, candidate: ModelName) -> bool:
    if not (wanted.known and candidate.known and wanted.family == candidate.family):
        return False
    if wanted.core != candidate.core or candidate.role != wanted.role:
        return False
    if wanted.size is not None and wanted.size.lower() != (candidate.size or "").lower():
        return False
    return candidate.is_base == wanted.says_base


def _sizes(wanted: ModelName, names: Iterable[str]) -> set[str]:
    """Return the sizes of a family that are known: with more than one, a size must be said."""
    models = [m for n in names if (m := read_model(n)) is not None and m.known]
    return {m.size for m in models if m.size and (m.family, m.core) == (wanted.family, wanted.core)}


def _is_whole(name: str) -> bool:
    model = read_model(name)
    return model is not None and model.hub_id is not None


# --- what is near ------------------------------------------------------------------------------


def suggest(reference: str, known: Iterable[str], limit: int = 3) -> tuple[str, ...]:
    """Return known names that a user may have meant, nearest first."""
    import difflib

    names = list(known)
    wanted = _read(reference)
    sizes = [
        n
        for n in names
        if wanted.known
        and (m := read_model(n)) is not None
        and m.known
        and (m.family, m.core, m.is_base) == (wanted.family, wanted.core, False)
    ]
    if sizes and (wanted.size is None or wanted.params_b is not None):
        return tuple(sorted(sizes, key=lambda n: _distance(n, wanted.params_b))[:limit])
    text = squeeze(reference)
    longer = [n for n in names if len(text) > 3 and squeeze(n).startswith(text)]
    if longer:
        return tuple(sorted(longer, key=lambda n: _distance(n, wanted.params_b))[:limit])
    plain = {squeeze(n): n for n in reversed(names)}
    short = {re.sub(r"(instruct|chat|it)$", "", p): n for p, n in plain.items()}
    near = difflib.get_close_matches(text, [*plain, *short], n=limit * 2, cutoff=0.6)
    found = [{**short, **plain}[p] for p in near]
    # A misspelt bare name means the chat model, as a well-spelt one would.
    meant = [(match(n, names) or (n,))[0] for n in found]
    return tuple(dict.fromkeys(meant))[:limit]


def _distance(name: str, params_b: float | None) -> tuple[float, str]:
    model = read_model(name)
    size = (model.params_b if model else None) or 0
    return (abs(size - params_b) if params_b is not None else size), name


# --- base models that are known whether or not anyone has built them ---------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A published base model."""

    name: str
    hub_id: str
    family: str
    params_b: float | None


def known_model(reference: str) -> Model | None:
    """Return the published model that a reference means, whether or not a build exists."""
    wanted, exactly_named = _read(reference), "/" in reference
    if wanted.chat_name is not None and _means_chat_model(wanted) and not exactly_named:
        wanted = _read(wanted.chat_name)
    if wanted.hub_id is None or wanted.family is None:
        return None
    if exactly_named and wanted.hub_id.lower() != reference.lower():
        return None
    return Model(
        name=wanted.name, hub_id=wanted.hub_id, family=wanted.family, params_b=wanted.params_b
    )


def hub_id(model_name: str) -> str | None:
    """Return the Hub id of a plain model name; None where it is not certain."""
    model = read_model(model_name)
    return model.hub_id if model is not None else None
