"""What pip is told and given when it installs the toolkit, and what its failures mean."""

from __future__ import annotations

import configparser
import contextlib
import os
import re
from typing import TYPE_CHECKING

from rkfetch.registry import settings
from rkfetch.registry.disk_failures import free_bytes
from rkfetch.registry.errors import ConversionError, DiskSpaceError, NetworkError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rkfetch.registry.errors import RkfetchError

    from .toolkits import Toolkit

TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
PKG_RESOURCES = "setuptools<81"
"""Its later releases have no ``pkg_resources``, which the toolkit imports."""
BUILD = {"BUILD_CUDA_EXT": "0"}
"""auto_gptq has no wheel for Python 3.12, and cannot be built with its CUDA part."""
PROOF = "import rkllm.api"
"""What the toolkit is there for."""

_PASSED_ON = {
    "PATH", "HOME", "USER", "LOGNAME", "NETRC", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS",
    "XDG_CACHE_HOME", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "CC", "CXX", "CFLAGS", "LDFLAGS",
}  # fmt: skip
_ELSEWHERE = {"PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_REQUIRE_VIRTUALENV"}
"""Would have it install somewhere else."""
IN_IMAGE = ("index-url", "extra-index-url", "trusted-host", "timeout", "retries")
_FULL = re.compile(r"No space left on device|Errno 28|Disk quota exceeded|no space left")
_NETWORK = re.compile(
    r"Failed to establish a new connection|Max retries exceeded|Connection broken|"
    r"Temporary failure in name resolution|Name or service not known|Network is unreachable|"
    r"ConnectTimeout|ReadTimeout|Read timed out|Connection reset|Connection refused|"
    r"ConnectionError|ProxyError|SSLError|Could not resolve|i/o timeout|no such host|"
    r"TLS handshake|connection refused"
)
_SHOWN = 12
INDEXES = "PIP_INDEX_URL or pip.conf, and RKFETCH_TORCH_INDEX for PyTorch"


def environment(temporary: Path) -> dict[str, str]:
    """Return pip's environment in a virtual one: its own settings, and no secret of others.

    Code of packages runs while they are built; it shall find no token. ``temporary`` is for what
    pip unpacks, which is more than many a ``/tmp`` holds.
    """
    passed = {
        name: value
        for name, value in os.environ.items()
        if name.upper() in _PASSED_ON or (name.startswith("PIP_") and name not in _ELSEWHERE)
    }
    own = {"PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    return {**passed, **own, **BUILD, "LC_ALL": "C.UTF-8", "TMPDIR": str(temporary)}


def torch_index() -> str | None:
    """Return the index of PyTorch's builds for the CPU; None if pip's usual one shall do."""
    index: str = settings.value("torch_index") or TORCH_INDEX
    return None if index == "pypi" else index


def torch_pins(toolkit: Toolkit | None, device: str) -> tuple[str, ...]:
    """Return what is installed from that index first: the usual one has the CUDA build, 3 GB."""
    return toolkit.torch if toolkit is not None and device == "cpu" and torch_index() else ()


def settings_for_image() -> dict[str, str]:
    """Return this machine's settings of pip that hold in an image too, as variables.

    Those of pip.conf as well. None that holds a password: it would stay in the image.
    """
    found: dict[str, str] = {}
    parser = configparser.RawConfigParser()
    for path in _files():
        # What cannot be read, pip would say.
        with contextlib.suppress(OSError, configparser.Error, UnicodeDecodeError):
            parser.read(path, encoding="utf-8")
    for section in ("global", "install"):
        for key in IN_IMAGE:
            value = parser.get(section, key, fallback=None)
            if value is not None:
                found[variable(key)] = " ".join(value.split())
    for key in IN_IMAGE:
        if value := os.environ.get(variable(key)):
            found[variable(key)] = value
    return {
        name: value for name, value in found.items() if "@" not in value and "file:" not in value
    }


def variable(key: str) -> str:
    """Return the variable of one of pip's settings."""
    return "PIP_" + key.upper().replace("-", "_")


def _files() -> list[str]:
    home = os.path.expanduser("~")  # noqa: PTH111 - without a home, pathlib raises
    config = os.environ.get("XDG_CONFIG_HOME") or f"{home}/.config"
    named = os.environ.get("PIP_CONFIG_FILE")
    return [
        "/etc/xdg/pip/pip.conf",
        "/etc/pip.conf",
        f"{home}/.pip/pip.conf",
        f"{config}/pip/pip.conf",
        *([named] if named else []),
    ]


def failure(
    what: str, said: Sequence[str], *, place: Path | None = None, room: str, ways_out: str
) -> RkfetchError:
    """Return what it means that an installation failed, by what was printed last.

    ``place`` is the disk that it went to, ``room`` how to have more of it; ``ways_out`` are other
    places to have things from.
    """
    text = "\n".join(said)
    cause = list(said[-_SHOWN:])
    if _FULL.search(text):
        return DiskSpaceError(
            f"there is no room to install {what}",
            have_bytes=free_bytes(place) if place is not None else None,
            where=str(place) if place is not None else None,
            cause=cause,
            hint=room,
        )
    if _NETWORK.search(text):
        return NetworkError(
            f"{what} could not be installed: the network failed",
            cause=cause,
            hint=f"run the same command again; or {ways_out}",
        )
    return ConversionError(f"{what} could not be installed", cause=cause, hint=ways_out)
