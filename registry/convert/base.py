"""What a conversion begins with: a base model on the Hub, in a folder, or a GGUF file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """Python that lies with a model, which the toolkit runs when it loads it."""

    files: tuple[str, ...] = ()
    """``.py`` files of the repository or folder."""
    entries: tuple[str, ...] = ()
    """What asks for them: ``config.json: AutoConfig = configuration_x.XConfig``."""

    def __bool__(self) -> bool:
        return bool(self.files or self.entries)


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseModel:
    """A base model, as far as it can be known without its weights."""

    name: str
    """For people and file names: ``Qwen2.5-1.5B-Instruct``."""
    hub_id: str | None = None
    """None for one of this machine."""
    revision: str | None = None
    """The commit (40 hex) on the Hub."""
    path: Path | None = None
    """The folder or ``.gguf`` file on this machine; None until it is fetched."""
    architecture: str | None = None
    """First of ``architectures`` in ``config.json``, or ``general.architecture`` of a GGUF."""
    parameters: int | None = None
    """How many numbers its weights have."""
    weights_bytes: int = 0
    """Size of the weight files that are wanted."""
    download_bytes: int = 0
    """Size of all files that are wanted."""
    files: tuple[str, ...] = ()
    """Those that are wanted, relative; empty for a folder or file of this machine."""
    quantised: str | None = None
    """``gptq``, ``awq``, ``bitsandbytes``, ``q4_0``, … if its weights are quantised already."""
    bits: int | None = None
    """Of ``quantised``."""
    group: int | None = None
    """Of ``quantised``."""
    layers: int | None = None
    context: int | None = None
    """``max_position_embeddings``."""
    licence: str | None = None
    gated: bool = False
    code: Code = Code()

    @property
    def is_gguf(self) -> bool:
        """Whether it is one GGUF file."""
        return self.path is not None and self.path.suffix == ".gguf"

    @property
    def words(self) -> str:
        """What to call it: ``Qwen/Qwen2.5-1.5B-Instruct at 989aa7980e4c``, or its path."""
        if self.hub_id is None:
            return str(self.path)
        return f"{self.hub_id} at {self.revision[:12]}" if self.revision else self.hub_id
