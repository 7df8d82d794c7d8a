"""Model families: how their names are written, and how a name is read back.

A family knows the words that may stand in its names and the spelling that its makers use on the
Hub. A name is *canonical* only if every word of it is understood; otherwise it keeps the spelling
that it came with, so that a fine-tune is never taken for the model it was tuned from.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from .family_data import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .family_data import Family, Kind

_SIZE = re.compile(
    r"(?<![\dv.])(?<!\d_)(e?)(\d{1,3}(?:[._]\d{1,2})?)(b|m)(?:[-_]a(\d+(?:\.\d+)?)b)?(?![a-z0-9])"
)
_BARE_SIZE = re.compile(r"(?<![\d.a-z])(0\.\d{1,2})(?![\d.a-z])")
_WORDS = re.compile(r"[-_ ]+|\.(?!\d)|(?<!\d)\.")
_ORGANISATIONS = re.compile(
    r"^(?:(?:qwen|internlm|tinyllama)[_/]+|(?:meta-llama|google|microsoft|deepseek-ai|openbmb|"
    r"huggingfacetb|opengvlab|mistralai|ibm-granite|thudm|zai-org|unsloth)[-_/]+)(?=[a-z])"
)

CHAT_WORDS = frozenset({"instruct", "chat", "it", "hf", "v1.0"})
"""Words that say no more than "the model that one talks to"."""
BASE_WORDS = frozenset({"base", "pt"})


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
    """The family has this size on the Hub."""
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
        if BASE_WORDS & set(self.variants):
            return True
        return self.bare_is_base and not CHAT_WORDS & set(self.variants) and self.role == "llm"

    @property
    def core(self) -> frozenset[str]:
        """What sets it apart from the plain chat model of its family and size."""
        return frozenset(self.variants) - CHAT_WORDS - BASE_WORDS

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
    if not re.search(r"[A-Za-z]", text):
        return None
    lower = text.lower()
    short = _ORGANISATIONS.sub("", lower)
    for family in FAMILIES:
        match = family.pattern.match(short)
        if match is not None:
            found = _read_known(family, short[match.end() :])
            if found is not None:
                return found
    return _read_unknown(text)


def _read_known(family: Family, rest: str) -> ModelName | None:
    """Read what follows a family's own name; None if a word is not understood."""
    size = _SIZE.search(rest)
    if size is not None:
        rest = f"{rest[: size.start()]}-{rest[size.end() :]}"
    words = [w for w in _WORDS.split(rest) if w]
    kind = next((family.kinds[w] for w in words if w in family.kinds), None)
    words = [w for w in words if w not in family.kinds]
    if any(w not in family.words for w in words):
        return None
    words = [w for w in words if family.words[w] is not None]
    for alternatives, default in family.defaults:
        if not alternatives & set(words):
            words.append(default)
    named = next((family.named_sizes[w] for w in words if w in family.named_sizes), None)
    spelled, params = _spell_size(family, size)
    if spelled is None:
        spelled = family.default_size
        params = named or family.only_size
    words = _complete(family, kind, words, spelled)
    sizes = kind.sizes if kind is not None else family.sizes
    label = f"{family.name}-{kind.name}" if kind is not None else family.name
    bare_is_base = family.bare_is_base if kind is None else kind.bare_is_base
    shown = [w for w in words if not (bare_is_base and w == "base")]
    name = _assemble(family, kind, spelled, shown)
    return ModelName(
        name=name,
        family=label,
        size=spelled,
        params_b=params,
        variants=tuple(words),
        known=True,
        role=kind.role if kind is not None else family.role,
        multimodal=family.multimodal or (kind is not None and kind.multimodal),
        organisation=family.organisation,
        published=spelled.lower() in sizes if spelled else family.complete_name,
        bare_is_base=bare_is_base,
        chat_name=f"{name}-{family.chat}" if bare_is_base else None,
    )


def _spell_size(family: Family, size: re.Match[str] | None) -> tuple[str | None, float | None]:
    if size is None:
        return None, None
    effective, number, unit, active = size.groups()
    number = number.replace("_", ".")
    value = float(number)
    letter = unit if family.lower_case and not effective else unit.upper()
    shown = f"{effective.upper()}{number.replace('.', family.decimal)}{letter}"
    if active:
        shown += f"-A{active}B"
    if effective:
        # E2B is "effective 2 billion": the file holds more parameters than that.
        return shown, None
    params = value if unit == "b" else value / 1000
    return shown, family.true_params.get(shown.lower(), params)


def _complete(family: Family, kind: Kind | None, words: list[str], size: str | None) -> list[str]:
    """Put words in the makers' order, drop what means nothing, add what goes without saying."""
    order = list(family.words)
    words = sorted(dict.fromkeys(words), key=order.index)
    dropped = family.dropped if kind is None else ()
    if "2507" not in words:
        words = [w for w in words if w not in dropped]
        if dropped and "thinking" in words:
            # Qwen3's thinking models exist in this release only.
            words.append("2507")
    implied = family.implied if kind is None else kind.implied
    if implied and not set(words) & {*CHAT_WORDS, *BASE_WORDS, "thinking", "reasoning"}:
        words += [w for w in implied if w not in words]
        extra = (kind or family).implied_for.get((size or "").lower(), ())
        words = [*extra, *[w for w in words if w not in extra]]
    return words


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
        number = float(size[2].replace("_", "."))
        params = number if size[3] == "b" else number / 1000
        shown = f"{size[2].replace('_', '.')}{size[3].upper()}"
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
    for family in FAMILIES:
        if re.search(rf"(?<![a-z]){family.pattern.pattern}", lower):
            return family.name
    return None
