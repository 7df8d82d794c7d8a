"""Count what `rkfetch catalog update` costs against a Hub of 2,000 repositories, all on loopback.

    python benchmarks/crawl.py [--repositories 2000] [--markdown]

Three updates, each a process of its own: from an empty catalog, with nothing new, and with 1 %
more repositories. The server is a process too, and counts requests and the bytes that it sends.
What the catalog says afterwards is compared with every file's header.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import resource
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.crawl_hub import FILES_OF_A_REPOSITORY, serve
from lab.machine import BIN, described
from lab.stopping import stopped_in_order
from rkfetch.catalog.database import Catalog
from rkfetch.catalog.files import create
from rkfetch.registry.model import Origin

if TYPE_CHECKING:
    from collections import Counter

    from typing_extensions import Self

    from lab.crawl_hub import Header


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repositories", type=int, default=2000)
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        stack.enter_context(stopped_in_order())
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rkfetch-bench-")))
        server = stack.enter_context(_Server(options.repositories))
        print(described())
        print(f"Hub: {options.repositories} repositories, {FILES_OF_A_REPOSITORY} files each\n")
        catalog = home / "rkfetch" / "catalog.db"
        catalog.parent.mkdir(parents=True)
        create(catalog).close()
        first = _crawl("first", server, home, server.counts()["builds"])
        again = _crawl("nothing new", server, home, 0)
        before = server.counts()["builds"]
        server.ask("grow", options.repositories // 100)
        more = _crawl("1 % new", server, home, server.counts()["builds"] - before)
        _print(first, again, more, markdown=options.markdown)
        _compare(catalog, server.ask("headers"))


@dataclass(frozen=True, kw_only=True)
class Crawl:
    """What one update cost."""

    name: str
    seconds: float
    cpu_seconds: float
    new_files: int
    requests: Counter[str]
    sent: Counter[str]
    report: dict[str, Any]

    @property
    def of_repositories(self) -> int:
        """Requests that are about repositories: listings, details, revisions, cards."""
        return sum(self.requests[kind] for kind in ("listing", "details", "refs", "card"))

    @property
    def of_files(self) -> int:
        """Requests that are about files."""
        return self.requests["resolve"] + self.requests["header"]


def _crawl(name: str, server: _Server, home: Path, new_files: int) -> Crawl:
    server.ask("forget")
    environment = {
        **os.environ,
        "HF_ENDPOINT": server.endpoint,
        "HF_HOME": str(home / "hf"),
        "HF_TOKEN": "",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "RKFETCH_HOME": str(home / "rkfetch"),
    }
    began, used = time.monotonic(), _cpu()
    done = subprocess.run(
        [str(BIN / "rkfetch"), "catalog", "update", "huggingface", "--quiet", "--json"],
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
    )
    seconds = time.monotonic() - began
    counts = server.counts()
    return Crawl(
        name=name,
        seconds=seconds,
        cpu_seconds=_cpu() - used,
        new_files=new_files,
        requests=counts["requests"],
        sent=counts["sent"],
        report=json.loads(done.stdout)["sources"][0],
    )


def _cpu() -> float:
    """Processor seconds of the children that have ended: the server has not."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _print(*crawls: Crawl, markdown: bool) -> None:
    first = crawls[0]
    kinds = ("listing", "details", "refs", "card", "resolve", "header")
    sent_mb = [sum(crawl.sent.values()) / 1e6 for crawl in crawls]
    asked = [sum(crawl.requests.values()) for crawl in crawls]
    rows = [
        ["", *(crawl.name for crawl in crawls)],
        *([f"requests: {kind}", *(str(c.requests[kind]) for c in crawls)] for kind in kinds),
        ["requests in all", *(_shared(count, asked[0]) for count in asked)],
        ["MB sent", *(_shared(round(mb, 2), sent_mb[0]) for mb in sent_mb)],
        ["seconds", *(_shared(round(c.seconds, 1), first.seconds) for c in crawls)],
        [
            "of which own CPU",
            *(_shared(round(c.cpu_seconds, 1), first.cpu_seconds) for c in crawls),
        ],
        [
            "requests for each repository read",
            *(_each(c.of_repositories, c.report["changed"]) for c in crawls),
        ],
        ["requests for each new file", *(_each(c.of_files, c.new_files) for c in crawls)],
        ["kB read of each new file", *(_each(c.sent["header"] / 1e3, c.new_files) for c in crawls)],
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for number, (label, *cells) in enumerate(rows):
        padded = [label.ljust(widths[0])]
        padded += [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
        print(f"| {' | '.join(padded)} |" if markdown else "  ".join(padded))
        if markdown and number == 0:
            print("| --- |" + " ---: |" * len(crawls))


def _shared(value: float, whole: float) -> str:
    return f"{value} ({100 * value / whole:.1f} %)"


def _each(count: float, number: int) -> str:
    return f"{count / number:.2f}" if number else "-"


def _compare(catalog: Path, headers: dict[tuple[str, str], Header]) -> None:
    """Hold what the catalog says against what the files say."""
    read = {Origin.HEADER, Origin.TRAILER}
    right, wrong = 0, []
    with Catalog.open(catalog) as opened:
        known = {(a.repo, a.path): a for a in opened.everything()}
    for place, header in headers.items():
        artifact = known.get(place)
        said = {
            name: attribute.value
            for name, attribute in (artifact.attributes.items() if artifact else ())
            if attribute.origin in read
        }
        if all(said.get(name) == value for name, value in header.facts.items()):
            right += 1
        else:
            wrong.append(place)
    print(f"\n{right} of {len(headers)} files are known as their headers say")
    for place in wrong[:5]:
        print(f"wrong: {place}")


class _Server:
    """The Hub in a process of its own."""

    def __init__(self, repositories: int) -> None:
        self._pipe, theirs = multiprocessing.Pipe()
        self._process = multiprocessing.Process(target=serve, args=(theirs, repositories))
        self.endpoint = ""

    def __enter__(self) -> Self:
        self._process.start()
        self.endpoint = self._pipe.recv()
        return self

    def __exit__(self, *_: object) -> None:
        self.ask("stop")
        self._process.join()

    def ask(self, what: str, *values: Any) -> Any:
        """Have the server do something."""
        self._pipe.send((what, *values))
        return self._pipe.recv()

    def counts(self) -> dict[str, Any]:
        """Return what was asked since it was last forgotten."""
        counts: dict[str, Any] = self.ask("counts")
        return counts


if __name__ == "__main__":
    main()
