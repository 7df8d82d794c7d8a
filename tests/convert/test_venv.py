"""The toolkit in a real virtual environment, installed by the real pip from an index of ours."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

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
from convert.shelf import Shelf, make_wheel
from convert.standin_wheel import build_wheel
from rkfetch.registry.convert.environment import Unwatched
from rkfetch.registry.convert.toolkits import Toolkit
from rkfetch.registry.convert.venv_environment import VenvEnvironment
from rkfetch.registry.errors import ConversionError, DiskSpaceError, IntegrityError, NetworkError
from rkfetch.registry.versions import Version

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rkfetch.registry.convert.job import Event

pytestmark = pytest.mark.once

PYTHON = "{}.{}".format(*sys.version_info)
KNOWN = Toolkit(version=Version("9.9.9"), wheels=(), torch=("torch==2.6.0",))
EVIL = {"rkllm/__init__.py": "import os; os._exit(66)", "rkllm/api.py": "import os; os._exit(66)"}


class Indexes:
    """Two indexes of packages: pip's usual one, with evil on it, and PyTorch's."""

    def __init__(self, usual: Shelf, torch: Shelf, folder: Path) -> None:
        self.usual = usual
        self.torch = torch
        wheels = [
            make_wheel(folder, "rkllm", "99", files=EVIL),
            make_wheel(folder, "rkllm-toolkit", "99", files=EVIL),
            make_wheel(folder, "rkllm-toolkit", "9.9.9", files=EVIL),
            make_wheel(folder, "transformers", "4.55.2", files={"transformers.py": "x = 1"}),
            make_wheel(folder, "setuptools", "80.9.0", files={"pkg_resources.py": ""}),
            make_wheel(folder, "setuptools", "82.0.0", files={"setuptools.py": ""}),
            make_wheel(folder, "torch", "2.6.0", files={"torch.py": "cuda = True"}),
        ]
        for wheel in wheels:
            usual.offer(wheel)
        self.cpu = make_wheel(folder / "cpu", "torch", "2.6.0+cpu", files={"torch.py": ""})
        torch.offer(self.cpu)


@pytest.fixture(scope="module")
def indexes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Indexes]:
    with Shelf() as usual, Shelf() as torch:
        yield Indexes(usual, torch, tmp_path_factory.mktemp("wheels"))


@pytest.fixture(scope="module")
def machine(indexes: Indexes) -> Iterator[pytest.MonkeyPatch]:
    """A machine whose pip uses these indexes, and whose user has secrets."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("PIP_")]:
            patch.delenv(name)
        patch.setenv("PIP_CONFIG_FILE", os.devnull)
        patch.setenv("PIP_INDEX_URL", indexes.usual.index)
        patch.setenv("PIP_RETRIES", "0")
        patch.setenv("PIP_NO_CACHE_DIR", "1")
        patch.setenv("PIP_USER", "1")
        patch.setenv("RKFETCH_TORCH_INDEX", indexes.torch.index)
        patch.setenv("PYTHONPATH", "/nowhere")
        yield patch


def make(
    home: Path,
    *,
    requires: Sequence[str] = (),
    toolkit: Toolkit | None = None,
    api: str = GOOD_API,
    python: str,
) -> VenvEnvironment:
    return VenvEnvironment(
        home,
        wheel=toolkit_wheel(home / "wheels", PYTHON, requires=requires, api=api),
        python=python,
        toolkit=toolkit,
        driver=PROBE,
    )


