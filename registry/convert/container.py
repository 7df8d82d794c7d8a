"""The toolkit in a container: no network, one folder to write to, no rights, a limit on memory.

The image is built here from `recipe`, with the wheel that was checked. What the toolkit runs, code
in a model's folder included, can spoil nothing but its own output.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import os
import secrets
import shlex
import tempfile
from collections import deque
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from rkfetch.registry import settings
from rkfetch.registry.durable import disk_errors, make_directory
from rkfetch.registry.errors import ConversionError
from rkfetch.registry.locks import is_locked, locked

from . import pip
from .engines import ask
from .job import OUTPUT
from .running import TAIL_LINES, attend, drive
from .venv_environment import DRIVER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rkfetch.registry.versions import Version

    from .engines import Engine
    from .environment import Outcome, Watch
    from .job import Job
    from .toolkits import Toolkit
    from .wheels import WheelFile

BASE = "docker.io/library/python:{python}-slim-bookworm"
_IMAGE = "localhost/rkfetch-toolkit"
_INSIDE = PurePosixPath("/rkfetch")
_DRIVER_INSIDE = _INSIDE / "bin" / "driver.py"
_PYTHON_INSIDE = "/opt/toolkit/bin/python"
_NOBODY = 65534
"""Who it is inside where the caller is root."""
_MOST_PROCESSES = 4096
"""Threads count, and PyTorch has some for each core."""
_CANNOT_START = {125, 126, 127}
"""Statuses with which engines tell that nothing was run."""
_UNSET = "build argument. Try adding"
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


def base_image(python: str) -> str:
    """Return the image to build on: the setting ``convert_image``, else Python's own."""
    return settings.value("convert_image") or BASE.format(python=python)


def recipe(wheel: WheelFile, *, base: str, torch: Sequence[str], torch_index: str | None) -> str:
    """Return the Containerfile of a toolkit's image."""
    install = f"{_PYTHON_INSIDE} -m pip install --no-cache-dir --progress-bar off"
    lines = [
        f"FROM {base}",
        *(f"ARG {pip.variable(key)}" for key in pip.IN_IMAGE),
        *(f"ENV {name}={value}" for name, value in pip.BUILD.items()),
        f"RUN python{wheel.python} -m venv /opt/toolkit",
    ]
    if torch and torch_index is not None:
        pins = shlex.join(["--index-url", torch_index, *torch])
        lines.append(f"RUN {install} {pins} || echo 'going on with the usual index'")
    lines += [
        f"COPY {wheel.name} /tmp/{wheel.name}",
        f"RUN {install} /tmp/{wheel.name} {shlex.quote(pip.PKG_RESOURCES)}",
        f"RUN {_PYTHON_INSIDE} -I -c {shlex.quote(pip.PROOF)}",
        f"USER {_NOBODY}:{_NOBODY}",
    ]
    return "\n".join([*lines, ""])


def engine_arguments() -> dict[str, list[str]]:
    """Return more arguments for the engine (setting ``convert_engine_args``).

    Under an empty name those before its command, then those for ``run`` and for ``build``, which
    stand behind these words.
    """
    found: dict[str, list[str]] = {"": [], "run": [], "build": []}
    place = ""
    for word in shlex.split(settings.value("convert_engine_args") or ""):
        if word in found:
            place = word
        else:
            found[place].append(word)
    return found


def is_built(engine: Engine, toolkit: Version) -> bool:
    """Tell whether there is an image with a release, on whatever Python."""
    images = f"reference={_IMAGE}:{_tag(toolkit)}-*"
    words = ("image", "ls", "--quiet", "--filter", images)
    status, said = ask(engine.path, *engine_arguments()[""], *words)
    return status == 0 and bool(said)


def _tag(toolkit: Version) -> str:
    return str(toolkit).replace("+", "_")


