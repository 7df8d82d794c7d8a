"""A board without any network, beside the PC of a `World`: a home of its own, and no more."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from boards import rock_4d
from e2e.world import RKFETCH, Run
from rkfetch.registry.store import Store
from rknn_files import rknn_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from e2e.world import World

BASE = "Qwen/Qwen2.5-1.5B-Instruct"
TOKENIZER = {
    "config.json": b'{"model_type": "qwen2"}',
    "tokenizer.json": b'{"version": "1.0", "model": {"type": "BPE", "vocab": {}}}',
    "tokenizer_config.json": b'{"tokenizer_class": "Qwen2Tokenizer"}',
    "merges.txt": b"#version: 0.2\n",
    "LICENSE": b"Apache License\nVersion 2.0\n",
}
SEES, SEER, ENCODER = (
    "Ann/Qwen2-VL-2B-RKLLM",
    "Qwen2-VL-2B_rk3576_w4a16.rkllm",
    "vision_rk3576.rknn",
)
HERE = ("--platform", "rk3576", "--runtime", "1.2.3")


class Board:
    """A board: nothing that it runs has a network."""

    def __init__(self, folder: Path, *, runtime: str = "1.2.3", like: Board | None = None) -> None:
        self.home = folder / "store"
        if like is not None:
            shutil.copytree(like.home, self.home)
        self.root = folder / "root"
        self.root.mkdir(parents=True)
        rock_4d(self.root, runtime=runtime)
        self.env = {
            "PATH": os.environ["PATH"],
            "RKFETCH_HOME": str(self.home),
            "RKFETCH_SYSROOT": str(self.root),
            "RKFETCH_STALE_AFTER_DAYS": "0",
            "HF_HOME": str(folder / "hf"),
            "HOME": str(folder),
        }

    @property
    def store(self) -> Store:
        return Store(self.home)

    def start(self, *args: str, before: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*alone(), *before, str(RKFETCH), *args],
            env=self.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *args: str, given: bytes = b"", before: tuple[str, ...] = ()) -> Run:
        process = self.start(*args, before=before)
        out, err = process.communicate(given, timeout=120)
        said = " ".join(err.decode().split())
        assert "Traceback" not in said, said
        assert "this is a bug" not in said, said
        return Run(process.returncode, out.decode(), said)


def alone() -> tuple[str, ...]:
    """What a command runs under to have no network at all, where that can be done."""
    command = ("unshare", "-n") if os.geteuid() == 0 else ("unshare", "-rn")
    if shutil.which("unshare") is None:
        return ()
    tried = subprocess.run([*command, "true"], capture_output=True, check=False)
    return command if tried.returncode == 0 else ()


def serve_base(world: World) -> None:
    """Publish a base model's small files; its weights are not looked at."""
    there = world.hub.add_repo(BASE, card="---\nlicense: apache-2.0\n---\n# A model\n")
    there.add_files(TOKENIZER, lfs=False)
    there.add_file("model.safetensors", b"not asked for")


def serve_pair(world: World) -> None:
    """Publish a vision model and its encoder."""
    world.add(SEER, repo=SEES, seed=5, file_type=38, architecture="qwen2vl")
    there = world.hub.find_repo(SEES)
    assert there is not None
    there.add_file(ENCODER, rknn_bytes("rk3576", seed=5))


def have_pair(world: World) -> None:
    """Have a vision model and its encoder on the PC."""
    there = world.hub.find_repo(SEES)
    assert there is not None
    encoder = there.head.files[ENCODER]
    assert world.run(f"hf:{SEES}/{SEER}", *HERE).code == 0
    store = Store(world.home)
    item = store.find(world.sha256(SEER, SEES))
    assert item is not None
    if not item.record.companions:
        downloaded = world.home.parent / ENCODER
        downloaded.write_bytes(encoder.content)
        assert world.run("import", str(downloaded)).code == 0
        companion = store.find(encoder.sha256)
        assert companion is not None
        store.join(item, companion)
