"""Find every copy of librkllmrt.so on a board, and read its version without running it.

The library has no call and no header macro that tells its version, but its bytes hold the line
``RKLLM SDK (version: 1.2.3 | target: Linux | build: …)``. Where that line is missing, the file's
digest is looked up among Rockchip's own releases.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from .sysroot import why_unreadable
from .versions import Version, as_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from .sysroot import Sysroot

_NAME = "librkllmrt.so"
LIBRARIES = "librkllmrt*.so*"
"""What its copies are called."""
MARKER = b"RKLLM SDK (version:"
_MARKER_LINE = re.compile(
    rb"RKLLM SDK \(version: *([0-9A-Za-z.+_-]{1,32}) *(?:\|([^)\0\n]{0,300}))?\)"
)
_LINE_BYTES = 512
"""More than the longest marker line; what consecutive chunks have in common."""
_CHUNK_BYTES = 1 << 20
_MOST_FALSE_MARKERS = 64
LARGEST_BYTES = 64 << 20
"""Rockchip's libraries have 7 to 8 MB."""
_MOST_COPIES = 64

_SDK = "https://github.com/airockchip/rknn-llm"
_POINTERS = "https://github.com/Seeed-Projects/reComputer-RK-LLM"

_GIT_BLOBS = {
    "53e00993ebbc7797df09673f806479e8642db946": "1.0.0",
    "a026cbe60905af0ad6c07dfa2fcc339dd4b9fa10": "1.0.1",
    "c913ab1569dfed48916c05fcd898f8d3f9dafe04": "1.0.2b0",
    "66dfdc7c25cdca9ccf9930798118e17abf7592ff": "1.1.0",
    "bfca051375287d0f5aa754a7b8681b4ede52e259": "1.1.1",
    "e8f4afc38c7394beeff83003dbc772412f649a44": "1.1.2",
    "68e79327e82f675413956be615f48c62ccd0f16e": "1.1.3",
    "3bb8cb6172c4c06e1c622c8f8c579888378784f4": "1.1.4",
    "d45ee9b8dcb9ef27d7dd875ce3be3d5e6dfb654d": "1.2.0",
    "db041c01bba5e0e8f624bb2ff50d48825dde1bfc": "1.2.1b1",
    "6b9439d59f2fe4bb8ef5ee2b09c102f1bf993da9": "1.2.1",
    "8ed9cca16f8d5ad8f7cdd7d393de6561182b3395": "1.2.2",
    "0084abc34ab43359cfa9fd5d4c92ece34127dbd0": "1.2.3",
    "34167b32f99cb7ab19e21fb579fb750d96b878f1": "1.3.0",
}
"""Git blob SHA-1 of the Linux/aarch64 library in each tree of airockchip/rknn-llm."""

_SHA256 = {
    "bbcf28a8666b9fbf7361d6aad892b957920f6ea92400c074899b48f4c5b2c96f": (
        "1.2.3",
        _POINTERS + "/commit/2ccae0c",
    ),
    "6a9e4fc5324c68921c3a900340361e107af7599fe34dc8fa7759b2c5ae22a6e6": ("1.3.0", _POINTERS),
    "f25e9b099db08aaacd0a3ac62b4697d3951d6ae61ae41ea09f6702cfa89eb32c": (
        "1.3.1",
        "a third-party model card",
    ),
}
"""SHA-256 from public Git LFS pointers and a card: third parties' words, not Rockchip's."""

RELEASES = tuple(
    sorted({Version(v) for v in (*_GIT_BLOBS.values(), *(v for v, _ in _SHA256.values()))})
)
"""The runtimes that there are, the oldest first."""

