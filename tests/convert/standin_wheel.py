"""Pack the stand-in toolkit of `standin` the way the vendor packs the real one."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from convert.standin.rkllm.api import ARCHITECTURES, MARKS
from rkllm_files import rkllm_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

_SOURCE = Path(__file__).parent / "standin" / "rkllm"
_WHEN = (2024, 1, 1, 0, 0, 0)
"""The time of every member, so that the same wheel is the same bytes."""


def write_package(folder: Path, *, version: str = "1.2.3") -> Path:
    """Write the package ``rkllm`` into a folder, which can then stand on PYTHONPATH."""
    for name, content in _package(version).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def build_wheel(
    folder: Path,
    *,
    version: str = "1.2.3",
    python: str = "3.11",
    requires: Sequence[str] = (),
) -> Path:
    """Write a wheel that pip installs on that Python, named as the vendor names his.

    ``requires`` are its pins. The same arguments give the same bytes.
    """
    tag = "cp{0}-cp{0}-linux_x86_64".format(python.replace(".", ""))
    info = f"rkllm_toolkit-{version}.dist-info"
    metadata = ["Metadata-Version: 2.1", "Name: rkllm-toolkit", f"Version: {version}"]
    metadata += [f"Requires-Dist: {pin}" for pin in requires]
    wheel = ["Wheel-Version: 1.0", "Generator: standin", "Root-Is-Purelib: false", f"Tag: {tag}"]
    members = _package(version)
    members[f"{info}/METADATA"] = "\n".join([*metadata, ""]).encode()
    members[f"{info}/WHEEL"] = "\n".join([*wheel, ""]).encode()
    record = [f"{name},{_digest(data)},{len(data)}" for name, data in members.items()]
    members[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""]).encode()

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"rkllm_toolkit-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name, _WHEN), data, zipfile.ZIP_DEFLATED)
    return path


def _package(version: str) -> dict[str, bytes]:
    members = {f"rkllm/{path.name}": path.read_bytes() for path in sorted(_SOURCE.glob("*.py"))}
    members["rkllm/version.txt"] = version.encode()
    for architecture, _ in ARCHITECTURES.values():
        members[f"rkllm/templates/{architecture}.bin"] = _template(architecture, version)
    return members


def _template(architecture: str, version: str) -> bytes:
    """Write a whole file with a mark in place of each number that a conversion decides."""
    return rkllm_bytes(
        toolkit=version,
        platform_code=MARKS["platform"],
        npu_cores=MARKS["npu_cores"],
        max_context=MARKS["max_context"],
        file_type=MARKS["file_type"],
        architecture=architecture,
        body_bytes=8192,
    )


def _digest(data: bytes) -> str:
    raw = base64.urlsafe_b64encode(hashlib.sha256(data).digest())
    return "sha256=" + raw.decode().rstrip("=")
