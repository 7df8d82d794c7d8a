"""What the keys, the trailer and the size of a file are taken to mean."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rkfetch.registry.model import Evidence, Origin, Platform, Quant, settle
from rkfetch.registry.rkllm import facts_evidence, read_trailer
from rkfetch.registry.rkllm_read import read_file
from rkfetch.registry.versions import Version
from rkllm_files import MAGIC, container, kv, kv_array, rkllm_bytes, tensor

if TYPE_CHECKING:
    from rkfetch.registry.rkllm import RkllmFacts

SAMPLES = Path(__file__).parents[1] / "data" / "samples"
FP16, W8A8, W4A16 = Quant(16, 16), Quant(8, 8), Quant(4, 16)


@pytest.fixture
def facts_of(tmp_path: Path) -> Any:
    def read(data: bytes, *, full: bool = True) -> RkllmFacts:
        path = tmp_path / "x.rkllm"
        path.write_bytes(data)
        return read_file(path, full=full)

    return read


@pytest.mark.parametrize(
    ("name", "toolkit", "platform", "code", "quant", "file_type"),
    [
        ("1.0.0_llama_w8a8", "1.0.0", None, None, W8A8, 18),
        ("1.0.0_qwen2_fp16", "1.0.0", None, None, FP16, None),
        ("1.0.0_qwen2_w8a8", "1.0.0", None, None, W8A8, None),
        ("1.0.1_llama_w4a16_rk3576", "1.0.1", Platform.RK3576, 1, W4A16, 19),
        ("1.0.1_llama_w8a8_rk3588", "1.0.1", Platform.RK3588, 0, W8A8, 18),
        ("1.0.1_qwen2-longtemplate_w8a8_rk3588", "1.0.1", Platform.RK3588, 0, W8A8, 18),
        ("1.0.1_qwen2_fp16_rk3588", "1.0.1", Platform.RK3588, 0, FP16, 1),
        ("1.0.1_qwen2_w4a16_rk3576", "1.0.1", Platform.RK3576, 1, W4A16, 19),
        ("1.0.1_qwen2_w8a8_rk3576", "1.0.1", Platform.RK3576, 1, W8A8, 18),
        ("1.0.1_qwen2_w8a8_rk3588", "1.0.1", Platform.RK3588, 0, W8A8, 18),
    ],
)
@pytest.mark.parametrize("full", [True, False])
def test_a_sample_tells_what_it_is(
    name: str,
    toolkit: str,
    platform: Platform | None,
    code: int | None,
    quant: Quant,
    file_type: int | None,
    full: bool,
) -> None:
    path = SAMPLES / f"rkllm-{name}.rkllm"
    facts = read_file(path, full=full)
    assert facts.format == "rkllm"
    assert facts.explanation is None
    assert facts.size_bytes == path.stat().st_size
    assert facts.toolkit == Version(toolkit)
    assert facts.toolkit_origin is Origin.HEADER
    assert (facts.toolkit_key, facts.toolkit_trailer) == (None, None)
    assert (facts.platform, facts.platform_code) == (platform, code)
    assert (facts.npu_cores, facts.max_context, facts.model_name) == (None, None, None)
    assert facts.architecture == name.split("_")[1].split("-", maxsplit=1)[0]
    assert (facts.quant, facts.file_type) == (quant, file_type)
    assert facts.eos_type == "u32"
    assert facts.complete is True
    assert facts.all_keys_read
    assert (facts.not_read, facts.problems) == ((), ())


def test_keys_show_scalars_as_they_are_and_arrays_in_short() -> None:
    keys = read_file(SAMPLES / "rkllm-1.0.1_qwen2_w8a8_rk3588.rkllm").keys
    assert keys["qwen2.block_count"] == 2
    assert keys["rkllm.head_list"] == {"element": "i32", "count": 2, "first": [1, 1]}
    assert keys["tokenizer.ggml.merges"] == {
        "element": "str",
        "count": 83,
        "first": ["Ġ t", "h e", "d o"],
    }


def test_long_elements_are_shortened(facts_of: Any) -> None:
    facts = facts_of(rkllm_bytes(extra=[kv_array("a.b", "str", ["x" * 1000])]))
    assert facts.keys["a.b"] == {"element": "str", "count": 1, "first": ["x" * 60]}


@pytest.mark.parametrize("keys_last", [False, True])
@pytest.mark.parametrize("integer", ["u8", "u32", "i32", "u64", "i64"])
def test_a_newer_file_tells_everything_wherever_its_keys_are(
    facts_of: Any, keys_last: bool, integer: str
) -> None:
    facts = facts_of(rkllm_bytes(keys_last=keys_last, integer=integer, max_context=96, npu_cores=2))
    assert facts.toolkit == Version("1.2.3")
    assert facts.toolkit_origin is Origin.HEADER
    assert (facts.toolkit_key, facts.toolkit_trailer) == ("1.2.3", "1.2.3")
    assert facts.platform is Platform.RK3576
    assert (facts.npu_cores, facts.max_context) == (2, 96)
    assert facts.architecture == "qwen2"
    assert facts.complete is True
    assert (facts.not_read, facts.problems) == ((), ())


@pytest.mark.parametrize(
    ("code", "platform", "shown"),
    [
        (0, Platform.RK3588, "rk3588"),
        (1, Platform.RK3576, "rk3576"),
        (2, None, "2 (RK3562?)"),
        (3, None, "3 (RV1126B?)"),
        (99, None, "99 (unknown)"),
        (-1, None, "-1 (unknown)"),
        (None, None, None),
    ],
)
def test_only_two_platform_codes_are_decided_on(
    facts_of: Any, code: int | None, platform: Platform | None, shown: str | None
) -> None:
    facts = facts_of(rkllm_bytes(platform_code=code))
    assert facts.platform is platform
    assert facts.platform_code == code
    assert facts.platform_text == shown
    named = [e.value for e in facts_evidence(facts, place="x") if e.attribute == "platform"]
    assert named == ([platform.value] if platform else [])


@pytest.mark.parametrize(
    ("file_type", "quant", "shown"),
    [
        (1, FP16, "fp16"),
        (18, None, "quantized, code 18"),
        (19, None, "quantized, code 19"),
        (34, None, "quantized, code 34"),
    ],
)
def test_a_newer_file_has_a_certain_quantisation_only_if_it_has_none(
    facts_of: Any, file_type: int, quant: Quant | None, shown: str
) -> None:
    facts = facts_of(rkllm_bytes(file_type=file_type))
    assert (facts.quant, facts.quant_text, facts.file_type) == (quant, shown, file_type)


@pytest.mark.parametrize("eos_type", ["u32", "i32", "arr i32"])
def test_the_type_of_the_eos_id_is_told(facts_of: Any, eos_type: str) -> None:
    assert facts_of(rkllm_bytes(eos_type=eos_type)).eos_type == eos_type


def test_without_the_key_the_trailer_tells_the_toolkit(facts_of: Any) -> None:
    facts = facts_of(rkllm_bytes(toolkit="1.1.4", version_key=False))
    assert facts.toolkit == Version("1.1.4")
    assert facts.toolkit_origin is Origin.TRAILER
    assert (facts.toolkit_key, facts.toolkit_trailer) == (None, "1.1.4")
    assert facts.complete is True


def test_without_key_and_trailer_a_newer_file_is_not_taken_for_an_old_one(facts_of: Any) -> None:
    facts = facts_of(rkllm_bytes(version_key=False, trailer=False))
    assert (facts.toolkit, facts.toolkit_origin, facts.complete) == (None, None, None)
    assert facts.not_read == ()
    assert facts.problems == ("no trailer found, may be incomplete",)


def test_without_any_newer_key_either_it_may_be_of_the_first_1_1(facts_of: Any) -> None:
    keys = [kv("general.architecture", "str", "qwen2"), kv("rkllm.platform", "i32", 1)]
    entries = [tensor(f"t{n}", (16, 16), 34, 0) for n in range(3)]
    facts = facts_of(container(keys, entries) + bytes(4096))
    assert (facts.toolkit, facts.complete) == (None, None)
    assert facts.problems == (
        (
            "no trailer found, and not the size of a 1.0.x file:"
            " may be incomplete, or made by toolkit 1.1.0 to 1.1.3"
        ),
    )


def test_a_cut_old_file_is_proven_cut_and_its_toolkit_is_not_guessed(facts_of: Any) -> None:
    data = (SAMPLES / "rkllm-1.0.1_llama_w8a8_rk3588.rkllm").read_bytes()
    facts = facts_of(data[:-1])
    assert facts.complete is False
    assert (facts.toolkit, facts.quant) == (None, None)
    assert facts.platform is Platform.RK3588
    assert facts.problems == ("the file ends 1 bytes before its tensors do: 315391 of 315392",)


def test_an_old_file_with_something_behind_it_is_none(facts_of: Any) -> None:
    data = (SAMPLES / "rkllm-1.0.1_llama_w8a8_rk3588.rkllm").read_bytes()
    facts = facts_of(data + b"\0")
    assert (facts.toolkit, facts.complete) == (None, None)


def test_key_and_trailer_that_differ_are_both_reported(facts_of: Any) -> None:
    facts = facts_of(rkllm_bytes(toolkit="1.2.3", trailer_toolkit="1.3.0"))
    assert facts.toolkit == Version("1.2.3")
    assert (facts.toolkit_key, facts.toolkit_trailer) == ("1.2.3", "1.3.0")
    assert facts.problems == ("the keys name toolkit 1.2.3, the trailer 1.3.0",)
    toolkit = settle(facts_evidence(facts, place="x"))["toolkit"]
    assert toolkit.value == "1.2.3"
    assert [e.value for e in toolkit.overruled] == ["1.3.0"]


def test_a_version_that_is_none_is_named_and_the_trailer_counts(facts_of: Any) -> None:
    facts = facts_of(rkllm_bytes(toolkit="unknown", trailer_toolkit="1.2.3"))
    assert (facts.toolkit, facts.toolkit_origin) == (Version("1.2.3"), Origin.TRAILER)
    assert facts.problems == ("rkllm.version is 'unknown', which is no version",)


@pytest.mark.parametrize(
    ("tail", "text", "is_last"),
    [
        (b"\x01\x02rkllm-toolkit version: 1.3.1", "1.3.1", True),
        (b"rkllm-toolkit version: 1.1.4\0", "1.1.4", True),
        (b"rkllm-toolkit version: 1.2.1b1\r\n \0\0", "1.2.1b1", True),
        (b"rkllm-toolkit version: 1.2.3\xff\xff", "1.2.3", False),
        (b"rkllm-toolkit version: 1.2.2 rkllm-toolkit version: 1.2.3", "1.2.3", True),
        (b"rkllm-toolkit version: 1.2." + bytes(60) + b"version: 1.2.3", None, False),
        (b"rkllm-toolkit version: 1.2.", None, False),
        (b"rkllm-toolkit version: 1.2", None, False),
        (b"rkllm-toolkit version: 1.2.1b", None, False),
        (b"rkllm-toolkit version: unknown", None, False),
        (b"", None, False),
    ],
)
def test_the_trailer_is_found_near_the_end_and_a_torn_one_is_not(
    tail: bytes, text: str | None, is_last: bool
) -> None:
    trailer = read_trailer(tail)
    assert (trailer.text if trailer else None) == text
    assert trailer is None or trailer.is_last is is_last


def test_something_behind_the_trailer_leaves_it_open_whether_the_file_is_whole(
    facts_of: Any,
) -> None:
    facts = facts_of(rkllm_bytes(after_trailer=b"\xff\xff"))
    assert facts.toolkit_trailer == "1.2.3"
    assert facts.complete is None
    assert facts.problems == (
        "the trailer is not the last thing in the file, which may be damaged",
    )


def test_nul_behind_the_trailer_is_fine(facts_of: Any) -> None:
    assert facts_of(rkllm_bytes(after_trailer=b"\0\0")).complete is True


def test_a_beta_trailer_that_lost_its_beta_is_suspect(facts_of: Any) -> None:
    facts = facts_of(rkllm_bytes(toolkit="1.2.1b1", trailer_toolkit="1.2.1"))
    assert facts.complete is None
    assert facts.problems == (
        "the keys name toolkit 1.2.1b1, the trailer 1.2.1",
        "the trailer's version is shorter than the key's, may be incomplete",
    )


def test_numbers_that_mean_nothing_are_named_and_ignored(facts_of: Any) -> None:
    facts = facts_of(rkllm_bytes(npu_cores=-1, max_context=0, integer="i32"))
    assert (facts.npu_cores, facts.max_context) == (None, None)
    assert facts.problems == ("rkllm.core_num is -1: ignored", "rkllm.max_context is 0: ignored")
    assert facts.keys["rkllm.core_num"] == -1


def test_a_number_of_another_kind_is_named_and_ignored(facts_of: Any) -> None:
    extra = [kv("rkllm.max_context", "str", "4096"), kv_array("rkllm.core_num", "i32", [1])]
    facts = facts_of(rkllm_bytes(max_context=None, npu_cores=None, extra=extra))
    assert (facts.npu_cores, facts.max_context) == (None, None)
    assert facts.problems == (
        "rkllm.core_num is no integer but arr i32: ignored",
        "rkllm.max_context is no integer but str: ignored",
    )


def test_repeated_keys_are_named_in_short(facts_of: Any) -> None:
    extra = [kv(f"a.{n}", "u8", value) for value in (1, 2) for n in range(5)]
    facts = facts_of(rkllm_bytes(extra=extra))
    assert facts.keys["a.0"] == 1
    assert facts.problems == ("written twice, the first value counts: a.0, a.1, a.2 and 2 more",)


def test_a_damaged_key_leaves_what_came_before_and_the_trailer(facts_of: Any) -> None:
    data = bytearray(rkllm_bytes(keys_last=True))
    at = data.index(kv("tokenizer.ggml.bos_token_id", "u32", 0))
    data[at + 8] ^= 0x80
    facts = facts_of(bytes(data))
    assert facts.architecture == "qwen2"
    assert facts.toolkit == Version("1.2.3")
    assert facts.toolkit_origin is Origin.TRAILER
    assert facts.complete is False
    assert facts.refused == facts.problems[0]
    assert not facts.all_keys_read
    assert facts.not_read == (
        "platform",
        "npu_cores",
        "max_context",
        "model_name",
        "eos_type",
    )
    assert facts.problems == (
        "the name of key 13 is unreadable: not a layout that this program knows",
    )


def test_a_key_of_an_unknown_kind_leaves_open_whether_the_file_is_whole(facts_of: Any) -> None:
    data = bytearray(rkllm_bytes(keys_last=True))
    at = data.index(kv("tokenizer.ggml.bos_token_id", "u32", 0))
    data[at + 8 + len("tokenizer.ggml.bos_token_id")] = 99
    facts = facts_of(bytes(data))
    assert (facts.format, facts.complete, facts.refused) == ("rkllm", None, None)
    assert facts.problems == (
        "tokenizer.ggml.bos_token_id has the unknown value type 99; reading stopped there",
    )


def test_counts_that_cannot_be_leave_nothing_of_a_model(facts_of: Any) -> None:
    facts = facts_of(MAGIC + struct.pack("<IQQ", 3, 0, 1 << 63) + bytes(5000))
    assert (facts.format, facts.complete) == ("unknown", False)
    assert facts.explanation == (
        "a file that only begins like one: "
        "9223372036854775808 keys are claimed; known files have a few dozen"
    )


def test_tensors_beyond_the_end_contradict_a_trailer(facts_of: Any) -> None:
    keys = [kv("general.architecture", "str", "qwen2"), kv("rkllm.version", "str", "1.2.3")]
    entries = [tensor("t", (1 << 20, 1 << 20), 1, 0)]
    whole = container(keys, entries)
    facts = facts_of(whole + b"rkllm-toolkit version: 1.2.3")
    assert facts.complete is None
    assert facts.problems[0].startswith("the file ends ")
    assert facts_of(whole).complete is False


def test_facts_become_evidence_with_origin_and_place(facts_of: Any) -> None:
    facts = facts_of(rkllm_bytes(file_type=1))

    def item(attribute: str, value: str, origin: Origin = Origin.HEADER) -> Evidence:
        return Evidence(
            attribute=attribute, value=value, origin=origin, place="here", seen="2026-01-02"
        )

    assert facts_evidence(facts, place="here", seen="2026-01-02") == (
        item("toolkit", "1.2.3"),
        item("toolkit", "1.2.3", Origin.TRAILER),
        item("platform", "rk3576"),
        item("context", "4096"),
        item("npu_cores", "2"),
        item("quant", "fp16"),
        item("architecture", "qwen2"),
    )


def test_what_is_uncertain_becomes_no_evidence(facts_of: Any) -> None:
    data = rkllm_bytes(platform_code=2, npu_cores=None, max_context=None, version_key=False)
    found = facts_evidence(facts_of(data), place="here", seen=None)
    assert [(e.attribute, e.origin) for e in found] == [
        ("toolkit", Origin.TRAILER),
        ("architecture", Origin.HEADER),
    ]


def test_without_tensors_nothing_is_concluded_from_the_size(facts_of: Any) -> None:
    facts = facts_of(container([kv("general.architecture", "str", "qwen2")])[:-1])
    assert (facts.toolkit, facts.complete) == (None, None)
