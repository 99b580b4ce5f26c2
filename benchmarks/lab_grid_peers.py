"""The peers of `lab_grid`, each in a Lab of its own environment: what they can do with the same five million rows.

JupySQL 0.11.1 reads the DuckDB file over a connection of DuckDB's own; what it shows is an HTML table of the first
ten rows, so that another filter and other rows are another statement. jupyterlab-db-explorer 0.6.0 knows no DuckDB:
it reads the same rows from SQLite, in its console for a `.sql` file.
"""

from __future__ import annotations

import time
from pathlib import Path

from playwright.sync_api import Page, TimeoutError as PlaywrightTimeout

from benchmarks.browser_memory import memory
from benchmarks.harness import environment
from tests.browser.jupyter import JupyterServer, LabPage

LAB = "jupyterlab==4.6.6"
JUPYSQL = (LAB, "jupysql==0.11.1", "duckdb==2.0.1", "duckdb-engine==0.17.0")
DB_EXPLORER = (LAB, "jupyterlab-db-explorer==0.6.0")

CONNECT = """import duckdb
%load_ext sql
link = duckdb.connect({path!r}, read_only=True)
%sql link --alias shop"""
# In the page: from the press that runs the cell until its table has been painted.
TABLE = """async number => {
  const cells = () => document.querySelectorAll('.jp-Notebook .jp-Cell')[number].querySelectorAll('.jp-OutputArea td');
  const since = performance.now(), {commands, shell} = window.jupyterapp;
  const panel = shell.currentWidget;
  panel.content.activeCellIndex = number;
  panel.content.deselectAll();
  const run = commands.execute('notebook:run-cell').then(() => true);
  while (cells().length === 0) {
    if (await Promise.race([run, new Promise(resolve => setTimeout(() => resolve(false), 2))])) {
      if (cells().length > 0) break;
      await new Promise(resolve => setTimeout(resolve, 2));
      if (performance.now() - since > 60000) throw new Error('no table came');
    }
  }
  await new Promise(resolve => requestAnimationFrame(() => requestAnimationFrame(resolve)));
  return performance.now() - since;
}"""
START = """number => {
  const {commands, shell} = window.jupyterapp;
  shell.currentWidget.content.activeCellIndex = number;
  window.over = false;
  commands.execute('notebook:run-cell').then(() => { window.over = true; });
}"""

# The console's result: how many rows it can show, and one of them once it is here.
CONSOLE = "window.jupyterapp.shell.currentWidget.content.resultsTable"
ROWS = f"() => {CONSOLE}._model.rowCount('body')"
SHOWN = f"""async condition => {{
  const since = performance.now(), holds = new Function('model', `return ${{condition}}`);
  while (!holds({CONSOLE}._model)) {{
    if (performance.now() - since > 180000) throw new Error(`not within 180 s: ${{condition}}`);
    await new Promise(resolve => setTimeout(resolve, 2));
  }}
  await new Promise(resolve => requestAnimationFrame(() => requestAnimationFrame(resolve)));
  return performance.now() - since;
}}"""
DOWN = f"() => {CONSOLE}._table.grid.scrollTo(0, {CONSOLE}._table.grid.maxScrollY)"


def jupysql(folder: Path) -> JupyterServer:
    return JupyterServer(folder, (str(environment(*JUPYSQL)), *JupyterServer.COMMAND.split()))


def db_explorer(folder: Path, file: Path, limit: int) -> JupyterServer:
    """`limit` rows at most of a result can be seen, 100,000 when nobody says so."""
    named = {"DB_CONN_SHOP_TYPE": "6", "DB_CONN_SHOP_NAME": str(file), "DB_EXPLORER_QUERY_LIMIT": str(limit)}
    return JupyterServer(folder, (str(environment(*DB_EXPLORER)), *JupyterServer.COMMAND.split()), named)


def settled(page: Page, process: int) -> float:
    """MB of the browser after what is unused has been collected."""
    page.context.new_cdp_session(page).send("HeapProfiler.collectGarbage")
    return memory(process)


