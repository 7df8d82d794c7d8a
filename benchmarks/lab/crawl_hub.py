"""A Hub of thousands of repositories whose files are made as they are asked for.

A file's header has a vocabulary of 150,000 tokens, as real ones do; only what a request wants of
it is ever put together. Everything is the same in every run.
"""

from __future__ import annotations

import bisect
import random
import struct
import sys
from collections import Counter
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from hub.repos import RepoFile, hex_of
from hub.server import Hub
from rkfetch.registry.gguf import mask
from rkllm_files import kv, kv_array, tensor

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection

TOKENS = 150_000
VOCABULARIES = 8
FILES_OF_A_REPOSITORY = 5
WITHOUT_LABELS = 0.08
"""Share of the repositories whose names tell no quantisation, so that the card has to."""
WITH_BRANCH = 0.03
"""Share of the repositories that have a further build on a branch."""
COPIES = 0.05
"""Share of the files whose content lies in another repository too."""
KEYS_LAST = 0.35
"""Share of the files whose keys stand behind the vocabulary."""
ONLY_TRAILER = 0.05
"""Share of the files that have no key for the toolkit, as those of toolkit 1.1."""
REPOSITORIES_OF_AN_OWNER = 4
MODELS = (
    *("Qwen2.5-0.5B-Instruct", "Qwen2.5-1.5B-Instruct", "Qwen2.5-3B-Instruct", "Qwen3-0.6B"),
    *("Qwen3-1.7B", "Qwen3-4B", "Llama-3.2-1B-Instruct", "DeepSeek-R1-Distill-Qwen-1.5B"),
)
PLATFORMS = {"rk3576": 1, "rk3588": 0}
QUANTS = {"rk3576": ("w4a16", "w4a16_g128", "w8a8"), "rk3588": ("w8a8", "w8a8_g128", "w8a8_g512")}
TOOLKITS = ("1.2.0", "1.2.1", "1.2.2", "1.2.3", "1.3.0")


