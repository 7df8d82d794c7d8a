"""The vendor's toolkit 1.0.1 itself, and servers that have it and all that it is pinned to."""

from __future__ import annotations

import contextlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from convert.images import ENGINE_ARGS, image_with
from convert.shelf import Shelf
from convert.tiny_models import find_python
from rkfetch.registry.convert.toolkits import REPOSITORY, toolkit
from rkfetch.registry.convert.venv_environment import VenvEnvironment
from rkfetch.registry.convert.wheels import accepted_wheel
from rkfetch.registry.versions import Version

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rkfetch.registry.convert.wheels import WheelFile

WHEEL = os.environ.get("RKFETCH_TEST_TOOLKIT")
needs_the_vendors_wheel = pytest.mark.skipif(
    WHEEL is None, reason="RKFETCH_TEST_TOOLKIT does not name the vendor's wheel"
)
TOOLKIT = toolkit(Version("1.0.1"))
assert TOOLKIT is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """What a machine needs that installs the toolkit."""

    wheel: WheelFile
    python: str
    """An interpreter of version 3.8."""
    shelf: Shelf
    """Has the wheel at its tag, as the vendor's repository has, and an index of the rest."""

    @property
    def settings(self) -> dict[str, str]:
        """The variables that lead everything here."""
        return {
            "RKFETCH_TOOLKIT_URL": self.shelf.url,
            "RKFETCH_TORCH_INDEX": self.shelf.index,
            "PIP_INDEX_URL": self.shelf.index,
            "PIP_CONFIG_FILE": os.devnull,
        }

    @property
    def settings_of_containers(self) -> dict[str, str]:
        """Those that containers want besides; building one reaches this machine's servers."""
        return {
            "RKFETCH_CONVERT_IMAGE": image_with(self.python),
            "RKFETCH_CONVERT_ENGINE_ARGS": ENGINE_ARGS.replace("network none", "network host"),
        }

    def make_venv(self, home: Path) -> VenvEnvironment:
        """Return what installs and runs it under a folder."""
        return VenvEnvironment(home, wheel=self.wheel, python=self.python, toolkit=TOOLKIT)


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[Vendor]:
    """Have all that it needs fetched into a folder by pip, from where it is set up to, and offered.

    Skips the test where the wheel or its Python is not there.
    """
    python = find_python("3.8")
    if WHEEL is None or python is None:
        pytest.skip("there is no vendor's wheel here, or no Python 3.8")
    wheel = accepted_wheel(Path(WHEEL))
    download = [python, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*download, "--dest", str(folder), WHEEL, "setuptools<81", "wheel"], check=True)
    with Shelf() as shelf:
        for file in folder.iterdir():
            if not file.name.startswith("rkllm"):
                shelf.offer(file)
        assert TOOLKIT is not None
        listed = TOOLKIT.wheel("3.8")
        assert listed is not None
        assert listed.url is not None
        shelf.laid[listed.url.removeprefix(REPOSITORY)] = wheel.path
        yield Vendor(wheel=wheel, python=python, shelf=shelf)
