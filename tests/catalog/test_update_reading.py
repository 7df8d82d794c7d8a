"""An update asks for headers and cards sparingly, within limits, and goes on after anything."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from contextlib import closing
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest

from crawls import asked, everything, only, update_command, updated
from hub.server import Fault
from rkfetch.catalog.database import Catalog
from rkfetch.catalog.entries import Repository
from rkfetch.catalog.files import connect, create
from rkfetch.catalog.observations import READ
from rkfetch.catalog.reading import Allowance
from rkfetch.catalog.sources import Listing
from rkfetch.catalog.sources.huggingface import HuggingFace
from rkfetch.catalog.update import Observer, _owners, update
from rkfetch.registry.courtesy import Courtesy
from rkfetch.registry.http import Http
from rkfetch.registry.model import Availability, Origin, settle
from rkfetch.registry.rkllm import facts_evidence
from rkfetch.registry.rkllm_read import read_rkllm
from rkllm_files import rkllm_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from hub.server import Hub

REPO = "HanzoHuang/Qwen3-1.7B-RKLLM"
FILE = "RK3576/Qwen3-1.7B_RK3576_w4a16.rkllm"


class Bytes:
    """A file in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def size(self) -> int:
        return len(self._data)

    def read(self, start: int, length: int) -> bytes:
        return self._data[start : start + length]

    def tail(self, length: int) -> bytes:
        return self._data[-length:]


_OF_EACH = """
SELECT source, repo, path, revision, ref, size_bytes, sha256, availability, model FROM artifacts;
SELECT coalesce(a.path, e.sha256), attribute, value, origin
  FROM evidence e LEFT JOIN artifacts a ON a.id = e.artifact_id;
SELECT repo, sha, storage_bytes, license FROM repositories;
SELECT sha256, format FROM probes
"""


def rows(path: Path) -> list[list[str]]:
    """Return what a catalog says, without times and numbers of rows, in an order of its own."""
    with closing(connect(path)) as conn:
        return [
            sorted(repr(tuple(row)) for row in conn.execute(sql)) for sql in _OF_EACH.split(";")
        ]


# --- cards ----------------------------------------------------------------------------------------


def test_a_card_is_not_asked_for_where_header_and_names_tell_everything(
    hub: Hub, path: Path
) -> None:
    repo = hub.add_repo(REPO, tags=["rkllm"], card="---\nbase_model: Qwen/Qwen3-1.7B\n---\n# x\n")
    repo.add_file(FILE, rkllm_bytes())
    updated(path)
    assert asked(hub, "README.md") == 0
    model = only(path).attribute("model")
    assert {e.origin for e in model.evidence} == {Origin.FILE_NAME}


def test_a_card_tells_what_neither_header_nor_name_does_and_is_read_once(
    hub: Hub, path: Path
) -> None:
    card = "# Qwen3 1.7B\n\n| File | Quantization |\n|--|--|\n| m.rkllm | W4A16_G128 |\n"
    repo = hub.add_repo(REPO, tags=["rkllm"], card=card)
    repo.add_file("m.rkllm", rkllm_bytes())
    updated(path)
    (said,) = only(path).attribute("quant").evidence
    place = f"https://huggingface.co/{REPO}/blob/main/README.md#L5"
    assert (said.value, said.origin, said.place) == ("w4a16_g128", Origin.CARD, place)
    assert asked(hub, "README.md") == 1
    hub.forget()
    repo.add_file("n.rkllm", rkllm_bytes(seed=1))
    updated(path)
    assert asked(hub, "README.md") == 0
    assert {a.path: str(a.quant) for a in everything(path)} == {
        "m.rkllm": "w4a16_g128",
        "n.rkllm": "None",
    }


def test_what_a_card_no_longer_says_is_forgotten(hub: Hub, path: Path) -> None:
    repo = hub.add_repo(REPO, tags=["rkllm"], card="quantization: w8a8\n\ncontext: 2048\n")
    repo.add_file("m.rkllm", rkllm_bytes(max_context=None))
    updated(path)
    assert (str(only(path).quant), only(path).context) == ("w8a8", 2048)
    repo.add_file("README.md", b"\n\nquantization: w4a16\n", lfs=False)
    updated(path)
    assert (str(only(path).quant), only(path).context) == ("w4a16", None)


