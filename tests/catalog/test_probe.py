"""A remote build is asked once what it is; the catalog remembers the answer for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hub.server import Hub
from rkfetch.catalog.database import Catalog
from rkfetch.catalog.files import create
from rkfetch.catalog.probe import facts_from_json, facts_json, probe
from rkfetch.registry.errors import AuthenticationError, IntegrityError, UnknownModelError
from rkfetch.registry.http import Http
from rkfetch.registry.model import Artifact, Availability, Origin, Platform
from rkfetch.registry.versions import Version
from rkllm_files import rkllm_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REPO, FILE = "Owner/Qwen3-4B-RKLLM", "RK3576/Qwen3-4B_RK3576_w8a8.rkllm"
BUILD = Artifact(source="huggingface", repo=REPO, path=FILE)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        yield hub


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    create(tmp_path / "catalog.db").close()
    with Catalog.open(tmp_path / "catalog.db") as catalog:
        yield catalog


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


def test_what_is_no_model_is_rejected(hub: Hub, http: Http, catalog: Catalog) -> None:
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
