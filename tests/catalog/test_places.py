"""One content in several repositories is one build, wherever it is asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from rkfetch.catalog.answer import answer
from rkfetch.catalog.database import Catalog
from rkfetch.catalog.filters import Filters
from rkfetch.catalog.places import at_its_place, contents
from rkfetch.catalog.probe import note_file
from rkfetch.catalog.search import Query, search
from rkfetch.catalog.writer import Writer
from rkfetch.registry.model import (
    Artifact,
    Availability,
    Confidence,
    Evidence,
    Origin,
    Target,
    settle,
)
from rkfetch.registry.rkllm_read import read_file
from rkfetch.registry.versions import Version
from rkllm_files import rkllm_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

ONE, TWO = "1" * 64, "2" * 64


def said(attribute: str, value: str, origin: Origin, place: str) -> Evidence:
    return Evidence(attribute=attribute, value=value, origin=origin, place=place)


def row(repo: str, *claims: tuple[str, str, Origin], **fields: Any) -> Artifact:
    """Make one place of a content; the model is told by its name."""
    named = [("model", "Own-1B", Origin.FILE_NAME), ("platform", "rk3576", Origin.FILE_NAME)]
    return Artifact(
        **{"source": "huggingface", "path": "own-1b.rkllm", "sha256": ONE, **fields},
        repo=repo,
        attributes=settle(said(*claim, repo) for claim in (*named, *claims)),
    )


@pytest.fixture
def writer() -> Iterator[Writer]:
    with Writer.open() as opened:
        yield opened


@pytest.fixture
def catalog(writer: Writer) -> Iterator[Catalog]:
    with Catalog.open() as opened:
        yield opened


def record(writer: Writer, *artifacts: Artifact) -> None:
    for artifact in artifacts:
        writer.record_artifact(artifact)


def test_a_content_is_one_build_with_all_its_places(writer: Writer, catalog: Catalog) -> None:
    record(
        writer,
        row("a/gone", availability=Availability.GONE),
        row("b/listed", gated=True),
        row("c/open", ("toolkit", "1.2.3", Origin.CARD)),
        row("d/other", sha256=TWO),
    )
    one, two = contents(catalog, catalog.candidates(["Own-1B"]))
    assert (one.repo, [p.repo for p in one.also]) == ("c/open", ["b/listed", "a/gone"])
    assert (two.repo, two.also) == ("d/other", ())


def test_what_is_said_at_any_place_is_said_of_the_content(writer: Writer, catalog: Catalog) -> None:
    record(
        writer,
        row("a/one", ("toolkit", "1.2.3", Origin.CARD)),
        row("b/two", ("toolkit", "1.3.0", Origin.CARD)),
    )
    (build,) = contents(catalog, catalog.candidates(["Own-1B"]))
    assert build.attribute("toolkit").disputed
    (alone,) = catalog.repository("huggingface", "a/one")
    assert alone.attribute("toolkit").confidence is Confidence.MEDIUM


def test_what_another_place_is_called_does_not_matter(writer: Writer, catalog: Catalog) -> None:
    named = [said("model", "Other-7B", Origin.FILE_NAME, "b/two")]
    other = Artifact(source="huggingface", repo="b/two", path="other-7b.rkllm", sha256=ONE)
    record(writer, row("a/one"), replace(other, attributes=settle(named)))
    (build,) = contents(catalog, catalog.candidates(["Own-1B"]))
    assert (build.model, build.also[0].path) == ("Own-1B", "other-7b.rkllm")


def test_a_place_that_is_gone_is_left_for_one_that_was_not_asked_for(
    writer: Writer, catalog: Catalog
) -> None:
    elsewhere = Artifact(source="huggingface", repo="x/y", path="model.rkllm", sha256=ONE)
    record(writer, row("a/gone", availability=Availability.GONE), elsewhere)
    (build,) = contents(catalog, catalog.candidates(["Own-1B"]))
    assert (build.repo, build.availability, build.model) == (
        "x/y",
        Availability.LISTED,
        "Own-1B",
    )
    (asked,) = catalog.repository("huggingface", "a/gone")
    stays = at_its_place(catalog, asked)
    assert (stays.repo, [p.repo for p in stays.also]) == ("a/gone", ["x/y"])


def test_what_is_no_model_at_one_place_is_none_at_any(writer: Writer, catalog: Catalog) -> None:
    record(writer, row("a/one"), row("b/two"))
    writer.reject(row("b/two"), "it is a web page")
    (build,) = contents(catalog, catalog.candidates(["Own-1B"]))
    assert (build.availability, build.note) == (Availability.REJECTED, "it is a web page")


def test_unknown_contents_are_not_taken_for_one(writer: Writer, catalog: Catalog) -> None:
    record(writer, row("a/one", sha256=None), row("b/two", sha256=None))
    found = contents(catalog, catalog.candidates(["Own-1B"]))
    assert [(a.repo, a.also) for a in found] == [("a/one", ()), ("b/two", ())]


def test_no_answer_counts_a_content_twice(writer: Writer, catalog: Catalog) -> None:
    record(writer, *(row(repo, ("toolkit", "1.2.3", Origin.CARD)) for repo in ("a/one", "b/two")))
    told = answer(catalog, "Own-1B", Target(runtime=Version("1.2.3")))
    assert len(told.resolution.ranked) == 1
    assert [p.repo for p in told.resolution.ranked[0].artifact.also] == ["b/two"]
    exact = answer(catalog, "hf:b/two/own-1b.rkllm", Target(runtime=Version("1.2.3")))
    assert exact.choice is not None
    assert (exact.choice.artifact.repo, exact.choice.artifact.also[0].repo) == ("b/two", "a/one")
    query = Query(text="own-1b", filters=Filters(), target=Target(runtime=Version("1.2.3")))
    found = search(catalog, query)
    assert ([hit.artifact.repo for hit in found.hits], found.matches) == (["a/one"], 1)
    assert [p.repo for p in found.hits[0].artifact.also] == ["b/two"]


def test_what_is_read_of_a_joined_build_leaves_labels_where_they_were_said(
    writer: Writer, catalog: Catalog, tmp_path: Any
) -> None:
    record(
        writer,
        row("a/one", ("toolkit", "1.2.2", Origin.CARD)),
        row("b/two", ("quant", "w8a8", Origin.REPO_NAME)),
    )
    (build,) = contents(catalog, catalog.candidates(["Own-1B"]))
    file = tmp_path / "x.rkllm"
    file.write_bytes(rkllm_bytes())
    note_file(catalog, build, ONE, read_file(file))
    one, two = (catalog.repository("huggingface", repo)[0] for repo in ("a/one", "b/two"))
    assert one.attribute("platform").origin is Origin.HEADER
    assert one.attribute("quant").evidence == ()
    assert {e.place for e in two.attribute("toolkit").evidence if not e.origin.is_reading} == set()
