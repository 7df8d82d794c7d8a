"""What people saw of files on boards, passed on in a published catalog."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from packaging.version import Version

from rkfetch.catalog.additions import Addition
from rkfetch.catalog.database import Catalog
from rkfetch.catalog.published.rows import addition_line, gone_line, read_row
from rkfetch.catalog.published.subscribe import forget
from rkfetch.catalog.writer import Writer
from rkfetch.registry.model import Origin, Platform
from rkfetch.registry.sightings import Outcome

from .conftest import REPO, build, digest

if TYPE_CHECKING:
    from .conftest import Publisher, Subscriber

SEEN = Addition(
    source="huggingface",
    repo=REPO,
    path="m1.rkllm",
    sha256=digest(1),
    seen="2026-11-24",
    origin=Origin.LOG,
    outcome=Outcome.WORKS,
    platform=Platform.RK3576,
    runtime=Version("1.2.3"),
    note="answers well",
    said=(("context", "4096"),),
)


def add(publisher: Publisher, addition: Addition) -> None:
    with Writer.open(publisher.db) as writer:
        writer.add(addition, own=True)


def test_what_one_saw_is_what_others_saw(publisher: Publisher, subscriber: Subscriber) -> None:
    add(publisher, SEEN)
    publisher.publish()
    subscriber.take(publisher.folder, publisher.key)
    with Catalog.open(subscriber.path) as catalog:
        assert [(k.addition, k.own) for k in catalog.additions()] == [(SEEN, False)]
        (known,) = catalog.by_sha256(digest(1))
    assert [(s.outcome, s.own) for s in known.sightings] == [(Outcome.WORKS, False)]
    # Once, and not as the publisher's own evidence as well.
    assert [(e.place, e.publisher) for e in known.attribute("context").evidence] == [
        (SEEN.place, None)
    ]


def test_what_is_taken_back_is_taken_back_everywhere(
    publisher: Publisher, subscriber: Subscriber
) -> None:
    add(publisher, SEEN)
    publisher.publish()
    subscriber.take(publisher.folder, publisher.key)
    with Writer.open(publisher.db) as writer:
        writer.remove_addition(SEEN)
    publisher.publish()
    assert subscriber.take(publisher.folder).how == "changes"
    with Catalog.open(subscriber.path) as catalog:
        assert catalog.additions() == []
        (known,) = catalog.by_sha256(digest(1))
    assert (known.sightings, known.value("context")) == ((), None)


def test_one_s_own_outlives_whoever_said_it_too(
    publisher: Publisher, subscriber: Subscriber
) -> None:
    other = replace(SEEN, note="and fast")
    add(publisher, SEEN)
    add(publisher, other)
    publisher.publish()
    subscriber.take(publisher.folder, publisher.key)
    with Writer.open(subscriber.path) as writer:
        writer.add(SEEN, own=True)
    assert forget(str(publisher.folder), path=subscriber.path)
    with Catalog.open(subscriber.path) as catalog:
        assert [(k.addition, k.own) for k in catalog.additions()] == [(SEEN, True)]


def test_of_a_repository_that_is_not_published_nothing_is_told(
    publisher: Publisher, subscriber: Subscriber
) -> None:
    add(publisher, replace(SEEN, repo="Ann/secret", sha256=digest(77)))
    private = replace(SEEN, source="import", repo="", path="our-own.rkllm", sha256=digest(78))
    add(publisher, private)
    by_content = replace(SEEN, source="import", repo="", path="x.rkllm", sha256=digest(2))
    add(publisher, by_content)
    publisher.publish()
    subscriber.take(publisher.folder, publisher.key)
    with Catalog.open(subscriber.path) as catalog:
        assert [k.addition for k in catalog.additions()] == [by_content]


def test_an_addition_of_a_newer_program_is_passed_over() -> None:
    key, line = addition_line(SEEN)
    what = json.loads(line)
    what["schema_version"] = 99
    row = read_row(json.dumps(what).encode())
    assert row.addition is None
    assert row.key != key
    assert read_row(gone_line(line)).key == key
    assert read_row(gone_line(line)).is_gone


def test_a_build_and_what_was_seen_of_it_are_published_together(publisher: Publisher) -> None:
    add(publisher, SEEN)
    publisher.add(build(1))
    first = publisher.publish()
    assert first.left_out == ()
    assert publisher.publish().is_new is False
