"""The container: mask, samples, pieces, and every ceiling against hostile claims."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rkfetch.registry.gguf import Decoder, mask
from rkllm_files import MAGIC, TYPES, container, kv, kv_array, rkllm_bytes, tensor, text

if TYPE_CHECKING:
    from rkfetch.registry.gguf import Entry

SAMPLES = Path(__file__).parents[1] / "data" / "samples"
EXPECTED: dict[str, dict[str, Any]] = json.loads((SAMPLES / "expected.json").read_text("utf-8"))
SMALL = "rkllm-1.0.1_llama_w4a16_rk3576.rkllm"


def decode(data: bytes, *, size: int | None = -1, piece: int = 1 << 20) -> Decoder:
    """Feed all of ``data`` in pieces; the file is said to be as long unless ``size`` is given."""
    decoder = Decoder(len(data) if size == -1 else size)
    while not decoder.done:
        part = data[decoder.wants : decoder.wants + piece]
        if part:
            decoder.feed(part)
        else:
            decoder.finish()
    return decoder


@pytest.mark.parametrize(
    ("plain", "stored"),
    [
        ("GGUF", "daeeb336"),
        ("general.architecture", "facc8815be86034803052801d1ff20c2d28ef2c2"),
        ("general.file_type", "facc8815be860348041e270ce7ff3cd1c3"),
        ("rkllm.platform", "efc28a1ca1c91f0a03032d06cae6"),
        ("rkllm.core_num", "efc28a1ca1c90c0910121407cde6"),
        ("rkllm.version", "efc28a1ca1c9190310042206d6"),
        ("rkllm.max_context", "efc28a1ca1c902071a282806d6ff20d9d2"),
        ("tokenizer.ggml.tokens", "e9c68d15a28e150310592c0ed5e76bd5c990e5c909"),
        ("llama", "f1c5871dad"),
        ("qwen2", "ecde831efe"),
        ("1.3.1", "ac87d55efd"),
        ("", ""),
    ],
)
def test_mask_gives_the_published_vectors_and_takes_itself_off(plain: str, stored: str) -> None:
    assert mask(plain.encode()).hex() == stored
    assert mask(bytes.fromhex(stored)) == plain.encode()


def test_mask_starts_again_after_256_bytes() -> None:
    masked = mask(b"a" * 260)
    assert masked[252:].hex() == "6921bca7fcc88711"
    assert hashlib.sha256(mask(bytes(256))).hexdigest() == (
        "6842f27bb32fb7cf7ee02e628ba9b1d1e585ea74f64fcfdc341b6249dbea122c"
    )


def as_expected(entry: Entry) -> dict[str, Any]:
    """Put an entry into the shape of expected.json."""
    shape = {"key": entry.key, "type": entry.type, "start": entry.start, "end": entry.end}
    if entry.type == "arr":
        return {**shape, "elem": entry.element, "count": entry.count, "first": list(entry.first)}
    return {**shape, "value": entry.value}


@pytest.mark.parametrize("piece", [100, 4096, 1 << 20])
@pytest.mark.parametrize("name", EXPECTED)
def test_a_sample_is_read_exactly(name: str, piece: int) -> None:
    want, data = EXPECTED[name], (SAMPLES / name).read_bytes()
    assert hashlib.sha256(data).hexdigest() == want["sha256"]

    got = decode(data, piece=piece)

    assert (got.cut, got.refusal, got.duplicates) == (None, None, [])
    assert got.key_count == want["kv_count"]
    assert got.tensor_count == want["tensor_count"]
    assert got.keys_end == want["kv_end"]
    assert got.directory_end == want["directory_end"]
    assert got.data_start == want["data_start"]
    assert [as_expected(e) for e in got.entries.values()] == want["kv"]
    tensors = [
        {"name": t.name, "dims": list(t.dims), "type": t.type, "offset": t.offset}
        for t in got.tensors
    ]
    assert tensors == want["tensors"]


def test_a_head_may_come_byte_by_byte() -> None:
    data = (SAMPLES / SMALL).read_bytes()
    whole, single = decode(data), decode(data, piece=1)
    assert single.entries == whole.entries
    assert single.tensors == whole.tensors


def test_arrays_of_numbers_are_jumped_over_and_strings_are_not() -> None:
    keys = [
        kv_array("a.numbers", "f64", [0.5] * 1000),
        kv_array("a.strings", "str", ["é" * 200] * 10),
        kv("a.last", "u8", 7),
    ]
    data = container(keys)
    pulled = []
    decoder = Decoder(len(data))
    while not decoder.done:
        pulled.append(decoder.wants)
        decoder.feed(data[decoder.wants : decoder.wants + 100])

    assert pulled[1] == 24 + len(keys[0]), "the second piece begins behind the numbers"
    assert decoder.entries["a.numbers"].first == (0.5, 0.5, 0.5)
    assert decoder.entries["a.strings"].first == ("é" * 200,) * 3
    assert decoder.integer("a.last") == 7


def test_every_value_type_is_read() -> None:
    numbers = {
        "u8": 255,
        "i8": -1,
        "u16": 65535,
        "i16": -2,
        "u32": 1 << 31,
        "i32": -3,
        "u64": 1 << 63,
        "i64": -4,
        "f32": 0.5,
        "f64": 0.1,
    }
    keys = [kv(f"n.{kind}", kind, value) for kind, value in numbers.items()]
    keys += [kv("b.true", "bool", 2), kv("b.false", "bool", 0), kv("s.s", "str", "x" * 300)]
    keys += [kv_array(f"a.{kind}", kind, [value]) for kind, value in numbers.items()]
    keys += [kv_array("a.bool", "bool", [0, 3]), kv_array("a.empty", "str", [])]

    got = decode(container(keys)).entries

    for kind, value in numbers.items():
        assert (got[f"n.{kind}"].type, got[f"n.{kind}"].value) == (kind, value)
        assert got[f"a.{kind}"].first == (value,)
    assert got["b.true"].value is True
    assert got["b.false"].value is False
    assert got["a.bool"].first == (False, True)
    assert got["s.s"].value == "x" * 300
    assert (got["a.empty"].count, got["a.empty"].first) == (0, ())


def test_integers_count_whatever_their_width_and_nothing_else_does() -> None:
    keys = [kv("n.i64", "i64", -5), kv("n.bool", "bool", 1), kv("n.f", "f32", 1.0)]
    got = decode(container([*keys, kv("n.s", "str", "1")]))
    assert [got.integer(key) for key in ("n.i64", "n.bool", "n.f", "n.s", "n.none")] == [
        -5,
        None,
        None,
        None,
        None,
    ]
    assert (got.string("n.s"), got.string("n.i64"), got.string("n.none")) == ("1", None, None)


def head(
    *, version: int = 3, tensors: int = 0, keys: int = 1, rest: bytes = b"", magic: bytes = MAGIC
) -> bytes:
    return magic + struct.pack("<IQQ", version, tensors, keys) + rest


def long_string(length: int) -> bytes:
    return struct.pack("<Q", length)


HUGE = 1 << 63
REFUSED = {
    "magic": (head(magic=b"GGUF"), "the magic bytes are not those of an RKLLM container"),
    "container version": (
        head(version=2),
        "container version 2 is unknown; all known files have 3",
    ),
    "keys": (head(keys=HUGE), f"{HUGE} keys are claimed; known files have a few dozen"),
    "tensors": (
        head(tensors=HUGE),
        f"{HUGE} tensors are claimed; known files have hundreds",
    ),
    "key length": (
        head(rest=long_string(HUGE)),
        f"the name of key 1 claims {HUGE} bytes; reading stopped there",
    ),
    "string length": (
        head(rest=text("a.b") + struct.pack("<I", 8) + long_string(1 + (1 << 20))),
        "the value of a.b claims 1048577 bytes; reading stopped there",
    ),
    "element length": (
        head(rest=text("a.b") + struct.pack("<IIQ", 9, 8, 2) + text("x") + long_string(HUGE)),
        f"element 2 of a.b claims {HUGE} bytes; reading stopped there",
    ),
    "elements": (
        head(rest=text("a.b") + struct.pack("<IIQ", 9, 4, HUGE)),
        f"a.b claims {HUGE} elements; reading stopped there",
    ),
    "key outside the alphabet": (
        head(rest=text("a b") + struct.pack("<I", 0)),
        "the name of key 1 is unreadable: not a layout that this program knows",
    ),
    "key that is no UTF-8": (
        head(rest=text(b"\xff\xfe") + struct.pack("<I", 0)),
        "the name of key 1 is unreadable: not a layout that this program knows",
    ),
    "empty key": (
        head(rest=text("") + struct.pack("<I", 0)),
        "the name of key 1 is unreadable: not a layout that this program knows",
    ),
    "dimensions": (
        head(keys=0, tensors=1, rest=text("t") + struct.pack("<I", 5)),
        "tensor 1 claims 5 dimensions",
    ),
    "alignment of zero": (
        container([kv("general.alignment", "u32", 0)]),
        "general.alignment is 0, which is no sane power of two",
    ),
    "odd alignment": (
        container([kv("general.alignment", "u32", 48)]),
        "general.alignment is 48, which is no sane power of two",
    ),
    "negative alignment": (
        container([kv("general.alignment", "i32", -32)]),
        "general.alignment is -32, which is no sane power of two",
    ),
    "huge alignment": (
        container([kv("general.alignment", "u32", 1 << 17)]),
        "general.alignment is 131072, which is no sane power of two",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_claim_is_refused_in_words(name: str) -> None:
    data, words = REFUSED[name]
    decoder = decode(data, size=1 << 40)
    assert decoder.refusal == words
    assert (decoder.cut, decoder.unknown) == (None, None)


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        (struct.pack("<I", 13), "a.b has the unknown value type 13; reading stopped there"),
        (
            struct.pack("<IIQ", 9, TYPES["arr"], 1),
            "a.b has the unknown element type 9; reading stopped there",
        ),
    ],
    ids=["value type", "nested array"],
)
def test_a_kind_that_nobody_knows_ends_the_reading_and_condemns_nothing(
    rest: bytes, words: str
) -> None:
    decoder = decode(head(rest=text("a.b") + rest), size=1 << 40)
    assert decoder.unknown == words
    assert (decoder.cut, decoder.refusal) == (None, None)


def test_what_was_read_before_a_refusal_is_kept() -> None:
    data = head(keys=2, rest=kv("a.first", "u32", 1) + text("a.b") + struct.pack("<I", 99))
    decoder = decode(data)
    assert decoder.integer("a.first") == 1
    assert decoder.keys_end is None


def test_a_length_beyond_the_end_is_a_cut_even_before_the_end_is_fed() -> None:
    data = head(rest=text("a.b") + struct.pack("<I", 8) + long_string(1000))
    decoder = Decoder(len(data) + 999)
    decoder.feed(data)
    assert decoder.cut == "the file ends inside its keys, after 0 of 1"


@pytest.mark.parametrize(
    ("keep", "words"),
    [
        (10, "the file ends inside its header"),
        (600, "the file ends inside its keys, after 13 of 23"),
        (5000, "the file ends inside its keys, after 16 of 23"),
        (9500, "the file ends inside its tensor directory, after 10 of 21"),
    ],
)
@pytest.mark.parametrize("is_size_known", [True, False])
def test_a_cut_head_says_where_it_ends(keep: int, words: str, is_size_known: bool) -> None:
    data = (SAMPLES / SMALL).read_bytes()[:keep]
    assert decode(data, size=len(data) if is_size_known else None).cut == words


def test_numbers_beyond_the_end_are_a_cut_and_not_a_jump() -> None:
    data = head(rest=text("a.b") + struct.pack("<IIQ", 9, 10, 1_000_000))
    assert decode(data).cut == "the file ends inside its keys, after 0 of 1"


def test_a_repeated_key_keeps_its_first_value_and_is_named() -> None:
    keys = [kv("a.b", "u32", 1), kv("a.b", "u32", 2), kv("a.c", "u32", 3)]
    decoder = decode(container(keys))
    assert decoder.integer("a.b") == 1
    assert decoder.integer("a.c") == 3
    assert decoder.duplicates == ["a.b"]


def test_text_that_is_no_utf8_is_shown_as_escapes() -> None:
    decoder = decode(container([kv("a.b", "str", b"ok\xff")]))
    assert decoder.string("a.b") == "ok\\xff"


def test_the_data_start_follows_the_alignment() -> None:
    keys = [kv("general.alignment", "u32", 4096)]
    assert decode(container(keys, alignment=4096)).data_start == 4096


def test_repeated_offsets_and_any_tensor_type_are_no_reason_to_stop() -> None:
    entries = [tensor(f"t{n}", (4, 4), 1000 + n, 0) for n in range(5)]
    decoder = decode(container([kv("a.b", "u8", 1)], entries))
    assert [t.type for t in decoder.tensors] == [1000, 1001, 1002, 1003, 1004]


def test_a_synthetic_file_is_decoded_to_its_data() -> None:
    decoder = decode(rkllm_bytes())
    assert (decoder.refusal, decoder.cut) == (None, None)
    assert decoder.data_start is not None
    assert rkllm_bytes()[decoder.directory_end : decoder.data_start].strip(b"\0") == b""
