"""Which distribution a board runs, and how its NPU driver is updated there.

The driver is part of the kernel: no package updates it alone
(https://github.com/radxa-build/rock-5b/issues/29). What is said of each distribution is what its
own maintainers, or people who tried, have said in public.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from .compat import DRIVER_ADVISED

if TYPE_CHECKING:
    from .sysroot import Sysroot

_SOURCES = "https://github.com/airockchip/rknn-llm/tree/main/rknpu-driver"
_PART_OF_KERNEL = "https://github.com/radxa-build/rock-5b/issues/29"
_WORD = re.compile(r"[a-z0-9][a-z0-9_-]{0,40}", re.ASCII)


class Kind(str, Enum):
    """Distributions that differ in how a kernel comes to them."""

    ARMBIAN = "armbian"
    DIETPI = "dietpi"
    ORANGE_PI = "orange-pi"
    RADXA = "radxa"
    UBUNTU_ROCKCHIP = "ubuntu-rockchip"
    """Joshua Riek's Ubuntu for Rockchip."""
    BUILDROOT = "buildroot"
    ANDROID = "android"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """What a board's system is."""

    kind: Kind
    name: str | None
    """As it calls itself: ``Armbian 25.2.1 bookworm``."""
    how: str
    """Where that was read."""
    branch: str | None = None
    """Which of its kernels: ``vendor``, ``legacy``, ``current``, ``edge``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What to do, and the public page that it rests on."""

    todo: tuple[str, ...]
    source: str


def detect_distribution(tree: Sysroot) -> Distribution | None:
    """Tell which distribution it is by the files that each of them has; None if none is there."""
    release = _assignments(tree.read("/etc/os-release").text or "")
    if not release:
        release = _assignments(tree.read("/usr/lib/os-release").text or "")
    name = release.get("PRETTY_NAME") or release.get("NAME")
    marked = _by_marks(tree, name)
    if marked is not None:
        return marked
    if not release:
        return None
    kind = Kind.BUILDROOT if release.get("ID") == "buildroot" else Kind.OTHER
    return Distribution(kind=kind, name=name, how="/etc/os-release")


def _by_marks(tree: Sysroot, name: str | None) -> Distribution | None:
    for path, kind in (
        # DietPi for these boards is built on Armbian's kernels, and may keep its file.
        ("/boot/dietpi/.version", Kind.DIETPI),
        ("/etc/orangepi-release", Kind.ORANGE_PI),
        ("/etc/armbian-release", Kind.ARMBIAN),
    ):
        if tree.exists(path):
            told = _assignments(tree.read(path).text or "")
            branch = told.get("BRANCH", "")
            return Distribution(
                kind=kind,
                name=name,
                how=path,
                branch=branch if _WORD.fullmatch(branch) else None,
            )
    for path, kind in (
        ("/etc/radxa_image_fingerprint", Kind.RADXA),
        ("/usr/bin/rsetup", Kind.RADXA),
        ("/system/build.prop", Kind.ANDROID),
    ):
        if tree.exists(path):
            return Distribution(kind=kind, name=name, how=path)
    for folder in ("/etc/apt/sources.list.d", "/etc/apt/preferences.d"):
        found = [n for n in tree.names(folder) if n.startswith("jjriek")]
        if found:
            how = f"{folder}/{found[0]}"
            return Distribution(kind=Kind.UBUNTU_ROCKCHIP, name=name, how=how)
    return None


def _assignments(text: str) -> dict[str, str]:
    """Read ``NAME=value`` lines, as shells do, without running anything."""
    found = {}
    for line in text.splitlines()[:200]:
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            found[name] = value.strip().strip("\"'")[:200]
    return found


# --- updating the driver -----------------------------------------------------------------------

_REBOOT = "sudo apt update && sudo apt full-upgrade && sudo reboot"
_FIRMWARE = Steps(
    todo=(
        "the driver is part of the firmware's kernel: take the vendor's newest firmware,",
        f"or put the driver of {_SOURCES} into its kernel's drivers/rknpu, build, and flash it",
    ),
    source="https://github.com/airockchip/rknn-toolkit2/issues/468",
)
_STEPS = {
    Kind.ARMBIAN: Steps(
        todo=(f"{_REBOOT}   # Armbian's vendor kernel 6.1 has driver 0.9.8 since January 2025",),
        source="https://github.com/armbian/linux-rockchip/issues/266",
    ),
    Kind.DIETPI: Steps(
        todo=(f"{_REBOOT}   # DietPi takes Armbian's vendor kernel, which has driver 0.9.8",),
        source="https://github.com/MichaIng/DietPi/issues/7254",
    ),
    Kind.ORANGE_PI: Steps(
        todo=(
            "flash Orange Pi's newest image: its kernel has driver 0.9.8 since April 2025",
            "or build that kernel with orangepi-build (BUILD_OPT=kernel) and install its packages",
        ),
        source="https://github.com/orangepi-xunlong/linux-orangepi/issues/92",
    ),
    Kind.RADXA: Steps(
        todo=("sudo rsetup, there System -> System Update: brings 0.9.8; then reboot",),
        source=_PART_OF_KERNEL,
    ),
    Kind.UBUNTU_ROCKCHIP: Steps(
        todo=(
            f"{_REBOOT}   # brings driver 0.9.7, which is enough for no warning",
            "its kernels end there: for 0.9.8, flash Armbian with its vendor kernel, or build one",
        ),
        source="https://github.com/Joshua-Riek/linux-rockchip/pull/36",
    ),
    Kind.BUILDROOT: _FIRMWARE,
    Kind.ANDROID: _FIRMWARE,
    Kind.OTHER: Steps(
        todo=(
            "install the board vendor's newest kernel or image: the driver is part of the kernel",
            f"or build the driver into it: {_SOURCES}",
        ),
        source=_PART_OF_KERNEL,
    ),
}
_MAINLINE = Steps(
    todo=(
        "sudo apt install linux-image-vendor-rk35xx linux-dtb-vendor-rk35xx && sudo reboot",
        "or choose the vendor kernel in `sudo armbian-config`, or flash an image that has it",
    ),
    source="https://github.com/armbian/linux-rockchip/issues/266",
)


def update_driver(
    distribution: Distribution | None, model: str | None, *, in_container: bool = False
) -> Steps:
    """Say how the NPU driver is brought to 0.9.8 there; ``model`` is the board's name."""
    kind = distribution.kind if distribution else Kind.OTHER
    branch = distribution.branch if distribution else None
    if kind is Kind.OTHER and "radxa" in (model or "").lower():
        kind = Kind.RADXA
    steps = _STEPS[kind]
    if kind is Kind.ARMBIAN and branch in {"current", "edge"}:
        steps = _MAINLINE
    if in_container:
        on_host = f"on the board itself, not in this container (driver {DRIVER_ADVISED}):"
        return Steps(todo=(on_host, *_STEPS[Kind.OTHER].todo), source=steps.source)
    return steps


def vendor_kernel(distribution: Distribution | None) -> Steps:
    """Say how to get a kernel that has rknpu where there is none, as with mainline's."""
    if distribution is not None and distribution.kind in {Kind.ARMBIAN, Kind.DIETPI}:
        return _MAINLINE
    return Steps(
        todo=(f"boot the board vendor's kernel (5.10 or 6.1) with rknpu {DRIVER_ADVISED}",),
        source=_SOURCES,
    )
