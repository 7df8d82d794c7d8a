"""oRKLLM's own code on what was put into its folder: which models there are, and their versions.

Only where that code and node are: RKFETCH_TEST_ORKLLM names a checkout of it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from rkfetch.registry.serving import orkllm
from rkfetch.registry.serving.placing import put
from rkfetch.registry.serving.served import Served
from rkfetch.registry.store import Store
from stored import add

CHECKOUT = os.environ.get("RKFETCH_TEST_ORKLLM", "")

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(not CHECKOUT, reason="RKFETCH_TEST_ORKLLM names no checkout of oRKLLM"),
    pytest.mark.skipif(shutil.which("node") is None, reason="no node"),
]


def function(path: str, name: str) -> str:
    """Cut one function out of its code: from its name to the brace that closes it."""
    text = (Path(CHECKOUT) / "src" / path).read_text()
    whole = rf"^( *)(?:export )?(function {name}\(.*?^\1}})"
    found = re.search(whole, text, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[2]


def test_it_lists_the_model_with_the_toolkits_version(tmp_path: Path) -> None:
    models = tmp_path / "models"
    toolkit = {"toolkit": {"value": "1.2.3", "origin": "header"}}
    model = add(Store(tmp_path / "store"), path="RK3576/x_1.1.4.rkllm", attributes=toolkit)
    layout = orkllm.layout(Served.of(model))
    put(layout, models, model)
    script = f"""
    const fs = require('fs'), path = require('path');
    {function("api/routes.js", "scanDir")}
    {function("config.js", "parseRuntimeVersion")}
    const found = scanDir({json.dumps(str(models))});
    console.log(JSON.stringify(found.map(id => [id, parseRuntimeVersion(path.basename(id))])));
    """
    done = subprocess.run(
        ["node", "-e", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(done.stdout) == [[layout.name, "1.2.3"]]
