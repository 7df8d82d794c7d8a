"""Model families: how their names are written, and how a name is read back.

A family knows the words that may stand in its names and the spelling that its makers use on the
Hub. A name is *canonical* only if every word of it is understood; otherwise it keeps the spelling
that it came with, so that a fine-tune is never taken for the model it was tuned from.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from .family_data import BASE_WORDS, FAMILIES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .family_data import Family, Kind

_S = "[-_. ]?"
_SIZE = re.compile(
    r"(?<![\dv.])(?<!(?<!\.)\d_)(?<!\dx)(?<![-_. ]a)"
    r"(e?)(\d{1,3}(?:[._]\d{1,2})?b|\d{2,3}m)(?:[-_]?a(\d+(?:[._]\d+)?[bm]))?(?![a-z0-9])"
)
_BARE_SIZE = re.compile(r"(?<![\d.a-z])(0\.\d{1,2})(?![\d.a-z])")
_WORDS = re.compile(r"[-_ ]+|\.(?!\d)|(?<!\d)\.")
_SEPARATORS = re.compile(r"[\W_]+")
_SPACING = re.compile(r"~|\[[-_. :]+\]\*?")
"""What stands for a separator in a family's pattern."""
_META = re.compile(r"^meta[-_. ]?(?=llama)")
_OTHER_OWNERS = frozenset({"thudm", "unsloth", "lmstudio-community", "bartowski", "mlx-community"})

CHAT_WORDS = frozenset({"instruct", "chat", "it", "v1.0"})
"""Words that say no more than "the model that one talks to"."""
TUNED_WORDS = frozenset(
    {
        *("abliterated", "uncensored", "heretic", "finetune", "finetuned", "sft", "dpo", "grpo"),
        *("lora", "merged", "rag", "roleplay", "medical"),
    }
)
"""Words that make another model of the one whose name they follow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelName:
    """A model's name, taken apart."""

    name: str
    """As its makers spell it, or as it was found."""
    family: str | None
    """``Qwen2.5`` or, for a kind of its own, ``Qwen2.5-Coder``."""
    size: str | None
    """As written in the name: ``1.5B``, ``E2B``, ``500M``."""
    params_b: float | None
    variants: tuple[str, ...]
    """Lower-case words beyond family and size: ``instruct``, ``thinking``, ``2507``."""
    known: bool
    """Every word was understood."""
    role: str = "llm"
    multimodal: bool = False
    organisation: str | None = None
    """Who publishes the family on the Hub."""
    published: bool = False
    """The family has this size, with these words, on the Hub."""
    says_base: bool = False
    """It has a word that only base models have."""
    bare_is_base: bool = False
    """In this family a name without instruct, chat or it is the base model."""
    chat_name: str | None = None
    """For a base model: what the makers call the chat model beside it."""

    @classmethod
    def nothing(cls, text: str) -> ModelName:
        """Return what is known of a text that names no model."""
        return cls(name=text, family=None, size=None, params_b=None, variants=(), known=False)

    @property
    def is_base(self) -> bool:
        """A base model, which continues text rather than answers."""
        if self.says_base:
            return True
        return self.bare_is_base and not CHAT_WORDS & set(self.variants) and self.role == "llm"

    @property
    def core(self) -> frozenset[str]:
        """What sets it apart from the plain chat model of its family and size."""
        return frozenset(self.variants) - CHAT_WORDS - BASE_WORDS - {"hf"}

    @property
    def hub_id(self) -> str | None:
        """Its id on the Hub; None where that is not certain."""
        if not (self.known and self.published and self.organisation):
            return None
        return f"{self.organisation}/{self.name}"


@lru_cache(maxsize=4096)
def read_model(text: str) -> ModelName | None:
    """Read the model part of a name; None where it names no model at all."""
    text = text.strip("-_. /")
    if not re.search(r"[^\W\d_]", text):
        return None
    lower = text.lower()
    for short in dict.fromkeys((lower, _without_owner(lower))):
        for pattern, family in _starting(short[:2]):
            match = pattern.match(short)
            if match is not None:
                found = _read_known(family, short[match.end() :])
                if found is not None:
                    return found
    return _read_unknown(text)


