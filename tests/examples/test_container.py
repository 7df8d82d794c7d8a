"""examples/container, built and run with podman on Debian's Python."""

from __future__ import annotations

import secrets
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from convert.images import base_image
from e2e.world import W4
from examples.conftest import EXAMPLES, MODEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from e2e.world import World

pytestmark = pytest.mark.once

LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
PLACE = f"/srv/rkfetch/{MODEL}"
SERVER = ("sh", "-c", 'id -u; printf "%s\\n" "$MODELS"; sha256sum "$0"')
"""It stands for a server: says who it is and what there is, and reads the model it is given."""


def podman(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["podman", "--runtime", "runc", *args],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def run(*args: str) -> subprocess.CompletedProcess[str]:
    return podman("run", "--rm", *LIMITS, *args)


@pytest.fixture
def build(pyz: Path, lock: Path, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Build the example's image; gives its name."""
    base = base_image()
    shutil.copytree(EXAMPLES / "container", tmp_path / "image")
    shutil.copy(pyz, tmp_path / "image" / "rkfetch.pyz")
    shutil.copy(lock, tmp_path / "image" / "rkfetch.lock")
    name = f"localhost/rkfetch-tests-example:{secrets.token_hex(8)}"

    def begin(*options: str) -> str:
        done = podman(
            *("build", *LIMITS, "--build-arg", f"BASE={base}", "--tag", name),
            *(*options, str(tmp_path / "image")),
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return name

    yield begin
    podman("image", "rm", "--force", name)


@pytest.fixture
def volume() -> Iterator[str]:
    name = f"rkfetch-tests-{secrets.token_hex(8)}"
    yield name
    podman("volume", "rm", "--force", name)


def served(shop: World) -> str:
    """What the server says of itself as the image's user, with the one model."""
    return f"10001\n{PLACE}\n{shop.sha256(W4)}  {PLACE}\n"


def test_the_model_comes_at_the_first_start_and_stays_in_the_volume(
    build: Callable[..., str], volume: str, shop: World
) -> None:
    shop.hub.forget()
    image = build("--network", "none")
    assert not shop.hub.requests, "no model is inside unless that was asked for"
    where = ("--volume", f"{volume}:/srv/rkfetch")
    hub = ("--network", "host", "--env", f"HF_ENDPOINT={shop.env['HF_ENDPOINT']}")
    first = run(*where, *hub, image, *SERVER)
    assert (first.returncode, first.stdout) == (0, served(shop)), first.stderr
    again = run(*where, "--network", "none", image, *SERVER)
    assert (again.returncode, again.stdout) == (0, served(shop)), again.stderr
    other = run(*where, "--network", "none", "--env", "RKFETCH_RUNTIME=1.1.4", image, *SERVER)
    assert (other.returncode, other.stdout) == (3, ""), "no server starts without its model"


def test_baked_in_it_needs_no_network_at_all(build: Callable[..., str], shop: World) -> None:
    endpoint = f"HF_ENDPOINT={shop.env['HF_ENDPOINT']}"
    image = build("--target", "baked", "--network", "host", "--build-arg", endpoint)
    done = run("--network", "none", "--read-only", "--tmpfs", "/tmp", image, *SERVER)
    assert (done.returncode, done.stdout) == (0, served(shop)), done.stderr
    environment = podman("image", "inspect", "--format", "{{.Config.Env}}", image).stdout
    assert "HF_ENDPOINT" not in environment
