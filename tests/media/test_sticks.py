"""Exports on the file systems of real sticks: no links, no modes, whole seconds."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from carrying import MODEL, SMALL, Machine
from disks import exfat, tool
from rkfetch.registry.beside import beside

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once


def test_a_stick_with_exfat_is_written_and_read_where_it_may_only_be_read(tmp_path: Path) -> None:
    pc, board = Machine(tmp_path / "pc"), Machine(tmp_path / "board")
    chosen = pc.add_pair()
    with exfat(tmp_path) as stick:
        for place in (stick, stick / "models"):  # the stick itself, and a folder on it
            pc.export(place, chosen)
            (model,) = place.glob("*/*.rkllm")
            written = model.stat().st_mtime_ns
            pc.export(place, chosen)
            assert model.stat().st_mtime_ns == written
        pc.export_tar(stick / "models.tar", chosen)
        assert not list(stick.rglob(".*tmp")) + list(stick.rglob("*partial"))
        if os.geteuid() == 0:
            subprocess.run([tool("mount", "mount"), "-o", "remount,ro", str(stick)], check=False)
        (taken,) = board.take(stick / "models").models
        assert taken.action == "copied"
        assert taken.installed.path.read_bytes() == MODEL
        assert {f.path.name for f in beside(taken.installed)} == set(SMALL)
        other = Machine(tmp_path / "other")
        assert other.take(stick / "models.tar").models[0].installed.path.read_bytes() == MODEL


def test_a_store_on_a_stick_with_exfat_exports_to_it_too(tmp_path: Path) -> None:
    with exfat(tmp_path) as stick:
        pc = Machine(stick / "pc")
        pc.export(stick / "models", pc.add_pair())
        assert Machine(tmp_path / "board").take(stick / "models").models[0].action == "copied"
