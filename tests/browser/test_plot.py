"""The plot of speed against memory: no dead ends, to be read and hit, one stop of the Tab key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rkfetch.catalog.browsing.tables import SHOWN
from rkfetch.catalog.measured import measured_figures, measured_memory
from rkfetch.registry.model import Platform
from rkfetch.registry.resolve import NO_MODELS

from .conftest import Visitor
from .test_page import ROCK, require_everybody_can_use

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from rkfetch.catalog.browsing.tables import Build

LEAST_PX = 24
"""What a finger needs, WCAG 2.5.8."""


def unfolded(visitor: Visitor, address: str, state: str, width: int = 1200) -> Page:
    """Open the page, and the plot where a narrow screen has it folded."""
    visitor.page.set_viewport_size({"width": width, "height": 900})
    page = visitor.opens(address, state)
    if not page.locator("#plot").is_visible():
        page.locator("#plot-part > details > summary").click()
    page.wait_for_function(
        "document.querySelector('#plot > svg').viewBox.baseVal.width === "
        "document.querySelector('#plot').clientWidth"
    )
    return page


def mark(page: Page, name: str) -> Locator:
    return page.locator(f"#plot .dot[aria-label^='{name}:']")


def said(page: Page) -> str:
    return page.inner_text("#plot-said")


def labels(page: Page) -> list[str]:
    return page.locator("#plot .label[visibility='visible']").all_text_contents()


# --- no dead ends --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "state",
    [
        ROCK,
        "soc=rk3576&mem=2&rt=1.1.4&quant=w8a8&ctx=16384&lang=en",
        "soc=rk3588&lang=en",
        "soc=rv1126b&rt=1.3.0&lang=en",
    ],
)
def test_no_mark_leads_to_nothing(visitor: Visitor, address: str, state: str) -> None:
    """Whatever is filtered, a mark shows builds of its model, or says that there are none."""
    page = unfolded(visitor, address, state)
    ends = page.evaluate("""() => {
      const before = { ...state };
      return marks.map((_, n) => {
        Object.assign(state, before);
        draw();
        const { element, figure, status, others } = marks[n];
        element.dispatchEvent(new MouseEvent("click", { bubbles: true }));
        const shown = groups.flatMap((group) => group.builds);
        const isStill = state.q === before.q;
        const isRight = shown.some((row) => row.quant.split(" / ").includes(figure.quant));
        return [element.getAttribute("aria-label"), element.getAttribute("aria-disabled"), status,
          others.length, isStill, shown.length, isRight, by("plot-said").textContent];
      });
    }""")
    assert ends
    for name, disabled, status, others, is_still, shown, is_right, told in ends:
        assert told == name
        is_published = status != "unpublished"
        assert is_still == (disabled == "true") == (not is_published and not others), name
        if not is_published:
            assert "no build" in name
        if not is_still:
            assert shown, name
            assert is_right or not is_published, name


@pytest.mark.parametrize("platform", Platform)
def test_a_mark_has_builds_if_the_catalog_has(
    visitor: Visitor, address: str, shipped: list[Build], platform: Platform
) -> None:
    """The model and the quantisation are matched as `rkfetch` matches them, names aside."""
    found = [b.artifact for b in shipped if b.artifact.platform is platform]
    needs = [
        measured_memory(a.model, platform, a.quant)
        for a in found
        if a.model and a.quant and a.path and a.role not in NO_MODELS and a.availability in SHOWN
    ]
    published = {(n.size_bytes, n.tokens_per_s) for n in needs if n is not None and n.measured}
    figures = [f for f in measured_figures() if f.platform == platform.value]
    page = unfolded(visitor, address, f"soc={platform.value}&lang=en")
    drawn = page.evaluate(
        "marks.map((m) => [m.figure.model, m.figure.quant, m.status !== 'unpublished'])"
    )
    assert drawn == [
        [f.model, str(f.quant), (f.need.size_bytes, f.need.tokens_per_s) in published]
        for f in figures
    ]


def test_only_what_fits_the_board_is_filled(visitor: Visitor, address: str) -> None:
    page = unfolded(visitor, address, ROCK)
    big = mark(page, "Qwen3-4B, w4a16")
    assert "fits" in (big.get_attribute("class") or "").split()
    filled = big.locator("> :last-child")
    fill = "e => getComputedStyle(e).fill"
    assert filled.evaluate(fill) != "rgb(255, 255, 255)"
    page.select_option("#memory", "2")
    assert filled.evaluate(fill) == "rgb(255, 255, 255)"
    name = big.get_attribute("aria-label") or ""
    assert name.endswith("no build fits this runtime or memory")
    assert "no build fits" in page.inner_text("#plot .legend")
    big.click(force=True)
    assert visitor.sees()[0] == "Qwen3-4B"
    assert page.locator("#all").is_checked()


def test_until_a_runtime_is_chosen_what_is_published_is_filled(
    visitor: Visitor, address: str
) -> None:
    page = unfolded(visitor, address, "soc=rk3576&mem=8&lang=en")
    assert page.locator("#plot .dot.fits").count() > 20


def test_a_model_in_another_quantisation_is_named(visitor: Visitor, address: str) -> None:
    page = unfolded(visitor, address, ROCK)
    other = mark(page, "Qwen3-0.6B, w8a8")
    assert "no build in this quantisation is published, only in w4a16" in (
        other.get_attribute("aria-label") or ""
    )
    other.click(force=True)
    assert visitor.sees()[0] == "Qwen3-0.6B"


# --- to be read ----------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [360, 1200])
def test_each_mark_is_told_under_the_pointer(visitor: Visitor, address: str, width: int) -> None:
    """However close they lie, each is met at its own place; the line stays when one goes away."""
    page = unfolded(visitor, address, ROCK, width)
    page.locator("#plot > svg").scroll_into_view_if_needed()
    places = page.evaluate(
        "marks.map((m) => { const b = m.element.getBoundingClientRect();"
        "return [b.x + b.width / 2, b.y + b.height / 2, m.words]; })"
    )
    for x, y, name in places:
        page.mouse.move(x, y)
        assert said(page) == name
        assert name.partition(",")[0] in labels(page)
    page.mouse.move(1, 1)
    assert said(page) == places[-1][2]


def test_some_marks_have_their_names(visitor: Visitor, address: str) -> None:
    page = unfolded(visitor, address, "soc=rk3588&mem=16&rt=1.3.0&lang=en")
    fits = page.evaluate("marks.filter((m) => looks(m) === 'fits').map((m) => m.figure)")
    fastest = max(fits, key=lambda f: f["speed"])
    largest = max(fits, key=lambda f: f["bytes"])
    assert {fastest["model"], largest["model"]} <= set(labels(page))
    page.fill("#search", "tinyllama")
    assert labels(page) == ["TinyLLAMA-1.1B"]


@pytest.mark.parametrize("width", [360, 768, 1200])
def test_names_are_within_the_plot_and_apart(visitor: Visitor, address: str, width: int) -> None:
    page = unfolded(visitor, address, ROCK, width)
    edge = page.locator("#plot").evaluate("e => e.clientWidth")
    for search in ("", "qwen", "b"):
        page.fill("#search", search)
        boxes: list[dict[str, float]] = page.evaluate(
            "[...document.querySelectorAll('#plot .label[visibility=visible]')].map((l) => {"
            "const b = l.getBBox(); return { x: b.x, y: b.y, right: b.x + b.width }; })"
        )
        assert boxes
        assert all(box["x"] >= 0 and box["right"] <= edge for box in boxes)
        for n, a in enumerate(boxes):
            for b in boxes[:n]:
                is_apart = abs(a["y"] - b["y"]) > 12
                assert is_apart or a["right"] < b["x"] or b["right"] < a["x"]


def test_quantisations_of_a_model_stand_beside_each_other(visitor: Visitor, address: str) -> None:
    page = unfolded(visitor, address, ROCK, 360)
    page.locator("#plot-part details details summary").click()
    heads = page.locator("#plot-table thead th").all_inner_texts()
    assert heads[1:3] == ["w4a16", "w8a8"]
    models = page.locator("#plot-table tbody th").all_inner_texts()
    assert len(models) == len(set(models)) > 20
    small = page.locator("#plot-table tbody tr", has_text="Qwen3-0.6B")
    assert "24.9 tokens/s" in small.locator("td").nth(0).inner_text()
    assert "17.2 tokens/s" in small.locator("td").nth(1).inner_text()
    table = page.locator("#plot-table")
    assert table.evaluate("e => e.scrollWidth <= e.clientWidth")


# --- what the memory leaves ----------------------------------------------------------------------


def test_the_limit_explains_itself(visitor: Visitor, address: str) -> None:
    page = unfolded(visitor, address, "soc=rk3576&mem=4&rt=1.2.3&lang=en")
    note = page.inner_text("#plot-note")
    assert "A board of 4 GB (4.3 GB as counted here) has 4.0 GB left" in note
    assert "beside 0.3 GB for its system" in note
    assert "right of the dashed line needs more" in note
    line = page.locator("#plot .limit")
    assert (line.locator("title").text_content() or "") in note
    at = line.locator("line").evaluate("l => l.x1.baseVal.value")
    inside = page.evaluate(
        "marks.filter((m) => m.figure.bytes <= 4 * 2 ** 30 - 3e8).map((m) => m.x)"
    )
    assert max(inside) <= at
    page.select_option("#memory", "8")
    assert line.count() == 0
    assert "beyond the right edge" in page.inner_text("#plot-note")
    page.select_option("#memory", "")
    assert "board of" not in page.inner_text("#plot-note")


def test_a_detected_memory_is_rounded(visitor: Visitor, address: str) -> None:
    page = unfolded(visitor, address, "soc=rk3576&mem=3.7345581&lang=zh")
    assert "3.7 GB 的开发板" in page.inner_text("#plot-note")
    assert page.text_content("#plot .limit text") == "3.7 GB 开发板"


# --- fingers and keys ----------------------------------------------------------------------------


@pytest.mark.parametrize("width", [360, 620, 768, 1200])
def test_a_mark_is_as_wide_as_a_finger_needs(visitor: Visitor, address: str, width: int) -> None:
    page = unfolded(visitor, address, ROCK, width)
    boxes = "marks.map((m) => m.element.getBoundingClientRect())"
    sizes = page.evaluate(f"{boxes}.flatMap((box) => [box.width, box.height])")
    assert min(sizes) >= LEAST_PX


def test_a_finger_is_told_first(browser: Any, address: str) -> None:
    context = browser.new_context(
        viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True, bypass_csp=True
    )
    visitor = Visitor(context)
    page = unfolded(visitor, address, f"{ROCK}&theme=dark", 360)
    before = visitor.sees()
    page.locator("#plot > svg").scroll_into_view_if_needed()

    def tap(name: str, aside_px: float = 0) -> None:
        box = mark(page, name).bounding_box()
        assert box
        page.touchscreen.tap(box["x"] + box["width"] / 2 + aside_px, box["y"] + box["height"] / 2)

    tap("ChatGLM3-6B, w8a8", aside_px=LEAST_PX / 2 - 1)
    page.wait_for_function(
        "document.querySelector('#plot-said').textContent.startsWith('ChatGLM3')"
    )
    assert said(page).endswith("measured; no build is published")
    assert page.locator("#plot-said button").count() == 0
    tap("Qwen2.5-1.5B-Instruct, w4a16")
    page.locator("#plot-said button").wait_for()
    assert visitor.sees() == before
    require_everybody_can_use(page)
    page.locator("#plot-said button").tap()
    page.wait_for_function("state.q === 'Qwen2.5-1.5B-Instruct'")
    assert visitor.sees()[0] == "Qwen2.5-1.5B-Instruct"
    context.close()
    assert visitor.complaints == []


def test_the_plot_is_one_stop_with_arrow_keys(visitor: Visitor, address: str) -> None:
    page = unfolded(visitor, address, ROCK)

    def now() -> dict[str, Any]:
        found: dict[str, Any] = page.evaluate(
            "marks.find((m) => m.element === document.activeElement)?.figure ?? {}"
        )
        return found

    def press(key: str) -> dict[str, Any]:
        page.keyboard.press(key)
        return now()

    figures = page.evaluate("marks.map((m) => m.figure)")
    page.locator("#all").focus()
    stops = 0
    while not press("Tab"):
        stops += 1
        assert stops < 5
    smallest, largest = press("Home"), press("End")
    assert smallest["bytes"] == min(f["bytes"] for f in figures)
    assert largest["bytes"] == max(f["bytes"] for f in figures)
    assert press("ArrowRight") == largest
    assert press("ArrowLeft")["bytes"] <= largest["bytes"]
    press("Home")
    walked = [smallest] + [press("ArrowRight") for _ in figures[1:]]
    assert [f["bytes"] for f in walked] == sorted(f["bytes"] for f in figures)
    slow = now()
    faster = press("ArrowUp")
    assert faster["speed"] >= slow["speed"]
    assert press("ArrowDown") == slow
    assert said(page).startswith(f"{slow['model']}, {slow['quant']}:")
    assert press("Tab") == {}
    assert press("Shift+Tab") == slow
    # It stays the stop when the page is drawn anew.
    page.set_viewport_size({"width": 1100, "height": 900})
    page.wait_for_function("marks.some((m) => m.element === document.activeElement)")
    assert now() == slow


def test_enter_shows_the_builds_of_a_mark(visitor: Visitor, address: str) -> None:
    page = unfolded(visitor, address, f"{ROCK}&quant=w8a8")
    page.evaluate("marks.find((m) => m.words.startsWith('Qwen3-4B, w4a16')).element.focus()")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "results"
    assert "w4a16" in page.inner_text(".model:first-child .builds tbody")
    assert page.locator("#quant").input_value() == ""
