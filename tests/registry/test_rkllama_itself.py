"""rkllama's own code on what was put into its folder.

Only where that code is: RKFETCH_TEST_RKLLAMA names a checkout of it, RKFETCH_TEST_RKLLAMA_PYTHON a
Python that has its dependencies (flask, flask-cors, requests, python-dotenv, huggingface_hub,
transformers, numpy, pillow, pydantic, psutil; torch is not needed). Instead of Rockchip's library a
small one is loaded, which writes down what it is told and, as the real one does, refuses more
context than the file was built for. Nothing is sent or asked anywhere.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rkfetch.registry.serving import rkllama
from rkfetch.registry.serving.placing import put
from rkfetch.registry.serving.served import Served
from rkfetch.registry.store import Store
from rkllm_files import rkllm_bytes
from rknn_files import rknn_bytes
from stored import add

if TYPE_CHECKING:
    from rkfetch.registry.store import Installed

CHECKOUT = os.environ.get("RKFETCH_TEST_RKLLAMA", "")
PYTHON = os.environ.get("RKFETCH_TEST_RKLLAMA_PYTHON", sys.executable)

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(not CHECKOUT, reason="RKFETCH_TEST_RKLLAMA names no checkout of rkllama"),
    pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler"),
]

LIBRARY = """
#include <stdio.h>
#include <stdlib.h>
typedef struct { const char *path; int context; int answer; } P;
int rkllm_init(void **handle, P *p, void *callback) {
  FILE *model = fopen(p->path, "rb"), *log = fopen(getenv("LOG"), "a");
  fprintf(log, "%s %d %d\\n", p->path, p->context, p->answer);
  fclose(log);
  *handle = p;
  return model && p->context <= atoi(getenv("LIMIT")) ? 0 : -1;
}
"""
OTHER_FUNCTIONS = (
    *("run", "destroy", "abort", "createDefaultParam", "is_running", "load_lora"),
    *("set_chat_template", "set_function_tools", "clear_kv_cache"),
    *("load_prompt_cache", "release_prompt_cache"),
)

SCRIPT = """
import json, os, sys
import rkllama.config
from rkllama.server.server import app
from rkllama.api import model_utils, variables
models = rkllama.config.get_path("models")
name = sys.argv[1]
client = app.test_client()
answer = {
    "models": client.get("/models").json["models"],
    "tags": client.get("/api/tags").json["models"],
    "load": client.post("/load_model", json={"model_name": name}).json,
    "tokenizer": os.environ.get("HUGGINGFACE_PATH"),
    "options": model_utils.get_model_full_options(name, models),
    "encoder": model_utils.get_encoder_model_path(name),
    "picture": [
        model_utils.get_property_modelfile(name, key, models)
        for key in ("IMAGE_WIDTH", "IMAGE_HEIGHT", "N_IMAGE_TOKENS")
    ],
}
variables.worker_manager_rkllm.stop_worker(name)
print("ANSWER", json.dumps(answer))
sys.stdout.flush()
os._exit(0)
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of rkllama, which writes beside its own code, with the stand-in library."""
    folder = tmp_path / "python"
    shutil.copytree(
        Path(CHECKOUT) / "src/rkllama", folder / "rkllama", ignore=shutil.ignore_patterns("*.whl")
    )
    (folder / "cv2.py").touch()
    source = tmp_path / "library.c"
    others = "".join(f"int rkllm_{name}() {{ return 0; }}\n" for name in OTHER_FUNCTIONS)
    source.write_text(LIBRARY + others)
    library = folder / "rkllama/lib/librkllmrt.so"
    library.unlink(missing_ok=True)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    return folder


def ask(package: Path, models: Path, name: str, *, limit: int) -> dict[str, Any]:
    done = subprocess.run(
        [PYTHON, "-c", SCRIPT, name],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(package.parent),
            "PYTHONPATH": str(package),
            "RKLLAMA_PATHS_MODELS": str(models),
            "HF_HUB_OFFLINE": "1",
            "LOG": str(package.parent / "log"),
            "LIMIT": str(limit),
        },
        cwd=package.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    answers = [line for line in done.stdout.splitlines() if line.startswith("ANSWER ")]
    assert answers, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(answers[0].removeprefix("ANSWER "))
    return answer


def model_in(store: Store, *, context: int, **values: Any) -> Installed:
    attributes = {"context": {"value": str(context), "origin": "header"}}
    return add(store, rkllm_bytes(body_bytes=context), attributes=attributes, **values)


@pytest.mark.parametrize("context", [2048, 4096, 16384])
def test_it_lists_and_loads_a_model(package: Path, tmp_path: Path, context: int) -> None:
    model = model_in(
        Store(tmp_path / "store"),
        context=context,
        path="Qwen2.5-1.5B it's #1 = good_w4a16.rkllm",
        model="Qwen/Qwen2.5-1.5B-Instruct",
    )
    models = tmp_path / "models"
    placed = put(rkllama.layout(Served.of(model)), models, model)
    name = "qwen2.5-1.5b-instruct"
    answer = ask(package, models, name, limit=context)
    assert answer["models"] == [name]
    (tag,) = answer["tags"]
    assert (tag["name"], tag["size"]) == (name, model.record.size_bytes)
    assert answer["load"] == {"message": f"Model {name} loaded successfully."}
    assert answer["tokenizer"] == "Qwen/Qwen2.5-1.5B-Instruct"
    assert (tmp_path / "log").read_text() == f"{placed.model} {context} {context // 2}\n"


def test_without_our_modelfile_it_refuses_a_short_context(package: Path, tmp_path: Path) -> None:
    """What the file is for: its own defaults ask for 4096 tokens."""
    model = model_in(Store(tmp_path / "store"), context=2048, model="Qwen/Qwen2.5-1.5B-Instruct")
    models = tmp_path / "models"
    placed = put(rkllama.layout(Served.of(model)), models, model)
    assert placed.modelfile is not None
    text = placed.modelfile.read_text()
    placed.modelfile.write_text(text.replace("NUM_CTX=2048\n", ""))
    answer = ask(package, models, "qwen2.5-1.5b-instruct", limit=2048)
    assert "Error loading" in answer["load"]["error"]


def test_it_finds_the_encoder_and_what_it_needs_of_it(package: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    model = model_in(store, context=4096, model="Qwen/Qwen2-VL-2B-Instruct")
    encoder = add(store, rknn_bytes(), path="qwen2-vl_vision_rk3576.rknn")
    models = tmp_path / "models"
    placed = put(rkllama.layout(Served.of(model, [encoder])), models, model, encoder)
    answer = ask(package, models, "qwen2-vl-2b-instruct", limit=4096)
    assert answer["load"] == {"message": "Model qwen2-vl-2b-instruct loaded successfully."}
    assert answer["encoder"] == str(placed.encoder)
    assert [int(number) for number in answer["picture"]] == [392, 392, 196]
    marks = [answer["options"][key] for key in ("img_start", "img_end", "img_content")]
    assert marks == ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>"]
