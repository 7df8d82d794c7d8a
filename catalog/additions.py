"""What people add to the catalog: one observation of one file, as it is kept and exchanged.

Nothing in an addition tells who made it: no path of a disk, no name of a user or a machine. Two
that say the same are the same, whoever writes them down.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from rkfetch.registry.errors import IntegrityError, UsageError
from rkfetch.registry.model import Artifact, Evidence, Origin, Platform
from rkfetch.registry.sightings import Outcome, Sighting
from rkfetch.registry.versions import as_version

from . import border

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rkfetch.registry.versions import Version

SCHEMA_VERSION = 1
LONGEST_NOTE = 300
"""Characters."""
_PUBLIC = {"huggingface", "modelscope", "modelzoo", "github", "other"}
"""Sources whose places mean something to others."""
_OF_A_DISK = "import"
_LONGEST_LINE = 8192
_MOST_BYTES = 16 << 20
_PATH = re.compile(r"(?<![\w:/.])(?:~|[A-Za-z]:)?(?:[/\\][^\s/\\'\"`,;]+)+[/\\]?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """One observation of one file."""

    source: str
    repo: str
    path: str
    """In its repository; of a file that no repository is known to hold, its name alone."""
    sha256: str | None
    seen: str
    """The day, RFC 3339."""
    origin: Origin
    """`Origin.USER`, or `Origin.LOG` for what a runtime printed."""
    outcome: Outcome | None = None
    platform: Platform | None = None
    runtime: Version | None = None
    driver: Version | None = None
    board: str | None = None
    note: str | None = None
    said: tuple[tuple[str, str], ...] = ()
    """What the runtime read in the file: attributes and their values."""

    @property
    def id(self) -> str:
        """A short name, the same wherever the same is observed."""
        return hashlib.sha256(self.line().encode()).hexdigest()[:12]

    @property
    def file(self) -> Artifact:
        """The file that it is about, without what is known of that."""
        return Artifact(source=self.source, repo=self.repo, path=self.path, sha256=self.sha256)

    @property
    def place(self) -> str:
        """Where evidence and sightings of it can be looked up."""
        return f"addition {self.id}"

    @property
    def order(self) -> tuple[str, ...]:
        """Sort key: one file's additions stand together, by day."""
        return (
            self.source,
            self.repo.casefold(),
            self.path,
            self.sha256 or "",
            self.seen,
            self.line(),
        )

    def line(self) -> str:
        """Write it as one line of JSON, always the same for the same."""
        value = {
            "schema_version": SCHEMA_VERSION,
            "source": self.source,
            "repo": self.repo,
            "path": self.path,
            "sha256": self.sha256,
            "seen": self.seen,
            "origin": self.origin.value,
            "outcome": self.outcome.value if self.outcome else None,
            "platform": self.platform.value if self.platform else None,
            "runtime": str(self.runtime) if self.runtime else None,
            "driver": str(self.driver) if self.driver else None,
            "board": self.board,
            "note": self.note,
            "said": dict(self.said),
        }
        return json.dumps({k: v for k, v in value.items() if v not in (None, {})})

    def sighting(self, *, own: bool) -> Sighting | None:
        """Return what it says about the file on a board; None if it says nothing of that."""
        if self.outcome is None or self.platform is None or self.runtime is None:
            return None
        return Sighting(
            outcome=self.outcome,
            platform=self.platform,
            runtime=self.runtime,
            driver=self.driver,
            board=self.board,
            note=self.note,
            origin=self.origin,
            place=self.place,
            seen=self.seen,
            own=own,
        )

    def evidence(self) -> tuple[Evidence, ...]:
        """Return what it says about the file's attributes."""
        return tuple(
            Evidence(
                attribute=attribute,
                value=value,
                origin=Origin.LOG,
                place=self.place,
                seen=self.seen,
            )
            for attribute, value in self.said
        )


def about(artifact: Artifact, **observed: Any) -> Addition:
    """Return an addition about an artifact; of a file of this disk, only the name is kept.

    Raises:
        UsageError: neither a repository nor its content tells others which file it is.
    """
    if artifact.source in _PUBLIC and artifact.repo:
        place = (artifact.source, artifact.repo, artifact.path)
    elif artifact.sha256 is not None:
        place = (_OF_A_DISK, "", PurePosixPath(artifact.path).name)
    else:
        raise UsageError(
            f"the content of {PurePosixPath(artifact.path).name} is not known",
            hint="name the file itself, which is read then: rkfetch catalog add PATH",
        )
    source, repo, path = place
    return Addition(source=source, repo=repo, path=path, sha256=artifact.sha256, **observed)


def today() -> str:
    """Return the present day in UTC."""
    return dt.datetime.now(dt.timezone.utc).date().isoformat()


# --- what may be told -------------------------------------------------------------------------


def without_private(text: str, names: Iterable[str]) -> str:
    """Return a person's words without folders of a disk and without these names.

    Of a path its last part stays; addresses on the web are left as they are.
    """
    told = _PATH.sub(lambda found: re.split(r"[/\\]", found[0].rstrip("/\\"))[-1], text)
    for name in names:
        told = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "…", told)
    return " ".join(border.HIDDEN.sub(" ", told).split())[:LONGEST_NOTE]


