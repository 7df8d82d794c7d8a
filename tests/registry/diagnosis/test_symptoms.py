"""Every line that is known, as runtimes, drivers, kernels and loaders print it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from load_logs import LINES
from rkfetch.registry.diagnosis.symptoms import SYMPTOMS, Blame, Cause, is_worth_reading
from rkfetch.registry.runtime_log import read_log

pytestmark = pytest.mark.once

PAIRS = [(name, line) for name, lines in LINES.items() for line in lines]


def known_by(line: str) -> set[str]:
    return {s.name for s in SYMPTOMS if s.shape.search(line)}


def test_every_symptom_has_a_line() -> None:
    assert [s.name for s in SYMPTOMS if s.name not in LINES] == []
    assert len({s.name for s in SYMPTOMS}) == len(SYMPTOMS) == len(LINES)


@pytest.mark.parametrize(("name", "line"), PAIRS, ids=[line[:40] for _, line in PAIRS])
def test_a_line_is_known(name: str, line: str) -> None:
    assert is_worth_reading(line)
    assert name in known_by(line)


ORDINARY = [
    "I rkllm: rkllm-runtime version: 1.2.3, rknpu driver version: 0.9.8, platform: RK3576",
    "I rkllm: EOS token: 49279 '<end_of_utterance>'",
    "I rkllm: EOS token[0]: 151645 '<|im_end|>'",
    "I rkllm: Enabled cpus: [6, 7]",
    "rkllm init success",
    "robot: The magic of memory is that a platform is not supported by the version of events!!!",
    "user: why was the process Killed?",
    "[drm] Initialized rknpu 0.9.8 20240828 for fdab0000.npu on minor 1",
    "RKNPU fdab0000.npu: can't request region for resource [mem 0xfdab0000-0xfdabffff]",
]


@pytest.mark.parametrize("line", ORDINARY)
def test_an_ordinary_line_means_nothing(line: str) -> None:
    assert known_by(line) == set()


@pytest.mark.parametrize("symptom", SYMPTOMS, ids=lambda s: s.name)
def test_each_rests_on_a_public_page_or_on_linux(symptom: Any) -> None:
    assert symptom.source is None or symptom.source.startswith("https://github.com/")
    assert symptom.text[0].islower()


EVIDENCE = [
    json.loads(line)
    for line in (Path(__file__).parents[2] / "data" / "compat-evidence.jsonl")
    .read_text("utf-8")
    .splitlines()
]
SEEN_FAILING = sorted(
    {
        row["message"]
        for row in EVIDENCE
        if row["outcome"] == "rejected" and row["observed"] and row["message"]
    }
)


@pytest.mark.parametrize("message", SEEN_FAILING, ids=lambda m: m[:40])
def test_what_was_seen_in_public_is_known(message: str) -> None:
    assert known_by(message)


def test_the_load_reader_goes_by_the_same_table() -> None:
    start = "I rkllm: rkllm-runtime version: 1.2.3, rknpu driver version: 0.9.8, platform: RK3576\n"
    for symptom in SYMPTOMS:
        (load,) = read_log(f"{start}{LINES[symptom.name][0]}\nrkllm init success\n".encode())
        said = [c.text for c in load.complaints]
        assert (symptom.text in said) is (symptom.blame is not None)


def test_consequences_come_after_roots() -> None:
    rank = {cause: cause.rank for cause in Cause}
    assert rank[Cause.SEEN] < rank[Cause.VERSIONS] < rank[Cause.FAILED] < rank[Cause.CRASH]
    by_name = {s.name: s for s in SYMPTOMS}
    assert by_name["crash"].blame is None
    assert by_name["assertion"].blame is Blame.FILE
