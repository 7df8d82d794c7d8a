"""Laws of reading a stranger's model: whatever stands in it, it is facts or our error."""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from convert.models import TENSORS, gguf_bytes, safetensors_bytes, tiny_model, write
from rkfetch.registry.convert.base import BaseModel
from rkfetch.registry.convert.base_config import CONFIG, WITH_CODE, code_of, described
from rkfetch.registry.convert.base_files import is_plain, wanted, weights_of
from rkfetch.registry.convert.base_folder import look_at
from rkfetch.registry.convert.safetensors import require_whole
from rkfetch.registry.errors import IntegrityError, RkfetchError

QUICK = settings(max_examples=200, suppress_health_check=list(HealthCheck))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30)
ANYTHING = (
    SCALARS
    | st.lists(SCALARS | st.lists(SCALARS, max_size=2), max_size=3)
    | st.dictionaries(st.text(max_size=8), SCALARS, max_size=2)
)
WORDS = """
architectures num_hidden_layers max_position_embeddings text_config torch_dtype dtype
quantization_config quant_method bits group_size sym desc_act load_in_4bit auto_map
weight_map metadata total_parameters
"""
KEYS = st.sampled_from(WORDS.split())
CONFIGS = st.dictionaries(KEYS, ANYTHING | st.dictionaries(KEYS, ANYTHING, max_size=3), max_size=6)
NAMES = st.text(max_size=20) | st.sampled_from(
    ["model.safetensors", "../x.json", "a/../b.json", "/etc/x.json", "config.json", "a.py", "x.py"]
)


def check(base: BaseModel) -> None:
    """Hold facts against what must be true of any."""
    for count in (base.parameters, base.layers, base.context, base.bits, base.group):
        assert count is None or (type(count) is int and 0 < count < 1 << 48)
    for name in (base.architecture, base.quantised, base.licence, base.name):
        assert name is None or (name.isascii() and name.isprintable() and 0 < len(name) <= 100)
    for flag in (base.symmetric, base.reordered):
        assert flag is None or type(flag) is bool
    for text in (*base.code.entries, *base.code.elsewhere):
        assert text.isprintable()
        assert len(text) < 400


@QUICK
@given(config=CONFIGS, beside=CONFIGS)
def test_any_config_gives_facts_of_the_right_types(config: Any, beside: Any) -> None:
    base = described(BaseModel(name="x"), {CONFIG: config, "quantize_config.json": beside})
    check(base)
    code = code_of(dict.fromkeys(WITH_CODE, config), ["a.py", "b.txt"])
    check(BaseModel(name="x", code=code))
    assert set(code.files) <= {"a.py"}
    assert len(code.entries) <= 50


@QUICK
@given(names=st.sets(NAMES, max_size=8), index=CONFIGS)
def test_only_plain_names_that_are_there_are_wanted(names: set[str], index: Any) -> None:
    plain = {name for name in names if is_plain(name)}
    weights = weights_of(plain, index)
    for name in wanted(plain, weights, code_of({CONFIG: {"auto_map": {"A": "a.B"}}}, plain)):
        assert name in names
        assert not name.startswith("/")
        assert ".." not in name.split("/")
        assert (Path("/cache") / name).resolve().is_relative_to("/cache")


@settings(QUICK, max_examples=100)
@given(config=CONFIGS, index=CONFIGS, tokenizer=CONFIGS)
def test_any_folder_is_described_or_refused(config: Any, index: Any, tokenizer: Any) -> None:
    files = tiny_model()
    files["config.json"] = json.dumps(config).encode()
    files["tokenizer_config.json"] = json.dumps(tokenizer).encode()
    files["model.safetensors.index.json"] = json.dumps(index).encode()
    with tempfile.TemporaryDirectory() as place:
        folder = write(files, Path(place))
        check(look_at(folder))
        (folder / "model.safetensors").unlink()
        with pytest.raises(RkfetchError):
            look_at(folder)


@pytest.mark.parametrize(
    "config",
    [
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b'{"num_hidden_layers": ' + b"9" * 5000 + b"}",
        b'{"num_hidden_layers": 1e999, "architectures": "x"}',
        b"\xff\xfe",
        b'{"architectures": ["\\ud800"]}',
        b"",
        b"{" + b" " * (17 << 20) + b"}",
    ],
)
def test_a_monstrous_config_is_no_news(tmp_path: Path, config: bytes) -> None:
    folder = write({**tiny_model(), "config.json": config}, tmp_path)
    base = look_at(folder)
    check(base)
    assert base.architecture is None


@QUICK
@given(st.binary(max_size=200), st.integers(0, 1 << 64).map(lambda n: n % (1 << 64)))
def test_any_bytes_are_whole_weights_or_refused(body: bytes, length: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "x.safetensors"
        for data in (body, length.to_bytes(8, "little") + body):
            path.write_bytes(data)
            with pytest.raises(IntegrityError):
                require_whole(path)


@QUICK
@given(tensors=st.dictionaries(st.text(max_size=5), ANYTHING, max_size=4))
def test_any_header_is_counted_or_refused(tensors: Any) -> None:
    text = json.dumps(tensors).encode()
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "x.safetensors"
        path.write_bytes(len(text).to_bytes(8, "little") + text)
        try:
            counts = require_whole(path)
        except IntegrityError:
            return
        assert all(type(count) is int and count >= 0 for count in counts.values())


WHOLE = {"x.gguf": gguf_bytes(), "model.safetensors": safetensors_bytes(TENSORS)}


@QUICK
@example(name="x.gguf", edits=[(98, 0)], cut=None)  # no layers at all
@given(
    name=st.sampled_from(sorted(WHOLE)),
    edits=st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), min_size=1, max_size=4),
    cut=st.none() | st.integers(0, 700),
)
def test_a_damaged_head_is_read_or_refused(
    name: str, edits: list[tuple[int, int]], cut: int | None
) -> None:
    data = bytearray(WHOLE[name])
    for at, value in edits:
        data[min(at, len(data) - 1)] = value
    with tempfile.TemporaryDirectory() as place:
        folder = write({**tiny_model(), name: bytes(data[:cut])}, Path(place))
        with contextlib.suppress(RkfetchError):
            check(look_at(folder / name if name == "x.gguf" else folder))