# --- as lines ---------------------------------------------------------------------------------


def to_lines(additions: Iterable[Addition]) -> str:
    """Write additions as a file: one line each, in an order that does not depend on their age."""
    distinct = {a.id: a for a in additions}.values()
    return "".join(f"{a.line()}\n" for a in sorted(distinct, key=lambda a: a.order))


def from_lines(data: bytes, *, name: str) -> list[Addition]:
    """Read what `to_lines` wrote; empty lines are passed over.

    Raises:
        IntegrityError: a line is no addition; with its number and what is wrong.
    """
    if len(data) > _MOST_BYTES:
        raise IntegrityError(f"{name} is too large for a file of additions")
    found, wrong = [], []
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            found.append(from_line(line))
        except ValueError as error:
            wrong.append(f"line {number}: {error}")
    if wrong:
        more = [f"and {len(wrong) - 5} more"] if len(wrong) > 5 else []
        raise IntegrityError(
            f"{name} is no file of additions",
            cause=[*wrong[:5], *more],
            hint="`rkfetch catalog additions --export FILE` writes one",
        )
    return found


def from_line(line: str | bytes) -> Addition:
    """Read one addition.

    Raises:
        ValueError: it is none; the message says why.
    """
    if len(line) > _LONGEST_LINE:
        raise ValueError("it is too long")
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("it is no JSON") from None
    if not isinstance(value, dict) or value.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(f"it is no object with schema_version {SCHEMA_VERSION}")
    outcome, platform, runtime = (
        _choice(value, "outcome", Outcome),
        _choice(value, "platform", Platform),
        _version(value, "runtime"),
    )
    said = tuple(_said(value.get("said", {})))
    if outcome is not None and (platform is None or runtime is None):
        raise ValueError("an outcome needs platform and runtime")
    if outcome is None and not said:
        raise ValueError("it says nothing")
    origin = _choice(value, "origin", Origin)
    if origin not in {Origin.USER, Origin.LOG}:
        raise ValueError("its origin is neither user nor log")
    sha256 = border.digest(value.get("sha256"))
    if "sha256" in value and sha256 is None:
        raise ValueError("its sha256 is none")
    repo, path = _text(value, "repo", least=0) or "", _path(value)
    if not repo and sha256 is None:
        raise ValueError("neither a repository nor a SHA-256 says which file it is about")
    return Addition(
        source=_text(value, "source") or "",
        repo=repo,
        path=path,
        sha256=sha256,
        seen=_day(value.get("seen")),
        origin=origin,
        outcome=outcome,
        platform=platform,
        runtime=runtime,
        driver=_version(value, "driver"),
        board=_text(value, "board", required=False),
        note=_text(value, "note", required=False),
        said=said,
    )


def _text(
    value: Mapping[str, Any], name: str, *, least: int = 1, required: bool = True
) -> str | None:
    if name not in value and not required:
        return None
    text = border.text(value.get(name))
    if text is None or len(text) < least or border.HIDDEN.search(text):
        raise ValueError(f"its {name} is missing or no plain text")
    if not required and len(text) > LONGEST_NOTE:
        raise ValueError(f"its {name} is longer than {LONGEST_NOTE} characters")
    return text


def _path(value: Mapping[str, Any]) -> str:
    path = _text(value, "path") or ""
    if any(part in {"", ".", ".."} for part in path.split("/")):
        raise ValueError("its path is none inside a repository")
    return path


def _choice(value: Mapping[str, Any], name: str, kind: Any) -> Any:
    if value.get(name) is None:
        return None
    try:
        return kind(value[name])
    except ValueError:
        raise ValueError(f"its {name} is unknown") from None


def _version(value: Mapping[str, Any], name: str) -> Version | None:
    text = value.get(name)
    if text is None:
        return None
    version = as_version(text) if isinstance(text, str) else None
    if version is None or len(version.release) != 3:
        raise ValueError(f"its {name} is no version")
    return version


def _day(text: object) -> str:
    try:
        return dt.date.fromisoformat(text if isinstance(text, str) else "").isoformat()
    except ValueError:
        raise ValueError("its seen is no date") from None


_SAID = ("toolkit", "platform", "quant", "context", "npu_cores")


def _said(value: object) -> Iterator[tuple[str, str]]:
    for attribute, text in sorted(value.items()) if isinstance(value, dict) else [("said", value)]:
        item = None
        if attribute in _SAID and isinstance(text, str):
            item = border.observation(
                Evidence(attribute=attribute, value=text, origin=Origin.LOG, place="", seen=None)
            )
        if item is None:
            raise ValueError(f"what it says about {attribute!r:.40} means nothing")
        yield attribute, item.value


def recall(line: str) -> Addition | None:
    """Read what the database keeps; None for what a newer rkfetch put there."""
    try:
        return from_line(line)
    except ValueError:
        return None
