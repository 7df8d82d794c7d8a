"""The frame of the command line: defaults, usage errors, bugs, signals and locales."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import Any

import pytest
import typer

from rkfetch.cli import app as app_module
from rkfetch.cli.app import COMMANDS, GROUPS, build_app, with_default_command
from rkfetch.cli.main import main
from rkfetch.cli.output import emit, human_bytes, safe, wrapped
from rkfetch.registry import settings
from rkfetch.registry.errors import RkfetchError, UsageError


def run(*args: str) -> int:
    with pytest.raises(SystemExit) as done:
        main(args)
    assert isinstance(done.value.code, int)
    return done.value.code


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["qwen2.5-1.5b"], ["fetch", "qwen2.5-1.5b"]),
        (["--runtime", "1.2.3", "qwen2.5-1.5b"], ["fetch", "--runtime", "1.2.3", "qwen2.5-1.5b"]),
        (["explain", "qwen2.5-1.5b"], ["explain", "qwen2.5-1.5b"]),
        (["catalog", "status"], ["catalog", "status"]),
        (["--help"], ["--help"]),
        ([], []),
        (["phi3"], ["fetch", "phi3"]),
    ],
)
def test_the_default_command(typed: list[str], meant: list[str]) -> None:
    assert with_default_command(typed) == meant


def test_a_misspelt_command_is_not_taken_for_a_model() -> None:
    with pytest.raises(UsageError, match="no command 'explian'") as caught:
        with_default_command(["explian", "qwen"])
    assert caught.value.hint is not None
    assert "rkfetch explain" in caught.value.hint


@pytest.mark.parametrize("command", [*COMMANDS, *(f"catalog {c}" for c in GROUPS["catalog"])])
def test_every_command_has_help_and_fits_the_screen(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*command.split(), "--help") == 0
    shown = capsys.readouterr().out
    assert "Usage: rkfetch" in shown
    assert max(map(len, shown.splitlines())) <= 100


def test_what_a_setting_fixes_says_so() -> None:
    """A parameter that bears a setting's name by chance would take its value; by another, none."""
    names = {name: known.variables for name, known in settings.KNOWN.items()}
    command = typer.main.get_command(build_app())
    groups: list[Any] = [command]
    while groups:
        group = groups.pop()
        for sub in group.commands.values():
            if hasattr(sub, "commands"):
                groups.append(sub)
            for parameter in sub.params:
                _, says, variables = (getattr(parameter, "help", None) or "").partition(
                    "[env var: "
                )
                told = tuple(variables.rstrip("]").split(", ")) if says else None
                assert names.get(str(parameter.name)) == told, f"{sub.name}: {parameter.name}"


def test_completion_is_offered() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rkfetch", "--help"], capture_output=True, text=True, check=True
    )
    assert "--install-completion" in done.stdout


@pytest.mark.parametrize(
    "args", [["resolve"], ["resolve", "x", "--context", "no"], ["fetch", "a", "b"], ["gc", "--no"]]
)
def test_usage_errors_exit_2_and_answer_scripts_too(
    args: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*args, "--json") == 2
    shown = capsys.readouterr()
    answer = json.loads(shown.out)
    assert next(iter(answer)) == "schema_version"
    assert (answer["status"], answer["error"]["code"]) == ("error", 2)
    if args[0] in {"fetch", "resolve"}:
        assert {"reference", "model", "target", "action", "path", "artifact"} <= set(answer)
        assert {"attributes", "verdict", "rejected"} <= set(answer)
    assert "Usage" in shown.err


def broken(*_: Any) -> Any:
    raise RuntimeError("a bug with \x1b[2J in it")


def test_a_bug_is_one_sentence_unless_debug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(app_module, "build_app", broken)
    assert run("list") == 1
    shown = capsys.readouterr().err
    assert "unexpected RuntimeError" in shown
    assert "Traceback" not in shown
    assert run("list", "--debug") == 1
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert "\x1b" not in shown


def test_errors_are_json_where_json_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("resolve", "no-such-model-9b", "--runtime", "1.2.3", "--offline", "--json") == 4
    answer = json.loads(capsys.readouterr().out)
    assert answer["error"]["kind"] == "unknown-model"
    assert answer["target"]["runtime"] == "1.2.3"
    assert answer["artifact"] is None
    assert answer["rejected"] == []


@pytest.mark.parametrize("limit", [5, 400])
def test_foreign_text_cannot_move_the_cursor(limit: int) -> None:
    hostile = "a\x1b[2J\u202egnp\x00\n\u2028" * 1000
    shown = safe(hostile, limit=limit)
    assert shown.isprintable()
    assert len(shown) <= limit * 8 + 1


def test_a_path_goes_out_with_its_own_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii", write_through=True))
    emit("/models/caf\u00e9.rkllm")
    assert raw.getvalue() in {b"/models/caf\xc3\xa9.rkllm\n", b"/models/caf\\xe9.rkllm\n"}


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (69_900, "69.9 kB"), (1_394_162_444, "1.39 GB"), (None, "?")],
)
def test_sizes_are_decimal_as_on_the_hub(count: int | None, text: str) -> None:
    assert human_bytes(count) == text


def test_every_kind_of_error_has_its_own_exit_code() -> None:
    def all_kinds(base: type[RkfetchError]) -> list[type[RkfetchError]]:
        return [base, *(k for sub in base.__subclasses__() for k in all_kinds(sub))]

    codes = {kind.exit_code for kind in all_kinds(RkfetchError)}
    assert codes == {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}


def test_names_and_addresses_are_never_broken() -> None:
    address = "https://example.org/" + "x" * 200
    assert address in " ".join(wrapped(f"see {address} for more", lead="error: "))


def test_only_the_named_command_is_imported() -> None:
    code = """import sys
from rkfetch.cli.app import build_app
build_app(["list"])
print(*[m for m in sys.modules if m.startswith("rkfetch.cli.")])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "rkfetch.cli.store" in done.stdout
    assert "rkfetch.cli.fetch" not in done.stdout
    build_app()