_ELF_MACHINES = {3: "i386", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv64"}


class Marker(NamedTuple):
    """The version line in a library's bytes."""

    version: Version
    target: str | None
    """The system it was built for: ``Linux`` or ``Android``."""
    build: str | None


class Place(NamedTuple):
    """Somewhere to look for the library."""

    path: str
    """A folder, or the library itself."""
    why: str
    """Who would load a copy from there."""
    shared: bool
    """Every program finds it there; not only the one that brought it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeFound:
    """One copy of the library."""

    path: str
    """As the board sees it."""
    also: tuple[str, ...] = ()
    """Further names of the same file (hard or symbolic links)."""
    version: Version | None = None
    build: str | None = None
    """Build id and time, ``f8ca3ae8 2025-04-08 …``."""
    machine: str | None = None
    """What its ELF header says: ``aarch64``, ``arm``, …; None if it is no ELF file."""
    system: str | None = None
    """``Linux`` or ``Android``, from its version line."""
    size_bytes: int | None = None
    how: str = ""
    """Where the version was read."""
    why: str = ""
    """Who would load this copy."""
    shared: bool = False
    """Every program finds it; not only the one that brought it."""
    usable: bool = False
    """A program here could load it, as far as can be seen."""
    counts: bool = False
    """This is the copy that rkfetch resolves for."""
    problem: str | None = None


# --- reading one library -----------------------------------------------------------------------


def find_marker(chunks: Iterable[bytes]) -> Marker | None:
    """Find the first version line in consecutive chunks of a library."""
    tail = b""
    false_markers = 0
    for chunk in chunks:
        window = tail + chunk
        at = window.find(MARKER)
        while at >= 0:
            match = _MARKER_LINE.match(window, at, at + _LINE_BYTES)
            version = as_version(match[1].decode("ascii")) if match else None
            if match and version:
                return _marker(version, match[2] or b"")
            # A line that the chunk cuts off is seen whole with the next one.
            false_markers += at + _LINE_BYTES <= len(window)
            if false_markers > _MOST_FALSE_MARKERS:
                return None
            at = window.find(MARKER, at + 1)
        tail = window[-_LINE_BYTES:]
    return None


def _marker(version: Version, rest: bytes) -> Marker:
    fields = dict.fromkeys(("target", "build"), "")
    for part in rest.decode("utf-8", "replace").split("|"):
        name, _, value = part.partition(":")
        fields[name.strip()] = value.strip()
    return Marker(version, fields["target"] or None, fields["build"] or None)


def elf_machine(head: bytes) -> str | None:
    """Read the processor from the first 20 bytes of an ELF file; None if it is none."""
    if len(head) < 20 or head[:4] != b"\x7fELF":
        return None
    order = "big" if head[5] == 2 else "little"
    number = int.from_bytes(head[18:20], order)  # type: ignore[arg-type]
    return _ELF_MACHINES.get(number, f"ELF machine {number}")


def version_by_digest(git_blob: str, sha256: str) -> tuple[Version | None, str]:
    """Look up a library among known releases: its version, and the source of that."""
    if text := _GIT_BLOBS.get(git_blob):
        return as_version(text), f"git blob {git_blob[:12]} in the history of {_SDK}"
    if known := _SHA256.get(sha256):
        return as_version(known[0]), f"SHA-256 {sha256[:12]}, known from {known[1]}"
    return None, "no version line, and the digest of no known release"


def git_blob_of(version: Version) -> str | None:
    """Return the Git blob SHA-1 of a release's Linux/aarch64 library; None if it is not known."""
    return next((blob for blob, text in _GIT_BLOBS.items() if Version(text) == version), None)


def read_runtime(tree: Sysroot, path: str) -> RuntimeFound:
    """Read what one library says about itself; a file that cannot be read says why."""
    found = RuntimeFound(path=path)
    try:
        with tree.open(path) as stream:
            size = os.fstat(stream.fileno()).st_size
            found = replace(found, size_bytes=size)
            head = stream.read(64) or b""
            found = replace(found, machine=elf_machine(head))
            if size > LARGEST_BYTES:
                problem = f"{size} bytes are too many for {_NAME}: not read"
                return replace(found, problem=problem, usable=found.machine is not None)
            if head.startswith(b"version https://git-lfs.github.com/spec/"):
                return replace(
                    found, problem="a Git LFS pointer, not the library (run `git lfs pull`)"
                )
            return _read_version(found, stream, size)
    except OSError as error:
        return replace(found, problem=why_unreadable(error))


def _read_version(found: RuntimeFound, stream: BinaryIO, size: int) -> RuntimeFound:
    marker = find_marker(_chunks(stream))
    if marker is not None:
        return replace(
            found,
            version=marker.version,
            build=marker.build,
            system=marker.target,
            how="version line in the library",
            usable=True,
        )
    git_blob = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    sha256 = hashlib.sha256()
    for chunk in _chunks(stream):
        git_blob.update(chunk)
        sha256.update(chunk)
    version, how = version_by_digest(git_blob.hexdigest(), sha256.hexdigest())
    problem = None
    if version is None:
        problem = "no version line in it" if found.machine else "not a library (no ELF file)"
    usable = version is not None or found.machine is not None
    return replace(found, version=version, how=how, usable=usable, problem=problem)


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    """Read from the start, never more than the cap, even if the file grows meanwhile."""
    stream.seek(0)
    left = LARGEST_BYTES
    while left > 0 and (chunk := stream.read(min(_CHUNK_BYTES, left))):
        left -= len(chunk)
        yield chunk


# --- finding the libraries ---------------------------------------------------------------------

SYSTEM_FOLDERS = (
    "/usr/lib",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/local/lib",
    "/lib",
    "/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib/arm-linux-gnueabihf",
)
NAMED_BY = ("RKLLM_LIB", "RKLLM_LIB_PATH", "ORKLLM_LIB_PATH")


def places(tree: Sysroot, environ: Mapping[str, str]) -> list[Place]:
    """List where to look, in the order in which a copy counts.

    /usr/lib comes before the folders of ld.so.conf because most programs open
    ``/usr/lib/librkllmrt.so`` by its full path.
    """
    return [
        *_places_from_environment(tree, environ),
        *(Place(folder, "a system library folder", True) for folder in SYSTEM_FOLDERS),
        *(Place(f, "/etc/ld.so.conf lists its folder", True) for f in _loader_folders(tree)),
        *_private_places(tree, environ),
    ]


def _places_from_environment(tree: Sysroot, environ: Mapping[str, str]) -> Iterator[Place]:
    named = [(environ.get(variable, ""), f"{variable} names it") for variable in NAMED_BY]
    folders = re.split("[:;]", environ.get("LD_LIBRARY_PATH", ""))
    named += [(folder, "LD_LIBRARY_PATH lists its folder") for folder in folders]
    for path, why in named:
        if path.startswith("/"):
            yield Place(path, why, True)
        elif path and tree.is_live:
            yield Place(str(Path(path).absolute()), why, True)


def _loader_folders(tree: Sysroot, conf: str = "/etc/ld.so.conf", depth: int = 0) -> Iterator[str]:
    for raw in (tree.read(conf).text or "").splitlines():
        line = raw.partition("#")[0].strip()
        if line.startswith("include") and depth < 4:
            for pattern in line.split()[1:]:
                absolute = pattern if pattern.startswith("/") else f"/etc/{pattern}"
                for included in tree.glob(absolute):
                    yield from _loader_folders(tree, included, depth + 1)
        elif line.startswith("/"):
            yield line


_PACKAGES = "lib/python3*/*-packages/rkllama"
_CHECKOUTS = (
    "RKLLAMA/{inner}",
    "rkllama/src/rkllama/{inner}",
    f".local/share/pipx/venvs/rkllama/{_PACKAGES}/{{inner}}",
)
_ORKLLM_IN_HOME = ".config/orkllm/runtimes"
_DEMOS = ("/data", "/data/lib", "/data/*/lib", "/data/demo*")


def homes_of(tree: Sysroot, environ: Mapping[str, str]) -> list[str]:
    """Return the homes in which somebody may have installed something, the user's own first."""
    homes = [h for h in (environ.get("HOME"), "/root") if h]
    return list(dict.fromkeys([*homes, *(f"/home/{name}" for name in tree.names("/home"))]))


def private_folders() -> tuple[list[str], list[str]]:
    """Return patterns of the folders where programs keep their own copies.

    The first are of the whole machine, the second below the home of each user.
    """
    whole = [f"{prefix}/{_PACKAGES}/lib" for prefix in ("/usr", "/usr/local")]
    below = [f".local/{_PACKAGES}/lib", *(c.format(inner="lib") for c in _CHECKOUTS)]
    return [*whole, *_DEMOS], [*below, _ORKLLM_IN_HOME]


def rkllama_folders(tree: Sysroot, environ: Mapping[str, str], inner: str) -> Iterator[str]:
    """Yield the folders of this name in what is installed of rkllama, packages before checkouts."""
    homes = homes_of(tree, environ)
    prefixes = ["/usr", "/usr/local", *(f"{home}/.local" for home in homes)]
    prefixes += [environ["VIRTUAL_ENV"]] if environ.get("VIRTUAL_ENV") else []
    patterns = [f"{prefix}/{_PACKAGES}/{inner}" for prefix in prefixes]
    patterns += [f"{home}/{below.format(inner=inner)}" for home in homes for below in _CHECKOUTS]
    for pattern in dict.fromkeys(patterns):
        yield from tree.glob(pattern)


def _private_places(tree: Sysroot, environ: Mapping[str, str]) -> Iterator[Place]:
    for folder in rkllama_folders(tree, environ, "lib"):
        yield Place(folder, "rkllama brings it", False)
    for home in homes_of(tree, environ):
        yield Place(f"{home}/{_ORKLLM_IN_HOME}", "oRKLLM keeps it, newest first", False)
    for pattern in _DEMOS:
        for folder in tree.glob(pattern):
            yield Place(folder, "beside a demo in /data", False)


def find_runtimes(
    tree: Sysroot, environ: Mapping[str, str], *, machine: str | None = None
) -> tuple[RuntimeFound, ...]:
    """Find and read all copies, in the order in which they count, links folded into one.

    ``machine`` is the processor that the board's programs are built for: a library for another
    one is listed, and does not count.
    """
    found: dict[tuple[int, int] | str, RuntimeFound] = {}
    folders: set[str] = set()
    for place in places(tree, environ):
        for path, exact in _copies_at(tree, place, folders):
            status = tree.stat(path)
            key = (status.st_dev, status.st_ino) if status else path
            why = place.why if exact else f"under another name than {_NAME}"
            shared = place.shared and exact
            if key in found:
                found[key] = _fold(found[key], path, why, shared=shared)
            elif len(found) < _MOST_COPIES:
                found[key] = replace(read_runtime(tree, path), why=why, shared=shared)
    system = "Android" if tree.exists("/system/build.prop") else "Linux"
    return _choose([_suits(r, machine, system) for r in found.values()])


def _fold(known: RuntimeFound, path: str, why: str, *, shared: bool) -> RuntimeFound:
    """Note another name of a known copy; a name that every program finds becomes the main one."""
    if path in (known.path, *known.also):
        return known
    if shared and not known.shared:
        return replace(known, path=path, also=(known.path, *known.also), why=why, shared=True)
    return replace(known, also=(*known.also, path))


def _copies_at(tree: Sysroot, place: Place, seen: set[str]) -> Iterator[tuple[str, bool]]:
    """Yield each copy at a place, and whether programs would find it under this name."""
    path = place.path.rstrip("/") or "/"
    resolved = tree.resolve(path)
    if resolved is None or resolved in seen:
        return
    names = tree.names(path)
    if not names and fnmatchcase(path.rpartition("/")[2], "*.so*"):
        yield path, True
        return
    seen.add(resolved)
    for name in (n for n in names if fnmatchcase(n, LIBRARIES)):
        yield f"{path.rstrip('/')}/{name}", name == _NAME or not place.shared


def _suits(runtime: RuntimeFound, machine: str | None, system: str) -> RuntimeFound:
    """Mark a copy that was built for another processor or system as unusable."""
    if machine and runtime.machine and runtime.machine != machine:
        problem = f"built for {runtime.machine}, and programs here are {machine}"
    elif runtime.system and runtime.system != system:
        problem = f"built for {runtime.system}, and this is {system}"
    else:
        return runtime
    return replace(runtime, usable=False, problem=problem)


def _choose(found: list[RuntimeFound]) -> tuple[RuntimeFound, ...]:
    """Put shared copies first, private ones newest first, and mark the first usable one."""
    owners = list(dict.fromkeys(runtime.why for runtime in found))
    private = [runtime for runtime in found if not runtime.shared]
    private.sort(key=lambda r: r.version or Version("0"), reverse=True)
    private.sort(key=lambda r: owners.index(r.why))
    ordered = [*(runtime for runtime in found if runtime.shared), *private]
    for index, runtime in enumerate(ordered):
        if runtime.usable:
            ordered[index] = replace(runtime, counts=True)
            break
    return tuple(ordered)


def disagreement(found: Iterable[RuntimeFound]) -> str | None:
    """Say which versions contradict the one that counts; None if all known ones agree."""
    found = list(found)
    chosen = next((r for r in found if r.counts), None)
    if chosen is None:
        return None
    others = [r for r in found if r.usable and r.version not in {None, chosen.version}]
    if not others:
        return None
    listed = ", ".join(f"{r.version} in {r.path}" for r in others[:4])
    return f"copies disagree: {chosen.version or 'unknown'} in {chosen.path} counts, {listed}"
