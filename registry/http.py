"""Ask servers politely: our redirect rules, failures in our words, retries that end.

httpx does the talking, over our own transport (`wire`) unless a proxy is to be used; nothing of it
crosses this module. A body is never decoded, because a range and a checksum are about the bytes
that the server keeps.
"""

from __future__ import annotations

import os
import random as random_module
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from rkfetch import __version__

from . import addresses, settings
from .deadline import Connections, cut
from .endpoints import endpoint as hub_endpoint
from .endpoints import endpoints as hub_endpoints
from .errors import IntegrityError, NetworkError, OfflineError, UsageError
from .failures import TransientError, failure_of_status, translated
from .headers import ContentRange, whole_number
from .retries import Retries, RetryPolicy

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

    import httpx
    from typing_extensions import Self

    from .courtesy import Courtesy
    from .wire import Body, WireTransport

__all__ = ["Http", "Reply", "Response", "Retries", "RetryPolicy", "TransientError"]

MAX_REDIRECTS = 10
_REDIRECTS = {301, 302, 303, 307, 308}
_PROXY_VARIABLES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
_SHORTEST_STALL_S, _LONGEST_STALL_S = 0.1, 86_400
ANOTHER_PLACE = "try later, or another mirror (HF_ENDPOINT)"
_WINDOW_OF_STALLS = 2
"""The head of an answer, and a body that does no more than trickle, may take so many stalls."""
_PIECE = 64 << 10
LEAST_RATE = 1000
"""Bytes per second; a body that comes slower has stalled."""

Follow = Literal["any", "same-origin"]


