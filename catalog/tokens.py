"""Read one name (of a file, a folder, a repository) as tokens: SoC, quantisation, version, …

Everything is found by what it looks like, never by where it stands: order and separators vary
from uploader to uploader, and within one uploader over time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from rkfetch.registry.versions import as_version

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rkfetch.registry.versions import Version

_B = r"(?<![A-Za-z0-9])"
_E = r"(?![A-Za-z0-9])"


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """One name, taken apart."""

    text: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    """Canonical values by the attribute's name."""
    model: str = ""
    """What is left: the model's part; empty for names like ``model`` or ``rk3576-w8a8``."""
    role: str | None = None
    """``lora``, ``speech`` or ``vision`` where the name says that it is no whole model."""


@dataclass(frozen=True, slots=True)
class _Token:
    attribute: str
    pattern: re.Pattern[str]
    value: Callable[[re.Match[str]], str | None]
    """None for a match that turns out to mean nothing."""


def _token(attribute: str, pattern: str, value: Callable[[re.Match[str]], str | None]) -> _Token:
    return _Token(attribute, re.compile(_B + pattern + _E, re.IGNORECASE), value)


def _quant(match: re.Match[str]) -> str:
    weight, activation, group = match["w"], match["a"], match["g"]
    return f"w{weight}a{activation}" + (f"_g{group}" if group else "")


def _context(match: re.Match[str]) -> str | None:
    tokens = int(match["n"]) * (1024 if match["k"] else 1)
    return str(tokens) if 256 <= tokens <= 16384 else None


def _number(match: re.Match[str]) -> str:
    return f"{float(match['n']):g}"


def _short_version(match: re.Match[str]) -> str | None:
    """Read ``v123`` and ``v1.22``: a version whose dots were left out."""
    digits = match["n"].replace(".", "")
    return ".".join(digits) if digits[0] == "1" and int(digits[1]) <= 4 else None


_QUANT = r"w(?P<w>4|8)a(?P<a>8|16)(?:[-_. ]?g(?P<g>\d{2,4}))?"
_VERSION = r"(?P<n>1\.\d\.\d{1,2}(?:b\d{1,2})?)"

# Earlier entries take their characters first.
_TOKENS = (
    _token(
        "runtime", r"(?:rkllm[-_. ]?)?(?:runtime|rt)[-_. ]?v?[-_.]?" + _VERSION, lambda m: m["n"]
    ),
    _token("npu_cores", _QUANT + r"[-_](?P<c>[1-3])[-_](?P<n>\d{3,5})", lambda m: m["c"]),
    _token("quant", _QUANT, _quant),
    _token("quant", r"fp16", lambda _: "fp16"),
    _token("platform", r"rk(?P<n>3576|3588|3562)(?:s2?|j|m)?", lambda m: f"rk{m['n']}"),
    _token("platform", r"rv1126b", lambda _: "rv1126b"),
    _token("platform", r"(?P<n>3576|3588|3562)", lambda m: f"rk{m['n']}"),
    _token("other-soc", r"(?:rk|rv)\d{3,4}[a-z]?\d?", lambda _: ""),
    _token("hybrid_ratio", r"hybrid(?:[-_]?r(?:atio|ate))?[-_]?(?P<n>[01](?:\.\d+)?)", _number),
    _token("hybrid_ratio", r"h(?P<n>[01]\.\d+)", _number),
    _token("opt_level", r"opt(?:im(?:ization)?)?(?:[-_]?level)?[-_]?(?P<n>[0-3])", _number),
    _token("opt_level", r"o(?P<n>[0-3])", _number),
    _token("npu_cores", r"npu[-_]?(?:cores?)?[-_]?(?P<n>[1-3])", _number),
    _token("npu_cores", r"(?P<n>[1-3])[-_]?(?:npu|cores?)(?:[-_]?cores?)?", _number),
    _token("toolkit", r"(?:rkllm[-_]?)?(?:toolkit|tk)[-_]?v?[-_]?" + _VERSION, lambda m: m["n"]),
    _token("toolkit", r"rkllm[-_]?v?" + _VERSION, lambda m: m["n"]),
    _token("toolkit", r"v?" + _VERSION, lambda m: m["n"]),
    _token(
        "context",
        r"(?:max[-_]?)?(?:ctx|context)(?:[-_]?len(?:gth)?)?[-_]?(?P<n>\d{1,5})(?P<k>k?)",
        _context,
    ),
    _token("context", r"(?P<n>\d{1,2})(?P<k>k)[-_]?(?:ctx|context)", _context),
)

# These mean something only behind the model's part; inside it they belong to the model's name
# (`Phi-3-mini-4k-instruct`, `deepseek-coder-7b-instruct-v1.5`).
_TRAILING = (
    _token("context", r"(?P<n>1|2|4|8|16)(?P<k>k)", _context),
    _token("context", r"(?P<n>1024|2048|4096|8192|12288|16384)(?P<k>)", _context),
    _token("toolkit", r"v(?P<n>1[0-9]{2}|1\.[0-9]{2})", _short_version),
)

