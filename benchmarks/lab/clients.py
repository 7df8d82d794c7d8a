"""The downloaders that are compared, each as the command that a user would run."""

from __future__ import annotations

import shlex
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from .machine import BIN
from .measure import Row, run
from .sample import FILE, REPO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from .measure import Cost
    from .origin import Origin
    from .sample import Sample

_HERE = Path(__file__).parent
REFERENCE = f"hf:{REPO}/{FILE}"
TARGET = ("--platform", "rk3576", "--runtime", "1.2.3")


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One way to get the file into a folder."""

    name: str
    command: Callable[[Origin, Path], list[str]]
    verifies: bool = False
    """It prints the path of a file that it has verified."""
    then: tuple[tuple[str, ...], ...] = ()
    """Commands that follow a good download; ``{file}`` and ``{sha256}`` are filled in."""

    @property
    def program(self) -> str | None:
        """Where the program is; None if it is not installed."""
        return shutil.which(self.command(_NOWHERE, Path())[0])

    def environment(self, origin: Origin, folder: Path) -> dict[str, str]:
        """Return what its environment needs: the Hub, and homes of its own."""
        return {
            "HF_ENDPOINT": origin.endpoint,
            "RKFETCH_HOME": str(folder / "home"),
            "HF_HOME": str(folder / "hf"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_TOKEN": "",
            "HF_HUB_OFFLINE": "0",
            "no_proxy": "*",
        }

    def whole_command(self, origin: Origin, folder: Path, sample: Sample) -> list[str]:
        """Return the command with what follows it."""
        first = self.command(origin, folder)
        if not self.then:
            return first
        facts = {"file": str(folder / FILE), "sha256": sample.sha256}
        then = [[word.format(**facts) for word in command] for command in self.then]
        return ["sh", "-c", " && ".join(map(shlex.join, [first, *then]))]

    def fetch(
        self,
        origin: Origin,
        folder: Path,
        sample: Sample,
        *,
        timeout_s: float = 3600,
        inside: Sequence[str] = (),
    ) -> Cost:
        """Run it once into an empty folder."""
        return run(
            [*inside, *self.whole_command(origin, folder, sample)],
            environment=self.environment(origin, folder),
            where=folder,
            timeout_s=timeout_s,
        )

    def result(self, folder: Path, cost: Cost) -> Path:
        """Return where the file is after a good run."""
        return Path(cost.stdout.strip() or "nowhere") if self.verifies else folder / FILE


def _rkfetch(_origin: Origin, _folder: Path) -> list[str]:
    return [str(BIN / "rkfetch"), REFERENCE, *TARGET, "--quiet"]


def _engine(_origin: Origin, folder: Path) -> list[str]:
    return [sys.executable, str(_HERE / "engine.py"), str(folder / "home"), REPO, FILE]


def _curl(origin: Origin, _folder: Path) -> list[str]:
    return ["curl", "-sSfL", "-o", FILE, origin.url]


def _wget(origin: Origin, _folder: Path) -> list[str]:
    return ["wget", "-q", "-O", FILE, origin.url]


def _aria2c(origin: Origin, _folder: Path) -> list[str]:
    # Without this, it fills the whole file with zeros first.
    options = ["--no-conf", "-q", "-x8", "-s8", "-k1M", "--file-allocation=none"]
    return ["aria2c", *options, "-o", FILE, origin.url]


def _hf(_origin: Origin, folder: Path) -> list[str]:
    return [str(BIN / "hf"), "download", REPO, FILE, "--local-dir", str(folder), "--quiet"]


class _Nowhere:
    """Stands for an origin where only the program's name is asked for."""

    endpoint = url = ""


_NOWHERE: Origin = _Nowhere()  # type: ignore[assignment]

RKFETCH = Client(name="rkfetch", command=_rkfetch, verifies=True)
ENGINE = Client(name="rkfetch, engine alone", command=_engine, verifies=True)
CURL = Client(name="curl", command=_curl)
WGET = Client(name="wget", command=_wget)
ARIA2C = Client(name="aria2c -x8 -s8 -k1M", command=_aria2c)
HF = Client(name="hf download", command=_hf)
PEERS = (CURL, WGET, ARIA2C, HF)

SHA256SUM = ("sh", "-c", 'echo "{sha256}  {file}" | sha256sum --check --status')
FAST_HASH = (sys.executable, str(_HERE / "sample.py"), "{file}", "{sha256}")


def followed_by(client: Client, name: str, *command: str) -> Client:
    """Return a client that runs a command after the download."""
    return replace(client, name=f"{client.name} + {name}", then=(*client.then, command))


def chosen(clients: Iterable[Client], only: str | None) -> list[Client]:
    """Return the clients that ``--only`` names (parts of names, with commas), rkfetch always."""
    words = [word.strip() for word in (only or "").split(",") if word.strip()]
    return [c for c in clients if c is RKFETCH or not words or any(w in c.name for w in words)]


def compare(
    clients: Sequence[Client],
    origin: Origin,
    sample: Sample,
    *,
    runs: int,
    folder_of: Callable[[], Path],
    remove: Callable[[Path], None],
    timeout_s: float = 3600,
    inside: Sequence[str] = (),
    check_every_run: bool = False,
) -> list[Row]:
    """Run the clients in turn, so that a drifting machine hits all alike; the first is the base.

    What arrived is compared with the original in the first round, or in each.
    """
    rows = [Row(name=client.name) for client in clients]
    for number in range(runs):
        base: float | None = None
        for client, row in zip(clients, rows, strict=True):
            if client.program is None:
                row.note("not installed")
                continue
            folder = folder_of()
            try:
                cost = client.fetch(origin, folder, sample, timeout_s=timeout_s, inside=inside)
                complaint = _complaint(
                    client, cost, folder, sample, look=check_every_run or number == 0
                )
            finally:
                remove(folder)
            if complaint is not None:
                row.note(complaint)
                continue
            row.costs.append(cost)
            base = cost.wall_s if client is clients[0] else base
            if base is not None:
                row.against.append(cost.wall_s / base)
    return rows


def _complaint(
    client: Client, cost: Cost, folder: Path, sample: Sample, *, look: bool
) -> str | None:
    if cost.exit_code is None:
        return f"not done in {cost.wall_s:.0f} s"
    if cost.exit_code:
        last = (cost.stderr.strip().splitlines() or [""])[-1][:120]
        return f"exit {cost.exit_code}: {last}"
    if look and not sample.is_at(client.result(folder, cost)):
        return "exit 0, but the file is wrong"
    return None
