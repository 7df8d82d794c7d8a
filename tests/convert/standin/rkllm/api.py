"""A stand-in for Rockchip's rkllm-toolkit, for tests: its calls, prints, codes and bad habits.

Nothing in it is the vendor's. It behaves as toolkit 1.0.1 was seen to, and as published logs of
1.2 and 1.3 read: messages on stdout, bars on stderr, 0 or -1 and never an exception; it cuts names
at their last dot, writes in place, deletes what was there when it fails, and runs Python that lies
with a model. What it writes is laid out like a file of toolkit 1.2 or later, with random data.

What is wrong with a model's folder fails as in the original. What no folder can bring about is
asked for by JSON in the variable ``RKLLM_STANDIN``, or else in the file ``standin.json`` beside the
model. Its keys:

``mode``          what happens, see `MODES`; `success` by default
``seconds``       how long optimizing takes, or how long it is `silent`; 0.02 by default
``padding_bytes`` how much larger the output is; 0 by default
``most_bytes``    what `memory` takes before it ends itself, should nobody else; 1 GiB by default
``colour``        whether messages carry colour codes, which a logger of 1.3 may add
"""

from __future__ import annotations

import errno
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Iterator

MODES = {
    "success": "all goes well",
    "silent": "all goes well, but no word is said for a while",
    "noisy": "all goes well, with odd bytes, a very long line and forged events",
    "children": "all goes well, but for a process of its own, which sleeps on",
    "lingering": "all goes well, but a thread keeps the process from ending",
    "killed": "SIGKILL in the middle of optimizing, as by the kernel when memory is short",
    "memory": "takes memory until it is killed",
    "allocation": "a tensor cannot be allocated",
    "crashed": "SIGSEGV in the middle of optimizing",
    "optimizing": "the layers are not named as it expects",
    "transformers": "the library is too old for the model",
    "foreign": "the weights are quantised in a way that it does not know",
    "wordless": "-1 from build, without a word",
    "raises": "an exception leaves build",
    "no-memory": "a MemoryError leaves build, and a thread keeps the process from ending",
    "exits-255": "build ends the process with status 255",
    "exits-0": "build ends the process with status 0",
    "target-full": "no space is left where the file shall be",
    "staging-full": "no space is left in TMPDIR",
    "width": "the width of K and V is not accepted, found out after the whole build",
    "short": "0, but the file was cut off",
    "empty": "0, but the file is empty",
    "nothing": "0, but there is no file",
}

_HERE = Path(__file__).parent
VERSION: str = (_HERE / "version.txt").read_text() if (_HERE / "version.txt").exists() else "1.2.3"
"""Which toolkit it passes for; `standin_wheel.py` writes it."""
_NUMBERS = tuple(int(part) for part in VERSION.split("b", 1)[0].split("."))
_OLD = _NUMBERS < (1, 1)

