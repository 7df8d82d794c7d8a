"""Find the folder in which a server of this machine looks for its models.

As the servers' own code does. rkllama (``config/config.py``, 3a283ff): ``--models`` of the running
server, then ``RKLLAMA_PATHS_MODELS``, then ``[paths] models`` in its ``rkllama.ini`` of the
installation, the user, the system; relative ones lie in the installed package, and so does the
default. oRKLLM (``config.js``, ``debian/``, 1960f1b): ``ORKLLM_MODELS_DIR``, which the service gets
from ``/etc/orkllm/orkllm.conf``, else from its unit.
"""

from __future__ import annotations

import configparser
import os
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rkfetch.registry.runtimes import homes_of, rkllama_folders

from .mounts import outside
from .served import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from rkfetch.registry.sysroot import Sysroot

_UNITS = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
_MOST_PROCESSES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFolder:
    """One folder that a server may read."""

    path: str
    why: str
    """Who says so."""
    is_set: bool
    """Whether it is set or in use, and not just the usual one."""


def find(server: Server, tree: Sysroot, environ: Mapping[str, str]) -> tuple[ModelFolder, ...]:
    """Find the folders that a server may read, the one that counts first, each once.

    What is set counts before what is usual; usual ones must exist.
    """
    look = _rkllama if server is Server.RKLLAMA else _orkllm
    found: dict[str, ModelFolder] = {}
    for folder in look(tree, environ if tree.is_live else {}):
        if folder.is_set or tree.exists(folder.path):
            found.setdefault(tree.resolve(folder.path) or folder.path, folder)
    return tuple(sorted(found.values(), key=lambda f: not f.is_set))


# --- rkllama ------------------------------------------------------------------------------------


def _rkllama(tree: Sysroot, environ: Mapping[str, str]) -> Iterator[ModelFolder]:
    packages = [_app_root(folder) for folder in rkllama_folders(tree, environ, "config")]
    app_root = packages[0] if packages else None

    def resolved(text: str) -> str | None:
        # In this order: what begins with / is taken as it is.
        if not text.startswith("/"):
            text = _expanded(text, environ)
        if text.startswith("/"):
            return os.path.normpath(text)
        return os.path.normpath(f"{app_root}/{text}") if app_root and text else None

    said = [
        *_of_processes(tree),
        *((text, f"{unit} starts it so") for unit, text in _of_units(tree, "rkllama", _models)),
        (environ.get("RKLLAMA_PATHS_MODELS", ""), "RKLLAMA_PATHS_MODELS"),
        *_of_ini_files(tree, environ, packages),
    ]
    for text, why in said:
        path = resolved(text)
        if path is not None:
            yield ModelFolder(path=path, why=why, is_set=True)
    usual = [f"{package}/models" for package in packages]
    usual += [f"{home}/{name}/models" for home in homes_of(tree, environ) for name in _CHECKOUTS]
    for path in (*usual, "/opt/rkllama/models"):
        yield ModelFolder(path=path, why="where rkllama keeps them by itself", is_set=False)


_CHECKOUTS = ("RKLLAMA", "rkllama")


def _app_root(config: str) -> str:
    """Return what its relative paths begin at: the package ``config``, before 2026 the checkout."""
    return config if config.endswith("/rkllama/config") else config.rpartition("/")[0]


def _expanded(text: str, environ: Mapping[str, str]) -> str:
    text = re.sub(
        r"\$(?:\{(\w+)\}|(\w+))", lambda m: environ.get(m[1] or m[2], m[0]), text, flags=re.ASCII
    )
    home = environ.get("HOME")
    return f"{home}{text[1:]}" if home and (text == "~" or text.startswith("~/")) else text


def _of_ini_files(
    tree: Sysroot, environ: Mapping[str, str], packages: Iterable[str]
) -> Iterator[tuple[str, str]]:
    homes = homes_of(tree, environ)
    # Of each group, what it reads last counts.
    paths = [
        *(f"{package}/{name}" for package in packages for name in ("config/" + _INI, _INI)),
        *(f"{home}/{name}" for home in homes for name in _USER_FILES),
        *(f"{package}/system/{_INI}" for package in packages),
        f"/usr/local/etc/{_INI}",
        f"/etc/{_INI}",
        f"/etc/rkllama/{_INI}",
    ]
    for path in paths:
        text = tree.read(path).text
        if text is None:
            continue
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            parser.read_string(text)
        except configparser.Error:
            continue
        yield parser.get("paths", "models", fallback=""), f"{path} says so"


_INI = "rkllama.ini"
_USER_FILES = (f".{_INI}", f".config/{_INI}", f".config/rkllama/{_INI}")


