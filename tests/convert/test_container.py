"""The toolkit in real containers: what they may not do, and what is left of them."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from convert import models
from convert.images import ENGINE_ARGS, PYTHON, base_image
from convert.probing import (
    GOOD_API,
    PROBE,
    Heard,
    convert,
    described,
    failed,
    job,
    probe,
    toolkit_wheel,
)
from convert.shelf import Shelf
from convert.standin_wheel import build_wheel
from e2e.world import World
from hub.server import Hub
from rkfetch.registry.convert.container import ContainerEnvironment, engine_arguments
from rkfetch.registry.convert.engines import Engine, engines
from rkfetch.registry.convert.environment import Unwatched
from rkfetch.registry.convert.job import Job
from rkfetch.registry.convert.toolkits import Toolkit
from rkfetch.registry.errors import ConversionError, DiskSpaceError, NetworkError
from rkfetch.registry.rkllm_read import read_file
from rkfetch.registry.versions import Version

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rkfetch.registry.convert.job import Event

pytestmark = pytest.mark.once
KNOWN = Toolkit(version=Version("9.9.9"), wheels=(), torch=("torch==2.6.0",))


def use_debian(patch: pytest.MonkeyPatch) -> None:
    patch.setenv("RKFETCH_CONVERT_IMAGE", base_image())
    patch.setenv("RKFETCH_CONVERT_ENGINE_ARGS", ENGINE_ARGS)
    patch.setenv("PIP_CONFIG_FILE", os.devnull)


@pytest.fixture
def on_debian(monkeypatch: pytest.MonkeyPatch) -> None:
    use_debian(monkeypatch)


def make(home: Path, *, mark: str = "", api: str = GOOD_API) -> ContainerEnvironment:
    (podman,) = engines(("podman",))
    wheel = toolkit_wheel(home / "wheels", PYTHON, api=f"{api} # {mark}")
    return ContainerEnvironment(home, engine=podman, wheel=wheel, toolkit=None, driver=PROBE)


@pytest.fixture(scope="module")
def built(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[ContainerEnvironment, Heard]]:
    heard = Heard()
    with pytest.MonkeyPatch.context() as patch:
        use_debian(patch)
        environment = make(tmp_path_factory.mktemp("home"), mark=secrets.token_hex(8))
        environment.prepare(heard)
    yield environment, heard
    podman("image", "rm", environment.image)


@pytest.fixture
def container(built: tuple[ContainerEnvironment, Heard]) -> ContainerEnvironment:
    return built[0]


def podman(*words: str) -> str:
    done = subprocess.run(["podman", *words], capture_output=True, text=True, check=True)
    return done.stdout


def containers() -> set[str]:
    return set(podman("ps", "--all", "--format", "{{.Names}}").split())


class TestImage:
    def test_it_is_built_once(self, built: tuple[ContainerEnvironment, Heard]) -> None:
        environment, heard = built
        assert [step for step in heard.steps if step.startswith("building localhost/rkfetch-")]
        assert any("Successfully installed rkllm-toolkit-9.9.9" in line for line in heard.details)
        again = Heard()
        environment.prepare(again)
        assert (again.steps, again.details) == ([], [])
        digests = environment.digests()
        assert set(digests) == {"image", "recipe", "wheel"}
        assert {len(digest) for digest in digests.values()} == {len("sha256:") + 64}

    def test_another_wheel_or_recipe_is_another_image(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def image(**more: Any) -> str:
            engine = Engine(name="podman", path="/bin/false")
            wheel = toolkit_wheel(tmp_path, PYTHON, api=more.pop("api", GOOD_API))
            return ContainerEnvironment(
                tmp_path, engine=engine, wheel=wheel, toolkit=more.pop("toolkit", None), **more
            ).image

        images = [image(), image(api="x = 1"), image(toolkit=KNOWN)]
        monkeypatch.setenv("RKFETCH_CONVERT_IMAGE", "registry.example/python:3.11")
        images.append(image())
        assert len(set(images)) == 4
        assert image(toolkit=KNOWN, device="cuda") == image()

    def test_a_toolkit_that_cannot_be_imported_makes_no_image(
        self, on_debian: None, tmp_path: Path
    ) -> None:
        environment = make(tmp_path, api="import libGL_so_1")
        with pytest.raises(ConversionError, match="could not be installed") as caught:
            environment.prepare(Unwatched())
        assert "No module named 'libGL_so_1'" in "".join(caught.value.cause)
        assert "image" not in environment.digests()
        assert not list((tmp_path / "convert" / "containers").iterdir())


class TestInside:
    def test_nothing_but_the_output_can_be_written(
        self, container: ContainerEnvironment, tmp_path: Path
    ) -> None:
        code = """if True:
            import os
            here = {"/proc", "/sys", "/dev"}
            writable = []
            for folder, folders, files in os.walk("/"):
                folders[:] = [f for f in folders if os.path.join(folder, f) not in here]
                paths = [folder, *(os.path.join(folder, f) for f in files)]
                writable += [p for p in paths if os.access(p, os.W_OK) and not os.path.islink(p)]
            model = job["paths"]["model"]
            open(job["paths"]["output"] + "/model.rkllm", "w").write("made")
            emit("log", writable=writable,
                change=tried(lambda: open(model + "/config.json", "a")),
                add=tried(lambda: open(model + "/added", "w")),
                remove=tried(lambda: os.remove(model + "/config.json")))
        """
        work = job(tmp_path, code)
        for path in (work.model, work.model / "config.json"):
            path.chmod(0o777)  # only the mount is in the way
        said = probe(container, tmp_path, code)
        assert set(said.pop("writable")) == {"/tmp", "/rkfetch/output"}
        assert set(said.values()) == {"OSError"}  # read-only
        made = tmp_path / "output" / "model.rkllm"
        assert made.read_text() == "made"
        assert (made.stat().st_uid, made.parent.stat().st_uid) == (os.geteuid(), os.geteuid())
        assert (tmp_path / "model" / "config.json").read_text() == "{}"

    def test_it_is_nobody_with_no_rights_and_no_secrets(
        self,
        container: ContainerEnvironment,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        for name in ("HF_TOKEN", "HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, "http://secret:hf_secret@x")
        code = """if True:
            import os
            status = dict(line.split(":", 1) for line in open("/proc/self/status"))
            emit("log", env=dict(os.environ), ids=[os.getuid(), os.geteuid(), os.getgid()],
                groups=os.getgroups(), rights=[status[k].strip() for k in
                    ("CapEff", "CapBnd", "CapPrm", "NoNewPrivs")])
        """
        said = probe(container, tmp_path, code)
        assert "secret" not in str(said["env"])
        assert 0 not in [*said["ids"], *said["groups"]]
        assert said["rights"] == ["0" * 16, "0" * 16, "0" * 16, "1"]

    def test_a_models_code_reaches_no_network(
        self, container: ContainerEnvironment, tmp_path: Path
    ) -> None:
        with Shelf() as shelf:
            port = shelf.url.rpartition(":")[2]
            work = job(tmp_path, "exec(open(job['paths']['model'] + '/modeling_x.py').read())")
            (work.model / "modeling_x.py").write_text(
                "import os, socket\n"
                f"def connect(host, port={port}): socket.create_connection((host, port), 3)\n"
                "emit('log', here=tried(lambda: connect('127.0.0.1')),"
                "away=tried(lambda: connect('192.0.2.1')),"
                "name=tried(lambda: connect('huggingface.co')), cards=os.listdir('/sys/class/net'))"
            )
            heard = Heard()
            assert container.run(work, heard).status == 0
            (said,) = [event.values for event in heard.events if event.kind == "log"]
            assert said == {
                "here": "ConnectionRefusedError",
                "away": "OSError",
                "name": "gaierror",
                "cards": ["lo"],
            }
            assert shelf.asked == []

    def test_odd_paths_and_the_hubs_links_are_seen(
        self, container: ContainerEnvironment, tmp_path: Path
    ) -> None:
        cache = tmp_path / 'a, "b": c=ü' / "models--x--y"
        (cache / "blobs").mkdir(parents=True)
        (cache / "blobs" / "123").write_text("weights")
        model = cache / "snapshots" / "abc"
        model.mkdir(parents=True)
        (model / "model.safetensors").symlink_to("../../blobs/123")
        dataset = tmp_path / "data set.json"
        dataset.write_text("[]")
        code = """if True:
            p = job["paths"]
            read = lambda path: open(path).read()
            emit("log", p=p, w=read(p["model"] + "/model.safetensors"), d=read(p["dataset"]))
        """
        output = job(tmp_path, "").output
        work = Job(model=model, dataset=dataset, output=output, load={"code": code})
        heard = Heard()
        assert container.run(work, heard).status == 0, heard.events
        (said,) = [event.values for event in heard.events if event.kind == "log"]
        assert (said["w"], said["d"]) == ("weights", "[]")
        assert said["p"] == {
            "model": "/rkfetch/model/snapshots/abc",
            "dataset": "/rkfetch/dataset/data set.json",
            "output": "/rkfetch/output",
        }

    def test_more_memory_than_it_may_use_kills_it(
        self, container: ContainerEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And nothing of it lies where the user happens to be."""
        here = tmp_path / "here"
        here.mkdir()
        monkeypatch.chdir(here)
        code = "emit('log', x=1); x = bytearray(512 << 20); emit('log', x=2)"
        outcome = failed(container, tmp_path, code, memory_bytes=128 << 20)
        assert outcome.out_of_memory
        assert outcome.last is None
        assert outcome.status == 137
        assert list(here.iterdir()) == []


