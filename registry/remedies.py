"""Exact commands that mend a board: which runtime, from where, verified how."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .compat import Level, judge_pair
from .runtimes import git_blob_of
from .versions import Version

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .npu_nodes import NpuNode

SDK = "https://github.com/airockchip/rknn-llm"
ADVISED = Version("1.2.3")
"""Loads files of toolkits 1.1.0 to 1.2.3; on 1.3.0 their answers may never stop (#534)."""
_TAGS = "1.1.0 1.1.1 1.1.2 1.1.3 1.1.4 1.2.0 1.2.1 1.2.2 1.2.3 1.3.0"
RELEASES = tuple(Version(text) for text in _TAGS.split())
"""Runtimes that lie at a tag of Rockchip's repository, oldest first."""


def install_runtime(version: Version, *, machine: str | None = None) -> tuple[str, ...]:
    """Return the commands that bring a release of librkllmrt.so onto a board, and check it.

    ``machine`` is what programs there are built for; 32-bit libraries exist from 1.2.1 on.
    """
    folder = "armhf" if machine == "arm" else "aarch64"
    address = f"{SDK}/raw/release-v{version}/rkllm-runtime/Linux/librkllm_api/{folder}"
    blob = git_blob_of(version) if folder == "aarch64" else None
    check = (
        "(printf 'blob %s\\0' $(stat -c %s librkllmrt.so); cat librkllmrt.so) | sha1sum"
        f"   # must print {blob}"
    )
    return (
        f"curl -LO {address}/librkllmrt.so",
        *([check] if blob else []),
        "sudo install -m 644 librkllmrt.so /usr/lib/ && sudo ldconfig && rkfetch doctor",
        "programs built for another release's rkllm.h may have to be rebuilt",
    )


def best_runtime(
    toolkits: Iterable[Version], model: str | None = None, *, at_least: Version | None = None
) -> Version | None:
    """Return the release that suits files of these toolkits best; None if none is known to.

    The best verdict counts; among equals the one that is nearest to the toolkit.
    """
    made_by = tuple(toolkits)
    if not made_by:
        return None
    judged = []
    for release in RELEASES:
        if at_least is not None and release < at_least:
            continue
        level = max((judge_pair(t, release, model).level for t in made_by), key=lambda lv: lv.rank)
        if level in {Level.EXACT, Level.COMPATIBLE}:
            judged.append((level.rank, release))
    return min(judged)[1] if judged else None


def open_node(node: NpuNode) -> tuple[str, ...]:
    """Return the commands that let a user open a device of the NPU, for good."""
    join = f'sudo usermod -aG "$(stat -c %G {node.path})" "$USER"   # then log in again'
    if node.has_group:
        return (join,)
    name = "renderD*" if "/dri/" in node.path else node.path.rpartition("/")[2]
    rule = f'KERNEL=="{name}", GROUP="video", MODE="0660"'
    return (
        f"echo '{rule}' | sudo tee /etc/udev/rules.d/60-npu.rules && sudo udevadm trigger",
        join,
    )
