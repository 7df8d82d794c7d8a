"""What a page is told: the rules' own verdicts, each content once, nothing that nobody can run."""

from __future__ import annotations

import base64
import gzip
import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rkfetch.catalog.browsing.site import PAGE, About, files_of, site
from rkfetch.catalog.browsing.tables import BUILDS_A_FILE, Build, tables
from rkfetch.catalog.browsing.verdicts import Verdicts
from rkfetch.catalog.entries import Companion, Repository
from rkfetch.registry.judge import judge
from rkfetch.registry.model import (
    Artifact,
    Availability,
    Evidence,
    Origin,
    Platform,
    Target,
    settle,
)
from rkfetch.registry.resolve import resolve
from rkfetch.registry.runtimes import RELEASES
from rkfetch.registry.sightings import Outcome, Sighting
from rkfetch.registry.versions import Version

ABOUT = About(name="Board owners", date="2026-11-26T10:00:00Z")


def build(number: int = 0, *, sightings: tuple[Sighting, ...] = (), **fields: Any) -> Build:
    said = {"platform": "rk3576", "toolkit": "1.2.3", "quant": "w4a16", "model": "Qwen3-4B"}
    said |= {name: str(fields.pop(name)) for name in (*said, "context", "role") if name in fields}
    known = {"source": "huggingface", "repo": "Ann/Qwen3-4B", "path": f"m{number}.rkllm"}
    artifact = Artifact(
        **{**known, **fields},
        sightings=sightings,
        attributes=settle(
            Evidence(attribute=name, value=value, origin=Origin.HEADER, place="header")
            for name, value in said.items()
        ),
    )
    return Build(artifact)


def table(*builds: Build, platform: str = "rk3576") -> Any:
    return next(t for t in tables(builds, RELEASES) if t.platform == platform)


def told(verdicts: Any, profile: int, at: int) -> tuple[str, list[Any]]:
    """What the page makes of a row of ``profiles``."""
    level, reasons, _ = verdicts["verdicts"][verdicts["profiles"][profile][at]]
    return level, [verdicts["reasons"][number] for number in reasons]


# --- verdicts ------------------------------------------------------------------------------------

ORIGINS = st.sampled_from(
    [Origin.HEADER, Origin.CURATED, Origin.CARD, Origin.FILE_NAME, Origin.REPO_NAME]
)
VALUES = {
    "toolkit": st.sampled_from(["1.0.0", "1.0.1", "1.1.4", "1.2.0", "1.2.3", "1.3.0", "1.4.0"]),
    "platform": st.sampled_from(["rk3576", "rk3588"]),
    "quant": st.sampled_from(["w4a16", "w8a8", "w8a8_g512", "fp16"]),
    "model": st.sampled_from(["Qwen3-4B", "Qwen3-8B", "DeepSeek-R1-Distill-Qwen-1.5B"]),
}


@st.composite
def artifacts(draw: st.DrawFn) -> Artifact:
    evidence = [
        Evidence(
            attribute=name,
            value=draw(values),
            origin=draw(ORIGINS),
            place=draw(st.sampled_from("ab")),
        )
        for name, values in VALUES.items()
        for _ in range(draw(st.integers(0, 2)))
    ]
    seen = Sighting(
        outcome=draw(st.sampled_from(Outcome)),
        platform=Platform.RK3576,
        runtime=Version("1.2.3"),
        origin=Origin.USER,
        place="addition 1",
        seen="2026-11-01",
        own=False,
    )
    sightings = draw(st.sampled_from([(), (), (seen,)]))
    return Artifact(
        source="huggingface",
        repo="a/b",
        path="c.rkllm",
        attributes=settle(evidence),
        sightings=sightings,
        size_bytes=draw(st.sampled_from([None, 10**9, 4 * 10**9])),
    )


DRIVERS = (None, Version("0.8.2"), Version("0.9.6"), Version("0.9.8"))


@given(st.lists(artifacts(), min_size=1, max_size=12), st.sampled_from(DRIVERS))
def test_what_is_written_down_is_what_the_rules_say(
    given_artifacts: list[Artifact], driver: Version | None
) -> None:
    """Whatever came before it, a build has its own verdict on every runtime."""
    verdicts = Verdicts(Platform.RK3576, RELEASES, driver)
    profiles = [verdicts.profile(artifact) for artifact in given_artifacts]
    written = verdicts.as_json()
    for artifact, profile in zip(given_artifacts, profiles, strict=True):
        for at, runtime in enumerate((None, *RELEASES)):
            target = Target(platform=Platform.RK3576, runtime=runtime, driver=driver)
            verdict = judge(artifact, target)
            level, reasons = told(written, profile, at)
            assert level == verdict.level.value
            assert [r[:3] for r in reasons] == [[r.rule, r.text, r.source] for r in verdict.reasons]


def test_a_driver_counts_for_its_own_board_alone() -> None:
    builds = [build(n, platform=p, quant="w8a8") for n, p in enumerate(("rk3576", "rk3588"))]
    board = Target(platform=Platform.RK3576, driver=Version("0.8.2"))
    found = {t.platform: t.content for t in tables(builds, RELEASES, board)}
    rules = {soc: {reason[0] for reason in found[soc]["reasons"]} for soc in ("rk3576", "rk3588")}
    assert "driver" in rules["rk3576"]
    assert "driver" not in rules["rk3588"]


