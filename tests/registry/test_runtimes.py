from __future__ import annotations

import errno
import hashlib
import os
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import boards
from boards import library, link, put
from rkfetch.registry import runtimes
from rkfetch.registry.runtimes import find_marker, find_runtimes, read_runtime
from rkfetch.registry.sysroot import Sysroot, why_unreadable
from rkfetch.registry.versions import Version

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rkfetch.registry.runtimes import RuntimeFound


def find(root: Path, environ: Mapping[str, str] | None = None, **kw: str) -> list[RuntimeFound]:
    return list(find_runtimes(Sysroot(root=root), environ or {}, machine=kw.get("machine")))


def chosen(found: list[RuntimeFound]) -> RuntimeFound:
    (one,) = [runtime for runtime in found if runtime.counts]
    return one


# --- the version line --------------------------------------------------------------------------


def test_the_whole_line_is_read_and_a_beta_is_not_cut() -> None:
    found = find_marker([boards.marker("1.2.1b1")])
    assert found == (Version("1.2.1b1"), "Linux", "27637c95 2025-05-02 17:46:07")


@pytest.mark.parametrize(
    ("data", "version"),
    [
        (b"RKLLM SDK (version: 1.2.3)", "1.2.3"),
        (b"RKLLM SDK (version:1.2.3 | target: Linux | build: x)", "1.2.3"),
        (b"RKLLM SDK (version: 1.2.3 | other: y | build: x | more: z)", "1.2.3"),
        (b"RKLLM SDK (version: %s | target: %s)", None),
        (b"RKLLM SDK (version: 1.2.x | target: Linux)", None),
        (b"RKLLM SDK (version: 1.2.3", None),
        (b"RKLLM SDK (version: 1.2.3\0 | target: Linux)", None),
        (b"rkllm-runtime version: 1.2.3", None),
        (b"RKLLM SDK (version: %s) RKLLM SDK (version: 1.3.0)", "1.3.0"),
        (b"RKLLM SDK (version: 1.2.3) RKLLM SDK (version: 1.3.0)", "1.2.3"),
    ],
)
def test_forms_of_the_line(data: bytes, version: str | None) -> None:
    found = find_marker([data])
    assert (str(found.version) if found else None) == version


@given(st.integers(1, 300), st.integers(0, 700))
def test_the_line_is_found_however_the_bytes_are_cut(chunk: int, before: int) -> None:
    data = b"\0" * before + boards.marker("1.2.1b1") + b"\0" * 40
    found = find_marker(data[i : i + chunk] for i in range(0, len(data), chunk))
    assert found == (Version("1.2.1b1"), "Linux", "27637c95 2025-05-02 17:46:07")


_PIECES = st.sampled_from([b"RKLLM SDK (version:", b" 1.2.3", b"%s", b" | ", b"target: ", b")"])


@given(st.lists(st.binary(max_size=40) | _PIECES, max_size=30))
def test_any_bytes_give_a_version_or_nothing(chunks: list[bytes]) -> None:
    found = find_marker(chunks)
    assert found is None or str(found.version).encode() in b"".join(chunks)


def test_a_library_made_of_false_lines_ends_soon() -> None:
    started = time.monotonic()
    assert find_marker([b"RKLLM SDK (version:" * 50_000] * 8) is None
    assert time.monotonic() - started < 5


# --- one library -------------------------------------------------------------------------------


def test_a_library_is_read(tmp_path: Path) -> None:
    put(tmp_path, "x/librkllmrt.so", library("1.2.1b1"))
    found = read_runtime(Sysroot(root=tmp_path), "/x/librkllmrt.so")
    assert found.version == Version("1.2.1b1")
    assert found.build == "27637c95 2025-05-02 17:46:07"
    assert found.machine == "aarch64"
    assert found.how == "version line in the library"
    assert found.usable
    assert found.problem is None


def test_the_line_across_two_chunks_is_read(tmp_path: Path) -> None:
    put(tmp_path, "librkllmrt.so", library("1.2.3", at=(1 << 20) - 20, size=3 << 20))
    assert read_runtime(Sysroot(root=tmp_path), "/librkllmrt.so").version == Version("1.2.3")


