"""Read one name (of a file, a folder, a repository) as tokens: SoC, quantisation, version, …

Everything is found by what it looks like, never by where it stands: order and separators vary
from uploader to uploader, and within one uploader over time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .families import ModelName

_B = r"(?<![A-Za-z0-9])"
_E = r"(?![A-Za-z0-9])"
_WHOLE_NUMBER = (
    r"(?<!\d)" + "".join(rf"(?<!(?<![A-Za-z\d])\d{{{n}}}[._])" for n in (1, 2, 3)),
    r"(?!\d|\.\d)",
)
"""What may not touch a number, so that it is no part of a longer one."""
_GLUED = re.compile(r"(?<=\d)(?=rk3\d{3}|w[48]a(?:8|16))|(?<=rk3\d{3})(?=w[48]a)", re.IGNORECASE)


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
    return f"{float(match['n'].replace('_', '.')):g}"


def _nothing(_: re.Match[str]) -> str:
    return ""


def _version(match: re.Match[str]) -> str:
    return match["n"].lower().replace("_", ".")


def _short_version(match: re.Match[str]) -> str | None:
    """Read ``v123`` and ``v1.22``: a version whose dots were left out."""
    digits = match["n"].replace(".", "")
    return ".".join(digits) if digits[0] == "1" and int(digits[1]) <= 4 else None


_QUANT = r"w(?P<w>4|8)[-_]?a(?P<a>8|16)(?:[-_. ]?g(?:roup|s)?[-_]?(?:size)?[-_]?(?P<g>\d{2,4}))?"
_VERSION = r"(?P<n>1\.\d\.\d(?:b\d{1,2})?)(?!\.\d)"
_UNDERSCORED = r"(?P<n>1[._]\d[._]\d(?:b\d{1,2})?)(?![._]\d)"
_V = r"[-_. =]?(?:version|ver|v)?[-_. ]?"
# Versions of these are no toolkit's, however they look.
_SOFTWARE = (
    r"(?:rkllm[-_. ]?)?(?:runtime|rt|driver|kernel)|(?:lib)?rk(?:llm|nn)rt|rknn[-_. ]?toolkit2?|"
    r"rknn(?:[-_. ]?lite)?2?|rknpu2?|transformers|torch|pytorch|onnx(?:runtime)?|python|py|cuda|"
    r"numpy|peft|trl|vllm|ollama|llama[-_.]?cpp|gradio|ubuntu|debian|armbian|bsp|fw|firmware|lib"
)


@cache
def _tokens() -> tuple[_Token, ...]:
    """Return what can stand anywhere in a name; earlier entries take their characters first."""
    before, after = _WHOLE_NUMBER
    return (
        _token("software", rf"(?:{_SOFTWARE}){_V}(?P<n>\d+(?:[._]\d+)+(?:b\d+)?)", _nothing),
        _token("software", _VERSION + r"[-_. ]?(?:runtime|rt|driver)", _nothing),
        _token("date", r"20[2-3]\d[-_.]?[01]\d[-_.]?[0-3]\d", _nothing),
        _token("date", rf"{before}\d{{1,2}}\.\d{{1,2}}\.(?:20)?2[4-9]{after}", _nothing),
        _token(
            "step",
            r"(?:steps?|checkpoint|ckpt|epochs?|iter(?:ation)?s?|seed|build|port|issue|pr|rev|no)"
            r"[-_.#]?\d{3,}",
            _nothing,
        ),
        _token("npu_cores", _QUANT + r"[-_](?P<c>[1-3])[-_](?P<n>\d{3,5})", lambda m: m["c"]),
        _token("quant", _QUANT, _quant),
        _token("quant", r"fp16", lambda _: "fp16"),
        _token("group", r"g(?P<n>32|64|128|256|512)", lambda m: m["n"]),
        _token("platform", r"rk[-_ ]?(?P<n>3576|3588|3562)(?:s2?|j|m)?", lambda m: f"rk{m['n']}"),
        _token("platform", r"rv[-_ ]?1126b", lambda _: "rv1126b"),
        _token("platform", rf"{before}(?P<n>3576|3588|3562)s?{after}", lambda m: f"rk{m['n']}"),
        _token("other-soc", r"(?:rk|rv)[-_ ]?\d{3,4}[a-z]?\d?", _nothing),
        _token(
            "hybrid_ratio",
            r"(?:hybrid(?:[-_]?r(?:atio|ate)?)?|h?ratio|hr)[-_]?(?P<n>[01](?:[._]\d+)?)",
            _number,
        ),
        _token("hybrid_ratio", r"h(?P<n>[01]\.\d+)", _number),
        _token(
            "opt_level",
            r"opt(?:im(?:i[sz]ation)?)?(?:[-_]?l(?:evel|v)?)?[-_]?(?P<n>[0-3])",
            _number,
        ),
        # `Marco-o1` is a model.
        _token("opt_level", r"(?<!marco[-_. ])o(?P<n>[0-3])", _number),
        _token(
            "npu_cores", r"(?:num[-_]?)?npu[-_]?(?:cores?[-_]?)?(?:num[-_]?)?(?P<n>[1-3])", _number
        ),
        _token("npu_cores", r"cores?[-_]?(?P<n>[1-3])", _number),
        _token("npu_cores", r"(?P<n>[1-3])[-_]?(?:npu|cores?)(?:[-_]?cores?)?", _number),
        _token(
            "toolkit",
            rf"(?:rkllm|toolkit|tk|rkllm[-_. ]?(?:toolkit|tk)|rknn[-_]?llm)"
            rf"(?:[-_. ]?release)?{_V}{_UNDERSCORED}",
            _version,
        ),
        _token("toolkit", rf"(?:version|ver|v)[-_. ]?{_UNDERSCORED}", _version),
        _token("toolkit", before + _VERSION, _version),
        _token(
            "context",
            r"(?:max[-_]?)?(?:ctx|context|seq|len|tokens?)(?:[-_]?len(?:gth)?|[-_]?size)?[-_]?"
            r"(?P<n>\d{1,5})(?P<k>k?)",
            _context,
        ),
        _token("context", r"(?P<n>\d{1,2})(?P<k>k)[-_]?(?:ctx|context)", _context),
        _token("context", r"(?P<n>\d{4,5})(?P<k>)[-_]?(?:ctx|context)", _context),
        _token("context", r"c(?P<n>1024|2048|4096|8192|16384)(?P<k>)", _context),
    )


@cache
def _trailing() -> tuple[_Token, ...]:
    """Return what means something only behind the model's part.

    Inside it, it belongs to the model's name (`Phi-3-mini-4k-instruct`).
    """
    return (
        _token("context", r"(?P<n>1|2|4|8|16)(?P<k>k)", _context),
        _token("context", r"(?P<n>1024|2048|4096|8192|12288|16384)(?P<k>)", _context),
        _token("toolkit", r"v(?P<n>1[0-9]{2}|1\.[0-9]{2})", _short_version),
        _token("toolkit", r"(?:rkllm|toolkit|tk)[-_]?v?(?P<n>1[0-9]{2})", _short_version),
    )


_NOISE = re.compile(
    _B + r"(?:rk|rkllm|rknn|rknpu\d?|npu|rockchip|gguf(?:[-_]?f16)?|f16|[48]?[-_]?bit|16bit|"
    r"gptq|awq|bnb|(?:gptq[-_]?)?int[48]|unsloth|level\d|per[-_]?channel|hybrid|quantized|quant|"
    r"converted|conversion|convert|toolkit|runtime|demo|opi\w*|orange-?pi\w*|rock[-_]?[45]\w?|"
    r"nanopi\w*|radxa|linux|aarch64|grq|gdq|normal|weights|export(?:ed)?|prebuilt)"
    + _E
    + "|瑞芯微|量化[版后]?|模型|转换|部署",
    re.IGNORECASE,
)
_GENERIC = re.compile(
    r"(?:(?:language|llms?|vlms?|npu|hf|main|test|output|final|my|new|first|second|half|part|models?|"
    r"weights|zoo|decoder|file|v?\d+(?:\.\d+)*|[-_. ]+))+",
    re.IGNORECASE,
)
_BEHIND = re.compile(
    _B
    + r"(?:instruct|chat|thinking|abliterated|uncensored|heretic|coder|math|embedding|reranker)"
    + _E,
    re.IGNORECASE,
)
"""Words that say which model it is even where they stand behind platform and quantisation."""
_LEAD = re.compile(r"^(?:(?:llm|vlm|model|hf)[-_ ]+(?!jp))+", re.IGNORECASE)
_FILLER = re.compile(r"[-_ ](?:models?|llms?|collection|all)$", re.IGNORECASE)
_PART = re.compile(r"^(?:decoder|encoder|talker|thinker|code_predictor)(?:[-_.]|$)", re.IGNORECASE)
_EDGES = "-_. ()[]{}@+,=~&#\uff08\uff09\u3010\u3011"


_LONGEST = 300
"""No file system and no source has longer names; what is behind is not read."""


@lru_cache(maxsize=4096)
def read_name(text: str, *, whole: bool = True) -> Name:
    """Take a name apart.

    ``whole`` says that it should name a model; a folder like ``models`` or a description need
    not, and then only a known family's name is taken for one.
    """
    found: dict[str, list[str]] = {}
    spaced = _GLUED.sub("-", text[:_LONGEST])
    spans = _scan(spaced, found)
    spans += [m.span() for m in _NOISE.finditer(spaced)]
    pieces = _outside(spaced, spans)
    model, rest = _model_part(pieces)
    for token in _trailing():
        for match in (m for piece in rest for m in token.pattern.finditer(piece)):
            value = token.value(match)
            if value is not None:
                found.setdefault(token.attribute, []).append(value)
    is_part = any(_PART.match(piece) for piece in pieces)
    return Name(
        text=text,
        attributes=_agreed(found),
        # A part of a speech model (`decoder_hf`, `talker_fixed`) is named after what it does.
        model=_named(_PART.sub("", model), whole=whole and not is_part),
        role=_role(spaced, is_part=is_part),
    )


def _scan(text: str, found: dict[str, list[str]]) -> list[tuple[int, int]]:
    """Collect tokens; a character belongs to the first token that takes it."""
    spans: list[tuple[int, int]] = []
    for token in _tokens():
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
    return [p for p in (piece.strip(_EDGES) for piece in pieces) if p]


def _model_part(segments: list[str]) -> tuple[str, list[str]]:
    """Return the model's part and what stands behind it."""
    naming = [n for n, segment in enumerate(segments) if _names_something(segment)]
    if not naming:
        return "", segments
    # `myboard-rk3576-Qwen3-4B`: a known model behind a word that is none.
    first = next((n for n in naming if _is_known(segments[n])), naming[0])
    if _has_size(segments[naming[0]]):
        first = naming[0]
    model, rest = _without_context(segments[first], segments[first + 1 :])
    behind = [m[0] for piece in rest for m in _BEHIND.finditer(piece)]
    new = [w for w in behind if w.lower() not in model.lower()]
    return "-".join([model, *new]), rest


