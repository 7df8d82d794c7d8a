"""Which files of a repository belong to a build: its vision encoder, and the base model's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .entries import Companion
from .naming import guess
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
    """Find what lies beside a build, or at the top: the encoder for the same SoC, the tokenizer.

    Where a folder has a file of its own, that of the repository does not count.
    """
    folder = artifact.path.rpartition("/")[0]
    found: dict[tuple[str, str], Companion] = {}
    for file in sorted(files, key=lambda f: f.path.rpartition("/")[0] != folder):
        where, _, name = file.path.rpartition("/")
        role = _role(artifact, file) if where in {folder, ""} else None
        if role is not None:
            found.setdefault(
                (role, name),
                Companion(
                    role=role,
                    repo=artifact.repo,
                    path=file.path,
                    size_bytes=file.size_bytes,
                    sha256=file.sha256,
                ),
            )
    return tuple(sorted(found.values(), key=lambda c: (c.role != "vision", c.role, c.path)))


def _role(artifact: Artifact, file: RemoteFile) -> str | None:
    name = file.path.rpartition("/")[2]
    role = _ROLES.get(name)
    if name.lower().endswith(".rknn") and "vision" in file.path.lower():
        platform = guess(artifact.repo, file.path, source=artifact.source).platform
        fits = platform is not None and platform is artifact.platform
        role = "vision" if fits and _same_model(artifact, file.path) else None
    return role if role is not None and bad_path(file.path) is None else None


def _same_model(artifact: Artifact, path: str) -> bool:
    """Tell whether an encoder may be this build's: beside builds of several sizes lie several."""
    params_b = guess("", path).params_b
    return None in {params_b, artifact.params_b} or params_b == artifact.params_b
