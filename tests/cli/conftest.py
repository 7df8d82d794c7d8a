"""The command line as a function."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rkfetch.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def rkfetch(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run the command line; give its exit code, stdout and stderr."""

    def run(*args: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stopped:
            main(args)
        said = capsys.readouterr()
        assert isinstance(stopped.value.code, int)
        return stopped.value.code, said.out, said.err

    return run
