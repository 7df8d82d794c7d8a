"""A base model of this machine: what it says, and what is wrong with it."""

from __future__ import annotations

import errno
import json
import os
import struct
from typing import TYPE_CHECKING, Any

import pytest

from convert.models import (
    PARAMETERS,
    TENSORS,
    gguf_bytes,
    pickled,
    safetensors_bytes,
    sharded,
    tiny_model,
    with_code,
    write,
)
from hub.faults import JSON_ERROR, LOGIN_PAGE, POINTER
from rkfetch.registry.convert.base_folder import look_at
from rkfetch.registry.convert.reading import readable
from rkfetch.registry.errors import (
    ConversionUnavailableError,
    IntegrityError,
    RkfetchError,
    UsageError,
)
from rkllm_files import rkllm_bytes

if TYPE_CHECKING:
    from pathlib import Path

LORA = {"peft_type": "LORA", "base_model_name_or_path": "Qwen/Qwen2.5-Tiny-Instruct"}
NO_CONFIG = {name: data for name, data in tiny_model().items() if name != "config.json"}
NO_TOKENIZER = {n: d for n, d in tiny_model().items() if not n.startswith(("tokenizer", "merges"))}


def said_by(error: RkfetchError) -> str:
    return " ".join([error.message, *error.cause])


