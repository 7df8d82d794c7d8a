"""rkfetch's engine alone, without its command line: ``engine.py STORE REPO PATH``; prints the path.

The difference to the whole command is what start-up, catalog and reading the header cost.
"""

from __future__ import annotations

import sys
from pathlib import Path

from rkfetch.registry.fetch import fetch
from rkfetch.registry.http import Http
from rkfetch.registry.model import Artifact
from rkfetch.registry.progress import NoProgress
from rkfetch.registry.store import Store


def main() -> None:
    """Fetch one file of the Hub that ``HF_ENDPOINT`` names."""
    root, repo, path = sys.argv[1:4]
    artifact = Artifact(source="huggingface", repo=repo, path=path)
    with Http() as http:
        done = fetch(artifact, store=Store(Path(root)), http=http, progress=NoProgress())
    print(done.installed.path)


if __name__ == "__main__":
    main()
