"""Another machine over a real ssh: a conversion there, its file here, and one to a board."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import sshd
from rkfetch import __version__
from rkfetch.registry.bring import bring
from rkfetch.registry.convert.remote import convert_on, run_on, version_on
from rkfetch.registry.deliver import deliver
from rkfetch.registry.errors import (
    AuthenticationError,
    ConversionUnavailableError,
    DiskSpaceError,
    IntegrityError,
    NetworkError,
    RkfetchError,
    UsageError,
)
from rkfetch.registry.model import Platform
from rkfetch.registry.progress import NoProgress
from rkfetch.registry.ssh import RemoteHost, Ssh
from rkfetch.registry.store import Record, Store
from rkllm_files import rkllm_bytes
from stored import add

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rkfetch.registry.convert.run import Converted
    from rkfetch.registry.store import Installed
    from sshd import Machine

pytestmark = pytest.mark.once
needs_sshd = pytest.mark.skipif(bool(sshd.MISSING), reason=sshd.MISSING)
CONTENT = rkllm_bytes(body_bytes=3_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
BASE = "Qwen/Qwen3-0.6B"
MADE = {
    "base": {"model": BASE, "revision": "c" * 40, "path": None},
    "toolkit": "1.2.3",
    "platform": "rk3576",
    "quant": "w4a16",
    "context": 4096,
    "npu_cores": 2,
    "licence": "apache-2.0",
    "started": "2026-11-26T04:00:00+00:00",
}


# --- addresses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "user", "host", "port"),
    [
        ("ssh://ann@pc.local", "ann", "pc.local", None),
        ("ssh://ann@192.168.1.5:2222", "ann", "192.168.1.5", 2222),
        ("ssh://pc/", None, "pc", None),
        ("ann@pc", "ann", "pc", None),
        ("pc", None, "pc", None),
        ("ssh://ann@[fe80::1%eth0]:22", "ann", "fe80::1%eth0", 22),
        ("ssh://ann@h:65535", "ann", "h", 65535),
    ],
)
def test_addresses(text: str, user: str | None, host: str, port: int | None) -> None:
    read = RemoteHost.parse(text)
    assert (read.user, read.host, read.port) == (user, host, port)
    assert RemoteHost.parse(read.address) == read


@pytest.mark.parametrize(
    "text",
    [
        *("", "ssh://", "-oProxyCommand=x", "ssh://-oProxyCommand=x", "ann@-x", "-l@host"),
        *("ssh://ann@h:0", "ssh://ann@h:65536", "ssh://ann@h:x", "ann@h:22", "ssh://h/path"),
        *("http://h", "ann@h x", "ann@h\n", "ann@h;x", "a@b@c", "$(x)", "ssh://ann:pw@h", "h-"),
    ],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(UsageError, match="names no machine"):
        RemoteHost.parse(text)


def test_without_ssh_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError) as caught:
        Ssh(RemoteHost.parse("pc"))
    assert "openssh-client" in str(caught.value.hint)


# --- the other machine ----------------------------------------------------------------------------


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    started = sshd.start(tmp_path / "there")
    monkeypatch.setenv("PATH", f"{tmp_path / 'there' / 'client'}:{os.environ['PATH']}")
    monkeypatch.setattr("rkfetch.registry.bring._PAUSE_S", 0.05)
    yield started
    started.stop()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


class Heard:
    """Keeps what was told."""

    def __init__(self) -> None:
        self.values: list[Mapping[str, Any]] = []
        self.lines: list[str] = []

    def told(self, values: Mapping[str, Any]) -> None:
        self.values.append(values)

    def said(self, line: str) -> None:
        self.lines.append(line)


STAND_IN = f"""#!{sys.executable}
import json, pathlib, signal, sys, time
if sys.argv[1:] == ["--version"]:
    print("rkfetch 9.9.9"); sys.exit()
def ended(*_):
    pathlib.Path("ended").touch(); sys.exit(130)
signal.signal(signal.SIGTERM, ended)
pathlib.Path("arguments").write_text(json.dumps(sys.argv[1:]))
if pathlib.Path("crash").exists():
    print("Traceback: x", file=sys.stderr); sys.exit(1)
