"""A server's folder after a model was put there: once, again, over what others left."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from rkfetch.registry.errors import UsageError
from rkfetch.registry.serving import orkllm, rkllama
from rkfetch.registry.serving.placing import Placed, put, require_room
from rkfetch.registry.serving.served import Served
from rkfetch.registry.store import Store
from rkllm_files import rkllm_bytes
from stored import CONTENT, add

if TYPE_CHECKING:
    from pathlib import Path

    from rkfetch.registry.serving.served import Layout
    from rkfetch.registry.store import Installed

MODEL = "Qwen/Qwen2-VL-2B-Instruct"
NAME = "qwen2-vl-2b-instruct"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def model_in(store: Store, content: bytes = CONTENT, **values: Any) -> Installed:
    return add(store, content, model=MODEL, **values)


def layout_of(item: Installed, encoder: Installed | None = None) -> Layout:
    return rkllama.layout(Served.of(item, [encoder] if encoder else []))


def put_in(models: Path, item: Installed, encoder: Installed | None = None, **how: Any) -> Placed:
    return put(layout_of(item, encoder), models, item, encoder, **how)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def everything(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_rkllama_gets_links_and_a_modelfile(store: Store, models: Path) -> None:
    model, encoder = model_in(store), add(store, b"RKNN", path="vision_rk3576.rknn")
    placed = put_in(models, model, encoder)
    folder = models / NAME
    assert placed == Placed(
        model=folder / "x.rkllm",
        encoder=folder / "vision_rk3576.rknn",
        modelfile=folder / "Modelfile",
    )
    assert placed.model.samefile(model.path)
    assert names_in(folder) == ["Modelfile", "vision_rk3576.rknn", "x.rkllm"]
    said = rkllama.read((folder / "Modelfile").read_text())
    assert (said["FROM"], said["HUGGINGFACE_PATH"]) == ("x.rkllm", MODEL)
    assert (folder / "Modelfile").stat().st_mode & 0o444 == 0o444


def test_again_changes_nothing(store: Store, models: Path) -> None:
    model = model_in(store)
    first = put_in(models, model)
    before = everything(models)
    assert put_in(models, model) == first
    assert put_in(models, model, force=True) == first
    assert everything(models) == before


def test_orkllm_gets_one_file(store: Store, models: Path) -> None:
    toolkit = {"toolkit": {"value": "1.2.3", "origin": "header"}}
    model = model_in(store, attributes=toolkit)
    placed = put(orkllm.layout(Served.of(model)), models, model)
    assert placed == Placed(model=models / "alice/models/x-v1.2.3-RKLLM.rkllm")
    assert list(everything(models)) == ["alice/models/x-v1.2.3-RKLLM.rkllm"]


def test_a_users_modelfile_is_left_and_said(store: Store, models: Path) -> None:
    model = model_in(store)
    path = put_in(models, model).modelfile
    assert path is not None
    theirs = path.read_text().replace("NUM_CTX=4096", "NUM_CTX=2048") + 'SYSTEM="Be brief."\n'
    path.write_text(theirs)
    assert put_in(models, model).kept == ("NUM_CTX=2048 (not 4096)",)
    assert path.read_text() == theirs
    assert put_in(models, model, force=True).kept == ()
    assert path.read_text() == theirs.replace("NUM_CTX=2048", "NUM_CTX=4096")


def test_another_build_is_in_the_way(store: Store, models: Path) -> None:
    put_in(models, model_in(store))
    other = model_in(store, rkllm_bytes(body_bytes=99), path="y.rkllm")
    before = everything(models)
    for attempt in (require_room, lambda layout, where: put(layout, where, other)):
        with pytest.raises(UsageError, match=r"another build already: x\.rkllm") as caught:
            attempt(layout_of(other), models)
        assert "--name" in str(caught.value.hint)
    assert everything(models) == before

    placed = put_in(models, other, force=True)
    assert placed.removed == ("x.rkllm",)
    assert names_in(models / NAME) == ["Modelfile", "y.rkllm"]
    assert rkllama.read((models / NAME / "Modelfile").read_text())["FROM"] == "y.rkllm"


def test_another_encoder_is_in_the_way_of_an_encoder_only(store: Store, models: Path) -> None:
    model, encoder = model_in(store), add(store, b"RKNN", path="vision_rk3576.rknn")
    (models / NAME).mkdir(parents=True)
    (models / NAME / "theirs.rknn").write_bytes(b"RKNN")
    put_in(models, model)
    with pytest.raises(UsageError, match=r"another build already: theirs\.rknn"):
        put_in(models, model, encoder)
    assert put_in(models, model, encoder, force=True).removed == ("theirs.rknn",)


def test_a_modelfile_for_another_file_is_in_the_way(store: Store, models: Path) -> None:
    (models / NAME).mkdir(parents=True)
    (models / NAME / "Modelfile").write_text('FROM="gone.rkllm"\nTOP_K=3\n')
    model = model_in(store)
    with pytest.raises(UsageError, match=r"is for another file: gone\.rkllm"):
        require_room(layout_of(model), models)
    put_in(models, model, force=True)
    text = (models / NAME / "Modelfile").read_text()
    assert text.startswith('FROM="x.rkllm"\nTOP_K=3\n')


def test_other_content_under_the_same_name_is_in_the_way(store: Store, models: Path) -> None:
    (models / NAME).mkdir(parents=True)
    (models / NAME / "x.rkllm").write_bytes(b"half of it")
    model = model_in(store)
    with pytest.raises(UsageError, match="another file"):
        require_room(layout_of(model), models, size_bytes=len(CONTENT))
    with pytest.raises(UsageError, match="another file"):
        put_in(models, model)
    assert not (models / NAME / "Modelfile").exists()
    assert put_in(models, model, force=True).model.read_bytes() == CONTENT


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * 70_000])
def test_a_modelfile_that_is_none_is_not_touched(
    store: Store, models: Path, content: bytes
) -> None:
    (models / NAME).mkdir(parents=True)
    (models / NAME / "Modelfile").write_bytes(content)
    model = model_in(store)
    for force in (False, True):
        with pytest.raises(UsageError, match="cannot be read"):
            put_in(models, model, force=force)
    assert (models / NAME / "Modelfile").read_bytes() == content


def test_a_pipe_for_a_modelfile_is_not_waited_for(store: Store, models: Path) -> None:
    (models / NAME).mkdir(parents=True)
    os.mkfifo(models / NAME / "Modelfile")
    with pytest.raises(UsageError, match="cannot be read"):
        put_in(models, model_in(store))


def test_a_file_in_place_of_the_folder_is_said(store: Store, models: Path) -> None:
    models.write_bytes(b"")
    with pytest.raises(UsageError, match="no file can be placed"):
        require_room(layout_of(model_in(store)), models)