class Response:
    """One answer whose body is still on the wire."""

    def __init__(
        self,
        raw: httpx.Response,
        *,
        redirect: str | None,
        asked_for_part: bool,
        window_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._raw = raw
        self._body: Body | None = raw.extensions.get("body")
        self._pieces = iter(()) if self._body is not None else raw.iter_raw()
        self._piece = memoryview(b"")
        self._window_s = window_s
        self._clock = clock
        self._waited_s = 0.0
        self._came = 0
        self.status = raw.status_code
        if asked_for_part and self.status == 200 and ContentRange.of(self.headers) is not None:
            # ModelScope sends the part that was asked for, and calls it the whole:
            # https://github.com/modelscope/modelscope_hub/issues/50
            self.status = 206
        self.url = str(raw.url)
        self.redirect = redirect
        """Where the answer leads, if it is a redirect that was not followed."""

    def header(self, name: str) -> str | None:
        """Return a header; None if the answer lacks it."""
        value: str | None = self._raw.headers.get(name)
        return value

    @property
    def headers(self) -> dict[str, str]:
        """All headers, their names in lower case."""
        return {name.lower(): value for name, value in self._raw.headers.items()}

    @property
    def length(self) -> int | None:
        """Bytes that the body is announced to have; None if nothing sensible is."""
        return whole_number(self.header("content-length"))

    def require_plain(self) -> None:
        """Check that the body is the file's own bytes.

        Raises:
            IntegrityError: the body is compressed, although that was not asked for.
        """
        encoding = (self.header("content-encoding") or "identity").strip().lower()
        if encoding not in {"identity", ""}:
            raise IntegrityError(
                f"{addresses.shown(self.url)} came compressed",
                expected="the bytes of the file",
                actual=f"Content-Encoding: {encoding}",
                cause=["a server or proxy on the way changes files"],
            )

    def readinto(self, view: memoryview) -> int:
        """Receive what has come of the body, at most as much as fits; 0 at its end.

        Only the time spent waiting for the server counts, not what is done with its bytes.

        Raises:
            TransientError: the connection broke, ended early, stalled or trickled.
        """
        began = self._clock()
        with translated(self.url):
            count = self._receive(view)
        self._waited_s += self._clock() - began
        self._came += count
        if self._waited_s >= self._window_s:
            if self._came < LEAST_RATE * self._waited_s:
                raise TransientError(
                    f"{addresses.host(self.url)} stalled",
                    cause=[f"{self._came} bytes came in {self._waited_s:.0f} s"],
                )
            self._waited_s = self._came = 0
        return count

    def _receive(self, view: memoryview) -> int:
        if self._body is not None:
            return self._body.readinto(view)
        if not self._piece:
            self._piece = memoryview(next(self._pieces, b""))
        count = min(len(self._piece), len(view))
        view[:count] = self._piece[:count]
        self._piece = self._piece[count:]
        return count

    @property
    def round_trip_s(self) -> float | None:
        """To the server and back, as the kernel measured it; None by way of a proxy."""
        return self._body.round_trip_s if self._body is not None else None

    @property
    def is_at_end(self) -> bool:
        """Whether all of the body was read, so that the connection can be used again."""
        return self._body is not None and self._body.is_at_end

    def cut(self) -> None:
        """Make another thread's `readinto` end soon; it raises, or returns 0."""
        if self._body is not None:
            self._body.cut()
        elif (stream := self._raw.extensions.get("network_stream")) is not None:
            cut(stream.get_extra_info("socket"))

    def read(self, max_bytes: int, *, until: float | None = None) -> bytes:
        """Return the body, at most ``max_bytes`` of it; the rest is left on the wire.

        It must be there ``until`` a time of the client's clock; raises like `readinto` and
        `require_plain`.
        """
        self.require_plain()
        body = bytearray()
        view = memoryview(bytearray(min(max_bytes, _PIECE)))
        while len(body) < max_bytes and (count := self.readinto(view[: max_bytes - len(body)])):
            body += view[:count]
            if until is not None and self._clock() > until:
                raise _too_slow(self.url)
        return bytes(body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer, complete."""

    status: int
    url: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    redirect: str | None
    """Where it leads, if it is a redirect that was not followed."""
    round_trip_s: float | None = None
    """To the server and back, as the kernel measured it; None by way of a proxy."""

    @property
    def length(self) -> int | None:
        """Bytes that the body was announced to have; None if nothing sensible was."""
        return whole_number(self.headers.get("content-length"))


class Http:
    """A client for one endpoint and everything that it redirects to. May be used by threads.

    Args:
        token: sent to the endpoints' own origins, where `addresses.token_fits`, and nowhere else.
        endpoint: what the token is for; by default all of `endpoints.endpoints`.
        connect_timeout_s: for a connection to come about.
        stall_timeout_s: without a single byte; ``HF_HUB_DOWNLOAD_TIMEOUT``, else 30. Twice as
            long may take what `request` answers, or the head of any other answer, in all. There
            is no limit on the whole of a transfer that comes faster than `LEAST_RATE`.
        offline: refuse every request; by default what the setting ``offline`` says.
        clock: seconds since 1970.
        monotonic: seconds for measuring how long something takes.
        courtesy: holds back all that share it when a server asks one of them to slow down.
    """

    def __init__(
        self,
        *,
        token: str | None = None,
        endpoint: str | None = None,
        connect_timeout_s: float = 10,
        stall_timeout_s: float | None = None,
        offline: bool | None = None,
        retries: RetryPolicy | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        random: Callable[[], float] = random_module.random,
        courtesy: Courtesy | None = None,
    ) -> None:
        self.courtesy = courtesy
        self._connect_timeout_s = connect_timeout_s
        self._stall_timeout_s = stall_timeout_s or _stall_timeout_from_environment()
        self._window_s = _WINDOW_OF_STALLS * self._stall_timeout_s
        self._offline = bool(settings.value("offline") if offline is None else offline)
        self._policy = retries or RetryPolicy()
        self._clock = clock
        self.monotonic = monotonic
        self._sleep = sleep
        self._random = random
        self._wire: WireTransport | None = None
        self._client: httpx.Client | None = None
        self._opening = threading.Lock()
        self._by_way_of_proxies = Connections()
        home = endpoint or (hub_endpoint() if token else "")
        homes = [home, *hub_endpoints()] if token and not endpoint else [home]
        self._token = token
        self._token_origins = {
            addresses.origin(home) for home in homes if token and addresses.token_fits(home)
        }
        self._by_proxy = any(
            os.environ.get(n) or os.environ.get(n.lower()) for n in _PROXY_VARIABLES
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections; those that threads still use are closed when they end."""
        with self._opening:
            for opened in (self._wire, self._client):
                if opened is not None:
                    opened.close()

    def has_token_for(self, url: str) -> bool:
        """Tell whether requests to this URL carry a token."""
        return addresses.origin(url) in self._token_origins

    @contextmanager
    def open(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        follow: Follow = "any",
    ) -> Iterator[Response]:
        """Ask once, following redirects, and give the answer, whatever its status.

        The body is read by the caller; leaving the block closes the connection if any is left.
        With ``follow="same-origin"`` a redirect to elsewhere is the answer.

        Raises:
            TransientError: the network failed in a way that may heal.
            NetworkError: it failed in another way, or a redirect was refused.
            OfflineError: the network is switched off.
        """
        wanted = dict(headers or {})
        if self.courtesy is not None:
            self.courtesy.wait(url)
        until = self.monotonic() + self._window_s
        for _ in range(MAX_REDIRECTS + 1):
            raw = self._send(method, url, wanted, until)
            if self.courtesy is not None:
                self.courtesy.heard(url, raw.status_code, raw.headers)
            try:
                target = self._redirect(raw, url)
                elsewhere = target is not None and addresses.origin(target) != addresses.origin(url)
                if target is None or (elsewhere and follow == "same-origin"):
                    yield Response(
                        raw,
                        redirect=target,
                        asked_for_part=any(name.lower() == "range" for name in wanted),
                        window_s=self._window_s,
                        clock=self.monotonic,
                    )
                    return
            finally:
                raw.close()
            if elsewhere:
                wanted = _without_secrets(wanted)
            url = target
        raise NetworkError(
            f"{addresses.shown(url)} redirects in circles",
            cause=[f"{MAX_REDIRECTS} redirects were followed"],
            hint=ANOTHER_PLACE,
        )

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        follow: Follow = "any",
        max_bytes: int = 1 << 20,
        waiting: Callable[[str, float], object] | None = None,
        hint: str | None = None,
        hurried: bool = False,
    ) -> Reply:
        """Ask for something small, as often as it takes within the policy.

        Answers that repeating cannot change (such as 404) are returned; ``waiting`` is told why
        and how many seconds it waits between tries; ``hint`` and ``hurried`` as for `retries`.

        Raises:
            NetworkError: it failed for good.
            OfflineError: the network is switched off.
        """
        retries = self.retries(waiting=waiting, hint=hint, hurried=hurried)
        while True:
            try:
                return self._request_once(method, url, headers, follow, max_bytes)
            except TransientError as error:  # noqa: PERF203 - trying again is the point
                retries.pause(error)

    def _request_once(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        follow: Follow,
        max_bytes: int,
    ) -> Reply:
        until = self.monotonic() + self._window_s
        with self.open(method, url, headers=headers, follow=follow) as response:
            self.raise_if_transient(response)
            return Reply(
                status=response.status,
                url=response.url,
                headers=response.headers,
                body=b"" if method == "HEAD" else response.read(max_bytes, until=until),
                redirect=response.redirect,
                round_trip_s=response.round_trip_s,
            )

    def retries(
        self,
        *,
        waiting: Callable[[str, float], object] | None = None,
        hint: str | None = None,
        hurried: bool = False,
    ) -> Retries:
        """Return a counter of tries by this client's policy; ``hint`` ends the final error.

        ``hurried`` gives up soon, because there are other places to ask.
        """
        policy = self._policy.hurried() if hurried else self._policy
        return Retries(policy, sleep=self._sleep, random=self._random, waiting=waiting, hint=hint)

    def raise_if_transient(self, response: Response) -> None:
        """Raise what an answer says about trying again later (408, 425, 429, 5xx)."""
        failure = failure_of_status(
            response.status, response.headers, addresses.host(response.url), self._clock()
        )
        if failure is not None:
            raise failure

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], until: float
    ) -> httpx.Response:
        if self._offline:
            raise OfflineError(
                f"{addresses.shown(url)} was not asked: the network is switched off",
                hint="leave out --offline, and unset HF_HUB_OFFLINE",
            )
        all_headers = {"User-Agent": _user_agent(), "Accept-Encoding": "identity", **headers}
        if self.has_token_for(url):
            all_headers.setdefault("Authorization", f"Bearer {self._token}")
        import httpx

        left_s = until - self.monotonic()
        stall_s = self._stall_timeout_s
        extensions = {
            "timeout": {
                "connect": self._connect_timeout_s,
                "read": stall_s,
                "write": stall_s,
                "pool": None,
            },
            "head_within_s": left_s,
            "trace": self._by_way_of_proxies.noted,
        }
        with translated(url):
            request = httpx.Request(method, url, headers=all_headers, extensions=extensions)
            if self._by_proxy:
                return self._sent_by_proxy(request, left_s)
            from .wire import TrickleError

            try:
                return self._opened_wire().handle_request(request)
            except TrickleError as error:
                raise _too_slow(url) from error

    def _sent_by_proxy(self, request: httpx.Request, left_s: float) -> httpx.Response:
        import httpx

        with self._by_way_of_proxies.cut_after(left_s) as was_cut:
            try:
                client = self._opened_client()
                return client.send(request, stream=True, follow_redirects=False)
            except httpx.TransportError as error:
                if was_cut():
                    raise _too_slow(str(request.url)) from error
                raise

    def _redirect(self, raw: httpx.Response, url: str) -> str | None:
        if raw.status_code not in _REDIRECTS:
            return None
        location: str | None = raw.headers.get("location")
        if not location:
            raise NetworkError(f"{addresses.shown(url)} redirects to nowhere", hint=ANOTHER_PLACE)
        return addresses.follow(url, location, resolve_names=not self._by_proxy)

    def _opened_wire(self) -> WireTransport:
        with self._opening:
            if self._wire is None:
                from .wire import WireTransport

                self._wire = WireTransport(tls_context())
            return self._wire

    def _opened_client(self) -> httpx.Client:
        """Return the client that knows proxies, which the environment names."""
        with self._opening:
            if self._client is None:
                import httpx

                tls = tls_context()
                try:
                    self._client = httpx.Client(verify=tls)
                except (ImportError, ValueError) as error:
                    raise UsageError(
                        "the proxy that the environment names cannot be used",
                        cause=[str(error)],
                        hint="see HTTPS_PROXY, HTTP_PROXY and ALL_PROXY; "
                        "SOCKS needs `pip install socksio`",
                    ) from error
            return self._client