def read_respelt(text: str) -> ModelName | None:
    """Read a name whose separators are others than usual, or none; None if nobody is called so.

    ``qwen25-15b`` is ``Qwen2.5-1.5B``. Every letter and digit has to be understood, and of sizes
    only those are that the family is published with.
    """
    lower = text.lower()
    for short in dict.fromkeys((lower, _without_owner(lower))):
        plain = squeeze(short)
        for _, family in _starting(plain[:2]):
            head = re.match(_SPACING.sub("", family.pattern), plain)
            if head is None:
                continue
            parts = {squeeze(part): part for part in _parts(family)}
            longest_first = "|".join(sorted(parts, key=len, reverse=True))
            found = re.findall(longest_first, plain[head.end() :]) if parts else []
            if head[0] + "".join(found) == plain:
                model = read_model("-".join([family.name, *(parts[p] for p in found)]))
                if model is not None and model.known:
                    return model
    return None


def squeeze(name: str) -> str:
    """Return a name's letters and digits, lower case: what is left of it however it is written."""
    return _SEPARATORS.sub("", name.lower())


def _parts(family: Family) -> set[str]:
    """Return what may follow the family's own name: sizes, words, and words of kinds."""
    kinds = family.kinds
    sizes = family.sizes.union(*(kind.sizes for kind in kinds.values()))
    return {*sizes, *family.words, *(word for name in kinds for word in name.split("-"))}


def _without_owner(lower: str) -> str:
    """Cut `Qwen_`, `models--google--` or `unsloth-` off a name."""
    lower = lower.removeprefix("models--")
    for owner in _owners():
        rest = lower.removeprefix(owner)
        # meta-llama-3-8b is no name of meta-llama's behind a prefix.
        if rest != lower and re.match(r"[-_/]+[a-z]", rest):
            lower = rest.lstrip("-_/")
            break
    return _META.sub("", lower)


@cache
def _owners() -> tuple[str, ...]:
    return tuple(
        sorted({*_OTHER_OWNERS, *(f.organisation.lower() for f in FAMILIES if f.organisation)})
    )


@cache
def _starting(letters: str) -> tuple[tuple[re.Pattern[str], Family], ...]:
    """Return the families whose names start so; patterns are compiled when first needed."""
    return tuple((_compile(f.pattern), f) for f in FAMILIES if f.pattern.startswith(letters))


def _compile(pattern: str) -> re.Pattern[str]:
    # After a name that ends in a digit, another digit would make another name.
    follows = r"(?=[-_. ]|$)" if pattern[-1].isdigit() else r"(?=[-_. ]|$|\d)"
    return re.compile(pattern.replace("~", _S) + follows)


def _read_known(family: Family, rest: str) -> ModelName | None:
    """Read what follows a family's own name; None if a word is not understood."""
    size = _SIZE.search(rest)
    if size is not None:
        rest = f"{rest[: size.start()]}-{rest[size.end() :]}"
    kind, words = _kind(family, [w for w in _WORDS.split(rest) if w])
    if any(w not in family.words for w in words):
        return None
    words = [w for w in words if family.words[w] is not None]
    spelled, params = _spell_size(family, size)
    if spelled is None:
        spelled = family.default_size
        named = [family.named_sizes[w] for w in words if w in family.named_sizes]
        params = named[0] if named else family.only_size
    words = _complete(family, kind, words, (spelled or "").lower())
    if params is None and size is None:
        params = next((family.named_sizes[w] for w in words if w in family.named_sizes), None)
    bare_is_base = (kind or family).bare_is_base
    shown = [w for w in words if not (bare_is_base and w == "base")]
    name = _assemble(family, kind, spelled, shown)
    return ModelName(
        name=name,
        family=f"{family.name}-{kind.name}" if kind else family.name,
        size=spelled,
        params_b=params,
        variants=tuple(words),
        known=True,
        role=kind.role if kind else family.role,
        multimodal=family.multimodal or "vision" in words or bool(kind and kind.multimodal),
        organisation=family.organisation,
        published=_is_published(family, kind, (spelled or "").lower(), set(words)),
        says_base=bool(family.base_words & set(words)),
        bare_is_base=bare_is_base,
        chat_name=f"{name}-{family.chat}" if bare_is_base else None,
    )


