"""Real TCP over a bad link, without netem: two namespaces and a forwarder in user space.

Each namespace has a TUN device of MTU 1500; `forward.py` holds their other ends and passes the
packets on with a delay, random loss from the server to the client, and a rate. Needs root.
"""

from __future__ import annotations

import fcntl
import json
import os
import struct
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVER, CLIENT = "10.99.0.1", "10.99.0.2"
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_FORWARD = Path(__file__).parent / "forward.py"


@dataclass(slots=True, kw_only=True)
class Link:
    """A link that is up."""

    server: tuple[str, ...]
    """A command's beginning that runs it where the server is."""
    client: tuple[str, ...]
    rtt_ms: float
    loss_percent: float
    rate_mbit: float
    congestion: str
    """Of the server, which sends the data."""

    def __str__(self) -> str:
        rate = f"{self.rate_mbit:g} Mbit/s" if self.rate_mbit else "no rate limit"
        return (
            f"RTT {self.rtt_ms:g} ms, {self.loss_percent:g} % loss towards the client, {rate}, "
            f"server sends with {self.congestion}"
        )


@contextmanager
def link(
    *, rtt_ms: float, loss_percent: float, rate_mbit: float = 0, congestion: str | None = None
) -> Iterator[Link]:
    """Set up a link, and take it away when the block is left.

    A rate has a queue of one round trip, at least 50 ms. ``congestion`` is the server's congestion
    control; by default the kernel's.
    """
    if os.geteuid() != 0:
        raise SystemExit("network namespaces need root")
    names = {SERVER: f"rkfetch-s{os.getpid()}", CLIENT: f"rkfetch-c{os.getpid()}"}
    with ExitStack() as stack:
        ends = [
            _end(stack, names[address], device_of(address), address) for address in (SERVER, CLIENT)
        ]
        inside = {address: ("ip", "netns", "exec", name) for address, name in names.items()}
        if congestion is not None:
            # Not by sysctl: a namespace may set only what the host allows to everybody.
            route = ["10.99.0.0/24", "dev", device_of(SERVER), "src", SERVER]
            _do("ip", "-n", names[SERVER], "route", "replace", *route, "congctl", congestion)
        _forwarding(stack, ends, rtt_ms, loss_percent, rate_mbit)
        yield Link(
            server=inside[SERVER],
            client=inside[CLIENT],
            rtt_ms=rtt_ms,
            loss_percent=loss_percent,
            rate_mbit=rate_mbit,
            congestion=congestion or _default(inside[SERVER]),
        )


def device_of(address: str) -> str:
    """Return the name of the device that has an address of the link."""
    return f"rk{address.rpartition('.')[2]}-{os.getpid()}"


def _default(inside: tuple[str, ...]) -> str:
    setting = [*inside, "sysctl", "-n", "net.ipv4.tcp_congestion_control"]
    return subprocess.run(setting, check=True, capture_output=True, text=True).stdout.strip()


def _end(stack: ExitStack, name: str, device: str, address: str) -> int:
    """Make a namespace with one end of the link; return the device's descriptor."""
    _do("ip", "netns", "add", name)
    stack.callback(_do, "ip", "netns", "del", name)
    handle = os.open("/dev/net/tun", os.O_RDWR)
    stack.callback(os.close, handle)
    request = struct.pack("16sH22x", device.encode(), _IFF_TUN | _IFF_NO_PI)
    fcntl.ioctl(handle, _TUNSETIFF, request)
    _do("ip", "link", "set", device, "netns", name)
    _do("ip", "-n", name, "address", "add", f"{address}/24", "dev", device)
    # A long queue: what the forwarder cannot take at once must not count as the link's loss.
    _do("ip", "-n", name, "link", "set", device, "mtu", "1500", "txqueuelen", "20000", "up")
    _do("ip", "-n", name, "link", "set", "lo", "up")
    # Each connection begins without what the kernel remembers of the last one.
    _do("ip", "netns", "exec", name, "sysctl", "-q", "-w", "net.ipv4.tcp_no_metrics_save=1")
    return handle


def _forwarding(
    stack: ExitStack, ends: list[int], rtt_ms: float, loss_percent: float, rate_mbit: float
) -> None:
    rate = rate_mbit * 1e6 / 8
    arguments = {
        "--delay-s": rtt_ms / 2000,
        "--loss": loss_percent / 100,
        "--rate": rate,
        "--queue": int(rate * max(rtt_ms, 50) / 1000),
    }
    command = [sys.executable, "-I", str(_FORWARD), *map(str, ends)]
    for option, value in arguments.items():
        command += [option, str(value)]
    forwarder = subprocess.Popen(
        command, pass_fds=ends, stdout=subprocess.PIPE, text=True, start_new_session=True
    )

    def stop() -> None:
        forwarder.terminate()
        out, _ = forwarder.communicate()
        told = json.loads(out or "{}")
        print("  link:", "; ".join(f"{way} {counts}" for way, counts in told.items()), flush=True)

    stack.callback(stop)


def _do(*command: str) -> None:
    subprocess.run(command, check=True)