def _too_slow(url: str) -> TransientError:
    return TransientError(
        f"{addresses.host(url)} did not answer in time", cause=["its answer trickles"]
    )


def _without_secrets(headers: Mapping[str, str]) -> dict[str, str]:
    secret = {"authorization", "cookie", "proxy-authorization"}
    return {name: value for name, value in headers.items() if name.lower() not in secret}


def tls_context() -> ssl.SSLContext:
    """Trust what the user's bundle says, else the system's and Mozilla's authorities together.

    The system's hold what a company added; a small board may have none at all.

    Raises:
        UsageError: what the user names cannot be read.
    """
    import ssl

    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        place = os.environ.get(name)
        if not place:
            continue
        try:
            if os.path.isdir(place):  # noqa: PTH112 - ssl takes text
                return ssl.create_default_context(capath=place)
            return ssl.create_default_context(cafile=place)
        except OSError as error:  # ssl.SSLError is one
            raise UsageError(
                f"{name} names certificates that cannot be read", cause=[f"{place}: {error}"]
            ) from error
    import certifi

    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _stall_timeout_from_environment() -> float:
    text = os.environ.get("HF_HUB_DOWNLOAD_TIMEOUT", "")
    try:
        seconds = float(text)
    except ValueError:
        return 30
    return seconds if _SHORTEST_STALL_S <= seconds <= _LONGEST_STALL_S else 30


@lru_cache(maxsize=1)
def _user_agent() -> str:
    import platform

    return f"rkfetch/{__version__}; python/{platform.python_version()}"


def rkfetch_version() -> str:
    """Return the version of rkfetch."""
    return __version__