class ContainerEnvironment:
    """A container of an image that is built once for each recipe and wheel.

    Args:
        home: where rkfetch keeps its things.
        engine: what runs it.
        wheel: the toolkit.
        toolkit: what is known of it; None of one that is not known.
        device: ``cpu`` or ``cuda``.
        driver: what is run in it.
    """

    def __init__(
        self,
        home: Path,
        *,
        engine: Engine,
        wheel: WheelFile,
        toolkit: Toolkit | None,
        device: str = "cpu",
        driver: Path = DRIVER,
    ) -> None:
        self.name = f"a container ({engine.words})"
        self._engine = engine
        self._wheel = wheel
        self._device = device
        self._driver = driver
        self._folder = home / "convert" / "containers"
        self._arguments = engine_arguments()
        self.recipe = recipe(
            wheel,
            base=base_image(wheel.python),
            torch=pip.torch_pins(toolkit, device),
            torch_index=pip.torch_index(),
        )
        made_of = hashlib.sha256(f"{self.recipe}\n{wheel.sha256}".encode()).hexdigest()
        self.image = f"{_IMAGE}:{_tag(wheel.toolkit)}-py{wheel.python}-{made_of[:12]}"

    def prepare(self, watch: Watch) -> None:
        """Build the image, unless it is there. Another base of the same name is not noticed.

        Raises as `Environment.prepare`.
        """
        make_directory(self._folder)
        with (
            disk_errors(self._folder),
            locked(
                self._folder / f".{self.image.rpartition(':')[2]}.lock",
                waiting=lambda: watch.step("waiting for another rkfetch that builds the image"),
            ),
        ):
            if self._image_id() is None:
                with tempfile.TemporaryDirectory(prefix=".build-", dir=self._folder) as context:
                    self._build(Path(context), watch)

    def run(self, job: Job, watch: Watch, *, memory_bytes: int | None = None) -> Outcome:
        """Run the driver in a container of its own, which is gone afterwards.

        Raises:
            ConversionError: the container could not be started, or not see the model.
        """
        make_directory(self._folder)
        self._remove_left_behind()
        name = f"rkfetch-{secrets.token_hex(6)}"
        with disk_errors(self._folder), locked(self._folder / f"{name}.lock"):
            command, paths = self._command(name, job, memory_bytes)
            with _given_to(self._user, job.output):
                try:
                    outcome = drive(
                        command,
                        job.as_json(paths),
                        watch,
                        env=os.environ,
                        # Where podman's monitor leaves a file `oom` if memory runs out.
                        folder=job.output,
                        stop=lambda: self._remove(name),
                    )
                except BaseException:
                    self._remove(name)  # it may not have been there yet
                    raise
        if outcome.last is None and outcome.status in _CANNOT_START:
            raise ConversionError(
                f"{self._engine.name} could not start the container",
                cause=outcome.tail[-5:],
                hint="RKFETCH_CONVERT_ENGINE_ARGS takes more arguments for it",
            )
        return outcome

    def digests(self) -> Mapping[str, str]:
        """Return the digests of the image, its recipe, and the wheel in it."""
        made = {
            "recipe": f"sha256:{hashlib.sha256(self.recipe.encode()).hexdigest()}",
            "wheel": f"sha256:{self._wheel.sha256}",
        }
        image = self._image_id()
        return made if image is None else {"image": image, **made}

    # --- the image --------------------------------------------------------------------------------

    def _image_id(self) -> str | None:
        status, said = self._ask("image", "inspect", "--format", "{{.Id}}", self.image)
        return f"sha256:{said.removeprefix('sha256:')}" if status == 0 and said else None

    def _build(self, context: Path, watch: Watch) -> None:
        watch.step(f"building {self.image} with {self._engine.name} (some GB)")
        self._wheel.place(context)
        (context / "Containerfile").write_text(self.recipe, encoding="utf-8")
        arguments = [f"{name}={value}" for name, value in pip.settings_for_image().items()]
        # Without a value: it is taken from the environment, and stays in no image.
        arguments += [n for name in _PROXIES for n in (name, name.lower()) if os.environ.get(n)]
        said: deque[str] = deque(maxlen=TAIL_LINES)

        def heard(line: str) -> None:
            if _UNSET in line:
                return  # podman says so of each that is not set, and would drown what failed
            said.append(line)
            watch.detail(line)

        status = attend(
            [
                *(self._engine.path, *self._arguments[""], "build", *self._arguments["build"]),
                *("--tag", self.image, "--file", str(context / "Containerfile")),
                *(word for argument in arguments for word in ("--build-arg", argument)),
                str(context),
            ],
            env=os.environ,
            heard=heard,
        )
        if status != 0:
            raise pip.failure(
                f"rkllm-toolkit {self._wheel.toolkit} in an image",
                list(said),
                room=f"make room where {self._engine.name} keeps its images "
                f"(`{self._engine.name} system prune`)",
                ways_out="name another base image with RKFETCH_CONVERT_IMAGE, other indexes with "
                f"{pip.INDEXES}",
            )

    # --- the container ----------------------------------------------------------------------------

    @property
    def _user(self) -> int:
        return os.geteuid() or _NOBODY

    def _command(
        self, name: str, job: Job, memory_bytes: int | None
    ) -> tuple[list[str], dict[str, str]]:
        """Return the engine's command line, and the job's paths inside."""
        self._require_readable(self._driver)
        mounts, paths = [_mount(self._driver, _DRIVER_INSIDE)], {}
        for what, path in job.files.items():
            if what != OUTPUT:
                self._require_readable(path)
            source, target, paths[what] = _shown(what, path)
            mounts.append(_mount(source, target, writable=what == OUTPUT))
        group = os.getegid() if os.geteuid() else _NOBODY
        words = [
            *("run", *self._arguments["run"], "--name", name, "--rm", "--interactive"),
            *("--pull", "never", "--network", "none", "--read-only"),
            *("--tmpfs", "/tmp:rw,nosuid,nodev,size=512m"),  # noqa: S108 - inside of it
            *("--cap-drop", "all", "--security-opt", "no-new-privileges"),
            # Its label would be wanted on the user's files otherwise, where SELinux is on.
            *("--security-opt", "label=disable", "--pids-limit", str(_MOST_PROCESSES)),
            *("--user", f"{self._user}:{group}", "--workdir", str(_INSIDE / OUTPUT)),
        ]
        if self._engine.name == "podman":
            words += ["--read-only-tmpfs=false", "--http-proxy=false"]
            if os.geteuid():
                words += ["--userns", "keep-id"]
        if memory_bytes is not None:
            words += ["--memory", str(memory_bytes), "--memory-swap", str(memory_bytes)]
        if self._device == "cuda":
            podman = self._engine.name == "podman"
            words += ["--device", "nvidia.com/gpu=all"] if podman else ["--gpus", "all"]
        for mount in mounts:
            words += ["--mount", mount]
        for variable, value in (("HOME", str(_INSIDE / OUTPUT)), ("LC_ALL", "C.UTF-8")):
            words += ["--env", f"{variable}={value}"]
        run = [_PYTHON_INSIDE, "-I", str(_DRIVER_INSIDE), "-"]
        return [self._engine.path, *self._arguments[""], *words, self.image, *run], paths

    def _require_readable(self, path: Path) -> None:
        """Check that who it is inside, where that is not the caller, may read what it is shown.

        Raises:
            ConversionError: it may not.
        """
        if os.geteuid():
            return
        for file in [path, *(path.rglob("*") if path.is_dir() else ())]:
            wanted = 0o005 if file.is_dir() else 0o004
            if file.exists() and file.stat().st_mode & wanted != wanted:
                raise ConversionError(
                    f"{file} can be read by root alone, and the container does not run as root",
                    hint=f"chmod -R a+rX {shlex.quote(str(path))}; or run rkfetch as a user",
                )

    def _remove_left_behind(self) -> None:
        """Remove the containers of runs that were killed, which may still be at work."""
        for left in self._folder.glob("rkfetch-*.lock"):
            if not is_locked(left):
                self._remove(left.stem)
                left.unlink(missing_ok=True)

    def _remove(self, name: str) -> None:
        # At once: `rm` alone would ask it to end, and wait.
        self._ask("kill", name)
        self._ask("rm", "--force", name)

    def _ask(self, *words: str) -> tuple[int, str]:
        return ask(self._engine.path, *self._arguments[""], *words)


