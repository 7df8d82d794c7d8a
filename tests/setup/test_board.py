"""Which target a board is, and what is judged anew there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rkfetch.catalog.setup.board import find, judged
from rkfetch.catalog.setup.declaration import Wish
from rkfetch.catalog.setup.locked import Lock, LockedFile, LockedModel, LockedTarget
from rkfetch.registry.compat import Level
from rkfetch.registry.errors import IncompatibleError, MemoryFitError, UsageError
from rkfetch.registry.model import Artifact, Evidence, Origin, Platform, Target, settle
from rkfetch.registry.versions import Version

SAID = {"toolkit": "1.2.3", "platform": "rk3576", "quant": "w8a8", "model": "Qwen3-4B"}
FILE = Artifact(
    source="huggingface",
    repo="al/x",
    path="x.rkllm",
    size_bytes=4_000_000_000,
    sha256="0" * 64,
    attributes=settle(
        Evidence(attribute=k, value=v, origin=Origin.HEADER, place="lock") for k, v in SAID.items()
    ),
)
MODEL = LockedModel(
    wish=Wish(model="qwen3-4b"),
    name="Qwen/Qwen3-4B",
    files=(LockedFile(artifact=FILE),),
    level=Level.EXACT,
    why="",
)


def board(platform: str, runtime: str | None = None) -> Target:
    return Target(platform=Platform(platform), runtime=Version(runtime) if runtime else None)


LOCK = Lock(
    targets=tuple(
        LockedTarget(name=name, target=board(platform, runtime), models=(MODEL,))
        for name, platform, runtime in (
            ("new", "rk3576", "1.2.3"),
            ("old", "rk3576", "1.2.1"),
            ("big", "rk3588", "1.2.3"),
        )
    )
)


@pytest.mark.parametrize(
    ("platform", "runtime", "name"),
    [
        ("rk3576", "1.2.3", "new"),
        ("rk3576", "1.2.1", "old"),
        ("rk3588", "1.2.3", "big"),
        ("rk3588", "1.3.0", "big"),
        ("rk3588", None, "big"),
    ],
)
def test_soc_and_then_runtime_tell_the_target(
    platform: str, runtime: str | None, name: str
) -> None:
    here = find(LOCK, board(platform, runtime), known=True)
    assert here.locked.name == name
    assert here.board.runtime == (Version(runtime) if runtime else Version("1.2.3"))


@pytest.mark.parametrize(
    ("platform", "runtime", "known", "told"),
    [
        ("rk3576", "1.3.0", True, "may be one of several"),
        ("rk3576", None, True, "may be one of several"),
        ("rk3562", "1.2.3", True, "no target for this board"),
        ("rk3576", "1.2.3", False, "which target of the lock file"),
    ],
)
def test_what_is_not_told_has_to_be_said(
    platform: str, runtime: str | None, known: bool, told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        find(LOCK, board(platform, runtime), known=known)


def test_a_named_target_is_believed_but_for_the_soc() -> None:
    here = find(LOCK, board("rk3576", "1.3.0"), known=True, name="old")
    assert (here.locked.name, here.board.runtime) == ("old", Version("1.3.0"))
    assert here.differs == ("its runtime is 1.3.0, locked was 1.2.1",)
    with pytest.raises(IncompatibleError, match="'big' is for rk3588"):
        find(LOCK, board("rk3576", "1.2.3"), known=True, name="big")
    off_board = find(LOCK, board("rk3576"), known=False, name="big")
    assert off_board.board.platform is Platform.RK3588


def test_a_lock_file_that_names_what_does_not_load_is_not_believed() -> None:
    """Even on the very board that it was made for."""
    fine = find(LOCK, board("rk3576", "1.2.3"), known=True)
    assert judged(MODEL, fine) == (Level.EXACT, None)
    _, too_new = judged(MODEL, find(LOCK, board("rk3576", "1.2.1"), known=True))
    assert isinstance(too_new, IncompatibleError)
    _, other_soc = judged(MODEL, find(LOCK, board("rk3588", "1.2.3"), known=True))
    assert isinstance(other_soc, IncompatibleError)
    small = replace(board("rk3576", "1.2.3"), memory_bytes=2_000_000_000)
    _, too_large = judged(MODEL, find(LOCK, small, known=True))
    assert isinstance(too_large, MemoryFitError)


def test_what_misbehaves_on_another_runtime_needs_leave() -> None:
    here = find(LOCK, board("rk3576", "1.3.0"), known=True, name="new")
    level, refused = judged(MODEL, here)
    assert level is Level.RISKY
    assert isinstance(refused, IncompatibleError)
    assert 'runtime = "1.3.0" for the [[target]] new' in (refused.hint or "")
    daring = replace(MODEL, wish=replace(MODEL.wish, allow_risky=True))
    assert judged(daring, here) == (Level.RISKY, None)
