"""What a runtime printed when it loaded a file: its own version, and what it read in the file.

A log comes as it was caught: by a serial console, a journal, a container, a notebook or a forum,
with colours, prefixes, full-width punctuation or torn lines, and with several loads in it. So each
field is looked for by itself, and one that may be torn is left out. Bytes in, facts out; any bytes
are borne.

The forms of the lines are those of runtimes 1.0.1 to 1.3.1, as public logs show them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .diagnosis.symptoms import SYMPTOMS, Blame, is_worth_reading
from .errors import UsageError
from .model import Evidence, Origin, Platform, Quant
from .sightings import Outcome
from .versions import as_version

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .versions import Version

__all__ = ["MOST_BYTES", "Blame", "Complaint", "Load", "clean_lines", "read_log"]

MOST_BYTES = 16 << 20
"""A log that is longer is read up to here."""
MOST_LOADS = 1000
_LONGEST_LINE = 4096
_LARGEST = (1 << 31) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """One thing that a runtime complained about."""

    text: str
    """What it means, in plain words."""
    blame: Blame
    line: int
    fatal: bool = False
    """The load ended with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One load of one file, as far as the log tells; None where it is silent."""

    line: int
    """The first line, from 1."""
    runtime: Version | None = None
    driver: Version | None = None
    platform: Platform | None = None
    """The chip that it ran on."""
    path: str | None = None
    """The file, as the program named it."""
    toolkit: Version | None = None
    unversioned: bool = False
    """The file carries no toolkit version: the log says ``unknown``."""
    context: int | None = None
    npu_cores: int | None = None
    file_platform: Platform | None = None
    quant: Quant | None = None
    file_line: int | None = None
    """The line that speaks of the file."""
    succeeded: bool = False
    """The program said so; runtimes before 1.2 say so even after a failure."""
    complaints: tuple[Complaint, ...] = ()

    @property
    def outcome(self) -> Outcome | None:
        """`Outcome.LOADS`, `Outcome.FAILS` if the file is to blame, or None if nothing is told."""
        blames = {c.blame for c in self.complaints}
        if Blame.FILE in blames:
            return Outcome.FAILS
        if blames & {Blame.BOARD, Blame.CALL}:
            return None
        if any(c.fatal for c in self.complaints):
            return Outcome.FAILS
        return Outcome.LOADS if self.succeeded or self.file_line is not None else None

    @property
    def tells(self) -> bool:
        """Whether there is anything in it beyond that a runtime was started."""
        return self.outcome is not None or bool(self.complaints) or self.path is not None

    def evidence(self, *, place: str, seen: str) -> tuple[Evidence, ...]:
        """Return what the runtime read in the file."""
        values = {
            "toolkit": self.toolkit,
            "platform": self.file_platform.value if self.file_platform else None,
            "quant": self.quant,
            "context": self.context,
            "npu_cores": self.npu_cores,
        }
        return tuple(
            Evidence(attribute=name, value=str(value), origin=Origin.LOG, place=place, seen=seen)
            for name, value in values.items()
            if value is not None
        )


_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]{0,64}[ -/]{0,8}[@-~]|\][^\x07\x1b]{0,512}(?:\x07|\x1b\\)?|[@-Z\\^_])"
)
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_FULL_WIDTH = {**{code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}, 0x3000: 0x20}


def clean_lines(data: bytes) -> Iterator[tuple[int, str]]:
    """Give a log's lines, without colours, control characters and full-width forms.

    A line has the number that an editor shows, from 1; a progress bar that overwrites itself
    is several lines of one number. Where a line is no UTF-8, it is read as GB18030. What it has
    beyond 4096 characters is left out.
    """
    data = data[:MOST_BYTES]
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        data = data.decode("utf-16", "replace").encode("utf-8", "replace")
    end = b"\n" if b"\n" in data else b"\r"
    for number, whole in enumerate(data.split(end), start=1):
        for part in whole.split(b"\r"):
            text = _as_text(part)[:_LONGEST_LINE]
            if not (text.isascii() and text.isprintable()):
                text = _UNPRINTABLE.sub("", _ESCAPES.sub("", text)).translate(_FULL_WIDTH)
            yield number, text


def _as_text(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("gb18030", "replace")


@dataclass(slots=True)
class _Draft:
    """A load that is being read."""

    line: int
    said: dict[str, str] = field(default_factory=dict)
    file_line: int | None = None
    succeeded: bool = False
    complaints: list[Complaint] = field(default_factory=list)


_COMPLAINTS = tuple(known for known in SYMPTOMS if known.blame is not None)
_FIELDS = (
    ("runtime", re.compile(r"rkllm-runtime version: ?([\w.]{1,20})")),
    ("driver", re.compile(r"rknpu driver version: ?([\w.]{1,20})")),
    ("platform", re.compile(r"(?<!target )(?<!target_)\bplatform: ?(\w{1,20})")),
    ("toolkit", re.compile(r"rkllm-toolkit version: ?([\w.]{1,20})")),
    ("context", re.compile(r"max_context_limit: ?(\d{1,10})")),
    ("npu_cores", re.compile(r"npu_core_num: ?(\d{1,10})")),
    ("file_platform", re.compile(r"target_platform: ?(\w{1,20})")),
    ("quant", re.compile(r"model_dtype: ?(\w{1,20})")),
)
_OF_THE_FILE = {"context", "npu_cores", "file_platform", "quant"}
_MAY_BE_LAST = {"platform", "file_platform", "quant"}
"""Fields that may end a line; where another one does, the line is torn."""
_PATH = re.compile(r"loading rkllm model from (.{1,1024}?\.rkllm)(?![\w.])")
_SUCCESS = re.compile(r"rkllm init success|RKLLM initialized successfully|rkllm_init returned:? 0")


def read_log(data: bytes) -> tuple[Load, ...]:
    """Find the loads in a log, in order and a thousand at most; a converter's log has none."""
    drafts: list[_Draft] = []
    before = ""
    for number, line in clean_lines(data):
        # A line that was caught twice is one.
        if is_worth_reading(line) and line != before:
            _read_line(drafts, number, line)
            if len(drafts) > MOST_LOADS:
                break
        before = line
    loads = (_finished(draft) for draft in drafts[:MOST_LOADS] if _is_load(draft))
    return tuple(load for load in loads if load.tells)


