from __future__ import annotations

import datetime as dt
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from downloads import trickling
from hub.server import Fault, Hub
from rkfetch.registry import wire
from rkfetch.registry.addresses import follow, origin, shown, token_fits
from rkfetch.registry.connecting import connect
from rkfetch.registry.errors import (
    AuthenticationError,
    IntegrityError,
    NetworkError,
    OfflineError,
    RkfetchError,
    UnknownModelError,
    UsageError,
)
from rkfetch.registry.failures import TransientError, ordered_wait_s, translated
from rkfetch.registry.http import Http, Response, RetryPolicy
from rkfetch.registry.hub import (
    HttpBytes,
    endpoint,
    hub_token,
    locate,
    modelscope_endpoint,
    resolve_url,
)
from rkfetch.registry.model import Artifact, Availability

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REPO = "alice/Qwen2.5-1.5B-RKLLM"
FILE = "RK3576/qwen w4a16.rkllm"
CONTENT = bytes(range(256)) * 400
ARTIFACT = Artifact(source="huggingface", repo=REPO, path=FILE)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        hub.add_repo(REPO).add_file(FILE, CONTENT)
        yield hub


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def http(hub: Hub, waits: list[float]) -> Iterator[Http]:
    with Http(
        stall_timeout_s=1.5, connect_timeout_s=5, sleep=waits.append, random=lambda: 1.0
    ) as http:
        yield http


def body(http: Http, url: str, **headers: str) -> bytes:
    with http.open("GET", url, headers=headers) as response:
        return response.read(1 << 30)


class TestRedirects:
    def test_content_comes_from_the_host_that_the_hub_redirects_to(
        self, hub: Hub, http: Http
    ) -> None:
        assert body(http, resolve_url(REPO, FILE)) == CONTENT
        assert [seen.origin for seen in hub.requests] == ["hub", "cdn"]
        assert {seen.headers["accept-encoding"] for seen in hub.requests} == {"identity"}
        assert hub.requests[0].headers["user-agent"].startswith("rkfetch/")

    def test_a_loop_ends(self, hub: Hub, http: Http) -> None:
        hub.break_it(Fault(redirect="{here}"))
        with pytest.raises(NetworkError, match="redirects in circles"):
            body(http, resolve_url(REPO, FILE))
        assert len(hub.requests) == 11

    @pytest.mark.parametrize(
        "target",
        [
            "file:///etc/passwd",
            "ftp://127.0.0.1/x",
            "javascript:alert(1)",
            "http://169.254.169.254/latest/meta-data",
            "http://[fd00:ec2::254]/",
            "http://[::ffff:169.254.169.254]/",
            "http://[fe80::1]/",
            "http://2852039166/",
            "http://0xa9.0xfe.0xa9.0xfe/",
            "http://metadata.google.internal/",
            "http://100.100.100.200/",
            "http://[::1",
            "http://host:99999/",
            "http://a..b/",
            f"http://{'a' * 70}.com/",
        ],
    )
    def test_some_targets_are_refused(self, hub: Hub, http: Http, target: str) -> None:
        hub.break_it(Fault(redirect=target))
        with pytest.raises(NetworkError):
            body(http, resolve_url(REPO, FILE))
        assert len(hub.requests) == 1

    @pytest.mark.parametrize(
        "target",
        [
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://localhost/",
            "https://10.0.0.1/",
            "https://0.0.0.0/",
            "https://[64:ff9b::7f00:1]/",
            "http://huggingface.co/",
        ],
    )
    def test_a_public_host_cannot_lead_into_this_machine_or_its_network(self, target: str) -> None:
        with pytest.raises(NetworkError, match="was refused"):
            follow("https://1.1.1.1/x", target)

    @pytest.mark.parametrize(
        ("url", "location", "target"),
        [
            ("https://1.1.1.1/a/b", "/c?d=e", "https://1.1.1.1/c?d=e"),
            ("https://1.1.1.1/a", "https://8.8.8.8/b", "https://8.8.8.8/b"),
            ("http://1.1.1.1/a", "https://1.1.1.1/a", "https://1.1.1.1/a"),
            ("http://127.0.0.1:1/a", "http://127.0.0.1:2/a", "http://127.0.0.1:2/a"),
            ("http://127.0.0.1:1/a", "https://8.8.8.8/a", "https://8.8.8.8/a"),
            ("http://192.168.1.2/a", "http://192.168.1.3/a", "http://192.168.1.3/a"),
        ],
    )
    def test_others_are_followed(self, url: str, location: str, target: str) -> None:
        assert follow(url, location) == target

    def test_a_name_that_resolves_into_this_machine_is_refused(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answers = {"cdn.example": "169.254.169.254", "lan.example": "192.168.1.9"}

        def getaddrinfo(host: str, *args: Any, flags: int = 0, **more: Any) -> list[Any]:
            if flags:
                raise socket.gaierror
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers.get(host, "1.1.1.1"), 0))]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        with pytest.raises(NetworkError, match="was refused"):
            follow("https://hub.example/x", "https://cdn.example/x")
        assert follow("https://hub.example/x", "https://lan.example/x") == "https://lan.example/x"
        # A proxy resolves names; asking here would find nothing, or the wrong thing.
        follow("https://hub.example/x", "https://cdn.example/x", resolve_names=False)

    def test_a_redirect_without_target_is_no_answer(self, hub: Hub, http: Http) -> None:
        hub.break_it(Fault(status=302))
        with pytest.raises(NetworkError, match="redirects to nowhere"):
            body(http, resolve_url(REPO, FILE))


