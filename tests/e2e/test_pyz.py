"""``rkfetch.pyz``: one file that does the whole job with a bare Python."""

from __future__ import annotations

import io
import os
import re
import runpy
import shutil
import subprocess
import sys
import zipfile
from email import message_from_bytes
from importlib.metadata import requires
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from browser.test_browse import browsing
from e2e.world import QWEN, W4
from packed import MAKE, interpreter, make_pyz
from users import ALICE, require_users, run_as
from waiting import wait_until

if TYPE_CHECKING:
    from e2e.world import World

pytestmark = pytest.mark.once

HERE = ("--runtime", "1.2.3")
MAKER = runpy.run_path(str(MAKE))
BARE = ("-I", "-S")
"""No packages of this machine, and no variables of Python's own."""


@pytest.fixture(scope="session")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pyz(tmp_path_factory)


@pytest.fixture
def bare(world: World, pyz: Path, tmp_path: Path) -> World:
    """A machine that has nothing but Python and the file."""
    world.command = [sys.executable, *BARE, str(pyz)]
    world.env |= {"HOME": str(tmp_path / "person"), "PATH": os.defpath}
    (tmp_path / "person").mkdir()
    return world


@pytest.fixture
def packed(qwen: World, bare: World) -> World:
    """The same, with the Hub of the first scenario, which its catalog knows."""
    assert qwen is bare
    return bare


def unpacked(folder: Path) -> list[Path]:
    return sorted(folder.glob("pyz/*"))


# --- what it does -------------------------------------------------------------------------------


def test_the_main_job(packed: World) -> None:
    done = packed.run("qwen2.5-1.5b", *HERE)
    (model,) = packed.models()
    assert (done.code, done.out) == (0, f"{model}\n"), done.err
    packed.hub.forget()
    assert packed.run("qwen2.5-1.5b", *HERE, "--quiet").out == done.out
    assert not packed.hub.requests


def test_it_says_what_the_installed_command_says(packed: World) -> None:
    ways: list[list[str]] = [packed.command, [str(Path(sys.executable).with_name("rkfetch"))]]
    for args in (
        ["--version"],
        ["--help"],
        ["catalog", "update", "--help"],
        ["search", "qwen2.5", "--json"],
        ["explain", "qwen2.5-1.5b", *HERE],
        ["fetch", "--no-such-option"],
        ["resolve", "no-such-model", *HERE],
        ["doctor"],
        ["convert", "no-such/model", "--platform", "rk3576", *HERE, "--dry-run"],
        ["--show-completion", "bash"],
    ):
        said = []
        for packed.command in ways:
            done = packed.run(*args)
            said.append((done.code, done.out, done.err))
        assert said[0] == said[1], args


def test_the_catalog_learns_and_is_read(packed: World) -> None:
    assert packed.run("catalog", "update").code == 0
    found = packed.run("search", "qwen2.5", *HERE, "--platform", "rk3576", "--json").json
    assert W4 in {build["path"] for build in found["results"]}


def test_the_page_fetches(packed: World) -> None:
    """By a process that finds rkfetch where the file was unpacked, and nothing in its folder."""
    reference = f"hf:{QWEN}/{W4}"
    packed.cwd = packed.home.parent
    (packed.cwd / "rkfetch.py").write_text("raise SystemExit('not ours')")
    with browsing(packed) as here:
        here.ask("POST", "/fetch", {"reference": reference}, X_Rkfetch_Key=here.key)
        wait_until(
            lambda: here.jobs()[reference]["state"] not in {"waiting", "running"}, at_most_s=120
        )
        job = here.jobs()[reference]
    assert job["state"] == "done", job


def test_a_signature_needs_what_is_not_in_it(bare: World, tmp_path: Path) -> None:
    done = bare.run("catalog", "keygen", "--no-password", str(tmp_path / "key"))
    assert done.code == 1
    assert "hint: `apt install python3-cryptography` adds it" in done.err


@pytest.mark.parametrize("version", ["3.10", "3.11", "3.12", "3.13"])
def test_on_every_python_that_is_promised(packed: World, version: str) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"there is no Python {version} on this machine")
    packed.command[0] = python
    done = packed.run("qwen2.5-1.5b", *HERE)
    assert (done.code, done.out) == (0, f"{packed.models()[0]}\n"), done.err
    assert packed.run("catalog", "update", "--quiet").code == 0


