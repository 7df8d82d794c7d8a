"""oRKLLM: every ``.rkllm`` below its folder is a model, named by its path. Pure.

As its code reads them (oRKLLM/oRKLLM 1960f1b): what it downloads goes to ``OWNER/REPO/FILE``
(``admin/routes.js``); which runtime library it tries first is read at the end of the file's name,
``-v1.2.3-RKLLM.rkllm`` (``parseRuntimeVersion`` in ``config.js``), and without a version there it
tries all, newest first. It has no use for vision encoders.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from rkfetch.registry.record import safe_file_name

from .served import Layout, with_plain_suffix

if TYPE_CHECKING:
    from .served import Served

_VERSION = re.compile(r"[-_]v?(\d+\.\d+\.\d+)(?:-RKLLM)?\.rkllm$", re.IGNORECASE)
_HUBS = {"huggingface", "modelscope"}
_DEFAULT_CONTEXT = 4096


def layout(served: Served, name: str | None = None) -> Layout:
    """Say which file oRKLLM wants, and under which name."""
    folder = name or _folder(served)
    file_name = _file_name(served)
    model = f"{folder}/{file_name}"
    return Layout(
        name=model,
        folder=folder,
        model_file=file_name,
        notes=tuple(_notes(served)),
        next_step=f"choose the model {model}",
    )


def _folder(served: Served) -> str:
    parts = PurePosixPath(served.repo).parts
    if served.source not in _HUBS or len(parts) != 2:
        return served.name
    owner, repo = (re.sub(r"^\.+", "_", re.sub(r"[^\w.-]", "_", part)) for part in parts)
    return f"{owner}/{repo}"


def _file_name(served: Served) -> str:
    """Let the name end with the toolkit's version, unless it does."""
    name = with_plain_suffix(served.file_name)
    said = _VERSION.search(name)
    toolkit = served.toolkit
    if toolkit is None or not re.fullmatch(r"\d+\.\d+\.\d+", toolkit):
        return name
    if said is not None and said[1] == toolkit:
        return name
    ending = f"-v{toolkit}-RKLLM.rkllm"
    stem = safe_file_name(name, longest=140 - len(ending)).removesuffix(".rkllm")
    return stem + ending


def _notes(served: Served) -> list[str]:
    notes = []
    if served.encoder is not None:
        notes.append("oRKLLM does not use vision encoders: it will answer to text only")
    if served.context != _DEFAULT_CONTEXT:
        notes.append(
            f"oRKLLM loads models with a context of {_DEFAULT_CONTEXT}; for this one, set "
            f"ctx_window to {served.context} on its page of the model"
        )
    return notes
