"""SIGKILL rkfetch at random moments, again and again, and count what had to be fetched twice.

    python benchmarks/kills.py                          one download, killed 500 times until done
    python benchmarks/kills.py --each-once --kills 500  500 downloads, each killed once
    python benchmarks/kills.py --kills 50 --seed 7      shorter; the moments differ by seed

Every second kill comes at a random time after the start, the others after a random number of
bytes. The rate is limited (all connections together), so that a run lives long enough to be
killed. After each kill nothing wrong may stand under a model's name; in the end the file must be
right. Bytes are counted at a proxy before rkfetch: what a killed run had is what it took up
(``completed`` of the first progress line of ``--json``) and what it received; re-used of it is
what the next run takes up. If a download is complete before all kills are used up, another begins.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lab.clients import RKFETCH
from lab.machine import described
from lab.origin import free_port, serving
from lab.proxy import proxying
from lab.sample import make_sample
from lab.stopping import stopped_in_order

if TYPE_CHECKING:
    from lab.origin import Origin
    from lab.proxy import Proxy
    from lab.sample import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When to kill: after a time, or after so many bytes of content."""

    seconds: float | None = None
    content_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One run of rkfetch, to its end or to its kill."""

    killed: bool
    took_up: int | None
    """Bytes that it found and re-used; None if it did not live to say so."""
    received: int
    on_disk: int | None
    """Size of the partial file after it; None if that is the whole file's (preallocated)."""
    exit_code: int
    stdout: str
    stderr: str


@dataclass(slots=True, kw_only=True)
class Tally:
    """What all the kills came to."""

    kills: int = 0
    kills_in_start_up: int = 0
    wrong: int = 0
    received: int = 0
    needed: int = 0
    downloads: int = 0
    reuse: list[tuple[int, int]] = field(default_factory=list)
    """For each kill that was followed by a resume: what was there, what was re-used."""
    reuse_of_disk: list[tuple[int, int]] = field(default_factory=list)
    """The same with the partial file's size for what was there."""


