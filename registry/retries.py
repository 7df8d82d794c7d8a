"""Try again as often as it may help, wait politely in between, and end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .errors import NetworkError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .failures import TransientError


_HINT = "try again later; a mirror can be named with HF_ENDPOINT"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often to try again, and how long to wait before that."""

    attempts: int = 5
    """Tries in a row that got nowhere, until the failure is final."""
    first_wait_s: float = 0.5
    longest_wait_s: float = 20
    longest_ordered_wait_s: float = 310
    """In all, until something came; the Hub counts requests in windows of 300 s."""

    def hurried(self) -> RetryPolicy:
        """Return the policy for a place that is not the only one to ask."""
        return replace(self, attempts=min(2, self.attempts), longest_ordered_wait_s=5)


class Retries:
    """Counts tries that got nowhere, waits between them, and ends them."""

    def __init__(
        self,
        policy: RetryPolicy,
        *,
        sleep: Callable[[float], object],
        random: Callable[[], float],
        waiting: Callable[[str, float], object] | None = None,
        hint: str | None = None,
    ) -> None:
        self._policy = policy
        self._sleep = sleep
        self._random = random
        self._waiting = waiting
        self._hint = hint
        self._failures = 0
        self._ordered_s = 0.0

    def pause(
        self, error: TransientError, *, progressed: bool = False, at_once: bool = False
    ) -> None:
        """Wait before the next try, unless it may come ``at_once`` and the server does not object.

        A try that ``progressed`` before it failed does not count, and counting starts anew.

        Raises:
            NetworkError: there is no next try.
        """
        self._failures = 0 if progressed else self._failures + 1
        self._ordered_s = 0 if progressed else self._ordered_s
        ordered = error.retry_after_s
        if self._failures >= self._policy.attempts:
            tries = f"gave up after {self._failures} tries without progress"
            raise NetworkError(
                error.message, cause=[*error.cause, tries], hint=self._hint or error.hint or _HINT
            ) from error
        if ordered is not None and self._ordered_s + ordered > self._policy.longest_ordered_wait_s:
            asked = f"the server asks to wait {ordered:.0f} s"
            if self._ordered_s:
                asked += f", after {self._ordered_s:.0f} s that were waited"
            raise NetworkError(
                error.message, cause=[*error.cause, asked], hint=self._hint or error.hint or _HINT
            ) from error
        wait_s = 0 if at_once else self._own_wait_s()
        if ordered is not None:
            wait_s = ordered
            self._ordered_s += ordered
        if wait_s > 0:
            if self._waiting is not None:
                self._waiting(error.message, wait_s)
            self._sleep(wait_s)

    def _own_wait_s(self) -> float:
        doubled = self._policy.first_wait_s * 2.0 ** max(0, self._failures - 1)
        return min(doubled, self._policy.longest_wait_s) * (0.5 + self._random() / 2)
