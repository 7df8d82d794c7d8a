"""Compare rkfetch with curl, wget, aria2c and ``hf download`` against a Hub on nginx, in one run.

    python benchmarks/download_speed.py                                      1 GiB, loopback, memory
    python benchmarks/download_speed.py --mib 4096 --runs 3
    python benchmarks/download_speed.py --disk .                             on a disk, with fsync
    python benchmarks/download_speed.py --rate 20                            20 MB/s per connection
    python benchmarks/download_speed.py --mib 256 --rate 5 --first-byte-ms 150 --runs 3

rkfetch verifies; each peer is measured alone, followed by ``sha256sum``, and followed by
OpenSSL's SHA-256 through Python, which is several times faster on CPUs with SHA instructions.
With ``--disk`` the peers are followed by ``sync FILE``, because rkfetch has synced when it ends.
Whole processes are measured, one of each in turn; medians are printed, and the median of each
round's ratio to rkfetch. Needs nginx (and libnginx-mod-http-echo for ``--first-byte-ms``); a peer
that is not installed has a row that says so.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lab.clients import (
    ENGINE,
    FAST_HASH,
    PEERS,
    RKFETCH,
    SHA256SUM,
    chosen,
    compare,
    followed_by,
)
from lab.machine import described
from lab.measure import table
from lab.origin import serving
from lab.sample import make_sample
from lab.stopping import stopped_in_order

if TYPE_CHECKING:
    from lab.clients import Client


def clients(*, on_disk: bool, hashes: bool) -> list[Client]:
    """Return rkfetch, and each peer alone and with a check behind it."""
    found = [RKFETCH, ENGINE]
    for peer in PEERS:
        base = followed_by(peer, "sync", "sync", "{file}") if on_disk else peer
        found.append(base)
        if hashes:
            found.append(followed_by(base, "sha256sum", *SHA256SUM))
            found.append(followed_by(base, "fast hash", *FAST_HASH))
    return found


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mib", type=float, default=1024, help="size of the file")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", help="parts of clients' names, with commas; rkfetch always runs")
    parser.add_argument("--rate", type=float, default=0, help="MB/s per connection")
    parser.add_argument("--first-byte-ms", type=int, default=0)
    parser.add_argument("--plain", action="store_true", help="no redirect to a CDN")
    parser.add_argument("--disk", type=Path, help="download to this folder, not to memory")
    parser.add_argument("--no-hashes", action="store_true", help="leave the checked peers out")
    parser.add_argument("--timeout", type=float, default=600, help="seconds for one run")
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    memory = Path("/dev/shm")
    target = options.disk.resolve() if options.disk else memory
    wanted = clients(on_disk=options.disk is not None, hashes=not options.no_hashes)

    def fresh() -> Path:
        return Path(tempfile.mkdtemp(prefix="rkfetch-bench-", dir=target))

    with contextlib.ExitStack() as stack:
        stack.enter_context(stopped_in_order())
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="rkfetch-bench-", dir=memory))
        )
        folder.chmod(0o755)
        sample = make_sample(folder, options.mib)
        origin = stack.enter_context(
            serving(
                sample,
                rate=int(options.rate * 1e6),
                first_byte_ms=options.first_byte_ms,
                plainly=options.plain,
            )
        )
        print(described())
        print(f"origin: {origin.description}")
        print(
            f"file: {options.mib:g} MiB, into {'a disk' if options.disk else 'memory'}; "
            f"medians of {options.runs}\n",
            flush=True,
        )
        rows = compare(
            chosen(wanted, options.only),
            origin,
            sample,
            runs=options.runs,
            folder_of=fresh,
            remove=shutil.rmtree,
            timeout_s=options.timeout,
        )
    print(table(rows, size_bytes=sample.size_bytes, markdown=options.markdown))
    if any(row.remarks for row in rows[:1]):
        sys.exit("rkfetch failed")


if __name__ == "__main__":
    main()
