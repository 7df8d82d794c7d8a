"""A remote build is asked once what it is; the catalog remembers, and lets itself be corrected."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from hub.server import Fault
from rkfetch.catalog.database import Catalog
from rkfetch.catalog.files import connect
from rkfetch.catalog.observations import VERIFIED
from rkfetch.catalog.probe import facts_from_json, facts_json, note_file, probe
from rkfetch.registry.errors import AuthenticationError, IntegrityError, UnknownModelError
from rkfetch.registry.http import Http
from rkfetch.registry.model import Artifact, Availability, Origin, Platform
from rkfetch.registry.rkllm_read import read_file
from rkfetch.registry.versions import Version
from rkllm_files import kv, rkllm_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hub.server import Hub

REPO, FILE = "Owner/Qwen3-4B-RKLLM", "RK3576/Qwen3-4B_RK3576_w8a8.rkllm"
BUILD = Artifact(source="huggingface", repo=REPO, path=FILE)


@pytest.fixture
def http(hub: Hub) -> Iterator[Http]:
    with Http() as http:
        yield http


def test_a_probe_tells_what_the_file_says_and_notes_it(
    hub: Hub, http: Http, catalog: Catalog
) -> None:
    content = rkllm_bytes(toolkit="1.3.0", platform="rk3588", max_context=8192)
    file = hub.add_repo(REPO).add_file(FILE, content)
    probed = probe(catalog, http, BUILD)
    assert not probed.remembered
    assert probed.artifact.toolkits == (Version("1.3.0"),)
    assert probed.artifact.platform is Platform.RK3588
    assert (probed.artifact.sha256, probed.artifact.size_bytes) == (file.sha256, len(content))
    assert len(hub.data_requests()) == 2
    noted = catalog.artifact("huggingface", REPO, FILE)
    assert noted is not None
    assert (noted.context, noted.attribute("context").origin) == (8192, Origin.HEADER)
    place = noted.attribute("context").evidence[0].place
    assert place == f"{hub.endpoint}/{REPO}/resolve/main/{FILE}"


def test_what_was_heard_once_is_not_asked_again(hub: Hub, http: Http, catalog: Catalog) -> None:
    hub.add_repo(REPO).add_file(FILE, rkllm_bytes())
    first = probe(catalog, http, BUILD)
    hub.forget()
    again = probe(catalog, http, first.artifact)
    assert again.remembered
    assert hub.requests == []
    assert again.facts.toolkit == first.facts.toolkit
    assert again.facts.complete == first.facts.complete
    unhashed = probe(catalog, http, BUILD)
    assert unhashed.remembered
    assert hub.data_requests() == []
    assert unhashed.artifact.toolkits == first.artifact.toolkits


def test_what_is_no_model_is_passed_over(hub: Hub, http: Http, catalog: Catalog) -> None:
    hub.add_repo(REPO).add_file(FILE, b'{"error": "rate limited"}')
    probed = probe(catalog, http, BUILD)
    assert probed.artifact.availability is Availability.REJECTED
    noted = catalog.artifact("huggingface", REPO, FILE)
    assert noted is not None
    assert noted.availability is Availability.REJECTED
    assert noted.note == probed.artifact.note
    assert probe(catalog, http, noted).artifact.availability is Availability.REJECTED


def test_a_file_that_was_replaced_is_said(hub: Hub, http: Http, catalog: Catalog) -> None:
    hub.add_repo(REPO).add_file(FILE, rkllm_bytes())
    known = Artifact(source="huggingface", repo=REPO, path=FILE, sha256="0" * 64)
    with pytest.raises(IntegrityError):
        probe(catalog, http, known)
    assert catalog.everything() == []


def test_a_gated_or_missing_file_is_said(hub: Hub, http: Http, catalog: Catalog) -> None:
    hub.add_repo(REPO, gated="manual").add_file(FILE, rkllm_bytes())
    with pytest.raises(AuthenticationError):
        probe(catalog, http, BUILD)
    hub.add_repo("a/b")
    with pytest.raises(UnknownModelError):
        probe(catalog, http, Artifact(source="huggingface", repo="a/b", path="gone.rkllm"))


def test_a_catalog_that_cannot_be_written_is_no_obstacle(
    hub: Hub, http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add_repo(REPO).add_file(FILE, rkllm_bytes())
    monkeypatch.setenv("RKFETCH_HOME", "/proc/rkfetch")
    with Catalog.open() as catalog:
        assert probe(catalog, http, BUILD).artifact.toolkits


def test_facts_survive_being_written_down(hub: Hub, http: Http, catalog: Catalog) -> None:
    hub.add_repo(REPO).add_file(FILE, rkllm_bytes(file_type=1, trailer_toolkit="1.2.2"))
    facts = probe(catalog, http, BUILD).facts
    again = facts_from_json(facts_json(facts))
    assert again is not None
    for name in ("toolkit", "toolkit_origin", "platform", "quant", "complete", "problems"):
        assert getattr(again, name) == getattr(facts, name)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"platform": "rk9"}', '{"format": 3'])
def test_facts_of_another_version_are_asked_for_again(text: str) -> None:
    assert facts_from_json(text) is None


# --- what no digest covers -----------------------------------------------------------------------

PORTAL = b"<!DOCTYPE html><title>Log in to the network</title>".ljust(len(rkllm_bytes()))
PLATFORM = kv("rkllm.platform", "i32", 1)


def misread(content: bytes) -> Fault:
    """Turn the platform's code into another one on its way."""
    return Fault(origin="cdn", flip_at=content.index(PLATFORM) + len(PLATFORM) - 4)


