"""Compare rkfetch with aria2c and curl over latency and loss, in one run. Needs root.

    python benchmarks/download_link.py                     RTT 50 and 200 ms, 0 and 1 % loss
    python benchmarks/download_link.py --congestion cubic --rtt 200 --loss 1 --runs 1
    python benchmarks/download_link.py --check             measure the link itself

Real TCP between two network namespaces; a forwarder in user space delays the packets and loses
some (`lab/link.py`), because not every kernel has netem. The server's congestion control decides
what a single connection reaches when packets are lost, so every cell is measured with the usual
two: cubic, and bbr if the kernel has it. Sizes are chosen by cell so that aria2c takes 10 to 15
seconds; a single connection may take eight times as long. Medians, and each round's ratio.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lab.clients import ARIA2C, CURL, HF, RKFETCH, WGET, chosen, compare
from lab.link import SERVER, link
from lab.machine import described
from lab.measure import run, table
from lab.origin import serving
from lab.sample import make_sample
from lab.stopping import stopped_in_order

if TYPE_CHECKING:
    from lab.link import Link
    from lab.origin import Origin

MEMORY = Path("/dev/shm")


def fitting_mib(link_: Link) -> int:
    """Return a size that aria2c fetches over the link in 10 to 15 s at 100 Mbit/s.

    With loss, cubic reaches about MSS / RTT x 1.2 / sqrt(loss) on each connection.
    """
    if not link_.loss_percent or link_.congestion == "bbr":
        return 128
    return 24 if link_.rtt_ms <= 100 else 8


def check(link_: Link, origin: Origin, size_bytes: int) -> None:
    """Measure round trip, loss and throughput."""
    pings = ["ping", "-q", "-n", "-c", "2000", "-i", "0.005", "-W", "2", SERVER]
    done = subprocess.run([*link_.client, *pings], check=False, capture_output=True, text=True)
    loss = re.search(r"([\d.]+)% packet loss", done.stdout)
    times = re.search(r"= ([\d.]+)/([\d.]+)/([\d.]+)", done.stdout)
    print(
        f"  2000 pings: {loss.group(1) if loss else '?'} % lost, "
        f"RTT min/avg/max {'/'.join(times.groups()) if times else '?'} ms"
    )
    fetch = ["curl", "-sSfL", "-o", "/dev/null", origin.url]
    alone = run([*link_.client, *fetch]).wall_s
    eight = ["sh", "-c", f"for n in 1 2 3 4 5 6 7 8; do {' '.join(fetch)} & done; wait"]
    together = run([*link_.client, *eight]).wall_s
    print(
        f"  {size_bytes / 1e6 / alone:.1f} MB/s on one connection, "
        f"{8 * size_bytes / 1e6 / together:.1f} MB/s on eight",
        flush=True,
    )


def available() -> list[str]:
    """Return which congestion controls there are, of the usual ones."""
    known = Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text().split()
    return [name for name in ("cubic", "bbr") if name in known]


def main() -> None:
    """Measure each cell, and print a table for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rtt", type=float, nargs="+", default=[50, 200], help="ms")
    parser.add_argument("--loss", type=float, nargs="+", default=[0, 1], help="percent")
    parser.add_argument("--congestion", nargs="+", default=available())
    parser.add_argument("--rate", type=float, default=100, help="Mbit/s of the link; 0: none")
    parser.add_argument("--mib", type=float, help="size of the file; by default by cell")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", help="parts of clients' names, with commas; rkfetch always runs")
    parser.add_argument("--timeout", type=float, default=300, help="seconds for one run")
    parser.add_argument("--check", action="store_true", help="measure the link, no clients")
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    clients = chosen((RKFETCH, CURL, WGET, ARIA2C, HF), options.only or "curl,aria2c")
    cells = [
        (rtt, loss, name)
        for rtt in options.rtt
        for loss in options.loss
        for name in options.congestion
    ]

    def fresh() -> Path:
        return Path(tempfile.mkdtemp(prefix="rkfetch-bench-", dir=MEMORY))

    print(described(), flush=True)
    with stopped_in_order():
        for rtt, loss, name in cells:
            with contextlib.ExitStack() as stack:
                folder = Path(
                    stack.enter_context(
                        tempfile.TemporaryDirectory(prefix="rkfetch-bench-", dir=MEMORY)
                    )
                )
                folder.chmod(0o755)
                link_ = stack.enter_context(
                    link(rtt_ms=rtt, loss_percent=loss, rate_mbit=options.rate, congestion=name)
                )
                mib = options.mib or ((1 if loss else 64) if options.check else fitting_mib(link_))
                sample = make_sample(folder, mib)
                origin = stack.enter_context(serving(sample, address=SERVER, inside=link_.server))
                print(f"\n{link_}; {mib:g} MiB, runs: {options.runs}", flush=True)
                if options.check:
                    check(link_, origin, sample.size_bytes)
                    continue
                rows = compare(
                    clients,
                    origin,
                    sample,
                    runs=options.runs,
                    folder_of=fresh,
                    remove=shutil.rmtree,
                    timeout_s=options.timeout,
                    inside=link_.client,
                    check_every_run=True,
                )
                text = table(rows, size_bytes=sample.size_bytes, markdown=options.markdown)
                print(text, flush=True)


if __name__ == "__main__":
    main()