class TestToken:
    def test_it_goes_to_the_endpoint_and_never_to_the_host_behind_it(self, hub: Hub) -> None:
        hub.tokens.add("hf_secret", user="alice")
        with Http(token="hf_secret") as http:
            assert body(http, resolve_url(REPO, FILE)) == CONTENT
        sent = [(seen.origin, seen.headers.get("authorization")) for seen in hub.requests]
        assert sent == [("hub", "Bearer hf_secret"), ("cdn", None)]

    def test_a_header_of_the_callers_own_stays_behind_too(self, hub: Hub, http: Http) -> None:
        hub.tokens.add("hf_mine")
        body(http, resolve_url(REPO, FILE), Authorization="Bearer hf_mine")
        assert "authorization" not in hub.requests[-1].headers

    def test_another_port_of_the_same_host_is_another_origin(self, hub: Hub) -> None:
        with Http(token="hf_secret") as http:
            assert http.has_token_for(hub.endpoint)
            assert not http.has_token_for(hub.cdn)

    @pytest.mark.parametrize(
        ("url", "fits"),
        [
            ("https://huggingface.co", True),
            ("https://cdn.huggingface.co", True),
            ("http://huggingface.co", False),
            ("https://huggingface.co.evil.example", False),
            ("https://hf-mirror.com", False),
            ("http://127.0.0.1:8000", True),
            ("http://[::1]:8000", True),
            ("http://localhost:8000", True),
            ("http://192.168.1.5:8000", False),
        ],
    )
    def test_which_endpoints_get_it(
        self, monkeypatch: pytest.MonkeyPatch, url: str, fits: bool
    ) -> None:
        assert token_fits(url) is fits
        monkeypatch.setenv("RKFETCH_TOKEN_TO_MIRROR", "1")
        assert token_fits(url)

    def test_it_is_found_where_hugging_face_keeps_it(
        self, own_home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert hub_token() is None
        (own_home / "hf").mkdir()
        (own_home / "hf" / "token").write_text("hf_file\n")
        assert hub_token() == "hf_file"
        monkeypatch.setenv("HF_TOKEN", " hf_env ")
        assert hub_token() == "hf_env"
        monkeypatch.setenv("HF_TOKEN", "hf_a\r\nX: y")
        with pytest.raises(UsageError):
            hub_token()

    def test_without_hf_home_the_cache_folder_has_it(
        self, own_home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("HF_HOME")
        folder = own_home / ".cache" / "huggingface"
        folder.mkdir(parents=True)
        (folder / "token").write_text("hf_file")
        assert hub_token() == "hf_file"
        monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
        assert hub_token() is None


class TestFailures:
    @pytest.mark.parametrize(
        ("fault", "word"),
        [
            (Fault(drop_after=1000), "broke"),
            (Fault(reset_after=1000), "broke"),
            (Fault(stall_after=1000, stall_s=5), "stalled"),
            (Fault(length_delta=10), "broke"),
        ],
    )
    def test_a_broken_transfer_is_a_network_error(
        self, hub: Hub, http: Http, fault: Fault, word: str
    ) -> None:
        hub.break_it(fault)
        with pytest.raises(NetworkError, match=word):
            body(http, resolve_url(REPO, FILE))

    def test_a_compressed_body_is_refused(self, hub: Hub, http: Http) -> None:
        hub.break_it(Fault(gzip=True))
        with pytest.raises(IntegrityError, match="came compressed"):
            body(http, resolve_url(REPO, FILE))

    def test_a_refused_connection_says_so_after_a_bounded_number_of_tries(
        self, hub: Hub, http: Http, waits: list[float]
    ) -> None:
        hub.stop_accepting()
        with pytest.raises(NetworkError, match=r"127.0.0.1 refused the connection") as caught:
            http.request("HEAD", hub.endpoint)
        assert caught.value.cause == ("gave up after 5 tries without progress",)
        assert waits == [0.5, 1, 2, 4]

    def test_an_unknown_name_is_told_as_such(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def getaddrinfo(*args: Any, **more: Any) -> Any:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        with (
            Http(retries=RetryPolicy(attempts=1)) as http,
            pytest.raises(NetworkError, match=r"the name hub.example cannot be resolved"),
        ):
            http.request("HEAD", "https://hub.example/")

    def test_what_is_no_tls_is_a_network_error(self, hub: Hub, http: Http) -> None:
        with pytest.raises(NetworkError, match=r"no secure connection to 127.0.0.1"):
            http.request("HEAD", hub.endpoint.replace("http:", "https:"))

    @pytest.mark.parametrize(
        "url",
        [
            "http://",
            "nonsense",
            "http://\x00/",
            "http://[::1/",
            "http://h:x/",
            "http://a..b/",
            f"http://{'a' * 70}.com/",
            "http://u:secret@h:x/",
        ],
    )
    def test_an_impossible_address_is_our_error(self, http: Http, url: str) -> None:
        with pytest.raises((RkfetchError, ValueError)) as caught:
            http.request("HEAD", url)
        assert isinstance(caught.value, NetworkError)
        assert not isinstance(caught.value, TransientError)
        assert "secret" not in str(caught.value)

    def test_an_unreadable_bundle_is_named(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        monkeypatch.delenv("SSL_CERT_DIR", raising=False)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "none.pem"))
        with Http() as http, pytest.raises(UsageError, match="REQUESTS_CA_BUNDLE"):
            http.request("HEAD", "http://127.0.0.1:9/")

    def test_a_socks_proxy_that_cannot_be_used_is_named(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ALL_PROXY", "gopher://127.0.0.1:1")
        with Http() as http, pytest.raises(UsageError, match="proxy"):
            http.request("HEAD", "http://127.0.0.1:9/")

    def test_a_dead_proxy_is_named_by_what_failed(
        self, hub: Hub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HTTP_PROXY", hub.cdn)
        hub.stop_accepting("cdn")
        with Http(retries=RetryPolicy(attempts=1)) as http, pytest.raises(NetworkError):
            http.request("HEAD", hub.endpoint)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        with Http() as http:
            assert http.request("HEAD", hub.endpoint).status == 200

    def test_a_proxy_that_refuses_is_named(self, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTPS_PROXY", hub.endpoint)
        with (
            Http(retries=RetryPolicy(attempts=1)) as http,
            pytest.raises(NetworkError, match=r"the proxy refused to reach hub\.example") as caught,
        ):
            http.request("HEAD", "https://hub.example/")
        assert "HTTPS_PROXY" in (caught.value.hint or "")

    @pytest.mark.parametrize(
        ("now", "hint"), [(1_800_000_000, "SSL_CERT_FILE"), (5, "this machine's clock is wrong")]
    )
    def test_a_certificate_that_is_not_valid_is_final(
        self, monkeypatch: pytest.MonkeyPatch, now: float, hint: str
    ) -> None:
        error = ssl.SSLCertVerificationError("failed")
        error.verify_message = "self-signed certificate"
        error.verify_code = 18

        def refuse() -> None:
            try:
                raise error
            except ssl.SSLError as inner:
                raise httpx.ConnectError("failed") from inner

        monkeypatch.setattr(time, "time", lambda: now)
        with (
            pytest.raises(NetworkError, match=r"certificate of h\.example") as caught,
            translated("https://h.example/"),
        ):
            refuse()
        assert not isinstance(caught.value, TransientError)
        assert caught.value.cause == ("self-signed certificate",)
        assert hint in (caught.value.hint or "")

    def test_offline_asks_nobody(self, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        with Http() as http, pytest.raises(OfflineError):
            http.request("HEAD", hub.endpoint)
        assert hub.requests == []

    def test_a_signature_never_shows(self) -> None:
        assert shown("https://user:pw@h.example:1/p?Signature=s#f") == "https://h.example:1/p"
        assert origin("https://H.example./") == ("https", "h.example", 443)


class TestWaiting:
    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [
            ({"retry-after": "7"}, 7),
            ({"retry-after": "Sun, 01 Nov 2026 00:00:09 GMT"}, 9),
            ({"retry-after": "Sun, 01 Nov 2020 00:00:09 GMT"}, 0),
            ({"retry-after": "soon"}, None),
            ({"ratelimit": '"api";r=0;t=55'}, 56),
            ({"ratelimit": '"api";r=3;t=55'}, None),
            ({"ratelimit": '"api";r=0;t=5, "resolvers"; r=0; t=9'}, 10),
            ({"ratelimit": "r=0"}, None),
            ({"retry-after": "9" * 5000}, None),
            ({"ratelimit": f'"api";r=0;t={"9" * 5000}'}, None),
            ({"retry-after": f"Mon, 01 Jan 2024 00:00:00 +{'9' * 20}"}, None),
            ({"retry-after": "\u0665"}, None),
            ({}, None),
        ],
    )
    def test_what_a_server_orders(self, headers: dict[str, str], seconds: float | None) -> None:
        now = dt.datetime(2026, 11, 1, tzinfo=dt.timezone.utc).timestamp()
        assert ordered_wait_s(headers, now) == seconds

    def test_it_is_done(self, hub: Hub, http: Http, waits: list[float]) -> None:
        hub.break_it(
            Fault(status=429, headers={"Retry-After": "3"}, times=1),
            Fault(status=503, after=1, times=1),
        )
        assert http.request("HEAD", resolve_url(REPO, FILE), follow="same-origin").status == 302
        assert waits == [3, 1]

    def test_but_not_for_ever(self, hub: Hub, http: Http, waits: list[float]) -> None:
        hub.break_it(Fault(status=429, headers={"Retry-After": "86400"}))
        with pytest.raises(NetworkError, match="asks to slow down") as caught:
            http.request("HEAD", resolve_url(REPO, FILE))
        assert caught.value.cause == ("the server asks to wait 86400 s",)
        assert waits == []

    def test_nor_by_many_small_orders(self, hub: Hub, http: Http, waits: list[float]) -> None:
        hub.break_it(Fault(status=503, headers={"Retry-After": "200"}))
        with pytest.raises(NetworkError, match="answered 503") as caught:
            http.request("HEAD", resolve_url(REPO, FILE))
        asked = "the server asks to wait 200 s, after 200 s that were waited"
        assert caught.value.cause == (asked,)
        assert waits == [200]

    @pytest.mark.parametrize("text", ["1e300", "inf", "nan", "-1", "0", "soon", "9" * 5000])
    def test_a_stall_time_that_makes_no_sense_is_not_taken(
        self, hub: Hub, monkeypatch: pytest.MonkeyPatch, text: str
    ) -> None:
        monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", text)
        with Http() as http:
            assert http.request("HEAD", resolve_url(REPO, FILE)).status == 200

    def test_the_environment_sets_the_stall_time(
        self, hub: Hub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "1")  # a slow machine needs some to answer
        hub.break_it(Fault(stall_after=10, stall_s=5))
        with Http() as http, pytest.raises(NetworkError, match="stalled"):
            body(http, resolve_url(REPO, FILE))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class TestTrickles:
    def response(self, clock: Clock, *chunks: tuple[float, int]) -> Response:
        """An answer whose chunks take so many seconds for so many bytes."""

        def come() -> Iterator[bytes]:
            for seconds, count in chunks:
                clock.now += seconds
                yield bytes(count)

        raw = httpx.Response(200, content=come(), request=httpx.Request("GET", "http://h.example/"))
        return Response(raw, redirect=None, asked_for_part=False, window_s=60, clock=clock)

    def test_less_than_a_kilobyte_a_second_for_a_minute_is_a_stall(self) -> None:
        response = self.response(Clock(), *[(1, 999)] * 90)
        with pytest.raises(TransientError, match=r"h\.example stalled") as caught:
            response.read(1 << 20)
        assert caught.value.cause == ("59940 bytes came in 60 s",)

    def test_more_is_not_and_neither_are_pauses(self) -> None:
        chunks = [(1.0, 1000)] * 90 + [(29.0, 70_000)] * 9
        assert len(self.response(Clock(), *chunks).read(1 << 20)) == 90_000 + 630_000

    def test_what_is_done_with_the_bytes_takes_its_own_time(self) -> None:
        clock = Clock()
        response = self.response(clock, *[(0.1, 10)] * 90)
        while response.readinto(memoryview(bytearray(10))):
            clock.now += 1000

    def test_a_small_answer_has_to_be_complete_in_time(self) -> None:
        response = self.response(Clock(), *[(10, 50_000)] * 9)
        with pytest.raises(TransientError, match="did not answer in time"):
            response.read(1 << 20, until=60)

    @pytest.mark.parametrize(
        "endless", [b"HTTP/1.1 102 Processing\r\n\r\n", b"HTTP/1.1 200 OK\r\n", b"H"]
    )
    @pytest.mark.parametrize("proxied", [False, True])
    def test_a_head_that_never_ends_is_cut_off(
        self, monkeypatch: pytest.MonkeyPatch, endless: bytes, proxied: bool
    ) -> None:
        lines = b"X: y\r\n" if endless.endswith(b"OK\r\n") else endless
        with trickling(lines, first=endless, every_s=0.1) as url:
            if proxied:
                monkeypatch.setenv("HTTP_PROXY", url)
            with (
                # Less, and a busy machine's pause between two lines is a stall of its own.
                Http(stall_timeout_s=0.5, retries=RetryPolicy(attempts=2), sleep=id) as http,
                pytest.raises(NetworkError, match="did not answer in time") as caught,
            ):
                http.request("HEAD", url)
        assert caught.value.cause[-1] == "gave up after 2 tries without progress"

    def test_redirects_do_not_begin_the_time_anew(self, hub: Hub) -> None:
        hub.break_it(Fault(redirect="{here}", header_delay_s=0.001))
        with (
            Http(stall_timeout_s=0.2) as http,
            pytest.raises(TransientError, match="did not answer in time"),
            http.open("GET", resolve_url(REPO, FILE)),
        ):
            pass
        assert len(hub.requests) < 10


class TestResolveUrl:
    def test_names_are_encoded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert (
            resolve_url("o/n", "a b/c#d?.rkllm", "refs/pr/1")
            == "https://huggingface.co/o/n/resolve/refs%2Fpr%2F1/a%20b/c%23d%3F.rkllm"
        )
        assert resolve_url("o/n", "x.rkllm") == "https://huggingface.co/o/n/resolve/main/x.rkllm"
        assert (
            resolve_url("o/n", "x.rkllm", source="modelscope")
            == "https://www.modelscope.cn/models/o/n/resolve/master/x.rkllm"
        )
        assert resolve_url("http://lan/m/", "a/x", source="other") == "http://lan/m/a/x"

    @pytest.mark.parametrize("path", ["../x", "a/../b", "/etc/passwd", "a//b", ".", "", "a/."])
    def test_a_path_cannot_leave_its_repository(self, path: str) -> None:
        with pytest.raises(IntegrityError):
            resolve_url("o/n", path)

    def test_some_sources_have_no_addresses(self) -> None:
        with pytest.raises(UnknownModelError, match="cannot be downloaded by rkfetch"):
            resolve_url("ln5.sync.com", "x.rkllm", source="other")

    @pytest.mark.parametrize("value", ["huggingface.co", "ftp://h", "http://", "http://h:x"])
    def test_a_wrong_endpoint_is_named(self, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
        monkeypatch.setenv("HF_ENDPOINT", value)
        with pytest.raises(UsageError, match="HF_ENDPOINT"):
            endpoint()

    @pytest.mark.parametrize("token", [None, "hf_secret"])
    def test_an_endpoint_that_is_none_is_wrong_usage(
        self, monkeypatch: pytest.MonkeyPatch, token: str | None
    ) -> None:
        monkeypatch.setenv("HF_ENDPOINT", "https://[::1")
        with pytest.raises(UsageError, match="is not an address"), Http(token=token) as http:
            locate(http, ARTIFACT)

    @pytest.mark.parametrize(
        "value", ["http://bob:secret@127.0.0.1:1", "https://secret@h", "https://bob:secret@[::1"]
    )
    @pytest.mark.parametrize("variable", ["HF_ENDPOINT", "MODELSCOPE_ENDPOINT"])
    def test_a_password_in_an_endpoint_is_refused_and_not_shown(
        self, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
    ) -> None:
        monkeypatch.setenv(variable, value)
        with pytest.raises(UsageError, match=variable) as caught:
            endpoint() if variable == "HF_ENDPOINT" else modelscope_endpoint()
        assert "HF_TOKEN" in (caught.value.hint or "")
        assert "secret" not in f"{caught.value} {caught.value.cause} {caught.value.hint}"


class TestConnections:
    def test_one_is_used_again(self, hub: Hub, http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
        opened = count_connections(monkeypatch)
        for _ in range(3):
            http.request("GET", f"{hub.endpoint}/{REPO}/resolve/main/.gitattributes")
        assert len(opened) == 1

    def test_who_is_told_to_stop_too_late_takes_nobody_s_connection_away(
        self, hub: Hub, http: Http, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened = count_connections(monkeypatch)
        with http.open("GET", f"{hub.endpoint}/{REPO}/resolve/main/.gitattributes") as late:
            late.read(10_000)
        late.cut()
        http.request("GET", f"{hub.endpoint}/{REPO}/resolve/main/.gitattributes")
        assert len(opened) == 1

    def test_none_is_kept_by_a_client_that_was_closed(self, hub: Hub) -> None:
        client = Http()
        with client.open("GET", f"{hub.endpoint}/{REPO}/resolve/main/.gitattributes") as late:
            client.close()
            late.read(10_000)
        assert client._wire is not None
        assert not any(client._wire._idle.values())


def count_connections(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    opened: list[str] = []

    def counted(host: str, port: int, seconds: float | None) -> socket.socket:
        opened.append(host)
        return connect(host, port, seconds)

    monkeypatch.setattr(wire, "connect", counted)
    return opened


class TestLocate:
    def test_it_tells_what_the_hub_knows_without_content(self, hub: Hub, http: Http) -> None:
        remote = locate(http, ARTIFACT)
        repo = hub.repos[0]
        assert remote.url.startswith(hub.cdn)
        assert remote.size_bytes == len(CONTENT)
        assert remote.sha256 == repo.head.files[FILE].sha256
        assert remote.commit == repo.commit
        assert [seen.method for seen in hub.requests] == ["HEAD"]

    def test_a_renamed_repository_is_followed(self, hub: Hub, http: Http) -> None:
        hub.rename(REPO, "alice/new")
        assert locate(http, ARTIFACT).size_bytes == len(CONTENT)

    def test_a_mirror_that_redirects_to_a_hub_is_followed_there(
        self, hub: Hub, http: Http, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with Hub() as mirror:
            monkeypatch.setenv("HF_ENDPOINT", mirror.endpoint)
            path = resolve_url(REPO, FILE).removeprefix(mirror.endpoint)
            mirror.break_it(Fault(redirect=hub.endpoint + path, status=308))
            assert locate(http, ARTIFACT).sha256 == hub.repos[0].head.files[FILE].sha256

    def test_a_plain_server_tells_less(self, hub: Hub, http: Http) -> None:
        hub.repos[0].add_file("small.rkllm", b"123", lfs=False)
        base = f"{hub.endpoint}/{REPO}/resolve/main"
        plain = Artifact(source="other", repo=base, path="small.rkllm")
        remote = locate(http, plain)
        assert (remote.size_bytes, remote.sha256) == (3, None)
        hub.break_it(Fault(method="HEAD", status=405))
        assert locate(http, plain).size_bytes == 3

    @pytest.mark.parametrize("status", [200, 302])
    def test_what_does_not_answer_like_a_hub_is_none(
        self, hub: Hub, http: Http, status: int
    ) -> None:
        names = ("X-Repo-Commit", "X-Linked-ETag", "X-Linked-Size")
        with Hub() as portal:
            portal.break_it(Fault(status=200, headers=dict.fromkeys(names)))
            login = f"{portal.endpoint}/login"
            headers = {**dict.fromkeys(names), "Location": login if status == 302 else None}
            hub.break_it(Fault(status=status, headers=headers))
            with pytest.raises(NetworkError, match="does not answer like a Hub") as caught:
                locate(http, ARTIFACT)
        assert not isinstance(caught.value, TransientError)

    @pytest.mark.parametrize("text", ["9" * 5000, "-1", "abc", "\u0665"])
    def test_a_size_that_is_no_number_is_not_known(self, hub: Hub, http: Http, text: str) -> None:
        hub.break_it(Fault(headers={"X-Linked-Size": text}))
        assert locate(http, ARTIFACT).size_bytes is None

    def test_a_gated_repository_says_where_to_accept(self, hub: Hub, http: Http) -> None:
        hub.add_repo("bob/gated", gated="manual").add_file("x.rkllm", b"x")
        with pytest.raises(AuthenticationError, match="bob/gated is gated") as caught:
            locate(http, Artifact(source="huggingface", repo="bob/gated", path="x.rkllm"))
        assert caught.value.cause == ("no token was sent",)
        assert caught.value.hint == (
            f"accept its conditions at {hub.endpoint}/bob/gated; "
            "then set HF_TOKEN, or run `hf auth login`"
        )

    def test_a_token_without_access_is_not_shown(self, hub: Hub) -> None:
        hub.tokens.add("hf_secret", user="carol", accepted=False)
        hub.add_repo("bob/gated", gated="auto").add_file("x.rkllm", b"x")
        artifact = Artifact(source="huggingface", repo="bob/gated", path="x.rkllm")
        with Http(token="hf_secret") as http, pytest.raises(AuthenticationError) as caught:
            locate(http, artifact)
        error = caught.value
        assert error.cause == ("the token that was sent has no access",)
        assert "hf_secret" not in f"{error!r} {error.cause} {error.hint}"

    def test_private_and_missing_look_the_same(self, hub: Hub, http: Http) -> None:
        missing = Artifact(source="huggingface", repo="bob/none", path="x.rkllm")
        with pytest.raises(AuthenticationError, match="private, or not there"):
            locate(http, missing)

    def test_a_mirror_of_another_domain_is_not_given_the_token(
        self, hub: Hub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        missing = Artifact(source="huggingface", repo="bob/none", path="x.rkllm")
        with (
            Http(token=hub_token(), endpoint="https://hf-mirror.com") as http,
            pytest.raises(AuthenticationError) as caught,
        ):
            locate(http, missing)
        assert caught.value.cause == ("HF_TOKEN is not sent to a mirror of another domain",)
        assert "RKFETCH_TOKEN_TO_MIRROR=1" in (caught.value.hint or "")

    def test_a_file_that_is_gone_asks_for_a_new_catalog(self, hub: Hub, http: Http) -> None:
        hub.repos[0].remove_file(FILE)
        with pytest.raises(UnknownModelError, match="has no file") as caught:
            locate(http, ARTIFACT)
        assert caught.value.hint is not None
        assert "`rkfetch catalog update`" in caught.value.hint

    def test_what_only_a_person_can_fetch_is_not_asked_for(self, hub: Hub, http: Http) -> None:
        manual = Artifact(
            source="modelzoo",
            repo="zoo",
            path="x.rkllm",
            availability=Availability.MANUAL,
            note="code: rkllm",
        )
        with pytest.raises(UnknownModelError, match="by hand") as caught:
            locate(http, manual)
        assert caught.value.cause == ("code: rkllm",)
        assert hub.requests == []


class TestHttpBytes:
    def test_pieces_cost_one_request_each_after_the_first(self, hub: Hub, http: Http) -> None:
        source = HttpBytes(http, ARTIFACT)
        assert source.size() == len(CONTENT)
        assert source.read(0, 10) == CONTENT[:10]
        assert source.read(300, 5) == CONTENT[300:305]
        assert source.tail(7) == CONTENT[-7:]
        assert source.read(len(CONTENT) - 2, 10) == CONTENT[-2:]
        assert source.read(len(CONTENT), 10) == b""
        assert (source.requests, source.bytes_read) == (5, 24)
        assert hub.data_bytes() == 24
        assert [seen.origin for seen in hub.requests] == ["hub", *["cdn"] * 4]

    def test_an_expired_address_is_asked_for_again(
        self, hub: Hub, http: Http, waits: list[float]
    ) -> None:
        source = HttpBytes(http, ARTIFACT)
        source.read(0, 10)
        hub.expire_urls()
        assert source.read(10, 10) == CONTENT[10:20]
        assert waits == []

    def test_two_versions_are_never_mixed(self, hub: Hub, http: Http) -> None:
        source = HttpBytes(http, ARTIFACT)
        source.read(0, 10)
        hub.break_it(Fault(etag='"other"'))
        with pytest.raises(IntegrityError, match="not the file that it was"):
            source.read(10, 10)

    def test_a_file_replaced_upstream_is_noticed_before_any_content(
        self, hub: Hub, http: Http
    ) -> None:
        artifact = Artifact(source="huggingface", repo=REPO, path=FILE, sha256="0" * 64)
        with pytest.raises(IntegrityError) as caught:
            HttpBytes(http, artifact).read(0, 10)
        assert caught.value.expected == "0" * 64
        assert hub.data_bytes() == 0

    def test_so_is_another_size(self, hub: Hub, http: Http) -> None:
        artifact = Artifact(source="huggingface", repo=REPO, path=FILE, size_bytes=5)
        with pytest.raises(IntegrityError) as caught:
            HttpBytes(http, artifact).read(0, 10)
        assert (caught.value.expected, caught.value.actual) == ("5 bytes", f"{len(CONTENT)} bytes")
        assert hub.data_bytes() == 0

    def test_a_part_with_an_endless_number_is_refused(self, hub: Hub, http: Http) -> None:
        hub.break_it(Fault(content_range=f"bytes 0-9/{'9' * 5000}"))
        with pytest.raises(IntegrityError, match="another part"):
            HttpBytes(http, ARTIFACT).read(0, 10)

    def test_another_part_than_asked_for_is_refused(self, hub: Hub, http: Http) -> None:
        hub.break_it(Fault(content_range=f"bytes 5-14/{len(CONTENT)}"))
        with pytest.raises(IntegrityError, match="another part"):
            HttpBytes(http, ARTIFACT).read(0, 10)

    def test_a_server_without_ranges_is_read_as_far_as_needed(self, hub: Hub, http: Http) -> None:
        hub.break_it(Fault(ignore_range=True))
        source = HttpBytes(http, ARTIFACT)
        assert source.read(100, 10) == CONTENT[100:110]
        assert source.tail(10) == CONTENT[-10:]
        assert source.bytes_read == 110 + len(CONTENT)

    def test_but_not_through_gigabytes(self, hub: Hub, http: Http) -> None:
        hub.repos[0].add_file("big.rkllm", lambda: bytes(9 << 20))
        hub.break_it(Fault(ignore_range=True))
        source = HttpBytes(http, Artifact(source="huggingface", repo=REPO, path="big.rkllm"))
        with pytest.raises(NetworkError, match="cannot give a part of a file"):
            source.tail(10)

    def test_a_drop_is_tried_again(self, hub: Hub, http: Http, waits: list[float]) -> None:
        hub.break_it(Fault(drop_after=5, times=2))
        assert HttpBytes(http, ARTIFACT).read(0, 10) == CONTENT[:10]
        assert waits == [0.5, 1]

    def test_without_a_size_the_tail_is_asked_for_by_its_length(self, hub: Hub, http: Http) -> None:
        hub.break_it(Fault(method="HEAD", headers={"X-Linked-Size": None}))
        assert HttpBytes(http, ARTIFACT).tail(10) == CONTENT[-10:]


def test_what_the_kernel_tells_of_a_connection_is_taken(http: Http) -> None:
    with socket.socket() as any_socket:
        if len(any_socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)) < 104:
            pytest.skip("qemu-user cuts off what the kernel tells")
    told = http.request("HEAD", resolve_url(REPO, FILE)).round_trip_s
    assert told is not None
    assert 0 < told < 10


def test_where_the_kernel_tells_nothing_of_a_connection_it_is_done_without(
    http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    http.request("HEAD", resolve_url(REPO, FILE))  # connects
    # As qemu-user gives it to a program of another processor.
    monkeypatch.setattr(socket.socket, "getsockopt", lambda *_: bytes(4))
    assert http.request("HEAD", resolve_url(REPO, FILE)).round_trip_s is None
