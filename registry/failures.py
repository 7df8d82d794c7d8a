"""Say in our words what went wrong on the network, and whether trying again can help."""

from __future__ import annotations

import errno
import re
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from . import addresses
from .errors import NetworkError, UsageError
from .headers import whole_number

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping, Sequence

    import httpx

_MAY_HEAL = {408, 425, 429, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524, 529}
_RATE_LIMIT = re.compile(r'"[^"]*"\s*((?:;\s*\w+\s*=\s*[0-9]+\s*)+)')
_PROXY_HINT = "see HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY"
_WRONG_TIME = {9, 10}
"""What OpenSSL calls X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""
_OTHER_HOST = {62, 64}
"""X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""
_OLDEST_PLAUSIBLE = 1_700_000_000
"""November 2023, before rkfetch existed: a clock that says less is wrong."""


class TransientError(NetworkError):
    """A failure that may heal when the request is repeated."""

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float | None = None,
        cause: Sequence[str] = (),
        hint: str | None = None,
    ) -> None:
        super().__init__(message, cause=cause, hint=hint)
        self.retry_after_s = retry_after_s
        """Seconds that the server asks to wait; None leaves it to us."""


def failure_of_status(
    status: int, headers: Mapping[str, str], where: str, now: float
) -> NetworkError | None:
    """Return the failure that a status means by itself; header names are in lower case.

    Most such may heal. What a proxy or a network says on the way is final: it is not the
    server's word, and the same question gets the same answer.
    """
    if status == 407:
        return _proxy_wants_a_password(where)
    if status == 511:
        return NetworkError(
            f"the network wants a login before it lets {where} be asked (511)",
            hint="open a web page to log in to this network, then run the command again",
        )
    if status not in _MAY_HEAL:
        return None
    message = f"{where} answered {status}"
    if status == 429:
        message = f"{where} asks to slow down (429)"
    return TransientError(message, retry_after_s=ordered_wait_s(headers, now))


def ordered_wait_s(headers: Mapping[str, str], now: float) -> float | None:
    """Read how long a server asks to wait: ``Retry-After``, else an exhausted ``RateLimit``."""
    text = headers.get("retry-after", "").strip()
    if (seconds := whole_number(text)) is not None:
        return float(seconds)
    if text:
        until = _moment(text)
        if until is not None:
            # The server's own clock, if it tells: this machine's may be days off.
            since = _moment(headers.get("date", ""))
            return max(0.0, until - (now if since is None else since))
    waits = []
    for match in _RATE_LIMIT.finditer(headers.get("ratelimit", "")):
        items = dict(re.findall(r"(\w+)\s*=\s*([0-9]+)", match[1]))
        if items.get("r") == "0" and (left_s := whole_number(items.get("t"))) is not None:
            # The window ends within that second.
            waits.append(float(left_s) + 1)
    return max(waits, default=None)


def _moment(date: str) -> float | None:
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None


