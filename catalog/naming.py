"""What names and cards alone tell about an upload.

Pure functions: (source, repository id, path, card facts) to attributes with evidence. Names are
written any old way, so a name is searched for *tokens* that are sure (a SoC, a quantisation, a
three-part version), and what stands before the first of them is the model. What is not sure
stays unknown: a wrong platform or toolkit would be worse than none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from rkfetch.registry.model import Evidence, Origin, Platform, Quant
from rkfetch.registry.versions import as_version

from .families import TUNED_WORDS, read_model
from .tokens import read_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rkfetch.registry.record import Record
    from rkfetch.registry.versions import Version

    from .families import ModelName
    from .tokens import Name


_SUFFIX = re.compile(r"\.rkllm(?:\.part[-_.]?\w{1,4})?$", re.IGNORECASE)
_DEEPEST = 8
"""Folders that are read, from the file upwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardText:
    """One README of a repository."""

    text: str
    place: str
    """Its address; a line is added as ``#L12``."""
    folder: str = ""
    """What it is about; empty for the whole repository."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFacts:
    """What the model card and the metadata of a repository say, as its source read them."""

    base_model: str | None = None
    tags: tuple[str, ...] = ()
    place: str | None = None
    """Address of the card, whose front matter says so."""
    texts: tuple[CardText, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """What names alone tell; None where they are silent."""

    repo: str
    path: str
    model: str | None
    family: str | None
    params_b: float | None
    variants: tuple[str, ...]
    platform: Platform | None
    quant: Quant | None
    toolkit: Version | None
    context: int | None
    npu_cores: int | None
    opt_level: int | None
    hybrid_ratio: float | None
    role: str
    multimodal: bool
    evidence: tuple[Evidence, ...]


def guess(
    repo: str,
    path: str,
    *,
    source: str = "huggingface",
    branch: str | None = None,
    card: CardFacts | None = None,
    heard: Mapping[str, str] | None = None,
) -> Guess:
    """Tell what the names of an upload say.

    ``path`` may be empty (only a repository is known), ``repo`` may be a description or empty
    for sources that have no repositories. ``branch`` is the git branch that holds the file, where
    its name may say something. ``heard`` is what the file's header says: it tells which of a
    card's claims are about it. Folders of the path count as part of the file's name. Where file
    and repository disagree the file wins, and both are kept as evidence.
    """
    parts = [(name, Origin.FILE_NAME) for name in _file_names(path)]
    if branch:
        parts.append((read_name(branch, whole=False), Origin.REPO_NAME))
    parts += [(name, Origin.REPO_NAME) for name in _repo_names(repo, source)]
    said = list(_said_by_names(parts))
    if card is not None:
        known = {a: v for a, v, _, _ in reversed(said)}
        said += _said_by_card(repo, path, card, {**known, **(heard or {})})
    model = _model([(name.model, origin) for name, origin in parts], card)
    evidence = [Evidence(attribute=a, value=v, origin=o, place=p) for a, v, o, p in said]
    if model is not None:
        name, origin = model
        places = {Origin.FILE_NAME: path, Origin.CARD: _field(repo, card, "base_model")}
        evidence += _model_evidence(name, origin, places.get(origin, repo))
    role = _role(parts, model[0] if model else None)
    if model is not None and role == "speech" and model[0].size is None:
        # `decoder_qwen3` is a part of a speech model; which one, its name does not tell.
        evidence = [e for e in evidence if e.attribute not in {"model", "params_b"}]
        model = None
    if role != "llm":
        place = path or repo
        evidence.append(
            Evidence(attribute="role", value=role, origin=Origin.FILE_NAME, place=place)
        )
    return _guess(repo, path, model[0] if model else None, role, evidence)


def _guess(
    repo: str, path: str, model: ModelName | None, role: str, evidence: list[Evidence]
) -> Guess:
    values: dict[str, str] = {}
    for item in sorted(evidence, key=lambda e: e.origin.rank):
        values.setdefault(item.attribute, item.value)
    number = {k: values.get(k) for k in ("context", "npu_cores", "opt_level")}
    ratio, params = values.get("hybrid_ratio"), values.get("params_b")
    platform, quant, toolkit = values.get("platform"), values.get("quant"), values.get("toolkit")
    return Guess(
        repo=repo,
        path=path,
        model=values.get("model"),
        family=model.family if model else None,
        params_b=float(params) if params else None,
        variants=model.variants if model else (),
        platform=Platform(platform) if platform else None,
        quant=Quant.read(quant) if quant else None,
        toolkit=as_version(toolkit) if toolkit else None,
        role=role,
        hybrid_ratio=float(ratio) if ratio else None,
        multimodal=model.multimodal if model else False,
        evidence=tuple(evidence),
        **{k: int(v) if v else None for k, v in number.items()},
    )


# --- which names there are ---------------------------------------------------------------------


def _file_names(path: str) -> list[Name]:
    """Return the file's own name and then its folders, nearest first."""
    if not path:
        return []
    # Some clients encode the whole path, slashes too.
    *folders, base = (unquote(path) if "%" in path else path).split("/")
    nearest = reversed(folders[-_DEEPEST:])
    return [read_name(_stem(base)), *(read_name(folder, whole=False) for folder in nearest)]


def _stem(name: str) -> str:
    """Return a name without ``.rkllm``, and without the number of a split file's part."""
    return _SUFFIX.sub("", name)


