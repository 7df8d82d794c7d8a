"""The file that a log speaks of: found on this disk, in the store or in the catalog."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import boards
from load_logs import log, started
from rkfetch.catalog.database import Catalog
from rkfetch.catalog.diagnose import MOST_SUBJECTS, subjects
from rkfetch.registry.errors import UsageError
from rkfetch.registry.store import Store, home
from rkfetch.registry.target import detect
from rkllm_files import rkllm_bytes
from stored import add

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rkfetch.registry.diagnosis.case import Subject
    from rkfetch.registry.runtime_log import Load
    from rkfetch.registry.target import Board

pytestmark = pytest.mark.once

NAME = "Qwen2.5-1.5B-Instruct_RK3576_w4a16.rkllm"
BUILD = f"HanzoHuang/Qwen2.5-1.5B-Instruct-RKLLM/RK3576/{NAME}"


@pytest.fixture
def shipped() -> Iterator[Catalog]:
    with Catalog.open() as catalog:
        yield catalog


@pytest.fixture
def store() -> Store:
    return Store(home())


def load(path: str | None = f"/home/u/{NAME}", **told: str | None) -> Load:
    (found,) = log(started(path=path, **told) + "rkllm init success\n").loads  # type: ignore[arg-type]
    return found


def find(
    catalog: Catalog,
    store: Store,
    of: Load | None,
    *,
    given: str | None = None,
    board: Board | None = None,
) -> Subject:
    return subjects(catalog, store, given=given, board=board)(of)


def test_a_name_tells_the_model_and_what_fits_instead(shipped: Catalog, store: Store) -> None:
    subject = find(shipped, store, load())
    assert subject.missing
    assert subject.reference == subject.model == "Qwen2.5-1.5B-Instruct"
    assert subject.exact == f"hf:{BUILD}"
    assert subject.fitting == BUILD
    assert find(shipped, store, load(runtime="1.1.4")).fitting is None


def test_the_very_file_is_read(shipped: Catalog, store: Store, tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\nsize 1394162444\n")
    subject = find(shipped, store, load(str(path), toolkit=None))
    assert subject.path == str(path)
    assert subject.facts is not None
    assert subject.facts.format == "git-lfs-pointer"
    assert subject.model == "Qwen2.5-1.5B-Instruct"


def test_another_file_that_lies_there_now_says_nothing(
    shipped: Catalog, store: Store, tmp_path: Path
) -> None:
    path = tmp_path / NAME
    path.write_bytes(rkllm_bytes(toolkit="1.3.0"))
    assert find(shipped, store, load(str(path), toolkit="1.2.3")).facts is None
    same = find(shipped, store, load(str(path), toolkit="1.3.0")).facts
    assert same is not None
    assert same.toolkit is not None


def test_an_installed_file_is_known_by_its_name(shipped: Catalog, store: Store) -> None:
    item = add(store, path=f"RK3576/{NAME}", model="Qwen/Qwen2.5-1.5B-Instruct")
    subject = find(shipped, store, load(f"/somewhere/else/{NAME}"))
    assert subject.path == str(item.path)
    assert subject.installed
    assert not subject.damaged
    assert subject.exact == f"hf:alice/models/RK3576/{NAME}"
    assert subject.reference == "Qwen2.5-1.5B-Instruct"


def test_the_installed_file_itself_whatever_its_name(
    shipped: Catalog, store: Store, tmp_path: Path
) -> None:
    item = add(store, model="Qwen/Qwen2.5-1.5B-Instruct")
    link = tmp_path / "m.rkllm"
    link.hardlink_to(item.path)
    with link.open("r+b") as file:
        file.seek(5000)
        file.write(b"x")
    assert store.verify(item)
    subject = find(shipped, store, load(str(link)))
    assert subject.installed
    assert subject.damaged


@pytest.mark.parametrize("given", ["qwen2.5-1.5b", f"hf:{BUILD}"])
def test_what_the_user_says_it_is(given: str, shipped: Catalog, store: Store) -> None:
    subject = find(shipped, store, load(None, toolkit=None), given=given)
    assert subject.model == "Qwen2.5-1.5B-Instruct"
    assert subject.fitting == BUILD
    assert not subject.missing
    if given.startswith("hf:"):
        assert subject.exact == given
        assert str(subject.toolkit) == "1.2.3"
    else:
        assert subject.reference == given


def test_what_is_nothing_is_refused(shipped: Catalog, store: Store) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        subjects(shipped, store, given="nowhere/x.rkllm")


def test_without_versions_the_board_s_count(shipped: Catalog, store: Store, tmp_path: Path) -> None:
    board = detect(boards.rock_4d(tmp_path / "board"), environ={})
    of_board = find(shipped, store, None, given="qwen2.5-1.5b", board=board)
    assert of_board.fitting == BUILD
    unknown = replace(board, runtime=None)
    assert find(shipped, store, None, given="qwen2.5-1.5b", board=unknown).fitting is None


def test_a_log_of_many_files_is_not_looked_into_for_ever(shipped: Catalog, store: Store) -> None:
    find_all = subjects(shipped, store)
    found = [find_all(load(f"/m/{n}/{NAME}")) for n in range(MOST_SUBJECTS + 5)]
    assert sum(subject.model is not None for subject in found) == MOST_SUBJECTS + 1


@pytest.mark.parametrize(
    "path", ["/m/\ud800.rkllm".encode("utf-8", "replace").decode(), "/m/" + "x" * 900 + ".rkllm"]
)
def test_odd_names_are_borne(path: str, shipped: Catalog, store: Store) -> None:
    assert find(shipped, store, load(path)).reference is None
