"""Fills the Hub with the repositories of rkfetch's shipped catalog.

Every file is synthetic and small, and its header says what the catalog's row says. What a row
leaves open (or what two lists dispute) gets a plausible value that is the same in every run.
"""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from rkllm_files import rkllm_bytes

from .repos import hex_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .server import Hub

UNTAGGED = {"c01zaut", "JiahaoLi", "VRxiaojie", "jsntwdj", "StationPC"}
"""Uploaders whose repositories have no tag by which they could be found."""
_NO_CARD = {"StationPC", "JiahaoLi"}
_GONE = re.compile(r"older name|git history")
_EMPTY = re.compile(r"empty repo|holds only README|README\.md only")
_FILE_TYPES = {
    "fp16": 1,
    "w8a8": 34,
    "w4a16": 38,
    "w4a16_g64": 40,
    "w4a16_g128": 41,
    "w8a8_g128": 42,
    "w8a8_g256": 43,
    "w8a8_g512": 44,
    "w4a16_g32": 45,
}
_CORES = {"rk3576": 2, "rk3588": 3}
_ARCHITECTURES = (
    ("qwen3", "qwen3"),
    ("qwen", "qwen2"),
    ("gemma-3|gemma3", "gemma3"),
    ("gemma", "gemma2"),
    ("phi", "phi3"),
    ("minicpm", "minicpm"),
    ("internlm", "internlm2"),
    ("chatglm", "chatglm"),
)
_OWNERS = (
    ("qwen", "Qwen"),
    ("deepseek", "deepseek-ai"),
    ("llama", "meta-llama"),
    ("gemma", "google"),
    ("phi", "microsoft"),
)


@dataclass(frozen=True, kw_only=True)
class Build:
    """One synthetic ``.rkllm`` file, and what its header says."""

    repo: str
    path: str
    model: str
    platform: str
    toolkit: str
    quant: str
    context: int
    size_bytes: int
    partner: str | None
    """Path of the vision part beside it."""
    in_card: bool
    """The model card tells the toolkit version."""

    @property
    def npu_cores(self) -> int:
        """How many cores it is built for."""
        return _CORES.get(self.platform, 1)

    def content(self) -> bytes:
        """Make the file."""
        line = tuple(int(part) for part in re.findall(r"\d+", self.toolkit)[:2])
        return rkllm_bytes(
            toolkit=self.toolkit,
            platform=self.platform,
            npu_cores=self.npu_cores,
            max_context=self.context,
            architecture=_first_match(_ARCHITECTURES, self.model) or "llama",
            file_type=_FILE_TYPES[self.quant],
            # 1.1 told its version in the trailer only, 1.0 nowhere.
            version_key=line >= (1, 2),
            trailer=line >= (1, 1),
            body_bytes=self.size_bytes,
            seed=int(hex_of(f"{self.repo}/{self.path}", 8), 16),
        )


def shipped_rows() -> list[dict[str, Any]]:
    """The rows of the catalog's data files, the curated lists joined to the observations."""
    data = files("rkfetch.catalog") / "data"

    def lines(name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (data / name).read_text("utf-8").splitlines()]

    curated = {(row["repo_id"], row["filename"]): row for row in lines("curated.jsonl")}
    rows = [
        row | _curated_extras(curated.pop((row["repo_id"], row["filename"]), None))
        for row in lines("observed.jsonl")
    ]
    return rows + [row | _curated_extras(row) for row in curated.values()]


def _curated_extras(row: Mapping[str, Any] | None) -> dict[str, Any]:
    if row is None:
        return {}
    labels = sorted(set(row["toolkit_labels"].values()))
    extras: dict[str, Any] = {"toolkit_version": labels[0]} if labels else {}
    if row["partner"]:
        extras["partner"] = row["partner"]["filename"]
    return extras


def serve(
    hub: Hub,
    rows: Iterable[Mapping[str, Any]] | None = None,
    *,
    size_bytes: int = 65536,
    big_bytes: int | None = None,
    big: str = "*",
) -> list[Build]:
    """Add the HuggingFace repositories among the rows (the shipped ones, unless given).

    Files have about ``size_bytes``; those whose ``OWNER/NAME/path`` matches the glob ``big``
    have ``big_bytes``. Content is made when it is first asked for.
    """
    by_repo: dict[str, list[Mapping[str, Any]]] = {}
    for row in shipped_rows() if rows is None else rows:
        if row["source"] == "huggingface" and not _GONE.search(_seen(row)):
            by_repo.setdefault(row["repo_id"].lower(), []).append(row)
    builds: list[Build] = []
    for group in by_repo.values():
        named = [row for row in group if row["filename"]]
        repo_builds = [
            _build(row, size_bytes, big_bytes, big)
            for row in named or group
            if not _EMPTY.search(_seen(row))
        ]
        _add(hub, group[0]["repo_id"], repo_builds)
        builds += repo_builds
    return builds


