"""E4, F4, F6, F7, F9, F10, F12 and F13 of the hostile list on the viewer's pages: what data says is text there, and
nobody is led away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from tests.dashboards.conftest import ViewerServer, notebook

IMG = '<img src=x onerror="window.__hit=1">'
SCRIPT = "<script>window.__hit=1</script>"
LINK = '<a href="javascript:window.__hit=1">here</a>'
NEXT = [
    "//evil.example", "/\\evil.example", "/%5cevil.example", "https:evil.example", "///evil.example",
    "https://evil.example/", "\\\\evil.example", "/\t/evil.example", "javascript:alert(1)", "//evil.example@127.0.0.1",
]  # fmt: skip

DATA = f"import workbench as wb\nimg, script, link = {IMG!r}, {SCRIPT!r}, {LINK!r}\n"
F4 = f"# Orders `{IMG}` `{SCRIPT}`"
F6 = f"""{DATA}
import plotly.express as px
frame = {{img: [1, 2], script: [img, link], link: [link, script]}}
px.scatter(frame, x=script, y=img, color=link, hover_name=link, title=img + link)"""
F7 = f"""{DATA}
wb.sql("select 'javascript:window.__hit=1' as url, 'data:text/html,<script>window.__hit=1</script>' as other, "
       "'" + img + "' as html, '" + script + "' as \\"" + script + "\\"")"""
F9 = f"""{DATA}
import ipywidgets as w
w.VBox([w.Label(img), w.Text(value=script, description=img, placeholder=link), w.Dropdown(options=[img, link],
       description=script), w.Button(description=img, tooltip=script), w.Checkbox(description=img),
       w.Accordion([w.Label(link)], titles=[img]), w.Tab([w.Label(script)], titles=[script])])"""
F10 = """from IPython.display import SVG
SVG('<svg xmlns="http://www.w3.org/2000/svg" onload="window.__hit=1" width="9" height="9">'
    '<script>window.__hit=1</script><a href="javascript:window.__hit=1"><rect width="9" height="9"/></a></svg>')"""
F12 = """from IPython.display import HTML
HTML('<button data-commandlinker-command="terminal:create-new" data-commandlinker-args="{}">commands</button>')"""
F13 = f"""{DATA}
import pathlib, tempfile
line = '9.9.9.9 - - [28/Nov/2026:12:0%d:00 +0000] "GET %s HTTP/1.1" 200 7 "%s" "%s"'
log = pathlib.Path(tempfile.mkdtemp(), "access.log")
agents = [script, img.replace('"', "'"), "\\x1b[2J\\x1b]0;title\\x07", "a\\\\n127.0.0.1 - - injected"]
lines = [line % (n, "/" + agent.replace(" ", "%20"), agent, agent) for n, agent in enumerate(agents)]
log.write_text("\\n".join([*lines, script, img, "\\x1b[31mred"]) + "\\n")
site = wb.reports.Events.log(log)
print(site.log_read)
wb.view(wb.reports.Overview(period="2026-11").on(site))"""


LAST = "import ipywidgets\nipywidgets.Label('all-is-' 'here')"


@pytest.fixture(scope="module")
def tried(request: pytest.FixtureRequest) -> Iterator[list[bool]]:
    tried: list[bool] = []
    yield tried
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print(f"\nhostile: tried {len(tried)}, survived {sum(tried)}")


@pytest.fixture(scope="module")
def page(chromium: Browser, viewer: ViewerServer) -> Iterator[Page]:
    """Of one viewer, who has logged in."""
    context = chromium.new_context(viewport={"width": 1200, "height": 900})
    context.set_default_timeout(90_000)
    page = context.new_page()
    page.on("dialog", lambda dialog: dialog.dismiss())
    page.goto(viewer.publish("first", "# First"))
    page.goto(f"{viewer.url}/")
    yield page
    context.close()


@pytest.fixture(autouse=True)
def jp_asyncio_loop() -> None:
    """In place of pytest-jupyter's, which would close the loop that Playwright is running in this thread."""