def _shown(what: str, path: Path) -> tuple[Path, PurePosixPath, str]:
    """Return what has to be mounted to show a file or folder, where, and its own path inside."""
    inside = _INSIDE / what
    real = path.resolve()
    if not path.is_dir():
        target = inside / path.name
        return real, target, str(target)
    root = _with_all_links(path, real)
    return root, inside, str(inside / real.relative_to(root))


def _with_all_links(path: Path, real: Path) -> Path:
    """Return the folder in which all links of a model lead somewhere: itself, or its Hub cache.

    Raises:
        ConversionError: there is none.
    """
    cache = real.parents[1] if real.parent.name == "snapshots" else real
    root = real
    for link in real.rglob("*"):
        if not link.is_symlink():
            continue
        target = link.resolve()
        if target.is_relative_to(real) and not link.readlink().is_absolute():
            continue
        root = cache
        if not target.is_relative_to(root) or link.readlink().is_absolute():
            raise ConversionError(
                f"{path} holds a link that leads out of it",
                cause=[f"{link.name} is {link.readlink()}, which a container does not see"],
                hint="put the file itself there",
            )
    return root


def _mount(source: Path, target: PurePosixPath, *, writable: bool = False) -> str:
    fields = ["type=bind", f"source={source.absolute()}", f"target={target}"]
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([*fields, *([] if writable else ["readonly"])])
    return line.getvalue()


@contextlib.contextmanager
def _given_to(user: int, folder: Path) -> Iterator[None]:
    """Let somebody else write to a folder if the caller is root, and take back what is in it."""
    if os.geteuid() != 0:
        yield
        return
    os.chown(folder, user, user)
    try:
        yield
    finally:
        for path, folders, files in os.walk(folder):
            for name in (".", *folders, *files):
                os.chown(Path(path, name), 0, 0, follow_symlinks=False)
