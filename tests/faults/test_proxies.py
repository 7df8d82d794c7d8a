"""Proxies: with a password, with a wrong one, dying, and answering a login page for everything."""

from __future__ import annotations

import hashlib
import json
import sys
from typing import TYPE_CHECKING

import pytest
import trustme

from downloads import quick_http
from e2e.world import W4
from faults.fronts import Proxy, TlsFront
from faults.rig import CONTENT
from rkfetch.registry.errors import NetworkError, UsageError
from rkfetch.registry.http import RetryPolicy

if TYPE_CHECKING:
    from pathlib import Path

    from e2e.world import World
    from faults.rig import Rig
    from hub.server import Hub

USER, PASSWORD = "ann", "s3cret p@ss:word"
ENCODED = "s3cret%20p%40ss%3Aword"
PAGE = b"<!DOCTYPE html><html><head><title>Log in to the network</title></head></html>"
LOGIN = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s" % (
    len(PAGE),
    PAGE,
)
DEAD = "http://127.0.0.1:9"
HERE = ("--runtime", "1.2.3")
BRIEF = RetryPolicy(attempts=2, first_wait_s=0.01, longest_wait_s=0.02)


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def with_login(proxy: Proxy, password: str = ENCODED) -> str:
    return proxy.url.replace("//", f"//{USER}:{password}@")


def test_plain_http_through_a_proxy(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    with Proxy() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        rig.succeeds()
        assert {line.split(" ")[0] for line in proxy.asked} == {"HEAD", "GET"}
        assert rig.wire.asked


def test_a_password_in_the_address_is_used_and_never_shown(
    world: World, hub: Hub, tmp_path: Path
) -> None:
    authority = trustme.CA()
    bundle = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(bundle))
    certificate = authority.issue_cert("localhost")
    world.add(W4)
    world.update()
    with (
        Proxy(user=USER, password=PASSWORD) as proxy,
        TlsFront(certificate, hub.cdn) as cdn,
        TlsFront(certificate, hub.endpoint) as api,
    ):
        api.names = {hub.endpoint: api.url, hub.cdn: cdn.url}
        world.env |= {
            "HF_ENDPOINT": api.url,
            "SSL_CERT_FILE": str(bundle),
            "HTTPS_PROXY": with_login(proxy),
        }
        done = world.run("qwen2.5-1.5b", *HERE, "--debug", "--json")
        assert done.code == 0, done.err
        assert f"CONNECT localhost:{cdn.port}" in proxy.asked
        (model,) = world.models()
        assert hashlib.sha256(model.read_bytes()).hexdigest() == world.sha256(W4)
        process = world.start(
            *("qwen2.5-1.5b", *HERE, "--debug", "--json"),
            RKFETCH_HOME=str(tmp_path / "new"),
            HTTPS_PROXY=with_login(proxy, "wr0ng"),
        )
        out, err = process.communicate(timeout=60)
    assert process.returncode == 6
    error = json.loads(out)["error"]
    assert "password" in error["message"] + error["hint"]
    assert "HTTPS_PROXY" in error["hint"]
    shown = done.out + done.err + out + err
    notes = b"".join(
        path.read_bytes()
        for home in (world.home, tmp_path / "new")
        for path in home.rglob("*")
        if path.is_file() and path.suffix != ".rkllm"
    ).decode("latin-1")
    for secret in ("s3cret", "wr0ng"):
        assert secret not in shown
        assert secret not in notes


@pytest.mark.parametrize("given", [None, "wr0ng"])
def test_a_proxy_that_wants_a_password(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, given: str | None
) -> None:
    with Proxy(user=USER, password=PASSWORD) as proxy:
        monkeypatch.setenv("HTTP_PROXY", with_login(proxy, given) if given else proxy.url)
        error = rig.fails(NetworkError)
        assert "password" in error.message + (error.hint or "")
        assert "HTTP_PROXY" in (error.hint or "")
        assert "wr0ng" not in " ".join([error.message, *error.cause, error.hint or ""])
        assert len(proxy.asked) == 1  # the same password again could only lock somebody out
        monkeypatch.setenv("HTTP_PROXY", with_login(proxy))
        rig.succeeds()


