"""What is written to the catalog can be read back, with every contradiction in it."""

from __future__ import annotations

import dataclasses
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from rkfetch.catalog.entries import Companion, Repository
from rkfetch.catalog.files import connect
from rkfetch.catalog.writer import record_evidence, reject
from rkfetch.registry.model import Artifact, Availability, Evidence, Origin, Platform, Quant, settle
from rkfetch.registry.versions import Version

if TYPE_CHECKING:
    from pathlib import Path

    from rkfetch.catalog.database import Catalog
    from rkfetch.catalog.writer import Writer

ONE, OTHER = "1" * 64, "2" * 64
PATH = "RK3576/Qwen3-1.7B_RK3576_w4a16.rkllm"


def said(
    attribute: str, value: str, origin: Origin = Origin.FILE_NAME, place: str = "name"
) -> Evidence:
    return Evidence(attribute=attribute, value=value, origin=origin, place=place, seen="2026-11-23")


def build(
    *evidence: Evidence,
    repo: str = "Owner/Qwen3-1.7B-RKLLM",
    path: str = PATH,
    sha256: str | None = None,
    **more: object,
) -> Artifact:
    named = evidence or (
        said("model", "Qwen3-1.7B"),
        said("platform", "rk3576"),
        said("quant", "w4a16"),
    )
    artifact = Artifact(
        source="huggingface", repo=repo, path=path, sha256=sha256, attributes=settle(named)
    )
    return dataclasses.replace(artifact, **more)  # type: ignore[arg-type]


def test_an_artifact_comes_back_as_it_was_recorded(writer: Writer, catalog: Catalog) -> None:
    artifact = build(
        said("model", "Qwen3-1.7B"),
        said("toolkit", "1.2.3", Origin.CARD, "https://huggingface.co/Owner/Qwen3-1.7B-RKLLM"),
        sha256=ONE,
        size_bytes=1_394_162_444,
        revision="c" * 40,
        curated=True,
        gated=True,
        updated="2026-10-01T12:00:00Z",
        note="a remark",
    )
    writer.record_artifact(artifact)
    assert catalog.artifact("huggingface", "Owner/Qwen3-1.7B-RKLLM", PATH) == artifact
    assert catalog.by_sha256(ONE.upper()) == [artifact]


def test_candidates_are_found_by_model_whatever_its_letter_case(
    writer: Writer, catalog: Catalog
) -> None:
    writer.record_artifact(build(repo="b/x"))
    writer.record_artifact(build(repo="A/x"))
    writer.record_artifact(build(said("model", "Qwen3-4B"), repo="c/x"))
    found = catalog.candidates(["qwen3-1.7b"])
    assert [a.repo for a in found] == ["A/x", "b/x"]
    assert found[0].platform is Platform.RK3576
    assert found[0].quant == Quant(4, 16)
    assert catalog.models() == ["Qwen3-1.7B", "Qwen3-4B"]
    assert catalog.candidates([]) == []


def test_recording_again_changes_nothing_but_what_is_new(writer: Writer, catalog: Catalog) -> None:
    artifact = build(sha256=ONE)
    for _ in range(3):
        writer.record_artifact(artifact)
    assert catalog.everything() == [artifact]
    assert catalog.status().evidence == 3


def test_hub_names_that_differ_in_case_are_one_repository(writer: Writer, catalog: Catalog) -> None:
    writer.record_artifact(build(repo="c01zaut/Marco-o1-RK3588-1.1.4"))
    writer.record_artifact(build(repo="c01zaut/Marco-o1-rk3588-1.1.4"))
    assert len(catalog.everything()) == 1


def test_files_that_differ_in_case_are_two(writer: Writer, catalog: Catalog) -> None:
    writer.record_artifact(build(path="A.rkllm"))
    writer.record_artifact(build(path="a.rkllm"))
    assert len(catalog.everything()) == 2


def test_other_content_under_the_same_name_is_another_artifact(
    writer: Writer, catalog: Catalog
) -> None:
    writer.record_artifact(build(sha256=ONE))
    writer.record_artifact(build(sha256=OTHER))
    old, new = sorted(catalog.everything(), key=lambda a: a.sha256 or "")
    assert (old.availability, old.note) == (
        Availability.GONE,
        "replaced upstream by other content",
    )
    assert new.availability is Availability.LISTED
    assert catalog.artifact("huggingface", "Owner/Qwen3-1.7B-RKLLM", PATH) == new


def test_a_row_of_unknown_content_takes_the_hash_that_is_learnt(
    writer: Writer, catalog: Catalog
) -> None:
    writer.record_artifact(build())
    writer.record_artifact(build(sha256=ONE, size_bytes=7))
    assert [(a.sha256, a.size_bytes) for a in catalog.everything()] == [(ONE, 7)]


