"""What a download proves outlasts what a look at the header seemed to say."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from hub.server import Fault
from rkfetch.catalog.answer import answer
from rkfetch.catalog.get import elsewhere, get
from rkfetch.catalog.naming import guess
from rkfetch.catalog.observations import VERIFIED
from rkfetch.catalog.probe import probe
from rkfetch.catalog.writer import Writer
from rkfetch.registry.errors import (
    IncompatibleError,
    IntegrityError,
    RkfetchError,
    UnknownModelError,
)
from rkfetch.registry.http import Http
from rkfetch.registry.model import (
    Artifact,
    Availability,
    Evidence,
    Origin,
    Platform,
    Target,
    settle,
    with_evidence,
)
from rkfetch.registry.progress import NoProgress
from rkfetch.registry.resolve import Policy
from rkfetch.registry.store import Store
from rkfetch.registry.versions import Version
from rkllm_files import kv, rkllm_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hub.server import Hub
    from rkfetch.catalog.database import Catalog
    from rkfetch.catalog.get import Got

REPO = "HanzoHuang/Qwen2.5-1.5B-Instruct-RKLLM"
FILE = "RK3576/Qwen2.5-1.5B-Instruct_RK3576_w4a16_1.2.3.rkllm"
EXACT, NAME = f"hf:{REPO}/{FILE}", "qwen2.5-1.5b"
BUILD = Artifact(
    source="huggingface", repo=REPO, path=FILE, attributes=settle(guess(REPO, FILE).evidence)
)
TARGET = Target(platform=Platform.RK3576, runtime=Version("1.2.3"))
PLATFORM = kv("rkllm.platform", "i32", 1)


@pytest.fixture
def fetch(hub: Hub, catalog: Catalog, tmp_path: Path) -> Iterator[Callable[[str], Got]]:
    """Answer a reference and carry the answer out, as the command does."""
    policy = Policy()
    with Http() as http:

        def prober(artifact: Artifact, *, afresh: bool = False) -> Artifact:
            return probe(catalog, http, artifact, afresh=afresh).artifact

        def fetch(text: str) -> Got:
            found = answer(catalog, text, TARGET, policy=policy, prober=prober)
            store = Store(tmp_path / "store")
            progress = NoProgress()
            return get(catalog, found, policy=policy, store=store, http=http, progress=progress)

        yield fetch


def misread(hub: Hub, catalog: Catalog, content: bytes) -> None:
    """Let the catalog believe that the build is for another SoC."""
    hub.break_it(Fault(origin="cdn", flip_at=content.index(PLATFORM) + len(PLATFORM) - 4))
    with Http() as http:
        assert probe(catalog, http, BUILD).artifact.platform is Platform.RK3588
    hub.heal()


def test_a_misread_header_is_read_again_for_who_names_the_file_and_then_known_for_certain(
    hub: Hub, catalog: Catalog, fetch: Callable[[str], Got]
) -> None:
    content = rkllm_bytes()
    hub.add_repo(REPO).add_file(FILE, content)
    misread(hub, catalog, content)
    with pytest.raises(IncompatibleError):
        fetch(NAME)
    assert fetch(EXACT).action == "downloaded"
    (known,) = catalog.everything()
    assert known.attribute("platform").evidence[0].place == VERIFIED
    assert fetch(NAME).action == "present"


def test_a_file_that_is_silent_is_refused_before_its_weights_are_asked_for(
    hub: Hub, catalog: Catalog, fetch: Callable[[str], Got]
) -> None:
    content = rkllm_bytes(version_key=False, trailer=False, platform_code=None, body_bytes=900_000)
    hub.add_repo(REPO).add_file(FILE, content)
    for _ in range(2):
        with pytest.raises(IntegrityError, match="neither SoC nor toolkit is recorded"):
            fetch(EXACT)
    assert hub.data_bytes() < 100_000


def test_a_portal_in_the_way_is_forgotten(
    hub: Hub, catalog: Catalog, fetch: Callable[[str], Got]
) -> None:
    content = rkllm_bytes()
    hub.add_repo(REPO).add_file(FILE, content)
    page = b"<!DOCTYPE html><title>Log in</title>".ljust(len(content))
    hub.break_it(Fault(origin="cdn", body=page))
    with pytest.raises(IntegrityError, match="a web page"):
        fetch(EXACT)
    hub.heal()
    assert fetch(EXACT).action == "downloaded"
    assert catalog.everything()[0].availability is Availability.LISTED


def test_a_whole_file_that_is_no_model_is_never_offered_again(
    hub: Hub, catalog: Catalog, fetch: Callable[[str], Got]
) -> None:
    """A mirror had shown another header under this digest."""
    sha256 = hub.add_repo(REPO).add_file(FILE, rkllm_bytes(trailer=False)[:2000]).sha256
    believed = with_evidence(
        replace(BUILD, sha256=sha256),
        [
            Evidence(attribute=name, value=value, origin=Origin.HEADER, place="a mirror")
            for name, value in (("platform", "rk3576"), ("toolkit", "1.2.3"))
        ],
    )
    with Writer.open(catalog.path) as writer:
        writer.record_artifact(believed)
    with pytest.raises(IntegrityError, match="it is cut off"):
        fetch(NAME)
    (known,) = catalog.everything()
    assert known.availability is Availability.REJECTED
    asked = len(hub.data_requests())
    with pytest.raises(RkfetchError):
        fetch(NAME)
    assert len(hub.data_requests()) == asked


class TestElsewhere:
    """Other rows of the same SHA-256 are further places for the file."""

    COPY = "bob/copies"

    def know(self, catalog: Catalog, *artifacts: Artifact) -> None:
        with Writer.open(catalog.path) as writer:
            for artifact in artifacts:
                writer.record_artifact(artifact)

    @pytest.mark.parametrize(
        ("change", "counts"),
        [
            ({}, True),
            ({"source": "modelscope"}, True),
            ({"size_bytes": None}, True),
            ({"size_bytes": 8}, False),
            ({"gated": True}, False),
            ({"availability": Availability.GONE}, False),
            ({"availability": Availability.MANUAL}, False),
            ({"source": "github"}, False),
            ({"sha256": "b" * 64}, False),
        ],
    )
    def test_which_rows_count(self, catalog: Catalog, change: dict[str, Any], counts: bool) -> None:
        chosen = replace(BUILD, sha256="a" * 64, size_bytes=9)
        other = replace(chosen, **{"repo": self.COPY, **change})
        self.know(catalog, chosen, other)
        found = [(a.source, a.repo) for a in elsewhere(catalog, chosen)]
        assert found == ([(other.source, self.COPY)] if counts else [])

    def test_without_a_digest_there_are_none(self, catalog: Catalog) -> None:
        self.know(catalog, BUILD, replace(BUILD, repo=self.COPY))
        assert elsewhere(catalog, BUILD) == []

    def test_they_give_the_header_and_the_file(
        self, hub: Hub, catalog: Catalog, fetch: Callable[[str], Got]
    ) -> None:
        content = rkllm_bytes()
        hub.add_repo(REPO).add_file(FILE, content)
        there = hub.add_repo(self.COPY).add_file("x.rkllm", content)
        known = replace(BUILD, sha256=there.sha256, size_bytes=len(content))
        self.know(catalog, known, replace(known, repo=self.COPY, path="x.rkllm"))
        hub.break_it(Fault(path=f"{REPO}/*", status=503))
        got = fetch(EXACT)
        assert got.installed.record.endpoint == f"{hub.endpoint}/{self.COPY}"
        assert got.installed.record.repo == REPO
        assert got.candidate.artifact.repo == REPO

    def test_what_none_gives_is_refused_with_the_reason_of_the_chosen_one(
        self, hub: Hub, catalog: Catalog, fetch: Callable[[str], Got]
    ) -> None:
        known = replace(BUILD, sha256="a" * 64, size_bytes=9)
        self.know(catalog, known, replace(known, repo=self.COPY))
        hub.add_repo(REPO)
        with pytest.raises(UnknownModelError, match=REPO):
            fetch(EXACT)
