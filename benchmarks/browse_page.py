"""Time the catalog's page with many builds: writing it, the first view, and filtering.

    python benchmarks/browse_page.py [--files 10000] [--runs 5]

The page lies in a folder and is opened in headless Chromium with a new profile each time. For the
first view: the first paint and the frame in which builds are shown, since the page was asked for,
and the bytes that were read for it. For filtering: how long it takes from a key to the new layout.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import sync_playwright

from lab.large_catalog import build
from rkfetch.catalog.browsing.builds import builds_of
from rkfetch.catalog.browsing.site import PAGE, About, site
from rkfetch.catalog.database import Catalog

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

BOARD = "soc=rk3588&mem=8&rt=1.2.3&all=1&lang=en"
WORDS = ("q", "qw", "qwen", "qwen 1.5b", "qwen 1.5b w8", "zzz", "")
_SHOWN = """new MutationObserver((_, watching) => {
  if (!document.querySelector(".model")) return;
  watching.disconnect();
  requestAnimationFrame(() => { window.shownAt = performance.now(); });
}).observe(document, { childList: true, subtree: true });
"""
_TYPED = """word => {
  const box = document.getElementById("search"), begun = performance.now();
  box.value = word;
  box.dispatchEvent(new Event("input"));
  document.body.offsetHeight;
  return performance.now() - begun;
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rkfetch-page-") as place:
        address = write(Path(place), given.files)
        chromium = shutil.which("chromium") or shutil.which("chromium-browser")
        with sync_playwright() as playwright:
            views, typed = [], []
            for _ in range(given.runs):
                browser = playwright.chromium.launch(
                    executable_path=chromium, args=["--no-sandbox"]
                )
                page, view = first_view(browser, address)
                views.append(view)
                typed += [page.evaluate(_TYPED, word) for word in WORDS]
                browser.close()
    for name, values in zip(("first paint", "builds shown"), zip(*views, strict=True), strict=True):
        print(f"{name:14} {statistics.median(values):6.0f} ms, {max(values):.0f} at most")
    print(f"{'a key':14} {statistics.median(typed):6.0f} ms, {max(typed):.0f} at most")


def write(folder: Path, files: int) -> str:
    """Write the page of a catalog of so many files; return its address."""
    build(folder / "catalog.db", files)
    with Catalog.open(folder / "catalog.db") as catalog:
        builds = builds_of(catalog)
    begun = time.perf_counter()
    made = site(About(name="benchmark", date="2026-01-01T00:00:00Z"), builds)
    took = time.perf_counter() - begun
    for path, content in made.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(content)
    whole = sum(map(len, made.values()))
    print(
        f"{len(builds)} builds: written in {took:.1f} s, {whole / 1e6:.2f} MB in {len(made)} files"
    )
    return (folder / PAGE).as_uri()


def first_view(browser: Browser, address: str) -> tuple[Page, tuple[float, float]]:
    """Open the page; return it, and when it first painted and when builds were shown, in ms."""
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.add_init_script(_SHOWN)
    page.goto(f"{address}#{BOARD}")
    page.wait_for_function("window.shownAt")
    shown = page.evaluate("shownAt")
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    read = [Path(url.removeprefix("file://").partition("#")[0]) for url in asked]
    size = sum(path.stat().st_size for path in read if path.is_file())
    print(f"  first view: {size / 1e3:.0f} kB in {len(read)} files")
    return page, (paint, shown)


if __name__ == "__main__":
    main()
