"""How a user names a folder on a board: over ssh, or over adb."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rkfetch.registry.errors import UsageError

from .output import safe

if TYPE_CHECKING:
    from rkfetch.registry.adb import Adb, AdbDevice
    from rkfetch.registry.ssh import RemoteHost, Ssh

_WITH_PORT = re.compile(r"(ssh://[^/]+)(/.+)", re.DOTALL)
_SHORT = re.compile(r"(?!ssh://)([^/:\[]*|[^/:\[]*\[[^\]]*\]):(.+)", re.DOTALL)
_ADB = re.compile(r"adb:(?:([A-Za-z0-9][A-Za-z0-9._-]*(?::[0-9]{1,5})?):)?(.+)", re.DOTALL)
_OTHERS_HOME = re.compile(r"~[^/]")


def over_ssh(text: str) -> tuple[RemoteHost, str]:
    """Read ``USER@BOARD:DIR``, or ``ssh://USER@BOARD:PORT/DIR``.

    Raises:
        UsageError: it names no folder on a board.
    """
    from rkfetch.registry.ssh import RemoteHost

    match = _WITH_PORT.fullmatch(text) or _SHORT.fullmatch(text)
    if match is None or "\0" in text or "\n" in text:
        raise UsageError(
            f"'{safe(text, limit=80)}' names no folder on a board",
            hint="examples: rock@192.168.1.20:models (in the home of rock), "
            "rock@board:/srv/models, ssh://rock@board:2222/srv/models",
        )
    folder = match[2]
    folder = folder[1:] if folder.startswith("/~/") or folder == "/~" else folder
    if _OTHERS_HOME.match(folder):
        raise UsageError(
            f"whose home '{safe(folder, limit=80)}' begins with cannot be told",
            hint="name the whole path, or ./~... for a folder that is called so",
        )
    return RemoteHost.parse(match[1]), folder


def on_board(text: str) -> tuple[RemoteHost | AdbDevice, str]:
    """Read what `over_ssh` reads, and ``adb:DIR`` or ``adb:SERIAL:DIR``.

    Raises:
        UsageError: it names no folder on a board.
    """
    match = _ADB.fullmatch(text)
    if match is None or "\0" in text or "\n" in text:
        return over_ssh(text)
    from rkfetch.registry.adb import AdbDevice

    return AdbDevice(serial=match[1]), match[2]


def link_to(host: RemoteHost | AdbDevice) -> Ssh | Adb:
    """Return the way to a board, which has to be entered as a context manager.

    Raises:
        UsageError: the program that it takes is not here.
    """
    from rkfetch.registry.ssh import RemoteHost, Ssh

    if isinstance(host, RemoteHost):
        return Ssh(host)
    from rkfetch.registry.adb import Adb

    return Adb(host)
