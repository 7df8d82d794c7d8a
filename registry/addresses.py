"""Decide what may be asked of which address: where a redirect may lead, where a token may go."""

from __future__ import annotations

import ipaddress
import socket
from enum import IntEnum
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from . import settings
from .errors import NetworkError

if TYPE_CHECKING:
    from urllib.parse import SplitResult

_PORTS = {"http": 80, "https": 443}

_METADATA = {
    ipaddress.ip_address("169.254.169.254"),  # nearly every cloud
    ipaddress.ip_address("fd00:ec2::254"),  # AWS over IPv6
    ipaddress.ip_address("100.100.100.200"),  # Alibaba Cloud
    ipaddress.ip_address("168.63.129.16"),  # Azure's host agent
}
"""Addresses at which a cloud tells its secrets to the machine that asks."""

_ASTRAY_HINT = (
    "a network that wants a login does this: open a web page; else name a mirror with HF_ENDPOINT"
)

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class Reach(IntEnum):
    """How close to this machine an address is; a redirect may lead away from it, never nearer."""

    PUBLIC = 0
    PRIVATE = 1
    LOOPBACK = 2
    FORBIDDEN = 3
    """Link-local and cloud metadata addresses: never asked on the word of a redirect."""


def impossible(url: str) -> NetworkError:
    """Return the error for what is no address."""
    return NetworkError(
        f"'{_without_secrets(url)[:200]}' is not an address that can be asked",
        hint="it comes from a server, or from HF_ENDPOINT: see whether that is the one you mean",
    )


def _without_secrets(url: str) -> str:
    scheme, slashes, rest = url.partition("?")[0].partition("//")
    place, slash, path = rest.partition("/")
    return f"{scheme}{slashes}{place.rpartition('@')[2]}{slash}{path}"


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError as error:
        raise impossible(url) from error


def host(url: str) -> str:
    """Return host and port as the URL has them; raises `NetworkError` if it is no URL."""
    return _split(url).netloc.rpartition("@")[2]


def shown(url: str) -> str:
    """Shorten a URL for a message: without user, query and fragment, which may hold secrets."""
    parts = _split(url)
    return f"{parts.scheme}://{host(url)}{parts.path}"


def origin(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port, as browsers compare them.

    Raises:
        NetworkError: the URL has no host or no valid port.
    """
    parts = _split(url)
    try:
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        port = 0
    if not parts.hostname or not port:
        raise impossible(url)
    return parts.scheme, parts.hostname.rstrip("."), port


def token_fits(endpoint: str) -> bool:
    """Tell whether a Hugging Face token may be sent to an endpoint.

    It may go to huggingface.co and its subdomains over TLS, and to this machine. A mirror of
    another domain gets it only if the user opted in with ``RKFETCH_TOKEN_TO_MIRROR=1``.
    """
    if settings.value("token_to_mirror"):
        return True
    scheme, name, _ = origin(endpoint)
    if name == "localhost" or _nearest(_lookup(name, socket.AI_NUMERICHOST)) is Reach.LOOPBACK:
        return True
    return scheme == "https" and (name == "huggingface.co" or name.endswith(".huggingface.co"))


def follow(url: str, location: str, *, resolve_names: bool = True) -> str:
    """Return where a redirect leads, as an absolute URL.

    Without ``resolve_names`` (a proxy does that) only addresses that are written out are judged
    by where they lie.

    Raises:
        NetworkError: it leads where no redirect may: to another scheme than HTTP, from TLS to
            plain text, or nearer to this machine than the address that sent it.
    """
    try:
        target = urljoin(url, location.strip())
        scheme, place, *_ = urlsplit(target)
        if scheme in _PORTS:
            origin(target)
    except (ValueError, NetworkError) as error:
        raise _refused(url, location, "is not an address") from error
    if scheme not in _PORTS:
        raise _refused(url, location, "is not http or https")
    if not place.isprintable():
        raise _refused(url, location, "is not an address")
    if origin(target) == origin(url):
        return target
    if scheme == "http" and urlsplit(url).scheme == "https":
        raise _refused(url, location, "would give up encryption")
    here = _reach(origin(url)[1], by_name=resolve_names)
    there = _reach(origin(target)[1], by_name=resolve_names, is_target=True)
    if there is Reach.FORBIDDEN or there > here:
        raise _refused(url, location, "lies in a network that a redirect must not reach into")
    return target


def led_astray(url: str) -> NetworkError:
    """Return the error for a redirect whose target httpx cannot even read."""
    return NetworkError(
        f"a redirect of {host(url)} was refused",
        cause=["its target is not an address"],
        hint=_ASTRAY_HINT,
    )


def _refused(url: str, location: str, why: str) -> NetworkError:
    shown_target = location.split("?", maxsplit=1)[0][:200]
    shown_target = "".join(c if c.isprintable() else "\ufffd" for c in shown_target)
    return NetworkError(
        f"a redirect of {host(url)} was refused",
        cause=[f"its target '{shown_target}' {why}"],
        hint=_ASTRAY_HINT,
    )


def _reach(name: str, *, by_name: bool, is_target: bool = False) -> Reach:
    written = _lookup(name, socket.AI_NUMERICHOST)
    if written:
        return _nearest(written)
    if name == "localhost" or name.endswith(".localhost"):
        return Reach.LOOPBACK
    if name == "metadata.google.internal":
        return Reach.FORBIDDEN
    found = _nearest(_lookup(name, 0)) if by_name else Reach.PUBLIC
    if is_target and found is Reach.PRIVATE:
        # Proxies with made-up addresses and caches on the LAN answer for public names.
        return Reach.PUBLIC
    return found


def _nearest(addresses: list[ipaddress.IPv4Address | ipaddress.IPv6Address]) -> Reach:
    return max((_classify(address) for address in addresses), default=Reach.PUBLIC)


def _lookup(name: str, flags: int) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=flags)
    except (OSError, UnicodeError):
        return []
    return [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]


def _classify(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> Reach:
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return _classify(inner)
    if address in _METADATA or address.is_link_local or address.is_multicast:
        return Reach.FORBIDDEN
    if address.is_loopback or address.is_unspecified:
        return Reach.LOOPBACK
    return Reach.PRIVATE if address.is_private else Reach.PUBLIC
