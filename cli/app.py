"""Which commands there are, and how a command line is understood as one of them."""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rkfetch import __version__
from rkfetch.registry.errors import UsageError

from .options import Fixed

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = {
    # name: (module of this package, function, its line in the list of commands)
    "fetch": ("fetch", "fetch_command", "Get a model: find, download, verify, print its path."),
    "resolve": ("fetch", "resolve_command", "Say which build `rkfetch MODEL` would take."),
    "explain": ("fetch", "explain_command", "Show every build with its verdict and reasons."),
    "convert": ("convert", "convert_command", "Make a build that nobody has published."),
    "push": ("push", "push_command", "Put a model on a board that has nothing but ssh or adb."),
    "search": ("search", "search_command", "Find builds; those that fit your board first."),
    "browse": ("browse", "browse_command", "See all of it as a page in a web browser."),
    "show": ("catalog_show", "show_command", "Show what is known about a model, and how."),
    "inspect": ("inspect", "inspect_command", "Read what an .rkllm file says about itself."),
    "doctor": ("doctor", "doctor_command", "Show what this board is, and what is wrong."),
    "diagnose": ("diagnose", "diagnose_command", "Say what a runtime's log means."),
    "lock": ("lock", "lock_command", "Write down which file each board of a set-up gets."),
    "sync": ("sync", "sync_command", "Make this board have what its lock file says."),
    "list": ("store", "list_command", "List the models on this machine."),
    "path": ("store", "path_command", "Print the path of an installed model."),
    "import": ("imports", "import_command", "Take model files or an export into the store."),
    "export": ("export", "export_command", "Put models into a folder or a tar file to carry."),
    "verify": ("store", "verify_command", "Check installed models byte for byte."),
    "outdated": ("outdated", "outdated_command", "Say which installed models to update."),
    "rm": ("store", "rm_command", "Remove installed models."),
    "gc": ("store", "gc_command", "Remove stale partial downloads and leftovers."),
}
GROUPS = {
    "catalog": {
        "status": ("catalog", "status_command", "Show how old the catalog is, and its sources."),
        "update": ("update", "update_command", "Look for new uploads, or take a catalog in."),
        "scan": ("scan", "scan_command", "Know the models in folders of this machine."),
        "publish": ("catalog_publish", "publish_command", "Share the catalog with others."),
        "keygen": ("catalog_publish", "keygen_command", "Make a key to sign it with."),
        "guess": ("catalog", "guess_command", "Tell what names alone say."),
        "conflicts": (
            "catalog_conflicts",
            "conflicts_command",
            "List labels that are wrong.",
        ),
        "add": ("catalog_add", "add_command", "Record that a file works or fails."),
        "remove": ("catalog_additions", "remove_command", "Take back what was recorded."),
        "additions": ("catalog_additions", "additions_command", "List and exchange the records."),
        "report": ("catalog_report", "report_command", "Learn from a runtime's load log."),
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
details of a failure. Options that name a variable can be fixed in config.toml, too;
`rkfetch doctor` shows where that is, and what is set."""
_CATALOG_HELP = "What rkfetch knows about uploads."


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
    fixed = Fixed()
    defaults: dict[str, Any] = dict.fromkeys(COMMANDS, fixed)
    defaults |= {group: dict.fromkeys(commands, fixed) for group, commands in GROUPS.items()}
    app = typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        # Plain help: rich costs as much again as everything else together.
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"], "default_map": defaults},
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


def _register(app: typer.Typer, name: str, entry: tuple[str, str, str]) -> None:
    module, function, line = entry
    defined = import_module(f"rkfetch.cli.{module}")
    kind = defined.ListsSources if name == "update" else None
    app.command(name, short_help=line, cls=kind)(getattr(defined, function))


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rkfetch {__version__}")
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
