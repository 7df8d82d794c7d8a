"""Which installed files are not the ones to use any more, and what is said of each."""

from __future__ import annotations

from typing import Any

import pytest

from rkfetch.catalog.outdated import Known, State, compare
from rkfetch.registry.compat import Level
from rkfetch.registry.model import Artifact, Availability, Evidence, Origin, Target, settle
from rkfetch.registry.record import Record
from rkfetch.registry.resolve import Policy
from rkfetch.registry.versions import Version

REPO = "alice/Qwen2.5-1.5B-RKLLM"
NEW_RUNTIME = Target(runtime=Version("1.3.0"))
TARGET = Target(runtime=Version("1.2.3"))


def build(digest: str = "b", **more: Any) -> Artifact:
    """A build whose header is known; attributes are given by name."""
    values = {
        "platform": "rk3576",
        "toolkit": "1.2.3",
        "quant": "w4a16",
        "context": "4096",
        "model": "Qwen2.5-1.5B-Instruct",
    }
    values |= {name: more.pop(name) for name in list(more) if name in values}
    evidence = [
        Evidence(attribute=name, value=value, origin=Origin.HEADER, place="header")
        for name, value in values.items()
    ]
    return Artifact(
        **{
            "source": "huggingface",
            "repo": REPO,
            "path": f"{digest}.rkllm",
            "sha256": digest * 64,
            "attributes": settle(evidence),
            **more,
        }
    )


OWN = build("a")
RECORD = Record(
    sha256="a" * 64,
    size_bytes=1000,
    source="huggingface",
    repo=REPO,
    path="a.rkllm",
    fetched_at="2026-05-01T00:00:00+00:00",
)


def find(
    *others: Artifact,
    own: Artifact = OWN,
    here: Artifact | None = OWN,
    target: Target | None = TARGET,
    was_there: bool = True,
    installed: tuple[str, ...] = (),
    **policy: bool,
) -> Any:
    builds = [a for a in (here, *others) if a is not None]
    known = Known(here=here, own=own, was_there=was_there, builds=builds)
    return compare(RECORD, known, target, policy=Policy(**policy), installed={"a" * 64, *installed})


class TestCurrent:
    def test_what_is_upstream_and_fits(self) -> None:
        found = find()
        assert (found.state, found.upstream, found.update) == (State.CURRENT, "same", None)
        assert found.own.verdict.level is Level.EXACT

    @pytest.mark.parametrize(
        "other",
        [
            build(quant="w8a8"),
            build(quant="w8a8", context="16384"),
            build(updated="2030-01-01T00:00:00Z", curated=True),
            build(platform="rk3588"),
            build(toolkit="1.3.0", context="16384"),
            build(toolkit="1.2.1"),
            build(context="16384", availability=Availability.GONE),
        ],
        ids=[
            "other quant",
            "other quant, longer",
            "newer",
            "other soc",
            "refused",
            "older",
            "gone",
        ],
    )
    def test_what_is_no_better_does_not_unsettle(self, other: Artifact) -> None:
        assert find(other).state is State.CURRENT

    def test_without_a_target_only_its_place_is_looked_at(self) -> None:
        found = find(build(context="16384"), target=None)
        assert (found.state, found.own) == (State.CURRENT, None)

    def test_what_the_catalog_never_heard_of(self) -> None:
        found = find(here=None, was_there=False)
        assert (found.state, found.upstream) == (State.CURRENT, "unknown")

    def test_risky_and_nothing_better(self) -> None:
        found = find(target=NEW_RUNTIME)
        assert (found.state, found.own.verdict.level) == (State.CURRENT, Level.RISKY)

    def test_a_better_one_of_equal_verdict_that_is_here_too(self) -> None:
        longer = build("b", context="16384")
        assert find(longer, installed=("b" * 64,)).state is State.CURRENT


