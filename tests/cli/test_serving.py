"""What ``--for`` does with a file that was converted because no published build fitted."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from rkfetch.cli.conversion_after import Done
from rkfetch.cli.convert import _conclude
from rkfetch.cli.question import Question
from rkfetch.cli.serving import serving_of
from rkfetch.registry.errors import UsageError
from rkfetch.registry.model import Target
from rkfetch.registry.store import Store
from stored import add

if TYPE_CHECKING:
    from pathlib import Path

    from rkfetch.cli.serving import Serving


def wish(server: str, models: Path | None, **question: Any) -> Serving:
    asked = Question(model="qwen2.5-1.5b", **question)
    found = serving_of(
        server, str(models) if models else None, None, question=asked, output=None, quiet=True
    )
    assert found is not None
    return found


@pytest.mark.parametrize("as_json", [False, True])
def test_a_converted_file_is_given_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    item = add(
        Store(tmp_path / "store"),
        source="converted",
        repo="Qwen/Qwen2.5-1.5B-Instruct",
        model="Qwen/Qwen2.5-1.5B-Instruct",
    )
    made: Any = SimpleNamespace(installed=item, was_here=False, made={})
    conversion: Any = SimpleNamespace(target=Target(), values={})
    serve = wish("rkllama", tmp_path / "models", as_json=as_json)
    serve.require_folder()
    _conclude(conversion, serve.question, made, Done(), output=None, serve=serve, quiet=as_json)
    said = capsys.readouterr()
    placed = str(tmp_path / "models/qwen2.5-1.5b-instruct/x.rkllm")
    if as_json:
        answer = json.loads(said.out)
        assert (answer["path"], answer["serving"]["model"]) == (placed, placed)
    else:
        assert said.out == f"{placed}\n"
        assert "next: rkllama_client run qwen2.5-1.5b-instruct" in said.err


def test_a_folder_that_cannot_be_is_said_before_the_conversion(tmp_path: Path) -> None:
    (tmp_path / "models").touch()
    with pytest.raises(UsageError, match="no file can be placed"):
        wish("orkllm", tmp_path / "models").require_folder()
    wish("plain", None).require_folder()
