"""A set-up for the installed command: a Hub, a declaration, and as many boards as wanted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from e2e.world import QWEN, W4, World

if TYPE_CHECKING:
    from pathlib import Path

    from hub.server import Hub

QWEN3 = "HanzoHuang/Qwen3-4B-RKLLM"
THREE_W4 = "RK3576/Qwen3-4B_RK3576_w4a16.rkllm"
ON_3588 = "RK3588/Qwen2.5-1.5B-Instruct_RK3588_w8a8.rkllm"
SIZE = 300_000
TWO_TARGETS = """
[[target]]
name = "rock-4d"
platform = "rk3576"
runtime = "1.2.3"

[[target]]
name = "opi-5"
platform = "rk3588"
runtime = "1.2.3"

[[model]]
model = "qwen2.5-1.5b"
to = "models"

[[model]]
model = "qwen3-4b"
to = "models/chat.rkllm"
targets = ["rock-4d"]
"""
ROCK = ("--platform", "rk3576", "--runtime", "1.2.3")
OPI = ("--platform", "rk3588", "--runtime", "1.2.3")


class Setup(World):
    """A machine that locks, and boards that sync what it has locked."""

    def __init__(self, hub: Hub, folder: Path) -> None:
        super().__init__(hub, folder / "machine")
        self.folder = folder / "set up"
        self.folder.mkdir()
        self.cwd = self.folder
        self.toml = self.folder / "rkfetch.toml"
        self.lock = self.folder / "rkfetch.lock"
        self.toml.write_text(TWO_TARGETS)
        self.add(W4, seed=1, size=SIZE)
        self.add(ON_3588, seed=2, size=SIZE, platform="rk3588", npu_cores=3)
        self.add(THREE_W4, repo=QWEN3, seed=3, size=SIZE)
        self.update()

    def locked(self) -> None:
        """Write the lock file."""
        done = self.run("lock", "--quiet")
        assert done.code == 0, done.err
        self.hub.forget()

    def synced(self, *args: str) -> dict[str, Any]:
        """Sync as a rock-4d; what the report says."""
        done = self.run("sync", *ROCK, "--json", "--quiet", *args)
        assert done.code == 0, done.err
        assert done.err == ""
        report: dict[str, Any] = done.json
        return report

    def states(self, *args: str) -> list[str]:
        """How ``sync --check`` finds each file of a rock-4d."""
        report = self.run("sync", *ROCK, "--check", "--json", *args).json
        return [file["state"] for model in report["models"] for file in model["files"]]

    def choices(self) -> dict[str, dict[str, str]]:
        """Which path is locked for each model of each target."""
        values = json.loads(self.lock.read_text())
        return {
            target["name"]: {
                model["model"]: model["files"][0]["path"] if model["files"] else ""
                for model in target["models"]
            }
            for target in values["targets"]
        }


def tree(folder: Path) -> dict[str, bytes]:
    """All files below a folder, with their content."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


__all__ = ["ON_3588", "OPI", "QWEN", "QWEN3", "ROCK", "SIZE", "THREE_W4", "W4", "Setup", "tree"]
