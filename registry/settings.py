"""Say what is set on this machine, and where: by a variable, the user's file, or the system's.

The one place that knows which settings there are, how each is written and what it may be. A
variable comes before ``config.toml`` of the user, and that before the system's; an option of a
command comes before all of them. What is wrong with a setting is said by whoever needs it, so that
a command which does not need it works, and no file is read where the environment tells.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

FILE_NAME = "config.toml"
SYSTEM_FILE = Path("/etc/rkfetch") / FILE_NAME

_WORDS = {
    **dict.fromkeys(("1", "true", "t", "yes", "y", "on"), True),
    **dict.fromkeys(("0", "false", "f", "no", "n", "off"), False),
}
_SHOWN = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """One thing that can be set."""

    variables: tuple[str, ...]
    """Of the environment; the first that is not empty counts."""
    example: Any
    """As it would stand in the file; its type is the one that is allowed."""
    check: Callable[[Any], object] | None = None
    """Raises `UsageError` for what it may not be."""
    in_file: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is set, and where."""

    key: str
    value: Any
    origin: str
    """The variable, or the file."""

    @property
    def place(self) -> str:
        """What to name in a message: the variable, or the file and the key in it."""
        return _place(self.origin, self.key)

    @property
    def text(self) -> str:
        """The value in one line, as it would stand in a variable."""
        if isinstance(self.value, tuple):
            return " ".join(self.value)
        return self.value if isinstance(self.value, str) else json.dumps(self.value)


def _place(origin: str, key: str) -> str:
    return origin if origin in KNOWN[key].variables else f"{origin}: {key}"


def find(key: str) -> Setting | None:
    """Return what is set under a key of `KNOWN`; None if nothing is.

    Raises:
        UsageError: what is set cannot be used, or a file that may set it cannot be read.
    """
    known = KNOWN[key]
    for variable in known.variables:
        text = os.environ.get(variable, "").strip()
        if text:
            return _checked(key, _from_text(variable, text, key), variable)
    for path in files() if known.in_file else ():
        value = _read(path).get(key)
        if value is not None:
            return _checked(key, _from_toml(path, value, key), str(path))
    return None


def value(key: str) -> Any:
    """Return the value that is set, None if there is none; raises as `find`."""
    setting = find(key)
    return setting.value if setting is not None else None


def files() -> list[Path]:
    """Return where a ``config.toml`` may be, the one that counts most first."""
    folder = os.environ.get("RKFETCH_HOME")
    if not folder:
        base = os.environ.get("XDG_CONFIG_HOME", "")
        folder = f"{base if base.startswith('/') else '~/.config'}/rkfetch"
    folder = os.path.expanduser(folder)  # noqa: PTH111 - without a home, pathlib raises
    if folder.startswith("~"):
        return [SYSTEM_FILE]
    return [Path(folder, FILE_NAME).absolute(), SYSTEM_FILE]


def unknown_keys() -> Iterator[str]:
    """Yield a sentence for each key in a file that no setting has.

    It is no error: an older rkfetch shall work with the file of a newer one. A file that cannot be
    read has none; whoever needs it says so.
    """
    for path in files():
        with contextlib.suppress(UsageError):
            for key in _read(path):
                if key not in KNOWN or not KNOWN[key].in_file:
                    yield f"{path}: '{key[:_SHOWN]}' is no setting of this rkfetch{_instead(key)}"


