"""What a conversion would do, and why: decided from facts alone."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rkfetch.registry.convert.base import BaseModel, Code
from rkfetch.registry.convert.base_config import code_of
from rkfetch.registry.convert.plan import Wishes, allowed_quants, make_plan
from rkfetch.registry.convert.toolkits import TOOLKITS, Toolkit, Wheel, toolkit
from rkfetch.registry.errors import (
    ConversionUnavailableError,
    MemoryFitError,
    UsageError,
)
from rkfetch.registry.model import Platform, Quant, Target
from rkfetch.registry.versions import Version

if TYPE_CHECKING:
    from rkfetch.registry.convert.plan import Plan

QWEN = BaseModel(
    name="Qwen2.5-1.5B-Instruct",
    hub_id="Qwen/Qwen2.5-1.5B-Instruct",
    revision="9" * 40,
    architecture="Qwen2ForCausalLM",
    parameters=1_543_714_304,
    context=32768,
    licence="apache-2.0",
)


def base(**changed: Any) -> BaseModel:
    return BaseModel(**{name: getattr(QWEN, name) for name in QWEN.__slots__} | changed)


def target(runtime: str | None = "1.2.3", **known: Any) -> Target:
    return Target(runtime=Version(runtime) if runtime else None, **known)


def plan(board: Target | None = None, wishes: Wishes | None = None, **changed: Any) -> Plan:
    return make_plan(base(**changed), board or target(), wishes)


def why(made: Plan, name: str) -> str:
    return next(d.why for d in made.decisions if d.name == name)


def test_the_usual_case_on_rk3576() -> None:
    made = plan()
    assert made.toolkit.version == Version("1.2.3")
    assert made.quant == Quant(4, 16)
    assert (made.level, made.npu_cores, made.context) == (1, 2, 4096)
    assert (made.algorithm, made.dtype, made.device) == ("normal", "float32", "cpu")
    assert made.file_name == "Qwen2.5-1.5B-Instruct-rk3576-w4a16-ctx4096-v1.2.3.rkllm"
    assert all(d.why for d in made.decisions)
    assert {d.name for d in made.decisions} >= {
        "base model", "toolkit", "quantisation", "algorithm", "optimisation", "NPU cores",
        "context", "calibration data", "load type", "device",
    }  # fmt: skip


def test_what_the_driver_is_told() -> None:
    job = plan(target(context=8000)).job(Path("/m"), Path("/o"))
    assert job.load == {"device": "cpu", "dtype": "float32"}
    assert job.build == {
        "do_quantization": True,
        "optimization_level": 1,
        "target_platform": "rk3576",
        "quantized_dtype": "w4a16",
        "quantized_algorithm": "normal",
        "num_npu_core": 2,
        "max_context": 8000,
    }


def test_an_old_toolkit_is_told_only_what_it_knows() -> None:
    job = plan(target("1.0.1"), Wishes(level=0)).job(Path("/m"), Path("/o"))
    assert job.load == {"device": "cpu"}
    assert set(job.build) == {
        "do_quantization", "optimization_level", "target_platform", "quantized_dtype",
    }  # fmt: skip


class TestToolkit:
    @pytest.mark.parametrize(
        ("runtime", "chosen"),
        [("1.2.3", "1.2.3"), ("1.3.0", "1.3.0"), ("1.2.1", "1.2.1"), ("1.1.4", "1.1.4"),
         ("1.0.1", "1.0.1"), ("1.2.1b1", "1.2.1b1")],
    )  # fmt: skip
    def test_it_is_the_newest_that_the_runtime_accepts(self, runtime: str, chosen: str) -> None:
        assert plan(target(runtime)).toolkit.version == Version(chosen)

    def test_one_that_nobody_can_fetch_is_not_chosen(self) -> None:
        assert plan(target("1.3.1"), Wishes(allow_unverified=True)).toolkit.version <= Version(
            "1.3.0"
        )

    def test_a_pair_that_misbehaves_is_passed_over(self) -> None:
        """Runtime 1.2.3 answers garbage for this family, whatever made the file."""
        with pytest.raises(ConversionUnavailableError):
            plan(name="DeepSeek-R1-Distill-Qwen-1.5B")
        daring = plan(target(), Wishes(allow_risky=True), name="DeepSeek-R1-Distill-Qwen-1.5B")
        assert daring.toolkit.version == Version("1.2.3")

    def test_an_architecture_that_is_too_new_names_the_runtime_to_have(self) -> None:
        with pytest.raises(ConversionUnavailableError) as caught:
            plan(name="SmolLM3-3B", architecture="SmolLM3ForCausalLM")
        assert "1.3.0" in (caught.value.hint or "")
        assert any("SmolLM3ForCausalLM needs toolkit 1.3.0" in c for c in caught.value.cause)

    def test_an_architecture_that_nobody_names_is_refused_and_can_be_forced(self) -> None:
        with pytest.raises(ConversionUnavailableError, match="MistralForCausalLM"):
            plan(architecture="MistralForCausalLM")
        forced = plan(target(), Wishes(force=True), architecture="MistralForCausalLM")
        assert forced.toolkit.version == Version("1.2.3")

    def test_without_a_runtime_nothing_is_guessed(self) -> None:
        with pytest.raises(UsageError, match="runtime"):
            plan(target(None))
        assert plan(target(None), Wishes(toolkit=Version("1.2.2"))).toolkit.version == Version(
            "1.2.2"
        )

    def test_a_wish_that_the_runtime_would_refuse(self) -> None:
        with pytest.raises(UsageError, match=r"runtime 1\.2\.3 would not load"):
            plan(target(), Wishes(toolkit=Version("1.3.0")))

    @pytest.mark.parametrize("version", ["1.2.9", "1.3.1"])
    def test_a_wish_that_cannot_be_had(self, version: str) -> None:
        with pytest.raises(UsageError, match="is not known"):
            plan(target(None), Wishes(toolkit=Version(version)))

    def test_a_wheel_that_the_user_has_is_taken(self) -> None:
        wheel = Wheel(toolkit=Version("1.2.2"), python="3.11", blob=None, sha256=None, url=None)
        own = Toolkit(version=Version("1.2.2"), wheels=(wheel,))
        assert plan(target(), Wishes(wheel=own)).toolkit is own

    def test_a_platform_that_came_later(self) -> None:
        with pytest.raises(ConversionUnavailableError):
            plan(target("1.1.4", platform=Platform.RK3562))


class TestQuant:
    @pytest.mark.parametrize(
        ("platform", "quant"),
        [("rk3576", "w4a16"), ("rv1126b", "w4a16"), ("rk3588", "w8a8"), ("rk3562", "w8a8")],
    )
    def test_by_itself(self, platform: str, quant: str) -> None:
        assert str(plan(target(platform=Platform(platform))).quant) == quant

    def test_rk3588_has_no_w4a16(self) -> None:
        with pytest.raises(UsageError, match="does not build w4a16 for rk3588") as caught:
            plan(target(platform=Platform.RK3588, quant=Quant(4, 16)))
        assert "w8a8" in caught.value.cause[0]

    def test_groups_came_with_1_1(self) -> None:
        with pytest.raises(UsageError):
            plan(target("1.0.1", quant=Quant(4, 16, 128)))
        old = toolkit(Version("1.0.1"))
        assert old is not None
        assert allowed_quants(Platform.RK3576, old) == {"w4a16", "w8a8", "fp16"}

    def test_grouped_four_bits_are_not_optimised(self) -> None:
        made = plan(target(quant=Quant(4, 16, 128)))
        assert made.level == 0
        assert "w8a8" in why(made, "optimisation")

    def test_half_precision_is_no_quantisation(self) -> None:
        job = plan(target(quant=Quant(16, 16))).job(Path("/m"), Path("/o"))
        assert job.build["do_quantization"] is False
        assert "quantized_dtype" not in job.build

    @pytest.mark.parametrize(
        ("known", "quant"),
        [
            ({"quantised": "gptq", "bits": 4, "group": 128}, "w4a16_g128"),
            ({"quantised": "gptq", "bits": 8, "group": 256}, "w8a8_g256"),
            ({"quantised": "q4_0"}, "w4a16_g32"),
        ],
    )
    def test_weights_that_are_quantised_already(self, known: Any, quant: str) -> None:
        board = Platform.RK3588 if quant.startswith("w8") else Platform.RK3576
        made = plan(target(platform=board), **known)
        assert str(made.quant) == quant
        assert (made.level, made.algorithm, made.dataset) == (0, "normal", None)
        with pytest.raises(UsageError, match="quantised already"):
            plan(target(platform=board, quant=Quant(8, 8)), **known)

    @pytest.mark.parametrize(
        "known",
        [
            {"quantised": "bitsandbytes", "bits": 4},
            {"quantised": "awq", "bits": 4, "group": 128},
            {"quantised": "gptq", "bits": 4, "group": 128, "symmetric": False},
            {"quantised": "gptq", "bits": 4, "group": 128, "reordered": True},
            {"quantised": "gptq", "bits": 3, "group": 128},
        ],
    )
    def test_in_a_way_that_no_toolkit_reads(self, known: Any) -> None:
        with pytest.raises(ConversionUnavailableError, match="quantised already"):
            plan(**known)


class TestContext:
    def test_it_is_rounded_up_to_what_the_toolkit_takes(self) -> None:
        made = plan(target(context=5000))
        assert made.context == 5024
        assert "rounded" in why(made, "context")

    def test_the_most_is_16384(self) -> None:
        assert plan(target(context=16384)).context == 16384
        with pytest.raises(ConversionUnavailableError, match="16385"):
            plan(target(context=16385))

    def test_a_model_of_a_smaller_one(self) -> None:
        assert plan(context=2048).context == 2048
        assert any("2048" in note for note in plan(target(context=4096), context=2048).notes)

    def test_toolkits_before_1_2_have_one_only(self) -> None:
        assert plan(target("1.1.4")).context == 4096
        with pytest.raises(ConversionUnavailableError, match="4096"):
            plan(target("1.1.4", context=8192))


class TestWishes:
    @pytest.mark.parametrize(
        "wishes",
        [
            Wishes(npu_cores=3),
            Wishes(level=2),
            Wishes(dtype="int8"),
            Wishes(algorithm="magic"),
            Wishes(algorithm="grq"),
            Wishes(hybrid_rate=1.0),
        ],
    )
    def test_what_cannot_be_is_said(self, wishes: Wishes) -> None:
        with pytest.raises(UsageError):
            plan(target(), wishes)

    def test_a_gpu_makes_four_bits_better(self) -> None:
        assert plan(target(), Wishes(device="cuda")).algorithm == "grq"
        assert plan(target(quant=Quant(8, 8)), Wishes(device="cuda")).algorithm == "normal"

    def test_half_types_need_a_toolkit_that_has_them(self) -> None:
        assert plan(target(), Wishes(dtype="bfloat16")).needs.memory_bytes < 5e9
        with pytest.raises(UsageError, match="float32"):
            plan(target("1.1.4"), Wishes(dtype="bfloat16"))

    def test_calibration_data_and_hybrid_rate_reach_the_toolkit(self) -> None:
        made = plan(target(), Wishes(dataset=Path("/d/mine.json"), hybrid_rate=0.5))
        job = made.job(Path("/m"), Path("/o"))
        assert job.dataset == Path("/d/mine.json")
        assert job.build["hybrid_rate"] == 0.5


def test_what_the_board_could_not_load_is_not_made() -> None:
    with pytest.raises(MemoryFitError):
        plan(target(memory_bytes=4 << 30), parameters=8_000_000_000, name="Qwen3-8B")
    forced = plan(
        target(memory_bytes=4 << 30), Wishes(force=True), parameters=8_000_000_000, name="Qwen3-8B"
    )
    assert forced.needs.output_bytes > 4e9


def test_memory_is_four_bytes_a_parameter_or_two() -> None:
    """Qwen3-VL at float32: 2B 8 GB, 4B 16 GB, 8B 33.5 GB (measured; begetan/rkllm-convert)."""
    for billions, gigabytes in [(2.13, 8), (4.44, 16), (8.77, 33.5)]:
        made = plan(parameters=int(billions * 1e9))
        assert made.needs.memory_bytes / 1e9 == pytest.approx(gigabytes, rel=0.2)


def test_what_the_user_should_know_is_noted() -> None:
    code = Code(files=("modeling_x.py",), entries=("config.json: AutoModel = modeling_x.X",))
    assert any("modeling_x.py" in note for note in plan(code=code).notes)


def test_code_of_another_repository_cannot_be_loaded() -> None:
    """Not even with --force: the toolkit has no network."""
    names = {"AutoConfig": "them/code--config_x.X", "AutoModel": "modeling_x.X"}
    code = code_of({"config.json": {"auto_map": names}}, ["modeling_x.py"])
    with pytest.raises(ConversionUnavailableError, match="another repository: them/code") as caught:
        plan(wishes=Wishes(force=True), code=code)
    assert caught.value.cause[1:] == ("config.json: AutoConfig = them/code--config_x.X",)
    # The way out that the hint shows is one.
    names["AutoConfig"] = names["AutoConfig"].replace("them/code--", "")
    code = code_of({"config.json": {"auto_map": names}}, ["modeling_x.py", "config_x.py"])
    assert "convert ./Qwen2.5-1.5B-Instruct" in (caught.value.hint or "")
    assert any("config_x.py" in note for note in plan(code=code).notes)


def test_many_repositories_with_code_are_counted() -> None:
    code = Code(elsewhere=tuple(f"them/{n}" for n in range(5)))
    with pytest.raises(ConversionUnavailableError, match="them/0, them/1, them/2 and 2 more"):
        plan(code=code)
    vision = plan(architecture="Qwen2_5_VLForConditionalGeneration")
    assert any(".rknn" in note for note in vision.notes)


def test_a_gguf_file_needs_1_1(tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    known: dict[str, Any] = {
        "path": file,
        "hub_id": None,
        "architecture": "qwen2",
        "quantised": "q4_0",
    }
    job = plan(**known).job(file, tmp_path)
    assert job.load == {}
    with pytest.raises(UsageError, match="GGUF"):
        plan(target("1.0.1"), **{**known, "quantised": None})


def test_every_combination_is_a_plan_or_a_reason() -> None:
    """Whatever is asked, nothing but our own errors comes of it, and no argument is unknown."""
    made = 0
    for release, platform, quant in itertools.product(
        TOOLKITS, Platform, ["w4a16", "w4a16_g128", "w8a8", "w8a8_g128", "w4a8_g32", "fp16", None]
    ):
        board = target(
            str(release.version), platform=platform, quant=Quant.parse(quant) if quant else None
        )
        try:
            job = make_plan(QWEN, board).job(Path("/m"), Path("/o"))
        except (ConversionUnavailableError, UsageError):
            continue
        made += 1
        assert ("max_context" in job.build) == (release.version >= Version("1.2.0b0"))
        assert ("num_npu_core" in job.build) == (release.version >= Version("1.1.0"))
    assert made > 50