def test_each_folder_has_a_card_of_its_own(hub: Hub, path: Path) -> None:
    repo = hub.add_repo("RKNNAI/RK3576-LLM-Qwen3-0.6B", card="Builds for RK3576.\n")
    for folder, quant in (("one", "w8a8"), ("two", "w4a16")):
        repo.add_file(f"{folder}/README.md", f"Quantization: {quant}\n".encode(), lfs=False)
        repo.add_file(f"{folder}/m.rkllm", rkllm_bytes(seed=len(quant)))
    updated(path)
    assert {a.path: str(a.quant) for a in everything(path)} == {
        "one/m.rkllm": "w8a8",
        "two/m.rkllm": "w4a16",
    }


def test_what_a_listing_says_of_a_repository_is_kept(hub: Hub, path: Path) -> None:
    card = "---\nlicense: apache-2.0\nbase_model:\n- Qwen/Qwen3-1.7B\n---\n"
    repo = hub.add_repo(REPO, library_name="rkllm", card=card, downloads=12, likes=3)
    repo.add_file(FILE, rkllm_bytes())
    updated(path)
    repo.downloads = 15
    updated(path)
    with Catalog.open(path) as catalog:
        listed = catalog.listed("huggingface", REPO)
    assert listed is not None
    assert (listed.license, listed.library, listed.base_model) == (
        "apache-2.0",
        "rkllm",
        "Qwen/Qwen3-1.7B",
    )
    assert (listed.downloads, listed.likes) == (15, 3)
    assert (listed.created, listed.modified) == ("2026-10-01T12:00:00Z", "2026-10-01T12:00:02Z")


def test_tokenizer_and_template_come_along(hub: Hub, path: Path) -> None:
    repo = hub.add_repo(REPO, tags=["rkllm"])
    repo.add_file(FILE, rkllm_bytes())
    for name in ("tokenizer.json", "RK3576/tokenizer.json", "chat_template.jinja", "other.json"):
        repo.add_file(name, name.encode(), lfs=False)
    updated(path)
    with Catalog.open(path) as catalog:
        found = [
            (c.role, c.path, c.size_bytes) for c in catalog.companions(catalog.everything()[0])
        ]
    assert found == [
        ("chat-template", "chat_template.jinja", 19),
        ("tokenizer", "RK3576/tokenizer.json", 21),
    ]


def test_an_encoder_of_another_model_is_no_companion(hub: Hub, path: Path) -> None:
    repo = hub.add_repo("JiahaoLi/Qwen3-VL-RK3576")
    repo.add_file("qwen3-vl-2b-instruct_w8a8_rk3576.rkllm", rkllm_bytes())
    for size in ("2b", "4b"):
        repo.add_file(f"qwen3-vl-{size}_vision_rk3576.rknn", size.encode())
    updated(path)
    with Catalog.open(path) as catalog:
        (build,) = catalog.everything()
        found = [c.path for c in catalog.companions(build)]
    assert found == ["qwen3-vl-2b_vision_rk3576.rknn"]


# --- headers --------------------------------------------------------------------------------------


