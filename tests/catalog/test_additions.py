"""What people add: exchanged as lines, kept in the catalog, undone, and private."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rkfetch.catalog.additions import (
    Addition,
    about,
    from_line,
    from_lines,
    to_lines,
    without_private,
)
from rkfetch.catalog.database import Catalog
from rkfetch.catalog.observe import Told, observe
from rkfetch.catalog.snapshot import ADDITIONS
from rkfetch.catalog.subjects import as_said, of_load
from rkfetch.registry.errors import IntegrityError, UsageError
from rkfetch.registry.model import Artifact, Evidence, Origin, Platform, settle
from rkfetch.registry.runtime_log import read_log
from rkfetch.registry.sightings import Outcome
from rkfetch.registry.store import Store
from rkfetch.registry.target import Board
from rkfetch.registry.versions import Version
from stored import CONTENT, SHA256, add

if TYPE_CHECKING:
    from pathlib import Path

    from rkfetch.catalog.writer import Writer
    from rkfetch.registry.runtime_log import Load

FILE = Artifact(
    source="huggingface", repo="alice/models", path="RK3576/Qwen3-4B_RK3576.rkllm", sha256=SHA256
)
OFF_BOARD = Board(on_board=False)
LOG = (
    b"I rkllm: rkllm-runtime version: 1.2.3, rknpu driver version: 0.9.8, platform: RK3576\n"
    b"I rkllm: loading rkllm model from /home/alice/Qwen3-4B_RK3576.rkllm\n"
    b"I rkllm: rkllm-toolkit version: 1.2.2, max_context_limit: 4096, npu_core_num: 2, "
    b"target_platform: RK3576, model_dtype: W8A8\n"
)
(LOAD,) = read_log(LOG)


def addition(**values: Any) -> Addition:
    observed: dict[str, Any] = {
        "seen": "2026-11-20",
        "origin": Origin.USER,
        "outcome": Outcome.FAILS,
        "platform": Platform.RK3576,
        "runtime": Version("1.2.3"),
    }
    return about(FILE, **{**observed, **values})


def known(catalog: Catalog, repo: str = "alice/models") -> Artifact:
    (found,) = catalog.repository("huggingface", repo)
    return found


# --- as lines ----------------------------------------------------------------------------------


TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=20
)


@given(
    st.builds(
        Addition,
        source=st.just("huggingface"),
        repo=TEXTS,
        path=TEXTS.filter(lambda t: not {"", ".", ".."} & set(t.split("/"))),
        sha256=st.sampled_from([None, SHA256]),
        seen=st.dates().map(lambda d: d.isoformat()),
        origin=st.sampled_from([Origin.USER, Origin.LOG]),
        outcome=st.sampled_from(Outcome),
        platform=st.sampled_from(Platform),
        runtime=st.sampled_from([Version("1.2.3"), Version("1.2.1b1")]),
        driver=st.sampled_from([None, Version("0.9.8")]),
        board=st.none() | TEXTS,
        note=st.none() | TEXTS,
        said=st.sampled_from([(), (("context", "4096"), ("toolkit", "1.2.3"))]),
    )
)
def test_what_is_written_is_read_again(item: Addition) -> None:
    assert from_line(item.line()) == item
    assert item.line().isascii()


def test_a_file_has_one_order_and_no_line_twice() -> None:
    items = [addition(seen=f"2026-11-{day}") for day in (20, 10, 15)]
    text = to_lines(items)
    assert to_lines([*reversed(items), *items]) == text
    assert [a.seen for a in from_lines(text.encode(), name="x")] == [
        "2026-11-10",
        "2026-11-15",
        "2026-11-20",
    ]


BAD: dict[str, dict[str, Any]] = {
    "no version": {"schema_version": 9},
    "a path that leads out": {"path": "../../etc/passwd"},
    "an absolute path": {"path": "/etc/passwd"},
    "a control character": {"note": "\x1b[2J"},
    "a direction mark": {"board": "\u202ex"},
    "a long note": {"note": "x" * 301},
    "no runtime": {"runtime": None},
    "half a version": {"runtime": "1.2"},
    "an unknown outcome": {"outcome": "great"},
    "a header's word": {"origin": "header"},
    "no day": {"seen": "yesterday"},
    "no digest": {"sha256": "12"},
    "an attribute that logs do not tell": {"said": {"model": "Qwen3-4B"}},
    "a value that means nothing": {"said": {"platform": "rk2588"}},
    "a list": {"said": ["x"]},
    "nothing at all": {"outcome": None, "said": {}},
    "no file": {"repo": "", "sha256": None},
}


@pytest.mark.parametrize("change", BAD.values(), ids=BAD)
def test_a_file_with_a_bad_line_is_refused_whole(change: dict[str, Any]) -> None:
    value = {**json.loads(addition().line()), **change}
    value = {k: v for k, v in value.items() if v is not None}
    good = to_lines([addition()])
    with pytest.raises(IntegrityError) as refused:
        from_lines(f"{good}\n{json.dumps(value)}\n".encode(), name="x.jsonl")
    assert refused.value.cause[0].startswith("line 3: ")


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["schema_version", "said", "path", "sha256", "seen", "origin"]),
                inner,
                max_size=6,
            )
        ),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_bytes_are_refused_or_empty(data: bytes) -> None:
    with suppress(IntegrityError):
        assert from_lines(data, name="x") == []


# --- what may be told --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("stops, see /home/alice/logs/a.log", "stops, see a.log"),
        ("~/m/x.rkllm is slow", "x.rkllm is slow"),
        (r"from C:\Users\alice\x.rkllm", "from x.rkllm"),
        ("see https://github.com/a/b/issues/1", "see https://github.com/a/b/issues/1"),
        ("'/mnt/usb stick' by alice on rock5", "'usb stick' by … on …"),
        ("malice and rock5b stay, 10 tokens/s", "malice and rock5b stay, 10 tokens/s"),
        ("two\nlines\x1b[2J", "two lines [2J"),
    ],
)
def test_folders_and_names_are_left_out(text: str, told: str) -> None:
    assert without_private(text, ["alice", "rock5"]) == told


@pytest.mark.parametrize(
    ("source", "repo"), [("import", ""), ("unknown", ""), ("folder", "/home/alice/secret")]
)
def test_of_a_file_on_this_disk_only_the_name_is_kept(source: str, repo: str) -> None:
    mine = Artifact(source=source, repo=repo, path="/home/alice/secret/x.rkllm", sha256=SHA256)
    observed: dict[str, Any] = {"seen": "2026-11-20", "origin": Origin.LOG}
    line = about(mine, said=(("toolkit", "1.2.3"),), **observed).line()
    assert json.loads(line)["path"] == "x.rkllm"
    assert "alice" not in line
    with pytest.raises(UsageError, match=r"the content of x\.rkllm is not known"):
        about(replace(mine, sha256=None), **observed)


# --- what is observed --------------------------------------------------------------------------


def seen(told: Told | None = None, load: Load | None = None, here: Board = OFF_BOARD) -> Addition:
    found = observe(FILE, told=told or Told(), load=load, here=here, seen="2026-11-20")
    assert found is not None
    return found


def test_what_was_told_counts_before_the_log_and_that_before_the_board() -> None:
    board = Board(
        on_board=True,
        platform=Platform.RK3576,
        runtime=Version("1.3.0"),
        driver=Version("0.9.2"),
        model="Radxa ROCK 4D",
    )
    works = Told(outcome=Outcome.WORKS)
    here = seen(works, here=board)
    assert (str(here.runtime), str(here.driver), here.board) == ("1.3.0", "0.9.2", "Radxa ROCK 4D")
    logged = seen(works, LOAD, board)
    assert (str(logged.runtime), str(logged.driver)) == ("1.2.3", "0.9.8")
    told = seen(replace(works, runtime=Version("1.2.1")), LOAD, board)
    assert (str(told.runtime), told.origin) == ("1.2.1", Origin.USER)
    other = seen(replace(works, platform=Platform.RK3588, runtime=Version("1.2.3")), None, board)
    assert (other.driver, other.board) == (None, None)


def test_a_log_alone_says_that_it_loads_and_what_is_in_it() -> None:
    alone = seen(load=LOAD)
    assert (alone.origin, alone.outcome) == (Origin.LOG, Outcome.LOADS)
    assert dict(alone.said) == {
        "toolkit": "1.2.2",
        "context": "4096",
        "npu_cores": "2",
        "platform": "rk3576",
        "quant": "w8a8",
    }


@pytest.mark.parametrize("told", [Told(outcome=Outcome.WORKS)])
def test_on_what_it_works_has_to_be_known(told: Told) -> None:
    with pytest.raises(UsageError, match="on which SoC"):
        seen(told)
    with pytest.raises(UsageError, match="with which runtime did you see that on rk3588"):
        seen(replace(told, platform=Platform.RK3588))


def test_no_file_works_on_another_soc_than_its_header_says() -> None:
    header = Evidence(attribute="platform", value="rk3576", origin=Origin.HEADER, place="x")
    read = replace(FILE, attributes=settle([header]))
    told = Told(outcome=Outcome.WORKS, platform=Platform.RK3588, runtime=Version("1.2.3"))
    with pytest.raises(UsageError, match="it cannot have been on rk3588"):
        observe(read, told=told, load=None, here=OFF_BOARD, seen="2026-11-20")


# --- kept in the catalog -----------------------------------------------------------------------


def test_an_addition_speaks_of_the_content_wherever_it_lies(
    writer: Writer, catalog: Catalog
) -> None:
    writer.record_artifact(FILE)
    writer.record_artifact(replace(FILE, repo="bob/copy"))
    writer.add(addition(said=(("toolkit", "1.2.2"),)), own=True)
    for repo in ("alice/models", "bob/copy"):
        found = known(catalog, repo)
        assert found.value("toolkit") == "1.2.2"
        assert [s.outcome for s in found.sightings] == [Outcome.FAILS]
    other = replace(FILE, sha256="9" * 64)
    writer.record_artifact(other)
    assert catalog.by_sha256("9" * 64)[0].sightings == ()


def test_of_a_content_that_is_not_known_it_speaks_of_the_place(
    writer: Writer, catalog: Catalog
) -> None:
    writer.record_artifact(replace(FILE, sha256=None))
    writer.add(replace(addition(said=(("context", "4096"),)), sha256=None), own=True)
    found = known(catalog)
    assert (found.context, len(found.sightings)) == (4096, 1)


def test_it_is_undone_without_a_trace(writer: Writer, catalog: Catalog) -> None:
    writer.record_artifact(FILE)
    before = known(catalog)
    item = addition(said=(("toolkit", "1.2.2"),))
    writer.add(item, own=True)
    writer.add(item, own=True)
    assert [(k.addition, k.own) for k in catalog.additions()] == [(item, True)]
    writer.remove_addition(item)
    assert (known(catalog), catalog.additions()) == (before, [])


def test_one_s_own_stays_one_s_own(writer: Writer, catalog: Catalog) -> None:
    writer.add(addition(), own=False)
    assert [k.own for k in catalog.additions()] == [False]
    writer.add(addition(), own=True)
    writer.add(addition(), own=False)
    assert [k.own for k in catalog.additions()] == [True]


def test_what_people_sent_ships() -> None:
    with Catalog.open() as shipped:
        (kept,) = shipped.additions()
        assert to_lines([kept.addition]) == ADDITIONS.read_text("utf-8")
        seen_of = shipped.artifact("huggingface", kept.addition.repo, kept.addition.path)
    assert not kept.own
    assert seen_of is not None
    assert [s.outcome for s in seen_of.sightings] == [Outcome.WORKS]


# --- which file a log speaks of ----------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_the_very_file_counts_before_any_name(
    writer: Writer, catalog: Catalog, store: Store
) -> None:
    item = add(store, path="RK3576/x.rkllm")
    writer.record_artifact(replace(FILE, path="RK3576/x.rkllm"))
    match = of_load(catalog, store, replace(LOAD, path=str(item.path)))
    assert match.artifact is not None
    assert (match.artifact.sha256, match.how) == (SHA256, "it is the installed file")


def test_an_installed_file_of_that_name_is_meant(catalog: Catalog, store: Store) -> None:
    add(store, path="RK3576/x.rkllm")
    match = of_load(catalog, store, replace(LOAD, path="/elsewhere/x.rkllm"))
    assert match.artifact is not None
    assert match.artifact.sha256 == SHA256


def test_a_name_that_one_known_file_has_is_enough(
    writer: Writer, catalog: Catalog, store: Store
) -> None:
    writer.record_artifact(FILE)
    writer.record_artifact(replace(FILE, repo="bob/copy"))
    match = of_load(catalog, store, LOAD)
    assert match.artifact is not None
    assert match.artifact.name == FILE.name
    writer.record_artifact(replace(FILE, repo="eve/other", sha256="9" * 64))
    assert of_load(catalog, store, LOAD).artifact is None


def test_a_size_tells_files_of_one_name_apart(
    writer: Writer, catalog: Catalog, store: Store, tmp_path: Path
) -> None:
    writer.record_artifact(replace(FILE, size_bytes=len(CONTENT)))
    writer.record_artifact(replace(FILE, repo="eve/other", sha256="9" * 64, size_bytes=5))
    file = tmp_path / "Qwen3-4B_RK3576.rkllm"
    file.write_bytes(CONTENT)
    match = of_load(catalog, store, replace(LOAD, path=str(file)))
    assert match.artifact is not None
    assert match.artifact.repo == "alice/models"


@pytest.mark.parametrize(
    ("change", "how"),
    [
        ({"path": "/m/model.rkllm"}, "'model.rkllm' may be any file"),
        ({"path": "/m/Gemma-9B.rkllm"}, "no file called 'Gemma-9B.rkllm' is known"),
        ({"path": None}, "the log does not name the file"),
        ({"path": f"/m/{'x' * 300}.rkllm"}, f"no file called '{'x' * 300}.rkllm' is known"),
        ({"path": "/m/\0.rkllm"}, "'\0.rkllm' may be any file"),
    ],
)
def test_what_is_not_certain_is_not_matched(
    writer: Writer, catalog: Catalog, store: Store, change: dict[str, Any], how: str
) -> None:
    writer.record_artifact(FILE)
    writer.record_artifact(replace(FILE, path="model.rkllm", sha256="8" * 64))
    match = of_load(catalog, store, replace(LOAD, **change))
    assert (match.artifact, match.how) == (None, how)


def test_a_file_that_was_replaced_is_either_of_two(
    writer: Writer, catalog: Catalog, store: Store
) -> None:
    writer.record_artifact(FILE)
    writer.record_artifact(replace(FILE, sha256="8" * 64))
    match = of_load(catalog, store, LOAD)
    assert (match.artifact, match.how) == (None, f"2 versions of {FILE.name} are known")


def test_a_file_that_is_known_to_be_otherwise_is_not_the_one(
    writer: Writer, catalog: Catalog, store: Store
) -> None:
    header = Evidence(attribute="toolkit", value="1.1.4", origin=Origin.HEADER, place="x")
    writer.record_artifact(replace(FILE, attributes=settle([header])))
    match = of_load(catalog, store, LOAD)
    assert match.artifact is None
    assert match.how == f"it is not {FILE.name}, whose toolkit is 1.1.4: the log says 1.2.2"
    assert as_said(known(catalog), LOAD) == match


def test_a_person_knows_better_than_a_label(writer: Writer, catalog: Catalog) -> None:
    label = Evidence(attribute="toolkit", value="1.1.4", origin=Origin.CARD, place="x")
    writer.record_artifact(replace(FILE, attributes=settle([label])))
    assert as_said(known(catalog), LOAD).artifact == known(catalog)
