"""Count what taking in a published catalog costs: the whole, nothing new, and 1 % new.

    python benchmarks/published.py [--repositories 2000] [--files 5]

Made-up repositories whose every header was read, published to a folder and taken in from it; the
bytes are those of all files that a reader fetches, the manifest and its signature included.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import tempfile
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from rkfetch.catalog.database import Catalog
from rkfetch.catalog.entries import Repository
from rkfetch.catalog.files import create
from rkfetch.catalog.naming import guess
from rkfetch.catalog.published import signing
from rkfetch.catalog.published.places import place_of
from rkfetch.catalog.published.publish import publish
from rkfetch.catalog.published.subscribe import take_from
from rkfetch.catalog.writer import Writer
from rkfetch.registry.model import Artifact, Evidence, Origin, settle

if TYPE_CHECKING:
    from rkfetch.catalog.published.places import Found, Place
    from rkfetch.catalog.published.publish import Published
    from rkfetch.catalog.published.subscribe import Taken

MODELS = ("Qwen2.5-1.5B-Instruct", "Qwen3-4B", "Llama-3.2-3B-Instruct", "gemma-3-4b-it")
SEEN = "2026-11-20T10:00:00Z"


class Counted:
    """A place that counts what it is asked for."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.address = place.address
        self.requests = 0

    def get(self, name: str, most: int, **known: str | None) -> Found | None:
        self.requests += 1
        return self._place.get(name, most, **known)


def build(repo: str, number: int, commit: str) -> Artifact:
    luck = random.Random(f"{repo} {number}")
    soc, quant = luck.choice(["rk3576", "rk3588"]), luck.choice(["w4a16", "w8a8"])
    model = MODELS[int(repo.rpartition("-")[2]) % len(MODELS)]
    path = f"{soc}/{model}_{soc}_{quant}_{number}.rkllm"
    place = f"https://huggingface.co/{repo}/resolve/{commit}/{path}"
    header = {"toolkit": "1.2.3", "platform": soc, "quant": quant, "context": "4096"}
    header |= {"npu_cores": "2", "architecture": "qwen2"}
    said = [replace(e, seen=SEEN) for e in guess(repo, path, source="huggingface").evidence]
    said += [
        Evidence(attribute=name, value=value, origin=Origin.HEADER, place=place, seen=SEEN)
        for name, value in header.items()
    ]
    return Artifact(
        source="huggingface",
        repo=repo,
        path=path,
        revision=commit,
        size_bytes=luck.randrange(10**9, 10**10),
        sha256=hashlib.sha256(f"{commit} {path}".encode()).hexdigest(),
        updated=SEEN,
        attributes=settle(said),
    )


def write(path: Path, numbers: range, files: int, version: str) -> None:
    """Crawl repositories, as it were; another version has another commit and other content."""
    with Writer.open(path) as writer, writer.transaction():
        for number in numbers:
            repo = f"user{number % 97}/{MODELS[number % len(MODELS)]}-RKLLM-{number}"
            commit = hashlib.sha256(f"{repo} {version}".encode()).hexdigest()[:40]
            found = Repository(source="huggingface", repo=repo, sha=commit, tags=("rkllm",))
            builds = [(build(repo, n, commit), ()) for n in range(files)]
            writer.sync_repository(found, builds, seen=SEEN)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repositories", type=int, default=2000)
    parser.add_argument("--files", type=int, default=5)
    options = parser.parse_args()
    count, files = options.repositories, options.files
    with tempfile.TemporaryDirectory() as name:
        root, date = Path(name), datetime.now(timezone.utc)
        key = signing.generate(root / "key", password=None)
        signer = signing.Signer.load(root / "key", password=lambda: "")
        theirs, ours, folder = root / "theirs.db", root / "ours.db", root / "www"
        for path in (theirs, ours):
            create(path).close()

        def published(hours: int) -> Published:
            with Catalog.open(theirs) as catalog:
                at = date - timedelta(hours=10 - hours)
                return publish(catalog, folder, name="x", signer=signer, date=at)

        def taken(what: str) -> Taken:
            place = Counted(place_of(str(folder), None))
            begun = time.perf_counter()
            done = take_from(place, key=key, path=ours)
            seconds = time.perf_counter() - begun
            print(
                f"{what:34} {place.requests:8} {done.fetched_bytes:10} {done.changed:8} "
                f"{seconds:7.1f}"
            )
            return done

        write(theirs, range(count), files, "1")
        manifest = published(0).manifest
        print(f"{count} repositories, {count * files} builds, {len(manifest.parts)} parts\n")
        print(f"{'':34} {'requests':>8} {'bytes':>10} {'rows':>8} {'seconds':>7}")
        whole = taken("the whole")
        taken("nothing new")
        some = range(max(1, count // 100))
        write(theirs, some, files, "2")
        published(1)
        one = taken(f"1 %: {len(some)} repositories replaced")
        for step in range(7):
            write(theirs, range(step * 3, step * 3 + 3), files, f"3-{step}")
            published(2 + step)
        taken("7 days of 3 repositories each")
        print(f"\n1 % costs {100 * one.fetched_bytes / whole.fetched_bytes:.1f} % of the whole")


if __name__ == "__main__":
    main()
