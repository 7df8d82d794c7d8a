"""Which commands there are, and how a command line is understood as one of them."""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import TYPE_CHECKING, Annotated

import typer

from rkfetch.registry.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = {
    # name: (module of this package, function)
    "fetch": ("fetch", "fetch_command"),
    "resolve": ("fetch", "resolve_command"),
    "explain": ("fetch", "explain_command"),
    "search": ("catalog", "search_command"),
    "show": ("catalog", "show_command"),
    "inspect": ("inspect", "inspect_command"),
    "doctor": ("doctor", "doctor_command"),
    "list": ("store", "list_command"),
    "path": ("store", "path_command"),
    "verify": ("store", "verify_command"),
    "rm": ("store", "rm_command"),
    "gc": ("store", "gc_command"),
}
GROUPS = {
    "catalog": {
        "status": ("catalog", "status_command"),
        "update": ("catalog", "update_command"),
        "guess": ("catalog", "guess_command"),
    }
}

_OWN_OPTIONS = {"--help", "-h", "--version", "--install-completion", "--show-completion"}

_HELP = """Put the .rkllm model on your Rockchip board that its runtime will load.

`rkfetch MODEL` finds the best compatible prebuilt file, downloads it with resume, verifies it
and prints its path. On a board, its SoC, runtime, driver and memory are detected.

\b
Examples:
  rkfetch qwen2.5-1.5b --runtime 1.2.3
  rkfetch explain qwen3-4b --runtime 1.2.3 --memory 8G
  rkfetch qwen2.5-1.5b@w8a8 --runtime 1.2.3 -o /opt/models
  rkfetch hf:OWNER/REPO/FILE.rkllm --runtime 1.2.3
"""
_EPILOG = """`rkfetch COMMAND --help` explains a command. --debug with any command shows full
details of a failure."""
_CATALOG_HELP = "What rkfetch knows about uploads: how old it is, news, and what names alone tell."


def with_default_command(args: list[str]) -> list[str]:
    """Make ``rkfetch MODEL`` mean ``rkfetch fetch MODEL``.

    Raises:
        UsageError: the first word is a misspelt command.
    """
    if not args or args[0] in COMMANDS or args[0] in GROUPS:
        return args
    first = args[0]
    if first.startswith("-"):
        return args if first in _OWN_OPTIONS else ["fetch", *args]
    near = difflib.get_close_matches(first, [*COMMANDS, *GROUPS], n=1, cutoff=0.75)
    if near and not any(c.isdigit() for c in first):
        raise UsageError(
            f"there is no command '{first}'",
            hint=f"did you mean `rkfetch {near[0]}`? If it is a model: `rkfetch fetch {first}`",
        )
    return ["fetch", *args]


def build_app(args: Sequence[str] = ()) -> typer.Typer:
    """Build the command line; with ``args`` that name a command, only that one is imported.

    A board's core is slow: the other commands' modules would cost more than the command itself.
    """
    app = typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        # Plain help: rich costs as much again as everything else together.
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(help=_HELP, epilog=_EPILOG)(_root)
    named = args[0] if args and (args[0] in COMMANDS or args[0] in GROUPS) else None
    for name, entry in COMMANDS.items():
        if named in {None, name}:
            _register(app, name, entry)
    for group, commands in GROUPS.items():
        if named in {None, group}:
            sub = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
            for name, entry in commands.items():
                _register(sub, name, entry)
            app.add_typer(sub, name=group, help=_CATALOG_HELP)
    return app


def _register(app: typer.Typer, name: str, entry: tuple[str, str]) -> None:
    module, function = entry
    app.command(name)(getattr(import_module(f"rkfetch.cli.{module}"), function))


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"rkfetch {version('rkfetch')}")
        raise typer.Exit


def _root(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    del version  # its callback has done the work
