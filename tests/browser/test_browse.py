"""``rkfetch browse``: this machine's page, whose buttons fetch, and which nobody else can use."""

from __future__ import annotations

import http.client
import json
import signal
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from e2e.world import QWEN, W4, W8, World
from hub.faults import Fault
from hub.server import Hub

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import Visitor

pytestmark = pytest.mark.once
BOARD = ("--platform", "rk3576", "--runtime", "1.2.3", "--memory", "8G")
REFERENCE = f"hf:{QWEN}/{W4}"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with Hub() as hub:
        world = World(hub, tmp_path)
        world.add(W4, size=4_000_000)
        world.add(W8, size=4_100_000)
        world.update()
        yield world


class Browsing:
    """A running ``rkfetch browse``."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process = process
        self.address = process.stdout.readline().strip()
        assert self.address.startswith("http://127.0.0.1:"), process.communicate()
        parts = urlsplit(self.address)
        self.host, self.key = parts.netloc, parse_qs(parts.query)["key"][0]

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with closing(http.client.HTTPConnection(self.host, timeout=20)) as connection:
            connection.request(method, path, None if body is None else json.dumps(body), named)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def end(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=60)
        assert out == ""
        return self.process.returncode, err


@contextmanager
def browsing(world: World, *args: str) -> Iterator[Browsing]:
    process = world.start("browse", "--no-open", *BOARD, *args)
    try:
        yield Browsing(process)
    finally:
        process.kill()
        process.communicate()


def test_a_build_is_fetched_from_the_page(visitor: Visitor, world: World) -> None:
    with browsing(world) as here:
        page = visitor.opens(here.address, "lang=en")
        assert page.locator("#runtime").input_value() == "1.2.3"
        assert page.locator("#memory").input_value() == "8"
        page.locator(".job button", has_text="Fetch").first.click()
        page.locator(".job", has_text="On this machine").wait_for()
        (model,) = world.models()
        assert str(model) in page.inner_text(".job")
        page.goto("about:blank")
        assert here.end()[0] == 0
    visitor.asked.clear()
    with browsing(world) as here:
        page = visitor.opens(here.address, "lang=en")
        assert page.locator(".mark", has_text="installed").count() == 1
        assert all(a.startswith(("about:", f"http://{here.host}/")) for a in visitor.asked)


def test_progress_is_shown_and_a_download_is_stopped(visitor: Visitor, world: World) -> None:
    world.hub.break_it(Fault(path=f"*{W4}", rate=400_000))
    with browsing(world) as here:
        page = visitor.opens(here.address, "lang=en&q=qwen2.5-1.5b+w4a16")
        page.locator(".job button", has_text="Fetch").click()
        bar = page.locator("progress")
        bar.wait_for()
        while not bar.evaluate("bar => bar.position > 0"):
            time.sleep(0.05)
        page.locator(".job button", has_text="Stop").click()
        page.locator(".job button", has_text="Fetch").wait_for()
        assert world.models() == []
        assert len(world.partials()) == 1
        page.goto("about:blank")  # it would go on asking


def test_ctrl_c_ends_it_and_keeps_what_has_come(world: World) -> None:
    world.hub.break_it(Fault(path=f"*{W4}", rate=400_000))
    with browsing(world) as here:
        asked = here.ask("POST", "/fetch", {"reference": REFERENCE}, X_Rkfetch_Key=here.key)
        assert asked[0] == 200
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            told = json.loads(here.ask("GET", "/jobs", X_Rkfetch_Key=here.key)[1])
            if told[REFERENCE]["completed"] > 100_000:
                break
            time.sleep(0.05)
        code, err = here.end()
    assert code == 0
    assert "what has come is kept" in err
    assert len(world.partials()) == 1


def test_what_fails_says_why(visitor: Visitor, world: World) -> None:
    with browsing(world) as here:
        page = visitor.opens(here.address, "lang=en&q=qwen2.5-1.5b+w4a16")
        world.hub.break_it(Fault(path=f"*{W4}", status=404))
        page.locator(".job button", has_text="Fetch").click()
        page.locator(".job .why", has_text="It was not fetched").wait_for()
        assert world.models() == []


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({"X_Rkfetch_Key": ""}, "no key"),
        ({"X_Rkfetch_Key": "x" * 32}, "another key"),
        ({"Origin": "https://evil.example"}, "another site"),
        ({"Origin": "null"}, "a page from a folder"),
        ({"Host": "evil.example"}, "a name that was pointed here"),
        ({"Host": "evil.example:{port}"}, "the same with the port"),
    ],
)
def test_nobody_else_has_anything_fetched(world: World, headers: dict[str, str], why: str) -> None:
    with browsing(world) as here:
        port = here.host.rpartition(":")[2]
        sent = {name: value.format(port=port) for name, value in headers.items()}
        sent = {"X_Rkfetch_Key": here.key, **sent}
        for method, path in (("POST", "/fetch"), ("POST", "/stop"), ("GET", "/jobs")):
            body = {"reference": REFERENCE} if method == "POST" else None
            assert here.ask(method, path, body, **sent)[0] == 403, why
        assert here.ask("GET", "/")[0] == 403
        assert here.ask("GET", f"/?key={here.key}", Host="evil.example")[0] == 403
        assert json.loads(here.ask("GET", "/jobs", X_Rkfetch_Key=here.key)[1]) == {}


@pytest.mark.parametrize(
    "body",
    [
        {"reference": "hf:someone/else/x.rkllm"},
        {"reference": "--help"},
        {"reference": ["x"]},
        {},
        [1],
        "x" * 9000,
    ],
)
def test_only_what_the_page_lists_is_fetched(world: World, body: Any) -> None:
    with browsing(world) as here:
        assert here.ask("POST", "/fetch", body, X_Rkfetch_Key=here.key)[0] == 404
        assert here.ask("GET", "/../../etc/passwd", X_Rkfetch_Key=here.key)[0] == 404
        assert here.ask("GET", "/page/../../x")[0] == 404


def test_a_port_that_is_taken_is_said(world: World) -> None:
    with browsing(world) as here:
        port = here.host.rpartition(":")[2]
        done = world.run("browse", "--no-open", "--port", port)
        assert (done.code, done.out) == (2, "")
        assert "name another with --port" in done.err
