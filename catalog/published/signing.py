"""Sign a published catalog, and check its signature, in the form of minisign.

A publisher needs one small key and no account; checking needs no network; and the ``minisign``
program of every distribution does the same. The signature is Ed25519 over the BLAKE2b of the
content, with a trusted comment. https://jedisct1.github.io/minisign/ has the form.
"""

from __future__ import annotations

import base64
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rkfetch.registry.durable import disk_errors
from rkfetch.registry.errors import IntegrityError, RkfetchError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from minisign import PublicKey, SecretKey

_LARGEST_FILE = 16 << 10
_MAKE_ONE = "`rkfetch catalog keygen FILE` makes one, and so does `minisign -G`"


class Signer:
    """A secret key that is ready for use."""

    def __init__(self, key: SecretKey) -> None:
        self._key = key

    @classmethod
    def load(cls, path: Path, *, password: Callable[[], str]) -> Signer:
        """Read a secret key of minisign's; ``password`` is asked only if the key has one.

        Raises:
            UsageError: it cannot be read, is none, or the password is wrong.
            RkfetchError: cryptography is missing.
        """
        _require_cryptography()
        from minisign import Error, SecretKey

        try:
            key = SecretKey.from_bytes(_read(path))
        except Error as error:
            raise UsageError(
                f"{path} is no secret key of minisign", cause=[str(error)], hint=_MAKE_ONE
            ) from error
        if key.is_encrypted():
            try:
                key.decrypt(password())
            except Error as error:
                raise UsageError(f"{path} cannot be used", cause=[str(error)]) from error
        return cls(key)

    @property
    def public(self) -> str:
        """The public key that belongs to it, as one word."""
        return _word(self._key.get_public_key())

    @property
    def number(self) -> str:
        """The number of the key, as minisign shows it."""
        return _number(self._key.get_public_key().to_base64())

    def sign(self, content: bytes, comment: str) -> bytes:
        """Return the signature file of a content; the same content gives the same bytes."""
        return bytes(self._key.sign(content, trusted_comment=comment)) + b"\n"


def generate(path: Path, *, password: str | None) -> str:
    """Make a key pair: the secret one at ``path``, the public one beside it with ``.pub``.

    Returns the public key as one word.

    Raises:
        UsageError: one of the files is there already, or cannot be written.
        RkfetchError: cryptography is missing.
    """
    _require_cryptography()
    from minisign import KeyPair

    pair = KeyPair.generate()
    if password:
        pair.secret_key.encrypt(password)
    public = path.with_name(f"{path.name}.pub")
    for there in (path, public):
        if os.path.lexists(there):
            raise UsageError(
                f"{there} is there already", hint="a key that was lost cannot be made again"
            )
    with disk_errors(path):
        for file, content, mode in (
            (path, bytes(pair.secret_key), 0o600),
            (public, bytes(pair.public_key), 0o644),
        ):
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(handle, "wb") as opened:
                opened.write(content + b"\n")
    return _word(pair.public_key)


def public_key(text: str) -> str:
    """Return the public key that a user gave, as one word: the word itself, or its file.

    Raises:
        UsageError: it is none.
        RkfetchError: cryptography is missing.
    """
    _require_cryptography()
    from minisign import Error, PublicKey

    try:
        return _word(PublicKey.from_base64(text.strip()))
    except Error as error:
        why = str(error)
    with suppress(OSError):  # what is too long to be a path is none
        if Path(text).is_file():
            try:
                return _word(PublicKey.from_bytes(_read(Path(text))))
            except Error as error:
                why = str(error)
    raise UsageError(
        f"'{text[:200]}' is no public key of minisign",
        cause=[why],
        hint="a public key is one word that begins with RW, or a file that holds it",
    )


def verify(content: bytes, signature: bytes, key: str, *, what: str) -> None:
    """Check that a content was signed with the key that belongs to a public one.

    Raises:
        IntegrityError: it was not; the message says how it fails.
    """
    from minisign import Error, PublicKey, Signature

    try:
        signed = Signature.from_bytes(signature)
    except Error as error:
        raise IntegrityError(
            f"{what}: its signature cannot be read",
            cause=[str(error)],
            hint="try again later or from another place; nothing of it was taken",
        ) from error
    if not signed.is_prehashed():
        raise IntegrityError(
            f"{what}: its signature is of minisign's old form",
            hint="its publisher should sign it with minisign 0.10 or later, or with rkfetch",
        )
    known = PublicKey.from_base64(key)
    wanted, used = _number(known.to_base64()), key_number(signature)
    if used != wanted:
        raise IntegrityError(
            f"{what} is signed with another key",
            expected=wanted,
            actual=used,
            cause=[f"you gave the key {wanted}, it is signed with {used}"],
            hint="ask its publisher, in a way that you trust, which key is the right one",
        )
    try:
        known.verify(content, signed)
    except Error as error:
        raise IntegrityError(
            f"{what} was altered after it was signed",
            cause=[str(error)],
            hint="try again later or from another place; nothing of it was taken",
        ) from error


def _require_cryptography() -> None:
    """Say what is missing where no native code came along, as in ``rkfetch.pyz``."""
    try:
        import cryptography.hazmat.primitives.asymmetric.ed25519  # noqa: F401
    except ImportError as error:
        raise RkfetchError(
            "signatures can be made and checked only with Python's `cryptography`",
            cause=[str(error)],
            hint="`apt install python3-cryptography` adds it; so does rkfetch installed with pip",
        ) from error


def _word(key: PublicKey) -> str:
    return str(key.to_base64(), "ascii")


def key_number(signature: bytes) -> str | None:
    """Return the number of the key that made a signature; None if it is no signature.

    Raises:
        RkfetchError: cryptography is missing.
    """
    _require_cryptography()
    from minisign import Error, Signature

    try:
        return _number(bytes(Signature.from_bytes(signature)).splitlines()[1])
    except Error:
        return None


def number_of(key: str) -> str:
    """Return the number of a public key, given as one word."""
    return _number(key.encode())


def _number(encoded: bytes) -> str:
    """Return the number of a key as minisign shows it: behind the two bytes of the algorithm."""
    return base64.b64decode(encoded)[2:10][::-1].hex().upper()


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST_FILE)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be used", cause=[error.strerror or str(error)], hint=_MAKE_ONE
        ) from error
