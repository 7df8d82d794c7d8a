"""Which words a name consists of, and which of them a person's words mean.

Both sides are taken apart the same way: letters and digits apart (``Qwen2.5`` is ``qwen`` and
``2.5``), but a size, a SoC and a quantisation stay whole (``1.5b``, ``rk3576``, ``w4a16``). A
number is also kept with the letters before it, so that ``qwen3`` does not find a Qwen2.5 whose
uploader has a 3 in his name. Chinese, Japanese and Korean, which are written without spaces, are
indexed by single signs and by pairs.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_SIGNS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_SIGN = re.compile(f"[{_SIGNS}]")
_TOKEN = re.compile(rf"[{_SIGNS}]+|(?:(?![{_SIGNS}])[^\W_]|(?<=\d)\.(?=\d))+")
_WHOLE = re.compile(r"rk\d{4}s?|rv\d{4}b?|w\d+a\d+|[a-z]\d+[a-z]?")
"""What is never parted: SoCs, quantisations, and one letter with digits (``r1``, ``e2b``)."""
_PART = re.compile(r"\d+(?:\.\d+)*(?:[a-z](?![a-z0-9]))?|[^\W\d_]+|\d+")
_NUMBER = re.compile(r"\d+(?:\.\d+)*")
_LETTERS = re.compile(r"[^\W\d_]{2,}")
_UNDERSCORED = re.compile(r"(?<=\d)_(?=\d)")
_VERSION = re.compile(r"v(?=\d+\.\d+\.\d+)")
_EMPTY = frozenset({"rkllm"})
"""Words that every build has, and that so tell nothing."""

LONGEST = 40
"""Characters of a word that are looked at."""
MOST = 64
"""Words of a name, or of a question, that are looked at."""


def document_terms(text: str) -> list[str]:
    """Return the words under which a name is found, each once, in the order of the name."""
    terms: list[str] = []
    for token in _tokens(text):
        if _is_signs(token):
            terms += [*token, *_pairs(token)]
            continue
        for part in _parts(token):
            if terms and _NUMBER.fullmatch(part) and _LETTERS.fullmatch(terms[-1]):
                terms.append(terms[-1] + part)
            terms.append(part)
    return _few(terms)


def query_terms(text: str) -> list[str]:
    """Return the words that a name must have to be what a person asks for."""
    terms: list[str] = []
    for token in _tokens(text):
        if _is_signs(token):
            terms += _pairs(token) or [token]
            continue
        asked: list[str] = []
        for part in _parts(token):
            if asked and _NUMBER.fullmatch(part) and _LETTERS.fullmatch(asked[-1]):
                asked[-1] += part
            else:
                asked.append(part)
        terms += asked
    return _few(terms)


def _few(terms: list[str]) -> list[str]:
    return list(dict.fromkeys(t[:LONGEST] for t in terms if t not in _EMPTY))[:MOST]


def _tokens(text: str) -> list[str]:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _TOKEN.findall(_VERSION.sub("", _UNDERSCORED.sub(".", folded)))


def _is_signs(token: str) -> bool:
    return _SIGN.match(token) is not None


def _pairs(token: str) -> list[str]:
    return [token[i : i + 2] for i in range(len(token) - 1)]


@lru_cache(maxsize=1 << 14)
def _parts(token: str) -> tuple[str, ...]:
    return (token,) if _WHOLE.fullmatch(token) else tuple(_PART.findall(token))


_TALK = frozenset({"instruct", "chat", "it"})
"""Words of a name that say no more than "the model that one talks to"."""


def closeness(asked: frozenset[str], model: str | None) -> float:
    """Tell which share of a model's name was asked for, from 0 to 1.

    Who asks for ``qwen3`` means Qwen3 itself rather than Qwen3-Coder or somebody's fine-tune.
    """
    words = [term for term in _name_terms(model or "") if term not in _TALK or term in asked]
    if not words:
        return 0.0
    return sum(any(word.startswith(term) for term in asked) for word in words) / len(words)


@lru_cache(maxsize=4096)
def _name_terms(name: str) -> list[str]:
    return document_terms(name)
