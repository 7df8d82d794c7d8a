"""Read what the files of a board say: its chip, its driver, its memory. Bytes in, facts out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from .model import Platform
from .versions import as_version

if TYPE_CHECKING:
    from .versions import Version


class Chip(NamedTuple):
    """A Rockchip SoC by name."""

    name: str
    platform: Platform | None
    """None if RKLLM does not support it."""
    npu_cores: int | None
    """None if the name does not tell."""


_VARIANTS = {
    **dict.fromkeys(("rk3576", "rk3576j"), Platform.RK3576),
    **dict.fromkeys(("rk3588", "rk3588s", "rk3588s2", "rk3588j"), Platform.RK3588),
    **dict.fromkeys(("rk3562", "rk3562j"), Platform.RK3562),
    "rv1126b": Platform.RV1126B,
}
_CUT_DOWN: dict[str, int | None] = {"rk3582": None, "rk3583": 2}
"""Cores of RK3588 dies sold with parts switched off: driver 0.9.8 gives an RK3583 two cores by
default; what an RK3582 keeps depends on its fuses.
https://github.com/airockchip/rknn-llm/tree/main/rknpu-driver"""
_SOC = r"(?:rk|rv)\d{4}[a-z]{0,3}\d?|px30"
_COMPATIBLE = re.compile(rf"rockchip,({_SOC})")
_IN_MODEL = re.compile(rf"(?<![a-z0-9])({_SOC})(?![a-z0-9])", re.IGNORECASE | re.ASCII)
_NPU = re.compile(r"rockchip,((?:rk|rv)\d{4}[a-z]?)-rk(?:npu|nn-core)")
_DRIVER = re.compile(r"(?<![\d.])v?(\d{1,3}\.\d{1,3}\.\d{1,3})(?![\d.])", re.ASCII)


def _chip(name: str) -> Chip:
    if name in _CUT_DOWN:
        return Chip(name, Platform.RK3588, _CUT_DOWN[name])
    platform = _VARIANTS.get(name)
    return Chip(name, platform, platform.npu_cores if platform else None)


def chip_from_compatible(data: bytes) -> Chip | None:
    """Read the SoC from a device tree's ``compatible``: strings that end in NUL, the SoC last.

    Only whole strings count: ``rockchip,rk3576-evb1-v10`` is a board. The cut-down RK3582 and
    RK3583 stand beside the RK3588S whose die they are; then theirs is the name.
    """
    strings = (part.decode("ascii", "replace").strip() for part in data.split(b"\0"))
    names = [match[1] for text in strings if (match := _COMPATIBLE.fullmatch(text))]
    if not names:
        return None
    last = _chip(names[-1])
    cut_down = [name for name in names if name in _CUT_DOWN]
    return _chip(cut_down[-1]) if cut_down and last.platform is Platform.RK3588 else last


def chip_from_model(text: str) -> Chip | None:
    """Read the SoC from a board's name, where it has one: ``Firefly ROC-RK3576-PC``."""
    names = {match[1].lower() for match in _IN_MODEL.finditer(text)}
    return _chip(names.pop()) if len(names) == 1 else None


def chip_from_npu(uevent: str) -> Chip | None:
    """Read the SoC from the NPU device: ``OF_COMPATIBLE_0=rockchip,rk3576-rknpu``."""
    match = _NPU.search(uevent)
    return _chip(match[1]) if match else None


def driver_from_text(text: str) -> Version | None:
    """Read ``RKNPU driver: v0.9.8`` or ``0.9.8``."""
    match = _DRIVER.search(text)
    return as_version(match[1]) if match else None


def memory_from_meminfo(text: str, name: str) -> int | None:
    """Read one line of /proc/meminfo, such as MemTotal, in bytes."""
    match = re.search(rf"^{re.escape(name)}:\s+(\d{{1,15}}) kB$", text, re.MULTILINE | re.ASCII)
    return int(match[1]) * 1024 if match else None
