"""Logs of loads: lines in the forms of public logs, with paths and names made up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rkfetch.registry.diagnosis.log import Piece, read

if TYPE_CHECKING:
    from rkfetch.registry.diagnosis.log import Log


def started(
    runtime: str = "1.2.3",
    *,
    driver: str = "0.9.8",
    platform: str = "RK3576",
    path: str | None = "/home/u/Qwen2.5-1.5B-Instruct_RK3576_w4a16.rkllm",
    toolkit: str | None = "1.2.3",
    made_for: str | None = None,
    quant: str = "W4A16",
) -> str:
    """What a runtime prints when it starts to load a file; without ``toolkit`` nothing of it."""
    versions = f"rkllm-runtime version: {runtime}, rknpu driver version: {driver}"
    lines = ["rkllm init start", f"I rkllm: {versions}, platform: {platform}"]
    if path is not None:
        lines.append(f"I rkllm: loading rkllm model from {path}")
    if toolkit is not None:
        of_file = f"rkllm-toolkit version: {toolkit}, max_context_limit: 4096, npu_core_num: 2"
        more = f"target_platform: {made_for or platform}, model_dtype: {quant}"
        lines.append(f"I rkllm: {of_file}, {more}")
    return "\n".join(lines) + "\n"


def log(text: str | bytes) -> Log:
    """Read a log."""
    return read([Piece(data=text if isinstance(text, bytes) else text.encode())])
