"""The checkout, the installed package and the layers agree with each other."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("registry", "catalog", "cli")


@pytest.mark.parametrize("name", PACKAGES)
def test_every_folder_is_linked_under_the_import_name(name: str) -> None:
    """The checkout and the wheel agree on what rkfetch.<name> is."""
    assert (ROOT / "src" / "rkfetch" / name).resolve() == ROOT / name


def test_no_module_is_loaded_twice() -> None:
    """Nothing imports ``registry`` when it means ``rkfetch.registry``."""
    code = f"""
import importlib, sys
for name in {PACKAGES}:
    importlib.import_module("rkfetch." + name)
from rkfetch.cli.app import build_app
build_app()
assert not set({PACKAGES}) & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


HEAVY = (
    "httpx",
    "httpx2",
    "huggingface_hub",
    "sqlite_utils",
    "rich",
    "pydantic",
    "platformdirs",
    "minisign",
    "cryptography",
)


@pytest.mark.parametrize("module", ["cli.main", "cli.app", "catalog.answer", "registry.resolve"])
def test_importing_costs_nothing_heavy(module: str) -> None:
    """A board's core is slow: what only some commands need is imported there."""
    importlib.import_module(f"rkfetch.{module}")
    code = f"import sys, rkfetch.{module}; print(*sorted(set({HEAVY}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == ""


def test_what_is_here_needs_nothing_of_downloading() -> None:
    code = "import sys, rkfetch.catalog.get; print('rkfetch.registry.transfer' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"