ARCHITECTURES: dict[str, tuple[str, tuple[int, ...]]] = {
    "LlamaForCausalLM": ("llama", (1, 0)),
    "QWenLMHeadModel": ("qwen", (1, 0)),
    "Qwen2ForCausalLM": ("qwen2", (1, 0)),
    "PhiForCausalLM": ("phi2", (1, 0)),
    "GemmaForCausalLM": ("gemma", (1, 0, 1)),
    "Phi3ForCausalLM": ("phi3", (1, 0, 1)),
    "Gemma2ForCausalLM": ("gemma2", (1, 1)),
    "Gemma3ForCausalLM": ("gemma3", (1, 2)),
    "Qwen3ForCausalLM": ("qwen3", (1, 2, 1)),
    "SmolLM3ForCausalLM": ("smollm3", (1, 3)),
}
"""What it converts: its name in the file, and the first toolkit that does."""
PLATFORMS: dict[str, tuple[int, int, tuple[int, ...], tuple[str, ...]]] = {
    "rk3588": (0, 3, (1, 0), ("w8a8", "w8a8_g128", "w8a8_g256", "w8a8_g512")),
    "rk3576": (1, 2, (1, 0), ("w4a16", "w4a16_g32", "w4a16_g64", "w4a16_g128", "w8a8")),
    "rk3562": (2, 1, (1, 2), ("w8a8", "w4a16_g32", "w4a16_g64", "w4a16_g128", "w4a8_g32")),
    "rv1126b": (3, 1, (1, 2, 1), ("w4a16", "w4a16_g32", "w4a16_g64", "w4a16_g128", "w8a8")),
}
"""Code in the file, cores, first toolkit, and what it quantises to for it."""
FILE_TYPES = {
    "fp16": 1,
    "w8a8": 34,
    "w4a16": 38,
    "w4a16_g64": 40,
    "w4a16_g128": 41,
    "w8a8_g128": 42,
    "w8a8_g256": 43,
    "w8a8_g512": 44,
    "w4a16_g32": 45,
    "w4a8_g32": 46,
}
"""``general.file_type``: a guess from the order in which a runtime names them."""
MARKS = {
    "platform": 0x7E5A0A01,
    "npu_cores": 0x7E5A0B02,
    "max_context": 0x7E5A0C03,
    "file_type": 0x7E5A0D04,
}
"""Numbers that stand in a template where those of the conversion go."""
_ARGUMENTS: dict[str, dict[tuple[int, ...], tuple[str, ...]]] = {
    "load_huggingface": {
        (1, 0): ("model",),
        (1, 0, 1): ("device",),
        (1, 1): ("model_lora",),
        (1, 2): ("dtype", "custom_config", "load_weight"),
    },
    "load_gguf": {(1, 1): ("model",)},
    "build": {
        (1, 0): ("do_quantization", "optimization_level", "quantized_dtype", "target_platform"),
        (1, 1): (
            "quantized_algorithm",
            "num_npu_core",
            "extra_qparams",
            "dataset",
            "hybrid_rate",
        ),
        (1, 2): ("max_context",),
    },
    "export_rkllm": {(1, 0): ("export_path",), (1, 3): ("export_tokenizer", "export_embedding")},
}


