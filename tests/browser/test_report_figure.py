"""A report's figure in a real browser: drawn in both themes, and what strangers sent is text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from playwright.sync_api import Browser, Page

from tests.query.support import World
from workbench.reports import Events, Overview, Report

NOON = 1_767_268_800_000  # 2026-01-01 12:00 UTC
NASTY = ("<script>window.owned=1</script>", "<img src=x onerror=window.owned=1>", "<a href='javascript:owned=1'>x</a>")


@pytest.fixture
def report(tmp_path: Path) -> Iterator[Report]:
    world = World(tmp_path)
    rows = {
        "user": [f"u{at % 50}" for at in range(600)],
        "at": [NOON - 30 * 86_400_000 + at * 4_000_000 for at in range(600)],
        "page": [("/", "/item/" + "long" * 20, *NASTY)[at % 5] for at in range(600)],
        "from": [("search.example", *NASTY)[at % 4] for at in range(600)],
    }
    events = Events(pa.table(rows), user="user", time="at", page="page", source="from")
    yield Overview(period="2025-12-19..2025-12-28").on(events, session=world.session)
    world.session.close()
    world.register.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(viewport={"width": 1080, "height": 1300})
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("theme", ["light", "dark", "page"])
def test_it_is_drawn(report: Report, page: Page, theme: str, tmp_path: Path) -> None:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("dialog", lambda dialog: errors.append(dialog.message))
    page.set_content(report.figure(theme).to_html(include_plotlyjs=True), wait_until="load")
    page.locator(".barlayer .bars").first.wait_for()
    page.screenshot(path=tmp_path / f"{theme}.png")
    seen = page.locator("text").all_text_contents()
    for words in ("Visitors", "Bounce rate", "Overview", "Mean duration"):
        assert any(words in text for text in seen), words
    assert any("<script>" in text for text in seen)  # as text
    assert not page.evaluate("() => window.owned")
    assert not page.locator(".main-svg script, .main-svg img, .main-svg a[href^='javascript']").count()
    assert not errors
    ground = page.evaluate("() => getComputedStyle(document.querySelector('.main-svg')).backgroundColor")
    if theme == "page":
        assert ground == "rgba(0, 0, 0, 0)"
        page.evaluate("() => { document.body.style.background = '#111111' }")
        page.mouse.move(500, 300)
        page.screenshot(path=tmp_path / "page-dark.png")
        return
    dark = sum(int(part) for part in ground.removeprefix("rgb(").removesuffix(")").split(",")) < 3 * 64
    assert dark == (theme == "dark")


@pytest.mark.parametrize("width", [716, 1080, 1600])
def test_nothing_lies_on_another_thing(report: Report, page: Page, width: int, tmp_path: Path) -> None:
    """The bars' names end before the bars begin, headings keep clear of the names, and all is within the figure, which
    is as wide as the page."""
    page.set_viewport_size({"width": width, "height": 1300})
    page.set_content(report.figure().to_html(include_plotlyjs=True), wait_until="load")
    page.locator(".barlayer .bars").first.wait_for()
    box = "element => { const r = element.getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom] }"
    whole = page.locator(".main-svg").first.evaluate(box)
    assert width - 40 <= whole[2] - whole[0] <= width
    page.screenshot(path=tmp_path / f"{width}.png")
    texts = page.locator(".annotation text, .ytick text, .xtick text")
    boxes = [texts.nth(at).evaluate(box) for at in range(texts.count())]
    for left, top, right, bottom in boxes:
        assert left >= whole[0] - 1
        assert right <= whole[2] + 1
        assert top >= whole[1] - 1
        assert bottom <= whole[3] + 1
    for number, one in enumerate(boxes):
        for other in boxes[number + 1 :]:
            wide = min(one[2], other[2]) - max(one[0], other[0])
            high = min(one[3], other[3]) - max(one[1], other[1])
            assert wide <= 2 or high <= 4, (one, other)
