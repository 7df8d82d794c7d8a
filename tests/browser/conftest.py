"""A real browser, without a network, and pages for it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import sync_playwright

from rkfetch.catalog.browsing.builds import builds_of
from rkfetch.catalog.browsing.site import About, site
from rkfetch.catalog.database import Catalog

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, Page

    from rkfetch.catalog.browsing.tables import Build

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
_QUIET = (
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.once)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=list(_QUIET), chromium_sandbox=False
        )
        yield browser
        browser.close()


class Visitor:
    """Somebody with a browser; whatever the page asks for, or complains of, is written down."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.page: Page = context.new_page()
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on(
            "console",
            lambda said: self.complaints.append(said.text) if said.type == "error" else None,
        )

    def opens(self, address: str, state: str = "") -> Page:
        """Open a page with what its address says, and wait until it shows something."""
        self.page.goto("about:blank")
        self.page.goto(f"{address}#{state}" if state else address)
        self.page.wait_for_selector(".model, #hint:not(:empty)")
        return self.page

    def sees(self) -> list[str]:
        """The models that are shown."""
        return self.page.locator(".model h3").all_inner_texts()


@pytest.fixture
def visitor(browser: Browser) -> Iterator[Visitor]:
    context = browser.new_context(locale="en-GB", viewport={"width": 1200, "height": 900})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    visitor = Visitor(context)
    yield visitor
    context.close()
    assert visitor.complaints == []


def write_page(folder: Path, builds: Iterable[Build], **about: Any) -> str:
    """Write a page into a folder; return its address."""
    known = {"name": "Board owners", "date": "2026-11-26T10:00:00Z", **about}
    for path, content in site(About(**known), builds).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return (folder / "index.html").as_uri()


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> list[Build]:
    with Catalog.open(tmp_path_factory.mktemp("shipped") / "catalog.db") as catalog:
        return builds_of(catalog)


@pytest.fixture(scope="session")
def address(shipped: list[Build], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of the shipped catalog, in a folder."""
    return write_page(tmp_path_factory.mktemp("page"), shipped)


Write = "Callable[[Iterable[Build]], str]"