def _of_processes(tree: Sysroot) -> Iterator[tuple[str, str]]:
    """Yield what servers that run now were told, a container's translated."""
    for path in _first(tree.glob("/proc/[0-9]*/cmdline"), _MOST_PROCESSES):
        words = (tree.read(path, limit=4096).data or b"").decode("utf-8", "replace").split("\0")
        if not any(_is_rkllama(word) for word in words[:3]):
            continue
        text = _models(words)
        if text is None:
            continue
        process = path.removesuffix("/cmdline")
        if not _is_trusted(tree, process):
            continue
        if not _is_contained(tree, process):
            yield text, "the server that runs now"
            continue
        ours = tree.read("/proc/self/mountinfo", limit=1 << 20).text or ""
        theirs = tree.read(f"{process}/mountinfo", limit=1 << 20).text or ""
        here = outside(os.path.normpath(text), theirs, ours)
        if here is not None:
            yield here, "the server that runs now, by its own mounts"


def _first(items: Iterator[str], count: int) -> Iterator[str]:
    yield from (item for item, _ in zip(items, range(count), strict=False))


def _is_rkllama(word: str) -> bool:
    return word.rpartition("/")[2] == "rkllama_server" or word == "rkllama.server.server"


def _is_trusted(tree: Sysroot, process: str) -> bool:
    """Tell whether a process is the user's own or root's: any other may say what it likes."""
    status = tree.stat(process)
    users = {"0", str(os.getuid()), os.environ.get("SUDO_UID", "0")}
    return status is not None and str(status.st_uid) in users


def _is_contained(tree: Sysroot, process: str) -> bool:
    """Tell whether a process sees other mounts than this one."""
    return _namespace(tree, process) != _namespace(tree, "/proc/self")


def _namespace(tree: Sysroot, process: str) -> str | None:
    try:
        return os.readlink(f"{os.fspath(tree.root).rstrip('/')}{process}/ns/mnt")  # noqa: PTH115
    except OSError:
        return None


def _models(words: list[str]) -> str | None:
    """Return what follows ``--models``."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        name, equals, text = word.partition("=")
        if name == "--models":
            return (text if equals else following) or None
    return None


# --- oRKLLM -------------------------------------------------------------------------------------

_VARIABLE = "ORKLLM_MODELS_DIR"
_CONF = "/etc/orkllm/orkllm.conf"


def _orkllm(tree: Sysroot, environ: Mapping[str, str]) -> Iterator[ModelFolder]:
    said = [
        (environ.get(_VARIABLE, ""), _VARIABLE),
        (_assigned(tree.read(_CONF).text or ""), f"{_CONF} says so"),
        *((text, f"{unit} says so") for unit, text in _of_units(tree, "orkllm", _in_unit)),
    ]
    for text, why in said:
        if text.startswith("/"):
            yield ModelFolder(path=os.path.normpath(text), why=why, is_set=True)
    for path in ("/var/lib/orkllm/models", "/usr/lib/orkllm/models"):
        yield ModelFolder(path=path, why="where oRKLLM keeps them by itself", is_set=False)


def _assigned(text: str) -> str:
    """Return what a file of variables says; its last word counts."""
    found = ""
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and name == _VARIABLE:
            found = value.strip().strip("\"'")
    return found


def _in_unit(words: list[str]) -> str | None:
    return next((w.partition("=")[2] for w in words if w.startswith(f"{_VARIABLE}=")), None)


# --- units of systemd ---------------------------------------------------------------------------


def _of_units(
    tree: Sysroot, name: str, read: Callable[[list[str]], str | None]
) -> Iterator[tuple[str, str]]:
    """Yield what units of this name say in ``ExecStart`` or ``Environment``, the weightiest first.

    A unit in ``/etc`` hides one of the same name in ``/usr/lib``.
    """
    seen: set[str] = set()
    for folder in _UNITS:
        for unit in tree.glob(f"{folder}/*{name}*.service"):
            if unit.rpartition("/")[2] in seen:
                continue
            seen.add(unit.rpartition("/")[2])
            for path in (*_drop_ins(tree, unit.rpartition("/")[2]), unit):
                text = _in_lines(tree.read(path).text or "", read)
                if text is not None:
                    yield path, text
                    break


def _drop_ins(tree: Sysroot, unit: str) -> list[str]:
    """Return the files that change a unit, the one that is read last first."""
    found = {
        path.rpartition("/")[2]: path
        for folder in reversed(_UNITS)
        for path in tree.glob(f"{folder}/{unit}.d/*.conf")
    }
    return [found[name] for name in sorted(found, reverse=True)]


def _in_lines(text: str, read: Callable[[list[str]], str | None]) -> str | None:
    found = None
    for line in text.replace("\\\n", " ").splitlines():
        key, _, rest = line.strip().partition("=")
        if key.strip() not in {"ExecStart", "Environment"}:
            continue
        try:
            words = shlex.split(rest)
        except ValueError:
            continue
        found = read(words) or found
    return found