for n in range(3):
    print(json.dumps({{"status": "converting", "phase": "build", "completed": n}}),
          file=sys.stderr, flush=True)
print("a plain \\x1b[31mline", file=sys.stderr, flush=True)
if pathlib.Path("wait").exists():
    pathlib.Path("started").touch(); time.sleep(120)
if pathlib.Path("error.json").exists():
    error = json.loads(pathlib.Path("error.json").read_text())
    print(json.dumps({{"schema_version": 1, "status": "error", "error": error}}))
    sys.exit(error["code"])
print(pathlib.Path("answer.json").read_text())
"""


@pytest.fixture
def pc(machine: Machine) -> Machine:
    """Give the other machine a rkfetch that makes one file, under a name with a blank in it."""
    machine.command("rkfetch", STAND_IN)
    made = machine.home / "a model.rkllm"
    made.write_bytes(CONTENT)
    tell(machine, path=str(made))
    return machine


def tell(machine: Machine, **values: Any) -> None:
    answer = {
        "schema_version": 1,
        "status": "ok",
        "artifact": {"bytes": len(CONTENT), "sha256": SHA256},
        "path": "/",
        "made": MADE,
        **values,
    }
    (machine.home / "answer.json").write_text(json.dumps(answer))


def convert(machine: Machine, store: Store, *arguments: str, **options: Any) -> Converted:
    options = {"listener": Heard(), "platform": Platform.RK3576, **options}
    with Ssh(machine.host) as link:
        return convert_on(link, arguments, store=store, progress=NoProgress(), **options)


@needs_sshd
def test_a_file_made_there_is_here_with_where_it_came_from(pc: Machine, store: Store) -> None:
    heard = Heard()
    done = convert(pc, store, "qwen3-0.6b", "--note", "it's $HOME `x`; y", listener=heard)
    assert done.installed.path.read_bytes() == CONTENT
    assert done.installed.path.name == "a model.rkllm"
    assert not done.was_here
    record = store.installed()[0].record
    assert (record.sha256, record.size_bytes) == (SHA256, len(CONTENT))
    assert record.endpoint == pc.host.address
    assert (record.source, record.repo, record.revision) == ("converted", BASE, "c" * 40)
    assert record.attributes["platform"] == {"value": "rk3576", "origin": "header"}
    assert record.attributes["context"]["value"] == "4096"
    assert record.made == MADE
    assert [v["completed"] for v in heard.values] == [0, 1, 2]
    assert heard.lines == ["a plain \x1b[31mline"]
    # However it was quoted on its way, it is there what it was here.
    told = json.loads((pc.home / "arguments").read_text())
    assert told == ["convert", "qwen3-0.6b", "--note", "it's $HOME `x`; y", "--json"]
    assert not list(store.partials.glob("*.partial"))


@needs_sshd
def test_the_real_rkfetch_is_found_there(machine: Machine) -> None:
    program = shlex.quote(str(Path(sys.executable).with_name("rkfetch")))
    home = shlex.quote(str(machine.home / "rk"))
    machine.command("rkfetch", f'#!/bin/sh\nRKFETCH_HOME={home} exec {program} "$@"\n')
    with Ssh(machine.host) as link:
        assert version_on(link) == __version__
        with pytest.raises(UsageError, match="on ") as caught:
            run_on(link, ["inspect", "--no-such-option", "--json"], Heard())
        assert "--no-such-option" in "".join(caught.value.cause)


@needs_sshd
def test_without_rkfetch_there_it_says_how_to_have_it(machine: Machine) -> None:
    with (
        pytest.raises(UsageError, match="there is no rkfetch on") as caught,
        Ssh(machine.host) as link,
    ):
        version_on(link)
    assert f"| ssh -p {machine.port} {machine.host.name} '" in str(caught.value.hint)


@needs_sshd
def test_a_failure_there_is_the_same_failure_here(pc: Machine, store: Store) -> None:
    error = {"code": 10, "kind": "x", "message": "no room", "cause": ["8 GB"], "hint": "add swap"}
    (pc.home / "error.json").write_text(json.dumps(error))
    with pytest.raises(ConversionUnavailableError) as caught:
        convert(pc, store)
    assert caught.value.message == f"on {pc.host.name}: no room"
    assert caught.value.cause == ("8 GB",)
    assert caught.value.hint == f"on {pc.host.name}: add swap"


@needs_sshd
def test_a_crash_there_is_a_sentence(pc: Machine, store: Store) -> None:
    (pc.home / "crash").touch()
    with pytest.raises(RkfetchError, match="status 1 and without an answer") as caught:
        convert(pc, store)
    assert caught.value.cause == ("Traceback: x",)


@needs_sshd
@pytest.mark.parametrize(
    "values",
    [
        {"path": "relative"},
        {"path": None},
        {"artifact": None},
        {"artifact": {"bytes": "1", "sha256": SHA256}},
        {"artifact": {"bytes": len(CONTENT), "sha256": "../../x"}},
        {"artifact": {"bytes": 1 << 70, "sha256": SHA256}},
    ],
)
def test_an_answer_that_names_no_file(pc: Machine, store: Store, values: dict[str, Any]) -> None:
    tell(pc, **values)
    with pytest.raises(IntegrityError, match="does not say which file"):
        convert(pc, store)


@needs_sshd
@pytest.mark.parametrize(
    "values",
    [
        *({"made": None}, {"made": []}, {"made": {**MADE, "base": "x"}}),
        *({"made": {**MADE, name: [1]}} for name in ("toolkit", "quant", "context", "licence")),
        *({"made": {**MADE, "platform": "rk9999"}}, {"made": {**MADE, "x": "y" * 70_000}}),
    ],
)
def test_an_answer_that_does_not_tell_how_it_was_made(
    pc: Machine, store: Store, values: dict[str, Any]
) -> None:
    tell(pc, path=str(pc.home / "a model.rkllm"), **values)
    with pytest.raises(IntegrityError, match="does not say how"):
        convert(pc, store)
    assert store.installed() == []


@needs_sshd
def test_a_file_for_another_board_is_not_kept(pc: Machine, store: Store) -> None:
    with pytest.raises(IntegrityError, match="for rk3576, not for rk3588"):
        convert(pc, store, platform=Platform.RK3588)
    # Its answer says what was asked, and its header something else.
    tell(pc, path=str(pc.home / "a model.rkllm"), made={**MADE, "platform": "rk3588"})
    with pytest.raises(IntegrityError, match="is for rk3576, not rk3588"):
        convert(pc, store, platform=Platform.RK3588)
    assert store.installed() == []


@needs_sshd
def test_another_content_than_it_says_is_not_kept(pc: Machine, store: Store) -> None:
    made = pc.home / "a model.rkllm"
    made.write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(IntegrityError, match="is not what it made"):
        convert(pc, store)
    made.write_bytes(CONTENT[:-5])
    with pytest.raises(IntegrityError, match="has only"):
        convert(pc, store)
    made.unlink()
    with pytest.raises(IntegrityError, match="has only"):
        convert(pc, store)
    assert store.installed() == []


@needs_sshd
def test_what_is_no_model_is_not_kept(pc: Machine, store: Store) -> None:
    page = b"<html>" + b"x" * 1000
    made = pc.home / "page.rkllm"
    made.write_bytes(page)
    about = {"bytes": len(page), "sha256": hashlib.sha256(page).hexdigest()}
    tell(pc, path=str(made), artifact=about)
    with pytest.raises(IntegrityError, match="is no model"):
        convert(pc, store)
    assert store.installed() == []


@needs_sshd
def test_an_interrupt_here_ends_what_runs_there(pc: Machine, store: Store) -> None:
    (pc.home / "wait").touch()

    class Waiting(Heard):
        def said(self, line: str) -> None:
            await_((pc.home / "started").exists)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(pc, store, listener=Waiting())
    await_((pc.home / "ended").exists)


def await_(done: Callable[[], bool]) -> None:
    for _ in range(1200):
        if done():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come to that")


CHILD = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from convert.test_remote import Heard
from rkfetch.registry.convert.remote import run_on
from rkfetch.registry.ssh import RemoteHost, Ssh
with Ssh(RemoteHost.parse(sys.argv[1])) as link:
    run_on(link, [], Heard())
"""


