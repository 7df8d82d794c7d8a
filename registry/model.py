"""The words of rkfetch as types: platform, quantisation, evidence, artifact, target.

Values are parsed once, where they enter; inside, nobody re-validates. Sizes are bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING

from .errors import UsageError
from .versions import as_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .sightings import Sighting
    from .versions import Version


class Platform(str, Enum):
    """A Rockchip SoC that RKLLM supports (RK3588S is RK3588)."""

    RK3576 = "rk3576"
    RK3588 = "rk3588"
    RK3562 = "rk3562"
    RV1126B = "rv1126b"

    @property
    def npu_cores(self) -> int:
        """Cores of the NPU: ``num_irqs`` of driver 0.9.8, SDK guide 1.3.0 table 3-3."""
        return {"rk3576": 2, "rk3588": 3}.get(self.value, 1)

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Read what a user or a file says.

        Raises:
            UsageError: it is none of the four, with what is accepted.
        """
        name = text.strip().lower()
        if name == "rk3588s":
            return cls.RK3588
        try:
            return cls(name)
        except ValueError:
            known = ", ".join(p.value for p in cls)
            raise UsageError(
                f"unknown platform '{text}'", cause=[f"RKLLM runs on {known}"]
            ) from None


_QUANT = re.compile(r"w(4|8)a(8|16)(?:[_-]?g(\d{2,4}))?", re.IGNORECASE)


@dataclass(frozen=True, slots=True, order=True)
class Quant:
    """A quantisation: bits of weights and activations, and the group size where there is one."""

    weight_bits: int
    activation_bits: int
    group: int = 0
    """Weights that share a scale; 0 means one scale per output channel."""

    @classmethod
    def read(cls, text: str) -> Quant | None:
        """Read ``w4a16``, ``W8A8_G128`` or ``fp16``; None for anything else."""
        name = text.strip().lower()
        if name in {"fp16", "float16", "f16"}:
            return cls(16, 16)
        match = _QUANT.fullmatch(name)
        if match is None:
            return None
        weight, activation, group = match.groups()
        return cls(int(weight), int(activation), int(group or 0))

    @classmethod
    def parse(cls, text: str) -> Quant:
        """Like `read`, for what a user gave.

        Raises:
            UsageError: it is no quantisation.
        """
        quant = cls.read(text)
        if quant is None:
            raise UsageError(
                f"unknown quantisation '{text}'",
                cause=["quantisations are named like w4a16, w4a16_g128, w8a8, w8a8_g128 or fp16"],
            )
        return quant

    @property
    def family(self) -> str:
        """The quantisation without its group size: ``w4a16`` for ``w4a16_g128``."""
        if self.weight_bits == 16:
            return "fp16"
        return f"w{self.weight_bits}a{self.activation_bits}"

    def covers(self, found: Quant) -> bool:
        """Tell whether another is meant, too: without a group size, any group size is."""
        return found == self or (not self.group and found.family == self.family)

    def __str__(self) -> str:
        return f"{self.family}_g{self.group}" if self.group else self.family


class Origin(str, Enum):
    """Where an observation comes from, strongest first."""

    HEADER = "header"
    TRAILER = "trailer"
    LOG = "log"
    CURATED = "curated"
    USER = "user"
    """A person who had the file on a board."""
    CARD = "card"
    FILE_NAME = "file-name"
    REPO_NAME = "repo-name"
    UPLOAD_DATE = "upload-date"

    @property
    def rank(self) -> int:
        """0 for the strongest."""
        return _ORIGINS.index(self)

    @property
    def is_reading(self) -> bool:
        """Whether it is the file's own word, as read in it or as a runtime printed it."""
        return self in {Origin.HEADER, Origin.TRAILER, Origin.LOG}

    @property
    def words(self) -> str:
        """Who says it, in a sentence: ``its model card``."""
        return _WORDS[self]


_WORDS = {
    Origin.HEADER: "its header",
    Origin.TRAILER: "the end of the file",
    Origin.LOG: "its load log",
    Origin.CURATED: "a maintained list",
    Origin.USER: "somebody who had it",
    Origin.CARD: "its model card",
    Origin.FILE_NAME: "its file name",
    Origin.REPO_NAME: "its repository's name",
    Origin.UPLOAD_DATE: "the date of its upload",
}
_ORIGINS = list(Origin)


