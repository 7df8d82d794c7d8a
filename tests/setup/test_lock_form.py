"""The lock file: the same choices give the same text, and no text does harm."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rkfetch.catalog.setup.compare import stale
from rkfetch.catalog.setup.declaration import parse
from rkfetch.catalog.setup.lock_form import VERSION, read, write
from rkfetch.catalog.setup.locked import Lock, LockedFile, LockedModel, LockedTarget
from rkfetch.registry.compat import Level
from rkfetch.registry.errors import UsageError
from rkfetch.registry.model import Artifact, Evidence, Origin, settle

TWO = parse("""
[[target]]
name = "b"
platform = "rk3588"
runtime = "1.2.3"
[[target]]
name = "a"
platform = "rk3576"
runtime = "1.2.1"
driver = "0.9.8"
memory = "4G"
[[model]]
model = "qwen2.5-1.5b"
to = "models"
[[model]]
model = "qwen3-0.6b@w8a8"
context = 2048
allow_risky = true
optional = true
targets = ["a"]
""")


def file(number: int, path: str = "x.rkllm") -> LockedFile:
    place = {"size_bytes": 1000 + number, "sha256": f"{number:064x}", "revision": "0" * 40}
    said = {"toolkit": "1.2.3", "platform": "rk3576", "model": "Qwen2.5-1.5B-Instruct"}
    attributes = settle(
        Evidence(attribute=k, value=v, origin=Origin.HEADER, place="lock") for k, v in said.items()
    )
    known: dict[str, Any] = {**place, "attributes": attributes}
    return LockedFile(
        artifact=Artifact(source="huggingface", repo="al/x", path=path, updated="2026", **known),
        also=(Artifact(source="modelscope", repo="bo/y", path=f"RK/{path}", **known),),
    )


def locked() -> Lock:
    numbers = iter(range(1, 100))
    return Lock(
        targets=tuple(
            LockedTarget(
                name=target.name,
                target=target.target,
                models=tuple(
                    LockedModel(
                        wish=wish,
                        name="Qwen/Qwen",
                        files=(file(next(numbers), f"{wish.model}.rkllm"),),
                        level=Level.EXACT,
                        why="as made",
                    )
                    for wish in TWO.wishes_for(target.name)
                ),
            )
            for target in TWO.targets
        )
    )


def test_it_is_read_as_it_was_written_and_sorted() -> None:
    lock = locked()
    text = write(lock)
    back = read(text)
    assert [t.name for t in back.targets] == ["a", "b"]
    for target in back.targets:
        same = lock.get(target.name)
        assert same is not None
        assert target.target == same.target
        assert list(target.models) == sorted(same.models, key=lambda m: m.wish.model)
    assert write(back) == text
    assert text.isascii()
    shuffled = Lock(targets=tuple(reversed(lock.targets)))
    assert write(shuffled) == text
    assert stale(TWO, back) == []


def test_what_a_newer_rkfetch_wrote_is_refused_with_a_clear_word() -> None:
    values = {**json.loads(write(locked())), "version": VERSION + 1}
    with pytest.raises(UsageError, match="written by a newer rkfetch") as raised:
        read(json.dumps(values))
    assert "update rkfetch" in (raised.value.hint or "")


def changed(*keys: Any, to: Any) -> str:
    values = json.loads(write(locked()))
    at = values
    for key in keys[:-1]:
        at = at[key]
    at[keys[-1]] = to
    return json.dumps(values)


MODEL = ("targets", 0, "models", 0)
FILE = (*MODEL, "files", 0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        "[" * 100_000,
        '{"version": true}',
        changed("version", to=0),
        changed("version", to="1"),
        changed("targets", to=[]),
        changed("targets", 0, "name", to="b"),
        changed("targets", 0, "name", to="\x1b[2J"),
        changed("targets", 0, "platform", to="rk9999"),
        changed("targets", 0, "runtime", to="newest"),
        changed("targets", 0, "memory_bytes", to=-1),
        changed("targets", 0, "models", to=[{}] * 1001),
        changed(*MODEL, "to", to="../../etc"),
        changed(*MODEL, "to", to="/etc"),
        changed(*MODEL, "to", to="a/\u202eb"),
        changed(*MODEL, "model", to="\x1b]0;x\x07"),
        changed(*MODEL, "optional", to="yes"),
        changed(*MODEL, "files", to=[]),
        changed(*MODEL, "files", to="x"),
        changed(*MODEL, "verdict", to="perfect"),
        changed(*FILE, "sha256", to="../" * 21 + "x"),
        changed(*FILE, "sha256", to=None),
        changed(*FILE, "bytes", to=1 << 80),
        changed(*FILE, "bytes", to=True),
        changed(*FILE, "path", to="../x.rkllm"),
        changed(*FILE, "path", to="x.sh"),
        changed(*FILE, "path", to="x\n.rkllm"),
        changed(*FILE, "repo", to="../.."),
        changed(*FILE, "source", to="folder"),
        changed(*FILE, "source", to="../x"),
        changed(*FILE, "revision", to="../../main"),
        changed(*FILE, "also", 0, "path", to="/etc/passwd"),
        changed(*FILE, "attributes", to=[]),
        changed(*MODEL, "why", to="x" * 5000),
        changed(*MODEL, "why", to="\ud800"),
    ],
)
def test_what_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no lock file that can be used"):
        read(text)


def test_two_different_files_of_one_name_are_refused() -> None:
    twice = changed("targets", 0, "models", 1, "to", to="models/Qwen2.5-1.5b.RKLLM")
    with pytest.raises(UsageError) as raised:
        read(twice)
    assert "two different files would be" in raised.value.cause[0]


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=30),
    st.sampled_from(
        ["../../etc", "/etc", "a\x1b[2J", "\u202e", "http://169.254.169.254/", "~root"]
    ),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items if isinstance(value, (dict, list)) else ():
        found += _paths(inner, (*path, key)) if isinstance(inner, (dict, list)) else [(*path, key)]
    return found


EVERY = _paths(json.loads(write(locked())))


@given(st.sampled_from(EVERY), LEAVES)
def test_whatever_stands_anywhere_nothing_leads_out_or_reaches_a_terminal(
    path: tuple[Any, ...], leaf: Any
) -> None:
    try:
        lock = read(changed(*path, to=leaf))
    except UsageError:
        return
    for target in lock.targets:
        for model in target.models:
            for item, place in model.destinations():
                assert place is None or (not place.startswith("/") and ".." not in place.split("/"))
                assert len(item.sha256) == 64
                assert item.artifact.size_bytes is None or item.artifact.size_bytes >= 0
    assert read(write(lock)) == read(write(read(write(lock))))


@given(st.binary(max_size=200))
def test_any_text_is_read_or_refused(data: bytes) -> None:
    with pytest.raises(UsageError):
        read(data.decode("utf-8", "replace"))


def test_each_difference_to_the_declaration_is_one_sentence() -> None:
    text = """
[[target]]
name = "a"
platform = "rk3576"
runtime = "1.2.3"
driver = "0.9.8"
[[target]]
name = "c"
platform = "rk3588"
runtime = "1.2.3"
[[model]]
model = "qwen2.5-1.5b"
to = "elsewhere"
[[model]]
model = "qwen3-1.7b"
"""
    assert stale(parse(text), read(write(locked()))) == [
        "a: runtime is 1.2.3, was 1.2.1 when locked",
        "a: memory is not said, was 4294967296 when locked",
        "a: qwen2.5-1.5b is declared otherwise than it was locked",
        "a: qwen3-1.7b is not locked",
        "a: qwen3-0.6b@w8a8 is locked and not declared",
        "the target c is not locked",
        "the target b is locked and not declared",
    ]
