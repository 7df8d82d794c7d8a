"""Talk to the Hub's API through huggingface_hub, bounded in time and memory, in our words.

By itself huggingface_hub 2 waits for ever on listings, reads answers of any size, follows a
``Link`` to any host with the token, and prints what a server says.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
import zlib
from contextlib import contextmanager
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from rkfetch.registry import addresses
from rkfetch.registry.errors import AuthenticationError, IntegrityError, NetworkError
from rkfetch.registry.failures import TransientError, failure_of_status
from rkfetch.registry.http import rkfetch_version, tls_context
from rkfetch.registry.hub import endpoint, hub_token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import httpx2
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    from rkfetch.registry.courtesy import Courtesy

T = TypeVar("T")

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 30.0
REQUEST_TIMEOUT_S = 60.0
"""From asking to the last byte of the answer, however steadily it trickles."""
LARGEST_ANSWER = 32 << 20
"""Unpacked. Of a page of 1,000 repositories with all their file names, some MB were seen."""
_HINT = "check the network; a mirror can be named with HF_ENDPOINT"


class MissingError(Exception):
    """The Hub says that there is no such repository, or that it is not for us."""


class EndlessError(Exception):
    """A listing goes on and on."""


def connect(turn_page: Callable[[], None], courtesy: Courtesy | None) -> HfApi:
    """Make a client that talks to the endpoint alone.

    ``turn_page`` is called for each page of a listing that arrives; ``courtesy`` is kept to.

    Raises:
        UsageError: the endpoint is no address, or the token is none.
    """
    base = endpoint()  # first: huggingface_hub prints to stdout if it cannot read it
    # Read once, at import: an update is no agent's session, and telemetry costs a request.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import HfApi, set_client_factory

    silence()
    set_client_factory(lambda: _client(base, turn_page, courtesy))
    token = hub_token() if addresses.token_fits(base) else None
    return HfApi(
        endpoint=base,
        token=token or False,
        library_name="rkfetch",
        library_version=rkfetch_version(),
    )


def silence() -> None:
    """Let huggingface_hub tell the terminal nothing: what matters is told in our words."""
    log = logging.getLogger("huggingface_hub")
    log.handlers[:] = [logging.NullHandler()]
    log.propagate = False


def pages_of_models(api: HfApi, params: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """List models, each as the Hub describes it.

    Raises:
        TypeError, ValueError: the answer is no listing.
    """
    from huggingface_hub.utils import build_hf_headers, paginate  # type: ignore[attr-defined]

    headers = build_hf_headers(
        token=api.token, library_name=api.library_name, library_version=api.library_version
    )
    for item in paginate(f"{api.endpoint}/api/models", params=params, headers=headers):
        if not isinstance(item, dict):
            raise TypeError("its listing holds something else than repositories")
        yield item


def disconnect() -> None:
    """Give huggingface_hub back the client that it knows: it is the whole process's."""
    from huggingface_hub import close_session, set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    set_client_factory(default_client_factory)
    close_session()


def _client(base: str, turn_page: Callable[[], None], courtesy: Courtesy | None) -> httpx2.Client:
    import httpx2

    class Client(httpx2.Client):
        def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
            ask = super().send
            if courtesy is not None:
                courtesy.wait(str(request.url))
            with _spoken(base):
                return _within(REQUEST_TIMEOUT_S, base, lambda: ask(request, **options))

    class Bounded(httpx2.SyncByteStream):
        def __init__(self, stream: Any, *, packed: bool) -> None:
            self._stream = stream
            self._packed = packed

        def __iter__(self) -> Iterator[bytes]:
            yield from _bounded(self._stream, base, packed=self._packed)

        def close(self) -> None:
            self._stream.close()

    def judge(response: httpx2.Response) -> None:
        headers = {name.lower(): value for name, value in response.headers.items()}
        if courtesy is not None:
            courtesy.heard(str(response.url), response.status_code, headers)
        packed = _judge(response, headers, base)
        response.stream = Bounded(response.stream, packed=packed)
        if response.status_code == 200 and response.url.path.endswith("/api/models"):
            turn_page()

    limits = httpx2.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
    guard = partial(_guard, base=base, limits=limits)
    return Client(
        verify=tls_context(),
        follow_redirects=True,
        timeout=limits,
        event_hooks={"request": [guard], "response": [judge]},
    )


