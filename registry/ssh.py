"""Run commands on another machine with OpenSSH's own client, over one connection that is kept.

The user's configuration, keys and agent are ssh's business, and so is asking for a password: once,
because what follows goes through the same connection (ControlMaster). Nothing that is asked or
said there is trusted: text that comes back has to be made fit for a terminal.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import AuthenticationError, NetworkError, UsageError
from .link import end, last_lines

if TYPE_CHECKING:
    from typing_extensions import Self

    from .errors import RkfetchError

SSH_FAILED = 255
"""Exit status of ssh where ssh itself failed, and not the command."""
_USER = r"(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]*)@)?"
_HOST = r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9]+)?\])"
_ADDRESS = re.compile(rf"ssh://{_USER}{_HOST}(?::(?P<port>[0-9]{{1,5}}))?/?", re.ASCII)
_SHORT = re.compile(_USER + _HOST, re.ASCII)
_CONNECT_S = 20
_ALIVE_S = 15
_ALIVE_TIMES = 4
_LEFT_ALONE_S = 600
"""How long a connection waits for more of what it was made for; ours may have been killed."""
_LONGEST_TEXT = 1 << 20
_PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteHost:
    """Another machine that ssh reaches."""

    host: str
    """A name, an address, or what ``~/.ssh/config`` calls it."""
    user: str | None = None
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> RemoteHost:
        """Read ``ssh://user@host:port`` or ``user@host``.

        Raises:
            UsageError: it is neither; nothing that ssh could take for an option passes.
        """
        match = _ADDRESS.fullmatch(text) or _SHORT.fullmatch(text)
        port = int(match.groupdict().get("port") or 0) if match else 0
        if match is None or port > 65535 or (port == 0 and match.groupdict().get("port")):
            raise UsageError(
                f"'{text[:80]}' names no machine",
                hint="examples: ssh://user@pc.local, ssh://user@192.168.1.5:2222, user@pc.local",
            )
        return cls(host=match["host"].strip("[]"), user=match["user"], port=port or None)

    @property
    def name(self) -> str:
        """What to call it in a sentence: ``user@host``."""
        return f"{self.user}@{self.host}" if self.user else self.host

    @property
    def address(self) -> str:
        """Its whole address, which `parse` reads."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        user = f"{self.user}@" if self.user else ""
        return f"ssh://{user}{host}" + (f":{self.port}" if self.port else "")

    @property
    def command(self) -> str:
        """How to reach it by hand: ``ssh -p 2222 user@host``."""
        return f"ssh -p {self.port} {self.name}" if self.port else f"ssh {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a command did there."""

    status: int
    out: str
    err: str