@needs_sshd
def test_a_kill_here_ends_what_runs_there(pc: Machine) -> None:
    (pc.home / "wait").touch()
    tests = str(Path(__file__).parent.parent)
    arguments = [pc.host.address, tests]
    child = subprocess.Popen([sys.executable, "-c", CHILD, *arguments])
    await_((pc.home / "started").exists)
    child.send_signal(signal.SIGKILL)
    child.wait()
    await_((pc.home / "ended").exists)


@needs_sshd
def test_a_broken_link_during_the_conversion_is_said(pc: Machine, store: Store) -> None:
    (pc.home / "wait").touch()

    def drop() -> None:
        await_((pc.home / "started").exists)
        pc.drop_connections()

    threading.Thread(target=drop).start()
    with pytest.raises(NetworkError, match="no connection to"):
        convert(pc, store)
    await_((pc.home / "ended").exists)


# --- the link -------------------------------------------------------------------------------------


@needs_sshd
def test_who_is_not_let_in_and_a_key_that_changed(machine: Machine) -> None:
    (machine.folder / "known_hosts").write_text("")
    with pytest.raises(AuthenticationError, match="is not known here"), Ssh(machine.host):
        pass
    key = (machine.folder / "host_key.pub").read_text().split()
    line = f"[127.0.0.1]:{machine.port} {key[0]} {key[1]}\n"
    (machine.folder / "known_hosts").write_text(line)
    (machine.folder / "authorized_keys").write_text("")
    with (
        pytest.raises(AuthenticationError, match="does not let us in") as caught,
        Ssh(machine.host),
    ):
        pass
    assert f"ssh -p {machine.port} {machine.host.name}" in str(caught.value.hint)