def _instead(key: str) -> str:
    if key in KNOWN:
        return f", only the variable {KNOWN[key].variables[0]} is"
    import difflib

    near = difflib.get_close_matches(key, [k for k in KNOWN if KNOWN[k].in_file], n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def everything() -> tuple[list[Setting], list[UsageError]]:
    """Return all that is set, and all that is wrong with what is set."""
    found = [_found(key) for key in KNOWN]
    problems = {error.message: error for error in found if isinstance(error, UsageError)}
    return [item for item in found if isinstance(item, Setting)], list(problems.values())


def _found(key: str) -> Setting | UsageError | None:
    try:
        return find(key)
    except UsageError as error:
        return error


# --- how it is written ----------------------------------------------------------------------------


def _from_text(variable: str, text: str, key: str) -> Any:
    example = KNOWN[key].example
    hint = _example(variable, key)
    if isinstance(example, bool):
        if (word := _WORDS.get(text.lower())) is None:
            raise UsageError(f"{variable} is '{text[:_SHOWN]}', neither yes nor no", hint=hint)
        return word
    if isinstance(example, int):
        if not re.fullmatch(r"[0-9]{1,18}", text):
            raise UsageError(f"{variable} is '{text[:_SHOWN]}', which is no number", hint=hint)
        return int(text)
    if isinstance(example, list):
        return tuple(part for part in re.split(r"[\s,]+", text) if part)
    return text


_KINDS = {bool: "true or false", int: "a whole number", list: "a list of texts in quotes"}


def _from_toml(path: Path, value: Any, key: str) -> Any:
    example = KNOWN[key].example
    wanted = _KINDS.get(type(example), "a text in quotes")
    fits = type(value) is type(example)
    if isinstance(value, list):
        fits = fits and all(type(part) is str for part in value)
    elif isinstance(value, str) and fits and example.startswith("/"):
        # A path that depends on where a command is called would be a trap.
        wanted = "a path that begins with / or ~"
        fits = value.startswith(("/", "~"))
    if not fits:
        raise UsageError(
            f"{_place(str(path), key)} is {json.dumps(value, default=str)[:_SHOWN]}",
            cause=[f"it has to be {wanted}"],
            hint=_example(str(path), key),
        )
    return tuple(value) if isinstance(value, list) else value


def _checked(key: str, value: Any, origin: str) -> Setting:
    check = KNOWN[key].check
    if check is not None:
        try:
            check(value)
        except UsageError as error:
            raise UsageError(
                f"{_place(origin, key)}: {error.message}",
                cause=error.cause,
                hint=error.hint or _example(origin, key),
            ) from error
    return Setting(key=key, value=value, origin=origin)


def _example(origin: str, key: str) -> str:
    """Return the hint that shows how it would be right, in the place where it is wrong."""
    example = KNOWN[key].example
    if origin not in KNOWN[key].variables:
        return f"an example: {key} = {json.dumps(example)}"  # of these types, JSON is TOML
    words = tuple(example) if isinstance(example, list) else example
    return f"an example: {origin}={Setting(key=key, value=words, origin=origin).text}"


# --- the files ------------------------------------------------------------------------------------


def _read(path: Path) -> Mapping[str, Any]:
    """Return what a file sets; nothing where there is none."""
    try:
        status = path.stat()
    except OSError:  # also of a folder that belongs to somebody else
        return {}
    return _parsed(path, (status.st_mtime_ns, status.st_size, status.st_ino))


@lru_cache(maxsize=8)
def _parsed(path: Path, _version: tuple[int, int, int]) -> Mapping[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _unreadable(path, error.strerror) from error
    except UnicodeDecodeError as error:
        raise _unreadable(path, "it is no text in UTF-8") from error
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, which tells the line, is one
        raise _unreadable(path, str(error)) from error


def _unreadable(path: Path, why: str | None) -> UsageError:
    return UsageError(
        f"{path} cannot be read",
        cause=[why] if why else [],
        hint='it is TOML, with lines like: limit_rate = "2M"',
    )


# --- what there is --------------------------------------------------------------------------------


def _platform(text: str) -> None:
    from .model import Platform

    Platform.parse(text)


def _version(what: str) -> Callable[[str], object]:
    def check(text: str) -> None:
        from .versions import parse_version

        parse_version(text, what=what)

    return check


def _memory(text: str) -> None:
    from .target import parse_memory

    parse_memory(text)


def _addresses(named: str | tuple[str, ...]) -> None:
    from .endpoints import require_address

    for url in (named,) if isinstance(named, str) else named:
        require_address(url)


def _rate(text: str) -> None:
    from .limits import parse_rate

    parse_rate(text)


def _connections(number: int) -> None:
    from .limits import MOST_CONNECTIONS

    _at_least(1)(number)
    if number > MOST_CONNECTIONS:
        raise UsageError(f"{number} is too many, {MOST_CONNECTIONS} is the most")


def _at_least(least: int) -> Callable[[int], object]:
    def check(number: int) -> None:
        if number < least:
            raise UsageError(f"{number} is too few, {least} is the least")

    return check


def _one_of(*words: str) -> Callable[[str], object]:
    def check(text: str) -> None:
        if text not in words:
            raise UsageError(f"'{text}' is none of {', '.join(words)}")

    return check


def _metered(text: str) -> None:
    from .metered import require_choice

    require_choice(text)


def _torch_index(text: str) -> None:
    if text != "pypi":
        _addresses(text)
    if len(text.split()) != 1:
        raise UsageError(f"'{text[:_SHOWN]}' is not one address")


def _image(text: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,254}", text):
        raise UsageError(f"'{text[:_SHOWN]}' is no name of an image")


def _words(text: str) -> None:
    import shlex

    try:
        shlex.split(text)
    except ValueError as error:
        raise UsageError(f"'{text[:_SHOWN]}': {str(error).lower()}") from error


KNOWN: Mapping[str, Known] = {
    "home": Known(variables=("RKFETCH_HOME",), example="/srv/rkfetch"),
    "hub": Known(
        variables=("HF_ENDPOINT",),
        example="https://hf-mirror.com",
        check=_addresses,
        # Hugging Face's own tools would not see it in our file; `endpoints` is for that.
        in_file=False,
    ),
    "endpoints": Known(
        variables=("RKFETCH_ENDPOINTS",),
        example=["https://hf-mirror.com", "https://huggingface.co"],
        check=_addresses,
    ),
    "mirrors": Known(
        variables=("RKFETCH_MIRRORS",),
        example=["http://nas.local:8080/models"],
        check=_addresses,
    ),
    "modelscope_endpoint": Known(
        variables=("MODELSCOPE_ENDPOINT",),
        example="https://www.modelscope.cn",
        check=_addresses,
    ),
    "token_to_mirror": Known(
        variables=("RKFETCH_TOKEN_TO_MIRROR",),
        example=True,
        # Who gives a secret away should do so for one session, knowing where to.
        in_file=False,
    ),
    "limit_rate": Known(variables=("RKFETCH_LIMIT_RATE",), example="2M", check=_rate),
    "connections": Known(variables=("RKFETCH_CONNECTIONS",), example=4, check=_connections),
    "background": Known(variables=("RKFETCH_BACKGROUND",), example=True),
    "text_only": Known(variables=("RKFETCH_TEXT_ONLY",), example=True),
    "metered": Known(variables=("RKFETCH_METERED",), example="yes", check=_metered),
    "convert": Known(
        variables=("RKFETCH_CONVERT",), example="never", check=_one_of("never", "auto", "always")
    ),
    "convert_environment": Known(
        variables=("RKFETCH_CONVERT_ENVIRONMENT",),
        example="container",
        check=_one_of("auto", "container", "venv"),
    ),
    "offline": Known(variables=("RKFETCH_OFFLINE", "HF_HUB_OFFLINE"), example=True),
    "stale_after_days": Known(
        variables=("RKFETCH_STALE_AFTER_DAYS",), example=90, check=_at_least(0)
    ),
    "update_budget": Known(variables=("RKFETCH_UPDATE_BUDGET",), example="50M"),
    "update_within": Known(variables=("RKFETCH_UPDATE_WITHIN",), example="10m"),
    "catalog_from": Known(
        variables=("RKFETCH_CATALOG_FROM",), example="https://example.org/catalog"
    ),
    "catalog_key": Known(
        variables=("RKFETCH_CATALOG_KEY",),
        example="RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3",
    ),
    "signing_key": Known(variables=("RKFETCH_SIGNING_KEY",), example="/etc/rkfetch/catalog.key"),
    "toolkit_url": Known(
        variables=("RKFETCH_TOOLKIT_URL",),
        example="https://git.example.org/airockchip/rknn-llm",
        check=_addresses,
    ),
    "torch_index": Known(
        variables=("RKFETCH_TORCH_INDEX",),
        example="https://download.pytorch.org/whl/cpu",
        check=_torch_index,
    ),
    "convert_image": Known(
        variables=("RKFETCH_CONVERT_IMAGE",),
        example="docker.io/library/python:3.11-slim-bookworm",
        check=_image,
    ),
    "convert_engine_args": Known(
        variables=("RKFETCH_CONVERT_ENGINE_ARGS",),
        example="--runtime runc run --cpus 4",
        check=_words,
    ),
    "platform": Known(variables=("RKFETCH_PLATFORM",), example="rk3576", check=_platform),
    "runtime": Known(variables=("RKFETCH_RUNTIME",), example="1.2.3", check=_version("runtime")),
    "driver": Known(variables=("RKFETCH_DRIVER",), example="0.9.8", check=_version("driver")),
    "memory": Known(variables=("RKFETCH_MEMORY",), example="8G", check=_memory),
    "context": Known(variables=("RKFETCH_CONTEXT",), example=4096, check=_at_least(1)),
    "sysroot": Known(
        variables=("RKFETCH_SYSROOT",),
        example="/",
        in_file=False,  # a file describes the machine that it lies on
    ),
}
"""Everything that can be set, by its key in ``config.toml``."""