def test_builds_that_are_alike_share_a_verdict() -> None:
    content = table(*(build(n) for n in range(500))).content
    assert len(content["profiles"]) == 1
    assert len(content["verdicts"]) <= len(RELEASES) + 1


# --- which builds --------------------------------------------------------------------------------


def test_each_content_is_there_once_at_its_best_place() -> None:
    digest = "a" * 64
    content = table(
        build(1, sha256=digest, repo="Zoe/Copy", gated=True),
        build(1, sha256=digest, repo="Ann/First"),
        build(2, sha256="b" * 64),
    )
    assert content.builds == 2
    assert [r[1] for r in content.content["repositories"]] == ["Ann/First", "Ann/Qwen3-4B"]
    assert content.evidence[0][0]["also"][0][1] == "Zoe/Copy"


@pytest.mark.parametrize(
    "fields",
    [
        {"availability": Availability.GONE},
        {"availability": Availability.REJECTED},
        {"availability": Availability.UNNAMED, "path": ""},
        {"role": "lora"},
        {"role": "vision"},
    ],
)
def test_what_nobody_can_run_is_not_there(fields: dict[str, Any]) -> None:
    assert table(build(**fields)).builds == 0


def test_a_build_without_a_soc_has_a_table_of_its_own() -> None:
    assert table(build(platform=""), platform="unknown").builds == 1


def test_what_is_not_known_is_null() -> None:
    content = table(build()).content["builds"]
    assert (content["s"], content["c"], content["v"]) == ([None], [None], [8.3])
    assert content["n"] == [3_400_000_000]


def test_flags_and_evidence() -> None:
    (vision,) = [Companion(role="vision", repo="Ann/Qwen3-4B", path="v.rknn", size_bytes=5)]
    listed = Repository(source="huggingface", repo="Ann/Qwen3-4B", license="mit", downloads=70)
    shown = table(build(gated=True)._replace(companions=[vision], repository=listed))
    assert shown.content["builds"]["a"] == [1 | 8]
    assert shown.content["repositories"][0][2:] == [
        "https://huggingface.co/Ann/Qwen3-4B",
        "mit",
        70,
    ]
    (evidence,) = shown.evidence[0]
    assert evidence["companions"] == [["vision", "v.rknn", 5]]
    assert evidence["attributes"]["toolkit"] == [["1.2.3", "header", "header", "", None, "counts"]]


# --- files ---------------------------------------------------------------------------------------


def unpacked(files: dict[str, bytes]) -> list[Any]:
    """The tables, as a browser unpacks them."""
    packed = (re.search(rb'currentScript,"([^"]+)"', content) for content in files.values())
    return [json.loads(gzip.decompress(base64.b64decode(p[1]))) for p in packed if p]


def test_the_same_builds_give_the_same_files() -> None:
    builds = [build(n, path=f"m{n}.rkllm") for n in range(BUILDS_A_FILE + 5)]
    files = site(ABOUT, builds)
    assert files == site(ABOUT, list(reversed(builds)))
    assert list(files)[-1] == PAGE
    assert files_of(files[PAGE]) == files.keys() - {PAGE}
    evidence = [t for t in unpacked(files) if isinstance(t, list)]
    assert sorted(map(len, evidence)) == [5, BUILDS_A_FILE]


def test_nothing_that_is_told_ends_its_place_in_the_page() -> None:
    hostile = "</script><script>alert(1)</script><!--"
    page = site(
        About(name=hostile, date=hostile, take=hostile, key=hostile), [build(model=hostile)]
    )[PAGE]
    assert b"<script>alert" not in page
    assert b"<!--" not in page


# --- which of two builds -------------------------------------------------------------------------


@given(st.lists(artifacts(), min_size=2, max_size=8), st.sampled_from(RELEASES))
def test_builds_are_ordered_as_they_are_taken(
    given_artifacts: list[Artifact], runtime: Any
) -> None:
    """Of builds that may be used, the page's first is the one that `resolve` takes."""
    builds = [
        Build(replace(a, path=f"{n}.rkllm", attributes={**a.attributes, **_ON_RK3576}))
        for n, a in enumerate(given_artifacts)
    ]
    content = table(*builds).content
    at = 1 + RELEASES.index(runtime)
    columns = content["builds"]
    by_page = sorted(
        range(len(builds)),
        key=lambda n: (
            content["verdicts"][content["profiles"][columns["f"][n]][at]][2],
            columns["o"][n],
        ),
    )
    target = Target(platform=Platform.RK3576, runtime=runtime)
    resolution = resolve([b.artifact for b in builds], target)
    usable = [c.artifact.path for c in resolution.ranked]
    assert [columns["p"][n] for n in by_page if columns["p"][n] in usable] == usable


_ON_RK3576 = settle(
    [Evidence(attribute="platform", value="rk3576", origin=Origin.HEADER, place="header")]
)


def test_what_deceives_the_eye_is_not_shown() -> None:
    hidden = build(1, path="\u202eknllkr.png.rkllm")
    plain = build(2, model="a\u202eb")
    assert table(hidden, plain).builds == 1
    assert table(plain).content["models"][0][0] == "a\ufffdb"