def forget_the_day(catalog: Catalog) -> None:
    with closing(connect(catalog.path)) as conn:
        conn.execute("UPDATE doubts SET seen = '2026-01-01T00:00:00Z'")


def test_what_a_portal_answers_condemns_nothing(hub: Hub, http: Http, catalog: Catalog) -> None:
    file = hub.add_repo(REPO).add_file(FILE, rkllm_bytes())
    nameless = {"X-Linked-ETag": None, "X-Linked-Size": None}
    hub.break_it(
        Fault(origin="hub", method="HEAD", headers=nameless), Fault(origin="cdn", body=PORTAL)
    )
    known = replace(BUILD, sha256=file.sha256)
    for artifact in (BUILD, known):
        assert probe(catalog, http, artifact).artifact.availability is Availability.REJECTED
    assert catalog.everything() == []
    hub.heal()
    assert probe(catalog, http, known).artifact.availability is Availability.LISTED


def test_a_doubt_lasts_for_a_day_and_is_asked_about(hub: Hub, http: Http, catalog: Catalog) -> None:
    hub.add_repo(REPO).add_file(FILE, rkllm_bytes())
    hub.break_it(Fault(origin="cdn", body=PORTAL))
    probe(catalog, http, BUILD)
    (doubted,) = catalog.everything()
    assert doubted.availability is Availability.REJECTED
    assert doubted.note is not None
    assert doubted.note.startswith("it is no .rkllm model but a web page")
    forget_the_day(catalog)
    (listed,) = catalog.everything()
    assert (listed.availability, listed.note) == (Availability.LISTED, None)
    probe(catalog, http, listed)
    hub.heal()
    heard = probe(catalog, http, catalog.everything()[0])
    assert not heard.remembered
    (sound,) = catalog.everything()
    assert (sound.availability, sound.toolkits) == (Availability.LISTED, (Version("1.2.3"),))


def test_the_newest_reading_stands_alone(hub: Hub, http: Http, catalog: Catalog) -> None:
    content = rkllm_bytes()
    hub.add_repo(REPO).add_file(FILE, content)
    hub.break_it(misread(content))
    assert probe(catalog, http, BUILD).artifact.platform is Platform.RK3588
    hub.heal()
    (wrong,) = catalog.everything()
    assert probe(catalog, http, wrong).remembered
    right = probe(catalog, http, wrong, afresh=True)
    assert right.artifact.platform is Platform.RK3576
    (noted,) = catalog.everything()
    assert [e.value for e in noted.attribute("platform").evidence if e.origin is Origin.HEADER] == [
        "rk3576"
    ]


def test_a_verified_file_has_the_last_word(
    hub: Hub, http: Http, catalog: Catalog, tmp_path: Path
) -> None:
    content = rkllm_bytes()
    file = hub.add_repo(REPO).add_file(FILE, content)
    hub.break_it(misread(content))
    probe(catalog, http, BUILD)
    here = tmp_path / "here.rkllm"
    here.write_bytes(content)
    note_file(catalog, BUILD, file.sha256, read_file(here))
    for _ in range(2):
        (noted,) = catalog.everything()
        assert noted.platform is Platform.RK3576
        assert {e.place for e in noted.attribute("platform").evidence[:1]} == {VERIFIED}
        remembered = probe(catalog, http, noted)
        assert (remembered.remembered, remembered.facts.platform) == (True, Platform.RK3576)
        probe(catalog, http, noted, afresh=True)


def test_a_verified_file_that_is_no_model_is_rejected_for_ever(
    hub: Hub, http: Http, catalog: Catalog, tmp_path: Path
) -> None:
    here = tmp_path / "here.rkllm"
    here.write_bytes(rkllm_bytes()[:2000])
    sha256 = hub.add_repo(REPO).add_file(FILE, here.read_bytes()).sha256
    note_file(catalog, BUILD, sha256, read_file(here))
    forget_the_day(catalog)
    (noted,) = catalog.everything()
    assert noted.availability is Availability.REJECTED
    assert (noted.note or "").startswith("it is cut off")
    assert Origin.HEADER not in {a.origin for a in noted.attributes.values()}
