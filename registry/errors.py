"""Every way in which rkfetch can fail, each with its exit code.

An error says what happened (the message), why (``cause``, one line each) and what to do
next (``hint``). Facts stay on the exception as attributes so that neither tests nor
``--json`` have to read prose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class RkfetchError(Exception):
    """Base of all errors that rkfetch raises on purpose; on its own, an unexpected failure."""

    exit_code: ClassVar[int] = 1
    kind: ClassVar[str] = "unexpected"

    def __init__(self, message: str, *, cause: Sequence[str] = (), hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.cause = tuple(cause)
        self.hint = hint
        self.answer: Mapping[str, Any] | None = None
        """The JSON answer of a question that failed, as far as it was known."""


class UsageError(RkfetchError):
    """The command or an argument cannot be understood."""

    exit_code = 2
    kind = "usage"


class IncompatibleError(RkfetchError):
    """Builds of the model exist, and none of them may be used on the target."""

    exit_code = 3
    kind = "incompatible"


class UnknownModelError(RkfetchError):
    """Nothing in the catalog answers to the reference."""

    exit_code = 4
    kind = "unknown-model"


class AuthenticationError(RkfetchError):
    """The source wants a token, or its owner's consent."""

    exit_code = 5
    kind = "authentication"


class NetworkError(RkfetchError):
    """The network failed, after retries; partial data is kept."""

    exit_code = 6
    kind = "network"


class IntegrityError(RkfetchError):
    """Content is not what it should be: hash, size, format, or header against plan."""

    exit_code = 7
    kind = "integrity"

    def __init__(
        self,
        message: str,
        *,
        expected: str | None = None,
        actual: str | None = None,
        cause: Sequence[str] = (),
        hint: str | None = None,
    ) -> None:
        super().__init__(message, cause=cause, hint=hint)
        self.expected = expected
        self.actual = actual


class DiskSpaceError(RkfetchError):
    """A file system has not enough room."""

    exit_code = 8
    kind = "disk-space"

    def __init__(
        self,
        message: str,
        *,
        need_bytes: int | None = None,
        have_bytes: int | None = None,
        where: str | None = None,
        cause: Sequence[str] = (),
        hint: str | None = None,
    ) -> None:
        super().__init__(message, cause=cause, hint=hint)
        self.need_bytes = need_bytes
        self.have_bytes = have_bytes
        self.where = where


class MemoryFitError(RkfetchError):
    """The model would not fit in the board's memory."""

    exit_code = 9
    kind = "memory"


class ConversionUnavailableError(RkfetchError):
    """Only a conversion would help, and this machine cannot do one."""

    exit_code = 10
    kind = "conversion-unavailable"


class OfflineError(RkfetchError):
    """It is not on this machine, and the network is switched off."""

    exit_code = 11
    kind = "offline"


class MeteredError(OfflineError):
    """It is not on this machine, and would cost more than anybody agreed to."""

    kind = "metered"

    def __init__(
        self,
        message: str,
        *,
        need_bytes: int | None,
        cause: Sequence[str] = (),
        hint: str | None = None,
    ) -> None:
        super().__init__(message, cause=cause, hint=hint)
        self.need_bytes = need_bytes


class ConversionError(RkfetchError):
    """A conversion was tried and failed."""

    exit_code = 12
    kind = "conversion"


class DriftError(RkfetchError):
    """A board is not as its lock file says, or that is not as its declaration asks for."""

    exit_code = 13
    kind = "drift"