@needs_sshd
def test_a_machine_that_is_not_there(machine: Machine) -> None:
    machine.stop()
    with pytest.raises(NetworkError, match="no connection to"), Ssh(machine.host):
        pass


@needs_sshd
def test_one_connection_does_and_nothing_of_it_stays(machine: Machine) -> None:
    with Ssh(machine.host) as link:
        folder = link._folder
        assert folder.stat().st_mode & 0o077 == 0
        for _ in range(3):
            assert link.run("echo $1", "x y").out == "x y\n"
    assert (machine.folder / "log").read_text().count("Accepted publickey") == 1
    assert not folder.exists()
    await_(lambda: not machine.connections)


# --- bringing -------------------------------------------------------------------------------------


def bring_it(machine: Machine, store: Store, progress: Any = None) -> Installed:
    with Ssh(machine.host) as link:
        return bring(
            link,
            store,
            str(machine.home / "a model.rkllm"),
            size_bytes=len(CONTENT),
            sha256=SHA256,
            describe=lambda facts: Record(
                sha256=SHA256, size_bytes=len(CONTENT), source="x", repo="", path="x.rkllm"
            ),
            progress=progress,
        )


class Broken(NoProgress):
    """Does something once, when so much is there."""

    def __init__(self, at: int, act: Callable[[], object]) -> None:
        self.begun: list[int] = []
        self.why: list[str] = []
        self.restarts = 0
        self._at: int | None = at
        self._act = act

    def started(self, total: int | None, resumed_from: int) -> None:
        self.begun.append(resumed_from)

    def restarted(self, reason: str) -> None:
        self.restarts += 1

    def waiting(self, reason: str, seconds: float) -> None:
        self.why.append(reason)

    def advanced(self, received: int) -> None:
        if self._at is not None and received >= self._at:
            self._at = None
            self._act()


def interrupt() -> None:
    raise KeyboardInterrupt


@needs_sshd
def test_a_link_that_breaks_is_connected_again(pc: Machine, store: Store) -> None:
    watcher = Broken(500_000, pc.drop_connections)
    assert bring_it(pc, store, watcher).path.read_bytes() == CONTENT
    assert (watcher.begun, watcher.restarts) == ([0], 0)
    assert watcher.why == [f"no connection to {pc.host.name}"]