@pytest.fixture(scope="session")
def quick(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python that makes a virtual environment as a copy of one that the real one made."""
    folder = tmp_path_factory.mktemp("quick")
    pattern, python = folder / "pattern", folder / f"python{PYTHON}"
    subprocess.run([sys.executable, "-I", "-m", "venv", str(pattern)], check=True)
    python.write_text(f'#!/bin/sh\n[ "$3" = venv ] && exec cp -a {pattern}/. "$4"\nexit 1\n')
    python.chmod(0o755)
    return str(python)


@pytest.fixture(scope="module")
def installed(
    indexes: Indexes,
    machine: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
    quick: str,
) -> tuple[VenvEnvironment, Heard]:
    home = tmp_path_factory.mktemp("home")
    pins = ["transformers==4.55.2", "torch==2.6.0"]
    environment = make(home, requires=pins, toolkit=KNOWN, python=quick)
    heard = Heard()
    environment.prepare(heard)
    return environment, heard


Installed = tuple[VenvEnvironment, Heard]


class TestInstalled:
    def test_no_index_is_asked_for_the_vendors_names(
        self, installed: Installed, indexes: Indexes
    ) -> None:
        asked = [*indexes.usual.asked, *indexes.torch.asked]
        assert not [path for path in asked if "rkllm" in path]
        assert "/simple/transformers/" in indexes.usual.asked

    def test_pytorch_for_the_cpu_comes_first_and_from_its_index(
        self, installed: Installed, indexes: Indexes
    ) -> None:
        assert f"/files/{indexes.cpu.name}" in indexes.torch.asked
        assert "/files/torch-2.6.0-py3-none-any.whl" not in indexes.usual.asked

    def test_the_toolkit_can_be_imported_and_old_setuptools_are_there(
        self, installed: Installed, tmp_path: Path
    ) -> None:
        code = "import rkllm.api, pkg_resources, torch, transformers; emit('log', text='good')"
        assert probe(installed[0], tmp_path, code) == {"text": "good"}

    def test_what_pip_says_is_told_and_it_is_not_done_twice(
        self, installed: Installed, indexes: Indexes
    ) -> None:
        environment, heard = installed
        assert any("Successfully installed" in line for line in heard.details)
        assert [step for step in heard.steps if "PyTorch" in step]
        before = len(indexes.usual.asked)
        again = Heard()
        environment.prepare(again)
        assert (again.steps, len(indexes.usual.asked)) == ([], before)
        beside = {path.name for path in environment.path.parent.iterdir()}
        assert beside == {environment.path.name}

    def test_digests_name_the_wheel(self, installed: Installed) -> None:
        assert len(installed[0].digests()["wheel"]) == len("sha256:") + 64


class TestNotInstalled:
    @pytest.fixture(autouse=True)
    def set_up(self, machine: pytest.MonkeyPatch) -> None: ...

    def test_a_requirement_that_is_nowhere(self, tmp_path: Path, quick: str) -> None:
        environment = make(tmp_path, requires=["nowhere==1"], python=quick)
        with pytest.raises(ConversionError, match=r"rkllm-toolkit 9\.9\.9 could not") as caught:
            environment.prepare(Unwatched())
        assert "nowhere==1" in "".join(caught.value.cause)
        assert not environment.path.exists()

    def test_a_dead_network_and_then_a_better_one(
        self, indexes: Indexes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: str
    ) -> None:
        """The index of PyTorch alone is no reason to give up."""
        monkeypatch.setenv("PIP_RETRIES", "1")
        monkeypatch.setenv("RKFETCH_TORCH_INDEX", "http://127.0.0.1:9/whl")
        monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
        environment = make(tmp_path, requires=["torch==2.6.0"], toolkit=KNOWN, python=quick)
        with pytest.raises(NetworkError, match="the network failed"):
            environment.prepare(Unwatched())
        monkeypatch.setenv("PIP_INDEX_URL", indexes.usual.index)
        heard = Heard()
        environment.prepare(heard)
        assert [step for step in heard.steps if "going on with pip's usual index" in step]
        code = "import torch; emit('log', cuda=torch.cuda)"
        assert probe(environment, tmp_path, code) == {"cuda": True}

    def test_a_toolkit_that_cannot_be_imported(self, tmp_path: Path, quick: str) -> None:
        environment = make(tmp_path, api="import libGL_so_1", python=quick)
        with pytest.raises(ConversionError, match="Python cannot import it") as caught:
            environment.prepare(Unwatched())
        assert "No module named 'libGL_so_1'" in caught.value.cause[-1]
        assert not environment.path.exists()

    def test_a_wheel_that_was_changed_since_it_was_checked(
        self, tmp_path: Path, quick: str
    ) -> None:
        environment = make(tmp_path, python=quick)
        (wheel,) = (tmp_path / "wheels").iterdir()
        wheel.write_bytes(wheel.read_bytes() + b"more")
        with pytest.raises(IntegrityError):
            environment.prepare(Unwatched())

    def test_no_python(self, tmp_path: Path) -> None:
        false = tmp_path / "python3.11"
        false.write_text("#!/bin/sh\necho 'ensurepip is not available' >&2\nexit 1\n")
        false.chmod(0o755)
        environment = VenvEnvironment(
            tmp_path, wheel=toolkit_wheel(tmp_path, "3.11"), python=str(false), toolkit=None
        )
        with pytest.raises(ConversionError, match="makes no virtual environment") as caught:
            environment.prepare(Unwatched())
        assert caught.value.cause == ("ensurepip is not available",)
        assert "python3.11-venv" in (caught.value.hint or "")

    def test_a_full_disk(self, tmp_path: Path) -> None:
        full = tmp_path / "python3.11"
        pip = "[Errno 28] No space left on device"
        full.write_text(
            f'#!/bin/sh\n[ "$3" = venv ] && mkdir "$4/bin" && cp "$0" "$4/bin/python" && exit 0\n'
            f"echo 'ERROR: Could not install packages due to an OSError: {pip}'; exit 1\n"
        )
        full.chmod(0o755)
        environment = VenvEnvironment(
            tmp_path, wheel=toolkit_wheel(tmp_path, "3.11"), python=str(full), toolkit=KNOWN
        )
        with pytest.raises(DiskSpaceError, match="no room to install PyTorch") as caught:
            environment.prepare(Unwatched())
        assert caught.value.have_bytes

    def test_killed_in_the_middle_it_begins_anew_and_two_do_it_once(
        self, indexes: Indexes, tmp_path: Path, quick: str
    ) -> None:
        script = (
            "import sys; from pathlib import Path; from convert.test_venv import make;"
            "from rkfetch.registry.convert.environment import Unwatched;"
            "make(Path(sys.argv[1]), python=sys.argv[2]).prepare(Unwatched())"
        )
        tests = str(Path(__file__).parents[1])
        environment = make(tmp_path, python=quick)
        half = environment.path.with_name(f".{environment.path.name}.making")
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path), quick],
            env={**os.environ, "PYTHONPATH": tests},
        )
        while not (half / "bin").exists():
            time.sleep(0.05)
            assert process.poll() is None
        process.kill()
        process.wait()
        assert not environment.path.exists()
        heard = [Heard(), Heard()]
        threads = [
            threading.Thread(target=make(tmp_path, python=quick).prepare, args=[h]) for h in heard
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        installs = [s for h in heard for s in h.steps if s.startswith("installing")]
        assert len(installs) == 1
        assert not half.exists()
        assert probe(environment, tmp_path, "import rkllm.api; emit('log', x=1)") == {"x": 1}


def test_the_stand_in_converts_with_the_real_driver(
    machine: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wheel = build_wheel(tmp_path / "wheels", python=PYTHON)
    environment = VenvEnvironment(
        tmp_path,
        wheel=described(wheel, "1.2.3", PYTHON),
        python=sys.executable,
        toolkit=None,
    )
    environment.prepare(Unwatched())
    assert convert(environment, tmp_path).endswith(b"rkllm-toolkit version: 1.2.3")


class TestRun:
    def test_the_toolkit_sees_no_secret_and_keeps_to_its_folder(
        self, installed: Installed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        code = (
            "import os, sys; emit('log', env=dict(os.environ), "
            "beside=os.listdir(os.path.dirname(sys.argv[0])), isolated=sys.flags.isolated)"
        )
        said = probe(installed[0], tmp_path, code)
        assert "hf_secret" not in str(said["env"])
        assert said["env"]["HOME"] == str(tmp_path / "output")
        allowed = {"PATH", "TZ", "LC_ALL", "HOME", "TMPDIR", "LD_LIBRARY_PATH"}
        assert set(said["env"]) <= allowed
        assert said["beside"] == ["probe.py"]
        assert said["isolated"] == 1

    def test_it_is_given_the_job_with_the_hosts_paths(
        self, installed: Installed, tmp_path: Path
    ) -> None:
        said = probe(installed[0], tmp_path, "emit('log', **job)")
        assert said["paths"] == {
            "model": str(tmp_path / "model"),
            "output": str(tmp_path / "output"),
        }

    def test_what_is_no_event_is_kept_and_made_harmless(
        self, installed: Installed, tmp_path: Path
    ) -> None:
        code = "print('\\x1b[31mred\\x07'); import sys; print('last', file=sys.stderr); sys.exit(3)"
        outcome = failed(installed[0], tmp_path, code)
        assert outcome.status == 3
        assert sorted(outcome.tail) == ["[31mred", "last"]
        assert (outcome.last, outcome.out_of_memory) == (None, False)

    def test_what_it_started_ends_with_it(self, installed: Installed, tmp_path: Path) -> None:
        code = "import subprocess; p = subprocess.Popen(['sleep', '600']);emit('log', child=p.pid)"
        child = probe(installed[0], tmp_path, code)["child"]
        assert gone(child)

    def test_an_interrupt_ends_it_all_even_what_does_not_listen(
        self, installed: Installed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("rkfetch.registry.convert.running._GRACE_S", 0.5)
        code = (
            "import os, signal, subprocess, time; signal.signal(15, signal.SIG_IGN);"
            "p = subprocess.Popen(['sleep', '600']);"
            "emit('log', pids=[os.getpid(), p.pid]); time.sleep(600)"
        )
        pids: list[int] = []

        def interrupt(event: Event) -> None:
            if event.kind == "log":
                pids.extend(event.values["pids"])
                os.kill(os.getpid(), signal.SIGINT)

        with pytest.raises(KeyboardInterrupt):
            installed[0].run(job(tmp_path, code), Heard(interrupt))
        assert len(pids) == 2
        assert all(gone(pid) for pid in pids)

    @pytest.mark.parametrize(
        "code",
        [
            "import os; os.kill(os.getpid(), 9)",
            "emit('failed', phase='build', signal=9, errors=[]); import os; os._exit(1)",
        ],
        ids=["itself", "what the driver tells"],
    )
    def test_killed_means_memory(self, installed: Installed, tmp_path: Path, code: str) -> None:
        assert failed(installed[0], tmp_path, code).out_of_memory

    def test_it_is_ended_when_it_uses_more_than_it_may(
        self, installed: Installed, tmp_path: Path
    ) -> None:
        code = (
            "import time\nemit('alive', rss_bytes=1000)\nemit('alive', rss_bytes=1001)\n"
            "time.sleep(600)"
        )
        assert failed(installed[0], tmp_path, code, memory_bytes=1000).out_of_memory


def gone(pid: int) -> bool:
    """Wait until a process is no more."""
    for _ in range(200):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False
