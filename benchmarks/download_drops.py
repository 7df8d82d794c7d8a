"""Download over a link that drops each connection after 3 MB, and count what was sent in vain.

    python benchmarks/download_drops.py
    python benchmarks/download_drops.py --mib 256 --only curl,aria2c

Two kinds of drop: the connection is closed properly in the middle of the body (FIN), or reset
(RST, after all that was sent had arrived). Bytes are counted before the client, at a proxy;
wasted is what was sent beyond the size of the file. A client that does not end within --timeout,
gives up, or leaves a wrong file has a row that says so.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lab.clients import CURL, HF, RKFETCH, WGET, Client, chosen
from lab.machine import described
from lab.measure import layout
from lab.origin import free_port, serving
from lab.proxy import proxying
from lab.sample import FILE, make_sample
from lab.stopping import stopped_in_order

if TYPE_CHECKING:
    from lab.measure import Cost
    from lab.origin import Origin
    from lab.proxy import Proxy
    from lab.sample import Sample

MEMORY = Path("/dev/shm")


def _curl_retrying(origin: Origin, _folder: Path) -> list[str]:
    retry = ["--retry", "1000", "--retry-all-errors", "--retry-delay", "1"]
    return ["curl", "-sSfL", "-C", "-", *retry, "-o", FILE, origin.url]


def _curl_looping(origin: Origin, _folder: Path) -> list[str]:
    return ["sh", "-c", f"until curl -sSfL -C - -o {FILE} {origin.url}; do :; done"]


def _wget(origin: Origin, _folder: Path) -> list[str]:
    return ["wget", "-q", "-c", "-t", "0", "--waitretry=1", "-O", FILE, origin.url]


def _aria2c(tries: int) -> Client:
    def command(origin: Origin, _folder: Path) -> list[str]:
        options = ["-x8", "-s8", "-k1M", "-c", f"--max-tries={tries}"]
        start = ["aria2c", "--no-conf", "-q", "--file-allocation=none"]
        return [*start, *options, "-o", FILE, origin.url]

    return Client(name=f"aria2c -x8 -s8 -k1M -c --max-tries={tries}", command=command)


CLIENTS = (
    RKFETCH,
    CURL,
    Client(name="curl -C - --retry 1000 --retry-all-errors", command=_curl_retrying),
    Client(name="until curl -C -; do :; done", command=_curl_looping),
    replace(WGET, name="wget -c -t 0 --waitretry=1", command=_wget),
    _aria2c(5),
    _aria2c(0),
    HF,
)


def attempt(
    client: Client, origin: Origin, proxy: Proxy, sample: Sample, timeout_s: float
) -> tuple[str, ...]:
    """Run a client once, and return its row."""
    if client.program is None:
        return (client.name, "not installed", *["-"] * 4)
    proxy.forget()
    with tempfile.TemporaryDirectory(prefix="rkfetch-bench-", dir=MEMORY) as folder:
        cost = client.fetch(origin, Path(folder), sample, timeout_s=timeout_s)
        proxy.settled()
        outcome = _outcome(client, cost, Path(folder), sample)
    wasted = (proxy.delivered - sample.size_bytes) / sample.size_bytes
    return (
        client.name,
        outcome,
        f"{cost.wall_s:.1f}",
        f"{proxy.answers}",
        f"{proxy.delivered / 1e6:.1f}",
        f"{wasted:.2%}" if outcome == "complete" else "-",
    )


def _outcome(client: Client, cost: Cost, folder: Path, sample: Sample) -> str:
    if cost.exit_code is None:
        return f"not done in {cost.wall_s:.0f} s"
    if cost.exit_code:
        return f"gave up, exit {cost.exit_code}"
    return "complete" if sample.is_at(client.result(folder, cost)) else "exit 0, WRONG FILE"


def main() -> None:
    """Measure both kinds, and print a table for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mib", type=float, default=96, help="size of the file")
    parser.add_argument("--every", type=float, default=3, help="MB until a connection is dropped")
    parser.add_argument("--only", help="parts of clients' names, with commas; rkfetch always runs")
    parser.add_argument("--timeout", type=float, default=120, help="seconds for one client")
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    print(described())
    with contextlib.ExitStack() as stack:
        stack.enter_context(stopped_in_order())
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="rkfetch-bench-", dir=MEMORY))
        )
        folder.chmod(0o755)
        sample = make_sample(folder, options.mib)
        for reset in (False, True):
            kind = "RST" if reset else "FIN"
            print(f"\n{options.mib:g} MiB, {kind} after {options.every:g} MB", flush=True)
            rows: list[tuple[str, ...]] = [
                ("client", "outcome", "wall s", "answers", "MB sent", "wasted")
            ]
            cdn_port = free_port()
            with (
                proxying(cdn_port, drop_after=int(options.every * 1e6), reset=reset) as proxy,
                serving(
                    sample, cdn_port=cdn_port, cdn_url=f"http://127.0.0.1:{proxy.port}"
                ) as origin,
            ):
                rows.extend(
                    attempt(client, origin, proxy, sample, options.timeout)
                    for client in chosen(CLIENTS, options.only)
                )
            print(layout(rows, markdown=options.markdown), flush=True)


if __name__ == "__main__":
    main()
