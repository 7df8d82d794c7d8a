"""Files that only a person can fetch: how to, and that they are known again when they are here.

Real files of toolkit 1.0.1 stand for what a browser brings.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rkfetch.catalog.database import Catalog
from rkfetch.catalog.imports import provenance
from rkfetch.catalog.observations import VERIFIED
from rkfetch.catalog.writer import Writer
from rkfetch.registry.model import Artifact, Availability, Evidence, Origin, settle
from rkfetch.registry.rkllm_read import read_file
from rkllm_files import rkllm_bytes

if TYPE_CHECKING:
    from conftest import Rkfetch
    from rkfetch.catalog.imports import Provenance

SAMPLES = Path(__file__).parents[1] / "data" / "samples"
W4 = SAMPLES / "rkllm-1.0.1_qwen2_w4a16_rk3576.rkllm"
W8_3576 = SAMPLES / "rkllm-1.0.1_qwen2_w8a8_rk3576.rkllm"
W8_3588 = SAMPLES / "rkllm-1.0.1_qwen2_w8a8_rk3588.rkllm"
"""The same but for one byte, and so of the same size."""
FOLDER = "rkllm_model_zoo/1.0.1/RK3576/Qwen_Demo"
NAME = "Qwen1.5-0.5B-Chat_w4a16_rk3576.rkllm"


def known(path: str = NAME, *, repo: str = FOLDER, size: int | None = None, **said: str) -> None:
    """Put a file that nobody has hashed into the zoo."""
    facts = {"platform": "rk3576", "quant": "w4a16", "model": "Qwen1.5-0.5B-Chat", **said}
    evidence = [
        Evidence(attribute=a, value=v, origin=Origin.FILE_NAME, place=path)
        for a, v in facts.items()
        if v
    ]
    artifact = Artifact(
        source="modelzoo",
        repo=repo,
        path=path,
        size_bytes=size,
        availability=Availability.MANUAL,
        note="it has to be fetched by hand",
        attributes=settle(evidence),
    )
    with Writer.open() as writer:
        writer.record_artifact(artifact)


def brought(tmp_path: Path, sample: Path = W4, name: str = NAME) -> Path:
    path = tmp_path / "Downloads" / name
    path.parent.mkdir(exist_ok=True)
    shutil.copyfile(sample, path)
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def looked_at(path: Path, **options: Any) -> Provenance:
    with Catalog.open() as catalog:
        return provenance(
            catalog, path, sha256(path), read_file(path), allow_unverified=True, **options
        )


def in_catalog(path: str = NAME, repo: str = FOLDER) -> Artifact:
    with Catalog.open() as catalog:
        found = catalog.artifact("modelzoo", repo, path)
    assert found is not None
    return found


def test_the_exact_size_tells_which_file_it_is_whatever_its_name(tmp_path: Path) -> None:
    known(size=W4.stat().st_size)
    path = brought(tmp_path, name="download")
    found = looked_at(path)
    assert found.recognised_by == "size"
    assert (found.record.source, found.record.repo, found.record.path) == ("modelzoo", FOLDER, NAME)
    row = in_catalog()
    assert (row.sha256, row.availability) == (sha256(path), Availability.MANUAL)
    assert str(row.toolkits[0]) == "1.0.1"
    (header,) = (e for e in row.attribute("platform").evidence if e.origin is Origin.HEADER)
    assert header.place == VERIFIED


@pytest.mark.parametrize("name", [NAME, NAME.upper(), NAME.replace(".rkllm", " (1).rkllm")])
def test_its_name_does_where_the_header_does_not_object(tmp_path: Path, name: str) -> None:
    known()
    path = brought(tmp_path, name=name)
    assert looked_at(path).recognised_by == "name"
    assert in_catalog().sha256 == sha256(path)
    # From now on the digest tells.
    assert looked_at(path).recognised_by == "sha256"


def test_a_header_that_agrees_in_all_does_under_another_name(tmp_path: Path) -> None:
    known(toolkit="1.0.1")
    path = brought(tmp_path, name="Qwen1.5-0.5B-Chat.rkllm")
    assert looked_at(path).recognised_by == "header"
    assert in_catalog().sha256 == sha256(path)


@pytest.mark.parametrize("said", [{"platform": "rk3588"}, {"quant": "w8a8"}, {"toolkit": "1.1.4"}])
def test_a_header_that_objects_rules_a_file_out(tmp_path: Path, said: dict[str, str]) -> None:
    known(size=W4.stat().st_size, **said)
    shown = looked_at(brought(tmp_path))
    assert shown.recognised_by is None
    assert shown.record.source == "import"
    assert in_catalog().sha256 is None


def test_of_two_files_of_one_size_the_header_tells_which(tmp_path: Path) -> None:
    size = W8_3576.stat().st_size
    assert size == W8_3588.stat().st_size
    known("a.rkllm", size=size, quant="w8a8", platform="rk3588")
    known("b.rkllm", size=size, quant="w8a8", platform="rk3576")
    found = looked_at(brought(tmp_path, W8_3576, "c.rkllm"))
    assert (found.recognised_by, found.record.path) == ("size", "b.rkllm")
    assert in_catalog("a.rkllm").sha256 is None


def test_a_file_that_fits_two_rows_is_none_of_them(tmp_path: Path) -> None:
    known(repo=f"{FOLDER}/a")
    known(repo=f"{FOLDER}/b")
    assert looked_at(brought(tmp_path)).recognised_by is None
    assert in_catalog(repo=f"{FOLDER}/a").sha256 is None


def test_another_size_is_another_file(tmp_path: Path) -> None:
    known(size=W4.stat().st_size + 1)
    assert looked_at(brought(tmp_path)).recognised_by is None


def test_a_file_called_like_a_known_one_with_another_digest_is_warned_of(tmp_path: Path) -> None:
    known()
    looked_at(brought(tmp_path))
    damaged = brought(tmp_path)
    content = bytearray(W4.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    found = looked_at(damaged)
    assert found.recognised_by is None
    (note,) = found.contradictions
    assert note == (
        f"it is called like {FOLDER}/{NAME} of modelzoo, which has another SHA-256 ({sha256(W4)}): "
        "it is another version of that, or damaged"
    )


def test_the_size_vouches_for_a_file_whose_end_does_not(tmp_path: Path) -> None:
    content = rkllm_bytes(trailer=False)
    path = tmp_path / NAME
    path.write_bytes(content)
    known(size=len(content))
    with Catalog.open() as catalog:
        found = provenance(catalog, path, sha256(path), read_file(path))
    assert found.recognised_by == "size"


def test_a_vision_encoder_is_not_taken_for_a_model(tmp_path: Path) -> None:
    path = tmp_path / "vision.rknn"
    path.write_bytes(b"RKNN" + bytes(5000))
    known(size=5004)
    assert looked_at(path).recognised_by is None


def test_fetch_says_how_to_get_it_by_hand_and_has_it_after_the_import(
    rkfetch: Rkfetch, tmp_path: Path
) -> None:
    name = "Qwen3.5-0.8B_w4a16_g128_rk3576.rkllm"
    question = ("qwen3.5-0.8b", "--platform", "rk3576", "--runtime", "1.3.1", "--offline")
    code, out, err = rkfetch("fetch", *question)
    assert (code, out) == (3, "")
    words = " ".join(err.split())
    assert "go to https://console.box.lenovo.com/l/l0tXb8 in a browser" in words
    assert f"give the fetch code rkllm, look for it in rkllm_model_zoo, download {name}" in words
    assert f"then `rkfetch import {name}`" in words
    _, out, _ = rkfetch("explain", *question)
    assert f"then `rkfetch import {name}`" in " ".join(out.split())

    # The true file has a digest that is known; this one stands for one whose digest is not.
    content = rkllm_bytes(toolkit="1.3.1", platform="rk3576", max_context=4096)
    with Writer.open() as writer, writer.transaction():
        writer._conn.execute(
            "UPDATE artifacts SET sha256 = NULL, size_bytes = ? WHERE path = ?",
            (len(content), name),
        )
    brought = tmp_path / "x.rkllm"
    brought.write_bytes(content)
    code, out, err = rkfetch("import", str(brought))
    assert code == 0
    assert "Qwen/Qwen3.5-0.8B of modelzoo:rkllm_model_zoo (known again by its size)" in err
    code, out, err = rkfetch("fetch", *question, "--json")
    assert code == 0
    value = json.loads(out)
    assert (value["action"], value["artifact"]["source"]) == ("present", "modelzoo")
    assert Path(value["path"]).read_bytes() == content
    _, out, _ = rkfetch("resolve", *question, "--json")
    assert json.loads(out)["action"] == "use"


def test_an_update_of_the_zoo_needs_no_network_and_keeps_what_was_learnt(
    rkfetch: Rkfetch, tmp_path: Path
) -> None:
    name = "gemma3_4b_w8a8_rk3588_h0.25.rkllm"
    path = tmp_path / name
    path.write_bytes(rkllm_bytes(platform="rk3588", npu_cores=3))
    code, out, _ = rkfetch("import", str(path), "--json")
    assert code == 0
    assert json.loads(out)["files"][0]["recognised_by"] == "name"
    code, out, _ = rkfetch("catalog", "update", "modelzoo", "--offline", "--json")
    assert code == 0
    (done,) = json.loads(out)["sources"]
    assert (done["source"], done["builds"]) == ("modelzoo", 4)
    row = in_catalog(name, "rkllm_model_zoo")
    assert (row.sha256, row.availability) == (sha256(path), Availability.MANUAL)
    assert "rkfetch import" in (row.note or "")
    value = json.loads(rkfetch("catalog", "status", "--json")[1])
    (zoo,) = (s for s in value["sources"] if s["source"] == "modelzoo")
    assert zoo["updated"] == value["snapshot"]
