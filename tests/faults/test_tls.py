"""Certificates that are not valid, and TLS that breaks."""

from __future__ import annotations

import datetime as dt
import hashlib
import time
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from downloads import quick_http
from e2e.world import SIZE, W4
from faults.fronts import Deaf, TlsFront
from faults.rig import CONTENT
from hub.server import Fault
from rkfetch.registry.errors import NetworkError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from e2e.world import World
    from faults.rig import Rig
    from hub.server import Hub

NOW = dt.datetime.now(dt.timezone.utc)
DAY = dt.timedelta(days=1)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusted(
    rig: Rig, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Let this machine trust the authority."""
    bundle = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(bundle))
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    return bundle


Bad = dict[str, Any]
EXPIRED: Bad = {"not_before": NOW - 9 * DAY, "not_after": NOW - DAY}
NOT_YET: Bad = {"not_before": NOW + DAY, "not_after": NOW + 9 * DAY}


@pytest.fixture
def front(authority: trustme.CA) -> Iterator[Callable[..., TlsFront]]:
    """Put TLS before a server, with a certificate for this name and time."""
    fronts: list[TlsFront] = []

    def before(url: str, name: str = "localhost", **when: Any) -> TlsFront:
        fronts.append(TlsFront(authority.issue_cert(name, **when), url))
        return fronts[-1]

    yield before
    for one in fronts:
        one.stop()


def lead(rig: Rig, url: str) -> None:
    """Let the Hub send everybody there for the bytes."""
    rig.hub.break_it(Fault(origin="hub", path="*.rkllm", redirect=f"{url}/blob?Signature=s3cret"))


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("origin", ["hub", "cdn"])
@pytest.mark.parametrize(
    ("name", "when", "said", "hint"),
    [
        ("localhost", EXPIRED, "certificate has expired", "clock"),
        ("localhost", NOT_YET, "certificate is not yet valid", "clock"),
        ("elsewhere.example", {}, "mismatch", "log in"),
    ],
    ids=["expired", "not yet valid", "another host"],
)
def test_a_certificate_that_is_not_valid(
    rig: Rig,
    front: Callable[..., TlsFront],
    monkeypatch: pytest.MonkeyPatch,
    origin: str,
    name: str,
    when: Bad,
    said: str,
    hint: str,
) -> None:
    if origin == "hub":
        monkeypatch.setenv("HF_ENDPOINT", front(rig.hub.endpoint, name, **when).url)
    else:
        lead(rig, front(f"http://127.0.0.1:{rig.wire.port}", name, **when).url)
    error = rig.fails(NetworkError)
    assert error.message == "the certificate of localhost is not valid"
    assert said in " ".join(error.cause)
    assert hint in (error.hint or "")
    assert rig.wire.asked == []
    monkeypatch.setenv("HF_ENDPOINT", rig.hub.endpoint)
    lead(rig, front(f"http://127.0.0.1:{rig.wire.port}").url)
    rig.succeeds()


@pytest.mark.parametrize("origin", ["hub", "cdn"])
def test_an_authority_that_nobody_knows(
    rig: Rig, front: Callable[..., TlsFront], monkeypatch: pytest.MonkeyPatch, origin: str
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    if origin == "hub":
        monkeypatch.setenv("HF_ENDPOINT", front(rig.hub.endpoint).url)
    else:
        lead(rig, front(f"http://127.0.0.1:{rig.wire.port}").url)
    error = rig.fails(NetworkError)
    assert error.message == "the certificate of localhost is not valid"
    assert "SSL_CERT_FILE" in (error.hint or "")
    assert rig.wire.asked == []


@pytest.mark.usefixtures("trusted")
def test_a_board_without_a_clock_is_told_to_set_it(
    rig: Rig, front: Callable[..., TlsFront], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", front(rig.hub.endpoint, **NOT_YET).url)
    monkeypatch.setattr(time, "time", lambda: 86_400.0)
    error = rig.fails(NetworkError)
    assert "clock is wrong" in (error.hint or "")


@pytest.mark.usefixtures("trusted")
def test_tls_that_breaks_in_the_middle_goes_on(rig: Rig, front: Callable[..., TlsFront]) -> None:
    broken = front(f"http://127.0.0.1:{rig.wire.port}")
    broken.cut_after = 200_000
    lead(rig, broken.url)
    done = rig.succeeds()
    assert broken.cuts
    assert done.bytes_downloaded < len(CONTENT) * 1.2
    assert rig.watcher.restarts == []


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("digest", [True, False], ids=["digest known", "no digest"])
def test_an_end_without_good_bye_is_not_taken_for_the_end(
    rig: Rig, front: Callable[..., TlsFront], digest: bool
) -> None:
    """Without a length, only TLS itself can tell that a body was cut."""
    if not digest:
        rig.no_digest()
    broken = front(f"http://127.0.0.1:{rig.wire.port}")
    broken.cut_after = 200_000
    lead(rig, broken.url)
    rig.wire.misbehave(
        lambda ask: ask.say(ask.head("Connection: close", without=["Content-Length"]) + ask.body)
    )
    rig.succeeds()
    assert broken.cuts


def test_plain_http_where_tls_was_promised(rig: Rig) -> None:
    with Deaf(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n") as plain:
        lead(rig, f"https://localhost:{plain.port}")
        error = rig.fails(NetworkError)
    assert error.message == "no secure connection to localhost"
    assert error.hint
    lead(rig, f"http://127.0.0.1:{rig.wire.port}")
    rig.succeeds()


def test_who_is_silent_when_tls_begins_is_left(rig: Rig) -> None:
    with Deaf() as silent:
        lead(rig, f"https://localhost:{silent.port}")
        rig.fails(NetworkError, http=quick_http(connect_timeout_s=0.2, stall_timeout_s=0.2))


def test_over_tls_from_end_to_end(
    world: World, hub: Hub, front: Callable[..., TlsFront], authority: trustme.CA, tmp_path: Path
) -> None:
    bundle = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(bundle))
    cdn = front(hub.cdn)
    api = front(hub.endpoint)
    api.names = {hub.endpoint: api.url, hub.cdn: cdn.url}
    world.env |= {"HF_ENDPOINT": api.url, "SSL_CERT_FILE": str(bundle)}
    world.add(W4)
    world.update()
    cdn.cut_after = SIZE // 10
    done = world.run("qwen2.5-1.5b", "--runtime", "1.2.3")
    assert done.code == 0, done.err
    (model,) = world.models()
    assert hashlib.sha256(model.read_bytes()).hexdigest() == world.sha256(W4)
    assert cdn.cuts
    assert api.url in (model.parent / "record.json").read_text()
    refused = world.run(
        "qwen2.5-1.5b@w4a16",
        "--runtime",
        "1.2.3",
        "--json",
        RKFETCH_HOME=str(tmp_path / "new"),
        SSL_CERT_FILE="",
    )
    assert refused.code == 6
    assert "SSL_CERT_FILE" in refused.json["error"]["hint"]


def test_certificates_that_are_not_there_are_no_riddle(world: World, tmp_path: Path) -> None:
    """For downloads and for the catalog, which huggingface_hub's own client asks."""
    world.add(W4, size=1000)
    world.update()
    world.env["SSL_CERT_FILE"] = str(tmp_path / "gone.pem")
    asked = ("qwen2.5-1.5b@w4a16", "--platform", "rk3576", "--runtime", "1.2.3")
    for command in (("catalog", "update"), asked):
        done = world.run(*command)
        assert done.code != 0
        assert "SSL_CERT_FILE names certificates that cannot be read" in done.err
        assert "bug" not in done.err
