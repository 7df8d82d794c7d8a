"""examples/README.md tells of what is there."""

from __future__ import annotations

import re

from examples.conftest import EXAMPLES
from rkfetch.catalog.setup.declaration import parse

README = (EXAMPLES / "README.md").read_text("utf-8")


def test_every_file_is_named() -> None:
    files = [path for path in EXAMPLES.rglob("*") if path.is_file() and path.name != "README.md"]
    kinds = {path.stem if path.suffix == ".timer" else path.name for path in files}
    unnamed = [name for name in kinds if name.removesuffix(".service") not in README]
    assert files
    assert unnamed == []


def test_what_is_named_is_there() -> None:
    named = re.findall(r"^\| `([^`]+)` \|", README, re.MULTILINE)
    assert named
    assert [name for name in named if not (EXAMPLES / name).exists()] == []


def test_the_declaration_is_one() -> None:
    assert parse((EXAMPLES / "rkfetch.toml").read_text("utf-8")).wishes
