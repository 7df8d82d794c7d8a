"""What is set on a machine: by variables, the user's file and the system's, read in one way."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from rkfetch.registry import settings
from rkfetch.registry.endpoints import endpoints, mirrors
from rkfetch.registry.errors import UsageError
from rkfetch.registry.store import home


class Machine:
    """The two files of a machine."""

    def __init__(self, user: Path, system: Path) -> None:
        self.user_file = user
        self.system_file = system

    def user(self, text: str) -> None:
        self._write(self.user_file, text)

    def system(self, text: str) -> None:
        self._write(self.system_file, text)

    @staticmethod
    def _write(path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    system = tmp_path / "etc" / "config.toml"
    monkeypatch.setattr(settings, "SYSTEM_FILE", system)
    return Machine(tmp_path / "home" / "rkfetch" / "config.toml", system)


EACH: dict[str, tuple[str, Any]] = {
    "home": ("/srv/x", "/srv/x"),
    "endpoints": (
        "https://a.example,https://b.example",
        ("https://a.example", "https://b.example"),
    ),
    "mirrors": ("http://nas:8080/models", ("http://nas:8080/models",)),
    "modelscope_endpoint": ("https://ms.example", "https://ms.example"),
    "limit_rate": ("2M", "2M"),
    "connections": ("3", 3),
    "background": ("yes", True),
    "text_only": ("yes", True),
    "metered": ("no", "no"),
    "offline": ("1", True),
    "stale_after_days": ("0", 0),
    "convert": ("never", "never"),
    "convert_environment": ("venv", "venv"),
    "toolkit_url": ("https://git.example/rknn-llm", "https://git.example/rknn-llm"),
    "torch_index": ("pypi", "pypi"),
    "convert_image": ("localhost/python:3.11", "localhost/python:3.11"),
    "convert_engine_args": ("--runtime runc", "--runtime runc"),
    "platform": ("rk3588", "rk3588"),
    "runtime": ("1.2.3", "1.2.3"),
    "driver": ("0.9.8", "0.9.8"),
    "memory": ("8G", "8G"),
    "context": ("4096", 4096),
    "update_budget": ("50M", "50M"),
    "update_within": ("10m", "10m"),
    "catalog_from": ("https://example.org/catalog", "https://example.org/catalog"),
    "catalog_key": ("RWQf6L", "RWQf6L"),
    "signing_key": ("/etc/rkfetch/catalog.key", "/etc/rkfetch/catalog.key"),
}


def test_every_setting_that_a_file_may_have_is_tried_here() -> None:
    assert set(EACH) == {key for key, known in settings.KNOWN.items() if known.in_file}


@pytest.mark.parametrize("key", EACH)
def test_a_variable_and_the_file_say_the_same(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    text, value = EACH[key]
    for variable in settings.KNOWN[key].variables:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(machine.system_file.parent))
    assert settings.find(key) is None
    machine.system(f"{key} = {_toml(value)}")
    assert settings.value(key) == value
    monkeypatch.setenv(settings.KNOWN[key].variables[0], text)
    found = settings.find(key)
    assert found is not None
    assert (found.value, found.origin) == (value, settings.KNOWN[key].variables[0])


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(list(value)) if isinstance(value, tuple) else repr(value)


@pytest.mark.parametrize("key", settings.KNOWN)
def test_every_example_may_be_set(key: str) -> None:
    known = settings.KNOWN[key]
    if known.check is not None:
        known.check(known.example)


def test_the_variable_then_the_users_file_then_the_systems(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.system('limit_rate = "1M"\nconnections = 2\nmemory = "4G"')
    machine.user('limit_rate = "2M"\nconnections = 3')
    monkeypatch.setenv("RKFETCH_LIMIT_RATE", "3M")
    assert [settings.value(k) for k in ("limit_rate", "connections", "memory")] == ["3M", 3, "4G"]
    found = settings.find("connections")
    assert found is not None
    assert found.place == f"{machine.user_file}: connections"


def test_an_empty_variable_sets_nothing(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.user('limit_rate = "2M"')
    monkeypatch.setenv("RKFETCH_LIMIT_RATE", " ")
    assert settings.value("limit_rate") == "2M"


def test_a_file_that_was_changed_is_read_again(machine: Machine) -> None:
    machine.user("connections = 3")
    assert settings.value("connections") == 3
    machine.user("connections = 11")
    assert settings.value("connections") == 11


class TestWhere:
    def test_below_rkfetch_home(self, machine: Machine) -> None:
        assert settings.files() == [machine.user_file, machine.system_file]

    @pytest.mark.parametrize(
        ("variable", "value", "below"),
        [
            ("XDG_CONFIG_HOME", "/x/config", "/x/config/rkfetch"),
            ("XDG_CONFIG_HOME", "relative", "{home}/.config/rkfetch"),  # as its standard says
            ("XDG_CONFIG_HOME", "", "{home}/.config/rkfetch"),
        ],
    )
    def test_else_where_the_users_settings_are(
        self,
        machine: Machine,
        monkeypatch: pytest.MonkeyPatch,
        variable: str,
        value: str,
        below: str,
    ) -> None:
        monkeypatch.delenv("RKFETCH_HOME")
        monkeypatch.setenv(variable, value)
        folder = below.format(home=os.environ["HOME"])
        assert str(settings.files()[0]) == f"{folder}/config.toml"

    def test_the_file_may_name_the_home(
        self, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("RKFETCH_HOME")
        machine.system(f'home = "{tmp_path}/srv"')
        assert home() == tmp_path / "srv"
        machine.system('home = "models"')
        with pytest.raises(UsageError, match="home is") as caught:
            home()
        assert caught.value.cause == ("it has to be a path that begins with / or ~",)

    def test_a_folder_of_somebody_else_has_nothing(
        self, machine: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        machine.system("connections = 2")
        machine.user_file.parent.parent.mkdir(exist_ok=True)
        machine.user_file.parent.write_text("no folder")
        assert settings.value("connections") == 2


class TestWrong:
    @pytest.mark.parametrize(
        ("key", "value", "allowed"),
        [
            ("connections", '"3"', "a whole number"),
            ("connections", "true", "a whole number"),
            ("connections", "3.0", "a whole number"),
            ("background", "1", "true or false"),
            ("runtime", "1.2", "a text in quotes"),
            ("mirrors", '"http://nas/models"', "a list of texts in quotes"),
            ("mirrors", "[1]", "a list of texts in quotes"),
            ("endpoints", "{a = 1979-05-27}", "a list of texts in quotes"),
        ],
    )
    def test_a_wrong_type_says_file_key_and_what_is_allowed(
        self, machine: Machine, key: str, value: str, allowed: str
    ) -> None:
        machine.user(f"{key} = {value}")
        with pytest.raises(UsageError) as caught:
            settings.find(key)
        assert caught.value.message.startswith(f"{machine.user_file}: {key} is ")
        assert caught.value.cause == (f"it has to be {allowed}",)
        assert f"{key} = " in (caught.value.hint or "")

    @pytest.mark.parametrize(
        ("key", "variable", "value", "said"),
        [
            ("connections", "99", "99", "16 is the most"),
            ("connections", "0", "0", "1 is the least"),
            ("limit_rate", "fast", '"fast"', "not a rate"),
            ("platform", "rk1", '"rk1"', "unknown platform"),
            ("runtime", "one", '"one"', "not a whole version"),
            ("memory", "lots", '"lots"', "not an amount"),
            ("metered", "maybe", '"maybe"', "does not tell whether"),
            ("torch_index", "nowhere", '"nowhere"', "not an address"),
            ("convert_image", "a b", '"a b"', "no name of an image"),
            ("convert_engine_args", "'run", '"\'run"', "no closing quotation"),
            ("mirrors", "nas", '["nas"]', "not an address"),
        ],
    )
    def test_a_wrong_value_says_where_it_stands(
        self,
        machine: Machine,
        monkeypatch: pytest.MonkeyPatch,
        key: str,
        variable: str,
        value: str,
        said: str,
    ) -> None:
        machine.user(f"{key} = {value}")
        with pytest.raises(UsageError, match=said) as caught:
            settings.find(key)
        assert caught.value.message.startswith(f"{machine.user_file}: {key}: ")
        name = settings.KNOWN[key].variables[0]
        monkeypatch.setenv(name, variable)
        with pytest.raises(UsageError, match=said) as caught:
            settings.find(key)
        assert caught.value.message.startswith(f"{name}: ")
        if key == "mirrors":
            assert caught.value.hint == "an example: RKFETCH_MIRRORS=http://nas.local:8080/models"

    @pytest.mark.parametrize(
        ("variable", "text"), [("RKFETCH_CONNECTIONS", "x"), ("RKFETCH_OFFLINE", "maybe")]
    )
    def test_a_variable_that_cannot_be_read_is_named(
        self, machine: Machine, monkeypatch: pytest.MonkeyPatch, variable: str, text: str
    ) -> None:
        monkeypatch.setenv(variable, text)
        with pytest.raises(UsageError, match=f"{variable} is '{text}'") as caught:
            settings.find(variable.removeprefix("RKFETCH_").lower())
        assert f"an example: {variable}=" in (caught.value.hint or "")

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (b"a = \n", "line 1"),
            (b"\xff", "UTF-8"),
            (b"a = 1\na = 2\n", "line 2"),
            (None, "irector"),
        ],
    )
    def test_a_file_that_makes_no_sense_is_named_with_the_line(
        self, machine: Machine, content: bytes | None, why: str
    ) -> None:
        machine.user("")
        if content is None:
            machine.user_file.unlink()
            machine.user_file.mkdir()
        else:
            machine.user_file.write_bytes(content)
        with pytest.raises(UsageError, match=f"{machine.user_file} cannot be read") as caught:
            settings.find("connections")
        assert why in caught.value.cause[0]
        found, problems = settings.everything()
        assert [s.key for s in found] == ["home", "stale_after_days"]  # of the tests' own variables
        assert len(problems) == 1

    def test_what_the_variable_tells_needs_no_file(
        self, machine: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        machine.user("nonsense")
        monkeypatch.setenv("RKFETCH_CONNECTIONS", "2")
        assert settings.value("connections") == 2

    def test_an_unknown_key_is_said_and_harms_nothing(self, machine: Machine) -> None:
        machine.user('conections = 3\nsysroot = "/x"\nof_the_future = [1]\nmemory = "8G"')
        assert settings.value("memory") == "8G"
        first, second, third = settings.unknown_keys()
        assert "did you mean connections?" in first
        assert "RKFETCH_SYSROOT" in second
        assert third.endswith("'of_the_future' is no setting of this rkfetch")


class TestPlaces:
    def test_the_hub_is_asked_where_nothing_is_set(self, machine: Machine) -> None:
        assert endpoints() == ["https://huggingface.co"]
        assert mirrors() == []

    def test_the_files_list_is_all_and_hf_endpoint_comes_before_it(
        self, machine: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        machine.user('endpoints = ["https://hf-mirror.com/"]\nmirrors = ["http://nas/models/"]')
        assert endpoints() == ["https://hf-mirror.com"]
        assert mirrors() == ["http://nas/models"]
        monkeypatch.setenv("HF_ENDPOINT", "https://a.example")
        assert endpoints() == ["https://a.example", "https://hf-mirror.com"]


def test_the_page_lists_every_key_as_it_may_be_set(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "scripting.md").read_text("utf-8")
    (listed,) = re.findall(r"All keys, each.*?```toml\n(.*?)```", page, re.DOTALL)
    machine.system(listed)
    for variable in (name for known in settings.KNOWN.values() for name in known.variables):
        monkeypatch.delenv(variable, raising=False)
    found, problems = settings.everything()
    assert problems == []
    assert {setting.key for setting in found} == set(EACH)