def _is_load(draft: _Draft) -> bool:
    """Tell a runtime's words from the converter's, which also prints its toolkit version."""
    return "runtime" in draft.said or "path" in draft.said or bool(_OF_THE_FILE & draft.said.keys())


def _read_line(drafts: list[_Draft], number: int, line: str) -> None:
    for name, value in _fields(line):
        # A field for the second time is another load; the runtime itself speaks first.
        if not drafts or name in drafts[-1].said or (name == "runtime" and drafts[-1].said):
            if name == "platform":
                continue
            drafts.append(_Draft(line=number))
        draft = drafts[-1]
        draft.said[name] = value
        if name in _OF_THE_FILE and draft.file_line is None:
            draft.file_line = number
    if not drafts:
        return
    draft = drafts[-1]
    draft.succeeded = draft.succeeded or _SUCCESS.search(line) is not None
    for known in _COMPLAINTS:
        if known.shape.search(line) and all(known.text != c.text for c in draft.complaints):
            draft.complaints.append(
                Complaint(
                    text=known.text, blame=known.blame or Blame.NONE, line=number, fatal=known.fatal
                )
            )


def _fields(line: str) -> Iterator[tuple[str, str]]:
    """Give what a line tells, without values that may be torn."""
    path = _PATH.search(line)
    if path is not None:
        yield "path", path[1]
    for name, shape in _FIELDS:
        found = shape.search(line)
        if found is None:
            continue
        rest = line[found.end() :]
        alone = not rest.strip() and not re.search(r"[\w,]", _before(line[: found.start()]))
        last = name in _MAY_BE_LAST and re.match(r"\s|[\"'`\\)]|$", rest)
        if rest.startswith(",") or last or alone:
            yield name, found[1]


def _before(text: str) -> str:
    """Return what stands before a field without the runtime's own mark."""
    return re.sub(r"[IWE] rkllm:", "", text)


def _finished(draft: _Draft) -> Load:
    said = draft.said
    toolkit = said.get("toolkit", "")
    return Load(
        line=draft.line,
        runtime=_version(said.get("runtime")),
        driver=_version(said.get("driver")),
        platform=_platform(said.get("platform")),
        path=said.get("path"),
        toolkit=_version(toolkit),
        unversioned=toolkit.lower() == "unknown",
        context=_number(said.get("context")),
        npu_cores=_number(said.get("npu_cores")),
        file_platform=_platform(said.get("file_platform")),
        quant=Quant.read(said.get("quant", "")),
        file_line=draft.file_line,
        succeeded=draft.succeeded,
        complaints=tuple(draft.complaints),
    )


def _version(text: str | None) -> Version | None:
    version = as_version(text or "")
    return version if version is not None and len(version.release) == 3 else None


def _platform(text: str | None) -> Platform | None:
    try:
        return Platform.parse(text) if text else None
    except UsageError:
        return None


def _number(text: str | None) -> int | None:
    number = int(text) if text else 0
    return number if 0 < number <= _LARGEST else None
