"""Where the hubs are, and the token for one of them, as the user's environment says."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from .errors import UsageError

MODELSCOPE = "https://www.modelscope.cn"
"""ModelScope in China; its international site is https://www.modelscope.ai."""


def endpoint() -> str:
    """Return the Hub's base URL without a slash at its end: ``HF_ENDPOINT``, else huggingface.co.

    Raises:
        UsageError: ``HF_ENDPOINT`` is no http(s) URL, or holds a password.
    """
    return _base_url("HF_ENDPOINT", "https://huggingface.co")


def endpoints() -> list[str]:
    """Return the Hub's base URLs in the order in which they are asked.

    `endpoint` first, then those of ``RKFETCH_ENDPOINTS`` (separated by spaces or commas), which
    take over where the ones before them fail.

    Raises:
        UsageError: one of them is no http(s) URL, or holds a password.
    """
    return list(dict.fromkeys([endpoint(), *_listed("RKFETCH_ENDPOINTS", "https://hf-mirror.com")]))


def mirrors() -> list[str]:
    """Return the base URLs of stores of other machines, asked before any Hub.

    ``RKFETCH_MIRRORS`` (separated by spaces or commas): each serves the folder ``models`` of a
    store as static files.

    Raises:
        UsageError: one of them is no http(s) URL, or holds a password.
    """
    return _listed("RKFETCH_MIRRORS", "http://nas.local:8080/models")


def modelscope_endpoint() -> str:
    """Return ModelScope's base URL, as its own client finds it.

    ``MODELSCOPE_ENDPOINT``, else ``MODELSCOPE_DOMAIN`` (the older name of it), else
    www.modelscope.cn. Both may be a bare host, which is asked over TLS.

    Raises:
        UsageError: it is no http(s) URL, or holds a password.
    """
    for variable in ("MODELSCOPE_ENDPOINT", "MODELSCOPE_DOMAIN"):
        url = os.environ.get(variable, "").strip()
        if url:
            url = url if "://" in url else f"https://{url}"
            return _checked(variable, url, MODELSCOPE)
    return MODELSCOPE


def _base_url(variable: str, default: str) -> str:
    return _checked(variable, os.environ.get(variable) or default, default)


def _listed(variable: str, example: str) -> list[str]:
    urls = re.split(r"[\s,]+", os.environ.get(variable, ""))
    return [_checked(variable, url, example) for url in urls if url]


def _checked(variable: str, url: str, example: str) -> str:
    url = url.strip().rstrip("/")
    if "@" in url:
        # Records, the catalog and messages name endpoints: what stands there is no secret.
        raise UsageError(
            f"{variable} holds a user or a password, which would be stored and shown",
            hint="leave out what stands before the @; a token for the Hub goes into HF_TOKEN",
        )
    try:
        parts = urlsplit(url)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise UsageError(
            f"{variable} is '{url}', which is not an address", hint=f"an example: {example}"
        )
    return url


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


def _token_file() -> Path:
    named = os.environ.get("HF_TOKEN_PATH")
    if named:
        return Path(named)
    home = os.environ.get("HF_HOME")
    if not home:
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111 - without HOME, pathlib raises
        home = f"{cache}/huggingface"
    return Path(home) / "token"
