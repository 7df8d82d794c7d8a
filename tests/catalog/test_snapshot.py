"""The shipped catalog is what its data files say, no more and no less."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rkfetch.catalog.database import Catalog
from rkfetch.catalog.entries import Companion
from rkfetch.catalog.files import PUBLISHED, SNAPSHOT, SNAPSHOT_DATE, SNAPSHOT_SERIAL
from rkfetch.catalog.published.form import MANIFEST, read_manifest, unpack
from rkfetch.catalog.snapshot import build, public_place, rows
from rkfetch.registry.model import Availability, Origin
from rkfetch.registry.versions import Version

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rkfetch.registry.model import Artifact


@pytest.fixture
def catalog() -> Iterator[Catalog]:
    with Catalog.open() as catalog:
        yield catalog


def find(catalog: Catalog, repo: str, path: str, source: str = "huggingface") -> Artifact:
    artifact = catalog.artifact(source, repo, path)
    assert artifact is not None
    return artifact


def published_lines(folder: Path) -> list[bytes]:
    manifest = read_manifest((folder / MANIFEST).read_bytes())
    parts = ((part, (folder / part.path).read_bytes()) for part in manifest.parts)
    return [line for part, packed in parts for line in unpack(part, packed)]


def test_the_committed_snapshot_is_built_from_the_data(tmp_path: Path) -> None:
    """If this fails: python -m rkfetch.catalog.snapshot."""
    build(tmp_path / "fresh", tmp_path / "fresh.db")
    assert published_lines(tmp_path / "fresh") == published_lines(PUBLISHED)
    with Catalog.open(tmp_path / "fresh.db") as fresh, Catalog.open() as shipped:
        assert fresh.everything() == shipped.everything()
        assert [fresh.companions(a) for a in fresh.everything()] == [
            shipped.companions(a) for a in shipped.everything()
        ]
        for table in ("builds", "words", "models", "toolkits"):
            rows = [tuple(row) for row in fresh.rows(f"SELECT * FROM {table}")]
            assert rows == [tuple(row) for row in shipped.rows(f"SELECT * FROM {table}")]


def test_the_snapshot_is_small() -> None:
    assert SNAPSHOT.stat().st_size < 1_500_000


def test_the_snapshot_is_a_published_catalog(catalog: Catalog) -> None:
    (shipped,) = catalog.publications()
    assert (shipped.serial, shipped.name, shipped.key) == (SNAPSHOT_SERIAL, None, None)
    assert shipped.builds == len(catalog.everything())
    assert read_manifest((PUBLISHED / MANIFEST).read_bytes()).serial == SNAPSHOT_SERIAL
    assert catalog.status().publications == ()  # other people's


def test_every_row_of_the_data_is_an_artifact(catalog: Catalog) -> None:
    status = catalog.status()
    assert status.snapshot == SNAPSHOT_DATE
    assert status.artifacts == len(list(rows())) == 343
    counts = {
        source.source: {state.value: n for state, n in source.rows.items()}
        for source in status.sources
    }
    assert counts == {
        "huggingface": {"listed": 163, "unnamed": 108, "gone": 15},
        "modelscope": {"listed": 3, "unnamed": 6},
        "modelzoo": {"manual": 4},
        "github": {"manual": 1},
        "other": {"manual": 43},
    }


def test_all_evidence_names_its_place(catalog: Catalog) -> None:
    for artifact in catalog.everything():
        for attribute in artifact.attributes.values():
            assert all(e.place for e in attribute.evidence)


def test_lists_that_disagree_about_one_hash_are_shown_in_dispute(catalog: Catalog) -> None:
    artifact = find(catalog, "HanzoHuang/Qwen3-1.7B-RKLLM", "RK3576/Qwen3-1.7B_RK3576_w4a16.rkllm")
    toolkit = artifact.attribute("toolkit")
    assert artifact.curated
    assert toolkit.disputed
    file = "blob/main/models/llm/qwen3-1.7b/rk3576/w4a16.env"
    assert {(e.value, e.place) for e in toolkit.evidence if e.origin is Origin.CURATED} == {
        ("1.2.3", f"https://github.com/Seeed-Projects/reComputer-RK-LLM/{file}"),
        ("1.3.0", f"https://github.com/Hanzo-Huang/rkllm-docker/{file}"),
    }


def test_lists_that_agree_are_high_above_what_the_card_says(catalog: Catalog) -> None:
    artifact = find(
        catalog,
        "HanzoHuang/Qwen2.5-1.5B-Instruct-RKLLM",
        "RK3576/Qwen2.5-1.5B-Instruct_RK3576_w4a16.rkllm",
    )
    toolkit = artifact.attribute("toolkit")
    assert (toolkit.value, toolkit.origin) == ("1.2.3", Origin.CURATED)
    assert {e.origin for e in toolkit.evidence} == {Origin.CURATED, Origin.CARD}


def test_old_names_are_gone(catalog: Catalog) -> None:
    artifact = find(catalog, "HanzoHuang/Qwen3-4B-RKLLM", "RK3576/Qwen3-4B_w4a16_RK3576.rkllm")
    assert (artifact.availability, artifact.note) == (Availability.GONE, "renamed upstream")


def test_the_zoo_says_how_to_fetch_by_hand(catalog: Catalog) -> None:
    artifact = find(
        catalog,
        "rkllm_model_zoo/1.1.4/RK3588/Qwen2-VL-2B_Demo",
        "Qwen2-VL-2B_llm_w8a8_rk3588.rkllm",
        source="modelzoo",
    )
    assert artifact.availability is Availability.MANUAL
    assert artifact.note == (
        "it has to be fetched by hand: go to https://console.box.lenovo.com/l/l0tXb8 in a browser, "
        "give the fetch code rkllm, open rkllm_model_zoo > 1.1.4 > RK3588 > Qwen2-VL-2B_Demo, "
        "download Qwen2-VL-2B_llm_w8a8_rk3588.rkllm, then "
        "`rkfetch import Qwen2-VL-2B_llm_w8a8_rk3588.rkllm`"
    )
    assert artifact.toolkits == (Version("1.1.4"),)
    assert artifact.attribute("toolkit").origin is Origin.REPO_NAME


def test_what_a_runtime_printed_counts_as_its_log(catalog: Catalog) -> None:
    artifact = find(
        catalog,
        "radxa/DeepSeek-R1-Distill-Qwen-1.5B_RKLLM",
        "DeepSeek-R1-Distill-Qwen-1.5B_W8A8_RK3588.rkllm",
        source="modelscope",
    )
    said = {n: (a.value, a.origin) for n, a in artifact.attributes.items()}
    assert said["toolkit"] == ("1.2.2", Origin.LOG)
    assert said["context"] == ("4096", Origin.LOG)
    assert said["npu_cores"] == ("3", Origin.LOG)


def test_a_branch_or_commit_that_a_file_was_seen_at_is_kept(catalog: Catalog) -> None:
    branch = find(catalog, "macrae/Llama-3-2-3B-rk3588", "meta-llama_Llama-3.2-3B-rk3588.rkllm")
    assert branch.revision == "w8a8_g512-toolkitv1.1.1"
    usual = find(catalog, "jsntwdj/rkllm", "Qwen2.5-1.5B.rkllm")
    assert usual.revision is None


def test_the_vision_encoder_is_of_the_same_soc(catalog: Catalog) -> None:
    artifact = find(catalog, "HanzoHuang/Qwen3.5-2B-RKLLM", "RK3588/Qwen3.5-2B_RK3588_w8a8.rkllm")
    assert catalog.companions(artifact) == (
        Companion(
            role="vision",
            repo="HanzoHuang/Qwen3.5-2B-RKLLM",
            path="RK3588/Qwen3.5-2B_vision_RK3588.rknn",
            sha256="9077bfd3f4a0a3846af7fd1609175aaaba07858d00acdc31459ae9f2dc66716a",
        ),
    )


@pytest.mark.parametrize(
    ("seen_in", "place"),
    [
        ("https://huggingface.co/c01zaut", "https://huggingface.co/c01zaut"),
        ("GitHub gahingwoo/kiln", "https://github.com/gahingwoo/kiln"),
        (
            "GitHub darkautism/llmserver-rs README.md",
            "https://github.com/darkautism/llmserver-rs/blob/HEAD/README.md",
        ),
        (
            "GitHub Hanzo-Huang/rkllm-docker models/**.env",
            "https://github.com/Hanzo-Huang/rkllm-docker (models/**.env)",
        ),
        ("public source code", "public source code"),
    ],
)
def test_a_place_becomes_an_address_where_it_is_one(seen_in: str, place: str) -> None:
    assert public_place(seen_in) == place
