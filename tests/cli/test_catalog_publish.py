"""What a person and a script see of publishing a catalog, and of taking one in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeAlias

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Rkfetch: TypeAlias = "Callable[..., tuple[int, str, str]]"


@pytest.fixture
def key(rkfetch: Rkfetch, tmp_path: Path) -> str:
    code, out, err = rkfetch("catalog", "keygen", "--no-password", tmp_path / "k")
    assert (code, err) == (
        0,
        f"made {tmp_path}/k (keep it secret, and a copy of it) and {tmp_path}/k.pub\n",
    )
    return out.strip()


def test_published_here_and_taken_in_there(
    rkfetch: Rkfetch, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    www = tmp_path / "www"
    code, out, err = rkfetch(
        "catalog", "publish", www, "--key", tmp_path / "k", "--name", "Board owners"
    )
    assert (code, out) == (0, f"{www}\n")
    assert "344 rows" in err
    assert f"  --key {key}\n" in err
    code, _, err = rkfetch(
        "catalog", "publish", www, "--key", tmp_path / "k", "--name", "Board owners"
    )
    assert "nothing new since" in err

    monkeypatch.setenv("RKFETCH_HOME", str(tmp_path / "board"))
    code, out, err = rkfetch("catalog", "update", "--from", www)
    assert (code, out) == (2, "")
    assert f"error: no key is known for {www}" in " ".join(err.split())
    assert "--key RW" in err
    monkeypatch.setenv("RKFETCH_CATALOG_FROM", str(www))
    code, out, err = rkfetch("catalog", "update", "--key", key, "--offline")
    assert (code, out) == (0, "")
    assert err.startswith("Board owners, serial 20")
    assert ": 344 rows new or changed, 0 withdrawn; " in err
    code, out, _ = rkfetch("catalog", "update", "--json")
    answer = json.loads(out)
    assert next(iter(answer)) == "schema_version"
    assert (answer["how"], answer["changed"], answer["signed"]) == ("unchanged", 0, True)

    code, out, _ = rkfetch("catalog", "status")
    assert f"taken from {www}\n  Board owners: serial 20" in out
    assert f"  key {key}\n" in out
    assert all(len(line) <= 80 for line in out.splitlines() if str(tmp_path) not in line)
    _, out, _ = rkfetch("catalog", "status", "--json")
    (told,) = json.loads(out)["publications"]
    assert (told["from"], told["name"], told["key"], told["artifacts"]) == (
        str(www),
        "Board owners",
        key,
        343,
    )
    # What is fixed for one place is no key for another.
    monkeypatch.setenv("RKFETCH_CATALOG_KEY", key.strip())
    code, _, err = rkfetch("catalog", "update", "--from", tmp_path / "elsewhere")
    assert (code, "no key is known" in err) == (2, True)
    code, _, err = rkfetch("catalog", "update", "--from", tmp_path / "elsewhere", "--key", key)
    assert (code, "there is no published catalog" in err) == (6, True)
    monkeypatch.delenv("RKFETCH_CATALOG_KEY")
    code, _, err = rkfetch("catalog", "update", "--forget")
    assert (code, err) == (0, f"forgot {www}\n")
    assert json.loads(rkfetch("catalog", "status", "--json")[1])["publications"] == []


def test_limits_are_for_sources(
    rkfetch: Rkfetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A published catalog comes whole: a limit that was typed would do nothing."""
    place = str(tmp_path / "www")
    code, _, err = rkfetch("catalog", "update", "--from", place, "--within", "5m")
    said = " ".join(err.split())
    assert code == 2
    assert f"--within cannot limit what is taken in from {place}" in said
    assert said.endswith("hint: leave out --within")
    monkeypatch.setenv("RKFETCH_CATALOG_FROM", place)
    code, _, err = rkfetch("catalog", "update", "--budget", "1M", "--within", "5m")
    assert (code, "or name sources" in " ".join(err.split())) == (2, True)
    # What is fixed for every update is no mistake of who takes a catalog in.
    monkeypatch.setenv("RKFETCH_UPDATE_BUDGET", "1M")
    code, _, err = rkfetch("catalog", "update")
    assert (code, "no key is known" in err) == (2, True)


def test_what_others_say_is_shown_as_theirs(
    rkfetch: Rkfetch, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rkfetch.catalog.entries import Repository
    from rkfetch.catalog.writer import Writer
    from rkfetch.registry.model import Artifact, Evidence, Origin, settle

    said = Evidence(attribute="toolkit", value="1.2.3", origin=Origin.CARD, place="a card")
    with Writer.open() as writer:
        found = Repository(source="huggingface", repo="a/b")
        writer.record_repository(found, seen="2026-11-24T00:00:00Z")
        writer.record_artifact(
            Artifact(source="huggingface", repo="a/b", path="c.rkllm", attributes=settle([said]))
        )
    rkfetch(
        "catalog", "publish", tmp_path / "www", "--key", tmp_path / "k", "--name", "Ann \x1b[2J"
    )
    assert not (tmp_path / "www" / "catalog.json").exists()
    rkfetch("catalog", "publish", tmp_path / "www", "--key", tmp_path / "k", "--name", "Ann")
    monkeypatch.setenv("RKFETCH_HOME", str(tmp_path / "board"))
    rkfetch("catalog", "update", "--from", tmp_path / "www", "--key", key)
    _, out, _ = rkfetch("show", "hf:a/b/c.rkllm")
    assert "[1]  says Ann\n" in out
    _, out, _ = rkfetch("show", "hf:a/b/c.rkllm", "--json")
    (artifact,) = json.loads(out)["artifacts"]
    assert artifact["attributes"]["toolkit"]["evidence"][0]["publisher"] == "Ann"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("publish",), "name one place to publish to"),
        (("publish", "x", "--hub", "a/b"), "name one place to publish to"),
        (("publish", "x"), "there is no key to sign with"),
        (("publish", "x", "--key", "nowhere"), "nowhere cannot be used"),
        (("update", "--forget"), "--allow-unsigned and --forget need --from"),
        (("update", "--from", "ftp://x"), "names no place that can be read"),
        (("keygen", "k"), "a key needs a password"),
    ],
)
def test_what_is_missing_is_said_with_a_way_out(
    rkfetch: Rkfetch,
    arguments: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = rkfetch("catalog", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert "hint: " in err
    assert list(tmp_path.glob("[xk]")) == []


def test_offline_an_address_is_not_asked(rkfetch: Rkfetch) -> None:
    code, _, err = rkfetch("catalog", "update", "--from", "https://a.example/c", "--offline")
    assert code == 11
    assert "a folder, such as a USB stick, can be read without" in err


def test_a_password_comes_from_the_environment(
    rkfetch: Rkfetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RKFETCH_SIGNING_PASSWORD", "long enough")
    assert rkfetch("catalog", "keygen", tmp_path / "k")[0] == 0
    monkeypatch.setenv("RKFETCH_SIGNING_KEY", str(tmp_path / "k"))
    assert rkfetch("catalog", "publish", tmp_path / "www")[0] == 0
    monkeypatch.setenv("RKFETCH_SIGNING_PASSWORD", "wrong")
    code, _, err = rkfetch("catalog", "publish", tmp_path / "www")
    assert code == 2
    assert "wrong password" in err
    monkeypatch.delenv("RKFETCH_SIGNING_PASSWORD")
    assert "has a password" in rkfetch("catalog", "publish", tmp_path / "www")[2]
