"""The resolver: what it may never pick, what it prefers, and how it refuses."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rkfetch.registry.compat import Level
from rkfetch.registry.errors import IncompatibleError, MemoryFitError, UsageError
from rkfetch.registry.memory import Fit, MemoryNeed
from rkfetch.registry.model import (
    Artifact,
    Availability,
    Evidence,
    Origin,
    Platform,
    Quant,
    Target,
    settle,
)
from rkfetch.registry.refuse import refuse
from rkfetch.registry.resolve import Policy, resolve
from rkfetch.registry.versions import Version


def build(path: str = "x.rkllm", *, origin: Origin = Origin.CURATED, **known: Any) -> Artifact:
    """Make one build; ``known`` holds attributes and fields of the artifact."""
    fields = {k: known.pop(k) for k in ("availability", "size_bytes", "curated") if k in known}
    values = {"platform": "rk3576", "quant": "w4a16", "toolkit": "1.2.3", "model": "M-1B", **known}
    return Artifact(
        source="huggingface",
        repo="someone/M-1B-RKLLM",
        path=path,
        attributes=settle(
            Evidence(attribute=k, value=str(v), origin=origin, place="somewhere")
            for k, v in values.items()
            if v is not None
        ),
        **fields,
    )


HERE = Target(runtime=Version("1.2.3"))


def chosen(artifacts: list[Artifact], target: Target = HERE, **policy: bool) -> str | None:
    choice = resolve(artifacts, target, policy=Policy(**policy)).choice
    return choice.artifact.path if choice else None


PREFERENCES = [
    ("exact before compatible", build("exact"), build("older", toolkit="1.2.2")),
    ("w4a16 before w8a8 on rk3576", build("w4", quant="w4a16_g128"), build("w8", quant="w8a8")),
    ("strong evidence first", build("sure"), build("said", origin=Origin.FILE_NAME)),
    ("longer context", build("long", context=8192), build("short", context=4096)),
    ("curated", build("listed", curated=True), build("loose")),
    ("smaller", build("small", size_bytes=10**9), build("large", size_bytes=2 * 10**9)),
    (
        "a verdict counts more than quantisation",
        build("w8", quant="w8a8"),
        build("o", toolkit="1.1.4"),
    ),
]


@pytest.mark.parametrize(("why", "better", "worse"), PREFERENCES, ids=[p[0] for p in PREFERENCES])
def test_preferences(why: str, better: Artifact, worse: Artifact) -> None:
    assert chosen([worse, better]) == better.path
    assert chosen([better, worse]) == better.path


REFUSALS = [
    ("platform", build(platform="rk3588"), {}),
    ("newer-than-runtime", build(toolkit="1.3.0"), {}),
    ("toolkit-unknown", build(toolkit=None), {"allow_unverified": True}),
    ("eos", build(), {"allow_risky": True}),
    ("manual", build(availability=Availability.MANUAL), {}),
    ("gone", build(availability=Availability.GONE), {}),
    ("rejected", build(availability=Availability.REJECTED), {}),
    ("unnamed", build(availability=Availability.UNNAMED), {}),
    ("role", build(role="lora"), {}),
    ("memory", build(size_bytes=5 * 10**9), {"force": True}),
    ("quant-wanted", build(quant="w8a8"), {}),
    ("context", build(context=1024), {}),
]


@pytest.mark.parametrize(("rule", "artifact", "way_out"), REFUSALS, ids=[r[0] for r in REFUSALS])
def test_every_refusal_has_its_rule_and_only_its_own_way_out(
    rule: str, artifact: Artifact, way_out: dict[str, bool]
) -> None:
    target = Target(
        runtime=Version("1.3.0" if rule == "eos" else "1.2.3"),
        memory_bytes=4 << 30,
        quant=Quant(4, 16) if rule == "quant-wanted" else None,
        context=4096 if rule == "context" else None,
    )
    resolution = resolve([artifact], target)
    assert resolution.choice is None
    assert resolution.refusal_counts == {rule: 1}
    everything_but = {"allow_risky", "allow_unverified", "force"} - set(way_out)
    assert chosen([artifact], target, **dict.fromkeys(everything_but, True)) is None
    if way_out:
        assert chosen([artifact], target, **way_out) == artifact.path


BUILDS = st.builds(
    lambda path, **known: build(f"{path}.rkllm", **known),
    st.integers(0, 99),
    platform=st.sampled_from(["rk3576", "rk3588", None]),
    toolkit=st.sampled_from(["1.0.1", "1.1.4", "1.2.1b1", "1.2.2", "1.2.3", "1.3.0", None]),
    quant=st.sampled_from(["w4a16", "w4a16_g128", "w8a8", "fp16", None]),
    context=st.sampled_from([1024, 4096, 16384, None]),
    availability=st.sampled_from(list(Availability)),
    size_bytes=st.sampled_from([None, 10**9, 6 * 10**9]),
    origin=st.sampled_from(list(Origin)),
    model=st.sampled_from(["M-1B", "DeepSeek-R1-Distill-Qwen-1.5B"]),
)
TARGETS = st.builds(
    Target,
    platform=st.sampled_from(list(Platform)),
    runtime=st.sampled_from([None, *map(Version, ("1.1.4", "1.2.3", "1.3.0", "1.3.1"))]),
    driver=st.sampled_from([None, Version("0.8.2"), Version("0.9.8")]),
    memory_bytes=st.sampled_from([None, 4 << 30, 16 << 30]),
    context=st.sampled_from([None, 4096, 8192]),
    quant=st.sampled_from([None, Quant(4, 16), Quant(8, 8)]),
)
POLICIES = st.builds(
    Policy, allow_risky=st.booleans(), allow_unverified=st.booleans(), force=st.booleans()
)


@given(st.lists(BUILDS, max_size=12), TARGETS, POLICIES)
def test_the_promise(artifacts: list[Artifact], target: Target, policy: Policy) -> None:
    """Whatever is offered: nothing for another SoC, refused, unavailable or not asked for."""
    resolution = resolve(artifacts, target, policy=policy)
    assert len(resolution.ranked) + len(resolution.refused) == len(artifacts)
    assert all(c.refusal is not None and c.refusal.text for c in resolution.refused)
    for candidate in resolution.ranked:
        artifact = candidate.artifact
        assert artifact.platform in {target.platform, None}
        assert artifact.platform is not None or policy.allow_unverified
        assert artifact.availability is Availability.LISTED
        assert candidate.verdict.level is not Level.INCOMPATIBLE
        assert candidate.verdict.level is not Level.RISKY or policy.allow_risky
        assert candidate.verdict.level is not Level.UNKNOWN or policy.allow_unverified
        assert target.quant in {None, artifact.quant}
        assert candidate.fit is not Fit.TOO_LARGE or policy.force
        if target.runtime is not None:
            assert all(t <= target.runtime for t in artifact.toolkits) or policy.allow_unverified


@given(st.lists(BUILDS, max_size=5), TARGETS)
def test_the_order_of_the_catalog_does_not_matter(
    artifacts: list[Artifact], target: Target
) -> None:
    answers = {
        tuple(c.artifact.path for c in resolve(order, target).ranked[:1])
        for order in list(permutations(artifacts))[:24]
    }
    assert len(answers) <= 1


@given(st.lists(BUILDS, max_size=12), TARGETS)
def test_a_refusal_can_always_be_told(artifacts: list[Artifact], target: Target) -> None:
    resolution = resolve(artifacts, target)
    if resolution.choice is None:
        error = refuse("m", resolution)
        assert error.exit_code in {2, 3, 9}
        assert error.message


def test_a_newer_file_is_refused_with_count_nearest_and_both_ways_out() -> None:
    resolution = resolve(
        [build("a.rkllm"), build("b.rkllm", quant="w8a8"), build("c.rkllm", platform="rk3588")],
        Target(runtime=Version("1.1.4")),
    )
    error = refuse("m-1b", resolution)
    assert isinstance(error, IncompatibleError)
    assert error.message == "no build of m-1b runs on rk3576 with runtime 1.1.4"
    assert error.cause == (
        "2 builds newer than the runtime accepts: toolkit 1.2.3",
        "1 build for another SoC: rk3588",
        "nearest: someone/M-1B-RKLLM/a.rkllm (w4a16, toolkit 1.2.3)",
    )
    assert error.hint == (
        "update the board's runtime to 1.2.3; or make one on an x86_64 Linux PC: "
        "rkfetch convert m-1b --platform rk3576 --runtime 1.1.4"
    )


def test_no_runtime_is_said_loudly() -> None:
    error = refuse("m-1b", resolve([build()], Target()))
    assert isinstance(error, UsageError)
    assert "--runtime" in error.message
    assert "1 build of toolkit 1.2.3" in error.cause[0]


def test_memory_is_its_own_error_with_the_measured_figure() -> None:
    need = MemoryNeed(size_bytes=5_200_000_000, measured=True, source="https://example.org/csv")
    resolution = resolve(
        [build(quant="w8a8")],
        Target(runtime=Version("1.2.3"), memory_bytes=4 << 30),
        measured=lambda model, platform, quant: need,
    )
    error = refuse("m-1b", resolution)
    assert isinstance(error, MemoryFitError)
    assert "5.2 GB of memory (measured)" in error.cause[0]


def test_a_hint_to_update_is_only_given_where_it_helps() -> None:
    """On 1.3.0 a 1.2.3 file is risky, so no runtime would make it safe but 1.2.3 itself."""
    error = refuse("m-1b", resolve([build()], Target(runtime=Version("1.3.0"))))
    assert error.hint is not None
    assert "update" not in error.hint
    assert "use runtime 1.2.3" in error.hint
    assert "--allow-risky" in error.hint
    assert any("rknn-llm/issues/534" in line for line in error.cause)


def test_no_conversion_is_advised_that_would_misbehave() -> None:
    """On runtime 1.2.3 every DeepSeek-R1-Distill-Qwen answers garbage, also a new conversion."""
    model = "DeepSeek-R1-Distill-Qwen-1.5B"
    resolution = resolve([build(model=model)], Target(runtime=Version("1.2.3")))
    hint = refuse("deepseek-r1-1.5b", resolution).hint
    assert hint is not None
    assert "convert" not in hint
    assert "--allow-risky" in hint


def test_flags_are_advised_only_where_they_are_enough() -> None:
    unknown = build(toolkit=None, model="DeepSeek-R1-Distill-Qwen-1.5B")
    hint = refuse("m", resolve([unknown], Target(runtime=Version("1.2.3")))).hint
    assert hint is not None
    assert "--allow-risky --allow-unverified" in hint


def test_an_old_driver_is_what_gets_updated() -> None:
    target = Target(runtime=Version("1.2.3"), driver=Version("0.8.2"))
    hint = refuse("m", resolve([build(quant="w8a8")], target)).hint
    assert hint is not None
    assert hint.startswith("update the NPU driver to 0.9.8")
