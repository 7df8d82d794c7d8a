"""How much is pulled from where, and what is said about the rest."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rkfetch.registry.errors import UsageError
from rkfetch.registry.model import Platform
from rkfetch.registry.rkllm_read import FileBytes, read_file, read_rkllm
from rkfetch.registry.versions import Version
from rkllm_files import container, kv, kv_array, rkllm_bytes, tensor

if TYPE_CHECKING:
    from rkfetch.registry.rkllm_read import ByteSource

SAMPLES = Path(__file__).parents[1] / "data" / "samples"
BIG = 151_643
"""Tokens of the Qwen2 and Qwen3 vocabularies."""


class Counted:
    """Bytes in memory that note every request; ``sized`` as a server that tells its sizes."""

    def __init__(self, data: bytes, *, sized: bool = True, per_read: int | None = None) -> None:
        self.data = data
        self.asked: list[tuple[int, int]] = []
        self._sized = sized
        self._per_read = per_read

    def size(self) -> int | None:
        return len(self.data) if self._sized and self.asked else None

    def read(self, start: int, length: int) -> bytes:
        self.asked.append((start, length))
        return self.data[start : start + min(length, self._per_read or length)]

    def tail(self, length: int) -> bytes:
        self.asked.append((-length, length))
        return self.data[-length:]


@pytest.fixture(scope="module")
def early() -> bytes:
    """Keys before a big vocabulary."""
    return rkllm_bytes(vocabulary=BIG)


@pytest.fixture(scope="module")
def late() -> bytes:
    """Keys behind a big vocabulary."""
    return rkllm_bytes(vocabulary=BIG, keys_last=True)


def test_two_small_requests_do_where_the_keys_come_first(early: bytes) -> None:
    source = Counted(early)
    facts = read_rkllm(source)
    assert source.asked == [(-64, 64), (0, 16384)]
    assert (facts.requests, facts.read_bytes) == (2, 16448)
    assert (facts.toolkit, facts.platform) == (Version("1.2.3"), Platform.RK3576)
    assert (facts.npu_cores, facts.max_context) == (2, 4096)
    assert facts.complete is True
    assert facts.not_read == ()
    assert not facts.all_keys_read
    assert facts.eos_type is None


def test_keys_behind_the_tokenizer_are_reached_in_growing_pieces(late: bytes) -> None:
    source = Counted(late)
    facts = read_rkllm(source)
    lengths = [length for _, length in source.asked]
    assert lengths[:5] == [64, 16384, 65536, 262144, 1 << 20]
    assert max(lengths) == 1 << 20
    assert facts.requests == len(source.asked) <= 11
    assert (facts.npu_cores, facts.max_context) == (2, 4096)
    assert facts.not_read == ()


def test_a_budget_of_bytes_leaves_things_unread_and_says_which(late: bytes) -> None:
    facts = read_rkllm(Counted(late), budget_bytes=64 + 16384)
    assert facts.read_bytes == 64 + 16384
    assert facts.toolkit == Version("1.2.3"), "the trailer is always read"
    assert facts.architecture == "qwen2"
    assert facts.not_read == ("platform", "npu_cores", "max_context")


def test_a_budget_of_requests_does_the_same(late: bytes) -> None:
    facts = read_rkllm(Counted(late), max_requests=3)
    assert facts.requests == 3
    assert facts.not_read == ("platform", "npu_cores", "max_context")


def test_a_budget_of_time_does_the_same(late: bytes) -> None:
    ticks = iter(range(0, 1000, 10))
    facts = read_rkllm(Counted(late), budget_s=25, clock=lambda: next(ticks))
    assert facts.requests == 4
    assert "max_context" in facts.not_read


def test_absent_is_not_the_same_as_not_read() -> None:
    data = rkllm_bytes(npu_cores=None, max_context=None)
    facts = read_rkllm(Counted(data))
    assert (facts.npu_cores, facts.max_context) == (None, None)
    assert facts.not_read == ()
    assert facts.all_keys_read


def test_a_toolkit_that_only_the_directory_could_tell_is_not_read_without_it() -> None:
    keys = [kv("general.architecture", "str", "llama"), kv_array("a.pad", "u8", [0] * 20_000)]
    data = container(keys, [tensor("t", (16, 16), 1, 0)]) + bytes(512)
    facts = read_rkllm(Counted(data), max_requests=2)
    assert facts.all_keys_read
    assert (facts.toolkit, facts.not_read) == (None, ("toolkit",))

    facts = read_rkllm(Counted(data))
    assert (facts.toolkit, facts.not_read) == (Version("1.0.0"), ())


def test_a_full_reading_takes_every_key_and_the_directory(early: bytes) -> None:
    facts = read_rkllm(Counted(early), full=True)
    assert facts.all_keys_read
    assert facts.eos_type == "u32"
    assert facts.not_read == ()
    assert facts.read_bytes < 7_000_000


def test_a_full_reading_that_is_stopped_names_more_as_unread(early: bytes) -> None:
    facts = read_rkllm(Counted(early), full=True, max_requests=2)
    assert facts.not_read == ("model_name", "eos_type")


def test_long_arrays_of_numbers_cost_no_bytes() -> None:
    keys = [
        kv("general.architecture", "str", "llama"),
        kv_array("tokenizer.ggml.scores", "f32", [0.0] * 1_000_000),
        kv("rkllm.max_context", "u32", 4096),
    ]
    data = container(keys) + b"rkllm-toolkit version: 1.2.3"
    source = Counted(data)
    facts = read_rkllm(source)
    assert facts.max_context == 4096
    assert facts.read_bytes < 20_000
    assert source.asked[2][0] > 4_000_000


@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.parametrize("per_read", [None, 5000])
def test_sources_without_a_size_or_with_short_answers_do(sized: bool, per_read: int | None) -> None:
    data = rkllm_bytes(vocabulary=2000, keys_last=True)
    facts = read_rkllm(Counted(data, sized=sized, per_read=per_read))
    assert facts.max_context == 4096
    assert facts.size_bytes == (len(data) if sized else None)


def test_a_source_that_ends_early_is_a_cut_file() -> None:
    data = rkllm_bytes(vocabulary=2000, keys_last=True)
    facts = read_rkllm(Counted(data[:20_000], sized=False))
    assert facts.complete is False
    assert facts.problems == ("the file ends inside its keys, after 9 of 19",)


def test_a_large_vocabulary_is_decoded_fast(late: bytes) -> None:
    begun = time.process_time()
    facts = read_rkllm(Counted(late), full=True)
    assert facts.all_keys_read
    assert time.process_time() - begun < 1.0, "it takes 0.03 s on a PC"


@pytest.mark.parametrize("version_key", [True, False])
def test_no_cut_passes_for_a_whole_file(version_key: bool) -> None:
    data = rkllm_bytes(vocabulary=4, body_bytes=4096, version_key=version_key)
    for keep in range(len(data)):
        facts = read_rkllm(Counted(data[:keep]), full=True)
        assert facts.complete is not True, keep
        assert facts.toolkit in {None, Version("1.2.3")}, keep
        assert facts.format in {"rkllm", "truncated", "empty"}, keep
        if facts.format == "rkllm":
            assert facts.problems, keep


@pytest.mark.parametrize("name", ["1.0.0_qwen2_w8a8", "1.0.1_llama_w4a16_rk3576"])
def test_no_cut_of_an_old_file_passes_for_a_whole_one(name: str) -> None:
    data = (SAMPLES / f"rkllm-{name}.rkllm").read_bytes()
    for keep in [*range(24, 10_200, 61), *range(10_200, len(data), 9973), len(data) - 1]:
        facts = read_rkllm(Counted(data[:keep]))
        assert facts.complete is False, keep
        assert facts.toolkit is None, keep


def test_a_file_and_the_same_bytes_elsewhere_tell_the_same(tmp_path: Path) -> None:
    data = rkllm_bytes()
    path = tmp_path / "x.rkllm"
    path.write_bytes(data)
    assert read_file(path) == read_rkllm(Counted(data))


def test_a_local_file_is_a_source(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"0123456789")
    with FileBytes(path) as file:
        source: ByteSource = file
        assert source.size() == 10
        assert source.read(2, 3) == b"234"
        assert source.read(8, 100) == b"89"
        assert source.read(10, 1) == b""
        assert source.tail(4) == b"6789"
        assert source.tail(99) == b"0123456789"


def test_what_is_no_file_is_refused_in_words(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, cause in [
        ("missing", "No such file or directory"),
        ("pipe", "it is not a regular file"),
        (".", "it is not a regular file"),
    ]:
        with pytest.raises(UsageError) as caught:
            read_file(tmp_path / name)
        assert caught.value.message == f"cannot read '{tmp_path / name}'"
        assert caught.value.cause == (cause,)
