"""What a person and a script see of the catalog."""

from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from hub.server import Fault, Hub
from rkfetch.catalog.files import catalog_path
from rkfetch.catalog.writer import Writer
from rkfetch.registry.model import Artifact, Evidence, Origin, settle
from rkllm_files import rkllm_bytes

if TYPE_CHECKING:
    from conftest import Rkfetch

FILE = "RK3576/Qwen3-1.7B_RK3576_w4a16.rkllm"


def answer(result: tuple[int, str, str]) -> dict[str, Any]:
    code, out, _ = result
    assert code == 0
    value = json.loads(out)
    assert next(iter(value)) == "schema_version"
    assert isinstance(value, dict)
    return value


def test_status_says_where_rows_come_from_and_how_old_they_are(rkfetch: Rkfetch) -> None:
    code, out, err = rkfetch("catalog", "status")
    assert (code, err) == (0, "")
    assert f"catalog    {catalog_path()}" in out
    assert "snapshot   2026-11-23 (" in out
    assert "modelzoo" in out
    assert all(len(line) <= 80 for line in out.splitlines() if "catalog    " not in line)


def test_status_as_json_counts_every_state(rkfetch: Rkfetch) -> None:
    value = answer(rkfetch("catalog", "status", "--json"))
    assert value["snapshot"] == "2026-11-23"
    zoo = next(s for s in value["sources"] if s["source"] == "modelzoo")
    assert zoo["artifacts"] == {"listed": 0, "manual": 4, "unnamed": 0, "gone": 0, "rejected": 0}
    assert zoo["updated"] is None


def test_show_gives_each_fact_with_its_place_and_the_dispute(rkfetch: Rkfetch) -> None:
    code, out, _ = rkfetch("show", f"hf:HanzoHuang/Qwen3-1.7B-RKLLM/{FILE}")
    assert code == 0
    lines = out.splitlines()
    assert lines[:2] == [f"hf:HanzoHuang/Qwen3-1.7B-RKLLM/{FILE}", "  listed, curated"]
    assert lines[3:6] == [
        "  toolkit       disputed: 1.2.3 or 1.3.0",
        "      1.2.3  curated     2026-11-23  [1]",
        "      1.3.0  curated     2026-11-23  [2]",
    ]
    list_a = "https://github.com/Seeed-Projects/reComputer-RK-LLM/blob/main/models/llm/qwen3-1.7b"
    assert f"    [1] {list_a}/rk3576/w4a16.env" in lines
    assert all(len(line) <= 80 for line in lines if "://" not in line)


def test_show_marks_what_was_overruled(rkfetch: Rkfetch) -> None:
    said = [
        Evidence(attribute="platform", value="rk3588", origin=Origin.HEADER, place="header"),
        Evidence(attribute="platform", value="rk3576", origin=Origin.FILE_NAME, place="name"),
    ]
    with Writer.open() as writer:
        writer.record_artifact(
            Artifact(source="huggingface", repo="a/b", path="c.rkllm", attributes=settle(said))
        )
    _, out, _ = rkfetch("show", "hf:a/b/c.rkllm")
    assert "  platform      rk3588 (high)\n      rk3588  header                  [1]\n" in out
    assert "    ! rk3576  file-name               [2]  overruled\n" in out
    assert out.endswith("  where\n    [1] header\n    [2] name\n")


def test_show_as_json_has_all_evidence_and_companions(rkfetch: Rkfetch) -> None:
    reference = "hf:HanzoHuang/Qwen3.5-2B-RKLLM/RK3576/Qwen3.5-2B_RK3576_w8a8.rkllm"
    (artifact,) = answer(rkfetch("show", reference, "--json"))["artifacts"]
    toolkit = artifact["attributes"]["toolkit"]
    assert (toolkit["value"], toolkit["disputed"]) == ("1.3.0", False)
    assert (toolkit["origin"], toolkit["confidence"]) == ("curated", "medium")
    assert (artifact["also"], artifact["sightings"]) == ([], [])
    assert {e["origin"] for e in toolkit["evidence"]} == {"curated", "card"}
    assert [c["path"] for c in artifact["companions"]] == ["RK3576/Qwen3.5-2B_vision_RK3576.rknn"]


@pytest.mark.parametrize("reference", ["qwen9-1b", "hf:nobody/nothing/x.rkllm"])
def test_show_of_what_is_unknown_ends_with_4(rkfetch: Rkfetch, reference: str) -> None:
    code, out, err = rkfetch("show", reference)
    assert (code, out) == (4, "")
    assert "hint: " in err


def test_guess_answers_exactly_the_promised_keys(
    rkfetch: Rkfetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [
        "c01zaut/gemma-2-2b-it-RK3588-1.1.4\tgemma-2-2b-it-rk3588-w8a8-opt-1-hybrid-ratio-0.5.rkllm",
        "",
        "owner/repo\tmodel.rkllm",
    ]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines) + "\n"))
    code, out, _ = rkfetch("catalog", "guess", "--json")
    first, second = (json.loads(line) for line in out.splitlines())
    assert code == 0
    assert first == {
        "repo": "c01zaut/gemma-2-2b-it-RK3588-1.1.4",
        "path": "gemma-2-2b-it-rk3588-w8a8-opt-1-hybrid-ratio-0.5.rkllm",
        "model": "gemma-2-2b-it",
        "params_b": 2,
        "platform": "rk3588",
        "quant": "w8a8",
        "toolkit": "1.1.4",
        "context": None,
        "npu_cores": None,
        "opt_level": 1,
        "hybrid_ratio": 0.5,
    }
    assert list(second) == list(first)
    assert (second["path"], second["toolkit"]) == ("model.rkllm", None)