def _shown(viewer: ViewerServer, page: Page, name: str, *cells: str) -> None:
    """Opens a dashboard of these cells, whole."""
    page.goto(viewer.publish(name, *cells, LAST))
    expect(page.get_by_text("all-is-here")).to_be_visible(timeout=90_000)


def _unharmed(page: Page) -> None:
    page.wait_for_timeout(300)  # an image that is not there says so a moment later
    assert page.evaluate("() => window.__hit") is None
    assert page.locator('a[href^="javascript:"], a[href^="data:text/html"]').count() == 0


def test_f6_labels_of_charts_are_text(viewer: ViewerServer, page: Page, tried: list[bool]) -> None:
    _text(viewer, page, tried, F6, ".js-plotly-plot .points >> nth=0")


def test_f7_addresses_in_data_are_text(viewer: ViewerServer, page: Page, tried: list[bool]) -> None:
    _text(viewer, page, tried, F7, "text=data:text/html >> nth=0")


def test_f9_the_state_of_widgets_is_text(viewer: ViewerServer, page: Page, tried: list[bool]) -> None:
    _text(viewer, page, tried, F9, ".widget-label >> text=onerror >> nth=0")


def test_f10_a_drawing_s_scripts_do_not_run(viewer: ViewerServer, page: Page, tried: list[bool]) -> None:
    _text(viewer, page, tried, F10, '[src*="svg+xml"], svg[width="9"]')


def test_f13_lines_of_a_log_are_text(viewer: ViewerServer, page: Page, tried: list[bool]) -> None:
    _text(viewer, page, tried, F13, "text=4 parsed + 3 refused")


def _text(viewer: ViewerServer, page: Page, tried: list[bool], cell: str, there: str) -> None:
    """Shows the cell's output, in which `there` must be: one that has failed harms nobody."""
    tried.append(False)
    _shown(viewer, page, f"data-{len(tried)}", "# Data", cell)  # another address each time
    expect(page.locator(there)).to_be_visible()
    _unharmed(page)
    tried[-1] = True


def test_f4_titles_and_file_names_are_text(viewer: ViewerServer, page: Page, tried: list[bool]) -> None:
    tried.append(False)
    path = viewer.folder / "<img src=x onerror=window.__hit=1>.ipynb"
    path.write_text(json.dumps(notebook([F4, LAST])))
    link = f"{viewer.url}/d/{viewer.dashboards.publish(path).name}#{viewer.token}"
    page.goto(link)
    expect(page.get_by_text("all-is-here")).to_be_visible(timeout=90_000)
    assert "<img src=x" in page.title()
    _unharmed(page)
    page.goto(f"{viewer.url}/")  # the list of dashboards
    expect(page.get_by_text("Orders")).to_be_visible()
    _unharmed(page)
    tried[-1] = True


def test_f12_a_button_of_data_runs_no_command(viewer: ViewerServer, page: Page, tried: list[bool]) -> None:
    tried.append(False)
    _shown(viewer, page, "f12", "# Commands", F12)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    address = page.url
    page.get_by_role("button", name="commands").click()
    page.wait_for_timeout(500)
    assert asked == []
    assert page.url == address
    assert len(page.context.pages) == 1
    tried[-1] = True


@pytest.mark.parametrize("after", NEXT)
def test_e4_the_log_in_leads_nowhere_else(viewer: ViewerServer, after: str, tried: list[bool]) -> None:
    tried.append(False)
    session = requests.Session()
    form = session.get(f"{viewer.url}/login", params={"next": after}, timeout=10)
    assert 'href="' + after not in form.text
    sent = {"password": viewer.token, "_xsrf": session.cookies["_xsrf"], "next": after}
    reply = session.post(f"{viewer.url}/login", sent, timeout=10, allow_redirects=False)
    assert reply.status_code == 302
    where = reply.headers["Location"]
    led = urlsplit(urljoin(f"{viewer.url}/login", where.replace("\\", "/")))  # as a browser reads it
    assert (led.scheme, led.netloc) == ("http", urlsplit(viewer.url).netloc), where
    tried[-1] = True
