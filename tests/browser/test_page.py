"""The page in a real browser: chosen, filtered, shared, copied, read by everybody, and harmless."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from rkfetch.catalog.browsing.tables import Build
from rkfetch.catalog.entries import Companion, Repository
from rkfetch.catalog.measured import measured_memory
from rkfetch.catalog.models import exactly, parse_reference
from rkfetch.catalog.places import together
from rkfetch.registry.model import (
    Artifact,
    Availability,
    Evidence,
    Origin,
    Platform,
    Target,
    settle,
)
from rkfetch.registry.resolve import NO_MODELS, resolve
from rkfetch.registry.runtimes import RELEASES

from .conftest import Visitor, write_page

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROCK = "soc=rk3576&mem=8&rt=1.2.3&lang=en"


def hint(page: Page) -> str:
    return page.inner_text("#hint")


def rows(page: Page) -> list[str]:
    return page.locator(".builds > tbody > tr:not(.detail) .verdict strong").all_inner_texts()


def draw_all(page: Page) -> None:
    """Draw every model, as scrolling to the end does."""
    page.evaluate("() => { while (drawn < groups.length) drawMore(); }")


def chosen(page: Page, field: str) -> str:
    return str(page.locator(f"#{field}").input_value())


# --- what it says is what rkfetch says -----------------------------------------------------------

STATUS = {"exact": "ok", "compatible": "ok", "risky": "risky", "unknown": "unknown"}


@pytest.mark.parametrize("platform", Platform)
def test_every_verdict_is_that_of_the_command(
    visitor: Visitor, address: str, shipped: list[Build], platform: Platform
) -> None:
    """For every build, runtime and memory the page shows what `resolve` says."""
    memory_gb = 4
    for runtime in RELEASES:
        page = visitor.opens(
            address, f"soc={platform.value}&rt={runtime}&mem={memory_gb}&all=1&sort=name&lang=en"
        )
        draw_all(page)
        page.evaluate("document.querySelectorAll('.unfold').forEach(b => b.click())")
        shown = page.evaluate(
            "[...document.querySelectorAll('.builds > tbody > tr')].map(r => ["
            "r.querySelector('td.file').firstChild.textContent,"
            "r.querySelector('td.file small').textContent,"
            "r.querySelector('.verdict strong').textContent.slice(2)])"
        )
        target = Target(platform=platform, runtime=runtime, memory_bytes=memory_gb << 30)
        told = {
            (c.artifact.repo, c.artifact.path): _words(c)
            for c in _judged(shipped, target)
            if c.artifact.platform is platform
        }
        assert {(repo, path): status for repo, path, status in shown} == told


def _judged(shipped: list[Build], target: Target) -> list[Any]:
    artifacts = together(
        b.artifact
        for b in shipped
        if b.artifact.availability in {Availability.LISTED, Availability.MANUAL}
    )
    resolution = resolve(
        [a for a in artifacts if a.path and a.role not in NO_MODELS],
        target,
        measured=measured_memory,
    )
    return [*resolution.ranked, *resolution.refused]


def _words(candidate: Any) -> str:
    level, fit = candidate.verdict.level.value, candidate.fit.value
    if level == "incompatible":
        return "does not run"
    if fit == "too-large":
        return "too large"
    if level in {"risky", "unknown"}:
        return {"risky": "risky", "unknown": "not known"}[level]
    return "runs, memory is tight" if fit == "tight" else "runs"


# --- choosing ------------------------------------------------------------------------------------


def test_only_what_fits_the_board_is_shown_at_first(visitor: Visitor, address: str) -> None:
    page = visitor.opens(address, "soc=rk3576&mem=4&rt=1.2.3&q=qwen3-4b&lang=en")
    assert visitor.sees()[0] == "Qwen3-4B"
    assert "w8a8" not in page.inner_text(".model:first-child .builds tbody")
    assert "does not fit is not shown" in hint(page)
    page.check("#all")
    too_large = page.locator(".model:first-child tr.no").first
    assert "too large" in too_large.inner_text()
    assert "it needs 5.2 GB of memory (measured)" in too_large.inner_text()
    page.select_option("#memory", "16")
    assert "too large" not in page.inner_text(".model:first-child")


def test_a_runtime_that_refuses_a_file_says_why_and_where_that_is_known(
    visitor: Visitor, address: str
) -> None:
    page = visitor.opens(address, "soc=rk3576&rt=1.1.4&q=qwen2.5-1.5b&all=1&lang=en")
    refused = page.locator("tr.no", has_text="1.2.3").first
    verdict = refused.locator(".verdict")
    assert "newer than runtime 1.1.4: the runtime refuses it" in verdict.inner_text()
    assert "newer than runtime 1.1.4" in (verdict.locator("strong").get_attribute("title") or "")
    refused.locator("button[aria-expanded]").click()
    source = page.locator(".detail ul a", has_text="source").first
    assert (source.get_attribute("href") or "").startswith("https://github.com/airockchip/rknn-llm")


def test_searching_filters_as_one_types(visitor: Visitor, address: str) -> None:
    page = visitor.opens(address, ROCK)
    page.locator("#search").press_sequentially("qwen25 3b w4")
    assert visitor.sees() == ["Qwen2.5-3B-Instruct"]
    assert len(rows(page)) == 1
    page.fill("#search", "zzzz")
    assert (visitor.sees(), page.inner_text("#count")) == ([], "No build matches")
    page.fill("#search", "")
    draw_all(page)
    assert len(visitor.sees()) > 10


def test_a_board_has_its_own_memory_sizes(visitor: Visitor, address: str) -> None:
    page = visitor.opens(address, ROCK)
    page.select_option("#board", "rk3576/Seeed reComputer RK3576 DevKit")
    assert chosen(page, "memory") == "8"
    page.select_option("#board", "rk3588/Radxa ROCK 5B")
    page.wait_for_function("document.querySelector('#plot-title').textContent.includes('RK3588')")
    assert "rk3588" in page.url


def test_orders(visitor: Visitor, address: str) -> None:
    page = visitor.opens(address, f"{ROCK}&sort=small")
    draw_all(page)
    needs = page.evaluate(
        "[...document.querySelectorAll('.model')].map(m => Math.min(...[...m.querySelectorAll("
        "'tbody td:nth-child(6)')].map(t => parseFloat(t.textContent.replace('~', '')) || 1e9)))"
    )
    assert len(needs) > 10
    assert needs == sorted(needs)
    page.select_option("#sort", "name")
    names = [name.lower() for name in visitor.sees()]
    assert names[0].startswith(("chatglm", "deepseek"))


# --- sharing -------------------------------------------------------------------------------------


def test_a_link_shows_others_the_same(visitor: Visitor, address: str) -> None:
    page = visitor.opens(address)
    page.select_option("#runtime", "1.2.3")
    page.select_option("#memory", "16")
    page.select_option("#quant", "w4a16")
    page.select_option("#context", "4096")
    page.select_option("#sort", "small")
    page.fill("#search", "qwen")
    page.check("#all")
    page.locator(".pick input").first.check()
    before, link = page.inner_text("#results"), page.url
    other = visitor.opens(link)
    assert other.inner_text("#results") == before
    assert other.inner_text("#picked-count") == "1 chosen"


def test_a_language_and_colours_are_ones_own(visitor: Visitor, address: str) -> None:
    """They are kept for the next time, and not handed on; a link may still name them."""
    page = visitor.opens(address)
    page.click("#language")
    page.click("#theme")
    assert "zh" not in page.url
    page = visitor.opens(page.url)
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    page = visitor.opens(address, "lang=en&theme=dark")
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_going_back_leads_to_the_board_before(visitor: Visitor, address: str) -> None:
    page = visitor.opens(address, f"{ROCK}&q=qwen")
    page.fill("#search", "qwen3")
    page.select_option("#runtime", "1.2.1")
    page.select_option("#board", "rk3588/")
    page.wait_for_function("document.title.startsWith('RK3588')")
    page.go_back()
    page.wait_for_function("document.title.startsWith('RK3576')")
    assert (chosen(page, "runtime"), chosen(page, "search")) == ("1.2.1", "qwen3")
    page.go_back()
    page.wait_for_function("document.getElementById('runtime').value === '1.2.3'")
    assert chosen(page, "search") == "qwen3"
    page.go_forward()
    page.wait_for_function("document.getElementById('runtime').value === '1.2.1'")


@pytest.mark.parametrize(
    "state",
    [
        "soc=z80&mem=-3&rt=9.9&sort=%00&theme=x&lang=tlh",
        "lang=constructor&pick=x",
        "%%%",
        "a" * 9000,
    ],
)
def test_a_link_that_makes_no_sense_shows_the_page(
    visitor: Visitor, address: str, state: str
) -> None:
    visitor.opens(address, state)
    assert len(visitor.sees()) > 5


# --- copying -------------------------------------------------------------------------------------


def clipboard(page: Page) -> str:
    return str(page.evaluate("navigator.clipboard.readText()"))


def test_the_command_is_copied(visitor: Visitor, address: str) -> None:
    page = visitor.opens(address, f"{ROCK}&q=qwen2.5-1.5b+w4a16")
    page.locator("button", has_text="Copy command").first.click()
    page.locator("button", has_text="Copied ✓").wait_for()
    assert clipboard(page) == (
        "rkfetch hf:HanzoHuang/Qwen2.5-1.5B-Instruct-RKLLM/RK3576/"
        "Qwen2.5-1.5B-Instruct_RK3576_w4a16.rkllm --platform rk3576 --runtime 1.2.3"
    )


def test_a_script_for_all_that_was_chosen(visitor: Visitor, address: str) -> None:
    page = visitor.opens(address, ROCK)
    for model in ("qwen2.5-1.5b w4a16", "qwen3-1.7b w8a8"):
        page.fill("#search", model)
        page.locator(".pick input").first.check()
    assert page.inner_text("#picked-count") == "2 chosen"
    page.click("#show-script")
    page.click("#copy-script")
    page.locator("#script-said", has_text="Copied").wait_for()
    lines = clipboard(page).splitlines()
    assert lines[0] == "#!/bin/sh"
    assert "set -eu" in lines
    commands = [line for line in lines if line.startswith("rkfetch ")]
    assert [c.split()[1].rpartition("/")[2] for c in commands] == [
        "Qwen2.5-1.5B-Instruct_RK3576_w4a16.rkllm",
        "Qwen3-1.7B_RK3576_w8a8.rkllm",
    ]
    with page.expect_download() as saved:
        page.click("#download")
    assert saved.value.suggested_filename == "set-up.sh"
    assert saved.value.path().read_text() == clipboard(page)
    page.keyboard.press("Escape")
    page.select_option("#runtime", "1.3.0")
    page.click("#show-script")
    assert "--runtime 1.3.0" in page.input_value("#script-text")
    page.keyboard.press("Escape")
    page.select_option("#runtime", "1.2.1")  # which runs neither
    assert page.locator("#picked").is_hidden()
    page.select_option("#runtime", "1.2.3")
    page.click("#clear-picked")
    assert page.locator("#picked").is_hidden()
    assert page.locator(".pick input:checked").count() == 0


def test_what_runs_on_no_other_soc_is_not_taken_along(visitor: Visitor, address: str) -> None:
    page = visitor.opens(address, ROCK)
    page.locator(".pick input").first.check()
    page.select_option("#board", "rk3588/")
    page.wait_for_function("document.title.startsWith('RK3588')")
    page.locator(".model").first.wait_for()
    assert page.locator("#picked").is_hidden()
    assert "pick=" not in page.url


def test_copying_that_is_not_allowed_leaves_it_to_the_hand(visitor: Visitor, address: str) -> None:
    page = visitor.opens(address, ROCK)
    page.evaluate(
        "() => { navigator.clipboard.writeText = () => Promise.reject();"
        " document.execCommand = () => false; }"
    )
    page.locator("button", has_text="Copy command").first.click()
    assert page.inner_text("#script-title") == "Copy it by hand"
    assert page.locator("#forms").is_hidden()
    selected = page.evaluate(
        "(field => field.value.slice(field.selectionStart, field.selectionEnd))"
        "(document.getElementById('script-text'))"
    )
    assert str(selected).startswith("rkfetch hf:")


def test_every_command_means_the_build_that_it_stands_beside(
    visitor: Visitor, address: str, shipped: list[Build]
) -> None:
    """Of whatever is in the catalog; what no command fetches has none."""
    known = {exactly(b.artifact.source, b.artifact.name): b.artifact.availability for b in shipped}
    count = 0
    for soc in (*(p.value for p in Platform), "unknown"):
        page = visitor.opens(address, f"soc={soc}&rt=1.2.3&all=1&lang=en")
        told = page.evaluate("rows.map(row => [row.reference, row.command, row.has('manual')])")
        count += len(told)
        for reference, command, is_manual in told:
            by_hand = known[reference] is Availability.MANUAL
            assert is_manual == by_hand
            words = shlex.split(command)
            assert words[:2] == ["rkfetch", reference]
            assert by_hand or parse_reference(reference).file is not None
            assert words[2:-2] == ([] if soc == "unknown" else ["--platform", soc])
    assert count > 100
    page = visitor.opens(address, "soc=rk3588&q=manual&all=1&lang=en")
    row = page.locator(".builds tbody tr", has_text="by hand").first
    assert row.locator("button").all_inner_texts() == ["Evidence"]


# --- evidence ------------------------------------------------------------------------------------


def test_every_attribute_has_its_evidence(visitor: Visitor, address: str) -> None:
    page = visitor.opens(address, f"{ROCK}&q=qwen2.5-1.5b+w4a16")
    button = page.locator("button[aria-expanded]").first
    button.click()
    detail = page.locator(".detail")
    detail.locator("table").wait_for()
    text = detail.inner_text()
    for word in ("toolkit", "1.2.3", "curated", "rk3576", "w4a16", "file-name", "SHA-256"):
        assert word in text
    assert detail.locator("td a[href^='https://github.com/']").count() > 0
    button.click()
    assert page.locator(".detail").count() == 0


def told_twice(*, path: str = "a-rk3576.rkllm", repo: str = "Ann/A", **said: str) -> Build:
    evidence = [
        Evidence(attribute=name, value=value, origin=origin, place="https://example.org/x")
        for name, values in said.items()
        for value, origin in zip(values.split(), (Origin.CURATED, Origin.CURATED), strict=False)
    ]
    known = {"platform": "rk3576", "model": "Qwen3-4B"}
    evidence += [
        Evidence(attribute=name, value=value, origin=Origin.HEADER, place="header")
        for name, value in known.items()
        if name not in said
    ]
    artifact = Artifact(
        source="huggingface", repo=repo, path=path, attributes=settle(evidence), size_bytes=10**9
    )
    return Build(artifact, Repository(source="huggingface", repo=repo, license="mit"), ())


def test_sources_that_disagree_are_shown_both(visitor: Visitor, tmp_path: Path) -> None:
    page = visitor.opens(write_page(tmp_path, [told_twice(toolkit="1.2.0 1.2.3")]), "lang=en&all=1")
    assert "1.2.3 / 1.2.0" in page.inner_text(
        ".builds tbody"
    ) or "1.2.0 / 1.2.3" in page.inner_text(".builds tbody")
    assert "sources disagree" in page.inner_text(".builds tbody")
    page.locator("button[aria-expanded]").click()
    page.locator(".detail table").wait_for()
    assert page.locator(".detail table td", has_text="disputed").count() == 2


def test_what_belongs_to_a_build_is_named(visitor: Visitor, tmp_path: Path) -> None:
    build = told_twice()._replace(
        companions=[Companion(role="vision", repo="Ann/A", path="v.rknn", size_bytes=7 * 10**8)]
    )
    page = visitor.opens(write_page(tmp_path, [build]), "lang=en&all=1")
    assert page.locator(".mark.vision").inner_text() == "vision"
    page.locator("button[aria-expanded]").click()
    page.locator(".detail li", has_text="vision: v.rknn, 0.7 GB").wait_for()


# --- hostile names -------------------------------------------------------------------------------

HOSTILE = (
    "<img src=x onerror=document.title='owned'>",
    "</script><script>document.title='owned'</script>",
    "javascript:document.title='owned'",
    "a'; touch owned; '",
    "<!--<script>",
    "\u202egnp.mllkr",
)


def test_names_are_never_more_than_text(visitor: Visitor, tmp_path: Path) -> None:
    builds = [
        told_twice(path=f"{name}.rkllm", repo=f"{name}/x", model=name.replace(" ", "_"))
        for name in HOSTILE
    ]
    page = visitor.opens(write_page(tmp_path, builds, name=HOSTILE[1]), "lang=en&all=1")
    for button in page.locator("button[aria-expanded]").all():
        button.click()
    assert page.locator("#results img, #results script").count() == 0
    assert page.title() == f"RK3576 \u2013 {HOSTILE[1]}"
    assert "\u202e" not in page.inner_text("body")
    addresses = page.locator("#results a").evaluate_all("links => links.map(a => a.href)")
    assert all(a.startswith("https://") for a in addresses)
    page.locator(".pick input").first.check()
    commands = page.locator(".detail dd code").all_inner_texts()
    assert any("'hf:a'\\''; touch owned; '\\''" in c for c in commands)


# --- everybody -----------------------------------------------------------------------------------

_PICTURES = os.environ.get("RKFETCH_TEST_PICTURES")


def picture(page: Page, name: str) -> None:
    """Keep what is seen, if somebody wants to look at it."""
    if _PICTURES:
        page.screenshot(path=str(Path(_PICTURES) / f"{name}.png"))


def require_nothing_is_cut_off(page: Page, width: int) -> None:
    """Look at the edges of what is shown: what a box hides is no wider than the page, either."""
    wide = page.evaluate(
        "width => [...document.querySelectorAll('main *, footer *')].filter(e => e.offsetParent && "
        "!e.closest('.unseen, thead, #plot-table, dialog') && "
        "e.getBoundingClientRect().right > width + 1).map(e => e.outerHTML.slice(0, 120))",
        width,
    )
    assert wide == []


def require_everybody_can_use(page: Page) -> None:
    """Let axe look for what keeps people out; it may read no file besides the page."""
    rules = ["wcag2a", "wcag2aa", "wcag21aa", "best-practice"]
    found = Axe().run(page, options={"runOnly": rules, "preload": False})
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize(
    ("width", "language", "theme"),
    [
        (360, "en", "light"),
        (360, "zh", "dark"),
        (768, "en", "dark"),
        (768, "zh", "light"),
        (1200, "en", "light"),
        (1200, "zh", "dark"),
    ],
)
def test_at_every_width_in_both_languages_and_colours(
    visitor: Visitor, address: str, width: int, language: str, theme: str
) -> None:
    """Nothing is wider than the screen, and axe finds nothing that keeps anybody out."""
    visitor.page.set_viewport_size({"width": width, "height": 1000})
    state = f"soc=rk3576&mem=8&rt=1.2.3&lang={language}&theme={theme}"
    page = visitor.opens(address, state)
    picture(page, f"page-{width}-{language}-{theme}")
    page.check("#all")
    page.locator("button[aria-expanded]").first.click()
    page.locator(".detail table").wait_for()
    if not page.locator("#plot").is_visible():
        page.locator("#plot-part > details > summary").click()
    page.locator("#plot-part details details summary").click()
    picture(page, f"page-{width}-{language}-{theme}-open")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    require_nothing_is_cut_off(page, width)
    require_everybody_can_use(page)
    page.locator(".pick input").first.check()
    page.click("#show-script")
    require_everybody_can_use(page)


def test_the_colours_are_those_that_the_system_wants(visitor: Visitor, address: str) -> None:
    def back() -> str:
        return str(visitor.page.evaluate("getComputedStyle(document.body).backgroundColor"))

    visitor.page.emulate_media(color_scheme="dark")
    page = visitor.opens(address, "lang=en")
    assert back() == "rgb(17, 20, 24)"
    visitor.page.emulate_media(color_scheme="light")
    assert back() == "rgb(255, 255, 255)"
    page.click("#theme")
    page.click("#theme")
    assert (page.inner_text("#theme"), back()) == ("Colours: dark", "rgb(17, 20, 24)")
    page.reload()
    assert back() == "rgb(17, 20, 24)"


@pytest.mark.parametrize(
    ("locale", "word"), [("zh-CN", "内存"), ("en-US", "Memory"), ("de", "Memory")]
)
def test_it_speaks_the_browsers_language(
    browser: Any, address: str, locale: str, word: str
) -> None:
    context = browser.new_context(locale=locale)
    page = Visitor(context).opens(address)
    assert word in page.inner_text("#choose")
    context.close()


def test_all_words_are_in_both_languages(visitor: Visitor, address: str) -> None:
    page = visitor.opens(address)
    english, chinese = page.evaluate("[Object.keys(rkfetchWords.en), Object.keys(rkfetchWords.zh)]")
    assert set(english) <= set(chinese)
    from rkfetch.registry.compat import PAIR_RULES

    told = page.evaluate("Object.keys(rkfetchWords.zh.reason)")
    assert {rule.rule for rule in PAIR_RULES} <= set(told)


def test_without_a_mouse(visitor: Visitor, address: str) -> None:
    page = visitor.opens(address, ROCK)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "results"
    assert "rt=1.2.3" in page.url
    page.locator("#search").press("Enter")
    assert page.evaluate("document.activeElement.id") == "results"
    assert page.locator("#plot .dot[tabindex='0']").count() == 1
    page.locator("#plot .dot[tabindex='0']").focus()
    page.keyboard.press("Home")
    for _ in range(100):
        if page.locator("#plot .dot.fits:focus").count():
            break
        page.keyboard.press("ArrowRight")
    said = page.inner_text("#plot-said")
    assert said == page.locator("#plot .dot:focus").get_attribute("aria-label")
    page.keyboard.press("Enter")
    assert visitor.sees()[0].startswith(said.partition(",")[0])
    assert page.locator("#plot .dot.faded").count() > 0
    button = page.locator("button[aria-expanded]").first
    button.focus()
    page.keyboard.press("Enter")
    page.locator(".detail table").wait_for()


def test_what_was_measured_is_drawn_and_told(visitor: Visitor, address: str) -> None:
    page = visitor.opens(address, ROCK)
    marks = page.locator("#plot .dot").evaluate_all("m => m.map(x => x.getAttribute('aria-label'))")
    assert any(m.startswith("Qwen3-0.6B, w4a16: 24.9 tokens/s, 0.5 GB") for m in marks)
    page.locator("#plot-part details details summary").click()
    beside = page.locator("#plot-table tbody tr", has_text="Qwen3-0.6B").first.inner_text()
    assert "0.5 GB, 24.9 tokens/s" in beside
    assert beside.count("tokens/s") > 1
    assert page.inner_text("#plot-table tbody").count("tokens/s") == len(marks)


def test_without_scripts_it_lists_the_models(browser: Any, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    assert "Qwen2.5-1.5B-Instruct" in page.inner_text("main noscript")
    context.close()


# --- no network, and not much of it --------------------------------------------------------------


def test_it_asks_for_nothing_but_its_own_files(visitor: Visitor, address: str) -> None:
    folder = address.removesuffix("index.html")
    page = visitor.opens(address, ROCK)
    page.locator("button[aria-expanded]").first.click()
    page.locator(".detail table").wait_for()
    assert visitor.asked
    assert all(a.startswith((folder, "about:", "data:", "blob:")) for a in visitor.asked)


def test_a_file_that_is_missing_is_said(
    visitor: Visitor, shipped: list[Build], tmp_path: Path
) -> None:
    address = write_page(tmp_path, shipped)
    for path in (tmp_path / "page").glob("*.js"):
        if path.read_bytes().startswith(b"rkfetchTable"):
            path.unlink()
    page = visitor.page
    page.goto(f"{address}#lang=en")
    page.wait_for_function(
        "document.getElementById('count').textContent.includes('cannot be read')"
    )
    visitor.complaints.clear()


def is_table(content: bytes) -> bool:
    return content.startswith(b"rkfetchTable")


@pytest.mark.parametrize("damage", ["cut off", "altered", "a page of the server's own"])
def test_a_file_that_is_damaged_is_said(
    visitor: Visitor, shipped: list[Build], tmp_path: Path, damage: str
) -> None:
    address = write_page(tmp_path, shipped)
    for path in (tmp_path / "page").glob("*.js"):
        content = path.read_bytes()
        if is_table(content):
            middle = len(content) // 2
            path.write_bytes(
                {
                    "cut off": content[:middle],
                    "altered": content[:middle] + b"AAAAAAAA" + content[middle + 8 :],
                    "a page of the server's own": b"<!doctype html><title>Hello</title>",
                }[damage]
            )
    page = visitor.page
    page.goto(f"{address}#lang=en")
    page.locator("#count", has_text="cannot be read").wait_for()
    assert visitor.sees() == []
    visitor.complaints.clear()


def test_a_page_without_its_folder_says_so(
    visitor: Visitor, shipped: list[Build], tmp_path: Path
) -> None:
    address = write_page(tmp_path, shipped)
    for path in (tmp_path / "page").iterdir():
        path.unlink()
    visitor.page.goto(address)
    assert "is the folder “page” beside it" in visitor.page.inner_text("#broken")
    assert visitor.page.locator("#broken").is_visible()
    visitor.complaints.clear()


def test_what_was_shown_of_another_soc_is_gone_at_once(
    visitor: Visitor, shipped: list[Build], tmp_path: Path
) -> None:
    """Also where the table of the new one cannot be had."""
    address = write_page(tmp_path, shipped)
    page = visitor.opens(address, ROCK)
    tables = page.evaluate("facts.platforms.filter(p => p.id === 'rk3588').map(p => p.table)")
    (tmp_path / tables[0]).unlink()
    page.select_option("#board", "rk3588/")
    page.locator("#count", has_text="cannot be read").wait_for()
    page.fill("#search", "q")
    assert (visitor.sees(), "cannot be read" in page.inner_text("#count")) == ([], True)
    visitor.complaints.clear()


def many(count: int) -> list[Build]:
    """As many builds, of some hundred models, by half as many people."""
    quants, toolkits = ("w4a16", "w8a8", "w4a16_g128"), ("1.1.4", "1.2.1", "1.2.3", "1.3.0")
    return [
        told_twice(
            path=f"Model-{n % 400}-{n}.rkllm",
            repo=f"Owner{n % 97}/Model-{n % 400}",
            model=f"Model-{n % 400}",
            platform=("rk3576", "rk3588")[n % 2],
            quant=quants[n % 3],
            toolkit=toolkits[n % 4],
            context=str(4096 << n % 3),
        )
        for n in range(count)
    ]


def test_ten_thousand_builds_are_no_burden(visitor: Visitor, tmp_path: Path) -> None:
    address = write_page(tmp_path, many(10_000))
    page = visitor.opens(address, "soc=rk3576&mem=8&rt=1.2.3&lang=en&all=1")
    first = [
        Path(a.removeprefix("file://").partition("#")[0]) for a in visitor.asked if "file:" in a
    ]
    assert sum(path.stat().st_size for path in first) < 400_000
    assert "5000 builds" in page.inner_text("#count")
    # Only what is looked at is drawn.
    assert len(visitor.sees()) < 100
    page.fill("#search", "owner7/ model-104")
    assert page.locator(".model h3").first.inner_text() == "Model-104"
    page.fill("#search", "")
    page.wait_for_function(
        "scrollTo(0, document.body.scrollHeight), document.querySelectorAll('.model').length > 40"
    )