def test_the_stand_in_converts_with_the_real_driver(on_debian: None, tmp_path: Path) -> None:
    (engine,) = engines(("podman",))
    wheel = described(build_wheel(tmp_path / "wheels", python=PYTHON), "1.2.3", PYTHON)
    environment = ContainerEnvironment(tmp_path, engine=engine, wheel=wheel, toolkit=None)
    environment.prepare(Unwatched())
    try:
        made = convert(environment, tmp_path)
    finally:
        podman("image", "rm", environment.image)
    assert made.endswith(b"rkllm-toolkit version: 1.2.3")


class TestEnded:
    def test_an_interrupt_removes_it(self, container: ContainerEnvironment, tmp_path: Path) -> None:
        names: list[str] = []

        def interrupt(event: Event) -> None:
            if event.kind == "log":
                (lock,) = container._folder.glob("rkfetch-*.lock")
                names.append(lock.stem)
                assert lock.stem in containers()
                os.kill(os.getpid(), signal.SIGINT)

        code = "import time; emit('log', x=1); time.sleep(600)"
        with pytest.raises(KeyboardInterrupt):
            container.run(job(tmp_path, code), Heard(interrupt))
        (name,) = names
        assert name not in containers()
        assert not (container._folder / f"{name}.lock").exists()

    def test_what_a_killed_rkfetch_left_is_removed_by_the_next(
        self, on_debian: None, container: ContainerEnvironment, tmp_path: Path
    ) -> None:
        folder = tmp_path / "first"
        script = """if True:
            import sys
            from pathlib import Path
            from convert.probing import Heard, job
            from convert.test_container import make
            environment = make(Path(sys.argv[1]))
            environment.image = sys.argv[2]
            code = "import time; emit('log', x=1); time.sleep(600)"
            heard = Heard(lambda event: print(event.kind, flush=True))
            environment.run(job(Path(sys.argv[1]), code), heard)
        """
        tests = str(Path(__file__).parents[1])
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(folder), container.image],
            env={**os.environ, "PYTHONPATH": tests},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        while process.stdout.readline().strip() != "log":
            assert process.poll() is None
        process.kill()
        process.communicate()
        (lock,) = (folder / "convert" / "containers").glob("rkfetch-*.lock")
        assert lock.stem in containers()
        again = make(folder)
        again.image = container.image
        (folder / "second").mkdir()
        assert probe(again, folder / "second", "emit('log', x=1)") == {"x": 1}
        assert lock.stem not in containers()
        assert not lock.exists()