def _names_something(segment: str) -> bool:
    letters = re.search(r"[^\W\d_]{2}", segment) or _is_known(segment)
    if not letters or _GENERIC.fullmatch(segment):
        return False
    return not any(t.pattern.fullmatch(segment) for t in _trailing())


def _is_known(segment: str) -> bool:
    name = _read_model(segment)
    return name is not None and name.known


def _has_size(segment: str) -> bool:
    name = _read_model(segment)
    return name is not None and name.size is not None


def _read_model(segment: str) -> ModelName | None:
    from .families import read_model

    return read_model(_bare(segment))


def _bare(segment: str) -> str:
    return _FILLER.sub("", _LEAD.sub("", segment)).strip("-_. ")


def _without_context(model: str, rest: list[str]) -> tuple[str, list[str]]:
    """Cut a trailing context off a model's part, unless it belongs to the model's own name."""
    cut = re.search(r"[-_](?:\d{1,2}k|1024|2048|4096|8192|16384)$", model, re.IGNORECASE)
    if cut is None or _is_known(model):
        return model, rest
    return model[: cut.start()], [cut[0].strip("-_"), *rest]


def _named(model: str, *, whole: bool) -> str:
    """Return the model's part without filler words; empty if it names nothing."""
    model = _bare(model)
    if not model or _GENERIC.fullmatch(model):
        return ""
    return model if whole or _is_known(model) else ""


def _agreed(found: dict[str, list[str]]) -> dict[str, str]:
    """Keep an attribute only if a name does not contradict itself."""
    agreed = {a: v[0] for a, v in found.items() if len(set(v)) == 1 and v[0]}
    group = agreed.pop("group", None)
    if group is not None and "quant" in agreed and "_g" not in agreed["quant"]:
        agreed["quant"] += f"_g{group}"
    if "other-soc" in found:
        # `RK1828` beside `RK3588` is a co-processor: the file is for one of them.
        agreed.pop("platform", None)
    return agreed


def _role(text: str, *, is_part: bool) -> str | None:
    words = set(re.split(r"[-_. ]+", text.lower()))
    if words & {"lora", "adapter"} and "merged" not in words:
        return "lora"
    if is_part:
        return "speech"
    return "vision" if {"vision", "encoder"} <= words else None
