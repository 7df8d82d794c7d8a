"""The page of an export that a person reads who has the stick in their hand."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from rkfetch.catalog.licences import attribution, licence_note

from .form import MANIFEST, SUMS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .form import CarriedModel, Export

_WIDTH = 78


def page(export: Export) -> bytes:
    """Return what is here and what to type on the board, in plain words."""
    lines = [
        "Models for Rockchip boards, put together by rkfetch",
        "===================================================",
        "",
        "On a board with rkfetch, no network is needed. Where this folder is mounted",
        "(say at /media/usb/models), type:",
        "",
        "    rkfetch import /media/usb/models",
        "",
        "It takes what fits the board, verifies every byte, and prints the path of",
        "each model. Nothing is written here. After that, this finds it:",
        "",
        *(f"    rkfetch {_short(model)} --offline" for model in export.models[:1]),
        "",
        f"Without rkfetch, {SUMS} verifies the copy, in this folder:",
        "",
        f"    sha256sum -c {SUMS}",
        "",
        "Then copy the .rkllm file to the board, and of a vision model the .rknn file",
        "beside it, too.",
        "",
        "What is here",
        "------------",
        "",
        *(line for model in export.models for line in _about(model)),
        f"{MANIFEST} lists every file for programs.",
        "",
    ]
    return "\n".join(lines).encode()


def _about(model: CarriedModel) -> Iterator[str]:
    said = (model.attribute(name) for name in ("platform", "quant"))
    toolkit = model.attribute("toolkit")
    words = [*filter(None, said), *([f"toolkit {toolkit}"] if toolkit else [])]
    yield f"{_plain(model.model)}{': ' if words else ''}{', '.join(map(_plain, words))}"
    for file in model.files:
        yield f"    {file.path}  ({file.role})"
    record = model.main.provenance
    if record.repo:
        yield f"    from {_plain(f'{record.source}: {record.repo}')}"
    if model.licence:
        yield f"    licence: {_plain(model.licence)}"
    notes = [
        licence_note(model.licence, base=_plain(model.model)) if model.licence else None,
        attribution(model.licence),
    ]
    for note in filter(None, notes):
        yield from textwrap.wrap(
            note, _WIDTH, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False
        )
    yield ""


def _short(model: CarriedModel) -> str:
    return _plain(model.model.rpartition("/")[2].lower())


def _plain(text: str) -> str:
    """Return text of strangers as one line that steers no terminal."""
    return "".join(c if c.isprintable() else "?" for c in text[:200])