def test_no_proxy_goes_round_a_dead_one(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", DEAD)
    rig.fails(NetworkError, http=quick_http(retries=BRIEF))
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
    rig.succeeds()


def test_a_proxy_that_dies_midway(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = Proxy()
    monkeypatch.setenv("HTTP_PROXY", proxy.url)

    def die(ask: object) -> None:
        proxy.stop()

    rig.then(die)
    rig.fails(NetworkError, http=quick_http(retries=BRIEF))
    (partial,) = rig.partials()
    assert partial.stat().st_size >= 200_000
    rig.wire.heal()
    with Proxy() as other:
        monkeypatch.setenv("HTTP_PROXY", other.url)
        done = rig.succeeds()
    assert done.resumed_from >= 200_000
    assert done.bytes_downloaded < len(CONTENT) * 0.7


def test_a_proxy_that_cuts_every_connection(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    with Proxy() as proxy:
        proxy.cut_after = 150_000
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        rig.succeeds()
        assert proxy.cuts  # how often depends on how many connections there were


@pytest.mark.parametrize("known", [False, True])
def test_a_login_page_for_everything(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    with Proxy() as proxy:
        proxy.answer = LOGIN
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        error = rig.fails(NetworkError)
        assert "captive portal" in error.message
        assert "log in" in (error.hint or "")
        assert not rig.store.root.exists()
        proxy.answer = None
        rig.succeeds()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 302 Found\r\nLocation: http://portal.example/login\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: https://portal.example/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 511 Network Authentication Required\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=["302 http", "302 https", "511"],
)
def test_a_network_that_sends_everybody_to_its_portal(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    with Proxy() as proxy:
        proxy.answer, proxy.portal = answer, LOGIN
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        error = rig.fails(NetworkError, http=quick_http(retries=BRIEF))
        assert error.hint
        assert not rig.store.root.exists()
        proxy.answer = None
        rig.succeeds()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nthis is no TLS, and never will be",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n",
        LOGIN,
    ],
    ids=["502", "403", "no TLS behind it", "garbage", "half a head", "a login page"],
)
def test_a_proxy_that_gives_no_tunnel(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    with Proxy() as proxy:
        proxy.answer = answer
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("HF_ENDPOINT", "https://hub.example")
        error = rig.fails(NetworkError, http=quick_http(retries=BRIEF))
        assert "hub.example" in error.message or "proxy" in error.message
        assert error.hint
        assert set(proxy.asked) == {"CONNECT hub.example:443"}


def test_socks_without_its_library_says_what_to_install(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv("ALL_PROXY", f"socks5://{USER}:{ENCODED}@127.0.0.1:9")
    error = rig.fails(UsageError)
    assert "socksio" in (error.hint or "")


@pytest.mark.parametrize(
    "proxy",
    [
        "http://[::1",
        "http://127.0.0.1:99999",
        "127.0.0.1:9",
        "http://",
        "http://ann:s3cret/x@127.0.0.1:9",
    ],
)
def test_a_proxy_that_is_no_address(rig: Rig, monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)
    error = rig.fails(NetworkError, UsageError, http=quick_http(retries=BRIEF))
    assert "proxy" in error.message
    assert "HTTP_PROXY" in (error.hint or "")
    assert len(rig.wire.asked) == 0


def test_a_proxy_whose_name_is_unknown_is_what_the_message_names(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://ann:s3cret@proxy.invalid:3128")
    error = rig.fails(NetworkError, http=quick_http(retries=BRIEF))
    assert error.message == "the name of the proxy proxy.invalid cannot be resolved"
    assert "HTTP_PROXY" in (error.hint or "")
