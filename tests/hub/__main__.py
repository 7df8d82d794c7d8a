"""Run the loopback Hub by hand, from the project's top.

``python tests/hub -- rkfetch qwen2.5-1.5b --runtime 1.2.3`` shows the whole job against
synthetic files; ``python tests/hub`` alone serves until Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

if not __package__:
    # Started as a folder: what is on the path then is this folder, not the one around it.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from hub.faults import Fault, named_faults
from hub.server import Hub

if TYPE_CHECKING:
    from collections.abc import Sequence

TOKEN = "hf_good"


def main(argv: Sequence[str]) -> int:
    """Serve, run the command after ``--`` if there is one, and give back its exit code."""
    split = argv.index("--") if "--" in argv else len(argv)
    options, command = _parser().parse_args(argv[:split]), argv[split + 1 :]
    with ExitStack() as stack:
        hub = stack.enter_context(Hub())
        hub.tokens.add(TOKEN, user="you")
        size = options.size_mb * 1_000_000
        hub.serve_snapshot(big_bytes=size or None, big=options.big)
        home = options.home or stack.enter_context(tempfile.TemporaryDirectory(prefix="rkfetch-"))
        Path(home).mkdir(parents=True, exist_ok=True)
        changes = _environment(hub, Path(home).absolute())
        environment = {**os.environ, **changes}
        environment.pop("HUGGING_FACE_HUB_TOKEN", None)
        if command:
            _update_catalog(environment)
        _break(hub, options, size or 65536)
        if command:
            return _run(command, environment)
        _serve(changes)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python tests/hub",
        usage="%(prog)s [options] [-- COMMAND ...]",
        description="A Hub on this machine, filled with small synthetic models.",
        epilog="example: python tests/hub -- rkfetch qwen2.5-1.5b --runtime 1.2.3",
    )
    parser.add_argument("--size-mb", type=int, default=0, metavar="N", help="make big files so big")
    parser.add_argument(
        "--big",
        default="*Qwen2.5-1.5B*RK3576*",
        metavar="GLOB",
        help="which files are big, as OWNER/NAME/path (default: %(default)s)",
    )
    parser.add_argument(
        "--slow", type=float, metavar="BYTES/S", help="speed of each connection for model files"
    )
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        choices=[*named_faults(1), "gated"],
        help="misbehave (may be repeated)",
    )
    parser.add_argument(
        "--home", metavar="DIR", help="keep RKFETCH_HOME there (default: a temporary folder)"
    )
    return parser


def _environment(hub: Hub, home: Path) -> dict[str, str]:
    return {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(home / "huggingface"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
        "MODELSCOPE_ENDPOINT": hub.modelscope.url,
        # A real token has no business here, and the Hub would refuse one that it does not know.
        "HF_TOKEN": "",
        "NO_PROXY": ",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1"])),
        "PATH": os.pathsep.join([os.environ.get("PATH", ""), str(Path(sys.executable).parent)]),
        "RKFETCH_HOME": str(home / "rkfetch"),
    }


def _update_catalog(environment: dict[str, str]) -> None:
    """Let the catalog learn the digests of the synthetic files."""
    rkfetch = shutil.which("rkfetch", path=environment["PATH"])
    if rkfetch is None:
        _say("rkfetch was not found, so its catalog was not updated")
        return
    update = [rkfetch, "catalog", "update"]
    result = subprocess.run(update, env=environment, capture_output=True, text=True, check=False)
    if result.returncode:
        _say(f"`rkfetch catalog update` ended with {result.returncode}:\n{result.stderr}")


def _break(hub: Hub, options: argparse.Namespace, size_bytes: int) -> None:
    for name in options.fault:
        if name == "gated":
            for repo in hub.repos:
                repo.gated = "auto"
            _say(f"every repository is gated; HF_TOKEN={TOKEN} opens them")
        else:
            hub.break_it(*named_faults(size_bytes)[name])
    if options.slow:
        hub.break_it(Fault(path="*.rk[ln]*", rate=options.slow))


def _run(command: Sequence[str], environment: dict[str, str]) -> int:
    executable = shutil.which(command[0], path=environment["PATH"])
    if executable is None:
        _say(f"{command[0]}: command not found")
        return 127
    with subprocess.Popen([executable, *command[1:]], env=environment) as process:
        while True:
            try:
                code = process.wait()
            except KeyboardInterrupt:
                continue  # the terminal told the command as well; how it ends is up to it
            return code if code >= 0 else 128 - code


def _serve(changes: dict[str, str]) -> None:
    for name, value in changes.items():
        if name != "PATH":
            print(f"export {name}={shlex.quote(value)}")
    print("rkfetch catalog update", flush=True)
    _say("serving until Ctrl-C; the lines above, in another shell, lead rkfetch here")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        return


def _say(text: str) -> None:
    print(f"hub: {text}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
