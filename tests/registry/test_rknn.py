"""What an `.rknn` file says about itself; whatever it says, reading it ends soon."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rkfetch.registry.model import Platform
from rkfetch.registry.rknn import (
    LONGEST_NOTES,
    complaint,
    read_file,
    read_notes,
    read_rknn,
)
from rknn_files import rknn_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from rkfetch.registry.rknn import RknnFacts


class Pieces:
    """Bytes as a source that counts what is read of them."""

    def __init__(self, content: bytes, size: int | None = None) -> None:
        self.content = content
        self.length = len(content) if size is None else size
        self.read_bytes = self.requests = 0

    def size(self) -> int | None:
        return self.length

    def read(self, start: int, length: int) -> bytes:
        assert start >= 0
        piece = self.content[start : start + length]
        self.read_bytes += len(piece)
        self.requests += 1
        return piece

    def tail(self, length: int) -> bytes:
        return self.content[-length:]


def read(content: bytes) -> RknnFacts:
    facts = read_rknn(Pieces(content))
    assert facts is not None
    return facts


class TestReading:
    @pytest.mark.parametrize("container", [1, 2, 6, 0x1001, 0x1004])
    def test_the_end_names_chip_and_toolkit(self, container: int) -> None:
        facts = read(rknn_bytes("RK3588", container=container))
        assert (facts.chips, facts.platform, facts.toolkit) == (
            ("rk3588",),
            Platform.RK3588,
            "2.3.2",
        )
        assert facts.complete is True

    def test_little_of_a_large_file_is_read(self) -> None:
        source = Pieces(rknn_bytes(body_bytes=3_000_000))
        assert read_rknn(source) is not None
        assert source.requests == 2
        assert source.read_bytes < 1000

    def test_a_long_text_is_read_on(self) -> None:
        notes = {"nodes": ["x" * 100] * 2000, "target_platform": ["rk3576"]}
        assert read(rknn_bytes(notes=notes)).chips == ("rk3576",)

    def test_a_text_beyond_measure_is_passed_over(self) -> None:
        notes = {"x": "y" * LONGEST_NOTES, "target_platform": ["rk3576"]}
        source = Pieces(rknn_bytes(notes=notes))
        facts = read_rknn(source)
        assert facts is not None
        assert (facts.complete, facts.chips) == (True, ())
        assert source.read_bytes < 100_000

    @pytest.mark.parametrize("missing", [1, 40, 3000, 4300])
    def test_what_is_cut_off_is_known(self, missing: int) -> None:
        content = rknn_bytes()
        facts = read(content[: len(content) - missing])
        assert facts.complete is False
        assert "cut off" in (complaint(facts, Platform.RK3576) or "")

    def test_of_what_nobody_has_described_nothing_is_claimed(self) -> None:
        facts = read(rknn_bytes("rk3588", container=7))
        assert (facts.container, facts.complete, facts.chips) == (7, None, ())
        assert complaint(facts, Platform.RK3576) is None
        encrypted = read(b"CYPTRKNN" + bytes(100))
        assert encrypted.encrypted
        assert complaint(encrypted, Platform.RK3576) is None

    def test_other_files_are_none(self, tmp_path: Path) -> None:
        for content in (b"", b"RKN", b"GGUF" + bytes(90), b"<html>"):
            assert read_rknn(Pieces(content)) is None
        path = tmp_path / "x.rknn"
        path.write_bytes(rknn_bytes("rk3562"))
        facts = read_file(path)
        assert facts is not None
        assert facts.platform is Platform.RK3562


class TestComplaint:
    @pytest.mark.parametrize(
        ("chips", "platform", "complains"),
        [
            (["rk3576"], Platform.RK3576, False),
            (["rk3588"], Platform.RK3576, True),
            (["rk3588s"], Platform.RK3588, False),
            (["rk3588", "rk3576"], Platform.RK3576, False),
            (["rk3566", "rk3568"], Platform.RK3576, True),
            (["rk3588"], None, False),
            ([], Platform.RK3576, False),
        ],
    )
    def test_another_chip_is_one(
        self, chips: list[str], platform: Platform | None, *, complains: bool
    ) -> None:
        assert (complaint(read(rknn_bytes(chips)), platform) is not None) is complains

    def test_of_several_chips_none_is_the_platform(self) -> None:
        assert read(rknn_bytes(["rk3588", "rk3576"])).platform is None
        assert read(rknn_bytes(["rk3588", "rk3568"])).platform is None


@given(
    content=st.binary(max_size=200)
    | st.builds(
        lambda tail, container, data, length, cut: (
            b"RKNN"
            + bytes(4)
            + container.to_bytes(8, "little")
            + data.to_bytes(8, "little")
            + bytes(40)
            + length.to_bytes(8, "little")
            + tail
        )[:cut],
        st.binary(max_size=100),
        st.sampled_from([0, 1, 2, 6, 0x1004, 1 << 63]) | st.integers(0, (1 << 64) - 1),
        st.sampled_from([0, 1, 40, 1 << 32, (1 << 64) - 1]) | st.integers(0, 200),
        st.sampled_from([0, 2, 1 << 40, (1 << 64) - 1]) | st.integers(0, 200),
        st.integers(0, 300),
    )
)
def test_any_bytes_are_read_in_three_pieces(content: bytes) -> None:
    source = Pieces(content)
    facts = read_rknn(source)
    assert source.requests <= 3
    if facts is None:
        assert not content.startswith((b"RKNN", b"CYPTRKNN"))
    else:
        complaint(facts, Platform.RK3576)


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=30),
        lambda inner: (
            st.lists(inner, max_size=30)
            | st.dictionaries(st.sampled_from(["target_platform", "version", "x"]), inner)
        ),
        max_leaves=40,
    )
)
def test_whatever_the_text_holds_only_plain_names_come_of_it(value: object) -> None:
    chips, toolkit = read_notes(json.dumps(value).encode())
    assert len(chips) <= 16
    assert all(c.isascii() and c.replace("_", "").isalnum() and len(c) <= 20 for c in chips)
    assert toolkit is None or set(toolkit) <= set("0123456789.")


@pytest.mark.parametrize("text", [b"[" * 100_000, b"\xff\xfe", b"{", b"1" * 10_000, b"NaN"])
def test_a_text_that_is_a_trap_says_nothing(text: bytes) -> None:
    assert read_notes(text) == ((), None)
