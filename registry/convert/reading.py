"""Read files of the user's own, which may be missing, forbidden, or something else altogether."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rkfetch.registry.disk_failures import failure_of_disk
from rkfetch.registry.errors import IntegrityError, UsageError
from rkfetch.registry.foreign import identify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rkfetch.registry.foreign import Foreign

FIRST_BYTES = 4096
"""Enough to tell what a file is."""


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what the operating system says about reading into our errors.

    Raises:
        UsageError: it is not there, or may not be read.
        RkfetchError: the disk failed, or is gone.
    """
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(f"{error.filename or path} is not there") from error
    except PermissionError as error:
        raise UsageError(
            f"{error.filename or path} may not be read", cause=[error.strerror or str(error)]
        ) from error
    except OSError as error:
        raise failure_of_disk(error, path) from error


def foreign(path: Path) -> Foreign | None:
    """Tell from its first bytes what a file is; None if it begins like an ``.rkllm``."""
    with readable(path), path.open("rb") as file:
        return identify(file.read(FIRST_BYTES), path.stat().st_size)


def torn_weights(path: Path, why: str) -> IntegrityError:
    """Return the error for weights that are not whole."""
    return IntegrityError(
        f"{path} is no whole file of weights",
        cause=[why],
        hint="download it again; in a clone, `git lfs pull` brings what the pointers stand for",
    )
