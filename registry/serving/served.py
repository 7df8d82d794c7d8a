"""What a server has to be told of a model, and what is written for it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from rkfetch.registry.compat import DEFAULT_CONTEXT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rkfetch.registry.store import Installed
    from rkfetch.registry.versions import Version

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_ODD = re.compile(r"[^a-z0-9._:+-]+")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]{0,99}")
_STEP = 32
"""Contexts are multiples of it (SDK guides 1.2.0 to 1.3.0)."""


class Server(str, Enum):
    """What is to run the model."""

    RKLLAMA = "rkllama"
    ORKLLM = "orkllm"
    PLAIN = "plain"
    """No server: Rockchip's own demo."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One model as a server sees it."""

    file_name: str
    model: str | None
    """The base model: its Hub id, or only a name."""
    source: str
    repo: str
    platform: str | None
    toolkit: str | None
    limit: int | None
    """The context that the file was built for, in tokens."""
    asked_context: int | None = None
    runtime: Version | None = None
    encoder: str | None = None
    """File name of the vision encoder."""

    @property
    def context(self) -> int:
        """The tokens of context to load it with: what was asked for, else all that it has."""
        limit = self.limit or DEFAULT_CONTEXT
        if self.asked_context is None:
            return limit
        return min(limit, -(-self.asked_context // _STEP) * _STEP)

    @property
    def answer_tokens(self) -> int:
        """The longest answer: half of the context, as in Rockchip's own command lines."""
        return self.context // 2

    @property
    def tokenizer_repo(self) -> str | None:
        """Return the Hub repository that surely has the tokenizer, else the one it came from."""
        for source, name in (("huggingface", self.model), (self.source, self.repo)):
            if source == "huggingface" and name is not None and _HUB_ID.fullmatch(name):
                return name
        return None

    @property
    def has_base_model(self) -> bool:
        """Whether its base model is known by its Hub id."""
        return self.model is not None and _HUB_ID.fullmatch(self.model) is not None

    @property
    def name(self) -> str:
        """What to call it: the base model's name in small letters, else the file's."""
        name = (self.model or self.file_name.removesuffix(".rkllm")).rpartition("/")[2].lower()
        name = _ODD.sub("-", name).strip("-._:+")[:80]
        return name if is_name(name) else "model"

    @classmethod
    def of(
        cls,
        item: Installed,
        companions: Iterable[Installed] = (),
        *,
        asked_context: int | None = None,
        runtime: Version | None = None,
    ) -> Served:
        """Read what the record of a stored model says."""
        record = item.record

        def said(name: str) -> str | None:
            return record.attributes.get(name, {}).get("value")

        limit = said("context") or ""
        encoders = (c.path.name for c in companions if c.path.suffix.lower() == ".rknn")
        return cls(
            file_name=item.path.name,
            model=record.model,
            source=record.source,
            repo=record.repo,
            platform=said("platform"),
            toolkit=said("toolkit"),
            limit=int(limit) if limit.isascii() and limit.isdigit() and int(limit) else None,
            asked_context=asked_context,
            runtime=runtime,
            encoder=next(encoders, None),
        )


def with_plain_suffix(name: str) -> str:
    """Return a file's name with its ending in small letters: servers look for no other."""
    stem, dot, suffix = name.rpartition(".")
    return f"{stem}{dot}{suffix.lower()}" if dot else name


def is_name(text: str) -> bool:
    """Tell whether a server takes it as a model's name, and every file system as a folder's."""
    return _NAME.fullmatch(text) is not None and ".." not in text


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Which files a server wants, below its folder of models."""

    name: str
    """What the server calls the model."""
    folder: str
    model_file: str
    encoder_file: str | None = None
    settings: tuple[tuple[str, str], ...] = ()
    """Of a Modelfile; empty where the server reads none."""
    is_alone: bool = False
    """Whether no other build may lie in the same folder."""
    notes: tuple[str, ...] = ()
    """What a person should know."""
    next_step: str = ""
    """What to type to use it."""