def _kind(family: Family, words: list[str]) -> tuple[Kind | None, list[str]]:
    """Take the words that name a kind out of a name's words."""
    of_kind = [w for w in words if w in family.kinds]
    kind = family.kinds.get("-".join(of_kind))
    if kind is None:
        return None, words
    return kind, [w for w in words if w not in of_kind]


def _is_published(family: Family, kind: Kind | None, size: str, words: set[str]) -> bool:
    if size not in (kind or family).sizes and (size or not family.complete_name):
        return False
    if any(w in family.only and size not in family.only[w] for w in words):
        return False
    return all(words & needed for needed in family.needs)


def _spell_size(family: Family, size: re.Match[str] | None) -> tuple[str | None, float | None]:
    if size is None:
        return None, None
    effective, number, active = size.groups()
    number, unit = number[:-1].replace("_", "."), number[-1]
    letter = unit if family.lower_case and not effective else unit.upper()
    shown = f"{effective.upper()}{number.replace('.', family.decimal)}{letter}"
    if active:
        shown += f"-A{active.upper()}"
    if effective:
        # E2B is "effective 2 billion": the file holds more parameters than that.
        return shown, None
    params = float(number) if unit == "b" else float(number) / 1000
    return shown, params


def _complete(family: Family, kind: Kind | None, words: list[str], size: str) -> list[str]:
    """Drop what means nothing, add what goes without saying, in the makers' order."""
    words = [*words, *(d for alternatives, d in family.defaults if not alternatives & set(words))]
    dropped = family.dropped if kind is None else ()
    if dropped and "2507" not in words:
        words = [w for w in words if w not in dropped]
        if "thinking" in words:
            # Qwen3's thinking models exist in this release only.
            words.append("2507")
    elif dropped and not {"thinking", "instruct"} & set(words):
        words.append("instruct")
    if not set(words) & {*CHAT_WORDS, *BASE_WORDS, "thinking", "reasoning"}:
        words += (kind or family).implied
    if size in family.size_words:
        words.append(family.size_words[size])
    return sorted(dict.fromkeys(words), key=list(family.words).index)


def _assemble(family: Family, kind: Kind | None, size: str | None, words: Iterable[str]) -> str:
    spelled = [family.words[w] or "" for w in words]
    before = [s[1:] for s in spelled if s.startswith("<")]
    after = [s for s in spelled if not s.startswith("<")]
    parts = [family.spelling, kind.name if kind else "", *before, size or "", *after]
    return "-".join(p for p in parts if p)


def _read_unknown(text: str) -> ModelName:
    """Keep the spelling; tell the size where it is written."""
    lower = text.lower()
    size = _SIZE.search(lower)
    params: float | None = None
    shown = None
    if size is not None and not size[1]:
        number, unit = size[2][:-1].replace("_", "."), size[2][-1]
        params = float(number) if unit == "b" else float(number) / 1000
        shown = f"{number}{unit.upper()}"
    elif size is None:
        bare = _BARE_SIZE.search(lower)
        params = float(bare[1]) if bare else None
    words = {w for w in _WORDS.split(lower) if w}
    role = next((r for r in ("embedding", "reranker") if r in words), "llm")
    return ModelName(
        name=text,
        family=_family_inside(lower),
        size=shown,
        params_b=params,
        variants=(),
        known=False,
        role=role,
        multimodal=bool(words & {"vl", "vlm", "vision", "ocr", "omni", "audio"}),
    )


def _family_inside(lower: str) -> str | None:
    """Return the family that a fine-tune's name mentions, for people to browse by."""
    for start in re.finditer(r"(?<![a-z])[a-z]", lower):
        rest = lower[start.start() : start.start() + 80]
        for pattern, family in _starting(rest[:2]):
            if pattern.match(rest):
                return family.name
    return None
