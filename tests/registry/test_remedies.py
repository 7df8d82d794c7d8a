"""The commands that mend a board are right: they are run here, as far as that goes."""

from __future__ import annotations

import hashlib
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from rkfetch.registry.compat import Level, judge_pair
from rkfetch.registry.remedies import RELEASES, best_runtime, install_runtime
from rkfetch.registry.runtimes import version_by_digest
from rkfetch.registry.versions import Version

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once


@pytest.mark.parametrize("release", RELEASES, ids=str)
def test_a_release_comes_from_its_tag_and_is_checked(release: Version) -> None:
    fetch, check, install, _ = install_runtime(release)
    assert f"/raw/release-v{release}/rkllm-runtime/Linux/librkllm_api/aarch64/" in fetch
    blob = check.rpartition(" ")[2]
    assert re.fullmatch("[0-9a-f]{40}", blob)
    assert version_by_digest(blob, "")[0] == release
    assert install.startswith("sudo install ")


def test_the_check_prints_what_git_calls_the_file(tmp_path: Path) -> None:
    content = b"\x7fELF" + bytes(range(256)) * 40
    (tmp_path / "librkllmrt.so").write_bytes(content)
    check = install_runtime(Version("1.2.3"))[1]
    done = subprocess.run(
        ["/bin/sh", "-c", check], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    expected = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    assert done.stdout.split()[0] == expected


def test_32_bit_libraries_have_no_known_digest() -> None:
    steps = install_runtime(Version("1.2.3"), machine="arm")
    assert "/armhf/" in steps[0]
    assert "sha1sum" not in "".join(steps)


@pytest.mark.parametrize(
    ("toolkit", "model", "best"),
    [
        ("1.2.3", None, "1.2.3"),
        ("1.1.4", None, "1.1.4"),
        ("1.2.1b1", None, "1.2.1"),
        ("1.2.0", None, "1.2.0"),
        ("1.3.1", None, None),
        ("1.0.1", None, None),
        ("1.2.3", "DeepSeek-R1-Distill-Qwen-1.5B", None),
        ("1.2.2", "DeepSeek-R1-Distill-Qwen-1.5B", "1.2.2"),
    ],
)
def test_the_runtime_that_suits_a_file(toolkit: str, model: str | None, best: str | None) -> None:
    found = best_runtime([Version(toolkit)], model)
    assert found == (Version(best) if best else None)
    if found is not None:
        level = judge_pair(Version(toolkit), found, model).level
        assert level in {Level.EXACT, Level.COMPATIBLE}


def test_a_floor_is_kept() -> None:
    assert best_runtime([Version("1.2.0")], at_least=Version("1.2.1")) == Version("1.2.1")
    assert best_runtime([]) is None