_NOISE = re.compile(
    _B + r"(?:rk|rkllm|rknn|rknpu\d?|npu|rockchip|gguf(?:[-_]?f16)?|f16|16bit|bit|unsloth|"
    r"level\d|per[-_]?channel|hybrid|quantized|quant|converted|conversion|toolkit|runtime|demo|"
    r"opi\w*|orange-?pi\w*|rock[-_]?[45]\w?|radxa|linux|aarch64|grq|gdq|normal|weights|export(?:ed)?)"
    + _E,
    re.IGNORECASE,
)
_GENERIC = re.compile(
    r"(?:language[-_ ]?model|model|models|llm|weights|rkllm[-_]model[-_]zoo|decoder|main|test|"
    r"output|vlm|language|final|hf|\d+)",
    re.IGNORECASE,
)
_LEAD = re.compile(r"^(?:llm|vlm|model)[-_ ]+(?!jp)", re.IGNORECASE)
_PART = re.compile(r"^(?:decoder|encoder|talker|thinker|code_predictor)(?:[-_.]|$)", re.IGNORECASE)


@lru_cache(maxsize=4096)
def read_name(text: str, *, whole: bool = True) -> Name:
    """Take a name apart.

    ``whole`` says that it should name a model; a folder like ``models`` or a description need
    not, and then only a known family's name is taken for one.
    """
    found: dict[str, list[str]] = {}
    spans = _scan(text, found)
    spans += [m.span() for m in _NOISE.finditer(text)]
    segments = _outside(text, spans)
    model, rest = _model_part(segments)
    for token in _TRAILING:
        for piece in rest:
            for match in token.pattern.finditer(piece):
                value = token.value(match)
                if value is not None:
                    found.setdefault(token.attribute, []).append(value)
    part = _PART.match(model)
    if part is not None:
        model = model[part.end() :]
    return Name(
        text=text,
        attributes=_agreed(found),
        # A part of a speech model (`decoder_hf`, `talker_fixed`) is named after what it does.
        model=_named(model, whole=whole and part is None),
        role=_role(text, is_part=part is not None),
    )


def _scan(text: str, found: dict[str, list[str]]) -> list[tuple[int, int]]:
    """Collect tokens; a character belongs to the first token that takes it."""
    spans: list[tuple[int, int]] = []
    for token in _TOKENS:
        for match in token.pattern.finditer(text):
            if any(match.start() < end and start < match.end() for start, end in spans):
                continue
            value = token.value(match)
            if value is None:
                continue
            spans.append(match.span())
            found.setdefault(token.attribute, []).append(value)
            if token.attribute == "npu_cores" and "w" in match.groupdict():
                # A folder per configuration: quantisation, cores, context (`w4a16-2-1024`).
                found.setdefault("quant", []).append(_quant(match))
                found.setdefault("context", []).append(match["n"])
    return spans


def _outside(text: str, spans: list[tuple[int, int]]) -> list[str]:
    """Return what lies between the tokens, in order, empty pieces dropped."""
    pieces, position = [], 0
    for start, end in sorted(spans):
        pieces.append(text[position:start])
        position = max(position, end)
    pieces.append(text[position:])
    return [p for p in (piece.strip("-_. ()[]") for piece in pieces) if p]


def _model_part(segments: list[str]) -> tuple[str, list[str]]:
    """Return the model's part and what stands behind it."""
    for number, segment in enumerate(segments):
        names_something = re.search(r"[A-Za-z]{2}", segment) and not _GENERIC.fullmatch(segment)
        if names_something and not any(t.pattern.fullmatch(segment) for t in _TRAILING):
            return _without_context(segment, segments[number + 1 :])
    return "", segments


def _without_context(model: str, rest: list[str]) -> tuple[str, list[str]]:
    """Cut a trailing context off a model's part, unless it belongs to the model's own name."""
    from .families import read_model

    cut = re.search(r"[-_](?:\d{1,2}k|1024|2048|4096|8192|16384)$", model, re.IGNORECASE)
    if cut is None:
        return model, rest
    name = read_model(model)
    if name is not None and name.known:
        return model, rest
    return model[: cut.start()], [cut[0].strip("-_"), *rest]


def _named(model: str, *, whole: bool) -> str:
    """Return the model's part without filler words; empty if it names nothing."""
    from .families import read_model

    model = _LEAD.sub("", model).strip("-_. ")
    if not model or _GENERIC.fullmatch(model):
        return ""
    if whole:
        return model
    name = read_model(model)
    return model if name is not None and name.known else ""


def _agreed(found: dict[str, list[str]]) -> dict[str, str]:
    """Keep an attribute only if a name does not contradict itself."""
    agreed = {}
    for attribute, values in found.items():
        different = dict.fromkeys(values)
        if len(different) == 1 and attribute not in {"runtime", "other-soc"}:
            agreed[attribute] = values[0]
    return agreed


def _role(text: str, *, is_part: bool) -> str | None:
    words = re.split(r"[-_. ]+", text.lower())
    if words[-1] == "lora":
        return "lora"
    if is_part:
        return "speech"
    return "vision" if "vision" in words and "encoder" in words else None


_CARD_TOOLKIT = re.compile(
    r"rkllm[-_ ]?toolkit(?:[-_ ]?version)?(?:\s|[*`|:=\"'_()-]|\bversion\b|\bv)*"
    r"(?P<n>\d+\.\d+\.\d+(?:b\d+)?)",
    re.IGNORECASE,
)


def toolkit_in_text(text: str) -> Version | None:
    """Read "RKLLM Toolkit: 1.2.3" out of a model card; None if it is not said or said twice.

    A runtime's version is not the toolkit's.
    """
    versions = {as_version(m["n"]) for m in _CARD_TOOLKIT.finditer(text)} - {None}
    return versions.pop() if len(versions) == 1 else None
