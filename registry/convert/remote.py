"""Convert on another machine: run rkfetch there, hear what it tells, bring the file back.

rkfetch there is given the same command line with ``--json``: its progress comes as JSON lines on
stderr, its answer as one object on stdout. Its failures are passed on as they are, with where.
"""

from __future__ import annotations

import json
import os
import re
import selectors
import subprocess
from typing import TYPE_CHECKING, Any, Protocol

from rkfetch import __version__
from rkfetch.registry import errors
from rkfetch.registry.bring import bring
from rkfetch.registry.errors import IntegrityError, RkfetchError, UsageError
from rkfetch.registry.link import end, last_lines
from rkfetch.registry.model import Platform, Quant
from rkfetch.registry.rkllm_read import read_file
from rkfetch.registry.ssh import SSH_FAILED
from rkfetch.registry.versions import Version

from .run import Converted, record_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rkfetch.registry.progress import Progress
    from rkfetch.registry.record import Record
    from rkfetch.registry.rkllm import RkllmFacts
    from rkfetch.registry.ssh import RemoteHost, Ssh
    from rkfetch.registry.store import Store

_LONGEST_LINE = 64 << 10
_LONGEST_ANSWER = 16 << 20
_KEPT_LINES = 20
_INTERRUPTED = 130
_VERSION = re.compile(r"rkfetch (\S{1,40})\s*")
_SHA256 = re.compile(r"[0-9a-f]{64}")

# Where pip and pipx put commands; the path of a session without a login has them seldom.
_PATH = 'PATH="$HOME/.local/bin:$PATH"; export PATH\n'
_FIND = _PATH + "command -v rkfetch >/dev/null || exit 127\nexec rkfetch --version"

# What runs there ends when its stdin does: with this process, whatever ended that. It is told so
# with SIGTERM, since a shell lets what it starts in the background ignore SIGINT.
_RUN = (
    _PATH
    + """exec 3<&0
rkfetch "$@" </dev/null 3<&- &
child=$!
{ cat <&3; kill -TERM "$child"; } >/dev/null 2>&1 &
watcher=$!
exec 3<&-
wait "$child"
status=$?
kill "$watcher" 2>/dev/null
exit "$status"
"""
)

# rkfetch is on no package index: it goes there as it is in a checkout.
_INSTALL = (
    "git archive HEAD | {ssh} 'mkdir -p rkfetch .local/bin && tar -x -C rkfetch && "
    "python3 -m venv rkfetch/.venv && rkfetch/.venv/bin/pip install ./rkfetch && "
    "ln -sf ~/rkfetch/.venv/bin/rkfetch .local/bin/'"
)


class Listener(Protocol):
    """Hears what rkfetch tells on the other machine. All of it is foreign text."""

    def told(self, values: Mapping[str, Any]) -> None:
        """One object of its progress, as `cli.progress.JsonLines` writes them."""

    def said(self, line: str) -> None:
        """One line that was no such object."""


def convert_on(
    link: Ssh,
    arguments: Sequence[str],
    *,
    platform: Platform,
    store: Store,
    listener: Listener,
    progress: Progress,
) -> Converted:
    """Run ``rkfetch convert ARGUMENTS --json`` there and bring the file that it names back.

    Where it was made is noted in its record as ``endpoint``. An exception, an interrupt too, ends
    what runs there.

    Raises:
        AuthenticationError, NetworkError: the connection broke; what came is kept.
        IntegrityError: the file is not the one that it names, no model, or for another platform
            than was asked; or the answer does not tell how it was made.
        RkfetchError: of the class that rkfetch there failed with.
    """
    answer = run_on(link, ["convert", *arguments, "--json"], listener)
    path, size_bytes, sha256 = _file_of(answer, link.host)
    made = _made_of(answer, link.host)
    if made["platform"] != platform.value:
        raise IntegrityError(
            f"{link.host.name} made a file for {made['platform']}, not for {platform.value}"
        )

    def describe(facts: RkllmFacts) -> Record:
        if facts.platform not in {None, platform}:
            raise IntegrityError(
                f"what {link.host.name} made is for {facts.platform_text}, not {platform.value}"
            )
        return record_of(
            made,
            facts,
            path=path.rpartition("/")[2],
            sha256=sha256,
            size_bytes=size_bytes,
            endpoint=link.host.address,
        )

    was_here = store.find(sha256) is not None
    installed = bring(
        link,
        store,
        path,
        size_bytes=size_bytes,
        sha256=sha256,
        describe=describe,
        progress=progress,
    )
    return Converted(
        installed=installed, facts=read_file(installed.path), made=made, was_here=was_here
    )


def version_on(link: Ssh) -> str:
    """Return the version of rkfetch there.

    Raises:
        UsageError: it is not there, or does not run; with the command that installs it.
    """
    said = link.run(_FIND)
    match = _VERSION.fullmatch(said.out)
    if said.status == 0 and match is not None:
        return match[1]
    missing = said.status == 127
    raise UsageError(
        f"there is no rkfetch on {link.host.name}"
        if missing
        else f"rkfetch on {link.host.name} does not run",
        cause=() if missing else last_lines(said.err or said.out),
        hint=f"in a checkout of rkfetch {__version__}: {_INSTALL.format(ssh=link.host.command)}",
    )


