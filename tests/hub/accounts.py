"""Who asks, what they may see, and how often they may ask."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .exchange import error_reply

if TYPE_CHECKING:
    from collections.abc import Collection

    from .exchange import Reply, Request
    from .repos import Repo


@dataclass(frozen=True, kw_only=True)
class Account:
    """The user behind a token."""

    user: str
    accepted: bool | Collection[str]
    """Whose conditions were accepted: of all gated repositories, of none, or of these."""
    role: str = "write"
    """``read`` of a token that may not write."""

    def may_read(self, repo: Repo) -> bool:
        """Whether the content of a gated repository is open to the user."""
        if self.user == repo.author or isinstance(self.accepted, bool):
            return self.user == repo.author or self.accepted is True
        return repo.id in self.accepted


class Tokens:
    """The tokens that the Hub knows."""

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}

    def add(
        self,
        token: str,
        *,
        user: str = "someone",
        accepted: bool | Collection[str] = True,
        role: str = "write",
    ) -> None:
        """Let a token in; its user owns the private repositories under the user's name."""
        self._accounts[token] = Account(user=user, accepted=accepted, role=role)

    def account(self, token: str | None) -> Account | None:
        """The user behind a token; None for an unknown one or none."""
        return self._accounts.get(token) if token else None

    def refusal_of_token(self, request: Request) -> Reply | None:
        """The answer to a token that the Hub does not know, whatever is asked."""
        if request.token is None or self.account(request.token):
            return None
        return error_reply(401, "Invalid credentials in Authorization header")

    def sees(self, request: Request, repo: Repo) -> bool:
        """Whether the repository exists for this user."""
        account = self.account(request.token)
        return not repo.private or (account is not None and account.user == repo.author)

    def not_found(self, request: Request) -> Reply:
        """The answer about a repository that does not exist for this user.

        Without a token the Hub sends a 401 without a code, lest missing and private differ.
        huggingface_hub understands that under ``https://`` only; to it the double adds the
        code, so that it raises here what it raises in production.
        """
        if request.token is not None:
            return error_reply(404, "Repository not found", code="RepoNotFound")
        is_library = "hf_hub/" in request.headers.get("user-agent", "")
        return error_reply(
            401,
            "Invalid username or password.",
            code="RepoNotFound" if is_library else None,
        )

    def refusal_of_files(self, request: Request, repo: Repo) -> Reply | None:
        """The answer to who may not read the files of a gated repository."""
        account = self.account(request.token)
        if not repo.gated or (account is not None and account.may_read(repo)):
            return None
        if account is None:
            return error_reply(
                401,
                f"Access to model {repo.id} is restricted. You must have access to it and be "
                "authenticated to access it. Please log in.",
                code="GatedRepo",
            )
        return error_reply(
            403,
            f"Access to model {repo.id} is restricted and you are not in the authorized list. "
            f"Visit https://huggingface.co/{repo.id} to ask for access.",
            code="GatedRepo",
        )


class Quota:
    """A budget of requests per fixed window, told in every answer."""

    def __init__(self, name: str, limit: int, window_s: float = 300) -> None:
        self.name = name
        self.limit = limit
        self.window_s = window_s
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._used = 0

    def spend(self) -> tuple[bool, dict[str, str]]:
        """Count a request: whether it is within the budget, and the headers that tell."""
        with self._lock:
            now = time.monotonic()
            if now - self._began >= self.window_s:
                self._began, self._used = now, 0
            self._used += 1
            left = max(0, self.limit - self._used)
            wait = int(self.window_s - (now - self._began)) + 1
            return self._used <= self.limit, {
                "RateLimit": f'"{self.name}";r={left};t={wait}',
                "RateLimit-Policy": (
                    f'"fixed window";"{self.name}";q={self.limit};w={int(self.window_s)}'
                ),
            }
