"""One name, taken apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rkfetch.catalog.tokens import read_name


@pytest.mark.parametrize("separator", ["-", "_", ".", " ", "@", "--"])
def test_any_separator_separates(separator: str) -> None:
    name = read_name(separator.join(["Qwen3-4B", "RK3576", "w4a16_g128", "v1.2.3", "opt1"]))
    assert name.model == "Qwen3-4B"
    assert name.attributes == {
        "platform": "rk3576",
        "quant": "w4a16_g128",
        "toolkit": "1.2.3",
        "opt_level": "1",
    }


_TOKENS = ["rk3576", "w4a16_g128", "rkllm1.2.3", "opt1", "hybrid-ratio-0.5", "npu2", "ctx4096"]


@given(st.permutations(_TOKENS), st.sampled_from("-_."), st.booleans())
def test_neither_order_nor_case_matters(tokens: list[str], separator: str, upper: bool) -> None:
    text = separator.join(["Qwen3-4B", *tokens])
    name = read_name(text.upper() if upper else text)
    assert name.model.lower() == "qwen3-4b"
    assert name.attributes == {
        "platform": "rk3576",
        "quant": "w4a16_g128",
        "toolkit": "1.2.3",
        "opt_level": "1",
        "hybrid_ratio": "0.5",
        "npu_cores": "2",
        "context": "4096",
    }


@pytest.mark.parametrize(
    ("spelling", "quant"),
    [
        *(("w8a8", "w8a8"), ("W4A16", "w4a16"), ("fp16", "fp16"), ("w8a8g256", "w8a8_g256")),
        *(("w4a16-g32", "w4a16_g32"), ("w4a16_group128", "w4a16_g128"), ("W8-A8", "w8a8")),
        *(("w4a16.g128", "w4a16_g128"), ("w4a4", None), ("w16a16", None), ("aw8a8", None)),
        *(("w8a80", None), ("fp16x", None), ("f16", None), ("int8", None)),
    ],
)
def test_quantisations(spelling: str, quant: str | None) -> None:
    assert read_name(f"Qwen3-4B-{spelling}").attributes.get("quant") == quant


def test_a_group_may_stand_apart() -> None:
    assert read_name("Qwen3-4B_w4a16_rk3576_g128").attributes["quant"] == "w4a16_g128"
    assert "quant" not in read_name("Qwen3-4B_rk3576_g128").attributes


@pytest.mark.parametrize(
    "text", ["x-rk3576-rk3588", "x-w8a8-w4a16", "x-1.2.1-1.2.3", "x-opt0-opt1"]
)
def test_a_name_that_contradicts_itself_says_nothing(text: str) -> None:
    assert read_name(text).attributes == {}


@pytest.mark.parametrize(
    "text", ["", "model", "rk3576-w8a8", "MODEL_W8A8", "1234", "llm", "...", "0.6"]
)
def test_names_of_nothing(text: str) -> None:
    assert read_name(text).model == ""


def test_a_folder_need_not_name_a_model() -> None:
    assert read_name("downloads", whole=False).model == ""
    assert read_name("Qwen3-4B", whole=False).model == "Qwen3-4B"


@pytest.mark.parametrize("behind", ["instruct", "Thinking", "abliterated", "coder"])
def test_what_stands_behind_the_platform_may_name_the_model(behind: str) -> None:
    assert read_name(f"Qwen2.5-3B-rk3588-{behind}").model == f"Qwen2.5-3B-{behind}"


def test_base_behind_the_version_tells_of_the_weights() -> None:
    assert read_name("Qwen3-14B-rk3588-1.2.1-base").model == "Qwen3-14B"


@given(st.text(max_size=400), st.booleans())
def test_any_text_is_read(text: str, whole: bool) -> None:
    name = read_name(text, whole=whole)
    assert "runtime" not in name.attributes
    assert all(name.attributes.values())