def test_a_library_without_a_line_is_known_by_its_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = library(None)
    put(tmp_path, "librkllmrt.so", data)
    tree = Sysroot(root=tmp_path)
    unknown = read_runtime(tree, "/librkllmrt.so")
    assert unknown.version is None
    assert unknown.problem == "no version line in it"
    blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    monkeypatch.setitem(runtimes._GIT_BLOBS, blob, "1.1.2")
    known = read_runtime(tree, "/librkllmrt.so")
    assert known.version == Version("1.1.2")
    assert known.how == (
        f"git blob {blob[:12]} in the history of https://github.com/airockchip/rknn-llm"
    )


def test_known_digests_name_versions() -> None:
    for blob in runtimes._GIT_BLOBS:
        version, how = runtimes.version_by_digest(blob, "")
        assert version is not None
        assert blob[:12] in how
    for sha256 in runtimes._SHA256:
        assert runtimes.version_by_digest("", sha256)[0] is not None
    assert runtimes.version_by_digest("", "")[0] is None


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "not a library (no ELF file)"),
        (b"<html>", "not a library (no ELF file)"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7543744\n",
            "a Git LFS pointer, not the library (run `git lfs pull`)",
        ),
    ],
)
def test_what_is_no_library_is_not_usable(tmp_path: Path, content: bytes, problem: str) -> None:
    put(tmp_path, "librkllmrt.so", content)
    found = read_runtime(Sysroot(root=tmp_path), "/librkllmrt.so")
    assert (found.version, found.usable, found.problem) == (None, False, problem)


@pytest.mark.parametrize(
    ("machine", "name"), [(183, "aarch64"), (40, "arm"), (62, "x86_64"), (9, "ELF machine 9")]
)
def test_elf_headers(machine: int, name: str) -> None:
    assert runtimes.elf_machine(boards.elf(machine)) == name


@given(st.binary(max_size=64))
def test_any_bytes_have_a_machine_only_with_an_elf_header(data: bytes) -> None:
    assert (runtimes.elf_machine(data) is None) == (len(data) < 20 or data[:4] != b"\x7fELF")


def test_unreadable_is_said_in_words() -> None:
    assert why_unreadable(PermissionError(errno.EACCES, "x")) == "not readable by this user"
    assert why_unreadable(OSError(errno.EIO, "Input/output error")) == "Input/output error"
    assert why_unreadable(OSError("odd")) == "not readable"


# --- finding and choosing ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/usr/lib/librkllmrt.so",
        "/usr/lib/aarch64-linux-gnu/librkllmrt.so",
        "/usr/local/lib/librkllmrt.so",
        "/lib/librkllmrt.so",
        "/usr/lib/arm-linux-gnueabihf/librkllmrt.so",
        "/home/rock/.config/orkllm/runtimes/librkllmrt-aarch64-v1.2.3.so",
        "/usr/local/lib/python3.11/dist-packages/rkllama/lib/librkllmrt.so",
        "/home/rock/.local/lib/python3.12/site-packages/rkllama/lib/librkllmrt.so",
        "/home/rock/rkllama/src/rkllama/lib/librkllmrt.so",
        "/data/librkllmrt.so",
        "/data/demo_Linux_aarch64/lib/librkllmrt.so",
    ],
)
def test_where_projects_put_it(tmp_path: Path, path: str) -> None:
    put(tmp_path, path, library("1.2.3"))
    (found,) = find(tmp_path)
    assert found.path == path
    assert found.version == Version("1.2.3")
    assert found.counts


def test_folders_of_the_loader_are_searched(tmp_path: Path) -> None:
    put(tmp_path, "etc/ld.so.conf", "# loader\ninclude /etc/ld.so.conf.d/*.conf\n")
    put(tmp_path, "etc/ld.so.conf.d/npu.conf", "/opt/npu/lib # here\ninclude /etc/ld.so.conf\n")
    put(tmp_path, "opt/npu/lib/librkllmrt.so", library("1.2.2"))
    (found,) = find(tmp_path)
    assert found.path == "/opt/npu/lib/librkllmrt.so"
    assert found.why == "/etc/ld.so.conf lists its folder"