class Joined:
    """Bytes that consist of parts, put together only where they are looked at."""

    def __init__(self, *parts: bytes | int) -> None:
        """A number stands for so many zero bytes."""
        self._parts = parts
        sizes = [part if isinstance(part, int) else len(part) for part in parts]
        self._starts = [0, *accumulate(sizes)]

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, span: slice) -> bytes:
        start, end, _ = span.indices(len(self))
        pieces = []
        number = bisect.bisect_right(self._starts, start) - 1
        while start < end and number < len(self._parts):
            part, begin = self._parts[number], self._starts[number]
            stop = min(end, self._starts[number + 1])
            if isinstance(part, int):
                pieces.append(bytes(stop - start))
            else:
                pieces.append(part[start - begin : stop - begin])
            start, number = stop, number + 1
        return b"".join(pieces)


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a file says about itself."""

    model: str
    platform: str
    quant: str
    toolkit: str
    context: int
    keys_last: bool
    version_key: bool
    vocabulary: int
    seed: int

    @property
    def facts(self) -> dict[str, str]:
        """What the catalog must know of it from its header and trailer."""
        return {
            "toolkit": self.toolkit,
            "platform": self.platform,
            "context": str(self.context),
            "npu_cores": "2" if self.platform == "rk3576" else "3",
        }


@cache
def vocabulary(number: int) -> bytes:
    """Return the keys of one tokenizer: some 6 MB, as a byte-pair vocabulary of Qwen has."""
    words = random.Random(number)
    tokens = [words.randbytes(3 + (n & 7)) for n in range(TOKENS)]
    head = struct.pack("<IIQ", 9, 8, TOKENS)

    def strings(key: str, values: Sequence[bytes]) -> bytes:
        body = b"".join(struct.pack("<Q", len(v)) + mask(v) for v in values)
        return struct.pack("<Q", len(key)) + mask(key.encode()) + head + body

    merges = [token + b" " + token[:2] for token in tokens]
    return (
        strings("tokenizer.ggml.tokens", tokens)
        + kv_array("tokenizer.ggml.token_type", "i32", [1] * TOKENS)
        + strings("tokenizer.ggml.merges", merges)
    )


@cache
def directory() -> bytes:
    """Return a tensor directory of 28 layers, whose matrices repeat the current offset."""
    parts = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_up", "ffn_down", "ffn_gate")
    entries = [tensor("token_embd.weight", (16, 32), 1, 0)]
    for layer in range(28):
        entries += (tensor(f"blk.{layer}.{p}.weight", (1536, 1536), 34, 1024) for p in parts)
        entries.append(tensor(f"blk.{layer}.attn_norm.weight", (1536,), 0, 1024))
    return b"".join(entries)


def content_of(header: Header) -> Joined:
    """Put a file together: head, vocabulary, keys, directory, nothing much, trailer."""
    family = "llama" if header.model.startswith("Llama") else "qwen2"
    general = [
        kv("general.architecture", "str", family),
        kv("general.name", "str", family),
        kv(f"{family}.block_count", "u32", 28),
        kv("general.file_type", "u32", 34),
        kv("tokenizer.ggml.model", "str", "gpt2"),
    ]
    rk = [
        kv("rkllm.platform", "i32", PLATFORMS[header.platform]),
        kv("rkllm.core_num", "u32", int(header.facts["npu_cores"])),
        kv("rkllm.max_context", "u32", header.context),
        *([kv("rkllm.version", "str", header.toolkit)] if header.version_key else []),
    ]
    tail = [
        kv("tokenizer.ggml.eos_token_id", "u32", TOKENS - 1),
        kv("tokenizer.chat_template", "str", "{% for message in messages %}" * 100),
    ]
    before = general if header.keys_last else [*general, *rk]
    after = [*tail, *rk] if header.keys_last else tail
    count = len(before) + 3 + len(after)
    head = mask(b"GGUF") + struct.pack("<IQQ", 3, 1 + 28 * 8, count) + b"".join(before)
    weights = 300_000_000 + 1_000_000 * (header.seed % 900)
    return Joined(
        head,
        vocabulary(header.vocabulary),
        b"".join(after) + directory(),
        weights,
        f"rkllm-toolkit version: {header.toolkit}".encode(),
    )


class Made(RepoFile):
    """A file whose content is made when it is asked for, and whose digest is invented."""

    def __init__(self, path: str, header: Header) -> None:
        super().__init__(path, lambda: b"")
        self.header = header
        self._made: Any = None

    @property
    def content(self) -> Any:
        """The bytes, of which only slices exist."""
        if self._made is None:
            self._made = content_of(self.header)
        return self._made

    @property
    def sha256(self) -> str:
        """Stands for the digest: nobody reads these files through."""
        return hex_of(f"content {self.header.seed}", 64)

    @property
    def size(self) -> int:
        return len(self.content)


class World:
    """The repositories of a Hub, and what their files say."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._noise = random.Random(1)
        self._count = 0
        self._uploaded: dict[str, list[Header]] = {model: [] for model in MODELS}
        self.headers: dict[tuple[str, str], Header] = {}
        """What each build says, by repository and path."""

    def grow(self, repositories: int) -> None:
        """Add repositories."""
        for number in range(self._count, self._count + repositories):
            self._add(number)
        self._count += repositories

    def _add(self, number: int) -> None:
        noise = self._noise
        owner = f"owner{number // REPOSITORIES_OF_AN_OWNER:04}"
        model = MODELS[number % len(MODELS)]
        labelled = noise.random() >= WITHOUT_LABELS
        tagged = noise.random() < 0.6
        repo_id = f"{owner}/{model}-{number}" + ("-rkllm" if not tagged or number % 2 else "")
        files = [
            Made("", self._header(model, number * 10 + n)) for n in range(FILES_OF_A_REPOSITORY)
        ]
        for place, file in enumerate(files):
            said = file.header
            name = f"{model}_{said.quant}_{said.platform}_{place}" if labelled else f"model{place}"
            file.path = f"{name}.rkllm"
        repo = self._hub.add_repo(
            repo_id,
            tags=["rkllm", "text-generation", "license:apache-2.0"] if tagged else ["npu"],
            library_name="rkllm" if tagged else None,
            card=_card(model, files),
            downloads=number % 977,
        )
        repo.commit_files(files)
        if noise.random() < WITH_BRANCH:
            extra = Made(f"{model}_old.rkllm", self._header(model, number * 10 + 9))
            repo.commit_files([extra], branch=f"toolkit-{extra.header.toolkit}")
            files.append(extra)
        self.headers.update({(repo_id, file.path): file.header for file in files})

    def _header(self, model: str, seed: int) -> Header:
        noise = self._noise
        if self._uploaded[model] and noise.random() < COPIES:
            return noise.choice(self._uploaded[model])
        platform = noise.choice(list(PLATFORMS))
        version_key = noise.random() >= ONLY_TRAILER
        header = Header(
            model=model,
            platform=platform,
            quant=noise.choice(QUANTS[platform]),
            toolkit=noise.choice(TOOLKITS) if version_key else "1.1.4",
            context=noise.choice((2048, 4096, 8192, 16384)),
            keys_last=noise.random() < KEYS_LAST,
            version_key=version_key,
            vocabulary=MODELS.index(model) % VOCABULARIES,
            seed=seed,
        )
        self._uploaded[model].append(header)
        return header


def _card(model: str, files: Sequence[Made]) -> str:
    rows = [f"| {f.path} | {f.header.quant} | {f.header.toolkit} |" for f in files]
    return "\n".join(
        [
            "---",
            "license: apache-2.0",
            f"base_model: Qwen/{model}",
            "---",
            f"# {model}",
            "",
            "| File | Quantization | Toolkit |",
            "|------|--------------|---------|",
            *rows,
            "",
        ]
    )


def serve(pipe: Connection, repositories: int) -> None:
    """Be the Hub until the pipe says stop."""
    with Hub() as hub:
        world = World(hub)
        world.grow(repositories)
        pipe.send(hub.endpoint)
        while True:
            match pipe.recv():
                case ("forget",):
                    hub.forget()
                    pipe.send(None)
                case ("grow", count):
                    world.grow(count)
                    pipe.send(None)
                case ("headers",):
                    pipe.send(world.headers)
                case ("counts",):
                    pipe.send(_counted(hub, world))
                case _:
                    pipe.send(None)
                    return


def _counted(hub: Hub, world: World) -> dict[str, Any]:
    requests: Counter[str] = Counter()
    sent: Counter[str] = Counter()
    for seen in hub.requests:
        kind = _kind(seen.origin, seen.path)
        requests[kind] += 1
        sent[kind] += seen.sent_bytes
    return {"requests": requests, "sent": sent, "builds": len(world.headers)}


def _kind(origin: str, path: str) -> str:
    if origin == "cdn":
        return "header"
    if path == "/api/models":
        return "listing"
    if path.endswith("/refs"):
        return "refs"
    if "/raw/" in path:
        return "card"
    return "resolve" if "/resolve/" in path else "details"
