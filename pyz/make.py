"""Write ``rkfetch.pyz``: rkfetch, and what it needs of pure Python, in one file for any board.

    python pyz/make.py [FILE]       (dist/rkfetch.pyz)
    python pyz/make.py --pins       (renew requirements.txt; on the oldest Python, which needs most)

The same sources give the same bytes: what comes from PyPI is pinned with its digest, and nothing
in the file tells when or where it was made.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
PINS = Path(__file__).with_name("requirements.txt")
LEFT_OUT = {
    "cryptography": "native; without it the signature of a published catalog cannot be checked",
    "cffi": "of cryptography's",
    "pycparser": "of cryptography's",
    "hf-xet": "native; without it huggingface_hub uploads by plain HTTP",
    "markdown-it-py": "rich imports it for Markdown, which nothing here prints",
    "mdurl": "of markdown-it-py's",
    "pygments": "rich imports it for source code, which nothing here prints",
    "pip": "sqlite-utils has it for installing its plugins",
    "tzdata": "python-dateutil has it for machines without time zones",
}
"""Packages that rkfetch asks for, and that the file does without."""
_FIRST_LINES = """\
# What rkfetch.pyz carries beside rkfetch itself: these bytes and no others.
# `python pyz/make.py --pins` renews this file.
"""
_WHEELS = [
    *("--only-binary=:all:", "--implementation=cp", "--python-version=3.10"),
    *("--platform=manylinux2014_x86_64", "--platform=any"),
]
"""One wheel of each, whatever this machine is: of compiled ones the Python is taken."""
_UNWANTED = {".so", ".pyi"}
_OWN_FILES = ("__init__.py", "__main__.py", "py.typed")
_PACKAGES = ("registry", "catalog", "cli")
_NO_TIME = (1980, 1, 1, 0, 0, 0)


def make(file: Path) -> None:
    """Write the file, all at once.

    Raises:
        subprocess.CalledProcessError: pip cannot get what is pinned.
    """
    content = dict(_own())
    with tempfile.TemporaryDirectory() as folder:
        _pip("download", "--no-deps", "--require-hashes", "-r", PINS, "-d", folder, *_WHEELS)
        for wheel in sorted(Path(folder).iterdir()):
            content.update(_carried(wheel))
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as packed:
        for name in sorted(content):
            _add(packed, name, content[name], zipfile.ZIP_DEFLATED)
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f"{file.name}.new")
    with partial.open("wb") as out:
        out.write(b"#!/usr/bin/env python3\n")
        # Python reads the list of what is in it at every start: a thousand names take a board long.
        with zipfile.ZipFile(out, "a") as packed:
            _add(packed, "__main__.py", _start(content), zipfile.ZIP_DEFLATED)
            _add(packed, "content.zip", inner.getvalue(), zipfile.ZIP_STORED)
    partial.chmod(0o755)
    partial.replace(file)


def _own() -> Iterator[tuple[str, bytes]]:
    for name in _OWN_FILES:
        yield f"rkfetch/{name}", (ROOT / "src" / "rkfetch" / name).read_bytes()
    for package in _PACKAGES:
        for path in (ROOT / package).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield f"rkfetch/{path.relative_to(ROOT).as_posix()}", path.read_bytes()
    yield "rkfetch/LICENSE", (ROOT / "LICENSE").read_bytes()


def _carried(wheel: Path) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(wheel) as packed:
        for name in packed.namelist():
            top, path = name.split("/")[0], Path(name)
            unwanted = path.suffix in _UNWANTED or path.name == "RECORD" or top.endswith(".data")
            if not unwanted and not name.endswith("/"):
                yield name, packed.read(name)


def _start(content: dict[str, bytes]) -> bytes:
    """Return what runs first, which knows the digest of all that it is to unpack."""
    start = Path(__file__).with_name("start.py").read_bytes()
    digest = hashlib.sha256(start)
    for name in sorted(content):
        digest.update(f"{name}\0{len(content[name])}\0".encode())
        digest.update(content[name])
    return start.replace(b"@CONTENT@", digest.hexdigest().encode())


def _add(packed: zipfile.ZipFile, name: str, content: bytes, method: int) -> None:
    entry = zipfile.ZipInfo(name, _NO_TIME)
    entry.external_attr = 0o100644 << 16
    packed.writestr(entry, content, method, compresslevel=9)


def renew_pins() -> None:
    """Write the newest versions that rkfetch accepts into ``requirements.txt``."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        _pip("install", "--dry-run", "--report", report, "--target", folder, *_WHEELS, ROOT)
        found = json.loads(report.read_bytes())["install"]
    lines = []
    for package in found:
        name = str(package["metadata"]["name"]).lower().replace("_", "-")
        if name not in {"rkfetch", *LEFT_OUT}:
            digest = package["download_info"]["archive_info"]["hashes"]["sha256"]
            version = package["metadata"]["version"]
            lines.append(f"{name}=={version} --hash=sha256:{digest}\n")
    PINS.write_text(_FIRST_LINES + "".join(sorted(lines)), "utf-8")


def _pip(*args: str | Path) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--quiet", *map(str, args)], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=ROOT / "dist" / "rkfetch.pyz")
    parser.add_argument("--pins", action="store_true", help="renew requirements.txt instead")
    args = parser.parse_args()
    if args.pins:
        renew_pins()
    else:
        make(args.file)
        print(f"{args.file}: {args.file.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
