"""What of a machine could run the toolkit; the engines and interpreters here are small programs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from rkfetch.registry.convert.engines import engines, pythons
from rkfetch.registry.convert.toolkits import PYTHONS

if TYPE_CHECKING:
    from pathlib import Path

NO_DAEMON = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock."


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("PYENV_ROOT", raising=False)
    return folder


def program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def interpreter(path: Path, version: str, lacks: str = "") -> str:
    script = f"echo {version}; echo {path}"
    program(path, script + (f"; echo \"No module named '{lacks}'\"" if lacks else ""))
    return str(path)


class TestEngines:
    def test_podman_comes_first_and_each_is_asked(self, path: Path) -> None:
        program(path / "docker", '[ "$1" = version ] && echo 28.2.2 || echo Docker version 28.2.2')
        program(path / "podman", '[ "$1" = info ] && echo ok || echo podman version 4.3.1')
        first, second = engines()
        assert (first.words, first.usable, first.path) == ("podman 4.3.1", True, f"{path}/podman")
        assert (second.words, second.usable, second.why) == ("docker 28.2.2", True, None)

    def test_a_client_without_its_daemon_is_not_usable_and_says_why(self, path: Path) -> None:
        fails = f'[ "$1" = version ] && {{ echo "{NO_DAEMON}" >&2; exit 1; }}'
        program(path / "docker", f"{fails}; echo Docker version 28.2.2, build e6534b4")
        (engine,) = engines()
        assert (engine.version, engine.usable, engine.why) == ("28.2.2", False, NO_DAEMON)

    def test_a_podman_that_is_called_docker_is_podman(self, path: Path) -> None:
        program(path / "docker", '[ "$1" = info ] || echo podman version 5.0.0')
        assert [engine.words for engine in engines()] == ["podman 5.0.0"]

    def test_one_that_cannot_even_run_is_not_usable(self, path: Path) -> None:
        (path / "podman").write_bytes(b"\x7fELF nothing")
        (path / "podman").chmod(0o755)
        (engine,) = engines()
        assert (engine.usable, engine.version) == (False, None)
        assert "Exec format error" in (engine.why or "")

    def test_there_may_be_none(self, path: Path) -> None:
        assert engines() == []


class TestPythons:
    def test_those_of_the_path_and_of_pyenv_best_first(self, path: Path, own_home: Path) -> None:
        versions = own_home / ".pyenv" / "versions"
        program(path / "python3.9", "echo 'pyenv: not found' >&2; exit 127")
        interpreter(versions / "3.12.1" / "bin" / "python", "3.12")
        assert [p.path for p in pythons()] == [f"{versions}/3.12.1/bin/python"]
        wanted = [
            interpreter(path / "python3", "3.10"),
            interpreter(path / "python3.12", "3.12"),
            interpreter(versions / "3.9.18" / "bin" / "python", "3.9"),
        ]
        assert [p.path for p in pythons()] == wanted
        assert [p.version for p in pythons()] == ["3.10", "3.12", "3.9"]

    def test_a_shim_is_followed_to_the_interpreter_itself(self, path: Path, tmp_path: Path) -> None:
        program(path / "python3.11", f"echo 3.11; echo {tmp_path}/real/python3.11")
        assert [p.path for p in pythons()] == [f"{tmp_path}/real/python3.11"]

    def test_a_version_that_works_is_asked_for_once(
        self, path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each takes a moment, and a shim of pyenv's a long one."""
        pyenv = own_home / ".pyenv"
        program(path / "python3.11", "echo 3.11; echo /x/python3.11")
        for other in ("shims/python3.11", "shims/python3.12", "versions/3.11.4/bin/python"):
            program(pyenv / other, f"echo {other} >> {pyenv}/asked")
        monkeypatch.setenv("PATH", f"{pyenv}/shims:{path}")
        assert [p.path for p in pythons()] == ["/x/python3.11"]
        assert not (pyenv / "asked").exists()

    def test_one_without_ensurepip_says_what_adds_it(self, path: Path) -> None:
        interpreter(path / "python3.11", "3.11", lacks="ensurepip")
        (python,) = pythons()
        assert not python.usable
        assert "apt install python3.11-venv" in (python.why or "")

    def test_another_that_works_is_preferred(self, path: Path, own_home: Path) -> None:
        interpreter(path / "python3.11", "3.11", lacks="ensurepip")
        works = interpreter(own_home / ".pyenv/versions/3.11.4/bin/python", "3.11")
        assert [(p.path, p.usable) for p in pythons()] == [(works, True)]

    def test_versions_without_a_toolkit_do_not_count(self, path: Path) -> None:
        interpreter(path / "python3", "3.14")
        assert pythons() == []


def test_a_real_interpreter_answers(path: Path) -> None:
    version = "{}.{}".format(*sys.version_info)
    (path / "python3").symlink_to(sys.executable)
    assert [p.version for p in pythons()] == [v for v in PYTHONS if v == version]
    assert all(p.usable for p in pythons())