def test_guess_takes_names_as_arguments_too(rkfetch: Rkfetch) -> None:
    code, out, _ = rkfetch("catalog", "guess", "o/Qwen3-4B", "Qwen3-4B_w8a8_RK3576.rkllm")
    assert code == 0
    assert out.splitlines()[0] == "o/Qwen3-4B/Qwen3-4B_w8a8_RK3576.rkllm"
    assert "  platform     rk3576" in out


def test_guess_wants_pairs(rkfetch: Rkfetch) -> None:
    code, _, err = rkfetch("catalog", "guess", "only-one")
    assert code == 2
    assert err.startswith("error: a repository and a path are needed for each guess\n")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Any:
    with Hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", hub.modelscope.url)
        hub.add_repo("HanzoHuang/Qwen3-1.7B-RKLLM").add_file(FILE, rkllm_bytes())
        yield hub


def test_update_reports_what_it_did(rkfetch: Rkfetch, hub: Hub) -> None:
    value = answer(rkfetch("catalog", "update", "huggingface", "--json"))
    assert value["status"] == "ok"
    (done,) = value["sources"]
    assert (done["listed"], done["changed"], done["builds"], done["probed"]) == (1, 1, 1, 1)
    code, out, err = rkfetch("catalog", "update")
    assert (code, out) == (0, "")
    assert "huggingface: 1 repositories listed, 1 unchanged, 0 read with 0 builds, 0 gone" in err
    _, out, err = rkfetch("catalog", "update", "--quiet")
    assert (out, err) == ("", "")


def test_update_offline_ends_with_11(
    rkfetch: Rkfetch, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    code, _, err = rkfetch("catalog", "update")
    assert code == 11
    assert err.startswith("error: the catalog was not updated: the network is switched off\n")
    assert hub.requests == []


def test_a_failing_source_does_not_keep_the_others(
    rkfetch: Rkfetch, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.break_it(Fault(origin="modelscope", path="/openapi/*", status=404, body=b"not here"))
    code, out, err = rkfetch("catalog", "update", "--json")
    assert code == 6
    value = json.loads(out)
    done = {source["source"]: source["status"] for source in value["sources"]}
    assert done["modelscope"] == "error"
    assert done["huggingface"] == "ok"
    assert value["error"]["message"] == "1 of 4 sources could not be updated: modelscope"
    assert "modelscope: http" in err
    status = answer(rkfetch("catalog", "status", "--json"))
    updated = {s["source"]: s["updated"] for s in status["sources"]}
    assert updated["huggingface"] is not None
    assert updated["modelscope"] is None


def test_only_the_sources_that_are_named_are_asked(rkfetch: Rkfetch, hub: Hub) -> None:
    assert rkfetch("catalog", "update", "modelscope", "--quiet") == (0, "", "")
    assert {seen.origin for seen in hub.requests} == {"modelscope"}
    code, _, err = rkfetch("catalog", "update", "modelscop")
    assert code == 2
    assert err.startswith("error: there is no source 'modelscop'\n")


def test_update_says_what_its_limits_left_for_the_next_one(rkfetch: Rkfetch, hub: Hub) -> None:
    hub.add_repo("b/other-rkllm").add_file("m.rkllm", rkllm_bytes(seed=1))
    _, _, err = rkfetch("catalog", "update", "--budget", "0")
    assert "2 headers left for the next update: its limits were reached" in err
    _, _, err = rkfetch("catalog", "update", "--within", "0s")
    assert "repositories left for the next update: its limits were reached" in err
    (value,) = answer(rkfetch("catalog", "update", "huggingface", "--json", "--quiet"))["sources"]
    assert (value["probed"], value["left"], value["left_repositories"]) == (2, 0, 0)
    assert value["read_bytes"] > 30_000
    assert rkfetch("catalog", "update", "--budget", "much")[0] == 2


def test_show_names_revision_repository_and_what_belongs_to_a_build(
    rkfetch: Rkfetch, hub: Hub
) -> None:
    repo = hub.add_repo(
        "b/Qwen3-4B-rkllm", card="---\nlicense: mit\n---\nQuantization: w8a8\n", downloads=7
    )
    repo.add_file("m.rkllm", rkllm_bytes(seed=1), branch="rk3576")
    repo.add_file("README.md", b"\n\nQuantization: w8a8\n", lfs=False, branch="rk3576")
    repo.add_file("tokenizer.json", b"{}", lfs=False, branch="rk3576")
    assert rkfetch("catalog", "update", "--quiet")[0] == 0
    _, out, _ = rkfetch("show", "hf:b/Qwen3-4B-rkllm/m.rkllm")
    commit = repo.branches["rk3576"].id
    assert f"  revision      rk3576 ({commit})\n" in out
    assert "  repository    7 downloads, 0 likes, licence mit, since 2026-10-01\n" in out
    assert "  tokenizer     tokenizer.json, 2 B\n" in out
    assert "https://huggingface.co/b/Qwen3-4B-rkllm/blob/rk3576/README.md#L3\n" in out
    (shown,) = answer(rkfetch("show", "hf:b/Qwen3-4B-rkllm/m.rkllm", "--json"))["artifacts"]
    assert (shown["ref"], shown["revision"]) == ("rk3576", commit)
    assert shown["repository"]["license"] == "mit"
