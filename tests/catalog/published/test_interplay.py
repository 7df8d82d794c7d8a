"""Published catalogs beside updates, other publications, doubts, and the search index."""

from __future__ import annotations

import gzip
import json
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from rkfetch.catalog.database import Catalog
from rkfetch.catalog.entries import Repository
from rkfetch.catalog.files import PUBLISHED, create
from rkfetch.catalog.filters import Filters
from rkfetch.catalog.published.rows import artifact_line, read_row
from rkfetch.catalog.published.shipped import take_shipped
from rkfetch.catalog.published.subscribe import forget
from rkfetch.catalog.published.taking import Taking, remember
from rkfetch.catalog.search import Query, search
from rkfetch.catalog.writer import Writer
from rkfetch.registry.model import Availability, Evidence, Origin, Platform, Target

from .conftest import REPO, Publisher, build, digest, listed

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Subscriber


def found(path: Path, text: str = "qwen3", **filters: object) -> list[str]:
    query = Query(text=text, filters=Filters(**filters), target=Target())  # type: ignore[arg-type]
    with Catalog.open(path) as catalog:
        return sorted(hit.artifact.name for hit in search(catalog, query).hits)


def test_a_doubt_of_today_is_published_as_nothing(
    publisher: Publisher, subscriber: Subscriber
) -> None:
    with Writer.open(publisher.db) as writer:
        writer.doubt(digest(1), "its beginning is no header")
    publisher.publish()
    subscriber.take(publisher.folder, publisher.key)
    states = {a.path: a.availability for a in subscriber.artifacts}
    assert states["m1.rkllm"] is Availability.LISTED


def test_what_nobody_vouches_for_any_more_is_looked_for_by_the_next_update(
    publisher: Publisher, subscriber: Subscriber
) -> None:
    publisher.publish()
    subscriber.take(publisher.folder, publisher.key)
    with Writer.open(subscriber.path) as writer:
        # An update found it unchanged, and read nothing of it.
        writer.record_repository(listed(), seen="2026-11-25T20:00:00Z")
    forget(str(publisher.folder), path=subscriber.path)
    with Catalog.open(subscriber.path) as catalog:
        known = catalog.listed("huggingface", REPO)
    assert known is not None
    assert known.sha is None


def test_an_older_catalog_does_not_undo_what_a_newer_one_says(
    tmp_path: Path, subscriber: Subscriber
) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    old, new = Publisher(tmp_path / "old"), Publisher(tmp_path / "new")
    old.add(build(1), seen="2026-10-01T00:00:00Z")
    new.add(replace(build(1), sha256=digest(99)), seen="2026-11-24T00:00:00Z")
    for publisher in (new, old):
        publisher.publish()
        subscriber.take(publisher.folder, publisher.key)
    by_content = {a.sha256: a.availability for a in subscriber.artifacts}
    assert by_content[digest(99)] is Availability.LISTED
    assert by_content.get(digest(1)) in {None, Availability.GONE}


def test_two_catalogs_may_say_the_same_row(tmp_path: Path, subscriber: Subscriber) -> None:
    publishers = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        publisher = Publisher(tmp_path / name)
        publisher.add(build(1))
        publisher.publish()
        subscriber.take(publisher.folder, publisher.key)
        publishers.append(publisher)
    forget(str(publishers[0].folder), path=subscriber.path)
    with Catalog.open(subscriber.path) as catalog:
        assert catalog.listed("huggingface", REPO) is not None
    assert [a.availability for a in subscriber.artifacts] == [Availability.LISTED]


def test_no_catalog_speaks_of_folders_of_this_machine(subscriber: Subscriber) -> None:
    line = artifact_line(build(1, source="folder", repo="/etc"), ())[1]
    assert read_row(line).artifact is not None
    with Writer.open(subscriber.path) as writer, writer.transaction():
        from rkfetch.catalog.published.form import Manifest

        manifest = Manifest(
            name="x", serial=1, date="2026-11-25T00:00:00Z", expires=None, rows=1, sources={},
            parts=(),
        )  # fmt: skip
        number = remember(writer, "x", manifest, digest="", name="x", key=None)
        Taking(writer, number, manifest).take_whole([line])
    assert subscriber.artifacts == []


