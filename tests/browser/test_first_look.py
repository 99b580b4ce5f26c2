"""Lab as `workbench lab` leaves it: the first notebook, completion, and Stop, on the demo and on a real MariaDB."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.jupyter import JupyterServer, LabPage, look_url
from tests.services.mysql.server import Server
from workbench.catalog import Catalog
from workbench.contract.secret import Secret

KERNEL = """async () => {
  const panel = window.jupyterapp.shell.currentWidget;
  await panel.context.ready;
  await panel.sessionContext.ready;
  await panel.sessionContext.session.kernel.info;
}"""
FIRST = "01_first_look.ipynb"


@pytest.fixture(scope="module")
def jupyter(workbench_lab: JupyterServer) -> JupyterServer:
    return workbench_lab


@pytest.fixture
def shop_is_mariadb(jupyter: JupyterServer, mariadb: Server) -> Iterator[None]:
    """The connection `shop` is the real server for one test."""
    catalog = Catalog(jupyter.folder / "workbench")
    file = catalog.saved("shop").parameters["path"]
    catalog.remove("shop")
    catalog.connect("shop", look_url(mariadb), secret=Secret(mariadb.password))
    yield
    catalog.remove("shop")
    catalog.connect("shop", path=file)
    catalog.close()


def test_the_first_notebook(lab: LabPage, tmp_path: Path) -> None:
    lab.page.set_viewport_size({"width": 1200, "height": 5200})  # Lab draws only the cells that are in sight
    lab.open(FIRST)
    lab.run_all()
    assert lab.failures() == []
    expect(lab.page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
    shown = lab.page.locator(".jp-Notebook").inner_text()
    assert "orders per 100 sessions" in shown
    assert "The query was stopped." in shown
    for dark in (False, True):
        lab.theme(dark=dark)
        lab.page.screenshot(path=tmp_path / f"first-look-{'dark' if dark else 'light'}.png")


@pytest.mark.usefixtures("shop_is_mariadb")
def test_the_first_notebook_on_a_real_mariadb(lab: LabPage, tmp_path: Path) -> None:
    (lab.server.root / "on-mariadb.ipynb").write_bytes((lab.server.root / FIRST).read_bytes())
    lab.page.set_viewport_size({"width": 1200, "height": 5200})
    lab.open("on-mariadb.ipynb")
    lab.run_all()
    assert lab.failures() == []
    expect(lab.page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
    shown = lab.page.locator(".jp-Notebook").inner_text()
    assert "/look" in shown  # where `shop` is, in the list of connections
    assert "from `look`.`orders`" in shown.lower()  # what was sent
    lab.page.screenshot(path=tmp_path / "on-mariadb.png")


def test_the_same_question_of_a_real_mariadb(lab: LabPage) -> None:
    query = (
        "%%sql {} <<\nselect o.source, count(*) as n, sum(o.total) as revenue from {}.orders o join web.events e "
        "on e.order_id = o.order_id and e.event_name = 'purchase' group by all order by revenue desc, 1"
    )
    compared = "print(embedded.polars().equals(real.polars()), real.polars()['source'].to_list())"
    lab.open("both.ipynb", query.format("embedded", "shop"), query.format("real", "crm"), compared)
    lab.run_all()
    assert lab.failures() == []
    expect(lab.output(2)).to_contain_text("True")
    expect(lab.output(2)).to_contain_text("(direct)")


@pytest.mark.parametrize(
    ("source", "wanted"),
    [("%%sql\nselect * from crm.", "customers"), ("%%sql\nselect * from crm.orders o where o.", "ordered_at")],
    ids=["tables", "columns of an alias"],
)
def test_completion_pops_up(lab: LabPage, source: str, wanted: str) -> None:
    lab.open("completion.ipynb", "import workbench as wb\nwb.connections()", source)
    lab.run(0)
    expect(lab.output(0)).to_contain_text("crm")
    lab.cell(1).locator(".cm-content").click()
    lab.page.keyboard.press("Control+End")
    found = lab.page.locator(".jp-Completer-item", has_text=re.compile(wanted)).first
    lab.page.keyboard.press("Tab")
    try:
        expect(found).to_be_visible(timeout=3_000)
    except AssertionError:  # what the source had not said in time is there the next time
        lab.page.keyboard.press("Escape")
        lab.page.keyboard.press("Tab")
        expect(found).to_be_visible()


def test_stop_ends_the_work_at_the_server(
    lab: LabPage, mariadb: Server, eventually: Callable[..., object], tmp_path: Path
) -> None:
    def runs() -> bool:
        return any("endless" in text for _, user, text in mariadb.running() if user == "writer")

    lab.open("stop.ipynb", "%%sql\nselect sum(v) from crm.endless")
    lab.page.evaluate(KERNEL)
    lab.page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")
    eventually(runs, within=30)
    expect(lab.output(0).locator("progress")).to_be_visible()
    expect(lab.output(0)).to_have_text(re.compile(r"^\s*0 rows · \d+\.\d s · from crm\s*$"))
    lab.page.screenshot(path=tmp_path / "progress.png")
    lab.page.locator("jp-button[data-command='notebook:interrupt-kernel']").click()
    eventually(lambda: not runs(), within=2.0)
    expect(lab.output(0)).to_contain_text("Cancelled: The query was stopped.")
    lab.page.screenshot(path=tmp_path / "stopped.png")


def test_an_error_is_a_paragraph(lab: LabPage, tmp_path: Path) -> None:
    lab.open("errors.ipynb", "%%sql\nselect *\nfrom shop.ordrs", "%%sql\nselect a,, b from shop.orders")
    lab.run(0)
    lab.run(1)
    unknown, syntax = (lab.output(number) for number in range(2))
    # The caret is below the place that is meant.
    expect(unknown).to_have_text(
        re.compile(r"UnknownTable: No table `shop\.ordrs`\. Did you mean `shop\.orders`[^\n]*\n"
                   r"[^\n]*\(line 2, column 6\)\n\n    from shop\.ordrs\n {9}\^\s*$"), use_inner_text=True
    )  # fmt: skip
    expect(syntax).to_have_text(
        re.compile(r"SqlSyntaxError: [^\n]*\(line 1, column 10\)\n\n    select a,, b from shop\.orders\n {13}\^\s*$"),
        use_inner_text=True,
    )
    for dark in (False, True):
        lab.theme(dark=dark)
        lab.page.screenshot(path=tmp_path / f"errors-{'dark' if dark else 'light'}.png")


def test_many_rows_scroll_above_their_count(lab: LabPage, tmp_path: Path) -> None:
    """As they are where there is no grid: the HTML of the same result."""
    query = "%%sql rows <<\nselect * from shop.orders o join shop.items i using (item_id)"
    lab.open("rows.ipynb", query, "from IPython.display import HTML\nrows.wait()\nHTML(rows._repr_html_())")
    lab.run_all()
    expect(lab.output(1).get_by_text("first 50 of 6,000 rows")).to_be_in_viewport()
    box = lab.output(1).locator(".workbench-result > div").first
    wider, higher = box.evaluate("box => [box.scrollWidth > box.clientWidth, box.scrollHeight > box.clientHeight]")
    assert wider
    assert higher
    box.evaluate("box => box.scrollTo(0, box.scrollHeight)")
    expect(lab.output(1).locator("th").first).to_be_in_viewport()  # the head stays
    lab.page.screenshot(path=tmp_path / "rows.png")
