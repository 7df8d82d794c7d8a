"""A person finds builds by the words that come to mind, those that fit the board first."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from rkfetch.catalog import order
from rkfetch.catalog import search as search_module
from rkfetch.catalog.database import Catalog
from rkfetch.catalog.entries import Companion, Repository
from rkfetch.catalog.filters import Filters, Sizes, Toolkits
from rkfetch.catalog.near import why_nothing
from rkfetch.catalog.search import Query, search
from rkfetch.catalog.writer import Writer
from rkfetch.registry.compat import Level
from rkfetch.registry.errors import UsageError
from rkfetch.registry.memory import Fit
from rkfetch.registry.model import (
    Artifact,
    Availability,
    Evidence,
    Origin,
    Platform,
    Quant,
    Target,
    settle,
)
from rkfetch.registry.versions import Version

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rkfetch.catalog.search import Found

BOARD = Target(platform=Platform.RK3576, runtime=Version("1.2.3"), memory_bytes=8 << 30)


@pytest.fixture
def catalog() -> Iterator[Catalog]:
    with Catalog.open() as catalog:
        yield catalog


def find(
    catalog: Catalog, text: str = "", *, limit: int | None = None, sort: str = "fit", **filters: Any
) -> Found:
    query = Query(text=text, filters=Filters(**filters), target=BOARD, sort=sort)
    return search(catalog, query, limit=limit)


def artifacts(found: Found) -> list[Artifact]:
    return [hit.artifact for hit in found.hits]


def build(repo: str, path: str = "x.rkllm", **facts: Any) -> Artifact:
    known = {"platform": "rk3576", "toolkit": "1.2.3", "quant": "w8a8", "params_b": 1}
    known |= {"model": "Zebra-1B"} | facts
    evidence = [
        Evidence(attribute=name, value=str(value), origin=Origin.CARD, place="card")
        for name, value in known.items()
        if value is not None
    ]
    return Artifact(source="huggingface", repo=repo, path=path, attributes=settle(evidence))


def record(*artifacts: Artifact) -> None:
    with Writer.open() as writer, writer.transaction():
        for artifact in artifacts:
            writer.record_artifact(artifact)


@pytest.mark.parametrize(
    "text",
    [
        "qwen2.5-1.5b-instruct",
        "Qwen2.5 1.5B",
        "qwen 2.5 1.5b",
        "hanzohuang qwen2.5-1.5b",
        "HanzoHuang/Qwen2.5-1.5B-Instruct-RKLLM",
        "qwen2.5-1.5b rk3576",
        "qwen 1.5b w4a16",
        "hanzoh qwen 1.5",
        "instr qwen2.5 1.5b",
    ],
)
def test_a_model_is_found_however_it_is_written(catalog: Catalog, text: str) -> None:
    assert "HanzoHuang/Qwen2.5-1.5B-Instruct-RKLLM" in {
        a.repo for a in artifacts(find(catalog, text))
    }


@pytest.mark.parametrize(
    "text",
    ['"', "qwen2.5 AND", "NEAR(", "a*b", "-", "model:x", "(", "'; DROP TABLE builds; --", "  ", ""],
)
def test_no_text_is_a_syntax_error(catalog: Catalog, text: str) -> None:
    found = find(catalog, text)
    why_nothing(catalog, Query(text=text, filters=Filters(), target=BOARD))
    assert found.matches is not None


def test_words_that_nothing_has_find_nothing(catalog: Catalog) -> None:
    assert find(catalog, "qwen2.5 nonesuch").matches == 0


def test_a_fact_is_a_word_though_no_name_has_it(catalog: Catalog) -> None:
    record(build("alice/thing", "model.rkllm", quant="w4a16_g128", model="Zebra-1B"))
    for text in ("zebra w4a16", "zebra rk3576", "zebra 1.2.3", "w4a16_g128 zebra"):
        assert [a.repo for a in artifacts(find(catalog, text))] == ["alice/thing"], text


def test_chinese_names_are_found_by_a_part_of_them(catalog: Catalog) -> None:
    record(build("alice/通义千问2.5-7B", model=None))
    for text in ("千问", "通义", "问", "通义千问 2.5"):
        assert [a.repo for a in artifacts(find(catalog, text))] == ["alice/通义千问2.5-7B"]
    assert artifacts(find(catalog, "义问")) == []


# --- the order ---------------------------------------------------------------------------------


def test_verdict_then_memory_then_evidence_then_closeness_decide(catalog: Catalog) -> None:
    header = replace(build("z/header"), sha256="a" * 64)
    read = [
        Evidence(attribute=name, value=value, origin=Origin.HEADER, place="header")
        for name, value in (("platform", "rk3576"), ("toolkit", "1.2.3"))
    ]
    record(
        build("z/other-chip", platform="rk3588"),
        build("z/too-large", params_b=70),
        build("z/unknown", toolkit=None),
        build("z/older", toolkit="1.2.2"),
        build("z/fine-tune", model="Zebra-1B-tuned"),
        build("z/plain"),
        build("z/tight", params_b=6.1),
    )
    with Writer.open() as writer:
        writer.record_artifact(header)
        writer.record_evidence(header, read)
    found = find(catalog, "zebra 1b", uploader="z")
    assert [a.repo[2:] for a in artifacts(found)] == [
        *("header", "plain", "fine-tune", "tight", "older", "unknown", "too-large", "other-chip"),
    ]
    assert [h.candidate.verdict.level for h in found.hits[:6]] == [
        *([Level.EXACT] * 4), Level.COMPATIBLE, Level.UNKNOWN,
    ]  # fmt: skip
    assert found.hits[-2].candidate.fit is Fit.TOO_LARGE


def test_what_cannot_be_fetched_comes_after_what_can(catalog: Catalog) -> None:
    record(
        replace(build("z/by-hand"), availability=Availability.MANUAL),
        build("z/adapter", role="lora"),
        build("z/risky", toolkit="1.2.0"),
    )
    repos = [a.repo for a in artifacts(find(catalog, uploader="z"))]
    assert repos[0] == "z/risky"


def test_gone_and_rejected_builds_are_not_found(catalog: Catalog) -> None:
    gone, bad, doubted = (
        build("z/gone"),
        build("z/bad"),
        replace(build("z/doubted"), sha256="b" * 64),
    )
    record(gone, bad, doubted)
    with Writer.open() as writer:
        writer.drop_repository("huggingface", "z/gone", note="removed")
        writer.reject(bad, "it is a page")
        writer.doubt("b" * 64, "it looked odd")
    assert artifacts(find(catalog, uploader="z")) == []
    record(gone)
    assert [a.repo for a in artifacts(find(catalog, uploader="z"))] == ["z/gone"]


def test_a_name_that_changed_is_found_by_the_new_one_only(catalog: Catalog) -> None:
    record(build("z/thing"))
    with Writer.open() as writer:
        said = Evidence(attribute="model", value="Okapi-1B", origin=Origin.CURATED, place="list")
        writer.record_evidence(build("z/thing", model=None), [said])
    assert len(artifacts(find(catalog, "okapi"))) == 1
    assert artifacts(find(catalog, "zebra")) == []


@pytest.mark.parametrize("text", ["qwen", "", "rk3576 qwen"])
def test_many_finds_give_the_same_as_all_ranked(
    catalog: Catalog, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where reading stops early, nothing that fits better is passed over."""
    filters = Filters(platform=Platform.RK3576)
    query = Query(text=text, filters=filters, target=BOARD)
    every = search(catalog, query, limit=None)
    monkeypatch.setattr(search_module, "FEW", 3)
    some = search(catalog, query, limit=12)
    assert some.matches is None
    tiers = [(h.candidate.verdict.level, h.candidate.fit) for h in some.hits]
    assert tiers == [(h.candidate.verdict.level, h.candidate.fit) for h in every.hits[:12]]
    assert {h.artifact.name for h in some.hits} <= {h.artifact.name for h in every.hits}


