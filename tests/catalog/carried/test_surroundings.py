"""What is fetched to lie beside a model, from whom, and what becomes of what cannot be had."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from downloads import quick_http
from hub.faults import HOSTILE_NAMES
from hub.server import Hub
from rkfetch.catalog.carried.surroundings import surround
from rkfetch.registry.beside import CARD, beside
from rkfetch.registry.metered import Costs
from rkfetch.registry.progress import NoProgress
from rkfetch.registry.store import Store
from stored import add

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hub.repos import Repo
    from rkfetch.registry.http import Http
    from rkfetch.registry.store import Installed

BASE, UPLOAD = "Qwen/Qwen2.5-1.5B-Instruct", "alice/models"
CARD_TEXT = "---\nlicense: apache-2.0\n---\n# Mine\n"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        yield hub


@pytest.fixture
def base(hub: Hub) -> Repo:
    repo = hub.add_repo(BASE, card="---\nlicense: gemma\n---\n# Theirs\n")
    repo.add_files({"tokenizer.json": b"{}", "config.json": b"{}", "LICENSE": b"free"}, lfs=False)
    repo.add_files({"model.safetensors": b"large", "model.safetensors.index.json": b"{}"})
    return repo


@pytest.fixture
def upload(hub: Hub) -> Repo:
    repo = hub.add_repo(UPLOAD, card=CARD_TEXT)
    repo.add_files({"tokenizer.json": b"theirs", "x.rkllm": b"x"}, lfs=False)
    return repo


@pytest.fixture
def http(hub: Hub) -> Iterator[Http]:
    with quick_http() as http:
        yield http


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def surrounded(
    store: Store, http: Http | None, *, model: str | None = BASE, tokenizer: bool = True
) -> tuple[Installed, dict[str, bytes], str]:
    item = add(store, repo=UPLOAD, model=model)
    item, missing = surround(
        store, item, http=http, tokenizer=tokenizer, progress=NoProgress(), costs=Costs()
    )
    found = {file.path.name: file.path.read_bytes() for file in beside(item)}
    return item, found, "; ".join(missing)


def test_the_bases_files_and_the_uploaders_card(
    base: Repo, upload: Repo, store: Store, http: Http, hub: Hub
) -> None:
    item, found, missing = surrounded(store, http)
    assert missing == ""
    assert found == {
        "tokenizer.json": b"{}",
        "config.json": b"{}",
        "LICENSE": b"free",
        CARD: CARD_TEXT.encode(),
    }
    assert item.record.licence == "gemma"
    hub.forget()
    assert surround(store, item, http=http, progress=NoProgress())[1] == ()
    assert hub.data_requests() == []


def test_what_is_gated_comes_from_the_uploader_if_it_can(
    base: Repo, upload: Repo, store: Store, http: Http
) -> None:
    base.gated = "manual"
    _, found, missing = surrounded(store, http)
    assert found["tokenizer.json"] == b"theirs"
    assert "gated" in missing
    assert "goes without" not in missing


def test_nothing_of_the_tokenizer_is_fetched_unasked(
    base: Repo, upload: Repo, store: Store, http: Http
) -> None:
    _, found, missing = surrounded(store, http, tokenizer=False)
    assert set(found) == {"LICENSE", CARD}
    assert missing == ""


@pytest.mark.parametrize("model", [None, "Unknown-1B", "nobody/nothing"])
def test_a_base_that_nobody_knows_is_said(
    upload: Repo, store: Store, http: Http, model: str | None
) -> None:
    upload.remove_file("tokenizer.json")
    _, found, missing = surrounded(store, http, model=model)
    assert set(found) == {CARD}
    assert "goes without its tokenizer" in missing


def test_offline_it_is_said(store: Store) -> None:
    _, found, missing = surrounded(store, None)
    assert found == {}
    assert "the network is switched off" in missing


def test_names_that_lead_elsewhere_are_left_out(
    base: Repo, store: Store, http: Http, tmp_path: Path
) -> None:
    names = [name for name in HOSTILE_NAMES if name]
    base.add_files({f"{name}LICENSE": b"evil" for name in names}, lfs=False)
    base.add_files({"a/../../LICENSE": b"evil", "../LICENSE": b"evil"}, lfs=False)
    before = {p for p in tmp_path.rglob("*") if p.is_file()}
    item, found, _ = surrounded(store, http)
    assert set(found) == {"tokenizer.json", "config.json", "LICENSE"}
    new = {p for p in tmp_path.rglob("*") if p.is_file()} - before
    outside = [p for p in new if store.root not in p.parents and tmp_path / "home" not in p.parents]
    assert outside == []
    assert item.record.licence == "gemma"
