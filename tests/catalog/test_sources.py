"""A further source is one module; nothing else has to know of it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from neighbours import gives_out
from rkfetch.catalog import sources
from rkfetch.catalog.database import Catalog
from rkfetch.catalog.sources import chosen, entries
from rkfetch.cli.main import main
from rkfetch.registry.errors import UsageError
from rkllm_files import rkllm_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTENT = rkllm_bytes(toolkit="1.2.3", platform="rk3576", body_bytes=200_000)

MODULE = '''
"""List the builds of one web server, which has an index in JSON."""

import json
import os
from contextlib import nullcontext

from rkfetch.catalog.naming import CardFacts
from rkfetch.catalog.sources import Details, Entry, Listing, RemoteFile, listed
from rkfetch.catalog.entries import Repository


class Shelf:
    name = "shelf"

    def __init__(self, http):
        self.http = http
        self.base = os.environ["SHELF"]
        self.left_out = []

    def listings(self):
        return [Listing(repository=self.repository(), builds=None)]

    def listings_of(self, owner):
        return []

    def details(self, repo):
        index = self.http.request("GET", f"{self.base}/index.json")
        files = tuple(RemoteFile(**file) for file in json.loads(index.body))
        return Details(repository=self.repository(), files=files, card=CardFacts())

    def readme(self, repo, file, revision):
        return None

    def page(self, repo, path, ref=None):
        return f"{repo}/{path}"

    def repository(self):
        return Repository(source="shelf", repo=self.base, sha="1")


ENTRY = Entry(
    name="shelf",
    summary="a shelf of models in the cellar",
    update=listed(lambda http, waiting=None: nullcontext(Shelf(http))),
)
'''


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Put a source into its folder, and a server behind it."""
    folder = tmp_path / "more-sources"
    folder.mkdir()
    (folder / "shelf.py").write_text(MODULE)
    monkeypatch.setattr(sources, "__path__", [*sources.__path__, str(folder)])
    files = tmp_path / "served"
    files.mkdir()
    (files / "Qwen3-0.6B_w8a8_rk3576.rkllm").write_bytes(CONTENT)
    index = [{"path": "Qwen3-0.6B_w8a8_rk3576.rkllm", "size_bytes": len(CONTENT)}]
    (files / "index.json").write_text(json.dumps(index))

    with gives_out(files) as base:
        monkeypatch.setenv("SHELF", base)
        yield base
    sys.modules.pop("rkfetch.catalog.sources.shelf", None)
    vars(sources).pop("shelf", None)


def run(*args: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(args)
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


def test_the_sources_are_found_by_their_modules() -> None:
    assert list(entries()) == ["folder", "huggingface", "modelscope", "modelzoo"]
    assert all(name == entry.name and entry.summary for name, entry in entries().items())


def test_those_that_are_named_are_chosen_once_in_their_order() -> None:
    names = ["modelscope", "huggingface", "modelscope"]
    assert [entry.name for entry in chosen(names)] == ["modelscope", "huggingface"]
    assert chosen([]) == list(entries().values())
    with pytest.raises(UsageError, match="there is no source 'hugging'") as caught:
        chosen(["hugging"])
    assert "huggingface" in caught.value.cause[0]


def test_one_more_module_is_one_more_source(shelf: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "shelf" in entries()
    assert run("catalog", "update", "--help") == 0
    assert "a shelf of models in the cellar" in capsys.readouterr().out
    assert run("catalog", "update", "shelf", "--json") == 0
    (done,) = json.loads(capsys.readouterr().out)["sources"]
    assert (done["source"], done["builds"], done["probed"]) == ("shelf", 1, 1)
    with Catalog.open() as catalog:
        (artifact,) = catalog.repository("shelf", shelf)
    assert (artifact.model, str(artifact.toolkits[0])) == ("Qwen3-0.6B", "1.2.3")
    assert run("catalog", "status") == 0
    assert "\nshelf " in capsys.readouterr().out