def jupysql_round(
    page: Page, server: JupyterServer, file: Path, rows: int, number: int, process: int
) -> dict[str, list[float]]:
    lab = LabPage(page, server)
    middle = [f"%%sql\nselect * from events limit 10 offset {round(rows * part)}" for part in (0.5, 0.25, 0.75)]
    other = [f"%%sql\nselect * from events where page = 'page {one}'" for one in (17, 42, 230)]
    lab.open(f"rows{number}.ipynb", CONNECT.format(path=str(file)), "%%sql\nselect * from events", *middle, *other)
    lab.run(0)
    page.wait_for_timeout(2_000)
    before = settled(page, process)
    found: dict[str, list[float]] = {
        "first": [float(page.evaluate(TABLE, 1))],
        "reach": [lab.output(1).locator("tbody tr").count()],
    }
    found["scroll"] = [float(page.evaluate(TABLE, 2 + place)) for place in range(3)]
    assert lab.output(2).locator("tbody tr td").first.inner_text() == str(round(rows * 0.5))
    found["filter"] = [float(page.evaluate(TABLE, 5 + place)) for place in range(3)]
    assert "page 17" in lab.output(5).inner_text()
    page.wait_for_timeout(1_000)
    found["memory"] = [settled(page, process) - before]
    return found


def holds(page: Page, condition: str, milliseconds: float) -> bool:
    try:
        page.wait_for_function(condition, timeout=milliseconds)
    except PlaywrightTimeout:
        return False
    return True


def jupysql_all(page: Page, folder: Path, file: Path, process: int, seconds: float, megabytes: float) -> str:
    """What happens when it is told to show every row, within these bounds of time and of the memory of the kernel and
    the browser."""
    server = jupysql(folder)
    try:
        lab = LabPage(page, server)
        cells = CONNECT.format(path=str(file)), "%config SqlMagic.displaylimit = 0", "%%sql\nselect * from events"
        lab.open("all.ipynb", *cells)
        lab.run(0)
        lab.run(1)

        def used() -> float:
            return memory(process, "python") + memory(process)

        begun, before, most = time.monotonic(), used(), 0.0
        page.evaluate(START, 2)
        while True:
            over = holds(page, "window.over", 250)
            most, taken = max(most, used() - before), time.monotonic() - begun
            if over or taken > seconds or most > megabytes:
                break
        # A page that draws millions of rows answers nobody, so it is asked with a deadline.
        shown = holds(
            page, "document.querySelectorAll('.jp-Notebook .jp-Cell')[2].querySelector('.jp-OutputArea td')", 5_000
        )
        rows = f"{lab.output(2).locator('tbody tr').count():,} rows" if shown else "no row"
        how = "ended" if over else "stopped"
        return f"{how} after {taken:.0f} s, {most / 1e3:.1f} GB more in kernel and browser, {rows} on screen"
    finally:
        server.close()


def filtered(page: Page, value: str) -> float:
    """By the form above the column `page`; milliseconds until its rows are painted."""
    page.locator(".pgw-prof-card").nth(3).click()
    page.locator(".d4n-cp__tab", has_text="Filter").click()
    page.locator(".d4n-cp__select").select_option("equals")
    page.locator(".d4n-cp__input").fill(value)
    page.locator(".d4n-cp__input").press("Enter", no_wait_after=True)
    return float(
        page.evaluate(SHOWN, f"model.activeFilters[0]?.value === {value!r} && model.data('body', 0, 3) === {value!r}")
    )


def db_explorer_round(page: Page, server: JupyterServer, number: int, process: int) -> dict[str, list[float]]:
    (server.root / f"rows{number}.sql").write_text("select * from events\n")
    page.goto(server.address(f"rows{number}.sql"))
    page.wait_for_function("() => window.jupyterapp?.shell?.currentWidget?.content?.resultsTable?._model")
    page.locator(".jp-Toolbar select").first.select_option("SHOP")
    page.wait_for_timeout(2_000)
    before = settled(page, process)
    page.locator("[title='Run Query'], [aria-label='Run Query']").first.click()
    found: dict[str, list[float]] = {"first": [page.evaluate(SHOWN, "model.rowCount('body') > 0")]}
    # As far as its bar goes; each time that it ends, what may come is waited for.
    for _ in range(5):
        page.evaluate(DOWN)
        page.wait_for_timeout(1_000)
    found["reach"] = [page.evaluate(ROWS)]
    last = page.evaluate(f"at => String({CONSOLE}._model.data('body', at, 0))", found["reach"][0] - 1)
    assert last == str(found["reach"][0] - 1), last  # it has come
    found["filter"] = [filtered(page, f"page {one}") for one in (17, 42, 230)]
    page.wait_for_timeout(1_000)
    found["memory"] = [settled(page, process) - before]
    return found