class Victim:
    """One rkfetch command, with one home for all its lives."""

    def __init__(self, origin: Origin, proxy: Proxy, sample: Sample, where: Path) -> None:
        self._proxy = proxy
        self._sample = sample
        self._home = where / "home"
        self._where = where
        quiet = RKFETCH.command(origin, where)
        self._command = [*(word for word in quiet if word != "--quiet"), "--json"]
        self._environment = RKFETCH.environment(origin, where)

    def live(self, moment: Moment | None) -> Life:
        """Run until the moment, or to the end."""
        self._proxy.forget()
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            child = subprocess.Popen(
                self._command,
                env={**os.environ, **self._environment},
                cwd=self._where,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
            try:
                self._wait(child, moment)
            finally:
                if child.poll() is None:
                    child.kill()
            code = child.wait()
            self._proxy.settled()
            out.seek(0)
            err.seek(0)
            stdout, stderr = out.read().decode(), err.read().decode()
        return Life(
            killed=code == -9,
            took_up=_taken_up(stderr),
            received=self._proxy.delivered,
            on_disk=self._on_disk(),
            exit_code=code,
            stdout=stdout,
            stderr=stderr,
        )

    def _wait(self, child: subprocess.Popen[bytes], moment: Moment | None) -> None:
        if moment is None:
            child.wait(timeout=3600)
            return
        begun = time.monotonic()
        while child.poll() is None:
            if moment.seconds is not None and time.monotonic() - begun >= moment.seconds:
                return
            if moment.content_bytes is not None and self._proxy.delivered >= moment.content_bytes:
                return
            time.sleep(0.001)

    def _on_disk(self) -> int | None:
        size = max((p.stat().st_size for p in self._home.rglob("*.partial")), default=0)
        return size if size < self._sample.size_bytes else None

    def wrong_files(self) -> int:
        """Count the files under a model's name that are not the model."""
        return sum(not self._sample.is_at(path) for path in self._home.rglob("*.rkllm"))


def _taken_up(stderr: str) -> int | None:
    for line in stderr.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue  # a line that the kill cut off
        if event.get("phase") == "download" and "completed" in event:
            return int(event["completed"])
    return None


def one_download(
    victim: Victim, tally: Tally, moments: list[Moment], sample: Sample, *, most: int
) -> None:
    """Kill one download up to ``most`` times, then let it end, and check what came."""
    had = 0
    on_disk: int | None = None
    killed_before = False
    left = most
    while True:
        moment = moments.pop() if left and moments else None
        life = victim.live(moment)
        left -= 1
        tally.received += life.received
        if life.took_up is not None:
            if killed_before and had:
                tally.reuse.append((had, life.took_up))
                if on_disk:
                    tally.reuse_of_disk.append((on_disk, life.took_up))
            had = life.took_up + life.received
        else:
            had += life.received
        tally.wrong += victim.wrong_files()
        if not life.killed:
            break
        killed_before = True
        on_disk = life.on_disk
        tally.kills += 1
        tally.kills_in_start_up += life.took_up is None
    tally.downloads += 1
    tally.needed += sample.size_bytes
    if life.exit_code:
        sys.exit(f"rkfetch ended with {life.exit_code}:\n{life.stderr[-2000:]}")
    if not sample.is_at(Path(json.loads(life.stdout)["path"])):
        tally.wrong += 1


def moments_of(kills: int, *, longest_s: float, most_bytes: int, seed: int) -> list[Moment]:
    """Draw the moments, half of them by time and half by bytes."""
    draw = random.Random(seed)
    return [
        Moment(content_bytes=draw.randrange(1, most_bytes))
        if number % 2
        else Moment(seconds=draw.uniform(0, longest_s))
        for number in range(kills)
    ]


def report(tally: Tally, spent_s: float) -> None:
    """Print what came out."""
    wasted = tally.received - tally.needed
    print(f"{tally.kills} kills of {tally.downloads} downloads in {spent_s:.0f} s")
    print(f"wrong files: {tally.wrong}")
    print(f"killed before the download began: {tally.kills_in_start_up}")
    print(
        f"received {tally.received / 1e6:.1f} MB for {tally.needed / 1e6:.1f} MB: "
        f"{wasted / tally.received:.2%} of it in vain, "
        f"{wasted / max(1, tally.kills) / 1e6:.3f} MB a kill"
    )
    for name, pairs in (("received", tally.reuse), ("on the disk", tally.reuse_of_disk)):
        if not pairs:
            print(f"re-used of what was {name}: not known")
            continue
        shares = [min(1.0, used / there) for there, used in pairs]
        lost = [max(0, there - used) / 1e6 for there, used in pairs]
        below = sum(share < 0.98 for share in shares)
        print(
            f"re-used of what was {name}: {sum(u for _, u in pairs) / sum(t for t, _ in pairs):.2%}"
            f" over all; by kill: least {min(shares):.2%}, median {statistics.median(shares):.2%}, "
            f"{below} of {len(shares)} below 98 %; "
            f"lost MB: median {statistics.median(lost):.3f}, most {max(lost):.3f}"
        )


def main() -> None:
    """Kill, and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--each-once", action="store_true", help="a new download for each kill")
    parser.add_argument("--mib", type=float, help="size of the file; 384, or 8 with --each-once")
    parser.add_argument("--rate", type=float, help="MB/s; 2, or 8 with --each-once")
    parser.add_argument("--longest", type=float, default=1.6, help="seconds until a kill, at most")
    parser.add_argument("--most", type=float, help="MB until a kill; by default a second's worth")
    parser.add_argument("--disk", type=Path, help="download to this folder, not to memory")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    mib = options.mib or (8 if options.each_once else 384)
    rate = (options.rate or (8 if options.each_once else 2)) * 1e6
    most_bytes = int(options.most * 1e6 if options.most else rate)
    memory = Path("/dev/shm")
    place = options.disk.resolve() if options.disk else memory
    print(described())
    with contextlib.ExitStack() as stack:
        stack.enter_context(stopped_in_order())
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="rkfetch-bench-", dir=memory))
        )
        folder.chmod(0o755)
        sample = make_sample(folder, mib)
        cdn_port = free_port()
        proxy = stack.enter_context(proxying(cdn_port, rate=rate))
        origin = stack.enter_context(
            serving(sample, cdn_port=cdn_port, cdn_url=f"http://127.0.0.1:{proxy.port}")
        )
        print(
            f"{'each download killed once' if options.each_once else 'one download'}, {mib:g} MiB, "
            f"{rate / 1e6:g} MB/s, killed within {options.longest:g} s or "
            f"{most_bytes / 1e6:g} MB, seed {options.seed}\n",
            flush=True,
        )
        moments = moments_of(
            options.kills, longest_s=options.longest, most_bytes=most_bytes, seed=options.seed
        )
        tally = Tally()
        begun = time.monotonic()
        try:
            while moments:
                where = Path(tempfile.mkdtemp(prefix="rkfetch-kills-", dir=place))
                try:
                    victim = Victim(origin, proxy, sample, where)
                    most = 1 if options.each_once else len(moments)
                    one_download(victim, tally, moments, sample, most=most)
                finally:
                    shutil.rmtree(where)
        finally:
            if tally.received:
                report(tally, time.monotonic() - begun)
    if tally.wrong:
        sys.exit("a wrong file was left")


if __name__ == "__main__":
    main()
