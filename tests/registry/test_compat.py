"""The rules against every observed pair, and their order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rkfetch.registry.compat import PAIR_RULES, Level, judge_pair
from rkfetch.registry.judge import judge
from rkfetch.registry.model import (
    Artifact,
    Evidence,
    Origin,
    Platform,
    Quant,
    Target,
    settle,
)
from rkfetch.registry.versions import Version, as_version

DATA = Path(__file__).parent.parent / "data" / "compat-evidence.jsonl"
ROWS: list[dict[str, Any]] = [json.loads(line) for line in DATA.read_text("utf-8").splitlines()]
PAIR_CAUSES = {"format", "eos", "regression", "none"}


def build(**values: str) -> Artifact:
    """Make an artifact whose header says all of this."""
    return Artifact(
        source="huggingface",
        repo="someone/some-RKLLM",
        path="x.rkllm",
        attributes=settle(
            Evidence(attribute=k, value=v, origin=Origin.HEADER, place="header")
            for k, v in values.items()
        ),
    )


def test_all_evidence_is_here() -> None:
    assert len(ROWS) == 72


@pytest.mark.parametrize(
    "row", ROWS, ids=lambda r: f"{r['toolkit']}-on-{r['runtime']}-{r['outcome']}"
)
def test_no_verdict_contradicts_what_was_seen(row: dict[str, Any]) -> None:
    """Refused or misbehaving pairs are never promised; working pairs are never refused."""
    toolkits = [as_version(t) for t in ([row["toolkit"], "1.0.1", "1.0.2"])]
    if row["toolkit"] != "1.0.x":
        toolkits = toolkits[:1]
    runtime = as_version(row["runtime"])
    if runtime is None:
        return  # the row is about a chip, a driver or a caller; no version to judge
    for toolkit in toolkits:
        values = {"platform": "rk3588", "model": row["model"].split(" ")[0].rstrip(",")}
        if toolkit is not None:
            values["toolkit"] = str(toolkit)
        level = judge(build(**values), Target(platform=Platform.RK3588, runtime=runtime)).level
        if row["outcome"] in {"rejected", "misbehaves"} and row["cause"] in PAIR_CAUSES:
            assert level not in {Level.EXACT, Level.COMPATIBLE}
        if row["outcome"] in {"works", "warns"}:
            assert level is not Level.INCOMPATIBLE


@pytest.mark.parametrize(
    "row",
    [r for r in ROWS if r["cause"] == "driver" and as_version(r["driver"])],
    ids=lambda r: f"{r['driver']}-{r['outcome']}-{r['source']}",
)
def test_a_driver_that_was_to_blame_is_named(row: dict[str, Any]) -> None:
    """The driver belongs to the target: with it known, the judgement names it."""
    driver = as_version(row["driver"])
    artifact = build(platform="rk3588", quant="w8a8", toolkit="1.2.1")
    verdict = judge(
        artifact,
        Target(platform=Platform.RK3588, runtime=Version("1.2.1"), driver=driver),
    )
    assert any(r.rule == "driver" for r in verdict.reasons)
    if driver == Version("0.8.2"):
        assert verdict.level is Level.INCOMPATIBLE


TABLE = [
    # toolkit, runtime, model, level, a rule that must speak
    ("1.2.3", "1.2.3", "Qwen3-4B", Level.EXACT, "same-version"),
    ("1.2.1b1", "1.2.1", "Qwen3-4B", Level.COMPATIBLE, "older-than-runtime"),
    ("1.2.1", "1.2.1b1", "Qwen3-4B", Level.INCOMPATIBLE, "newer-than-runtime"),
    ("1.1.4", "1.2.3", "Llama-3.2-1B-Instruct", Level.COMPATIBLE, "older-than-runtime"),
    ("1.2.3", "1.2.1", "Qwen3-4B", Level.INCOMPATIBLE, "newer-than-runtime"),
    ("1.0.0", "1.0.1", "Qwen-1.8B-Chat", Level.INCOMPATIBLE, "format-1.0.0"),
    ("1.0.1", "1.2.3", "gemma-2b-it", Level.INCOMPATIBLE, "format-1.0"),
    ("1.2.2", "1.3.0", "SmolVLM2-256M", Level.RISKY, "eos"),
    ("1.2.3", "1.3.0", "Qwen3-4B", Level.RISKY, "eos"),
    ("1.2.1", "1.3.0", "Qwen3-4B", Level.UNKNOWN, "eos-unreported"),
    ("1.2.3", "1.3.1", "Qwen3-4B", Level.UNKNOWN, "eos-unreported"),
    ("1.3.0", "1.3.1", "Qwen3-4B", Level.COMPATIBLE, "older-than-runtime"),
    ("1.2.3", "1.2.3", "DeepSeek-R1-Distill-Qwen-1.5B", Level.RISKY, "deepseek-r1-on-1.2.3"),
    ("1.2.0", "1.2.3", "Qwen3-4B", Level.RISKY, "regression-1.2.0-on-1.2.3"),
    ("1.2.2", "1.2.2", "DeepSeek-R1-Distill-Qwen-1.5B", Level.EXACT, "same-version"),
    ("1.1.1", "1.1.0", "Llama-3.2-3B", Level.UNKNOWN, "newer-within-1.1"),
    ("1.4.0", "1.4.0", "Qwen4", Level.UNKNOWN, "lineage-end"),
]


@pytest.mark.parametrize(("toolkit", "runtime", "model", "level", "rule"), TABLE)
def test_known_pairs(toolkit: str, runtime: str, model: str, level: Level, rule: str) -> None:
    verdict = judge_pair(Version(toolkit), Version(runtime), model)
    assert verdict.level is level
    assert rule in {r.rule for r in verdict.reasons}


def test_every_rule_has_a_public_source() -> None:
    assert all(rule.source.startswith("https://") for rule in PAIR_RULES)


RELEASES = "1.0.0 1.0.1 1.1.0 1.1.4b5 1.1.4 1.2.0 1.2.1b1 1.2.1 1.2.2 1.2.3 1.3.0 1.3.1"
VERSIONS = st.sampled_from([Version(text) for text in RELEASES.split(" ")])


@given(VERSIONS, VERSIONS)
def test_a_newer_toolkit_is_never_promised(toolkit: Version, runtime: Version) -> None:
    """Design promise: never a file that the runtime refuses."""
    if toolkit > runtime:
        assert judge_pair(toolkit, runtime).level in {Level.UNKNOWN, Level.INCOMPATIBLE}


@given(VERSIONS, st.sampled_from(list(Platform)))
def test_another_soc_is_never_anything_but_incompatible(
    version: Version, platform: Platform
) -> None:
    artifact = build(platform="rk3588", toolkit=str(version))
    verdict = judge(artifact, Target(platform=platform, runtime=version))
    assert (verdict.level is Level.INCOMPATIBLE) == (platform is not Platform.RK3588)


def disputed(*toolkits: str) -> Artifact:
    return Artifact(
        source="huggingface",
        repo="a/b",
        path="x.rkllm",
        attributes=settle(
            [
                Evidence(
                    attribute="platform", value="rk3576", origin=Origin.HEADER, place="header"
                ),
                *(
                    Evidence(attribute="toolkit", value=t, origin=Origin.CURATED, place=f"list {t}")
                    for t in toolkits
                ),
            ]
        ),
    )


@pytest.mark.parametrize(
    ("runtime", "level"),
    [("1.3.0", Level.RISKY), ("1.2.3", Level.UNKNOWN), ("1.1.4", Level.INCOMPATIBLE)],
)
def test_a_disputed_version_is_judged_as_each_of_them(runtime: str, level: Level) -> None:
    verdict = judge(disputed("1.2.3", "1.3.0"), Target(runtime=Version(runtime)))
    assert verdict.level is level
    assert "1.2.3 says list 1.2.3" in verdict.reasons[0].text


def test_a_context_beyond_the_limit_is_refused_with_the_limit() -> None:
    artifact = build(platform="rk3576", toolkit="1.2.3", context="4096")
    verdict = judge(artifact, Target(runtime=Version("1.2.3"), context=16384))
    assert verdict.level is Level.INCOMPATIBLE
    assert "limit is 4096, below the 16384" in verdict.reasons[0].text


def test_a_quantisation_that_no_toolkit_builds_is_doubted() -> None:
    artifact = build(platform="rk3588", toolkit="1.2.3", quant="w4a16")
    verdict = judge(artifact, Target(platform=Platform.RK3588, runtime=Version("1.2.3")))
    assert verdict.level is Level.UNKNOWN
    assert Quant.parse("W4A16_G128").family == "w4a16"
