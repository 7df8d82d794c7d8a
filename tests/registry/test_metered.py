"""Who says that a link costs: the user, or NetworkManager, asked by real programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rkfetch.registry.errors import MeteredError, UsageError
from rkfetch.registry.metered import FREE_BYTES, Costs

if TYPE_CHECKING:
    from pathlib import Path

LARGE = FREE_BYTES + 1


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with all programs that there are."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(("name", "answer"), [("busctl", "u {}"), ("gdbus", "(<uint32 {}>,)")])
@pytest.mark.parametrize(
    ("metered", "said"),
    [
        (0, None),
        (1, "NetworkManager says so"),
        (2, None),
        (3, "NetworkManager guesses so"),
        (4, None),
        (9, None),
    ],
)
def test_network_manager_is_believed(
    programs: Path, name: str, answer: str, metered: int, said: str | None
) -> None:
    asks = 'case "$*" in *NetworkManager*Metered*) ;; *) exit 1 ;; esac'
    program(programs, name, f"{asks}; echo '{answer.format(metered)}'")
    assert Costs().matter(LARGE) == said


@pytest.mark.parametrize(
    "script",
    ["exit 1", "echo nonsense", "echo u 1; exit 1", "exec /bin/sleep 60", "printf '\\377u 1'"],
)
def test_who_cannot_be_asked_says_nothing(programs: Path, script: str) -> None:
    program(programs, "busctl", script)
    assert Costs().matter(LARGE) is None


def test_without_any_program_nobody_knows(programs: Path) -> None:
    assert Costs().matter(LARGE) is None


def test_what_is_small_costs_nothing_and_what_nobody_knows_may(programs: Path) -> None:
    assert Costs(metered="yes").matter(FREE_BYTES) is None
    assert Costs(metered="yes").matter(None) is not None


def test_the_user_knows_better(programs: Path) -> None:
    program(programs, "busctl", "echo u 1")
    assert Costs(metered="no").matter(LARGE) is None
    program(programs, "busctl", "echo u 2")
    assert "you say so" in (Costs(metered="yes").matter(LARGE) or "")


def test_there_are_three_words() -> None:
    with pytest.raises(UsageError, match="maybe"):
        Costs(metered="maybe")


@pytest.mark.parametrize(("size", "words"), [(LARGE, "10 MB"), (None, "nobody knows how much")])
def test_a_refusal_says_how_much(size: int | None, words: str) -> None:
    with pytest.raises(MeteredError, match=words) as caught:
        Costs().require("a/b.rkllm", size, "NetworkManager says so")
    assert caught.value.need_bytes == size
    assert caught.value.exit_code == 11
    Costs(agree=lambda *_: True).require("a/b.rkllm", size, "NetworkManager says so")
