"""Say what a file is that goes by the name ``.rkllm`` and is none.

Error pages, Git LFS pointers and half-made files turn up under that name often enough to
deserve a plain word each; what they say is quoted as it is, so escape it before showing it.
"""

from __future__ import annotations

import codecs
import json
import re
from dataclasses import dataclass

from .gguf import HEADER_BYTES, MAGIC

_LFS = b"version https://git-lfs"
_LFS_SIZE = re.compile(r"^size (\d{1,20})$", re.MULTILINE)
_TITLE = re.compile(r"<title[^>]*>\s*(.{1,200}?)\s*</title>", re.IGNORECASE | re.DOTALL)
_QUOTED = 120

_BINARY = (
    (
        b"GGUF",
        "gguf",
        (
            "a plain GGUF model, for llama.cpp or as input for a conversion;"
            " the RKLLM runtime does not load it"
        ),
    ),
    (
        b"RKNN",
        "rknn",
        (
            "an RKNN model, such as the vision part of a multimodal model;"
            " it is for librknnrt, not for the RKLLM runtime"
        ),
    ),
    # https://github.com/NotPunchnox/rkllama/blob/46ef79cd/converter/src/rkllm.py
    (
        b"RKLL",
        "unknown",
        (
            "a home-made 'RKLL' file, as an early converter of rkllama wrote them;"
            " Rockchip's runtime does not load it"
        ),
    ),
    (b"PK\x03\x04", "unknown", "a ZIP archive; the model may be inside"),
    (b"\x1f\x8b", "unknown", "a gzip archive; the model may be inside"),
    (b"\xfd7zXZ", "unknown", "an xz archive; the model may be inside"),
    (b"7z\xbc\xaf", "unknown", "a 7z archive; the model may be inside"),
    (b"\x28\xb5\x2f\xfd", "unknown", "a zstd archive; the model may be inside"),
    (b"\x7fELF", "unknown", "a program or library (ELF)"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """What a file is instead of an ``.rkllm``."""

    format: str
    explanation: str


def identify(head: bytes, size_bytes: int | None) -> Foreign | None:
    """Tell from its first bytes what a file is; None if it begins like an ``.rkllm``.

    ``head`` should be the first kilobytes, or the whole file where it is shorter.
    """
    size = len(head) if size_bytes is None else size_bytes
    if head.startswith(MAGIC) and size >= HEADER_BYTES:
        return None
    if not head:
        return Foreign(
            format="empty", explanation="an empty file: its download or export never began"
        )
    if MAGIC.startswith(head[:4]):
        return Foreign(
            format="truncated",
            explanation=f"the first {size} bytes of an .rkllm file, cut off inside its header",
        )
    return _binary(head) or _written(head) or _rest(head, size)


def _binary(head: bytes) -> Foreign | None:
    if not any(head):
        return Foreign(
            format="zeros",
            explanation="zeros where the model should begin:"
            " space was set aside, but the download or export failed",
        )
    for magic, name, explanation in _BINARY:
        if head.startswith(magic):
            return Foreign(format=name, explanation=explanation)
    return None


def _written(head: bytes) -> Foreign | None:
    """Recognise what people or servers write: pointers, pages, messages."""
    text = _as_text(head)
    if text is None:
        return None
    body = text.lstrip("\ufeff \t\r\n")
    if head.startswith(_LFS):
        return Foreign(format="git-lfs-pointer", explanation=_pointer(text))
    if body.startswith("<"):
        return Foreign(format="html", explanation=_page(body))
    if body.startswith(("{", "[")):
        return Foreign(format="json", explanation=_answer(body))
    return Foreign(
        format="text",
        explanation=f'the text "{_quote(body)}": very likely an error message saved as a file',
    )


def _as_text(head: bytes) -> str | None:
    """Decode text; None if it is binary. A character may be cut in two at the end."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        if not head.lstrip().lower().startswith((b"<!doctype", b"<html")):
            return None
        text = head.decode("latin-1")
    if any(c < " " and c not in "\t\n\r\f" for c in text):
        return None
    return text


def _pointer(text: str) -> str:
    size = _LFS_SIZE.search(text)
    stands_for = f" of {size[1]} bytes" if size else ""
    return (
        f"a Git LFS pointer: the model{stands_for} that it stands for was never downloaded"
        " (`git lfs pull` in that clone would do it)"
    )


def _page(body: str) -> str:
    title = _TITLE.search(body)
    named = f' titled "{_quote(title[1])}"' if title else ""
    return f"a web page{named}: an error or login page saved as a file"


def _answer(body: str) -> str:
    saved = "a JSON answer of a server saved as a file"
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return saved
    if not isinstance(answer, dict):
        return saved
    message = next((answer[k] for k in ("error", "message", "Message") if k in answer), None)
    return f'{saved}: "{_quote(message)}"' if isinstance(message, str) else saved


def _quote(text: str) -> str:
    line = " ".join(text[: 4 * _QUOTED].split())
    return line if len(line) <= _QUOTED else line[:_QUOTED] + "…"


def _rest(head: bytes, size: int) -> Foreign:
    if size < HEADER_BYTES:
        return Foreign(
            format="truncated",
            explanation=f"only {size} bytes, less than the header of an .rkllm file",
        )
    if head[8:10] == b'{"' and int.from_bytes(head[:8], "little") <= max(size, 1 << 27):
        return Foreign(
            format="unknown",
            explanation="a safetensors file: weights to convert, not a model for the runtime",
        )
    return Foreign(
        format="unknown",
        explanation=f"no .rkllm file and nothing else known; it begins with {head[:8].hex(' ')}",
    )