class Confidence(str, Enum):
    """How sure an attribute's value is, surest first; `Attribute.confidence` has the rule."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


_OF_A_REPOSITORY = {Origin.REPO_NAME, Origin.UPLOAD_DATE}
"""Origins that speak of all files of a repository at once."""

ATTRIBUTES = (
    "toolkit",
    "platform",
    "quant",
    "context",
    "npu_cores",
    "opt_level",
    "hybrid_ratio",
    "architecture",
    "model",
    "params_b",
    "role",
)
"""The attributes of an artifact that evidence speaks about, by their JSON names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One observation of one attribute."""

    attribute: str
    value: str
    """In canonical spelling: ``1.2.3``, ``rk3576``, ``w4a16_g128``, ``4096``, ``0.5``."""
    origin: Origin
    place: str
    """Where it can be looked up: a public address, or the part of the file or name."""
    seen: str | None = None
    """When it was observed, RFC 3339 date or time."""
    publisher: str | None = None
    """Whose published catalog says so; None for what this machine or rkfetch itself observed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """What is known about one attribute of an artifact, and how."""

    name: str
    evidence: tuple[Evidence, ...] = ()
    """Strongest first."""

    @property
    def contenders(self) -> tuple[str, ...]:
        """The different values that the strongest evidence gives; more than one is a dispute."""
        if not self.evidence:
            return ()
        best = self.evidence[0].origin
        return tuple(dict.fromkeys(e.value for e in self.evidence if e.origin is best))

    @property
    def value(self) -> str | None:
        """The one value that the strongest evidence gives; None if unknown or disputed."""
        contenders = self.contenders
        return contenders[0] if len(contenders) == 1 else None

    @property
    def disputed(self) -> bool:
        """Equally strong evidence disagrees."""
        return len(self.contenders) > 1

    @property
    def overruled(self) -> tuple[Evidence, ...]:
        """Weaker evidence that says something else: kept and shown, never averaged away."""
        contenders = self.contenders
        return tuple(e for e in self.evidence if e.value not in contenders)

    @property
    def origin(self) -> Origin | None:
        """Where the value comes from."""
        return self.evidence[0].origin if self.evidence else None

    @property
    def told_by_name(self) -> bool:
        """Nobody but a name, or the date of an upload, tells the value."""
        return self.origin in {Origin.FILE_NAME, Origin.REPO_NAME, Origin.UPLOAD_DATE}

    @property
    def is_read(self) -> bool:
        """Whether the file itself says it."""
        return self.origin is not None and self.origin.is_reading

    @property
    def confidence(self) -> Confidence | None:
        """How sure the value is; None where there is none.

        What was read in the file, or printed by a runtime that loaded it, is sure (high): no label
        puts that in doubt. What people say about this one file is less so (medium). What is said
        of a whole repository, and what weaker evidence contradicts, is not (low).
        """
        if self.value is None or self.origin is None:
            return None
        if self.is_read:
            return Confidence.HIGH
        weak = self.origin in _OF_A_REPOSITORY or self.overruled
        return Confidence.LOW if weak else Confidence.MEDIUM


def settle(evidence: Iterable[Evidence]) -> dict[str, Attribute]:
    """Sort observations into attributes; in each the strongest origin first, then the newest."""
    grouped: dict[str, list[Evidence]] = {}
    for item in evidence:
        grouped.setdefault(item.attribute, []).append(item)
    settled = {}
    for name, items in grouped.items():
        newest_first = sorted(items, key=lambda e: (e.seen or "", e.place, e.value), reverse=True)
        settled[name] = Attribute(
            name=name, evidence=tuple(sorted(newest_first, key=lambda e: e.origin.rank))
        )
    return settled


class Availability(str, Enum):
    """Whether rkfetch itself can get the file."""

    LISTED = "listed"
    """At a repository and path that can be downloaded."""
    MANUAL = "manual"
    """Known, but only a person can fetch it (a web share, a chat log)."""
    UNNAMED = "unnamed"
    """A repository is known to hold builds; its file names were not seen yet."""
    GONE = "gone"
    """It was there once: renamed or removed upstream."""
    REJECTED = "rejected"
    """Its content was found to contradict its label or to be no model."""