def test_the_shipped_addition_brings_what_its_log_says(tmp_path: Path) -> None:
    (part,) = (PUBLISHED / "parts").glob("*.gz")
    rows = [json.loads(line) for line in gzip.decompress(part.read_bytes()).splitlines()]
    (addition,) = [row for row in rows if row["kind"] == "addition"]
    with closing(create(tmp_path / "c.db")) as conn:
        take_shipped(conn)
    with Catalog.open(tmp_path / "c.db") as catalog:
        known = catalog.artifact(addition["source"], addition["repo"], addition["path"])
    assert known is not None
    for attribute, value in addition["said"].items():
        assert value in {e.value for e in known.attribute(attribute).evidence}


def test_what_an_older_program_shipped_is_replaced_as_its_word(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    with closing(create(path)) as conn:
        take_shipped(conn)
        # As one had it before published catalogs: all of it its own word, some of it wrong.
        for table in ("evidence", "repositories", "additions"):
            conn.execute(f"UPDATE {table} SET publication = NULL")
        conn.execute("DELETE FROM published")
        conn.execute("DELETE FROM publications")
        conn.execute("UPDATE artifacts SET last_seen = '2026-01-01'")
        conn.execute("UPDATE meta SET value = '2026-01-01' WHERE key = 'snapshot'")
        conn.execute("UPDATE evidence SET place = 'an old place' WHERE place NOT LIKE 'addition %'")
        conn.commit()
        take_shipped(conn)
        left = conn.execute("SELECT count(*) FROM evidence WHERE place = 'an old place'")
        assert left.fetchone()[0] == 0
        own = conn.execute("SELECT count(*) FROM evidence WHERE publication IS NULL")
        additions = conn.execute("SELECT count(*) FROM evidence WHERE place LIKE 'addition %'")
        assert own.fetchone()[0] == additions.fetchone()[0]


def test_who_reads_an_old_version_changes_nothing_about_the_current_one(path: Path) -> None:
    old, current = replace(build(1), attributes={}), replace(build(2, path="m1.rkllm"))
    with Writer.open(path) as writer:
        writer.record_artifact(old)
        writer.record_artifact(current)
        writer.record_reading(replace(build(1), curated=True), seen="2026-11-26T00:00:00Z")
    with Catalog.open(path) as catalog:
        states = {a.sha256: (a.availability, a.curated) for a in catalog.everything()}
        (read,) = catalog.by_sha256(digest(1))
    assert states == {
        digest(1): (Availability.GONE, False),
        digest(2): (Availability.LISTED, False),
    }
    assert read.value("toolkit") == "1.2.3"


def test_a_header_that_was_read_at_one_place_is_found_at_the_other(path: Path) -> None:
    with Writer.open(path) as writer:
        copy = replace(build(1, repo="B/Qwen3-copy"), attributes={})
        writer.record_artifact(copy)
        writer.record_artifact(build(1, repo="A/Qwen3"))  # its header says rk3576
    assert found(path, platform=Platform.RK3588) == []
    assert len(found(path, platform=Platform.RK3576)) == 1


def test_what_a_card_says_of_the_same_content_counts_in_filters(path: Path) -> None:
    card = Evidence(attribute="platform", value="rk3588", origin=Origin.CARD, place="a card")
    with Writer.open(path) as writer:
        copy = replace(build(1, repo="B/Qwen3-copy"), attributes={})
        told = replace(build(1, repo="A/Qwen3"), attributes={})
        writer.record_artifact(copy)
        writer.record_evidence(told, [card])
    assert found(path, platform=Platform.RK3576) == []


def test_what_is_hidden_makes_room_for_the_next(path: Path) -> None:
    with Writer.open(path) as writer:
        for number in (1, 2):
            writer.record_artifact(build(number, repo=f"A/Qwen3-{number}"))
        writer.doubt(digest(1), "its beginning is no header")
    query = Query(text="qwen3", filters=Filters(), target=Target())
    with Catalog.open(path) as catalog:
        one = search(catalog, query, limit=1)
        every = search(catalog, query, limit=None)
    assert [hit.artifact.repo for hit in one.hits] == ["A/Qwen3-2"]
    assert (len(every.hits), every.matches) == (1, 1)


def test_what_a_listing_has_no_more_belongs_to_no_build(path: Path) -> None:
    from rkfetch.catalog.entries import Companion

    repository = Repository(source="huggingface", repo=REPO, sha="a" * 40)
    with Writer.open(path) as writer:
        for name in ("old.rknn", "new.rknn"):
            companion = Companion(role="vision", repo=REPO, path=name)
            writer.sync_repository(
                repository, [(build(1), [companion])], seen="2026-11-25T00:00:00Z"
            )
    with Catalog.open(path) as catalog:
        (known,) = catalog.everything()
        assert [c.path for c in catalog.companions(known)] == ["new.rknn"]