def test_gated_files_are_not_asked_for_without_a_token(
    hub: Hub, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add_repo(REPO, tags=["rkllm"], gated="manual").add_file(FILE, rkllm_bytes())
    assert updated(path).unread == 1
    assert asked(hub, "/resolve/") == 0
    hub.tokens.add("hf_good", user="you")
    monkeypatch.setenv("HF_TOKEN", "hf_good")
    hub.add_repo("b/other-rkllm", gated="auto").add_file(FILE, rkllm_bytes(seed=2))
    report = updated(path)
    assert (report.unread, report.probed) == (0, 1)


def test_a_vocabulary_is_read_through_once(hub: Hub, path: Path) -> None:
    repo = hub.add_repo(REPO, tags=["rkllm"])
    repo.add_file("a_w8a8.rkllm", rkllm_bytes(keys_last=True, vocabulary=40_000))
    updated(path)
    assert hub.data_bytes("*.rkllm") > 1_000_000
    hub.forget()
    late = rkllm_bytes(keys_last=True, vocabulary=40_000, toolkit="1.3.0", max_context=2048)
    repo.add_file("b_w8a8.rkllm", late)
    early = rkllm_bytes(vocabulary=40_000, toolkit="1.2.1", platform="rk3588")
    repo.add_file("c_w8a8.rkllm", early)
    updated(path)
    assert hub.data_bytes("*b_w8a8.rkllm") <= 40_000
    assert len(hub.data_requests("*c_w8a8.rkllm")) == 1
    known = {a.path: (str(a.toolkits[0]), a.context) for a in everything(path)}
    assert known == {
        "a_w8a8.rkllm": ("1.2.3", 4096),
        "b_w8a8.rkllm": ("1.3.0", 2048),
        "c_w8a8.rkllm": ("1.2.1", 4096),
    }


def test_a_budget_ends_reading_and_the_next_update_goes_on(hub: Hub, path: Path) -> None:
    repo = hub.add_repo(REPO, tags=["rkllm"])
    for number in range(6):
        repo.add_file(f"{number}.rkllm", rkllm_bytes(toolkit=f"1.2.{number}", seed=number))
    report = updated(path, allowance=Allowance(most_bytes=40_000))
    assert (report.probed, report.left) == (3, 3)
    assert report.read_bytes >= 40_000
    assert len(everything(path)) == 6
    hub.forget()
    report = updated(path)
    assert (report.probed, report.left) == (3, 0)
    assert sorted(str(a.toolkits[0]) for a in everything(path)) == [f"1.2.{n}" for n in range(6)]
    assert updated(path).unchanged == 1


def test_a_time_limit_leaves_repositories_for_the_next_update(hub: Hub, path: Path) -> None:
    for number in range(5):
        hub.add_repo(f"a/{number}-rkllm").add_file("m.rkllm", rkllm_bytes(seed=number))
    report = updated(path, allowance=Allowance(most_s=0))
    assert (report.changed, report.left_repositories) == (0, 5)
    with Catalog.open(path) as catalog:
        assert catalog.as_of() is None
    assert updated(path).changed == 5


def test_the_first_crawl_knows_of_every_file_what_its_header_says(hub: Hub, path: Path) -> None:
    hub.serve_snapshot()
    updated(path)
    known = {(a.repo, a.path): a for a in everything(path)}
    said = {
        (repo.id, file.path): read_rkllm(Bytes(file.content), full=True)
        for repo in hub.repos
        for file in repo.head.files.values()
        if file.path.endswith(".rkllm") and not repo.gated
    }
    assert len(said) > 200
    for place, facts in said.items():
        true = settle(facts_evidence(facts, place="", seen=None))
        read = {n: a for n, a in known[place].attributes.items() if a.origin in READ}
        assert {n: (a.contenders, a.origin) for n, a in read.items()} == {
            n: (a.contenders, a.origin) for n, a in true.items()
        }, place


# --- interrupted, and together --------------------------------------------------------------------


def test_a_killed_update_goes_on_and_ends_as_if_nothing_had_been(
    hub: Hub, path: Path, tmp_path: Path
) -> None:
    for number in range(25):
        repo = hub.add_repo(f"a/{number:02}-rkllm", card=f"Quantization: w{4 + number % 2 * 4}a16")
        repo.add_file("m.rkllm", rkllm_bytes(toolkit=f"1.2.{number}", seed=number))
        repo.add_file("b.rkllm", rkllm_bytes(seed=100 + number), branch="rk3588")
    calm = tmp_path / "calm.db"
    create(calm).close()
    updated(calm)
    hub.break_it(Fault(path="/api/models/a/*", header_delay_s=0.001))
    noise = random.Random(5)
    killed = 0
    for _ in range(12):
        process = subprocess.Popen(update_command(path))
        until = time.monotonic() + 0.5 + 0.7 * noise.random()
        while process.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.wait()
    hub.heal()
    assert killed
    updated(path)
    assert rows(path) == rows(calm)


class _Interrupting(Observer):
    """Interrupts an update once so many headers were read."""

    def __init__(self, headers: int) -> None:
        self._left = headers

    def probed(self) -> None:
        self._left -= 1

    def read(self) -> None:
        if self._left <= 0:
            raise KeyboardInterrupt


def test_headers_that_were_read_before_ctrl_c_are_not_read_again(hub: Hub, path: Path) -> None:
    for number in range(12):
        hub.add_repo(f"a/{number:02}-rkllm").add_file("m.rkllm", rkllm_bytes(seed=number))
    with pytest.raises(KeyboardInterrupt):
        updated(path, observer=_Interrupting(5))
    read = {seen.file and f"{seen.repo}/{seen.file}" for seen in hub.data_requests("*.rkllm")}
    hub.forget()
    updated(path)
    again = {seen.file and f"{seen.repo}/{seen.file}" for seen in hub.data_requests("*.rkllm")}
    # Those that were under way at that moment may come again.
    assert len(read) >= 5
    assert len(read & again) <= 4
    assert len(everything(path)) == 12


def test_two_updates_at_once_end_as_one_does(hub: Hub, path: Path, tmp_path: Path) -> None:
    for number in range(8):
        repo = hub.add_repo(f"a/{number}-rkllm", card="Quantization: w4a16")
        repo.add_file("m.rkllm", rkllm_bytes(toolkit=f"1.2.{number}"))
        repo.add_file("b.rkllm", rkllm_bytes(seed=100 + number), branch="rk3588")
    alone = tmp_path / "alone.db"
    create(alone).close()
    updated(alone)
    started = [subprocess.Popen(update_command(path)) for _ in range(2)]
    assert [process.wait(timeout=60) for process in started] == [0, 0]
    assert rows(path) == rows(alone)


def test_one_order_to_slow_down_holds_back_all_workers(hub: Hub, path: Path) -> None:
    for number in range(8):
        hub.add_repo(f"a/{number}-rkllm").add_file("m.rkllm", rkllm_bytes(seed=number))
    hub.break_it(
        Fault(path="/api/models/a/*", status=429, headers={"Retry-After": "1"}, times=1, after=2)
    )
    with Http(courtesy=Courtesy()) as http, HuggingFace(http) as source:
        report = update(source, http, path=path)
    assert report.changed == 8
    about = [seen for seen in hub.requests if "/api/models/a/" in seen.path]
    refused = next(n for n, seen in enumerate(about) if seen.status == 429)
    # Whatever was on its way at that moment came through; what came later had waited.
    assert sum(seen.status == 429 for seen in about) == 1
    assert len(about) - refused - 1 >= 5


def test_owners_are_looked_at_in_turn() -> None:
    repos = [f"owner{number}/x-rkllm" for number in range(21)]
    found = {
        repo: Listing(repository=Repository(source="huggingface", repo=repo), builds=("m.rkllm",))
        for repo in repos
    }
    met = set()
    for day in range(1, 15):
        owners = _owners(repos, found, datetime(2026, 10, day, tzinfo=timezone.utc))
        assert len(owners) < len(repos)
        met |= set(owners)
    assert met == {repo.partition("/")[0] for repo in repos}
    del found["owner3/x-rkllm"]
    for day in range(1, 15):
        assert "owner3" in _owners(repos, found, datetime(2026, 10, day, tzinfo=timezone.utc))


def test_a_new_repository_of_a_known_owner_is_found_without_any_query(
    hub: Hub, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rkfetch.catalog.update.OWNERS_ROUND", 1)
    hub.add_repo(REPO, tags=["rkllm"]).add_file(FILE, rkllm_bytes())
    updated(path)
    hub.add_repo("HanzoHuang/Qwen3-8B").add_file("m.rkllm", rkllm_bytes(seed=1))
    updated(path)
    states = {a.repo: a.availability for a in everything(path)}
    assert states["HanzoHuang/Qwen3-8B"] is Availability.LISTED
