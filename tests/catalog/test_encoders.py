"""Which `.rknn` is a build's vision encoder: its chip's and its model's, or none is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rkfetch.catalog.encoders import encoders_of
from rkfetch.catalog.naming import guess
from rkfetch.catalog.sources import RemoteFile
from rkfetch.registry.model import Artifact, settle


def build(path: str, repo: str = "o/Qwen3.5-2B-RKLLM") -> Artifact:
    evidence = guess(repo, path).evidence
    return Artifact(source="huggingface", repo=repo, path=path, attributes=settle(evidence))


def chosen(path: str, others: str, repo: str = "o/Qwen3.5-2B-RKLLM") -> list[str]:
    """Return the encoders of a build among the files that a repository has besides."""
    files = [RemoteFile(path=p) for p in [path, *others.split()]]
    return [file.path for file in encoders_of(build(path, repo), files)]


class TestTheRightOne:
    @pytest.mark.parametrize(
        ("path", "others", "expected"),
        [
            (
                "RK3576/Qwen3.5-2B_RK3576_w4a16.rkllm",
                "RK3576/Qwen3.5-2B_vision_RK3576.rknn RK3588/Qwen3.5-2B_vision_RK3588.rknn",
                "RK3576/Qwen3.5-2B_vision_RK3576.rknn",
            ),
            (
                "qwen3-vl-2b-instruct_w8a8_rk3588.rkllm",
                "qwen3-vl-2b_vision_rk3588.rknn qwen3-vl-4b_vision_rk3588.rknn",
                "qwen3-vl-2b_vision_rk3588.rknn",
            ),
            # Beside the build before above it, above it before somewhere else.
            ("RK3576/m_w8a8.rkllm", "vision_rk3576.rknn RK3576/vision.rknn", "RK3576/vision.rknn"),
            ("RK3576/a/m.rkllm", "v/vision_rk3576.rknn vision_rk3576.rknn", "vision_rk3576.rknn"),
            ("llm/m_rk3576.rkllm", "vision/x_vision_rk3576.rknn", "vision/x_vision_rk3576.rknn"),
            # It need not say that it sees, if it has the name of a model that does.
            ("Qwen2-VL-2B-Instruct_rk3588.rkllm", "Qwen2-VL-2B-Instruct.rknn yolo.rknn",
             "Qwen2-VL-2B-Instruct.rknn"),
            ("Qwen2-VL-2B_rk3576.rkllm", "vit_rk3576.rknn", "vit_rk3576.rknn"),
            # The variant decides between two of one size.
            ("Qwen3-VL-2B-Thinking_rk3588.rkllm",
             "Qwen3-VL-2B-Thinking_vision_rk3588.rknn Qwen3-VL-2B-Instruct_vision_rk3588.rknn",
             "Qwen3-VL-2B-Thinking_vision_rk3588.rknn"),
        ],
    )  # fmt: skip
    def test_it_is_found(self, path: str, others: str, expected: str) -> None:
        assert chosen(path, others, repo="o/r") == [expected]


class TestNone:
    @pytest.mark.parametrize(
        ("path", "others"),
        [
            ("m_rk3576.rkllm", "m_vision_rk3588.rknn"),
            ("m_rk3576.rkllm", "rk3588/vision.rknn"),
            # One that names no chip may be that of the other build.
            ("m_rk3576.rkllm", "m_rk3588.rkllm vision.rknn"),
            # Nor is one taken from just anywhere.
            ("RK3576/m.rkllm", "other/vision.rknn"),
            # Of a chip that is not known, no encoder is known either.
            ("m.rkllm", "m_vision_rk3588.rknn"),
            ("Qwen3-VL-2B_rk3576.rkllm", "Qwen3-VL-4B_vision_rk3576.rknn"),
            ("Qwen3-VL-2B_rk3576.rkllm", "Qwen2-VL-2B_vision_rk3576.rknn"),
            ("Qwen3-1.7B_rk3576.rkllm", "Qwen3-1.7B_rk3576.rknn yolov8_rk3576.rknn"),
            ("Qwen2.5-Omni-3B_rk3576.rkllm", "Qwen2.5-Omni-3B_audio_rk3576.rknn"),
            ("m_rk3576.rkllm", "../vision_rk3576.rknn vision_rk3576.onnx"),
        ],
    )
    def test_another_s_is_never_taken(self, path: str, others: str) -> None:
        assert chosen(path, others, repo="o/r") == []

    def test_the_repository_s_chip_counts_too(self) -> None:
        assert chosen("m.rkllm", "vision.rknn", repo="o/x-rk3588") == ["vision.rknn"]


def test_several_that_are_equally_near_are_all_named() -> None:
    others = "x_vision_448_rk3576.rknn x_vision_392_rk3576.rknn"
    assert chosen("m_rk3576.rkllm", others) == sorted(others.split())


_NAMES = st.sampled_from(
    ["RK3576", "RK3588", "rk3562", "vision", "Qwen3.5-2B", "Qwen3-VL-4B", "w8a8", "x", "audio"]
)
_PATHS = st.builds(
    lambda folders, words, end: "/".join([*folders, "_".join(words) + end]),
    st.lists(_NAMES, max_size=2),
    st.lists(_NAMES, min_size=1, max_size=4),
    st.sampled_from([".rknn", ".rkllm", ".onnx"]),
)


@given(path=_PATHS, others=st.lists(_PATHS | st.text(max_size=40), max_size=8))
def test_no_encoder_ever_names_another_chip_or_size(path: str, others: list[str]) -> None:
    artifact = build(path, repo="o/r")
    for file in encoders_of(artifact, [RemoteFile(path=p) for p in others]):
        told = guess("o/r", file.path)
        assert file.path.lower().endswith(".rknn")
        assert artifact.platform is not None
        assert told.platform in {None, artifact.platform}
        assert None in {told.params_b, artifact.params_b} or told.params_b == artifact.params_b