LOCAL = "folder"
"""The source of files that lie in a folder of this machine."""
CONVERTED = "converted"
"""The source of files that rkfetch made itself; their repository is the base model's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Another place of the same content."""

    source: str
    repo: str
    path: str
    revision: str | None = None
    availability: Availability = Availability.LISTED
    gated: bool = False

    @property
    def name(self) -> str:
        """What to call it in a sentence: repository and path."""
        return f"{self.repo}/{self.path}" if self.path else self.repo


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One ``.rkllm`` file at one revision in one source, with what is known about it."""

    source: str
    """``huggingface``, ``modelscope``, ``modelzoo``, ``github``, ``folder`` or ``other``."""
    repo: str
    path: str
    """Inside the repository, with ``/``; empty for `Availability.UNNAMED`."""
    revision: str | None = None
    """A commit (40 hex) where known, else a branch or tag; None means the default branch."""
    ref: str | None = None
    """The branch, tag or commit by which its place is named; None is the default branch."""
    size_bytes: int | None = None
    sha256: str | None = None
    availability: Availability = Availability.LISTED
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    curated: bool = False
    """A maintained list vouches for it with a hash."""
    gated: bool = False
    updated: str | None = None
    """When the source last changed it, RFC 3339."""
    note: str | None = None
    """One sentence that a user should know, such as how to fetch it by hand."""
    also: tuple[Place, ...] = ()
    """Where the same content lies besides."""
    sightings: tuple[Sighting, ...] = ()
    """What people saw of it on boards."""

    def attribute(self, name: str) -> Attribute:
        """The attribute; an empty one where nothing is known."""
        return self.attributes.get(name) or Attribute(name=name)

    def value(self, name: str) -> str | None:
        """The settled value of an attribute; None if unknown or disputed."""
        return self.attribute(name).value

    @property
    def platform(self) -> Platform | None:
        """The SoC that it was built for."""
        value = self.value("platform")
        return Platform(value) if value else None

    @property
    def quant(self) -> Quant | None:
        """Its quantisation."""
        value = self.value("quant")
        return Quant.read(value) if value else None

    @property
    def toolkits(self) -> tuple[Version, ...]:
        """The toolkit versions that may have made it: none if unknown, several if disputed."""
        versions = (as_version(text) for text in self.attribute("toolkit").contenders)
        return tuple(sorted(v for v in versions if v is not None))

    @property
    def context(self) -> int | None:
        """Its context limit in tokens."""
        value = self.value("context")
        return int(value) if value else None

    @property
    def model(self) -> str | None:
        """The plain name of its base model, ``Qwen2.5-1.5B-Instruct``."""
        return self.value("model")

    @property
    def params_b(self) -> float | None:
        """Parameters in billions."""
        value = self.value("params_b")
        return float(value) if value else None

    @property
    def role(self) -> str:
        """``llm`` unless it is known to be something else (``embedding``, ``lora``, …)."""
        return self.value("role") or "llm"

    @property
    def is_local(self) -> bool:
        """Whether it is a file of this machine, which means nothing to any other."""
        return self.source == LOCAL

    @property
    def name(self) -> str:
        """What to call it in a sentence: repository and path."""
        return f"{self.repo}/{self.path}" if self.path else self.repo


def with_evidence(artifact: Artifact, evidence: Iterable[Evidence]) -> Artifact:
    """Return the artifact with further observations, settled anew."""
    known = [e for attribute in artifact.attributes.values() for e in attribute.evidence]
    return replace(artifact, attributes=settle(dict.fromkeys([*known, *evidence])))


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What we resolve for: a board and what its owner wants."""

    platform: Platform = Platform.RK3576
    runtime: Version | None = None
    """librkllmrt's version; None if unknown."""
    driver: Version | None = None
    """The rknpu kernel driver's version."""
    memory_bytes: int | None = None
    """Memory of the board as a program sees it (MemTotal)."""
    context: int | None = None
    """The context that the user needs, in tokens."""
    quant: Quant | None = None
    """The quantisation that the user insists on."""
