"""Tell from the bytes of an ``.rknn`` file for which SoC it was built, and whether it is whole.

Rockchip documents no format. What is read here is what public readers agree on
(https://github.com/lutzroeder/netron/blob/main/source/rknn.js): the magic, a container version, the
length of the data, 40 more bytes since version 2, the data, and behind them the length of a JSON
text and that text, whose ``target_platform`` names the chips and whose ``version`` the
rknn-toolkit2. No file of a vision encoder was at hand to try it on. So an unknown container
version, an encrypted file and a JSON text that says nothing of a chip are no complaint: then
nothing is known but that it begins like an RKNN model.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .model import Platform
from .rkllm_read import FileBytes

if TYPE_CHECKING:
    from pathlib import Path

    from .rkllm_read import ByteSource

MAGIC = b"RKNN"
ENCRYPTED = b"CYPTRKNN"
HEAD_BYTES = 64
LONGEST_NOTES = 4 << 20
"""Bytes of the JSON text that are read; one that is longer is passed over."""
_SHORT_HEAD = 24
_FIRST_PIECE = 64 << 10
_CONTAINERS = {1, 2, 3, 4, 5, 6, 0x1001, 0x1002, 0x1003, 0x1004}
_CHIP = re.compile(r"[a-z0-9_]{1,20}")
_VERSION = re.compile(r"\d{1,4}(?:\.\d{1,4}){1,3}")
_MOST_CHIPS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class RknnFacts:
    """What an ``.rknn`` file says about itself."""

    container: int | None = None
    """Version of the container; None if it is encrypted or shorter than a header."""
    encrypted: bool = False
    size_bytes: int | None = None
    complete: bool | None = None
    """Whether nothing of it is missing; None if that cannot be told."""
    chips: tuple[str, ...] = ()
    """For which it was built, in lower case; none if it does not say so."""
    toolkit: str | None = None
    """The version of rknn-toolkit2, which is not that of rkllm-toolkit."""

    @property
    def platform(self) -> Platform | None:
        """The one SoC of RKLLM that it was built for; None if it names none, or several."""
        known = {"rk3588s": Platform.RK3588}
        known.update({p.value: p for p in Platform})
        named = {known[chip] for chip in self.chips if chip in known}
        return named.pop() if len(named) == 1 and set(self.chips) <= set(known) else None


def complaint(facts: RknnFacts, platform: Platform | None) -> str | None:
    """Return one sentence that says why a file is no encoder for a SoC; None if it may be one."""
    if facts.complete is False:
        return "it is cut off: its end is missing"
    chips = set(facts.chips) | ({"rk3588"} if "rk3588s" in facts.chips else set())
    if platform is not None and chips and platform.value not in chips:
        return f"it was built for {', '.join(facts.chips)}, not for {platform.value}"
    return None


def read_rknn(source: ByteSource) -> RknnFacts | None:
    """Read header and end of a file in two or three pieces; None if it is no RKNN model."""
    head = source.read(0, HEAD_BYTES)
    size = source.size()
    if head.startswith(ENCRYPTED):
        return RknnFacts(encrypted=True, size_bytes=size)
    if not head.startswith(MAGIC):
        return None
    if len(head) < _SHORT_HEAD:
        return RknnFacts(size_bytes=size, complete=False)
    container = int.from_bytes(head[8:16], "little")
    facts = RknnFacts(container=container, size_bytes=size)
    start = _notes_at(head, container)
    return facts if start is None or size is None else _with_notes(source, facts, start, size)


def _with_notes(source: ByteSource, facts: RknnFacts, start: int, size: int) -> RknnFacts:
    """Return the facts with what stands behind the data."""
    piece = source.read(start, 8 + _FIRST_PIECE) if start + 8 <= size else b""
    length = int.from_bytes(piece[:8], "little")
    if len(piece) < 8 or start + 8 + length > size:
        return replace(facts, complete=False)
    facts = replace(facts, complete=True)
    if length > LONGEST_NOTES:
        return facts
    notes = piece[8 : 8 + length]
    if len(notes) < length:
        notes += source.read(start + 8 + len(notes), length - len(notes))
    chips, toolkit = read_notes(notes)
    return replace(facts, chips=chips, toolkit=toolkit)


def read_file(path: Path) -> RknnFacts | None:
    """Read what a local file says about itself; None if it is no RKNN model.

    Raises:
        UsageError: there is no such file, or it is no regular one.
        RkfetchError: it cannot be read.
    """
    with FileBytes(path) as source:
        return read_rknn(source)


def _notes_at(head: bytes, container: int) -> int | None:
    """Return where the JSON text and its length begin; None in a container that is not known."""
    if container not in _CONTAINERS:
        return None
    length = int.from_bytes(head[16:24], "little")
    is_long = container & 0xFF > 1 and length > 0
    return (HEAD_BYTES if is_long else _SHORT_HEAD) + length


def read_notes(text: bytes) -> tuple[tuple[str, ...], str | None]:
    """Return the chips and the toolkit's version that a file's JSON text names, if it does."""
    try:
        notes = json.loads(text)
    except (ValueError, RecursionError):
        return (), None
    if not isinstance(notes, dict):
        return (), None
    named = notes.get("target_platform")
    names = [named] if isinstance(named, str) else named if isinstance(named, list) else []
    lower = [name.lower() for name in names[:_MOST_CHIPS] if isinstance(name, str)]
    chips = dict.fromkeys(name for name in lower if _CHIP.fullmatch(name))
    version = notes.get("version")
    toolkit = _VERSION.match(version) if isinstance(version, str) else None
    return tuple(chips), toolkit[0] if toolkit else None
