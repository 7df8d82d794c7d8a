"""Labels that files contradict: found, told apart from what is only imprecise, and grouped."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from rkfetch.catalog.conflicts import conflicts
from rkfetch.catalog.database import Catalog
from rkfetch.registry.model import Artifact, Availability, Evidence, Origin, settle

if TYPE_CHECKING:
    from rkfetch.catalog.writer import Writer

ONE = "1" * 64
LIST = "https://github.com/carol/list/blob/main/x.env"
Said = tuple[str, str, Origin]


def row(repo: str, *claims: Said, sha256: str | None = ONE, path: str = "x.rkllm") -> Artifact:
    return Artifact(
        source="huggingface",
        repo=repo,
        path=path,
        sha256=sha256,
        attributes=settle(
            Evidence(attribute=a, value=v, origin=o, place=LIST if o is Origin.CURATED else repo)
            for a, v, o in claims
        ),
    )


HEADER: list[Said] = [
    ("toolkit", "1.3.0", Origin.HEADER),
    ("platform", "rk3588", Origin.HEADER),
    ("quant", "w4a16_g128", Origin.HEADER),
]


def test_a_label_against_the_header_is_told_to_its_uploader(
    writer: Writer, catalog: Catalog
) -> None:
    label = ("platform", "rk3576", Origin.FILE_NAME)
    writer.record_artifact(row("alice/m", *HEADER, label, ("toolkit", "1.3.0", Origin.CARD)))
    (found,) = conflicts(catalog)
    assert (found.host, found.repo, found.uploader) == ("huggingface", "alice/m", "alice")
    (conflict,) = found.conflicts
    assert (conflict.attribute, conflict.header, conflict.path) == ("platform", "rk3588", "x.rkllm")
    assert [(e.value, e.origin) for e in conflict.labels] == [("rk3576", Origin.FILE_NAME)]


def test_a_maintained_list_is_told_of_its_own_error(writer: Writer, catalog: Catalog) -> None:
    writer.record_artifact(
        row(
            "alice/m",
            *HEADER,
            ("toolkit", "1.2.3", Origin.CURATED),
            ("toolkit", "1.3.0", Origin.CARD),
        )
    )
    (found,) = conflicts(catalog)
    assert (found.host, found.repo) == ("github", "carol/list")
    assert (found.conflicts[0].repo, found.conflicts[0].header) == ("alice/m", "1.3.0")


@pytest.mark.parametrize(
    ("label", "is_wrong"),
    [("w4a16", False), ("w4a16_g128", False), ("w4a16_g32", True), ("w8a8", True)],
)
def test_a_label_that_says_less_is_not_wrong(
    writer: Writer, catalog: Catalog, label: str, is_wrong: bool
) -> None:
    writer.record_artifact(row("alice/m", *HEADER, ("quant", label, Origin.CARD)))
    assert bool(conflicts(catalog)) is is_wrong


def test_each_place_is_told_of_its_own_label_only(writer: Writer, catalog: Catalog) -> None:
    writer.record_artifact(row("alice/m", *HEADER, ("toolkit", "1.2.3", Origin.CARD)))
    writer.record_artifact(row("bob/m", ("toolkit", "1.3.0", Origin.CARD)))
    writer.record_artifact(row("carl/m", ("toolkit", "1.1.4", Origin.REPO_NAME)))
    assert [
        (r.repo, [e.value for c in r.conflicts for e in c.labels]) for r in conflicts(catalog)
    ] == [
        ("alice/m", ["1.2.3"]),
        ("carl/m", ["1.1.4"]),
    ]


def test_labels_of_one_content_that_disagree_are_told_without_a_header(
    writer: Writer, catalog: Catalog
) -> None:
    writer.record_artifact(row("alice/m", ("toolkit", "1.2.3", Origin.CARD)))
    writer.record_artifact(row("bob/m", ("toolkit", "1.3.0", Origin.CARD)))
    (found,) = conflicts(catalog)
    assert found.conflicts[0].header is None
    assert {(e.value, e.place) for e in found.conflicts[0].labels} == {
        ("1.2.3", "alice/m"),
        ("1.3.0", "bob/m"),
    }


def test_what_is_gone_or_was_never_read_is_no_conflict(writer: Writer, catalog: Catalog) -> None:
    wrong = row("alice/m", *HEADER, ("toolkit", "1.2.3", Origin.CARD))
    writer.record_artifact(replace(wrong, availability=Availability.GONE))
    writer.record_artifact(
        row(
            "bob/m",
            ("toolkit", "1.2.3", Origin.CARD),
            ("toolkit", "1.3.0", Origin.REPO_NAME),
            sha256=None,
        )
    )
    assert conflicts(catalog) == []


def test_only_those_of_a_repository_or_an_uploader(writer: Writer, catalog: Catalog) -> None:
    for number, repo in enumerate(("alice/m", "alice/n", "bob/m")):
        label = ("toolkit", "1.2.3", Origin.CARD)
        writer.record_artifact(row(repo, *HEADER, label, sha256=str(number) * 64))
    assert [r.repo for r in conflicts(catalog, repo="Alice/N")] == ["alice/n"]
    assert [r.repo for r in conflicts(catalog, uploader="ALICE")] == ["alice/m", "alice/n"]


def test_the_shipped_catalog_knows_of_lists_that_disagree() -> None:
    with Catalog.open() as catalog:
        (found,) = conflicts(catalog)
    assert found.repo == "HanzoHuang/Qwen3-1.7B-RKLLM"
    assert {c.header for c in found.conflicts} == {None}
    assert {e.origin for c in found.conflicts for e in c.labels} == {Origin.CURATED}
