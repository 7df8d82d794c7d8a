"""Run scripts on a board over adb, as Rockchip's own images and Android have it on their USB port.

Old devices pass neither a program's status on nor bytes as they are: what a script says is in its
marked lines, and a file is put there piece by piece with ``adb push``.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import AuthenticationError, DiskSpaceError, NetworkError, UsageError
from .link import last_lines

if TYPE_CHECKING:
    from typing_extensions import Self

    from .errors import RkfetchError

_PATIENCE_S = 20.0
_PUSH_S = 600.0
"""For one piece; a device that hangs is found out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdbDevice:
    """A device that adb reaches."""

    serial: str | None = None
    """None if there is only one."""

    @property
    def name(self) -> str:
        """What to call it in a sentence."""
        return f"adb:{self.serial}" if self.serial else "adb"

    @property
    def address(self) -> str:
        """Its whole address."""
        return self.name


class Adb:
    """A connection over adb; use it as a context manager.

    Raises:
        UsageError: there is no adb here, or several devices and none was named.
        AuthenticationError: the device has not agreed to be used from here.
        NetworkError: it is not there.
    """

    by_pieces = True

    def __init__(self, host: AdbDevice) -> None:
        self.host = host
        program = shutil.which("adb")
        if program is None:
            raise UsageError(
                f"there is no adb here to reach {host.name} with", hint="sudo apt install adb"
            )
        self._program = program

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave adb's server to itself: others may use it."""

    def connect(self) -> None:
        """Make sure that the device is there."""
        done = self._adb("get-state", patience_s=_PATIENCE_S)
        if done.returncode or done.stdout.strip() != b"device":
            raise self._failure(done.stderr.decode("utf-8", "replace"))

    def start(self, script: str, *arguments: str, **streams: Any) -> subprocess.Popen[bytes]:
        """Start a script of the shell there; its ``$1`` and so on are ``arguments``."""
        command = shlex.join(["sh", "-c", script, "sh", *arguments])
        return subprocess.Popen(  # noqa: S603 - every argument is quoted
            self._line("shell", command), start_new_session=True, **streams
        )

    def broken(self, status: int, text: str) -> RkfetchError | None:
        """Take a script that ended without an answer for a link that broke."""
        del status
        return self._failure(text)

    def put(self, piece: bytes, path: str) -> None:
        """Write a file there.

        Raises:
            DiskSpaceError: there is no room for it.
            NetworkError, AuthenticationError: the link broke.
        """
        # A file in memory: nothing is left behind, whatever ends this process.
        handle = os.memfd_create("rkfetch-piece")
        try:
            with os.fdopen(os.dup(handle), "wb") as file:
                file.write(piece)
            done = self._adb("push", f"/proc/{os.getpid()}/fd/{handle}", path, patience_s=_PUSH_S)
        finally:
            os.close(handle)
        if done.returncode:
            text = (done.stderr + done.stdout).decode("utf-8", "replace")
            if "no space left" in text.lower():
                raise DiskSpaceError(
                    f"the disk of {self.host.name} is full",
                    where=f"{self.host.name}:{path}",
                    cause=last_lines(text),
                    hint="make room there; the same command goes on with what is there",
                )
            raise self._failure(text)

    def _adb(self, *arguments: str, patience_s: float) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(  # noqa: S603 - no shell, and our own words
                self._line(*arguments),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=patience_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise NetworkError(
                f"{self.host.name} does not answer", hint="try by hand: adb devices"
            ) from error

    def _line(self, *arguments: str) -> list[str]:
        which = ["-s", self.host.serial] if self.host.serial else []
        return [self._program, *which, *arguments]

    def _failure(self, text: str) -> RkfetchError:
        """Return what adb's own words mean."""
        lower, name = text.lower(), self.host.name
        if "more than one" in lower:
            return UsageError(
                "adb sees several devices",
                cause=last_lines(text),
                hint="name one: adb:SERIAL:DIR; `adb devices` lists them",
            )
        if "unauthorized" in lower or "no permissions" in lower:
            return AuthenticationError(
                f"{name} does not let us in",
                cause=last_lines(text),
                hint="agree on the device's screen, or see `adb devices`",
            )
        return NetworkError(
            f"no connection to {name}", cause=last_lines(text), hint="try by hand: adb devices"
        )
