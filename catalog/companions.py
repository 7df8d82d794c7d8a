"""Which files of a repository belong to a build: its vision encoder, and the base model's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .encoders import encoders_of
from .entries import VISION, Companion
from .sources import bad_path

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rkfetch.registry.model import Artifact

    from .sources import RemoteFile

_ROLES = {
    "tokenizer.json": "tokenizer",
    "tokenizer_config.json": "tokenizer",
    "tokenizer.model": "tokenizer",
    "special_tokens_map.json": "tokenizer",
    "added_tokens.json": "tokenizer",
    "vocab.json": "tokenizer",
    "merges.txt": "tokenizer",
    "chat_template.jinja": "chat-template",
    "chat_template.json": "chat-template",
    "config.json": "config",
    "generation_config.json": "config",
}


def companions_of(artifact: Artifact, files: Iterable[RemoteFile]) -> tuple[Companion, ...]:
    """Find what belongs to a build: the encoder of the same SoC, the tokenizer beside it or on top.

    Where a folder has a file of its own, that of the repository does not count. Several encoders
    are as many that may be the one (`encoders.encoders_of`).
    """
    folder = artifact.path.rpartition("/")[0]
    files = list(files)
    found: dict[tuple[str, str], Companion] = {}
    for file in encoders_of(artifact, files):
        found[VISION, file.path] = _companion(artifact, VISION, file)
    for file in sorted(files, key=lambda f: f.path.rpartition("/")[0] != folder):
        where, _, name = file.path.rpartition("/")
        role = _ROLES.get(name) if where in {folder, ""} else None
        if role is not None and bad_path(file.path) is None:
            found.setdefault((role, name), _companion(artifact, role, file))
    return tuple(sorted(found.values(), key=lambda c: (c.role != VISION, c.role, c.path)))


def _companion(artifact: Artifact, role: str, file: RemoteFile) -> Companion:
    return Companion(
        role=role,
        repo=artifact.repo,
        path=file.path,
        size_bytes=file.size_bytes,
        sha256=file.sha256,
    )