def test_what_the_user_names_counts_first(tmp_path: Path) -> None:
    put(tmp_path, "usr/lib/librkllmrt.so", library("1.2.1"))
    put(tmp_path, "opt/a/librkllmrt.so", library("1.2.2"))
    put(tmp_path, "opt/b/my-librkllmrt.so", library("1.2.3"))
    environ = {"LD_LIBRARY_PATH": ":/nowhere:/opt/a", "RKLLM_LIB": "/opt/b/my-librkllmrt.so"}
    found = find(tmp_path, environ)
    assert [str(r.version) for r in found] == ["1.2.3", "1.2.2", "1.2.1"]
    assert chosen(found).why == "RKLLM_LIB names it"
    assert chosen(find(tmp_path, {"RKLLM_LIB": "/opt/a"})).version == Version("1.2.2")
    assert chosen(find(tmp_path, {"LD_LIBRARY_PATH": "/opt/a"})).version == Version("1.2.2")


def test_a_name_that_leads_nowhere_is_said(tmp_path: Path) -> None:
    put(tmp_path, "usr/lib/librkllmrt.so", library("1.2.1"))
    missing, real = find(tmp_path, {"RKLLM_LIB": "/opt/librkllmrt.so"})
    assert (missing.path, missing.problem) == ("/opt/librkllmrt.so", "not there")
    assert real.counts


def test_links_to_one_file_are_one_copy(tmp_path: Path) -> None:
    real = put(tmp_path, "opt/rk/librkllmrt.so.1.2.3", library("1.2.3"))
    link(tmp_path, "usr/lib/librkllmrt.so", "/opt/rk/librkllmrt.so.1.2.3")
    link(tmp_path, "lib", "usr/lib")
    (tmp_path / "usr/local/lib").mkdir(parents=True)
    os.link(real, tmp_path / "usr/local/lib/librkllmrt.so")
    (found,) = find(tmp_path)
    assert found.path == "/usr/lib/librkllmrt.so"
    assert found.also == ("/usr/local/lib/librkllmrt.so",)
    assert runtimes.disagreement([found]) is None


def test_a_shared_name_of_a_copy_is_its_main_one(tmp_path: Path) -> None:
    put(tmp_path, "usr/lib/librkllmrt-1.2.3.so", library("1.2.3"))
    link(tmp_path, "usr/local/lib/librkllmrt.so", "/usr/lib/librkllmrt-1.2.3.so")
    (found,) = find(tmp_path)
    assert found.path == "/usr/local/lib/librkllmrt.so"
    assert found.also == ("/usr/lib/librkllmrt-1.2.3.so",)
    assert found.shared


def test_copies_that_disagree_are_all_listed(tmp_path: Path) -> None:
    put(tmp_path, "usr/local/lib/librkllmrt.so", library("1.3.0"))
    put(tmp_path, "usr/lib/librkllmrt.so", library("1.2.1"))
    found = find(tmp_path)
    assert chosen(found).path == "/usr/lib/librkllmrt.so"
    assert runtimes.disagreement(found) == (
        "copies disagree: 1.2.1 in /usr/lib/librkllmrt.so counts, "
        "1.3.0 in /usr/local/lib/librkllmrt.so"
    )


def test_a_backup_beside_the_library_does_not_count(tmp_path: Path) -> None:
    put(tmp_path, "usr/lib/librkllmrt.so", library("1.2.3"))
    put(tmp_path, "usr/lib/librkllmrt.so.bak", library("1.1.4"))
    found = find(tmp_path)
    assert chosen(found).version == Version("1.2.3")
    assert found[1].why == "under another name than librkllmrt.so"


