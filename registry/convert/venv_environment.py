"""The toolkit in a virtual environment of this machine: for where there are no containers.

It keeps the vendor's old libraries apart, and no more: what the toolkit runs, code in a model's
folder included, can do what its user can.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from rkfetch.registry.durable import disk_errors, make_directory
from rkfetch.registry.errors import ConversionError
from rkfetch.registry.locks import locked

from . import pip
from .running import TAIL_LINES, attend, drive

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rkfetch.registry.errors import RkfetchError
    from rkfetch.registry.versions import Version

    from .environment import Outcome, Watch
    from .job import Job
    from .toolkits import Toolkit
    from .wheels import WheelFile

DRIVER = Path(__file__).with_name("driver.py")
_PASSED_ON = ("PATH", "TZ", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
_PASSED_ON_PREFIXES = ("CUDA_", "NVIDIA_")


def is_made(home: Path, toolkit: Version) -> bool:
    """Tell whether there is an environment with a release, on whatever Python."""
    return any(_folder(home).glob(f"{toolkit}-py*"))


def _folder(home: Path) -> Path:
    return home / "convert" / "venvs"


class VenvEnvironment:
    """A virtual environment under ``home``, made once for each toolkit, Python and wheel.

    Args:
        home: where rkfetch keeps its things.
        wheel: the toolkit.
        python: the interpreter to make it with.
        toolkit: what is known of it; None of one that is not known.
        device: ``cpu`` or ``cuda``.
        driver: what is run in it.
    """

    def __init__(
        self,
        home: Path,
        *,
        wheel: WheelFile,
        python: str,
        toolkit: Toolkit | None,
        device: str = "cpu",
        driver: Path = DRIVER,
    ) -> None:
        self.name = f"a virtual environment (Python {wheel.python})"
        self._wheel = wheel
        self._python = python
        self._toolkit = toolkit
        self._device = device
        self._driver = driver
        build = "" if device == "cpu" else f"-{device}"
        name = f"{wheel.toolkit}-py{wheel.python}{build}-{wheel.sha256[:12]}"
        self.path = _folder(home) / name

    def prepare(self, watch: Watch) -> None:
        """Make it, unless it is there; what an earlier run left unfinished is made anew.

        Raises as `Environment.prepare`.
        """
        folder = self.path.parent
        make_directory(folder)
        with (
            disk_errors(folder),
            locked(
                folder / f".{self.path.name}.lock",
                waiting=lambda: watch.step("waiting for another rkfetch that installs the toolkit"),
            ),
        ):
            if (self.path / "bin" / "python").exists():  # a link, to what may be gone
                return
            making = folder / f".{self.path.name}.making"
            shutil.rmtree(making, ignore_errors=True)
            (making / "tmp").mkdir(parents=True)
            self._install(making, watch)
            shutil.rmtree(making / "tmp")
            shutil.rmtree(self.path, ignore_errors=True)
            making.replace(self.path)

    def run(self, job: Job, watch: Watch, *, memory_bytes: int | None = None) -> Outcome:
        """Run the driver in it, which sees none of the user's variables but harmless ones."""
        with tempfile.TemporaryDirectory(prefix="rkfetch-driver-") as folder:
            # Alone in its folder: what lies beside it here would come before Python's own modules.
            driver = shutil.copy(self._driver, folder)
            return drive(
                [str(self.path / "bin" / "python"), "-I", driver, "-"],
                job.as_json({name: str(path.absolute()) for name, path in job.files.items()}),
                watch,
                env=_environment(job.output),
                folder=job.output,
                memory_bytes=memory_bytes,
            )

    def digests(self) -> Mapping[str, str]:
        """Return the wheel's SHA-256; nothing else of it is under our control."""
        return {"wheel": f"sha256:{self._wheel.sha256}"}

    def _install(self, making: Path, watch: Watch) -> None:
        what = f"rkllm-toolkit {self._wheel.toolkit}"
        env = pip.environment(making / "tmp")
        python = str(making / "bin" / "python")
        watch.step(f"making a virtual environment for {what}")
        failed = _run([self._python, "-I", "-m", "venv", str(making)], env, watch)
        if failed:
            raise ConversionError(
                f"{self._python} makes no virtual environment",
                cause=failed,
                hint=f"on Debian and Ubuntu: apt install python{self._wheel.python}-venv",
            )
        install = [python, "-I", "-m", "pip", "install", "--progress-bar", "off"]
        self._install_torch(install, env, watch, making)
        watch.step(f"installing {what} and what it needs (some GB)")
        wheel = self._wheel.place(making / "tmp")
        failed = _run([*install, str(wheel), pip.PKG_RESOURCES], env, watch)
        if failed:
            raise _failure(what, failed, making)
        failed = _run([python, "-I", "-c", pip.PROOF], env, watch)
        if failed:
            raise ConversionError(
                f"{what} was installed, but Python cannot import it",
                cause=failed[-5:],
                hint="use another Python, or a container engine (podman)",
            )

    def _install_torch(
        self, install: list[str], env: Mapping[str, str], watch: Watch, place: Path
    ) -> None:
        pins = pip.torch_pins(self._toolkit, self._device)
        if not pins:
            return
        index = str(pip.torch_index())
        watch.step(f"installing PyTorch for the CPU from {index}")
        failed = _run([*install, "--index-url", index, *pins], env, watch)
        if not failed:
            return
        error = _failure("PyTorch", failed, place)
        if error.kind == "disk-space":
            raise error
        watch.step(f"{index} has no {pins[0]} for this: going on with pip's usual index")


def _failure(what: str, said: list[str], place: Path) -> RkfetchError:
    return pip.failure(
        what,
        said,
        place=place,
        room="make room, or name a folder on another disk with RKFETCH_HOME",
        ways_out=f"name other indexes with {pip.INDEXES}; or use a container engine (podman)",
    )


def _run(command: list[str], env: Mapping[str, str], watch: Watch) -> list[str]:
    """Run a step of the installation; return nothing, or the last lines of one that failed."""
    said: deque[str] = deque(maxlen=TAIL_LINES)

    def heard(line: str) -> None:
        said.append(line)
        watch.detail(line)

    status = attend(command, env=env, heard=heard)
    return [] if status == 0 else list(said) or [f"it ended with {status}"]


def _environment(work: Path) -> dict[str, str]:
    passed = {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)
    }
    return {**passed, "LC_ALL": "C.UTF-8", "HOME": str(work), "TMPDIR": str(work)}