def test_what_a_header_says_holds_for_every_place_of_the_same_content(
    writer: Writer, catalog: Catalog
) -> None:
    here = build(sha256=ONE, repo="a/one")
    writer.record_artifact(here)
    writer.record_evidence(here, [said("toolkit", "1.3.0", Origin.HEADER, "header")])
    writer.record_artifact(build(sha256=ONE, repo="b/copy", path="renamed.rkllm"))
    writer.record_artifact(build(sha256=OTHER, repo="c/other"))
    toolkits = {a.repo: a.toolkits for a in catalog.everything()}
    assert toolkits == {"a/one": (Version("1.3.0"),), "b/copy": (Version("1.3.0"),), "c/other": ()}


def test_a_header_outranks_what_was_said_before_and_the_rest_is_kept(
    writer: Writer, catalog: Catalog
) -> None:
    artifact = build(said("toolkit", "1.2.3", Origin.CARD, "card"), sha256=ONE)
    writer.record_artifact(artifact)
    writer.record_evidence(artifact, [said("toolkit", "1.3.0", Origin.HEADER, "header")])
    attribute = catalog.by_sha256(ONE)[0].attribute("toolkit")
    assert attribute.value == "1.3.0"
    assert [(e.value, e.origin) for e in attribute.overruled] == [("1.2.3", Origin.CARD)]


def test_lists_that_disagree_stay_in_dispute(writer: Writer, catalog: Catalog) -> None:
    writer.record_artifact(
        build(
            said("toolkit", "1.2.3", Origin.CURATED, "list A"),
            said("toolkit", "1.3.0", Origin.CURATED, "list B"),
        )
    )
    (artifact,) = catalog.everything()
    assert artifact.attribute("toolkit").disputed
    assert artifact.toolkits == (Version("1.2.3"), Version("1.3.0"))


def test_a_place_that_changed_its_mind_is_heard_again(writer: Writer, catalog: Catalog) -> None:
    writer.record_artifact(build(said("toolkit", "1.2.3", Origin.CARD, "card")))
    writer.record_artifact(build(said("toolkit", "1.3.0", Origin.CARD, "card")))
    (artifact,) = catalog.everything()
    assert [e.value for e in artifact.attribute("toolkit").evidence] == ["1.3.0"]


def test_a_name_that_is_read_better_is_read_anew(writer: Writer, catalog: Catalog) -> None:
    writer.record_artifact(build(said("toolkit", "2.5.0"), said("model", "Qwen")))
    writer.record_artifact(build(said("model", "Qwen2.5")))
    (artifact,) = catalog.everything()
    assert artifact.toolkits == ()
    assert artifact.model == "Qwen2.5"
    assert catalog.models() == ["Qwen2.5"]


def test_values_that_mean_nothing_are_not_taken_in(writer: Writer, catalog: Catalog) -> None:
    writer.record_artifact(
        build(
            said("platform", "rk2588"),
            said("toolkit", "1.2.x"),
            said("quant", "q4_k_m"),
            said("context", "many"),
            said("colour", "red"),
            said("model", "  "),
            said("params_b", "1.50"),
            said("hybrid_ratio", "0.0"),
        )
    )
    (artifact,) = catalog.everything()
    assert {name: a.value for name, a in artifact.attributes.items()} == {
        "params_b": "1.5",
        "hybrid_ratio": "0",
    }


@pytest.mark.parametrize(
    "sha256", ["/tmp/x/../pwned".ljust(64, "x"), "g" * 64, "1" * 63, "1" * 65, "", "\uff11" * 64]
)
def test_what_is_no_digest_is_no_digest(writer: Writer, catalog: Catalog, sha256: str) -> None:
    vision = Companion(role="vision", repo="a/b", path="v.rknn", sha256=sha256, size_bytes=-1)
    writer.record_artifact(build(sha256=sha256, size_bytes=-5), companions=[vision])
    writer.record_evidence(build(sha256=sha256), [said("toolkit", "1.2.3", Origin.HEADER)])
    writer.reject(build(sha256=sha256), "reason")
    (artifact,) = catalog.everything()
    assert (artifact.sha256, artifact.size_bytes) == (None, None)
    assert artifact.toolkits == (Version("1.2.3"),)
    (companion,) = catalog.companions(artifact)
    assert (companion.sha256, companion.size_bytes) == (None, None)


def test_a_digest_is_kept_in_lower_case(writer: Writer, catalog: Catalog) -> None:
    writer.record_artifact(build(sha256="A" * 64))
    assert catalog.everything()[0].sha256 == "a" * 64