@contextmanager
def _spoken(base: str) -> Iterator[None]:
    """Turn what httpx2 raises into our errors, before huggingface_hub sees it."""
    import httpx2

    try:
        yield
    except httpx2.TimeoutException as error:
        raise TransientError(f"{base} stalled", cause=[str(error)], hint=_HINT) from error
    except httpx2.TransportError as error:
        raise TransientError(f"no connection to {base}", cause=[str(error)], hint=_HINT) from error
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise NetworkError(f"{base} cannot be asked", cause=[str(error)[:200]]) from error


def _guard(request: httpx2.Request, *, base: str, limits: httpx2.Timeout) -> None:
    if addresses.origin(str(request.url)) != addresses.origin(base):
        raise NetworkError(
            f"{base} sends to another host: {request.url.host}",
            cause=["its listings are read from the endpoint alone"],
        )
    # A listing shrinks to a tenth.
    request.headers["accept-encoding"] = "gzip"
    request.extensions["timeout"] = limits.as_dict()


def _judge(response: httpx2.Response, headers: Mapping[str, str], base: str) -> bool:
    """Refuse an answer that must not be read; tell whether it is compressed."""
    where = addresses.shown(str(response.url))
    failure = failure_of_status(response.status_code, headers, where, time.time())
    if failure is not None:
        raise failure
    encoding = headers.get("content-encoding", "").strip().lower()
    if encoding not in {"", "identity", "gzip"}:
        raise NetworkError(
            f"{base} compresses its answers in a way that it was not asked for",
            cause=[f"Content-Encoding: {encoding[:40]}"],
        )
    # Unpacked here, within bounds: a few compressed kB can be any number of GB.
    response.headers.pop("content-encoding", None)
    response.headers.pop("x-hf-warning", None)
    if "link" in headers:
        # The next page is the endpoint's too; a mirror may pass on links to the Hub.
        response.headers["link"] = re.sub(r"<https?://[^/>]+", f"<{base}", headers["link"])
    return encoding == "gzip"


def _within(seconds: float, base: str, call: Callable[[], T]) -> T:
    """Call in another thread, which is left to itself if it takes too long."""
    done: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()

    def run() -> None:
        try:
            done.put((call(), None))
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            done.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        result, error = done.get(timeout=seconds)
    except Empty:
        raise TransientError(f"{base} did not end its answer within {seconds:.0f} s") from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value]  # there is one where there is no error


def _bounded(stream: Iterable[bytes], base: str, *, packed: bool) -> Iterator[bytes]:
    received = 0
    unpacking = zlib.decompressobj(wbits=31)
    for piece in stream:
        chunk = piece
        if packed:
            try:
                chunk = unpacking.decompress(piece, LARGEST_ANSWER + 1)
            except zlib.error as error:
                raise NetworkError(
                    f"{base} answered what no Hub answers", cause=[str(error)]
                ) from error
        received += len(chunk)
        if received > LARGEST_ANSWER:
            raise NetworkError(
                f"{base} sends more than anybody asked for",
                cause=[f"its answer has more than {LARGEST_ANSWER >> 20} MiB"],
            )
        yield chunk


@contextmanager
def translated(repo: str | None = None) -> Iterator[None]:
    """Turn what huggingface_hub raises into our errors; ``repo`` is the one that is asked for."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

    try:
        yield
    except RepositoryNotFoundError as error:
        raise MissingError from error
    except HfHubHTTPError as error:
        raise _of_status(error) from error
    except httpx2.InvalidURL as error:
        raise NetworkError(f"{endpoint()} cannot be asked", cause=[str(error)[:200]]) from error
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RecursionError,
        EndlessError,
    ) as error:
        raise _nonsense(error, repo) from error


def _nonsense(error: Exception, repo: str | None) -> Exception:
    said = [f"{type(error).__name__}: {str(error)[:200]}"]
    if repo is not None:
        return IntegrityError(f"{repo} is described as no Hub does", cause=said)
    return NetworkError(
        f"{endpoint()} answered what no Hub answers", cause=said, hint="check HF_ENDPOINT"
    )


def _of_status(error: HfHubHTTPError) -> Exception:
    status = error.response.status_code
    where = addresses.shown(str(error.response.url))
    about_one = "/api/models/" in where
    # An anonymous client cannot tell a missing repository from a private one.
    if about_one and status in {401, 403, 404}:
        return MissingError()
    if status in {401, 403}:
        return AuthenticationError(f"{where} answered {status}", hint="check HF_TOKEN, or unset it")
    return NetworkError(f"{where} answered {status}", cause=[error.server_message or str(error)])