@needs_sshd
def test_a_link_that_stays_broken_ends_and_the_next_run_goes_on(pc: Machine, store: Store) -> None:
    with pytest.raises(NetworkError) as caught:
        bring_it(pc, store, Broken(500_000, pc.stop))
    assert "goes on" in str(caught.value.hint)
    assert store.partial(SHA256).stat().st_size >= 500_000


@needs_sshd
def test_after_an_interrupt_the_next_run_goes_on(pc: Machine, store: Store) -> None:
    with pytest.raises(KeyboardInterrupt):
        bring_it(pc, store, Broken(500_000, interrupt))
    kept = store.partial(SHA256).stat().st_size
    assert 500_000 <= kept < len(CONTENT)
    again = Broken(0, lambda: None)
    assert bring_it(pc, store, again).path.read_bytes() == CONTENT
    assert (again.begun, again.restarts) == ([kept], 0)
    assert bring_it(pc, store).path.read_bytes() == CONTENT  # it is here


@needs_sshd
def test_what_was_left_and_does_not_fit_is_brought_anew(pc: Machine, store: Store) -> None:
    store.partials.mkdir(parents=True)
    store.partial(SHA256).write_bytes(b"\0" * 1000)
    watcher = Broken(0, lambda: None)
    assert bring_it(pc, store, watcher).path.read_bytes() == CONTENT
    assert (watcher.begun, watcher.restarts) == ([1000, 0], 1)


# --- delivering -----------------------------------------------------------------------------------


@pytest.fixture
def item(store: Store) -> Installed:
    return add(store, CONTENT, path="it's a model.rkllm")


def carry(machine: Machine, item: Installed, folder: str = "~/my models", **options: Any) -> Any:
    with Ssh(machine.host) as link:
        return deliver(link, item, folder, **options)


def there(machine: Machine, item: Installed) -> Path:
    return machine.home / "my models" / item.path.name


@needs_sshd
def test_a_file_is_copied_to_a_board_and_compared_there(machine: Machine, item: Installed) -> None:
    done = carry(machine, item)
    assert (done.path, done.action) == (str(there(machine, item)), "copied")
    assert there(machine, item).read_bytes() == CONTENT
    assert list(there(machine, item).parent.iterdir()) == [there(machine, item)]
    assert carry(machine, item).action == "present"


@needs_sshd
def test_another_file_of_that_name_is_replaced(machine: Machine, item: Installed) -> None:
    there(machine, item).parent.mkdir()
    there(machine, item).write_bytes(b"an older one")
    assert carry(machine, item).action == "copied"
    assert there(machine, item).read_bytes() == CONTENT


@needs_sshd
def test_a_delivery_goes_on_after_a_broken_link_and_an_interrupt(
    machine: Machine, item: Installed
) -> None:
    with pytest.raises(KeyboardInterrupt):
        carry(machine, item, progress=Broken(2_000_000, interrupt))
    assert not there(machine, item).exists()
    (part,) = there(machine, item).parent.iterdir()
    kept = part.stat().st_size
    assert kept > 0
    watcher = Broken(2_500_000, machine.drop_connections)
    assert carry(machine, item, progress=watcher).action == "copied"
    assert watcher.begun[0] == kept
    assert there(machine, item).read_bytes() == CONTENT


@needs_sshd
def test_what_arrives_damaged_gets_no_name(machine: Machine, item: Installed) -> None:
    machine.command("sha256sum", f"#!/bin/sh\ncat >/dev/null\necho {'0' * 64}  -\n")
    with pytest.raises(IntegrityError, match="is not what was sent"):
        carry(machine, item)
    assert list(there(machine, item).parent.iterdir()) == []


@needs_sshd
def test_a_board_without_room_or_folder_is_said(machine: Machine, item: Installed) -> None:
    machine.command(
        "df",
        "#!/bin/sh\necho 'Filesystem 1024-blocks Used Available Capacity M'\n"
        "echo '/dev/x 100 99 1 99% /'\n",
    )
    with pytest.raises(DiskSpaceError) as caught:
        carry(machine, item)
    assert caught.value.have_bytes == 1024
    with pytest.raises(RkfetchError, match="cannot be used"):
        carry(machine, item, "/proc/none")