def test_more_toolkits_than_have_numbers_are_still_found(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order, "MOST_TOOLKITS", 2)
    versions = [f"1.9.{n}" for n in range(8)]
    record(*(build(f"z/{v}", toolkit=v) for v in versions))
    monkeypatch.setattr(search_module, "FEW", 3)
    found = find(catalog, uploader="z", limit=20, toolkit=Toolkits.parse(">=1.9.5"))
    assert {a.repo for a in artifacts(found)} == {f"z/{v}" for v in versions[5:]}


def test_the_limit_holds_and_the_order_is_always_the_same(catalog: Catalog) -> None:
    first = find(catalog, "qwen", limit=5)
    assert (len(first.hits), first.matches) == (5, len(find(catalog, "qwen").hits))
    assert find(catalog, "qwen", limit=5) == first


@pytest.mark.parametrize(
    ("sort", "repos"),
    [
        ("name", ["z/b", "z/c", "z/a"]),
        ("size", ["z/c", "z/a", "z/b"]),
        ("new", ["z/a", "z/b", "z/c"]),
        ("downloads", ["z/b", "z/a", "z/c"]),
        ("speed", ["z/b", "z/a", "z/c"]),
    ],
)
def test_other_orders(catalog: Catalog, sort: str, repos: list[str]) -> None:
    record(
        replace(build("z/a", model="Qwen9-1B"), size_bytes=2_000, updated="2026-03-01T00:00:00Z"),
        replace(build("z/b", model="Qwen3-1.7B"), size_bytes=3_000, updated="2026-02-01T00:00:00Z"),
        replace(build("z/c", model="Qwen8-1B"), size_bytes=1_000),
    )
    with Writer.open() as writer:
        for repo, downloads in (("z/a", 5), ("z/b", 50)):
            row = Repository(source="huggingface", repo=repo, downloads=downloads)
            writer.record_repository(row, seen="2026-01-01")
    assert [a.repo for a in artifacts(find(catalog, uploader="z", sort=sort))] == repos
    assert [a.repo for a in artifacts(find(catalog, uploader="z", sort=sort, limit=2))] == repos[:2]