class TestFolder:
    @pytest.mark.parametrize("form", [dict, sharded])
    def test_a_whole_model_is_described(self, tmp_path: Path, form: Any) -> None:
        files = form(tiny_model())
        folder = write({**files, "README.md": b"#", "sub/x.json": b"{}"}, tmp_path / "Tiny-1B it")
        base = look_at(folder)
        assert (base.name, base.path, base.hub_id) == ("Tiny-1B-it", folder, None)
        assert (base.architecture, base.layers, base.context) == ("Qwen2ForCausalLM", 2, 32768)
        assert base.parameters == PARAMETERS
        weights = [data for name, data in files.items() if name.endswith(".safetensors")]
        assert base.weights_bytes == sum(map(len, weights))
        assert (base.listing, base.download_bytes, base.is_gguf) == ((), 0, False)
        assert not base.code
        assert base.words == str(folder)

    def test_a_folder_is_named_absolutely(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(tiny_model(), tmp_path)
        monkeypatch.chdir(tmp_path)
        assert look_at(tmp_path.__class__()).path == tmp_path

    def test_the_language_part_of_a_multimodal_model_counts(self, tmp_path: Path) -> None:
        config: dict[str, Any] = {"max_position_embeddings": None, "num_hidden_layers": None}
        inner = {"max_position_embeddings": 128000, "num_hidden_layers": 36}
        base = look_at(write(tiny_model(**config, text_config=inner), tmp_path))
        assert (base.context, base.layers) == (128000, 36)

    @pytest.mark.parametrize(
        ("settings", "expected"),
        [
            ({"quant_method": "awq", "w_bit": 4, "q_group_size": 64}, ("awq", 4, 64)),
            ({"load_in_4bit": True}, ("bitsandbytes", 4, None)),
            ({"quant_method": "bitsandbytes", "load_in_8bit": True}, ("bitsandbytes", 8, None)),
            ({"quant_method": "fp8"}, ("fp8", None, None)),
            ({"bits": "4"}, ("unknown", None, None)),
            ({}, (None, None, None)),
        ],
    )
    def test_foreign_quantisation_is_told(
        self, tmp_path: Path, settings: dict[str, Any], expected: tuple[Any, ...]
    ) -> None:
        base = look_at(write(tiny_model(quantization_config=settings), tmp_path))
        assert (base.quantised, base.bits, base.group) == expected

    def test_the_old_file_of_gptq_counts(self, tmp_path: Path) -> None:
        settings = {"bits": 8, "group_size": 256, "sym": False, "desc_act": True}
        files = {**tiny_model(), "quantize_config.json": json.dumps(settings).encode()}
        base = look_at(write(files, tmp_path))
        assert (base.quantised, base.bits, base.group) == ("gptq", 8, 256)
        assert (base.symmetric, base.reordered) == (False, True)

    def test_code_is_named(self, tmp_path: Path) -> None:
        code = look_at(write(with_code(tiny_model()), tmp_path)).code
        assert code.files == ("configuration_tiny.py", "modeling_tiny.py")
        assert code.entries[0] == "config.json: AutoConfig = configuration_tiny.TinyConfig"

    def test_code_that_nothing_asks_for_does_not_run(self, tmp_path: Path) -> None:
        folder = write({**tiny_model(), "train.py": b"import os"}, tmp_path)
        assert not look_at(folder).code

    def test_pickles_are_named(self, tmp_path: Path) -> None:
        base = look_at(write(pickled(tiny_model()), tmp_path))
        assert base.code.pickles == ("pytorch_model.bin",)
        assert base.code.files == ()
        assert base.code

    @pytest.mark.parametrize(
        ("files", "error", "words"),
        [
            (NO_CONFIG, ConversionUnavailableError, "MLX or another form"),
            (NO_TOKENIZER, IntegrityError, "has no tokenizer"),
            ({"config.json": b"{}", "m.gguf": b"GGUF"}, ConversionUnavailableError, "it has GGUF"),
            ({"x": b""}, UsageError, "it has no config.json"),
        ],
    )
    def test_what_is_missing_is_said(
        self, tmp_path: Path, files: dict[str, bytes], error: type[RkfetchError], words: str
    ) -> None:
        with pytest.raises(error) as caught:
            look_at(write(files, tmp_path))
        assert words in said_by(caught.value)
        assert caught.value.hint

    def test_an_adapter_is_to_be_merged_first(self, tmp_path: Path) -> None:
        files = {"adapter_config.json": json.dumps(LORA).encode()}
        with pytest.raises(UsageError, match="is a LoRA adapter") as caught:
            look_at(write(files, tmp_path))
        assert caught.value.cause == ("it was trained for Qwen/Qwen2.5-Tiny-Instruct",)
        assert "merge it into the model" in (caught.value.hint or "")

    def test_parts_that_are_missing_are_counted(self, tmp_path: Path) -> None:
        folder = write(sharded(tiny_model()), tmp_path)
        (folder / "model-00001-of-00002.safetensors").unlink()
        (folder / "model-00001-of-00002.safetensors").symlink_to("../blobs/gone")
        with pytest.raises(IntegrityError, match="lacks 1 of the 2 parts"):
            look_at(folder)

    @pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
    def test_a_pointer_as_weights_is_said(self, tmp_path: Path, name: str) -> None:
        folder = write(pickled(tiny_model()), tmp_path)
        (folder / name).write_bytes(POINTER)
        with pytest.raises(IntegrityError, match=f"{name} is no whole file") as caught:
            look_at(folder)
        assert "Git LFS pointer: the model of 1394162444 bytes" in caught.value.cause[0]
        assert "git lfs pull" in str(caught.value.hint)

    @pytest.mark.parametrize(
        ("weights", "words"),
        [
            (safetensors_bytes(TENSORS)[:-1], "cut off: 131,200 bytes of data are announced"),
            (safetensors_bytes(TENSORS)[:300], "cut off inside its header"),
            (safetensors_bytes(TENSORS) + b"\0", "131,201 are there"),
            (safetensors_bytes(TENSORS)[:5], "no safetensors file"),
            (b"", "an empty file"),
            (bytes(4096), "zeros"),
            (LOGIN_PAGE, "a web page"),
            (JSON_ERROR, "a JSON answer"),
            (struct.pack("<Q", 1 << 63) + b"{" + bytes(99), "cut off inside its header"),
            (struct.pack("<Q", 2) + b"[]", "no safetensors file"),
            (struct.pack("<Q", 7) + b'{"a":1}', "no safetensors file"),
        ],
    )
    def test_torn_weights_are_said(self, tmp_path: Path, weights: bytes, words: str) -> None:
        folder = write({**tiny_model(), "model.safetensors": weights}, tmp_path)
        with pytest.raises(IntegrityError) as caught:
            look_at(folder)
        assert words in caught.value.cause[0]

    def test_a_long_header_is_read_to_its_end(self, tmp_path: Path) -> None:
        many = {f"model.layers.{n}.weight": ("F32", (n, 2)) for n in range(500)}
        folder = write({**tiny_model(), "model.safetensors": safetensors_bytes(many)}, tmp_path)
        assert look_at(folder).parameters == sum(2 * n for n in range(500))

    def test_what_is_not_there_is_said(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="is not there"):
            look_at(tmp_path / "none")
        (tmp_path / "x.rkllm").write_bytes(rkllm_bytes())
        with pytest.raises(UsageError, match="neither a model's folder"):
            look_at(tmp_path / "x.rkllm")

    @pytest.mark.parametrize(
        ("number", "words"),
        [(errno.EACCES, "may not be read"), (errno.ENOENT, "is not there"), (errno.EIO, "failed")],
    )
    def test_what_cannot_be_read_is_said(self, tmp_path: Path, number: int, words: str) -> None:
        path = tmp_path / "model.safetensors"
        with pytest.raises(RkfetchError, match=words) as caught, readable(tmp_path):
            raise OSError(number, os.strerror(number), str(path))
        assert str(path if number != errno.EIO else tmp_path) in caught.value.message

    def test_folders_of_what_is_no_model_are_not_searched(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="holds no model"):
            look_at(write({"other/consolidated.00.pth": b""}, tmp_path))


class TestGguf:
    @pytest.mark.parametrize(("file_type", "expected"), [(1, (None, None)), (2, ("q4_0", 4))])
    def test_what_the_toolkit_takes_is_described(
        self, tmp_path: Path, file_type: int, expected: tuple[Any, ...]
    ) -> None:
        path = tmp_path / "Qwen2 Tiny-F16.gguf"
        kind = {1: 1, 2: 2}[file_type]
        data = gguf_bytes(file_type=file_type, tensors={"a": (kind, (64, 512)), "b": (0, (64,))})
        path.write_bytes(data)
        base = look_at(path)
        assert (base.name, base.path, base.is_gguf) == ("Qwen2-Tiny-F16", path, True)
        assert (base.architecture, base.layers, base.context) == ("qwen2", 2, 4096)
        assert (base.parameters, base.weights_bytes) == (64 * 513, len(data))
        assert (base.quantised, base.bits) == expected

    @pytest.mark.parametrize(
        ("data", "error", "words"),
        [
            (gguf_bytes(file_type=7), ConversionUnavailableError, "is Q8_0; the toolkit takes F16"),
            (gguf_bytes(file_type=15), ConversionUnavailableError, "is Q4_K_M"),
            (gguf_bytes(file_type=99), ConversionUnavailableError, "is type 99"),
            (gguf_bytes(file_type=None), ConversionUnavailableError, "of no stated type"),
            (gguf_bytes(general__type="adapter"), UsageError, "of the type adapter"),
            (gguf_bytes(general__type="\x1b[31m"), UsageError, "of the type unknown"),
            (gguf_bytes(split__count=3), ConversionUnavailableError, "one of 3 parts"),
            (gguf_bytes()[:-1], IntegrityError, "cut off"),
            (gguf_bytes()[:100], IntegrityError, "the file ends inside its keys"),
            (gguf_bytes()[:10], IntegrityError, "the file ends inside its header"),
            (POINTER, IntegrityError, "a Git LFS pointer"),
            (rkllm_bytes(), IntegrityError, "it is an .rkllm file"),
            (b"", IntegrityError, "an empty file"),
            (b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 60), IntegrityError, "keys are claimed"),
        ],
    )
    def test_what_it_does_not_take_is_refused(
        self, tmp_path: Path, data: bytes, error: type[RkfetchError], words: str
    ) -> None:
        path = tmp_path / "x.gguf"
        path.write_bytes(data)
        with pytest.raises(error) as caught:
            look_at(path)
        assert words in said_by(caught.value)
        assert caught.value.hint
