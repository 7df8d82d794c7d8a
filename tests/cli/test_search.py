"""What a person and a script see of a search."""

from __future__ import annotations

import json
import unicodedata
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

import stored
from boards import rock_4d
from rkfetch.catalog.entries import Repository
from rkfetch.catalog.writer import Writer
from rkfetch.registry.model import Artifact, Availability, Evidence, Origin, settle
from rkfetch.registry.store import Store, home

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Rkfetch: TypeAlias = "Callable[..., tuple[int, str, str]]"
ON_BOARD = ("--platform", "rk3576", "--runtime", "1.2.3", "--memory", "4G")


@pytest.fixture(autouse=True)
def no_board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RKFETCH_SYSROOT", str(tmp_path))


def results(rkfetch: Rkfetch, *args: str) -> dict[str, Any]:
    code, out, _ = rkfetch("search", *args, "--json")
    assert code == 0
    value = json.loads(out)
    assert isinstance(value, dict)
    assert next(iter(value)) == "schema_version"
    return value


def record(repo: str, path: str, **facts: str) -> None:
    evidence = [
        Evidence(attribute=name, value=value, origin=Origin.HEADER, place="header")
        for name, value in facts.items()
    ]
    with Writer.open() as writer:
        writer.record_artifact(
            Artifact(source="huggingface", repo=repo, path=path, attributes=settle(evidence))
        )


def width(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)


