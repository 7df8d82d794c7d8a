"""``rkfetch inspect`` as a user or a script sees it."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hub.server import Hub
from rkfetch.cli.main import main
from rkllm_files import MAGIC, kv, rkllm_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SAMPLES = Path(__file__).parents[1] / "data" / "samples"
REPO = "alice/Qwen2.5-1.5B-RKLLM"
FILE = "RK3576/qwen2.5-1.5b-instruct-w4a16.rkllm"
BIG = 151_643


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        yield hub


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    """Run ``rkfetch inspect`` on no board; return exit code, stdout and stderr."""
    root = tmp_path / "root"
    root.mkdir()

    def call(*args: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stopped:
            main(["inspect", *args, "--sysroot", str(root)])
        assert isinstance(stopped.value.code, int)
        out, err = capsys.readouterr()
        return stopped.value.code, out, err

    return call


@pytest.fixture
def model(tmp_path: Path) -> Callable[..., str]:
    """Write a synthetic file and return its path."""

    def write(data: bytes | None = None, *, name: str = "model.rkllm", **options: Any) -> str:
        path = tmp_path / name
        path.write_bytes(rkllm_bytes(**options) if data is None else data)
        return str(path)

    return write


def test_a_script_gets_every_fact(run: Any, model: Any) -> None:
    path = model()
    code, out, err = run(path, "--json")
    answer = json.loads(out)
    assert (code, err) == (0, "")
    keys = answer.pop("keys")
    assert keys["rkllm.platform"] == 1
    assert keys["tokenizer.ggml.tokens"]["count"] == 64
    assert answer == {
        "schema_version": 1,
        "status": "ok",
        "file": path,
        "format": "rkllm",
        "explanation": None,
        "bytes": Path(path).stat().st_size,
        "toolkit": "1.2.3",
        "toolkit_origin": "header",
        "toolkit_key": "1.2.3",
        "toolkit_trailer": "1.2.3",
        "platform": "rk3576",
        "platform_code": 1,
        "npu_cores": 2,
        "max_context": 4096,
        "architecture": "qwen2",
        "model_name": None,
        "file_type": 34,
        "quant": None,
        "eos_type": "u32",
        "complete": True,
        "read": {"bytes": 16448, "requests": 2},
        "not_read": [],
        "problems": [],
        "target": None,
        "verdict": None,
        "error": None,
    }


def test_a_person_gets_a_page_that_can_be_read(run: Any, model: Any) -> None:
    path = model(name="qwen2.5-1.5b-instruct-w4a16.rkllm")
    code, out, err = run(path)
    assert code == 0
    assert out.splitlines() == [
        f"{path}: an RKLLM model for rk3576, made by toolkit 1.2.3",
        "",
        "  toolkit       1.2.3 (key; the trailer says 1.2.3)",
        "  platform      rk3576",
        "  npu cores     2",
        "  context       4096 tokens",
        "  architecture  qwen2",
        "  quantisation  quantized, code 34 (its name claims w4a16)",
        "  EOS id type   u32",
        "  size          69.9 kB",
        "",
        "it takes librkllmrt 1.2.3 or newer; --platform and --runtime judge it for a board",
    ]
    assert err == "read 16.4 kB in 2 pieces\n"


@pytest.mark.parametrize(
    ("options", "level"),
    [
        (("--platform", "rk3576", "--runtime", "1.2.3"), "exact"),
        (("--runtime", "1.2.3"), "exact"),
        (("--runtime", "1.2.1"), "incompatible"),
        (("--runtime", "1.3.0"), "risky"),
        (("--platform", "rk3588", "--runtime", "1.2.3"), "incompatible"),
        (("--platform", "rk3576"), "unknown"),
    ],
)
def test_the_file_is_judged_for_the_board_that_is_named(
    run: Any, model: Any, options: tuple[str, ...], level: str
) -> None:
    code, out, _ = run(model(), *options, "--json")
    answer = json.loads(out)
    assert code == 0, "inspect answers a question, whatever the verdict"
    assert answer["verdict"]["level"] == level
    assert answer["target"]["platform"] == (options[1] if "rk" in options[1] else "rk3576")
    _, out, _ = run(model(), *options)
    assert f": {level}" in out


def test_a_runtime_alone_is_asked_about_the_files_own_soc(run: Any) -> None:
    path = SAMPLES / "rkllm-1.0.1_qwen2_w8a8_rk3588.rkllm"
    _, out, _ = run(str(path), "--runtime", "1.0.1", "--json")
    answer = json.loads(out)
    assert (answer["target"]["platform"], answer["verdict"]["level"]) == ("rk3588", "exact")


def test_an_old_file_says_which_runtime_it_takes(run: Any) -> None:
    _, out, _ = run(str(SAMPLES / "rkllm-1.0.0_qwen2_w8a8.rkllm"))
    assert "toolkit       1.0.0 (by its layout: 1.0.x records no version)" in out
    assert "platform      not recorded" in out
    assert "it takes librkllmrt 1.0.x" in out


def test_a_guessed_platform_is_shown_as_a_guess(run: Any, model: Any) -> None:
    path = model(platform="rk3562")
    _, out, _ = run(path)
    assert "platform      2 (RK3562?)" in out
    _, out, _ = run(path, "--json")
    answer = json.loads(out)
    assert (answer["platform"], answer["platform_code"]) == (None, 2)


def test_a_name_that_lies_is_called_out(run: Any, model: Any) -> None:
    path = model(name="qwen2.5-1.5b-instruct-rk3588-w8a8.rkllm")
    _, out, _ = run(path)
    assert "warning: its file name says platform rk3588, which the file contradicts" in out


def test_full_shows_the_keys(run: Any, model: Any) -> None:
    _, out, _ = run(model(), "--full")
    assert "  qwen2.block_count = 2\n" in out
    assert "  tokenizer.ggml.tokens = 64 x str: tok000000xx, tok000001xx, tok000002xx, …\n" in out


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git-lfs-pointer"),
        (b"<!DOCTYPE html><title>Sign in</title>", "html"),
        (b'{"error":"Repository not found"}', "json"),
        (b"Entry not found", "text"),
        (bytes(4096), "zeros"),
        (b"GGUF" + bytes(100), "gguf"),
        (b"RKNN" + bytes(100), "rknn"),
        (b"", "empty"),
        (rkllm_bytes()[:20], "truncated"),
        (b"\xff" * 100, "unknown"),
        (MAGIC + struct.pack("<IQQ", 3, 0, 1 << 63) + bytes(5000), "unknown"),
        (MAGIC + struct.pack("<IQQ", 3, 1 << 40, 1) + bytes(5000), "unknown"),
    ],
)
def test_what_is_no_model_exits_with_7_and_says_what_it_is(
    run: Any, model: Any, data: bytes, form: str
) -> None:
    path = model(data)
    code, out, err = run(path, "--json")
    answer = json.loads(out)
    assert code == 7
    assert (answer["format"], answer["toolkit"], answer["keys"]) == (form, None, {})
    assert answer["error"]["kind"] == "integrity"
    assert " ".join(err.split()).startswith(f"error: {path} is no .rkllm model it is ")

    code, out, err = run(path)
    assert (code, out) == (7, "")
    assert "Traceback" not in err


def test_a_file_that_is_cut_off_exits_with_7_and_still_tells_what_it_is(run: Any) -> None:
    whole = SAMPLES / "rkllm-1.0.1_qwen2_w8a8_rk3588.rkllm"
    cut = Path.home() / "cut.rkllm"
    cut.write_bytes(whole.read_bytes()[:200_000])
    code, out, err = run(str(cut))
    assert code == 7
    assert out.startswith(f"{cut}: an RKLLM model for rk3588, cut off\n")
    assert " ".join(err.partition("\n")[2].split()) == (
        f"error: {cut} is not whole "
        "the file ends 117056 bytes before its tensors do: 200000 of 317056 "
        "hint: it has to be downloaded or exported again"
    )
    _, out, _ = run(str(cut), "--json")
    assert json.loads(out)["complete"] is False


def test_a_broken_header_exits_with_7(run: Any, model: Any) -> None:
    path = model(MAGIC + struct.pack("<IQQQ", 3, 0, 1, (1 << 64) - 1) + bytes(5000))
    code, out, err = run(path)
    assert code == 7
    assert out.startswith(f"{path}: an RKLLM model, with a broken header\n")
    assert " ".join(err.partition("\n")[2].split()).startswith(
        f"error: {path} is broken the name of key 1 claims 18446744073709551615 bytes"
    )


def test_a_missing_trailer_is_a_warning(run: Any, model: Any) -> None:
    code, out, _ = run(model(trailer=False))
    assert code == 0
    assert "whether it is whole cannot be told" in out
    assert "warning: no trailer found, may be incomplete" in out


def test_hostile_text_reaches_neither_terminal_nor_json_as_it_is(run: Any, model: Any) -> None:
    evil = "\x1b]0;pwned\x07\u202e"
    path = model(architecture="qwen2", extra=[kv("a.evil", "str", evil), kv("a.nan", "f32", 0.5)])
    data = bytearray(Path(path).read_bytes())
    at = data.index(kv("a.nan", "f32", 0.5))
    data[at + 8 + 5 + 4 : at + 8 + 5 + 8] = b"\0\0\xc0\x7f"
    Path(path).write_bytes(bytes(data))
    _, out, _ = run(path, "--full")
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "a.evil = \\x1b]0;pwned\\x07\\x202e" in out
    _, out, _ = run(path, "--json")
    assert out.isascii()
    assert json.loads(out, parse_constant=pytest.fail)["keys"]["a.nan"] == "nan"


def test_a_file_that_is_not_there_is_wrong_usage_with_a_hint(run: Any) -> None:
    code, out, err = run("alice/repo/model.rkllm")
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        "error: cannot read 'alice/repo/model.rkllm'",
        "  there is no such file here",
        "hint: if it is on the Hub: rkfetch inspect hf:alice/repo/model.rkllm",
    ]


@pytest.mark.parametrize(
    "name",
    [
        "hf:{repo}/{file}",
        "{hub}/{repo}/resolve/main/{file}?download=true",
        "{hub}/{repo}/blob/main/{file}",
    ],
)
def test_a_remote_file_costs_two_small_pieces(run: Any, hub: Hub, name: str) -> None:
    hub.add_repo(REPO).add_file(FILE, rkllm_bytes(vocabulary=BIG))
    code, out, _ = run(name.format(hub=hub.endpoint, repo=REPO, file=FILE), "--json")
    answer = json.loads(out)
    assert code == 0
    assert (answer["toolkit"], answer["platform"], answer["max_context"]) == (
        "1.2.3",
        "rk3576",
        4096,
    )
    assert answer["read"] == {"bytes": 16448, "requests": 2}
    assert answer["not_read"] == ["model_name", "eos_type"]
    assert hub.data_bytes() == 16448


def test_full_reads_a_remote_head_to_its_end(run: Any, hub: Hub) -> None:
    hub.add_repo(REPO).add_file(FILE, rkllm_bytes(vocabulary=BIG, keys_last=True))
    _, out, _ = run(f"hf:{REPO}/{FILE}", "--json", "--full")
    answer = json.loads(out)
    assert (answer["eos_type"], answer["max_context"], answer["not_read"]) == ("u32", 4096, [])
    assert hub.data_bytes() == answer["read"]["bytes"] < 8_000_000


def test_a_person_is_told_what_was_not_read(run: Any, hub: Hub) -> None:
    hub.add_repo(REPO).add_file(FILE, rkllm_bytes(vocabulary=BIG))
    _, out, _ = run(f"hf:{REPO}/{FILE}")
    assert "EOS id type   not read\n" in out
    assert out.endswith("not read: model name, eos type (--full reads on)\n")


def test_another_servers_address_is_read_too(run: Any, hub: Hub) -> None:
    hub.add_repo(REPO).add_file(FILE, rkllm_bytes())
    other = hub.endpoint.replace("127.0.0.1", "localhost")
    code, out, _ = run(f"{other}/{REPO}/resolve/main/{FILE}", "--json")
    assert (code, json.loads(out)["toolkit"]) == (0, "1.2.3")


def test_a_remote_file_that_is_gone_is_unknown(run: Any, hub: Hub) -> None:
    hub.add_repo(REPO)
    code, out, _ = run(f"hf:{REPO}/{FILE}", "--json")
    assert code == 4
    assert json.loads(out)["error"]["kind"] == "unknown-model"


def test_offline_asks_nobody(run: Any, hub: Hub) -> None:
    hub.add_repo(REPO).add_file(FILE, rkllm_bytes())
    code, _, _ = run(f"hf:{REPO}/{FILE}", "--offline")
    assert code == 11
    assert hub.requests == []


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://example.org/", "'https://example.org/' does not name a file"),
        (
            "https://example.org/m.rkllm?sig=1",
            "cannot read 'https://example.org/m.rkllm?sig=1'",
        ),
        ("https://[/m.rkllm", "'https://[/m.rkllm' is not an address"),
    ],
)
def test_an_address_that_cannot_be_read_is_wrong_usage(run: Any, url: str, message: str) -> None:
    code, _, err = run(url)
    assert code == 2
    assert err.splitlines()[0] == f"error: {message}"
