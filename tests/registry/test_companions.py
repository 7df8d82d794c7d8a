"""A model and what belongs to it: noted in its record, found again, never a path to anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rkfetch.registry.errors import IntegrityError
from rkfetch.registry.record import Record
from rkfetch.registry.store import Installed, Store
from stored import SHA256, add, record

if TYPE_CHECKING:
    from pathlib import Path

ENCODER = b"RKNN, let us say"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def encoder_in(store: Store, content: bytes = ENCODER) -> Installed:
    return add(store, content, path="RK3576/vision.rknn")


def reread(store: Store) -> Installed:
    item = store.load(SHA256)
    assert item is not None
    return item


class TestJoining:
    def test_what_is_joined_is_found_with_the_model(self, store: Store) -> None:
        model, encoder = add(store), encoder_in(store)
        assert store.companions(model) == []
        joined = store.join(model, encoder)
        assert joined.record.companions == (encoder.record.sha256,)
        assert reread(store) == joined
        assert store.companions(joined) == [encoder]
        assert store.companions(encoder) == []

    def test_joining_again_writes_nothing(self, store: Store) -> None:
        joined = store.join(add(store), encoder_in(store))
        note = joined.path.parent / "record.json"
        before = note.stat()
        assert store.join(joined, encoder_in(store)) == joined
        assert (note.stat().st_ino, note.stat().st_mtime_ns) == (
            before.st_ino,
            before.st_mtime_ns,
        )

    def test_two_that_join_at_once_lose_nothing(self, store: Store) -> None:
        model, one, two = add(store), encoder_in(store), encoder_in(store, b"another")
        store.join(model, one)
        store.join(model, two)  # by who has read the record before the first one joined
        assert store.companions(reread(store)) == [one, two]

    def test_it_outlives_reading_again_and_being_fetched_again(self, store: Store) -> None:
        joined = store.join(add(store), encoder_in(store))
        joined.path.write_bytes(b"damaged")
        assert store.verify(joined) is not None
        assert reread(store).record.companions == joined.record.companions
        add(store)
        assert not reread(store).record.damaged
        assert reread(store).record.companions == joined.record.companions

    def test_what_is_gone_is_not_named_and_what_is_damaged_is(self, store: Store) -> None:
        encoder = encoder_in(store)
        joined = store.join(add(store), encoder)
        encoder.path.write_bytes(b"damaged")
        store.verify(encoder)
        (damaged,) = store.companions(joined)
        assert damaged.record.damaged
        store.remove(encoder)
        assert store.companions(joined) == []

    def test_a_file_does_not_belong_to_itself(self, store: Store) -> None:
        model = add(store)
        with pytest.raises(IntegrityError, match="itself"):
            store.join(model, model)

    def test_what_is_no_digest_is_not_written(self, store: Store) -> None:
        model = add(store)
        foreign = Installed(path=model.path, record=record(sha256="../../etc"))
        with pytest.raises(IntegrityError, match="no SHA-256"):
            store.join(model, foreign)
        assert reread(store) == model


class TestRecord:
    def test_a_text_model_s_record_says_nothing_of_it(self) -> None:
        assert "companions" not in record().as_json()

    def test_it_is_read_as_it_was_written(self) -> None:
        one = record(companions=("a" * 64, "b" * 64))
        assert one.as_json()["companions"] == ["a" * 64, "b" * 64]
        assert Record.from_json(one.as_json()) == one

    @given(
        value=st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=70),
            lambda inner: st.lists(inner, max_size=40) | st.dictionaries(st.text(), inner),
            max_leaves=60,
        )
        | st.lists(st.from_regex(r"[0-9a-f]{64}", fullmatch=True), max_size=40)
    )
    def test_whatever_stands_there_only_other_digests_come_in(self, value: Any) -> None:
        read = Record.from_json({**record().as_json(), "companions": value})
        assert read is not None
        assert len(set(read.companions)) == len(read.companions) <= 16
        for sha256 in read.companions:
            assert len(sha256) == 64
            assert set(sha256) <= set("0123456789abcdef")
            assert sha256 != read.sha256

    def test_its_own_digest_is_left_out(self) -> None:
        read = Record.from_json({**record().as_json(), "companions": [SHA256, "a" * 64]})
        assert read is not None
        assert read.companions == ("a" * 64,)
