"""What a model card says about each build: tables of variants, lists, "RKLLM Toolkit: 1.2.3".

Pure: text in, claims out, each with the line where it stands. A card speaks of one file (it names
it), of some (a row or a heading says for which SoC and quantisation), or of all of them. Of what
it says about one file the most particular counts; where that contradicts itself, nothing does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from rkfetch.registry.model import Quant
from rkfetch.registry.versions import as_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

LARGEST_CARD = 128 << 10
"""Bytes of a card that are read."""
_MOST_LINES = 4000
_LONGEST_LINE = 2000
_MOST_COLUMNS = 24

_VALUE = r"\s*(?:\*\*|__|`)?\s*[:=|]?\s*(?:\*\*|__|`|\||[:=])?\s*"
"""What stands between a label and its value: ``**Label:** `value```, ``| Label | value |``."""
_VERSION = (
    r"(?:version\s*|ver\.?\s*|v\.?\s?)?(?P<n>\d{1,2}\.\d{1,2}\.\d{1,2}(?:b\d{1,2})?)(?![\w.]\d)"
)
_LABELS = (
    (
        "toolkit",
        re.compile(
            r"(?:(?:rkllm|rknn[-_ ]?llm)[-_ ]?(?:toolkit|工具包|工具链)|(?<![\w-])toolkit|工具链|"
            r"工具包|转换工具)(?![\w]*2\b)(?:[-_ ]?version|\s*版本号?)?"
            r"(?:\s|[*`|:=\"'_()-]|\bversion\b){0,12}" + _VERSION,
            re.IGNORECASE,
        ),
    ),
    (
        "context",
        re.compile(
            r"(?:max[-_ ]?context(?:[-_ ]?(?:limit|len(?:gth)?))?|context(?:[-_ ]?(?:length|window|"
            r"limit|size|len))?|上下文(?:长度|窗口|大小)?)"
            + _VALUE
            + r"(?P<n>\d{1,5}(?:,\d{3})?)(?!\d)"
            r"\s?(?P<k>k(?![a-z]))?",
            re.IGNORECASE,
        ),
    ),
    (
        "quant",
        re.compile(
            r"(?:quanti[sz]ation(?:[-_ ]?(?:type|dtype|method))?|quantized[-_ ]?dtype|quant|"
            r"model_dtype|dtype|量化(?:方式|类型|精度|格式)?)"
            + _VALUE
            + r"(?P<n>(?:w\d{1,2}a\d{1,2}|"
            r"fp16)[\w-]{0,12})",
            re.IGNORECASE,
        ),
    ),
    (
        "platform",
        re.compile(
            r"(?:target[-_ ]?platform|platform|soc|chip(?:set)?|目标平台|平台|芯片)"
            + _VALUE
            + r"(?P<n>r[kv]\d{4}[a-z]?)\b",
            re.IGNORECASE,
        ),
    ),
    (
        "npu_cores",
        re.compile(
            r"(?:npu[-_ ]?core(?:s|_num)?|(?:number of )?npu cores|npu\s?核心?数)"
            + _VALUE
            + r"(?P<n>[1-3])(?!\d)",
            re.IGNORECASE,
        ),
    ),
)
_COLUMNS = (
    (
        "ignored",
        re.compile(r"runtime|driver|运行时|驱动|size|大小|memory|内存|speed|速度", re.IGNORECASE),
    ),
    ("file", re.compile(r"file|文件", re.IGNORECASE)),
    ("toolkit", re.compile(r"toolkit|工具", re.IGNORECASE)),
    ("context", re.compile(r"context|ctx|上下文", re.IGNORECASE)),
    ("quant", re.compile(r"quant|dtype|precision|量化|精度", re.IGNORECASE)),
    ("platform", re.compile(r"platform|\bsoc\b|chip|device|平台|芯片|设备", re.IGNORECASE)),
    ("npu_cores", re.compile(r"npu|core|核", re.IGNORECASE)),
)
_SOC = re.compile(
    r"(?<![A-Za-z0-9])(?:rk[-_ ]?(?P<n>3576|3588|3562)(?:s2?|j|m)?|rv[-_ ]?1126b)(?![A-Za-z0-9])",
    re.IGNORECASE,
)
_QUANT = re.compile(
    r"(?<![A-Za-z0-9])(?:w[48]a(?:8|16)(?:[_-]?g\d{2,4})?|fp16)(?![A-Za-z0-9])", re.IGNORECASE
)
_FOLDED = str.maketrans("\uff1a\uff08\uff09\uff0c\u3001\uff1d\uff5c", ":(),,=|")
"""Punctuation of Chinese texts, as a label's end is looked for."""
_BUILD = re.compile(r"[\w./%+@-]{1,200}\.rkllm\b", re.IGNORECASE)
_CELL_VERSION = re.compile(r"[^\d.]{0,20}" + _VERSION + r"[^\d.]{0,20}", re.IGNORECASE)
_CELL_NUMBER = re.compile(r"(?P<n>\d{1,5}(?:,\d{3})?)\s?(?P<k>k)?(?:\s*tokens)?", re.IGNORECASE)
_RULE = re.compile(r"\s*\|?\s*:?-{2,}:?\s*(?:\|\s*:?-{2,}:?\s*){0,24}\|?\s*")
_HEADING = re.compile(r"(#{1,6})\s+(.*)")
_SELECTORS = ("platform", "quant")
_IN_A_LOG = "max_context_limit"
_MOST_CONTEXT = 16384


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What one line of a card says."""

    line: int
    """Counted from 1."""
    values: tuple[tuple[str, str], ...]
    """Attributes with canonical values; one that comes twice contradicts itself."""
    files: tuple[str, ...] = ()
    """The builds that it names, in lower case; empty if it names none."""
    scope: tuple[tuple[str, frozenset[str]], ...] = ()
    """For which SoC and quantisation it says so."""


@dataclass(slots=True)
class _Section:
    """The headings above a line: for what they say it is."""

    scopes: dict[int, tuple[tuple[str, ...], dict[str, frozenset[str]]]] = field(
        default_factory=dict
    )

    def enter(self, level: int, title: str) -> None:
        self.scopes = {n: s for n, s in self.scopes.items() if n < level}
        self.scopes[level] = _files(title), _selectors(title)

    @property
    def files(self) -> tuple[str, ...]:
        return next((f for _, (f, _) in sorted(self.scopes.items(), reverse=True) if f), ())

    @property
    def scope(self) -> dict[str, frozenset[str]]:
        found: dict[str, frozenset[str]] = {}
        for _, (_, scope) in sorted(self.scopes.items()):
            found.update(scope)
        return found


@lru_cache(maxsize=64)
def read_card(text: str) -> tuple[Claim, ...]:
    """Return what a card says about its builds, line by line; whatever the text, it ends soon."""
    section = _Section()
    claims: list[Claim] = []
    columns: list[str] | None = None
    fenced, before = False, ""
    for number, line in _body(text[:LARGEST_CARD]):
        titles, before = before, line
        if line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
            continue
        heading = None if fenced else _HEADING.match(line)
        is_row = not fenced and line.count("|") >= 2
        if heading is not None:
            section.enter(len(heading[1]), heading[2])
        if not is_row:
            columns = None
        elif _RULE.fullmatch(line):
            columns = _roles(titles)
            continue
        claim = _of_row(line, columns) if is_row and columns else None
        if claim is None and (not fenced or _IN_A_LOG in line):
            claim = _of_text(line)
        if claim is not None:
            claims.append(_placed(claim, number, section))
    return tuple(claims)


def said_of(
    claims: Iterable[Claim], path: str, known: Mapping[str, str]
) -> Iterator[tuple[str, str, int]]:
    """Yield attribute, value and line of what a card says about one build.

    ``known`` is what is known of its SoC and quantisation otherwise.
    """
    ranked: dict[str, dict[int, list[tuple[str, int]]]] = {}
    for claim in claims:
        rank = _rank(claim, path, known)
        if rank is None:
            continue
        for attribute, value in claim.values:
            ranked.setdefault(attribute, {}).setdefault(rank, []).append((value, claim.line))
    for attribute, by_rank in ranked.items():
        said = by_rank[max(by_rank)]
        if len({value for value, _ in said}) == 1:
            yield attribute, *said[0]


def _rank(claim: Claim, path: str, known: Mapping[str, str]) -> int | None:
    """Return how particularly a claim is about a build; None if it is about others."""
    if claim.files:
        return 2 if any(_is_named(path, name) for name in claim.files) else None
    met = True
    for attribute, values in claim.scope:
        value = known.get(attribute)
        if value is None:
            met = False
        elif value not in values:
            return None
    return 1 if met and claim.scope else 0


def _is_named(path: str, name: str) -> bool:
    path = path.lower()
    return path == name or path.endswith(f"/{name}") or name.endswith(f"/{path}")


# --- one line -------------------------------------------------------------------------------------


def _body(text: str) -> list[tuple[int, str]]:
    """Return the numbered lines behind the front matter."""
    text = text.translate(_FOLDED)
    lines = [line[:_LONGEST_LINE] for line in text.split("\n")[:_MOST_LINES]]
    start = 0
    if lines and lines[0].strip() == "---":
        start = next((n + 1 for n, line in enumerate(lines[1:], 1) if line.strip() == "---"), 0)
    return list(enumerate(lines[start:], start + 1))


def _placed(claim: Claim, number: int, section: _Section) -> Claim:
    """Give a claim its line, and what the headings above say about whom it is."""
    scope = {**section.scope, **dict(claim.scope)}
    for attribute, _ in claim.values:
        scope.pop(attribute, None)
    return Claim(
        line=number,
        values=claim.values,
        files=claim.files or section.files,
        scope=tuple(scope.items()),
    )


def _of_text(line: str) -> Claim | None:
    """Read labelled values; a line that names a build may have bare ones too."""
    values = [
        (attribute, value)
        for attribute, pattern in _LABELS
        for match in pattern.finditer(line)
        if (value := _canonical(attribute, match)) is not None
    ]
    files = _files(line)
    labelled = {attribute for attribute, _ in values}
    around = _BUILD.sub(" ", line) if files else line
    bare = {a: v for a, v in _selectors(around).items() if a not in labelled}
    if files:
        values += [(a, next(iter(v))) for a, v in bare.items() if len(v) == 1]
        bare = {}
    if not values:
        return None
    return Claim(line=0, values=_distinct(values), files=files, scope=tuple(bare.items()))


def _of_row(line: str, columns: Sequence[str]) -> Claim | None:
    """Read a row of a table whose columns have titles that say something; None if none has."""
    if set(columns) <= {"", "ignored"}:
        return None
    values: list[tuple[str, str]] = []
    files: tuple[str, ...] = ()
    for role, cell in zip(columns, _cells(line), strict=False):
        files = files or _files(cell)
        value = _of_cell(role, cell)
        if value is not None:
            values.append((role, value))
        elif role in {"", "file"}:
            bare = _selectors(_BUILD.sub(" ", cell))
            values += [(a, next(iter(v))) for a, v in bare.items() if len(v) == 1]
    scope: dict[str, frozenset[str]] = {}
    if not files:
        # A row without a file is about the builds of this SoC and quantisation.
        scope = {a: frozenset({v}) for a, v in values if a in _SELECTORS}
        values = [(a, v) for a, v in values if a not in scope]
    if not values:
        return None
    return Claim(line=0, values=_distinct(values), files=files, scope=tuple(scope.items()))


def _of_cell(role: str, cell: str) -> str | None:
    text = cell.strip(" *`_")
    if role in _SELECTORS:
        return _only(role, text)
    if role == "toolkit" and (match := _CELL_VERSION.fullmatch(text)):
        return _canonical(role, match)
    if role in {"context", "npu_cores"} and (match := _CELL_NUMBER.fullmatch(text)):
        return _canonical(role, match)
    return None


def _roles(titles: str) -> list[str]:
    return [
        next((role for role, pattern in _COLUMNS if pattern.search(title)), "")
        for title in _cells(titles)
    ]


def _cells(line: str) -> list[str]:
    cells = line.strip().strip("|").split("|", _MOST_COLUMNS)
    return cells[:_MOST_COLUMNS]


def _files(text: str) -> tuple[str, ...]:
    names = (m[0].lower().removeprefix("./") for m in _BUILD.finditer(text))
    # A link has the name twice: as its text and in its address.
    return tuple(dict.fromkeys(re.sub(r".*/(?:resolve|blob)/[^/]+/", "", name) for name in names))


def _selectors(text: str) -> dict[str, frozenset[str]]:
    """Return the SoCs and quantisations that a text speaks of."""
    socs = frozenset(_soc(m) for m in _SOC.finditer(text))
    quants = frozenset(str(Quant.read(m[0])) for m in _QUANT.finditer(text))
    return {name: found for name, found in (("platform", socs), ("quant", quants)) if found}


def _soc(match: re.Match[str]) -> str:
    return f"rk{match['n']}" if match["n"] else "rv1126b"


def _only(attribute: str, text: str) -> str | None:
    found = _selectors(text).get(attribute, frozenset())
    return next(iter(found)) if len(found) == 1 else None


def _canonical(attribute: str, match: re.Match[str]) -> str | None:
    text = match["n"]
    if attribute == "toolkit":
        version = as_version(text)
        return str(version) if version is not None and text.startswith("1.") else None
    if attribute == "context":
        tokens = int(text.replace(",", "")) * (1024 if match["k"] else 1)
        # What is more than a build can have is the base model's own.
        return str(tokens) if 256 <= tokens <= _MOST_CONTEXT else None
    if attribute in _SELECTORS:
        return _only(attribute, text)
    return str(int(text)) if 1 <= int(text.replace(",", "")) <= 3 else None


def _distinct(values: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple(dict.fromkeys(values))
