"""A figure of plotly on a bright page and on a dark one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.jupyter import WORKBENCH_LAB, JupyterServer, LabPage

FIGURE = """import plotly.express as px
px.bar(x=["email", "search", "(direct)"], y=[3, 5, 2], color=["a", "b", "a"], title="orders per 100 sessions")"""
FILLS = """svg => [...svg.querySelectorAll('rect.bg')].concat([svg])
  .map(one => getComputedStyle(one)).map(look => [look.fill, look.fillOpacity, look.backgroundColor])"""
TEXTS = "svg => [...svg.querySelectorAll('text')].filter(t => t.textContent).map(text => getComputedStyle(text).fill)"


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    server = JupyterServer(tmp_path_factory.mktemp("lab"), (sys.executable, *WORKBENCH_LAB.split()))
    yield server
    server.close()


def luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_its_words_are_read_on_the_page_s_own_ground(lab: LabPage, tmp_path: Path) -> None:
    lab.open("figure.ipynb", FIGURE)
    lab.run_all()
    assert lab.failures() == []
    plot = lab.page.locator(".js-plotly-plot .main-svg").first
    expect(plot).to_be_visible()
    for dark in (False, True):
        lab.theme(dark=dark)
        page = lab.page.evaluate("() => getComputedStyle(document.querySelector('.jp-Notebook')).backgroundColor")
        for fill, opacity, ground in plot.evaluate(FILLS):
            assert opacity == "0" or fill in ("none", "rgb(0, 0, 0)"), "no card of its own"
            assert ground == "rgba(0, 0, 0, 0)"
        words = plot.evaluate(TEXTS)
        assert len(words) > 5
        assert all(contrast(word, page) >= 4 for word in words), (words, page)
        lab.page.screenshot(path=tmp_path / f"figure-{'dark' if dark else 'light'}.png")


def test_a_figure_that_is_a_widget_is_drawn_and_changes(lab: LabPage, tmp_path: Path) -> None:
    lab.open(
        "widget.ipynb",
        "import plotly.graph_objects as go\nfigure = go.FigureWidget(go.Bar(x=['a', 'b'], y=[1, 2]))\nfigure",
        "figure.data[0].x = ['a', 'b', 'c', 'd']\nfigure.data[0].y = [4, 3, 2, 1]",
    )
    lab.run(0)
    bars = lab.page.locator(".js-plotly-plot .bars .point")
    expect(bars).to_have_count(2, timeout=60_000)
    lab.page.screenshot(path=tmp_path / "widget.png")
    lab.run(1)
    expect(bars).to_have_count(4)
    assert lab.failures() == []
