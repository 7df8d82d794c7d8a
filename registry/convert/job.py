"""One conversion as the driver is told of it, and what it tells on the way: plain data.

The driver runs beside the vendor's code, where rkfetch is not installed; `Job.as_json` and `Event`
are all that both sides share.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

OUTPUT_NAME = "model.rkllm"
"""The one name that is exported to: the toolkit cuts others at their last dot."""
MODEL, DATASET, OUTPUT = "model", "dataset", "output"
"""What a job's files are called; each environment has its own paths for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What the toolkit shall do. All files are the host's; the driver is given its own paths."""

    model: Path
    """A folder in the Hugging Face layout, or a ``.gguf`` file. Never written to."""
    output: Path
    """An empty folder, for `OUTPUT_NAME` and the toolkit's temporary files."""
    dataset: Path | None = None
    """Calibration data, a JSON list of ``{"input": …, "target": …}``."""
    load: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of ``load_huggingface`` or ``load_gguf`` but for the paths."""
    build: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of ``build`` but for ``dataset``."""
    export: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of ``export_rkllm`` but for the path."""

    @property
    def files(self) -> dict[str, Path]:
        """The host's files that the environment has to show to the driver, by their names."""
        named = {MODEL: self.model, DATASET: self.dataset, OUTPUT: self.output}
        return {name: path for name, path in named.items() if path is not None}

    def as_json(self, paths: Mapping[str, str]) -> str:
        """Return what the driver reads; ``paths`` are the files' as it sees them."""
        return json.dumps(
            {
                "kind": "gguf" if self.model.suffix == ".gguf" else "huggingface",
                "paths": dict(paths),
                "output_name": OUTPUT_NAME,
                "load": dict(self.load),
                "build": dict(self.build),
                "export": dict(self.export),
            }
        )


Kind = Literal["started", "phase", "progress", "log", "alive", "result", "failed"]
_KINDS = frozenset(get_args(Kind))


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of the driver.

    ``started`` (python, toolkit), ``phase`` (name: import, load, build, export), ``progress``
    (phase, what, done, total), ``log`` (level: info, warning, error; text), ``alive`` (every few
    seconds: rss_bytes, peak_bytes, written_bytes, seconds), ``result`` (bytes, peak_bytes, seconds
    by phase) and ``failed`` (phase; why: job, returned, exception, exit, signal, died, no-file,
    empty-file, stopped; returned, exception, status, signal; peak_bytes, seconds by phase,
    free_bytes of the output folder's disk; errors and tail: the last such lines, and of all).
    """

    kind: Kind
    values: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, line: str) -> Event | None:
        """Read one line of the driver's output; None if it is none, whoever else printed it."""
        try:
            return cls.of(json.loads(line))
        except (ValueError, RecursionError):
            return None

    @classmethod
    def of(cls, values: Any) -> Event | None:
        """Return what a line held; None if that is no event."""
        kind = values.get("event") if isinstance(values, dict) else None
        if not isinstance(kind, str) or kind not in _KINDS:
            return None
        known = cast("Kind", kind)
        return cls(kind=known, values={n: v for n, v in values.items() if n != "event"})

    def as_json(self) -> dict[str, Any]:
        """Return what `of` reads."""
        return {"event": self.kind, **self.values}
