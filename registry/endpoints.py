"""Where the hubs are, and the token for one of them, as the user has set it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from . import settings
from .errors import UsageError

HUB = "https://huggingface.co"


def endpoint() -> str:
    """Return the first of `endpoints`, which stands for all where one has to; raises alike."""
    return endpoints()[0]


def endpoints() -> list[str]:
    """Return the Hub's base URLs in the order in which they are asked, without a slash at the end.

    ``HF_ENDPOINT``, then those of the setting ``endpoints``, each of which takes over where the
    ones before it fail; huggingface.co where neither is set.

    Raises:
        UsageError: one of them is no http(s) URL, or holds a password.
    """
    return list(dict.fromkeys([*_named("hub"), *_named("endpoints")])) or [HUB]


def mirrors() -> list[str]:
    """Return the base URLs of stores of other machines, asked before any Hub.

    The setting ``mirrors``: each serves the folder ``models`` of a store as static files.

    Raises:
        UsageError: one of them is no http(s) URL, or holds a password.
    """
    return _named("mirrors")


def modelscope_endpoint() -> str:
    """Return ModelScope's base URL: what is set, else www.modelscope.cn; raises like `mirrors`."""
    return (_named("modelscope_endpoint") or ["https://www.modelscope.cn"])[0]


def _named(key: str) -> list[str]:
    """Return the addresses that are set under a key."""
    named = settings.value(key) or ()
    urls = (named,) if isinstance(named, str) else named
    return [url.rstrip("/") for url in urls]


def require_address(url: str) -> None:
    """Check that something is an address that files can be asked of.

    Raises:
        UsageError: it is no http(s) URL, or holds a password.
    """
    if "@" in url:
        # Records, the catalog and messages name endpoints: what stands there is no secret.
        raise UsageError(
            "it holds a user or a password, which would be stored and shown",
            hint="leave out what stands before the @; a token for the Hub goes into HF_TOKEN",
        )
    try:
        parts = urlsplit(url)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise UsageError(f"'{url[:200]}' is not an address")


def hub_token() -> str | None:
    """Return the user's Hub token from where Hugging Face's tools keep it.

    ``HF_TOKEN``, ``HUGGING_FACE_HUB_TOKEN``, else the file that ``hf auth login`` writes.

    Raises:
        UsageError: what is there cannot be a token.
    """
    token = os.environ.get("HF_TOKEN") or os.environ.get("HUGGING_FACE_HUB_TOKEN")
    if not token and os.environ.get("HF_HUB_DISABLE_IMPLICIT_TOKEN", "") not in {"1", "true"}:
        try:
            token = _token_file().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None
    token = (token or "").strip()
    if not re.fullmatch(r"[\x21-\x7e]*", token):
        raise UsageError("the Hugging Face token contains characters that no token has")
    return token or None


def hub_cache() -> Path:
    """Return the folder in which Hugging Face's tools keep what they downloaded."""
    named = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    return Path(_expanded(named)) if named else _hugging_face_home() / "hub"


def _token_file() -> Path:
    named = os.environ.get("HF_TOKEN_PATH")
    return Path(named) if named else _hugging_face_home() / "token"


def _hugging_face_home() -> Path:
    home = os.environ.get("HF_HOME")
    if not home:
        home = f"{os.environ.get('XDG_CACHE_HOME') or '~/.cache'}/huggingface"
    return Path(_expanded(home))


def _expanded(path: str) -> str:
    return os.path.expandvars(os.path.expanduser(path))  # noqa: PTH111 - without HOME, pathlib raises