def _seen(row: Mapping[str, Any]) -> str:
    return f"{row.get('seen_in')} {row.get('seen_text')}"


def _build(row: Mapping[str, Any], size: int, big_bytes: int | None, big: str) -> Build:
    repo = row["repo_id"]
    platform = row["platform"] or "rk3588"
    model = row.get("model") or repo.partition("/")[2]
    quant = row["quant"] or ("w4a16" if platform == "rk3576" else "w8a8")
    context = row.get("context") or 4096
    path = row["filename"]
    if path is None:
        path = f"{model}-{platform}-{quant}.rkllm" if row["platform"] else f"{model}.rkllm"
        if repo.startswith("RKNNAI/"):
            path = f"{model}-{quant}-{_CORES.get(platform, 1)}-{context}/{model}.rkllm"
    is_big = big_bytes is not None and fnmatchcase(f"{repo}/{path}", big)
    partner = row.get("partner")
    if row["multimodal"] and not partner:
        folder, slash, _ = path.rpartition("/")
        partner = f"{folder}{slash}{model}_vision_{platform}.rknn"
    return Build(
        repo=repo,
        path=path,
        model=model,
        platform=platform,
        toolkit=row.get("toolkit_version") or _likely_toolkit(repo, platform),
        quant=quant,
        context=context,
        size_bytes=big_bytes if is_big and big_bytes else size,
        partner=partner,
        in_card=row.get("toolkit_version_from") == "readme",
    )


def _likely_toolkit(repo: str, platform: str) -> str:
    choices = ("1.2.3", "1.3.0") if platform != "rk3588" else ("1.1.4", "1.2.0", "1.2.1", "1.2.3")
    return choices[int(hex_of(repo.lower(), 6), 16) % len(choices)]


def _first_match(table: Sequence[tuple[str, str]], text: str) -> str | None:
    return next((value for pattern, value in table if re.search(pattern, text.lower())), None)


def _add(hub: Hub, repo_id: str, builds: Sequence[Build]) -> None:
    owner = repo_id.partition("/")[0]
    luck = int(hex_of(repo_id, 6), 16)
    repo = hub.add_repo(
        repo_id,
        card="" if owner in _NO_CARD else _card(repo_id, builds),
        library_name=None if owner in UNTAGGED else "rkllm",
        downloads=luck % 5000,
        likes=luck % 40,
        last_modified=f"2026-{luck % 10 + 1:02}-{luck % 28 + 1:02}T12:00:00Z",
    )
    contents: dict[str, Any] = {}
    for build in builds:
        contents[build.path] = build.content
        if build.partner:
            contents[build.partner] = partial(_vision_part, repo_id, build.partner)
    if contents:
        repo.add_files(contents, title="Upload models")
    if owner == "RKNNAI":
        repo.tag("v1.2.4")


def _vision_part(repo_id: str, path: str) -> bytes:
    noise = random.Random(f"{repo_id}/{path}")
    return b"RKNN" + noise.randbytes(16384)


def _card(repo_id: str, builds: Sequence[Build]) -> str:
    owner, _, name = repo_id.partition("/")
    lines = ["---", "license: apache-2.0"]
    models = dict.fromkeys(build.model for build in builds)
    for model in models:
        if maker := _first_match(_OWNERS, model):
            lines += ["base_model:", f"- {maker}/{model}"]
            break
    lines.append("pipeline_tag: text-generation")
    if owner in UNTAGGED:
        lines += ["tags:", "- conversational"]
    else:
        lines += ["tags:", "- rkllm", "- rockchip"]
        lines += [f"- {platform}" for platform in sorted({b.platform for b in builds})]
    lines += ["---", "", f"# {name}", ""]
    told = [build for build in builds if build.in_card]
    if len({build.toolkit for build in told}) == 1 and len(told) == len(builds):
        lines.append(f"Converted with RKLLM-Toolkit {told[0].toolkit}.")
    else:
        lines += [f"- `{b.path}`: RKLLM-Toolkit {b.toolkit}" for b in told]
    return "\n".join(lines) + "\n"
