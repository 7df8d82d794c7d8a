"""The ``rkfetch`` command's frame: the one place where errors and signals meet people."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from rkfetch import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import FrameType

    from rkfetch.registry.errors import RkfetchError

INTERRUPTED = 130
USAGE = 2
_PATIENCE_S = 1.0


class Interrupted(BaseException):
    """A signal asked the program to stop; raised in the main thread, wherever it is."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; every way out is an exit code of the documented table."""
    args = list(sys.argv[1:] if argv is None else argv)
    if args == ["--version"]:
        # Asked by every set-up script; it need not load the command line.
        sys.stdout.write(f"rkfetch {__version__}\n")
        return
    _keep_standard_numbers()
    debug = "--debug" in args or bool(os.environ.get("RKFETCH_DEBUG"))
    with _signals():
        code = _run([a for a in args if a != "--debug"], debug=debug)
    raise SystemExit(code)


def _keep_standard_numbers() -> None:
    """Let no file get the number of a closed stdin, stdout or stderr: others write to those."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:  # open takes the lowest that is free
        pass
    os.close(number)


def _run(args: list[str], *, debug: bool) -> int:
    from rkfetch.registry.errors import RkfetchError

    from .app import build_app, with_default_command
    from .output import say

    try:
        args = with_default_command(args)
        _say_what_is_not_understood(args)
        build_app(args)(args, prog_name="rkfetch")
    except SystemExit as stop:
        return _stopped(stop, args)
    except Interrupted as stop:
        goes_on = "the same command goes on with what is there"
        say(f"interrupted ({stop.name}); {goes_on}")
        _answer_failure(args, INTERRUPTED, "interrupted", f"interrupted by {stop.name}", goes_on)
        return INTERRUPTED
    except RkfetchError as error:
        return _report(error, args, debug=debug)
    except Exception as error:  # noqa: BLE001 - the last line before the user
        unexpected = RkfetchError(
            f"unexpected {type(error).__name__}: {error}",
            hint="this is a bug in rkfetch; run it again with --debug and report what is printed",
        )
        return _report(unexpected, args, debug=debug)
    return 0


def _say_what_is_not_understood(args: Sequence[str]) -> None:
    """Name what stands in ``config.toml`` for a newer rkfetch, or by mistake."""
    from rkfetch.registry.settings import unknown_keys

    from .output import say_wrapped

    if {"--json", "--quiet", "-q"}.isdisjoint(args) and args[:1] != ["doctor"]:
        for sentence in unknown_keys():
            say_wrapped(sentence, lead="note: ")


def _stopped(stop: SystemExit, args: Sequence[str]) -> int:
    """Return the exit code of a command that ended itself, or that typer did not understand."""
    code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    if code == USAGE:
        message = "the command line cannot be understood; stderr says why"
        _answer_failure(args, USAGE, "usage", message, None)
    return code


def _answer_failure(
    args: Sequence[str], code: int, kind: str, message: str, hint: str | None
) -> None:
    """With ``--json``, answer for a failure that is none of our errors."""
    if "--json" not in args or sys.stdout is None:
        return
    from .output import emit_json

    error = {"code": code, "kind": kind, "message": message, "cause": [], "hint": hint}
    emit_json({**_asked(args), "status": "error", "error": error})


def _asked(args: Sequence[str]) -> Mapping[str, Any]:
    """Return the keys that an answer to this command line always has."""
    from .answers import question_json

    asked = next((a for a in args[1:] if not a.startswith("-")), None)
    return question_json(asked) if args[0] in {"fetch", "resolve"} else {}


def _report(error: RkfetchError, args: Sequence[str], *, debug: bool) -> int:
    """Show an error (with ``--json`` as the answer, too) and return its exit code."""
    from .output import emit_json, error_json, safe, say, say_error

    if debug:
        import traceback

        for line in traceback.format_exc().splitlines():
            say(safe(line, limit=2000))
    if "--json" in args and sys.stdout is not None:
        emit_json({**(error.answer or _asked(args)), "status": "error", "error": error_json(error)})
    say_error(error)
    return error.exit_code


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """Turn SIGINT and SIGTERM into one exception, so that partial data is put in order.

    That takes as long as the disk does, which cannot be interrupted and is said.
    """
    import threading

    from .output import say

    waiting = "stopping once the disk has answered; what was downloaded is kept"
    patience = threading.Timer(_PATIENCE_S, say, [waiting])
    patience.daemon = True

    def stop(number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(RuntimeError):  # it was started by an earlier signal
            patience.start()
        raise Interrupted(signal.Signals(number).name)

    before = {}
    with contextlib.suppress(ValueError):  # not the main thread: signals are not ours
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        patience.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)
