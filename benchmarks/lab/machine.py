"""What a figure was measured on: machine, load and versions."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

BIN = Path(sys.executable).parent
_ASKED = {
    "curl": ["curl", "--version"],
    "wget": ["wget", "--version"],
    "aria2c": ["aria2c", "--version"],
    "nginx": ["nginx", "-v"],
    "sha256sum": ["sha256sum", "--version"],
    "rkfetch": [str(BIN / "rkfetch"), "--version"],
}


def described() -> str:
    """Return a few lines about this machine and its programs, and the command that was run."""
    system = f"{platform.system()} {platform.release()}, load {os.getloadavg()[0]:.1f}"
    versions = [f"{name} {_version(command)}" for name, command in _ASKED.items()]
    return "\n".join(
        (
            f"command: python {' '.join(sys.argv)}",
            f"machine: {os.cpu_count()} x {_cpu()}, {_memory_gb():.0f} GB, {system}",
            f"versions: Python {platform.python_version()}, hf {version('huggingface_hub')}, "
            + ", ".join(versions),
            f"checkout: {_checkout()}",
        )
    )


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "Model")):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def _version(command: list[str]) -> str:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    program = shutil.which(command[0], path=path)
    if program is None:
        return "not installed"
    done = subprocess.run([program, *command[1:]], check=False, capture_output=True, text=True)
    first = (done.stdout or done.stderr).partition("\n")[0]
    number = next((word for word in first.replace("/", " ").split() if word[:1].isdigit()), first)
    return number.rstrip(",")


def _checkout() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"