def test_rows_that_a_hand_has_edited_are_passed_over(
    writer: Writer, catalog: Catalog, path: Path
) -> None:
    writer.record_artifact(build())
    writer.record_artifact(build(path="other.rkllm", sha256=ONE))
    writer.set_meta("updated:huggingface", "yesterday")
    with closing(connect(path)) as conn:
        conn.execute("UPDATE artifacts SET sha256 = ? WHERE path = ?", ("/" * 64, PATH))
        (row,) = conn.execute("SELECT id FROM artifacts WHERE path = ?", (PATH,)).fetchone()
        odd = [
            ("platform", "rk1", "header"),
            ("context", "many", "header"),
            ("context", "-1", "header"),
            ("quant", "w4a16", "hearsay"),
            ("model", "X", "hearsay"),
            ("colour", "red", "card"),
        ]
        conn.executemany(
            "INSERT INTO evidence (artifact_id, attribute, value, origin, place) "
            "VALUES (?, ?, ?, ?, 'a hand')",
            [(row, *values) for values in odd],
        )
    edited = catalog.artifact("huggingface", "Owner/Qwen3-1.7B-RKLLM", PATH)
    assert edited is not None
    assert (edited.sha256, edited.context, edited.platform) == (None, None, Platform.RK3576)
    assert set(edited.attributes) == {"model", "platform", "quant"}
    assert catalog.as_of() is None
    writer.record_evidence(edited, [said("context", "4096")])


def test_no_address_keeps_a_password(writer: Writer, catalog: Catalog) -> None:
    place = "https://user:secret@mirror.example/a/b"
    writer.record_artifact(build(said("toolkit", "1.2.3", Origin.HEADER, place)))
    (evidence,) = catalog.everything()[0].attribute("toolkit").evidence
    assert evidence.place == "https://mirror.example/a/b"


def test_a_rejected_content_stays_rejected(writer: Writer, catalog: Catalog) -> None:
    artifact = build(sha256=ONE)
    writer.record_artifact(artifact)
    writer.reject(artifact, "its header says rk3588")
    writer.record_artifact(artifact)
    (found,) = catalog.everything()
    assert (found.availability, found.note) == (Availability.REJECTED, "its header says rk3588")


def test_new_content_under_a_rejected_name_gets_its_chance(
    writer: Writer, catalog: Catalog
) -> None:
    writer.reject(build(sha256=ONE), "it is no .rkllm model")
    writer.record_artifact(build(sha256=OTHER))
    current = catalog.artifact("huggingface", "Owner/Qwen3-1.7B-RKLLM", PATH)
    assert current is not None
    assert (current.sha256, current.availability) == (OTHER, Availability.LISTED)


def test_readers_may_note_what_they_find(catalog: Catalog) -> None:
    artifact = build(sha256=ONE)
    record_evidence(catalog, artifact, [said("toolkit", "1.2.3", Origin.HEADER, "header")])
    reject(catalog, artifact, "reason")
    (found,) = catalog.everything()
    assert found.toolkits == (Version("1.2.3"),)
    assert found.availability is Availability.REJECTED


def test_companions_belong_to_their_artifact(writer: Writer, catalog: Catalog) -> None:
    artifact = build(sha256=ONE)
    vision = Companion(role="vision", repo="o/r", path="vision_RK3576.rknn", sha256=OTHER)
    writer.record_artifact(artifact, companions=[vision])
    writer.record_artifact(artifact, companions=[vision])
    assert catalog.companions(artifact) == (vision,)
    assert catalog.companions(build(path="else.rkllm")) == ()


def test_a_listing_marks_what_it_no_longer_has(writer: Writer, catalog: Catalog) -> None:
    repository = Repository(source="huggingface", repo="Owner/Qwen3-1.7B-RKLLM", sha="a" * 40)
    kept, removed = build(path="kept.rkllm"), build(path="removed.rkllm")
    unnamed = build(path="", availability=Availability.UNNAMED)
    for artifact in (kept, removed, unnamed):
        writer.record_artifact(artifact)
    writer.sync_repository(repository, [(kept, ())], seen="2026-11-24T00:00:00Z")
    states = {a.path: a.availability for a in catalog.everything()}
    assert states == {
        "kept.rkllm": Availability.LISTED,
        "removed.rkllm": Availability.GONE,
        "": Availability.GONE,
    }
    shas = {name: r.sha for name, r in catalog.repositories("huggingface").items()}
    assert shas == {"owner/qwen3-1.7b-rkllm": "a" * 40}


def _write_and_fail(writer: Writer) -> None:
    with writer.transaction():
        writer.record_artifact(build())
        raise ZeroDivisionError


def test_several_writes_are_one_transaction(writer: Writer, catalog: Catalog) -> None:
    with pytest.raises(ZeroDivisionError):
        _write_and_fail(writer)
    assert catalog.everything() == []