class TestCommandLine:
    """With engines that do nothing but write down what they are asked."""

    @pytest.fixture(params=["podman", "docker"])
    def engine(self, request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
        path = tmp_path / "bin" / request.param
        path.parent.mkdir()
        path.write_text(
            f'#!/bin/sh\nfor word; do echo "$word"; done >> {tmp_path}/said\n'
            'case "$*" in *inspect*) exit 1;; *"build --"*) echo "$SAYS"; exit ${STATUS:-0}; esac\n'
        )
        path.chmod(0o755)
        return Engine(name=request.param, path=str(path), version="1.0", usable=True)

    @pytest.fixture
    def said(self, tmp_path: Path) -> Path:
        return tmp_path / "said"

    def environment(
        self, engine: Engine, folder: Path, *, device: str = "cpu"
    ) -> ContainerEnvironment:
        wheel = toolkit_wheel(folder / "wheels", PYTHON)
        return ContainerEnvironment(
            folder, engine=engine, wheel=wheel, toolkit=KNOWN, device=device, driver=PROBE
        )

    def test_the_users_arguments_stand_where_they_belong(
        self, engine: Engine, tmp_path: Path, said: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(
            "RKFETCH_CONVERT_ENGINE_ARGS", "--runtime runc run --cpus 4 build --no-cache"
        )
        environment = self.environment(engine, tmp_path)
        environment.prepare(Unwatched())
        environment.run(job(tmp_path, ""), Unwatched(), memory_bytes=1 << 30)
        words = said.read_text().split("\n")
        inspected, built, ran = (words.index(word) for word in ("image", "build", "run"))
        for at in (inspected, built, ran):
            assert words[at - 2 : at] == ["--runtime", "runc"]
        assert words[built + 1] == "--no-cache"
        assert words[ran + 1 : ran + 3] == ["--cpus", "4"]
        assert words[ran:].count(str(1 << 30)) == 2
        assert ("--http-proxy=false" in words) == (engine.name == "podman")
        assert "--device" not in words

    def test_a_gpu_is_passed_on_when_it_is_wanted(
        self, engine: Engine, tmp_path: Path, said: Path
    ) -> None:
        self.environment(engine, tmp_path, device="cuda").run(job(tmp_path, ""), Unwatched())
        wanted = {"podman": ["--device", "nvidia.com/gpu=all"], "docker": ["--gpus", "all"]}
        assert "\n".join(wanted[engine.name]) in said.read_text()

    def test_mirrors_are_passed_on_but_no_password(
        self, engine: Engine, tmp_path: Path, said: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        config = tmp_path / "pip.conf"
        config.write_text(
            "[global]\nindex-url = https://pypi.example/simple\n"
            "extra-index-url = https://me:secret@pypi.example/simple\n[install]\ntimeout = 60\n"
        )
        for name in [name for name in os.environ if name.startswith("PIP_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
        monkeypatch.setenv("PIP_TIMEOUT", "90")
        monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@proxy.example")
        environment = self.environment(engine, tmp_path)
        environment.prepare(Unwatched())
        words = said.read_text().split("\n")
        assert "PIP_INDEX_URL=https://pypi.example/simple" in words
        assert "PIP_TIMEOUT=90" in words
        assert "HTTPS_PROXY" in words
        assert "secret" not in said.read_text() + environment.recipe

    @pytest.mark.parametrize(
        ("says", "kind"),
        [
            ("write /opt/x: no space left on device", DiskSpaceError),
            ("dial tcp: lookup registry-1.docker.io: no such host", NetworkError),
            ("Error: unauthorized", ConversionError),
        ],
    )
    def test_why_it_could_not_be_built(
        self,
        engine: Engine,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        says: str,
        kind: type[ConversionError],
    ) -> None:
        warning = (
            'level=warning msg="missing \\"PIP_TIMEOUT\\" build argument. Try adding \\"--build'
        )
        monkeypatch.setenv("SAYS", f"{warning}\n{says}")
        monkeypatch.setenv("STATUS", "1")
        with pytest.raises(kind, match=r"9\.9\.9 in an image") as caught:
            self.environment(engine, tmp_path).prepare(Unwatched())
        assert caught.value.cause == (says,)

    def test_a_container_that_cannot_be_started(self, engine: Engine, tmp_path: Path) -> None:
        Path(engine.path).write_text("#!/bin/sh\necho 'Error: no runc' >&2\nexit 125\n")
        with pytest.raises(ConversionError, match="could not start the container") as caught:
            self.environment(engine, tmp_path).run(job(tmp_path, ""), Unwatched())
        assert caught.value.cause == ("Error: no runc",)

    def test_links_that_lead_out_of_a_model_are_named(self, engine: Engine, tmp_path: Path) -> None:
        work = job(tmp_path, "")
        (work.model / "model.safetensors").symlink_to("../../elsewhere")
        with pytest.raises(ConversionError, match="leads out of it") as caught:
            self.environment(engine, tmp_path).run(work, Unwatched())
        assert "model.safetensors is ../../elsewhere" in caught.value.cause[0]

    @pytest.mark.skipif(os.geteuid() != 0, reason="others run it as themselves")
    def test_root_is_told_of_what_only_root_can_read(self, engine: Engine, tmp_path: Path) -> None:
        work = job(tmp_path, "")
        (work.model / "config.json").chmod(0o600)
        with pytest.raises(ConversionError, match="can be read by root alone") as caught:
            self.environment(engine, tmp_path).run(work, Unwatched())
        assert "chmod -R a+rX" in (caught.value.hint or "")


def test_arguments_are_none_by_default() -> None:
    assert engine_arguments() == {"": [], "run": [], "build": []}


@pytest.mark.usefixtures("on_debian")
def test_one_command_from_a_name_to_a_verified_file(tmp_path: Path) -> None:
    with Hub() as hub:
        world = World(hub, tmp_path / "machine")
        models.serve(hub, models.tiny_model(), "HuggingFaceTB/SmolLM2-360M-Instruct")
        wheel = build_wheel(tmp_path / "wheel", python=PYTHON)
        settings = ("RKFETCH_CONVERT_IMAGE", "RKFETCH_CONVERT_ENGINE_ARGS", "PIP_CONFIG_FILE")
        world.env.update({name: os.environ[name] for name in settings})
        how = ("--toolkit-wheel", str(wheel), "--allow-unknown-toolkit")
        done = world.run(
            "convert", "smollm2-360m", "--platform", "rk3576", "--runtime", "1.2.3", *how, "--json"
        )
        assert done.code == 0, done.err
        assert done.json["plan"]["environment"] == "container (podman)"
        (file,) = world.models()
        assert read_file(file).platform_text == "rk3576"
        made = done.json["made"]["environment"]
        assert set(made) == {"name", "image", "recipe", "wheel"}
        again = world.run("convert", "smollm2-360m@w8a8", *how, "--platform", "rk3576",
                          "--runtime", "1.2.3", "--dry-run", "--json")  # fmt: skip
        assert again.json["plan"]["needs"]["environment_bytes"] == 0
        podman("image", "rm", f"sha256:{made['image'].rpartition(':')[2]}")
