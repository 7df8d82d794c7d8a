"""A stale catalog is said, and not fatal."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from rkfetch.cli import opening
from rkfetch.cli.main import main

if TYPE_CHECKING:
    from datetime import tzinfo

    from typing_extensions import Self


class NextYear(datetime):
    """A clock that is 400 days ahead."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return super().now(tz) + timedelta(days=400)


@pytest.mark.parametrize(
    ("days", "more", "said"),
    [("", [], True), ("500", [], False), ("0", [], False), ("", ["--quiet"], False)],
)
def test_an_old_catalog_is_said_once_and_still_answers(
    days: str,
    more: list[str],
    said: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(opening, "datetime", NextYear)
    monkeypatch.setenv("RKFETCH_STALE_AFTER_DAYS", days)
    question = ["resolve", "qwen2.5-1.5b", "--platform", "rk3576", "--runtime", "1.2.3"]
    with pytest.raises(SystemExit) as done:
        main([*question, "--offline", *more])
    assert done.value.code == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("hf:")
    assert ("days old; `rkfetch catalog update` looks for news" in shown.err) == said
