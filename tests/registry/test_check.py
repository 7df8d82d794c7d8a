"""What the content says is held against the plan that chose it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import pytest

from rkfetch.registry.check import contradiction, no_model
from rkfetch.registry.model import Artifact, Evidence, Origin, Platform, Target, settle
from rkfetch.registry.resolve import Policy
from rkfetch.registry.rkllm_read import read_file
from rkfetch.registry.versions import Version
from rkllm_files import MAGIC, rkllm_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from rkfetch.registry.rkllm import RkllmFacts

TARGET = Target(platform=Platform.RK3576, runtime=Version("1.2.3"))
LABEL = {"platform": "rk3576", "toolkit": "1.2.3", "quant": "w8a8"}
LABELLED = Artifact(
    source="huggingface",
    repo="a/b",
    path="m.rkllm",
    attributes=settle(
        Evidence(attribute=name, value=value, origin=Origin.FILE_NAME, place="its name")
        for name, value in LABEL.items()
    ),
)


def facts_of(folder: Path, content: bytes) -> RkllmFacts:
    path = folder / "m.rkllm"
    path.write_bytes(content)
    return read_file(path)


@pytest.mark.parametrize(
    "content",
    [
        MAGIC + struct.pack("<IQQ", 3, 0, 1 << 63) + bytes(5000),
        MAGIC + struct.pack("<IQQ", 3, 1 << 40, 1) + bytes(5000),
        MAGIC + struct.pack("<IQQQ", 3, 0, 1, (1 << 64) - 1) + bytes(5000),
    ],
    ids=["keys", "tensors", "key length"],
)
def test_a_header_that_cannot_be_true_is_no_model(tmp_path: Path, content: bytes) -> None:
    facts = facts_of(tmp_path, content)
    assert no_model(facts) is not None
    generous = Policy(allow_risky=True, allow_unverified=True)
    assert contradiction(facts, LABELLED, TARGET, generous) == no_model(facts)


def silent(**build: Any) -> bytes:
    return rkllm_bytes(version_key=False, trailer=False, platform_code=None, **build)


def test_a_label_does_not_speak_for_a_file_that_says_nothing(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, silent())
    complaint = contradiction(facts, LABELLED, TARGET, Policy())
    assert complaint is not None
    assert complaint.startswith("neither SoC nor toolkit is recorded in it")
    assert contradiction(facts, LABELLED, TARGET, Policy(allow_unverified=True)) is None


def test_a_platform_without_a_version_is_enough_for_a_label(tmp_path: Path) -> None:
    """Toolkits 1.1.0 to 1.1.3 may have written no version anywhere."""
    facts = facts_of(tmp_path, rkllm_bytes(version_key=False, trailer=False))
    assert contradiction(facts, LABELLED, TARGET, Policy()) is None