# --- filters -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filters", "repos"),
    [
        ({"platform": Platform.RK3588}, "other nothing"),
        ({"quant": Quant(4, 16)}, "small nothing"),
        ({"quant": Quant(4, 16, 32)}, "nothing"),
        ({"toolkit": Toolkits.parse(">=1.2,<1.2.3")}, "disputed nothing other"),
        ({"toolkit": Toolkits.parse("1.3.0")}, "disputed large nothing"),
        ({"runtime": Version("1.2.3")}, "disputed nothing other small"),
        ({"context": 8192}, "large nothing other small"),
        ({"memory_bytes": 4 << 30}, "disputed nothing other small"),
        ({"size": Sizes.parse("<2G")}, "disputed nothing other small"),
        ({"size": Sizes.parse(">=2GB")}, "disputed large nothing other"),
        ({"licence": "MIT"}, "disputed large nothing small"),
        ({"vision": True}, "large nothing"),
        ({"vision": False}, "disputed nothing other small"),
        ({"uploader": "Z"}, "disputed large nothing other small"),
        ({"uploader": "y"}, ""),
    ],
)  # fmt: skip
def test_filters_leave_out_only_what_is_known_to_differ(
    catalog: Catalog, filters: dict[str, Any], repos: str
) -> None:
    large = replace(
        build("z/large", toolkit="1.3.0", context=16384, params_b=8), size_bytes=9 * 10**9
    )
    said_twice = [
        Evidence(attribute="toolkit", value=v, origin=Origin.CARD, place=v)
        for v in ("1.2.2", "1.3.0")
    ]
    disputed = build("z/disputed", toolkit=None, context=4096)
    disputed = replace(disputed, attributes={**disputed.attributes, **settle(said_twice)})
    vision = Companion(role="vision", repo="z/large", path="v.rknn")
    record(
        replace(build("z/small", quant="w4a16_g128"), size_bytes=10**9),
        build("z/other", platform="rk3588", toolkit="1.2.0"),
        Artifact(source="huggingface", repo="z/nothing", path="model.rkllm"),
        disputed,
    )
    with Writer.open() as writer:
        writer.record_artifact(large, companions=[vision])
        for repo, licence in (("z/other", "apache-2.0"), ("z/small", "mit")):
            row = Repository(source="huggingface", repo=repo, license=licence)
            writer.record_repository(row, seen="2026-01-01")
    found = find(catalog, **{"uploader": "z", **filters})
    assert {a.repo[2:] for a in artifacts(found)} == set(repos.split())