def _proxy_wants_a_password(where: str) -> NetworkError:
    return NetworkError(
        f"the proxy wants a user and a password before it asks {where} (407)",
        cause=["none was given, or the proxy does not know it"],
        hint="give them in HTTPS_PROXY and HTTP_PROXY as http://USER:PASSWORD@HOST:PORT, with "
        "what is neither letter nor digit as %40 and the like",
    )


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Turn what httpx raises in the block into our errors."""
    import httpx

    try:
        yield
    except (httpx.InvalidURL, UnicodeError, OverflowError) as error:
        if isinstance(error, httpx.InvalidURL) and _is_address(url):
            raise (_bad_proxy() or addresses.led_astray(url)) from error
        # A label of a name that is empty or too long is found by Python's own codec.
        raise addresses.impossible(url) from error
    except httpx.TransportError as error:
        raise _translate(error, url) from error


def _bad_proxy() -> UsageError | None:
    from urllib.request import getproxies

    proxies = [getproxies().get(scheme) for scheme in ("http", "https", "all")]
    if all(_is_address(proxy) for proxy in proxies if proxy):
        return None
    return UsageError(
        "the proxy that the environment names is not an address",
        cause=[
            "it is not shown here, since it may hold a password; / @ : # in one are %2F %40 %3A %23"
        ],
        hint=_PROXY_HINT,
    )


def _is_address(url: str) -> bool:
    import httpx

    try:
        httpx.URL(url)
    except httpx.InvalidURL:
        return False
    return True


def _translate(error: httpx.TransportError, url: str) -> NetworkError:
    import httpx

    host = addresses.origin(url)[1]
    failure: NetworkError
    match error:
        case httpx.ConnectTimeout():
            whom, hint = _first_on_the_way(url)
            failure = TransientError(
                f"{whom} did not answer in time", cause=["no connection"], hint=hint
            )
        case httpx.TimeoutException():
            failure = TransientError(f"{host} stalled", cause=["no byte came within the time-out"])
        case httpx.ProxyError() if str(error).startswith("407"):
            failure = _proxy_wants_a_password(host)
        case httpx.ProxyError():
            failure = TransientError(
                f"the proxy refused to reach {host}",
                cause=[str(error)],
                hint=_PROXY_HINT,
            )
        case httpx.ConnectError():
            failure = _no_connection(error, url)
        case httpx.UnsupportedProtocol() | httpx.LocalProtocolError():
            failure = NetworkError(f"{addresses.shown(url)} cannot be asked", cause=[str(error)])
        case _:
            failure = TransientError(f"the connection to {host} broke", cause=[_reason(error)])
    return failure


def _first_on_the_way(url: str) -> tuple[str, str | None]:
    """Return whom a connection for an address goes to, and a hint if that is a proxy."""
    from urllib.request import getproxies, proxy_bypass

    scheme, host, _ = addresses.origin(url)
    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if not proxy or proxy_bypass(host):
        return host, None
    # Not its port: where a password was not escaped, part of it stands there.
    name = urlsplit(proxy if "//" in proxy else f"//{proxy}").hostname
    return f"the proxy {name}", _PROXY_HINT


def _no_connection(error: httpx.ConnectError, url: str) -> NetworkError:
    import socket
    import ssl

    host = addresses.origin(url)[1]
    whom, hint = _first_on_the_way(url)
    for inner in _chain(error):
        if isinstance(inner, ssl.SSLCertVerificationError):
            return _bad_certificate(inner, host)
        if isinstance(inner, ssl.SSLError):
            return TransientError(f"no secure connection to {host}", cause=[_reason(error)])
        if isinstance(inner, socket.gaierror):
            return TransientError(
                f"the name of {whom} cannot be resolved"
                if hint
                else f"the name {host} cannot be resolved",
                cause=[inner.strerror or str(inner)],
                hint=hint or "check the network; a mirror can be named with HF_ENDPOINT",
            )
        if isinstance(inner, ConnectionRefusedError):
            return TransientError(f"{whom} refused the connection", hint=hint)
        if isinstance(inner, OSError) and inner.errno in {errno.ENETUNREACH, errno.EHOSTUNREACH}:
            return TransientError(f"{whom} cannot be reached", cause=[_reason(error)], hint=hint)
    return TransientError(f"no connection to {whom}", cause=[_reason(error)], hint=hint)


def _bad_certificate(error: ssl.SSLCertVerificationError, host: str) -> NetworkError:
    hint = "a company's own authority can be named with SSL_CERT_FILE"
    if error.verify_code in _OTHER_HOST:
        hint = (
            "somebody else answers in its place: open a web page to log in to this network, "
            "or see HTTPS_PROXY and HF_ENDPOINT"
        )
    elif error.verify_code in _WRONG_TIME:
        today = time.strftime("%Y-%m-%d", time.gmtime())
        hint = f"this machine's clock says {today}: set it if that is wrong (`timedatectl`)"
        hint += "; else try another mirror (HF_ENDPOINT)"
    if time.time() < _OLDEST_PLAUSIBLE:
        hint = "this machine's clock is wrong: set it (`timedatectl`), then try again"
    return NetworkError(
        f"the certificate of {host} is not valid", cause=[error.verify_message], hint=hint
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    inner: BaseException | None = error
    while inner is not None:
        yield inner
        inner = inner.__cause__ or inner.__context__


def _reason(error: BaseException) -> str:
    return next((str(inner) for inner in _chain(error) if str(inner)), type(error).__name__)
