"""``rkfetch browse``: the catalog as a page, with this machine's board and models filled in."""

from __future__ import annotations

import functools
import select
import signal
import sys
import threading
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import rkfetch
from rkfetch.registry.errors import UsageError

from . import options
from .opening import open_catalog
from .output import emit, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rkfetch.catalog.browsing.server import PageServer
    from rkfetch.catalog.browsing.tables import Build
    from rkfetch.registry.model import Target


_RUN = "import sys; sys.path[0] = sys.argv.pop(1); from rkfetch.cli.main import main; main()"
"""In place of the current folder, whose files are none of ours, comes the one rkfetch lies in."""


def browse_command(
    *,
    port: Annotated[
        int,
        typer.Option("--port", metavar="N", min=0, max=65535, help="Where to serve it; 0 is any."),
    ] = 0,
    opens: Annotated[
        bool,
        typer.Option(
            "--open/--no-open", help="Open it in this machine's browser, where there is a screen."
        ),
    ] = True,
    platform: options.PlatformOption = None,
    runtime: options.RuntimeOption = None,
    driver: options.DriverOption = None,
    memory: options.MemoryOption = None,
    sysroot: options.SysrootOption = "/",
    quiet: options.QuietOption = False,
) -> None:
    """Browse the catalog in a web browser: what this board can run, how well, and how we know.

    The page is served to this machine alone, until Ctrl-C, and asks no network; its Fetch buttons
    do what `rkfetch fetch` does. Prints its address. Over ssh, carry the port to your own machine:
    `ssh -t -L 8787:127.0.0.1:8787 user@board rkfetch browse --port 8787`.

    \b
    Examples:
      rkfetch browse
      rkfetch browse --port 8787 --no-open
      rkfetch browse --platform rk3588 --runtime 1.2.1 --memory 16G
    """
    from rkfetch.catalog.browsing.builds import builds_of
    from rkfetch.catalog.browsing.server import PageServer
    from rkfetch.catalog.browsing.site import About, site

    target = options.make_target(
        platform=platform,
        runtime=runtime,
        driver=driver,
        memory=memory,
        context=None,
        sysroot=sysroot,
    )
    with open_catalog(quiet=quiet) as catalog:
        builds = builds_of(catalog)
        as_of = catalog.as_of()
    installed = functools.partial(_installed, builds)
    about = About(
        name="rkfetch",
        date=(as_of or datetime.now(timezone.utc)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        here={**_here(target), "installed": installed()},
    )
    try:
        server = PageServer(
            site(about, builds, target),
            references=[reference_of(build) for build in builds],
            command=lambda reference: _fetch_command(reference, target),
            installed=installed,
            port=port,
        )
    except OSError as error:
        raise UsageError(
            f"port {port} cannot be served", cause=[str(error)], hint="name another with --port"
        ) from error
    with server:
        emit(server.address)
        sys.stdout.flush()
        if opens:
            threading.Thread(
                target=_open, args=(server.address_for_once,), kwargs={"quiet": quiet}, daemon=True
            ).start()
        if not quiet:
            say("Ctrl-C ends it")
        _serve(server, quiet=quiet)


def _serve(server: PageServer, *, quiet: bool) -> None:
    """Answer until Ctrl-C, or until the terminal or the ssh that it was started from is gone."""
    from .main import Interrupted

    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, signal.getsignal(signal.SIGTERM))
    with suppress(Interrupted):
        server.serve(_is_read)
    if server.jobs.going and not quiet:
        say("stopping what is being fetched; what has come is kept, and used the next time")


def _is_read() -> bool:
    """Tell whether somebody can still read what this prints."""
    waiting = select.poll()
    waiting.register(1, 0)
    return not waiting.poll(0)


def reference_of(build: Build) -> str:
    """Return the reference that the page names a build by."""
    from rkfetch.catalog.models import exactly

    return exactly(build.artifact.source, build.artifact.name)


def _here(target: Target) -> dict[str, Any]:
    """Return what the page knows of this machine."""
    memory = target.memory_bytes
    return {
        "platform": target.platform.value,
        "runtime": str(target.runtime) if target.runtime else None,
        "driver": str(target.driver) if target.driver else None,
        "memory": f"{memory / 2**30:.3f}" if memory else None,
    }


def _installed(builds: Sequence[Build]) -> list[str]:
    """Return what of the page is on this machine by now."""
    from rkfetch.registry.store import Store, home

    digests = set(Store(home()).digests())
    return [reference_of(build) for build in builds if build.artifact.sha256 in digests]


def _fetch_command(reference: str, target: Target) -> list[str]:
    """Return the command line that fetches a build for the board that the page was opened for."""
    given = {
        "--platform": target.platform.value,
        "--runtime": target.runtime,
        "--driver": target.driver,
        "--memory": target.memory_bytes,
    }
    told = [text for name, value in given.items() if value for text in (name, str(value))]
    (folder, *_) = rkfetch.__path__
    return [
        sys.executable,
        "-c",
        _RUN,
        str(Path(folder).parent),
        "fetch",
        reference,
        "--json",
        *told,
    ]


def _open(address: str, *, quiet: bool) -> None:
    """Open a browser, where there is a screen."""
    import os
    import webbrowser

    has_screen = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    if not (has_screen and webbrowser.open(address)) and not quiet:
        say("open this address in a browser")
