"""The whole command with the vendor's toolkit 1.0.1 itself, in both environments.

As test_real_toolkit.py it runs only where RKFETCH_TEST_TOOLKIT names the vendor's wheel. Its
container stands on a base image with this machine's Python 3.8, made for it.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from convert import models
from convert.driving import make_job
from convert.probing import Heard
from convert.tiny_models import LFS_POINTER
from convert.vendor import TOOLKIT, needs_the_vendors_wheel
from e2e.world import Run, World
from hub.server import Hub
from rkfetch.registry.convert.container import ContainerEnvironment
from rkfetch.registry.convert.engines import engines
from rkfetch.registry.convert.failures import Context, failure_of
from rkfetch.registry.rkllm_read import read_file
from rkfetch.registry.versions import Version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from convert.vendor import Vendor
    from rkfetch.registry.errors import RkfetchError

pytestmark = [needs_the_vendors_wheel, pytest.mark.timeout(1800), pytest.mark.once]

BASE = "HuggingFaceTB/SmolLM2-360M-Instruct"
"""A Llama model that nobody has published a build of; a tiny one stands in its place."""
NAME = "smollm2-360m"
TINY = "tiny/Tiny-Qwen2"
RUNTIME = ("--runtime", "1.0.1")
AT_ITS_TAG = (
    "/raw/release-v1.0.1/rkllm-toolkit/packages/rkllm_toolkit-1.0.1-cp38-cp38-linux_x86_64.whl"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Newcomer:
    """Somebody who had nothing and typed one command."""

    kind: str
    world: World
    done: Run
    asked: list[str]
    """What was asked of the vendor and of package indexes."""


def world_of(hub: Hub, folder: Path, vendor: Vendor, kind: str) -> World:
    world = World(hub, folder)
    world.env |= vendor.settings
    world.env |= {"RKFETCH_CONVERT_ENVIRONMENT": kind}
    # For the search for Pythons.
    world.env["PATH"] = f"{Path(vendor.python).parent}:{world.env['PATH']}"
    if kind == "container":
        world.env |= vendor.settings_of_containers
    return world


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def hub(vendor_models: Path) -> Iterator[Hub]:
    with Hub() as hub:
        models.serve(hub, files_of(vendor_models / "llama"), BASE)
        models.serve(hub, files_of(vendor_models / "qwen2"), TINY)
        yield hub


@pytest.fixture(scope="module", params=["venv", "container"])
def newcomer(
    request: pytest.FixtureRequest,
    hub: Hub,
    vendor: Vendor,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Newcomer]:
    kind: str = request.param
    world = world_of(hub, tmp_path_factory.mktemp(kind), vendor, kind)
    before = len(vendor.shelf.asked)
    process = world.start(NAME, "--platform", "rk3588", *RUNTIME, "--convert", "always")
    out, err = process.communicate(timeout=1500)
    done = Run(process.returncode, out, err)
    yield Newcomer(kind=kind, world=world, done=done, asked=vendor.shelf.asked[before:])
    if kind == "container":
        subprocess.run(["podman", "image", "rm", image_of(vendor).image], check=True)


@pytest.fixture
def world(newcomer: Newcomer, hub: Hub, vendor: Vendor, tmp_path: Path) -> World:
    """Give a test a machine on which nothing but the toolkit is installed."""
    assert newcomer.done.code == 0
    world = world_of(hub, tmp_path / "machine", vendor, newcomer.kind)
    world.home.mkdir()
    (world.home / "convert").symlink_to(newcomer.world.home / "convert")
    return world


def image_of(vendor: Vendor, home: Path = Path("/nowhere")) -> ContainerEnvironment:
    (podman,) = engines(("podman",))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**vendor.settings, **vendor.settings_of_containers}.items():
            patch.setenv(name, value)
        return ContainerEnvironment(home, engine=podman, wheel=vendor.wheel, toolkit=TOOLKIT)


def require_file(path: Path, architecture: str, platform: str, quant: str) -> None:
    facts = read_file(path, full=True)
    assert (str(facts.toolkit), facts.architecture) == ("1.0.1", architecture)
    assert (facts.platform_text, facts.quant_text) == (platform, quant)
    assert facts.complete is True


def test_a_newcomer_types_one_command(newcomer: Newcomer, vendor: Vendor) -> None:
    """The toolkit from its tag, what it is pinned to, the model, the conversion: all at once."""
    done, world = newcomer.done, newcomer.world
    assert done.code == 0, done.err
    (file,) = world.models()
    assert done.out == f"{file}\n"
    assert file.name == "SmolLM2-360M-Instruct-rk3588-w8a8-ctx4096-v1.0.1.rkllm"
    require_file(file, "llama", "rk3588", "w8a8")
    assert f"It runs in a {'container' if newcomer.kind == 'container' else 'virtual'}" in done.err

    assert [path for path in newcomer.asked if "rkllm" in path] == [AT_ITS_TAG]
    assert any("/torch-1.12.0" in path for path in newcomer.asked)

    made = json.loads((file.parent / "record.json").read_text())["made"]
    assert (made["base"]["model"], len(made["base"]["revision"])) == (BASE, 40)
    assert made["environment"]["wheel"] == f"sha256:{vendor.wheel.sha256}"
    is_built = newcomer.kind == "container"
    assert set(made["environment"]) == {"name", "wheel", *(["image", "recipe"] * is_built)}

    again = world.run(NAME, "--platform", "rk3588", *RUNTIME, "--offline", "--json")
    assert (again.code, again.json["action"], again.json["path"]) == (0, "present", str(file))
    assert again.json["attributes"]["quant"]["origin"] == "header"
    assert world.run("verify").code == 0


@pytest.mark.parametrize(
    ("platform", "quant", "level"),
    [
        ("rk3588", "w8a8", 0),
        ("rk3588", "fp16", 0),
        ("rk3576", "w8a8", 0),
        ("rk3576", "w4a16", 0),
        ("rk3576", "w4a16", 1),
    ],
)
@pytest.mark.parametrize("where", ["hub", "folder"])
def test_convert(
    world: World, vendor_models: Path, where: str, platform: str, quant: str, level: int
) -> None:
    name = TINY if where == "hub" else str(vendor_models / "qwen2")
    done = world.run(
        "convert", f"{name}@{quant}", "--platform", platform, *RUNTIME, "--json",
        "--optimization-level", str(level), *(["--offline"] if where == "folder" else []),
    )  # fmt: skip
    assert done.code == 0, done.err
    (file,) = world.models()
    assert done.json["path"] == str(file)
    require_file(file, "qwen2", platform, quant)
    assert list(world.home.glob("partials/*.work")) == []


def test_the_users_own_wheel(world: World, vendor: Vendor) -> None:
    before = len(vendor.shelf.asked)
    done = world.run(
        "convert", TINY, "--platform", "rk3588", *RUNTIME, "--toolkit-wheel",
        str(vendor.wheel.path), "--optimization-level", "0",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert vendor.shelf.asked[before:] == []  # and no other environment is made for it


def copy(source: Path, target: Path) -> Path:
    target.mkdir()
    for path in source.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


# --- failures -------------------------------------------------------------------------------------


def no_tokenizer(model: Path) -> None:
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        (model / name).unlink()


def no_words(model: Path) -> None:
    """Leave what looks like a tokenizer."""
    (model / "vocab.json").unlink()
    (model / "tokenizer.json").write_text("{}")


def pointers(model: Path) -> None:
    (model / "model.safetensors").write_bytes(LFS_POINTER)


def not_the_configs(model: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"hidden_size": 64}))


@pytest.mark.parametrize(
    ("model", "spoil", "code", "message"),
    [
        ("qwen2", no_tokenizer, 7, "has no tokenizer"),
        ("qwen2", no_words, 12, "is broken, or only a Git LFS pointer"),
        ("qwen2", not_the_configs, 12, "are not those that its config.json describes"),
        ("narrow", None, 12, "too narrow for w8a8 on rk3588"),
        ("qwen2", pointers, 7, "Git LFS"),
    ],
)
def test_the_command_says_what_is_wrong_with_a_folder(
    world: World,
    vendor_models: Path,
    tmp_path: Path,
    model: str,
    spoil: Callable[[Path], object] | None,
    code: int,
    message: str,
) -> None:
    folder = copy(vendor_models / model, tmp_path / "model")
    if spoil is not None:
        spoil(folder)
    done = world.run(
        "convert", str(folder), "--platform", "rk3588", *RUNTIME, "--optimization-level", "0"
    )
    assert done.code == code, done.err
    assert message in " ".join(done.err.split())
    assert "hint:" in done.err
    assert (world.models(), list(world.home.glob("partials/*.work"))) == ([], [])


@pytest.mark.parametrize("newcomer", ["container"], indirect=True)
class TestContainer:
    """What is refused before a conversion begins, given to the toolkit all the same."""

    @pytest.fixture
    def container(self, newcomer: Newcomer, vendor: Vendor) -> ContainerEnvironment:
        return image_of(vendor, newcomer.world.home)

    def failure(
        self,
        container: ContainerEnvironment,
        model: Path,
        folder: Path,
        *,
        spoil: Callable[[Path], object] | None = None,
        memory_bytes: int | None = None,
        **how: Any,
    ) -> RkfetchError:
        given = copy(model, folder / "model")
        if spoil is not None:
            spoil(given)
        wanted = {"platform": "rk3588", "dtype": "w8a8", "optimization_level": 0, **how}
        job = make_job(given, folder / "out", **wanted)
        heard = Heard()
        outcome = container.run(job, heard, memory_bytes=memory_bytes)
        assert outcome.status != 0
        assert list((folder / "out").iterdir()) == []
        context = Context(
            model="m",
            toolkit=Version("1.0.1"),
            platform=wanted["platform"],
            dtype=wanted["dtype"],
            memory_bytes=memory_bytes,
        )
        return failure_of(outcome, context)

    @pytest.mark.parametrize(
        ("spoil", "how", "message"),
        [
            (no_tokenizer, {}, "m has no tokenizer that the toolkit could read"),
            (pointers, {}, "weights of m are only Git LFS pointers, or no safetensors at all"),
            (None, {"dtype": "w4a16"}, "toolkit 1.0.1 does not quantise to w4a16 for rk3588"),
            (None, {"max_context": 4096}, "toolkit 1.0.1 does not know the argument max_context"),
        ],
    )
    def test_it_fails_in_our_words(
        self,
        container: ContainerEnvironment,
        vendor_models: Path,
        tmp_path: Path,
        spoil: Callable[[Path], object] | None,
        how: dict[str, Any],
        message: str,
    ) -> None:
        error = self.failure(container, vendor_models / "qwen2", tmp_path, spoil=spoil, **how)
        assert error.message == message
        assert error.cause
        assert error.hint

    @pytest.mark.parametrize("megabytes", [100, 150])
    def test_it_is_killed_for_its_memory(
        self,
        container: ContainerEnvironment,
        vendor_models: Path,
        tmp_path: Path,
        megabytes: int,
    ) -> None:
        """It has 460 MB at most, but the system may take back what is read from libraries."""
        error = self.failure(
            container,
            vendor_models / "qwen2",
            tmp_path,
            memory_bytes=megabytes * 1_000_000,
            optimization_level=1,
        )
        assert error.message == "memory ran out while m was converted"
        assert "the system ended the toolkit for it" in error.cause
        assert any(f"of {megabytes / 1000:.1f} GB" in line for line in error.cause)