@pytest.mark.parametrize("version", ["2.7", "3.6", "3.9"])
def test_an_older_python_is_named(pyz: Path, version: str) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"there is no Python {version} on this machine")
    done = subprocess.run([python, pyz], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: rkfetch needs Python 3.10 or later; this is {version}.")


# --- where it unpacks itself ----------------------------------------------------------------------


def test_it_is_unpacked_once(bare: World) -> None:
    bare.run("list")
    (folder,) = unpacked(bare.home)
    assert folder.stat().st_mode & 0o777 == 0o700
    start = folder / "rkfetch" / "__init__.py"
    before = start.stat()
    bare.run("list")
    assert unpacked(bare.home) == [folder]
    assert start.stat() == before
    compiled = {path.parent.parent.name for path in folder.rglob("*.pyc")}
    assert {"rkfetch", "cli", "registry"} <= compiled


def test_many_first_starts_at_once(bare: World) -> None:
    running = [bare.start("list", "--json") for _ in range(8)]
    assert [(p.wait(120), p.communicate()[1]) for p in running] == [(0, "")] * 8
    assert len(unpacked(bare.home)) == 1


def test_another_version_takes_its_place_unless_it_is_in_use(bare: World, pyz: Path) -> None:
    base = bare.home / "pyz"
    for name in ("used", "unused", "torn.new", "half.gone"):
        (base / name / "rkfetch").mkdir(parents=True)
    base.chmod(0o700)
    script = f"import fcntl, os; fcntl.flock(os.open({str(base / 'used')!r}, 0), fcntl.LOCK_SH)"
    holding = subprocess.Popen(
        [sys.executable, "-c", f"{script}; print(1, flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holding.stdout is not None
    holding.stdout.readline()
    assert bare.run("list").code == 0
    holding.communicate("\n")
    assert len(unpacked(bare.home)) == 2
    assert (base / "used" / "rkfetch").is_dir()


def test_a_first_start_that_was_killed_harms_no_other(bare: World) -> None:
    process = bare.start("list")
    while not list(bare.home.glob("pyz/*.new/*")):
        if process.poll() is not None:
            pytest.fail("it was done before it could be killed")
    process.kill()
    process.communicate()
    assert bare.run("list").code == 0
    (folder,) = unpacked(bare.home)
    assert not folder.name.endswith(".new")


def test_what_others_may_write_to_is_not_run(bare: World, tmp_path: Path) -> None:
    bare.run("list")
    (bare.home / "pyz").chmod(0o777)
    for path in bare.home.rglob("cli/main.py"):
        path.write_text("raise SystemExit(99)")
    shutil.rmtree(next(bare.home.rglob("cli/__pycache__")))
    assert bare.run("list").code == 0
    assert unpacked(tmp_path / "person" / ".cache" / "rkfetch")


def test_with_no_place_of_its_own(bare: World, tmp_path: Path) -> None:
    """Another user's file, without a home folder, in the simplest locale: it leaves nothing."""
    require_users()
    passing = tmp_path / "passing"
    passing.mkdir()
    passing.chmod(0o1777)
    env = {
        "LC_ALL": "C",
        "TMPDIR": str(passing),
        "RKFETCH_SYSROOT": bare.env["RKFETCH_SYSROOT"],
    }
    asked = ["resolve", "qwen2.5-1.5b", *HERE, "--offline", "--quiet"]
    done = run_as(ALICE, [*bare.command, *asked], env=env)
    assert done.returncode == 0, done.stderr
    assert list(passing.iterdir()) == []


def test_nowhere_at_all(pyz: Path, tmp_path: Path) -> None:
    """Every place refuses: it says so, with what would help."""
    env = {"RKFETCH_HOME": "/proc/a", "XDG_CACHE_HOME": "/proc/b", "PATH": os.defpath}
    code = (
        "import sys, tempfile, runpy\n"
        "def refuse(**_): raise PermissionError(13, 'Permission denied')\n"
        "tempfile.mkdtemp = refuse\n"
        f"sys.path.insert(0, {str(pyz)!r})\n"
        f"runpy.run_path({str(pyz)!r}, run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, *BARE, "-c", code], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 8, done.stderr
    assert re.match(r"error: rkfetch.pyz finds no place .* takes 20 MB\n", done.stderr)
    assert "hint: name a folder that you may write to with RKFETCH_HOME or TMPDIR" in done.stderr


def test_a_damaged_copy_is_known(bare: World, pyz: Path, tmp_path: Path) -> None:
    torn = tmp_path / "torn.pyz"
    content = bytearray(pyz.read_bytes())
    content[len(content) // 2] ^= 1
    torn.write_bytes(content)
    bare.command[-1] = str(torn)
    done = bare.run("list")
    assert done.code == 7
    assert done.err.startswith(f"error: {torn} is damaged")
    bare.command[-1] = str(pyz)
    assert bare.run("list").code == 0


# --- how it is made -------------------------------------------------------------------------------


def content_of(pyz: Path) -> zipfile.ZipFile:
    with zipfile.ZipFile(pyz) as outer:
        return zipfile.ZipFile(io.BytesIO(outer.read("content.zip")))


def test_the_same_sources_give_the_same_bytes(pyz: Path, tmp_path: Path) -> None:
    again = tmp_path / "dist" / "again.pyz"
    MAKER["make"](again)
    assert again.read_bytes() == pyz.read_bytes()
    assert os.access(again, os.X_OK)


def test_it_holds_nothing_native_and_all_of_rkfetch(pyz: Path) -> None:
    with content_of(pyz) as packed:
        names = set(packed.namelist())
        unpacked_bytes = sum(entry.file_size for entry in packed.infolist())
    assert {n for n in names if n.endswith((".so", ".pyc"))} == set()
    assert {"rkfetch/LICENSE", "rkfetch/catalog/data/snapshot.db"} <= names
    assert len(names) > 500
    assert unpacked_bytes < 18e6  # with what Python compiles, it stays below what start.py says


def test_every_requirement_is_in_it_or_left_out_for_a_reason(pyz: Path) -> None:
    found: dict[str, str] = {}
    wanted = [Requirement(r) for r in requires("rkfetch") or ()]
    with content_of(pyz) as packed:
        for name in packed.namelist():
            if name.endswith(".dist-info/METADATA"):
                about = message_from_bytes(packed.read(name))
                found[canonicalize_name(about["Name"])] = about["Version"]
                wanted += map(Requirement, about.get_all("Requires-Dist", []))
    pythons = [{"python_version": v, "extra": ""} for v in ("3.10", "3.13")]
    for one in wanted:
        name = canonicalize_name(one.name)
        if one.marker is None or any(map(one.marker.evaluate, pythons)):
            assert (name in found) != (name in MAKER["LEFT_OUT"]), one
            assert name not in found or one.specifier.contains(found[name]), one
    assert found.keys() == {canonicalize_name(one.name) for one in wanted} & found.keys()
