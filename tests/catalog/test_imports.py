"""What is known about a file that a user brings."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from rkfetch.catalog.database import Catalog
from rkfetch.catalog.imports import provenance
from rkfetch.catalog.writer import Writer
from rkfetch.registry.errors import IntegrityError
from rkfetch.registry.model import Artifact, Availability, Evidence, Origin, settle
from rkfetch.registry.rkllm_read import read_file
from rkllm_files import rkllm_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTENT = rkllm_bytes()
SHA256 = hashlib.sha256(CONTENT).hexdigest()
REPO = "alice/Qwen2.5-1.5B-RKLLM"


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog.open(tmp_path / "catalog.db") as opened:
        yield opened


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine" / "model.rkllm"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    return path


def said(**values: str) -> list[Evidence]:
    return [
        Evidence(attribute=name, value=value, origin=Origin.CURATED, place="https://list.example")
        for name, value in values.items()
    ]


def upload(catalog: Catalog, *, path: str = "x.rkllm", evidence: Any = (), **more: Any) -> None:
    artifact = Artifact(
        **{
            "source": "huggingface",
            "repo": REPO,
            "path": path,
            "revision": "a" * 40,
            "sha256": SHA256,
            "attributes": settle(evidence),
            **more,
        }
    )
    with Writer.open(catalog.path) as writer:
        writer.record_artifact(artifact)


def test_the_digest_tells_which_upload_it_is(catalog: Catalog, file: Path) -> None:
    upload(catalog, evidence=said(model="Qwen2.5-1.5B-Instruct", quant="w4a16_g128"))
    known = provenance(catalog, file, SHA256, read_file(file))
    record = known.record
    assert (record.source, record.repo, record.path) == ("huggingface", REPO, "x.rkllm")
    assert record.revision == "a" * 40
    assert record.model == "Qwen/Qwen2.5-1.5B-Instruct"
    assert record.size_bytes == len(CONTENT)
    assert record.attributes["quant"] == {"value": "w4a16_g128", "origin": "curated"}
    assert record.attributes["platform"] == {"value": "rk3576", "origin": "header"}
    assert known.contradictions == ()


def test_the_header_wins_over_the_catalog_which_learns_it(catalog: Catalog, file: Path) -> None:
    upload(catalog, evidence=said(platform="rk3588", toolkit="1.2.1"))
    known = provenance(catalog, file, SHA256, read_file(file))
    assert known.contradictions == (
        "the catalog says toolkit 1.2.1, its header says 1.2.3: the header is believed",
        "the catalog says platform rk3588, its header says rk3576: the header is believed",
    )
    assert known.record.attributes["platform"] == {"value": "rk3576", "origin": "header"}
    (now,) = catalog.by_sha256(SHA256)
    assert (now.value("platform"), now.value("toolkit")) == ("rk3576", "1.2.3")
    again = provenance(catalog, file, SHA256, read_file(file))
    assert again.contradictions == ()


def test_a_place_that_can_be_downloaded_is_named_first(catalog: Catalog, file: Path) -> None:
    upload(catalog, path="gone.rkllm", availability=Availability.GONE, curated=True)
    upload(catalog, path="here.rkllm")
    record = provenance(catalog, file, SHA256, read_file(file)).record
    assert record.path == "here.rkllm"


def test_what_nobody_knows_is_told_by_its_own_name_and_folder(
    catalog: Catalog, tmp_path: Path
) -> None:
    path = tmp_path / "Qwen3-0.6B" / "w8a8.rkllm"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    record = provenance(catalog, path, SHA256, read_file(path)).record
    assert (record.source, record.repo, record.path) == ("import", "", str(path))
    assert record.model == "Qwen/Qwen3-0.6B"
    assert record.attributes["quant"]["origin"] == "file-name"
    assert catalog.by_sha256(SHA256) == []


def test_a_file_without_a_suffix_gets_one(catalog: Catalog, tmp_path: Path) -> None:
    blob = tmp_path / SHA256
    blob.write_bytes(CONTENT)
    record = provenance(catalog, blob, SHA256, read_file(blob)).record
    assert record.path == f"{blob}.rkllm"


def test_a_file_that_may_be_cut_off_needs_the_catalogs_word_or_the_users(
    catalog: Catalog, file: Path
) -> None:
    file.write_bytes(rkllm_bytes(trailer=False))
    facts = read_file(file)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    with pytest.raises(IntegrityError, match="whether it is whole cannot be told") as caught:
        provenance(catalog, file, sha256, facts)
    assert any("no trailer" in cause for cause in caught.value.cause)
    assert provenance(catalog, file, sha256, facts, allow_unverified=True).record.sha256 == sha256
    upload(catalog, sha256=sha256)
    assert provenance(catalog, file, sha256, facts).record.repo == REPO


def test_a_vision_encoder_is_no_model(catalog: Catalog, tmp_path: Path) -> None:
    path = tmp_path / "Qwen2-VL-2B_vision.rknn"
    path.write_bytes(b"RKNN" + bytes(5000))
    record = provenance(catalog, path, "b" * 64, read_file(path)).record
    assert (record.model, record.attributes, record.size_bytes) == (None, {}, 5004)
