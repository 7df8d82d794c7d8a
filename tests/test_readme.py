"""The README's commands print what the README says."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
RKFETCH = Path(sys.executable).with_name("rkfetch")
BLOCKS = re.findall(r"<!-- checked: (\w+) -->\n```console\n\$ (.*)\n((?:.*\n)*?)```", README)
FILES = re.findall(r"<!-- file: ([\w.]+) -->\n```\w+\n((?:.*\n)*?)```", README)


def transcript(command: list[str], env: dict[str, str], folder: Path) -> str:
    """What a person sees: both streams in order, the machine's own folder as …."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **env, "COLUMNS": "80"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return re.sub(r"/\S*(?=/models/)", "/…", done.stdout)


@pytest.mark.parametrize(
    ("command", "shown"),
    [(c, s) for kind, c, s in BLOCKS if kind == "snapshot"],
    ids=[c for kind, c, _ in BLOCKS if kind == "snapshot"],
)
def test_what_the_shipped_catalog_says(command: str, shown: str, tmp_path: Path) -> None:
    words = shlex.split(command)
    env = {"RKFETCH_HOME": str(tmp_path), "RKFETCH_SYSROOT": str(tmp_path), "RKFETCH_OFFLINE": "1"}
    assert transcript([str(RKFETCH), *words[1:]], env, ROOT) == shown


def test_what_the_hub_of_the_tests_gives(tmp_path: Path) -> None:
    """Run one after the other, as a reader would, where the files of the README are."""
    folder = tmp_path / "here"
    folder.mkdir()
    for name, text in FILES:
        (folder / name).write_text(text)
    for kind, command, shown in BLOCKS:
        if kind == "hub":
            hub = [sys.executable, str(ROOT / "tests" / "hub"), "--home", str(tmp_path / "home")]
            words = shlex.split(command)
            env = {"RKFETCH_SYSROOT": str(tmp_path)}
            assert transcript([*hub, "--", str(RKFETCH), *words[1:]], env, folder) == shown


def test_every_command_is_in_the_readme() -> None:
    from rkfetch.cli.app import COMMANDS, GROUPS

    names = [*COMMANDS, *GROUPS, *GROUPS["catalog"]]
    assert [n for n in names if not re.search(rf"`[^`\n]*\b{n}\b", README)] == []


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda p: p.name)
def test_every_module_that_the_docs_name_is_there(page: Path) -> None:
    named = re.findall(
        r"`((?:registry|catalog|cli|tests|benchmarks|pyz)/[\w./-]+)`", page.read_text("utf-8")
    )
    assert [n for n in named if not (ROOT / n).exists()] == []


def test_every_rule_is_explained() -> None:
    from rkfetch.registry.compat import PAIR_RULES

    page = (ROOT / "docs" / "compatibility.md").read_text("utf-8")
    assert [r.rule for r in PAIR_RULES if f"`{r.rule}`" not in page] == []
