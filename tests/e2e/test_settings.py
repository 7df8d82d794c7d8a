"""The configuration file, through the installed command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from e2e.world import World

pytestmark = pytest.mark.once

ASKS = ("resolve", "qwen2.5-1.5b")


def set_up(world: World, text: str) -> None:
    world.home.mkdir(exist_ok=True)
    (world.home / "config.toml").write_text(text)


def test_option_then_variable_then_file(qwen: World) -> None:
    set_up(qwen, 'platform = "rk3588"\nruntime = "1.2.3"\ncontext = 512\n')
    target = qwen.run(*ASKS, "--json").json["target"]
    assert (target["platform"], target["runtime"], target["context"]) == ("rk3588", "1.2.3", 512)
    target = qwen.run(*ASKS, "--json", RKFETCH_PLATFORM="rk3576").json["target"]
    assert (target["platform"], target["runtime"]) == ("rk3576", "1.2.3")
    taken = qwen.run(*ASKS, "--json", "--platform", "rk3576", RKFETCH_PLATFORM="rk3588")
    assert taken.json["target"]["platform"] == "rk3576"


def test_the_users_own_folder_without_rkfetch_home(qwen: World, tmp_path: Path) -> None:
    home = qwen.env.pop("RKFETCH_HOME")
    folder = tmp_path / "config" / "rkfetch"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(f'home = "{home}"\nruntime = "1.2.3"\n')
    done = qwen.run("qwen2.5-1.5b", XDG_CONFIG_HOME=str(folder.parent))
    assert done.code == 0, done.err
    assert done.out.startswith(home)


def test_the_endpoints_of_the_file_are_asked(qwen: World) -> None:
    hub = qwen.env.pop("HF_ENDPOINT")
    set_up(qwen, f'endpoints = ["http://127.0.0.1:9", "{hub}"]\nruntime = "1.2.3"\n')
    done = qwen.run("qwen2.5-1.5b")
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("line", "switched"),
    [("offline = true", "--no-offline"), ("background = true", "--no-background")],
)
def test_what_the_file_switches_on_an_option_switches_off(
    qwen: World, line: str, switched: str
) -> None:
    set_up(qwen, f"{line}\n")
    offline = "offline" in line
    assert qwen.run("qwen2.5-1.5b", "--runtime", "1.2.3").code == (11 if offline else 0)
    assert qwen.run("qwen2.5-1.5b", "--runtime", "1.2.3", switched).code == 0


def test_a_wrong_value_is_wrong_usage_and_says_where(qwen: World) -> None:
    set_up(qwen, "connections = 99\n")
    done = qwen.run("qwen2.5-1.5b", "--runtime", "1.2.3", "--json")
    assert done.code == 2
    assert done.json["reference"] == "qwen2.5-1.5b"
    assert "/config.toml: connections: 99 is too many" in done.json["error"]["message"]
    # Who does not need it is not disturbed.
    assert qwen.run("list").code == 0
    assert qwen.run("qwen2.5-1.5b", "--runtime", "1.2.3", "--connections", "2").code == 0


def test_an_unknown_key_is_a_note_for_people_only(qwen: World) -> None:
    set_up(qwen, "conections = 3\n")
    assert "did you mean connections?" in " ".join(qwen.run("list").err.split())
    assert qwen.run("list", "--json").err == ""
    assert qwen.run(*ASKS, "--runtime", "1.2.3", "--quiet").err == ""


def test_the_doctor_shows_what_is_set_and_by_what(qwen: World) -> None:
    set_up(qwen, 'limit_rate = "2M"\nmemory = 8\n')
    qwen.env.pop("RKFETCH_SYSROOT")
    answer = qwen.run("doctor", "--json", RKFETCH_CONNECTIONS="3").json
    file = str(qwen.home / "config.toml")
    assert {"key": "limit_rate", "value": "2M", "from": file} in answer["settings"]
    assert {"key": "connections", "value": "3", "from": "RKFETCH_CONNECTIONS"} in answer["settings"]
    assert answer["config_files"][0] == {"path": file, "exists": True}
    (wrong,) = [f for f in answer["findings"] if f["rule"] == "settings"]
    assert wrong["text"] == f"{file}: memory is 8"
    shown = qwen.run("doctor").out
    assert "settings:" in shown
    assert "limit_rate" in shown
    set_up(qwen, "nonsense")
    assert "config.toml cannot be read" in " ".join(qwen.run("doctor").out.split())