def run_on(link: Ssh, arguments: Sequence[str], listener: Listener) -> Mapping[str, Any]:
    """Run rkfetch there to its end and return the object that it answers.

    Raises:
        AuthenticationError, NetworkError: the connection broke, which ends it there.
        RkfetchError: it failed, in its own words and of its own class.
    """
    process = link.start(
        _RUN,
        *arguments,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        answer, lines = _hear(process, listener)
        status = process.wait()
    finally:
        end(process)
    text = "\n".join(lines)
    values = _object(answer)
    if values is None and status == SSH_FAILED:
        raise link.failure(text)
    if values is None or (status == 0) != (values.get("status") == "ok"):
        raise RkfetchError(
            f"rkfetch on {link.host.name} ended with status {status} and without an answer",
            cause=last_lines(text),
            hint=f"try by hand: {link.host.command} rkfetch --version",
        )
    if status:
        raise _failure(values.get("error"), status, link.host, lines)
    return values


def _hear(process: subprocess.Popen[bytes], listener: Listener) -> tuple[str, list[str]]:
    """Pass on what a process tells on stderr; return its stdout, and its last plain lines."""
    assert process.stdout is not None
    assert process.stderr is not None
    answer, rest = b"", b""
    lines: list[str] = []
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        selector.register(process.stderr, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select():
                block = os.read(key.fd, _LONGEST_LINE)
                if not block:
                    selector.unregister(key.fileobj)
                elif key.fileobj is process.stdout:
                    # One that is longer is cut off, and so is no object any more.
                    answer = (answer + block)[:_LONGEST_ANSWER]
                    continue
                *whole, rest = (rest + block).split(b"\n")
                if not block or len(rest) > _LONGEST_LINE:
                    whole, rest = [*whole, rest], b""
                for line in whole:
                    lines = _pass_on(line, lines, listener)
    return answer.decode("utf-8", "replace"), lines


def _pass_on(raw: bytes, lines: list[str], listener: Listener) -> list[str]:
    line = raw.decode("utf-8", "replace").strip()
    values = _object(line)
    if values is not None:
        listener.told(values)
    elif line:
        listener.said(line)
        return [*lines[-_KEPT_LINES:], line]
    return lines


def _object(text: str) -> dict[str, Any] | None:
    try:
        values = json.loads(text) if text.lstrip().startswith("{") else None
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def _file_of(answer: Mapping[str, Any], host: RemoteHost) -> tuple[str, int, str]:
    """Return path, size and SHA-256 of the file that an answer names."""
    artifact = answer.get("artifact")
    path = answer.get("path")
    size, sha256 = (
        artifact.get(name) if isinstance(artifact, dict) else None for name in ("bytes", "sha256")
    )
    if (
        not isinstance(path, str)
        or not path.startswith("/")
        or "\0" in path
        or type(size) is not int
        or not 0 < size < 1 << 63
        or not isinstance(sha256, str)
        or not _SHA256.fullmatch(sha256)
    ):
        raise IntegrityError(
            f"rkfetch on {host.name} does not say which file it made",
            hint="it may be another version; have the same one on both machines",
        )
    return path, size, sha256


def _made_of(answer: Mapping[str, Any], host: RemoteHost) -> dict[str, Any]:
    """Return how it was made, as `run.convert` notes it: what is used of it is looked at."""
    try:
        made = answer["made"]
        base = made["base"]
        optional = (base["revision"], base["path"], made["licence"], made["started"])
        texts = (base["model"], *(text for text in optional if text is not None))
        if all(isinstance(t, str) for t in texts) and len(json.dumps(made)) <= _LONGEST_LINE:
            return {
                **made,
                "toolkit": str(Version(made["toolkit"])),
                "platform": Platform(made["platform"]).value,
                "quant": str(Quant.parse(made["quant"])),
                "context": int(made["context"]),
                "npu_cores": int(made["npu_cores"]),
            }
    except (KeyError, TypeError, ValueError, AttributeError, UsageError):
        pass  # as if it had said nothing
    raise IntegrityError(
        f"rkfetch on {host.name} does not say how it made the file",
        hint="it may be another version; have the same one on both machines",
    )


_BY_CODE: dict[int, type[RkfetchError]] = {
    kind.exit_code: kind
    for kind in (
        errors.UsageError,
        errors.IncompatibleError,
        errors.UnknownModelError,
        errors.AuthenticationError,
        errors.NetworkError,
        errors.IntegrityError,
        errors.DiskSpaceError,
        errors.MemoryFitError,
        errors.ConversionUnavailableError,
        errors.OfflineError,
        errors.ConversionError,
    )
}


def _failure(error: Any, status: int, host: RemoteHost, lines: list[str]) -> RkfetchError:
    """Return a failure there as one here, which says where; ``lines`` are what was said before."""
    said = error if isinstance(error, dict) else {}
    message, cause, hint = said.get("message"), said.get("cause"), said.get("hint")
    causes = [line for line in cause if isinstance(line, str)] if isinstance(cause, list) else []
    kind = errors.ConversionError if status == _INTERRUPTED else _BY_CODE.get(status, RkfetchError)
    return kind(
        f"on {host.name}: {message if isinstance(message, str) else f'status {status}'}",
        cause=causes or last_lines("\n".join(lines)),
        hint=f"on {host.name}: {hint}" if isinstance(hint, str) else None,
    )
