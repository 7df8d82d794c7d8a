"""How sure a thing is, and what that and people's own experience do to a verdict."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rkfetch.registry.compat import Level
from rkfetch.registry.judge import judge
from rkfetch.registry.model import (
    Artifact,
    Attribute,
    Confidence,
    Evidence,
    Origin,
    Platform,
    Target,
    settle,
)
from rkfetch.registry.refuse import refuse
from rkfetch.registry.resolve import Policy, resolve
from rkfetch.registry.sightings import Outcome, Sighting, decisive
from rkfetch.registry.versions import Version

HERE = Target(runtime=Version("1.2.3"))
Said = tuple[str, str, Origin]


def said(attribute: str, value: str, origin: Origin) -> Evidence:
    return Evidence(attribute=attribute, value=value, origin=origin, place="somewhere")


def build(*claims: Said, path: str = "x.rkllm", **fields: Any) -> Artifact:
    """Make one build of which only these claims are known."""
    return Artifact(
        source="huggingface",
        repo="someone/M-1B-RKLLM",
        path=path,
        attributes=settle(said(*claim) for claim in claims),
        **fields,
    )


def known(path: str = "x.rkllm", toolkit: str = "1.2.3", quant: str = "w4a16") -> Artifact:
    """Make a build whose header was read."""
    values = {"platform": "rk3576", "toolkit": toolkit, "quant": quant}
    return build(*((a, v, Origin.HEADER) for a, v in values.items()), path=path)


def seen(outcome: Outcome, **more: Any) -> Sighting:
    values: dict[str, Any] = {
        "platform": Platform.RK3576,
        "runtime": Version("1.2.3"),
        "origin": Origin.USER,
        "place": "addition 0123456789ab",
        "seen": "2026-11-20",
        "own": True,
    }
    return Sighting(outcome=outcome, **{**values, **more})


def with_seen(artifact: Artifact, *sightings: Sighting) -> Artifact:
    return replace(artifact, sightings=sightings)


# --- how sure ----------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", list(Origin))
def test_confidence_follows_the_origin(origin: Origin) -> None:
    sure = Attribute(name="toolkit", evidence=(said("toolkit", "1.2.3", origin),)).confidence
    if origin in {Origin.HEADER, Origin.TRAILER, Origin.LOG}:
        assert sure is Confidence.HIGH
    elif origin in {Origin.REPO_NAME, Origin.UPLOAD_DATE}:
        assert sure is Confidence.LOW
    else:
        assert sure is Confidence.MEDIUM


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (Origin.HEADER, Confidence.HIGH),
        (Origin.LOG, Confidence.HIGH),
        (Origin.CARD, Confidence.LOW),
        (Origin.REPO_NAME, Confidence.LOW),
    ],
)
def test_a_contradiction_costs_confidence_but_not_the_file_s_own_word(
    origin: Origin, expected: Confidence
) -> None:
    claims = [said("toolkit", "1.2.3", origin), said("toolkit", "1.3.0", Origin.UPLOAD_DATE)]
    assert settle(claims)["toolkit"].confidence is expected


def test_nothing_is_sure_about_a_dispute() -> None:
    claims = [said("toolkit", "1.2.3", Origin.CARD), said("toolkit", "1.3.0", Origin.CARD)]
    attribute = settle(claims)["toolkit"]
    assert (attribute.value, attribute.confidence) == (None, None)


@given(st.permutations([(o, v) for o in Origin for v in ("1.2.3", "1.3.0")]), st.integers(1, 18))
def test_a_header_beats_every_label_in_whatever_order_they_come(
    claims: list[tuple[Origin, str]], count: int
) -> None:
    told = [said("toolkit", v, o) for o, v in claims[:count] if not o.is_reading]
    attribute = settle([*told, said("toolkit", "1.1.4", Origin.HEADER)])["toolkit"]
    assert (attribute.value, attribute.origin) == ("1.1.4", Origin.HEADER)
    assert set(attribute.overruled) == set(told)
    assert attribute.confidence is Confidence.HIGH


# --- weak evidence -----------------------------------------------------------------------------

SOC = ("platform", "rk3576", Origin.FILE_NAME)


def test_labels_that_contradict_each_other_promise_nothing() -> None:
    torn = build(SOC, ("toolkit", "1.2.3", Origin.CARD), ("toolkit", "1.3.0", Origin.REPO_NAME))
    verdict = judge(torn, HERE)
    assert (verdict.level, verdict.reasons[0].rule) == (Level.UNKNOWN, "toolkit-doubted")
    assert verdict.reasons[0].text.startswith(
        "its model card says toolkit 1.2.3, its repository's name says 1.3.0, and with that: made "
        "by toolkit 1.3.0, newer than runtime 1.2.3"
    )
    assert resolve([torn], HERE).choice is None


def test_a_contradiction_that_would_change_nothing_stops_nothing() -> None:
    torn = build(SOC, ("toolkit", "1.2.3", Origin.CARD), ("toolkit", "1.2.2", Origin.REPO_NAME))
    assert judge(torn, HERE).level is Level.EXACT


def test_the_file_s_own_word_leaves_no_doubt() -> None:
    heard = build(
        ("platform", "rk3576", Origin.HEADER),
        ("platform", "rk3588", Origin.FILE_NAME),
        ("toolkit", "1.2.3", Origin.TRAILER),
        ("toolkit", "1.3.0", Origin.CARD),
    )
    verdict = judge(heard, HERE)
    assert verdict.level is Level.EXACT
    assert [r.rule for r in verdict.reasons] == ["same-version"]


def test_a_soc_that_names_contradict_is_not_taken() -> None:
    torn = build(
        SOC, ("platform", "rk3588", Origin.REPO_NAME), ("toolkit", "1.2.3", Origin.CURATED)
    )
    verdict = judge(torn, HERE)
    assert (verdict.level, verdict.reasons[0].rule) == (Level.UNKNOWN, "platform-doubted")


def test_what_only_weak_evidence_tells_is_said() -> None:
    weak = build(SOC, ("toolkit", "1.2.3", Origin.REPO_NAME))
    verdict = judge(weak, HERE)
    assert verdict.level is Level.EXACT
    assert verdict.reasons[-1].text == (
        "only its repository's name tells its toolkit version, 1.2.3; its header would tell for "
        "certain"
    )


def test_of_builds_that_are_as_good_the_better_known_comes_first() -> None:
    origins = [Origin.HEADER, Origin.CARD, Origin.REPO_NAME]
    builds = [
        build(("platform", "rk3576", o), ("toolkit", "1.2.3", o), path=o.value) for o in origins
    ]
    for order in permutations(builds):
        ranked = resolve(order, HERE).ranked
        assert [c.artifact.path for c in ranked] == ["header", "card", "repo-name"]


# --- what was seen on boards -------------------------------------------------------------------


def test_a_file_that_was_seen_to_fail_here_is_refused_with_that_reason() -> None:
    failed = with_seen(known("a"), seen(Outcome.FAILS, note="answers garbage"))
    resolution = resolve([failed], HERE)
    (candidate,) = resolution.refused
    assert candidate.refusal is not None
    assert candidate.refusal.rule == "seen-to-fail"
    assert candidate.refusal.text == (
        "you saw it fail on rk3576, runtime 1.2.3 (2026-11-20, addition 0123456789ab): answers "
        "garbage"
    )
    assert refuse("m", resolution).cause[0].startswith("1 build seen to fail: you saw it fail")
    assert resolve([failed], HERE, policy=Policy(allow_risky=True)).choice is not None
    assert resolve([failed, known("b")], HERE).choice is not None


@pytest.mark.parametrize(
    "change",
    [
        {"runtime": Version("1.2.2")},
        {"platform": Platform.RK3588},
        {"driver": Version("0.8.2")},
    ],
)
def test_a_failure_elsewhere_is_none_here(change: dict[str, Any]) -> None:
    target = replace(HERE, driver=Version("0.9.8"))
    failed = with_seen(known(), seen(Outcome.FAILS, **change))
    assert judge(failed, target).level is Level.EXACT


def test_one_that_was_seen_to_work_here_comes_before_what_would_be_better() -> None:
    tried = with_seen(known("tried", toolkit="1.2.2", quant="w8a8"), seen(Outcome.WORKS))
    assert [c.artifact.path for c in resolve([known("untried"), tried], HERE).ranked] == [
        "tried",
        "untried",
    ]
    others = with_seen(tried, seen(Outcome.WORKS, own=False))
    assert resolve([known("untried"), others], HERE).ranked[0].artifact.path == "untried"
    same = with_seen(known("z", quant="w8a8"), seen(Outcome.WORKS, own=False))
    assert resolve([known("untried"), same], HERE).ranked[0].artifact.path == "z"


def test_a_good_run_settles_doubts_about_versions() -> None:
    silent = build(("platform", "rk3576", Origin.HEADER))
    assert judge(silent, HERE).level is Level.UNKNOWN
    for own in (True, False):
        verdict = judge(with_seen(silent, seen(Outcome.WORKS, own=own)), HERE)
        assert (verdict.level, verdict.reasons[0].rule) == (Level.COMPATIBLE, "seen-to-work")
        assert {r.rule: r.level for r in verdict.reasons[1:]} == {"toolkit-unknown": None}


def test_only_one_s_own_good_run_settles_known_trouble() -> None:
    stuck = known(toolkit="1.2.3")
    target = Target(runtime=Version("1.3.0"))
    good = seen(Outcome.WORKS, runtime=Version("1.3.0"))
    assert judge(stuck, target).level is Level.RISKY
    assert judge(with_seen(stuck, good), target).level is Level.COMPATIBLE
    assert judge(with_seen(stuck, replace(good, own=False)), target).level is Level.RISKY


def test_a_good_run_never_overrules_a_refusal_nor_settles_what_was_not_asked_then() -> None:
    newer = with_seen(known(toolkit="1.3.0"), seen(Outcome.WORKS))
    assert judge(newer, HERE).level is Level.INCOMPATIBLE
    other = with_seen(build(("platform", "rk3588", Origin.HEADER)), seen(Outcome.WORKS))
    assert judge(other, HERE).level is Level.INCOMPATIBLE
    unsure = with_seen(known(), seen(Outcome.WORKS))
    assert judge(unsure, replace(HERE, context=8192)).level is Level.UNKNOWN


def test_that_it_was_loaded_is_a_remark() -> None:
    silent = with_seen(build(("platform", "rk3576", Origin.HEADER)), seen(Outcome.LOADS))
    verdict = judge(silent, HERE)
    assert (verdict.level, verdict.reasons[-1].rule) == (Level.UNKNOWN, "seen-to-load")


def test_the_newest_of_one_s_own_decides_and_the_other_is_told() -> None:
    old, new = seen(Outcome.FAILS, seen="2026-11-01"), seen(Outcome.WORKS, seen="2026-11-20")
    for order in permutations([old, new]):
        verdict = judge(with_seen(known(), *order), HERE)
        assert verdict.level is Level.EXACT
        assert [r.rule for r in verdict.reasons] == [
            "same-version",
            "seen-to-work",
            "seen-to-fail",
        ]


def test_one_s_own_counts_before_others_and_of_others_a_failure_does() -> None:
    fails = seen(Outcome.FAILS, own=False, seen="2026-01-01", place="addition a")
    works = seen(Outcome.WORKS, own=False, seen="2026-11-01", place="addition b")
    assert decisive([works, fails], HERE) is fails
    mine = seen(Outcome.WORKS, seen="2025-01-01")
    assert decisive([works, fails, mine], HERE) is mine
