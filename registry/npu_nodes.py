"""Through which device files programs reach the NPU, and whether this user may open them.

A driver built for DRM has a render node beside the graphics card's (``/dev/dri/renderD129``), one
built for DMA heaps has ``/dev/rknpu``; the kernel tells which render node is the NPU's by its
driver, ``RKNPU`` (https://github.com/airockchip/rknn-toolkit2/issues/534).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from .sysroot import Sysroot

_DRIVER = re.compile(r"^DRIVER=rknpu$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class NpuNode:
    """One device file."""

    path: str
    openable: bool
    """This user may read and write it."""
    has_group: bool = True
    """Its group may, and is not root's: who joins it may, too."""


def npu_nodes(tree: Sysroot, access: Callable[[str, int], bool] = os.access) -> tuple[NpuNode, ...]:
    """Find the NPU's device files on the machine that we run on."""
    paths = ["/dev/rknpu"] if tree.exists("/dev/rknpu") else []
    for uevent in tree.glob("/sys/class/drm/renderD*/device/uevent"):
        node = f"/dev/dri/{uevent.split('/')[4]}"
        if _DRIVER.search(tree.read(uevent).text or "") and tree.exists(node):
            paths.append(node)
    return tuple(
        NpuNode(path=p, openable=access(p, os.R_OK | os.W_OK), has_group=_has_group(tree, p))
        for p in paths
    )


def _has_group(tree: Sysroot, path: str) -> bool:
    status = tree.stat(path)
    return status is not None and status.st_gid != 0 and status.st_mode & 0o060 == 0o060