def _repo_names(repo: str, source: str) -> list[Name]:
    """Return the repository's name without its owner; for the zoo, its folders."""
    if not repo:
        return []
    if source in {"huggingface", "modelscope"}:
        name = repo.rpartition("/")[2]
        return [read_name(_stem(name))]
    if source == "modelzoo":
        return [read_name(part, whole=False) for part in reversed(repo.split("/"))]
    # A description of a place: its words are no names, but a path in it may be.
    return [read_name(repo.rpartition("/")[2], whole=False)] if "/" in repo else []


# --- what they say -----------------------------------------------------------------------------

_Said = tuple[str, str, Origin, str]


def _said_by_names(parts: Iterable[tuple[Name, Origin]]) -> Iterator[_Said]:
    """Yield what each name says; of several file-level names the nearest wins."""
    seen: set[tuple[str, Origin]] = set()
    for name, origin in parts:
        for attribute, value in name.attributes.items():
            if (attribute, origin) not in seen:
                seen.add((attribute, origin))
                yield attribute, value, origin, name.text


def _said_by_card(
    repo: str, path: str, card: CardFacts, known: Mapping[str, str]
) -> Iterator[_Said]:
    """Yield what a card says about this file: the nearest README first, then the tags."""
    # Names alone are read whenever somebody asks for a model, and that should be quick.
    from .cards import read_card, said_of

    told: set[str] = set()
    for text in sorted(card.texts, key=lambda t: len(t.folder), reverse=True):
        if text.folder and not path.startswith(f"{text.folder}/"):
            continue
        inside = path[len(text.folder) :].lstrip("/")
        for attribute, value, line in said_of(read_card(text.text), inside, known):
            if attribute not in told:
                told.add(attribute)
                yield attribute, value, Origin.CARD, f"{text.place}#L{line}"
    platforms = {t.lower() for t in card.tags} & {p.value for p in Platform}
    if len(platforms) == 1 and "platform" not in told:
        yield "platform", platforms.pop(), Origin.CARD, _field(repo, card, "tags")


def _field(repo: str, card: CardFacts | None, name: str) -> str:
    """Return where a field of a card's front matter can be looked up."""
    place = card.place if card is not None else None
    return f"{place or f'https://huggingface.co/{repo}'}#{name}"


# --- the model ---------------------------------------------------------------------------------


def _model(
    found: list[tuple[str, Origin]], card: CardFacts | None
) -> tuple[ModelName, Origin] | None:
    """Choose the most telling model name: the file's, unless another completes it."""
    names = [(read_model(text), origin) for text, origin in found if text]
    known = [(name, origin) for name, origin in names if name is not None]
    if card is not None and card.base_model:
        base = read_model(card.base_model.rpartition("/")[2])
        if base is not None:
            known.append((base, Origin.CARD))
    if not known:
        return None
    best, origin = known[0]
    for other, other_origin in known[1:]:
        if _completes(other, best):
            best, origin = other, other_origin
    return best, origin


def _completes(other: ModelName, best: ModelName) -> bool:
    """Tell whether ``other`` says the same as ``best``, and more."""
    if not other.known:
        nameless = best.params_b is None and not best.known
        return (nameless and other.params_b is not None) or _is_tuned(other, best)
    if not best.known and best.params_b is None:
        # `model`, `qwen3_final`: the repository's name is the better witness.
        return best.family is None or best.family == other.family
    same_size = other.size == best.size
    if other.family != best.family:
        if best.size is None:
            return best.params_b is None and _is_vague(best, other)
        # `qwen2.5-7b` among Coder's files, `qwen-1.5b` (there is none) among DeepSeek's.
        of_kind = (other.family or "").startswith(f"{best.family}-")
        return same_size and best.known and (of_kind or other.published > best.published)
    if best.size is None and other.size is not None:
        return True
    return same_size and best.known and set(best.variants) < set(other.variants)


def _is_tuned(other: ModelName, best: ModelName) -> bool:
    """Tell whether ``other`` is named as something that was made of ``best``."""
    words = set(re.split(r"[-_. ]+", other.name.lower()))
    return best.known and best.params_b == other.params_b and bool(words & TUNED_WORDS)


def _is_vague(best: ModelName, other: ModelName) -> bool:
    """Tell whether a name like ``qwen`` may stand for what the repository spells out."""
    mine, others = (best.family or best.name).lower(), (other.family or "").lower()
    return others.startswith(mine.rstrip("0123456789.-"))


def _model_evidence(name: ModelName, origin: Origin, place: str) -> Iterator[Evidence]:
    yield Evidence(attribute="model", value=name.name, origin=origin, place=place)
    if name.params_b is not None:
        params = f"{name.params_b:g}"
        yield Evidence(attribute="params_b", value=params, origin=origin, place=place)


def _role(parts: list[tuple[Name, Origin]], model: ModelName | None) -> str:
    for name, origin in parts:
        if origin is Origin.FILE_NAME and name.role is not None:
            return name.role
    return model.role if model is not None else "llm"


def recorded_model(record: Record) -> str | None:
    """Return the plain name of a stored file's base model, as recorded or else as its name tells.

    A vision encoder is none.
    """
    if record.model:
        return record.model.rpartition("/")[2]
    if record.path.endswith(".rknn"):
        return None
    return guess(record.repo, record.path).model
