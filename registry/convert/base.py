"""What a conversion begins with: a base model on the Hub, in a folder, or a GGUF file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """What lies with a model and runs, or may run, when the toolkit loads it."""

    files: tuple[str, ...] = ()
    """``.py`` files of the repository or folder; none if nothing asks for them."""
    entries: tuple[str, ...] = ()
    """What asks for them: ``config.json: AutoConfig = configuration_x.XConfig``."""
    elsewhere: tuple[str, ...] = ()
    """Other repositories whose code is asked for: the toolkit, without a network, lacks it."""
    pickles: tuple[str, ...] = ()
    """Weights in PyTorch's old form, which may run anything when they are read."""

    @property
    def all(self) -> tuple[str, ...]:
        """Everything that is to be named before any of it runs."""
        return (*self.files, *self.entries, *self.pickles)

    def __bool__(self) -> bool:
        return bool(self.files or self.entries or self.pickles)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """One file of a base model, as its source lists it."""

    path: str
    """Relative, with ``/``; never one that leads out of its folder."""
    size_bytes: int
    sha256: str | None = None
    """Of a Git LFS file."""
    blob: str | None = None
    """SHA-1 that git gives the content of any other file."""

    @property
    def key(self) -> str:
        """The digest that is known, which huggingface_hub's cache calls the content by."""
        return self.sha256 or self.blob or ""

    def digest(self) -> hashlib._Hash:
        """Begin the digest that `key` is; it is to be fed all of the content."""
        if self.sha256 is not None:
            return hashlib.sha256()
        return hashlib.sha1(b"blob %d\0" % self.size_bytes, usedforsecurity=False)

    def is_content(self, data: bytes) -> bool:
        """Tell whether some bytes are this file."""
        digest = self.digest()
        digest.update(data)
        return len(data) == self.size_bytes and digest.hexdigest() == self.key


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseModel:
    """A base model, as far as it can be known without its weights."""

    name: str
    """For people and file names: ``Qwen2.5-1.5B-Instruct``."""
    hub_id: str | None = None
    """None for one of this machine."""
    revision: str | None = None
    """The commit (40 hex) on the Hub."""
    ref: str | None = None
    """The branch or tag that it was found at, unless the commit itself was asked for."""
    path: Path | None = None
    """The folder or ``.gguf`` file on this machine; None until it is fetched."""
    architecture: str | None = None
    """First of ``architectures`` in ``config.json``, or ``general.architecture`` of a GGUF."""
    parameters: int | None = None
    """How many numbers its weights have."""
    weights_bytes: int = 0
    """Size of the weight files that are wanted."""
    listing: tuple[ModelFile, ...] = ()
    """The files that are wanted from the Hub; empty for a folder or file of this machine."""
    missing_bytes: int | None = None
    """How much of ``listing`` is not on this machine yet; None if nobody has looked."""
    quantised: str | None = None
    """``gptq``, ``awq``, ``bitsandbytes``, ``q4_0``, … if its weights are quantised already."""
    bits: int | None = None
    """Of ``quantised``."""
    group: int | None = None
    """Of ``quantised``."""
    symmetric: bool | None = None
    """Of ``quantised``: ``sym``. GPTQ is taken with true alone."""
    reordered: bool | None = None
    """Of ``quantised``: ``desc_act``. GPTQ is taken with false alone."""
    layers: int | None = None
    context: int | None = None
    """``max_position_embeddings``."""
    licence: str | None = None
    gated: bool = False
    code: Code = Code()

    @property
    def download_bytes(self) -> int:
        """Size of all files that are wanted."""
        return sum(file.size_bytes for file in self.listing)

    @property
    def files(self) -> tuple[str, ...]:
        """Those that are wanted from the Hub, relative."""
        return tuple(file.path for file in self.listing)

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
