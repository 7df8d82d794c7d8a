"""What a person types to record, undo, exchange and report; and what then becomes of the answer."""

from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from rkfetch.catalog.writer import Writer
from rkfetch.registry.model import Artifact, Evidence, Origin, settle
from rkfetch.registry.store import Store, home
from stored import CONTENT, SHA256, add

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Rkfetch: TypeAlias = "Callable[..., tuple[int, str, str]]"
W4 = "hf:HanzoHuang/Qwen2.5-1.5B-Instruct-RKLLM/RK3576/Qwen2.5-1.5B-Instruct_RK3576_w4a16.rkllm"
W8 = W4.replace("w4a16", "w8a8")
PAIR = ("--platform", "rk3576", "--runtime", "1.2.3")
LOG = (
    "I rkllm: rkllm-runtime version: 1.2.3, rknpu driver version: 0.9.8, platform: RK3576\n"
    "I rkllm: loading rkllm model from /home/joe/{name}\n"
    "I rkllm: rkllm-toolkit version: 1.2.3, max_context_limit: 4096, npu_core_num: 2, "
    "target_platform: RK3576, model_dtype: W4A16\n"
    "rkllm init success\n"
)


@pytest.fixture
def rkfetch(rkfetch: Rkfetch, monkeypatch: pytest.MonkeyPatch) -> Rkfetch:
    """Run the command line of somebody with a name."""
    monkeypatch.setenv("USER", "joe")
    monkeypatch.setenv("COLUMNS", "80")
    return rkfetch


def json_of(result: tuple[int, str, str]) -> dict[str, Any]:
    code, out, _ = result
    assert code == 0
    value = json.loads(out)
    assert isinstance(value, dict)
    return value


def choice(rkfetch: Rkfetch) -> dict[str, Any]:
    return json_of(rkfetch("resolve", "qwen2.5-1.5b", *PAIR, "--offline", "--json"))


def test_what_fails_is_passed_over_until_it_is_undone(rkfetch: Rkfetch) -> None:
    assert choice(rkfetch)["artifact"]["path"].endswith("w4a16.rkllm")
    code, name, told = rkfetch("catalog", "add", W4, "--fails", *PAIR, "--note", "never stops")
    assert code == 0
    assert told == (
        f"{W4}\n  fails on rk3576, runtime 1.2.3 (never stops)\nundo: rkfetch catalog remove {name}"
    )
    after = choice(rkfetch)
    assert after["artifact"]["path"].endswith("w8a8.rkllm")
    (refused,) = [r for r in after["rejected"] if r["reason"] == "seen-to-fail"]
    assert refused["text"].endswith("never stops")
    assert rkfetch("catalog", "remove", name.strip())[0] == 0
    assert choice(rkfetch)["artifact"]["path"].endswith("w4a16.rkllm")


def test_what_works_is_preferred(rkfetch: Rkfetch) -> None:
    value = json_of(rkfetch("catalog", "add", W8, "--works", *PAIR, "--json"))
    assert (value["addition"]["outcome"], value["addition"]["own"]) == ("works", True)
    assert choice(rkfetch)["artifact"]["path"].endswith("w8a8.rkllm")
    shown = json_of(rkfetch("show", W8, "--json"))["artifacts"][0]["sightings"]
    assert [(s["outcome"], s["own"]) for s in shown] == [("works", True)]
    assert "works on rk3576, runtime 1.2.3, seen 20" in rkfetch("show", W8)[1]


def test_the_file_itself_can_be_named(rkfetch: Rkfetch, tmp_path: Path) -> None:
    file = tmp_path / "mine.rkllm"
    file.write_bytes(CONTENT)
    value = json_of(rkfetch("catalog", "add", str(file), "--works", *PAIR, "--json"))["addition"]
    assert (value["source"], value["path"], value["sha256"]) == ("import", "mine.rkllm", SHA256)
    add(Store(home()))
    named = json_of(rkfetch("catalog", "add", SHA256[:12], "--works", *PAIR, "--json"))["addition"]
    assert (named["repo"], named["sha256"]) == ("alice/models", SHA256)


WRONG = [
    (("add", W4), "nothing is said about the file"),
    (("add", W4, "--works", "--fails", *PAIR), "a file either works or fails"),
    (("add", W4, "--works"), "with which runtime did you see that on rk3576?"),
    (("add", "qwen2.5-1.5b", "--works", *PAIR), "'qwen2.5-1.5b' is a model: say which file"),
    (("add", "/nowhere/x.rkllm", "--works", *PAIR), "there is no file /nowhere/x.rkllm"),
    (("add", W4, "--works", "--runtime", "new"), "runtime 'new' is not a whole version"),
    (("remove", "abcdef"), "there is no addition 'abcdef'"),
    (("additions", "--export", "a", "--import", "b"), "either --export or --import"),
    (("report", "/nowhere.log"), "/nowhere.log cannot be read: No such file"),
    (("report", "/dev/null"), "no load of a model is in /dev/null"),
]


