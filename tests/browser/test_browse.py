"""``rkfetch browse``: this machine's page, whose buttons fetch, and which nobody else can use."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import struct
import sys
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from e2e.world import OTHER, QWEN, W4, W8, World
from hub.faults import Fault
from hub.server import Hub
from rknn_files import rknn_bytes
from waiting import wait_until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

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

    def jobs(self) -> dict[str, Any]:
        return dict(json.loads(self.ask("GET", "/jobs", X_Rkfetch_Key=self.key)[1]))

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
        orders = (("POST", "/fetch"), ("POST", "/stop"))
        for method, path in (*orders, ("GET", "/jobs"), ("GET", "/installed")):
            body = {"reference": REFERENCE} if method == "POST" else None
            assert here.ask(method, path, body, **sent)[0] == 403, why
        assert here.ask("GET", "/")[0] == 403
        assert here.ask("GET", f"/?key={here.key}", Host="evil.example")[0] == 403
        assert here.ask("GET", "/?once=x")[0] == 403
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


# --- one at a time, in parts ----------------------------------------------------------------------


def states(here: Browsing) -> dict[str, str]:
    told = json.loads(here.ask("GET", "/jobs", X_Rkfetch_Key=here.key)[1])
    return {reference.rpartition("_")[2]: job["state"] for reference, job in told.items()}


def order(here: Browsing, what: str, path: str) -> None:
    body = {"reference": f"hf:{QWEN}/{path}"}
    assert here.ask("POST", f"/{what}", body, X_Rkfetch_Key=here.key)[0] == 200


def test_one_is_fetched_at_a_time(visitor: Visitor, world: World) -> None:
    hold = world.hub.hold(f"*{W4}", 2_000_000)
    with browsing(world) as here:
        order(here, "fetch", W4)
        assert hold.reached.wait(60)
        page = visitor.opens(here.address, "lang=en&q=qwen2.5-1.5b+w8a8")
        page.locator(".job button", has_text="Fetch").click()
        page.locator(".job", has_text="Waiting for the one before").wait_for()
        assert states(here) == {"w4a16.rkllm": "running", "w8a8.rkllm": "waiting"}
        order(here, "stop", W8)
        assert states(here)["w8a8.rkllm"] == "stopped"
        order(here, "fetch", W8)
        hold.released.set()
        page.locator(".job", has_text="On this machine").wait_for(timeout=60_000)
        assert set(states(here).values()) == {"done"}
        page.goto("about:blank")


def test_the_encoder_of_a_vision_model_is_told_apart(world: World) -> None:
    repo = "Ann/Qwen2.5-VL-3B-Instruct-RKLLM"
    model = "rk3576/Qwen2.5-VL-3B-Instruct_w4a16_rk3576.rkllm"
    world.add(model, repo=repo, size=2_000_000)
    there = world.hub.find_repo(repo)
    assert there is not None
    encoder = "rk3576/qwen2.5-vl-3b_vision_rk3576.rknn"
    there.add_file(encoder, rknn_bytes("rk3576", body_bytes=30_000_000))
    world.update()
    hold = world.hub.hold(encoder, 20_000_000)
    reference = f"hf:{repo}/{model}"
    with browsing(world) as here:
        here.ask("POST", "/fetch", {"reference": reference}, X_Rkfetch_Key=here.key)

        def job() -> dict[str, Any]:
            told = json.loads(here.ask("GET", "/jobs", X_Rkfetch_Key=here.key)[1])
            return dict(told[reference])

        assert hold.reached.wait(60)
        wait_until(lambda: job()["part"] == 2, at_most_s=60)
        assert job()["total"] > 29_000_000
        hold.released.set()
        wait_until(lambda: job()["state"] == "done", at_most_s=60)


def test_what_is_installed_since_is_shown(visitor: Visitor, world: World) -> None:
    with browsing(world) as here:
        done = world.run("fetch", f"hf:{QWEN}/{W4}", *BOARD)
        assert done.code == 0, done.err
        page = visitor.opens(here.address, "lang=en&q=qwen2.5-1.5b+w4a16")
        page.locator(".mark", has_text="installed").wait_for()


def test_only_what_this_machine_runs_has_a_button(visitor: Visitor, world: World) -> None:
    world.add(OTHER, platform="rk3588", npu_cores=3)
    world.update()
    with browsing(world) as here:
        page = visitor.opens(here.address, "lang=en")
        assert page.locator(".job button", has_text="Fetch").count() > 1
        page.select_option("#board", "rk3588/")
        page.wait_for_function("document.title.startsWith('RK3588')")
        page.locator(".model").first.wait_for()
        assert page.locator(".job").count() == 0
        page.locator("button", has_text="Copy command").first.click()
        page.locator("button", has_text="Copied ✓").wait_for()
        command = str(page.evaluate("navigator.clipboard.readText()")).split()
        done = world.run("resolve", *command[1:], "--json")
        assert (done.code, done.json["target"]["platform"]) == (0, "rk3588"), done.err


@pytest.mark.parametrize(
    ("language", "why"),
    [
        ("en", "NPU driver 0.8.2 fails every w8a8"),
        ("zh", "NPU 驱动 0.8.2 上所有 w8a8 矩阵乘法都会失败"),
    ],
)
def test_this_boards_driver_counts(visitor: Visitor, world: World, language: str, why: str) -> None:
    """What the page says of a file on this board is what its Fetch would come to."""
    with browsing(world, "--driver", "0.8.2") as here:
        page = visitor.opens(here.address, f"lang={language}&q=qwen2.5-1.5b&all=1")
        refused = page.locator("tr.no", has_text=W8)
        assert why in refused.locator(".verdict").inner_text()
        assert refused.locator(".job").count() == 0
        runs = page.locator(".builds tbody tr", has_text=W4)
        assert "0.8.2" in (runs.locator(".verdict strong").get_attribute("title") or "")
        assert runs.locator(".job button").count() == 1
    done = world.run("fetch", f"hf:{QWEN}/{W8}", *BOARD, "--driver", "0.8.2")
    assert done.code == 3
    assert "NPU driver 0.8.2" in done.err


def test_a_set_up_file_from_the_page_is_locked(visitor: Visitor, world: World) -> None:
    with browsing(world) as here:
        page = visitor.opens(here.address, "lang=zh&q=qwen2.5-1.5b")
        for box in page.locator(".pick input").all():
            box.check()
        page.click("#show-script")
        page.check("#forms input[value=toml]")
        declared = page.input_value("#script-text")
    world.cwd = world.home.parent
    (world.cwd / "rkfetch.toml").write_text(declared)
    done = world.run("lock", "--json")
    assert done.code == 0, done.err
    (target,) = done.json["targets"]
    assert (target["target"]["platform"], target["target"]["runtime"]) == ("rk3576", "1.2.3")
    assert [m["files"][0]["path"] for m in target["models"]] == [W4, W8]


def test_a_server_that_has_ended_is_said(visitor: Visitor, world: World) -> None:
    with browsing(world) as here:
        page = visitor.opens(here.address, "lang=zh&q=qwen2.5-1.5b+w4a16")
        here.end()
        page.locator(".job button", has_text="下载").click()
        page.locator(".job .why", has_text="rkfetch browse 已结束").wait_for()
        visitor.complaints.clear()


# --- the browser that is opened, and the end ------------------------------------------------------


def test_the_browser_is_started_without_the_key_and_served(world: World, tmp_path: Path) -> None:
    """By a program that does not return before it has what it asks for."""
    program, seen = tmp_path / "browser", tmp_path / "seen"
    program.write_text(
        f"#!{sys.executable}\nimport sys, urllib.request\n"
        "page = urllib.request.urlopen(sys.argv[1])\n"
        f"open({str(seen)!r} + '.part', 'w').write(sys.argv[1] + '\\n' + page.url)\n"
        f"import os; os.rename({str(seen)!r} + '.part', {str(seen)!r})\n"
    )
    program.chmod(0o755)
    screen = {"DISPLAY": ":99", "BROWSER": f"{program} %s"}
    process = world.start("browse", *BOARD, **screen)
    here = Browsing(process)
    wait_until(seen.exists, at_most_s=60)
    started, landed = seen.read_text().splitlines()
    assert here.key not in started
    assert landed == here.address
    again = here.ask("GET", started.partition(here.host)[2])
    assert (again[0], "the whole address" in again[1]) == (403, True)
    assert here.end()[0] == 0


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGKILL])
def test_no_fetch_outlives_it(world: World, number: signal.Signals) -> None:
    world.hub.break_it(Fault(path=f"*{W4}", rate=200_000))
    process = world.start("browse", "--no-open", *BOARD)
    here = Browsing(process)
    order(here, "fetch", W4)
    wait_until(lambda: bool(children(process.pid)), at_most_s=60)
    (child,) = children(process.pid)
    world.wait_for_partial(1)
    process.send_signal(number)
    process.communicate(timeout=60)
    wait_until(lambda: not Path(f"/proc/{child}").exists() or is_dead(child), at_most_s=60)
    assert len(world.partials()) == 1


def children(process: int) -> list[int]:
    found: list[str] = []
    for task in Path(f"/proc/{process}/task").iterdir():
        with suppress(OSError):  # it has just ended
            found += (task / "children").read_text().split()
    return [int(number) for number in found if is_fetching(number)]


def is_fetching(process: str) -> bool:
    with suppress(OSError):
        return b"fetch" in Path(f"/proc/{process}/cmdline").read_bytes()
    return False


def is_dead(process: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def test_it_ends_with_what_reads_its_output(world: World) -> None:
    """As with an ssh that was broken off."""
    process = world.start("browse", "--no-open", *BOARD)
    Browsing(process)
    assert process.stdout is not None
    process.stdout.close()
    code = process.wait(60)
    assert process.stderr is not None
    with process.stderr as told:
        assert (code, told.read()) == (0, "Ctrl-C ends it\n")


def test_who_goes_away_in_the_middle_leaves_no_trace(world: World) -> None:
    with browsing(world) as here:
        host, port = here.host.split(":")
        for _ in range(5):
            with socket.create_connection((host, int(port))) as visit:
                visit.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                visit.sendall(
                    f"GET /?key={here.key} HTTP/1.1\r\nHost: {here.host}\r\n\r\n".encode()
                )
        long = {"Content_Length": "9" * 5000, "X_Rkfetch_Key": here.key}
        assert here.ask("POST", "/fetch", None, **long)[0] == 404
        wait_until(lambda: here.ask("GET", "/jobs", X_Rkfetch_Key=here.key)[0] == 200, at_most_s=60)
        code, err = here.end()
    assert (code, err) == (0, "Ctrl-C ends it\n")
