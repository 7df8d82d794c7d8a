"""Which file of a repository is the vision encoder of a build: the same SoC, the same model.

Pure. A vision model runs as two files: the language half (``.rkllm``) and the encoder of its
pictures (``.rknn``), both built for one SoC. Another chip's encoder does not load ("This rknn
model is for RK3588, but current platform is RK3576",
https://github.com/alexw914/RK_VideoPipe/issues/17); another model's gives nonsense. What names
leave open is left open.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .families import read_model
from .naming import guess
from .sources import bad_path, is_build

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rkfetch.registry.model import Artifact, Platform

    from .families import ModelName
    from .sources import RemoteFile

SUFFIX = ".rknn"
_SEES = frozenset({"vision", "visual", "vit", "image", "siglip", "clip", "eye"})
_OTHER = frozenset(
    {*("audio", "speech", "asr", "tts", "whisper", "vocoder"), *("decoder", "embedding", "lm")}
)
"""Words of other parts that are kept as ``.rknn``."""
_FILLERS = frozenset({"encoder", "model", "rknn", "part"})
_WORDS = re.compile(r"[a-z]+(?:[\d.]+[a-z]*)?|\d[\w.]*")


@dataclass(frozen=True, slots=True)
class _Candidate:
    file: RemoteFile
    platform: Platform | None
    distance: int
    """0 beside the build, then folders upwards, then elsewhere."""
    core: frozenset[str] | None
    """What sets its model apart from others of the family; None where no model is named."""


def encoders_of(artifact: Artifact, files: Iterable[RemoteFile]) -> tuple[RemoteFile, ...]:
    """Return the files of a build's repository that may be its vision encoder: the nearest ones.

    One is the encoder; several are equally near, and nothing tells which is meant; none is a
    repository with the language half alone. Files of other chips are never among them; one that
    names no chip is, if the repository has builds for no other.
    """
    if artifact.platform is None:
        return ()
    files = list(files)
    found = [c for file in files if (c := _candidate(artifact, file)) is not None]
    stated = [c for c in found if c.platform is not None]
    if not stated and _is_for_others_too(artifact, files):
        return ()
    return tuple(c.file for c in _nearest(artifact, stated or found))


def _candidate(artifact: Artifact, file: RemoteFile) -> _Candidate | None:
    """Return a file that may be the encoder; None for one that cannot."""
    if not file.path.lower().endswith(SUFFIX) or bad_path(file.path) is not None:
        return None
    mine = read_model(artifact.model) if artifact.model else None
    stem = file.path.rpartition("/")[2][: -len(SUFFIX)]
    words = set(_WORDS.findall(stem.lower().replace("_", " ")))
    named = _named_model(stem)
    sees = bool(words & _SEES) or "vision" in file.path.lower()
    if words & _OTHER or not (sees or _is_namesake(mine, named)):
        return None
    if named is None and mine is not None and mine.known and not mine.multimodal:
        return None
    told = guess(artifact.repo, file.path, source=artifact.source)
    if told.platform not in {None, artifact.platform} or not _may_be_same(artifact, mine, named):
        return None
    distance = _distance(artifact.path, file.path)
    if told.platform is None and distance == _ELSEWHERE:
        return None
    core = named.core if named is not None and named.family is not None else None
    return _Candidate(file=file, platform=told.platform, distance=distance, core=core)


def _named_model(stem: str) -> ModelName | None:
    """Return the model that an encoder's name names, without the words for what it is."""
    before = guess("", f"{stem}.rkllm").model or ""
    kept = [w for w in re.split(r"[-_ ]+", before) if w.lower() not in _SEES | _FILLERS]
    return read_model("-".join(kept)) if kept else None


def _is_namesake(mine: ModelName | None, named: ModelName | None) -> bool:
    """Tell whether a file that does not say what it is has a vision model's own name."""
    if mine is None or named is None or not mine.multimodal:
        return False
    return mine.family is not None and (mine.family, mine.size) == (named.family, named.size)


def _may_be_same(artifact: Artifact, mine: ModelName | None, named: ModelName | None) -> bool:
    """Tell whether an encoder may be this build's: beside builds of several models lie several."""
    if named is None:
        return True
    sizes = {named.params_b, artifact.params_b} - {None}
    families = {m.family for m in (mine, named) if m is not None and m.known} - {None}
    return len(sizes) < 2 and len(families) < 2


_ELSEWHERE = 1000


def _distance(build: str, encoder: str) -> int:
    """Tell how many folders upwards from the build an encoder lies; `_ELSEWHERE` if beside them."""
    home, there = build.split("/")[:-1], encoder.split("/")[:-1]
    return len(home) - len(there) if home[: len(there)] == there else _ELSEWHERE


def _is_for_others_too(artifact: Artifact, files: Sequence[RemoteFile]) -> bool:
    """Tell whether a repository has builds for another SoC, as their names say."""
    told = (
        guess(artifact.repo, file.path, source=artifact.source).platform
        for file in files
        if is_build(file.path)
    )
    return bool(set(told) - {None, artifact.platform})


def _nearest(artifact: Artifact, found: Sequence[_Candidate]) -> list[_Candidate]:
    """Return the candidates that lie nearest, those of the very same variant if there are any."""
    least = min((c.distance for c in found), default=0)
    near = sorted((c for c in found if c.distance == least), key=lambda c: c.file.path)
    mine = read_model(artifact.model) if artifact.model else None
    same = [c for c in near if mine is not None and c.core == mine.core]
    return same or near
