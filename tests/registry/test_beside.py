"""What lies beside a model: named by role, never anywhere else, and gone with the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rkfetch.registry.beside import LARGEST_BYTES, beside, folder_of, put, role_of
from rkfetch.registry.errors import IntegrityError, RkfetchError
from rkfetch.registry.store import Store
from stored import add

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.mark.parametrize(
    ("name", "role"),
    [
        *((n, "tokenizer") for n in ("tokenizer.json", "tokenizer_config.json", "vocab.txt")),
        *((n, "tokenizer") for n in ("merges.txt", "tokenizer.model", "qwen.tiktoken")),
        *((n, "tokenizer") for n in ("special_tokens_map.json", "added_tokens.json")),
        *((n, "tokenizer") for n in ("rwkv_vocab_v20230424.txt", "spiece.model")),
        *((n, "chat-template") for n in ("chat_template.jinja", "chat_template.json")),
        *((n, "config") for n in ("config.json", "generation_config.json", "x.json")),
        *((n, "licence") for n in ("LICENSE", "LICENSE.txt", "LICENCE.md", "NOTICE")),
        *((n, "licence") for n in ("USE_POLICY.md", "LICENSE-MIT", "Gemma-LICENSE")),
        ("MODEL_CARD.md", "card"),
    ],
)
def test_what_a_file_is_for(name: str, role: str) -> None:
    assert role_of(name) == role


def test_it_is_listed_by_role_and_is_no_model(store: Store) -> None:
    item = add(store)
    assert beside(item) == []
    for name in ("config.json", "LICENSE", "tokenizer.json"):
        put(store, item, name, name.encode())
    assert [f.path.name for f in beside(item)] == ["tokenizer.json", "config.json", "LICENSE"]
    assert store.find(item.record.sha256) == item
    put(store, item, "LICENSE", b"another")
    assert (folder_of(item) / "LICENSE").read_bytes() == b"another"
    # A model that is fetched again keeps it.
    assert len(beside(add(store))) == 3


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "x\n", "con", "\u202ex"])
def test_no_name_leads_elsewhere(store: Store, name: str) -> None:
    item = add(store)
    with pytest.raises(IntegrityError):
        put(store, item, name, b"x")
    assert not folder_of(item).exists()


def test_nothing_endless_is_kept(store: Store) -> None:
    with pytest.raises(IntegrityError):
        put(store, add(store), "tokenizer.json", bytes(LARGEST_BYTES + 1))


def test_a_folder_that_is_a_link_is_not_followed(store: Store, tmp_path: Path) -> None:
    item, mine = add(store), tmp_path / "mine"
    mine.mkdir()
    (mine / "x").write_bytes(b"mine")
    folder_of(item).symlink_to(mine)
    assert beside(item) == []
    with pytest.raises(RkfetchError, match="symbolic link"):
        put(store, item, "x", b"theirs")
    store.remove(item)
    assert (mine / "x").read_bytes() == b"mine"
    assert not item.path.parent.exists()


def test_a_licence_is_noted_in_the_record(store: Store) -> None:
    item = store.note_licence(add(store), "apache-2.0")
    again = store.load(item.record.sha256)
    assert again is not None
    assert again.record.licence == "apache-2.0"