class Ssh:
    """A connection to another machine; use it as a context manager.

    Raises:
        UsageError: there is no ssh here, or the machine runs no commands for the user.
        AuthenticationError: it does not let the user in, or its key is not the known one.
        NetworkError: it does not answer.
    """

    by_pieces = False

    def __init__(self, host: RemoteHost) -> None:
        self.host = host
        program = shutil.which("ssh")
        if program is None:
            raise UsageError(
                f"there is no ssh here to reach {host.name} with",
                hint="sudo apt install openssh-client",
            )
        self._program = program

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="rkfetch-ssh-"))
        try:
            self.connect()
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError, subprocess.TimeoutExpired):
            # It has a session of its own, so nothing that ends this process ends it.
            subprocess.run(  # noqa: S603 - our own words, and a name that was checked
                self._line("-O", "exit"),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_PATIENCE_S,
                check=False,
            )
        shutil.rmtree(self._folder, ignore_errors=True)

    def connect(self) -> None:
        """Have a connection; asks for a password if there is a terminal to ask at."""
        with tempfile.TemporaryFile() as talk:
            # No pipe: the connection that stays in the background would keep it open.
            stays = ("-o", "ControlMaster=auto", "-o", f"ControlPersist={_LEFT_ALONE_S}")
            done = subprocess.run(  # noqa: S603 - our own words, and a name that was checked
                self._line(*stays, command="true"),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=talk,
                check=False,
            )
            talk.seek(0)
            text = talk.read(_LONGEST_TEXT).decode("utf-8", "replace")
        if done.returncode == SSH_FAILED:
            raise self.failure(text)
        if done.returncode:
            raise UsageError(
                f"{self.host.name} runs no commands for us",
                cause=last_lines(text),
                hint=f"try by hand: {self.host.command} true",
            )

    def start(self, script: str, *arguments: str, **streams: Any) -> subprocess.Popen[bytes]:
        """Start a script of the POSIX shell there; its ``$1`` and so on are ``arguments``.

        In a session of its own, so that Ctrl-C reaches it through this process alone.
        """
        command = shlex.join(["sh", "-c", script, "sh", *arguments])
        return subprocess.Popen(  # noqa: S603 - every argument is quoted
            self._line("-o", "BatchMode=yes", command=command), start_new_session=True, **streams
        )

    def run(self, script: str, *arguments: str) -> Said:
        """Run a short script there to its end.

        Raises:
            AuthenticationError, NetworkError: the connection broke.
        """
        process = self.start(
            script,
            *arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            out, err = (
                part[:_LONGEST_TEXT].decode("utf-8", "replace") for part in process.communicate()
            )
        except BaseException:
            end(process)
            raise
        if process.returncode == SSH_FAILED:
            raise self.failure(err)
        return Said(status=process.returncode, out=out, err=err)

    def broken(self, status: int, text: str) -> RkfetchError | None:
        """Tell whether a script ended because the link broke; None if it did not."""
        return self.failure(text) if status == SSH_FAILED else None

    def put(self, piece: bytes, path: str) -> None:
        """Nothing is sent by pieces: a script's stdin takes bytes as they are."""
        raise NotImplementedError

    def failure(self, text: str) -> RkfetchError:
        """Return what ssh's own words mean."""
        lower, name = text.lower(), self.host.name
        if "host key verification failed" in lower:
            return AuthenticationError(
                f"the key of {name} is not known here, or has changed",
                cause=last_lines(text),
                hint=f"look at it by hand once: {self.host.command}",
            )
        if "permission denied" in lower or "authentication failures" in lower:
            hint = f"try by hand: {self.host.command}"
            if not _has_terminal():
                hint += "; without a terminal only a key without a passphrase, or an agent, will do"
            return AuthenticationError(
                f"{name} does not let us in", cause=last_lines(text), hint=hint
            )
        return NetworkError(
            f"no connection to {name}",
            cause=last_lines(text),
            hint=f"try by hand: {self.host.command}",
        )

    def _line(self, *options: str, command: str | None = None) -> list[str]:
        """Return a command line of ssh; options of the user's that would get in the way are off."""
        settings = {
            "ControlPath": str(self._folder / "c"),
            "ConnectTimeout": _CONNECT_S,
            "ServerAliveInterval": _ALIVE_S,
            "ServerAliveCountMax": _ALIVE_TIMES,
            "BatchMode": "no" if _has_terminal() else "yes",
            "ClearAllForwardings": "yes",
            "ForwardAgent": "no",
            "ForwardX11": "no",
            "PermitLocalCommand": "no",
            "RemoteCommand": "none",
            "RequestTTY": "no",
        }
        port = ["-p", str(self.host.port)] if self.host.port else []
        # The first that is said counts.
        said = [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]
        ending = [] if command is None else [command]
        return [self._program, *options, *said, *port, "--", self.host.name, *ending]


def _has_terminal() -> bool:
    """Tell whether ssh can ask somebody: it does so at the terminal, not on stdin."""
    if not (sys.stderr is not None and sys.stderr.isatty()):
        return False
    with suppress(OSError):
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
        return True
    return False
