"""Laws of the reader: whatever bytes come, the answer is facts, soon, and says no untruth."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rkfetch.registry.gguf import Decoder, mask
from rkfetch.registry.rkllm_read import read_rkllm
from rkllm_files import MAGIC, rkllm_bytes

if TYPE_CHECKING:
    from rkfetch.registry.rkllm import RkllmFacts

SAMPLES = Path(__file__).parents[1] / "data" / "samples"
BASES = {
    "old": (SAMPLES / "rkllm-1.0.1_llama_w4a16_rk3576.rkllm").read_bytes(),
    "new": rkllm_bytes(vocabulary=16, body_bytes=4096),
}
QUICK = settings(max_examples=300, suppress_health_check=list(HealthCheck))


class Memory:
    """Bytes in memory as a source."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def size(self) -> int:
        return len(self._data)

    def read(self, start: int, length: int) -> bytes:
        return self._data[start : start + length]

    def tail(self, length: int) -> bytes:
        return self._data[-length:]


def read_quickly(data: bytes) -> RkllmFacts:
    begun = time.process_time()
    facts = read_rkllm(Memory(data), full=True)
    assert time.process_time() - begun < 1.0
    return facts


def check(facts: RkllmFacts, data: bytes) -> None:
    """Hold facts against what must be true of any."""
    assert facts.size_bytes == len(data)
    assert (facts.explanation is None) == (facts.format == "rkllm")
    assert facts.toolkit is None or facts.toolkit_origin is not None
    assert facts.npu_cores is None or facts.npu_cores > 0
    assert facts.max_context is None or facts.max_context > 0
    if facts.complete is False and facts.format == "rkllm":
        assert facts.problems


@QUICK
@given(st.binary(max_size=2000))
def test_any_bytes_give_facts(data: bytes) -> None:
    check(read_quickly(data), data)


@QUICK
@given(st.binary(max_size=2000))
def test_any_bytes_behind_the_magic_give_facts(data: bytes) -> None:
    check(read_quickly(MAGIC + b"\3\0\0\0" + data), MAGIC + b"\3\0\0\0" + data)


@pytest.mark.parametrize("name", BASES)
@QUICK
@given(data=st.data())
def test_any_damage_to_a_file_gives_facts(name: str, data: st.DataObject) -> None:
    whole = bytearray(BASES[name])
    places = st.integers(0, 12_000 if name == "old" else len(whole) - 1)
    for place, value in data.draw(
        st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=8)
    ):
        whole[place] = value
    keep = data.draw(st.one_of(st.just(len(whole)), st.integers(0, len(whole))))
    damaged = bytes(whole[:keep])
    check(read_quickly(damaged), damaged)


@QUICK
@given(st.lists(st.integers(1, 5000), max_size=60))
def test_pieces_of_any_size_give_the_same(sizes: list[int]) -> None:
    data = BASES["old"]
    whole, pieced = Decoder(len(data)), Decoder(len(data))
    whole.feed(data)
    for size in sizes:
        pieced.feed(data[pieced.wants : pieced.wants + size])
    pieced.feed(data[pieced.wants :])
    assert pieced.entries == whole.entries
    assert pieced.tensors == whole.tensors
    assert pieced.data_start == whole.data_start


@QUICK
@given(st.binary(max_size=1000))
def test_the_mask_is_its_own_inverse(data: bytes) -> None:
    assert mask(mask(data)) == data


@QUICK
@given(
    st.sampled_from(["1.1.4", "1.2.1b1", "1.2.3", "1.3.0"]),
    st.sampled_from(["rk3576", "rk3588"]),
    st.one_of(st.none(), st.integers(1, 3)),
    st.one_of(st.none(), st.integers(1, 512).map(lambda n: 32 * n)),
    st.booleans(),
    st.booleans(),
)
def test_what_was_written_is_read(
    toolkit: str,
    platform: str,
    cores: int | None,
    context: int | None,
    keys_last: bool,
    version_key: bool,
) -> None:
    data = rkllm_bytes(
        toolkit=toolkit,
        platform=platform,
        npu_cores=cores,
        max_context=context,
        keys_last=keys_last,
        version_key=version_key,
        vocabulary=8,
        body_bytes=2048,
    )
    facts = read_rkllm(Memory(data))
    assert str(facts.toolkit) == toolkit
    assert facts.platform is not None
    assert facts.platform.value == platform
    assert (facts.npu_cores, facts.max_context) == (cores, context)
    assert facts.complete is True
