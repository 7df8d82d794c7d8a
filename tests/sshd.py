"""A real sshd of one's own on a loopback port, and a ssh that reaches nothing else."""

from __future__ import annotations

import contextlib
import os
import pwd
import shlex
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rkfetch.registry.ssh import RemoteHost

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
MISSING = (
    "needs sshd (Debian: openssh-server) and ssh"
    if (PROGRAM is None or shutil.which("ssh") is None)
    else ""
)


@dataclass
class Machine:
    """The other machine: its commands are those of a folder, its home is one, too."""

    host: RemoteHost
    folder: Path
    process: subprocess.Popen[bytes]
    port: int

    @property
    def home(self) -> Path:
        """Where its commands run, and their HOME."""
        return self.folder / "home"

    def command(self, name: str, text: str) -> Path:
        """Put a command on its path."""
        path = self.folder / "bin" / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    @property
    def connections(self) -> list[int]:
        """The server's processes for them: one for each, or two, one below the other."""
        return _connections(self.process.pid)

    def drop_connections(self) -> None:
        """End all connections, as a broken link would; the server stays."""
        for pid in self.connections:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        """End the server and its connections."""
        self.drop_connections()
        self.process.terminate()
        self.process.wait()


def _connections(server: int) -> list[int]:
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            pid, _, rest = status.read_text().partition(" (")
            name, _, fields = rest.rpartition(") ")
            if name.startswith("sshd"):
                parents[int(pid)] = int(fields.split()[1])
    below = [pid for pid, parent in parents.items() if parent == server]
    return [*below, *(pid for pid, parent in parents.items() if parent in below)]


def start(folder: Path, *, session: str | None = None, before: Sequence[str] = ()) -> Machine:
    """Start a server; the ``ssh`` in ``folder / "client"`` reaches it under its address.

    ``session`` is a shell script that runs what is asked in its own way; ``before`` are the words
    of a command that the server is started with.
    """
    for name in ("bin", "client", "home"):
        (folder / name).mkdir(parents=True)
    for name in ("host_key", "user_key"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True
        )
    shutil.copy(folder / "user_key.pub", folder / "authorized_keys")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # What the other machine has is what a board has, and its own commands.
    shell = folder / "session"
    path = f"{folder / 'bin'}:/usr/bin:/bin"
    shell.write_text(
        session
        or "#!/bin/sh\n"
        f"cd {shlex.quote(str(folder / 'home'))}\n"
        f"exec env -i HOME={shlex.quote(str(folder / 'home'))} PATH={shlex.quote(path)} "
        'sh -c "$SSH_ORIGINAL_COMMAND"\n'
    )
    shell.chmod(0o755)
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{port}\n"
        f"HostKey {folder / 'host_key'}\n"
        f"AuthorizedKeysFile {folder / 'authorized_keys'}\n"
        f"PidFile {folder / 'pid'}\n"
        f"ForceCommand {shell}\n"
        "UsePAM no\nStrictModes no\nPasswordAuthentication no\n"
        "KbdInteractiveAuthentication no\nPermitRootLogin yes\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    assert PROGRAM is not None
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*before, PROGRAM, "-D", "-e", "-f", folder / "sshd_config"],
            stderr=log,
            stdin=subprocess.DEVNULL,
        )
    _wait(process, folder / "log")
    key = (folder / "host_key.pub").read_text().split()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {key[0]} {key[1]}\n")
    (folder / "ssh_config").write_text(
        f"IdentityFile {folder / 'user_key'}\nIdentitiesOnly yes\n"
        f"UserKnownHostsFile {folder / 'known_hosts'}\nGlobalKnownHostsFile /dev/null\n"
    )
    client = folder / "client" / "ssh"
    real = shutil.which("ssh")
    client.write_text(f'#!/bin/sh\nexec {real} -F {folder / "ssh_config"} "$@"\n')
    client.chmod(0o755)
    user = pwd.getpwuid(os.getuid()).pw_name
    host = RemoteHost.parse(f"ssh://{user}@127.0.0.1:{port}")
    return Machine(host=host, folder=folder, process=process, port=port)


def _wait(process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(400):
        if "Server listening" in log.read_text():
            return
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    raise AssertionError(log.read_text())
