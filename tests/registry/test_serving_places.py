"""Where a server's models are: what runs, what is set, what is usual, in this order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from boards import put
from rkfetch.registry.serving.mounts import outside
from rkfetch.registry.serving.places import find
from rkfetch.registry.serving.served import Server
from rkfetch.registry.sysroot import Sysroot

PACKAGE = "usr/local/lib/python3.12/site-packages/rkllama"


def found(root: Path, server: Server = Server.RKLLAMA) -> list[str]:
    return [folder.path for folder in find(server, Sysroot(root=root), {})]


def runs(root: Path, number: int, *words: str, namespace: str = "mnt:[1]") -> None:
    put(root, f"proc/{number}/cmdline", "\0".join(words).encode() + b"\0")
    for process, its in ((str(number), namespace), ("self", "mnt:[1]")):
        link = root / "proc" / process / "ns/mnt"
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(its)


@pytest.mark.parametrize("server", [Server.RKLLAMA, Server.ORKLLM])
def test_nothing_is_found_where_nothing_is(tmp_path: Path, server: Server) -> None:
    assert found(tmp_path, server) == []


class TestRkllama:
    def test_usual_folders_count_if_they_are_there(self, tmp_path: Path) -> None:
        (tmp_path / "root/RKLLAMA/models").mkdir(parents=True)
        (tmp_path / "home/ann/rkllama/models").mkdir(parents=True)
        assert found(tmp_path) == ["/root/RKLLAMA/models", "/home/ann/rkllama/models"]

    @pytest.mark.parametrize(
        "path",
        [
            "etc/rkllama/rkllama.ini",
            "etc/rkllama.ini",
            "usr/local/etc/rkllama.ini",
            "root/.config/rkllama/rkllama.ini",
            "home/ann/.rkllama.ini",
        ],
    )
    def test_its_settings_count_before_what_is_usual(self, tmp_path: Path, path: str) -> None:
        (tmp_path / "opt/rkllama/models").mkdir(parents=True)
        put(tmp_path, path, "[paths]\nmodels = /srv/models\nlogs = 100%\n")
        first, second = find(Server.RKLLAMA, Sysroot(root=tmp_path), {})
        assert (first.path, first.is_set) == ("/srv/models", True)
        assert path in first.why
        assert (second.path, second.is_set) == ("/opt/rkllama/models", False)

    def test_settings_count_as_it_reads_them(self, tmp_path: Path) -> None:
        put(tmp_path, "etc/rkllama.ini", "[paths]\nmodels = /system\n")
        put(tmp_path, "etc/rkllama/rkllama.ini", "[server]\nport = 1\n")
        put(tmp_path, "root/.rkllama.ini", "[paths]\nmodels = /user\n")
        put(tmp_path, f"{PACKAGE}/config/rkllama.ini", "[paths]\nmodels = models\n")
        assert found(tmp_path) == [f"/{PACKAGE}/config/models", "/user", "/system"]

    def test_a_relative_folder_without_an_installation_is_nowhere(self, tmp_path: Path) -> None:
        put(tmp_path, "etc/rkllama.ini", "[paths]\nmodels = models\n")
        assert found(tmp_path) == []

    @pytest.mark.parametrize("text", ["no section\n", "[paths]\nmodels\n", "\udcff\0["])
    def test_settings_that_cannot_be_read_are_passed_over(self, tmp_path: Path, text: str) -> None:
        put(tmp_path, "etc/rkllama.ini", text.encode("utf-8", "surrogateescape"))
        assert found(tmp_path) == []

    def test_the_running_server_counts_most(self, tmp_path: Path) -> None:
        put(tmp_path, "etc/rkllama.ini", "[paths]\nmodels = /etc-says\n")
        runs(tmp_path, 7, "python3", "/opt/venv/bin/rkllama_server", "--models", "/running")
        runs(tmp_path, 8, "less", "rkllama_server.log", "--models", "/no")
        runs(tmp_path, 9, "rkllama_server", "--models=/too")
        runs(tmp_path, 10, "rkllama_server")
        assert found(tmp_path) == ["/running", "/too", "/etc-says"]

    def test_what_another_user_runs_counts_for_nothing(self, tmp_path: Path) -> None:
        runs(tmp_path, 7, "rkllama_server", "--models", "/theirs")
        try:
            os.chown(tmp_path / "proc/7", 12345, 12345)
        except OSError:
            pytest.skip("only root can give a folder away, and only to whom its namespace knows")
        assert found(tmp_path) == []

    def test_a_unit_that_starts_it(self, tmp_path: Path) -> None:
        put(
            tmp_path,
            "etc/systemd/system/my-rkllama.service",
            "[Service]\nExecStart=/opt/venv/bin/rkllama_server \\\n  --models '/srv/my models'\n",
        )
        put(tmp_path, "etc/systemd/system/rkllama-b.service", "[Service]\nExecStart='\n")
        assert found(tmp_path) == ["/srv/my models"]

    def test_a_containers_folder_is_looked_up_outside(self, tmp_path: Path) -> None:
        words = ("python", "/opt/venv/bin/rkllama_server", "--models", "/opt/rkllama/models")
        runs(tmp_path, 7, *words, namespace="mnt:[2]")
        put(tmp_path, "proc/self/mountinfo", "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n")
        mounts = (
            "5 4 0:50 / / rw - overlay overlay rw\n"
            "6 5 8:1 /home/ann/models /opt/rkllama/models rw - ext4 /dev/sda1 rw\n"
        )
        put(tmp_path, "proc/7/mountinfo", mounts)
        (only,) = find(Server.RKLLAMA, Sysroot(root=tmp_path), {})
        assert (only.path, only.why) == (
            "/home/ann/models",
            "the server that runs now, by its own mounts",
        )

    def test_a_containers_own_folder_is_no_use(self, tmp_path: Path) -> None:
        runs(tmp_path, 7, "rkllama_server", "--models", "/m", namespace="mnt:[2]")
        put(tmp_path, "proc/7/mountinfo", "5 4 0:50 / / rw - overlay overlay rw\n")
        ours = "1 0 8:1 / / rw - e x rw\n2 1 0:50 / /var/lib/docker/overlay2/1/merged rw - o o rw\n"
        put(tmp_path, "proc/self/mountinfo", ours)
        assert found(tmp_path) == []

    def test_variables_of_this_machine(self, monkeypatch: pytest.MonkeyPatch) -> None:
        tree = Sysroot(root=Path("/"))
        environ = {"RKLLAMA_PATHS_MODELS": "$HOME/m", "HOME": "/nobody"}
        assert "/nobody/m" in [f.path for f in find(Server.RKLLAMA, tree, environ)]
        environ["RKLLAMA_PATHS_MODELS"] = "~/n"
        assert "/nobody/n" in [f.path for f in find(Server.RKLLAMA, tree, environ)]
        environ = {"ORKLLM_MODELS_DIR": "/nobody/o"}
        assert find(Server.ORKLLM, tree, environ)[0].path == "/nobody/o"


class TestOrkllm:
    UNIT = "[Service]\nEnvironmentFile=-/etc/orkllm/orkllm.conf\nEnvironment=ORKLLM_MODELS_DIR={}\n"

    def test_its_package(self, tmp_path: Path) -> None:
        put(
            tmp_path,
            "usr/lib/systemd/system/orkllm.service",
            self.UNIT.format("/var/lib/orkllm/models"),
        )
        put(tmp_path, "etc/orkllm/orkllm.conf", "# ORKLLM_MODELS_DIR=/elsewhere\n")
        assert found(tmp_path, Server.ORKLLM) == ["/var/lib/orkllm/models"]

    def test_its_settings_count_before_its_unit(self, tmp_path: Path) -> None:
        put(tmp_path, "usr/lib/systemd/system/orkllm.service", self.UNIT.format("/unit"))
        put(tmp_path, "etc/systemd/system/orkllm.service", self.UNIT.format("/own"))
        put(tmp_path, "etc/systemd/system/orkllm.service.d/a.conf", self.UNIT.format("/added"))
        assert found(tmp_path, Server.ORKLLM) == ["/added"]
        put(tmp_path, "etc/orkllm/orkllm.conf", 'ORKLLM_MODELS_DIR="/conf"\n')
        assert found(tmp_path, Server.ORKLLM) == ["/conf", "/added"]

    def test_usual_folders(self, tmp_path: Path) -> None:
        (tmp_path / "var/lib/orkllm/models").mkdir(parents=True)
        assert found(tmp_path, Server.ORKLLM) == ["/var/lib/orkllm/models"]


class TestMounts:
    OURS = (
        "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
        "2 1 8:2 / /data rw - ext4 /dev/sda2 rw\n"
        "3 1 8:2 /deep/er /mnt/er rw - ext4 /dev/sda2 rw\n"
        "torn\n"
    )

    @pytest.mark.parametrize(
        ("theirs", "here"),
        [
            ("6 5 8:1 /home/a /m rw - ext4 x rw", "/home/a/x"),
            ("6 5 8:2 /deep /m rw - ext4 x rw", "/data/deep/x"),
            ("6 5 8:2 /deep/er /m rw - ext4 x rw", "/mnt/er/x"),
            ("6 5 8:1 /a\\040b /m rw - ext4 x rw", "/a b/x"),
            ("6 5 8:1 /a /m rw - e x rw\n7 5 8:1 /b /m/x rw - e x rw", "/b"),
            ("6 5 8:1 /a /m rw - e x rw\n7 5 8:1 /b /m rw - e x rw", "/b/x"),
            ("6 5 9:9 /home/a /m rw - ext4 x rw", None),
            ("6 5 8:1 /a /other rw - ext4 x rw", None),
            ("6 5 8:1 / / rw - ext4 x rw", "/m/x"),
            ("6 5 8:1 /a / rw - ext4 x rw", "/a/m/x"),
            ("6 5 8:2 /deep/er / rw - ext4 x rw", None),
            ("", None),
        ],
    )
    def test_where_it_lies_outside(self, theirs: str, here: str | None) -> None:
        assert outside("/m/x", theirs, self.OURS) == here
