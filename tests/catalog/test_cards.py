"""Cards are read line by line, and what they say reaches the file that it is about."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rkfetch.catalog.cards import read_card, said_of
from rkfetch.catalog.naming import CardFacts, CardText, guess
from rkfetch.registry.model import Origin

PLACE = "https://huggingface.co/a/b/blob/main/README.md"


def said(text: str, path: str = "m.rkllm", **known: str) -> dict[str, str]:
    return {a: v for a, v, _ in said_of(read_card(text), path, known)}


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("RKLLM-Toolkit: 1.2.3", "1.2.3"),
        ("| **RKLLM Toolkit** | `v1.2.1b1` |", "1.2.1b1"),
        ("converted with rkllm_toolkit version 1.3.0 (runtime 1.3.1)", "1.3.0"),
        ("RKLLM_TOOLKIT_VERSION=1.2.3", "1.2.3"),
        ("**RKLLM-Toolkit version** `v1.2.3`", "1.2.3"),
        ("- Toolkit: v1.2.0", "1.2.0"),
        ("rkllm-toolkit 1.2.3 and again rkllm-toolkit 1.2.3", "1.2.3"),
        ("RKLLM 工具包版本\uff1av1.2.3", "1.2.3"),
        ("使用 rkllm-toolkit 1.2.2 转换", "1.2.2"),
        ("转换工具\uff08rkllm-toolkit\uff09\uff1a1.2.1", "1.2.1"),
        ("rkllm-toolkit 1.2.1, rkllm-toolkit 1.2.3", None),
        ("rkllm-toolkit 1.2.1 for RK3588, rkllm-toolkit 1.2.3 for RK3576", None),
        ("RKLLM Runtime: v1.2.3", None),
        ("RKLLM Runtime: v1.2.3, driver 0.9.8", None),
        ("needs rknn-toolkit2 1.6.0", None),
        ("RKNN Toolkit2 version 2.3.2", None),
        ("toolkit 12.1.0 of CUDA", None),
        ("", None),
    ],
)
def test_the_toolkit_in_a_card(text: str, version: str | None) -> None:
    assert said(text).get("toolkit") == version


@pytest.mark.parametrize(
    ("text", "attribute", "value"),
    [
        ("- **Max context:** 4096", "context", "4096"),
        ("| Context length | 16K |", "context", "16384"),
        ("max_context_limit: 4,096 tokens", "context", "4096"),
        ("上下文长度\uff1a8192", "context", "8192"),
        ("context length 131072", "context", None),
        ("Quantization: W4A16_G128", "quant", "w4a16_g128"),
        ("* 量化方式: w8a8", "quant", "w8a8"),
        ("w8a8 answers better than w4a16", "quant", None),
        ("**Target platform**: RK3588S", "platform", "rk3588"),
        ("目标平台\uff1aRK3576", "platform", "rk3576"),
        ("Platform: RK1828", "platform", None),
        ("NPU cores: 3", "npu_cores", "3"),
    ],
)
def test_labels(text: str, attribute: str, value: str | None) -> None:
    assert said(text).get(attribute) == value


TABLE = """---
license: apache-2.0
---
# Models

