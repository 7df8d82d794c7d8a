"""Signatures and keys are minisign's: its own program and ours check each other."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from rkfetch.catalog.published import signing
from rkfetch.registry.errors import IntegrityError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = b'{"hello": "world"}\n'


def signer(path: Path, password: str = "") -> signing.Signer:
    return signing.Signer.load(path, password=lambda: password)


def minisign(*arguments: str | Path, say: str = "") -> str:
    program = shutil.which("minisign")
    if program is None:
        pytest.skip("the minisign program is not installed")
    done = subprocess.run(
        [program, *map(str, arguments)], input=say, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "catalog.json"
    path.write_bytes(CONTENT)
    return path


@pytest.mark.parametrize("password", [None, "long enough"])
def test_minisign_checks_what_we_sign(manifest: Path, password: str | None) -> None:
    key = manifest.with_name("k")
    public = signing.generate(key, password=password)
    signature = signer(key, password or "").sign(CONTENT, "serial 7")
    manifest.with_name("catalog.json.minisig").write_bytes(signature)
    said = minisign("-V", "-m", manifest, "-P", public)
    assert "Signature and comment signature verified" in said
    assert "Trusted comment: serial 7" in said
    assert "verified" in minisign("-V", "-m", manifest, "-p", f"{key}.pub")


@pytest.mark.parametrize("password", [None, "long enough"])
def test_we_check_what_minisign_signs_with_our_key(manifest: Path, password: str | None) -> None:
    key = manifest.with_name("k")
    public = signing.generate(key, password=password)
    minisign("-S", "-m", manifest, "-s", key, say=f"{password or ''}\n")
    signing.verify(
        CONTENT, manifest.with_name("catalog.json.minisig").read_bytes(), public, what=""
    )


@pytest.mark.parametrize("password", [None, "long enough"])
def test_keys_that_minisign_made_are_ours_too(manifest: Path, password: str | None) -> None:
    key, public = manifest.with_name("k"), manifest.with_name("k.pub")
    how = ["-W"] if password is None else []
    minisign("-G", *how, "-s", key, "-p", public, say=f"{password or ''}\n" * 2)
    ours = signer(key, password or "")
    assert ours.public == signing.public_key(str(public))
    signature = ours.sign(CONTENT, "x")
    assert signing.key_number(signature) == ours.number
    signing.verify(CONTENT, signature, ours.public, what="it")
    manifest.with_name("catalog.json.minisig").write_bytes(signature)
    assert "verified" in minisign("-V", "-m", manifest, "-p", public)


def test_minisigns_old_form_is_named(manifest: Path) -> None:
    key = manifest.with_name("k")
    public = signing.generate(key, password=None)
    minisign("-S", "-l", "-m", manifest, "-s", key)
    with pytest.raises(IntegrityError, match="minisign's old form"):
        signing.verify(
            CONTENT, manifest.with_name("catalog.json.minisig").read_bytes(), public, what="it"
        )


def test_every_change_of_content_comment_or_signature_is_noticed(tmp_path: Path) -> None:
    public = signing.generate(tmp_path / "k", password=None)
    signature = signer(tmp_path / "k").sign(CONTENT, "serial 7")
    signing.verify(CONTENT, signature, public, what="it")
    with pytest.raises(IntegrityError, match="it was altered after it was signed"):
        signing.verify(CONTENT + b" ", signature, public, what="it")
    with pytest.raises(IntegrityError, match="it was altered after it was signed"):
        signing.verify(CONTENT, signature.replace(b"serial 7", b"serial 8"), public, what="it")
    lines = signature.splitlines(keepends=True)
    for line in (1, 3):
        # Not the last sign before the padding, of which only some bits count.
        for at in range(0, len(lines[line]) - 5, 5):
            changed = bytearray(lines[line])
            changed[at] = ord("A") if changed[at] != ord("A") else ord("B")
            bad = b"".join([*lines[:line], bytes(changed), *lines[line + 1 :]])
            with pytest.raises(IntegrityError):
                signing.verify(CONTENT, bad, public, what="it")


def test_a_secret_key_is_made_once_and_kept_from_others(tmp_path: Path) -> None:
    public = signing.generate(tmp_path / "k", password="x")
    assert (tmp_path / "k").stat().st_mode & 0o777 == 0o600
    assert public.startswith("RW")
    assert public == signing.public_key(str(tmp_path / "k.pub"))
    with pytest.raises(UsageError, match="is there already"):
        signing.generate(tmp_path / "k", password=None)
    with pytest.raises(UsageError, match="cannot be used") as caught:
        signer(tmp_path / "k", "wrong")
    assert "wrong password" in caught.value.cause[0]
    with pytest.raises(UsageError, match="is no secret key of minisign"):
        signer(tmp_path / "k.pub")
    with pytest.raises(UsageError, match="cannot be used"):
        signer(tmp_path / "nothing")
