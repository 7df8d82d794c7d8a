"""The file that is downloaded: a synthetic but valid ``.rkllm`` of any size."""

from __future__ import annotations

import hashlib
import random
import sys
from dataclasses import dataclass
from pathlib import Path

REPO = "bench/Qwen2.5-1.5B-RKLLM"
FILE = "qwen2.5-1.5b_rk3576_w4a16.rkllm"
MIB = 1 << 20
_TRAILER = b"rkllm-toolkit version: 1.2.3"
_TESTS = Path(__file__).parents[2] / "tests"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A file to serve, and what it should be when it has arrived."""

    path: Path
    size_bytes: int
    sha256: str

    def is_at(self, path: Path) -> bool:
        """Tell whether a file is this one, byte for byte."""
        return (
            path.is_file()
            and path.stat().st_size == self.size_bytes
            and sha256_of(path) == self.sha256
        )


def make_sample(folder: Path, mib: float) -> Sample:
    """Write a file as the tests' writer does, with noise for a body; the same for the same size."""
    sys.path.insert(0, str(_TESTS))
    from rkllm_files import rkllm_bytes

    size_bytes = int(mib * MIB)
    path = folder / FILE
    noise = random.Random(size_bytes)
    digest = hashlib.sha256()
    with path.open("wb") as file:
        left = size_bytes
        piece = rkllm_bytes(trailer=False)
        while piece:
            file.write(piece)
            digest.update(piece)
            left -= len(piece)
            body = left - len(_TRAILER)
            piece = noise.randbytes(min(MIB, body)) if body > 0 else _TRAILER[:left]
    return Sample(path=path, size_bytes=size_bytes, sha256=digest.hexdigest())


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(MIB))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
    return digest.hexdigest()


if __name__ == "__main__":
    # As a command, it checks a file against a digest: the fast hash in the benchmarks' rows.
    sys.exit(sha256_of(Path(sys.argv[1])) != sys.argv[2])
