"""What a rkfetch.toml may say, and how a mistake in one is told."""

from __future__ import annotations

import string
from contextlib import suppress
from pathlib import PurePosixPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rkfetch.catalog.setup.declaration import parse
from rkfetch.catalog.setup.paths import bad_place, place_of
from rkfetch.registry.errors import UsageError
from rkfetch.registry.model import Artifact, Platform, Quant
from rkfetch.registry.versions import Version

TWO_BOARDS = """
[[target]]
name = "rock-4d"
platform = "rk3576"
runtime = "1.2.3"
memory = "8G"

[[target]]
name = "opi-5"
platform = "RK3588S"
runtime = "1.2.1b1"
driver = "0.9.8"

[[model]]
model = "qwen2.5-1.5b"
quant = "w8a8"
context = 4096
to = "models"

[[model]]
model = "qwen2-vl-2b@w8a8"
targets = ["opi-5"]
optional = true
text_only = true
allow_risky = true
"""


def test_all_that_can_be_said() -> None:
    said = parse(TWO_BOARDS)
    rock, opi = said.targets
    assert (rock.name, rock.target.platform, rock.target.memory_bytes) == (
        "rock-4d",
        Platform.RK3576,
        8 << 30,
    )
    assert (opi.target.platform, opi.target.runtime) == (Platform.RK3588, Version("1.2.1b1"))
    (qwen,) = said.wishes_for("rock-4d")
    assert (qwen.model, qwen.quant, qwen.context, qwen.to) == (
        "qwen2.5-1.5b",
        Quant(8, 8),
        4096,
        "models",
    )
    also, vision = said.wishes_for("opi-5")
    assert also == qwen
    assert (vision.model, vision.quant) == ("qwen2-vl-2b", Quant(8, 8))
    assert vision.optional
    assert vision.text_only
    assert vision.policy.allow_risky
    assert not vision.policy.allow_unverified


def test_one_line_is_enough() -> None:
    said = parse('[[model]]\nmodel = "qwen2.5-1.5b"\n')
    assert said.targets == ()
    assert [w.model for w in said.wishes_for("board")] == ["qwen2.5-1.5b"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "rkfetch.toml: `model`: there is none"),
        ("[[model\n", "rkfetch.toml cannot be read"),
        ("x = 1\n", "rkfetch.toml:1: `x`: there is no such key"),
        ('[model]\nmodel = "a1b"\n', "it has to be written [[model]]"),
        ('[[model]]\nmodle = "a1b"\n', "toml:2: [[model]] 1, `modle`: there is no such key; did "),
        ("[[model]]\nquant = 'w8a8'\n", "rkfetch.toml:1: [[model]] 1, `model`: it is missing"),
        ("[[model]]\nmodel = 1\n", "rkfetch.toml:2: [[model]] 1, `model`: it has to be a text"),
        ('[[model]]\nmodel = "1"\n', "toml:2: [[model]] 1, `model`: '1' is not a model's name"),
        ('[[model]]\nmodel = "a1b"\nquant = "q4"\n', ":3: [[model]] 1, `quant`: unknown quant"),
        ('[[model]]\nmodel = "a1b"\ncontext = "4k"\n', "`context`: it has to be a whole number"),
        ('[[model]]\nmodel = "a1b"\ncontext = true\n', "`context`: it has to be a whole number"),
        ('[[model]]\nmodel = "a1b"\ncontext = -1\n', ":3: [[model]] 1, `context`: -1 is no"),
        ('[[model]]\nmodel = "a1b"\noptional = 1\n', "`optional`: it has to be true or false"),
        ('[[model]]\nmodel = "a@w8a8"\nquant="w4a16"\n', ":3: [[model]] 1, `quant`: w4a16 contra"),
        (
            '[[model]]\nmodel = "a1b"\n\n\n[[model]]\nmodel = "a1b"\n',
            ":6: [[model]] 2, `model`: a1",
        ),
        ('[[model]]\nmodel = "a1b"\ntargets = ["x"]\n', ":3: [[model]] 1, `targets`: there is no"),
        ('[[model]]\nmodel = "a1b"\nto = "../../etc"\n', ":3: [[model]] 1, `to`: '../../etc' lead"),
        ('[[model]]\nmodel = "a1b"\nto = "/etc"\n', "`to`: '/etc' is no path below the folder"),
        ('[[model]]\nmodel = "a1b"\nto = "a\\u001bb"\n', "has characters that no path should have"),
        ('[[model]]\nmodel = "folder:/x/y.rkllm"\n', "a file of this machine means nothing"),
        ('[[target]]\nname = "a"\n[[model]]\nmodel = "a1b"\n', ":1: [[target]] 1, `platform`: it"),
        (
            '[[target]]\nname = "a b"\nplatform = "rk3576"\nruntime = "1.2.3"\n',
            ":2: [[target]] 1, `name`: 'a b' is no name",
        ),
        (
            '[[target]]\nname = "a"\nplatform = "rk3577"\nruntime = "1.2.3"\n',
            ":3: [[target]] 1, `platform`: unknown platform 'rk3577'",
        ),
        (
            '[[target]]\nname = "a"\nplatform = "rk3576"\nruntime = "1.2"\n',
            ":4: [[target]] 1, `runtime`: runtime '1.2' is not a whole version",
        ),
        (
            TWO_BOARDS + '\n[[target]]\nname = "opi-5"\nplatform = "rk3588"\nruntime = "1.2.3"\n',
            "[[target]] 3, `name`: 'opi-5' is there twice",
        ),
        (
            TWO_BOARDS.replace('to = "models"', 'targets = ["opi-5"]'),
            "[[target]] 1, `name`: no model is for 'rock-4d'",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, told: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse(text)
    assert told in raised.value.message


@given(st.text(max_size=300))
@example("[[model]]\nmodel = '''\n[[model]]\n'''\n")
@example("a." * 5000 + "b = 1")
@example("x = " + "[" * 5000)
def test_whatever_it_says_it_is_read_or_refused(text: str) -> None:
    with suppress(UsageError):
        assert parse(text).wishes


PARTS = st.sampled_from(
    ["a", "..", ".", "", "~", "/", "\\", "\x1b", "\u202e", "m.rkllm", " b", "é"]
)


@given(st.one_of(st.lists(PARTS, max_size=6).map("/".join), st.text(max_size=50)))
def test_no_place_leads_out_of_the_folder(to: str) -> None:
    if bad_place(to) is not None:
        return
    for path in ("x/Model.rkllm", "../../etc/passwd", "a\x1b.rkllm", "vision.rknn"):
        artifact = Artifact(source="huggingface", repo="a/b", path=path)
        for is_model in (True, False):
            place = place_of(to, artifact, is_model=is_model)
            parts = PurePosixPath(place).parts
            assert not place.startswith(("/", "~"))
            assert ".." not in parts
            assert place.isprintable()


@given(st.lists(st.text(string.ascii_letters + "._- ", min_size=1, max_size=8), min_size=1))
def test_an_ordinary_folder_is_a_place(parts: list[str]) -> None:
    clean = [p for p in parts if p.strip(" .") and p.strip() == p and p not in {".", ".."}]
    if clean:
        assert bad_place("/".join(clean)) is None