def test_private_copies_count_newest_first(tmp_path: Path) -> None:
    folder = "root/.config/orkllm/runtimes"
    for version in ("1.2.1", "1.3.0", "1.2.3"):
        put(tmp_path, f"{folder}/librkllmrt-aarch64-v{version}.so", library(version))
    found = find(tmp_path)
    assert [str(r.version) for r in found] == ["1.3.0", "1.2.3", "1.2.1"]
    assert chosen(found).version == Version("1.3.0")


def test_a_library_for_another_processor_or_system_does_not_count(tmp_path: Path) -> None:
    put(tmp_path, "usr/lib/librkllmrt.so", library("1.2.1", machine=boards.ARM))
    put(tmp_path, "usr/local/lib/librkllmrt.so", library("1.2.2", target="Android"))
    put(tmp_path, "opt/lib/librkllmrt.so", library("1.2.3"))
    found = find(tmp_path, {"LD_LIBRARY_PATH": "/nowhere"}, machine="aarch64")
    assert [r.problem for r in found] == [
        "built for arm, and programs here are aarch64",
        "built for Android, and this is Linux",
    ]
    assert not any(r.counts for r in found)
    found = find(tmp_path, {"LD_LIBRARY_PATH": "/opt/lib"}, machine="aarch64")
    assert chosen(found).version == Version("1.2.3")
    assert runtimes.disagreement(found) is None


def test_on_android_its_library_counts(tmp_path: Path) -> None:
    put(tmp_path, "system/build.prop", "")
    put(tmp_path, "data/librkllmrt.so", library("1.2.3", target="Android"))
    assert chosen(find(tmp_path)).version == Version("1.2.3")


def test_a_first_copy_of_unknown_version_is_not_skipped(tmp_path: Path) -> None:
    """Programs would load it: another copy's version would be a guess."""
    put(tmp_path, "usr/lib/librkllmrt.so", library(None))
    put(tmp_path, "usr/local/lib/librkllmrt.so", library("1.2.3"))
    found = find(tmp_path)
    assert chosen(found).version is None
    assert runtimes.disagreement(found) == (
        "copies disagree: unknown in /usr/lib/librkllmrt.so counts, "
        "1.2.3 in /usr/local/lib/librkllmrt.so"
    )


def test_decoys_neither_hang_nor_crash(tmp_path: Path) -> None:
    decoy = put(tmp_path, "usr/lib/librkllmrt.so", b"")
    os.truncate(decoy, 200_000_000)
    link(tmp_path, "usr/local/lib/librkllmrt.so", "librkllmrt.so")
    (tmp_path / "lib/librkllmrt.so").mkdir(parents=True)
    pipe = tmp_path / "usr/lib64"
    pipe.mkdir(parents=True)
    os.mkfifo(pipe / "librkllmrt.so")
    link(tmp_path, "usr/lib/arm-linux-gnueabihf", "/usr/lib/arm-linux-gnueabihf")
    put(tmp_path, "data/librkllmrt.so", library("1.2.3"))
    started = time.monotonic()
    found = find(tmp_path)
    assert time.monotonic() - started < 5
    assert {r.path: r.problem for r in found} == {
        "/usr/lib/librkllmrt.so": "200000000 bytes are too many for librkllmrt.so: not read",
        "/usr/local/lib/librkllmrt.so": "a loop of symbolic links",
        "/lib/librkllmrt.so": "not a regular file",
        "/usr/lib64/librkllmrt.so": "not a regular file",
        "/data/librkllmrt.so": None,
    }
    assert chosen(found).path == "/data/librkllmrt.so"


def test_links_that_leave_the_root_are_not_followed_outside(tmp_path: Path) -> None:
    put(tmp_path, "outside/librkllmrt.so", library("1.2.3"))
    root = tmp_path / "root"
    link(root, "usr/lib/librkllmrt.so", str(tmp_path / "outside/librkllmrt.so"))
    (found,) = find(root)
    assert (found.version, found.problem) == (None, "not there")


def test_very_many_copies_are_bounded(tmp_path: Path) -> None:
    for number in range(80):
        put(tmp_path, f"usr/lib/librkllmrt.so.{number}", b"")
    assert len(find(tmp_path)) == 64
