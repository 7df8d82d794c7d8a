"""Files that go by the name .rkllm and are something else."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from rkfetch.registry.foreign import identify
from rkfetch.registry.rkllm import facts_evidence
from rkfetch.registry.rkllm_read import read_file
from rkllm_files import MAGIC, rkllm_bytes

if TYPE_CHECKING:
    from pathlib import Path

LFS = (
    b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"ab" * 32 + b"\nsize 1394162444\n"
)
PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign\n in</title></head><body>\xc3\xa9</body></html>"
ARCHIVE = "archive; the model may be inside"
ERROR = "very likely an error message saved as a file"

CASES = {
    "pointer": (
        LFS,
        "git-lfs-pointer",
        (
            "a Git LFS pointer: the model of 1394162444 bytes that it stands for was never"
            " downloaded (`git lfs pull` in that clone would do it)"
        ),
    ),
    "pointer without a size": (
        LFS[:50],
        "git-lfs-pointer",
        (
            "a Git LFS pointer: the model that it stands for was never"
            " downloaded (`git lfs pull` in that clone would do it)"
        ),
    ),
    "page": (
        PAGE,
        "html",
        'a web page titled "Sign in": an error or login page saved as a file',
    ),
    "page with a byte order mark": (
        b"\xef\xbb\xbf\r\n<html></html>",
        "html",
        "a web page: an error or login page saved as a file",
    ),
    "page in another encoding": (
        b"<!doctype html><title>\xe9</title>",
        "html",
        'a web page titled "é": an error or login page saved as a file',
    ),
    "json error": (
        b'{"error":"Repository not found"}',
        "json",
        'a JSON answer of a server saved as a file: "Repository not found"',
    ),
    "json without a message": (b'{"a": 1}', "json", "a JSON answer of a server saved as a file"),
    "json list": (b"[1, 2]", "json", "a JSON answer of a server saved as a file"),
    "json cut off": (b'{"error": "x', "json", "a JSON answer of a server saved as a file"),
    "json without end": (b"[" * 16384, "json", "a JSON answer of a server saved as a file"),
    "not found": (b"Entry not found", "text", f'the text "Entry not found": {ERROR}'),
    "invalid": (
        b"Invalid username or password.",
        "text",
        f'the text "Invalid username or password.": {ERROR}',
    ),
    "long text": (b"word " * 100, "text", f'the text "{("word " * 24)}…": {ERROR}'),
    "zeros": (
        bytes(100_000),
        "zeros",
        (
            "zeros where the model should begin:"
            " space was set aside, but the download or export failed"
        ),
    ),
    "gguf": (
        b"GGUF\3\0\0\0" + bytes(100),
        "gguf",
        (
            "a plain GGUF model, for llama.cpp or as input for a conversion;"
            " the RKLLM runtime does not load it"
        ),
    ),
    "rknn": (
        b"RKNN" + bytes(100),
        "rknn",
        (
            "an RKNN model, such as the vision part of a multimodal model;"
            " it is for librknnrt, not for the RKLLM runtime"
        ),
    ),
    "home-made": (
        b"RKLL" + struct.pack("<I", 1) + b"qwen2".ljust(32, b"\0"),
        "unknown",
        (
            "a home-made 'RKLL' file, as an early converter of rkllama wrote them;"
            " Rockchip's runtime does not load it"
        ),
    ),
    "empty": (b"", "empty", "an empty file: its download or export never began"),
    "magic only": (
        MAGIC,
        "truncated",
        "the first 4 bytes of an .rkllm file, cut off inside its header",
    ),
    "half a magic": (
        MAGIC[:2],
        "truncated",
        "the first 2 bytes of an .rkllm file, cut off inside its header",
    ),
    "short of a header": (
        rkllm_bytes()[:23],
        "truncated",
        "the first 23 bytes of an .rkllm file, cut off inside its header",
    ),
    "a few odd bytes": (
        b"\xff\xfe\xfd",
        "truncated",
        "only 3 bytes, less than the header of an .rkllm file",
    ),
    "zip": (b"PK\3\4" + bytes(range(40)), "unknown", f"a ZIP {ARCHIVE}"),
    "gzip": (b"\x1f\x8b" + bytes(range(40)), "unknown", f"a gzip {ARCHIVE}"),
    "elf": (b"\x7fELF" + bytes(range(40)), "unknown", "a program or library (ELF)"),
    "safetensors": (
        struct.pack("<Q", 64) + b'{"a":' + bytes(100),
        "unknown",
        "a safetensors file: weights to convert, not a model for the runtime",
    ),
    "noise": (
        b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\xf7" * 9,
        "unknown",
        "no .rkllm file and nothing else known; it begins with ff fe fd fc fb fa f9 f8",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_foreign_file_is_called_by_its_name(name: str, tmp_path: Path) -> None:
    data, form, explanation = CASES[name]
    path = tmp_path / "model.rkllm"
    path.write_bytes(data)

    facts = read_file(path)

    assert (facts.format, facts.explanation) == (form, explanation)
    assert facts.size_bytes == len(data)
    assert facts.toolkit is None
    assert facts.complete is (False if form in {"empty", "truncated"} else None)
    assert dict(facts.keys) == {}
    assert facts_evidence(facts, place="x") == ()


def test_a_small_file_is_read_in_one_piece(tmp_path: Path) -> None:
    path = tmp_path / "model.rkllm"
    path.write_bytes(b"Entry not found")
    facts = read_file(path)
    assert (facts.requests, facts.read_bytes) == (1, 15)


def test_a_real_head_is_not_foreign() -> None:
    data = rkllm_bytes()
    assert identify(data[:16384], len(data)) is None
    assert identify(data[:16384], None) is None


def test_text_whose_last_character_is_cut_is_still_text() -> None:
    foreign = identify("Datei nicht verfügbar: ü".encode()[:-1], None)
    assert foreign is not None
    assert foreign.format == "text"