class TestReplaced:
    NOW = build("c", path="a.rkllm")

    def test_other_content_at_its_place(self) -> None:
        found = find(here=self.NOW)
        assert (found.state, found.upstream) == (State.REPLACED, "replaced")
        assert found.update == f"hf:{REPO}/a.rkllm"
        assert found.other.artifact.sha256 == "c" * 64

    def test_for_no_board_in_particular(self) -> None:
        found = find(here=self.NOW, target=None)
        assert (found.state, found.other) == (State.REPLACED, None)
        assert found.update == f"hf:{REPO}/a.rkllm"

    def test_by_what_does_not_fit(self) -> None:
        found = find(here=build("c", path="a.rkllm", toolkit="1.3.0"))
        assert (found.state, found.update) == (State.REPLACED, None)
        assert found.other.refusal.rule == "newer-than-runtime"
        assert "keep it" in found.text

    def test_a_catalog_that_is_older_than_the_file_proves_nothing(self) -> None:
        older = build("c", path="a.rkllm", updated="2026-04-01T00:00:00.000Z")
        assert find(here=older, was_there=False).state is State.CURRENT
        newer = build("c", path="a.rkllm", updated="2026-06-01T00:00:00.000Z")
        assert find(here=newer, was_there=False).state is State.REPLACED

    def test_content_that_is_not_known_is_not_other_content(self) -> None:
        assert find(here=build("c", path="a.rkllm", sha256=None)).state is State.CURRENT


class TestGone:
    def test_it_is_to_be_kept(self) -> None:
        found = find(here=build("a", availability=Availability.GONE))
        assert (found.state, found.upstream, found.update) == (State.GONE, "gone", None)
        assert "keep it" in found.text


class TestBetter:
    def test_after_an_upgrade_of_the_runtime(self) -> None:
        found = find(build(toolkit="1.3.0"), target=NEW_RUNTIME)
        assert (found.state, found.update) == (State.BETTER, f"hf:{REPO}/b.rkllm")
        assert "exact instead of risky" in found.text
        assert found.own.verdict.level is Level.RISKY
        assert found.other.verdict.level is Level.EXACT

    def test_of_the_same_quantisation_first(self) -> None:
        other = build("b", toolkit="1.3.0", quant="w8a8")
        same = build("c", toolkit="1.3.0", quant="w4a16_g128")
        assert find(other, same, target=NEW_RUNTIME).other.artifact == same
        assert find(other, target=NEW_RUNTIME).other.artifact == other

    def test_a_longer_context(self) -> None:
        found = find(build(context="16384"))
        assert found.state is State.BETTER
        assert "a context of 16384 instead of 4096" in found.text

    def test_that_is_here_already(self) -> None:
        found = find(build(toolkit="1.3.0"), target=NEW_RUNTIME, installed=("b" * 64,))
        assert (found.state, found.update) == (State.BETTER, None)
        assert "here already" in found.text

    def test_where_it_was_replaced_by_what_does_not_fit(self) -> None:
        found = find(build(context="16384"), here=build("c", path="a.rkllm", toolkit="1.3.0"))
        assert (found.state, found.upstream) == (State.BETTER, "replaced")

    def test_what_is_allowed_counts(self) -> None:
        risky = build(context="16384")
        assert find(risky, target=NEW_RUNTIME).state is State.CURRENT
        assert find(risky, target=NEW_RUNTIME, allow_risky=True).state is State.BETTER


class TestUnusable:
    def test_on_an_older_runtime(self) -> None:
        older = Target(runtime=Version("1.2.1"))
        alone = find(target=older)
        assert (alone.state, alone.update) == (State.UNUSABLE, None)
        assert alone.own.refusal.rule == "newer-than-runtime"
        assert "no other build" in alone.text
        found = find(build(toolkit="1.2.1", quant="w8a8"), target=older)
        assert (found.state, found.update) == (State.UNUSABLE, f"hf:{REPO}/b.rkllm")

    def test_for_another_soc(self) -> None:
        assert find(own=build("a", platform="rk3588")).state is State.UNUSABLE

    def test_too_large_for_the_memory(self) -> None:
        small = Target(runtime=Version("1.2.3"), memory_bytes=1 << 30)
        own = build("a", size_bytes=3_000_000_000, model="Odd-9B")
        assert find(own=own, target=small).state is State.UNUSABLE
        assert find(own=own, target=small, force=True).state is State.CURRENT


def test_a_vision_encoder_is_judged_by_its_place_only() -> None:
    own = Artifact(source="huggingface", repo=REPO, path="v.rknn", sha256="a" * 64)
    assert find(own=own).own is None