@pytest.mark.parametrize(("args", "message"), WRONG, ids=[w[1] for w in WRONG])
def test_wrong_usage_is_told(rkfetch: Rkfetch, args: tuple[str, ...], message: str) -> None:
    code, out, err = rkfetch("catalog", *args)
    assert (code, out) == (2, "")
    assert " ".join(err.split()).startswith(f"error: {message}")


def test_what_is_exported_is_private_and_can_be_taken_in(
    rkfetch: Rkfetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = "joe says: slow, see /home/joe/notes.txt"
    rkfetch("catalog", "add", W8, "--works", *PAIR, "--note", note)
    rkfetch("catalog", "add", W4, "--fails", *PAIR)
    file = tmp_path / "additions.jsonl"
    code, out, err = rkfetch("catalog", "additions", "--export", str(file))
    assert (code, out) == (0, "")
    assert err.startswith("2 additions, 2 of them new, written to ")
    text = file.read_text("utf-8")
    assert "joe" not in text
    assert [json.loads(x).get("note") for x in text.splitlines()] == [
        None,
        "… says: slow, see notes.txt",
    ]
    assert rkfetch("catalog", "additions", "--export", "-")[1] == text
    again = json_of(rkfetch("catalog", "additions", "--export", str(file), "--json"))
    assert (again["additions"], again["new"]) == (2, 0)
    assert file.read_text("utf-8") == text

    monkeypatch.setenv("RKFETCH_HOME", str(tmp_path / "another"))
    code, _, err = rkfetch("catalog", "additions", "--import", str(file))
    assert (code, err.split(" taken")[0]) == (0, "2 additions")
    taken = json_of(rkfetch("catalog", "additions", "--json"))["additions"]
    sent = [a for a in taken if a["repo"].startswith("HanzoHuang/")]
    assert [(a["outcome"], a["own"]) for a in sent] == [("fails", False), ("works", False)]
    assert rkfetch("catalog", "additions")[1] == ""
    assert f"\n  {W4}\n  fails on " in rkfetch("catalog", "additions", "--all")[1]
    assert choice(rkfetch)["artifact"]["path"].endswith("w8a8.rkllm")
    assert rkfetch("catalog", "additions", "--export", "-")[1] == ""


def test_a_file_that_holds_something_else_is_not_written_over(
    rkfetch: Rkfetch, tmp_path: Path
) -> None:
    rkfetch("catalog", "add", W4, "--fails", *PAIR)
    file = tmp_path / "notes.txt"
    file.write_text("my notes\n", "utf-8")
    assert rkfetch("catalog", "additions", "--export", str(file))[0] == 7
    assert file.read_text("utf-8") == "my notes\n"
    assert rkfetch("catalog", "additions", "--import", str(file))[0] == 7


def test_the_list_fits_80_columns(rkfetch: Rkfetch) -> None:
    rkfetch("catalog", "add", W4, "--fails", *PAIR, "--note", "x " * 140, "--board", "ROCK 4D")
    out = rkfetch("catalog", "additions")[1]
    assert out.splitlines()[1] == f"  {W4}"
    assert all(len(line) <= 80 for line in out.splitlines() if ".rkllm" not in line)


# --- report ------------------------------------------------------------------------------------


def test_a_log_is_reported_and_its_facts_are_known(rkfetch: Rkfetch, tmp_path: Path) -> None:
    log = tmp_path / "load.log"
    log.write_text("noise\n" + LOG.format(name=W4.rpartition("/")[2]), "utf-8")
    code, out, err = rkfetch("catalog", "report", str(log))
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == f"{log}, line 2: runtime 1.2.3, driver 0.9.8 on rk3576"
    assert "  learnt: context 4096, which was not known" in lines
    assert lines[-1] == f"    rkfetch catalog add {W4} --works --platform rk3576 --runtime 1.2.3"
    (shown,) = json_of(rkfetch("show", W4, "--json"))["artifacts"]
    context = shown["attributes"]["context"]
    assert (context["value"], context["origin"], context["confidence"]) == ("4096", "log", "high")
    listed = json_of(rkfetch("catalog", "additions", "--json"))["additions"]
    (name,) = [a["id"] for a in listed if a["own"]]
    assert context["evidence"][0]["place"] == f"addition {name}"
    rkfetch("catalog", "remove", name)
    (shown,) = json_of(rkfetch("show", W4, "--json"))["artifacts"]
    assert "context" not in shown["attributes"]


def test_a_log_comes_by_a_pipe_and_is_about_what_is_said(
    rkfetch: Rkfetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = LOG.format(name="model.rkllm")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    (load,) = json_of(rkfetch("catalog", "report", "-", "--json"))["loads"]
    assert (load["artifact"], load["addition"]) == (None, None)
    assert load["how"] == "'model.rkllm' may be any file"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    (load,) = json_of(rkfetch("catalog", "report", "-", "--model", W4, "--json"))["loads"]
    assert load["addition"]["said"]["toolkit"] == "1.2.3"
    assert "joe" not in json.dumps(load["addition"])


def test_one_model_is_not_said_of_a_log_of_several(rkfetch: Rkfetch, tmp_path: Path) -> None:
    log = tmp_path / "load.log"
    log.write_text(LOG.format(name="a.rkllm") + LOG.format(name="b.rkllm"), "utf-8")
    code, out, err = rkfetch("catalog", "report", str(log), "--model", W4)
    assert (code, out) == (2, "")
    assert err.startswith("error: the log is about 2 files")


def test_a_log_of_another_file_is_not_taken(rkfetch: Rkfetch, tmp_path: Path) -> None:
    item = add(Store(home()))
    log = tmp_path / "load.log"
    log.write_text(LOG.format(name="x.rkllm"), "utf-8")
    with Writer.open() as writer:
        header = Evidence(attribute="toolkit", value="1.1.4", origin=Origin.HEADER, place="x")
        writer.record_artifact(
            Artifact(
                source="huggingface",
                repo="alice/models",
                path="RK3576/x.rkllm",
                sha256=SHA256,
                attributes=settle([header]),
            )
        )
    code, out, err = rkfetch("catalog", "add", item.path.name, "--works", "--log", str(log))
    assert (code, out) == (2, "")
    assert "whose toolkit is 1.1.4: the log says 1.2.3" in " ".join(err.split())


def test_a_failure_of_the_board_is_not_held_against_the_file(
    rkfetch: Rkfetch, tmp_path: Path
) -> None:
    log = tmp_path / "load.log"
    text = LOG.format(name=W4.rpartition("/")[2])
    log.write_text(text + "E RKNN: failed to malloc npu memory, size: 4022272000\n", "utf-8")
    out = rkfetch("catalog", "report", str(log))[1]
    assert "  it failed, which does not speak against the file\n" in out
    assert "  line 5: the NPU had no room: too little memory, or a driver before 0.9.7\n" in out
    assert choice(rkfetch)["artifact"]["path"].endswith("w4a16.rkllm")


def test_names_in_a_log_cannot_steer_the_terminal(rkfetch: Rkfetch, tmp_path: Path) -> None:
    log = tmp_path / "load.log"
    log.write_text(LOG.format(name="\u202e\u200bx.rkllm"), "utf-8")
    out = rkfetch("catalog", "report", str(log))[1]
    assert "\u202e" not in out
    assert "\\x202e" in out


# --- conflicts ---------------------------------------------------------------------------------


def test_a_message_for_an_uploader_is_whole_and_harmless(rkfetch: Rkfetch) -> None:
    path = "a|b`c<i>.rkllm"
    said = [
        Evidence(attribute="toolkit", value="1.3.0", origin=Origin.HEADER, place="p"),
        Evidence(
            attribute="toolkit",
            value="1.2.3",
            origin=Origin.CARD,
            place="https://huggingface.co/eve/m",
            seen="2026-11-20T10:00:00Z",
        ),
    ]
    with Writer.open() as writer:
        writer.record_artifact(
            Artifact(
                source="huggingface",
                repo="eve/m_1",
                path=path,
                sha256="5" * 64,
                attributes=settle(said),
            )
        )
    code, out, err = rkfetch("catalog", "conflicts", "--repo", "eve/m_1", "--format", "markdown")
    assert (code, err) == (0, "")
    assert out.startswith("# eve/m\\_1: labels to check\n\nHello, and thank you")
    assert (
        "| `a\\|b'c<i>.rkllm` | rkllm-toolkit version | 1.2.3 "
        "| [card](https://huggingface.co/eve/m), 2026-11-20 | 1.3.0 |\n"
    ) in out
    assert "```sh\nrkfetch inspect 'hf:eve/m_1/a|b`c<i>.rkllm'\n```\n" in out
    value = json_of(rkfetch("catalog", "conflicts", "--uploader", "eve", "--json"))
    assert value["recipients"][0]["conflicts"][0]["header"] == "1.3.0"
    text = rkfetch("catalog", "conflicts", "--uploader", "eve")[1]
    assert "    its model card says toolkit 1.2.3 (2026-11-20):\n" in text
    assert "    its header says toolkit 1.3.0\n" in text


def test_that_there_is_no_conflict_is_said_and_no_failure(rkfetch: Rkfetch) -> None:
    code, out, err = rkfetch("catalog", "conflicts", "--uploader", "nobody")
    assert (code, out) == (0, "")
    assert err.startswith("no conflict of nobody: no label is contradicted by a header that was")