def test_what_passes_unknown_is_marked(catalog: Catalog) -> None:
    record(Artifact(source="huggingface", repo="z/nothing", path="model.rkllm"))
    (hit,) = find(
        catalog, uploader="z", platform=Platform.RK3576, quant=Quant(4, 16),
        toolkit=Toolkits.parse("1.2.3"), runtime=Version("1.2.3"), context=4096,
        memory_bytes=4 << 30, size=Sizes.parse("2G"), licence="mit", vision=True,
    ).hits  # fmt: skip
    assert hit.unknown == (
        *("platform", "quant", "toolkit", "runtime", "context", "memory_bytes", "size", "licence"),
        "vision",
    )


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("2G", 0, 2 * 10**9),
        ("<1.5GB", 0, 1_499_999_999),
        (">=500M,<2GiB", 500_000_000, 2 * 1024**3 - 1),
        ("> 5", 6, 1 << 62),
    ],
)
def test_sizes_are_read(text: str, least: int, most: int) -> None:
    assert (Sizes.parse(text).least, Sizes.parse(text).most) == (least, most)


@pytest.mark.parametrize("text", ["", "big", "-1G", "1G-2G", "<", "9" * 30])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Sizes.parse(text)


@pytest.mark.parametrize("text", ["", "new", "1.2.x.y", ">=", "1.2 1.3"])
def test_other_ranges_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Toolkits.parse(text)


# --- nothing -----------------------------------------------------------------------------------


def nothing(catalog: Catalog, text: str, **filters: Any) -> Any:
    query = Query(text=text, filters=Filters(**filters), target=BOARD)
    assert search(catalog, query).hits == ()
    return why_nothing(catalog, query)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("qwne 1.5b", "qwen 1.5b"),
        ("wqen", "qwen"),
        ("deepsek r1", "deepseek r1"),
        ("qwen25", "qwen2.5"),
        ("hanzohunag qwen3", "hanzohuang qwen3"),
        ("llama32", "llama3.2"),
    ],
)
def test_misspelt_words_are_recognised(catalog: Catalog, typed: str, meant: str) -> None:
    first = nothing(catalog, typed).suggestions[0]
    assert first.text == meant
    assert first.matches == find(catalog, meant).matches


def test_nonsense_suggests_nothing(catalog: Catalog) -> None:
    assert nothing(catalog, "zzzzzzzz").suggestions == ()


def test_each_filter_and_word_that_stood_in_the_way_is_counted(catalog: Catalog) -> None:
    why = nothing(catalog, "minicpm4", runtime=Version("1.2.3"))
    assert [(o.text, o.is_filter, o.matches) for o in why.obstacles] == [
        ("--runtime 1.2.3", True, 3)
    ]
    assert why.together == 3
    assert why.nearest.artifact.repo == "HanzoHuang/MiniCPM4-0.5B-RKLLM"
    why = nothing(catalog, "qwen 99b w4a16")
    assert [o.text for o in why.obstacles] == ["99b"]


def test_filters_that_only_together_exclude_everything(catalog: Catalog) -> None:
    why = nothing(
        catalog,
        "minicpm4",
        runtime=Version("1.2.3"),
        toolkit=Toolkits.parse("==1.3.0"),
        size=Sizes.parse("2"),
    )
    assert [o.text for o in why.obstacles] == ["--runtime 1.2.3"]
    why = nothing(catalog, "minicpm4", runtime=Version("1.2.3"), uploader="nobody")
    assert why.obstacles == ()
    assert why.together == 3
    assert why.nearest is not None
