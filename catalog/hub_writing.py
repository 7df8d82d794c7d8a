"""Write to a repository of the Hub through huggingface_hub, with its failures in our words."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rkfetch.registry.errors import (
    AuthenticationError,
    NetworkError,
    RkfetchError,
    UsageError,
)
from rkfetch.registry.hub import endpoint, hub_token

from .sources.hub_client import silence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from huggingface_hub import HfApi


@contextmanager
def writing_to(repo: str, *, option: str) -> Iterator[HfApi]:
    """Give a client that may write, and turn what it raises in the block into our errors.

    ``option`` is what a user names a repository with.

    Raises:
        UsageError: the name is none.
        AuthenticationError: there is no token, or it may not write there.
        NetworkError: the Hub cannot be asked, or somebody else writes at the same time.
    """
    if repo.count("/") != 1 or not all(repo.split("/")):
        raise UsageError(f"'{repo}' names no repository", hint=f"an example: {option} OWNER/NAME")
    token = hub_token()
    if token is None:
        raise AuthenticationError(
            f"publishing to {repo} needs a token",
            hint="make one that may write at https://huggingface.co/settings/tokens, and set "
            "HF_TOKEN or run `hf auth login`",
        )
    with _spoken(repo):
        from huggingface_hub import HfApi

        silence()
        yield HfApi(endpoint=endpoint(), token=token, library_name="rkfetch")


@contextmanager
def _spoken(repo: str) -> Iterator[None]:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # read once, at import
    import httpx2
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    from huggingface_hub.utils.tqdm import disable_progress_bars

    # Plain uploads, whoever imported it first: parts of a catalog are too small for Xet to gain
    # anything, and of a model it would show no progress but its own.
    constants.HF_HUB_DISABLE_XET = True
    disable_progress_bars()
    try:
        yield
    except RkfetchError:
        raise
    except HFValidationError as error:
        raise UsageError(f"'{repo}' names no repository", cause=[str(error)]) from error
    except HfHubHTTPError as error:
        raise _of_status(error, repo) from error
    except (httpx2.HTTPError, OSError, RuntimeError) as error:  # RuntimeError: an upload ended
        raise NetworkError(
            f"the Hub cannot be asked about {repo}",
            cause=[str(error)[:200]],
            hint="check the network; the same command begins anew, and nothing is half published",
        ) from error


def _of_status(error: Any, repo: str) -> RkfetchError:
    status = error.response.status_code
    said = [f"status {status}", str(error.server_message or "")[:200]]
    if status in {401, 403, 404}:
        return AuthenticationError(
            f"the token may not write to {repo}",
            cause=said,
            hint="it needs the right to write there: https://huggingface.co/settings/tokens",
        )
    if status == 412:
        return NetworkError(
            f"somebody else wrote to {repo} at the same time",
            cause=said,
            hint="run the same command again",
        )
    return NetworkError(f"the Hub did not take what was published to {repo}", cause=said)