class RKLLM:
    """The one class of the interface."""

    def __init__(self) -> None:
        self._set: dict[str, Any] = {}
        self._model: Path | None = None
        self._config: dict[str, Any] = {}
        self._build: dict[str, Any] = {}
        self._configure(None)
        if _NUMBERS > (1, 0, 0):
            self._info(f"rkllm-toolkit version: {VERSION}")

    def load_huggingface(self, **given: Any) -> int:
        """Load a folder in the Hugging Face layout."""
        self._check_arguments("load_huggingface", given)
        model = Path(given["model"])
        self._configure(model)
        if not model.exists():
            self._error(f"Model file {model} not exists!")
            return -1
        device = given.get("device", "cpu")
        if device not in {"cpu", "cuda"}:
            self._error("Only support cuda or cpu device! Options: [cuda, cpu] ")
            return -1
        if device == "cuda":
            self._warning("Cuda device not available! switch to cpu device!")
        try:
            return self._load(model)
        except Exception as error:  # noqa: BLE001
            return self._caught(error, "loading model")

    def load_gguf(self, **given: Any) -> int:
        """Load a GGUF file."""
        self._check_arguments("load_gguf", given)
        model = Path(given["model"])
        self._configure(model.parent)
        try:
            with model.open("rb") as file:
                magic = file.read(4)
        except Exception as error:  # noqa: BLE001
            return self._caught(error, "loading model")
        if magic != b"GGUF":
            return self._caught(ValueError("invalid magic"), "loading model")
        self._model, self._config = model, {"architectures": ["LlamaForCausalLM"]}
        return 0

    def build(self, **given: Any) -> int:
        """Optimise and quantise, or (at level 0) only note how."""
        self._check_arguments("build", given)
        if self._model is None:
            self._error("Unsupport model:  <class 'NoneType'>")
            return -1
        platform = str(given.get("target_platform", "rk3588")).lower()
        quantised = given.get("do_quantization", True)
        dtype = str(given.get("quantized_dtype", "w8a8")).lower() if quantised else "fp16"
        if not _supports(platform, dtype):
            said = "Target_platform" if _OLD else "target_platform"
            self._error(f"{said}: {platform} not support quantized_dtype: {dtype}!")
            return -1
        self._build = {
            "platform": platform,
            "dtype": dtype,
            "cores": given.get("num_npu_core", PLATFORMS[platform][1]),
            "context": given.get("max_context", 4096),
        }
        try:
            self._read_dataset(given.get("dataset"))
            return self._optimise(quantised and given.get("optimization_level", 1) == 1)
        except Exception as error:
            if self._mode in {"raises", "no-memory"}:
                raise
            return self._caught(error, "optimizing model")

    def export_rkllm(self, *positional: Any, **given: Any) -> int:
        """Write the file, in place, under a name cut at its last dot."""
        if positional:
            given["export_path"] = positional[0]
        self._check_arguments("export_rkllm", given)
        if self._model is None:
            self._error("Not support None!")
            return self._caught(TypeError("'NoneType' object is not callable"), "converting model")
        asked = Path(given["export_path"])
        path = asked.parent / (asked.name.rpartition(".")[0] or asked.name)
        path = path.with_name(f"{path.name}.rkllm")
        if self._mode == "nothing":
            return 0
        try:
            target = path.open("wb")
        except OSError as error:
            return self._caught(error, f"exporting model to [{path}]")
        try:
            with target:
                self._export(target, path)
        except Exception as error:  # noqa: BLE001
            path.unlink()
            return self._caught(error, "converting model")
        self._info(f"Model has been saved to {path}!")
        return 0

    # What it does

    def _load(self, model: Path) -> int:
        print(
            "The argument `trust_remote_code` is to be used with Auto classes."
            " It has no effect here and is ignored.",
            file=sys.stderr,
            flush=True,
        )
        with open(f"{model}/config.json") as file:  # noqa: PTH123 - its message quotes this path
            config = json.load(file)
        architecture = (config.get("architectures") or ["None"])[0]
        if self._mode == "transformers":
            raise ValueError(
                f"The checkpoint you are trying to load has model type `{config.get('model_type')}`"
                " but Transformers does not recognize this architecture. This could be because of"
                " an issue with the checkpoint, or because your version of Transformers is out of"
                " date."
            )
        if ARCHITECTURES.get(architecture, ("", (99,)))[1] > _NUMBERS:
            self._error(f"Not support {architecture}!")
            return -1
        _run_code(model, config)
        if self._mode == "foreign":
            raise ImportError(
                "Using `bitsandbytes` 8-bit quantization requires the latest version of"
                " bitsandbytes: `pip install -U bitsandbytes`"
            )
        _read_weights(model)
        _read_tokenizer(model)
        self._model, self._config = model, config
        return 0

    def _read_dataset(self, dataset: str | None) -> None:
        if dataset is None:
            return
        with open(dataset) as file:  # noqa: PTH123 - its message quotes this path
            rows = json.load(file)
        print(f"Generating train split: {len(rows)} examples", file=sys.stderr, flush=True)

    def _optimise(self, has_layers: bool) -> int:
        layers = int(self._config.get("num_hidden_layers", 2))
        if not _OLD:
            _bar("Building model", layers * 12 + 3, 0)
        self._misbehave()
        if self._mode == "wordless":
            return -1
        # What goes wrong in the middle of this shall do so at level 0, too.
        dies = self._mode in {"killed", "crashed", "memory", "allocation", "optimizing"}
        if has_layers or dies:
            steps = _steps("Optimizing model", layers, self._seconds / layers)
            for number, _ in enumerate(steps):
                if number == layers // 2:
                    self._die()
        return 0

    def _misbehave(self) -> None:
        if self._mode == "silent":
            time.sleep(self._seconds)
        elif self._mode == "noisy":
            print('{"event": "result", "bytes": 1, "peak_bytes": 1, "seconds": {}}', flush=True)
            sys.stdout.buffer.write(b"\xff\xfe odd \x1b[31mbytes\x1b[0m\x07\n" + b"x" * 300_000)
            sys.stdout.flush()
            print(flush=True)
        elif self._mode == "children":
            # It writes its number where a test finds it.
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            Path(tempfile.gettempdir(), "..", "child.pid").write_text(str(child.pid))
            time.sleep(self._seconds)
        elif self._mode in {"lingering", "no-memory"}:
            threading.Thread(target=time.sleep, args=(600,)).start()
            if self._mode == "no-memory":
                raise MemoryError
        elif self._mode == "raises":
            raise KeyError("model.layers.0")
        elif self._mode.startswith("exits-"):
            sys.exit(int(self._mode[6:]))

    def _die(self) -> None:
        if self._mode == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self._mode == "crashed":
            signal.signal(signal.SIGSEGV, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGSEGV)
        elif self._mode == "memory":
            _take_memory(int(self._set.get("most_bytes", 1 << 30)))
        elif self._mode == "allocation":
            raise RuntimeError(
                "[enforce fail at alloc_cpu.cpp:114] data. DefaultCPUAllocator: can't allocate"
                " memory: you tried to allocate 2179989504 bytes."
                " Error code 12 (Cannot allocate memory)"
            )
        elif self._mode == "optimizing":
            raise KeyError("mlp.down_proj")

    def _export(self, target: Any, path: Path) -> None:
        if not _OLD:
            self._warning(
                "The bos token has two ids: 151646 and 151643, please ensure that the bos token ids"
                " in config.json and tokenizer_config.json are consistent!"
            )
            self._info("Setting token_id of bos to 151646")
        _bar("Converting model", int(self._config.get("num_hidden_layers", 2)) * 12 + 3, 0)
        # Only now, at 100 %, is it seen whether that could be done.
        self._check_model()
        content = self._content()
        if not _OLD:
            self._info(f"Setting max_context_limit to {self._build.get('context', 4096)}")
            self._info("Exporting the model, please wait ....")
        with tempfile.TemporaryFile() as staging:
            if self._mode == "staging-full":
                raise OSError(f"Not enough free space to write {len(content)} bytes")
            staging.write(content)
            staging.seek(0)
            if self._mode == "target-full":
                target.write(content[: len(content) // 2])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            target.write(staging.read())
        if not _OLD:
            _arrow(40)
        target.flush()
        if self._mode in {"short", "empty"}:
            target.truncate(len(content) * 6 // 10 if self._mode == "short" else 0)

    def _check_model(self) -> None:
        assert self._model is not None
        config = self._config
        architecture = config["architectures"][0]
        spiece = self._model / "tokenizer.model"
        if _OLD and architecture == "LlamaForCausalLM" and not spiece.exists():
            raise OSError(f'Not found: "{spiece}": No such file or directory Error #2')
        heads = config.get("num_attention_heads", 8)
        width = config.get("num_key_value_heads", heads) * config.get(
            "head_dim", config.get("hidden_size", 512) // heads
        )
        strict = (self._build.get("platform"), self._build.get("dtype")) == ("rk3588", "w8a8")
        if self._mode == "width" or (strict and width < 96):
            if _OLD:
                raise TypeError("expected Tensor as element 0 in argument 0, but got int")
            raise ValueError(f"dimension {width} must be greater than or equal to 96")

    def _content(self) -> bytes:
        build = self._build or {"platform": "rk3588", "dtype": "fp16", "cores": 3, "context": 4096}
        values = {
            "platform": PLATFORMS[build["platform"]][0],
            "npu_cores": build["cores"],
            "max_context": build["context"],
            "file_type": FILE_TYPES[build["dtype"]],
        }
        name = ARCHITECTURES[self._config["architectures"][0]][0]
        content = (_HERE / "templates" / f"{name}.bin").read_bytes()
        for what, mark in MARKS.items():
            content = content.replace(
                mark.to_bytes(4, "little"), int(values[what]).to_bytes(4, "little")
            )
        head, trailer, rest = content.rpartition(b"rkllm-toolkit version: ")
        return head + bytes(int(self._set.get("padding_bytes", 0))) + trailer + rest

    # How it speaks

    def _configure(self, model: Path | None) -> None:
        beside = None if model is None else model / "standin.json"
        self._set = json.loads(beside.read_text()) if beside and beside.is_file() else {}
        self._set.update(json.loads(os.environ.get("RKLLM_STANDIN", "{}")))
        self._mode = self._set.get("mode", "success")
        self._seconds = float(self._set.get("seconds", 0.02))
        assert self._mode in MODES, self._mode

    def _check_arguments(self, call: str, given: dict[str, Any]) -> None:
        known = {n for since, ns in _ARGUMENTS[call].items() if since <= _NUMBERS for n in ns}
        if not known:
            raise AttributeError(f"'RKLLM' object has no attribute '{call}'")
        for name in given:
            if name not in known:
                raise TypeError(f"{call}() got an unexpected keyword argument '{name}'")

    def _caught(self, error: Exception, doing: str) -> int:
        said = str(error) or type(error).__name__
        if _OLD:
            self._error(f"Error: {said}!")
            self._error(f"Catch exception when {doing}!")
        else:
            self._error(f"Catch exception when {doing}: {said}")
        return -1

    def _info(self, text: str) -> None:
        self._say("INFO", 32, text)

    def _warning(self, text: str) -> None:
        self._say("WARNING", 33, text)

    def _error(self, text: str) -> None:
        self._say("ERROR", 31, text)

    def _say(self, level: str, colour: int, text: str) -> None:
        if not _OLD:
            text = f"{level}: {text}"
        if self._set.get("colour"):
            text = f"\x1b[{colour}m{text}\x1b[0m"
        print(text, flush=True)


def _supports(platform: str, dtype: str) -> bool:
    if platform not in PLATFORMS or PLATFORMS[platform][2] > _NUMBERS:
        return False
    known = PLATFORMS[platform][3]
    return dtype == "fp16" or (dtype in known and not (_OLD and "_" in dtype))


def _run_code(model: Path, config: dict[str, Any]) -> None:
    """Run what ``auto_map`` names, as ``trust_remote_code`` does."""
    maps = [config.get("auto_map")]
    tokenizer = model / "tokenizer_config.json"
    if tokenizer.is_file():
        maps.append(json.loads(tokenizer.read_text()).get("auto_map"))
    for entries in maps:
        for entry in (entries or {}).values():
            names = entry if isinstance(entry, list) else [entry]
            for name in filter(None, names):
                runpy.run_path(str(model / (name.rpartition(".")[0] + ".py")))


def _read_weights(model: Path) -> None:
    files = sorted(model.glob("*.safetensors"))
    if not files:
        if list(model.glob("pytorch_model*.bin")):
            return
        raise OSError(
            "Error no file named pytorch_model.bin, tf_model.h5, model.ckpt.index or"
            f" flax_model.msgpack found in directory {model}."
        )
    for path in files:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if size > 100_000_000:
                raise RuntimeError("Error while deserializing header: HeaderTooLarge")
            header = file.read(size)
        ends = [0]
        if len(header) == size:
            entries = json.loads(header)
            ends += [e["data_offsets"][1] for n, e in entries.items() if n != "__metadata__"]
        if len(header) < size or path.stat().st_size != 8 + size + max(ends):
            raise RuntimeError("Error while deserializing header: MetadataIncompleteBuffer")


def _read_tokenizer(model: Path) -> None:
    if not any((model / n).exists() for n in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        raise OSError(
            f"Can't load tokenizer for '{model}'. If you were trying to load it from"
            " 'https://huggingface.co/models', make sure you don't have a local directory with the"
            f" same name. Otherwise, make sure '{model}' is the correct path to a directory"
            " containing all relevant files for a tokenizer."
        )


def _take_memory(most_bytes: int) -> None:
    taken: list[bytes] = []
    piece = 16 << 20
    while len(taken) * piece < most_bytes:
        taken.append(b"\1" * piece)
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)


def _steps(name: str, total: int, seconds: float) -> Iterator[int]:
    """Count, with a bar as tqdm draws it on stderr."""
    began = time.monotonic()
    for done in range(total + 1):
        width = 10 * done // total
        bar = "█" * width + " " * (10 - width)
        spent = int(time.monotonic() - began)
        sys.stderr.write(
            f"\r{name}: {100 * done // total:3d}%|{bar}| {done}/{total}"
            f" [00:{spent:02d}<00:00,  {seconds:.2f}s/it]"
        )
        sys.stderr.flush()
        if done < total:
            yield done
            time.sleep(seconds)
    sys.stderr.write("\n")
    sys.stderr.flush()


def _bar(name: str, total: int, seconds: float) -> None:
    for _ in _steps(name, total, seconds):
        pass


def _arrow(total: int) -> None:
    """Draw the bar of the export, which comes from native code and goes to stdout."""
    for done in range(1, total + 1):
        width = 50 * done // total
        bar = "=" * (width - 1) + ">" + " " * (50 - width)
        sys.stdout.write(f"\r[{bar}] {done}/{total} ({100 * done // total}%)")
        sys.stdout.flush()
    print(flush=True)