def test_builds_stand_under_their_model_and_repository(
    rkfetch: Rkfetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = rkfetch("search", "gemma-3-4b-it", *ON_BOARD[:4], "--memory", "8G")
    assert (code, err) == (0, "for rk3576, runtime 1.2.3, 8.59 GB of memory\n")
    assert out.splitlines() == [
        "    SoC     quant  toolkit   RAM  tok/s  verdict",
        "gemma-3-4b-it",
        "  HanzoHuang/gemma-3-4b-it-RKLLM",
        "    rk3576  w4a16  1.2.3      4G    8.4  exact",
        "      RK3576/gemma-3-4b-it_RK3576_w4a16.rkllm",
        "    rk3576  w8a8   1.2.3    5.5G    5.3  exact",
        "      RK3576/gemma-3-4b-it_RK3576_w8a8.rkllm",
    ]


@pytest.mark.parametrize("columns", [40, 60, 80, 120, 200])
@pytest.mark.parametrize("words", [("qwen",), ("deepseek",), ("vision", "rk3576")])
def test_no_line_is_wider_than_the_terminal(
    rkfetch: Rkfetch, words: tuple[str, ...], columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    with Writer.open() as writer:
        row = Repository(source="huggingface", repo="HanzoHuang/Qwen3-4B-RKLLM", downloads=12345)
        writer.record_repository(row, seen="2026-01-01")
    record("alice/通义千问2.5-7B-Instruct-很长很长很长的名字", "通义/" + "千问" * 60 + ".rkllm",
           model="Qwen2.5-7B-Instruct-通义千问", platform="rk3576", toolkit="1.2.3")  # fmt: skip
    _, out, _ = rkfetch("search", *words, "--all", *ON_BOARD[:4])
    lines = [line for line in out.splitlines() if "https://" not in line]
    assert [line for line in lines if width(line) > columns] == []
    assert "verdict" in lines[0]


def test_what_does_not_fit_says_why(rkfetch: Rkfetch) -> None:
    _, out, _ = rkfetch("search", "deepseek r1", "--platform", "rk3576", "--runtime", "1.2.3")
    assert "unknown [1][2]" in out
    assert "[2] DeepSeek-R1-Distill-Qwen answers garbage on runtime 1.2.3;" in out
    assert "    https://github.com/airockchip/rknn-llm/issues/424\n" in out
    _, out, _ = rkfetch("search", "qwen3", "4b", "hanzohuang")
    assert "other SoC" in out


def test_on_a_board_what_fits_comes_first_and_nothing_is_left_out(
    rkfetch: Rkfetch, tmp_path: Path
) -> None:
    board = rock_4d(tmp_path / "board")
    value = results(rkfetch, "qwen3", "hanzohuang", "--all", "--sysroot", str(board))
    assert (value["target"]["platform"], value["target"]["runtime"]) == ("rk3576", "1.2.3")
    assert value["filters"] == dict.fromkeys(value["filters"])
    refused = [r["refused"] and r["refused"]["rule"] for r in value["results"]]
    assert refused[0] is None
    assert refused[-1] == "platform"
    assert "memory" in refused


def test_a_chip_among_the_words_is_a_filter(rkfetch: Rkfetch) -> None:
    value = results(rkfetch, "RK3588s", "qwen", "--limit", "400")
    assert (value["query"], value["filters"]["platform"]) == ("qwen", "rk3588")
    assert value["target"]["platform"] == "rk3588"
    assert {r["attributes"]["platform"]["value"] for r in value["results"]} == {"rk3588", None}
    assert results(rkfetch, "rk3588 rk3576 qwen")["filters"]["platform"] is None


def test_what_is_promised_of_a_result(rkfetch: Rkfetch) -> None:
    value = results(rkfetch, "qwen2.5-1.5b", *ON_BOARD, "--limit", "1")
    assert list(value) == [
        *("schema_version", "status", "query", "target", "filters", "sort", "results", "matches"),
        *("nothing", "did_you_mean"),
    ]
    (result,) = value["results"]
    assert list(result) == [
        *("source", "repo", "path", "revision", "bytes", "sha256", "also"),
        *("model", "availability"),
        *("curated", "gated", "here", "updated", "vision", "licence", "downloads", "likes"),
        *("attributes", "verdict", "memory", "refused", "unknown"),
    ]
    assert result["verdict"]["level"] == "exact"
    assert result["memory"]["measured"] is True
    assert result["unknown"] == []
    assert value["nothing"] is None
    assert value["matches"] > 1


def test_search_leaves_out_what_a_runtime_refuses(rkfetch: Rkfetch) -> None:
    words = ("minicpm4", "hanzohuang")
    assert results(rkfetch, *words)["matches"] == 3
    assert results(rkfetch, *words, "--runtime", "1.2.3")["matches"] == 0


def test_a_search_that_found_nothing_says_what_stood_in_the_way(
    rkfetch: Rkfetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = rkfetch("search", "minicpm4", "--runtime", "1.2.3")
    assert (code, out) == (0, "")
    assert err.splitlines()[:3] == [
        "no build in the catalog matches 'minicpm4' with --runtime 1.2.3",
        "  3 builds without --runtime 1.2.3",
        "  nearest:",
    ]
    value = results(rkfetch, "minicpm4", "--runtime", "1.2.3")
    assert value["nothing"]["obstacles"] == [
        {"text": "--runtime 1.2.3", "filter": True, "matches": 3}
    ]
    assert value["nothing"]["nearest"]["repo"] == "HanzoHuang/MiniCPM4-0.5B-RKLLM"


def test_search_says_what_was_meant(rkfetch: Rkfetch) -> None:
    code, out, err = rkfetch("search", "qwne 1.5b")
    assert (code, out) == (0, "")
    first, second = err.splitlines()[:2]
    assert first == "no build in the catalog matches 'qwne 1.5b'"
    count = results(rkfetch, "qwen 1.5b")["matches"]
    assert second == f"did you mean `rkfetch search qwen 1.5b`? ({count} builds)"
    assert results(rkfetch, "qwne 1.5b")["did_you_mean"][0] == "qwen 1.5b"


def test_another_order_is_kept_also_where_a_model_comes_twice(rkfetch: Rkfetch) -> None:
    with Writer.open() as writer:
        for size, model in ((1, "Zebra-1B"), (2, "Okapi-1B"), (3, "Zebra-1B")):
            said = Evidence(attribute="model", value=model, origin=Origin.CARD, place="card")
            writer.record_artifact(
                Artifact(
                    source="huggingface", repo="z/all", path=f"{size}.rkllm", size_bytes=size,
                    attributes=settle([said]),
                )
            )  # fmt: skip
    models = ("Zebra-1B", "Okapi-1B")
    _, out, _ = rkfetch("search", "--uploader", "z", "--sort", "size")
    assert [line for line in out.splitlines() if line in models] == [*models, "Zebra-1B"]
    _, out, _ = rkfetch("search", "--uploader", "z")
    assert [line for line in out.splitlines() if line in models] == [*models]


def test_search_says_that_there_is_more(rkfetch: Rkfetch) -> None:
    value = results(rkfetch, "qwen3", "--limit", "2")
    assert len(value["results"]) == 2
    _, _, err = rkfetch("search", "qwen3", "--limit", "2")
    assert f"2 of {value['matches']} builds; add words or filters, or --all\n" in err
    assert len(results(rkfetch, "qwen3", "--all")["results"]) == value["matches"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("qwen3", "--platform", "rk2588"), "unknown platform 'rk2588'"),
        (("qwen3", "--sort", "colour"), "there is no order 'colour'"),
        (("qwen3", "--size", "big"), "size 'big' is not understood"),
        (("qwen3", "--toolkit", "new"), "toolkit 'new' is not a range of versions"),
        ((), "there is nothing to search for"),
        (("  ",), "there is nothing to search for"),
    ],
)
def test_what_cannot_be_read_is_wrong_usage(
    rkfetch: Rkfetch, args: tuple[str, ...], message: str
) -> None:
    code, out, err = rkfetch("search", *args)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {message}")


def test_foreign_text_cannot_play_with_the_terminal(rkfetch: Rkfetch) -> None:
    record("evil/repo", "evil\x1b[2Jrkllm\u202e.rkllm", model="evil\x1b]0;title\x07")
    _, out, err = rkfetch("search", "evil")
    assert "evil/repo" in out
    assert "\x1b" not in out + err
    assert "\u202e" not in out
    assert "\\x1b[2J" in out
    _, _, err = rkfetch("search", "no\x1b[2Jsuch")
    assert "\x1b" not in err


def test_what_only_a_person_can_fetch_is_marked(rkfetch: Rkfetch) -> None:
    with Writer.open() as writer:
        writer.record_artifact(
            Artifact(
                source="modelzoo", repo="zoo", path="zebra.rkllm", availability=Availability.MANUAL
            )
        )
    _, out, _ = rkfetch("search", "zebra")
    assert "  modelzoo: zoo\n" in out
    assert "by hand: rkfetch cannot download it; `rkfetch show` says where it is\n" in out


@pytest.mark.parametrize("source", ["converted", "modelzoo"])
def test_what_is_here_is_not_by_hand_until_it_is_removed(rkfetch: Rkfetch, source: str) -> None:
    """A file that was made here, or imported, may be used although nobody can download it."""
    store = Store(home())
    item = stored.add(store, source=source, repo="zoo", path="zebra_w4a16.rkllm")
    record("far/zebra", "zebra_w8a8.rkllm", model="zebra", platform="rk3576", toolkit="1.2.3")
    facts = {"model": "zebra", "platform": "rk3576", "toolkit": "1.2.3"}
    evidence = [
        Evidence(attribute=name, value=value, origin=Origin.FILE_NAME, place="x")
        for name, value in facts.items()
    ]
    with Writer.open() as writer:
        writer.record_artifact(
            Artifact(
                source=source, repo="zoo", path="zebra_w4a16.rkllm", sha256=item.record.sha256,
                availability=Availability.MANUAL, attributes=settle(evidence),
            )
        )  # fmt: skip
    _, out, _ = rkfetch("search", "zebra", *ON_BOARD)
    assert "exact, here" in out
    assert "here: it is on this machine already\n" in out
    assert "by hand" not in out
    found = {r["source"]: r for r in results(rkfetch, "zebra", *ON_BOARD)["results"]}
    assert {name: r["here"] for name, r in found.items()} == {source: True, "huggingface": False}
    assert found[source]["refused"] is None

    store.remove(item)
    first, last = results(rkfetch, "zebra", *ON_BOARD)["results"]
    assert (first["source"], last["source"], last["here"]) == ("huggingface", source, False)
    _, out, _ = rkfetch("search", "zebra", *ON_BOARD)
    assert "by hand: rkfetch cannot download it" in out
    assert ", here" not in out


def test_a_downloaded_file_is_here_unless_it_is_damaged(rkfetch: Rkfetch) -> None:
    item = stored.add(Store(home()))
    with Writer.open() as writer:
        writer.record_artifact(
            Artifact(
                source="huggingface", repo="a/zebra", path="zebra.rkllm", sha256=item.record.sha256
            )
        )
    assert results(rkfetch, "zebra")["results"][0]["here"]
    item.path.write_bytes(b"another")
    assert not results(rkfetch, "zebra")["results"][0]["here"]