| File | Size | Quantization | Context | Toolkit | Runtime |
|------|-----:|:------------:|---------|---------|---------|
| [a_w8a8.rkllm](https://hf.co/o/r/resolve/main/a_w8a8.rkllm) | 2 GB | W8A8 | 4K | 1.2.1 | 1.2.3 |
| `RK3576/b.rkllm` | 1 GB | W4A16_G128 | 16,384 | v1.2.3 | 1.2.3 |
"""


def test_a_table_has_a_row_for_each_file() -> None:
    assert said(TABLE, "a_w8a8.rkllm") == {"quant": "w8a8", "context": "4096", "toolkit": "1.2.1"}
    b = {"quant": "w4a16_g128", "context": "16384", "toolkit": "1.2.3"}
    assert said(TABLE, "RK3576/b.rkllm") == said(TABLE, "b.rkllm") == b
    assert said(TABLE, "c.rkllm") == {}
    assert {line for _, _, line in said_of(read_card(TABLE), "b.rkllm", {})} == {9}


def test_a_row_without_a_file_is_about_the_builds_of_its_soc_and_quantisation() -> None:
    text = """
| Platform | 量化 | 工具链 | 上下文 |
| --- | --- | --- | --- |
| RK3588 | w8a8 | 1.2.1 | 4096 |
| RK3576 | w4a16 | 1.2.3 | 2048 |
"""
    assert said(text, platform="rk3576", quant="w4a16") == {"toolkit": "1.2.3", "context": "2048"}
    assert said(text, platform="rk3588", quant="w8a8") == {"toolkit": "1.2.1", "context": "4096"}
    assert said(text, platform="rk3576", quant="w8a8") == {}
    assert said(text) == {}


def test_headings_say_whom_the_lines_below_are_about() -> None:
    text = """
# Qwen3
RKLLM-Toolkit: 1.2.0
## RK3588
- rkllm-toolkit version 1.2.1
### w8a8
context: 4096
## RK3576
- rkllm-toolkit version 1.2.3
"""
    assert said(text, platform="rk3588", quant="w8a8") == {"toolkit": "1.2.1", "context": "4096"}
    assert said(text, platform="rk3588", quant="w4a16") == {"toolkit": "1.2.1"}
    assert said(text, platform="rk3576") == {"toolkit": "1.2.3"}
    assert said(text, platform="rk3562") == {"toolkit": "1.2.0"}


def test_a_list_tells_each_file_its_version() -> None:
    text = "- `x/one.rkllm`: RKLLM-Toolkit 1.2.1, w8a8, RK3588\n- two.rkllm (rkllm-toolkit 1.3.0)"
    assert said(text, "x/one.rkllm") == {
        "toolkit": "1.2.1",
        "quant": "w8a8",
        "platform": "rk3588",
    }
    assert said(text, "two.rkllm") == {"toolkit": "1.3.0"}
    assert said(text, "three.rkllm") == {}


def test_commands_are_no_claims_but_a_load_log_is() -> None:
    log = (
        "I rkllm: rkllm-toolkit version: 1.2.3, max_context_limit: 4096, npu_core_num: 2, "
        "target_platform: RK3576, model_dtype: W4A16_G128"
    )
    text = f"```\npip install rkllm-toolkit==1.1.4\n{log}\n```\n"
    assert said(text) == {
        "toolkit": "1.2.3",
        "context": "4096",
        "npu_cores": "2",
        "platform": "rk3576",
        "quant": "w4a16_g128",
    }


def test_a_claim_keeps_its_place_and_its_rank() -> None:
    card = CardFacts(
        base_model="Qwen/Qwen3-4B", place=PLACE, texts=(CardText(text=TABLE, place=PLACE),)
    )
    found = guess("a/b", "RK3576/b.rkllm", card=card)
    places = {e.attribute: (e.origin, e.place) for e in found.evidence}
    assert places["toolkit"] == (Origin.CARD, f"{PLACE}#L9")
    assert places["model"] == (Origin.CARD, f"{PLACE}#base_model")
    assert places["platform"] == (Origin.FILE_NAME, "RK3576")


def test_the_card_of_a_folder_goes_before_that_of_the_repository() -> None:
    inner = "https://huggingface.co/a/b/blob/main/w4a16-2-1024/README.md"
    card = CardFacts(
        texts=(
            CardText(text="RKLLM-Toolkit: 1.2.0\n\ncontext: 4096", place=PLACE),
            CardText(text="RKLLM-Toolkit: 1.2.3", place=inner, folder="w4a16-2-1024"),
        )
    )
    found = guess("a/b", "w4a16-2-1024/m.rkllm", card=card)
    assert str(found.toolkit) == "1.2.3"
    assert {e.place for e in found.evidence if e.attribute == "toolkit"} == {f"{inner}#L1"}
    assert str(guess("a/b", "other/m.rkllm", card=card).toolkit) == "1.2.0"


def test_what_the_header_says_tells_which_claims_are_meant() -> None:
    text = "| SoC | Quant |\n|--|--|\n| RK3588 | w8a8 |\n## RK3576\nquantization: w4a16"
    card = CardFacts(texts=(CardText(text=text, place=PLACE),))
    assert guess("a/b", "m.rkllm", card=card).quant is not None
    heard = guess("a/b", "m.rkllm", card=card, heard={"platform": "rk3588"})
    assert heard.quant is None


_PIECES = st.sampled_from(
    [
        *("|", "---", "\n", "# ", "## RK3576", "RKLLM-Toolkit: 1.2.3", "context: 4096", "w8a8"),
        *(
            "a.rkllm",
            "RK3588",
            "```",
            "\x1b[2J",
            "\u202e",
            "\uff1a",
            "上下文",
            "*",
            " ",
            "1.2.3",
            "v",
        ),
        *(
            "quantization:",
            "../../x.rkllm",
            "\x00",
            "99999999",
            "|--|--|\n",
            "toolkit",
            "NPU cores",
        ),
    ]
)


@given(st.text(max_size=300) | st.lists(_PIECES, max_size=60).map("".join), st.text(max_size=30))
def test_any_card_is_read_and_says_only_what_can_be_said(text: str, path: str) -> None:
    for attribute, value, line in said_of(read_card(text), path, {}):
        assert attribute in {"toolkit", "context", "quant", "platform", "npu_cores"}
        assert value.isprintable()
        assert 1 <= line <= text.count("\n") + 1


@pytest.mark.parametrize(
    "piece",
    [
        *("|", "| a ", "|--", "a.rkllm ", "rkllm-toolkit ", "context: ", "w8a8 ", "RK3576 "),
        *(
            "#",
            "quantization: w",
            "*",
            "_",
            "(",
            "\uff1a",
            "上下文",
            "1.2.3 ",
            "version ",
            "x/",
            "\n",
        ),
        *("# RK3576\n", "|a|b|\n|--|--|\n", "toolkit(", "npu core ", "-", " ", "r", "w4a16_g"),
    ],
)
def test_a_hostile_card_is_quick(piece: str) -> None:
    text = piece * (200_000 // len(piece))
    begin = time.process_time()
    read_card(text)
    assert time.process_time() - begin < 2
