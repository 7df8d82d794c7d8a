"""A base model of the Hub: what is known before its weights come, and how they come."""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from huggingface_hub import close_session, snapshot_download

from convert.models import (
    PARAMETERS,
    REPO,
    pickled,
    safetensors_bytes,
    serve,
    sharded,
    tiny_model,
    with_code,
)
from downloads import Watcher, quick_http, small_disk
from hub.faults import HOSTILE_NAMES, LOGIN_PAGE, POINTER
from hub.server import Fault, Hub
from rkfetch.registry.convert import base_cache
from rkfetch.registry.convert.base_hub import look_up
from rkfetch.registry.endpoints import hub_cache, hub_token
from rkfetch.registry.errors import (
    AuthenticationError,
    ConversionUnavailableError,
    DiskSpaceError,
    IntegrityError,
    NetworkError,
    OfflineError,
    UnknownModelError,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rkfetch.registry.convert.base import BaseModel
    from rkfetch.registry.http import Http

WEIGHTS = "*.safetensors"
OTHERS = """
pytorch_model.bin tf_model.h5 flax_model.msgpack model.gguf onnx/model.onnx
original/consolidated.00.pth original/params.json consolidated.safetensors
LICENSE USAGE.txt requirements.txt figure.png setup.py 1_Pooling/config.json
tf_model.h5.index.json pytorch_model.bin.index.json adapter_config.json
"""
"""Of other frameworks, for people, or for training."""

CHILD = """
import sys
from rkfetch.registry.convert import base_cache
from rkfetch.registry.convert.base_hub import look_up
from rkfetch.registry.http import Http
from rkfetch.registry.progress import NoProgress

class Loud(NoProgress):
    def waiting(self, reason, seconds):
        print(reason, file=sys.stderr, flush=True)

with Http() as http:
    print(base_cache.fetch(look_up("{repo}", http=http), http=http, progress=Loud()).path)
"""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The endpoint, without any repository."""
    with Hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        yield hub
        close_session()


@pytest.fixture
def http(hub: Hub) -> Iterator[Http]:
    with quick_http() as http:
        yield http


def fetched(http: Http, revision: str | None = None, **options: Any) -> BaseModel:
    return base_cache.fetch(look_up(REPO, revision, http=http), http=http, **options)


def by_the_real_client(hub: Hub, **options: Any) -> Path:
    """Fetch as any other tool would; its settings are those of when it was first imported."""
    found = snapshot_download(REPO, cache_dir=hub_cache(), endpoint=hub.endpoint, **options)
    return Path(str(found))


def content_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def kept() -> set[str]:
    """What lies in the cache, locks and marks aside."""
    return {
        path.name
        for path in hub_cache().rglob("*")
        if path.is_file() and not path.name.endswith((".lock", "CACHEDIR.TAG"))
    }


@contextlib.contextmanager
def running() -> Iterator[subprocess.Popen[str]]:
    """Fetch in a process of its own, which does not outlive the block."""
    child = [sys.executable, "-c", CHILD.format(repo=REPO)]
    pipe = subprocess.PIPE
    with subprocess.Popen(child, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


class TestLookUp:
    def test_all_is_known_before_a_weight_is_asked_for(self, hub: Hub, http: Http) -> None:
        repo = serve(hub, files := tiny_model())
        base = look_up(REPO, http=http)
        assert (base.name, base.hub_id, base.revision) == (REPO[5:], REPO, repo.commit)
        assert (base.architecture, base.layers, base.context) == ("Qwen2ForCausalLM", 2, 32768)
        assert (base.parameters, base.licence, base.gated) == (PARAMETERS, "apache-2.0", False)
        assert base.weights_bytes == len(files["model.safetensors"])
        assert base.download_bytes == sum(map(len, files.values()))
        assert set(base.files) == set(files)
        assert base.files[-1] == "model.safetensors"
        assert base.path is None
        assert not base.code
        assert hub.data_requests(WEIGHTS) == []
        assert hub.data_requests("tokenizer.json") == []
        assert kept() == set()

    def test_parts_are_those_that_the_index_names(self, hub: Hub, http: Http) -> None:
        files = sharded(tiny_model())
        repo = serve(hub, {**files, "model-00003-of-00002.safetensors": b"left over"})
        base = look_up(REPO, http=http)
        assert set(base.files) == set(files)
        repo.remove_file("model-00002-of-00002.safetensors")
        with pytest.raises(IntegrityError, match="lacks 1 of the 2 parts") as caught:
            look_up(REPO, http=http)
        assert "model-00002-of-00002.safetensors" in caught.value.cause[0]

    def test_what_the_toolkit_does_not_need_stays_there(self, hub: Hub, http: Http) -> None:
        wanted = {**tiny_model(), "chat_template.jinja": b"{{ messages }}", "vocab.json": b"{}"}
        others = OTHERS.split()
        serve(hub, {**wanted, **dict.fromkeys(others, b"{}")})
        base = fetched(http)
        assert set(base.files) == set(wanted)
        assert base.path is not None
        assert content_of(base.path) == wanted
        asked = {seen.file for seen in hub.requests if seen.file}
        assert asked == set(wanted)

    def test_pickles_are_taken_only_where_there_is_nothing_else(self, hub: Hub, http: Http) -> None:
        serve(hub, pickled(tiny_model()))
        base = look_up(REPO, http=http)
        assert base.code.pickles == ("pytorch_model.bin",)
        assert base.code
        assert base.files[-1] == "pytorch_model.bin"
        assert base.parameters == PARAMETERS + 2  # by the size: 4 more bytes of 2 each

    def test_code_is_named_before_it_is_fetched(self, hub: Hub, http: Http) -> None:
        files = with_code(tiny_model())
        files["tokenizer_config.json"] = json.dumps(
            {"auto_map": {"AutoTokenizer": ["someone/else--tokenization_x.XTokenizer", None]}}
        ).encode()
        serve(hub, files)
        code = look_up(REPO, http=http).code
        assert code.files == ("configuration_tiny.py", "modeling_tiny.py")
        assert code.entries == (
            "config.json: AutoConfig = configuration_tiny.TinyConfig",
            "config.json: AutoModelForCausalLM = modeling_tiny.TinyForCausalLM",
            "tokenizer_config.json: AutoTokenizer = someone/else--tokenization_x.XTokenizer",
        )
        assert code.elsewhere == ("someone/else",)
        assert hub.data_requests("*.py") == []
        assert set(files) == set(look_up(REPO, http=http).files)

    def test_quantised_weights_are_counted_unpacked(self, hub: Hub, http: Http) -> None:
        method = {
            "quant_method": "gptq",
            "bits": 4,
            "group_size": 128,
            "sym": True,
            "desc_act": False,
        }
        files = tiny_model(quantization_config=method)
        files["model.safetensors"] = safetensors_bytes(
            {"a.qweight": ("I32", (8, 100)), "a.scales": ("F16", (10,))}
        )
        serve(hub, files)
        base = look_up(REPO, http=http)
        assert (base.quantised, base.bits, base.group) == ("gptq", 4, 128)
        assert (base.symmetric, base.reordered) == (True, False)
        assert base.parameters == 8 * 800 + 10

    def test_a_branch_is_pinned_to_its_commit(self, hub: Hub, http: Http) -> None:
        repo = serve(hub, tiny_model())
        repo.branch("next/step")
        base = look_up(REPO, "next/step", http=http)
        repo.add_file("config.json", b'{"architectures": ["Other"]}', lfs=False)
        assert (base.ref, look_up(REPO, http=http).ref) == ("next/step", "main")
        hub.forget()
        assert look_up(REPO, base.revision, http=http) == replace(base, ref=None)
        fetched = base_cache.fetch(base, http=http)
        assert fetched.path is not None
        assert b"Qwen2ForCausalLM" in (fetched.path / "config.json").read_bytes()
        paths = [seen.path for seen in hub.requests if "/resolve/" in seen.path]
        asked = {path.partition("/resolve/")[2].partition("/")[0] for path in paths}
        assert asked == {base.revision}

    def test_a_model_that_was_renamed_has_its_new_name(self, hub: Hub, http: Http) -> None:
        serve(hub, tiny_model())
        hub.rename(REPO, "Qwen/Better-Name")
        base = look_up(REPO, http=http)
        assert (base.hub_id, base.name) == ("Qwen/Better-Name", "Better-Name")

    @pytest.mark.parametrize("name", ["", "qwen", "a/b/c", "../x", "a/..", "a/b\n", "a/b?x", "é/b"])
    def test_what_is_no_name_is_not_asked_for(self, hub: Hub, http: Http, name: str) -> None:
        with pytest.raises(UsageError, match="names no model"):
            look_up(name, http=http)
        assert hub.requests == []

    def test_what_is_not_there_is_said(self, hub: Hub, http: Http) -> None:
        serve(hub, tiny_model())
        with pytest.raises(UnknownModelError, match="no revision v9"):
            look_up(REPO, "v9", http=http)
        # Without a token the Hub does not tell a missing one from a private one.
        with pytest.raises(AuthenticationError, match="is private, or not there"):
            look_up("nobody/nothing", http=http)
        hub.tokens.add("hf_x")
        with (
            quick_http(token="hf_x") as known,
            pytest.raises(UnknownModelError, match="the Hub has no model nobody/nothing"),
        ):
            look_up("nobody/nothing", http=known)

    def test_a_gated_one_says_where_to_accept_before_weights_come(
        self, hub: Hub, http: Http, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        serve(hub, tiny_model(), gated="manual")
        with pytest.raises(AuthenticationError, match="gated by its owner") as caught:
            look_up(REPO, http=http)
        assert caught.value.exit_code == 5
        hint = str(caught.value.hint)
        assert f"{hub.endpoint}/{REPO}" in hint
        assert "HF_TOKEN" in hint
        assert "hf auth login" in hint
        hub.tokens.add("hf_stranger", accepted=False)
        hub.tokens.add("hf_friend", accepted=True)
        with (
            quick_http(token="hf_stranger") as stranger,
            pytest.raises(AuthenticationError) as refused,
        ):
            look_up(REPO, http=stranger)
        assert refused.value.cause == ("the token that was sent has no access",)
        assert hub.data_requests() == []
        monkeypatch.setenv("HF_TOKEN", "hf_friend")
        with quick_http(token=hub_token()) as friend:
            base = fetched(friend)
        assert base.gated
        assert base.path is not None
        cdn = [seen for seen in hub.requests if seen.origin == "cdn"]
        assert cdn
        assert all("authorization" not in seen.headers for seen in cdn)

    @pytest.mark.parametrize(
        ("files", "error", "words"),
        [
            ({"model-q8_0.gguf": b"GGUF"}, ConversionUnavailableError, "it has GGUF"),
            ({"config.json": b"{}"}, ConversionUnavailableError, "none at all"),
            ({"adapter_config.json": b'{"base_model_name_or_path": "a/b"}'}, UsageError, "for a/b"),
            ({"data.csv": b"1,2"}, UsageError, "no config.json"),
            (
                {"config.json": b"{}", "model.safetensors": safetensors_bytes({})},
                IntegrityError,
                "tokenizer.json",
            ),
        ],
    )
    def test_what_cannot_be_converted_is_refused_first(
        self, hub: Hub, http: Http, files: dict[str, bytes], error: type[Exception], words: str
    ) -> None:
        serve(hub, files)
        with pytest.raises(error) as caught:
            look_up(REPO, http=http)
        assert isinstance(caught.value, (UsageError, ConversionUnavailableError, IntegrityError))
        assert words in " ".join(caught.value.cause)
        assert caught.value.hint

    def test_a_network_that_wants_a_login_is_not_taken_for_the_hub(
        self, hub: Hub, http: Http
    ) -> None:
        serve(hub, tiny_model())
        hub.break_it(Fault(path="/api/models/*", body=LOGIN_PAGE))
        with pytest.raises(NetworkError, match="answered what no Hub answers"):
            look_up(REPO, http=http)
        hub.heal()
        hub.break_it(Fault(path="config.json", body=LOGIN_PAGE))
        with pytest.raises(IntegrityError, match=r"config\.json .* is not what the Hub lists"):
            look_up(REPO, http=http)

    def test_another_endpoint_goes_on_where_the_first_fails(
        self, hub: Hub, http: Http, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        serve(hub, tiny_model())
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        with pytest.raises(NetworkError):
            look_up(REPO, http=http)
        monkeypatch.setenv("RKFETCH_ENDPOINTS", hub.endpoint)
        assert fetched(http).path is not None

    def test_hostile_names_become_no_paths(self, hub: Hub, http: Http, tmp_path: Path) -> None:
        files = sharded(tiny_model())
        hostile = [name.replace(".rkllm", ".json") for name in HOSTILE_NAMES]
        repo = serve(hub, files)
        repo.add_files({name: b"{}" for name in hostile if "\ud800" not in name}, lfs=False)
        before = set(tmp_path.rglob("*"))
        base = fetched(http)
        assert set(base.files) == {
            *files,
            "twin-rk3576.json",
            "TWIN-RK3576.json",
            "CON.json",
        }
        cache = hub_cache()
        new = set(tmp_path.rglob("*")) - before
        assert all(path == cache or cache in path.parents or path in cache.parents for path in new)

    @pytest.mark.parametrize("name", [*HOSTILE_NAMES, "../../model-00001-of-00002.safetensors"])
    def test_a_part_with_a_hostile_name_is_missing(self, hub: Hub, http: Http, name: str) -> None:
        files = sharded(tiny_model())
        index = json.loads(files["model.safetensors.index.json"])
        index["weight_map"]["more"] = name
        files["model.safetensors.index.json"] = json.dumps(index).encode()
        serve(hub, files)
        with pytest.raises(IntegrityError, match="lacks 1 of the 3 parts") as caught:
            look_up(REPO, http=http)
        assert caught.value.cause[0].isprintable()
        assert len(caught.value.cause[0]) < 300


class TestFetch:
    def test_other_tools_find_what_was_fetched(self, hub: Hub, http: Http) -> None:
        serve(hub, files := sharded(tiny_model()))
        watcher = Watcher()
        base = fetched(http, progress=watcher)
        assert watcher.received == watcher.total == base.download_bytes
        assert watcher.restarts == []
        hub.forget()
        place = by_the_real_client(hub, revision=base.revision, allow_patterns=list(files))
        assert place == base.path
        assert content_of(place) == files
        assert hub.data_requests() == []

    def test_what_other_tools_fetched_is_used(self, hub: Hub, http: Http) -> None:
        serve(hub, files := tiny_model())
        place = by_the_real_client(hub, allow_patterns=list(files))
        hub.forget()
        base = base_cache.fetch(look_up(REPO, http=http), http=http)
        assert base.path == place
        assert hub.data_requests(WEIGHTS) == []

    def test_a_second_time_asks_for_nothing(self, hub: Hub, http: Http) -> None:
        serve(hub, tiny_model())
        base = look_up(REPO, http=http)
        first = base_cache.fetch(base, http=http)
        hub.forget()
        assert base_cache.fetch(base, http=http) == first
        assert hub.requests == []

    def test_a_connection_that_breaks_is_gone_on_with(self, hub: Hub, http: Http) -> None:
        serve(hub, files := tiny_model(pad_bytes=3 << 20))
        hub.break_it(Fault(path=WEIGHTS, origin="cdn", drop_after=300_000))
        base = fetched(http)
        assert base.path is not None
        assert content_of(base.path) == files
        size = len(files["model.safetensors"])
        assert hub.data_bytes(WEIGHTS) < size + 400_000

    def test_ctrl_c_keeps_what_came(self, hub: Hub, http: Http) -> None:
        serve(hub, files := tiny_model(pad_bytes=20 << 20))
        hub.break_it(Fault(path=WEIGHTS, origin="cdn", rate=20e6))
        with pytest.raises(KeyboardInterrupt):
            fetched(http, progress=Watcher(interrupt_at=4 << 20))
        hub.heal()
        hub.stop_accepting("cdn")
        watcher = Watcher()
        with pytest.raises(NetworkError):
            fetched(http, progress=watcher)
        assert watcher.received > 2 << 20
        hub.start_accepting()
        hub.forget()
        watcher = Watcher()
        base = fetched(http, progress=watcher)
        assert base.path is not None
        assert content_of(base.path) == files
        assert 0 < hub.data_bytes(WEIGHTS) < len(files["model.safetensors"])
        assert watcher.received == base.download_bytes
        assert not [name for name in kept() if ".rkfetch" in name]

    def test_a_process_that_was_killed_is_gone_on_with(self, hub: Hub, http: Http) -> None:
        serve(hub, files := tiny_model(pad_bytes=20 << 20))
        hold = hub.hold(WEIGHTS, 12 << 20)
        with running() as process:
            assert hold.reached.wait(60)
            process.kill()
        hub.heal()
        hub.forget()
        base = fetched(http)
        assert base.path is not None
        assert content_of(base.path) == files
        assert hub.data_bytes(WEIGHTS) < len(files["model.safetensors"])

    def test_two_processes_download_it_once(self, hub: Hub) -> None:
        serve(hub, files := tiny_model(pad_bytes=20 << 20))
        hold = hub.hold(WEIGHTS, 1 << 20)
        with running() as first:
            assert hold.reached.wait(60)
            with running() as second:
                assert second.stderr is not None
                assert "another process fetches model.safetensors" in second.stderr.readline()
                hold.released.set()
                said = [process.communicate(timeout=60)[0] for process in (first, second)]
        assert (first.returncode, second.returncode) == (0, 0)
        assert said[0] == said[1]
        # What is held up may be asked for once more, on another connection.
        assert hub.data_bytes(WEIGHTS) < 2 * len(files["model.safetensors"])

    def test_a_flipped_byte_is_found_on_the_way(self, hub: Hub, http: Http) -> None:
        serve(hub, files := tiny_model())
        hub.break_it(Fault(path=WEIGHTS, origin="cdn", flip_at=70_000, times=1))
        base = fetched(http)
        assert base.path is not None
        assert content_of(base.path) == files

    def test_content_that_stays_wrong_is_not_kept(self, hub: Hub, http: Http) -> None:
        serve(hub, files := tiny_model())
        hub.break_it(Fault(path=WEIGHTS, origin="cdn", flip_at=70_000))
        with pytest.raises(IntegrityError) as caught:
            fetched(http)
        right = hashlib.sha256(files["model.safetensors"]).hexdigest()
        assert caught.value.expected is not None
        assert right in caught.value.expected
        assert right not in " ".join(kept())
        assert "model.safetensors" not in kept()

    def test_a_wrong_small_file_is_not_kept(self, hub: Hub, http: Http) -> None:
        serve(hub, tiny_model())
        base = look_up(REPO, http=http)
        hub.break_it(Fault(path="*merges.txt", flip_at=3))
        with pytest.raises(IntegrityError, match=r"merges\.txt is not the content"):
            base_cache.fetch(base, http=http)
        assert "merges.txt" not in kept()

    def test_a_byte_that_flipped_in_the_cache_is_found(self, hub: Hub, http: Http) -> None:
        serve(hub, files := tiny_model())
        base = look_up(REPO, http=http)
        place = base_cache.fetch(base, http=http).path
        assert place is not None
        weights = place / "model.safetensors"
        data = bytearray(weights.read_bytes())
        data[70_000] ^= 1
        weights.write_bytes(data)
        watcher = Watcher()
        base_cache.fetch(base, http=http, progress=watcher)
        assert content_of(place) == files
        assert watcher.restarts == ["model.safetensors in the cache is damaged"]

    def test_a_pointer_that_was_uploaded_as_weights_is_said(self, hub: Hub, http: Http) -> None:
        serve(hub, {**tiny_model(), "model.safetensors": POINTER})
        with pytest.raises(IntegrityError, match="no whole file of weights") as caught:
            fetched(http)
        assert "Git LFS pointer" in caught.value.cause[0]

    def test_a_full_disk_is_said_before_the_first_byte(
        self, hub: Hub, http: Http, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        serve(hub, tiny_model(pad_bytes=8 << 20))
        base = look_up(REPO, http=http)
        hub.forget()
        with small_disk(tmp_path / "small", 4 << 20, monkeypatch) as disk:
            monkeypatch.setenv("HF_HUB_CACHE", str(disk / "hub"))
            with pytest.raises(DiskSpaceError) as caught:
                base_cache.fetch(base, http=http)
        assert "HF_HOME" in str(caught.value.hint)
        assert caught.value.need_bytes is not None
        assert caught.value.need_bytes > 8 << 20
        assert hub.requests == []


class TestOffline:
    @pytest.fixture
    def nothing(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Http]:
        """A client after HF_HUB_OFFLINE was set."""
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        with quick_http() as http:
            yield http

    def test_what_is_in_the_cache_is_found(self, hub: Hub, nothing: Http) -> None:
        serve(hub, files := with_code(sharded(tiny_model())))
        with quick_http(offline=False) as http:
            place = by_the_real_client(hub, allow_patterns=list(files))
            online = look_up(REPO, http=http)
        hub.forget()
        base = look_up(REPO, http=nothing)
        assert (base.revision, base.parameters) == (online.revision, PARAMETERS)
        assert (base.code, base.name) == (online.code, online.name)
        assert set(base.listing) == set(online.listing)
        assert base_cache.fetch(base, http=nothing).path == place
        assert base_cache.find(REPO, online.revision) == replace(base, ref=None)
        assert hub.requests == []

    @pytest.mark.parametrize("ref", [None, "next/step"])
    def test_what_was_fetched_by_the_name_of_a_branch_is_found_by_it(
        self, hub: Hub, nothing: Http, ref: str | None
    ) -> None:
        serve(hub, tiny_model()).branch("next/step")
        with quick_http(offline=False) as http:
            online = fetched(http, ref)
        hub.forget()
        offline = base_cache.fetch(look_up(REPO, ref, http=nothing), http=nothing)
        assert (offline.path, offline.revision) == (online.path, online.revision)
        assert by_the_real_client(hub, revision=ref, local_files_only=True) == online.path
        assert hub.requests == []

    def test_what_is_not_is_said(self, hub: Hub, nothing: Http) -> None:
        serve(hub, tiny_model())
        with pytest.raises(OfflineError, match="not in huggingface_hub's cache") as caught:
            look_up(REPO, http=nothing)
        assert f"hf download {REPO}" in str(caught.value.hint)
        for revision in ("../..", "/etc/passwd", "x/../y", "x\n", "0" * 40):
            with pytest.raises(OfflineError):
                look_up(REPO, revision, http=nothing)

    def test_what_is_there_in_parts_is_said(self, hub: Hub, nothing: Http) -> None:
        serve(hub, files := sharded(tiny_model()))
        by_the_real_client(hub, allow_patterns=[n for n in files if "00002-of" not in n])
        with pytest.raises(IntegrityError, match="lacks 1 of the 2 parts"):
            look_up(REPO, http=nothing)

    def test_damage_in_the_cache_is_found(self, hub: Hub, nothing: Http) -> None:
        serve(hub, files := tiny_model())
        weights = by_the_real_client(hub, allow_patterns=list(files)) / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
        base = look_up(REPO, http=nothing)
        with pytest.raises(OfflineError, match="not all in huggingface_hub's cache"):
            base_cache.fetch(base, http=nothing)
