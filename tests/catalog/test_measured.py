"""Published figures are found under the names that builds have."""

from __future__ import annotations

import pytest

from rkfetch.catalog.measured import measured_memory
from rkfetch.registry.model import Platform, Quant

RK3576, RK3588 = Platform.RK3576, Platform.RK3588
HANZO = "https://github.com/Hanzo-Huang/rkllm-docker/blob/main/benchmarks/rk3576.csv"
ROCKCHIP = "https://github.com/airockchip/rknn-llm/blob/release-v1.3.0/benchmark.md"


@pytest.mark.parametrize(
    ("model", "platform", "quant", "size_bytes", "tokens_per_s", "source"),
    [
        ("Qwen3-0.6B", RK3576, "w4a16", 512_710_000, 24.85, ROCKCHIP),
        ("qwen3-0.6b", RK3576, "w8a8", 796_260_000, 17.17, ROCKCHIP),
        ("Qwen2-0.5B-Instruct", RK3576, "w4a16_g128", 463_230_000, 30.33, ROCKCHIP),
        ("Qwen2.5-1.5B-Instruct", RK3576, "w4a16", 1_600_000_000, 19.55, HANZO),
        ("Qwen2.5-1.5B", RK3588, "w8a8", 1_689_210_000, 16.69, ROCKCHIP),
        ("Qwen3-4B", RK3576, "w8a8", 5_200_000_000, 5.85, HANZO),
        ("gemma-3-4b-it", RK3576, "w8a8", 5_500_000_000, 5.33, HANZO),
        ("gemma-2-2b-it", RK3576, "w8a8", 2_784_780_000, 5.24, ROCKCHIP),
        ("gemma-4-E2B-it", RK3576, "w4a16_g128", 1_564_910_000, 8.27, ROCKCHIP),
        ("Qwen3-VL-2B-Instruct", RK3576, "w8a8", 1_876_620_000, 7.62, ROCKCHIP),
        ("Qwen3.5-2B", RK3588, "w8a8", 2_121_910_000, 13.59, ROCKCHIP),
        ("MiniCPM4-0.5B", RK3576, "w8a8", 541_170_000, 23.28, ROCKCHIP),
        ("TinyLlama-1.1B-Chat-v1.0", RK3576, "w4a16", 601_090_000, 19.71, ROCKCHIP),
        ("Phi-3-mini-4k-instruct", RK3576, "w8a8", 3_767_280_000, 3.74, ROCKCHIP),
        ("chatglm3-6b", RK3588, "w8a8", 5_985_990_000, 4.98, ROCKCHIP),
        ("DeepSeek-OCR", RK3588, "w8a8", 3_066_660_000, 31.6, ROCKCHIP),
        ("internlm2-chat-1_8b", RK3588, "w8a8", 1_775_560_000, 15.45, ROCKCHIP),
    ],
)
def test_a_measured_build_is_found(
    model: str, platform: Platform, quant: str, size_bytes: int, tokens_per_s: float, source: str
) -> None:
    need = measured_memory(model, platform, Quant.parse(quant))
    assert need is not None
    assert need.measured
    assert (need.size_bytes, need.tokens_per_s, need.source) == (size_bytes, tokens_per_s, source)


@pytest.mark.parametrize(
    ("model", "platform", "quant"),
    [
        ("Qwen2.5-Coder-1.5B-Instruct", RK3576, "w4a16"),
        ("Qwen3-0.6B", RK3588, "w4a16"),
        ("Qwen3-0.6B-Base", RK3576, "w8a8_g128"),
        ("Qwen3-VL-4B-Instruct", RK3576, "w8a8"),
        ("Qwen3", RK3576, "w4a16"),
        ("", RK3576, "w4a16"),
    ],
)
def test_what_nobody_measured_is_not_made_up(model: str, platform: Platform, quant: str) -> None:
    assert measured_memory(model, platform, Quant.parse(quant)) is None
