"""What can go wrong on the way, on demand."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING
from urllib.parse import unquote

from .exchange import matches, names_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .exchange import OriginName, Reply, Request, Seen

_SELECTORS = {"path", "origin", "method", "times", "after"}
_BODY = {
    "drop_after",
    "reset_after",
    "stall_after",
    "stall_s",
    "flip_at",
    "ignore_range",
    "content_range",
    "etag",
    "length_delta",
    "extra_bytes",
    "chunked",
    "no_length",
    "gzip",
    "rate",
    "body",
}


@dataclass(kw_only=True)
class Fault:
    """One way to misbehave, and for which requests.

    A fault that touches a body (``drop_after`` to ``body`` below) only meets requests that are
    answered with a body: never a HEAD, a redirect or an error, so ``times=1`` is not used up by
    those. Several faults on one request add up.
    """

    path: str = "*"
    """Glob of the file's path, of ``OWNER/NAME/path``, or of the URL's path; ``*`` crosses /."""
    origin: OriginName | None = None
    """Only there; None is both."""
    method: str | None = None
    times: int | None = None
    """For how many requests; None is for ever."""
    after: int = 0
    """How many matching requests pass first."""

    drop_after: int | None = None
    """Close the connection after so many bytes of the body, if it has more."""
    reset_after: int | None = None
    """The same with a TCP reset."""
    stall_after: int | None = None
    """Go silent for ``stall_s`` after so many bytes of the body."""
    stall_s: float = 60.0
    flip_at: int | None = None
    """Flip one bit of the byte at this offset of the file."""
    ignore_range: bool = False
    """Answer a range request with 200 and everything."""
    content_range: str | None = None
    """Say this instead of the true ``Content-Range``."""
    etag: str | None = None
    """Serve under this ETag (with quotes); ``If-Range`` is judged by it too."""
    length_delta: int = 0
    """Announce so many bytes more (or fewer) than are sent."""
    extra_bytes: int = 0
    """Send so many bytes more than the body has and than announced."""
    chunked: bool = False
    """Send the body chunked, without a length."""
    no_length: bool = False
    """Send the body without a length; the end is the end of the connection."""
    gzip: bool = False
    """Compress the body, unasked."""
    rate: float | None = None
    """Bytes per second and connection."""
    body: bytes | None = None
    """Send this instead, with 200; together with ``status`` it is the body of that status."""

    status: int | None = None
    """Answer with this status."""
    headers: Mapping[str, str | None] = field(default_factory=dict)
    """Set (None: leave out) these headers, on the true answer too."""
    redirect: str | None = None
    """Redirect there; ``{here}`` is the URL that was asked for."""
    endless: bool = False
    """Every page of a listing has a next one."""
    header_delay_s: float = 0.0
    """Wait so long before each byte of the head of the answer."""

    @property
    def needs_body(self) -> bool:
        """Whether it can only show in an answer with a body."""
        if self.status is not None:
            return False
        default = _defaults()
        return any(getattr(self, name) != getattr(default, name) for name in _BODY)


def _defaults() -> Fault:
    return Fault()


HOSTILE_NAMES = (
    "../../outside-rk3576.rkllm",
    "RK3576/../../../outside.rkllm",
    "/etc/absolute-rk3576.rkllm",
    "C:\\\\Windows\\\\rk3576.rkllm",
    "~/rk3576.rkllm",
    "rk3576-nul\0.rkllm",
    "rk3576-newline\n.rkllm",
    "rk3576-\x1b[31mred\x1b[2J\x07.rkllm",
    "rk3576-\x9b31m.rkllm",
    "rk3576-\u202emllkr.exe.rkllm",
    "rk3576-\ud800.rkllm",
    "rk3576-" + "x" * 4000 + ".rkllm",
    "rk3576-" + "a/" * 300 + "deep.rkllm",
    "twin-rk3576.rkllm",
    "TWIN-RK3576.rkllm",
    "-rf-rk3576.rkllm",
    "..",
    "CON.rkllm",
    "rk3576?query#fragment%2F.rkllm",
)
"""File names that a hostile repository may list: none of them may leave the store."""

POINTER = (
    b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 1394162444\n"
)
LOGIN_PAGE = b"<!DOCTYPE html><html><head><title>Log in to the network</title></head></html>"
JSON_ERROR = b'{"error":"Repository is being moderated."}'


def named_faults(size_bytes: int) -> dict[str, tuple[Fault, ...]]:
    """Ready-made faults for files of about this size, for use by hand."""
    part = max(1, size_bytes // 3)
    files = "*.rkllm"
    return {
        "drops": (Fault(path=files, drop_after=part),),
        "resets": (Fault(path=files, reset_after=part),),
        "stall": (Fault(path=files, stall_after=part, times=1),),
        "dead": (Fault(path=files, stall_after=0),),
        "flip": (Fault(path=files, flip_at=size_bytes // 2),),
        "flip-once": (Fault(path=files, flip_at=size_bytes // 2, times=1),),
        "no-range": (Fault(path=files, ignore_range=True),),
        "wrong-range": (Fault(path=files, content_range=f"bytes 0-9/{size_bytes}"),),
        "short": (Fault(path=files, length_delta=part),),
        "long": (Fault(path=files, extra_bytes=part),),
        "login-page": (Fault(path=files, body=LOGIN_PAGE),),
        "json-error": (Fault(path=files, body=JSON_ERROR),),
        "pointer": (Fault(path=files, body=POINTER),),
        "busy": (Fault(origin="hub", status=429, headers={"Retry-After": "1"}, times=2),),
        "down": (Fault(origin="hub", status=503),),
        "expired": (Fault(origin="cdn", status=403, times=1),),
        "loop": (Fault(origin="hub", path=files, redirect="{here}"),),
        "to-file": (Fault(origin="hub", path=files, redirect="file:///etc/passwd"),),
        "to-cloud": (
            Fault(origin="hub", path=files, redirect="http://169.254.169.254/latest/meta-data/"),
        ),
        "endless": (Fault(path="/api/models*", endless=True),),
        "slow-head": (Fault(origin="cdn", header_delay_s=1.0),),
    }


class Faults:
    """The faults in force, counted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active: list[tuple[Fault, list[int]]] = []

    def add(self, fault: Fault) -> None:
        """Put one in force."""
        with self._lock:
            self._active.append((fault, [0]))

    def clear(self) -> None:
        """End all."""
        with self._lock:
            self._active.clear()

    def take(self, request: Request, reply: Reply) -> Fault:
        """Merge the faults that meet this request into one, and count them; later ones win."""
        names = names_of(
            unquote(request.raw_path), reply.repo, reply.file.path if reply.file else None
        )
        has_body = request.method == "GET" and reply.status == 200
        merged = Fault()
        with self._lock:
            for fault, seen in self._active:
                if (
                    (fault.origin not in {None, request.origin})
                    or (fault.method not in {None, request.method})
                    or (fault.needs_body and not has_body)
                    or (fault.endless and not reply.is_listing)
                    or not matches(fault.path, names)
                ):
                    continue
                seen[0] += 1
                if seen[0] <= fault.after:
                    continue
                if fault.times is not None and seen[0] > fault.after + fault.times:
                    continue
                merged = _merge(merged, fault)
        return merged


def _merge(one: Fault, other: Fault) -> Fault:
    default = _defaults()
    changed = {
        f.name: getattr(other, f.name)
        for f in fields(Fault)
        if f.name not in _SELECTORS and getattr(other, f.name) != getattr(default, f.name)
    }
    return replace(one, **changed)


class Hold:
    """Stops the bytes of some files at an exact total, until released."""

    def __init__(self, path: str, at_bytes: int) -> None:
        self.path = path
        self.reached = threading.Event()
        """Set when the total was sent; all connections to these files wait then."""
        self.released = threading.Event()
        """To be set by the test: everything flows on."""
        self._left = at_bytes
        self._lock = threading.Lock()

    def grant(self, seen: Seen, wanted: int) -> int:
        """How many of the wanted bytes may be sent now; 0 means wait for the release."""
        if self.released.is_set() or not seen.is_about(self.path):
            return wanted
        with self._lock:
            granted = min(wanted, self._left)
            self._left -= granted
            return granted

    def sent(self, seen: Seen) -> None:
        """Take note that granted bytes are out."""
        if seen.is_about(self.path) and self._left == 0:
            self.reached.set()
